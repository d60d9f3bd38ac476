// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "../interfaces/IExecutor.sol";
import {IGasCharge} from "../interfaces/IGasCharge.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {GasCharge} from "../periphery/libraries/GasCharge.sol";
import {Pools} from "./Pools.sol";
import {Protocols} from "./Protocols.sol";
import {Route} from "./libraries/Route.sol";

/// @title Executor of liquidations without capital, on several lending protocols.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IExecutor`.
contract Executor is IExecutor, IGasCharge, Protocols {
    using Route for bytes;
    using Tokens for address;

    uint256 private constant BPS = 10_000;
    uint256 private constant MAX_ITEMS = 256;
    /// @dev What is needed besides an item's cap to call it and to note its failure.
    uint256 private constant ISOLATION_GAS = 20_000;
    /// @dev Enough for a builder's contract that logs what it receives.
    uint256 private constant BUILDER_GAS = 10_000;

    bool private transient _entered;

    constructor(address wrappedCoin_, Target[] memory targets, Venue[] memory venues)
        Protocols(wrappedCoin_, targets)
        Pools(venues)
    {}

    /// @dev Coins come from unwrapping, and from a market whose receipts are being redeemed for them. Markets send them with
    /// 2,300 gas, which suffices for transient storage.
    receive() external payable {
        if (msg.sender != address(WRAPPED_COIN) && msg.sender != _payer) revert UnexpectedCoins(msg.sender);
    }

    /// @inheritdoc IExecutor
    function execute(Job calldata job) external returns (Outcome memory outcome) {
        uint256 gasAtStart = gasleft();
        if (_entered) revert Reentered();
        _entered = true;
        _checkJob(job);

        uint256 held = job.profitToken.balanceOrZero(address(this));
        uint256 count = job.items.length;
        outcome.results = new ItemResult[](count);
        for (uint256 i; i < count; ++i) {
            bool done;
            (done, outcome.results[i]) = _attempt(job, i);
            if (done) outcome.done |= 1 << i;
        }
        if (outcome.done == 0) revert NothingDone();

        uint256 gain = _gainOf(job.profitToken, held);
        // What runs from here on is part of the overhead.
        uint256 required = job.minProfit
            + GasCharge.chargeUp(gasAtStart - gasleft() + job.gasOverhead, job.extraWei, job.unitsPerWeiX96);
        if (gain < required) revert ProfitTooLow(gain, required);
        outcome.toBuilder = _payBuilder((gain - required) * job.builderShareBps / BPS);
        outcome.profit = gain - outcome.toBuilder;
        _sweep(job.profitToken, job.receiver);
        emit Executed(msg.sender, job.receiver, job.profitToken, outcome.profit, outcome.toBuilder, outcome.done);
        _entered = false;
    }

    /// @inheritdoc IExecutor
    function runItem(Item calldata item, address profitToken, address receiver) external returns (ItemResult memory) {
        if (msg.sender != address(this)) revert OnlySelf(msg.sender);
        return _run(item, profitToken, receiver);
    }

    /// @inheritdoc IExecutor
    function wrappedCoin() external view returns (address) {
        return address(WRAPPED_COIN);
    }

    /// @inheritdoc IExecutor
    function targetAt(uint256 index) external view returns (Target memory) {
        return _targetAt(index);
    }

    /// @inheritdoc IExecutor
    function venueAt(uint256 index) external view returns (Venue memory) {
        return _venueAt(index);
    }

    /// @inheritdoc IExecutor
    function poolOf(uint256 venue, address tokenA, address tokenB, uint24 key) external view returns (address) {
        return _poolOf(_venueAt(venue), tokenA, tokenB, key);
    }

    function _checkJob(Job calldata job) private view {
        if (block.timestamp > job.deadline) revert DeadlinePassed(job.deadline, block.timestamp);
        if (job.receiver == address(0)) revert ZeroAddress();
        if (job.items.length > MAX_ITEMS) revert TooMany(job.items.length);
        bool isWrapped = job.profitToken == address(WRAPPED_COIN);
        if (job.builderShareBps > BPS || (job.builderShareBps != 0 && !isWrapped)) {
            revert InvalidBuilderShare(job.builderShareBps, job.profitToken);
        }
    }

    /// @dev Executes an item. If it is isolated its failure is an event, and costs no more than its cap.
    function _attempt(Job calldata job, uint256 index) private returns (bool done, ItemResult memory result) {
        Item calldata item = job.items[index];
        uint256 cap = item.gasCap;
        if (cap == 0) return (true, _run(item, job.profitToken, job.receiver));
        // A call gets at most 63/64 of what is left, and an item must not fail because its job has little gas.
        if (gasleft() < cap * 64 / 63 + ISOLATION_GAS) revert TooLittleGas(index);
        try this.runItem{gas: cap}(item, job.profitToken, job.receiver) returns (ItemResult memory returned) {
            return (true, returned);
        } catch {
            // Without naming the reason it is not copied, however long it is.
            bytes4 reason;
            assembly ("memory-safe") {
                if gt(returndatasize(), 3) {
                    returndatacopy(0x00, 0x00, 0x04)
                    reason := and(mload(0x00), shl(224, 0xffffffff))
                }
            }
            emit ItemFailed(index, reason);
        }
    }

    function _run(Item calldata item, address profitToken, address receiver)
        private
        returns (ItemResult memory result)
    {
        Target memory target = _targetAt(item.target);
        address leftToken = _buysFirst(target.kind) || item.exactOut ? item.collateral : item.debt;
        bytes memory conversion = item.conversion;
        address lastToken = conversion.length == 0 ? leftToken : profitToken;
        uint256 held = lastToken.balanceOrZero(address(this));

        (result.repaid, result.seized) = _liquidate(target, item);
        if (conversion.length != 0) {
            if (leftToken == profitToken || !conversion.leadsTo(profitToken)) {
                revert InvalidRoute(leftToken, profitToken, conversion);
            }
            uint256 left = leftToken.balanceOrZero(address(this));
            if (left != 0) _sell(leftToken, conversion, left);
        }
        result.left = _gainOf(lastToken, held);
        if (result.left < item.minLeft) revert TooLittleLeft(result.left, item.minLeft);
        if (item.debt != profitToken) _sweep(item.debt, receiver);
        if (item.collateral != profitToken) _sweep(item.collateral, receiver);
    }

    /// @dev Pays the block's builder. If it takes no coins the share stays in the profit.
    function _payBuilder(uint256 amount) private returns (uint256) {
        if (amount == 0) return 0;
        WRAPPED_COIN.withdraw(amount);
        address builder = block.coinbase;
        bool paid;
        assembly ("memory-safe") {
            // No return data are copied.
            paid := call(BUILDER_GAS, builder, amount, 0, 0, 0, 0)
        }
        if (paid) return amount;
        WRAPPED_COIN.deposit{value: amount}();
        return 0;
    }

    /// @dev Returns by how much the balance exceeds an earlier one.
    function _gainOf(address token, uint256 held) private view returns (uint256) {
        uint256 balance = token.balanceOrZero(address(this));
        return balance > held ? balance - held : 0;
    }

    function _sweep(address token, address receiver) private {
        token.push(receiver, token.balanceOrZero(address(this)));
    }
}
