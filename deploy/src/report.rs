//! What the program says: as tables for people, and the same as JSON for programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::IsTerminal,
};

use alloy::primitives::{Address, B256, Bytes};
use plimsoll_contracts::deployment::Deployment;
use serde::Serialize;

use crate::{
    create2,
    design::{Creation, Design, Step, Work},
    inspect::StepStatus,
    plan::{Plan, ether},
    verify::{Code, Finding},
};

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The step's name in the manifest.
    pub name: String,
    /// What it is.
    pub what: String,
    /// How far it is.
    pub state: StepState,
    /// Why, or what else is to be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Where it is or will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// What somebody else must send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallReport>,
}

/// A transaction for somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallReport {
    /// Who sends it.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// With what.
    pub data: Bytes,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It is as the manifest says.
    Done,
    /// It will be done.
    ToDo,
    /// It can be done later.
    Waits,
    /// Somebody else must do it.
    ForOthers,
    /// The chain has something else, which stays.
    Differs,
    /// It cannot be done.
    Refused,
}

impl StepState {
    const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ToDo => "to do",
            Self::Waits => "waits",
            Self::ForOthers => "for others",
            Self::Differs => "differs",
            Self::Refused => "refused",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Done => "32",
            Self::ToDo => "36",
            Self::Waits | Self::ForOthers => "33",
            Self::Differs | Self::Refused => "31",
        }
    }
}

/// Everything that is planned.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// The manifest's name for the network.
    pub network: String,
    /// The chain.
    pub chain_id: u64,
    /// Who sends.
    pub deployer: Address,
    /// Who owns the core.
    pub owner: Address,
    /// Whether a chain was looked at.
    pub looked: bool,
    /// Each step.
    pub steps: Vec<StepReport>,
    /// Parameters that somebody changed.
    pub drift: Vec<String>,
    /// Why nothing can be sent.
    pub problems: Vec<String>,
    /// Contracts, by what their addresses depend on besides the code.
    pub addresses: Vec<AddressGroup>,
    /// What it costs, where a chain was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// A transaction of an earlier run that is still on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<B256>,
}

/// What is left costs this.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// How many transactions.
    pub transactions: usize,
    /// Gas of all.
    pub gas: u64,
    /// In ether, at most, at the current price of gas.
    pub ether: String,
    /// Whether the node tried it, or gas is a guess.
    pub measured: bool,
}

/// Contracts whose addresses are the same wherever these facts are.
#[derive(Debug, Clone, Serialize)]
pub struct AddressGroup {
    /// What must be the same, besides the code.
    pub depends_on: BTreeSet<String>,
    /// Then these are.
    pub contracts: Vec<String>,
}

impl PlanReport {
    /// A plan made without a chain.
    #[must_use]
    pub fn offline(design: &Design) -> Self {
        let steps = design.steps.iter().map(|step| step_report(step, &StepStatus::ToDo(Vec::new()))).collect();
        Self::with(design, steps)
    }

    /// A plan made over a chain.
    #[must_use]
    pub fn online(design: &Design, plan: &Plan) -> Self {
        let steps = plan.steps.iter().map(|(step, seen)| step_report(step, seen)).collect();
        let cost = Cost {
            transactions: plan.transactions,
            gas: plan.gas,
            ether: ether(plan.cost),
            measured: plan.was_rehearsed,
        };
        Self {
            looked: true,
            drift: plan.drift.clone(),
            problems: plan.problems.clone(),
            cost: Some(cost),
            in_flight: plan.in_flight.as_ref().map(|(_, transaction)| *transaction),
            ..Self::with(design, steps)
        }
    }

    fn with(design: &Design, steps: Vec<StepReport>) -> Self {
        let mut groups: BTreeMap<BTreeSet<String>, Vec<String>> = BTreeMap::new();
        for (name, creation) in design.creations() {
            groups.entry(creation.depends_on.clone()).or_default().push(name.to_owned());
        }
        let addresses =
            groups.into_iter().map(|(depends_on, contracts)| AddressGroup { depends_on, contracts }).collect();
        Self {
            network: design.network.clone(),
            chain_id: design.chain_id,
            deployer: design.deployer,
            owner: design.owner,
            looked: false,
            steps,
            drift: Vec::new(),
            problems: Vec::new(),
            addresses,
            cost: None,
            in_flight: None,
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "{} (chain {})\n  deployer {}\n  owner    {}\n",
            self.network, self.chain_id, self.deployer, self.owner
        );
        let width = self.steps.iter().map(|line| line.name.len()).max().unwrap_or_default();
        for line in &self.steps {
            let state = paint(line.state.colour(), &format!("{:10}", line.state.word()));
            let _ = writeln!(text, "  {state} {:width$}  {}", line.name, line.what);
            if let Some(detail) = &line.detail {
                let _ = writeln!(text, "  {:10} {:width$}  {detail}", "", "");
            }
            if let Some(call) = &line.call {
                let _ = writeln!(text, "  {:10} {:width$}  {} sends {} to {}", "", "", call.from, call.data, call.to);
            }
        }
        let _ = writeln!(text, "\nAddresses are the same on every chain where these are the same:");
        for group in &self.addresses {
            let facts = if group.depends_on.is_empty() {
                "nothing but the code".to_owned()
            } else {
                group.depends_on.iter().cloned().collect::<Vec<_>>().join(", ")
            };
            let _ = writeln!(text, "  {}\n      {facts}", group.contracts.join(", "));
        }
        if !self.looked {
            let _ = writeln!(text, "\nPlanned without looking at a chain.");
        }
        if let Some(transaction) = self.in_flight {
            let _ = writeln!(text, "\nA transaction of an earlier run is on its way: {transaction}");
        }
        if let Some(cost) = self.cost.as_ref().filter(|_| self.problems.is_empty()) {
            let how = if cost.measured { "as the node tried it" } else { "a guess, since the node cannot try it" };
            let count = cost.transactions;
            let _ = writeln!(text, "\n{count} transactions, {} gas ({how}), at most {} ether", cost.gas, cost.ether);
        }
        push_list(&mut text, "Somebody changed this since it was deployed; it stays as it is:", &self.drift);
        push_list(&mut text, "Nothing can be sent:", &self.problems);
        text
    }
}

fn push_list(text: &mut String, title: &str, items: &[String]) {
    if !items.is_empty() {
        let _ = writeln!(text, "\n{}", paint("31", title));
        for item in items {
            let _ = writeln!(text, "  - {item}");
        }
    }
}

fn step_report(step: &Step, seen: &StepStatus) -> StepReport {
    let (what, address) = what(&step.work);
    let (state, detail, call) = match seen {
        StepStatus::Done => (StepState::Done, None, None),
        StepStatus::Paid(sent) => (StepState::Done, Some(format!("paid by {}", sent.transaction)), None),
        StepStatus::ToDo(_) => (StepState::ToDo, None, None),
        StepStatus::ForOthers { who, call } => {
            let call = CallReport { from: *who, to: call.to, data: call.input.clone() };
            (StepState::ForOthers, Some(format!("only {who} may do this")), Some(call))
        }
        StepStatus::Waiting { until } => {
            (StepState::Waits, Some(format!("announced; apply again from {until} (unix time) on")), None)
        }
        StepStatus::Differs { found, wanted } => {
            (StepState::Differs, Some(format!("the chain has {found}, the manifest {wanted}: it stays as it is")), None)
        }
        StepStatus::Refused(reason) => (StepState::Refused, Some(reason.clone()), None),
    };
    StepReport { name: step.name.clone(), what, state, detail, address, call }
}

fn what(work: &Work) -> (String, Option<Address>) {
    match work {
        Work::Factory => (format!("the deterministic deployer at {}", create2::FACTORY), Some(create2::FACTORY)),
        Work::Create(Creation { contract, address, .. }) => (format!("{contract} at {address}"), Some(*address)),
        Work::CreatePool(pool) => (format!("a Uniswap V3 pool at {}", pool.address), Some(pool.address)),
        Work::StartPool(pool) => (format!("its first price, {} (sqrt, 2^96)", pool.sqrt_price_x96), None),
        Work::CreateMarket(market) => (format!("market {}", market.id), None),
        Work::SetFee(_, bps) => (format!("its fee, {bps} basis points"), None),
        Work::SetFeeRecipient(_, recipient) => (format!("its reserve goes to {recipient}"), None),
        Work::SetBackstop(_, backstop) => (format!("it is covered by {backstop}"), None),
        Work::Cover(cover) => (format!("it covers up to {} units", cover.limit), None),
        Work::CreateProgramme(programme) => (format!("staking programme {}", programme.id), None),
        Work::Fund(funding) => {
            (format!("{} units of {} over {} weeks, once", funding.amount, funding.token, funding.epochs), None)
        }
    }
}

/// What `verify` found about one contract.
#[derive(Debug, Clone, Serialize)]
pub struct ContractReport {
    /// Its name in the manifest.
    pub name: String,
    /// Its name in Solidity.
    pub contract: String,
    /// How its code compares.
    pub code: &'static str,
    /// How many parameters it told, as the manifest says.
    pub parameters: usize,
    /// Parameters for which only its address vouches.
    pub by_address_only: Vec<String>,
    /// What is otherwise.
    pub differences: Vec<String>,
}

impl From<&Finding> for ContractReport {
    fn from(finding: &Finding) -> Self {
        Self {
            name: finding.name.clone(),
            contract: finding.contract.clone(),
            code: match finding.code {
                Code::Missing => "missing",
                Code::Same => "same",
                Code::ByAddress => "by address",
                Code::Different => "different",
            },
            parameters: finding.parameters,
            by_address_only: finding.untold.clone(),
            differences: finding.differences.clone(),
        }
    }
}

/// What `verify` found.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// Each contract.
    pub contracts: Vec<ContractReport>,
    /// Each other step that is not done.
    pub open: Vec<StepReport>,
    /// What on the chain is not what the manifest takes it for.
    pub problems: Vec<String>,
    /// Where compiler inputs were written, and how explorers took them.
    pub published: Vec<String>,
    /// Whether all is as the manifest says.
    pub good: bool,
}

impl VerifyReport {
    /// Puts together what was found.
    #[must_use]
    pub fn new(findings: &[Finding], seen: &[(Step, StepStatus)], problems: Vec<String>) -> Self {
        let is_open =
            |(step, seen): &&(Step, StepStatus)| *seen != StepStatus::Done && !matches!(step.work, Work::Create(_));
        let open: Vec<StepReport> = seen.iter().filter(is_open).map(|(step, seen)| step_report(step, seen)).collect();
        // What was announced as the manifest says cannot be further than that.
        let is_as_far_as_can_be = |line: &StepReport| line.state == StepState::Waits;
        let good = findings.iter().all(Finding::is_good) && open.iter().all(is_as_far_as_can_be) && problems.is_empty();
        Self {
            contracts: findings.iter().map(ContractReport::from).collect(),
            open,
            problems,
            published: Vec::new(),
            good,
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let width = self.contracts.iter().map(|line| line.name.len()).max().unwrap_or_default();
        for line in &self.contracts {
            let is_good = matches!(line.code, "same" | "by address") && line.differences.is_empty();
            let colour = if is_good { "32" } else { "31" };
            let code = paint(colour, &format!("code {:10}", line.code));
            let told = format!("{} parameters as in the manifest", line.parameters);
            let _ = writeln!(text, "  {code} {:width$}  {:18} {told}", line.name, line.contract);
            if !line.by_address_only.is_empty() {
                let _ = writeln!(
                    text,
                    "  {:15} {:width$}  vouched for by the address alone: {}",
                    "",
                    "",
                    line.by_address_only.join(", ")
                );
            }
            for difference in &line.differences {
                let _ = writeln!(text, "  {:15} {:width$}  {}", "", "", paint("31", difference));
            }
        }
        for line in &self.open {
            let _ = writeln!(
                text,
                "  {} {}: {} {}",
                paint(line.state.colour(), line.state.word()),
                line.name,
                line.what,
                line.detail.as_deref().unwrap_or_default()
            );
        }
        push_list(&mut text, "The chain is not what the manifest takes it for:", &self.problems);
        for published in &self.published {
            let _ = writeln!(text, "  {published}");
        }
        let verdict = if self.good {
            paint("32", "All is as the manifest says.")
        } else {
            paint("31", "The chain is not as the manifest says.")
        };
        let _ = writeln!(text, "\n{verdict}");
        text
    }
}

/// A table of what stands on a chain.
#[must_use]
pub fn deployment_text(record: &Deployment) -> String {
    let mut text = format!("{} (chain {})\n", record.network, record.chain_id);
    let mut rows: Vec<(String, String)> = Vec::new();
    rows.extend(record.tokens.iter().map(|(name, token)| (format!("tokens.{name}"), token.address.to_string())));
    rows.extend(record.feeds.iter().map(|(name, address)| (format!("feeds.{name}"), address.to_string())));
    rows.extend(record.contracts.iter().map(|(name, contract)| (name.clone(), contract.address.to_string())));
    rows.extend(record.pools.iter().map(|(name, pool)| (format!("pools.{name}"), pool.address.to_string())));
    rows.extend(record.markets.iter().map(|(name, market)| (format!("markets.{name}"), market.id.to_string())));
    rows.extend(record.programmes.iter().map(|(name, pool)| (format!("rewards.{name}"), pool.id.to_string())));
    rows.extend(record.fundings.iter().map(|(id, sent)| (format!("funding {id}"), sent.transaction.to_string())));
    rows.sort();
    rows.dedup();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:width$}  {value}");
    }
    if let Some(pending) = &record.in_flight {
        let _ = writeln!(text, "  on its way for {}: {}", pending.step, pending.transaction);
    }
    text
}

/// Colours a text where a person looks at it: reports go to either stream, so both must be a terminal.
fn paint(colour: &str, text: &str) -> String {
    let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_seen = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    if is_seen && !wants_none { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}
