// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice The behaviour of a token when it pays a certain receiver.
enum Payout {
    Normal,
    Reverts,
    ReturnsFalse,
    BurnsAllGas,
    ReturnsTooMuch,
    MovesAndReturnsFalse
}

interface ITokenHook {
    function onToken(address token) external;
}

/// @notice A token that can be made as odd as real ones are: each oddity is switched on by itself.
contract OddToken {
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    uint256 public feeBps;
    bool public silent;
    bool public refusesZero;
    bool public refusesEverything;
    mapping(address receiver => Payout) public payoutTo;
    mapping(address account => bool) public hooked;

    /* SWITCHES */

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function setFeeBps(uint256 bps) external {
        feeBps = bps;
    }

    function setSilent(bool on) external {
        silent = on;
    }

    function setRefusesZero(bool on) external {
        refusesZero = on;
    }

    function setRefusesEverything(bool on) external {
        refusesEverything = on;
    }

    function setPayout(address receiver, Payout payout) external {
        payoutTo[receiver] = payout;
    }

    /// @notice From now on `account` is called before it sends and after it receives, as by ERC-777.
    function setHook(address account, bool on) external {
        hooked[account] = on;
    }

    /* ERC-20 */

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        require(allowed >= amount, "allowance");
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - amount;
        return _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        require(!refusesEverything, "refused");
        require(!refusesZero || amount != 0, "zero");
        Payout payout = payoutTo[to];
        require(payout != Payout.Reverts, "blocked");
        if (payout == Payout.ReturnsFalse) return false;
        if (payout == Payout.BurnsAllGas) {
            assembly {
                invalid()
            }
        }
        if (payout == Payout.ReturnsTooMuch) {
            assembly {
                return(0, 200000)
            }
        }
        if (hooked[from]) ITokenHook(from).onToken(address(this));
        require(balanceOf[from] >= amount, "balance");
        balanceOf[from] -= amount;
        balanceOf[to] += amount - amount * feeBps / 10_000;
        if (hooked[to]) ITokenHook(to).onToken(address(this));
        if (payout == Payout.MovesAndReturnsFalse) return false;
        if (silent) {
            assembly {
                return(0, 0)
            }
        }
        return true;
    }
}
