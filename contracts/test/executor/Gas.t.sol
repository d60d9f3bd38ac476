// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILiquidator} from "plimsoll/interfaces/ILiquidator.sol";
import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {ExecutorTest} from "./ExecutorTest.sol";

/// @notice The gas of one liquidation of each kind, and of what the executor adds: figures of
/// docs/explanation/measurements.md, printed with `-vv` and, with cold slots as in a transaction, `--isolate`.
contract ExecutorGasTest is ExecutorTest {
    function test_gasOfEachKind() public {
        string[3] memory names = ["Plimsoll", "Morpho Blue", "Aave v3"];
        uint256[3] memory bounds = [uint256(330_000), 330_000, 480_000];
        for (uint8 target = PLIMSOLL; target <= AAVE; ++target) {
            openOn(target, BORROWER);
        }
        crashTo(1_800);
        for (uint8 target = PLIMSOLL; target <= AAVE; ++target) {
            IExecutor.Job memory job = jobOf(itemOf(target, BORROWER));
            run(_jobOfOther(target));
            uint256 snapshot = vm.snapshotState();
            uint256 plain = _gasOf(job);
            vm.revertToState(snapshot);
            job.items[0].gasCap = 1_000_000;
            uint256 isolated = _gasOf(job);
            vm.revertToState(snapshot);
            emit log_named_uint(names[target], plain);
            emit log_named_uint("  isolated, besides", isolated - plain);
            assertLe(plain, bounds[target]);
            assertLe(isolated - plain, 12_000);
        }
    }

    /// @dev One loan of the core through the same pool, by both contracts.
    function test_gasBesideTheLiquidator() public {
        openOn(PLIMSOLL, BORROWER);
        crashTo(1_800);
        run(_jobOfOther(PLIMSOLL));
        uint256 snapshot = vm.snapshotState();
        uint256 executorGas = _gasOf(jobOf(itemOf(PLIMSOLL, BORROWER)));
        vm.revertToState(snapshot);
        address[] memory swappers = new address[](1);
        swappers[0] =
            deployCode("UniswapV3Swapper.sol:UniswapV3Swapper", abi.encode(uniswapV3Factory, poolInitCodeHash()));
        ILiquidator liquidator = ILiquidator(deployCode("Liquidator.sol:Liquidator", abi.encode(plimsoll, swappers)));
        ILiquidator.Liquidation memory wanted;
        wanted.params = params;
        wanted.borrowers = new address[](1);
        wanted.borrowers[0] = BORROWER;
        wanted.maxRepay = type(uint256).max;
        wanted.swapper = swappers[0];
        wanted.route = abi.encodePacked(coin, FEE, loanToken);
        wanted.receiver = TREASURY;
        wanted.deadline = vm.getBlockTimestamp();
        vm.prank(KEEPER);
        liquidator.liquidate(wanted);
        uint256 liquidatorGas = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint("executor", executorGas);
        emit log_named_uint("liquidator", liquidatorGas);
    }

    /// @dev The first liquidation approves the protocol, which later ones need not.
    function _jobOfOther(uint8 target) private returns (IExecutor.Job memory) {
        address other = makeAddr("other");
        oracle.set(priceOf(2_000));
        openOn(target, other);
        oracle.set(priceOf(1_800));
        return jobOf(itemOf(target, other));
    }

    function _gasOf(IExecutor.Job memory job) private returns (uint256) {
        run(job);
        return vm.lastCallGas().gasTotalUsed;
    }
}
