// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILens} from "plimsoll/interfaces/ILens.sol";
import {ILiquidator} from "plimsoll/interfaces/ILiquidator.sol";
import {ExchangeTest} from "./ExchangeTest.sol";

/// @notice Fixture of the liquidator's tests: the real liquidator over core and pool, and a keeper without tokens.
abstract contract LiquidatorTest is ExchangeTest {
    address internal immutable KEEPER = makeAddr("keeper");
    address internal immutable TREASURY = makeAddr("treasury");

    ILiquidator internal liquidator;
    ILens internal lens;

    function setUp() public virtual override {
        super.setUp();
        liquidator = ILiquidator(deployCode("Liquidator.sol:Liquidator", abi.encode(plimsoll, swappers())));
        lens = ILens(deployCode("Lens.sol:Lens", abi.encode(plimsoll)));
    }

    /// @notice All of these loans, profit in the loan token, no further wishes.
    function liquidationOf(address[] memory borrowers)
        internal
        view
        returns (ILiquidator.Liquidation memory liquidation)
    {
        liquidation.params = params;
        liquidation.borrowers = borrowers;
        liquidation.maxRepay = type(uint256).max;
        liquidation.swapper = address(swapper);
        liquidation.route = routeToLoan();
        liquidation.receiver = TREASURY;
        liquidation.deadline = vm.getBlockTimestamp();
    }

    function run(ILiquidator.Liquidation memory liquidation) internal returns (ILiquidator.Outcome memory) {
        vm.prank(KEEPER);
        return liquidator.liquidate(liquidation);
    }

    function listOf(address account) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = account;
    }

    /// @notice Loans of 8,000 against 5 ETH each: health 1.075 at 2,000.
    function openLoans(uint256 count) internal returns (address[] memory borrowers) {
        borrowers = new address[](count);
        for (uint256 i; i < count; ++i) {
            borrowers[i] = makeAddr(string.concat("borrower", vm.toString(i)));
            openLoan(borrowers[i], eth(5), usd(8_000));
        }
    }
}
