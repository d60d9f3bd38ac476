// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IRewards} from "../interfaces/IRewards.sol";
import {Multicall} from "../libraries/Multicall.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Accrual} from "./Accrual.sol";
import {RewardMath} from "./RewardMath.sol";
import {Stream, StreamLib} from "./Stream.sol";

/// @title Staking programmes with harvesting on behalf of stakers.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IRewards`.
/// @dev State is consistent whenever a token is called: tokens are pulled before state is read and pushed after state
/// is written, and entries are guarded against reentrancy.
contract Rewards is IRewards {
    using RewardMath for uint128;
    using Tokens for address;

    uint256 private constant MAX_REWARD_TOKENS = 4;
    uint256 private constant MAX_TIP_BPS = 2000;
    uint256 private constant BPS = 10_000;

    /// @dev The gas limit of a payment, unless the caller names a lower one: enough for any legitimate token, and a
    /// bound on the gas that a hostile receiver can burn in a batch.
    uint256 private constant PAYMENT_GAS = 500_000;

    /// @dev An account's state in one stream, in one slot: the offset, then the consent to harvesting.
    struct Ledger {
        uint128 offset;
        uint96 smallest;
        uint16 tipBps;
        bool enabled;
        bool compounds;
    }

    struct Account {
        uint128 staked;
        Ledger[MAX_REWARD_TOKENS] ledgers;
    }

    struct Pool {
        address stakeToken;
        uint8 rewardTokenCount;
        uint128 totalStaked;
        Stream[MAX_REWARD_TOKENS] streams;
        mapping(address account => Account) accounts;
    }

    mapping(bytes32 id => Pool) private _pools;

    /// @inheritdoc IRewards
    mapping(address authorizer => mapping(address authorized => uint256)) public authorizationExpiry;

    /// @dev 1 during a call, else 0. A whole word, so that setting it needs no read of other values in the slot.
    uint256 private transient _entered;

    modifier nonReentrant() {
        if (_entered != 0) revert Reentered();
        _entered = 1;
        _;
        _entered = 0;
    }

    modifier onlyAuthorized(address onBehalf) {
        if (msg.sender != onBehalf && block.timestamp > authorizationExpiry[onBehalf][msg.sender]) {
            revert Unauthorized(msg.sender, onBehalf);
        }
        _;
    }

    /* POOLS AND FUNDING */

    /// @inheritdoc IRewards
    function createPool(address stakeToken, address[] calldata rewardTokens, bytes32 salt)
        external
        nonReentrant
        returns (bytes32 id)
    {
        uint256 count = rewardTokens.length;
        if (count == 0 || count > MAX_REWARD_TOKENS) revert RewardTokenCountOutOfRange(count);
        _requireContract(stakeToken);
        id = poolId(stakeToken, rewardTokens, salt);
        Pool storage pool = _pools[id];
        if (pool.stakeToken != address(0)) revert PoolAlreadyCreated(id);

        pool.stakeToken = stakeToken;
        pool.rewardTokenCount = uint8(count);
        for (uint256 i; i < count; i++) {
            address token = rewardTokens[i];
            _requireContract(token);
            for (uint256 j; j < i; j++) {
                if (rewardTokens[j] == token) revert DuplicateRewardToken(token);
            }
            pool.streams[i].token = token;
            pool.streams[i].lastUpdate = uint40(block.timestamp);
        }
        emit CreatePool(id, stakeToken, msg.sender, rewardTokens, salt);
    }

    /// @inheritdoc IRewards
    function fund(bytes32 id, address rewardToken, uint256 amount, uint256 firstEpoch, uint256 epochs)
        external
        nonReentrant
        returns (uint256 credited)
    {
        Pool storage pool = _pools[id];
        Stream storage stream = pool.streams[_rewardIndex(id, rewardToken)];
        uint256 current = block.timestamp / StreamLib.EPOCH_SECONDS;
        uint256 latest = current + StreamLib.EPOCHS_AHEAD;
        if (firstEpoch <= current || firstEpoch > latest || epochs == 0 || epochs > latest - firstEpoch + 1) {
            revert EpochsOutOfRange(firstEpoch, epochs, current + 1, latest);
        }
        credited = _pullMeasured(rewardToken, amount);
        stream.accrue(id, pool.totalStaked);
        stream.give(credited, firstEpoch, epochs);
        emit Fund(id, rewardToken, msg.sender, firstEpoch, epochs, credited);
    }

    /* STAKING */

    /// @inheritdoc IRewards
    function stake(bytes32 id, uint256 amount, address onBehalf) external nonReentrant returns (uint256 credited) {
        Pool storage pool = _pools[id];
        address stakeToken = pool.stakeToken;
        if (stakeToken == address(0)) revert PoolNotCreated(id);
        if (onBehalf == address(0)) revert ZeroAddress();
        credited = _pullMeasured(stakeToken, amount);
        _changeStake(pool, id, onBehalf, credited, true);
        emit Stake(id, msg.sender, onBehalf, credited);
    }

    /// @inheritdoc IRewards
    function unstake(bytes32 id, uint256 amount, address onBehalf, address receiver)
        external
        nonReentrant
        onlyAuthorized(onBehalf)
        returns (uint256 unstaked)
    {
        Pool storage pool = _pools[id];
        uint256 held = pool.accounts[onBehalf].staked;
        unstaked = amount == type(uint256).max ? held : amount;
        if (unstaked == 0) revert ZeroAmount();
        if (unstaked > held) revert StakeTooSmall(onBehalf, held, unstaked);
        if (receiver == address(0)) revert ZeroAddress();

        _changeStake(pool, id, onBehalf, unstaked, false);
        emit Unstake(id, msg.sender, onBehalf, receiver, unstaked);
        pool.stakeToken.push(receiver, unstaked);
    }

    /// @inheritdoc IRewards
    function claim(bytes32 id, address rewardToken, address onBehalf, address receiver)
        external
        nonReentrant
        onlyAuthorized(onBehalf)
        returns (uint256 claimed)
    {
        if (receiver == address(0)) revert ZeroAddress();
        Pool storage pool = _pools[id];
        uint256 index = _rewardIndex(id, rewardToken);
        uint256 accumulator = pool.streams[index].accrue(id, pool.totalStaked);
        Account storage holder = pool.accounts[onBehalf];
        Ledger storage ledger = holder.ledgers[index];
        uint128 offset = ledger.offset;
        claimed = RewardMath.claimableDown(holder.staked, accumulator, offset);
        if (claimed == 0) return 0;

        ledger.offset = offset.offsetAfterPayment(claimed);
        emit Claim(id, rewardToken, onBehalf, receiver, claimed);
        rewardToken.push(receiver, claimed);
    }

    /* HARVESTING */

    /// @inheritdoc IRewards
    function harvest(bytes32 id, address rewardToken, address[] calldata accounts) external returns (uint256 tips) {
        return harvestWithGasLimit(id, rewardToken, accounts, PAYMENT_GAS);
    }

    /// @inheritdoc IRewards
    function harvestWithGasLimit(bytes32 id, address rewardToken, address[] calldata accounts, uint256 paymentGas)
        public
        nonReentrant
        returns (uint256 tips)
    {
        if (paymentGas > PAYMENT_GAS) paymentGas = PAYMENT_GAS;
        Pool storage pool = _pools[id];
        uint256 index = _rewardIndex(id, rewardToken);
        uint256 accumulator = pool.streams[index].accrue(id, pool.totalStaked);
        uint256 harvested;
        for (uint256 i; i < accounts.length; i++) {
            (uint256 amount, uint256 tip) =
                _harvestOne(pool, id, rewardToken, index, accumulator, accounts[i], paymentGas);
            harvested += amount;
            tips += tip;
        }
        if (harvested == 0) revert NothingHarvested(id, rewardToken);
        rewardToken.push(msg.sender, tips);
    }

    /// @inheritdoc IRewards
    function setHarvestConsent(bytes32 id, address rewardToken, HarvestConsent calldata consent) external nonReentrant {
        Pool storage pool = _pools[id];
        Ledger storage ledger = pool.accounts[msg.sender].ledgers[_rewardIndex(id, rewardToken)];
        if (consent.tipBps > MAX_TIP_BPS) revert TipTooHigh(consent.tipBps, MAX_TIP_BPS);
        if (consent.compounds && rewardToken != pool.stakeToken) revert CannotCompound(id, rewardToken);
        ledger.smallest = consent.smallest;
        ledger.tipBps = consent.tipBps;
        ledger.enabled = consent.enabled;
        ledger.compounds = consent.compounds;
        emit SetHarvestConsent(
            id, rewardToken, msg.sender, consent.enabled, consent.compounds, consent.tipBps, consent.smallest
        );
    }

    /// @inheritdoc IRewards
    function setAuthorization(address authorized, uint256 expiry) external nonReentrant {
        authorizationExpiry[msg.sender][authorized] = expiry;
        emit SetAuthorization(msg.sender, authorized, expiry);
    }

    /// @inheritdoc IRewards
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        return Multicall.run(calls);
    }

    /* VIEWS */

    /// @inheritdoc IRewards
    function poolId(address stakeToken, address[] calldata rewardTokens, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(stakeToken, rewardTokens, salt));
    }

    /// @inheritdoc IRewards
    function poolState(bytes32 id) external view returns (PoolState memory state) {
        Pool storage pool = _pools[id];
        state.stakeToken = pool.stakeToken;
        state.totalStaked = pool.totalStaked;
        state.rewardTokens = new address[](pool.rewardTokenCount);
        for (uint256 i; i < state.rewardTokens.length; i++) {
            state.rewardTokens[i] = pool.streams[i].token;
        }
    }

    /// @inheritdoc IRewards
    function streamState(bytes32 id, address rewardToken) external view returns (StreamState memory state) {
        (bool found, uint256 index) = _findReward(id, rewardToken);
        if (!found) return state;
        Stream storage stream = _pools[id].streams[index];
        state.accumulator = stream.accumulator;
        state.lastUpdate = stream.lastUpdate;
        state.remainder = stream.remainder();
        state.epochAmount = stream.epochAmount;
        state.lastFundedEpoch = stream.lastFundedEpoch;
        state.funded = stream.funded;
    }

    /// @inheritdoc IRewards
    function schedule(bytes32 id, address rewardToken)
        external
        view
        returns (uint256 currentEpoch, uint256[] memory amounts)
    {
        currentEpoch = block.timestamp / StreamLib.EPOCH_SECONDS;
        amounts = new uint256[](StreamLib.EPOCHS_AHEAD + 1);
        (bool found, uint256 index) = _findReward(id, rewardToken);
        if (!found) return (currentEpoch, amounts);
        Stream storage stream = _pools[id].streams[index];
        Accrual memory accrual = stream.project(_pools[id].totalStaked, block.timestamp);
        for (uint256 i = 1; i < amounts.length; i++) {
            amounts[i] = stream.scheduled[currentEpoch + i];
        }
        amounts[0] = accrual.epochAmount;
        amounts[1] += accrual.deferred;
    }

    /// @inheritdoc IRewards
    function staked(bytes32 id, address account) external view returns (uint256) {
        return _pools[id].accounts[account].staked;
    }

    /// @inheritdoc IRewards
    function rewardOffset(bytes32 id, address rewardToken, address account) external view returns (uint256) {
        (bool found, uint256 index) = _findReward(id, rewardToken);
        return found ? _pools[id].accounts[account].ledgers[index].offset : 0;
    }

    /// @inheritdoc IRewards
    function harvestConsent(bytes32 id, address rewardToken, address account)
        external
        view
        returns (HarvestConsent memory consent)
    {
        (bool found, uint256 index) = _findReward(id, rewardToken);
        if (!found) return consent;
        Ledger storage ledger = _pools[id].accounts[account].ledgers[index];
        consent.enabled = ledger.enabled;
        consent.compounds = ledger.compounds;
        consent.tipBps = ledger.tipBps;
        consent.smallest = ledger.smallest;
    }

    /// @inheritdoc IRewards
    function claimable(bytes32 id, address rewardToken, address account) external view returns (uint256) {
        return claimableAt(id, rewardToken, account, block.timestamp);
    }

    /// @inheritdoc IRewards
    function claimableAt(bytes32 id, address rewardToken, address account, uint256 timestamp)
        public
        view
        returns (uint256)
    {
        (bool found, uint256 index) = _findReward(id, rewardToken);
        if (!found) return 0;
        Pool storage pool = _pools[id];
        Stream storage stream = pool.streams[index];
        uint256 accumulator = stream.accumulator + stream.project(pool.totalStaked, timestamp).accumulatorIncrease;
        Account storage holder = pool.accounts[account];
        return RewardMath.claimableDown(holder.staked, accumulator, holder.ledgers[index].offset);
    }

    /* INTERNAL */

    /// @dev The only function that changes a stake: it updates all streams first, with the stakes before the change. If
    /// `grows` is false, the stake must be at least `amount`.
    function _changeStake(Pool storage pool, bytes32 id, address account, uint256 amount, bool grows) private {
        uint256 total = pool.totalStaked;
        Account storage holder = pool.accounts[account];
        uint256 count = pool.rewardTokenCount;
        for (uint256 i; i < count; i++) {
            uint256 accumulator = pool.streams[i].accrue(id, total);
            Ledger storage ledger = holder.ledgers[i];
            ledger.offset = grows
                ? ledger.offset.offsetAfterStakeUp(amount, accumulator)
                : ledger.offset.offsetAfterUnstakeUp(amount, accumulator);
        }
        if (grows) {
            if (amount > type(uint128).max - total) revert StakeTooLarge(total, amount);
            pool.totalStaked = uint128(total + amount);
            // A part of the total, so it fits.
            holder.staked += uint128(amount);
        } else {
            pool.totalStaked = uint128(total - amount);
            holder.staked -= uint128(amount);
        }
    }

    /// @dev Harvests one account, whose stream was updated to `accumulator`. An account that cannot be harvested is
    /// left unchanged. If its payment did not revert but was not confirmed either, the tokens may have moved, so that
    /// its claim could be paid twice: then the whole call reverts.
    /// @return amount harvested; 0 if the account was skipped
    /// @return tip the caller's part of it
    function _harvestOne(
        Pool storage pool,
        bytes32 id,
        address rewardToken,
        uint256 index,
        uint256 accumulator,
        address account,
        uint256 paymentGas
    ) private returns (uint256 amount, uint256 tip) {
        Account storage holder = pool.accounts[account];
        Ledger memory ledger = holder.ledgers[index];
        if (!ledger.enabled) return (0, 0);
        amount = RewardMath.claimableDown(holder.staked, accumulator, ledger.offset);
        if (amount == 0 || amount < ledger.smallest) return (0, 0);
        tip = amount * ledger.tipBps / BPS;

        holder.ledgers[index].offset = ledger.offset.offsetAfterPayment(amount);
        if (ledger.compounds) {
            _changeStake(pool, id, account, amount - tip, true);
        } else {
            uint256 outcome = rewardToken.tryPush(account, amount - tip, paymentGas);
            if (outcome != Tokens.SENT) {
                if (outcome == Tokens.UNCONFIRMED) {
                    revert TransferFailed(rewardToken, address(this), account, amount - tip);
                }
                holder.ledgers[index].offset = ledger.offset;
                return (0, 0);
            }
        }
        emit Harvest(id, rewardToken, account, amount, tip, ledger.compounds);
    }

    /// @dev Pulls tokens from the caller and returns the received amount, since some tokens charge a fee.
    function _pullMeasured(address token, uint256 amount) private returns (uint256 arrived) {
        uint256 before = IERC20(token).balanceOf(address(this));
        token.pull(msg.sender, amount);
        arrived = IERC20(token).balanceOf(address(this)) - before;
        if (arrived == 0) revert ZeroAmount();
    }

    function _requireContract(address token) private view {
        if (token.code.length == 0) revert NoCode(token);
    }

    function _rewardIndex(bytes32 id, address rewardToken) private view returns (uint256) {
        (bool found, uint256 index) = _findReward(id, rewardToken);
        if (!found) revert UnknownRewardToken(id, rewardToken);
        return index;
    }

    function _findReward(bytes32 id, address rewardToken) private view returns (bool, uint256) {
        if (rewardToken == address(0)) return (false, 0);
        for (uint256 i; i < MAX_REWARD_TOKENS; i++) {
            if (_pools[id].streams[i].token == rewardToken) return (true, i);
        }
        return (false, 0);
    }
}
