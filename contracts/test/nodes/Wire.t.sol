// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {IDepositCollector} from "plimsoll/interfaces/IDepositCollector.sol";
import {IERC3009} from "plimsoll/interfaces/IERC3009.sol";
import {ChannelsTest} from "./ChannelsTest.sol";

/// @title What x402's clients expect of the contract, to the byte.
/// @notice Written as constants, so that no change of an interface goes with a change of the test.
contract WireTest is ChannelsTest {
    bytes32 internal constant CONFIG_TYPEHASH = 0x1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308;
    bytes32 internal constant VOUCHER_TYPEHASH = 0x1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69;
    bytes32 internal constant REFUND_TYPEHASH = 0xbe23ad087435072cd69b49cc5b92de10ee610fce7ae0ab428307972d764bb216;
    bytes32 internal constant ENTRY_TYPEHASH = 0x30b9a0367528fca13c3e8ec6134c3113f1887ebe7a1ad61de0955aac288b0cf5;
    bytes32 internal constant BATCH_TYPEHASH = 0x42bd57c010b870c2e96203c66341f28a6a19b4d56a74533a8eb5f706b9fd6d57;

    function test_N22_selectors() public pure {
        assertEq(IChannels.deposit.selector, bytes4(0x140f1e75));
        assertEq(IChannels.claim.selector, bytes4(0x29237b0c));
        assertEq(IChannels.claimWithSignature.selector, bytes4(0xe43ce1f2));
        assertEq(IChannels.settle.selector, bytes4(0x9db32a8f));
        assertEq(IChannels.initiateWithdraw.selector, bytes4(0xcf5cf3dc));
        assertEq(IChannels.finalizeWithdraw.selector, bytes4(0xe88377b1));
        assertEq(IChannels.refund.selector, bytes4(0xdce4bfae));
        assertEq(IChannels.refundWithSignature.selector, bytes4(0xb77433e9));
        assertEq(IChannels.multicall.selector, bytes4(0xac9650d8));
        assertEq(IChannels.getChannelId.selector, bytes4(0x5e5e0b87));
        assertEq(IChannels.getVoucherDigest.selector, bytes4(0x862bb199));
        assertEq(IChannels.getRefundDigest.selector, bytes4(0xe25cf189));
        assertEq(IChannels.getClaimBatchDigest.selector, bytes4(0x488ccc3b));
        assertEq(IChannels.channels.selector, bytes4(0x7a7ebd7b));
        assertEq(IChannels.pendingWithdrawals.selector, bytes4(0xb7f06ebe));
        assertEq(IChannels.refundNonce.selector, bytes4(0xf0dc792e));
        assertEq(IChannels.receivers.selector, bytes4(0x21ff6389));
        assertEq(IChannels.eip712Domain.selector, bytes4(0x84b0196e));
        assertEq(IDepositCollector.collect.selector, bytes4(0xe416d8d3));
        assertEq(IERC3009.receiveWithAuthorization.selector, bytes4(0x88b7ab63));
    }

    /// @dev The first four and the last two bytes of each topic.
    function test_N22_topics() public pure {
        assertEq(_ends(IChannels.ChannelCreated.selector), 0x69d8248d08fa);
        assertEq(_ends(IChannels.ChannelClosed.selector), 0x8d5942f18d37);
        assertEq(_ends(IChannels.Deposited.selector), 0x6c2a09351d89);
        assertEq(_ends(IChannels.Claimed.selector), 0x36bd546beddd);
        assertEq(_ends(IChannels.Settled.selector), 0x7337b438c47d);
        assertEq(_ends(IChannels.Refunded.selector), 0xa84286cf394b);
        assertEq(_ends(IChannels.WithdrawInitiated.selector), 0xe4280d0d3c23);
        assertEq(_ends(IChannels.WithdrawFinalized.selector), 0x546ce1e2c6e3);
    }

    /// @dev The errors have no arguments, so clients know them by name.
    function test_N22_errors() public pure {
        assertEq(IChannels.InvalidSignature.selector, bytes4(keccak256("InvalidSignature()")));
        assertEq(IChannels.ClaimExceedsCeiling.selector, bytes4(keccak256("ClaimExceedsCeiling()")));
        assertEq(IChannels.WithdrawalNotPending.selector, bytes4(keccak256("WithdrawalNotPending()")));
        assertEq(IChannels.WithdrawDelayNotElapsed.selector, bytes4(keccak256("WithdrawDelayNotElapsed()")));
        assertEq(IChannels.InvalidRefundNonce.selector, bytes4(keccak256("InvalidRefundNonce()")));
    }

    struct Case {
        IChannels.ChannelConfig config;
        uint128 ceiling;
        uint128 total;
        uint128 amount;
        uint256 nonce;
        uint64 chainId;
        address place;
    }

    /// @dev On any chain and at any address: the code is placed where clients look for it, without its constructor.
    function testFuzz_N22_digests(Case memory c) public {
        vm.assume(uint160(c.place) > 0x1000 && c.place.code.length == 0 && c.place != CONSOLE);
        vm.etch(c.place, address(channels).code);
        vm.chainId(bound(c.chainId, 1, type(uint64).max - 1));
        bytes32 id = _typed(c.place, keccak256(abi.encode(CONFIG_TYPEHASH, c.config)));
        IChannels placed = IChannels(c.place);
        assertEq(placed.getChannelId(c.config), id);
        assertEq(
            placed.getVoucherDigest(id, c.ceiling),
            _typed(c.place, keccak256(abi.encode(VOUCHER_TYPEHASH, id, uint256(c.ceiling))))
        );
        assertEq(
            placed.getRefundDigest(id, c.nonce, c.amount),
            _typed(c.place, keccak256(abi.encode(REFUND_TYPEHASH, id, c.nonce, uint256(c.amount))))
        );
        assertEq(placed.VOUCHER_TYPEHASH(), VOUCHER_TYPEHASH);
        _checkBatches(c, id);
    }

    function _checkBatches(Case memory c, bytes32 id) private view {
        IChannels.VoucherClaim[] memory rows = new IChannels.VoucherClaim[](3);
        bytes memory entries;
        for (uint256 count; count < 3; ++count) {
            assembly ("memory-safe") {
                mstore(rows, count)
            }
            bytes32 batch = keccak256(abi.encode(BATCH_TYPEHASH, keccak256(entries)));
            assertEq(IChannels(c.place).getClaimBatchDigest(rows), _typed(c.place, batch));
            assembly ("memory-safe") {
                mstore(rows, 3)
            }
            (uint128 ceiling, uint128 total) = count == 0 ? (c.ceiling, c.total) : (c.total, c.amount);
            rows[count].voucher = IChannels.Voucher(c.config, ceiling);
            rows[count].totalClaimed = total;
            entries = bytes.concat(entries, keccak256(abi.encode(ENTRY_TYPEHASH, id, uint256(ceiling), uint256(total))));
        }
    }

    function test_N22_theDomainCanBeRead() public view {
        (, bytes memory answer) = address(channels).staticcall(abi.encodeCall(IChannels.eip712Domain, ()));
        bytes1 fields = hex"0f";
        uint256[] memory none;
        assertEq(
            answer, abi.encode(fields, "x402 Batch Settlement", "1", block.chainid, address(channels), bytes32(0), none)
        );
    }

    function _ends(bytes32 topic) private pure returns (uint256) {
        return (uint256(topic) >> 224) << 16 | uint16(uint256(topic));
    }

    function _typed(address place, bytes32 structHash) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("x402 Batch Settlement"),
                keccak256("1"),
                block.chainid,
                place
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }
}
