// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {toRateCurve} from "plimsoll/types/RateCurve.sol";
import {CoreTest} from "../support/CoreTest.sol";

/// @notice Actions in a market without other users must not harm later users.
contract EmptyMarketAttackTest is CoreTest {
    /// @dev One cycle pays the unit by which the repayment of a single share is rounded up. Where that unit went from
    /// the market's debt, the price of a share halved each time, and after some 80 cycles an ordinary loan had more
    /// shares than 128 bits hold: nobody could borrow in that market ever again.
    function test_attack03_borrowSharesOfAnEmptyMarketCannotBeMadeWorthless() public {
        supply(LENDER, 1_000_000e6);
        supplyCollateral(STRANGER, 1e18);
        give(loanToken, STRANGER, 1e6);
        vm.startPrank(STRANGER);
        for (uint256 cycle; cycle < 100; ++cycle) {
            plimsoll.borrow(params, MIN_DEBT, 0, STRANGER, STRANGER);
            plimsoll.repay(params, debtOf(STRANGER) - 2, 0, STRANGER, "");
            plimsoll.repay(params, 0, 1, STRANGER, "");
        }
        vm.stopPrank();

        openLoan(BORROWER, 1e18, 1_000e6);
        Market memory m = plimsoll.market(id);
        assertLe(m.borrowShares, m.borrowAssets * 1e6, "a share is worth less than the millionth that it began with");
    }

    /// @dev Borrowing by shares gives whole units for them; taking on the fraction that gives nothing lowers the price
    /// of all shares, at no cost to a lone borrower.
    function test_attack03_borrowingByFractionsOfAUnitDoesNotLowerThePriceOfAShare() public {
        supply(LENDER, 1_000_000e6);
        openLoan(STRANGER, 1e18, MIN_DEBT);
        Market memory m = plimsoll.market(id);
        vm.prank(STRANGER);
        (uint256 assets, uint256 shares) = plimsoll.borrow(params, 0, 2e6 - 1, STRANGER, STRANGER);

        assertEq(assets, 1, "a whole unit");
        assertEq(shares, 1e6, "and the shares that it stands for");
        assertEq(plimsoll.market(id).borrowShares, m.borrowShares + 1e6, "no more shares than that");
    }

    /// @dev The attacker keeps a dust of supply and a debt that nobody owes (in the shape of virtual shares, if there
    /// were any), lets its interest compound at the highest rate for two years, and takes a later supplier's tokens for
    /// the claim that grew.
    function test_attack02_supplyOfAnAbandonedMarketDoesNotGrowByInterestThatNobodyOwes() public {
        params.curve = toRateCurve(uint40(2e18 / uint256(365 days)), 100, 100_000, 2_000_000);
        id = plimsoll.createMarket(params);
        supply(STRANGER, MIN_DEBT);
        openLoan(STRANGER, 1e18, MIN_DEBT);
        _passWeeks(4);
        give(loanToken, STRANGER, 10 * MIN_DEBT);
        vm.prank(STRANGER);
        plimsoll.repay(params, 0, type(uint256).max, STRANGER, "");
        uint256 allButAUnitsWorth = plimsoll.market(id).supplyShares - 1e6;
        vm.prank(STRANGER);
        plimsoll.withdraw(params, 0, allButAUnitsWorth, STRANGER, STRANGER);
        uint256 claimBefore = suppliedBy(STRANGER);

        _passWeeks(104);

        assertEq(plimsoll.market(id).borrowAssets, 0, "nobody owes anything");
        assertEq(suppliedBy(STRANGER), claimBefore, "so nothing is earned");
        supply(LENDER, 1_000e6);
        vm.prank(STRANGER);
        plimsoll.withdraw(params, 0, 1e6, STRANGER, STRANGER);
        assertApproxEqAbs(suppliedBy(LENDER), 1_000e6, 1, "a later supplier's tokens are his own");
    }

    /// @dev The debt that nobody is paid to liquidate is owed by an account of the attacker: the smallest loan is taken
    /// and repaid but for a dollar, all collateral but a dollar's and all supply but a dollar is withdrawn. A year and a
    /// half of interest at the highest rate made that a claim of 620,000 on the next lender or on the cover.
    function test_attack02_aLoanOfDustCannotBeLeftWithCollateralOfDust() public {
        _dustLoan();
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.DebtTooSmall.selector, 1e6, MIN_DEBT));
        plimsoll.withdrawCollateral(params, 1, STRANGER, STRANGER);
    }

    /// @dev What such a loan may still do: its collateral stays that of the smallest loan, so by the time that it is
    /// liquidatable it is large enough to be liquidated, and neither lender nor cover loses anything.
    function test_attack02_aLoanOfDustIsLiquidatedBeforeItHarmsAnybody() public {
        address vault = makeAddr("vault");
        give(loanToken, vault, 100_000e6);
        vm.startPrank(vault);
        plimsoll.depositCover(address(loanToken), 100_000e6);
        plimsoll.setCoverLimit(id, 50_000e6);
        vm.stopPrank();
        vm.prank(OWNER);
        plimsoll.setBackstop(id, vault);
        _dustLoan();
        uint256 debt;
        for (uint256 i; i < 200 && debt * BPS <= 140e6 * uint256(LIQUIDATION_LTV_BPS); ++i) {
            _passWeeks(1);
            debt = debtOf(STRANGER);
        }
        assertGt(debt, MIN_DEBT, "by then the debt is large again");
        (uint256 repaid,) = liquidate(STRANGER, type(uint256).max);
        assertGt(repaid, 0);
        assertEq(plimsoll.cover(vault, address(loanToken)), 100_000e6, "the cover paid interest that nobody earned");
    }

    function _dustLoan() private {
        supply(STRANGER, MIN_DEBT);
        openLoan(STRANGER, 0.07e18, MIN_DEBT);
        give(loanToken, STRANGER, MIN_DEBT);
        vm.startPrank(STRANGER);
        plimsoll.repay(params, MIN_DEBT - 1e6, 0, STRANGER, "");
        plimsoll.withdraw(params, MIN_DEBT - 1e6, 0, STRANGER, STRANGER);
        vm.stopPrank();
    }

    /// @dev The attacker leaves a debt of one share, which grows very large by years of interest at the highest rate in
    /// an abandoned market. A later borrower of less would owe a whole such share: half of the attacker's debt.
    function test_attack02_aSingleShareOfDebtCannotGrowIntoMoreThanOthersBorrow() public {
        params.curve = toRateCurve(uint40(2e18 / uint256(365 days)), 100, 100_000, 2_000_000);
        id = plimsoll.createMarket(params);
        supply(STRANGER, MIN_DEBT);
        openLoan(STRANGER, 1_000e18, MIN_DEBT);
        uint256 allButOne = plimsoll.position(id, STRANGER).borrowShares - 1;
        give(loanToken, STRANGER, MIN_DEBT);
        vm.prank(STRANGER);
        plimsoll.repay(params, 0, allButOne, STRANGER, "");
        uint256 allButAUnitsWorth = plimsoll.market(id).supplyShares - 1e6;
        vm.prank(STRANGER);
        plimsoll.withdraw(params, 0, allButAUnitsWorth, STRANGER, STRANGER);
        _passWeeks(104);

        assertGt(debtOf(STRANGER), 1_000_000e6, "years of interest");

        supply(LENDER, 1_000_000e6);
        supplyCollateral(BORROWER, 1_000e18);
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, MIN_DEBT));
        plimsoll.borrow(params, MIN_DEBT, 0, BORROWER, BORROWER);
    }

    /// @dev Where a share is worth many units, a repayment of exactly the most that may be repaid in part takes what it
    /// was asked to, as any other does: it is not lowered to the value of those shares.
    function test_theMostInPartIsRepaidByTheAssetsGiven() public {
        params.curve = toRateCurve(uint40(2e18 / uint256(365 days)), 100, 100_000, 2_000_000);
        id = plimsoll.createMarket(params);
        supply(STRANGER, MIN_DEBT);
        openLoan(STRANGER, 1_000e18, MIN_DEBT);
        uint256 allButAFew = plimsoll.position(id, STRANGER).borrowShares - 1e6 - 10;
        give(loanToken, STRANGER, type(uint96).max);
        vm.startPrank(STRANGER);
        plimsoll.repay(params, 0, allButAFew, STRANGER, "");
        plimsoll.withdraw(params, MIN_DEBT - 2, 0, STRANGER, STRANGER);
        vm.stopPrank();
        _passWeeks(104);
        Market memory m = plimsoll.market(id);
        uint256 sharePrice = m.borrowAssets / m.borrowShares;
        assertGt(sharePrice, 10);

        uint256 asked = 10 * sharePrice + 10 + sharePrice / 2;
        vm.prank(STRANGER);
        (uint256 assets, uint256 shares) = plimsoll.repay(params, asked, 0, STRANGER, "");
        assertEq(shares, 10);
        assertEq(assets, asked);
        assertEq(plimsoll.position(id, STRANGER).borrowShares, 1e6);
    }

    /// @dev In a new market the same attempt fails: a partial repayment leaves a million shares.
    function test_attack02_aRepaymentInPartLeavesSharesThatOthersCanBorrowBeside() public {
        supply(LENDER, 1_000_000e6);
        openLoan(STRANGER, 1e18, MIN_DEBT);
        uint256 allButOne = plimsoll.position(id, STRANGER).borrowShares - 1;
        give(loanToken, STRANGER, MIN_DEBT);
        vm.prank(STRANGER);
        plimsoll.repay(params, 0, allButOne, STRANGER, "");

        assertEq(plimsoll.position(id, STRANGER).borrowShares, 1e6);
        assertEq(debtOf(STRANGER), 1);
        openLoan(BORROWER, 1e18, MIN_DEBT);
        assertEq(debtOf(BORROWER), MIN_DEBT);
    }

    /// @dev Premiums of flash loans, paid into an index over a dust of supply, made others' deposits round to nothing.
    function test_attack02_flashLoansOfADustSupplyMoveNoIndex() public {
        supply(STRANGER, 1);
        Market memory m = plimsoll.market(id);
        loanToken.approve(address(plimsoll), type(uint256).max);
        for (uint256 i; i < 100; ++i) {
            plimsoll.flashLoan(address(this), address(loanToken), 1, "");
        }
        assertEq(abi.encode(plimsoll.market(id)), abi.encode(m));
        assertEq(plimsoll.flashFee(address(loanToken), type(uint256).max), 0);
    }

    function onFlashLoan(address, address, uint256, uint256, bytes calldata) external pure returns (bytes32) {
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }

    function _passWeeks(uint256 weekCount) internal {
        for (uint256 i; i < weekCount; ++i) {
            skip(7 days);
            plimsoll.accrue(params);
        }
    }
}
