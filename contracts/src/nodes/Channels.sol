// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IChannels} from "../interfaces/IChannels.sol";
import {IDepositCollector} from "../interfaces/IDepositCollector.sol";
import {Multicall} from "../libraries/Multicall.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {StrictSignatures} from "./libraries/StrictSignatures.sol";

/// @title Payment channels.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IChannels`.
/// @dev Each entry is locked while it runs, so a token, a collector and a signer that call back change nothing. Tokens
/// are pulled before state is written and pushed after it.
contract Channels is IChannels, EIP712 {
    using EfficientHashLib for bytes32[];
    using Tokens for address;

    uint256 private constant MIN_WITHDRAW_DELAY = 15 minutes;
    uint256 private constant MAX_WITHDRAW_DELAY = 30 days;

    bytes private constant CLAIM_ENTRY_TYPE =
        "ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)";
    bytes32 private constant CHANNEL_CONFIG_TYPEHASH = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );
    bytes32 private constant REFUND_TYPEHASH = keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
    bytes32 private constant CLAIM_ENTRY_TYPEHASH = keccak256(CLAIM_ENTRY_TYPE);
    bytes32 private constant CLAIM_BATCH_TYPEHASH =
        keccak256(bytes.concat("ClaimBatch(ClaimEntry[] claims)", CLAIM_ENTRY_TYPE));
    /// @inheritdoc IChannels
    bytes32 public constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");

    struct Channel {
        uint128 balance;
        uint128 totalClaimed;
    }

    struct Withdrawal {
        uint128 amount;
        uint40 initiatedAt;
    }

    struct Receiver {
        uint128 totalClaimed;
        uint128 totalSettled;
    }

    /// @inheritdoc IChannels
    mapping(bytes32 channelId => Channel) public channels;
    /// @inheritdoc IChannels
    mapping(bytes32 channelId => Withdrawal) public pendingWithdrawals;
    /// @inheritdoc IChannels
    mapping(bytes32 channelId => uint256) public refundNonce;
    /// @inheritdoc IChannels
    mapping(address receiver => mapping(address token => Receiver)) public receivers;

    /// @dev 1 during a call, else 0. A whole word, so that setting it needs no read of other values in the slot.
    uint256 private transient _entered;

    modifier nonReentrant() {
        if (_entered != 0) revert Reentered();
        _entered = 1;
        _;
        _entered = 0;
    }

    /* DEPOSITS */

    /// @inheritdoc IChannels
    function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData)
        external
        nonReentrant
    {
        _checkDeposit(config, amount);
        if (collector == address(0)) revert InvalidCollector();
        bytes32 id = _channelId(_domainSeparator(), config);
        uint256 before = IERC20(config.token).balanceOf(address(this));
        IDepositCollector(collector).collect(config.payer, config.token, amount, id, collectorData);
        _credit(id, config, amount, before);
    }

    /// @inheritdoc IChannels
    function depositFrom(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        _checkDeposit(config, amount);
        if (msg.sender != config.payer) revert NotPayer(msg.sender, config.payer);
        uint256 before = IERC20(config.token).balanceOf(address(this));
        config.token.pull(msg.sender, amount);
        _credit(_channelId(_domainSeparator(), config), config, amount, before);
    }

    /* CLAIMS */

    /// @inheritdoc IChannels
    function claim(VoucherClaim[] calldata voucherClaims) external nonReentrant {
        uint256 count = voucherClaims.length;
        if (count == 0) revert EmptyBatch();
        bytes32 separator = _domainSeparator();
        bytes32[] memory ids = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            ChannelConfig calldata config = voucherClaims[i].voucher.channel;
            if (!_isReceiverSide(config)) revert NotAuthorizedToClaim();
            ids[i] = _channelId(separator, config);
        }
        _claim(separator, voucherClaims, ids);
    }

    /// @inheritdoc IChannels
    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external
        nonReentrant
    {
        uint256 count = voucherClaims.length;
        if (count == 0) revert EmptyBatch();
        bytes32 separator = _domainSeparator();
        address authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
        (bytes32 digest, bytes32[] memory ids) = _claimBatchDigest(separator, voucherClaims);
        if (!StrictSignatures.isValid(authorizer, digest, authorizerSignature)) revert InvalidSignature();
        for (uint256 i = 1; i < count; ++i) {
            if (voucherClaims[i].voucher.channel.receiverAuthorizer != authorizer) revert NotReceiverAuthorizer();
        }
        _claim(separator, voucherClaims, ids);
    }

    /// @inheritdoc IChannels
    function settle(address receiver, address token) external nonReentrant {
        Receiver storage sums = receivers[receiver][token];
        uint128 claimed = sums.totalClaimed;
        uint128 amount = claimed - sums.totalSettled;
        if (amount == 0) return;
        sums.totalSettled = claimed;
        emit Settled(receiver, token, msg.sender, amount);
        token.push(receiver, amount);
    }

    /* WITHDRAWALS AND REFUNDS */

    /// @inheritdoc IChannels
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (!_isPayerSide(config)) revert InvalidChannel();
        if (amount == 0) revert NothingToWithdraw();
        bytes32 id = _channelId(_domainSeparator(), config);
        Withdrawal storage pending = pendingWithdrawals[id];
        if (pending.initiatedAt != 0) revert WithdrawalAlreadyPending();
        if (amount > _available(id)) revert WithdrawAmountExceedsAvailable();
        pending.amount = amount;
        pending.initiatedAt = uint40(block.timestamp);
        // A channel with a balance has a delay within its bounds, so this fits.
        emit WithdrawInitiated(id, amount, uint40(block.timestamp + config.withdrawDelay));
    }

    /// @inheritdoc IChannels
    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant {
        if (!_isPayerSide(config)) revert NotAuthorizedToFinalizeWithdraw();
        bytes32 id = _channelId(_domainSeparator(), config);
        Withdrawal memory pending = pendingWithdrawals[id];
        if (pending.initiatedAt == 0) revert WithdrawalNotPending();
        if (block.timestamp < uint256(pending.initiatedAt) + config.withdrawDelay) revert WithdrawDelayNotElapsed();
        uint128 amount = uint128(FixedPointMathLib.min(pending.amount, _available(id)));
        delete pendingWithdrawals[id];
        channels[id].balance -= amount;
        emit WithdrawFinalized(id, msg.sender, amount);
        _pushToPayer(id, config, amount);
    }

    /// @inheritdoc IChannels
    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (!_isReceiverSide(config)) revert NotAuthorizedToRefund();
        _refund(_channelId(_domainSeparator(), config), config, amount);
    }

    /// @inheritdoc IChannels
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external nonReentrant {
        bytes32 separator = _domainSeparator();
        bytes32 id = _channelId(separator, config);
        if (nonce != refundNonce[id]) revert InvalidRefundNonce();
        bytes32 digest = _refundDigest(separator, id, nonce, amount);
        if (!StrictSignatures.isValid(config.receiverAuthorizer, digest, receiverAuthorizerSignature)) {
            revert InvalidSignature();
        }
        _refund(id, config, amount);
    }

    /// @inheritdoc IChannels
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        return Multicall.run(calls);
    }

    /* VIEWS */

    /// @inheritdoc IChannels
    function getChannelId(ChannelConfig calldata config) external view returns (bytes32) {
        return _channelId(_domainSeparator(), config);
    }

    /// @inheritdoc IChannels
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32) {
        return _voucherDigest(_domainSeparator(), channelId, maxClaimableAmount);
    }

    /// @inheritdoc IChannels
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) external view returns (bytes32) {
        return _refundDigest(_domainSeparator(), channelId, nonce, amount);
    }

    /// @inheritdoc IChannels
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32 digest) {
        (digest,) = _claimBatchDigest(_domainSeparator(), voucherClaims);
    }

    /// @inheritdoc IChannels
    function eip712Domain()
        public
        view
        override(EIP712, IChannels)
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        return EIP712.eip712Domain();
    }

    /* INTERNAL */

    function _checkDeposit(ChannelConfig calldata config, uint128 amount) private pure {
        if (
            config.payer == address(0) || config.receiver == address(0) || config.receiverAuthorizer == address(0)
                || config.token == address(0)
        ) revert InvalidChannel();
        if (config.withdrawDelay < MIN_WITHDRAW_DELAY || config.withdrawDelay > MAX_WITHDRAW_DELAY) {
            revert WithdrawDelayOutOfRange();
        }
        if (amount == 0) revert ZeroDeposit();
    }

    /// @dev Adds what has arrived to the channel. `before` is this contract's balance of the token before.
    function _credit(bytes32 id, ChannelConfig calldata config, uint128 amount, uint256 before) private {
        if (IERC20(config.token).balanceOf(address(this)) - before != amount) revert DepositCollectionFailed();
        Channel memory channel = channels[id];
        if (amount > type(uint128).max - channel.balance) revert DepositOverflow();
        channel.balance += amount;
        channels[id].balance = channel.balance;
        if (channel.balance == amount && channel.totalClaimed == 0) emit ChannelCreated(id, config);
        emit Deposited(id, msg.sender, amount, channel.balance);
    }

    /// @dev Applies the rows, whose senders were checked. Consecutive rows of one receiver and token are added up and
    /// written once.
    function _claim(bytes32 separator, VoucherClaim[] calldata rows, bytes32[] memory ids) private {
        address receiver = rows[0].voucher.channel.receiver;
        address token = rows[0].voucher.channel.token;
        uint256 sum;
        for (uint256 i; i < ids.length; ++i) {
            ChannelConfig calldata config = rows[i].voucher.channel;
            if (config.receiver != receiver || config.token != token) {
                _addClaimed(receiver, token, sum);
                (receiver, token, sum) = (config.receiver, config.token, 0);
            }
            sum += _claimRow(separator, rows[i], ids[i]);
        }
        _addClaimed(receiver, token, sum);
    }

    /// @return claimed by this row
    function _claimRow(bytes32 separator, VoucherClaim calldata row, bytes32 id) private returns (uint128 claimed) {
        Channel storage channel = channels[id];
        (uint128 total, uint128 balance, uint128 before) = (row.totalClaimed, channel.balance, channel.totalClaimed);
        if (total <= before) return 0;
        Voucher calldata voucher = row.voucher;
        uint128 ceiling = voucher.maxClaimableAmount;
        if (total > ceiling) revert ClaimExceedsCeiling();
        if (total > balance) total = balance;
        // Nothing is left to claim. Otherwise the balance is above what was claimed.
        if (total == before) return 0;

        bytes32 digest = _voucherDigest(separator, id, ceiling);
        address authorizer = voucher.channel.payerAuthorizer;
        bool signed = authorizer == address(0)
            ? StrictSignatures.isValid(voucher.channel.payer, digest, row.signature)
            : StrictSignatures.recover(digest, row.signature) == authorizer;
        if (!signed) revert InvalidSignature();

        (channel.balance, channel.totalClaimed) = (balance, total);
        unchecked {
            claimed = total - before;
        }
        emit Claimed(id, msg.sender, claimed, total);
    }

    function _addClaimed(address receiver, address token, uint256 amount) private {
        if (amount == 0) return;
        Receiver storage sums = receivers[receiver][token];
        // Each claimed amount was deposited, so only a token with more than 2^128 units can make this revert.
        sums.totalClaimed = SafeCastLib.toUint128(sums.totalClaimed + amount);
    }

    function _refund(bytes32 id, ChannelConfig calldata config, uint128 requested) private {
        if (requested == 0) revert ZeroRefund();
        unchecked {
            ++refundNonce[id];
        }
        uint128 amount = uint128(FixedPointMathLib.min(requested, _available(id)));
        if (amount == 0) return;
        channels[id].balance -= amount;
        Withdrawal memory pending = pendingWithdrawals[id];
        if (pending.initiatedAt != 0) {
            if (amount >= pending.amount) delete pendingWithdrawals[id];
            else pendingWithdrawals[id].amount = pending.amount - amount;
        }
        emit Refunded(id, msg.sender, amount);
        _pushToPayer(id, config, amount);
    }

    /// @dev Sends what was taken out of the balance already.
    function _pushToPayer(bytes32 id, ChannelConfig calldata config, uint128 amount) private {
        Channel memory channel = channels[id];
        if (channel.balance == 0 && channel.totalClaimed == 0) emit ChannelClosed(id, config);
        config.token.push(config.payer, amount);
    }

    function _available(bytes32 id) private view returns (uint128) {
        Channel memory channel = channels[id];
        return channel.balance - channel.totalClaimed;
    }

    function _isReceiverSide(ChannelConfig calldata config) private view returns (bool) {
        return msg.sender == config.receiver || msg.sender == config.receiverAuthorizer;
    }

    function _isPayerSide(ChannelConfig calldata config) private view returns (bool) {
        return msg.sender == config.payer || msg.sender == config.payerAuthorizer;
    }

    function _channelId(bytes32 separator, ChannelConfig calldata config) private pure returns (bytes32) {
        return _digest(separator, keccak256(abi.encode(CHANNEL_CONFIG_TYPEHASH, config)));
    }

    function _voucherDigest(bytes32 separator, bytes32 id, uint128 ceiling) private pure returns (bytes32) {
        return _digest(separator, EfficientHashLib.hash(VOUCHER_TYPEHASH, id, bytes32(uint256(ceiling))));
    }

    function _refundDigest(bytes32 separator, bytes32 id, uint256 nonce, uint128 amount)
        private
        pure
        returns (bytes32)
    {
        return _digest(separator, EfficientHashLib.hash(REFUND_TYPEHASH, id, bytes32(nonce), bytes32(uint256(amount))));
    }

    function _claimBatchDigest(bytes32 separator, VoucherClaim[] calldata rows)
        private
        pure
        returns (bytes32 digest, bytes32[] memory ids)
    {
        ids = new bytes32[](rows.length);
        bytes32[] memory entries = new bytes32[](rows.length);
        for (uint256 i; i < rows.length; ++i) {
            Voucher calldata voucher = rows[i].voucher;
            ids[i] = _channelId(separator, voucher.channel);
            entries[i] = EfficientHashLib.hash(
                CLAIM_ENTRY_TYPEHASH,
                ids[i],
                bytes32(uint256(voucher.maxClaimableAmount)),
                bytes32(uint256(rows[i].totalClaimed))
            );
        }
        bytes32 root = entries.hash();
        digest = _digest(separator, EfficientHashLib.hash(CLAIM_BATCH_TYPEHASH, root));
    }

    function _digest(bytes32 separator, bytes32 structHash) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            // 0x1901, then the two words, in the scratch space and the first bytes of the free memory pointer, which are
            // 0 and are restored to it.
            mstore(0x00, 0x1901000000000000000000000000000000000000000000000000000000000000)
            mstore(0x02, separator)
            mstore(0x22, structHash)
            digest := keccak256(0x00, 0x42)
            mstore(0x22, 0)
        }
    }

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("x402 Batch Settlement", "1");
    }
}
