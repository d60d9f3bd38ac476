// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Staking programmes that a keeper can harvest
/// @notice One contract for every programme. A pool is a stake token with a fixed list of one to four reward tokens;
/// anybody may create a pool, fund its rewards and stake. Nobody has a right over a pool, not even who created it.
///
/// How rewards flow. Time is cut into epochs of one week, `block.timestamp / 604800`. Funding is given to whole epochs,
/// from the next one at the earliest to 26 ahead at the latest, and amounts given to the same epoch add up. An epoch's
/// amount is paid evenly over its seconds, to those who are staked in each second, in proportion to their stake. What
/// would have been paid while nobody was staked is added to the next epoch.
///
/// How they are counted. A stream (one reward token of one pool) has an accumulator: the reward that one unit of stake
/// has earned since the beginning, times 2^96. An account has an offset for each stream, so that at any time
///
///     claimable = floor( (floor(staked × accumulator / 2^72) − offset) / 2^24 ),   or 0 where that is negative
///
/// with the difference taken modulo 2^128 and read as a signed number. Staking raises the offset, unstaking lowers it,
/// being paid raises it by the payment × 2^24: see `RewardMath`.
///
/// What is relied on about tokens:
///  1. An amount that is sent out arrives or the call fails; the contract's own balance changes by nothing but its own
///     transfers in and out. A token that rebases downwards or charges the sender on top breaks its own pools (all
///     pools that use this token share its balance) and no others.
///  2. A fee on what comes in is fine: what arrived is what counts. So are tokens that return nothing, refuse transfers
///     of zero, block certain receivers or call them.
/// Stake tokens and reward tokens are counted apart, also where they are the same token: rewards never pay out stakes.
///
/// State can be rebuilt from the events alone: every change of a stream's last update comes with `Accrue`, and the time
/// of that update is the time of the block.
interface IRewards {
    /// @param stakeToken what is staked; zero where no such pool exists
    /// @param totalStaked the sum of all stakes, in units of the stake token
    /// @param rewardTokens the tokens that the pool can pay, in the order given at its creation
    struct PoolState {
        address stakeToken;
        uint256 totalStaked;
        address[] rewardTokens;
    }

    /// @notice A stream as it is stored, as of its last update.
    /// @param accumulator reward units that one unit of stake has earned since the beginning, times 2^96
    /// @param lastUpdate the second up to which the accumulator is right; 0 where no such stream exists
    /// @param remainder reward below one unit that is still to be paid, in units × seconds per epoch, below 604800
    /// @param epochAmount what the epoch of the last update pays in the whole of it
    /// @param lastFundedEpoch no later epoch has anything to pay
    /// @param funded all that has ever been funded, below 2^96
    struct StreamState {
        uint256 accumulator;
        uint256 lastUpdate;
        uint256 remainder;
        uint256 epochAmount;
        uint256 lastFundedEpoch;
        uint256 funded;
    }

    /// @notice On which terms an account lets anybody harvest a reward for it.
    /// @param enabled whether it may be harvested at all
    /// @param compounds whether the reward is staked instead of paid; only where the reward is the stake token
    /// @param tipBps which part of the reward goes to who harvests, in basis points, at most 2000
    /// @param smallest no harvest happens while less than this is claimable, tip included
    struct HarvestConsent {
        bool enabled;
        bool compounds;
        uint16 tipBps;
        uint96 smallest;
    }

    /* EVENTS */

    /// @notice A pool exists from now on; its streams start at this block's time.
    event CreatePool(
        bytes32 indexed pool, address indexed stakeToken, address indexed creator, address[] rewardTokens, bytes32 salt
    );

    /// @notice `amount` arrived and was given to the `epochs` epochs that start with `firstEpoch`: `amount / epochs` to
    /// each, and what that division leaves over to the first.
    event Fund(
        bytes32 indexed pool,
        address indexed rewardToken,
        address indexed funder,
        uint256 firstEpoch,
        uint256 epochs,
        uint256 amount
    );

    /// @notice The stream was brought to this block's time.
    /// @param accumulatorIncrease by how much the accumulator grew
    /// @param remainder what the stream's remainder is from now on
    event Accrue(bytes32 indexed pool, address indexed rewardToken, uint256 accumulatorIncrease, uint256 remainder);

    /// @notice `amount`, which earlier seconds could not pay because nobody was staked, was added to `epoch`.
    event Defer(bytes32 indexed pool, address indexed rewardToken, uint256 indexed epoch, uint256 amount);

    /// @notice `amount` arrived from `caller` and was added to the stake of `onBehalf`.
    event Stake(bytes32 indexed pool, address indexed caller, address indexed onBehalf, uint256 amount);

    /// @notice `amount` was taken out of the stake of `onBehalf` and sent to `receiver`.
    event Unstake(
        bytes32 indexed pool, address caller, address indexed onBehalf, address indexed receiver, uint256 amount
    );

    /// @notice `amount` of what `onBehalf` had earned was sent to `receiver`.
    event Claim(
        bytes32 indexed pool, address indexed rewardToken, address indexed onBehalf, address receiver, uint256 amount
    );

    /// @notice `amount` of what `account` had earned was harvested: `tip` of it for the caller, the rest was paid to
    /// the account or, where `compounded`, added to its stake.
    event Harvest(
        bytes32 indexed pool,
        address indexed rewardToken,
        address indexed account,
        uint256 amount,
        uint256 tip,
        bool compounded
    );

    /// @notice `account` changed its terms for being harvested.
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

    /// @notice No pool has this id: create it first, or check the id.
    error PoolNotCreated(bytes32 pool);

    /// @notice The pool does not exist or does not list this reward token.
    error UnknownRewardToken(bytes32 pool, address rewardToken);

    /// @notice This very pool exists already: use it, or choose another salt.
    error PoolAlreadyCreated(bytes32 pool);

    /// @notice A pool has one to four reward tokens.
    error RewardTokenCountOutOfRange(uint256 count);

    /// @notice The list of reward tokens names this one twice.
    error DuplicateRewardToken(address rewardToken);

    /// @notice There is no contract at this address.
    error NoCode(address account);

    /// @notice Nothing was asked for, or nothing arrived.
    error ZeroAmount();

    /// @notice Tokens or stakes would go to the zero address.
    error ZeroAddress();

    /// @notice Funding must cover at least one epoch and only epochs from `earliest` to `latest`.
    error EpochsOutOfRange(uint256 firstEpoch, uint256 epochs, uint256 earliest, uint256 latest);

    /// @notice With `amount` more than the `funded` so far, the stream would reach its lifetime limit of 2^96: fund
    /// less, or create a pool with another salt.
    error FundingTooLarge(uint256 funded, uint256 amount);

    /// @notice With `amount` more than the `totalStaked` so far, the pool would reach its limit of 2^128.
    error StakeTooLarge(uint256 totalStaked, uint256 amount);

    /// @notice `account` has less than `amount` staked.
    error StakeTooSmall(address account, uint256 staked, uint256 amount);

    /// @notice `caller` may not do this for `onBehalf`: see `setAuthorization`.
    error Unauthorized(address caller, address onBehalf);

    /// @notice The tip is above the most that can be agreed to.
    error TipTooHigh(uint256 tipBps, uint256 largestTipBps);

    /// @notice The reward is not the stake token, so it cannot be staked.
    error CannotCompound(bytes32 pool, address rewardToken);

    /// @notice No account in the list could be harvested: all had too little, no consent, or a payment that failed.
    error NothingHarvested(bytes32 pool, address rewardToken);

    /// @notice The contract was called while it was in the middle of another call, by a token for instance.
    error Reentered();

    /// @notice The token refused: check balance and allowance where tokens come in, the receiver where they go out.
    error TransferFailed(address token, address from, address to, uint256 amount);

    /* POOLS AND FUNDING */

    /// @notice Creates the pool that these arguments define. Anybody may; the same arguments can do so only once.
    /// @param stakeToken what is staked
    /// @param rewardTokens one to four different tokens, of which one may be the stake token
    /// @param salt anything, so that several pools can have the same tokens
    /// @return pool the pool's id, see `poolId`
    function createPool(address stakeToken, address[] calldata rewardTokens, bytes32 salt)
        external
        returns (bytes32 pool);

    /// @notice Gives rewards to stakers. What has been given cannot be taken back.
    /// @param amount how much is pulled from the caller; what arrives is what counts
    /// @param firstEpoch the first epoch to pay it, at the earliest the next one
    /// @param epochs over how many epochs it is spread evenly; the last one is at most 26 ahead of the current one
    /// @return credited how much arrived
    function fund(bytes32 pool, address rewardToken, uint256 amount, uint256 firstEpoch, uint256 epochs)
        external
        returns (uint256 credited);

    /* STAKING */

    /// @notice Pulls stake tokens from the caller and stakes them for `onBehalf`, which owns them from then on.
    /// @param amount how much is pulled; what arrives is what counts
    /// @return credited how much arrived
    function stake(bytes32 pool, uint256 amount, address onBehalf) external returns (uint256 credited);

    /// @notice Takes stake back. What it has earned stays claimable. Calls no reward token, so that none can hold a
    /// stake back.
    /// @param amount how much; the largest uint256 means all of it, whatever a harvest may have compounded meanwhile
    /// @param onBehalf whose stake: the caller's, or one that has authorised the caller
    /// @return unstaked how much was sent
    function unstake(bytes32 pool, uint256 amount, address onBehalf, address receiver)
        external
        returns (uint256 unstaked);

    /// @notice Pays all that `onBehalf` can claim. Does nothing where that is nothing.
    /// @param onBehalf whose reward: the caller's, or that of an account that has authorised the caller
    /// @return claimed how much was sent
    function claim(bytes32 pool, address rewardToken, address onBehalf, address receiver)
        external
        returns (uint256 claimed);

    /* HARVESTING */

    /// @notice Pays accounts what they can claim, less the tips that they agreed to, which go to the caller together.
    /// Skipped are accounts that did not consent, those that have too little, and those whose payment fails (or needs
    /// more than 500,000 gas); they keep their claim as it was. An account that is listed twice is paid once.
    /// @return tips what the caller was sent
    function harvest(bytes32 pool, address rewardToken, address[] calldata accounts) external returns (uint256 tips);

    /// @notice Sets on which terms anybody may harvest this reward for the caller.
    function setHarvestConsent(bytes32 pool, address rewardToken, HarvestConsent calldata consent) external;

    /// @notice Lets another account unstake and claim on the caller's behalf, in all pools and to any receiver, up to
    /// and including the second `expiry`; 0 ends it.
    function setAuthorization(address authorized, uint256 expiry) external;

    /// @notice Carries out several calls to this contract as one, for the same caller; if one fails, all do. For
    /// instance an exit: all rewards claimed and the stake taken out.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    /* VIEWS: none of them reverts, whatever is asked; where nothing exists the answer is zero. */

    /// @notice The id of the pool that these arguments define, whether it exists or not.
    function poolId(address stakeToken, address[] calldata rewardTokens, bytes32 salt)
        external
        pure
        returns (bytes32 pool);

    /// @notice The pool's tokens and total stake.
    function poolState(bytes32 pool) external view returns (PoolState memory state);

    /// @notice The stream as of its last update.
    function streamState(bytes32 pool, address rewardToken) external view returns (StreamState memory state);

    /// @notice What each of the 27 epochs that can have something to pay pays in the whole of it, as of now: the
    /// current one first, then the 26 that can be funded.
    function schedule(bytes32 pool, address rewardToken)
        external
        view
        returns (uint256 currentEpoch, uint256[] memory amounts);

    /// @notice The stake of `account`, in units of the stake token.
    function staked(bytes32 pool, address account) external view returns (uint256 amount);

    /// @notice The account's offset against the stream, modulo 2^128, in 2^-24 reward units.
    function rewardOffset(bytes32 pool, address rewardToken, address account) external view returns (uint256 offset);

    /// @notice The terms on which the account may be harvested.
    function harvestConsent(bytes32 pool, address rewardToken, address account)
        external
        view
        returns (HarvestConsent memory consent);

    /// @notice What `account` could claim now.
    function claimable(bytes32 pool, address rewardToken, address account) external view returns (uint256 amount);

    /// @notice What `account` could claim at `timestamp` if nothing else happened until then. A time before the
    /// stream's last update counts as that.
    function claimableAt(bytes32 pool, address rewardToken, address account, uint256 timestamp)
        external
        view
        returns (uint256 amount);

    /// @notice The last second at which `authorized` may act for `authorizer`.
    function authorizationExpiry(address authorizer, address authorized) external view returns (uint256);
}
