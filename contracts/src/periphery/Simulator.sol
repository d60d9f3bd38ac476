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
    /// @dev `Status.NotRun`, for assembly.
    uint256 internal constant NOT_RUN = 2;

    /// @dev Like the account without code whose place this code takes, it accepts every call.
    fallback() external payable {}

    receive() external payable {}

    /// @inheritdoc ISimulator
    /// @dev The decision on a liquidation waits for this. So the calls go to each sequence as they came, and each result is
    /// encoded once, where it is made: what a compiler makes of these lists takes the node longer than most of the calls.
    function run(Call[] calldata calls, uint256 maxReturn) external returns (Site memory, Result[] memory) {
        (uint256 input, uint256 inputSize) = _inputOfIsolated(calls, maxReturn);
        uint256 count = calls.length;
        uint256 output;
        uint256 heads;
        // The first block has none before it, and `blockhash` of no block is zero.
        assembly ("memory-safe") {
            output := mload(0x40)
            mstore(output, number())
            mstore(add(output, 0x20), timestamp())
            mstore(add(output, 0x40), blockhash(sub(number(), 1)))
            mstore(add(output, 0x60), 0x80)
            mstore(add(output, 0x80), count)
            heads := add(output, 0xa0)
            mstore(0x40, add(heads, shl(5, count)))
        }
        bool isEnough = true;
        uint256 end;
        for (uint256 start; start < count; start = end) {
            end = start + 1;
            while (calls[end - 1].keep && end < count) ++end;
            // What is kept back takes in the results of this sequence and passes over the others.
            uint256 reserve = (count - start) * RESERVE + (end - start) * maxReturn;
            uint256 left = gasleft();
            isEnough = isEnough && left >= 2 * reserve;
            bool isRun = isEnough;
            assembly ("memory-safe") {
                let result := mload(0x40)
                if isRun {
                    mstore(add(input, 0x04), start)
                    mstore(add(input, 0x24), end)
                    pop(call(sub(left, reserve), address(), 0, input, inputSize, 0, 0))
                    // Nothing comes back where the gas did not suffice for the results.
                    isRun := iszero(iszero(returndatasize()))
                    returndatacopy(result, 0, returndatasize())
                }
                for { let i := start } lt(i, end) { i := add(i, 1) } {
                    if iszero(isRun) {
                        mstore(result, NOT_RUN)
                        mstore(add(result, 0x20), 0)
                        mstore(add(result, 0x40), 0x60)
                        mstore(add(result, 0x60), 0)
                    }
                    mstore(add(heads, shl(5, i)), sub(result, heads))
                    result := add(result, and(add(mload(add(result, 0x60)), 0x9f), not(0x1f)))
                }
                mstore(0x40, result)
            }
        }
        assembly ("memory-safe") {
            return(output, sub(mload(0x40), output))
        }
    }

    /// @inheritdoc ISimulator
    function isolated(uint256 start, uint256 end, Call[] calldata calls, uint256 maxReturn) external {
        if (msg.sender != address(this)) revert OnlySelf();
        uint256 output;
        assembly ("memory-safe") {
            output := mload(0x40)
        }
        bool isComplete = true;
        for (uint256 i = start; i < end; ++i) {
            // Of the remaining gas a call gets at most 63/64. With less than it may use it could fail where a
            // transaction would not.
            uint256 needed = uint256(calls[i].gas) * 64 / 63 + (end - i) * (RESERVE + maxReturn);
            bool isRun = isComplete && gasleft() >= needed;
            _execute(calls[i], maxReturn, isRun);
            // What follows a call that was not run would see another state, if that could have changed any.
            isComplete = isComplete && (isRun || calls[i].isStatic);
        }
        assembly ("memory-safe") {
            revert(output, sub(mload(0x40), output))
        }
    }

    /// @dev Runs a call if it is to be run, and appends its encoded result to what is in memory.
    function _execute(Call calldata call, uint256 maxReturn, bool isRun) internal {
        (address to, uint256 gasLimit, bool isStatic, bytes calldata data) =
            (call.to, call.gas, call.isStatic, call.data);
        assembly ("memory-safe") {
            let result := mload(0x40)
            let answer := add(result, 0x80)
            let size := 0
            mstore(result, NOT_RUN)
            mstore(add(result, 0x20), 0)
            mstore(add(result, 0x40), 0x60)
            if isRun {
                // A transaction finds its recipient warm. A call without gas makes it so, and does nothing else.
                pop(staticcall(0, to, 0, 0, 0, 0))
                calldatacopy(answer, data.offset, data.length)
                let gasBefore := gas()
                let isDone := 0
                switch isStatic
                case 0 { isDone := call(gasLimit, to, 0, answer, data.length, 0, 0) }
                default { isDone := staticcall(gasLimit, to, answer, data.length, 0, 0) }
                mstore(add(result, 0x20), sub(gasBefore, gas()))
                mstore(result, iszero(isDone))
                // What is not copied costs nothing here.
                size := returndatasize()
                if gt(size, maxReturn) { size := maxReturn }
                returndatacopy(answer, 0, size)
                mstore(add(answer, size), 0)
            }
            mstore(add(result, 0x60), size)
            mstore(0x40, add(answer, and(add(size, 0x1f), not(0x1f))))
        }
    }

    /// @dev The calldata of `isolated` in memory, of which `start` and `end` are to be filled in: the list of calls follows as it
    /// came, since all that it says of places is relative to its own.
    function _inputOfIsolated(Call[] calldata calls, uint256 maxReturn)
        internal
        pure
        returns (uint256 input, uint256 inputSize)
    {
        bytes4 selector = this.isolated.selector;
        assembly ("memory-safe") {
            input := mload(0x40)
            let list := sub(calls.offset, 0x20)
            let listSize := sub(calldatasize(), list)
            mstore(input, selector)
            mstore(add(input, 0x44), 0x80)
            mstore(add(input, 0x64), maxReturn)
            calldatacopy(add(input, 0x84), list, listSize)
            inputSize := add(0x84, listSize)
            mstore(0x40, and(add(add(input, inputSize), 0x1f), not(0x1f)))
        }
    }
}
