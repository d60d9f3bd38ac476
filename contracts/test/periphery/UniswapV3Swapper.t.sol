// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {ISwapper} from "plimsoll/interfaces/ISwapper.sol";
import {IUniswapV3Swapper} from "plimsoll/interfaces/IUniswapV3Swapper.sol";
import {HookedToken, ITransferHook} from "../support/HookedToken.sol";
import {FeeToken, SilentToken} from "../support/OddTokens.sol";
import {TestToken} from "../support/TestToken.sol";
import {IUniswapV3Pool} from "../support/UniswapV3.sol";
import {ExchangeTest} from "./ExchangeTest.sol";

/// @notice The adapter over real pools: what comes out, what is refused, and that nothing stays.
contract UniswapV3SwapperTest is ExchangeTest {
    uint256 private constant FEE_DENOMINATOR = 1e6;
    uint256 private constant POOL_COLLATERAL = POOL_ETH * 1e18;
    uint256 private constant POOL_LOAN = POOL_USD * 1e6;
    TestToken private middle;

    function setUp() public override {
        super.setUp();
        middle = new TestToken("BTC", 8);
        // 50 BTC against 1,000 ETH, and against 2,000,000 USD.
        newPool(address(collateralToken), 1_000e18, address(middle), 50e8);
        newPool(address(middle), 50e8, address(loanToken), 2_000_000e6);
    }

    function _loanTokenAddress() private view returns (address) {
        return address(loanToken);
    }

    function _eth() private view returns (address) {
        return address(collateralToken);
    }

    function _longRoute() private view returns (bytes memory) {
        return abi.encodePacked(_eth(), FEE, middle, FEE, _loanTokenAddress());
    }

    /* SWAPS */

    /// @dev x·y = k over the whole range, with the fee on what goes in.
    function test_exactIn(uint256 amountIn) public {
        amountIn = bound(amountIn, 1e12, 100 * POOL_COLLATERAL);
        uint256 expected = _constantProduct(amountIn, POOL_COLLATERAL, POOL_LOAN);
        uint256 amountOut = _sell(_eth(), _loanTokenAddress(), amountIn, expected - expected / 1e6 - 2, routeToLoan());
        assertApproxEqAbs(amountOut, expected, expected / 1e6 + 2);
        assertEq(loanToken.balanceOf(STRANGER), amountOut);
        assertNothingLeftIn(address(swapper));
    }

    function test_exactInTheOtherWay(uint256 amountIn) public {
        amountIn = bound(amountIn, 10, 100 * POOL_LOAN);
        uint256 expected = _constantProduct(amountIn, POOL_LOAN, POOL_COLLATERAL);
        uint256 amountOut = _sell(_loanTokenAddress(), _eth(), amountIn, 0, routeToCollateral());
        // A unit of the input may go to rounding.
        assertApproxEqAbs(amountOut, expected, expected / 1e6 + 2 * POOL_COLLATERAL / POOL_LOAN);
        assertEq(collateralToken.balanceOf(STRANGER), amountOut);
        assertNothingLeftIn(address(swapper));
    }

    function test_exactOut(uint256 amountOut, uint256 tooMuch) public {
        amountOut = bound(amountOut, 1, POOL_LOAN * 99 / 100);
        tooMuch = bound(tooMuch, 0, POOL_COLLATERAL);
        uint256 snapshot = vm.snapshotState();
        uint256 needed = _buy(amountOut, 200 * POOL_COLLATERAL, routeToLoan());
        vm.revertToState(snapshot);

        assertEq(_buy(amountOut, needed + tooMuch, routeToLoan()), needed);
        assertEq(loanToken.balanceOf(STRANGER), amountOut);
        assertEq(collateralToken.balanceOf(LENDER), tooMuch, "the rest goes to whom it is due");
        assertNothingLeftIn(address(swapper));
        // Selling what was needed would have bought as much.
        vm.revertToState(snapshot);
        assertGe(_sell(_eth(), _loanTokenAddress(), needed, amountOut, routeToLoan()), amountOut);
    }

    function test_exactInOverTwoPools(uint256 amountIn) public {
        amountIn = bound(amountIn, 1e14, 1_000e18);
        uint256 expected = _constantProduct(_constantProduct(amountIn, 1_000e18, 50e8), 50e8, 2_000_000e6);
        uint256 amountOut = _sell(_eth(), _loanTokenAddress(), amountIn, 0, _longRoute());
        // A unit of the token between is worth 400 units.
        assertApproxEqAbs(amountOut, expected, expected / 1e5 + 1_000);
        assertEq(loanToken.balanceOf(STRANGER), amountOut);
        assertNothingLeftIn(address(swapper));
        assertEq(middle.balanceOf(address(swapper)), 0);
    }

    function test_exactOutOverTwoPools(uint256 amountOut) public {
        amountOut = bound(amountOut, 1, 900_000e6);
        uint256 snapshot = vm.snapshotState();
        uint256 needed = _buy(amountOut, 10_000e18, _longRoute());
        assertEq(loanToken.balanceOf(STRANGER), amountOut);
        assertEq(collateralToken.balanceOf(LENDER), 10_000e18 - needed);
        assertNothingLeftIn(address(swapper));
        assertEq(middle.balanceOf(address(swapper)), 0);
        vm.revertToState(snapshot);
        assertGe(_sell(_eth(), _loanTokenAddress(), needed, amountOut, _longRoute()), amountOut);
    }

    function test_exactOutMayTakeAllThatIsAllowed() public {
        uint256 snapshot = vm.snapshotState();
        uint256 needed = _buy(1_000e6, POOL_COLLATERAL, routeToLoan());
        vm.revertToState(snapshot);
        assertEq(_buy(1_000e6, needed, routeToLoan()), needed);
    }

    function test_aPoolIsPaidASingleUnit() public {
        assertEq(_sell(_loanTokenAddress(), address(middle), 1, 0, abi.encodePacked(loanToken, FEE, middle)), 0);
        assertNothingLeftIn(address(swapper));
    }

    function test_buyingNothingGivesAllBack() public {
        assertEq(_buy(0, 7e18, routeToLoan()), 0);
        assertEq(collateralToken.balanceOf(LENDER), 7e18);
        assertEq(loanToken.balanceOf(STRANGER), 0);
    }

    /* REFUSALS */

    function test_tooLittleOut() public {
        uint256 expected = _constantProduct(1e18, POOL_COLLATERAL, POOL_LOAN);
        collateralToken.mint(address(swapper), 1e18);
        vm.expectPartialRevert(ISwapper.TooLittleOut.selector);
        swapper.swapExactIn(_eth(), _loanTokenAddress(), 1e18, expected + 10, STRANGER, routeToLoan());
    }

    /// @dev Also where more than the limit happens to be here.
    function test_tooMuchIn() public {
        collateralToken.mint(address(swapper), 10e18);
        vm.expectPartialRevert(ISwapper.TooMuchIn.selector);
        swapper.swapExactOut(_eth(), _loanTokenAddress(), 2_000e6, 1e18, STRANGER, LENDER, routeToLoan());
    }

    function test_tokensThatWereNotPushedAreRefused() public {
        collateralToken.mint(address(swapper), 1e18 - 1);
        bytes memory refusal = abi.encodeWithSelector(ISwapper.NotPushed.selector, _eth(), 1e18 - 1, 1e18);
        vm.expectRevert(refusal);
        swapper.swapExactIn(_eth(), _loanTokenAddress(), 1e18, 0, STRANGER, routeToLoan());
        vm.expectRevert(refusal);
        swapper.swapExactOut(_eth(), _loanTokenAddress(), 1e6, 1e18, STRANGER, LENDER, routeToLoan());
    }

    function test_amountsOutOfRange() public {
        vm.expectRevert(abi.encodeWithSelector(ISwapper.AmountOutOfRange.selector, 0));
        swapper.swapExactIn(_eth(), _loanTokenAddress(), 0, 0, STRANGER, routeToLoan());
        uint256 tooMuch = uint256(type(uint128).max) + 1;
        collateralToken.mint(address(swapper), tooMuch);
        vm.expectRevert(abi.encodeWithSelector(ISwapper.AmountOutOfRange.selector, tooMuch));
        swapper.swapExactIn(_eth(), _loanTokenAddress(), tooMuch, 0, STRANGER, routeToLoan());
        vm.expectRevert(abi.encodeWithSelector(ISwapper.AmountOutOfRange.selector, tooMuch));
        swapper.swapExactOut(_eth(), _loanTokenAddress(), tooMuch, 1, STRANGER, LENDER, routeToLoan());
    }

    function test_routesThatDoNotLeadThere() public {
        bytes[6] memory routes = [
            bytes(""),
            routeToCollateral(),
            abi.encodePacked(_eth()),
            abi.encodePacked(_eth(), FEE, middle),
            abi.encodePacked(middle, FEE, _loanTokenAddress()),
            abi.encodePacked(_eth(), FEE, uint8(0), _loanTokenAddress())
        ];
        for (uint256 i; i < routes.length; ++i) {
            bytes memory refusal =
                abi.encodeWithSelector(IUniswapV3Swapper.InvalidRoute.selector, _eth(), _loanTokenAddress(), routes[i]);
            vm.expectRevert(refusal);
            swapper.swapExactIn(_eth(), _loanTokenAddress(), 1e18, 0, STRANGER, routes[i]);
            vm.expectRevert(refusal);
            swapper.swapExactOut(_eth(), _loanTokenAddress(), 1e6, 0, STRANGER, LENDER, routes[i]);
        }
    }

    function test_aPoolThatIsNotThere() public {
        collateralToken.mint(address(swapper), 1e18);
        vm.expectRevert(
            abi.encodeWithSelector(IUniswapV3Swapper.NoPool.selector, _eth(), _loanTokenAddress(), uint24(3_000))
        );
        swapper.swapExactIn(
            _eth(), _loanTokenAddress(), 1e18, 0, STRANGER, abi.encodePacked(_eth(), uint24(3_000), _loanTokenAddress())
        );
    }

    /// @dev A pool that runs dry takes a part and says nothing; the rest would stay in the adapter.
    function test_aPoolThatIsTooShallow() public {
        TestToken other = new TestToken("DAI", 18);
        IUniswapV3Pool narrow = newPool(_eth(), address(other), sqrtPriceOf(_eth(), 1, address(other), 1));
        narrow.mint(address(this), -10, 10, 1e18, "");
        bytes memory route = abi.encodePacked(_eth(), FEE, other);
        collateralToken.mint(address(swapper), 1e18);
        vm.expectPartialRevert(IUniswapV3Swapper.PoolTooShallow.selector);
        swapper.swapExactIn(_eth(), address(other), 1e18, 0, STRANGER, route);
        vm.expectPartialRevert(IUniswapV3Swapper.PoolTooShallow.selector);
        swapper.swapExactOut(_eth(), address(other), 1e18, 1e18, STRANGER, LENDER, route);
    }

    function test_anEmptyPool() public {
        TestToken other = new TestToken("DAI", 18);
        IUniswapV3Pool empty = newPool(_eth(), address(other), sqrtPriceOf(_eth(), 1, address(other), 1));
        collateralToken.mint(address(swapper), 2e18);
        bytes memory route = abi.encodePacked(_eth(), FEE, other);
        bytes memory refusal =
            abi.encodeWithSelector(IUniswapV3Swapper.PoolTooShallow.selector, address(empty), 1e18, 0);
        vm.expectRevert(refusal);
        swapper.swapExactIn(_eth(), address(other), 1e18, 0, STRANGER, route);
        vm.expectRevert(refusal);
        swapper.swapExactOut(_eth(), address(other), 1e18, 2e18, STRANGER, LENDER, route);
        // It owes nothing, so that the pool before it is not asked.
        middle.mint(address(swapper), 1e8);
        route = abi.encodePacked(middle, FEE, _eth(), FEE, other);
        vm.expectRevert(refusal);
        swapper.swapExactOut(address(middle), address(other), 1e18, 1e8, STRANGER, LENDER, route);
    }

    /// @dev A pool a unit away from the last price that a swap can reach still takes it.
    function test_poolsAtTheEndsOfThePriceRange() public {
        _expectTooShallow(TickMath.MIN_SQRT_PRICE + 2, true);
        _expectTooShallow(TickMath.MAX_SQRT_PRICE - 2, false);
    }

    function _expectTooShallow(uint160 sqrtPriceX96, bool zeroForOne) private {
        TestToken other = new TestToken("DAI", 18);
        IUniswapV3Pool empty = newPool(_eth(), address(other), sqrtPriceX96);
        (address tokenIn, address tokenOut) =
            (_eth() < address(other)) == zeroForOne ? (_eth(), address(other)) : (address(other), _eth());
        // The largest amount there is.
        uint256 most = type(uint128).max;
        vm.expectRevert(abi.encodeWithSelector(IUniswapV3Swapper.PoolTooShallow.selector, address(empty), most, 0));
        swapper.swapExactOut(tokenIn, tokenOut, most, 0, STRANGER, LENDER, abi.encodePacked(tokenIn, FEE, tokenOut));
    }

    /* ATTACKS */

    /// @dev Attack 15: nobody but a pool that is being swapped with can make the adapter pay.
    function test_onlyThePoolIsPaid() public {
        collateralToken.mint(address(swapper), 1e18);
        vm.startPrank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IUniswapV3Swapper.NotThePool.selector, STRANGER, address(pool)));
        IUniswapV3Swapper(address(swapper)).uniswapV3SwapCallback(1e18, -1, routeToLoan());
        vm.expectRevert(abi.encodeWithSelector(IUniswapV3Swapper.NotThePool.selector, STRANGER, address(0)));
        IUniswapV3Swapper(address(swapper)).uniswapV3SwapCallback(1e18, -1, "");
        vm.stopPrank();
    }

    function test_poolsAreWhereTheFactoryPutsThem() public view {
        IUniswapV3Swapper adapter = IUniswapV3Swapper(address(swapper));
        assertEq(adapter.factory(), address(uniswapV3Factory));
        assertEq(adapter.poolInitCodeHash(), poolInitCodeHash());
        assertEq(adapter.poolOf(_eth(), _loanTokenAddress(), FEE), address(pool));
        assertEq(adapter.poolOf(_loanTokenAddress(), _eth(), FEE), address(pool));
    }

    /// @dev A factory without code, such as one of another chain.
    function test_aFactoryWithoutCodeIsRefused() public {
        bytes memory args = abi.encode(STRANGER, poolInitCodeHash());
        bytes memory initCode = abi.encodePacked(vm.getCode("UniswapV3Swapper.sol:UniswapV3Swapper"), args);
        expectCreationRefused(initCode, abi.encodeWithSelector(IUniswapV3Swapper.NoCode.selector, STRANGER));
    }

    /* ODD TOKENS */

    function test_aTokenThatReturnsNothing() public {
        TestToken silent = TestToken(address(new SilentToken()));
        _poolOf(silent);
        silent.mint(address(swapper), 1e18);
        bytes memory route = abi.encodePacked(silent, FEE, _loanTokenAddress());
        uint256 bought = swapper.swapExactIn(address(silent), _loanTokenAddress(), 1e18, 1, STRANGER, route);
        loanToken.mint(address(swapper), bought);
        route = abi.encodePacked(_loanTokenAddress(), FEE, silent);
        swapper.swapExactOut(_loanTokenAddress(), address(silent), 1e15, bought, STRANGER, LENDER, route);
        assertEq(silent.balanceOf(STRANGER), 1e15);
    }

    function test_aFeeOnTransferIsRefused() public {
        FeeToken token = new FeeToken();
        _poolOf(TestToken(address(token)));
        // Less arrives here than the holder pushed.
        token.mint(address(this), 1e18);
        token.transfer(address(swapper), 1e18);
        bytes memory route = abi.encodePacked(token, FEE, _loanTokenAddress());
        vm.expectRevert(abi.encodeWithSelector(ISwapper.NotPushed.selector, address(token), 0.99e18, 1e18));
        swapper.swapExactIn(address(token), _loanTokenAddress(), 1e18, 0, STRANGER, route);
        // Less arrives in the pool than it asked for.
        vm.expectRevert(bytes("IIA"));
        swapper.swapExactIn(address(token), _loanTokenAddress(), 0.9e18, 0, STRANGER, route);
        vm.expectRevert(bytes("IIA"));
        swapper.swapExactOut(address(token), _loanTokenAddress(), 1e6, 0.9e18, STRANGER, LENDER, route);
    }

    /// @dev Attack 8: a token's hook during a swap cannot start another.
    function test_aHookCannotStartAnotherSwap() public {
        HookedToken hooked = new HookedToken("HOOK", 18);
        _poolOf(hooked);
        // Something is here for the taking while the swap goes on.
        collateralToken.mint(address(swapper), 1e18);
        loanToken.mint(address(swapper), 4_000e6);
        Thief thief = new Thief(swapper, _eth(), _loanTokenAddress());
        hooked.setHook(thief);
        bytes memory route = abi.encodePacked(_loanTokenAddress(), FEE, hooked);
        swapper.swapExactIn(_loanTokenAddress(), address(hooked), 2_000e6, 1, STRANGER, route);
        swapper.swapExactOut(_loanTokenAddress(), address(hooked), 1e15, 2_000e6, STRANGER, LENDER, route);
        assertEq(thief.refusals(), 4);
        assertEq(collateralToken.balanceOf(address(swapper)), 1e18);
    }

    /* HELPERS */

    /// @dev As contracts do: push, then call.
    function _sell(address tokenIn, address tokenOut, uint256 amountIn, uint256 minOut, bytes memory route)
        private
        returns (uint256)
    {
        TestToken(tokenIn).mint(address(swapper), amountIn);
        return swapper.swapExactIn(tokenIn, tokenOut, amountIn, minOut, STRANGER, route);
    }

    function _poolOf(TestToken token) private {
        newPool(address(token), 1_000e18, _loanTokenAddress(), 2_000_000e6);
    }

    function _buy(uint256 amountOut, uint256 maxIn, bytes memory route) private returns (uint256) {
        collateralToken.mint(address(swapper), maxIn);
        return swapper.swapExactOut(_eth(), _loanTokenAddress(), amountOut, maxIn, STRANGER, LENDER, route);
    }

    function _constantProduct(uint256 amountIn, uint256 reserveIn, uint256 reserveOut) private pure returns (uint256) {
        uint256 sold = amountIn * (FEE_DENOMINATOR - FEE) / FEE_DENOMINATOR;
        return reserveOut * sold / (reserveIn + sold);
    }
}

/// @notice The same where the pool's tokens stand the other way round.
contract UniswapV3SwapperOtherOrderTest is UniswapV3SwapperTest {
    function collateralIsToken0() internal pure override returns (bool) {
        return false;
    }
}

/// @notice Tries to swap what the adapter holds for itself when it is called by a token.
contract Thief is ITransferHook {
    ISwapper private immutable SWAPPER;
    address private immutable LOOT;
    address private immutable WANTED;
    uint256 public refusals;

    constructor(ISwapper swapper, address loot, address wanted) {
        (SWAPPER, LOOT, WANTED) = (swapper, loot, wanted);
    }

    function onTransfer(address, address, uint256) external {
        bytes memory route = abi.encodePacked(LOOT, uint24(500), WANTED);
        _refused(abi.encodeCall(ISwapper.swapExactIn, (LOOT, WANTED, 1e18, 0, address(this), route)));
        address self = address(this);
        _refused(abi.encodeCall(ISwapper.swapExactOut, (LOOT, WANTED, 1e6, 1e18, self, self, route)));
    }

    function _refused(bytes memory call) private {
        (bool done, bytes memory answer) = address(SWAPPER).call(call);
        require(!done && bytes4(answer) == ISwapper.Reentered.selector, "a second swap began");
        ++refusals;
    }
}
