// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {IERC3009Collector} from "plimsoll/interfaces/IERC3009Collector.sol";
import {ERC3009Token} from "./ERC3009Token.sol";

/// @notice Fixture of the tests of channels: a payer whose vouchers another key signs, a receiver with an authoriser,
/// and a token.
abstract contract ChannelsTest is Test {
    uint40 internal constant DELAY = 1 days;
    uint40 internal constant START = 1_800_000_000;

    uint256 internal constant PAYER_KEY = uint256(keccak256("payer"));
    uint256 internal constant SIGNER_KEY = uint256(keccak256("payer's signer"));
    uint256 internal constant AUTHORIZER_KEY = uint256(keccak256("receiver's authorizer"));

    address internal immutable PAYER = vm.addr(PAYER_KEY);
    address internal immutable SIGNER = vm.addr(SIGNER_KEY);
    address internal immutable AUTHORIZER = vm.addr(AUTHORIZER_KEY);
    address internal immutable RECEIVER = makeAddr("receiver");
    address internal immutable STRANGER = makeAddr("stranger");

    IChannels internal channels;
    IERC3009Collector internal collector;
    ERC3009Token internal token;

    function setUp() public virtual {
        vm.warp(START);
        channels = IChannels(deployCode("Channels.sol:Channels"));
        collector = IERC3009Collector(deployCode("ERC3009Collector.sol:ERC3009Collector", abi.encode(channels)));
        token = new ERC3009Token("USD Coin", 6);
        token.mint(PAYER, 1e12);
        vm.prank(PAYER);
        token.approve(address(channels), type(uint256).max);
    }

    /* CHANNELS */

    function defaultConfig() internal view returns (IChannels.ChannelConfig memory config) {
        config.payer = PAYER;
        config.payerAuthorizer = SIGNER;
        config.receiver = RECEIVER;
        config.receiverAuthorizer = AUTHORIZER;
        config.token = address(token);
        config.withdrawDelay = DELAY;
    }

    function saltedConfig(uint256 salt) internal view returns (IChannels.ChannelConfig memory config) {
        config = defaultConfig();
        config.salt = bytes32(salt);
    }

    function depositFrom(IChannels.ChannelConfig memory config, uint128 amount) internal {
        vm.prank(config.payer);
        channels.depositFrom(config, amount);
    }

    function idOf(IChannels.ChannelConfig memory config) internal view returns (bytes32) {
        return channels.getChannelId(config);
    }

    function balanceOf(IChannels.ChannelConfig memory config) internal view returns (uint128 balance) {
        (balance,) = channels.channels(idOf(config));
    }

    function claimedOf(IChannels.ChannelConfig memory config) internal view returns (uint128 totalClaimed) {
        (, totalClaimed) = channels.channels(idOf(config));
    }

    function pendingOf(IChannels.ChannelConfig memory config) internal view returns (uint128 amount, uint40 since) {
        return channels.pendingWithdrawals(idOf(config));
    }

    function claimedFor(address receiver) internal view returns (uint128 totalClaimed) {
        (totalClaimed,) = channels.receivers(receiver, address(token));
    }

    /* SIGNATURES */

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function row(IChannels.ChannelConfig memory config, uint256 key, uint128 ceiling, uint128 total)
        internal
        view
        returns (IChannels.VoucherClaim memory)
    {
        bytes32 digest = channels.getVoucherDigest(idOf(config), ceiling);
        return IChannels.VoucherClaim({
            voucher: IChannels.Voucher(config, ceiling), signature: sign(key, digest), totalClaimed: total
        });
    }

    function row(IChannels.ChannelConfig memory config, uint128 ceiling, uint128 total)
        internal
        view
        returns (IChannels.VoucherClaim memory)
    {
        return row(config, SIGNER_KEY, ceiling, total);
    }

    function list(IChannels.VoucherClaim memory only) internal pure returns (IChannels.VoucherClaim[] memory rows) {
        rows = new IChannels.VoucherClaim[](1);
        rows[0] = only;
    }

    function list(IChannels.VoucherClaim memory first, IChannels.VoucherClaim memory second)
        internal
        pure
        returns (IChannels.VoucherClaim[] memory rows)
    {
        rows = new IChannels.VoucherClaim[](2);
        (rows[0], rows[1]) = (first, second);
    }

    function signBatch(uint256 key, IChannels.VoucherClaim[] memory rows) internal view returns (bytes memory) {
        return sign(key, channels.getClaimBatchDigest(rows));
    }

    function claim(IChannels.VoucherClaim[] memory rows) internal {
        vm.prank(AUTHORIZER);
        channels.claim(rows);
    }

    /// @dev What the payer signs for the token to pay `amount` into a channel.
    function authorization(IChannels.ChannelConfig memory config, uint256 amount, uint256 salt)
        internal
        view
        returns (bytes memory data)
    {
        uint256 validBefore = block.timestamp + 300;
        bytes32 nonce = keccak256(abi.encode(idOf(config), salt));
        bytes32 structHash = keccak256(
            abi.encode(
                token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
                config.payer,
                address(collector),
                amount,
                uint256(0),
                validBefore,
                nonce
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        return abi.encode(uint256(0), validBefore, salt, sign(PAYER_KEY, digest));
    }
}
