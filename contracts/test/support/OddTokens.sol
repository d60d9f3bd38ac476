// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Step} from "./Actor.sol";

/// @title Tokens with one unusual behaviour each, as they exist.
/// @notice They share this ledger. `mint`, `approve` and `balanceOf` are `TestToken`'s, so that they can stand in for
/// it.
abstract contract OddToken {
    uint8 public decimals = 18;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function _move(address from, address to, uint256 amount) internal virtual {
        require(balanceOf[from] >= amount, "balance");
        unchecked {
            balanceOf[from] -= amount;
            balanceOf[to] += amount;
        }
    }

    function _moveFor(address from, address to, uint256 amount) internal {
        require(allowance[from][msg.sender] >= amount, "allowance");
        if (allowance[from][msg.sender] != type(uint256).max) allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }
}

/// @notice Answers nothing, as some of the oldest and largest do.
contract SilentToken is OddToken {
    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _moveFor(from, to, amount);
    }
}

/// @notice Answers true: what the following build on.
abstract contract TrueToken is OddToken {
    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        _moveFor(from, to, amount);
        return true;
    }
}

/// @notice Says false where others revert.
contract FalseToken is OddToken {
    function transfer(address to, uint256 amount) external returns (bool) {
        if (balanceOf[msg.sender] < amount) return false;
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        if (balanceOf[from] < amount || allowance[from][msg.sender] < amount) return false;
        _moveFor(from, to, amount);
        return true;
    }
}

/// @notice Has a number of decimals that few have.
contract DecimalsToken is TrueToken {
    constructor(uint8 decimals_) {
        decimals = decimals_;
    }
}

/// @notice Refuses a transfer of 0.
contract NoZeroToken is TrueToken {
    function _move(address from, address to, uint256 amount) internal override {
        require(amount != 0, "zero");
        super._move(from, to, amount);
    }
}

/// @notice Takes 1 % of what is transferred.
contract FeeToken is TrueToken {
    function _move(address from, address to, uint256 amount) internal override {
        super._move(from, to, amount);
        balanceOf[to] -= amount / 100;
    }
}

/// @notice Does not move what belongs to, or is meant for, some accounts.
contract BlocklistToken is TrueToken {
    mapping(address => bool) public blocked;

    function setBlocked(address account, bool blocked_) external {
        blocked[account] = blocked_;
    }

    function _move(address from, address to, uint256 amount) internal override {
        require(!blocked[from] && !blocked[to], "blocked");
        super._move(from, to, amount);
    }
}

/// @notice Answers true and a megabyte behind it.
contract VerboseToken is OddToken {
    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
        _returnLongData();
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _moveFor(from, to, amount);
        _returnLongData();
    }

    function _returnLongData() internal pure {
        assembly ("memory-safe") {
            mstore(0, 1)
            return(0, 1000000)
        }
    }
}

/// @notice Calls the sender before a transfer and the receiver after it (as ERC-777 does), where they asked for it.
contract HookToken is TrueToken {
    mapping(address => bool) public hooked;

    function setHooked(address account, bool hooked_) external {
        hooked[account] = hooked_;
    }

    function _move(address from, address to, uint256 amount) internal override {
        if (hooked[from]) IHook(from).hook();
        super._move(from, to, amount);
        if (hooked[to]) IHook(to).hook();
    }
}

interface IHook {
    function hook() external;
}

/// @notice Owns hooked tokens, and makes one call to anybody from the first hook that it gets.
contract HookedAccount is IHook {
    Step internal _onHook;
    bool public called;

    function setOnHook(Step calldata step) external {
        (_onHook, called) = (step, false);
    }

    function run(address target, bytes calldata data) public {
        (bool done, bytes memory answer) = target.call(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    function hook() external {
        if (called || _onHook.target == address(0)) return;
        called = true;
        this.run(_onHook.target, _onHook.data);
    }
}
