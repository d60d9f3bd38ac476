// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Trial of calls in the state of a block.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Executes calls, reports what each returned and the gas that it used, and leaves no trace. It is never
/// deployed: a state override of `eth_call` gives its code to the account that the calls are to come from, for the time
/// of one request.
interface ISimulator {
    /// @notice What became of a call.
    /// `Done`: it returned.
    /// `Reverted`: it reverted, or used up the gas that it was given.
    /// `NotRun`: too little gas was left to give it what it may use; ask again with fewer calls.
    enum Status {
        Done,
        Reverted,
        NotRun
    }

    /// @notice A call.
    /// @param to the account that is called
    /// @param gas the most that the call may use
    /// @param keep whether the next call sees the effects of this one and of those that it was kept with
    /// @param isStatic whether it fails where it tries to change anything
    struct Call {
        address to;
        uint64 gas;
        bool keep;
        bool isStatic;
        bytes data;
    }

    /// @notice The result of a call.
    /// @param gasUsed the gas of its execution, without what a transaction costs before it, and before refunds; what a call
    /// before it in its sequence has read or written costs less to read or write again
    /// @param data what it returned or reverted with, no more than `maxReturn` bytes of it
    struct Result {
        Status status;
        uint64 gasUsed;
        bytes data;
    }

    /// @notice The block in whose state the calls were executed: a node may answer for another than was asked for.
    /// @param number as contracts see it; on some chains that of another layer
    /// @param timestamp in seconds
    /// @param parentHash the hash of the block before `number`
    struct Site {
        uint64 number;
        uint64 timestamp;
        bytes32 parentHash;
    }

    /// @notice The caller is another account.
    error OnlySelf();

    /// @notice Executes calls in their order. Calls that are kept and the one that follows them are a sequence: each sees
    /// the effects of those before it, and all are undone before the next one begins. A call by itself is a sequence of
    /// one.
    /// @param maxReturn the most bytes of return data that are copied for each call
    function run(Call[] calldata calls, uint256 maxReturn) external returns (Site memory site, Result[] memory results);

    /// @notice Executes one sequence, the calls from `start` until before `end`, and reverts with their encoded results one after
    /// the other, which undoes it. Only for `run`.
    function isolated(uint256 start, uint256 end, Call[] calldata calls, uint256 maxReturn) external;
}
