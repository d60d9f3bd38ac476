// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Staking programmes with harvesting on behalf of stakers.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice One contract for all programmes. A pool is a stake token with a fixed list of one to four reward tokens.
/// Anyone may create a pool, fund its rewards and stake. No account has rights over a pool, not even its creator.
///
/// *Distribution.* Time is divided into epochs of one week, `block.timestamp / 604800`. Funding is assigned to whole
/// epochs, from the next one at the earliest to 26 ahead at the latest, and amounts assigned to the same epoch add up.
/// An epoch's amount is paid evenly over its seconds, to the stakes of each second in proportion. Amounts of seconds
/// without any stake are added to the next epoch.
///
/// *Accounting.* A stream (one reward token of one pool) has an accumulator: the reward that one unit of stake has
/// earned since the pool's creation, times 2^96. An account has an offset for each stream, such that at any time
///
///     claimable = floor( (floor(staked × accumulator / 2^72) − offset) / 2^24 ),   or 0 if that is negative
///
/// with the difference taken modulo 2^128 and read as a signed number. Staking raises the offset, unstaking lowers it,
/// and a payment raises it by the payment × 2^24: see `RewardMath`.
///
/// Assumptions about tokens:
///  1. A transfer from this contract delivers the amount or fails, and the contract's balance changes only by its own
///     transfers. A token that rebases downwards or charges the sender in addition breaks its own pools (all pools that
///     use the token share its balance) and no others.
///  2. A fee on incoming transfers is supported: the received amount is credited. So are tokens that return nothing,
///     refuse transfers of 0, block certain receivers or call them.
/// Stakes and rewards are accounted for separately even if they are in the same token: rewards never pay out stakes.
///
/// State can be rebuilt from the events alone: every change of a stream's last update comes with `Accrue`, and the time
/// of that update is the time of the block.
interface IRewards {
    /// @notice A pool's tokens and total stake.
    /// @param stakeToken the token that is staked; 0 if the pool does not exist
    /// @param totalStaked the sum of all stakes, in units of the stake token
    /// @param rewardTokens the tokens that the pool can pay, in the order given at its creation
    struct PoolState {
        address stakeToken;
        uint256 totalStaked;
        address[] rewardTokens;
    }

    /// @notice A stream in storage, as of its last update.
    /// @param accumulator reward units that one unit of stake has earned since the pool's creation, times 2^96
    /// @param lastUpdate the second up to which the accumulator is updated; 0 if the stream does not exist
    /// @param remainder reward that is still to be paid, in units × seconds per epoch: below one unit (604800), or below
    /// 2^-96 of the stake at the last update if that is more than a unit
    /// @param epochAmount the whole amount of the epoch of the last update
    /// @param lastFundedEpoch the last epoch with an amount to pay
    /// @param funded lifetime funding, below 2^96
    struct StreamState {
        uint256 accumulator;
        uint256 lastUpdate;
        uint256 remainder;
        uint256 epochAmount;
        uint256 lastFundedEpoch;
        uint256 funded;
    }

    /// @notice The conditions under which anyone may harvest an account's reward for it.
    /// @param enabled whether the reward may be harvested
    /// @param compounds whether the reward is staked instead of paid; only if the reward is the stake token
    /// @param tipBps the part of the reward for the caller of the harvest, in basis points, at most 2000
    /// @param smallest the least claimable amount, tip included, at which the reward may be harvested
    struct HarvestConsent {
        bool enabled;
        bool compounds;
        uint16 tipBps;
        uint96 smallest;
    }

    /* EVENTS */

    /// @notice A pool was created; its streams start at this block's time.
    event CreatePool(
        bytes32 indexed pool, address indexed stakeToken, address indexed creator, address[] rewardTokens, bytes32 salt
    );

    /// @notice `amount` was received and assigned to the `epochs` epochs that start with `firstEpoch`: `amount /
    /// epochs` to each, and the remainder of the division to the first.
    event Fund(
        bytes32 indexed pool,
        address indexed rewardToken,
        address indexed funder,
        uint256 firstEpoch,
        uint256 epochs,
        uint256 amount
    );

    /// @notice The stream was updated to this block's time.
    /// @param accumulatorIncrease the growth of the accumulator
    /// @param remainder the stream's new remainder
    event Accrue(bytes32 indexed pool, address indexed rewardToken, uint256 accumulatorIncrease, uint256 remainder);

    /// @notice `amount`, which earlier seconds could not pay for lack of stakes, was added to `epoch`.
    event Defer(bytes32 indexed pool, address indexed rewardToken, uint256 indexed epoch, uint256 amount);

    /// @notice `amount` was received from `caller` and added to the stake of `onBehalf`.
    event Stake(bytes32 indexed pool, address indexed caller, address indexed onBehalf, uint256 amount);

    /// @notice `amount` was removed from the stake of `onBehalf` and sent to `receiver`.
    event Unstake(
        bytes32 indexed pool, address caller, address indexed onBehalf, address indexed receiver, uint256 amount
    );

    /// @notice `amount` of the rewards of `onBehalf` was sent to `receiver`.
    event Claim(
        bytes32 indexed pool, address indexed rewardToken, address indexed onBehalf, address receiver, uint256 amount
    );

    /// @notice `amount` of the rewards of `account` was harvested: `tip` of it for the caller; the rest was paid to the
    /// account or, if `compounded`, added to its stake.
    event Harvest(
        bytes32 indexed pool,
        address indexed rewardToken,
        address indexed account,
        uint256 amount,
        uint256 tip,
        bool compounded
    );

    /// @notice `account` changed its consent to being harvested.
    event SetHarvestConsent(
        bytes32 indexed pool,
        address indexed rewardToken,
        address indexed account,
        bool enabled,
        bool compounds,
        uint16 tipBps,
        uint96 smallest
    );

    /// @notice `authorized` may unstake and claim for `authorizer` up to and including the second `expiry`.
    event SetAuthorization(address indexed authorizer, address indexed authorized, uint256 expiry);

    /* ERRORS */

    /// @notice No pool has this id: create the pool first, or check the id.
    error PoolNotCreated(bytes32 pool);

    /// @notice The pool does not exist or does not list this reward token.
    error UnknownRewardToken(bytes32 pool, address rewardToken);

    /// @notice A pool of these arguments exists already: use it, or choose another salt.
    error PoolAlreadyCreated(bytes32 pool);

    /// @notice A pool has one to four reward tokens.
    error RewardTokenCountOutOfRange(uint256 count);

    /// @notice The list of reward tokens contains this one twice.
    error DuplicateRewardToken(address rewardToken);

    /// @notice The address has no code.
    error NoCode(address account);

    /// @notice The requested or the received amount is 0.
    error ZeroAmount();

    /// @notice Tokens or stakes would go to the zero address.
    error ZeroAddress();

    /// @notice Funding must cover at least one epoch and only epochs from `earliest` to `latest`.
    error EpochsOutOfRange(uint256 firstEpoch, uint256 epochs, uint256 earliest, uint256 latest);

    /// @notice With `amount` in addition to `funded`, the stream would reach its lifetime limit of 2^96: fund less, or
    /// create a pool with another salt.
    error FundingTooLarge(uint256 funded, uint256 amount);

    /// @notice With `amount` in addition to `totalStaked`, the pool would reach its limit of 2^128.
    error StakeTooLarge(uint256 totalStaked, uint256 amount);

    /// @notice `account` has less than `amount` staked.
    error StakeTooSmall(address account, uint256 staked, uint256 amount);

    /// @notice `caller` may not do this for `onBehalf`: see `setAuthorization`.
    error Unauthorized(address caller, address onBehalf);

    /// @notice The tip exceeds the highest that an account can consent to.
    error TipTooHigh(uint256 tipBps, uint256 largestTipBps);

    /// @notice The reward is not the stake token, so it cannot be staked.
    error CannotCompound(bytes32 pool, address rewardToken);

    /// @notice No account in the list could be harvested: each had too little to claim, no consent, or a payment that
    /// failed.
    error NothingHarvested(bytes32 pool, address rewardToken);

    /// @notice Another call is in progress: a token's callback cannot start a second one.
    error Reentered();

    /// @notice A transfer failed: check balance and allowance for an incoming one, the receiver for an outgoing one.
    error TransferFailed(address token, address from, address to, uint256 amount);

    /* POOLS AND FUNDING */

    /// @notice Creates the pool of these arguments, once. Anyone may call it.
    /// @param stakeToken the token that is staked
    /// @param rewardTokens one to four different tokens, of which one may be the stake token
    /// @param salt any value, so that several pools can have the same tokens
    /// @return pool the pool's id, see `poolId`
    function createPool(address stakeToken, address[] calldata rewardTokens, bytes32 salt)
        external
        returns (bytes32 pool);

    /// @notice Funds rewards of stakers. Funding cannot be withdrawn.
    /// @param amount pulled from the caller; the received amount is credited
    /// @param firstEpoch the first epoch that pays it, at the earliest the next one
    /// @param epochs the number of epochs over which it is spread evenly; the last one is at most 26 ahead of the
    /// current one
    /// @return credited the received amount
    function fund(bytes32 pool, address rewardToken, uint256 amount, uint256 firstEpoch, uint256 epochs)
        external
        returns (uint256 credited);

    /* STAKING */

    /// @notice Pulls stake tokens from the caller and stakes them for `onBehalf`, which then owns the stake.
    /// @param amount pulled from the caller; the received amount is credited
    /// @return credited the received amount
    function stake(bytes32 pool, uint256 amount, address onBehalf) external returns (uint256 credited);

    /// @notice Unstakes. Earned rewards remain claimable. No reward token is called, so none can block a stake.
    /// @param amount to unstake; the largest uint256 unstakes everything, including rewards compounded in the meantime
    /// @param onBehalf the owner of the stake: the caller, or an account that has authorised the caller
    /// @return unstaked the amount sent
    function unstake(bytes32 pool, uint256 amount, address onBehalf, address receiver)
        external
        returns (uint256 unstaked);

    /// @notice Pays the whole claimable reward of `onBehalf`. Sends nothing if it is 0.
    /// @param onBehalf the owner of the reward: the caller, or an account that has authorised the caller
    /// @return claimed the amount sent
    function claim(bytes32 pool, address rewardToken, address onBehalf, address receiver)
        external
        returns (uint256 claimed);

    /* HARVESTING */

    /// @notice Pays the claimable rewards of accounts, less the tips that they consented to, and sends the sum of the
    /// tips to the caller. Accounts are skipped, and keep their claim, if they did not consent, have too little to
    /// claim, or if their payment reverts or needs more than 500,000 gas. An account that is listed twice is paid once.
    /// A payment that neither reverts nor is confirmed (the token returns false) makes the whole call revert with
    /// `TransferFailed`, which names the account: a token that moves tokens and returns false could otherwise be made to
    /// pay a claim repeatedly, out of others' stakes.
    ///
    /// If the token calls its receivers, an account can begin to burn 500,000 gas after the caller estimated the call,
    /// which then may run out of gas: provide gas for such accounts, or name a lower limit by `harvestWithGasLimit`.
    /// @return tips the amount sent to the caller
    function harvest(bytes32 pool, address rewardToken, address[] calldata accounts) external returns (uint256 tips);

    /// @notice Does what `harvest` does, with a lower limit of the gas of each payment.
    /// @param paymentGas the most gas for one payment; a value above 500,000 counts as 500,000. Most tokens need less
    /// than 100,000
    function harvestWithGasLimit(bytes32 pool, address rewardToken, address[] calldata accounts, uint256 paymentGas)
        external
        returns (uint256 tips);

    /// @notice Sets the conditions under which anyone may harvest this reward for the caller.
    function setHarvestConsent(bytes32 pool, address rewardToken, HarvestConsent calldata consent) external;

    /// @notice Authorises another account to unstake and claim on the caller's behalf, in all pools and to any
    /// receiver, up to and including the second `expiry`; 0 revokes the authorisation.
    function setAuthorization(address authorized, uint256 expiry) external;

    /// @notice Executes several calls to this contract for the same caller, in order; reverts if one of them does. For
    /// example an exit: claim all rewards and unstake.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    /* VIEWS: none of them reverts, whatever the arguments; they return 0 if the pool or stream does not exist */

    /// @notice Returns the id of the pool of these arguments, whether it exists or not.
    function poolId(address stakeToken, address[] calldata rewardTokens, bytes32 salt)
        external
        pure
        returns (bytes32 pool);

    /// @notice Returns a pool's tokens and total stake.
    function poolState(bytes32 pool) external view returns (PoolState memory state);

    /// @notice Returns a stream as of its last update.
    function streamState(bytes32 pool, address rewardToken) external view returns (StreamState memory state);

    /// @notice Returns the whole amount of each of the 27 epochs that can have one, as of this block: the current epoch
    /// first, then the 26 that can be funded.
    function schedule(bytes32 pool, address rewardToken)
        external
        view
        returns (uint256 currentEpoch, uint256[] memory amounts);

    /// @notice Returns the stake of `account`, in units of the stake token.
    function staked(bytes32 pool, address account) external view returns (uint256 amount);

    /// @notice Returns the account's offset in the stream, modulo 2^128, in 2^-24 reward units.
    function rewardOffset(bytes32 pool, address rewardToken, address account) external view returns (uint256 offset);

    /// @notice Returns the conditions under which the account may be harvested.
    function harvestConsent(bytes32 pool, address rewardToken, address account)
        external
        view
        returns (HarvestConsent memory consent);

    /// @notice Returns the claimable reward of `account` in this block.
    function claimable(bytes32 pool, address rewardToken, address account) external view returns (uint256 amount);

    /// @notice Returns the claimable reward of `account` at `timestamp` if no further call changes it. A time before
    /// the stream's last update counts as the last update.
    function claimableAt(bytes32 pool, address rewardToken, address account, uint256 timestamp)
        external
        view
        returns (uint256 amount);

    /// @notice Returns the last second at which `authorized` may act for `authorizer`.
    function authorizationExpiry(address authorizer, address authorized) external view returns (uint256);
}
