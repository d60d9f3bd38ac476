// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {WETH} from "solady/tokens/WETH.sol";
import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {CoreTest} from "../support/CoreTest.sol";
import {TestToken} from "../support/TestToken.sol";
import {IUniswapV3Pool, UniswapV3} from "../support/UniswapV3.sol";
import {AaveV3} from "./AaveV3.sol";
import {MorphoBlue} from "./MorphoBlue.sol";
import {IPair, UniswapV2} from "./UniswapV2.sol";

/// @notice The wrapped coin, which anybody mints; tests give it the coins to unwrap.
contract TestWrappedCoin is WETH {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice Fixture of the executor's tests: the real executor over Plimsoll, Morpho Blue with its pre-liquidations and Aave v3,
/// each with the same market of a dollar against the wrapped coin at the same price, and real pools of Uniswap V2 and V3.
abstract contract ExecutorTest is CoreTest, UniswapV2, UniswapV3, MorphoBlue, AaveV3 {
    uint8 internal constant PLIMSOLL = 0;
    uint8 internal constant MORPHO = 1;
    uint8 internal constant AAVE = 2;
    uint8 internal constant PRE = 3;
    uint8 internal constant V2 = 0;
    uint8 internal constant V3 = 1;
    /// @dev A pair's fee, in millionths.
    uint24 internal constant PAIR_FEE = 3_000;

    address internal immutable KEEPER = makeAddr("keeper");
    address internal immutable TREASURY = makeAddr("treasury");

    IExecutor internal executor;
    TestWrappedCoin internal coin;
    /// @dev A token between the two others.
    TestToken internal dai;
    IUniswapV3Pool internal pool;
    IPair internal pair;

    function setUp() public virtual override {
        super.setUp();
        vm.deal(address(coin), 1e30);
        dai = new TestToken("DAI", 18);
        deployUniswapV2();
        deployUniswapV3();
        deployMorpho(address(loanToken), address(coin), oracle);
        deployAave(address(loanToken), address(coin), oracle);
        pool = newPool(address(coin), eth(5_000), address(loanToken), usd(10_000_000));
        pair = newPair(address(coin), eth(5_000), address(loanToken), usd(10_000_000));
        newPair(address(coin), eth(5_000), address(dai), 10_000_000e18);
        newPool(address(coin), eth(5_000), address(dai), 10_000_000e18);
        newPool(address(dai), 10_000_000e18, address(loanToken), usd(10_000_000));
        executor = newExecutor();
        fund();
    }

    function newTokens() internal virtual override returns (TestToken loan, TestToken collateral) {
        coin = new TestWrappedCoin();
        return (new TestToken("USD", 6), TestToken(address(coin)));
    }

    function newExecutor() internal returns (IExecutor) {
        IExecutor.Target[] memory targets = new IExecutor.Target[](4);
        targets[PLIMSOLL] = IExecutor.Target(IExecutor.TargetKind.Plimsoll, address(plimsoll));
        targets[MORPHO] = IExecutor.Target(IExecutor.TargetKind.MorphoBlue, address(morpho));
        targets[AAVE] = IExecutor.Target(IExecutor.TargetKind.AaveV3, address(aave));
        targets[PRE] = IExecutor.Target(IExecutor.TargetKind.MorphoPreLiquidation, address(preLiquidations));
        return IExecutor(deployCode("Executor.sol:Executor", abi.encode(coin, targets, venues())));
    }

    function venues() internal view returns (IExecutor.Venue[] memory list) {
        list = new IExecutor.Venue[](2);
        list[V2] = IExecutor.Venue(IExecutor.VenueKind.UniswapV2, address(uniswapV2Factory), pairInitCodeHash());
        list[V3] = IExecutor.Venue(IExecutor.VenueKind.UniswapV3, address(uniswapV3Factory), poolInitCodeHash());
    }

    /* PEOPLE */

    /// @dev The lender supplies everywhere.
    function fund() internal {
        supply(LENDER, usd(10_000_000));
        loanToken.mint(LENDER, usd(20_000_000));
        vm.startPrank(LENDER);
        loanToken.approve(address(morpho), type(uint256).max);
        loanToken.approve(address(aave), type(uint256).max);
        morpho.supply(morphoMarket, usd(10_000_000), 0, LENDER, "");
        aave.supply(address(loanToken), usd(10_000_000), LENDER, 0);
        vm.stopPrank();
    }

    /// @notice A loan of 8,000 against 5 coins: health 1.075 at 2,000 (1.031 on Aave), liquidatable at 1,800. Pre-liquidatable, by
    /// the contract that the account authorises for it, below 2,000 and from 1,861 on.
    function openOn(uint8 target, address who) internal {
        openOn(target, who, eth(5), usd(8_000));
    }

    function openOn(uint8 target, address who, uint256 collateral, uint256 debt) internal {
        if (target == PLIMSOLL) return openLoan(who, collateral, debt);
        coin.mint(who, collateral);
        vm.startPrank(who);
        if (target == PRE) morpho.setAuthorization(address(preLiquidation), true);
        if (target == MORPHO || target == PRE) {
            coin.approve(address(morpho), collateral);
            morpho.supplyCollateral(morphoMarket, collateral, who, "");
            morpho.borrow(morphoMarket, debt, 0, who, who);
        } else {
            coin.approve(address(aave), collateral);
            aave.supply(address(coin), collateral, who, 0);
            aave.borrow(address(loanToken), debt, 2, 0, who);
        }
        vm.stopPrank();
    }

    /// @notice Price and pools together, as after a crash that everybody has traded through.
    function crashTo(uint256 whole) internal {
        oracle.set(priceOf(whole));
        swapTo(pool, sqrtPriceOf(address(coin), eth(1), address(loanToken), usd(whole)));
        _movePair(whole);
    }

    /// @dev Trades with the pair until its price is this one.
    function _movePair(uint256 whole) private {
        (uint256 coins, uint256 dollars) = reservesOf(pair);
        uint256 product = coins * dollars;
        // dollars ÷ coins = whole dollars, at the same product and a little more.
        uint256 coinsAfter = _sqrt(product * eth(1) / usd(whole)) + 1;
        uint256 coinsIn = (coinsAfter - coins) * 1_000 / 997 + 1;
        coin.mint(address(pair), coinsIn);
        uint256 bought = coinsIn * 997 * dollars / (coins * 1_000 + coinsIn * 997);
        (uint256 out0, uint256 out1) = pair.token0() == address(coin) ? (uint256(0), bought) : (bought, uint256(0));
        pair.swap(out0, out1, address(this), "");
    }

    function _sqrt(uint256 x) private pure returns (uint256 root) {
        root = x;
        uint256 next = (x >> 1) + 1;
        while (next < root) (root, next) = (next, (next + x / next) >> 1);
    }

    /* JOBS */

    /// @notice Everything of this account's loan, by the pool of Uniswap V3; of a pre-liquidation 9 %, which is always allowed.
    function itemOf(uint8 target, address borrower) internal view returns (IExecutor.Item memory item) {
        item.target = target;
        item.debt = address(loanToken);
        item.collateral = address(coin);
        item.route = hop(V3, FEE, address(loanToken));
        if (target == PLIMSOLL) {
            address[] memory borrowers = new address[](1);
            borrowers[0] = borrower;
            item.maxRepay = type(uint128).max;
            item.data = abi.encode(IExecutor.PlimsollLoans(params, borrowers));
        } else if (target == MORPHO) {
            uint256 shares = morphoShares(borrower);
            item.data = abi.encode(IExecutor.MorphoLoan(morphoMarket, borrower, 0, shares, shares));
        } else if (target == PRE) {
            return preItemOf(borrower, address(preLiquidation), morphoShares(borrower) * 9 / 100);
        } else {
            uint256 debt = aaveDebtOf(address(loanToken), borrower);
            item.maxRepay = uint128(aaveHealthOf(borrower) > 0.95e18 ? debt / 2 : debt);
            uint256 scaled = scaledDebtOf(address(loanToken), borrower);
            item.data = abi.encode(IExecutor.AaveLoan(borrower, debtTokenOf(address(loanToken)), scaled));
        }
    }

    /// @notice A pre-liquidation of so many shares by a contract.
    function preItemOf(address borrower, address contract_, uint256 shares)
        internal
        view
        returns (IExecutor.Item memory item)
    {
        item.target = PRE;
        item.debt = address(loanToken);
        item.collateral = address(coin);
        item.route = hop(V3, FEE, address(loanToken));
        item.data = abi.encode(IExecutor.PreLiquidationLoan(contract_, borrower, shares, morphoShares(borrower)));
    }

    /// @notice One item, not isolated, with its profit in the token that it leaves.
    function jobOf(IExecutor.Item memory item) internal view returns (IExecutor.Job memory job) {
        IExecutor.Item[] memory items = new IExecutor.Item[](1);
        items[0] = item;
        bool inCollateral = item.target == AAVE || item.exactOut;
        return jobOf(items, inCollateral ? item.collateral : item.debt);
    }

    function jobOf(IExecutor.Item[] memory items, address profitToken)
        internal
        view
        returns (IExecutor.Job memory job)
    {
        job.items = items;
        job.receiver = TREASURY;
        job.profitToken = profitToken;
        job.deadline = vm.getBlockTimestamp();
    }

    function run(IExecutor.Job memory job) internal returns (IExecutor.Outcome memory) {
        vm.prank(KEEPER);
        return executor.execute(job);
    }

    function hop(uint8 venue, uint24 key, address next) internal pure returns (bytes memory) {
        return abi.encodePacked(venue, key, next);
    }

    /* WHAT IS SEEN */

    /// @notice What the protocol says of an account's position.
    function positionOn(uint8 target, address who) internal view returns (bytes32) {
        if (target == PLIMSOLL) return keccak256(abi.encode(plimsoll.market(id), plimsoll.position(id, who)));
        if (target == MORPHO || target == PRE) {
            (uint256 supplied, uint256 shares, uint256 collateral) = morpho.position(morphoMarketId(), who);
            return keccak256(abi.encode(supplied, shares, collateral));
        }
        (uint256 receipts,,,,,,,,) = aaveData.getUserReserveData(address(coin), who);
        return keccak256(abi.encode(receipts, aaveDebtOf(address(loanToken), who)));
    }

    function reservesOf(IPair pair_) internal view returns (uint256 coins, uint256 dollars) {
        (uint256 reserve0, uint256 reserve1,) = pair_.getReserves();
        return pair_.token0() == address(coin) ? (reserve0, reserve1) : (reserve1, reserve0);
    }

    function assertNothingLeft() internal view {
        assertEq(coin.balanceOf(address(executor)), 0, "coins left");
        assertEq(loanToken.balanceOf(address(executor)), 0, "dollars left");
        assertEq(dai.balanceOf(address(executor)), 0, "dai left");
        assertEq(address(executor).balance, 0, "unwrapped coins left");
    }

    function eth(uint256 whole) internal pure returns (uint256) {
        return whole * 1e18;
    }

    function usd(uint256 whole) internal pure returns (uint256) {
        return whole * 1e6;
    }

    /// @notice The oracle's price for a price in whole dollars.
    function priceOf(uint256 whole) internal pure returns (uint256) {
        return usd(whole) * ORACLE_SCALE / 1e18;
    }
}
