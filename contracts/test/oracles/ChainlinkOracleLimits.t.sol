// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAggregatorLimits} from "plimsoll/interfaces/IAggregatorLimits.sol";
import {IChainlinkOracle} from "plimsoll/interfaces/IChainlinkOracle.sol";
import {IOracle} from "plimsoll/interfaces/IOracle.sol";
import {OracleFixture} from "./OracleFixture.sol";

/// @notice An aggregator's limits, as Chainlink's older aggregators have them.
contract Limits {
    int192 public immutable minAnswer;
    int192 public immutable maxAnswer;

    constructor(int192 min, int192 max) {
        (minAnswer, maxAnswer) = (min, max);
    }
}

/// @title Tests of answers at the limits of a feed's aggregator: nothing is lent at them, and loans are liquidated.
contract ChainlinkOracleLimitsTest is OracleFixture {
    IOracle private oracle;

    function setUp() public override {
        super.setUp();
        oracle = newOracle(wethUsdcSetup(), 2500);
    }

    /// @dev The proxy of the ETH feed passes calls to an aggregator with these limits.
    function _setLimits(int192 min, int192 max) private {
        _setAggregator(address(new Limits(min, max)));
    }

    function _setAggregator(address aggregator) private {
        bytes memory call = abi.encodeCall(IAggregatorLimits.aggregator, ());
        vm.mockCall(address(ethUsd), call, abi.encode(aggregator));
    }

    function _expectAtLimit(int192 answer, int192 min, int192 max) private {
        ethUsd.setAnswer(answer);
        assertEq(oracle.liquidationPrice(), uint256(uint192(answer)) * 1e16);
        expectBorrowRefused(
            oracle, abi.encodeWithSelector(IChainlinkOracle.AnswerAtLimit.selector, ethUsd, answer, min, max)
        );
    }

    function test_atOrBeyondALimitNothingIsLent() public {
        _setLimits(100e8, 10_000e8);
        _expectAtLimit(100e8, 100e8, 10_000e8);
        _expectAtLimit(99e8, 100e8, 10_000e8);
        _expectAtLimit(10_000e8, 100e8, 10_000e8);
        _expectAtLimit(10_001e8, 100e8, 10_000e8);
    }

    function testFuzz_betweenTheLimitsPricesAreGiven(int192 min, int192 max, int192 answer) public {
        answer = int192(bound(answer, 1e8, 1_000_000e8));
        min = int192(bound(min, type(int192).min, answer - 1));
        max = int192(bound(max, answer + 1, type(int192).max));
        _setLimits(min, max);
        ethUsd.setAnswer(answer);
        assertBothPrices(oracle, uint256(uint192(answer)) * 1e16);
    }

    /// @notice Quotes, too: a dollar token at its feed's maximum would make collateral look cheap, at its minimum dear.
    function test_quoteFeedsAreCheckedToo() public {
        bytes memory call = abi.encodeCall(IAggregatorLimits.aggregator, ());
        vm.mockCall(address(usdcUsd), call, abi.encode(new Limits(1e8, 1e10)));
        expectBorrowRefused(
            oracle, abi.encodeWithSelector(IChainlinkOracle.AnswerAtLimit.selector, usdcUsd, 1e8, 1e8, 1e10)
        );
    }

    /// @notice The aggregator behind a proxy is replaced from time to time: the limits are those of now.
    function test_anotherAggregatorHasItsOwnLimits() public {
        _setLimits(100e8, 10_000e8);
        _expectAtLimit(50e8, 100e8, 10_000e8);
        _setLimits(1, type(int192).max);
        assertBothPrices(oracle, 50e24);
    }

    /// @notice A feed may be the aggregator itself.
    function test_withoutAProxyTheFeedsOwnLimitsCount() public {
        vm.mockCall(address(ethUsd), abi.encodeCall(IAggregatorLimits.minAnswer, ()), abi.encode(100e8));
        vm.mockCall(address(ethUsd), abi.encodeCall(IAggregatorLimits.maxAnswer, ()), abi.encode(10_000e8));
        _expectAtLimit(100e8, 100e8, 10_000e8);
    }

    /// @notice An aggregator without code is none.
    function test_besideAnAggregatorWithoutCodeTheFeedsOwnLimitsCount() public {
        vm.mockCall(address(ethUsd), abi.encodeCall(IAggregatorLimits.minAnswer, ()), abi.encode(100e8));
        vm.mockCall(address(ethUsd), abi.encodeCall(IAggregatorLimits.maxAnswer, ()), abi.encode(10_000e8));
        _setAggregator(makeAddr("without code"));
        _expectAtLimit(100e8, 100e8, 10_000e8);
    }

    /// @notice A feed without limits, or whose answers to these questions make no sense, is not restricted.
    function test_aFeedWithoutLimitsIsNotRestricted() public {
        assertBothPrices(oracle, 2500e24);
        _setAggregator(makeAddr("without code"));
        assertBothPrices(oracle, 2500e24);
        _setAggregator(address(this));
        assertBothPrices(oracle, 2500e24);
        // No room between them.
        _setLimits(2500e8, 2500e8);
        assertBothPrices(oracle, 2500e24);
        _setLimits(10_000e8, 1);
        assertBothPrices(oracle, 2500e24);
        // An aggregator that is no address.
        uint256 limits = uint160(address(new Limits(2500e8, 10_000e8)));
        bytes memory call = abi.encodeCall(IAggregatorLimits.aggregator, ());
        vm.mockCall(address(ethUsd), call, abi.encode(1 << 160 | limits));
        assertBothPrices(oracle, 2500e24);
        // One of them alone, and answers that are too short.
        vm.clearMockedCalls();
        vm.mockCall(address(ethUsd), abi.encodeCall(IAggregatorLimits.maxAnswer, ()), abi.encode(type(int256).max));
        assertBothPrices(oracle, 2500e24);
        vm.clearMockedCalls();
        vm.mockCall(address(ethUsd), abi.encodeCall(IAggregatorLimits.minAnswer, ()), abi.encode(10_000e8));
        assertBothPrices(oracle, 2500e24);
        vm.mockCall(address(ethUsd), abi.encodeCall(IAggregatorLimits.maxAnswer, ()), hex"01");
        assertBothPrices(oracle, 2500e24);
        vm.mockCall(address(ethUsd), abi.encodeCall(IAggregatorLimits.aggregator, ()), hex"01");
        assertBothPrices(oracle, 2500e24);
    }

    /// @notice An oracle can be created while a feed is at its limit, and then lends nothing.
    function test_creationReadsTheLiquidationPrice() public {
        _setLimits(2500e8, 10_000e8);
        assertEq(newOracle(wethUsdcSetup(), 2500).liquidationPrice(), 2500e24);
    }
}
