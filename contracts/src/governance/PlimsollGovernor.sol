// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {GovernorCountingSimple} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorPreventLateQuorum} from "@openzeppelin/contracts/governance/extensions/GovernorPreventLateQuorum.sol";
import {GovernorProposalGuardian} from "@openzeppelin/contracts/governance/extensions/GovernorProposalGuardian.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {GovernorTimelockAccess} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockAccess.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

/// @title Governor of a manager's roles.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice OpenZeppelin's governor over tokens with votes: a proposal that passed is scheduled in the `AccessManager`, where
/// each call waits as long as the governor's role for it demands, and can be stopped by whom the role's guardians are. Its
/// own balance is the treasury: it sends tokens and coins by proposal.
///
/// Votes are those of a moment between proposal and vote, at least a day after the proposal. A quorum that is reached
/// late extends the vote. The proposal guardian cancels proposals and can do nothing else, and its term ends: a further
/// term needs a proposal.
contract PlimsollGovernor is
    GovernorSettings,
    GovernorCountingSimple,
    GovernorVotesQuorumFraction,
    GovernorPreventLateQuorum,
    GovernorProposalGuardian,
    GovernorTimelockAccess
{
    /// @notice What a governor is made with. Times are in seconds.
    /// @param manager in which proposals are scheduled
    /// @param token whose holders vote; its clock must be the time
    /// @param votingDelay from a proposal to the moment whose votes count; at least a day
    /// @param votingPeriod from then to the end of the vote; at least a day
    /// @param lateQuorumExtension for which the vote goes on at least after the quorum was reached
    /// @param proposalThreshold votes that a proposer needs
    /// @param quorumPercent of all votes that must be cast for or in abstention
    /// @param baseDelay that everything waits at least after its vote
    /// @param guardian who cancels proposals for a first term; zero for nobody
    struct Setup {
        string name;
        address manager;
        IVotes token;
        uint48 votingDelay;
        uint32 votingPeriod;
        uint48 lateQuorumExtension;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint32 baseDelay;
        address guardian;
    }

    /// @notice Term of a proposal guardian.
    uint256 public constant GUARDIAN_TERM = 365 days;

    /// @notice When the present guardian's term ends.
    uint256 public guardianUntil;

    error TimeTooShort(uint256 time, uint256 minimum);
    /// @notice Times are in seconds here, and the token's are not.
    error ClockNotTime(string clockMode);

    constructor(Setup memory setup)
        Governor(setup.name)
        GovernorSettings(setup.votingDelay, setup.votingPeriod, setup.proposalThreshold)
        GovernorVotes(setup.token)
        GovernorVotesQuorumFraction(setup.quorumPercent)
        GovernorPreventLateQuorum(setup.lateQuorumExtension)
        GovernorTimelockAccess(setup.manager, setup.baseDelay)
    {
        string memory mode = CLOCK_MODE();
        if (keccak256(bytes(mode)) != keccak256("mode=timestamp")) revert ClockNotTime(mode);
        _setProposalGuardian(setup.guardian);
    }

    /// @notice Returns who may cancel proposals: nobody once the term has ended.
    function proposalGuardian() public view override returns (address) {
        return block.timestamp < guardianUntil ? super.proposalGuardian() : address(0);
    }

    function _setProposalGuardian(address newGuardian) internal override {
        guardianUntil = block.timestamp + GUARDIAN_TERM;
        super._setProposalGuardian(newGuardian);
    }

    /// @dev Who holds tokens for a moment must not vote: the vote's moment is known to all a day before.
    function _setVotingDelay(uint48 newDelay) internal override {
        _requireDay(newDelay);
        super._setVotingDelay(newDelay);
    }

    function _setVotingPeriod(uint32 newPeriod) internal override {
        _requireDay(newPeriod);
        super._setVotingPeriod(newPeriod);
    }

    function _requireDay(uint256 time) private pure {
        if (time < 1 days) revert TimeTooShort(time, 1 days);
    }

    /* WHAT SEVERAL PARTS OF OPENZEPPELIN'S GOVERNOR DEFINE */

    function proposalThreshold() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.proposalThreshold();
    }

    function proposalDeadline(uint256 proposalId)
        public
        view
        override(Governor, GovernorPreventLateQuorum)
        returns (uint256)
    {
        return super.proposalDeadline(proposalId);
    }

    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockAccess)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function propose(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        string memory description
    ) public override(Governor, GovernorTimelockAccess) returns (uint256) {
        return super.propose(targets, values, calldatas, description);
    }

    function _tallyUpdated(uint256 proposalId) internal override(Governor, GovernorPreventLateQuorum) {
        super._tallyUpdated(proposalId);
    }

    function _validateCancel(uint256 proposalId, address caller)
        internal
        view
        override(Governor, GovernorProposalGuardian)
        returns (bool)
    {
        return super._validateCancel(proposalId, caller);
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockAccess) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockAccess) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockAccess) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }
}
