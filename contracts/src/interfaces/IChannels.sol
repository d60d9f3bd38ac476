// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Payment channels.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice One-way payment channels for services that are paid by use. A payer deposits tokens for one receiver and
/// signs vouchers whose amounts only grow; the receiver claims once what many requests have cost. The functions, events
/// and signatures are those of x402's scheme `batch-settlement`, so that its published clients pay this contract.
///
/// *Channel.* The seven fields of its configuration determine a channel. Its id is their EIP-712 hash, so it belongs to
/// one contract on one chain. Nothing has to be opened: the first deposit creates the state.
///
/// *Accounting.* `balance` is all that was deposited less what was refunded and withdrawn. Claims do not lower it but
/// raise `totalClaimed`, which never exceeds it. `balance − totalClaimed` is what the payer can get back. Claimed amounts
/// add up per receiver and token until anyone settles them.
///
/// *Vouchers.* `Voucher(channelId, maxClaimableAmount)` permits to claim up to that amount in all. Amounts are
/// cumulative: a voucher that was claimed already pays nothing more.
///
/// *Ways out.* The receiver's side may refund at any time. The payer withdraws without it: the withdrawal is announced,
/// and ends after `withdrawDelay`, in which the receiver can claim.
///
/// Differences from x402's own contract:
///  1. A claim above the balance takes the balance instead of reverting, so a channel that was emptied a moment ago
///     spoils no batch.
///  2. `depositFrom` pulls tokens from its caller by allowance.
///  3. Of the type hashes only `VOUCHER_TYPEHASH` can be read, and no bound of the delay. An invalid signature is
///     `InvalidSignature` for every reason.
///
/// Assumptions about tokens: a transfer delivers the amount or fails, and the balance changes only by own transfers. A
/// fee on transfers is refused with the deposit. Other tokens break the channels of that token and no others.
interface IChannels {
    /// @notice The configuration of a channel, which never changes.
    /// @param payer whose deposit it is, and who gets back what is not claimed
    /// @param payerAuthorizer the key that signs vouchers; with 0 the payer itself signs them, by key or by ERC-1271
    /// @param receiver who is paid
    /// @param receiverAuthorizer who signs claims and refunds for the receiver
    /// @param token an ERC-20 token
    /// @param withdrawDelay seconds from the announcement of a withdrawal to its end: 15 minutes to 30 days
    /// @param salt distinguishes channels that are equal otherwise
    struct ChannelConfig {
        address payer;
        address payerAuthorizer;
        address receiver;
        address receiverAuthorizer;
        address token;
        uint40 withdrawDelay;
        bytes32 salt;
    }

    /// @notice What the payer signed.
    /// @param maxClaimableAmount the most that may be claimed from the channel in all
    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }

    /// @notice A row of a claim.
    /// @param signature the payer's, over the voucher
    /// @param totalClaimed what the receiver will have claimed in all, at most `maxClaimableAmount`
    struct VoucherClaim {
        Voucher voucher;
        bytes signature;
        uint128 totalClaimed;
    }

    /* EVENTS */

    /// @notice The first tokens arrived in a channel. Emitted again if it was emptied without any claim.
    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);

    /// @notice The channel is empty, and nothing was ever claimed from it.
    event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);

    /// @notice `amount` was received for the channel.
    event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);

    /// @notice `claimAmount` of the channel's balance is the receiver's now, `newTotalClaimed` in all.
    event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed);

    /// @notice What the receiver had claimed was sent to it.
    event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);

    /// @notice `amount` was sent back to the payer by the receiver's side.
    event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);

    /// @notice The payer's side announced a withdrawal, which can end at `finalizeAfter`.
    event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);

    /// @notice The withdrawal ended, and `amount` was sent to the payer.
    event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);

    /* ERRORS */

    /// @notice A field of the configuration is 0, or the caller is not the channel's payer or its authoriser.
    error InvalidChannel();

    /// @notice The delay is not between 15 minutes and 30 days.
    error WithdrawDelayOutOfRange();

    /// @notice A deposit of nothing.
    error ZeroDeposit();

    /// @notice The balance would exceed 2^128 − 1.
    error DepositOverflow();

    /// @notice The collector is the zero address.
    error InvalidCollector();

    /// @notice Not exactly the amount of the deposit arrived.
    error DepositCollectionFailed();

    /// @notice Only the payer may deposit its tokens without a collector.
    error NotPayer(address caller, address payer);

    /// @notice A claim without rows.
    error EmptyBatch();

    /// @notice The signature is not that of the account which must sign.
    error InvalidSignature();

    /// @notice The rows of a signed claim do not have the same `receiverAuthorizer`.
    error NotReceiverAuthorizer();

    /// @notice The caller is neither the receiver nor its authoriser.
    error NotAuthorizedToClaim();

    /// @notice More is claimed than the voucher permits.
    error ClaimExceedsCeiling();

    /// @notice A withdrawal of nothing.
    error NothingToWithdraw();

    /// @notice A withdrawal is pending already.
    error WithdrawalAlreadyPending();

    /// @notice More is withdrawn than is not claimed.
    error WithdrawAmountExceedsAvailable();

    /// @notice The caller is neither the payer nor its authoriser.
    error NotAuthorizedToFinalizeWithdraw();

    /// @notice No withdrawal was announced, or a refund has replaced it.
    error WithdrawalNotPending();

    /// @notice The withdrawal cannot end yet.
    error WithdrawDelayNotElapsed();

    /// @notice The caller is neither the receiver nor its authoriser.
    error NotAuthorizedToRefund();

    /// @notice The nonce is not the channel's next one.
    error InvalidRefundNonce();

    /// @notice A refund of nothing.
    error ZeroRefund();

    /// @notice A token, a collector or a signer called back.
    error Reentered();

    /* DEPOSITS */

    /// @notice Deposits `amount` by a collector that has the payer's consent. For any payer, by anyone.
    function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData)
        external;

    /// @notice Deposits `amount` of the caller, who is the channel's payer and has granted this contract an allowance.
    function depositFrom(ChannelConfig calldata config, uint128 amount) external;

    /* CLAIMS */

    /// @notice Claims what vouchers permit; for the receiver or the authoriser of every row. A row that claims no more
    /// than was claimed already does nothing.
    function claim(VoucherClaim[] calldata voucherClaims) external;

    /// @notice As `claim`, by anyone with the signature of the `receiverAuthorizer` that all rows have.
    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature) external;

    /// @notice Sends a receiver what was claimed for it; nothing is not an error.
    function settle(address receiver, address token) external;

    /* WITHDRAWALS AND REFUNDS */

    /// @notice Announces a withdrawal of `amount`; for the payer and its authoriser.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external;

    /// @notice Ends a withdrawal after its delay: sends the payer the amount, or what is not claimed if that is less.
    function finalizeWithdraw(ChannelConfig calldata config) external;

    /// @notice Sends `amount` back to the payer, or what is not claimed if that is less; for the receiver and its
    /// authoriser. A pending withdrawal is lowered by as much.
    function refund(ChannelConfig calldata config, uint128 amount) external;

    /// @notice As `refund`, by anyone with the authoriser's signature for the channel's next nonce.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external;

    /// @notice Executes calls to this contract in order, for the same caller. Reverts with the error of the first call
    /// that fails.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    /* VIEWS */

    /// @notice Returns the id of a channel.
    function getChannelId(ChannelConfig calldata config) external view returns (bytes32);

    /// @notice Returns what the payer signs to permit claims up to an amount.
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32);

    /// @notice Returns what the receiver's authoriser signs to refund an amount.
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) external view returns (bytes32);

    /// @notice Returns what the receiver's authoriser signs to claim these rows.
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32);

    /// @notice Returns the deposits of a channel that were not sent back, and what was claimed of them.
    function channels(bytes32 channelId) external view returns (uint128 balance, uint128 totalClaimed);

    /// @notice Returns the pending withdrawal of a channel and the time of its announcement; 0 without one.
    function pendingWithdrawals(bytes32 channelId) external view returns (uint128 amount, uint40 initiatedAt);

    /// @notice Returns the nonce of the next refund: the number of refunds so far.
    function refundNonce(bytes32 channelId) external view returns (uint256);

    /// @notice Returns what was claimed for a receiver and what of it was sent.
    function receivers(address receiver, address token)
        external
        view
        returns (uint128 totalClaimed, uint128 totalSettled);

    /// @notice The EIP-712 type hash of vouchers.
    function VOUCHER_TYPEHASH() external view returns (bytes32);

    /// @notice Returns the EIP-712 domain of all signatures (ERC-5267).
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        );
}
