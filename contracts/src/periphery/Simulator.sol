// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ISimulator} from "../interfaces/ISimulator.sol";

/// @title Simulator.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `ISimulator`.
contract Simulator is ISimulator {
    /// @dev Gas for the bookkeeping of a call besides a unit for each byte of its return data: more than copying its
    /// calldata and encoding its result take.
    uint256 internal constant RESERVE = 50_000;

    /// @dev Like the account without code whose place this code takes, it accepts every call.
    fallback() external payable {}

    receive() external payable {}

    /// @inheritdoc ISimulator
    function run(Call[] calldata calls, uint256 maxReturn)
        external
        returns (Site memory site, Result[] memory results)
    {
        // The first block has none before it, and `blockhash` of no block is zero.
        unchecked {
            site = Site(uint64(block.number), uint64(block.timestamp), blockhash(block.number - 1));
        }
        results = _notRun(calls.length);
        uint256 end;
        for (uint256 start; start < calls.length; start = end) {
            end = start + 1;
            while (calls[end - 1].keep && end < calls.length) ++end;
            // What is kept back decodes the results of this sequence and passes over the others.
            uint256 reserve = (calls.length - start) * RESERVE + (end - start) * maxReturn;
            uint256 left = gasleft();
            if (left < 2 * reserve) break;
            try this.isolated{gas: left - reserve}(_slice(calls, start, end), maxReturn) {}
            catch (bytes memory outcome) {
                if (outcome.length == 0) continue;
                Result[] memory sequence = abi.decode(outcome, (Result[]));
                for (uint256 i; i < sequence.length; ++i) {
                    results[start + i] = sequence[i];
                }
            }
        }
    }

    /// @inheritdoc ISimulator
    function isolated(Call[] calldata sequence, uint256 maxReturn) external {
        if (msg.sender != address(this)) revert OnlySelf();
        Result[] memory results = _notRun(sequence.length);
        for (uint256 i; i < sequence.length; ++i) {
            // Of the remaining gas a call gets at most 63/64. With less than it may use it could fail where a
            // transaction would not. What follows a call that was not run would see another state.
            uint256 needed = uint256(sequence[i].gas) * 64 / 63 + (sequence.length - i) * (RESERVE + maxReturn);
            if (gasleft() < needed) break;
            _execute(results[i], sequence[i], maxReturn);
        }
        bytes memory outcome = abi.encode(results);
        assembly ("memory-safe") {
            revert(add(outcome, 0x20), mload(outcome))
        }
    }

    function _execute(Result memory result, Call calldata call, uint256 maxReturn) internal {
        bytes memory data = call.data;
        (address to, uint256 gasLimit) = (call.to, call.gas);
        // A transaction finds its recipient warm. A call without gas makes it so, and does nothing else.
        assembly ("memory-safe") {
            pop(staticcall(0, to, 0, 0, 0, 0))
        }
        uint256 gasBefore = gasleft();
        bool done;
        assembly ("memory-safe") {
            done := call(gasLimit, to, 0, add(data, 0x20), mload(data), 0, 0)
        }
        result.gasUsed = uint64(gasBefore - gasleft());
        result.status = done ? Status.Done : Status.Reverted;
        // What is not copied costs nothing here.
        bytes memory returned;
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, maxReturn) { size := maxReturn }
            returned := mload(0x40)
            mstore(returned, size)
            returndatacopy(add(returned, 0x20), 0, size)
            mstore(0x40, and(add(add(returned, 0x3f), size), not(0x1f)))
        }
        result.data = returned;
    }

    function _slice(Call[] calldata calls, uint256 start, uint256 end) internal pure returns (Call[] memory slice) {
        slice = new Call[](end - start);
        for (uint256 i; i < slice.length; ++i) {
            slice[i] = calls[start + i];
        }
    }

    function _notRun(uint256 calls) internal pure returns (Result[] memory results) {
        results = new Result[](calls);
        for (uint256 i; i < calls; ++i) {
            results[i].status = Status.NotRun;
        }
    }
}
