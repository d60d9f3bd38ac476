// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {StandInPreLiquidationFactory} from "../support/StandInPreLiquidation.sol";
import {ExecutorTest} from "./ExecutorTest.sol";
import {LyingPreLiquidation} from "./LyingPreLiquidation.sol";

/// @notice An oracle of a listed pre-liquidation contract that its stranger turns.
contract TurningOracle {
    enum Mode {
        True,
        Low,
        Zero,
        BurnsGas,
        Reverts
    }

    address private immutable ORACLE;
    Mode private _mode;

    constructor(address oracle) {
        ORACLE = oracle;
    }

    function turn(Mode mode) external {
        _mode = mode;
    }

    function price() external view returns (uint256) {
        if (_mode == Mode.BurnsGas) {
            while (true) {}
        }
        require(_mode != Mode.Reverts, "no price");
        uint256 truth = TurningOracle(ORACLE).price();
        if (_mode == Mode.Low) return truth * 97 / 100;
        return _mode == Mode.Zero ? 0 : truth;
    }
}

/// @notice After any job nothing is left in the executor, it has approved nobody but the protocols, and its failed items have left
/// nothing.
contract ExecutorInvariantsTest is ExecutorTest {
    /// @dev What a job is compared by.
    struct Traces {
        uint256 profit;
        uint256 toBuilder;
        uint256 coins;
        uint256 dollars;
        bytes32 positions;
        bytes32 pools;
    }

    address[] private _borrowers;
    uint8[] private _targets;
    uint256 private _price = 2_000;
    /// @dev Items done, by their target.
    uint256[4] private _done;
    uint256 private _failed;
    TurningOracle private _oracle;
    /// @dev A contract of the listed factory with a stranger's oracle.
    address private _turning;
    /// @dev Contracts that the listed factory has not created.
    address[2] private _foreign;

    function setUp() public override {
        super.setUp();
        _oracle = new TurningOracle(morphoMarket.oracle);
        _turning = address(newPreLiquidation(preLiquidations, 0.7e18, address(_oracle)));
        StandInPreLiquidationFactory strangers = new StandInPreLiquidationFactory(address(morpho));
        _foreign = [
            address(newPreLiquidation(strangers, 0.7e18, morphoMarket.oracle)),
            address(new LyingPreLiquidation(address(morpho), morphoMarketId()))
        ];
        targetContract(address(this));
        bytes4[] memory selectors = new bytes4[](5);
        selectors[0] = this.open.selector;
        selectors[1] = this.move.selector;
        selectors[2] = this.execute.selector;
        selectors[3] = this.turn.selector;
        selectors[4] = this.choose.selector;
        targetSelector(FuzzSelector({addr: address(this), selectors: selectors}));
    }

    /* ACTIONS */

    function open(uint8 target, uint256 debt) public {
        if (_borrowers.length == 12) return;
        address who = makeAddr(string.concat("account", vm.toString(_borrowers.length)));
        (target, debt) = (uint8(bound(target, PLIMSOLL, PRE)), bound(debt, usd(1_000), 5 * usd(_price) * 78 / 100));
        openOn(target, who, eth(5), debt);
        _borrowers.push(who);
        _targets.push(target);
    }

    /// @notice The price moves, and one of the pools with it.
    function move(uint256 price) public {
        price = bound(price, _price * 85 / 100, _price * 110 / 100);
        if (price < 500 || price > 5_000 || price == _price) return;
        _price = price;
        oracle.set(priceOf(price));
        swapTo(pool, sqrtPriceOf(address(coin), eth(1), address(loanToken), usd(price)));
        skip(1 hours);
    }

    /// @notice The stranger's oracle turns.
    function turn(uint8 mode) public {
        _oracle.turn(TurningOracle.Mode(mode % 5));
    }

    /// @notice An account authorises a contract of any kind, or does not any more.
    function choose(uint256 seed) public {
        if (_borrowers.length == 0) return;
        vm.prank(_borrowers[seed % _borrowers.length]);
        // What is so already is refused.
        try morpho.setAuthorization(_contractOf(seed >> 8), seed >> 16 & 3 != 0) {} catch {}
    }

    /// @notice A job of up to three accounts by any routes, into any of the two tokens. It may fail.
    function execute(uint256 seed) public {
        if (_borrowers.length == 0) return;
        IExecutor.Item[] memory items = new IExecutor.Item[](1 + seed % 3);
        address profitToken = seed >> 8 & 1 == 0 ? address(coin) : address(loanToken);
        for (uint256 i; i < items.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            items[i] = _itemOf(seed, profitToken);
        }
        IExecutor.Job memory job = jobOf(items, profitToken);
        if (profitToken == address(coin)) job.builderShareBps = uint16(seed % (BPS + 1));
        uint256 snapshot = vm.snapshotState();
        vm.prank(KEEPER);
        try executor.execute(job) returns (IExecutor.Outcome memory outcome) {
            Traces memory traces = _tracesOf(outcome);
            vm.revertToState(snapshot);
            _executeDone(job, outcome, traces);
        } catch {}
    }

    /// @dev What a job does is what its done items do in a job of their own (E4).
    function _executeDone(IExecutor.Job memory job, IExecutor.Outcome memory outcome, Traces memory traces) private {
        IExecutor.Item[] memory items = new IExecutor.Item[](job.items.length);
        uint256 count;
        for (uint256 i; i < items.length; ++i) {
            if (outcome.done >> i & 1 == 0) {
                assertEq(outcome.results[i].repaid + outcome.results[i].seized + outcome.results[i].left, 0);
                ++_failed;
                continue;
            }
            items[count++] = job.items[i];
            ++_done[job.items[i].target];
        }
        assembly ("memory-safe") {
            mstore(items, count)
        }
        job.items = items;
        vm.prank(KEEPER);
        IExecutor.Outcome memory alone = executor.execute(job);
        assertEq(alone.done, (1 << count) - 1, "an item fails without those that failed");
        assertEq(keccak256(abi.encode(_tracesOf(alone))), keccak256(abi.encode(traces)), "a failed item left something");
    }

    function _itemOf(uint256 seed, address profitToken) private view returns (IExecutor.Item memory item) {
        uint256 index = seed % _borrowers.length;
        uint8 target = _targets[index];
        // A loan on Morpho Blue may be liquidated by both ways.
        if ((target == MORPHO || target == PRE) && seed >> 32 & 1 == 0) target = seed >> 33 & 3 == 0 ? MORPHO : PRE;
        item = itemOf(target, _borrowers[index]);
        if (target == PRE && seed >> 40 & 3 != 0) {
            uint256 shares = morphoShares(_borrowers[index]) * (seed >> 48 & 63) / 100;
            item = preItemOf(_borrowers[index], _contractOf(seed >> 56), shares);
        }
        item.exactOut = seed >> 8 & 1 == 0;
        item.gasCap = seed >> 9 & 7 == 0 ? 100_000 : 1_500_000;
        if (seed >> 16 & 3 == 0) item.route = hop(V2, PAIR_FEE, address(loanToken));
        if (seed >> 16 & 3 == 1) {
            item.route = abi.encodePacked(hop(V2, PAIR_FEE, address(dai)), hop(V3, FEE, address(loanToken)));
        }
        address left = item.exactOut || item.target == AAVE ? address(coin) : address(loanToken);
        if (left != profitToken && seed >> 24 & 3 != 0) item.conversion = hop(V3, FEE, profitToken);
    }

    /// @dev Half of them the contract that accounts authorise at first.
    function _contractOf(uint256 seed) private view returns (address) {
        if (seed & 1 == 0) return address(preLiquidation);
        return seed & 2 == 0 ? _turning : _foreign[seed >> 2 & 1];
    }

    function _tracesOf(IExecutor.Outcome memory outcome) private view returns (Traces memory) {
        bytes32 positions;
        for (uint256 i; i < _borrowers.length; ++i) {
            positions = keccak256(abi.encode(positions, positionOn(_targets[i], _borrowers[i])));
        }
        (uint256 coins, uint256 dollars) = reservesOf(pair);
        bytes32 pools =
            keccak256(abi.encode(coins, dollars, coin.balanceOf(address(pool)), loanToken.balanceOf(address(pool))));
        return Traces({
            profit: outcome.profit,
            toBuilder: outcome.toBuilder,
            coins: coin.balanceOf(TREASURY),
            dollars: loanToken.balanceOf(TREASURY),
            positions: positions,
            pools: pools
        });
    }

    /* WHAT HOLDS */

    function invariant_E1_nothingIsLeft() public view {
        assertNothingLeft();
    }

    function invariant_E1_onlyProtocolsAreApproved() public view {
        address[9] memory others = [
            address(pool),
            address(pair),
            KEEPER,
            TREASURY,
            STRANGER,
            address(coin),
            address(preLiquidations),
            _foreign[0],
            _foreign[1]
        ];
        for (uint256 i; i < others.length; ++i) {
            assertEq(coin.allowance(address(executor), others[i]), 0);
            assertEq(loanToken.allowance(address(executor), others[i]), 0);
        }
    }

    /// @dev The actions liquidate, by every kind, and fail: otherwise the invariants would say nothing.
    function test_theActionsLiquidate() public {
        for (uint8 target = PLIMSOLL; target <= PRE; ++target) {
            open(target, type(uint256).max);
        }
        // At an LTV of 82.1 % pre-liquidations are all that there is.
        move(1_900);
        for (uint256 seed; seed < 64; ++seed) {
            execute(seed);
        }
        assertGt(_done[PRE], 0, "no pre-liquidation");
        assertEq(_done[PLIMSOLL] + _done[MORPHO] + _done[AAVE], 0);
        assertGt(_failed, 0, "no failure");
        choose(uint256(1) << 16 | 1 << 8 | 3);
        _price = 1_900;
        move(1);
        for (uint256 seed = 64; seed < 128; ++seed) {
            execute(seed);
        }
        for (uint8 target = PLIMSOLL; target <= PRE; ++target) {
            assertGt(_done[target], 0, vm.toString(target));
        }
        assertNothingLeft();
    }
}
