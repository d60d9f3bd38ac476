// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "solady/utils/EIP712.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IJobs} from "../interfaces/IJobs.sol";
import {INodes} from "../interfaces/INodes.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Nodes} from "./Nodes.sol";
import {Headers} from "./libraries/Headers.sol";
import {StrictSignatures} from "./libraries/StrictSignatures.sol";

/// @title Jobs and audits that drawn nodes answer.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IJobs`.
/// @dev Creates the registry, so that each knows the other from the beginning. Each entry is locked while it runs; state
/// is written and bonds are slashed before anybody is paid.
contract Jobs is IJobs, EIP712 {
    using FixedPointMathLib for uint256;
    using Tokens for address;

    uint256 private constant BPS = 10_000;
    uint256 private constant AUDIT_SECS = 3 days;
    uint256 private constant MIN_SECS = 1 minutes;
    uint256 private constant MAX_SECS = 1 days;
    uint256 private constant MAX_DRAW_DELAY = 10_000;
    /// @dev How many block hashes the chain remembers.
    uint256 private constant DRAW_BLOCKS = 256;
    uint256 private constant MAX_FEE = 2 ** 96;
    uint256 private constant MAX_INPUT = 8192;
    uint256 private constant MAX_ANSWER = 4096;
    uint256 private constant LIE_BPS = 2000;
    uint256 private constant ABSENT_BPS = 100;
    /// @dev For the draw, and as much for the end.
    uint256 private constant TIP_BPS = 100;
    uint256 private constant FEES_BPS = BPS - 2 * TIP_BPS;
    uint256 private constant REWARD_BPS = 1000;
    uint256 private constant EXPIRY_BPS = 1000;
    uint256 private constant PAYMENT_GAS = 100_000;

    bytes32 private constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(uint32 node,bytes32 kind,bytes32 requestHash,bytes32 resultHash,uint32 promptTokens,uint32 completionTokens,uint40 issuedAt,bytes32 channelId,uint128 charged)"
    );

    address private immutable TOKEN;
    address private immutable REWARDS;
    INodes private immutable NODES;
    address private immutable SINK;
    uint256 private immutable MIN_BOND;
    uint256 private immutable COOLDOWN_SECS;
    uint256 private immutable DRAW_DELAY;
    uint256 private immutable COMMIT_SECS;
    uint256 private immutable REVEAL_SECS;
    uint256 private immutable CHALLENGE_SECS;
    uint256 private immutable MIN_FEE;

    /// @dev What the parties to a job get when it ends.
    /// @param rest of the slashed money
    struct Shares {
        uint256 toPoster;
        uint256 toChallenger;
        uint256 tip;
        uint256 rest;
    }

    /// @inheritdoc IJobs
    uint256 public count;
    mapping(uint256 id => Job) private _jobs;
    mapping(uint256 id => Seat[]) private _seats;
    /// @inheritdoc IJobs
    mapping(bytes32 receipt => uint256) public auditOf;
    /// @inheritdoc IJobs
    mapping(address account => uint256) public owed;

    /// @dev 1 during a call, else 0.
    uint256 private transient _entered;

    modifier nonReentrant() {
        if (_entered != 0) revert Reentered();
        _entered = 1;
        _;
        _entered = 0;
    }

    constructor(Config memory c) {
        if (c.sink == address(0)) revert ZeroAddress();
        _checkRange(c.drawDelay, 1, MAX_DRAW_DELAY);
        _checkRange(c.commitSecs, MIN_SECS, MAX_SECS);
        _checkRange(c.revealSecs, MIN_SECS, MAX_SECS);
        _checkRange(c.challengeSecs, MIN_SECS, MAX_SECS);
        _checkRange(c.minFee, 1, MAX_FEE);
        // What was active when a receipt was signed can be slashed when its audit ends. The day is for the draws.
        uint256 longest = AUDIT_SECS + 2 * (c.commitSecs + c.revealSecs) + c.challengeSecs + 1 days;
        if (c.cooldown < longest) revert CooldownTooShort(c.cooldown, longest);
        TOKEN = c.token;
        REWARDS = c.rewards;
        SINK = c.sink;
        MIN_BOND = c.minBond;
        COOLDOWN_SECS = c.cooldown;
        DRAW_DELAY = c.drawDelay;
        COMMIT_SECS = c.commitSecs;
        REVEAL_SECS = c.revealSecs;
        CHALLENGE_SECS = c.challengeSecs;
        MIN_FEE = c.minFee;
        NODES = new Nodes(c.token, c.rewards, address(this), c.minBond, c.cooldown);
    }

    /* POSTING */

    /// @inheritdoc IJobs
    function post(bytes32 kind, bytes calldata input, uint128 price, uint8 k)
        external
        nonReentrant
        returns (uint256 id)
    {
        return _post(kind, input, price, k, 0);
    }

    /// @inheritdoc IJobs
    function audit(Receipt calldata receipt, bytes calldata signature, bytes calldata input, uint128 price, uint8 k)
        external
        nonReentrant
        returns (uint256 id)
    {
        uint256 issuedAt = receipt.issuedAt;
        if (issuedAt > block.timestamp || issuedAt + AUDIT_SECS < block.timestamp) revert ReceiptOutOfTime(issuedAt);
        bytes32 digest = receiptDigest(receipt);
        if (
            keccak256(input) != receipt.requestHash || NODES.kindOf(receipt.node) != receipt.kind
                || receipt.resultHash == 0 || !NODES.isSigner(receipt.node, StrictSignatures.recover(digest, signature))
        ) revert ReceiptMismatch();
        if (auditOf[digest] != 0) revert AlreadyAudited(auditOf[digest]);
        id = _post(receipt.kind, input, price, k, 1);
        auditOf[digest] = id;
        Job storage j = _jobs[id];
        (j.receipt, j.accused, j.claimed) = (digest, receipt.node, receipt.resultHash);
        emit Audit(id, digest, receipt.node, receipt.resultHash);
    }

    /* ANSWERS */

    /// @inheritdoc IJobs
    function draw(uint256 id, bytes calldata header) external nonReentrant {
        Job storage j = _inState(id, State.Open);
        uint256 drawBlock = j.drawBlock;
        if (block.number <= drawBlock || block.number > drawBlock + DRAW_BLOCKS) revert NotDrawable(drawBlock);
        if (keccak256(header) != blockhash(drawBlock)) revert WrongHeader(drawBlock);

        uint256 round = j.round;
        uint256 seats = _seatCount(j, round);
        bytes32 seed = keccak256(abi.encode(Headers.prevRandao(header), id, round, address(this), block.chainid));
        uint32[] memory ids = NODES.sample(j.kind, seed, seats, j.roundAt, j.leaves, _excluded(id, j));
        NODES.closeDraw(j.kind);
        if (ids.length < seats) {
            emit Cancel(id, round);
            _abandonRound(j, State.Rejected, 0);
            return;
        }
        for (uint256 i; i < seats; ++i) {
            NODES.takeSeat(ids[i]);
            _seats[id].push(Seat(0, ids[i], uint8(round), SeatState.Drawn));
        }
        uint256 deadline = block.timestamp + COMMIT_SECS;
        (j.state, j.deadline, j.committed, j.revealed) = (State.Drawn, uint40(deadline), 0, 0);
        emit Draw(id, round, msg.sender, ids, deadline);
        _pay(msg.sender, _stakeOf(j, round) * TIP_BPS / BPS);
    }

    /// @inheritdoc IJobs
    function commit(uint256 id, uint256 seat, bytes32 commitment) external nonReentrant {
        Job storage j = _inState(id, State.Drawn);
        if (block.timestamp > j.deadline) revert TooLate(j.deadline);
        Seat storage s = _seat(id, j, seat, SeatState.Drawn);
        if (msg.sender != NODES.operatorOf(s.node) && !NODES.isSigner(s.node, msg.sender)) {
            revert NotOfNode(msg.sender, s.node);
        }
        if (commitment == 0) revert ZeroCommitment();
        (s.hash, s.state) = (commitment, SeatState.Committed);
        // Nobody needs to wait once the last one has committed.
        if (++j.committed == _seatCount(j, j.round)) j.deadline = uint40(block.timestamp);
        emit Commit(id, seat, commitment);
    }

    /// @inheritdoc IJobs
    function reveal(uint256 id, uint256 seat, bytes calldata answer, bytes32 trace, bytes32 salt)
        external
        nonReentrant
    {
        Job storage j = _inState(id, State.Drawn);
        if (block.timestamp <= j.deadline && j.committed != _seatCount(j, j.round)) revert TooEarly(j.deadline);
        if (block.timestamp > j.deadline + REVEAL_SECS) revert TooLate(j.deadline + REVEAL_SECS);
        if (answer.length > MAX_ANSWER) revert TooLong(answer.length, MAX_ANSWER);
        Seat storage s = _seat(id, j, seat, SeatState.Committed);
        bytes32 answerHash = keccak256(answer);
        if (s.hash != keccak256(abi.encode(id, s.node, answerHash, trace, salt))) revert WrongAnswer(seat);
        bytes32 result = keccak256(abi.encode(answerHash, trace));
        (s.hash, s.state) = (result, SeatState.Revealed);
        ++j.revealed;
        emit Reveal(id, seat, result, answer, trace);
    }

    /// @inheritdoc IJobs
    function close(uint256 id) external nonReentrant {
        Job storage j = _inState(id, State.Drawn);
        // Nothing more can come once all have revealed that may.
        bool committed = block.timestamp > j.deadline || j.committed == _seatCount(j, j.round);
        if ((!committed || j.revealed != j.committed) && block.timestamp <= j.deadline + REVEAL_SECS) {
            revert TooEarly(j.deadline + REVEAL_SECS);
        }
        bytes32 result = _majority(id, j);
        emit Close(id, j.round, result);
        if (j.round == 1) {
            (j.state, j.result, j.deadline) = (State.Submitted, result, uint40(block.timestamp + CHALLENGE_SECS));
        } else {
            _settle(id, j, result);
        }
    }

    /// @inheritdoc IJobs
    function challenge(uint256 id) external nonReentrant {
        Job storage j = _inState(id, State.Submitted);
        if (j.challenger != address(0)) revert FinalRound();
        if (block.timestamp > j.deadline) revert TooLate(j.deadline);
        uint256 deposit = _stakeOf(j, 2);
        j.round = 2;
        j.challenger = msg.sender;
        _open(j, _seatCount(j, 1) + _seatCount(j, 2) + (j.accused == 0 ? 0 : 1));
        emit Challenge(id, msg.sender, deposit, j.drawBlock);
        TOKEN.pullExact(msg.sender, deposit);
    }

    /// @inheritdoc IJobs
    function finalize(uint256 id) external nonReentrant {
        Job storage j = _inState(id, State.Submitted);
        if (block.timestamp <= j.deadline) revert TooEarly(j.deadline);
        _settle(id, j, j.result);
    }

    /// @inheritdoc IJobs
    function expire(uint256 id) external nonReentrant {
        Job storage j = _inState(id, State.Open);
        if (block.number <= uint256(j.drawBlock) + DRAW_BLOCKS) revert NotDrawable(j.drawBlock);
        NODES.closeDraw(j.kind);
        emit Expire(id, j.round);
        _abandonRound(j, State.Expired, EXPIRY_BPS);
    }

    /// @inheritdoc IJobs
    function withdrawOwed(address receiver) external nonReentrant returns (uint256 amount) {
        if (receiver == address(0)) revert ZeroAddress();
        amount = owed[msg.sender];
        if (amount == 0) revert NothingOwed(msg.sender);
        owed[msg.sender] = 0;
        emit WithdrawOwed(msg.sender, receiver, amount);
        TOKEN.push(receiver, amount);
    }

    /* VIEWS */

    /// @inheritdoc IJobs
    function job(uint256 id) external view returns (Job memory) {
        return _jobs[id];
    }

    /// @inheritdoc IJobs
    function seatsOf(uint256 id) external view returns (Seat[] memory) {
        return _seats[id];
    }

    /// @inheritdoc IJobs
    function smallestPrice(uint256 k) public view returns (uint256) {
        return (k * MIN_FEE * BPS).divUp(FEES_BPS);
    }

    /// @inheritdoc IJobs
    function depositOf(uint256 id) external view returns (uint256) {
        return _jobs[id].k == 0 ? 0 : _stakeOf(_jobs[id], 2);
    }

    /// @inheritdoc IJobs
    function receiptDigest(Receipt calldata receipt) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(RECEIPT_TYPEHASH, receipt)));
    }

    /// @inheritdoc IJobs
    function nodes() external view returns (address) {
        return address(NODES);
    }

    /// @inheritdoc IJobs
    function config() external view returns (Config memory) {
        return Config({
            token: TOKEN,
            rewards: REWARDS,
            sink: SINK,
            minBond: MIN_BOND,
            cooldown: COOLDOWN_SECS,
            drawDelay: DRAW_DELAY,
            commitSecs: COMMIT_SECS,
            revealSecs: REVEAL_SECS,
            challengeSecs: CHALLENGE_SECS,
            minFee: MIN_FEE
        });
    }

    /* INTERNAL */

    function _checkRange(uint256 value, uint256 smallest, uint256 largest) private pure {
        if (value < smallest || value > largest) revert OutOfRange(value, smallest, largest);
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Plimsoll Nodes", "1");
    }

    function _inState(uint256 id, State state) private view returns (Job storage j) {
        j = _jobs[id];
        if (j.state != state) revert WrongState(id, j.state);
    }

    /// @param others nodes besides the seats' that the kind must have
    function _post(bytes32 kind, bytes calldata input, uint128 price, uint8 k, uint256 others)
        private
        returns (uint256 id)
    {
        if (k != 1 && k != 3 && k != 5) revert InvalidSeats(k);
        if (input.length > MAX_INPUT) revert TooLong(input.length, MAX_INPUT);
        if (price < smallestPrice(k)) revert PriceTooLow(price, smallestPrice(k));
        id = ++count;
        Job storage j = _jobs[id];
        (j.poster, j.k, j.round, j.price, j.kind) = (msg.sender, k, 1, price, kind);
        _open(j, k + others);
        emit Post(id, msg.sender, kind, k, price, j.drawBlock, input);
        TOKEN.pullExact(msg.sender, price);
    }

    /// @dev Begins a round, for which the kind must have `needed` nodes.
    function _open(Job storage j, uint256 needed) private {
        uint256 leaves = NODES.openDraw(j.kind);
        if (leaves < needed) revert TooFewNodes(leaves, needed);
        j.state = State.Open;
        // A list has at most 2^16 leaves.
        (j.leaves, j.roundAt) = (uint32(leaves), uint40(block.timestamp));
        j.drawBlock = uint64(block.number + DRAW_DELAY);
    }

    function _seatCount(Job storage j, uint256 round) private view returns (uint256) {
        return round == 1 ? j.k : 2 * uint256(j.k) + 1;
    }

    /// @return what pays for a round: the price, or the deposit with the same fee for each seat
    function _stakeOf(Job storage j, uint256 round) private view returns (uint256) {
        return round == 1 ? j.price : (_seatCount(j, 2) * _feeOf(j, 1) * BPS).divUp(FEES_BPS);
    }

    function _feeOf(Job storage j, uint256 round) private view returns (uint256) {
        return _stakeOf(j, round) * FEES_BPS / (BPS * _seatCount(j, round));
    }

    /// @dev The accused, and the nodes of the first round in the second.
    function _excluded(uint256 id, Job storage j) private view returns (uint32[] memory ids) {
        Seat[] storage seats = _seats[id];
        uint256 length = seats.length;
        ids = new uint32[](length + 1);
        for (uint256 i; i < length; ++i) {
            ids[i] = seats[i].node;
        }
        // 0, which is no node, if this is no audit.
        ids[length] = j.accused;
    }

    function _seat(uint256 id, Job storage j, uint256 seat, SeatState state) private view returns (Seat storage s) {
        if (seat >= _seats[id].length) revert WrongSeat(seat);
        s = _seats[id][seat];
        if (s.round != j.round || s.state != state) revert WrongSeat(seat);
    }

    /// @return the result of more than half of the round's seats, or 0
    function _majority(uint256 id, Job storage j) private view returns (bytes32) {
        Seat[] memory seats = _seats[id];
        uint256 round = j.round;
        uint256 needed = _seatCount(j, round) / 2 + 1;
        for (uint256 i; i < seats.length; ++i) {
            if (seats[i].round != round || seats[i].state != SeatState.Revealed) continue;
            uint256 votes;
            for (uint256 v = i; v < seats.length; ++v) {
                if (seats[v].round == round && seats[v].state == SeatState.Revealed && seats[v].hash == seats[i].hash) {
                    ++votes;
                }
            }
            if (votes >= needed) return seats[i].hash;
        }
        return 0;
    }

    /// @dev Ends a round without seats. What was paid for it goes back, less the sink's part. A first round then stands.
    function _abandonRound(Job storage j, State state, uint256 sinkBps) private {
        uint256 amount = _stakeOf(j, j.round);
        address payer = j.poster;
        if (j.round == 1) {
            j.state = state;
            delete auditOf[j.receipt];
        } else {
            payer = j.challenger;
            // It keeps its challenger, so it is not challenged again, and is settled from the next second on.
            (j.state, j.round, j.deadline) = (State.Submitted, 1, uint40(block.timestamp));
        }
        uint256 toSink = amount * sinkBps / BPS;
        _pay(payer, amount - toSink);
        _pay(SINK, toSink);
    }

    /// @dev Ends a job: frees its seats, slashes, and pays all that it holds.
    function _settle(uint256 id, Job storage j, bytes32 result) private {
        Seat[] memory seats = _seats[id];
        uint256 slashed = _slash(seats, result);
        bool accusedWrong = j.accused != 0 && result != 0 && result != j.claimed;
        if (accusedWrong) {
            slashed += NODES.slash(j.accused, LIE_BPS);
            NODES.jail(j.accused);
        }
        bool challengerRight = j.round == 2 && result != 0 && result != j.result;
        (j.state, j.result) = (result == 0 ? State.Rejected : State.Completed, result);
        if (result == 0) delete auditOf[j.receipt];

        Shares memory shares;
        shares.rest = slashed;
        if (j.round == 2) shares.toChallenger = _divide(shares, j, seats, 2, challengerRight);
        shares.toPoster = _divide(shares, j, seats, 1, accusedWrong);
        if (challengerRight || accusedWrong) {
            uint256 reward = shares.rest * REWARD_BPS / BPS;
            shares.rest -= reward;
            if (challengerRight) shares.toChallenger += reward;
            else shares.toPoster += reward;
        }
        emit Settle(id, result, msg.sender, slashed, shares.rest);
        for (uint256 i; i < seats.length; ++i) {
            if (_hasResult(seats[i], result)) _pay(NODES.operatorOf(seats[i].node), _feeOf(j, seats[i].round));
        }
        _pay(j.poster, shares.toPoster);
        _pay(j.challenger, shares.toChallenger);
        _pay(msg.sender, shares.tip);
        _pay(SINK, shares.rest);
    }

    /// @dev Frees seats, slashes and jails their nodes.
    function _slash(Seat[] memory seats, bytes32 result) private returns (uint256 slashed) {
        for (uint256 i; i < seats.length; ++i) {
            uint32 node = seats[i].node;
            NODES.freeSeat(node);
            (uint256 bps, bool silent) = _penalty(seats[i], result);
            if (bps != 0) slashed += NODES.slash(node, bps);
            if (silent) NODES.jail(node);
        }
    }

    /// @dev Divides what was paid for a round into fees, tips and what returns to its payer. If the payer was right, what
    /// it has spent is replaced from the slashed money, as far as that goes.
    /// @return toPayer what returns, and what is replaced
    function _divide(Shares memory shares, Job storage j, Seat[] memory seats, uint256 round, bool payerRight)
        private
        view
        returns (uint256 toPayer)
    {
        uint256 stake = _stakeOf(j, round);
        uint256 tip = stake * TIP_BPS / BPS;
        uint256 spent = 2 * tip;
        uint256 fee = _feeOf(j, round);
        for (uint256 i; i < seats.length; ++i) {
            if (seats[i].round == round && _hasResult(seats[i], j.result)) spent += fee;
        }
        shares.tip += tip;
        toPayer = stake - spent;
        if (payerRight) {
            uint256 replaced = spent.min(shares.rest);
            shares.rest -= replaced;
            toPayer += replaced;
        }
    }

    function _hasResult(Seat memory s, bytes32 result) private pure returns (bool) {
        return result != 0 && s.state == SeatState.Revealed && s.hash == result;
    }

    /// @return bps what the seat is slashed
    /// @return silent whether it did not reveal
    function _penalty(Seat memory s, bytes32 result) private pure returns (uint256 bps, bool silent) {
        silent = s.state != SeatState.Revealed;
        if (result != 0 && (s.state == SeatState.Committed || (!silent && s.hash != result))) return (LIE_BPS, silent);
        return (silent ? ABSENT_BPS : 0, silent);
    }

    function _pay(address to, uint256 amount) private {
        if (amount == 0) return;
        if (TOKEN.tryPush(to, amount, PAYMENT_GAS) == Tokens.SENT) return;
        owed[to] += amount;
        emit Owe(to, amount);
    }
}
