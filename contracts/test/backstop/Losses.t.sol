// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";
import {BackstopTest} from "./BackstopTest.sol";

/// @title Tests of the losses that a backstop pays, and of the cover that remains (H7, I3, R6).
contract LossesTest is BackstopTest {
    uint256 private constant DEPOSIT = 10_000e6;

    function setUp() public override {
        super.setUp();
        deposit(ALICE, DEPOSIT);
    }

    /* IN ONE LIQUIDATION */

    /// @dev The charges of one liquidation, from its events.
    function _lossOf(Vm.Log[] memory logs) private view returns (uint256 loss, uint256 fromReserve, uint256 fromCover) {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IPlimsoll.RealiseLoss.selector) continue;
            assertEq(logs[i].topics[1], MarketId.unwrap(id));
            assertEq(logs[i].topics[2], bytes32(uint256(uint160(address(backstop)))));
            (loss, fromReserve,, fromCover) = abi.decode(logs[i].data, (uint256, uint256, uint256, uint256));
        }
    }

    /// @notice Reserve, cover, suppliers, in this order, each to its end before the next; nobody but the token and the
    /// oracle is called.
    function testFuzz_H7_reserveThenCoverThenSuppliers(uint256 debt, bool emptyReserve) public {
        vm.prank(OWNER);
        plimsoll.setFee(params, emptyReserve ? 0 : 2_500);
        supply(LENDER, 100_000e6);
        openLoan(BORROWER, 100e18, 90_000e6);
        skip(180 days);
        plimsoll.accrue(params);

        debt = bound(debt, MIN_DEBT, 100_000e6);
        address borrower = makeAddr("bad");
        supply(LENDER, debt);
        openLoan(borrower, debt * WAD / 1_500e6, debt);
        Market memory m = plimsoll.market(id);
        uint256 reserve = m.reserveShares * (m.supplyAssets + 1) / (m.supplyShares + 1e6);
        uint256 atRisk = cover() - coverFloor();
        uint256 covered = cover();

        oracle.set(PRICE / 1_000);
        vm.recordLogs();
        vm.startStateDiffRecording();
        liquidate(borrower, type(uint128).max);
        _assertNoCallToTheBackstop();
        (uint256 loss, uint256 fromReserve, uint256 fromCover) = _lossOf(vm.getRecordedLogs());

        assertGt(loss, 0);
        assertEq(fromReserve, loss < reserve ? loss : reserve);
        uint256 left = loss - fromReserve;
        assertEq(fromCover, left < atRisk ? left : atRisk);
        assertEq(cover(), covered - fromCover);
        assertEq(vault.totalAssets(), cover());
        assertEq(plimsoll.market(id).supplyAssets, m.supplyAssets - (loss - fromCover));
    }

    function _assertNoCallToTheBackstop() private {
        Vm.AccountAccess[] memory accesses = vm.stopAndReturnStateDiff();
        for (uint256 i; i < accesses.length; ++i) {
            assertTrue(accesses[i].account != address(backstop));
        }
    }

    function test_H7_aMarketUsesNoMoreThanItsLimitOverAllLosses() public {
        setLimit(id, 1_000e6);
        realiseLoss(600e6);
        uint256 left = backstop.limit(id);
        assertEq(cover(), DEPOSIT - (1_000e6 - left));
        realiseLoss(600e6);
        assertEq(cover(), DEPOSIT - 1_000e6);
        assertEq(backstop.limit(id), 0);
        realiseLoss(600e6);
        assertEq(cover(), DEPOSIT - 1_000e6);
    }

    /* MARKETS THAT IT DID NOT CHOOSE */

    /// @dev An attacker's own market with the vault's asset, its own collateral and its own oracle, and in it the
    /// attacker as lender and as borrower of a loan whose collateral is worth nothing.
    function _ownMarketWithBadDebt(uint256 debt) private returns (MarketParams memory own) {
        own = params;
        TestOracle ownOracle = new TestOracle(PRICE);
        TestToken ownCollateral = new TestToken("NIL", 18);
        own.oracle = address(ownOracle);
        own.collateralToken = address(ownCollateral);

        give(loanToken, STRANGER, debt);
        give(ownCollateral, STRANGER, debt * WAD);
        vm.startPrank(STRANGER);
        plimsoll.createMarket(own);
        plimsoll.supply(own, debt, 0, STRANGER, "");
        plimsoll.supplyCollateral(own, debt * WAD / 1_500e6, STRANGER, "");
        plimsoll.borrow(own, debt, 0, STRANGER, STRANGER);
        vm.stopPrank();
        ownOracle.set(1);
    }

    /// @param asked the backstop of which the core asks cover
    function _liquidateOwn(MarketParams memory own, address asked) private {
        address[] memory borrowers = new address[](1);
        borrowers[0] = STRANGER;
        give(loanToken, LIQUIDATOR, 1);
        vm.expectEmit(true, true, false, false, address(plimsoll));
        emit IPlimsoll.RealiseLoss(_idOf(own), asked, 0, 0, 0, 0);
        vm.prank(LIQUIDATOR);
        plimsoll.liquidate(own, borrowers, type(uint128).max, 0, LIQUIDATOR, "");
    }

    function test_I3_anAttackersOwnMarketCannotMakeItPay() public {
        MarketParams memory own = _ownMarketWithBadDebt(DEPOSIT);
        _liquidateOwn(own, address(0));
        assertEq(cover(), DEPOSIT);
    }

    function test_I3_theOwnersChoiceAloneDoesNotMakeItPay() public {
        MarketParams memory own = _ownMarketWithBadDebt(DEPOSIT);
        vm.prank(OWNER);
        plimsoll.setBackstop(_idOf(own), address(backstop));
        _liquidateOwn(own, address(backstop));
        assertEq(cover(), DEPOSIT);
    }

    function test_I3_theCuratorsChoiceAloneDoesNotMakeItPay() public {
        MarketParams memory own = _ownMarketWithBadDebt(DEPOSIT);
        setLimit(_idOf(own), NO_LIMIT);
        _liquidateOwn(own, address(0));
        assertEq(cover(), DEPOSIT);
    }

    function test_I3_bothChoicesTogetherDo() public {
        MarketParams memory own = _ownMarketWithBadDebt(DEPOSIT);
        setLimit(_idOf(own), NO_LIMIT);
        vm.prank(OWNER);
        plimsoll.setBackstop(_idOf(own), address(backstop));
        _liquidateOwn(own, address(backstop));
        assertEq(cover(), DEPOSIT / 100);
    }

    function test_I1_aLossInOneMarketLeavesTheOtherItsLimitButNotTheCover() public {
        MarketParams memory own = _ownMarketWithBadDebt(DEPOSIT / 2);
        setLimit(_idOf(own), NO_LIMIT);
        vm.prank(OWNER);
        plimsoll.setBackstop(_idOf(own), address(backstop));
        setLimit(id, DEPOSIT);
        _liquidateOwn(own, address(backstop));
        assertEq(backstop.limit(id), DEPOSIT);
        assertLt(cover(), DEPOSIT * 51 / 100);
    }

    function _idOf(MarketParams memory p) private pure returns (MarketId) {
        return MarketId.wrap(keccak256(abi.encode(p)));
    }

    /* THE CORE ALONE SLASHES */

    function test_R6_nobodyElseMovesItsCover() public {
        vm.startPrank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientCover.selector, 1, 0));
        plimsoll.withdrawCover(address(loanToken), 1, STRANGER);
        plimsoll.setCoverFloor(address(loanToken), 0);
        plimsoll.setCoverLimit(id, 0);
        vm.stopPrank();
        assertEq(cover(), DEPOSIT);
        assertEq(coverFloor(), DEPOSIT / 100);
        assertEq(backstop.limit(id), NO_LIMIT);
    }

    /* THE REMNANT */

    /// @notice A crash makes many losses, each larger than the cover: a part of what was put in stays, not a part of a
    /// part of a part.
    function test_R6_manyTotalLossesLeaveAHundredth() public {
        for (uint256 i; i < 5; ++i) {
            realiseLoss(2 * DEPOSIT);
            assertEq(cover(), DEPOSIT / 100);
        }
    }

    function testFuzz_R6_theFloorIsAHundredthOfDepositsRoundedUp(uint256 first, uint256 second) public {
        first = bound(first, 1, DEPOSIT);
        second = bound(second, 1, DEPOSIT);
        deposit(BOB, first);
        deposit(CAROL, second);
        realiseLoss(4 * DEPOSIT);
        assertEq(cover(), DEPOSIT / 100 + (first + 99) / 100 + (second + 99) / 100);
    }

    /// @notice A redemption lowers the floor by the part of the redeemed shares, and by no more.
    function testFuzz_R6_theFloorFallsWithTheCoverWhenPeopleLeave(uint256 shares) public {
        deposit(BOB, DEPOSIT);
        shares = bound(shares, 1, vault.balanceOf(ALICE));
        openWindow(ALICE, shares);
        uint256 coverBefore = cover();
        uint256 floorBefore = coverFloor();
        redeem(ALICE, shares);
        assertGe(coverFloor() * coverBefore, floorBefore * cover());
        assertLt(coverFloor() * coverBefore, floorBefore * cover() + coverBefore);
    }

    /// @notice After a total loss a newcomer pays what the remnant is worth: neither gets the old ones' part, nor pays
    /// for their loss.
    function testFuzz_R6_afterATotalLossANewDepositIsWorthWhatWasPaid(uint256 losses, uint256 assets) public {
        losses = bound(losses, 1, 4);
        assets = bound(assets, 1, 10 * DEPOSIT);
        for (uint256 i; i < losses; ++i) {
            realiseLoss(2 * DEPOSIT);
        }
        uint256 oldWorth = worth(ALICE);
        deposit(BOB, assets);
        assertApproxEqAbs(worth(BOB), assets, 1);
        assertLe(worth(BOB), assets);
        assertApproxEqAbs(worth(ALICE), oldWorth, 1);
        assertGe(worth(ALICE), oldWorth);
    }

    /// @notice The first unit after a total loss does not buy the income that follows.
    function test_R6_afterATotalLossIncomeIsNotSoldForAUnit() public {
        realiseLoss(2 * DEPOSIT);
        deposit(BOB, 1);
        addIncome(1_000e6);
        assertLe(worth(BOB), 11);
        assertGt(worth(ALICE), 1_000e6);
    }

    /// @notice Emptied and filled again ten times over, the vault still takes deposits, prices them fairly, and covers.
    function test_R6_theVaultOutlivesTenTotalLosses() public {
        for (uint256 i; i < 10; ++i) {
            deposit(BOB, DEPOSIT);
            assertApproxEqAbs(vault.convertToAssets(vault.previewDeposit(DEPOSIT)), DEPOSIT, 1);
            uint256 before = cover();
            realiseLoss(100 * DEPOSIT);
            assertEq(cover(), coverFloor());
            assertLt(cover(), before / 5);
        }
        assertGt(vault.maxDeposit(BOB), type(uint128).max / 2);
    }

    /// @notice The last to leave after a total loss takes the remnant; nothing fails on the way.
    function test_R6_allCanLeaveAfterATotalLoss() public {
        uint256 shares = deposit(BOB, 3 * DEPOSIT);
        realiseLoss(10 * DEPOSIT);
        openWindow(ALICE, vault.balanceOf(ALICE));
        startCooldown(BOB, shares);
        redeem(ALICE, vault.balanceOf(ALICE));
        skip(COOLDOWN);
        redeem(BOB, shares);
        assertEq(vault.totalSupply(), 0);
        assertApproxEqAbs(loanToken.balanceOf(ALICE), DEPOSIT / 100, 1);
        assertApproxEqAbs(loanToken.balanceOf(BOB), 3 * DEPOSIT / 100, 1);
        assertLe(cover(), 1);
    }
}
