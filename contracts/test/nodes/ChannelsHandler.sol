// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {SeededRandom} from "../invariants/SeededRandom.sol";
import {TestToken} from "../support/TestToken.sol";
import {ChannelsModel} from "./ChannelsModel.sol";
import {MintingCollector} from "./MintingCollector.sol";

/// @notice Does anything to a dozen channels, as anyone and with right and wrong signatures, and the same to the model:
/// both must succeed, or fail with the same error.
contract ChannelsHandler is Test, SeededRandom {
    uint256 internal constant CONFIGS = 12;
    uint256 internal constant KEYS = 8;

    IChannels public immutable CHANNELS;
    ChannelsModel public immutable MODEL;
    MintingCollector internal immutable COLLECTOR;
    TestToken[2] public tokens;
    IChannels.ChannelConfig[] internal _configs;
    address[KEYS] public accounts;

    uint256 public time;
    /// @dev Tokens that nobody deposited.
    mapping(address token => uint256) public donated;
    /// @dev How often an action ended so: with success (0) or with an error.
    mapping(bytes4 action => mapping(bytes4 failure => uint256)) public outcomes;
    /// @dev The old signed rows, which are replayed now and then.
    ChannelsModel.Row[] internal _oldRows;

    constructor(IChannels channels, TestToken[2] memory tokens_) {
        CHANNELS = channels;
        MODEL = new ChannelsModel();
        COLLECTOR = new MintingCollector();
        tokens = tokens_;
        time = block.timestamp;
        for (uint256 i; i < KEYS; ++i) {
            accounts[i] = vm.addr(_key(i));
            for (uint256 t; t < 2; ++t) {
                vm.prank(accounts[i]);
                tokens[t].approve(address(channels), type(uint256).max);
            }
        }
        for (uint256 i; i < CONFIGS; ++i) {
            IChannels.ChannelConfig memory config;
            // Accounts 0 to 2 pay, 3 signs for some of them, 4 and 5 receive, 6 signs for receivers, 7 is a stranger.
            config.payer = accounts[i % 3];
            config.payerAuthorizer = i % 4 == 0 ? address(0) : accounts[i % 4 == 1 ? 3 : i % 3];
            config.receiver = accounts[4 + i % 2];
            config.receiverAuthorizer = accounts[i % 5 == 0 ? 4 : 6];
            config.token = address(tokens[i / 6]);
            config.withdrawDelay = uint40([900, 3600, 2_592_000, 899][i % 11 == 10 ? 3 : i % 3]);
            config.salt = bytes32(i / 3);
            _configs.push(config);
        }
    }

    function act(uint256 seed) external {
        _setSeed(seed);
        vm.warp(time);
        uint256 action = _below(12);
        if (action < 2) _deposit();
        else if (action < 3) _depositFrom();
        else if (action < 5) _claim();
        else if (action < 6) _claimWithSignature();
        else if (action < 7) _settle();
        else if (action < 8) _initiateWithdraw();
        else if (action < 9) _finalizeWithdraw();
        else if (action < 10) _refund();
        else if (action < 11) _refundWithSignature();
        else _passTime();
    }

    function configs() external view returns (IChannels.ChannelConfig[] memory) {
        return _configs;
    }

    /* ACTIONS */

    function _deposit() private {
        IChannels.ChannelConfig memory config = _config();
        uint128 amount = _amount();
        (uint256 extra, uint256 missing) = (_oneIn(10) ? 1 : 0, _oneIn(10) ? 1 : 0);
        COLLECTOR.set(extra, amount == 0 ? 0 : missing);
        bytes memory call_ = abi.encodeCall(IChannels.deposit, (config, amount, address(COLLECTOR), ""));
        if (extra != missing) {
            // The model has no tokens: what does not arrive is no deposit.
            vm.prank(_account());
            (bool done,) = address(CHANNELS).call(call_);
            assertFalse(done, "N20: a deposit that did not arrive");
            return;
        }
        _compare(_account(), call_, abi.encodeCall(ChannelsModel.deposit, (config, amount)));
    }

    function _depositFrom() private {
        IChannels.ChannelConfig memory config = _config();
        uint128 amount = _amount();
        address sender = _oneIn(4) ? _account() : config.payer;
        TestToken(config.token).mint(sender, amount);
        donated[config.token] += amount;
        bool done = _compare(
            sender,
            abi.encodeCall(IChannels.depositFrom, (config, amount)),
            abi.encodeCall(ChannelsModel.depositFrom, (sender, config, amount))
        );
        if (done) donated[config.token] -= amount;
    }

    function _claim() private {
        ChannelsModel.Row[] memory rows = _rows();
        address sender = _oneIn(4) || rows.length == 0
            ? _account()
            : _oneIn(2) ? rows[0].config.receiver : rows[0].config.receiverAuthorizer;
        _compare(
            sender,
            abi.encodeCall(IChannels.claim, (_signed(rows))),
            abi.encodeCall(ChannelsModel.claim, (sender, rows))
        );
    }

    function _claimWithSignature() private {
        ChannelsModel.Row[] memory rows = _rows();
        IChannels.VoucherClaim[] memory signed = _signed(rows);
        uint256 key = _signerOf(rows.length == 0 || _oneIn(6) ? address(0) : rows[0].config.receiverAuthorizer);
        bytes memory signature = _sign(key, CHANNELS.getClaimBatchDigest(signed));
        _compare(
            _account(),
            abi.encodeCall(IChannels.claimWithSignature, (signed, signature)),
            abi.encodeCall(ChannelsModel.claimWithSignature, (vm.addr(key), rows))
        );
    }

    function _settle() private {
        (address receiver, address token) = (accounts[_below(KEYS)], address(tokens[_below(2)]));
        _compare(
            _account(),
            abi.encodeCall(IChannels.settle, (receiver, token)),
            abi.encodeCall(ChannelsModel.settle, (receiver, token))
        );
    }

    function _initiateWithdraw() private {
        IChannels.ChannelConfig memory config = _config();
        uint128 amount = _upToFree(config);
        address sender = _payerSide(config);
        _compare(
            sender,
            abi.encodeCall(IChannels.initiateWithdraw, (config, amount)),
            abi.encodeCall(ChannelsModel.initiateWithdraw, (sender, config, amount))
        );
    }

    function _finalizeWithdraw() private {
        IChannels.ChannelConfig memory config = _config();
        address sender = _payerSide(config);
        _compare(
            sender,
            abi.encodeCall(IChannels.finalizeWithdraw, (config)),
            abi.encodeCall(ChannelsModel.finalizeWithdraw, (sender, config))
        );
    }

    function _refund() private {
        IChannels.ChannelConfig memory config = _config();
        uint128 amount = _upToFree(config);
        address sender = _oneIn(4) ? _account() : _oneIn(2) ? config.receiver : config.receiverAuthorizer;
        _compare(
            sender,
            abi.encodeCall(IChannels.refund, (config, amount)),
            abi.encodeCall(ChannelsModel.refund, (sender, config, amount))
        );
    }

    function _refundWithSignature() private {
        IChannels.ChannelConfig memory config = _config();
        uint128 amount = _upToFree(config);
        uint256 nonce = MODEL.stateOf(config).refunds + (_oneIn(6) ? 1 : 0);
        uint256 key = _signerOf(_oneIn(6) ? address(0) : config.receiverAuthorizer);
        bytes memory signature = _sign(key, CHANNELS.getRefundDigest(CHANNELS.getChannelId(config), nonce, amount));
        _compare(
            _account(),
            abi.encodeCall(IChannels.refundWithSignature, (config, amount, nonce, signature)),
            abi.encodeCall(ChannelsModel.refundWithSignature, (vm.addr(key), config, amount, nonce))
        );
    }

    function _passTime() private {
        time += _oneIn(4) ? 2_592_000 : _between(1, 4000);
        if (!_oneIn(3)) return;
        TestToken token = tokens[_below(2)];
        uint256 amount = _below(1000);
        token.mint(address(CHANNELS), amount);
        donated[address(token)] += amount;
    }

    /// @dev Does the same to the contract and to the model. They agree on success, and on the error.
    function _compare(address sender, bytes memory call_, bytes memory onModel) private returns (bool done) {
        bytes memory reason;
        vm.prank(sender);
        (done, reason) = address(CHANNELS).call(call_);
        (bool modelDone, bytes memory modelReason) = address(MODEL).call(onModel);
        assertEq(done, modelDone, "N23: success");
        assertEq(reason, modelReason, "N23: error");
        ++outcomes[bytes4(call_)][done ? bytes4(0) : bytes4(reason)];
    }

    /* CHOICES */

    function _config() private returns (IChannels.ChannelConfig memory) {
        return _configs[_below(CONFIGS)];
    }

    function _account() private returns (address) {
        return accounts[_below(KEYS)];
    }

    function _amount() private returns (uint128) {
        return uint128(_between(0, _oneIn(20) ? type(uint128).max : 1e12));
    }

    /// @dev Sometimes beyond what is not claimed.
    function _upToFree(IChannels.ChannelConfig memory config) private returns (uint128) {
        uint256 free = MODEL.balanceOf(config) - MODEL.stateOf(config).claimed;
        return uint128(_oneIn(6) ? _between(free, type(uint128).max) : _between(0, free));
    }

    function _payerSide(IChannels.ChannelConfig memory config) private returns (address) {
        if (_oneIn(5)) return _account();
        return _oneIn(2) || config.payerAuthorizer == address(0) ? config.payer : config.payerAuthorizer;
    }

    function _rows() private returns (ChannelsModel.Row[] memory rows) {
        rows = new ChannelsModel.Row[](_oneIn(20) ? 0 : 1 + _below(4));
        bool alike = _oneIn(2);
        for (uint256 i; i < rows.length; ++i) {
            if (_oneIn(6) && _oldRows.length != 0) {
                rows[i] = _oldRows[_below(_oldRows.length)];
                continue;
            }
            ChannelsModel.Row memory row;
            // Every third has the same payer, every second the same receiver: alike rows can be claimed together.
            row.config = alike ? _configs[2 * (1 + _below(2))] : _config();
            uint256 claimed = MODEL.stateOf(row.config).claimed;
            uint256 balance = MODEL.balanceOf(row.config);
            row.total = _oneIn(6) ? _between(0, type(uint128).max) : _between(claimed, balance);
            row.ceiling = _oneIn(8) ? _between(0, row.total) : _between(row.total, type(uint128).max);
            row.signed = !_oneIn(10);
            rows[i] = row;
            _oldRows.push(row);
        }
    }

    function _signed(ChannelsModel.Row[] memory rows) private view returns (IChannels.VoucherClaim[] memory signed) {
        signed = new IChannels.VoucherClaim[](rows.length);
        for (uint256 i; i < rows.length; ++i) {
            IChannels.ChannelConfig memory config = rows[i].config;
            uint128 ceiling = uint128(rows[i].ceiling);
            bytes32 digest = CHANNELS.getVoucherDigest(CHANNELS.getChannelId(config), ceiling);
            address signer = config.payerAuthorizer == address(0) ? config.payer : config.payerAuthorizer;
            signed[i].voucher = IChannels.Voucher(config, ceiling);
            signed[i].signature = _sign(rows[i].signed ? _signerOf(signer) : _key(7), digest);
            signed[i].totalClaimed = uint128(rows[i].total);
        }
    }

    function _key(uint256 index) private pure returns (uint256) {
        return uint256(keccak256(abi.encode("channels", index)));
    }

    /// @dev The stranger's key if the account is not one of ours.
    function _signerOf(address account) private view returns (uint256) {
        for (uint256 i; i < KEYS; ++i) {
            if (accounts[i] == account) return _key(i);
        }
        return _key(7);
    }

    function _sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
