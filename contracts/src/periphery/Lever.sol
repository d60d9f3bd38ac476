// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IERC20Permit} from "../interfaces/IERC20Permit.sol";
import {ILever} from "../interfaces/ILever.sol";
import {IOracle} from "../interfaces/IOracle.sol";
import {IRepayCallback, ISupplyCollateralCallback} from "../interfaces/IPlimsollCallbacks.sol";
import {ISwapper} from "../interfaces/ISwapper.sol";
import {DebtMath} from "../libraries/DebtMath.sol";
import {LiquidationMath} from "../libraries/LiquidationMath.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Market, Position} from "../types/Market.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";
import {SwapperClient} from "./SwapperClient.sol";

/// @title Lever.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `ILever`.
/// @dev Many accounts have authorised this contract in the core, so every call to the core acts on behalf of the
/// `msg.sender` of the entry and of no other account.
contract Lever is ILever, ISupplyCollateralCallback, IRepayCallback, SwapperClient {
    using DebtMath for uint256;
    using Tokens for address;

    /// @dev The data of the repayment callback.
    struct Sale {
        uint256 maxSold;
        address swapper;
        bytes route;
    }

    /// @dev Collateral that the callback of the current call bought or sold.
    uint256 internal transient _swapped;

    constructor(address plimsoll_, address[] memory swappers) SwapperClient(plimsoll_, swappers) {}

    /* RAISE */

    /// @inheritdoc ILever
    function raise(Raise calldata wanted, Permit calldata permit, SignedAuthorization calldata authorization)
        external
        guarded(wanted.deadline, wanted.swapper)
        returns (uint256 bought)
    {
        _submitAuthorization(authorization);
        // The core adds the collateral first; its callback then borrows against it and buys it.
        PLIMSOLL.supplyCollateral(
            wanted.params, wanted.deposit + wanted.minBought, msg.sender, abi.encode(msg.sender, wanted, permit)
        );
        bought = _swapped;
        _supplyRest(wanted.params, msg.sender);
        _requireLtv(wanted.params, wanted.maxLtvBps);
        emit RaiseLeverage(wanted.params.toId(), msg.sender, wanted.deposit, wanted.borrowAssets, bought);
    }

    /// @inheritdoc ISupplyCollateralCallback
    function onPlimsollSupplyCollateral(uint256 assets, bytes calldata data) external onlyCallback {
        (address account, Raise memory wanted, Permit memory permit) = abi.decode(data, (address, Raise, Permit));
        (address loanToken, address collateralToken) = (wanted.params.loanToken, wanted.params.collateralToken);
        if (permit.deadline != 0) _submitPermit(permit, collateralToken, account, wanted.deposit);
        collateralToken.pull(account, wanted.deposit);

        uint256 before = collateralToken.balanceOrZero(address(this));
        PLIMSOLL.borrow(wanted.params, wanted.borrowAssets, 0, account, wanted.swapper);
        ISwapper(wanted.swapper)
            .swapExactIn(loanToken, collateralToken, wanted.borrowAssets, wanted.minBought, address(this), wanted.route);
        _swapped = collateralToken.balanceOrZero(address(this)) - before;
        _approveCore(collateralToken, assets);
    }

    /* LOWER AND CLOSE */

    /// @inheritdoc ILever
    function lower(Lower calldata wanted, SignedAuthorization calldata authorization)
        external
        guarded(wanted.deadline, wanted.swapper)
        returns (uint256 repaid, uint256 sold)
    {
        _submitAuthorization(authorization);
        if (PLIMSOLL.position(wanted.params.toId(), msg.sender).borrowShares != 0) {
            (repaid, sold) =
                _deleverage(wanted.params, wanted.repayAssets, Sale(wanted.maxSold, wanted.swapper, wanted.route));
        }
        _supplyRest(wanted.params, msg.sender);
        emit LowerLeverage(wanted.params.toId(), msg.sender, repaid, sold);
    }

    /// @inheritdoc ILever
    function close(Close calldata wanted, SignedAuthorization calldata authorization)
        external
        guarded(wanted.deadline, wanted.swapper)
        returns (uint256 repaid, uint256 sold, uint256 returned)
    {
        _submitAuthorization(authorization);
        MarketId id = wanted.params.toId();
        Position memory p = PLIMSOLL.position(id, msg.sender);
        uint256 collateral = p.collateral;
        if (p.borrowShares != 0) {
            uint256 maxSold = FixedPointMathLib.min(wanted.maxSold, collateral);
            (repaid, sold) = _deleverage(wanted.params, type(uint256).max, Sale(maxSold, wanted.swapper, wanted.route));
            collateral -= maxSold;
        }
        if (collateral != 0) PLIMSOLL.withdrawCollateral(wanted.params, collateral, msg.sender, msg.sender);
        returned = collateral + _sweep(wanted.params.collateralToken, msg.sender);
        emit CloseLeverage(id, msg.sender, repaid, sold, returned);
    }

    /// @dev The core sends the collateral to the adapter first; its callback then sells it for the repayment.
    function _deleverage(MarketParams calldata params, uint256 repayAssets, Sale memory sale)
        internal
        returns (uint256 repaid, uint256 sold)
    {
        (repaid,) = PLIMSOLL.deleverage(
            params, repayAssets, sale.maxSold, msg.sender, sale.swapper, abi.encode(params, sale)
        );
        sold = _swapped;
    }

    /// @inheritdoc IRepayCallback
    function onPlimsollRepay(uint256 assets, bytes calldata data) external onlyCallback {
        (MarketParams memory params, Sale memory sale) = abi.decode(data, (MarketParams, Sale));
        uint256 before = params.collateralToken.balanceOrZero(address(this));
        ISwapper(sale.swapper)
            .swapExactOut(
                params.collateralToken, params.loanToken, assets, sale.maxSold, address(this), address(this), sale.route
            );
        // More than the unused collateral is returned if the adapter held some before.
        _swapped =
            FixedPointMathLib.zeroFloorSub(sale.maxSold, params.collateralToken.balanceOrZero(address(this)) - before);
        _approveCore(params.loanToken, assets);
    }

    /* SHARED */

    /// @dev Supplies this contract's remaining collateral tokens to the account's position.
    function _supplyRest(MarketParams calldata params, address account) internal {
        uint256 rest = params.collateralToken.balanceOrZero(address(this));
        if (rest == 0) return;
        _approveCore(params.collateralToken, rest);
        PLIMSOLL.supplyCollateral(params, rest, account, "");
    }

    /// @dev Reverts if the debt exceeds this part of the collateral's value. The market was accrued in this call.
    function _requireLtv(MarketParams calldata params, uint256 maxLtvBps) internal view {
        MarketId id = params.toId();
        Market memory m = PLIMSOLL.market(id);
        Position memory p = PLIMSOLL.position(id, msg.sender);
        uint256 debt = p.borrowShares.toDebtUp(m.borrowAssets, m.borrowShares);
        uint256 value = LiquidationMath.valueDown(p.collateral, IOracle(params.oracle).borrowPrice());
        if (!LiquidationMath.isHealthy(debt, value, maxLtvBps)) revert LtvTooHigh(debt, value, maxLtvBps);
    }

    /// @dev Passes an authorisation to the core, which ignores one that was already used.
    function _submitAuthorization(SignedAuthorization calldata authorization) internal {
        if (authorization.signature.length == 0) return;
        PLIMSOLL.setAuthorizationWithSig(authorization.authorization, authorization.signature);
    }

    /// @dev Passes a permit to the token. A failure is ignored, since the permit may have been front-run: if there is
    /// no allowance, pulling the deposit fails.
    function _submitPermit(Permit memory permit, address token, address account, uint256 assets) internal {
        try IERC20Permit(token).permit(account, address(this), assets, permit.deadline, permit.v, permit.r, permit.s) {}
            catch {}
    }

    /// @inheritdoc ILever
    function plimsoll() external view returns (address) {
        return address(PLIMSOLL);
    }
}
