// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title The attacks that emptied other vaults, and those that this one's design answers.
contract VaultAttacksTest is VaultFixture {
    function setUp() public override {
        super.setUp();
        deposit(ALICE, 600_000e6);
        deposit(BOB, 400_000e6);
        skip(1);
    }

    /* THE FOUR THAT EMPTIED OTHERS */

    /// @notice A stranger supplies on the vault's behalf: the position grows, the price does not.
    function test_V1_aSupplyOnTheVaultsBehalfMovesNothing() public {
        uint256 before = shares.totalAssets();
        uint256 countedBefore = counted(0);
        give(loanToken, STRANGER, 5_000_000e6);
        vm.prank(STRANGER);
        plimsoll.supply(markets[0], 5_000_000e6, 0, address(vault), "");
        skip(1);
        vault.accrue();
        assertEq(shares.totalAssets(), before);
        assertEq(counted(0), countedBefore);
        // Nor can a redemption reach it.
        redeemInKind(ALICE, shares.balanceOf(ALICE));
        redeem(BOB, shares.balanceOf(BOB));
        assertLe(wealth(ALICE), 600_000e6);
        assertLe(wealth(BOB), 401_000e6);
        assertBacked();
    }

    /// @notice The first depositor and a donation of tokens or of core shares, with one unit of shares.
    function test_attack01_firstDepositorAndDonation() public {
        vault = newVault(defaultSetup());
        shares = IERC4626(address(vault));
        uint256 got = deposit(CAROL, 1);
        loanToken.mint(address(vault), 1_000_000e6);
        give(loanToken, CAROL, 1_000_000e6);
        vm.prank(CAROL);
        plimsoll.supply(markets[0], 1_000_000e6, 0, address(vault), "");
        skip(1);
        deposit(BOB, 1_000e6);
        assertApproxEqAbs(worth(BOB), 1_000e6, 1);
        assertEq(redeem(CAROL, got), 1);
    }

    /// @notice A dead market pays interest on paper: the price rises by the maximum rate at most (V4), whoever leaves
    /// takes no more than that, and its loss is everybody's.
    function test_V4_interestThatNobodyPaysRaisesThePriceByTheMaximumRate() public {
        move(0, 1, 50_000e6);
        exhaust(1);
        oracles[1].setBroken(true);
        // At 100 % utilisation the rate doubles in little more than a day.
        for (uint256 n; n < 12; ++n) {
            skip(30 days);
            uint256 before = shares.convertToAssets(1e18);
            vault.accrue();
            uint256 last = vault.state().lastTotal;
            assertLe(shares.convertToAssets(1e18), before);
            assertLe(last, 1_000_000e6 + uint256(400_000e6) * (n + 1) * 30 / 365, "V4");
        }
        uint256 real = idle() + valueIn(0) + valueIn(1);
        assertGt(real, shares.totalAssets(), "the rest is not recognised");
        assertBacked();
    }

    /// @notice A realised loss is everybody's at once: in the transaction after it nobody leaves at the old price.
    function test_V3_nobodyLeavesBehindALossAtTheOldPrice() public {
        address borrower = takeLoan(0, 500_000e6);
        realiseLoss(0, borrower);
        uint256 lost = 1_000_000e6 - shares.totalAssets();
        assertApproxEqRel(lost, 500_000e6, 0.02e18);
        uint256 got = redeem(ALICE, shares.balanceOf(ALICE));
        assertApproxEqAbs(got, 600_000e6 - lost * 6 / 10, 2);
        assertApproxEqAbs(worth(BOB), 400_000e6 - lost * 4 / 10, 2);
        assertBacked();
    }

    /* AND MORE */

    /// @notice Redeem, realise a loss, deposit again, in one transaction with borrowed shares: the deposit is priced
    /// before the loss, so it loses what it avoided.
    function test_V5_aLossIsNotDodgedWithinATransaction() public {
        address borrower = takeLoan(0, 300_000e6);
        skip(1);
        uint256 before = worth(ALICE);
        // One transaction from here.
        vault.accrue();
        uint256 got = redeem(ALICE, shares.balanceOf(ALICE));
        useMarket(0);
        oracle.set(PRICE / 1_000);
        liquidate(borrower, type(uint128).max);
        vm.startPrank(ALICE);
        loanToken.approve(address(vault), got);
        shares.deposit(got, ALICE);
        vm.stopPrank();
        skip(1);
        assertLt(worth(ALICE), before * 75 / 100, "her part of the loss");
        assertApproxEqRel(worth(ALICE) * 4, worth(BOB) * 6, 1e12);
    }

    /// @notice A redemption in kind after a loss in the same transaction takes no more than its part of what is left.
    function test_V9_inKindAfterALossInTheSameTransactionPaysItsPart() public {
        address borrower = takeLoan(0, 300_000e6);
        vault.accrue();
        useMarket(0);
        oracle.set(PRICE / 1_000);
        liquidate(borrower, type(uint128).max);
        redeemInKind(ALICE, shares.balanceOf(ALICE));
        assertApproxEqRel(wealth(ALICE) * 4, valueIn(0) * 6, 0.003e18);
        assertLe(wealth(ALICE) * 4, valueIn(0) * 6);
    }

    /// @notice A gain that is not recognised yet stays: in kind pays `assets` at the real price.
    function test_V9_inKindTakesNoUnrecognisedGain() public {
        move(0, 1, 500_000e6);
        exhaust(1);
        skip(365 days);
        vault.accrue();
        skip(1);
        uint256 real = idle() + valueIn(0) + valueIn(1);
        assertGt(real, shares.totalAssets() * 11 / 10);
        uint256 mine = worth(ALICE);
        redeemInKind(ALICE, shares.balanceOf(ALICE));
        assertLe(wealth(ALICE), mine);
        // A flash deposit that leaves in kind gains nothing either.
        uint256 got = deposit(CAROL, 1_000_000e6);
        redeemInKind(CAROL, got);
        assertLe(wealth(CAROL), 1_000_000e6 * (BPS - PENALTY_BPS) / BPS + 3);
    }

    /// @notice The choice between good and bad paper is nobody's: in kind is the same part of every position.
    function test_V9_inKindIsTheSamePartOfEverything() public {
        move(0, 1, 100_000e6);
        move(0, 2, 200_000e6);
        move(0, NONE, 50_000e6);
        uint256[3] memory before;
        for (uint256 i; i < 3; ++i) {
            before[i] = counted(i);
        }
        uint256 held = shares.balanceOf(ALICE);
        redeemInKind(ALICE, held);
        for (uint256 i; i < 3; ++i) {
            uint256 got = plimsoll.position(ids[i], ALICE).supplyShares;
            assertEq(got, before[i] - counted(i));
            assertApproxEqRel(got, before[i] * 6 / 10 * (BPS - PENALTY_BPS) / BPS, 1e12);
            assertLe(got * shares.totalSupply(), before[i] * held * 2, "no more than the part");
        }
        assertApproxEqAbs(loanToken.balanceOf(ALICE), 50_000e6 * 6 / 10 * (BPS - PENALTY_BPS) / BPS, 2);
        assertBacked();
    }

    /// @notice A flash deposit and an exit in kind cost the penalty, which the others get.
    function test_V5_aFlashDepositThatLeavesInKindPaysThePenalty() public {
        uint256 before = worth(BOB);
        uint256 got = deposit(CAROL, 10_000_000e6);
        redeemInKind(CAROL, got);
        assertApproxEqAbs(wealth(CAROL), 10_000_000e6 * (BPS - PENALTY_BPS) / BPS, 5);
        skip(1);
        assertGe(worth(BOB), before);
    }

    /// @notice Cycling a deposit undoes itself: withdrawals take from the deposit market first.
    function test_aCycleOfDepositAndWithdrawalMovesNoMoneyBetweenMarkets() public {
        move(0, 1, 500_000e6);
        MarketId[] memory order = new MarketId[](1);
        order[0] = ids[1];
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(order);
        (uint256 first, uint256 second) = (valueIn(0), valueIn(1));
        for (uint256 n; n < 5; ++n) {
            uint256 got = deposit(CAROL, 400_000e6);
            redeem(CAROL, got);
        }
        assertApproxEqAbs(valueIn(0), first, 10);
        assertEq(valueIn(1), second);
    }

    /// @notice Relative caps are measured at the beginning of the transaction: a flash deposit does not lift them.
    function test_V8_aFlashDepositLiftsNoRelativeCap() public {
        vm.prank(CURATOR);
        vault.setCap(MarketId.unwrap(ids[1]), NO_CAP, 2_000);
        skip(1);
        deposit(CAROL, 9_000_000e6);
        move(0, 1, 2_000_000e6);
        assertApproxEqAbs(valueIn(1), 200_000e6, 1);
        skip(1);
        move(0, 1, 5_000_000e6);
        assertApproxEqAbs(valueIn(1), 2_000_000e6, 2);
    }

    /// @notice Rounding dust in an empty vault is a high price over the virtual shares: the mark starts again.
    function test_V11_theMarkOfAnEmptyVaultStartsAgain() public {
        takeLoan(0, 100_000e6);
        skip(100 days);
        useMarket(0);
        supply(LENDER, 1_000_000e6);
        redeem(ALICE, shares.balanceOf(ALICE));
        redeem(BOB, shares.balanceOf(BOB));
        uint256 feeShares = shares.balanceOf(FEE_RECIPIENT);
        redeem(FEE_RECIPIENT, feeShares);
        assertEq(shares.totalSupply(), 0);
        skip(1);
        vault.accrue();
        uint256 dust = shares.totalAssets();
        assertApproxEqAbs(vault.state().highWaterMark, (dust + 1) * 1e21, 1);
        deposit(ALICE, 1_000_000e6);
        skip(30 days);
        vault.accrue();
        assertGt(shares.balanceOf(FEE_RECIPIENT), 0, "gains pay a fee again");
    }

    /// @notice Also for a deposit in the transaction that emptied the vault.
    function test_V11_theMarkStartsAgainInTheSameTransaction() public {
        _emptyWithADustyPrice();
        deposit(ALICE, 1_000e6);
        _requireMarkIsThePrice();
    }

    /// @notice And for one in the same block.
    /// forge-config: default.isolate = true
    function test_V11_theMarkStartsAgainInTheSameBlock() public {
        _emptyWithADustyPrice();
        deposit(ALICE, 1_000e6);
        _requireMarkIsThePrice();
    }

    /// @dev After a gain all leave, in one block; the mark was far above the price of what is left.
    function _emptyWithADustyPrice() private {
        takeLoan(0, 900_000e6);
        skip(3 * 365 days);
        useMarket(0);
        supply(LENDER, 5_000_000e6);
        redeem(ALICE, shares.balanceOf(ALICE));
        redeem(BOB, shares.balanceOf(BOB));
        redeem(FEE_RECIPIENT, shares.balanceOf(FEE_RECIPIENT));
        assertEq(shares.totalSupply(), 0);
    }

    function _requireMarkIsThePrice() private view {
        uint256 price = (shares.totalAssets() + 1) * 1e27 / (shares.totalSupply() + 1e6);
        assertApproxEqRel(vault.state().highWaterMark, price, 1e12);
    }

    /// @notice In a market that is used up, a supply lets others out; the allocator's bound is on the state before it.
    function test_aMarketThatIsUsedUpIsSkippedNotReverted() public {
        move(0, NONE, 500_000e6);
        supplyTo(1, 100_000e6);
        exhaust(1);
        IVault.Target[] memory targets = new IVault.Target[](2);
        targets[0] = IVault.Target({id: ids[1], assets: 100_000e6, maxUtilisationBps: 9_900, minRatePerSecond: 0});
        targets[1] = IVault.Target({id: ids[2], assets: 100_000e6, maxUtilisationBps: 9_900, minRatePerSecond: 1});
        vm.prank(ALLOCATOR);
        vault.reallocate(new IVault.Source[](0), targets, 0, vm.getBlockTimestamp());
        assertEq(valueIn(1), 0, "used up");
        assertEq(valueIn(2), 0, "pays less than the bound");
        assertEq(idle(), 500_000e6);
    }

    /// @notice Small deposits and withdrawals, however many, take units from the others and no more (V12 for one leg).
    function test_V12_movingThereAndBackCostsTwoUnitsALeg() public {
        takeLoan(0, 300_000e6);
        skip(77 days);
        vault.accrue();
        skip(1);
        uint256 before = shares.totalAssets();
        uint256 real = idle() + valueIn(0) + valueIn(1);
        for (uint256 n; n < 20; ++n) {
            move(0, 1, 123_456_789 + n);
            move(1, 0, 123_456_789 + n);
        }
        assertGe(idle() + valueIn(0) + valueIn(1) + 80, real);
        skip(1);
        assertGe(shares.totalAssets() + 80, before);
        assertBacked();
    }
}
