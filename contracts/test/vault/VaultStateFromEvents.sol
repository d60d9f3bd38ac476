// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";

/// @notice A vault's value and positions, rebuilt from its events alone.
contract VaultStateFromEvents {
    IVault private immutable VAULT;
    MarketId[] private list;

    uint256 public lastTotal;
    uint256 public highWaterMark = 1e21;
    uint256 public idle;
    mapping(MarketId => uint256) public counted;
    /// @dev The assets of the last withdrawal, which a redemption in kind says more about.
    uint256 private withdrawn;

    constructor(IVault vault) {
        VAULT = vault;
        MarketParams[] memory params = vault.markets();
        for (uint256 i; i < params.length; ++i) {
            list.push(MarketId.wrap(keccak256(abi.encode(params[i]))));
        }
    }

    function follow(Vm.Log[] calldata logs) external {
        for (uint256 n; n < logs.length; ++n) {
            if (logs[n].emitter == address(VAULT)) _apply(logs[n].topics, logs[n].data);
        }
    }

    function _apply(bytes32[] calldata topics, bytes calldata data) private {
        bytes32 topic = topics[0];
        if (topic == IVault.AccrueVault.selector) {
            (lastTotal,,, highWaterMark) = abi.decode(data, (uint256, uint256, uint256, uint256));
        } else if (topic == IERC4626.Deposit.selector) {
            (uint256 assets,) = abi.decode(data, (uint256, uint256));
            lastTotal += assets;
            idle += assets;
        } else if (topic == IERC4626.Withdraw.selector) {
            (withdrawn,) = abi.decode(data, (uint256, uint256));
            lastTotal -= withdrawn;
            // What is withdrawn from markets is added by their events, which follow.
            unchecked {
                idle -= withdrawn;
            }
        } else if (topic == IVault.Allocate.selector) {
            (uint256 assets, uint256 shares) = abi.decode(data, (uint256, uint256));
            idle -= assets;
            counted[MarketId.wrap(topics[1])] += shares;
        } else if (topic == IVault.Deallocate.selector) {
            (uint256 assets, uint256 shares,) = abi.decode(data, (uint256, uint256, bool));
            unchecked {
                idle += assets;
            }
            counted[MarketId.wrap(topics[1])] -= shares;
        } else if (topic == IVault.RedeemInKind.selector) {
            (uint256 idleAssets, uint256[] memory supplyShares) = abi.decode(data, (uint256, uint256[]));
            unchecked {
                idle = idle + withdrawn - idleAssets;
            }
            for (uint256 i; i < supplyShares.length; ++i) {
                counted[list[i]] -= supplyShares[i];
            }
        }
    }
}
