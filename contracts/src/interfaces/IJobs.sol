// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Jobs and audits that drawn nodes answer.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice A job is an input for a kind of nodes. One, three or five nodes are drawn by bond, commit to their answers and
/// reveal them; more than half of the seats make a result. It can be challenged for some time with a deposit: then twice
/// as many nodes and one more are drawn, and their result is final. An audit is a job whose input is that of a receipt
/// that a node signed; a node that signed another result than the jury's is slashed. The contract computes no answer: a
/// verdict is a majority of drawn nodes, not a proof.
///
/// *The draw.* Its seed is the RANDAO mix of one block, `drawDelay` blocks after the posting or challenge, which the
/// caller proves with the block's header. A caller can draw in the 256 blocks after it.
///
/// *The commitment* to an answer is `keccak256(abi.encode(job, node, keccak256(answer), trace, salt))`, and its result
/// `keccak256(abi.encode(keccak256(answer), trace))`, where the trace stands for the computation.
///
/// *Money.* A hundredth of the price goes to the caller of the draw, a hundredth to the caller that ends the job, and
/// the rest in equal fees to the seats with the result; the unpaid part returns to the poster. The same holds for a
/// deposit and its challenger. A seat with another result, or with a commitment that was not revealed, is slashed a
/// fifth of its node's bond, a seat without a commitment a hundredth; silent nodes are jailed. Without a result nobody
/// is paid, and all that is slashed is a hundredth for silence. Slashed money pays what a challenger who was right, and
/// an auditor who was right, have spent; then a tenth of the rest goes to the challenger who was right, else to the
/// auditor, and all else to the sink. Payments that fail are owed: `withdrawOwed`.
///
/// Assumption about the token: a transfer moves exactly the amount or fails.
interface IJobs {
    /// @notice What a jobs contract is constructed with.
    /// @param token of prices, deposits, bonds and emission
    /// @param rewards the contract of the emission pool
    /// @param sink where slashed money goes
    /// @param minBond the smallest bond of an operator
    /// @param cooldown how long unbonding assets stay slashable, in seconds
    /// @param drawDelay blocks from a posting to the block that seeds its draw
    /// @param commitSecs time for commitments, 1 minute to 1 day
    /// @param revealSecs time for revelations, 1 minute to 1 day
    /// @param challengeSecs time for a challenge, 1 minute to 1 day
    /// @param minFee the smallest fee of a seat
    struct Config {
        address token;
        address rewards;
        address sink;
        uint256 minBond;
        uint256 cooldown;
        uint256 drawDelay;
        uint256 commitSecs;
        uint256 revealSecs;
        uint256 challengeSecs;
        uint256 minFee;
    }

    /// @notice `Open`: waits for its draw. `Drawn`: nodes commit and reveal. `Submitted`: has a result, or none, that
    /// can be challenged. `Completed`: ended with a result. `Rejected`: ended without one. `Expired`: was not drawn.
    enum State {
        None,
        Open,
        Drawn,
        Submitted,
        Completed,
        Rejected,
        Expired
    }

    /// @param poster who paid
    /// @param deadline of commitments if drawn, of challenges if submitted
    /// @param k seats of the first round
    /// @param state see `State`
    /// @param round 1, or 2 after a challenge
    /// @param committed seats of the round
    /// @param revealed seats of the round
    /// @param price in units of the token
    /// @param roundAt when the round began
    /// @param drawBlock the block that seeds the round's draw
    /// @param kind of nodes
    /// @param result of the last round that was closed; 0 for none
    /// @param claimed the result that the accused signed; 0 if this is no audit
    /// @param receipt the digest of the audited receipt
    /// @param challenger who paid for the second round
    /// @param accused the node whose receipt is audited
    /// @param leaves the length of the kind's list when the round began
    struct Job {
        address poster;
        uint40 deadline;
        uint8 k;
        State state;
        uint8 round;
        uint8 committed;
        uint8 revealed;
        uint128 price;
        uint40 roundAt;
        uint64 drawBlock;
        bytes32 kind;
        bytes32 result;
        bytes32 claimed;
        bytes32 receipt;
        address challenger;
        uint32 accused;
        uint32 leaves;
    }

    enum SeatState {
        Drawn,
        Committed,
        Revealed
    }

    /// @param hash the commitment, and once it is revealed the result
    /// @param node that was drawn
    /// @param round in which it was drawn
    /// @param state see `SeatState`
    struct Seat {
        bytes32 hash;
        uint32 node;
        uint8 round;
        SeatState state;
    }

    /// @notice What a node signs about an answer. Price and token counts are not judged; anyone can compute them again.
    struct Receipt {
        uint32 node;
        bytes32 kind;
        bytes32 requestHash;
        bytes32 resultHash;
        uint32 promptTokens;
        uint32 completionTokens;
        uint40 issuedAt;
        bytes32 channelId;
        uint128 charged;
    }

    /* EVENTS */

    /// @notice A job was posted with this input.
    event Post(
        uint256 indexed id,
        address indexed poster,
        bytes32 indexed kind,
        uint256 k,
        uint256 price,
        uint256 drawBlock,
        bytes input
    );

    /// @notice The job audits this receipt of this node, which claimed this result.
    event Audit(uint256 indexed id, bytes32 indexed receipt, uint32 indexed node, bytes32 claimed);

    /// @notice Nodes were drawn; they can commit up to `deadline`.
    event Draw(uint256 indexed id, uint256 indexed round, address indexed caller, uint32[] nodes, uint256 deadline);

    /// @notice Too few nodes could be drawn: the price or the deposit was returned. A first round then stands.
    event Cancel(uint256 indexed id, uint256 indexed round);

    /// @notice The seat committed to an answer.
    event Commit(uint256 indexed id, uint256 indexed seat, bytes32 commitment);

    /// @notice The seat revealed its answer.
    event Reveal(uint256 indexed id, uint256 indexed seat, bytes32 result, bytes answer, bytes32 trace);

    /// @notice The round ended with this result, 0 for none.
    event Close(uint256 indexed id, uint256 indexed round, bytes32 result);

    /// @notice The result was challenged with this deposit.
    event Challenge(uint256 indexed id, address indexed challenger, uint256 deposit, uint256 drawBlock);

    /// @notice The job was settled: `slashed` was taken from bonds, and `toSink` of it went to the sink.
    event Settle(uint256 indexed id, bytes32 result, address indexed caller, uint256 slashed, uint256 toSink);

    /// @notice The round was not drawn in time.
    event Expire(uint256 indexed id, uint256 indexed round);

    /// @notice A payment failed and is owed.
    event Owe(address indexed account, uint256 amount);

    /// @notice What was owed was paid.
    event WithdrawOwed(address indexed account, address receiver, uint256 amount);

    /* ERRORS */

    /// @notice The address is zero.
    error ZeroAddress();

    /// @notice The value is outside its bounds.
    error OutOfRange(uint256 value, uint256 smallest, uint256 largest);

    /// @notice The cooldown is too short for an audit and a challenge to end before bonds can leave.
    error CooldownTooShort(uint256 cooldown, uint256 smallest);

    /// @notice A job has 1, 3 or 5 seats.
    error InvalidSeats(uint256 k);

    /// @notice The input or answer is longer than the chain takes.
    error TooLong(uint256 length, uint256 largest);

    /// @notice The price does not pay for the seats.
    error PriceTooLow(uint256 price, uint256 smallest);

    /// @notice The kind has fewer nodes than needed.
    error TooFewNodes(uint256 nodes, uint256 needed);

    /// @notice The token did not move exactly the amount.
    error InexactTransfer(uint256 amount, uint256 arrived);

    /// @notice The receipt was issued in the future or too long ago.
    error ReceiptOutOfTime(uint256 issuedAt);

    /// @notice The receipt is of another input, kind or signer.
    error ReceiptMismatch();

    /// @notice The receipt is being, or was, decided by this job.
    error AlreadyAudited(uint256 id);

    /// @notice The job is in another state.
    error WrongState(uint256 id, State state);

    /// @notice The block that seeds the draw is not there yet, or was too long ago: `draw` from the next block on, or
    /// `expire`.
    error NotDrawable(uint256 drawBlock);

    /// @notice The header is not that of the block that seeds the draw.
    error WrongHeader(uint256 drawBlock);

    /// @notice The time is over.
    error TooLate(uint256 deadline);

    /// @notice The time has not come.
    error TooEarly(uint256 deadline);

    /// @notice The seat does not exist in this round, or it is in another state.
    error WrongSeat(uint256 seat);

    /// @notice Only the node's operator or signer may commit.
    error NotOfNode(address caller, uint32 node);

    /// @notice A commitment is a hash, so it is not 0.
    error ZeroCommitment();

    /// @notice The answer is not what was committed to.
    error WrongAnswer(uint256 seat);

    /// @notice Only a first round can be challenged.
    error FinalRound();

    /// @notice Nothing is owed to the account.
    error NothingOwed(address account);

    /// @notice The contract was called during another call to it.
    error Reentered();

    /* POSTING */

    /// @notice Posts a job. The input becomes public.
    /// @param input up to 8,192 bytes
    /// @param price at least `smallestPrice(k)`
    /// @param k seats: 1, 3 or 5
    function post(bytes32 kind, bytes calldata input, uint128 price, uint8 k) external returns (uint256 id);

    /// @notice Posts a job that decides whether a receipt is right. The input becomes public.
    /// @param receipt that the node signed in the last three days
    /// @param signature of 65 bytes, as `StrictSignatures` accepts
    /// @param input whose hash is the receipt's `requestHash`
    function audit(Receipt calldata receipt, bytes calldata signature, bytes calldata input, uint128 price, uint8 k)
        external
        returns (uint256 id);

    /* ANSWERS */

    /// @notice Draws the nodes of a round, for a hundredth of the price. Anyone may call.
    /// @param header of the block `drawBlock`, as RLP
    function draw(uint256 id, bytes calldata header) external;

    /// @notice Commits a seat to an answer. By the node's operator or signer.
    function commit(uint256 id, uint256 seat, bytes32 commitment) external;

    /// @notice Reveals a seat's answer, once all have committed or the time for it is over. Anyone may call.
    /// @param answer up to 4,096 bytes
    function reveal(uint256 id, uint256 seat, bytes calldata answer, bytes32 trace, bytes32 salt) external;

    /// @notice Ends a round once all is revealed or the time is over; settles after a second one. Anyone may call.
    function close(uint256 id) external;

    /// @notice Asks for a second round. Takes `depositOf(id)`.
    function challenge(uint256 id) external;

    /// @notice Settles a job whose result was not challenged in time, for a hundredth of the price. Anyone may call.
    function finalize(uint256 id) external;

    /// @notice Ends a round that was not drawn in time: a tenth goes to the sink. A first round then stands.
    function expire(uint256 id) external;

    /// @notice Sends what is owed to the caller.
    function withdrawOwed(address receiver) external returns (uint256 amount);

    /* VIEWS */

    /// @notice Returns a job; zeros if it does not exist.
    function job(uint256 id) external view returns (Job memory);

    /// @notice Returns the seats of a job: of the first round, then of the second.
    function seatsOf(uint256 id) external view returns (Seat[] memory);

    /// @notice Returns the number of jobs that were ever posted.
    function count() external view returns (uint256);

    /// @notice Returns the job that decides, or has decided, a receipt; 0 if there is none.
    function auditOf(bytes32 receipt) external view returns (uint256);

    /// @notice Returns what is owed to an account.
    function owed(address account) external view returns (uint256);

    /// @notice Returns the smallest price of a job with `k` seats.
    function smallestPrice(uint256 k) external view returns (uint256);

    /// @notice Returns what a challenge of the job costs at first.
    function depositOf(uint256 id) external view returns (uint256);

    /// @notice Returns the digest that a node signs for a receipt.
    function receiptDigest(Receipt calldata receipt) external view returns (bytes32);

    /// @notice Returns the registry of nodes, which this contract has created.
    function nodes() external view returns (address);

    /// @notice Returns what this contract was constructed with.
    function config() external view returns (Config memory);
}
