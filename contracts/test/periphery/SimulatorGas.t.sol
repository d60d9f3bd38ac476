// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {ISimulator} from "plimsoll/interfaces/ISimulator.sol";

/// @notice Answers with this many bytes.
contract LongAnswer {
    fallback() external {
        assembly {
            return(0, calldataload(0))
        }
    }
}

/// @notice The least gas with which a call is run, as the sum of what it may use and what is kept back for passing on the
/// results: 50,000 and the most return data for each call.
contract SimulatorGasLimitTest is Test {
    /// @dev Of the least gas, for the instructions that are not counted: less than what is kept back for a call.
    uint256 private constant TOLERANCE = 30_000;
    ISimulator private simulator;

    function setUp() public {
        simulator = ISimulator(deployCode("Simulator.sol:Simulator"));
    }

    function _calls(uint256 count, bool keep) private pure returns (ISimulator.Call[] memory calls) {
        calls = new ISimulator.Call[](count);
        for (uint256 i; i < count; ++i) {
            (calls[i].to, calls[i].keep) = (address(0xdead), keep);
        }
    }

    function _isRun(ISimulator.Call[] memory calls, uint256 maxReturn, uint256 index, uint256 gas)
        private
        returns (bool)
    {
        try simulator.run{gas: gas}(calls, maxReturn) returns (
            ISimulator.Site memory, ISimulator.Result[] memory results
        ) {
            return results[index].status == ISimulator.Status.Done;
        } catch {
            return false;
        }
    }

    function _assertLeastGas(ISimulator.Call[] memory calls, uint256 maxReturn, uint256 index, uint256 expected)
        private
    {
        (uint256 tooLittle, uint256 enough) = (0, 2 * expected);
        assertTrue(_isRun(calls, maxReturn, index, enough), "it is never run");
        while (enough - tooLittle > 100) {
            uint256 middle = (tooLittle + enough) / 2;
            if (_isRun(calls, maxReturn, index, middle)) enough = middle;
            else tooLittle = middle;
        }
        assertApproxEqAbs(enough, expected, TOLERANCE);
    }

    /// @dev Twice what is kept back must be left, for this call and for those after it.
    function test_asMuchIsKeptBackAsIsLeft() public {
        _assertLeastGas(_calls(3, false), 0, 0, 2 * 3 * 50_000);
        _assertLeastGas(_calls(3, false), 0, 2, 2 * 3 * 50_000);
    }

    function test_returnDataIsKeptBackForTheSequenceAlone() public {
        _assertLeastGas(_calls(2, false), 100_000, 1, 2 * (2 * 50_000 + 100_000));
        _assertLeastGas(_calls(3, true), 100_000, 0, 2 * (3 * 50_000 + 3 * 100_000));
    }

    /// @dev Two calls in one another, of the run and of its sequence, pass on at most 63/64 each.
    function test_aCallIsRunOnlyWithAllTheGasThatItMayUse() public {
        ISimulator.Call[] memory calls = _calls(1, false);
        calls[0].gas = 30_000_000;
        _assertLeastGas(calls, 0, 0, (uint256(30_000_000) * 64 / 63 + 50_000) * 64 / 63);
        calls = _calls(2, true);
        calls[1].gas = 30_000_000;
        _assertLeastGas(calls, 0, 1, (uint256(30_000_000) * 64 / 63 + 50_000) * 64 / 63);
    }

    /// @dev Memory for very long answers costs more than a unit a byte. The other results are still there.
    function test_aCallWhoseAnswerCannotBePassedOnIsNotRun() public {
        ISimulator.Call[] memory calls = _calls(1, false);
        calls[0] = ISimulator.Call(address(new LongAnswer()), 800_000, false, false, abi.encode(600_000));
        assertFalse(_isRun(calls, 600_000, 0, 2_160_000));
        (, ISimulator.Result[] memory results) = simulator.run{gas: 2_160_000}(calls, 600_000);
        assertEq(uint8(results[0].status), uint8(ISimulator.Status.NotRun));
        assertTrue(_isRun(calls, 600_000, 0, 30_000_000));
    }
}
