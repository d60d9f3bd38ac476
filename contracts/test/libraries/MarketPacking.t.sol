// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {InterestMath} from "plimsoll/libraries/InterestMath.sol";
import {MarketPacking} from "plimsoll/libraries/MarketPacking.sol";
import {SurgeMath} from "plimsoll/libraries/SurgeMath.sol";
import {Market, StoredMarket, StoredPosition} from "plimsoll/types/Market.sol";
import {RateCurveLibrary} from "plimsoll/types/RateCurve.sol";

/// @title Tests of markets and positions in storage: the layout of every bit, and range checks.
contract MarketPackingTest is Test {
    using MarketPacking for StoredMarket;
    using MarketPacking for StoredPosition;

    uint256 internal constant MAX_AMOUNT = type(uint128).max;
    uint256 internal constant MAX_SHARES = MAX_AMOUNT - 1e6;
    uint256 internal constant MAX_FEE_BPS = 2_500;

    StoredMarket internal market;
    StoredPosition internal position;

    function testFuzz_market(Market memory m) public {
        m = fitting(m);
        market.store(m);
        assertEq(market.supply, uint256(bytes32(abi.encodePacked(uint128(m.supplyAssets), uint128(m.supplyShares)))));
        assertEq(market.borrow, uint256(bytes32(abi.encodePacked(uint128(m.borrowAssets), uint128(m.borrowShares)))));
        uint256 rest = m.lastUpdate * 2 ** 222 + m.feeBps * 2 ** 210 + m.rateAtTarget * 2 ** 174 + m.interestRemainder
            * 2 ** 142 + m.surgeLevel * 2 ** 114 + m.reserveShares;
        assertEq(market.rest, rest);

        Market memory loaded;
        market.loadInto(loaded);
        assertEq(abi.encode(loaded), abi.encode(m));
        assertEq(market.exists(), rest != 0);
    }

    /// @dev The bounds on a fee and on a rate, of which the layout leaves no check.
    function test_everyFieldThatIsNotCheckedFits() public pure {
        assertLt(RateCurveLibrary.MAX_RATE_AT_TARGET, 2 ** 36);
        assertLt(MAX_FEE_BPS, 2 ** 12);
        assertEq(SurgeMath.FULL, 2 ** 28 - 1);
        assertEq(InterestMath.MAX_RESERVE_SHARES, 2 ** 114 - 1);
    }

    /// @dev Loading overwrites whatever was in the struct.
    function testFuzz_loadIntoLeavesNothingOfBefore(Market memory before) public view {
        market.loadInto(before);
        Market memory empty;
        assertEq(abi.encode(before), abi.encode(empty));
        assertFalse(market.exists());
    }

    function testFuzz_marketTooLarge(Market memory m, uint256 word, uint256 amount) public {
        m = fitting(m);
        word = bound(word, 0, 3);
        amount = bound(amount, word == 1 ? MAX_SHARES + 1 : MAX_AMOUNT + 1, type(uint256).max);
        if (word == 0) m.supplyAssets = amount;
        if (word == 1) m.supplyShares = amount;
        if (word == 2) m.borrowAssets = amount;
        if (word == 3) m.borrowShares = amount;
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, amount));
        this.storeMarket(m);
    }

    function storeMarket(Market memory m) external {
        market.store(m);
    }

    function testFuzz_position(uint128 borrowShares, uint128 collateral, uint256 supplyShares) public {
        position.supplyShares = supplyShares;
        position.storeDebt(borrowShares, collateral);
        assertEq(position.debt, uint256(bytes32(abi.encodePacked(borrowShares, collateral))));
        assertEq(position.supplyShares, supplyShares);
        (uint256 gotShares, uint256 gotCollateral) = position.loadDebt();
        assertEq(gotShares, borrowShares);
        assertEq(gotCollateral, collateral);
    }

    function testFuzz_positionTooLarge(uint256 amount, uint128 other) public {
        amount = bound(amount, MAX_AMOUNT + 1, type(uint256).max);
        bytes memory error_ = abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, amount);
        vm.expectRevert(error_);
        this.storeDebt(amount, other);
        vm.expectRevert(error_);
        this.storeDebt(other, amount);
    }

    function storeDebt(uint256 borrowShares, uint256 collateral) external {
        position.storeDebt(borrowShares, collateral);
    }

    function fitting(Market memory m) internal pure returns (Market memory) {
        m.supplyAssets = bound(m.supplyAssets, 0, MAX_AMOUNT);
        m.supplyShares = bound(m.supplyShares, 0, MAX_SHARES);
        m.borrowAssets = bound(m.borrowAssets, 0, MAX_AMOUNT);
        m.borrowShares = bound(m.borrowShares, 0, MAX_AMOUNT);
        m.lastUpdate = bound(m.lastUpdate, 0, 2 ** 34 - 1);
        m.feeBps = bound(m.feeBps, 0, 2 ** 12 - 1);
        m.rateAtTarget = bound(m.rateAtTarget, 0, 2 ** 36 - 1);
        m.interestRemainder = bound(m.interestRemainder, 0, type(uint32).max);
        m.surgeLevel = bound(m.surgeLevel, 0, 2 ** 28 - 1);
        m.reserveShares = bound(m.reserveShares, 0, 2 ** 114 - 1);
        return m;
    }
}
