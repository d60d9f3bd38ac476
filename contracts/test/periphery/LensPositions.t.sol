// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILens} from "plimsoll/interfaces/ILens.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Position} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {LensStateTest} from "./LensStateTest.sol";

/// @notice The lens's results for positions are those of the core: each is compared with the real contract.
contract LensPositionsTest is LensStateTest {
    function test_aPositionAsTheCoreHasIt(uint256 elapsed) public {
        openLoan(BORROWER, 500e18, 700_000e6);
        skip(bound(elapsed, 0, 365 days));
        ILens.PositionLine memory line = positionLine(BORROWER);
        Position memory p = plimsoll.position(id, BORROWER);
        assertEq(line.account, BORROWER);
        assertEq(line.borrowShares, p.borrowShares);
        assertEq(line.collateral, p.collateral);
        assertEq(line.collateralValue, 1_000_000e6);
        assertEq(positionLine(LENDER).supplyShares, plimsoll.position(id, LENDER).supplyShares);

        // Debt and supply are measured by repaying and withdrawing them.
        uint256 supplied = positionLine(LENDER).supplyAssets;
        give(loanToken, STRANGER, type(uint128).max);
        vm.prank(STRANGER);
        (uint256 repaid,) = plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertEq(repaid, line.debt);
        vm.startPrank(LENDER);
        (uint256 withdrawn,) = plimsoll.withdraw(params, 0, plimsoll.position(id, LENDER).supplyShares, LENDER, LENDER);
        vm.stopPrank();
        assertEq(withdrawn, supplied);
    }

    /// @dev Health is below 1 exactly where the core liquidates, and the waterline is the highest such price.
    function test_theCoreLiquidatesFromTheWaterlineOn(uint256 collateral, uint256 debt, uint256 elapsed) public {
        debt = bound(debt, MIN_DEBT, 1_000_000e6);
        uint256 needed = debt * ORACLE_SCALE * BPS / PRICE / BORROW_LTV_BPS + 1e12;
        collateral = bound(collateral, needed, needed * 1_000);
        openLoan(BORROWER, collateral, debt);
        skip(bound(elapsed, 0, 30 days));
        assertLiquidatedFromTheWaterlineOn(BORROWER);
    }

    /// @dev From deeply insolvent to just liquidatable and just healthy.
    function test_theCoreDoesWhatTheLensSaid(uint256 debt, uint256 health, uint256 elapsed) public {
        debt = bound(debt, MIN_DEBT, 1_000_000e6);
        openLoan(BORROWER, debt * ORACLE_SCALE * BPS / PRICE / BORROW_LTV_BPS + 1e12, debt);
        skip(bound(elapsed, 0, 30 days));
        oracle.set(priceAtHealth(BORROWER, bound(health, 0.05e18, 1.01e18)));
        ILens.LiquidationLine memory line = liquidationLine(BORROWER);
        assertEq(line.debt, debtOf(BORROWER));
        assertEq(line.liquidatable, positionLine(BORROWER).health < WAD);
        if (!line.liquidatable) {
            assertEq(line.maxRepay + line.incentiveFactor + line.seized + line.badDebt, 0);
            vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
            this.liquidateFully(BORROWER);
            return;
        }
        assertDone(line);
    }

    /// @dev A loan without collateral is written off, and so is one whose collateral is dust.
    function test_aWriteOffIsForeseen() public {
        openLoan(BORROWER, 1e18, 1_500e6);
        oracle.set(1);
        ILens.LiquidationLine memory line = liquidationLine(BORROWER);
        assertTrue(line.liquidatable);
        assertEq(line.maxRepay, 0);
        assertEq(line.incentiveFactor, 0);
        assertEq(line.seized, 1e18);
        assertEq(line.badDebt, 1_500e6);
        assertDone(line);
        assertEq(positionLine(BORROWER).waterlinePrice, 0);
    }

    function test_incentiveAndHealthInPlainNumbers() public {
        // 1,600 owed against 2,000: health 1.075. At 1,800 it is 0.9675, on the ramp.
        openLoan(BORROWER, 1e18, 1_600e6);
        assertEq(positionLine(BORROWER).health, 1.075e18);
        // 1,600 ÷ 0.86 = 1,860.465…
        assertApproxEqRel(positionLine(BORROWER).waterlinePrice, 1_860.465e6 * 1e18, 1e-6 * 1e18);
        oracle.set(1_800e6 * 1e18);
        ILens.LiquidationLine memory line = liquidationLine(BORROWER);
        assertGt(line.incentiveFactor, 1.01e18);
        assertLt(line.incentiveFactor, 1.05e18);
        assertApproxEqRel(line.seized * 1_800e6 / 1e18, line.maxRepay * line.incentiveFactor / WAD, 1e12);
        // In the breakeven zone all the collateral goes for all the debt: 1,640 for 1,600.
        oracle.set(1_640e6 * 1e18);
        line = liquidationLine(BORROWER);
        assertEq(line.incentiveFactor, 1.025e18);
        assertEq(line.maxRepay, 1_600e6);
        assertEq(line.badDebt, 0);
    }

    function test_withoutDebtThereIsNoWaterline() public {
        supplyCollateral(BORROWER, 1e18);
        ILens.PositionLine memory line = positionLine(BORROWER);
        assertEq(line.health, type(uint256).max);
        assertEq(line.waterlinePrice, 0);
        assertEq(line.collateralValue, 2_000e6);
        assertFalse(liquidationLine(BORROWER).liquidatable);
    }

    /// @dev L1, L3: without a price what does not need one is still there, and nothing counts as healthy.
    function test_withoutAPriceTheWaterlineIsStillThere() public {
        openLoan(BORROWER, 1e18, 1_600e6);
        ILens.PositionLine memory before = positionLine(BORROWER);
        oracle.setBroken(true);
        ILens.Positions memory answer = lens.positions(id, listOf(BORROWER));
        assertTrue(answer.liquidationPrice.status == ILens.PriceStatus.Reverted);
        assertEq(answer.lines[0].health, 0);
        assertEq(answer.lines[0].collateralValue, 0);
        assertEq(answer.lines[0].debt, before.debt);
        assertEq(answer.lines[0].waterlinePrice, before.waterlinePrice);

        ILens.Liquidations memory liquidations = lens.liquidatable(id, listOf(BORROWER));
        assertTrue(liquidations.liquidationPrice.status == ILens.PriceStatus.Reverted);
        assertFalse(liquidations.lines[0].liquidatable);
        assertEq(liquidations.lines[0].debt, before.debt);
    }

    /// @dev L3
    function test_anUnknownMarketGivesEmptyLines(bytes32 unknown, address account) public view {
        vm.assume(unknown != MarketId.unwrap(id));
        ILens.Positions memory held = lens.positions(MarketId.wrap(unknown), listOf(account));
        ILens.Liquidations memory liquidations = lens.liquidatable(MarketId.wrap(unknown), listOf(account));
        ILens.PositionLine memory emptyPosition;
        emptyPosition.account = account;
        ILens.LiquidationLine memory emptyLiquidation;
        emptyLiquidation.account = account;
        assertEq(keccak256(abi.encode(held.lines[0])), keccak256(abi.encode(emptyPosition)));
        assertEq(keccak256(abi.encode(liquidations.lines[0])), keccak256(abi.encode(emptyLiquidation)));
        bytes32 noReading = keccak256(abi.encode(ILens.PriceReading(ILens.PriceStatus.Ok, 0, 0)));
        assertEq(keccak256(abi.encode(held.liquidationPrice)), noReading);
        assertEq(keccak256(abi.encode(held.borrowPrice)), noReading);
        assertEq(keccak256(abi.encode(liquidations.liquidationPrice)), noReading);
    }

    /// @dev L3: what the lens says can be borrowed can be, and hardly more: by the collateral at the borrow price, the
    /// liquidity and the surge limit, whichever is the least.
    function test_maxBorrowIsWhatTheCoreLends(uint256 collateral, uint256 supplied, uint256 elapsed, uint256 price)
        public
    {
        params.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT).withSurgeLimit(2_000, 1 days, 5_000);
        id = plimsoll.createMarket(params);
        supply(LENDER, bound(supplied, 200_000e6, 2_000_000e6));
        openLoan(STRANGER, 1_000e18, 200_000e6);
        supplyCollateral(BORROWER, bound(collateral, 0.01e18, 1_000e18));
        skip(bound(elapsed, 0, 2 days));
        oracle.setBoth(PRICE, bound(price, PRICE / 3, PRICE));
        uint256 most = positionLine(BORROWER).maxBorrow;
        vm.startPrank(BORROWER);
        vm.expectRevert();
        plimsoll.borrow(params, most < MIN_DEBT ? MIN_DEBT + 4 : most + 4, 0, BORROWER, BORROWER);
        if (most != 0) plimsoll.borrow(params, most, 0, BORROWER, BORROWER);
        vm.stopPrank();
        assertLt(positionLine(BORROWER).maxBorrow, 4);

        oracle.setBroken(true);
        assertEq(positionLine(BORROWER).maxBorrow, 0, "without a borrow price");
    }

    /// @dev L3: the core refuses a loan whose shares exceed 128 bits, which the price of the supply's shares, once it has
    /// grown, no longer excludes: a market without debt starts again at the lowest price of a share of debt.
    function test_L3_maxBorrowIsNotMoreThanTheSharesThatTheCoreStores() public {
        params.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT + 1);
        id = plimsoll.createMarket(params);
        oracle.set(ORACLE_SCALE);
        supply(LENDER, 3e32);
        openLoan(STRANGER, 1e38, 3e32);
        skip(365 days);
        give(loanToken, STRANGER, type(uint128).max);
        vm.prank(STRANGER);
        plimsoll.repay(params, 0, type(uint256).max, STRANGER, "");
        supplyCollateral(BORROWER, 1e38);

        uint256 most = positionLine(BORROWER).maxBorrow;
        vm.startPrank(BORROWER);
        vm.expectPartialRevert(IPlimsoll.AmountTooLarge.selector);
        plimsoll.borrow(params, most + 1, 0, BORROWER, BORROWER);
        plimsoll.borrow(params, most, 0, BORROWER, BORROWER);
        vm.stopPrank();
        assertEq(positionLine(BORROWER).maxBorrow, 0);
    }

    /// @dev L3: whatever the core could hold, at any price. The storage is written, since no one call leads there.
    function test_noStateMakesTheLensRevert(
        uint128[7] memory amounts,
        uint256 price,
        uint40 rate,
        uint16 feeBps,
        uint40 elapsed
    ) public {
        openLoan(BORROWER, 1e18, 1_500e6);
        for (uint256 i = 2; i < 5; ++i) {
            amounts[i] = uint128(bound(amounts[i], 0, MOST_SHARES));
        }
        // As in every state that can be reached, a share of debt is worth a millionth of a unit at least, and nobody
        // has more shares than there are.
        amounts[1] = uint128(bound(amounts[1], (uint256(amounts[3]) + 1e6 - 1) / 1e6, type(uint128).max));
        if (amounts[0] < amounts[1]) amounts[0] = amounts[1];
        amounts[5] = uint128(bound(amounts[5], 0, amounts[3]));
        overwriteMarket(amounts, uint40(bound(rate, 1, 2e18 / uint256(365 days))), uint16(bound(feeBps, 0, 2_500)));
        overwritePosition(BORROWER, amounts[5], amounts[6]);
        oracle.set(price);
        skip(elapsed % (200 * 365 days));
        marketLine(id);
        positionLine(BORROWER);
        liquidationLine(BORROWER);
    }

    /// @dev L3
    function test_theLargestAmountsDoNotMakeTheLensRevert() public {
        openLoan(BORROWER, 1e18, 1_500e6);
        uint128 most = type(uint128).max;
        overwriteMarket([most, most, MOST_SHARES, MOST_SHARES, MOST_SHARES, 0, 0], START_RATE, 2_500);
        overwritePosition(BORROWER, MOST_SHARES, most);
        skip(10 * 365 days);
        uint256[3] memory prices = [uint256(1), ORACLE_SCALE, type(uint256).max];
        for (uint256 i; i < prices.length; ++i) {
            oracle.set(prices[i]);
            marketLine(id);
            positionLine(BORROWER);
            liquidationLine(BORROWER);
        }
        // No price is high enough for such a debt, and the core agrees.
        assertEq(positionLine(BORROWER).waterlinePrice, type(uint256).max);
    }
}
