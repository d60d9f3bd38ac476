// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IVault} from "plimsoll/interfaces/IVault.sol";
import {VaultFixture} from "./VaultFixture.sol";
import {VaultHandler} from "./VaultHandler.sol";
import {VaultStateFromEvents} from "./VaultStateFromEvents.sol";

/// @title Invariants of a vault after any history of deposits, exits, moves, loans, losses and donations.
contract VaultInvariants is VaultFixture {
    VaultHandler private handler;

    function setUp() public override {
        super.setUp();
        handler = new VaultHandler(plimsoll, vault, ALLOCATOR, GUARDIAN);
        targetContract(address(handler));
    }

    /// @dev One campaign over all of them: each invariant of its own would walk the same histories again.
    function invariant_ofAVault() public view {
        uint256 sum = vault.state().idle;
        IVault.Holding[] memory all = vault.holdings();
        assertLe(sum, loanToken.balanceOf(address(vault)), "V2: idle tokens are there");
        for (uint256 i; i < all.length; ++i) {
            assertLe(all[i].shares, plimsoll.position(all[i].id, address(vault)).supplyShares, "V1: shares are there");
            sum += all[i].assets;
        }
        assertLe(shares.totalAssets(), sum, "V2: the total is backed");
        assertEq(handler.priceLost(), 0, "V3: only a loss lowers the price");
        assertEq(handler.priceJumped(), 0, "V4: the price rises by the maximum rate");

        uint256 held = shares.balanceOf(FEE_RECIPIENT);
        uint256 claims = worth(FEE_RECIPIENT);
        for (uint256 n; n < 4; ++n) {
            held += shares.balanceOf(handler.actors(n));
            claims += worth(handler.actors(n));
        }
        assertEq(held, shares.totalSupply(), "V2: shares are the holders'");
        assertLe(claims, shares.totalAssets(), "V5: all holders together take out no more than there is");
    }

    /// @notice Invariants hold over histories in which nothing happens, too: this fixed one reaches what they are about.
    function test_A8_aLongHistoryReachesWhatTheInvariantsAreAboutAndIsRebuiltFromEvents() public {
        VaultStateFromEvents rebuilt = new VaultStateFromEvents(vault);
        vm.recordLogs();
        bytes4[15] memory verbs = [
            handler.deposit.selector,
            handler.mint.selector,
            handler.withdraw.selector,
            handler.redeemAllThatIsLiquid.selector,
            handler.redeemInKind.selector,
            handler.transfer.selector,
            handler.reallocate.selector,
            handler.deallocate.selector,
            handler.setOrder.selector,
            handler.accrue.selector,
            handler.wait.selector,
            handler.donate.selector,
            handler.borrow.selector,
            handler.repay.selector,
            handler.lose.selector
        ];
        for (uint256 n; n < 400; ++n) {
            uint256 seed = uint256(keccak256(abi.encode(n)));
            (bool done, bytes memory reason) = address(handler)
                .call(
                    abi.encodePacked(
                        verbs[seed % 15], seed >> 8, uint256(keccak256(abi.encode(seed))), seed & 1, seed >> 16
                    )
                );
            if (!done) {
                assembly ("memory-safe") {
                    revert(add(reason, 0x20), mload(reason))
                }
            }
        }
        string[8] memory what =
            ["deposit", "withdraw", "liquidity is short", "in kind", "reallocate", "donation", "borrow", "loss"];
        for (uint256 i; i < what.length; ++i) {
            assertGt(handler.hits(what[i]), 0, what[i]);
        }
        invariant_ofAVault();

        rebuilt.follow(vm.getRecordedLogs());
        IVault.State memory state = vault.state();
        assertEq(rebuilt.lastTotal(), state.lastTotal, "A8: total");
        assertEq(rebuilt.highWaterMark(), state.highWaterMark, "A8: mark");
        assertEq(rebuilt.idle(), state.idle, "A8: idle");
        for (uint256 i; i < 3; ++i) {
            assertEq(rebuilt.counted(ids[i]), counted(i), "A8: counted");
        }
    }
}
