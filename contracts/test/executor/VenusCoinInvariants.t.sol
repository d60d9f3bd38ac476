// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {TestToken} from "../support/TestToken.sol";
import {IVBnb, VenusCoinPool} from "./VenusCoinPool.sol";
import {IVenusCore} from "./VenusCorePool.sol";
import {IVToken} from "./VenusPool.sol";

interface IReceipts {
    function transfer(address to, uint256 receipts) external returns (bool);
}

/// @notice Named as a pool's Liquidator. It liquidates and passes on what it seizes, or does neither.
contract TurningLiquidator {
    enum Mode {
        Liquidate,
        Take,
        GiveBack,
        Enter
    }

    TestToken private immutable DOLLAR;
    address private immutable COIN_MARKET;
    Mode private _mode;
    bytes private _entry;

    constructor(TestToken dollar, address coinMarket) {
        (DOLLAR, COIN_MARKET) = (dollar, coinMarket);
    }

    receive() external payable {}

    function turn(Mode mode, bytes calldata entry) external {
        (_mode, _entry) = (mode, entry);
    }

    function liquidateBorrow(address market, address borrower, uint256 repay, address collateral) external payable {
        bool inCoins = msg.value != 0;
        if (!inCoins) DOLLAR.transferFrom(msg.sender, address(this), repay);
        bool done;
        // Whether these two are accepted shows in what the executor has afterwards.
        if (_mode == Mode.GiveBack) (done,) = msg.sender.call{value: address(this).balance}("");
        if (_mode == Mode.Enter) (done,) = msg.sender.call(_entry);
        if (_mode != Mode.Liquidate) return;
        if (inCoins) {
            IVBnb(COIN_MARKET).liquidateBorrow{value: repay}(borrower, collateral);
        } else {
            DOLLAR.approve(market, repay);
            require(IVToken(market).liquidateBorrow(borrower, repay, collateral) == 0, "refused");
        }
        IReceipts(collateral).transfer(msg.sender, IVToken(collateral).balanceOf(address(this)));
    }
}

/// @notice Whatever jobs say of the market of the chain's own coin, and no matter who liquidates there: no coin stays in the
/// executor, wrapped or not, and failed items leave nothing.
contract ExecutorVenusCoinInvariantsTest is VenusCoinPool {
    address[] private _borrowers;
    uint256 private _price = 1_800;
    /// @dev Items done, of accounts that owe dollars and of those that owe coins.
    uint256[2] private _done;
    uint256 private _failed;
    TurningLiquidator private _turning;

    function setUp() public override {
        super.setUp();
        targetContract(address(this));
        bytes4[] memory selectors = new bytes4[](4);
        selectors[0] = this.open.selector;
        selectors[1] = this.move.selector;
        selectors[2] = this.execute.selector;
        selectors[3] = this.name.selector;
        targetSelector(FuzzSelector({addr: address(this), selectors: selectors}));
        if (!venusIsInstalled()) return;
        _turning = new TurningLiquidator(loanToken, address(vCoin));
        vm.deal(address(_turning), 10e18);
        _borrowers.push(BORROWER);
    }

    /* ACTIONS */

    function open(bool owesCoins, uint256 debt) public {
        if (_borrowers.length == 0 || _borrowers.length == 8) return;
        address who = makeAddr(string.concat("account", vm.toString(_borrowers.length)));
        _borrowers.push(who);
        if (owesCoins) {
            openOwingCoins(who, bound(debt, 0.1e18, 10_000e18 * 79 / 100 / _price));
            return;
        }
        supplyCoins(who, 5e18);
        address[] memory markets = new address[](1);
        markets[0] = address(vCoin);
        vm.startPrank(who);
        comptroller.enterMarkets(markets);
        vUsd.borrow(bound(debt, 100e6, 5e6 * _price * 79 / 100));
        vm.stopPrank();
    }

    function move(uint256 price) public {
        price = bound(price, _price * 88 / 100, _price * 112 / 100);
        if (_borrowers.length == 0 || price < 500 || price > 8_000 || price == _price) return;
        _price = price;
        crashTo(price);
        vm.roll(vm.getBlockNumber() + 100);
    }

    /// @notice The pool's owner names its Liquidator, or another one.
    function name(uint8 mode, uint256 seed) public {
        if (_borrowers.length == 0) return;
        IVenusCore core = IVenusCore(address(comptroller));
        address named = mode & 4 == 0 ? address(_turning) : address(venusLiquidator);
        if (core.liquidatorContract() != named) core._setLiquidatorContract(named);
        IExecutor.Item memory item = _itemOf(seed, address(coin));
        bytes memory entry = seed & 1 == 0
            ? abi.encodeCall(IExecutor.execute, (_jobOf(item, address(coin))))
            : abi.encodeCall(IExecutor.runItem, (item, address(coin), address(_turning)));
        _turning.turn(TurningLiquidator.Mode(mode & 3), entry);
    }

    /// @notice A job of up to three accounts, which says of each what may be wrong.
    function execute(uint256 seed) public {
        if (_borrowers.length == 0) return;
        address profitToken = seed >> 8 & 1 == 0 ? address(coin) : address(loanToken);
        IExecutor.Item[] memory items = new IExecutor.Item[](1 + seed % 3);
        for (uint256 i; i < items.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            items[i] = _itemOf(seed, profitToken);
        }
        IExecutor.Job memory job = _jobOf(items[0], profitToken);
        job.items = items;
        uint256 snapshot = vm.snapshotState();
        try executor.execute(job) returns (IExecutor.Outcome memory outcome) {
            bytes32 traces = _traces();
            vm.revertToState(snapshot);
            _executeDone(job, outcome, traces);
        } catch {
            ++_failed;
        }
    }

    /// @dev What a job does is what its done items do in a job of their own (E4).
    function _executeDone(IExecutor.Job memory job, IExecutor.Outcome memory outcome, bytes32 traces) private {
        IExecutor.Item[] memory items = new IExecutor.Item[](job.items.length);
        uint256 count;
        for (uint256 i; i < items.length; ++i) {
            if (outcome.done >> i & 1 == 0) {
                ++_failed;
                continue;
            }
            items[count++] = job.items[i];
            ++_done[job.items[i].debt == address(coin) ? 1 : 0];
        }
        assembly ("memory-safe") {
            mstore(items, count)
        }
        job.items = items;
        IExecutor.Outcome memory alone = executor.execute(job);
        assertEq(alone.done, (1 << count) - 1, "an item fails without those that failed");
        assertEq(alone.profit, outcome.profit);
        assertEq(_traces(), traces, "a failed item left something");
    }

    function _jobOf(IExecutor.Item memory item, address profitToken) private view returns (IExecutor.Job memory job) {
        job = jobOf(BORROWER);
        (job.items[0], job.profitToken) = (item, profitToken);
    }

    function _itemOf(uint256 seed, address profitToken) private view returns (IExecutor.Item memory item) {
        address who = _borrowers[seed % _borrowers.length];
        bool owesCoins = vCoin.borrowBalanceStored(who) != 0;
        item = (owesCoins ? jobOfCoins(who) : jobOf(who)).items[0];
        item.maxRepay = uint128(uint256(item.maxRepay) * (1 + (seed >> 16 & 63)) / 64);
        (item.gasCap, item.minLeft) = (3_000_000, 1);
        if (seed >> 24 & 1 == 0) item.route = abi.encodePacked(uint8(0), PAIR_FEE, item.debt);
        if (item.collateral != profitToken) item.conversion = abi.encodePacked(uint8(1), FEE, profitToken);
        IExecutor.CompoundLoan memory data = abi.decode(item.data, (IExecutor.CompoundLoan));
        if (seed >> 32 & 7 == 0) data.byLiquidator = false;
        if (seed >> 40 & 7 == 0) data.debtInCoin = !data.debtInCoin;
        if (seed >> 48 & 7 == 0) data.collateralInCoin = !data.collateralInCoin;
        if (seed >> 56 & 15 == 0) data.collateralMarket = data.debtMarket;
        item.data = abi.encode(data);
    }

    /// @dev What jobs change: accounts, what the treasury has, and what the Liquidators have.
    function _traces() private view returns (bytes32 traces) {
        for (uint256 i; i < _borrowers.length; ++i) {
            address who = _borrowers[i];
            traces = keccak256(
                abi.encode(
                    traces,
                    vUsd.borrowBalanceStored(who),
                    vCoin.borrowBalanceStored(who),
                    vUsd.balanceOf(who),
                    vCoin.balanceOf(who)
                )
            );
        }
        address[2] memory others = [TREASURY, address(_turning)];
        for (uint256 i; i < others.length; ++i) {
            traces = keccak256(
                abi.encode(traces, coin.balanceOf(others[i]), loanToken.balanceOf(others[i]), others[i].balance)
            );
        }
    }

    /* WHAT HOLDS */

    function invariant_E1_noCoinStays() public onVenus {
        assertNoCoins();
    }

    function invariant_E1_noLiquidatorIsApproved() public onVenus {
        address[2] memory liquidators = [address(_turning), address(venusLiquidator)];
        for (uint256 i; i < liquidators.length; ++i) {
            assertEq(coin.allowance(address(executor), liquidators[i]), 0);
            assertEq(loanToken.allowance(address(executor), liquidators[i]), 0);
        }
    }

    /// @dev The actions liquidate both kinds, by either Liquidator, and fail: otherwise the invariants would say nothing.
    function test_theActionsLiquidate() public onVenus {
        for (uint256 i; i < 4; ++i) {
            open(i % 2 == 0, type(uint256).max);
        }
        uint256 snapshot = vm.snapshotState();
        for (uint8 mode; mode < 5; ++mode) {
            name(mode, mode);
            for (uint256 step; step < 5; ++step) {
                // Down to where coins are too little as collateral, and up to where they are too much as debt.
                move(step < 2 ? 0 : type(uint256).max);
                for (uint256 seed; seed < 6; ++seed) {
                    execute(uint256(keccak256(abi.encode(step, seed))));
                }
            }
            bool liquidates = mode & 3 == 0;
            assertEq(_done[0] != 0, liquidates, "debts in dollars");
            assertEq(_done[1] != 0, liquidates, "debts in coins");
            assertGt(_failed, 0, "no failure");
            assertNoCoins();
            vm.revertToState(snapshot);
        }
    }
}
