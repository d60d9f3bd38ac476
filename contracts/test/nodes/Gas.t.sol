// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {ChannelsTest} from "./ChannelsTest.sol";

/// @title Gas of channels: execution, without a transaction's 21,000 and its calldata.
contract ChannelsGasTest is ChannelsTest {
    uint256 internal constant ROWS = 10;

    /// @dev Claims after a first one, as a service makes them: totals grow from one claim to the next.
    function test_aFurtherChannelsClaim() public {
        IChannels.VoucherClaim[] memory all = new IChannels.VoucherClaim[](ROWS);
        for (uint256 i; i < ROWS; ++i) {
            depositFrom(saltedConfig(i + 1), 1000);
            all[i] = row(saltedConfig(i + 1), 1000, 100);
        }
        claim(all);
        channels.settle(RECEIVER, address(token));

        uint256 one = _claim(all, 1, 200);
        uint256 ten = _claim(all, ROWS, 300);
        uint256 oneSigned = _claimWithSignature(all, 1, 400);
        uint256 tenSigned = _claimWithSignature(all, ROWS, 500);
        uint256 further = (ten - one) / (ROWS - 1);
        uint256 furtherSigned = (tenSigned - oneSigned) / (ROWS - 1);
        emit log_named_uint("claim of one channel", one);
        emit log_named_uint("claim of a further channel", further);
        emit log_named_uint("signed claim of one channel", oneSigned);
        emit log_named_uint("signed claim of a further channel", furtherSigned);
        assertLt(further, 15_000);
        assertLt(furtherSigned, 15_000);
    }

    function _claim(IChannels.VoucherClaim[] memory all, uint256 count, uint128 total) private returns (uint256) {
        return _cost(abi.encodeCall(IChannels.claim, (_rows(all, count, total))));
    }

    function _claimWithSignature(IChannels.VoucherClaim[] memory all, uint256 count, uint128 total)
        private
        returns (uint256)
    {
        IChannels.VoucherClaim[] memory rows = _rows(all, count, total);
        return _cost(abi.encodeCall(IChannels.claimWithSignature, (rows, signBatch(AUTHORIZER_KEY, rows))));
    }

    /// @dev The first rows, with another total.
    function _rows(IChannels.VoucherClaim[] memory all, uint256 count, uint128 total)
        private
        pure
        returns (IChannels.VoucherClaim[] memory rows)
    {
        rows = new IChannels.VoucherClaim[](count);
        for (uint256 i; i < count; ++i) {
            rows[i] = all[i];
            rows[i].totalClaimed = total;
        }
    }

    function test_theOtherVerbs() public {
        depositFrom(defaultConfig(), 1000);
        vm.prank(RECEIVER);
        token.transfer(RECEIVER, 0);
        claim(list(row(defaultConfig(), 1000, 100)));
        channels.settle(RECEIVER, address(token));
        claim(list(row(defaultConfig(), 1000, 200)));

        uint256 settling = _cost(abi.encodeCall(IChannels.settle, (RECEIVER, address(token))));
        uint256 refunding = _cost(abi.encodeCall(IChannels.refund, (defaultConfig(), 100)));
        bytes memory data = authorization(saltedConfig(1), 1000, 1);
        uint256 depositing = _cost(abi.encodeCall(IChannels.deposit, (saltedConfig(1), 1000, address(collector), data)));
        emit log_named_uint("settle", settling);
        emit log_named_uint("refund", refunding);
        emit log_named_uint("first deposit by ERC-3009", depositing);
        assertLt(settling, 35_000);
        assertLt(refunding, 55_000);
        assertLt(depositing, 140_000);
    }

    /// @dev With slots as they are at the beginning of a transaction. The cheat is missing in the interface of `vm`.
    function _cost(bytes memory call_) private returns (uint256 gas) {
        address[3] memory touched = [address(channels), address(token), address(collector)];
        for (uint256 i; i < touched.length; ++i) {
            (bool cooled,) = address(vm).call(abi.encodeWithSignature("cool(address)", touched[i]));
            require(cooled, "cool");
        }
        vm.prank(AUTHORIZER);
        gas = gasleft();
        (bool done,) = address(channels).call(call_);
        gas -= gasleft();
        require(done, "call");
    }
}
