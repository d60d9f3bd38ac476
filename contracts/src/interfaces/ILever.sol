// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Authorization} from "../types/Authorization.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Leverage in one transaction
/// @notice Opens, raises, lowers and closes a leveraged position of its caller, and of nobody else. What is bought or
/// sold on the way is bounded by the caller, who needs no capital but what he wants to deposit.
///
/// A caller lets the core know beforehand, or in the same call by a signature, that this contract may act for him
/// (`setAuthorization`; an expiry in this block is enough), and to deposit lets it take the deposit, by an approval or
/// an ERC-2612 permit in the same call. If somebody else has brought these signatures to the chain before, nothing
/// fails.
///
/// Holds nothing between calls and keeps no approval. Swaps go through adapters named at construction; no other address
/// that a caller could choose is called but the tokens and the oracle of a market that the core knows.
interface ILever {
    /// @param params the market
    /// @param deposit collateral taken from the caller; may be 0
    /// @param borrowAssets how much to borrow and swap for collateral
    /// @param minBought the least collateral to get for it; as this much is certain before the swap, the loan must be
    /// healthy with it alone
    /// @param maxLtvBps the highest debt to collateral value in the end, at the borrow price, in basis points
    /// @param swapper the adapter to swap by
    /// @param route the adapter's, from the loan token to the collateral token
    /// @param deadline the last second at which this may happen
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

    /// @param params the market
    /// @param repayAssets how much of the debt to repay; more than is owed is taken as all that is owed
    /// @param maxSold the most collateral to sell for it; the rest of the loan must be healthy without it
    /// @param swapper the adapter to swap by
    /// @param route the adapter's, from the collateral token to the loan token
    /// @param deadline the last second at which this may happen
    struct Lower {
        MarketParams params;
        uint256 repayAssets;
        uint256 maxSold;
        address swapper;
        bytes route;
        uint256 deadline;
    }

    /// @param params the market
    /// @param maxSold the most collateral to sell to repay all that is owed
    /// @param swapper the adapter to swap by
    /// @param route the adapter's, from the collateral token to the loan token
    /// @param deadline the last second at which this may happen
    struct Close {
        MarketParams params;
        uint256 maxSold;
        address swapper;
        bytes route;
        uint256 deadline;
    }

    /// @notice The caller's ERC-2612 permit over exactly the deposit for this contract.
    /// @param deadline of the permit; 0 for no permit
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice An authorization with its signature, for the core.
    /// @param signature empty for none
    struct SignedAuthorization {
        Authorization authorization;
        bytes signature;
    }

    /// @notice `deposit` and `bought` were added to the collateral, `borrowed` to the debt.
    event RaiseLeverage(
        MarketId indexed id, address indexed account, uint256 deposit, uint256 borrowed, uint256 bought
    );
    /// @notice `repaid` of the debt was paid for by selling `sold` of the collateral.
    event LowerLeverage(MarketId indexed id, address indexed account, uint256 repaid, uint256 sold);
    /// @notice The whole debt was `repaid` by selling `sold` of the collateral, and `returned` of it went to the
    /// account.
    event CloseLeverage(MarketId indexed id, address indexed account, uint256 repaid, uint256 sold, uint256 returned);

    /// @notice There is no contract at this address.
    error NoCode(address account);
    error DeadlinePassed(uint256 deadline, uint256 timestamp);
    /// @notice This adapter is none of those named at construction.
    error SwapperNotListed(address swapper);
    /// @notice A call is on its way; whoever is called by a token in the middle of it cannot start another.
    error Reentered();
    /// @notice Only the core may call this, in the middle of a call from here.
    error UnexpectedCallback(address caller);
    /// @notice The debt exceeds `maxLtvBps` of the collateral's value.
    error LtvTooHigh(uint256 debt, uint256 collateralValue, uint256 maxLtvBps);
    error TransferFailed(address token, address from, address to, uint256 amount);
    /// @notice The token refused to let the core take what it is due.
    error ApproveFailed();

    /// @notice Opens a position or raises its leverage: deposits, borrows, swaps what was borrowed for collateral and
    /// adds all of it to the caller's position. Errors of the core and of the adapter are passed on.
    /// @return bought the collateral that was got for what was borrowed
    function raise(Raise calldata wanted, Permit calldata permit, SignedAuthorization calldata authorization)
        external
        returns (uint256 bought);

    /// @notice Lowers a position's leverage: sells as much of the caller's collateral as it takes to repay a part of
    /// the debt.
    /// @return repaid of the debt
    /// @return sold of the collateral
    function lower(Lower calldata wanted, SignedAuthorization calldata authorization)
        external
        returns (uint256 repaid, uint256 sold);

    /// @notice Closes a position: sells as much of the caller's collateral as it takes to repay the whole debt, and
    /// gives him the rest. Needs no price, so it works for a loan that is about to be liquidated and with a broken
    /// oracle.
    /// @return repaid the whole debt
    /// @return sold of the collateral
    /// @return returned of the collateral, to the caller
    function close(Close calldata wanted, SignedAuthorization calldata authorization)
        external
        returns (uint256 repaid, uint256 sold, uint256 returned);

    /// @notice The core.
    function plimsoll() external view returns (address);

    /// @notice Whether an adapter may be used. The answer never changes.
    function isSwapper(address swapper) external view returns (bool);
}
