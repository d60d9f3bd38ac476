// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IBrake} from "plimsoll/interfaces/IBrake.sol";
import {GovernanceFixture} from "./GovernanceFixture.sol";

/// @dev As `PlimsollGovernor.Setup`, without importing an implementation.
struct GovernorSetup {
    string name;
    address manager;
    address token;
    uint48 votingDelay;
    uint32 votingPeriod;
    uint48 lateQuorumExtension;
    uint256 proposalThreshold;
    uint256 quorumPercent;
    uint32 baseDelay;
    address guardian;
}

interface IPlimsollGovernor is IGovernor {
    function proposalGuardian() external view returns (address);
    function setProposalGuardian(address guardian) external;
    function proposalThreshold() external view returns (uint256);
    function guardianUntil() external view returns (uint256);
    function setVotingDelay(uint48 delay) external;
    function setVotingPeriod(uint32 period) external;

    error TimeTooShort(uint256 time, uint256 minimum);
    error ClockNotTime(string clockMode);
}

/// @notice A governor whose proposals wait in the manager, where depositors can stop them.
contract GovernorTest is GovernanceFixture {
    uint256 private constant SUPPLY = 100_000_000e18;

    address private immutable VOTER = makeAddr("voter");
    address private immutable WHALE = makeAddr("whale");
    address private immutable PROPOSAL_GUARDIAN = makeAddr("proposal guardian");

    IPlimsollGovernor private governor;
    IERC20 private token;

    /// @dev A call that is proposed.
    struct Proposal {
        address[] targets;
        uint256[] values;
        bytes[] calls;
        string text;
    }

    function setUpRoles() internal override {
        super.setUpRoles();
        token = IERC20(
            deployCode("VotesToken.sol:VotesToken", abi.encode("Plimsoll Votes", "vPLIM", address(this), SUPPLY))
        );
        governor = newGovernor(setupOfGovernor());
        manager.grantRole(MONEY, address(governor), MONEY_DELAY);
        assertTrue(token.transfer(VOTER, SUPPLY / 10));
        assertTrue(token.transfer(WHALE, SUPPLY / 2));
        assertTrue(token.transfer(address(governor), SUPPLY / 5));
        vm.prank(VOTER);
        IVotes(address(token)).delegate(VOTER);
        skip(1);
    }

    function setupOfGovernor() private view returns (GovernorSetup memory) {
        return GovernorSetup({
            name: "Plimsoll Governor",
            manager: address(manager),
            token: address(token),
            votingDelay: 2 days,
            votingPeriod: 5 days,
            lateQuorumExtension: 2 days,
            proposalThreshold: SUPPLY / 100,
            quorumPercent: 4,
            baseDelay: 1 days,
            guardian: PROPOSAL_GUARDIAN
        });
    }

    function newGovernor(GovernorSetup memory setup) private returns (IPlimsollGovernor) {
        return IPlimsollGovernor(deployCode("PlimsollGovernor.sol:PlimsollGovernor", abi.encode(setup)));
    }

    function single(address target, bytes memory call, string memory text) private pure returns (Proposal memory p) {
        (p.targets, p.values, p.calls, p.text) = (new address[](1), new uint256[](1), new bytes[](1), text);
        (p.targets[0], p.calls[0]) = (target, call);
    }

    function propose(Proposal memory p) private returns (uint256) {
        vm.prank(VOTER);
        return governor.propose(p.targets, p.values, p.calls, p.text);
    }

    function vote(address who, uint256 proposal) private {
        vm.prank(who);
        governor.castVote(proposal, 1);
    }

    function queue(Proposal memory p) private {
        governor.queue(p.targets, p.values, p.calls, keccak256(bytes(p.text)));
    }

    function run(Proposal memory p) private {
        governor.execute(p.targets, p.values, p.calls, keccak256(bytes(p.text)));
    }

    function runIt(Proposal calldata p) external {
        run(p);
    }

    /// @dev From the proposal to its place in the manager.
    function pass(Proposal memory p) private returns (uint256 proposal) {
        proposal = propose(p);
        skip(2 days + 1);
        vote(VOTER, proposal);
        skip(5 days);
        queue(p);
    }

    function fee() private view returns (Proposal memory) {
        return single(address(plimsoll), raise(), "Raise the fee to 10 %");
    }

    function test_aGovernorSaysWhatItWasMadeWith() public {
        assertEq(governor.votingDelay(), 2 days);
        assertEq(governor.votingPeriod(), 5 days);
        assertEq(governor.proposalThreshold(), SUPPLY / 100);
        Proposal memory p = fee();
        bytes memory reason =
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, STRANGER, 0, SUPPLY / 100);
        vm.expectRevert(reason);
        vm.prank(STRANGER);
        governor.propose(p.targets, p.values, p.calls, p.text);
    }

    function test_aProposalIsVotedOnScheduledAndExecuted() public {
        Proposal memory p = fee();
        uint256 proposal = pass(p);
        assertEq(uint256(governor.state(proposal)), uint256(IGovernor.ProposalState.Queued));
        bytes32 id_ = manager.hashOperation(address(governor), address(plimsoll), raise());
        assertEq(manager.getSchedule(id_), block.timestamp + MONEY_DELAY);
        skip(MONEY_DELAY - 1);
        vm.expectRevert();
        this.runIt(p);
        skip(1);
        run(p);
        assertEq(plimsoll.market(id).feeBps, 1_000);
    }

    /// @notice D2: what depositors cancel has to be proposed again, and the count of cancellations remains.
    function test_D2_depositorsStopAProposalThatPassed() public {
        Proposal memory p = fee();
        pass(p);
        lock(ALICE, shares.balanceOf(ALICE));
        IBrake.Operation memory what = IBrake.Operation(address(governor), address(plimsoll), raise());
        assertEq(oppose(ALICE, what), 1);
        skip(MONEY_DELAY);
        vm.expectRevert();
        this.runIt(p);
        assertEq(plimsoll.market(id).feeBps, 0);
        // The second time Alice's 3 % do not suffice any more.
        p.text = "Raise the fee to 10 %, again";
        pass(p);
        assertEq(oppose(ALICE, what), 0);
        skip(MONEY_DELAY);
        run(p);
        assertEq(plimsoll.market(id).feeBps, 1_000);
    }

    function test_votesBoughtAfterTheProposalsMomentCountNothing() public {
        Proposal memory p = fee();
        uint256 proposal = propose(p);
        skip(2 days + 1);
        vm.prank(WHALE);
        IVotes(address(token)).delegate(WHALE);
        vote(WHALE, proposal);
        (, uint256 forVotes,) = votesOf(proposal);
        assertEq(forVotes, 0);
    }

    function votesOf(uint256 proposal) private view returns (uint256 against, uint256 for_, uint256 abstain) {
        (bool done, bytes memory returned) =
            address(governor).staticcall(abi.encodeWithSignature("proposalVotes(uint256)", proposal));
        assertTrue(done);
        return abi.decode(returned, (uint256, uint256, uint256));
    }

    function test_aQuorumThatIsReachedLateExtendsTheVote() public {
        uint256 proposal = propose(fee());
        uint256 end = governor.proposalDeadline(proposal);
        vm.warp(end - 1 hours);
        vote(VOTER, proposal);
        assertEq(governor.proposalDeadline(proposal), block.timestamp + 2 days);
    }

    function test_theProposalGuardianCancelsForATermAndNothingElse() public {
        Proposal memory p = fee();
        pass(p);
        vm.prank(PROPOSAL_GUARDIAN);
        governor.cancel(p.targets, p.values, p.calls, keccak256(bytes(p.text)));
        bytes32 id_ = manager.hashOperation(address(governor), address(plimsoll), raise());
        assertEq(manager.getSchedule(id_), 0);
        vm.prank(PROPOSAL_GUARDIAN);
        vm.expectRevert();
        governor.setProposalGuardian(PROPOSAL_GUARDIAN);
        vm.warp(governor.guardianUntil() - 1);
        assertEq(governor.proposalGuardian(), PROPOSAL_GUARDIAN);
        skip(1);
        assertEq(governor.proposalGuardian(), address(0));
        p.text = "Raise the fee to 10 %, again";
        pass(p);
        vm.prank(PROPOSAL_GUARDIAN);
        vm.expectRevert();
        governor.cancel(p.targets, p.values, p.calls, keccak256(bytes(p.text)));
    }

    function test_aNewTermIsProposed() public {
        Proposal memory p =
            single(address(governor), abi.encodeCall(governor.setProposalGuardian, (STRANGER)), "A new guardian");
        pass(p);
        skip(1 days);
        run(p);
        assertEq(governor.proposalGuardian(), STRANGER);
        assertEq(governor.guardianUntil(), block.timestamp + 365 days);
    }

    function test_theTreasuryIsSpentByProposal() public {
        Proposal memory p = single(address(token), abi.encodeCall(token.transfer, (STRANGER, 1_000e18)), "A grant");
        pass(p);
        vm.expectRevert();
        this.runIt(p);
        skip(1 days);
        run(p);
        assertEq(token.balanceOf(STRANGER), 1_000e18);
    }

    function test_aVoteIsNeverSoonerThanADayNorShorter() public {
        GovernorSetup memory setup = setupOfGovernor();
        setup.votingDelay = 1 days - 1;
        expectRefusal(setup, abi.encodeWithSelector(IPlimsollGovernor.TimeTooShort.selector, 1 days - 1, 1 days));
        setup.lateQuorumExtension = 0;
        (setup.votingDelay, setup.votingPeriod) = (1 days, 1 days - 1);
        expectRefusal(setup, abi.encodeWithSelector(IPlimsollGovernor.TimeTooShort.selector, 1 days - 1, 1 days));
        setup.votingPeriod = 1 days;
        newGovernor(setup);
        // Not by a proposal either.
        Proposal memory p = single(address(governor), abi.encodeCall(governor.setVotingDelay, (0)), "Vote at once");
        pass(p);
        skip(1 days);
        vm.expectRevert();
        this.runIt(p);
    }

    function test_aTokenThatCountsInBlocksIsRefused() public {
        GovernorSetup memory setup = setupOfGovernor();
        setup.token = address(new BlockToken());
        string memory mode = "mode=blocknumber&from=default";
        expectRefusal(setup, abi.encodeWithSelector(IPlimsollGovernor.ClockNotTime.selector, mode));
    }

    function expectRefusal(GovernorSetup memory setup, bytes memory reason) private {
        bytes memory code = vm.getCode("PlimsollGovernor.sol:PlimsollGovernor");
        vm.expectRevert(reason);
        this.create(abi.encodePacked(code, abi.encode(setup)));
    }

    function create(bytes memory code) external returns (address made) {
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(0x00, 0x00, returndatasize())
                revert(0x00, returndatasize())
            }
        }
    }

    /* TOKEN AND GRANTS */

    function test_aPermitIsUsedOnce() public {
        (address holder, uint256 key) = makeAddrAndKey("holder");
        IERC20Permit permits = IERC20Permit(address(token));
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash = keccak256(abi.encode(typeHash, holder, BOB, 5, 0, block.timestamp));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked(hex"1901", permits.DOMAIN_SEPARATOR(), hash)));
        permits.permit(holder, BOB, 5, block.timestamp, v, r, s);
        assertEq(token.allowance(holder, BOB), 5);
        assertEq(permits.nonces(holder), 1);
        vm.expectRevert();
        permits.permit(holder, BOB, 5, block.timestamp, v, r, s);
    }

    function test_aTokenIsMadeOnce() public view {
        assertEq(token.totalSupply(), SUPPLY);
        assertEq(IVotes(address(token)).getVotes(VOTER), SUPPLY / 10);
    }

    function test_aGrantIsReleasedOverTimeFromItsCliffAndVotesMeanwhile() public {
        uint64 start = uint64(block.timestamp);
        address grant = deployCode("Grant.sol:Grant", abi.encode(VOTER, start, uint64(4 * 365 days), uint64(365 days)));
        assertTrue(token.transfer(grant, 400e18));
        vm.prank(STRANGER);
        vm.expectRevert();
        IGrant(grant).delegate(address(token), STRANGER);
        uint256 before = IVotes(address(token)).getVotes(VOTER);
        vm.prank(VOTER);
        IGrant(grant).delegate(address(token), VOTER);
        assertEq(IVotes(address(token)).getVotes(VOTER), before + 400e18);
        skip(365 days - 1);
        assertEq(IGrant(grant).releasable(address(token)), 0);
        skip(1);
        assertEq(IGrant(grant).releasable(address(token)), 100e18);
        uint256 held = token.balanceOf(VOTER);
        IGrant(grant).release(address(token));
        assertEq(token.balanceOf(VOTER), held + 100e18);
    }
}

interface IGrant {
    function delegate(address token, address delegatee) external;
    function releasable(address token) external view returns (uint256);
    function release(address token) external;
}

/// @notice Says that it counts in blocks.
contract BlockToken {
    function clock() external view returns (uint48) {
        return uint48(block.number);
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() external pure returns (string memory) {
        return "mode=blocknumber&from=default";
    }
}
