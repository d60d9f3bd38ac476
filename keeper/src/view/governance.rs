//! The block of the view that shows governance: what is scheduled and when it is due, decoded in words, what opposes it, and
//! how the last operations ended.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use plimsoll_contracts::governance::CallReader;
use serde::Serialize;

use super::model::DecisionView;
use crate::{
    amount::Amount,
    book::{End, Ended, GovernanceState, Operation, Opposition, Proposal, ScheduledCall},
    config::Config,
    date::time_of,
};

/// Most characters of a call in words.
const MAX_TEXT: usize = 600;

/// What governance waits for.
#[derive(Debug, Clone, Serialize)]
pub struct GovernanceView {
    /// Address of the `AccessManager`.
    pub manager: Address,
    /// Operations in the manager and queued proposals, the one that is due first at the beginning.
    pub scheduled: Vec<ScheduledView>,
    /// The last ones that ended, the newest first.
    pub ended: Vec<EndedView>,
    /// Operations and queued proposals that are not listed since the first block, because there were too many or they were
    /// too large.
    pub left_out: u64,
}

/// An operation of the manager, or a queued proposal.
#[derive(Debug, Clone, Serialize)]
pub struct ScheduledView {
    /// Its id.
    pub id: B256,
    /// How often the same operation was scheduled; 0 for a proposal.
    pub nonce: u32,
    /// Whether it is a proposal.
    pub is_proposal: bool,
    /// Whether it is a call of a queued proposal, which executes it.
    pub is_of_proposal: bool,
    /// Whether it can be executed.
    pub state: ScheduledState,
    /// Its calls in words, with the names of the deployment's record.
    pub calls: Vec<String>,
    /// Account that scheduled the operation, or the governor.
    pub caller: Address,
    /// Name of that account in the record, or its address.
    pub caller_name: String,
    /// Time from which it can be executed, in seconds.
    pub due: u64,
    /// Time from which it cannot be executed any more, in seconds.
    pub expires: u64,
    /// What opposes it, by brake.
    pub opposition: Vec<OppositionView>,
    /// What was decided about its execution in the newest block; `None` before it is due, and where nothing is executed.
    pub decision: Option<DecisionView>,
}

/// Whether an operation can be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduledState {
    /// Its time has not come.
    Waiting,
    /// It can be executed.
    Due,
}

/// Shares that oppose an operation at one brake.
#[derive(Debug, Clone, Serialize)]
pub struct OppositionView {
    /// Name of the brake in the record.
    pub brake: String,
    /// Shares that oppose it, in their smallest units.
    pub weight: String,
    /// Shares that cancel it, in their smallest units.
    pub needed: String,
}

/// An operation or a queued proposal that has ended.
#[derive(Debug, Clone, Serialize)]
pub struct EndedView {
    /// Its id.
    pub id: B256,
    /// How often the same operation was scheduled; 0 for a proposal.
    pub nonce: u32,
    /// How it ended: `executed`, `cancelled`, `braked` or `expired`.
    pub how: &'static str,
    /// Name of the brake at which depositors cancelled it.
    pub brake: Option<String>,
    /// Its calls in words.
    pub calls: Vec<String>,
    /// When it ended, in seconds.
    pub at: u64,
}

impl ScheduledState {
    /// Returns the name of the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Due => "due",
        }
    }
}

impl ScheduledView {
    /// Returns what distinguishes it in alerts: a call that is scheduled again is another one.
    #[must_use]
    pub fn subject(&self) -> String {
        subject(self.id, self.nonce)
    }

    /// Describes it in a sentence.
    #[must_use]
    pub fn text(&self) -> String {
        let kind = if self.is_proposal { "the proposal" } else { "the operation" };
        format!(
            "{kind} {} of {} is due at {}: {}",
            self.subject(),
            self.caller_name,
            time_of(self.due),
            self.all_calls()
        )
    }

    /// Describes what is due in a sentence.
    #[must_use]
    pub fn due_text(&self) -> String {
        let until = time_of(self.expires);
        let who = if self.is_proposal { "anybody" } else { self.caller_name.as_str() };
        format!("{} can be executed by {who} until {until}: {}", self.subject(), self.all_calls())
    }

    /// Returns its times in words.
    #[must_use]
    pub fn time(&self) -> String {
        match self.state {
            ScheduledState::Waiting => format!("due at {}", time_of(self.due)),
            ScheduledState::Due => format!("until {}", time_of(self.expires)),
        }
    }

    fn all_calls(&self) -> String {
        self.calls.join("; ")
    }
}

impl EndedView {
    /// Returns what distinguishes it in alerts.
    #[must_use]
    pub fn subject(&self) -> String {
        subject(self.id, self.nonce)
    }

    /// Describes how it ended in a sentence.
    #[must_use]
    pub fn text(&self) -> String {
        let how = match &self.brake {
            Some(brake) => format!("cancelled by depositors at {brake}"),
            None => self.how.to_owned(),
        };
        format!("{} was {how} at {}: {}", self.subject(), time_of(self.at), self.calls.join("; "))
    }
}

/// Returns the beginning of an id.
pub(crate) fn short_id(id: B256) -> String {
    format!("0x{}…", &alloy::hex::encode(id)[..8])
}

fn subject(id: B256, nonce: u32) -> String {
    if nonce == 0 { short_id(id) } else { format!("{} ({nonce})", short_id(id)) }
}

/// Puts accounts and calls into words, with the names of the deployment's record.
#[derive(Clone, Copy)]
struct CallWords<'a> {
    coin: &'a str,
    reader: &'a CallReader,
}

impl CallWords<'_> {
    /// Returns the name of an account in the record, or its address.
    fn name(self, account: Address) -> String {
        self.reader.name_of(account).map_or_else(|| account.to_string(), ToOwned::to_owned)
    }

    /// Puts a call into words. A contract that is not in the record is shown by its address, however alike that looks.
    fn call(self, call: &ScheduledCall) -> String {
        let mut text = self.reader.read(call.target, &call.data).to_string();
        if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
            text.truncate(end);
            text.push('…');
        }
        if !call.value.is_zero() {
            text.push_str(&format!(", with {}", Amount::of_wei(call.value, self.coin)));
        }
        text
    }
}

/// Shows what governance waits for at a time; `None` where it is not followed.
pub(super) fn governance_view(
    config: &Config,
    state: &GovernanceState,
    decisions: &BTreeMap<B256, DecisionView>,
    now: u64,
) -> Option<GovernanceView> {
    let manager = config.governance.contracts.as_ref()?.manager;
    let reader = config.governance.calls.as_ref()?;
    let words = CallWords { coin: &config.chain.coin, reader };
    let operations = state.operations.iter().map(|(id, operation)| operation_view(words, state, *id, operation, now));
    let queued = state.proposals.iter().filter_map(|(id, proposal)| proposal_view(words, *id, proposal, now));
    let mut scheduled: Vec<_> = operations.chain(queued).collect();
    scheduled.sort_by_key(|scheduled| (scheduled.due, scheduled.id));
    for one in &mut scheduled {
        one.decision = decisions.get(&one.id).filter(|_| one.state == ScheduledState::Due).cloned();
    }
    let ended = state.ended.iter().rev().map(|ended| ended_view(words, ended)).collect();
    Some(GovernanceView { manager, scheduled, ended, left_out: state.left_out })
}

fn operation_view(
    words: CallWords<'_>,
    state: &GovernanceState,
    id: B256,
    operation: &Operation,
    now: u64,
) -> ScheduledView {
    let opposition = |(brake, opposition): (&Address, &Opposition)| OppositionView {
        brake: words.name(*brake),
        weight: opposition.weight.to_string(),
        needed: opposition.needed.to_string(),
    };
    ScheduledView {
        id,
        nonce: operation.nonce,
        is_proposal: false,
        is_of_proposal: state.is_of_proposal(operation),
        state: state_at(operation.due, now),
        calls: vec![words.call(&operation.call)],
        caller: operation.caller,
        caller_name: words.name(operation.caller),
        due: operation.due,
        expires: operation.expires(),
        opposition: operation.opposition.iter().map(opposition).collect(),
        decision: None,
    }
}

fn proposal_view(words: CallWords<'_>, id: B256, proposal: &Proposal, now: u64) -> Option<ScheduledView> {
    let due = proposal.due?;
    Some(ScheduledView {
        id,
        nonce: 0,
        is_proposal: true,
        is_of_proposal: false,
        state: state_at(due, now),
        calls: proposal.calls.iter().map(|call| words.call(call)).collect(),
        caller: proposal.governor,
        caller_name: words.name(proposal.governor),
        due,
        expires: proposal.expires(),
        opposition: Vec::new(),
        decision: None,
    })
}

fn ended_view(words: CallWords<'_>, ended: &Ended) -> EndedView {
    let (how, brake) = match ended.how {
        End::Executed => ("executed", None),
        End::Cancelled => ("cancelled", None),
        End::Braked(brake) => ("braked", Some(words.name(brake))),
        End::Expired => ("expired", None),
    };
    let calls = ended.calls.iter().map(|call| words.call(call)).collect();
    EndedView { id: ended.id, nonce: ended.nonce, how, brake, calls, at: ended.at }
}

const fn state_at(due: u64, now: u64) -> ScheduledState {
    if due <= now { ScheduledState::Due } else { ScheduledState::Waiting }
}
