// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {Risk} from "plimsoll/types/Risk.sol";

/// @notice The core's state rebuilt from its events alone (A8), by the description of each event in `IPlimsoll` and
/// without any library of the core.
contract StateFromEvents {
    address private immutable PLIMSOLL;

    mapping(bytes32 => Market) private _markets;
    mapping(bytes32 => mapping(address => Position)) private _positions;
    mapping(bytes32 => address) public feeRecipient;
    mapping(bytes32 => address) public backstop;
    mapping(address => mapping(address => uint256)) public cover;
    mapping(address => mapping(address => uint256)) public coverFloor;
    mapping(address => mapping(bytes32 => uint256)) public coverLimit;
    mapping(address => mapping(address => uint256)) public authorizationExpiry;
    mapping(bytes32 => address) private _loanToken;
    mapping(bytes32 => Risk) private _risk;

    error UnknownEvent(bytes32 topic);

    constructor(address plimsoll) {
        PLIMSOLL = plimsoll;
    }

    function market(MarketId id) external view returns (Market memory) {
        return _markets[MarketId.unwrap(id)];
    }

    function position(MarketId id, address account) external view returns (Position memory) {
        return _positions[MarketId.unwrap(id)][account];
    }

    /// @notice Applies the logs of one block.
    function applyLogs(Vm.Log[] calldata logs, uint256 timestamp) external {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter == PLIMSOLL) _applyLog(logs[i], timestamp);
        }
    }

    function _applyLog(Vm.Log calldata log, uint256 timestamp) private {
        bytes32 topic = log.topics[0];
        if (topic == IPlimsoll.CreateMarket.selector) return _createMarket(log, timestamp);
        if (topic == IPlimsoll.Accrue.selector) return _accrue(log);
        if (topic == IPlimsoll.Supply.selector) return _supply(log);
        if (topic == IPlimsoll.Withdraw.selector) return _withdraw(log);
        if (topic == IPlimsoll.TransferSupply.selector) return _transferSupply(log);
        if (topic == IPlimsoll.SupplyCollateral.selector) return _supplyCollateral(log);
        if (topic == IPlimsoll.WithdrawCollateral.selector) return _withdrawCollateral(log);
        if (topic == IPlimsoll.Borrow.selector) return _borrow(log);
        if (topic == IPlimsoll.Repay.selector) return _repay(log);
        if (topic == IPlimsoll.Liquidate.selector) return _liquidate(log);
        if (topic == IPlimsoll.RealiseLoss.selector) return _realiseLoss(log);
        if (topic == IPlimsoll.CollectReserve.selector) return _collectReserve(log);
        if (topic == IPlimsoll.SetFee.selector) {
            _markets[log.topics[1]].feeBps = abi.decode(log.data, (uint256));
        } else if (topic == IPlimsoll.SetFeeRecipient.selector) {
            feeRecipient[log.topics[1]] = _account(log.topics[2]);
        } else if (topic == IPlimsoll.SetBackstop.selector) {
            backstop[log.topics[1]] = _account(log.topics[2]);
        } else if (topic == IPlimsoll.DepositCover.selector) {
            cover[_account(log.topics[1])][_account(log.topics[2])] += abi.decode(log.data, (uint256));
        } else if (topic == IPlimsoll.WithdrawCover.selector) {
            cover[_account(log.topics[1])][_account(log.topics[2])] -= abi.decode(log.data, (uint256));
        } else if (topic == IPlimsoll.SetCoverFloor.selector) {
            coverFloor[_account(log.topics[1])][_account(log.topics[2])] = abi.decode(log.data, (uint256));
        } else if (topic == IPlimsoll.SetCoverLimit.selector) {
            coverLimit[_account(log.topics[1])][log.topics[2]] = abi.decode(log.data, (uint256));
        } else if (topic == IPlimsoll.SetAuthorization.selector) {
            authorizationExpiry[_account(log.topics[1])][_account(log.topics[2])] = abi.decode(log.data, (uint256));
        } else if (topic != IPlimsoll.FlashLoan.selector && topic != IPlimsoll.OwnershipTransferred.selector) {
            revert UnknownEvent(topic);
        }
    }

    function _createMarket(Vm.Log calldata log, uint256 timestamp) private {
        MarketParams memory params = abi.decode(log.data, (MarketParams));
        _loanToken[log.topics[1]] = params.loanToken;
        _risk[log.topics[1]] = params.risk;
        _markets[log.topics[1]].lastUpdate = timestamp;
        _markets[log.topics[1]].rateAtTarget = params.curve.startRatePerSecond();
    }

    function _accrue(Vm.Log calldata log) private {
        Market storage m = _markets[log.topics[1]];
        uint256 interest;
        uint256 feeShares;
        uint256 timestamp;
        (interest, feeShares, m.rateAtTarget, timestamp) = abi.decode(log.data, (uint256, uint256, uint256, uint256));
        if (m.surgeLevel != 0) {
            _lowerSurgeLevel(m, (timestamp - m.lastUpdate) * (2 ** 28 - 1) / _risk[log.topics[1]].surgePeriodSecs());
        }
        m.lastUpdate = timestamp;
        m.supplyAssets += interest / 2 ** 32;
        m.borrowAssets += interest / 2 ** 32;
        m.interestRemainder = interest % 2 ** 32;
        m.supplyShares += feeShares;
        m.reserveShares += feeShares;
    }

    function _supply(Vm.Log calldata log) private {
        (uint256 assets, uint256 shares) = abi.decode(log.data, (uint256, uint256));
        Market storage m = _markets[log.topics[1]];
        m.supplyAssets += assets;
        m.supplyShares += shares;
        _positions[log.topics[1]][_account(log.topics[3])].supplyShares += shares;
    }

    function _withdraw(Vm.Log calldata log) private {
        (, uint256 assets, uint256 shares) = abi.decode(log.data, (address, uint256, uint256));
        Market storage m = _markets[log.topics[1]];
        m.supplyAssets -= assets;
        m.supplyShares -= shares;
        _positions[log.topics[1]][_account(log.topics[2])].supplyShares -= shares;
    }

    function _transferSupply(Vm.Log calldata log) private {
        (, uint256 shares) = abi.decode(log.data, (address, uint256));
        _positions[log.topics[1]][_account(log.topics[2])].supplyShares -= shares;
        _positions[log.topics[1]][_account(log.topics[3])].supplyShares += shares;
    }

    function _supplyCollateral(Vm.Log calldata log) private {
        _positions[log.topics[1]][_account(log.topics[3])].collateral += abi.decode(log.data, (uint256));
    }

    function _withdrawCollateral(Vm.Log calldata log) private {
        (, uint256 assets) = abi.decode(log.data, (address, uint256));
        _positions[log.topics[1]][_account(log.topics[2])].collateral -= assets;
    }

    function _borrow(Vm.Log calldata log) private {
        (, uint256 assets, uint256 shares) = abi.decode(log.data, (address, uint256, uint256));
        Market storage m = _markets[log.topics[1]];
        if (_risk[log.topics[1]].surgePeriodSecs() != 0) {
            (uint256 numerator, uint256 denominator) = _surgeLevels(log.topics[1], assets);
            m.surgeLevel += (numerator + denominator - 1) / denominator;
        }
        m.borrowAssets += assets;
        m.borrowShares += shares;
        _positions[log.topics[1]][_account(log.topics[2])].borrowShares += shares;
    }

    function _repay(Vm.Log calldata log) private {
        (uint256 assets, uint256 shares) = abi.decode(log.data, (uint256, uint256));
        _positions[log.topics[1]][_account(log.topics[3])].borrowShares -= shares;
        _refundSurge(log.topics[1], assets);
        _lowerDebt(_markets[log.topics[1]], assets, shares);
    }

    function _liquidate(Vm.Log calldata log) private {
        (uint256 repaid, uint256 shares, uint256 seized, uint256 badDebt) =
            abi.decode(log.data, (uint256, uint256, uint256, uint256));
        Position storage p = _positions[log.topics[1]][_account(log.topics[3])];
        p.borrowShares -= shares;
        p.collateral -= seized;
        _refundSurge(log.topics[1], repaid);
        _lowerDebt(_markets[log.topics[1]], repaid + badDebt, shares);
    }

    /// @dev The part of the surge limit that assets are, as a fraction of levels, of which `2^28 - 1` are the limit:
    /// assets × (1 + share × level) ÷ (floor + share × borrow assets).
    function _surgeLevels(bytes32 id, uint256 assets) private view returns (uint256 numerator, uint256 denominator) {
        Market storage m = _markets[id];
        uint256 share = _risk[id].surgeShareBps();
        numerator = assets * (10_000 * (2 ** 28 - 1) + share * m.surgeLevel);
        denominator = _risk[id].surgeFloor() * 10_000 + share * m.borrowAssets;
    }

    function _refundSurge(bytes32 id, uint256 paid) private {
        Market storage m = _markets[id];
        if (m.surgeLevel == 0) return;
        (uint256 numerator, uint256 denominator) = _surgeLevels(id, paid);
        _lowerSurgeLevel(m, numerator / denominator);
    }

    function _lowerSurgeLevel(Market storage m, uint256 by) private {
        m.surgeLevel = m.surgeLevel < by ? 0 : m.surgeLevel - by;
    }

    /// @dev Not below a millionth of the shares that are left, rounded up.
    function _lowerDebt(Market storage m, uint256 assets, uint256 shares) private {
        m.borrowShares -= shares;
        uint256 lowest = m.borrowShares / 1e6 + (m.borrowShares % 1e6 == 0 ? 0 : 1);
        m.borrowAssets = m.borrowAssets < lowest + assets ? lowest : m.borrowAssets - assets;
    }

    function _realiseLoss(Vm.Log calldata log) private {
        (uint256 loss,, uint256 reserveShares, uint256 fromCover) =
            abi.decode(log.data, (uint256, uint256, uint256, uint256));
        Market storage m = _markets[log.topics[1]];
        m.supplyAssets -= loss - fromCover;
        m.supplyShares -= reserveShares;
        m.reserveShares -= reserveShares;
        cover[_account(log.topics[2])][_loanToken[log.topics[1]]] -= fromCover;
        coverLimit[_account(log.topics[2])][log.topics[1]] -= fromCover;
    }

    function _collectReserve(Vm.Log calldata log) private {
        (uint256 assets, uint256 shares) = abi.decode(log.data, (uint256, uint256));
        Market storage m = _markets[log.topics[1]];
        m.supplyAssets -= assets;
        m.supplyShares -= shares;
        m.reserveShares -= shares;
    }

    function _account(bytes32 topic) private pure returns (address) {
        return address(uint160(uint256(topic)));
    }
}
