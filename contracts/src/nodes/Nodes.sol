// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {INodes} from "../interfaces/INodes.sol";
import {IRewards} from "../interfaces/IRewards.sol";
import {Multicall} from "../libraries/Multicall.sol";
import {SharesMath} from "../libraries/SharesMath.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {NodeStaker} from "./NodeStaker.sol";

/// @title Registry and bonds of nodes.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `INodes`.
/// @dev Each entry is locked while it runs, except the token's functions, which only the emission pool can use. No loop
/// depends on the number of nodes.
contract Nodes is INodes {
    using FixedPointMathLib for uint256;
    using SafeCastLib for uint256;
    using SharesMath for uint256;
    using Tokens for address;

    uint256 private constant BPS = 10_000;
    uint256 private constant SMALLEST_MIN_BOND = 10_000;
    uint256 private constant MIN_COOLDOWN = 5 days;
    uint256 private constant MAX_COOLDOWN = 60 days;
    /// @dev Of the smallest bond: one unit of weight.
    uint256 private constant WEIGHTS_PER_BOND = 4;
    uint256 private constant MAX_WEIGHT = 16;
    /// @dev What counts, over what the operator has of it.
    uint256 private constant SELF_MULTIPLE = 10;
    uint256 private constant DELEGATIONS_PER_BOND = 100;
    uint256 private constant MAX_SLASH_BPS = 2000;
    uint256 private constant MAX_SEATS = 8;
    uint256 private constant MAX_URL = 256;
    uint256 private constant MAX_ASSETS = 2 ** 96;
    uint256 private constant MAX_LEAVES = 2 ** 16;
    uint256 private constant MAX_TRIES = 256;
    uint256 private constant JAIL_SECS = 1 days;
    /// @dev A draw is over before the end of the period after the one in which its job was posted.
    uint256 private constant PERIOD_SECS = 6 hours;
    /// @dev A hundredth of the first price.
    uint256 private constant RUINED_SHARES_PER_ASSET = 100 * SharesMath.VIRTUAL_SHARES;
    uint128 private constant FIRST_FACTOR = 2 ** 96;
    /// @dev Below it the factor is too coarse to be lowered further.
    uint256 private constant MIN_FACTOR = 2 ** 33;

    address private immutable TOKEN;
    IRewards private immutable REWARDS;
    address private immutable JOBS;
    bytes32 private immutable POOL;
    uint256 private immutable MIN_BOND;
    uint256 private immutable COOLDOWN_SECS;
    bytes32 private immutable STAKER_CODE_HASH;

    /// @inheritdoc INodes
    uint32 public count;
    /// @dev What the emission pool holds of the stake token.
    uint256 private _issued;
    mapping(uint32 id => Node) private _nodes;
    mapping(uint32 id => mapping(address account => Position)) private _positions;
    mapping(bytes32 kind => Leaf[]) private _leaves;
    /// @inheritdoc INodes
    mapping(bytes32 kind => uint256) public openDraws;
    /// @inheritdoc INodes
    mapping(uint32 id => address) public signerOf;
    /// @inheritdoc INodes
    mapping(uint32 id => mapping(address signer => uint40)) public signerValidUntil;

    /// @dev 1 during a call, else 0.
    uint256 private transient _entered;

    modifier nonReentrant() {
        if (_entered != 0) revert Reentered();
        _entered = 1;
        _;
        _entered = 0;
    }

    modifier onlyJobs() {
        if (msg.sender != JOBS) revert NotJobs(msg.sender);
        _;
    }

    modifier onlyOperator(uint32 id) {
        address operator = _existing(id).operator;
        if (msg.sender != operator) revert NotOperator(msg.sender, operator);
        _;
    }

    constructor(address token_, address rewards_, address jobs_, uint256 minBond_, uint256 cooldown_) {
        if (token_.code.length == 0) revert NoCode(token_);
        if (rewards_.code.length == 0) revert NoCode(rewards_);
        if (jobs_ == address(0)) revert ZeroAddress();
        if (minBond_ < SMALLEST_MIN_BOND || minBond_ > MAX_ASSETS) {
            revert OutOfRange(minBond_, SMALLEST_MIN_BOND, MAX_ASSETS);
        }
        if (cooldown_ < MIN_COOLDOWN || cooldown_ > MAX_COOLDOWN) {
            revert OutOfRange(cooldown_, MIN_COOLDOWN, MAX_COOLDOWN);
        }
        TOKEN = token_;
        REWARDS = IRewards(rewards_);
        JOBS = jobs_;
        MIN_BOND = minBond_;
        COOLDOWN_SECS = cooldown_;
        address[] memory rewardTokens = new address[](1);
        rewardTokens[0] = token_;
        POOL = IRewards(rewards_).poolId(address(this), rewardTokens, 0);
        STAKER_CODE_HASH = keccak256(bytes.concat(type(NodeStaker).creationCode, abi.encode(rewards_)));
    }

    /* NODES */

    /// @inheritdoc INodes
    function register(bytes32 kind, address signer, uint16 cutBps, string calldata url, uint256 amount)
        external
        nonReentrant
        returns (uint32 id)
    {
        if (kind == 0) revert ZeroKind();
        if (signer == address(0)) revert ZeroAddress();
        if (cutBps > BPS) revert CutTooHigh(cutBps);
        _checkUrl(url);
        if (amount < MIN_BOND) revert AmountTooSmall(amount, MIN_BOND);
        if (amount > MAX_ASSETS) revert BondTooLarge(amount);
        if (_leaves[kind].length == MAX_LEAVES) revert KindFull(kind);
        TOKEN.pullExact(msg.sender, amount);

        id = ++count;
        new NodeStaker{salt: bytes32(uint256(id))}(REWARDS);
        Node storage n = _nodes[id];
        n.operator = msg.sender;
        n.cutBps = cutBps;
        n.kind = kind;
        n.factor = FIRST_FACTOR;
        emit Register(id, msg.sender, kind, signer, cutBps, url);
        _setSigner(id, signer);
        _mint(id, n, msg.sender, amount);
        _refresh(id, n);
    }

    /// @inheritdoc INodes
    function delegate(uint32 id, uint256 amount) external nonReentrant returns (uint256 shares) {
        Node storage n = _existing(id);
        uint256 smallest = MIN_BOND / DELEGATIONS_PER_BOND;
        if (amount < smallest) revert AmountTooSmall(amount, smallest);
        // A newcomer must not share in what fell due before.
        _addIncome(id, n, _claim(id, n));
        if (_isRuined(n.active)) revert NodeRuined(id);
        if (n.active.assets + amount > MAX_ASSETS) revert BondTooLarge(n.active.assets + amount);
        TOKEN.pullExact(msg.sender, amount);
        shares = _mint(id, n, msg.sender, amount);
        _refresh(id, n);
    }

    /// @inheritdoc INodes
    function unbond(uint32 id, uint256 shares) external nonReentrant returns (uint256 assets) {
        Node storage n = _existing(id);
        Position storage p = _positions[id][msg.sender];
        if (shares == 0 || shares > p.shares) revert SharesOutOfRange(shares, p.shares);
        // An account that unbonds while the token or the emission pool fails forgoes what was not harvested. The call
        // cannot be starved of gas: a sixty-third of what it needs does not suffice for the rest.
        try REWARDS.claim(POOL, TOKEN, staker(id), address(this)) returns (uint256 claimed) {
            _addIncome(id, n, claimed);
        } catch {}
        assets = _assetsOfUnbonding(n.active, shares);
        // A part of the bucket, so both fit.
        n.active.assets -= uint128(assets);
        n.active.shares -= uint128(shares);
        uint256 releasesAt = block.timestamp + COOLDOWN_SECS;
        p.shares -= uint128(shares);
        p.unbonding = (_worth(n, p) + assets).toUint128();
        p.factorThen = n.factor;
        p.releasesAt = uint40(releasesAt);
        n.unbonding = (n.unbonding + assets).toUint128();
        emit Unbond(id, msg.sender, shares, assets, releasesAt);
        _refresh(id, n);
    }

    /// @inheritdoc INodes
    function withdraw(uint32 id, address receiver) external nonReentrant returns (uint256 assets) {
        Node storage n = _existing(id);
        Position storage p = _positions[id][msg.sender];
        if (p.unbonding == 0) revert NothingUnbonding(id, msg.sender);
        if (block.timestamp < p.releasesAt) revert NotReleased(p.releasesAt);
        if (receiver == address(0)) revert ZeroAddress();
        assets = _worth(n, p);
        (p.unbonding, p.factorThen, p.releasesAt) = (0, 0, 0);
        n.unbonding -= uint128(assets);
        emit Withdraw(id, msg.sender, receiver, assets);
        TOKEN.push(receiver, assets);
    }

    /// @inheritdoc INodes
    function harvest(uint32[] calldata ids) external nonReentrant {
        for (uint256 i; i < ids.length; ++i) {
            Node storage n = _existing(ids[i]);
            _addIncome(ids[i], n, _claim(ids[i], n));
            _refresh(ids[i], n);
        }
    }

    /// @inheritdoc INodes
    function pause(uint32 id) external nonReentrant onlyOperator(id) {
        _nodes[id].paused = true;
        emit Pause(id);
        _refresh(id, _nodes[id]);
    }

    /// @inheritdoc INodes
    function resume(uint32 id) external nonReentrant onlyOperator(id) {
        Node storage n = _nodes[id];
        if (block.timestamp < n.jailedUntil) revert Jailed(n.jailedUntil);
        (n.paused, n.jailedUntil) = (false, 0);
        emit Resume(id);
        _refresh(id, n);
    }

    /// @inheritdoc INodes
    function setSigner(uint32 id, address signer) external nonReentrant onlyOperator(id) {
        if (signer == address(0)) revert ZeroAddress();
        _setSigner(id, signer);
    }

    /// @inheritdoc INodes
    function setUrl(uint32 id, string calldata url) external nonReentrant onlyOperator(id) {
        _checkUrl(url);
        emit SetUrl(id, url);
    }

    /// @inheritdoc INodes
    function compact(bytes32 kind, uint256 index) external nonReentrant {
        if (openDraws[kind] != 0) revert DrawOpen(kind);
        Leaf[] storage list = _leaves[kind];
        if (index >= list.length) revert LeafInUse(kind, index);
        Leaf memory removed = list[index];
        if (removed.weight != 0 || removed.seats != 0) revert LeafInUse(kind, index);
        uint256 last = list.length - 1;
        uint32 moved;
        if (index != last) {
            Leaf memory kept = list[last];
            list[index] = kept;
            moved = kept.node;
            _nodes[moved].leaf = uint32(index + 1);
        }
        list.pop();
        _nodes[removed.node].leaf = 0;
        emit Compact(kind, index, moved);
    }

    /// @inheritdoc INodes
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        return Multicall.run(calls);
    }

    /* ONLY THE JOBS CONTRACT */

    /// @inheritdoc INodes
    function openDraw(bytes32 kind) external nonReentrant onlyJobs returns (uint256) {
        ++openDraws[kind];
        return _leaves[kind].length;
    }

    /// @inheritdoc INodes
    function closeDraw(bytes32 kind) external nonReentrant onlyJobs {
        --openDraws[kind];
    }

    /// @inheritdoc INodes
    function takeSeat(uint32 id) external nonReentrant onlyJobs {
        Leaf storage l = _leafOf(_existing(id));
        if (l.seats == MAX_SEATS) revert NoSeat(id);
        ++l.seats;
    }

    /// @inheritdoc INodes
    function freeSeat(uint32 id) external nonReentrant onlyJobs {
        // A leaf with seats is not removed.
        --_leafOf(_existing(id)).seats;
    }

    /// @inheritdoc INodes
    function slash(uint32 id, uint256 bps) external nonReentrant onlyJobs returns (uint256 taken) {
        if (bps > MAX_SLASH_BPS) revert SlashTooHigh(bps, MAX_SLASH_BPS);
        Node storage n = _existing(id);
        taken = _slash(id, n, (uint256(n.active.assets) + n.unbonding) * bps / BPS);
        _refresh(id, n);
        TOKEN.push(JOBS, taken);
    }

    /// @inheritdoc INodes
    function jail(uint32 id) external nonReentrant onlyJobs {
        Node storage n = _existing(id);
        n.jailedUntil = uint40(block.timestamp + JAIL_SECS);
        emit Jail(id, n.jailedUntil);
        _refresh(id, n);
    }

    /* VIEWS */

    /// @inheritdoc INodes
    function sample(
        bytes32 kind,
        bytes32 seed,
        uint256 seats,
        uint256 postedAt,
        uint256 leaves_,
        uint32[] calldata excluded
    ) external view returns (uint32[] memory ids) {
        ids = new uint32[](seats);
        uint256 found;
        if (leaves_ != 0) {
            Leaf[] storage list = _leaves[kind];
            for (uint256 i; i < MAX_TRIES && found < seats; ++i) {
                uint256 r = uint256(keccak256(abi.encode(seed, i)));
                Leaf memory l = list[uint128(r) % leaves_];
                // The lowest bits of the upper half: 0 to 15, each with the same chance.
                if ((r >> 128) % MAX_WEIGHT >= _weightAt(l, postedAt) || l.seats == MAX_SEATS) continue;
                if (_contains(excluded, l.node)) continue;
                uint256 j;
                while (j < found && ids[j] != l.node) ++j;
                if (j == found) ids[found++] = l.node;
            }
        }
        assembly ("memory-safe") {
            mstore(ids, found)
        }
    }

    /// @inheritdoc INodes
    function node(uint32 id) external view returns (Node memory) {
        return _nodes[id];
    }

    /// @inheritdoc INodes
    function operatorOf(uint32 id) external view returns (address) {
        return _nodes[id].operator;
    }

    /// @inheritdoc INodes
    function kindOf(uint32 id) external view returns (bytes32) {
        return _nodes[id].kind;
    }

    /// @inheritdoc INodes
    function position(uint32 id, address account) external view returns (Position memory) {
        return _positions[id][account];
    }

    /// @inheritdoc INodes
    function assetsOf(uint32 id, address account) external view returns (uint256 active, uint256 unbonding) {
        Node storage n = _nodes[id];
        Position storage p = _positions[id][account];
        return (_assetsOfUnbonding(n.active, p.shares), _worth(n, p));
    }

    /// @inheritdoc INodes
    function previewUnbond(uint32 id, uint256 shares) external view returns (uint256 assets) {
        Bucket memory active = _nodes[id].active;
        if (shares > active.shares) revert SharesOutOfRange(shares, active.shares);
        return _assetsOfUnbonding(active, shares);
    }

    /// @inheritdoc INodes
    function leaf(bytes32 kind, uint256 index) external view returns (Leaf memory) {
        return _leaves[kind][index];
    }

    /// @inheritdoc INodes
    function weightAt(uint32 id, uint256 time) external view returns (uint256) {
        Node storage n = _nodes[id];
        return n.leaf == 0 ? 0 : _weightAt(_leafOf(n), time);
    }

    /// @inheritdoc INodes
    function leaves(bytes32 kind) external view returns (uint256) {
        return _leaves[kind].length;
    }

    /// @inheritdoc INodes
    function isSigner(uint32 id, address account) external view returns (bool) {
        return block.timestamp <= signerValidUntil[id][account];
    }

    /// @inheritdoc INodes
    function staker(uint32 id) public view returns (address) {
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), address(this), uint256(id), STAKER_CODE_HASH));
        return address(uint160(uint256(hash)));
    }

    /// @inheritdoc INodes
    function token() external view returns (address) {
        return TOKEN;
    }

    /// @inheritdoc INodes
    function rewards() external view returns (address) {
        return address(REWARDS);
    }

    /// @inheritdoc INodes
    function pool() external view returns (bytes32) {
        return POOL;
    }

    /// @inheritdoc INodes
    function jobs() external view returns (address) {
        return JOBS;
    }

    /// @inheritdoc INodes
    function minBond() external view returns (uint256) {
        return MIN_BOND;
    }

    /// @inheritdoc INodes
    function cooldown() external view returns (uint256) {
        return COOLDOWN_SECS;
    }

    /* THE STAKE TOKEN OF THE EMISSION POOL */

    /// @inheritdoc INodes
    function balanceOf(address account) external view returns (uint256) {
        return account == address(REWARDS) ? _issued : 0;
    }

    /// @inheritdoc INodes
    function transfer(address to, uint256 amount) external returns (bool) {
        if (msg.sender != address(REWARDS) || to != address(this)) revert NotTransferable();
        _issued -= amount;
        return true;
    }

    /// @inheritdoc INodes
    /// @dev The registry calls the pool only while it is locked, so nobody else can make the pool pull from it: an
    /// entry's stake is pulled from its caller.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        if (msg.sender != address(REWARDS) || from != address(this) || to != msg.sender) revert NotTransferable();
        _issued += amount;
        return true;
    }

    /* INTERNAL */

    function _existing(uint32 id) private view returns (Node storage n) {
        n = _nodes[id];
        if (n.operator == address(0)) revert UnknownNode(id);
    }

    function _leafOf(Node storage n) private view returns (Leaf storage) {
        return _leaves[n.kind][n.leaf - 1];
    }

    function _checkUrl(string calldata url) private pure {
        uint256 length = bytes(url).length;
        if (length == 0 || length > MAX_URL) revert UrlLengthOutOfRange(length, MAX_URL);
    }

    function _setSigner(uint32 id, address signer) private {
        address old = signerOf[id];
        uint256 validUntil = block.timestamp + COOLDOWN_SECS;
        if (old != address(0)) signerValidUntil[id][old] = uint40(validUntil);
        signerOf[id] = signer;
        signerValidUntil[id][signer] = type(uint40).max;
        emit SetSigner(id, signer, old, validUntil);
    }

    /// @dev Adds assets, which fit, to the active bond for shares of `account`.
    function _mint(uint32 id, Node storage n, address account, uint256 amount) private returns (uint256 shares) {
        Bucket memory active = n.active;
        shares = amount.toSharesDown(active.assets, active.shares);
        if (shares == 0) revert AmountTooSmall(amount, MIN_BOND / DELEGATIONS_PER_BOND);
        if (shares + active.shares > type(uint128).max - SharesMath.VIRTUAL_SHARES) revert BondTooLarge(amount);
        n.active = Bucket(active.assets + uint128(amount), active.shares + uint128(shares));
        _positions[id][account].shares += uint128(shares);
        emit Delegate(id, account, amount, shares);
    }

    /// @dev Claims emission. Without shares it has no owner and stays in the pool.
    function _claim(uint32 id, Node storage n) private returns (uint256) {
        return n.active.shares == 0 ? 0 : REWARDS.claim(POOL, TOKEN, staker(id), address(this));
    }

    /// @dev Adds emission that was claimed to the active bond. The operator's part is minted to it at the price after
    /// the others' part; it is 0 where the number of shares could get too large.
    function _addIncome(uint32 id, Node storage n, uint256 claimed) private {
        if (claimed == 0) return;
        Bucket memory active = n.active;
        uint256 cut = _isRuined(active) ? 0 : claimed * n.cutBps / BPS;
        uint256 assets = active.assets + claimed - cut;
        uint256 shares = cut.toSharesDown(assets, active.shares);
        if (shares + active.shares > type(uint128).max - SharesMath.VIRTUAL_SHARES) shares = 0;
        n.active = Bucket((assets + cut).toUint128(), active.shares + uint128(shares));
        if (shares != 0) _positions[id][n.operator].shares += uint128(shares);
        emit Harvest(id, claimed, shares);
    }

    function _isRuined(Bucket memory active) private pure returns (bool) {
        return active.shares > RUINED_SHARES_PER_ASSET * active.assets;
    }

    /// @dev Assets of shares, rounded down. Shares that stay keep at least a unit.
    function _assetsOfUnbonding(Bucket memory active, uint256 shares) private pure returns (uint256 assets) {
        assets = shares.toAssetsDown(active.assets, active.shares);
        if (shares != active.shares) assets = assets.min(uint256(active.assets).zeroFloorSub(1));
    }

    function _worth(Node storage n, Position storage p) private view returns (uint256) {
        return p.unbonding == 0 ? 0 : uint256(p.unbonding) * n.factor / p.factorThen;
    }

    /// @dev Takes `amount`, which is less than what both buckets hold. See `INodes.slash`.
    /// @return taken at most `amount`
    function _slash(uint32 id, Node storage n, uint256 amount) private returns (uint256 taken) {
        Bucket memory active = n.active;
        Position storage p = _positions[id][n.operator];
        uint256 own = amount.min(uint256(p.shares).toAssetsDown(active.assets, active.shares))
            .min(uint256(active.assets).zeroFloorSub(1));
        uint256 burnt = own.toSharesUp(active.assets, active.shares).min(p.shares);
        p.shares -= uint128(burnt);
        active.assets -= uint128(own);
        active.shares -= uint128(burnt);

        uint256 unbonding = n.unbonding;
        uint256 worth = _worth(n, p);
        uint256 ownUnbonding = (amount - own).min(worth).min(unbonding.zeroFloorSub(1));
        if (ownUnbonding != 0) {
            p.unbonding = uint128(worth - ownUnbonding);
            p.factorThen = n.factor;
            unbonding -= ownUnbonding;
        }

        uint256 rest = amount - own - ownUnbonding;
        uint256 fromActive;
        uint256 fromUnbonding;
        uint256 factor = n.factor;
        if (rest != 0) {
            fromActive = rest.fullMulDivUp(active.assets, active.assets + unbonding);
            if (factor >= MIN_FACTOR) {
                fromUnbonding = (rest - fromActive).min(unbonding.zeroFloorSub(1));
                if (fromUnbonding != 0) factor = factor * (unbonding - fromUnbonding) / unbonding;
            }
            fromActive = fromActive.min(uint256(active.assets).zeroFloorSub(1));
            active.assets -= uint128(fromActive);
            unbonding -= fromUnbonding;
        }
        n.active = active;
        (n.unbonding, n.factor) = (uint128(unbonding), uint128(factor));
        emit Slash(id, own, burnt, ownUnbonding, fromActive, fromUnbonding, factor);
        return own + ownUnbonding + fromActive + fromUnbonding;
    }

    /// @dev Brings weight and stake in line with the bond.
    function _refresh(uint32 id, Node storage n) private {
        Bucket memory active = n.active;
        uint256 own = uint256(_positions[id][n.operator].shares).toAssetsDown(active.assets, active.shares);
        uint256 stake;
        // Without a leaf, and with no room for one, the node waits: a full list must not stop anybody from unbonding.
        if (!n.paused && n.jailedUntil == 0 && own >= MIN_BOND && (n.leaf != 0 || _leaves[n.kind].length < MAX_LEAVES))
        {
            stake = own.saturatingMul(SELF_MULTIPLE).min(active.assets);
        }
        uint256 weight = (stake * WEIGHTS_PER_BOND / MIN_BOND).min(MAX_WEIGHT);

        bool weightChanged = _setWeight(id, n, uint8(weight));
        uint256 staked = n.emissionStake;
        if (stake != staked) n.emissionStake = uint128(stake);
        if (weightChanged || stake != staked) emit Weight(id, n.leaf, weight, stake);
        if (stake > staked) REWARDS.stake(POOL, stake - staked, staker(id));
        if (stake < staked) REWARDS.unstake(POOL, staked - stake, staker(id), address(this));
    }

    function _setWeight(uint32 id, Node storage n, uint8 weight) private returns (bool changed) {
        Leaf[] storage list = _leaves[n.kind];
        uint256 period = block.timestamp / PERIOD_SECS;
        if (n.leaf == 0) {
            if (weight == 0) return false;
            list.push(Leaf(id, weight, 0, 0, 0, uint40(period)));
            n.leaf = uint32(list.length);
            return true;
        }
        Leaf memory l = list[n.leaf - 1];
        if (l.weight == weight) return false;
        if (l.period != period) {
            l.weightAtPreviousStart = l.period + 1 == period ? l.weightAtStart : l.weight;
            (l.weightAtStart, l.period) = (l.weight, uint40(period));
        }
        l.weight = weight;
        list[n.leaf - 1] = l;
        return true;
    }

    /// @dev The weight at the beginning of the period of `time`; 0 if the node has none now. Delegations can lower the
    /// weight of somebody else's node, but not to 0.
    function _weightAt(Leaf memory l, uint256 time) private pure returns (uint256) {
        uint256 period = time / PERIOD_SECS;
        if (l.weight == 0 || l.period < period) return l.weight;
        if (l.period == period) return l.weightAtStart;
        return l.period == period + 1 ? l.weightAtPreviousStart : 0;
    }

    function _contains(uint32[] calldata ids, uint32 id) private pure returns (bool) {
        for (uint256 i; i < ids.length; ++i) {
            if (ids[i] == id) return true;
        }
        return false;
    }
}
