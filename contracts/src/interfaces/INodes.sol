// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Registry and bonds of nodes.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice A node is an operator's promise to serve one kind of answers, backed by a bond in one token. Others may
/// delegate to it. The bond earns emission (a pool of `IRewards`), gives the node weight in draws of jobs, and is
/// slashed by the jobs contract, which is fixed at construction. No account has rights over a node but its operator, and
/// the operator has none over delegations.
///
/// *Buckets.* A bond is active or unbonding. Active assets are held in shares (`SharesMath`); they earn, count and are
/// slashed. An account that unbonds turns shares into unbonding assets, which earn nothing and count for nothing from
/// then on, are still slashed, and can be withdrawn after the cooldown, at any time. There is no window that must be met.
///
/// *Unbonding assets* carry a factor that starts at 2^96 and falls when they are slashed: an account that unbonded
/// `assets` at factor `then` has `assets × factor / then`, rounded down.
///
/// *Weight* is what counts in a draw, in quarters of the smallest bond: at most 16, at most 10 times the operator's own
/// active bond, and 0 while the operator's own is below the smallest bond or the node is paused or jailed. Time is
/// divided into periods of six hours. A draw uses the weights at the beginning of the period in which its job was
/// posted, so nothing that is done afterwards changes them, except that a node whose weight is 0 now is not drawn: only
/// its operator or a verdict on it can bring that about.
///
/// *Emission.* The registry itself is the pool's stake token. The stake of a node belongs to an address without code
/// that the registry alone may act for: `staker`. Anyone may create the pool: `IRewards.createPool(registry, [token],
/// 0)`.
///
/// Assumption about the token: a transfer moves exactly the amount or fails.
///
/// State can be rebuilt from the events alone: the earlier weights of a leaf follow from the times of `Weight`.
interface INodes {
    /// @param assets that are held
    /// @param shares that accounts own of them
    struct Bucket {
        uint128 assets;
        uint128 shares;
    }

    /// @param operator who registered the node; for ever
    /// @param cutBps the operator's part of emission, in basis points; for ever
    /// @param leaf the node's place in the list of its kind, from 1; 0 if it has none
    /// @param paused by the operator
    /// @param jailedUntil from when on the operator may resume; 0 if the node is not jailed
    /// @param kind what the node answers
    /// @param active the bond that earns and counts
    /// @param unbonding assets that accounts have taken out of the active bond and not withdrawn
    /// @param factor of unbonding assets: 2^96 at first
    /// @param emissionStake the node's stake in the emission pool
    struct Node {
        address operator;
        uint16 cutBps;
        uint32 leaf;
        bool paused;
        uint40 jailedUntil;
        bytes32 kind;
        Bucket active;
        uint128 unbonding;
        uint128 factor;
        uint128 emissionStake;
    }

    /// @notice What an account has in a node.
    /// @param shares of the active bond
    /// @param unbonding assets when they were last changed
    /// @param factorThen the node's factor at that time
    /// @param releasesAt from when on the unbonding assets can be withdrawn
    struct Position {
        uint128 shares;
        uint128 unbonding;
        uint128 factorThen;
        uint40 releasesAt;
    }

    /// @notice A node's entry in the list of its kind.
    /// @param node its number
    /// @param weight now
    /// @param weightAtStart the weight at the beginning of `period`
    /// @param weightAtPreviousStart the weight at the beginning of the period before
    /// @param seats that the node holds in jobs that are not decided
    /// @param period in which the weight last changed: `block.timestamp / 6 hours`
    struct Leaf {
        uint32 node;
        uint8 weight;
        uint8 weightAtStart;
        uint8 weightAtPreviousStart;
        uint8 seats;
        uint40 period;
    }

    /* EVENTS */

    /// @notice `operator` registered node `id`.
    event Register(
        uint32 indexed id, address indexed operator, bytes32 indexed kind, address signer, uint16 cutBps, string url
    );

    /// @notice The node is served at `url`.
    event SetUrl(uint32 indexed id, string url);

    /// @notice `signer` signs for the node from now on; what `oldSigner` signs is valid up to `oldValidUntil`.
    event SetSigner(uint32 indexed id, address indexed signer, address oldSigner, uint256 oldValidUntil);

    /// @notice `account` added `assets` to the active bond for `shares`.
    event Delegate(uint32 indexed id, address indexed account, uint256 assets, uint256 shares);

    /// @notice `account` turned `shares` into `assets`; all that it has unbonding can be withdrawn from `releasesAt` on.
    event Unbond(uint32 indexed id, address indexed account, uint256 shares, uint256 assets, uint256 releasesAt);

    /// @notice All unbonding assets of `account` were sent to `receiver`.
    event Withdraw(uint32 indexed id, address indexed account, address receiver, uint256 assets);

    /// @notice `claimed` of emission was added to the active bond; the operator got `cutShares` of it.
    event Harvest(uint32 indexed id, uint256 claimed, uint256 cutShares);

    /// @notice The node's bond was slashed.
    /// @param fromOperatorActive assets of the operator's active bond
    /// @param burntShares of the operator
    /// @param fromOperatorUnbonding assets that the operator has unbonding
    /// @param fromActive assets of the active bond of all
    /// @param fromUnbonding unbonding assets of all
    /// @param factor of unbonding assets afterwards
    event Slash(
        uint32 indexed id,
        uint256 fromOperatorActive,
        uint256 burntShares,
        uint256 fromOperatorUnbonding,
        uint256 fromActive,
        uint256 fromUnbonding,
        uint256 factor
    );

    /// @notice The node's weight or its stake in the emission pool changed.
    event Weight(uint32 indexed id, uint32 leaf, uint256 weight, uint256 emissionStake);

    /// @notice The operator paused the node.
    event Pause(uint32 indexed id);

    /// @notice The operator ended a pause or, after its time, a jail.
    event Resume(uint32 indexed id);

    /// @notice The node was drawn and did not answer; it may be resumed from `until` on.
    event Jail(uint32 indexed id, uint256 until);

    /// @notice The leaf at `index` was removed; the last one, of `movedNode`, took its place (0: it was the last itself).
    event Compact(bytes32 indexed kind, uint256 index, uint32 movedNode);

    /* ERRORS */

    /// @notice The address is zero.
    error ZeroAddress();

    /// @notice The account has no code.
    error NoCode(address account);

    /// @notice The value is outside its bounds.
    error OutOfRange(uint256 value, uint256 smallest, uint256 largest);

    /// @notice A kind is the hash of its description, so it is not 0.
    error ZeroKind();

    /// @notice The operator's part of emission is above 10,000 basis points.
    error CutTooHigh(uint256 cutBps);

    /// @notice A URL has 1 to `maxLength` bytes.
    error UrlLengthOutOfRange(uint256 length, uint256 maxLength);

    /// @notice The amount is below the smallest one, or too small for a single share.
    error AmountTooSmall(uint256 amount, uint256 smallest);

    /// @notice The node's bond would exceed what its accounting can hold.
    error BondTooLarge(uint256 assets);

    /// @notice The token did not move exactly the amount.
    error InexactTransfer(uint256 amount, uint256 arrived);

    /// @notice No node has this number.
    error UnknownNode(uint256 id);

    /// @notice The list of this kind is full; remove empty leaves with `compact`.
    error KindFull(bytes32 kind);

    /// @notice Slashes have lowered the node's share price below a hundredth of the first: register another node.
    error NodeRuined(uint32 id);

    /// @notice The account owns fewer shares, or asks for none.
    error SharesOutOfRange(uint256 shares, uint256 owned);

    /// @notice The account has no assets unbonding from this node.
    error NothingUnbonding(uint32 id, address account);

    /// @notice The unbonding assets can be withdrawn from `releasesAt` on.
    error NotReleased(uint256 releasesAt);

    /// @notice Only the operator may do this.
    error NotOperator(address caller, address operator);

    /// @notice Only the jobs contract may do this.
    error NotJobs(address caller);

    /// @notice The node is jailed until this time.
    error Jailed(uint256 until);

    /// @notice A draw of this kind is open, so its list keeps its order.
    error DrawOpen(bytes32 kind);

    /// @notice The leaf does not exist, or it has weight or seats.
    error LeafInUse(bytes32 kind, uint256 index);

    /// @notice The node has no free seat.
    error NoSeat(uint32 id);

    /// @notice A call slashes at most this part, in basis points.
    error SlashTooHigh(uint256 bps, uint256 maxBps);

    /// @notice Only the emission pool moves the registry's stake token, and only from and to the registry.
    error NotTransferable();

    /// @notice The contract was called during another call to it.
    error Reentered();

    /* NODES */

    /// @notice Registers a node of the caller, with its first bond.
    /// @param kind what it answers: the hash of the kind's description
    /// @param signer the key that signs receipts and commitments
    /// @param cutBps the caller's part of emission, in basis points, before it is shared with delegations; for ever
    /// @param url where it is served
    /// @param amount at least `minBond`
    /// @return id the node's number, from 1
    function register(bytes32 kind, address signer, uint16 cutBps, string calldata url, uint256 amount)
        external
        returns (uint32 id);

    /// @notice Adds to the active bond of a node, for the caller. Harvests first.
    /// @param amount at least a hundredth of the smallest bond
    function delegate(uint32 id, uint256 amount) external returns (uint256 shares);

    /// @notice Turns shares of the caller into unbonding assets. Starts the cooldown again for all that the caller has
    /// unbonding from this node. Harvests first if that works.
    function unbond(uint32 id, uint256 shares) external returns (uint256 assets);

    /// @notice Sends all unbonding assets of the caller, after their cooldown.
    function withdraw(uint32 id, address receiver) external returns (uint256 assets);

    /// @notice Adds the emission that nodes have earned to their active bonds. Anyone may call.
    function harvest(uint32[] calldata ids) external;

    /// @notice Takes a node out of draws and emission. Its bond stays slashable.
    function pause(uint32 id) external;

    /// @notice Puts a paused node, or a jailed one after its time, back.
    function resume(uint32 id) external;

    /// @notice Replaces the signer; what the old one signed stays valid for the cooldown.
    function setSigner(uint32 id, address signer) external;

    /// @notice Announces another URL.
    function setUrl(uint32 id, string calldata url) external;

    /// @notice Removes an empty leaf from the list of a kind while no draw of the kind is open. Anyone may call.
    function compact(bytes32 kind, uint256 index) external;

    /// @notice Executes several calls in one transaction.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    /* ONLY THE JOBS CONTRACT */

    /// @notice Freezes the list of a kind until `closeDraw`.
    /// @return leaves its length
    function openDraw(bytes32 kind) external returns (uint256 leaves);

    /// @notice Ends what `openDraw` began.
    function closeDraw(bytes32 kind) external;

    /// @notice Takes a seat of a node.
    function takeSeat(uint32 id) external;

    /// @notice Frees a seat of a node.
    function freeSeat(uint32 id) external;

    /// @notice Takes a part of the bond, active and unbonding: from what the operator has first, then from all in
    /// proportion. Leaves a unit in each bucket that has something.
    /// @return taken what was sent to the jobs contract
    function slash(uint32 id, uint256 bps) external returns (uint256 taken);

    /// @notice Takes a node out of draws and emission until its operator resumes it, a day later at the earliest.
    function jail(uint32 id) external;

    /* VIEWS */

    /// @notice Returns nodes drawn at random, without repetition, each with a chance in proportion to its weight at the
    /// beginning of the period of `postedAt`. At most 256 tries; fewer nodes if they do not suffice. Defined for times in
    /// this period and the one before.
    /// @param seed of the draw
    /// @param seats to draw
    /// @param postedAt when the job was posted
    /// @param leaves how many leaves of the list take part: its length when it was frozen
    /// @param excluded nodes that cannot be drawn
    function sample(
        bytes32 kind,
        bytes32 seed,
        uint256 seats,
        uint256 postedAt,
        uint256 leaves,
        uint32[] calldata excluded
    ) external view returns (uint32[] memory ids);

    /// @notice Returns a node's state; zeros if it does not exist.
    function node(uint32 id) external view returns (Node memory);

    /// @notice Returns who registered a node; 0 if it does not exist.
    function operatorOf(uint32 id) external view returns (address);

    /// @notice Returns what a node answers; 0 if it does not exist.
    function kindOf(uint32 id) external view returns (bytes32);

    /// @notice Returns the number of nodes that were ever registered.
    function count() external view returns (uint32);

    /// @notice Returns what an account has in a node.
    function position(uint32 id, address account) external view returns (Position memory);

    /// @notice Returns what an account could take out now: assets of its shares, rounded down, and unbonding assets.
    function assetsOf(uint32 id, address account) external view returns (uint256 active, uint256 unbonding);

    /// @notice Returns the assets that `unbond` would turn these shares into, without emission that is not harvested.
    function previewUnbond(uint32 id, uint256 shares) external view returns (uint256 assets);

    /// @notice Returns the leaf at this index, from 0, of the kind's list.
    function leaf(bytes32 kind, uint256 index) external view returns (Leaf memory);

    /// @notice Returns the weight that the node has now in a draw for what was posted at `time`: in this period or the
    /// one before.
    function weightAt(uint32 id, uint256 time) external view returns (uint256);

    /// @notice Returns the length of the kind's list.
    function leaves(bytes32 kind) external view returns (uint256);

    /// @notice Returns how many draws of the kind are open.
    function openDraws(bytes32 kind) external view returns (uint256);

    /// @notice Returns the key that signs for a node now.
    function signerOf(uint32 id) external view returns (address);

    /// @notice Returns up to when what an account signs for a node is valid; the largest number for the current signer.
    function signerValidUntil(uint32 id, address signer) external view returns (uint40);

    /// @notice Returns whether what this account signs is valid for the node now.
    function isSigner(uint32 id, address account) external view returns (bool);

    /// @notice Returns the account in the emission pool that holds the node's stake.
    function staker(uint32 id) external view returns (address);

    /// @notice Returns the token of bonds and emission.
    function token() external view returns (address);

    /// @notice Returns the contract of the emission pool.
    function rewards() external view returns (address);

    /// @notice Returns the emission pool.
    function pool() external view returns (bytes32);

    /// @notice Returns the contract that draws and slashes.
    function jobs() external view returns (address);

    /// @notice Returns the smallest bond of an operator.
    function minBond() external view returns (uint256);

    /// @notice Returns how long unbonding assets stay slashable, in seconds.
    function cooldown() external view returns (uint256);

    /* THE STAKE TOKEN OF THE EMISSION POOL */

    /// @notice Returns what is staked, for the emission pool's contract; 0 for any other account.
    function balanceOf(address account) external view returns (uint256);

    /// @notice Only for the emission pool's contract, back to the registry.
    function transfer(address to, uint256 amount) external returns (bool);

    /// @notice Only for the emission pool's contract, from the registry to it.
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}
