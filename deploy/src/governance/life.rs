//! A proposal's life: what is proposed and scheduled, what comes next, and why something cannot be done now.

use alloy::{
    primitives::{Address, B256, Bytes, FixedBytes, U256, Uint, keccak256},
    rpc::types::Filter,
    sol_types::{SolCall, SolEvent},
};
use eyre::{ContextCompat, bail, ensure, eyre};
use plimsoll_contracts::{
    IBrake,
    governance::{IAccessManager, IGovernor, IVotes},
    quantity::decimal_text,
};
use serde::Serialize;

use super::{Action, Governance, Governor, Operation, OperationEnd, Proposal, simulate::Route};
use crate::{
    abi::IToken,
    design::governance::VOTE_DECIMALS,
    inspect::{Call, creation_block},
    manifest::units::time_text,
};

/// With this at its end a description can be proposed by one account only, so that nobody proposes it first and withdraws
/// it.
const PROPOSER_SUFFIX: &str = "#proposer=";

/// Something that was proposed to the governor, or scheduled in the manager by a member of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A proposal of the governor.
    Proposal(GovernorProposal),
    /// An operation of the manager.
    Operation(Operation),
}

/// A proposal of the governor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GovernorProposal {
    /// Number, by which it is known.
    pub id: U256,
    /// Calls that it makes, in order.
    pub actions: Vec<Action>,
    /// Description as the governor has it.
    pub description: String,
}

/// The stage that a proposal or an operation is in. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// The vote begins at this time.
    Pending {
        /// Time of the vote's beginning, whose votes count.
        opens_at: u64,
    },
    /// The vote goes on until this time.
    Active {
        /// End of the vote.
        closes_at: u64,
    },
    /// The vote ended without enough votes.
    Defeated,
    /// The vote was won.
    Succeeded,
    /// It waits in the manager.
    Queued {
        /// Time from which it can be executed.
        due_at: u64,
    },
    /// It can be executed.
    Due {
        /// Time from which it no longer can.
        expires_at: u64,
    },
    /// It was cancelled in the manager while it waited.
    Braked {
        /// The call that was cancelled, and by whom.
        reason: String,
    },
    /// The proposal was cancelled.
    Cancelled,
    /// Nobody executed it in time.
    Expired,
    /// It was executed.
    Executed,
}

/// An entry of the list of proposals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Number of a proposal, or hash of an operation.
    pub id: String,
    /// Title of a proposal; the call in words for an operation.
    pub title: String,
    /// Stage.
    #[serde(flatten)]
    pub stage: Stage,
    /// Stage in words.
    pub text: String,
    /// Calls in words.
    pub calls: Vec<String>,
}

/// What is to be sent next, or that nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This transaction.
    Send {
        /// Recipient and calldata.
        call: Call,
        /// What it does.
        text: String,
    },
    /// It is done already.
    Done(String),
}

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Support {
    /// Against the proposal.
    Against,
    /// For the proposal.
    For,
    /// Neither; it counts towards the quorum.
    Abstain,
}

impl Stage {
    /// Returns the stage in words.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Pending { opens_at } => format!("the vote begins at {}", time_text(*opens_at)),
            Self::Active { closes_at } => format!("the vote goes on until {}", time_text(*closes_at)),
            Self::Defeated => "defeated".to_owned(),
            Self::Succeeded => "won, and to be queued".to_owned(),
            Self::Queued { due_at } => format!("waits until {}", time_text(*due_at)),
            Self::Due { expires_at } => format!("can be executed until {}", time_text(*expires_at)),
            Self::Braked { reason } => format!("cancelled while it waited: {reason}"),
            Self::Cancelled => "cancelled".to_owned(),
            Self::Expired => "expired: nobody executed it in time".to_owned(),
            Self::Executed => "executed".to_owned(),
        }
    }

    /// Returns whether nothing more happens to it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Defeated | Self::Braked { .. } | Self::Cancelled | Self::Expired | Self::Executed)
    }
}

impl GovernorProposal {
    /// Returns the proposal with title and description.
    #[must_use]
    pub fn proposal(&self) -> Proposal {
        Proposal::of_text(without_suffix(&self.description), self.actions.clone())
    }

    fn parts(&self) -> (Vec<Address>, Vec<U256>, Vec<Bytes>, B256) {
        let targets = self.actions.iter().map(|action| action.target).collect();
        let values = self.actions.iter().map(|action| action.value).collect();
        let calldatas = self.actions.iter().map(|action| action.data.clone()).collect();
        (targets, values, calldatas, keccak256(self.description.as_bytes()))
    }
}

fn without_suffix(description: &str) -> &str {
    description.rsplit_once(PROPOSER_SUFFIX).map_or(description, |(text, _)| text).trim_end()
}

fn votes_text(votes: U256) -> String {
    decimal_text(votes, VOTE_DECIMALS)
}

impl Governance<'_> {
    fn the_governor(&self) -> eyre::Result<Governor> {
        self.governor.wrap_err(
            "this deployment has no governor: members of roles schedule calls by `propose`, and `execute` them when they are due",
        )
    }

    async fn now(&self) -> eyre::Result<u64> {
        Ok(self.chain.head().await?.timestamp)
    }

    /// Returns all proposals of the governor, in order.
    pub async fn proposals(&self) -> eyre::Result<Vec<GovernorProposal>> {
        let Some(governor) = self.governor else { return Ok(Vec::new()) };
        let filter =
            Filter::new().address(governor.address).event_signature(IGovernor::ProposalCreated::SIGNATURE_HASH);
        let logs = self.chain.logs(&filter, creation_block(self.record, governor.address)).await?;
        let events = logs.iter().filter_map(|log| IGovernor::ProposalCreated::decode_log(&log.inner).ok());
        let proposal = |event: alloy::primitives::Log<IGovernor::ProposalCreated>| {
            let event = event.data;
            let calls = event.targets.into_iter().zip(event.values).zip(event.calldatas);
            let actions = calls.map(|((target, value), data)| Action { target, value, data }).collect();
            GovernorProposal { id: event.proposalId, actions, description: event.description }
        };
        Ok(events.map(proposal).collect())
    }

    /// Finds what an id means. Fails if nothing has it.
    pub async fn find(&self, id: &str) -> eyre::Result<Subject> {
        if let Ok(hash) = id.parse::<B256>()
            && let Some(operation) = self.operations().into_iter().find(|operation| operation.id == hash)
        {
            return Ok(Subject::Operation(operation));
        }
        let number: U256 = id.parse().map_err(|_| {
            eyre!("\"{id}\" is neither a file nor the number of a proposal nor the hash of an operation: `proposals` lists them")
        })?;
        let found = self.proposals().await?.into_iter().find(|proposal| proposal.id == number);
        let found = found.map(Subject::Proposal);
        found.wrap_err_with(|| format!("nothing has the number {id} here: `proposals` lists what there is"))
    }

    /// Finds what was proposed from a file: the newest proposal of the governor with its text and calls, or, by a member of
    /// roles, the operation of each call.
    pub async fn find_proposal(&self, proposal: &Proposal, member: Option<Address>) -> eyre::Result<Vec<Subject>> {
        if let Some(member) = member.filter(|_| self.governor.is_none_or(|governor| Some(governor.address) != member)) {
            let ids: Vec<_> = proposal.actions.iter().map(|action| self.operation_id(member, action)).collect();
            let all = self.operations().into_iter().filter(|operation| ids.contains(&operation.id));
            return Ok(all.map(Subject::Operation).collect());
        }
        let same = |known: &GovernorProposal| {
            known.actions == proposal.actions && without_suffix(&known.description) == proposal.text()
        };
        let found = self.proposals().await?.into_iter().rfind(same);
        Ok(found.map(Subject::Proposal).into_iter().collect())
    }

    /// Returns everything that was proposed or scheduled, the newest first.
    pub async fn list(&self) -> eyre::Result<Vec<Listed>> {
        let mut list = Vec::new();
        for proposal in self.proposals().await? {
            let calls = proposal.actions.iter().map(|it| self.reader.read(it.target, &it.data).to_string()).collect();
            let (id, title) = (proposal.id.to_string(), proposal.proposal().title);
            list.push((id, title, calls, Subject::Proposal(proposal)));
        }
        let governor = self.governor.map(|governor| governor.address);
        for operation in self.operations() {
            // Those of the governor are parts of its proposals.
            if Some(operation.caller) == governor {
                continue;
            }
            let call = self.reader.read(operation.target, &operation.data).to_string();
            let title = format!("by {}: {call}", self.reader.account_text(operation.caller));
            list.push((operation.id.to_string(), title, vec![call], Subject::Operation(operation)));
        }
        let mut listed = Vec::with_capacity(list.len());
        for (id, title, calls, subject) in list.into_iter().rev() {
            let stage = self.stage(&subject).await?;
            listed.push(Listed { id, title, text: stage.text(), stage, calls });
        }
        Ok(listed)
    }

    /// Returns the stage of a proposal or an operation.
    pub async fn stage(&self, subject: &Subject) -> eyre::Result<Stage> {
        match subject {
            Subject::Proposal(proposal) => self.stage_of_proposal(proposal).await,
            Subject::Operation(operation) => self.stage_of_operation(operation).await,
        }
    }

    async fn expiration(&self) -> eyre::Result<u64> {
        let secs = self.chain.read(self.manager, IAccessManager::expirationCall {}).await?;
        Ok(secs.wrap_err("the manager does not answer")?.into())
    }

    async fn stage_of_operation(&self, operation: &Operation) -> eyre::Result<Stage> {
        match operation.end {
            Some(OperationEnd::Executed) => return Ok(Stage::Executed),
            Some(OperationEnd::Cancelled) => {
                let reason = self.cancelled_by(operation.id).await?;
                return Ok(Stage::Braked { reason });
            }
            None => {}
        }
        let (now, expires_at) = (self.now().await?, operation.at + self.expiration().await?);
        Ok(match now {
            now if now >= expires_at => Stage::Expired,
            now if now >= operation.at => Stage::Due { expires_at },
            _ => Stage::Queued { due_at: operation.at },
        })
    }

    async fn stage_of_proposal(&self, proposal: &GovernorProposal) -> eyre::Result<Stage> {
        let governor = self.the_governor()?.address;
        let id = proposal.id;
        let secs = |found: Option<U256>| found.unwrap_or_default().saturating_to::<u64>();
        let state = self.chain.read(governor, IGovernor::stateCall { proposalId: id }).await?;
        Ok(match state.wrap_err_with(|| format!("the governor does not know the proposal {id}"))? {
            0 => {
                let at = self.chain.read(governor, IGovernor::proposalSnapshotCall { proposalId: id }).await?;
                Stage::Pending { opens_at: secs(at) }
            }
            1 => {
                let at = self.chain.read(governor, IGovernor::proposalDeadlineCall { proposalId: id }).await?;
                Stage::Active { closes_at: secs(at) }
            }
            2 => Stage::Cancelled,
            3 => Stage::Defeated,
            4 => Stage::Succeeded,
            6 => Stage::Expired,
            7 => Stage::Executed,
            _ => {
                let eta = secs(self.chain.read(governor, IGovernor::proposalEtaCall { proposalId: id }).await?);
                self.stage_of_queued(governor, proposal, eta).await?
            }
        })
    }

    /// Returns the stage of a proposal whose calls wait, or waited, in the manager.
    async fn stage_of_queued(&self, governor: Address, proposal: &GovernorProposal, eta: u64) -> eyre::Result<Stage> {
        let (now, expires_at) = (self.now().await?, eta + self.expiration().await?);
        let mut waits = false;
        for (index, action) in proposal.actions.iter().enumerate() {
            let id = self.operation_id(governor, action);
            let Some(operation) = self.operations().into_iter().find(|operation| operation.id == id) else { continue };
            waits = true;
            // Another proposal may have scheduled the same call since, which is another operation.
            if operation.end == Some(OperationEnd::Cancelled) || operation.at != eta {
                let call = self.reader.read(action.target, &action.data);
                let by = self.cancelled_by(id).await?;
                return Ok(Stage::Braked { reason: format!("call {} ({call}) {by}", index + 1) });
            }
        }
        Ok(match now {
            now if waits && now >= expires_at => Stage::Expired,
            now if now >= eta => Stage::Due { expires_at: if waits { expires_at } else { u64::MAX } },
            _ => Stage::Queued { due_at: eta },
        })
    }

    /// Returns by whom an operation was cancelled.
    async fn cancelled_by(&self, id: B256) -> eyre::Result<String> {
        let brakes: Vec<Address> = self.brakes().collect();
        if brakes.is_empty() {
            return Ok("was cancelled by a guardian".to_owned());
        }
        let first = brakes.iter().map(|brake| creation_block(self.record, *brake)).min().unwrap_or_default();
        let filter = Filter::new().address(brakes).event_signature(IBrake::Cancelled::SIGNATURE_HASH).topic1(id);
        let logs = self.chain.logs(&filter, first).await?;
        let last = logs.last().and_then(|log| IBrake::Cancelled::decode_log(&log.inner).ok());
        Ok(match (logs.last(), last) {
            (Some(log), Some(event)) => format!(
                "was cancelled by depositors (cancellation no. {}) through {}",
                event.cancels,
                self.reader.account_text(log.address())
            ),
            _ => "was cancelled by a guardian or its proposer".to_owned(),
        })
    }

    /* WHAT COMES NEXT */

    /// Returns the transaction that proposes: to the governor, or in the manager where there is none or `member` says so.
    pub async fn propose(&self, proposal: &Proposal, account: Address, as_member: bool) -> eyre::Result<Next> {
        let Some(governor) = self.governor.filter(|_| !as_member) else {
            return self.schedule(proposal, account).await;
        };
        if let Some(Subject::Proposal(known)) = self.find_proposal(proposal, None).await?.first() {
            let stage = self.stage_of_proposal(known).await?;
            if matches!(
                stage,
                Stage::Braked { .. } | Stage::Cancelled | Stage::Defeated | Stage::Expired | Stage::Executed
            ) {
                bail!(
                    "this was proposed already as {}, which is over ({}): a governor takes the same text and calls once. Change \
                     `title` or `description` to propose it again",
                    known.id,
                    stage.text()
                );
            }
            return Ok(Next::Done(format!("it is proposed already, as {}: {}", known.id, stage.text())));
        }
        let threshold =
            self.chain.read(governor.address, IGovernor::proposalThresholdCall {}).await?.unwrap_or_default();
        let moment = Uint::from(self.now().await?.saturating_sub(1));
        let asked = IGovernor::getVotesCall { account, timepoint: moment };
        let votes = self.chain.read(governor.address, asked).await?.unwrap_or_default();
        if votes < threshold {
            let reason = self.why_no_votes(governor, account, None).await?;
            bail!(
                "{account} had {} votes a second ago, and a proposal needs {}{reason}",
                votes_text(votes),
                votes_text(threshold)
            );
        }
        let description = format!("{}\n\n{PROPOSER_SUFFIX}{account:#x}", proposal.text());
        let (targets, values, calldatas, _) =
            GovernorProposal { id: U256::ZERO, actions: proposal.actions.clone(), description: String::new() }.parts();
        let call = IGovernor::proposeCall { targets, values, calldatas, description };
        Ok(Next::Send { call: Call::of(governor.address, &call), text: format!("propose \"{}\"", proposal.title) })
    }

    /// Returns the transaction by which a member of roles schedules all calls.
    async fn schedule(&self, proposal: &Proposal, account: Address) -> eyre::Result<Next> {
        let mut calls = Vec::new();
        let mut done = Vec::new();
        for (index, action) in proposal.actions.iter().enumerate() {
            let of = format!("action {} ({})", index + 1, self.reader.read(action.target, &action.data));
            ensure!(action.value.is_zero(), "{of}: an operation of the manager carries no coins");
            let id = self.operation_id(account, action);
            let at = self.chain.read(self.manager, IAccessManager::getScheduleCall { id }).await?.unwrap_or_default();
            if !at.is_zero() {
                done.push(format!("{id} is scheduled already, for {}", time_text(at.to())));
                continue;
            }
            match self.route(account, action).await? {
                Route::Delayed => calls.push(
                    IAccessManager::scheduleCall { target: action.target, data: action.data.clone(), when: Uint::ZERO }
                        .abi_encode()
                        .into(),
                ),
                Route::Immediate => done.push(format!("{of} needs no schedule: `execute` it")),
                Route::Direct => bail!("{account} may not call {of}{}", self.who_may(action).await?),
            }
        }
        if calls.is_empty() {
            return Ok(Next::Done(done.join("\n")));
        }
        let text = format!("schedule {} calls in the manager", calls.len());
        // In one transaction, so that all are scheduled or none.
        let call = match calls.as_slice() {
            [one] => Call { to: self.manager, input: Bytes::clone(one), value: U256::ZERO, gas_guess: 0 },
            _ => Call::of(self.manager, &IAccessManager::multicallCall { data: calls }),
        };
        Ok(Next::Send { call, text })
    }

    /// Returns who may call a function, as the end of a sentence.
    async fn who_may(&self, action: &Action) -> eyre::Result<String> {
        let Some(selector) = action.data.get(..4).map(FixedBytes::from_slice) else { return Ok(String::new()) };
        let role = if action.target == self.manager {
            0
        } else {
            let asked = IAccessManager::getTargetFunctionRoleCall { target: action.target, selector };
            self.chain.read(self.manager, asked).await?.unwrap_or_default()
        };
        let mut members = Vec::new();
        for (_, account) in self.known.members.iter().filter(|(of, _)| *of == role) {
            let asked = IAccessManager::hasRoleCall { roleId: role, account: *account };
            if self.chain.read(self.manager, asked).await?.is_some_and(|found| found.isMember) {
                members.push(self.reader.account_text(*account));
            }
        }
        let members = if members.is_empty() { "nobody".to_owned() } else { members.join(", ") };
        Ok(format!(": its role is {}, which {members} has", self.reader.role_text(role)))
    }

    /// Explains why an account has no, or too few, votes, as the end of a sentence. `moment` is that of a proposal.
    async fn why_no_votes(&self, governor: Governor, account: Address, moment: Option<u64>) -> eyre::Result<String> {
        let votes = self.chain.read(governor.token, IVotes::getVotesCall { account }).await?.unwrap_or_default();
        let held = self.chain.read(governor.token, IToken::balanceOfCall { account }).await?.unwrap_or_default();
        let delegate = self.chain.read(governor.token, IVotes::delegatesCall { account }).await?.unwrap_or_default();
        if let Some(moment) = moment.filter(|_| !votes.is_zero()) {
            return Ok(format!(
                ". The {} votes that it has now came after the moment whose votes count, {}: what is bought, locked or \
                 delegated later has no vote in this proposal",
                votes_text(votes),
                time_text(moment)
            ));
        }
        if !held.is_zero() && delegate.is_zero() {
            return Ok(format!(
                ". Nobody votes with the {} tokens that it has: delegate them, to yourself or to somebody else, before the \
                 next proposal (`delegate(address)` of {})",
                votes_text(held),
                governor.token
            ));
        }
        if !held.is_zero() && delegate != account {
            return Ok(format!(". It has given its votes to {delegate}"));
        }
        Ok(String::new())
    }

    /// Returns the transaction that votes. Fails, with the reason, if the vote would not count.
    pub async fn vote(
        &self,
        proposal: &GovernorProposal,
        account: Address,
        support: Support,
        reason: &str,
    ) -> eyre::Result<Next> {
        let governor = self.the_governor()?;
        let id = proposal.id;
        let stage = self.stage_of_proposal(proposal).await?;
        match stage {
            Stage::Active { .. } => {}
            Stage::Pending { opens_at } => {
                bail!("the vote is not active yet: it begins at {}", time_text(opens_at))
            }
            stage => bail!("the vote is over: {}", stage.text()),
        }
        let asked = IGovernor::hasVotedCall { proposalId: id, account };
        if self.chain.read(governor.address, asked).await?.unwrap_or_default() {
            return Ok(Next::Done(format!("{account} has voted already, and a vote cannot be changed")));
        }
        let moment = self.chain.read(governor.address, IGovernor::proposalSnapshotCall { proposalId: id }).await?;
        let moment = moment.unwrap_or_default();
        let asked = IGovernor::getVotesCall { account, timepoint: moment };
        let votes = self.chain.read(governor.address, asked).await?.unwrap_or_default();
        if votes.is_zero() {
            let reason = self.why_no_votes(governor, account, Some(moment.saturating_to())).await?;
            bail!("{account} has no vote in this proposal{reason}");
        }
        let call = IGovernor::castVoteWithReasonCall {
            proposalId: id,
            support: match support {
                Support::Against => 0,
                Support::For => 1,
                Support::Abstain => 2,
            },
            reason: reason.to_owned(),
        };
        let text = format!("vote with {} votes", votes_text(votes));
        Ok(Next::Send { call: Call::of(governor.address, &call), text })
    }

    /// Returns the transaction that queues a proposal.
    pub async fn queue(&self, proposal: &GovernorProposal) -> eyre::Result<Next> {
        let governor = self.the_governor()?.address;
        let id = proposal.id;
        match self.stage_of_proposal(proposal).await? {
            Stage::Succeeded => {}
            stage @ (Stage::Active { .. } | Stage::Defeated) => {
                bail!("{}: {}", stage.text(), self.tally(governor, id).await?)
            }
            stage @ (Stage::Queued { .. } | Stage::Due { .. } | Stage::Executed) => {
                return Ok(Next::Done(format!("it is queued already: {}", stage.text())));
            }
            stage => bail!("it cannot be queued: {}", stage.text()),
        }
        if !self.chain.read(governor, IGovernor::proposalNeedsQueuingCall { proposalId: id }).await?.unwrap_or(true) {
            return Ok(Next::Done("nothing of it has to wait: `execute` it".to_owned()));
        }
        let (targets, values, calldatas, hash) = proposal.parts();
        let call = IGovernor::queueCall { targets, values, calldatas, descriptionHash: hash };
        Ok(Next::Send { call: Call::of(governor, &call), text: format!("queue \"{}\"", proposal.proposal().title) })
    }

    async fn tally(&self, governor: Address, id: U256) -> eyre::Result<String> {
        let votes = self.chain.read(governor, IGovernor::proposalVotesCall { proposalId: id }).await?;
        let votes = votes.wrap_err("the governor does not tell the votes")?;
        let moment = self.chain.read(governor, IGovernor::proposalSnapshotCall { proposalId: id }).await?;
        let asked = IGovernor::quorumCall { timepoint: moment.unwrap_or_default() };
        let quorum = self.chain.read(governor, asked).await?.unwrap_or_default();
        let cast = votes.forVotes.saturating_add(votes.abstainVotes);
        let missing = if cast < quorum { "; the quorum is not reached" } else { "" };
        Ok(format!(
            "{} votes for, {} against, {} abstain, and for and abstain need {} together{missing}",
            votes_text(votes.forVotes),
            votes_text(votes.againstVotes),
            votes_text(votes.abstainVotes),
            votes_text(quorum)
        ))
    }

    /// Returns the transaction that executes a proposal or an operation.
    pub async fn execute(&self, subject: &Subject, account: Address) -> eyre::Result<Next> {
        let stage = self.stage(subject).await?;
        let again = "propose it again, and it waits its whole delay again";
        let is_ready = match (&stage, subject) {
            (Stage::Executed, _) => return Ok(Next::Done("it is executed already".to_owned())),
            (Stage::Due { .. }, _) => true,
            (Stage::Succeeded, Subject::Proposal(proposal)) => {
                let governor = self.the_governor()?.address;
                let asked = IGovernor::proposalNeedsQueuingCall { proposalId: proposal.id };
                !self.chain.read(governor, asked).await?.unwrap_or(true)
            }
            _ => false,
        };
        if !is_ready {
            match stage {
                Stage::Queued { due_at } => bail!("it is not due until {}", time_text(due_at)),
                Stage::Braked { reason } => bail!("it was braked: {reason}. {again}"),
                Stage::Expired => bail!("it expired, because nobody executed it in time: {again}"),
                stage => bail!("it cannot be executed: {}", stage.text()),
            }
        }
        match subject {
            Subject::Proposal(proposal) => {
                let governor = self.the_governor()?.address;
                let (targets, values, calldatas, hash) = proposal.parts();
                let call = IGovernor::executeCall { targets, values, calldatas, descriptionHash: hash };
                let text = format!("execute \"{}\"", proposal.proposal().title);
                Ok(Next::Send { call: Call::of(governor, &call), text })
            }
            Subject::Operation(operation) => {
                ensure!(
                    operation.caller == account,
                    "only {}, which scheduled it, may execute it, and this is {account}",
                    self.reader.account_text(operation.caller)
                );
                let action = Action { target: operation.target, value: U256::ZERO, data: operation.data.clone() };
                Ok(self.execution(&action))
            }
        }
    }

    /// Returns the transaction by which a member of a role makes a call through the manager.
    #[must_use]
    pub fn execution(&self, action: &Action) -> Next {
        let call = IAccessManager::executeCall { target: action.target, data: action.data.clone() };
        let call = Call { value: action.value, ..Call::of(self.manager, &call) };
        Next::Send { call, text: format!("execute {}", self.reader.read(action.target, &action.data)) }
    }

    /// Returns whether a member of roles may make a call at once.
    pub async fn is_immediate(&self, action: &Action, account: Address) -> eyre::Result<bool> {
        Ok(self.route(account, action).await? == Route::Immediate)
    }

    /// Returns what an account can execute now: what is due of the governor, and of its own operations.
    pub async fn due(&self, account: Address) -> eyre::Result<Vec<Subject>> {
        let proposals = self.proposals().await?.into_iter().map(Subject::Proposal);
        let governor = self.governor.map(|governor| governor.address);
        let own = self.operations().into_iter().filter(|it| it.caller == account && Some(it.caller) != governor);
        let mut due = Vec::new();
        for subject in proposals.chain(own.map(Subject::Operation)) {
            if matches!(self.stage(&subject).await?, Stage::Due { .. }) {
                due.push(subject);
            }
        }
        Ok(due)
    }
}
