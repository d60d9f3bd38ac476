// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChainlinkOracle} from "plimsoll/interfaces/IChainlinkOracle.sol";
import {IOracle} from "plimsoll/interfaces/IOracle.sol";
import {ISettableFeed} from "plimsoll/interfaces/ISettableFeed.sol";
import {IUniswapV3Observer} from "plimsoll/interfaces/IUniswapV3Observer.sol";
import {IUniswapV3Pool} from "../support/UniswapV3.sol";
import {UniswapV3Fixture} from "./UniswapV3Fixture.sol";

/// @title Tests of the pool's average price, with real Uniswap V3 pools and both orders of the tokens.
/// @notice Prices here are squares, so that a pool can be put exactly on them: WETH at root² USDC.
contract ChainlinkOracleTwapTest is UniswapV3Fixture {
    uint32 private constant WINDOW = 600;
    uint32 private constant BLOCK = 12;
    uint16 private constant CARDINALITY = 51;
    uint16 private constant MAX_DEVIATION_BPS = 500;
    uint128 private constant LIQUIDITY = 1e18;

    /* THE AVERAGE */

    function test_averageOfAPoolAtRest() public {
        for (uint256 order = 0; order < 2; ++order) {
            (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(order == 0, 50);
            ethUsd.setAnswer(2550e8);
            IOracle oracle = newOracle(given, 2500);
            _assertJustBelow(oracle.borrowPrice(), 2500e24);
            assertEq(oracle.liquidationPrice(), 2550e24);
        }
    }

    function test_averageIsGeometricOverTheWindow() public {
        for (uint256 order = 0; order < 2; ++order) {
            (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool) = _wethUsdcWithPool(order == 0, 50);
            ethUsd.setAnswer(2550e8);
            IOracle oracle = newOracle(given, 2500);
            swapTo(pool, _sqrtPrice(order == 0, 52));
            skip(WINDOW / 4);
            ethUsd.setAnswer(2600e8);
            // Three quarters at 50², one at 52²: 50^1.5 × 52^0.5 squared is 2549.5097….
            _assertJustBelow(oracle.borrowPrice(), 2549.509756796392e24);
        }
    }

    /// @notice Whatever the pool's price, decimals and order: never above it, and at most two ticks (and a hair) below.
    function testFuzz_averageIsJustBelowThePoolsPrice(uint160 mantissa, uint256 bits, bool collateralIsToken0) public {
        // Collateral worth 1e-9 to 1e36 loan tokens, evenly over magnitudes.
        bits = collateralIsToken0 ? bound(bits, 82, 154) : bound(bits, 37, 110);
        uint160 sqrtPriceX96 = uint160((1 << bits) + mantissa % (1 << bits));
        uint256 root = collateralIsToken0 ? (uint256(sqrtPriceX96) * 1e18) >> 96 : (uint256(1e18) << 96) / sqrtPriceX96;
        uint256 price = root * root;

        (IChainlinkOracle.Setup memory given,) = _newSetup(18, 18, collateralIsToken0, sqrtPriceX96);
        // The feed says a little more than the pool.
        uint8 decimals = price < 1e54 ? 18 : 0;
        uint256 answer = price * 101 / 100 / (decimals == 18 ? 1e18 : 1e36);
        given.baseFeeds = listOf(newFeed(decimals, "like the pool", int192(uint192(answer))));
        IChainlinkOracle.ExpectedRange memory around = IChainlinkOracle.ExpectedRange(price / 2e18, price / 0.5e18);

        uint256 borrowPrice = IOracle(this.create(oracleInitCode(given, around))).borrowPrice();
        // The root above is rounded to thirteen digits at the least.
        assertLe(borrowPrice, price + price / 1e12);
        assertGe(borrowPrice, price - price * 201 / 1e6);
    }

    /// @notice An average between two ticks counts as the one whose price is lower, and since a pool's price lies up to
    /// a tick above the tick it reports, an average on a tick counts as the next where that is lower.
    function testFuzz_averageBetweenTicksGoesAgainstTheCollateral(uint256 rest, bool collateralIsToken0) public {
        uint160 sqrtPriceX96 = uint160(collateralIsToken0 ? uint256(50) << 96 : (uint256(1) << 96) / 50);
        _holdBetweenTicks(rest, 18, 18, collateralIsToken0, sqrtPriceX96);
        // Six decimals put the tick on the other side of 0.
        _holdBetweenTicks(rest, 18, 6, collateralIsToken0, _sqrtPrice(collateralIsToken0, 50));
    }

    function _holdBetweenTicks(uint256 rest, uint8 collateral, uint8 loan, bool isToken0, uint160 sqrtPriceX96)
        private
    {
        (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool) = _newSetup(collateral, loan, isToken0, sqrtPriceX96);
        ethUsd.setAnswer(2550e8);
        IOracle oracle = newOracle(given, 2500);
        (, int24 tick) = pool.slot0();

        uint256 onTick = _priceAtDrift(given, oracle, int256(tick) * int256(uint256(WINDOW)));
        uint256 onNext = _priceAtDrift(given, oracle, int256(tick + 1) * int256(uint256(WINDOW)));
        rest = bound(rest, 1, WINDOW - 1);
        uint256 between = _priceAtDrift(given, oracle, int256(tick) * int256(uint256(WINDOW)) + int256(rest));
        assertEq(between, isToken0 ? onTick : onNext);
        assertNotEq(onTick, onNext);

        _assertWithinATick(onTick, 2500 * 10 ** (36 + uint256(loan) - collateral));
    }

    /// @notice Changes of a pool's price within one block do not affect its average.
    function test_attack06_flashLoanedSwapMovesNothing() public {
        (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool) = _wethUsdcWithPool(true, 50);
        IOracle oracle = newOracle(given, 2500);
        uint256 before = oracle.borrowPrice();
        swapTo(pool, _sqrtPrice(true, 500));
        assertEq(oracle.borrowPrice(), before);
        swapTo(pool, _sqrtPrice(true, 5));
        assertEq(oracle.borrowPrice(), before);
        assertEq(oracle.liquidationPrice(), 2500e24);
    }

    function test_pushingThePoolUpNeverRaisesThePrice() public {
        (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool) = _wethUsdcWithPool(true, 50);
        IOracle oracle = newOracle(given, 2500);
        swapTo(pool, _sqrtPrice(true, 51));
        skip(WINDOW);
        assertBothPrices(oracle, 2500e24);
    }

    /* THE BOUND */

    function test_lowerOfTheTwoWhileTheyAgree() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(true, 50);
        IOracle oracle = newOracle(given, 2500);
        ethUsd.setAnswer(2450e8);
        assertBothPrices(oracle, 2450e24);
        ethUsd.setAnswer(2600e8);
        _assertJustBelow(oracle.borrowPrice(), 2500e24);
        assertEq(oracle.liquidationPrice(), 2600e24);
    }

    function testFuzz_refusedExactlyBeyondTheBound(uint256 feedPrice) public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(false, 50);
        ethUsd.setAnswer(2550e8);
        IOracle oracle = newOracle(given, 2500);
        uint256 twapPrice = oracle.borrowPrice();

        feedPrice = bound(feedPrice, 2300e8, 2700e8);
        ethUsd.setAnswer(int192(uint192(feedPrice)));
        feedPrice *= 1e16;
        assertEq(oracle.liquidationPrice(), feedPrice);

        (uint256 lower, uint256 higher) = feedPrice < twapPrice ? (feedPrice, twapPrice) : (twapPrice, feedPrice);
        if ((higher - lower) * 10_000 <= higher * MAX_DEVIATION_BPS) {
            assertEq(oracle.borrowPrice(), lower);
        } else {
            expectBorrowRefused(oracle, _deviates(feedPrice, twapPrice));
        }
    }

    function test_theBoundItselfIsStillAgreed() public {
        // Decimals by which a price has the very digits of the feed's answer.
        (IChainlinkOracle.Setup memory given,) = _newSetup(36, 18, true, uint160((uint256(50) << 96) / 1e9));
        ISettableFeed feed = newFeed(18, "ETH / USD", 2550e18);
        given.baseFeeds = listOf(feed);
        IOracle oracle = newOracle(given, 2500);
        uint256 twapPrice = oracle.borrowPrice();

        uint256 furthest = twapPrice - twapPrice * MAX_DEVIATION_BPS / 10_000;
        feed.setAnswer(int192(uint192(furthest)));
        assertBothPrices(oracle, furthest);
        feed.setAnswer(int192(uint192(furthest - 1)));
        expectBorrowRefused(oracle, _deviates(furthest - 1, twapPrice));
    }

    function test_attack07_crashedPoolStopsBorrowingOnly() public {
        (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool) = _wethUsdcWithPool(true, 50);
        IOracle oracle = newOracle(given, 2500);
        swapTo(pool, _sqrtPrice(true, 40));
        skip(WINDOW);
        assertEq(oracle.liquidationPrice(), 2500e24);
        vm.expectPartialRevert(IChainlinkOracle.TwapDeviates.selector);
        oracle.borrowPrice();
    }

    function test_poolThatDisagreesAtConstruction() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(true, 40);
        bytes memory initCode = oracleInitCode(given, aroundWhole(2500));
        vm.expectPartialRevert(IChainlinkOracle.TwapDeviates.selector);
        this.create(initCode);
    }

    /* POOLS THAT CANNOT TELL */

    /// @notice Blocks were faster than configured, and the pool's observations no longer reach back over the window.
    function test_historyThatWasOverwrittenStopsBorrowingOnly() public {
        (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool) = _wethUsdcWithPool(true, 50);
        IOracle oracle = newOracle(given, 2500);
        for (uint256 i = 0; i < CARDINALITY; ++i) {
            skip(1);
            swapTo(pool, _sqrtPrice(true, 51 - i % 2));
        }
        assertEq(oracle.liquidationPrice(), 2500e24);
        expectBorrowRefused(oracle, _unavailable(given));
    }

    /// @notice The pool's sums wrap around; a difference is right all the same.
    function test_sumsThatWrapAround() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(true, 50);
        IOracle oracle = newOracle(given, 2500);
        uint256 price = oracle.borrowPrice();
        (int56[] memory sums,) = IUniswapV3Observer(given.twap.pool).observe(_secondsAgos());
        int56 drift = sums[1] - sums[0];
        assertLt(drift, 0);
        sums[0] = type(int56).min - drift / 2;
        unchecked {
            sums[1] = sums[0] + drift;
        }
        _mockSums(given, sums);
        assertEq(oracle.borrowPrice(), price);
    }

    function test_averageOutsideTheTickRange() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(true, 50);
        IOracle oracle = newOracle(given, 2500);
        int56[] memory sums = new int56[](2);
        for (int56 sign = -1; sign < 2; sign += 2) {
            sums[1] = sign * 887273 * int56(uint56(WINDOW));
            _mockSums(given, sums);
            assertEq(oracle.liquidationPrice(), 2500e24);
            expectBorrowRefused(oracle, _unavailable(given));
        }
    }

    /// @notice The first and the last tick still have a price, with which no feed agrees.
    function test_averageAtTheEndsOfTheTickRange() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(true, 50);
        IOracle oracle = newOracle(given, 2500);
        int56[] memory sums = new int56[](2);
        for (int56 sign = -1; sign < 2; sign += 2) {
            sums[1] = sign * 887272 * int56(uint56(WINDOW));
            _mockSums(given, sums);
            vm.expectPartialRevert(IChainlinkOracle.TwapDeviates.selector);
            oracle.borrowPrice();
        }
    }

    function test_youngPoolIsRefused() public {
        (address collateral, address loan) = newPair(18, 6, true);
        IUniswapV3Pool pool = newPool(collateral, loan, _sqrtPrice(true, 50));
        growObservations(pool, CARDINALITY);
        IChainlinkOracle.Setup memory given = _setupOver(collateral, loan, address(pool));
        skip(WINDOW - 2);
        expectRefused(given, _unavailable(given));
        skip(1);
        newOracle(given, 2500);
    }

    function test_poolThatKeepsTooLittleIsRefused() public {
        (address collateral, address loan) = newPair(18, 6, true);
        IUniswapV3Pool pool = newPool(collateral, loan, _sqrtPrice(true, 50));
        skip(WINDOW);
        IChainlinkOracle.Setup memory given = _setupOver(collateral, loan, address(pool));
        _expectCardinalityRefused(given, 1, CARDINALITY);
        growObservations(pool, CARDINALITY);
        skip(WINDOW);
        newOracle(given, 2500);
        // A block time that does not divide the window needs one more.
        given.twap.blockSecs = 11;
        _expectCardinalityRefused(given, CARDINALITY, 56);
        given.twap.blockSecs = 1;
        _expectCardinalityRefused(given, CARDINALITY, 601);
    }

    function test_poolOfAnotherPairIsRefused() public {
        (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool) = _wethUsdcWithPool(true, 50);
        bytes4 mismatch = IChainlinkOracle.TwapPairMismatch.selector;
        address loan = given.loanToken;
        given.loanToken = newToken(6);
        expectRefused(given, abi.encodeWithSelector(mismatch, pool, given.collateralToken, loan));
        address collateral = given.collateralToken;
        (given.collateralToken, given.loanToken) = (newToken(18), loan);
        expectRefused(given, abi.encodeWithSelector(mismatch, pool, collateral, loan));
    }

    /// @notice One token of two is not enough, whichever it is.
    function test_poolOfOneOfTheTokensIsRefused() public {
        (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool) = _wethUsdcWithPool(true, 50);
        (address token0, address token1) = (given.collateralToken, given.loanToken);
        bytes4 mismatch = IChainlinkOracle.TwapPairMismatch.selector;
        vm.mockCall(address(pool), abi.encodeCall(IUniswapV3Observer.token1, ()), abi.encode(usdc));
        expectRefused(given, abi.encodeWithSelector(mismatch, pool, token0, usdc));
        vm.clearMockedCalls();
        vm.mockCall(address(pool), abi.encodeCall(IUniswapV3Observer.token0, ()), abi.encode(weth));
        expectRefused(given, abi.encodeWithSelector(mismatch, pool, weth, token1));
    }

    function test_anAddressThatIsNoPoolIsRefused() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(true, 50);
        given.twap.pool = address(ethUsd);
        expectRefused(
            given, abi.encodeWithSelector(IChainlinkOracle.TwapPairMismatch.selector, ethUsd, address(0), address(0))
        );
        given.twap.pool = address(0xdead);
        expectRefused(
            given, abi.encodeWithSelector(IChainlinkOracle.NotAContract.selector, "TWAP pool", address(0xdead))
        );
    }

    /* SETTINGS */

    function test_windowBounds() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(true, 50);
        bytes4 selector = IChainlinkOracle.TwapWindowOutOfBounds.selector;
        given.twap.windowSecs = 299;
        expectRefused(given, abi.encodeWithSelector(selector, 299, 300, DAY));
        given.twap.windowSecs = DAY + 1;
        expectRefused(given, abi.encodeWithSelector(selector, DAY + 1, 300, DAY));
        given.twap = IChainlinkOracle.Twap(address(0), 600, 0, 0);
        expectRefused(given, abi.encodeWithSelector(selector, 600, 0, 0));
    }

    function test_blockTimeBounds() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(true, 50);
        bytes4 selector = IChainlinkOracle.TwapBlockTimeOutOfBounds.selector;
        given.twap.blockSecs = 0;
        expectRefused(given, abi.encodeWithSelector(selector, 0, 1, 60));
        given.twap.blockSecs = 61;
        expectRefused(given, abi.encodeWithSelector(selector, 61, 1, 60));
        given.twap = IChainlinkOracle.Twap(address(0), 0, 12, 0);
        expectRefused(given, abi.encodeWithSelector(selector, 12, 0, 0));
    }

    function test_deviationBounds() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(true, 50);
        bytes4 selector = IChainlinkOracle.TwapDeviationOutOfBounds.selector;
        given.twap.maxDeviationBps = 9;
        expectRefused(given, abi.encodeWithSelector(selector, 9, 10, 5000));
        given.twap.maxDeviationBps = 5001;
        expectRefused(given, abi.encodeWithSelector(selector, 5001, 10, 5000));
        given.twap = IChainlinkOracle.Twap(address(0), 0, 0, 100);
        expectRefused(given, abi.encodeWithSelector(selector, 100, 0, 0));
    }

    function test_setupReturnsThePool() public {
        (IChainlinkOracle.Setup memory given,) = _wethUsdcWithPool(false, 50);
        IOracle oracle = newOracle(given, 2500);
        assertEq(abi.encode(IChainlinkOracle(address(oracle)).setup()), abi.encode(given));
    }

    /* HELPERS */

    function _wethUsdcWithPool(bool collateralIsToken0, uint256 root)
        private
        returns (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool)
    {
        (given, pool) = _newSetup(18, 6, collateralIsToken0, _sqrtPrice(collateralIsToken0, root));
        addFullRange(pool, LIQUIDITY);
    }

    /// @dev A pool that has rested at its price for a window.
    function _newSetup(uint8 collateralDecimals, uint8 loanDecimals, bool collateralIsToken0, uint160 sqrtPriceX96)
        private
        returns (IChainlinkOracle.Setup memory given, IUniswapV3Pool pool)
    {
        (address collateral, address loan) = newPair(collateralDecimals, loanDecimals, collateralIsToken0);
        pool = newPool(collateral, loan, sqrtPriceX96);
        growObservations(pool, CARDINALITY);
        skip(WINDOW);
        given = _setupOver(collateral, loan, address(pool));
        ethUsd.setAnswer(2500e8);
    }

    function _setupOver(address collateral, address loan, address pool)
        private
        view
        returns (IChainlinkOracle.Setup memory given)
    {
        given.collateralToken = collateral;
        given.loanToken = loan;
        given.baseFeeds = listOf(ethUsd);
        given.twap = IChainlinkOracle.Twap(pool, WINDOW, BLOCK, MAX_DEVIATION_BPS);
    }

    /// @dev root² USDC a WETH are root² × 1e6 / 1e18 in raw units, whose root is root / 1e6.
    function _sqrtPrice(bool collateralIsToken0, uint256 root) private pure returns (uint160) {
        return uint160(collateralIsToken0 ? (root << 96) / 1e6 : (uint256(1e6) << 96) / root);
    }

    function _assertJustBelow(uint256 price, uint256 exact) private pure {
        assertLe(price, exact);
        assertGe(price, exact - exact * 2001 / 1e7);
    }

    function _assertWithinATick(uint256 price, uint256 exact) private pure {
        assertLe(price, exact);
        assertGe(price, exact - exact * 1001 / 1e7);
    }

    function _priceAtDrift(IChainlinkOracle.Setup memory given, IOracle oracle, int256 drift)
        private
        returns (uint256)
    {
        int56[] memory sums = new int56[](2);
        sums[1] = int56(drift);
        _mockSums(given, sums);
        return oracle.borrowPrice();
    }

    function _expectCardinalityRefused(IChainlinkOracle.Setup memory given, uint256 cardinality, uint256 required)
        private
    {
        expectRefused(
            given,
            abi.encodeWithSelector(
                IChainlinkOracle.TwapCardinalityTooLow.selector, given.twap.pool, cardinality, required
            )
        );
    }

    function _secondsAgos() private pure returns (uint32[] memory secondsAgos) {
        secondsAgos = new uint32[](2);
        secondsAgos[0] = WINDOW;
    }

    /// @dev Sums that a real pool reaches only after centuries, or never.
    function _mockSums(IChainlinkOracle.Setup memory given, int56[] memory sums) private {
        bytes memory call = abi.encodeCall(IUniswapV3Observer.observe, (_secondsAgos()));
        vm.mockCall(given.twap.pool, call, abi.encode(sums, new uint160[](2)));
    }

    function _deviates(uint256 feedPrice, uint256 twapPrice) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IChainlinkOracle.TwapDeviates.selector, feedPrice, twapPrice, MAX_DEVIATION_BPS);
    }

    function _unavailable(IChainlinkOracle.Setup memory given) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IChainlinkOracle.TwapUnavailable.selector, given.twap.pool, WINDOW);
    }
}
