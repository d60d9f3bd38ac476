// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketParams} from "../types/MarketParams.sol";

/// @title Executor of liquidations without capital, on several lending protocols.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Liquidates positions of the protocols and through the pools that are fixed at construction, in one call that
/// anyone may make, and sends the profit to a receiver. It has no owner and no storage: another exchange or another
/// protocol needs another executor.
///
/// Where a protocol sends the collateral before it pulls the repayment (Plimsoll, Morpho Blue with its pre-liquidations),
/// the collateral is *seized first* and sold in the protocol's callback. Elsewhere (Aave v3, forks of Compound v2) the debt tokens are *bought
/// first*: a pool pays them out, the position is liquidated inside the pool's callback, and the collateral pays the pool.
/// Neither needs a flash loan.
///
/// Each item of a job can be isolated: it runs in a call of its own with a gas limit, and leaves nothing behind when it
/// fails. What an item leaves, apart from the profit token, is sent to the receiver when it ends. The gas of the whole job
/// is charged at the price that the transaction really pays, as `ILiquidator` does.
///
/// Holds no tokens between calls: tokens sent here by mistake belong to the next caller. Nobody approves this contract.
/// It approves the protocols without a limit, which pull from their caller only, and a comptroller's liquidator contract for
/// one repayment at a time. Errors besides those named here: `IGasCharge`.
interface IExecutor {
    enum TargetKind {
        Plimsoll,
        MorphoBlue,
        AaveV3,
        CompoundV2,
        MorphoPreLiquidation
    }

    enum VenueKind {
        UniswapV2,
        UniswapV3
    }

    /// @notice A protocol's main contract: the core, Morpho, the pool, the comptroller; of Morpho's pre-liquidations, the
    /// factory of the contracts that make them.
    struct Target {
        TargetKind kind;
        address account;
    }

    /// @notice A factory of pools.
    /// @param deployer the contract that creates the pools, which is not the factory in some forks
    /// @param poolInitCodeHash keccak256 of the pools' creation code
    struct Venue {
        VenueKind kind;
        address deployer;
        bytes32 poolInitCodeHash;
    }

    /// @notice One liquidation.
    /// @param target index of the protocol
    /// @param exactOut whether only as much collateral is sold as the repayment needs, so that collateral is left; if not,
    /// all of it is sold, and debt tokens are left. Where the debt is bought first, collateral is left in any case
    /// @param gasCap the most gas that the item may use, its failure being contained; 0 passes its failure on
    /// @param debt the token that is repaid
    /// @param collateral the token that is seized, never a receipt
    /// @param maxRepay the most to repay (Plimsoll), or what is bought and repaid (Aave v3, Compound v2); the data of Morpho
    /// Blue and of its pre-liquidations name the amount
    /// @param minLeft the least units left by the item of its last token: the profit token if there is a conversion, else
    /// the collateral or the debt token
    /// @param route from the collateral to the debt token: venue (1 byte), key (3 bytes), next token (20 bytes) for each
    /// hop; empty if they are the same token. The key is the fee in millionths, or the tick spacing where a fork's pools
    /// are identified by it. A split over several routes has before each but the last a header: 255 (1 byte), number of its
    /// hops (3 bytes), its share of the amount in millionths (20 bytes); the last one takes the rest
    /// @param conversion route or split by which the remainder is sold for the profit token; empty if it is not sold
    /// @param data the protocol's own part: one of the structs below
    struct Item {
        uint8 target;
        bool exactOut;
        uint32 gasCap;
        address debt;
        address collateral;
        uint128 maxRepay;
        uint128 minLeft;
        bytes route;
        bytes conversion;
        bytes data;
    }

    /// @notice The data of an item of Plimsoll. The core skips loans that are not liquidatable.
    struct PlimsollLoans {
        MarketParams params;
        address[] borrowers;
    }

    /// @notice The parameters of a market of Morpho Blue.
    struct MorphoMarket {
        address loanToken;
        address collateralToken;
        address oracle;
        address irm;
        uint256 lltv;
    }

    /// @notice The data of an item of Morpho Blue. One of `seizedAssets` and `repaidShares` is 0.
    /// @param minBorrowShares the item is stale if the borrower has fewer
    struct MorphoLoan {
        MorphoMarket market;
        address borrower;
        uint256 seizedAssets;
        uint256 repaidShares;
        uint256 minBorrowShares;
    }

    /// @notice The data of an item of a pre-liquidation of Morpho Blue.
    /// @param preLiquidation the contract that makes it, which the listed factory has created
    /// @param minBorrowShares the item is stale if the borrower has fewer
    struct PreLiquidationLoan {
        address preLiquidation;
        address borrower;
        uint256 repaidShares;
        uint256 minBorrowShares;
    }

    /// @notice The data of an item of Aave v3.
    /// @param debtToken the reserve's variable debt token
    /// @param minScaledDebt the item is stale if the borrower's scaled balance of it is less; 0 does not ask
    struct AaveLoan {
        address borrower;
        address debtToken;
        uint256 minScaledDebt;
    }

    /// @notice The data of an item of a fork of Compound v2.
    /// @param debtMarket the market of the debt, which the comptroller lists
    /// @param collateralMarket the market whose receipts are seized and redeemed
    /// @param minBorrow the item is stale if the borrower's stored balance is less; 0 does not ask
    /// @param byLiquidator whether the contract liquidates that the comptroller names by `liquidatorContract()`, as in Venus'
    /// core pool, where the markets refuse everybody else
    /// @param debtInCoin whether the market of the debt lends the chain's own coin: the item's debt is the wrapped coin
    /// @param collateralInCoin whether the receipts are of coins, which are wrapped: the item's collateral is the wrapped coin
    struct CompoundLoan {
        address debtMarket;
        address collateralMarket;
        address borrower;
        uint256 minBorrow;
        bool byLiquidator;
        bool debtInCoin;
        bool collateralInCoin;
    }

    /// @notice The arguments of a call.
    /// @param items at most 256
    /// @param receiver of the profit and of everything else that is left
    /// @param profitToken the token in which profit is measured
    /// @param minProfit the least profit after the charge for gas, in units of the profit token
    /// @param unitsPerWeiX96 units of the profit token that are worth one wei, times 2^96; 0 to charge nothing
    /// @param gasOverhead gas to charge besides what is measured: the transaction's base cost and calldata, and what runs
    /// after the measurement
    /// @param extraWei fees to charge besides gas, in wei
    /// @param builderShareBps basis points of the profit above the required one that are paid to the block's builder; only
    /// if the profit token is the wrapped coin
    /// @param deadline the last second at which the call may be executed
    struct Job {
        Item[] items;
        address receiver;
        address profitToken;
        uint256 minProfit;
        uint128 unitsPerWeiX96;
        uint256 gasOverhead;
        uint256 extraWei;
        uint16 builderShareBps;
        uint256 deadline;
    }

    /// @notice The result of an item; zeros if it failed.
    /// @param repaid units of the debt token
    /// @param seized units of the collateral token
    /// @param left units of the item's last token, as bounded by `minLeft`
    struct ItemResult {
        uint256 repaid;
        uint256 seized;
        uint256 left;
    }

    /// @notice The result of a job.
    /// @param profit units of the profit token that the receiver got
    /// @param toBuilder units of the profit token that were paid to the block's builder
    /// @param done bit i is 1 if item i was done
    struct Outcome {
        uint256 profit;
        uint256 toBuilder;
        uint256 done;
        ItemResult[] results;
    }

    /// @notice A job was executed. `done` has bit i for item i.
    event Executed(
        address indexed caller,
        address indexed receiver,
        address indexed profitToken,
        uint256 profit,
        uint256 toBuilder,
        uint256 done
    );

    /// @notice An isolated item failed and left nothing behind.
    /// @param reason the first four bytes of its error; 0 if it had none, as when its gas was used up
    event ItemFailed(uint256 indexed index, bytes4 reason);

    /// @notice The address has no code.
    error NoCode(address account);
    error ZeroAddress();
    /// @notice More than 8 targets or venues, or more than 256 items.
    error TooMany(uint256 count);
    /// @notice There is no target or venue of this index.
    error NotListed(uint256 index);
    error DeadlinePassed(uint256 deadline, uint256 timestamp);
    /// @notice Another call is in progress: a token's callback cannot start a second one.
    error Reentered();
    /// @notice Only this contract may call the function.
    error OnlySelf(address caller);
    /// @notice No callback of this caller is due.
    error UnexpectedCallback(address caller);
    /// @notice The callee returned without calling back.
    error NoCallback(address callee);
    /// @notice Coins are accepted from the wrapped coin, and from a market of coins while its receipts are redeemed.
    error UnexpectedCoins(address from);
    /// @notice The builder's share is more than 10,000 basis points, or the profit token is not the wrapped coin.
    error InvalidBuilderShare(uint16 shareBps, address profitToken);
    /// @notice The job has too little gas left for the cap of this item.
    error TooLittleGas(uint256 index);
    /// @notice No item was done.
    error NothingDone();
    /// @notice The route does not lead from the one token to the other.
    error InvalidRoute(address from, address to, bytes route);
    /// @notice The venue has no such pool.
    error NoPool(address pool);
    /// @notice The pool's liquidity does not suffice for the amount.
    error PoolTooShallow(address pool, uint256 amount, uint256 possible);
    /// @notice An amount must be at least 1 and at most 2^128 - 1.
    error AmountOutOfRange(uint256 amount);
    /// @notice The borrower owes less than expected: the position was liquidated or repaid by others.
    error StaleDebt(uint256 owed, uint256 expected);
    /// @notice The comptroller does not list this market.
    error MarketNotListed(address market);
    /// @notice Debt or collateral in the chain's own coin, and the item's token is not the wrapped coin.
    error NotWrappedCoin(address token);
    /// @notice The factory has not created this contract.
    error NotPreLiquidation(address account);
    /// @notice A fork of Compound v2 refused by a code, as older ones do instead of reverting.
    error Refused(uint256 code);
    /// @notice The protocol took no repayment.
    error NothingRepaid();
    /// @notice The item leaves less than its `minLeft`.
    error TooLittleLeft(uint256 left, uint256 minLeft);
    error TransferFailed(address token, address from, address to, uint256 amount);
    /// @notice The token refused the approval that a protocol needs to pull the repayment.
    error ApproveFailed();

    /// @notice Executes the items in turn and sends what they bring to the receiver.
    function execute(Job calldata job) external returns (Outcome memory);

    /// @notice Executes one item. Only for calls from this contract, which isolate items.
    function runItem(Item calldata item, address profitToken, address receiver) external returns (ItemResult memory);

    /// @notice Returns the wrapped coin.
    function wrappedCoin() external view returns (address);

    /// @notice Returns a protocol by its index.
    function targetAt(uint256 index) external view returns (Target memory);

    /// @notice Returns a factory of pools by its index.
    function venueAt(uint256 index) external view returns (Venue memory);

    /// @notice Returns the address of a venue's pool of two tokens, in any order, whether it exists or not.
    function poolOf(uint256 venue, address tokenA, address tokenB, uint24 key) external view returns (address);
}
