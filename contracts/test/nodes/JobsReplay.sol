// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Test.sol";
import {IJobs} from "plimsoll/interfaces/IJobs.sol";
import {INodes} from "plimsoll/interfaces/INodes.sol";

/// @notice Rebuilds jobs and nodes from their events alone. Times follow from the blocks of the events and are not compared.
contract JobsReplay {
    address internal immutable BOARD;
    address internal immutable NODES;

    mapping(uint256 id => IJobs.Job) internal _jobs;
    mapping(uint256 id => IJobs.Seat[]) internal _seats;
    mapping(uint32 id => INodes.Node) internal _nodes;
    mapping(uint32 id => mapping(address account => uint256)) public sharesOf;
    mapping(address account => uint256) public owed;

    constructor(address board, address nodes) {
        (BOARD, NODES) = (board, nodes);
    }

    function apply_(Vm.Log[] memory logs) external {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter == BOARD) _applyJob(logs[i].topics, logs[i].data);
            else if (logs[i].emitter == NODES) _applyNode(logs[i].topics, logs[i].data);
        }
    }

    function digestOf(uint256 id) external view returns (bytes32) {
        return digestOf(_jobs[id], _seats[id]);
    }

    function digestOfNode(uint32 id) external view returns (bytes32) {
        return digestOf(_nodes[id]);
    }

    /// @dev Without times, and the length of the list, which the events of weights tell.
    function digestOf(IJobs.Job memory j, IJobs.Seat[] memory seats) public pure returns (bytes32) {
        (j.deadline, j.roundAt, j.leaves) = (0, 0, 0);
        return keccak256(abi.encode(j, seats));
    }

    function digestOf(INodes.Node memory n) public pure returns (bytes32) {
        return keccak256(abi.encode(n));
    }

    function _applyJob(bytes32[] memory topics, bytes memory data) private {
        bytes32 event_ = topics[0];
        if (event_ == IJobs.Owe.selector) {
            owed[address(uint160(uint256(topics[1])))] += abi.decode(data, (uint256));
            return;
        }
        if (event_ == IJobs.WithdrawOwed.selector) {
            owed[address(uint160(uint256(topics[1])))] = 0;
            return;
        }
        uint256 id = uint256(topics[1]);
        IJobs.Job storage j = _jobs[id];
        if (event_ == IJobs.Post.selector) {
            (uint256 k, uint256 price, uint256 drawBlock,) = abi.decode(data, (uint256, uint256, uint256, bytes));
            (j.poster, j.kind, j.k) = (address(uint160(uint256(topics[2]))), topics[3], uint8(k));
            (j.price, j.drawBlock, j.round, j.state) = (uint128(price), uint64(drawBlock), 1, IJobs.State.Open);
        } else if (event_ == IJobs.Audit.selector) {
            (j.receipt, j.accused, j.claimed) = (topics[2], uint32(uint256(topics[3])), abi.decode(data, (bytes32)));
        } else if (event_ == IJobs.Draw.selector) {
            (uint32[] memory nodes,) = abi.decode(data, (uint32[], uint256));
            for (uint256 i; i < nodes.length; ++i) {
                _seats[id].push(IJobs.Seat(0, nodes[i], uint8(uint256(topics[2])), IJobs.SeatState.Drawn));
            }
            (j.state, j.committed, j.revealed) = (IJobs.State.Drawn, 0, 0);
        } else if (event_ == IJobs.Commit.selector) {
            IJobs.Seat storage s = _seats[id][uint256(topics[2])];
            (s.hash, s.state) = (abi.decode(data, (bytes32)), IJobs.SeatState.Committed);
            ++j.committed;
        } else if (event_ == IJobs.Reveal.selector) {
            IJobs.Seat storage s = _seats[id][uint256(topics[2])];
            (bytes32 result,,) = abi.decode(data, (bytes32, bytes, bytes32));
            (s.hash, s.state) = (result, IJobs.SeatState.Revealed);
            ++j.revealed;
        } else if (event_ == IJobs.Close.selector) {
            // A second round is settled at once.
            if (uint256(topics[2]) == 1) (j.state, j.result) = (IJobs.State.Submitted, abi.decode(data, (bytes32)));
        } else if (event_ == IJobs.Challenge.selector) {
            (, uint256 drawBlock) = abi.decode(data, (uint256, uint256));
            (j.challenger, j.round) = (address(uint160(uint256(topics[2]))), 2);
            (j.drawBlock, j.state) = (uint64(drawBlock), IJobs.State.Open);
        } else if (event_ == IJobs.Settle.selector) {
            (bytes32 result,,) = abi.decode(data, (bytes32, uint256, uint256));
            (j.state, j.result) = (result == 0 ? IJobs.State.Rejected : IJobs.State.Completed, result);
        } else {
            bool expired = event_ == IJobs.Expire.selector;
            if (uint256(topics[2]) == 1) j.state = expired ? IJobs.State.Expired : IJobs.State.Rejected;
            else (j.state, j.round) = (IJobs.State.Submitted, 1);
        }
    }

    function _applyNode(bytes32[] memory topics, bytes memory data) private {
        bytes32 event_ = topics[0];
        if (event_ == INodes.Compact.selector) return;
        uint32 id = uint32(uint256(topics[1]));
        INodes.Node storage n = _nodes[id];
        if (event_ == INodes.Register.selector) {
            (, uint16 cutBps,) = abi.decode(data, (address, uint16, string));
            (n.operator, n.kind) = (address(uint160(uint256(topics[2]))), topics[3]);
            (n.cutBps, n.factor) = (cutBps, 2 ** 96);
        } else if (event_ == INodes.Delegate.selector) {
            (uint256 assets, uint256 shares) = abi.decode(data, (uint256, uint256));
            n.active.assets += uint128(assets);
            n.active.shares += uint128(shares);
            sharesOf[id][address(uint160(uint256(topics[2])))] += shares;
        } else if (event_ == INodes.Slash.selector) {
            (uint256 own, uint256 burnt, uint256 ownUnbonding, uint256 active, uint256 unbonding, uint256 factor) =
                abi.decode(data, (uint256, uint256, uint256, uint256, uint256, uint256));
            n.active.assets -= uint128(own + active);
            n.active.shares -= uint128(burnt);
            n.unbonding -= uint128(ownUnbonding + unbonding);
            n.factor = uint128(factor);
            sharesOf[id][n.operator] -= burnt;
        } else if (event_ == INodes.Weight.selector) {
            (uint32 leaf,, uint256 stake) = abi.decode(data, (uint32, uint256, uint256));
            (n.leaf, n.emissionStake) = (leaf, uint128(stake));
        } else if (event_ == INodes.Pause.selector) {
            n.paused = true;
        } else if (event_ == INodes.Resume.selector) {
            (n.paused, n.jailedUntil) = (false, 0);
        } else if (event_ == INodes.Jail.selector) {
            n.jailedUntil = uint40(abi.decode(data, (uint256)));
        }
    }
}
