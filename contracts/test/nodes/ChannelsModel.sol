// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IChannels} from "plimsoll/interfaces/IChannels.sol";

/// @notice Payment channels as x402's specification states them, without signatures, tokens and ids: who calls, and
/// whether a signature is right, are arguments. One difference from the specification is the contract's, too: a claim
/// above the balance takes the balance.
contract ChannelsModel {
    struct State {
        uint256 deposits;
        uint256 returned;
        uint256 claimed;
        uint256 refunds;
        uint256 withdrawal;
        uint256 announced;
        bool pending;
    }

    struct Row {
        IChannels.ChannelConfig config;
        uint256 ceiling;
        uint256 total;
        bool signed;
    }

    mapping(bytes32 config => State) internal _states;
    mapping(address receiver => mapping(address token => uint256)) public claimedFor;
    mapping(address receiver => mapping(address token => uint256)) public settledFor;
    mapping(address account => mapping(address token => uint256)) public paidOut;

    /* ACTIONS */

    function deposit(IChannels.ChannelConfig calldata config, uint256 amount) external {
        if (config.withdrawDelay < 900 || config.withdrawDelay > 2_592_000) revert IChannels.WithdrawDelayOutOfRange();
        if (amount == 0) revert IChannels.ZeroDeposit();
        State storage state = _state(config);
        if (_balance(state) + amount >= 2 ** 128) revert IChannels.DepositOverflow();
        state.deposits += amount;
    }

    function depositFrom(address sender, IChannels.ChannelConfig calldata config, uint256 amount) external {
        if (config.withdrawDelay < 900 || config.withdrawDelay > 2_592_000) revert IChannels.WithdrawDelayOutOfRange();
        if (amount == 0) revert IChannels.ZeroDeposit();
        if (sender != config.payer) revert IChannels.NotPayer(sender, config.payer);
        this.deposit(config, amount);
    }

    function claim(address sender, Row[] calldata rows) external {
        if (rows.length == 0) revert IChannels.EmptyBatch();
        for (uint256 i; i < rows.length; ++i) {
            if (sender != rows[i].config.receiver && sender != rows[i].config.receiverAuthorizer) {
                revert IChannels.NotAuthorizedToClaim();
            }
        }
        _claim(rows);
    }

    /// @param signer of the batch
    function claimWithSignature(address signer, Row[] calldata rows) external {
        if (rows.length == 0) revert IChannels.EmptyBatch();
        if (signer != rows[0].config.receiverAuthorizer) revert IChannels.InvalidSignature();
        for (uint256 i; i < rows.length; ++i) {
            if (rows[i].config.receiverAuthorizer != signer) revert IChannels.NotReceiverAuthorizer();
        }
        _claim(rows);
    }

    function settle(address receiver, address token) external {
        paidOut[receiver][token] += claimedFor[receiver][token] - settledFor[receiver][token];
        settledFor[receiver][token] = claimedFor[receiver][token];
    }

    function initiateWithdraw(address sender, IChannels.ChannelConfig calldata config, uint256 amount) external {
        if (sender != config.payer && sender != config.payerAuthorizer) revert IChannels.InvalidChannel();
        if (amount == 0) revert IChannels.NothingToWithdraw();
        State storage state = _state(config);
        if (state.pending) revert IChannels.WithdrawalAlreadyPending();
        if (amount > _free(state)) revert IChannels.WithdrawAmountExceedsAvailable();
        (state.withdrawal, state.announced, state.pending) = (amount, block.timestamp, true);
    }

    function finalizeWithdraw(address sender, IChannels.ChannelConfig calldata config) external {
        if (sender != config.payer && sender != config.payerAuthorizer) {
            revert IChannels.NotAuthorizedToFinalizeWithdraw();
        }
        State storage state = _state(config);
        if (!state.pending) revert IChannels.WithdrawalNotPending();
        if (state.announced + config.withdrawDelay > block.timestamp) revert IChannels.WithdrawDelayNotElapsed();
        uint256 amount = state.withdrawal;
        (state.withdrawal, state.announced, state.pending) = (0, 0, false);
        _giveBack(config, state, amount);
    }

    function refund(address sender, IChannels.ChannelConfig calldata config, uint256 amount) external {
        if (sender != config.receiver && sender != config.receiverAuthorizer) {
            revert IChannels.NotAuthorizedToRefund();
        }
        _refund(config, amount);
    }

    function refundWithSignature(address signer, IChannels.ChannelConfig calldata config, uint256 amount, uint256 nonce)
        external
    {
        if (nonce != _state(config).refunds) revert IChannels.InvalidRefundNonce();
        if (signer != config.receiverAuthorizer) revert IChannels.InvalidSignature();
        _refund(config, amount);
    }

    /* STATE */

    function stateOf(IChannels.ChannelConfig calldata config) external view returns (State memory) {
        return _state(config);
    }

    function balanceOf(IChannels.ChannelConfig calldata config) external view returns (uint256) {
        return _balance(_state(config));
    }

    /* RULES */

    function _claim(Row[] calldata rows) private {
        for (uint256 i; i < rows.length; ++i) {
            _claimRow(rows[i]);
            IChannels.ChannelConfig calldata config = rows[i].config;
            bool isLast = i + 1 == rows.length || rows[i + 1].config.receiver != config.receiver
                || rows[i + 1].config.token != config.token;
            // A token with so many units is not one that exists. Consecutive rows are added up before they are counted.
            if (isLast && claimedFor[config.receiver][config.token] >= 2 ** 128) revert SafeCastLib.Overflow();
        }
    }

    function _claimRow(Row calldata row) private {
        State storage state = _state(row.config);
        if (row.total <= state.claimed) return;
        if (row.total > row.ceiling) revert IChannels.ClaimExceedsCeiling();
        uint256 gain = row.total - state.claimed;
        if (gain > _free(state)) gain = _free(state);
        if (gain == 0) return;
        if (!row.signed) revert IChannels.InvalidSignature();
        state.claimed += gain;
        claimedFor[row.config.receiver][row.config.token] += gain;
    }

    function _refund(IChannels.ChannelConfig calldata config, uint256 amount) private {
        if (amount == 0) revert IChannels.ZeroRefund();
        State storage state = _state(config);
        state.refunds += 1;
        uint256 given = _giveBack(config, state, amount);
        if (given == 0 || !state.pending) return;
        if (given < state.withdrawal) state.withdrawal -= given;
        else (state.withdrawal, state.announced, state.pending) = (0, 0, false);
    }

    function _giveBack(IChannels.ChannelConfig calldata config, State storage state, uint256 amount)
        private
        returns (uint256 given)
    {
        given = amount < _free(state) ? amount : _free(state);
        state.returned += given;
        paidOut[config.payer][config.token] += given;
    }

    function _balance(State storage state) private view returns (uint256) {
        return state.deposits - state.returned;
    }

    function _free(State storage state) private view returns (uint256) {
        return state.deposits - state.returned - state.claimed;
    }

    function _state(IChannels.ChannelConfig calldata config) private view returns (State storage) {
        return _states[keccak256(abi.encode(config))];
    }
}
