// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGasCharge} from "../interfaces/IGasCharge.sol";
import {ILiquidator} from "../interfaces/ILiquidator.sol";
import {ILiquidateCallback} from "../interfaces/IPlimsollCallbacks.sol";
import {ISwapper} from "../interfaces/ISwapper.sol";
import {SwapperClient} from "./SwapperClient.sol";
import {GasCharge} from "./libraries/GasCharge.sol";

/// @title Liquidator without capital.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `ILiquidator`.
contract Liquidator is ILiquidator, ILiquidateCallback, SwapperClient {
    /// @dev The data of the liquidation callback.
    struct Exchange {
        address loanToken;
        address collateralToken;
        address swapper;
        bool profitInCollateral;
        bytes route;
    }

    constructor(address plimsoll_, address[] memory swappers) SwapperClient(plimsoll_, swappers) {}

    /// @inheritdoc ILiquidator
    function liquidate(Liquidation calldata wanted)
        external
        guarded(wanted.deadline, wanted.swapper)
        returns (Outcome memory outcome)
    {
        uint256 gasAtStart = gasleft();
        if (wanted.receiver == address(0)) revert ZeroAddress();
        (address loanToken, address collateralToken) = (wanted.params.loanToken, wanted.params.collateralToken);
        bytes memory exchange =
            abi.encode(Exchange(loanToken, collateralToken, wanted.swapper, wanted.profitInCollateral, wanted.route));
        // The core pushes the collateral to the adapter. Its least proceeds are bounded by the least profit.
        (outcome.repaid, outcome.seized) =
            PLIMSOLL.liquidate(wanted.params, wanted.borrowers, wanted.maxRepay, 0, wanted.swapper, exchange);

        uint256 loanLeft = _sweep(loanToken, wanted.receiver);
        uint256 collateralLeft = _sweep(collateralToken, wanted.receiver);
        address profitToken;
        (profitToken, outcome.profit) =
            wanted.profitInCollateral ? (collateralToken, collateralLeft) : (loanToken, loanLeft);
        emit LiquidateWithoutCapital(
            wanted.params.toId(),
            msg.sender,
            wanted.receiver,
            profitToken,
            outcome.repaid,
            outcome.seized,
            outcome.profit
        );
        // Last, so that everything above is measured.
        uint256 required = wanted.minProfit
            + GasCharge.chargeUp(gasAtStart - gasleft() + wanted.gasOverhead, wanted.extraWei, wanted.unitsPerWeiX96);
        if (outcome.profit < required) revert IGasCharge.ProfitTooLow(outcome.profit, required);
    }

    /// @inheritdoc ILiquidateCallback
    function onPlimsollLiquidate(uint256 repaid, uint256 seized, bytes calldata data) external onlyCallback {
        Exchange memory e = abi.decode(data, (Exchange));
        if (e.profitInCollateral || repaid == 0) {
            // If nothing is to be repaid, nothing is bought and all seized collateral is returned.
            ISwapper(e.swapper)
                .swapExactOut(e.collateralToken, e.loanToken, repaid, seized, address(this), address(this), e.route);
        } else {
            ISwapper(e.swapper).swapExactIn(e.collateralToken, e.loanToken, seized, repaid, address(this), e.route);
        }
        _approveCore(e.loanToken, repaid);
    }

    /// @inheritdoc ILiquidator
    function plimsoll() external view returns (address) {
        return address(PLIMSOLL);
    }
}
