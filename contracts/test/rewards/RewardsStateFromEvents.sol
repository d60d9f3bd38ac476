// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Vm} from "forge-std/Vm.sol";

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

/// @notice The state of `Rewards` rebuilt from its events alone, as a keeper does (A8 for rewards).
contract RewardsStateFromEvents {
    uint256 private constant WEEK = 1 weeks;

    struct StreamFromEvents {
        uint256 accumulator;
        uint256 lastUpdate;
        uint256 remainder;
        uint256 epochAmount;
        uint256 lastFundedEpoch;
        uint256 funded;
        mapping(uint256 epoch => uint256) scheduled;
    }

    mapping(bytes32 pool => address[]) internal _tokens;
    mapping(bytes32 pool => mapping(address token => StreamFromEvents)) internal _streams;
    mapping(bytes32 pool => uint256) public totalStaked;
    mapping(bytes32 pool => mapping(address account => uint256)) public staked;
    mapping(bytes32 pool => mapping(address token => mapping(address account => uint128))) public rewardOffset;
    mapping(bytes32 pool => mapping(address token => mapping(address account => IRewards.HarvestConsent))) internal
        _consents;

    /// @notice Applies the logs of one block, of which `timestamp` is the time.
    function applyLogs(Vm.Log[] calldata logs, address emitter, uint256 timestamp) external {
        for (uint256 i; i < logs.length; i++) {
            if (logs[i].emitter == emitter) _apply(logs[i], timestamp);
        }
    }

    function streamState(bytes32 pool, address token) external view returns (IRewards.StreamState memory) {
        StreamFromEvents storage s = _streams[pool][token];
        return IRewards.StreamState({
            accumulator: s.accumulator,
            lastUpdate: s.lastUpdate,
            remainder: s.remainder,
            epochAmount: s.epochAmount,
            lastFundedEpoch: s.lastFundedEpoch,
            funded: s.funded
        });
    }

    function scheduled(bytes32 pool, address token, uint256 epoch) external view returns (uint256) {
        return _streams[pool][token].scheduled[epoch];
    }

    function harvestConsent(bytes32 pool, address token, address account)
        external
        view
        returns (IRewards.HarvestConsent memory)
    {
        return _consents[pool][token][account];
    }

    function _apply(Vm.Log calldata log, uint256 timestamp) private {
        bytes32 event_ = log.topics[0];
        bytes32 pool = log.topics[1];
        address second = log.topics.length > 2 ? address(uint160(uint256(log.topics[2]))) : address(0);
        address third = log.topics.length > 3 ? address(uint160(uint256(log.topics[3]))) : address(0);
        if (event_ == IRewards.CreatePool.selector) {
            (address[] memory tokens,) = abi.decode(log.data, (address[], bytes32));
            _tokens[pool] = tokens;
            for (uint256 i; i < tokens.length; i++) {
                _streams[pool][tokens[i]].lastUpdate = timestamp;
            }
        } else if (event_ == IRewards.Fund.selector) {
            (uint256 first, uint256 epochs, uint256 amount) = abi.decode(log.data, (uint256, uint256, uint256));
            StreamFromEvents storage s = _streams[pool][second];
            for (uint256 i; i < epochs; i++) {
                _schedule(s, first + i, amount / epochs, timestamp);
            }
            _schedule(s, first, amount % epochs, timestamp);
            s.funded += amount;
        } else if (event_ == IRewards.Defer.selector) {
            _schedule(_streams[pool][second], uint256(log.topics[3]), abi.decode(log.data, (uint256)), timestamp);
        } else if (event_ == IRewards.Accrue.selector) {
            (uint256 increase, uint256 remainder) = abi.decode(log.data, (uint256, uint256));
            StreamFromEvents storage s = _streams[pool][second];
            if (timestamp / WEEK > s.lastUpdate / WEEK) s.epochAmount = s.scheduled[timestamp / WEEK];
            s.accumulator += increase;
            s.remainder = remainder;
            s.lastUpdate = timestamp;
        } else if (event_ == IRewards.Stake.selector) {
            _increase(pool, third, abi.decode(log.data, (uint256)));
        } else if (event_ == IRewards.Unstake.selector) {
            (, uint256 amount) = abi.decode(log.data, (address, uint256));
            _decrease(pool, second, amount);
        } else if (event_ == IRewards.Claim.selector) {
            (, uint256 amount) = abi.decode(log.data, (address, uint256));
            _pay(pool, second, third, amount);
        } else if (event_ == IRewards.Harvest.selector) {
            (uint256 amount, uint256 tip, bool compounded) = abi.decode(log.data, (uint256, uint256, bool));
            _pay(pool, second, third, amount);
            if (compounded) _increase(pool, third, amount - tip);
        } else if (event_ == IRewards.SetHarvestConsent.selector) {
            _consents[pool][second][third] = abi.decode(log.data, (IRewards.HarvestConsent));
        }
    }

    function _schedule(StreamFromEvents storage s, uint256 epoch, uint256 amount, uint256 timestamp) private {
        s.scheduled[epoch] += amount;
        if (epoch > timestamp / WEEK && epoch > s.lastFundedEpoch) s.lastFundedEpoch = epoch;
    }

    function _increase(bytes32 pool, address account, uint256 amount) private {
        totalStaked[pool] += amount;
        staked[pool][account] += amount;
        address[] memory tokens = _tokens[pool];
        for (uint256 i; i < tokens.length; i++) {
            uint256 accumulator = _streams[pool][tokens[i]].accumulator;
            unchecked {
                uint256 product = amount * accumulator;
                rewardOffset[pool][tokens[i]][account] += uint128(product >> 72) + (product % 2 ** 72 == 0 ? 0 : 1);
            }
        }
    }

    function _decrease(bytes32 pool, address account, uint256 amount) private {
        totalStaked[pool] -= amount;
        staked[pool][account] -= amount;
        address[] memory tokens = _tokens[pool];
        for (uint256 i; i < tokens.length; i++) {
            uint256 accumulator = _streams[pool][tokens[i]].accumulator;
            unchecked {
                rewardOffset[pool][tokens[i]][account] -= uint128(amount * accumulator >> 72);
            }
        }
    }

    function _pay(bytes32 pool, address token, address account, uint256 amount) private {
        unchecked {
            rewardOffset[pool][token][account] += uint128(amount << 24);
        }
    }
}
