// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {ExecutorTest} from "./ExecutorTest.sol";

/// @notice Items of a job are isolated from each other.
contract ExecutorIsolationTest is ExecutorTest {
    uint32 private constant CAP = 1_000_000;

    address[3] private borrowers;

    /// @dev A loan on each protocol, all of them liquidatable.
    function setUp() public override {
        super.setUp();
        for (uint8 target = PLIMSOLL; target <= AAVE; ++target) {
            borrowers[target] = makeAddr(string.concat("borrower", vm.toString(target)));
            openOn(target, borrowers[target]);
        }
        crashTo(1_800);
    }

    /// @dev Three protocols in one job, with one profit token.
    function test_oneJobLiquidatesOnAllProtocols() public {
        IExecutor.Outcome memory outcome = run(_jobOfAll());
        assertEq(outcome.done, 7);
        uint256 sum;
        for (uint256 i; i < 3; ++i) {
            assertGt(outcome.results[i].repaid, 0);
            sum += outcome.results[i].left;
        }
        assertEq(outcome.profit, sum);
        assertEq(loanToken.balanceOf(TREASURY), sum);
        assertNothingLeft();
    }

    /// @dev Any subset of items may be lost to rivals; the others are done, and nothing of the lost ones remains.
    function test_E4_lostItemsDoNotFailTheJob(uint8 lost) public {
        lost = uint8(bound(lost, 0, 6));
        IExecutor.Job memory job = _jobOfAll();
        for (uint8 target = PLIMSOLL; target <= AAVE; ++target) {
            if (lost & (1 << target) != 0) _takeAway(target);
        }
        IExecutor.Outcome memory outcome = run(job);
        assertEq(outcome.done, 7 & ~uint256(lost));
        for (uint256 i; i < 3; ++i) {
            assertEq(outcome.results[i].left != 0, lost & (1 << i) == 0);
        }
        assertNothingLeft();
    }

    /// @dev A failed item tells the first bytes of its error, however it failed.
    function test_aFailureIsAnEventWithItsReason() public {
        IExecutor.Job memory job = _jobOfAll();
        job.items[0].minLeft = type(uint128).max;
        job.items[1].gasCap = 50_000;
        vm.recordLogs();
        IExecutor.Outcome memory outcome = run(job);
        assertEq(outcome.done, 4);
        bytes4[2] memory reasons = [IExecutor.TooLittleLeft.selector, bytes4(0)];
        uint256 found;
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IExecutor.ItemFailed.selector) continue;
            assertEq(uint256(logs[i].topics[1]), found);
            assertEq(abi.decode(logs[i].data, (bytes4)), reasons[found++]);
        }
        assertEq(found, 2);
    }

    function test_whenNoItemIsDoneTheJobReverts() public {
        IExecutor.Job memory job = _jobOfAll();
        for (uint8 target = PLIMSOLL; target <= AAVE; ++target) {
            _takeAway(target);
        }
        vm.expectRevert(IExecutor.NothingDone.selector);
        run(job);
        job.items = new IExecutor.Item[](0);
        vm.expectRevert(IExecutor.NothingDone.selector);
        run(job);
    }

    /// @dev Without a cap the reason passes on.
    function test_anItemThatIsNotIsolatedFailsTheJob() public {
        IExecutor.Job memory job = _jobOfAll();
        job.items[1].gasCap = 0;
        job.items[1].minLeft = type(uint128).max;
        vm.expectPartialRevert(IExecutor.TooLittleLeft.selector);
        run(job);
    }

    /// @dev What a failure costs besides its cap.
    function test_E4_aFailureCostsItsCapAndLittleMore(uint32 cap) public {
        cap = uint32(bound(cap, 30_000, 100_000));
        IExecutor.Job memory job = _jobOfAll();
        uint256 snapshot = vm.snapshotState();
        IExecutor.Item[] memory items = job.items;
        job.items = new IExecutor.Item[](1);
        job.items[0] = items[2];
        run(job);
        uint256 alone = vm.lastCallGas().gasTotalUsed;
        vm.revertToState(snapshot);
        job.items = new IExecutor.Item[](2);
        (job.items[0], job.items[1]) = (items[0], items[2]);
        job.items[0].gasCap = cap;
        run(job);
        assertLe(vm.lastCallGas().gasTotalUsed, alone + cap + 12_000);
    }

    /// @dev An item must not be lost because the transaction has little gas: the job reverts instead.
    function test_aJobWithTooLittleGasForACapReverts() public {
        IExecutor.Job memory job = _jobOfAll();
        vm.expectRevert(abi.encodeWithSelector(IExecutor.TooLittleGas.selector, 0));
        vm.prank(KEEPER);
        executor.execute{gas: CAP}(job);
    }

    function test_tooManyItemsAreRefused() public {
        IExecutor.Job memory job = _jobOfAll();
        job.items = new IExecutor.Item[](257);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.TooMany.selector, 257));
        run(job);
    }

    /* HELPERS */

    /// @dev All profit in dollars: what Aave leaves in coins is converted.
    function _jobOfAll() private view returns (IExecutor.Job memory) {
        IExecutor.Item[] memory items = new IExecutor.Item[](3);
        for (uint8 target = PLIMSOLL; target <= AAVE; ++target) {
            items[target] = itemOf(target, borrowers[target]);
            items[target].gasCap = CAP;
        }
        items[AAVE].conversion = hop(V3, FEE, address(loanToken));
        return jobOf(items, address(loanToken));
    }

    /// @dev Others repay the loan.
    function _takeAway(uint8 target) private {
        run(jobOf(itemOf(target, borrowers[target])));
    }
}
