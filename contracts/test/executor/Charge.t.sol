// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {IGasCharge} from "plimsoll/interfaces/IGasCharge.sol";
import {ExecutorTest} from "./ExecutorTest.sol";

/// @notice Executes a job at a price of gas and measures the call. Where each call of a test is a transaction of its own
/// (`--isolate`), that transaction's price is 0 until it is set inside of it, and its gas is not that of the call alone.
contract MeasuringKeeper is Test {
    function execute(IExecutor executor, IExecutor.Job calldata job, uint256 price)
        external
        returns (bool done, bytes memory answer, uint256 used)
    {
        vm.txGasPrice(price);
        bytes memory call = abi.encodeCall(IExecutor.execute, (job));
        uint256 gas = gasleft();
        (done, answer) = address(executor).call(call);
        used = gas - gasleft();
    }
}

/// @notice The charge for gas, the builder's share, and what a job must be.
contract ExecutorChargeTest is ExecutorTest {
    /// @dev One unit of the profit token for one wei.
    uint128 private constant ONE = 2 ** 96;
    /// @dev Gas of the call that is not measured: dispatch, decoding, the profit's transfer, the event, the return.
    uint256 private constant UNMEASURED = 60_000;

    address private constant BUILDER = address(0xb111de5);

    MeasuringKeeper private immutable MEASURING = new MeasuringKeeper();

    function setUp() public override {
        super.setUp();
        openOn(AAVE, BORROWER);
        crashTo(1_800);
        vm.coinbase(BUILDER);
    }

    /* THE CHARGE */

    /// @dev Fees besides gas are converted to the unit, rounded up.
    function test_E5_theChargeIsExactToTheUnit(uint256 extraWei, uint256 rate, uint256 minProfit) public {
        vm.txGasPrice(0);
        IExecutor.Job memory job = _job();
        uint256 profit = _profit(job);
        job.minProfit = bound(minProfit, 0, profit);
        job.unitsPerWeiX96 = uint128(bound(rate, 1, type(uint128).max));
        uint256 most = (2 * (profit - job.minProfit) + 2) * ONE / job.unitsPerWeiX96;
        job.extraWei = bound(extraWei, 0, most > type(uint128).max ? type(uint128).max : most);
        uint256 product = job.extraWei * job.unitsPerWeiX96;
        uint256 required = job.minProfit + product / ONE + (product % ONE == 0 ? 0 : 1);
        if (profit < required) {
            vm.expectRevert(abi.encodeWithSelector(IGasCharge.ProfitTooLow.selector, profit, required));
            run(job);
        } else {
            assertEq(run(job).profit, profit);
        }
    }

    /// @dev The same bytes charge more at a higher price, so any replacement is guarded.
    function test_E5_theSameBytesAreGuardedAtEveryPrice(uint256 price) public {
        price = bound(price, 1, 1e15);
        IExecutor.Job memory job = _unreachable();
        (uint256 gas,) = _charged(job, 1);
        (uint256 charged,) = _charged(job, price);
        assertGt(gas, 0);
        assertEq(charged, gas * price);
    }

    function test_allGasUpToTheGuardIsMeasured() public {
        IExecutor.Job memory job = _unreachable();
        (uint256 charged, uint256 used) = _charged(job, 1);
        assertGt(charged, 0);
        assertLe(charged, used);
        assertLe(used, charged + UNMEASURED);
    }

    /// @dev Whatever the price of gas and the rate, a call that succeeds earns what it costs.
    function test_E5_aSuccessfulCallEarnsWhatItCosts(uint256 price, uint256 rate, uint256 minProfit) public {
        IExecutor.Job memory job = _job();
        price = bound(price, 0, 1e12);
        job.unitsPerWeiX96 = uint128(bound(rate, 0, ONE));
        (job.minProfit, job.gasOverhead) = (bound(minProfit, 0, 0.2e18), UNMEASURED);
        (bool done, bytes memory answer, uint256 used) = MEASURING.execute(executor, job, price);
        if (done) {
            uint256 profit = abi.decode(answer, (IExecutor.Outcome)).profit;
            assertGe(profit, job.minProfit + used * price * job.unitsPerWeiX96 / ONE);
            assertEq(coin.balanceOf(TREASURY), profit);
        } else {
            assertEq(bytes4(answer), IGasCharge.ProfitTooLow.selector);
            assertEq(coin.balanceOf(TREASURY), 0);
        }
    }

    function test_E5_profitIsBoundedToTheUnit() public {
        vm.txGasPrice(0);
        IExecutor.Job memory job = _job();
        uint256 profit = _profit(job);
        job.minProfit = profit + 1;
        vm.expectRevert(abi.encodeWithSelector(IGasCharge.ProfitTooLow.selector, profit, profit + 1));
        run(job);
        job.minProfit = profit;
        assertEq(run(job).profit, profit);
    }

    function test_aCostBeyondTheBoundIsRefused() public {
        vm.txGasPrice(0);
        IExecutor.Job memory job = _job();
        (job.unitsPerWeiX96, job.extraWei) = (1, uint256(type(uint128).max) + 1);
        vm.expectRevert(abi.encodeWithSelector(IGasCharge.CostTooHigh.selector, job.extraWei));
        run(job);
    }

    /// @dev Tokens that somebody sent here are not profit, and go to the next receiver.
    function test_E1_strayTokensAreNotProfit(uint256 stray) public {
        stray = bound(stray, 1, eth(100));
        IExecutor.Job memory job = _job();
        uint256 profit = _profit(job);
        coin.mint(address(executor), stray);
        loanToken.mint(address(executor), stray);
        assertEq(run(job).profit, profit);
        assertEq(coin.balanceOf(TREASURY), profit + stray);
        assertEq(loanToken.balanceOf(TREASURY), stray);
        assertNothingLeft();
    }

    /* THE BUILDER'S SHARE */

    /// @dev The share is of what exceeds the required profit, in coins.
    function test_theBuilderGetsItsShareOfTheRest(uint16 shareBps, uint256 minProfit) public {
        vm.txGasPrice(0);
        IExecutor.Job memory job = _job();
        uint256 gain = _profit(job);
        job.minProfit = bound(minProfit, 0, gain);
        job.builderShareBps = uint16(bound(shareBps, 0, BPS));
        IExecutor.Outcome memory outcome = run(job);
        assertEq(outcome.toBuilder, (gain - job.minProfit) * job.builderShareBps / BPS);
        assertEq(BUILDER.balance, outcome.toBuilder);
        assertEq(outcome.profit, gain - outcome.toBuilder);
        assertGe(outcome.profit, job.minProfit);
        assertEq(coin.balanceOf(TREASURY), outcome.profit);
        assertNothingLeft();
    }

    /// @dev A builder that takes no coins, or that wants more gas than it gets, fails nothing.
    function test_aBuilderThatTakesNothingLeavesTheProfit() public {
        vm.txGasPrice(0);
        IExecutor.Job memory job = _job();
        job.builderShareBps = 5_000;
        uint256 snapshot = vm.snapshotState();
        bytes[2] memory codes = [bytes(hex"5f5ffd"), hex"5b5f56"];
        for (uint256 i; i < codes.length; ++i) {
            vm.etch(BUILDER, codes[i]);
            IExecutor.Outcome memory outcome = run(job);
            assertEq(outcome.toBuilder, 0);
            assertEq(coin.balanceOf(TREASURY), outcome.profit);
            assertEq(BUILDER.balance, 0);
            assertNothingLeft();
            vm.revertToState(snapshot);
        }
    }

    function test_shareOfAnotherTokenOrAboveAllIsRefused() public {
        IExecutor.Job memory job = _job();
        job.builderShareBps = 10_001;
        vm.expectRevert(abi.encodeWithSelector(IExecutor.InvalidBuilderShare.selector, 10_001, address(coin)));
        run(job);
        (job.builderShareBps, job.profitToken) = (1, address(loanToken));
        vm.expectRevert(abi.encodeWithSelector(IExecutor.InvalidBuilderShare.selector, 1, address(loanToken)));
        run(job);
    }

    /* JOBS AND CONSTRUCTION */

    function test_theEventReportsTheProfit() public {
        IExecutor.Job memory job = _job();
        uint256 profit = _profit(job);
        vm.expectEmit(address(executor));
        emit IExecutor.Executed(KEEPER, TREASURY, address(coin), profit, 0, 1);
        run(job);
    }

    function test_theDeadlineIsTheLastSecond() public {
        IExecutor.Job memory job = _job();
        job.deadline = vm.getBlockTimestamp() - 1;
        vm.expectRevert(abi.encodeWithSelector(IExecutor.DeadlinePassed.selector, job.deadline, vm.getBlockTimestamp()));
        run(job);
        job.deadline = vm.getBlockTimestamp();
        run(job);
    }

    function test_theZeroAddressIsRefusedAsReceiver() public {
        IExecutor.Job memory job = _job();
        job.receiver = address(0);
        vm.expectRevert(IExecutor.ZeroAddress.selector);
        run(job);
    }

    function test_whatIsFixedAtConstructionCanBeRead() public view {
        assertEq(executor.wrappedCoin(), address(coin));
        address[3] memory targets = [address(plimsoll), address(morpho), address(aave)];
        for (uint256 i; i < targets.length; ++i) {
            assertEq(executor.targetAt(i).account, targets[i]);
            assertEq(uint8(executor.targetAt(i).kind), i);
        }
        IExecutor.Venue[] memory list = venues();
        for (uint256 i; i < list.length; ++i) {
            assertEq(keccak256(abi.encode(executor.venueAt(i))), keccak256(abi.encode(list[i])));
        }
        assertEq(executor.poolOf(V3, address(loanToken), address(coin), FEE), address(pool));
        assertEq(executor.poolOf(V2, address(coin), address(loanToken), 0), address(pair));
    }

    /// @dev The hashes that the examples of manifests name are those of the published code.
    function test_thePublishedPoolsHaveTheKnownHashes() public view {
        assertEq(pairInitCodeHash(), 0x96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f);
        assertEq(poolInitCodeHash(), 0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54);
    }

    /// @dev Eight of each are read back in their places; nine are refused, and so is an address without code.
    function test_constructionIsChecked() public {
        bytes memory code = vm.getCode("Executor.sol:Executor");
        IExecutor.Target[] memory targets = new IExecutor.Target[](8);
        IExecutor.Venue[] memory list = new IExecutor.Venue[](8);
        for (uint256 i; i < 8; ++i) {
            targets[i] = IExecutor.Target(IExecutor.TargetKind(i % 4), i % 2 == 0 ? address(aave) : address(morpho));
            list[i] = IExecutor.Venue(IExecutor.VenueKind(i % 2), address(uniswapV2Factory), bytes32(i + 1));
        }
        IExecutor full = IExecutor(this.create(abi.encodePacked(code, abi.encode(coin, targets, list))));
        for (uint256 i; i < 8; ++i) {
            assertEq(keccak256(abi.encode(full.targetAt(i))), keccak256(abi.encode(targets[i])));
            assertEq(keccak256(abi.encode(full.venueAt(i))), keccak256(abi.encode(list[i])));
        }
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NotListed.selector, 8));
        full.targetAt(8);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NotListed.selector, 8));
        full.venueAt(8);

        bytes memory refusal = abi.encodeWithSelector(IExecutor.TooMany.selector, 9);
        bytes memory arguments = abi.encode(coin, new IExecutor.Target[](9), list);
        expectCreationRefused(abi.encodePacked(code, arguments), refusal);
        arguments = abi.encode(coin, targets, new IExecutor.Venue[](9));
        expectCreationRefused(abi.encodePacked(code, arguments), refusal);
        refusal = abi.encodeWithSelector(IExecutor.NoCode.selector, STRANGER);
        expectCreationRefused(abi.encodePacked(code, abi.encode(STRANGER, targets, list)), refusal);
        targets[7].account = STRANGER;
        expectCreationRefused(abi.encodePacked(code, abi.encode(coin, targets, list)), refusal);
        (targets[7].account, list[0].deployer) = (address(aave), STRANGER);
        expectCreationRefused(abi.encodePacked(code, abi.encode(coin, targets, list)), refusal);
    }

    /// @dev The largest contract that chains accept.
    function test_theCodeFits() public view {
        assertLe(address(executor).code.length, 24_576);
    }

    /* HELPERS */

    /// @dev A job whose profit is in the wrapped coin.
    function _job() private view returns (IExecutor.Job memory) {
        return jobOf(itemOf(AAVE, BORROWER));
    }

    /// @dev What a job would earn, without carrying it out.
    function _profit(IExecutor.Job memory job) private returns (uint256 profit) {
        uint256 snapshot = vm.snapshotState();
        profit = run(job).profit;
        vm.revertToState(snapshot);
    }

    /// @dev A job whose charge no profit covers, in wei of the wrapped coin.
    function _unreachable() private view returns (IExecutor.Job memory job) {
        job = _job();
        (job.unitsPerWeiX96, job.extraWei) = (ONE, 2 ** 100);
    }

    /// @dev What is charged for gas at this price, as the refusal says, and the gas of the call.
    function _charged(IExecutor.Job memory job, uint256 price) private returns (uint256 charged, uint256 used) {
        bool done;
        bytes memory answer;
        (done, answer, used) = MEASURING.execute(executor, job, price);
        assertFalse(done);
        assertEq(bytes4(answer), IGasCharge.ProfitTooLow.selector);
        assembly ("memory-safe") {
            charged := mload(add(answer, 0x44))
        }
        charged -= job.extraWei;
    }
}
