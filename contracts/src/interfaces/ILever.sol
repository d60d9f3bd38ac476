// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Authorization} from "../types/Authorization.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Leverage in one transaction.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Opens, raises, lowers and closes leveraged positions of the caller only. The caller bounds the amounts
/// bought and sold, and needs no capital besides the deposit.
///
/// The caller must authorise this contract in the core, beforehand or by a signature in the same call
/// (`setAuthorization`; an expiry in this block is enough), and for a deposit allow it to pull the deposit, by an
/// approval or by an ERC-2612 permit in the same call. A signature that was front-run does not make the call fail.
///
/// Holds no tokens between calls and keeps no approval. Swaps go through adapters listed at construction; apart from
/// them, the only addresses of the caller's choice that are called are the tokens and the oracle of a market that
/// exists in the core.
interface ILever {
    /// @notice The arguments of raising leverage.
    /// @param params the market
    /// @param deposit collateral pulled from the caller; may be 0
    /// @param borrowAssets borrowed and swapped for collateral
    /// @param minBought the least collateral bought; it is supplied before the swap, so the loan must be healthy with
    /// it alone
    /// @param maxLtvBps the highest resulting ratio of debt to collateral value, at the borrow price, in basis points
    /// @param swapper the adapter by which is swapped
    /// @param route from the loan token to the collateral token, in the adapter's format
    /// @param deadline the last second at which the call may be executed
    struct Raise {
        MarketParams params;
        uint256 deposit;
        uint256 borrowAssets;
        uint256 minBought;
        uint16 maxLtvBps;
        address swapper;
        bytes route;
        uint256 deadline;
    }

    /// @notice The arguments of lowering leverage.
    /// @param params the market
    /// @param repayAssets the debt to repay; an amount above the debt is lowered to the debt
    /// @param maxSold the most collateral sold: at most the same part of the collateral as `repayAssets` of the debt
    /// @param swapper the adapter by which is swapped
    /// @param route from the collateral token to the loan token, in the adapter's format
    /// @param deadline the last second at which the call may be executed
    struct Lower {
        MarketParams params;
        uint256 repayAssets;
        uint256 maxSold;
        address swapper;
        bytes route;
        uint256 deadline;
    }

    /// @notice The arguments of closing a position.
    /// @param params the market
    /// @param maxSold the most collateral sold to repay the whole debt
    /// @param swapper the adapter by which is swapped
    /// @param route from the collateral token to the loan token, in the adapter's format
    /// @param deadline the last second at which the call may be executed
    struct Close {
        MarketParams params;
        uint256 maxSold;
        address swapper;
        bytes route;
        uint256 deadline;
    }

    /// @notice The caller's ERC-2612 permit for this contract over exactly the deposit.
    /// @param deadline of the permit; 0 for no permit
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice An authorisation of this contract in the core, with its signature.
    /// @param signature empty for none
    struct SignedAuthorization {
        Authorization authorization;
        bytes signature;
    }

    /// @notice Leverage was raised: `deposit` and `bought` were added to the collateral, `borrowed` to the debt.
    event RaiseLeverage(
        MarketId indexed id, address indexed account, uint256 deposit, uint256 borrowed, uint256 bought
    );
    /// @notice Leverage was lowered: `repaid` of the debt was paid for by selling `sold` of the collateral.
    event LowerLeverage(MarketId indexed id, address indexed account, uint256 repaid, uint256 sold);
    /// @notice A position was closed: the whole debt was `repaid` by selling `sold` of the collateral, and `returned`
    /// of it was sent to the account.
    event CloseLeverage(MarketId indexed id, address indexed account, uint256 repaid, uint256 sold, uint256 returned);

    /// @notice The debt exceeds `maxLtvBps` of the collateral's value.
    error LtvTooHigh(uint256 debt, uint256 collateralValue, uint256 maxLtvBps);

    /// @notice Opens a position or raises its leverage: deposits, borrows, swaps the borrowed assets for collateral and
    /// adds all of it to the caller's position. Errors of the core and of the adapter are passed on.
    /// @return bought the collateral bought with the borrowed assets
    function raise(Raise calldata wanted, Permit calldata permit, SignedAuthorization calldata authorization)
        external
        returns (uint256 bought);

    /// @notice Lowers a position's leverage: sells as much of the caller's collateral as the repayment of a part of the
    /// debt needs. The rest of the debt must be at least the market's minimum, or none: use `close` for the whole. Reads
    /// no price, so it works beyond the borrow LTV and with a broken oracle. Without debt, does nothing.
    /// @return repaid of the debt
    /// @return sold of the collateral
    function lower(Lower calldata wanted, SignedAuthorization calldata authorization)
        external
        returns (uint256 repaid, uint256 sold);

    /// @notice Closes a position: sells as much of the caller's collateral as the repayment of the whole debt needs,
    /// and sends the rest to the caller. Reads no price, so it works for a liquidatable loan and with a broken oracle.
    /// @return repaid the whole debt
    /// @return sold of the collateral
    /// @return returned of the collateral, sent to the caller
    function close(Close calldata wanted, SignedAuthorization calldata authorization)
        external
        returns (uint256 repaid, uint256 sold, uint256 returned);

    /// @notice Returns the core.
    function plimsoll() external view returns (address);
}
