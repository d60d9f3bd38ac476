//! Results of the commands, as text for people and as JSON for programs.

mod powers;

pub use powers::PowerReport;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use alloy::primitives::{Address, B256, Bytes, U256};
use plimsoll_chain::logging::may_colour;
use plimsoll_contracts::{RateCurve, Risk, deployment::Deployment, market::SECONDS_PER_YEAR};
use serde::Serialize;

use crate::{
    create2,
    design::{Creation, Design, Market, Payment, Step, Work},
    inspect::StepStatus,
    manifest::units::{BasisPoints, Epoch, Seconds, decimal_text, time_text},
    plan::{Plan, ether},
    vault_text::vault_text,
    verify::{Code, Finding},
};

/// A yearly rate in 1e18 as a percentage with four decimals.
const YEARLY_DIVISOR: u128 = 1_000_000_000_000;

/// The state of one step, as `plan`, `apply`, `status` and `verify` report it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// Path of the step in the manifest.
    pub name: String,
    /// Description of the step.
    pub what: String,
    /// State of the step.
    pub state: StepState,
    /// Reason for the state, or further information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Present or future address of the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Transaction that another account must send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallReport>,
}

/// A transaction that another account must send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallReport {
    /// Account that may send it.
    pub from: Address,
    /// Recipient of the call.
    pub to: Address,
    /// Calldata.
    pub data: Bytes,
}

/// State of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// The chain matches the manifest.
    Done,
    /// The step will be executed.
    ToDo,
    /// The step can be continued later.
    Waits,
    /// Another account must send a transaction.
    ForOthers,
    /// The chain differs from the manifest, and is left unchanged.
    Differs,
    /// The step cannot be executed.
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

/// A plan.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// Name of the network in the manifest.
    pub network: String,
    /// Chain id.
    pub chain_id: u64,
    /// Account that signs and pays.
    pub deployer: Address,
    /// Owner of the core.
    pub owner: Address,
    /// Whether a chain was inspected.
    #[serde(rename = "looked")]
    pub online: bool,
    /// State of each step.
    pub steps: Vec<StepReport>,
    /// Parameters of contracts that were changed since.
    pub drift: Vec<String>,
    /// Reasons why nothing can be sent.
    pub problems: Vec<String>,
    /// What is allowed, and probably not meant.
    pub warnings: Vec<String>,
    /// Who may call which function of what the `AccessManager` owns, after which delay.
    pub powers: Vec<PowerReport>,
    /// Contracts, grouped by what their addresses depend on besides the code.
    pub addresses: Vec<AddressGroup>,
    /// Cost of the transactions that are left, if a chain was inspected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Pending transaction of an earlier run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<B256>,
}

/// Cost of the transactions that are left.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Number of transactions.
    pub transactions: usize,
    /// Gas of all transactions.
    pub gas: u64,
    /// Highest cost in ether, which `apply` does not exceed.
    pub ether: String,
    /// Whether the node simulated the transactions; otherwise gas is a guess.
    pub measured: bool,
}

/// Contracts whose addresses depend on the same external facts.
#[derive(Debug, Clone, Serialize)]
pub struct AddressGroup {
    /// Facts that the addresses depend on, besides the code.
    pub depends_on: BTreeSet<String>,
    /// Names of the contracts.
    pub contracts: Vec<String>,
}

impl PlanReport {
    /// Reports a plan that was made without a chain.
    #[must_use]
    pub fn offline(design: &Design) -> Self {
        let steps = design.steps.iter().map(|step| step_report(design, step, &StepStatus::ToDo(Vec::new()))).collect();
        Self::with(design, steps)
    }

    /// Reports a plan that was made for a chain.
    #[must_use]
    pub fn online(design: &Design, plan: &Plan) -> Self {
        let steps = plan.steps.iter().map(|(step, status)| step_report(design, step, status)).collect();
        let cost = Cost {
            transactions: plan.transactions,
            gas: plan.gas,
            ether: ether(plan.budget.total()),
            measured: plan.was_rehearsed,
        };
        Self {
            online: true,
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
            online: false,
            steps,
            drift: Vec::new(),
            problems: Vec::new(),
            warnings: design.warnings.clone(),
            powers: powers::powers(design),
            addresses,
            cost: None,
            in_flight: None,
        }
    }

    /// Returns the report as text for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.head();
        self.push_steps(&mut text, |_| true);
        powers::push(&mut text, &self.powers);
        self.push_addresses(&mut text);
        self.push_result(&mut text);
        text
    }

    /// Returns what is not done yet as text for people, for a plan that is about to be executed.
    #[must_use]
    pub fn outstanding(&self) -> String {
        let mut text = self.head();
        let is_open = |line: &StepReport| line.state != StepState::Done;
        let done = self.steps.iter().filter(|line| !is_open(line)).count();
        if done > 0 {
            let _ = writeln!(text, "  {} {done} of {} steps", paint("32", "done      "), self.steps.len());
        }
        self.push_steps(&mut text, is_open);
        self.push_result(&mut text);
        text
    }

    fn head(&self) -> String {
        let Self { network, chain_id, deployer, owner, .. } = self;
        format!("{network} (chain {chain_id})\n  deployer {deployer}\n  owner    {owner}\n\n")
    }

    fn push_steps(&self, text: &mut String, is_shown: impl Fn(&StepReport) -> bool) {
        let steps = || self.steps.iter().filter(|line| is_shown(line));
        let width = steps().map(|line| line.name.len()).max().unwrap_or_default();
        for line in steps() {
            let state = paint(line.state.colour(), &format!("{:10}", line.state.word()));
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "  {state} {:width$}  {}", line.name, line.what);
            if let Some(detail) = &line.detail {
                let _ = writeln!(text, "  {:10} {:width$}  {detail}", "", "");
            }
            if let Some(call) = &line.call {
                let _ = writeln!(text, "  {:10} {:width$}  {} sends {} to {}", "", "", call.from, call.data, call.to);
            }
        }
    }

    fn push_addresses(&self, text: &mut String) {
        let _ = writeln!(text, "\nAddresses are the same on every chain where these are the same:");
        for group in &self.addresses {
            let facts = if group.depends_on.is_empty() {
                "nothing but the code".to_owned()
            } else {
                group.depends_on.iter().cloned().collect::<Vec<_>>().join(", ")
            };
            let _ = writeln!(text, "  {}\n      {facts}", group.contracts.join(", "));
        }
    }

    fn push_result(&self, text: &mut String) {
        if !self.online {
            let _ = writeln!(text, "\nPlanned without looking at a chain.");
        }
        if let Some(transaction) = self.in_flight {
            let _ = writeln!(text, "\nA transaction of an earlier run is pending: {transaction}");
        }
        push_list(text, "This is allowed, and probably not meant:", &self.warnings);
        push_list(text, "This was changed since it was deployed, and is left unchanged:", &self.drift);
        push_list(text, "Nothing can be sent:", &self.problems);
        match self.cost.as_ref().filter(|_| self.problems.is_empty()) {
            Some(cost) if cost.transactions == 0 && self.in_flight.is_none() => {
                let _ = writeln!(text, "\nNothing to do for the deployer.");
            }
            Some(cost) => {
                let how =
                    if cost.measured { "simulated by the node" } else { "a guess, because the node cannot simulate" };
                let count = cost.transactions;
                let _ =
                    writeln!(text, "\n{count} transactions, {} gas ({how}), at most {} ether", cost.gas, cost.ether);
            }
            None => {}
        }
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

fn step_report(design: &Design, step: &Step, status: &StepStatus) -> StepReport {
    let (what, address) = describe(design, &step.work);
    let (state, detail, call) = match status {
        StepStatus::Done => (StepState::Done, None, None),
        StepStatus::Paid(sent) => (StepState::Done, Some(format!("paid by {}", sent.transaction)), None),
        StepStatus::ToDo(_) => (StepState::ToDo, None, None),
        StepStatus::ForOthers { who, call } => {
            let call = CallReport { from: *who, to: call.to, data: call.input.clone() };
            (StepState::ForOthers, Some(format!("only {} may do this", design.address_text(*who))), Some(call))
        }
        StepStatus::Waiting { until } => {
            (StepState::Waits, Some(format!("announced; apply again from {} on", time_text(*until))), None)
        }
        StepStatus::Differs { found, wanted } => (
            StepState::Differs,
            Some(format!("the chain has {found}, the manifest {wanted}: it is left unchanged")),
            None,
        ),
        StepStatus::Refused(reason) => (StepState::Refused, Some(reason.clone()), None),
    };
    StepReport { name: step.name.clone(), what, state, detail, address, call }
}

/// Describes a step in people's units: token amounts with their symbols, percentages, and names besides addresses.
fn describe(design: &Design, work: &Work) -> (String, Option<Address>) {
    match work {
        Work::Factory => (format!("the deterministic deployer at {}", create2::FACTORY), Some(create2::FACTORY)),
        Work::Create(creation @ Creation { contract, address, .. }) => {
            let text = vault_text(design, creation).unwrap_or_else(|| format!("{contract} at {address}"));
            (text, Some(*address))
        }
        Work::CreatePool(pool) => (format!("a Uniswap V3 pool at {}", pool.address), Some(pool.address)),
        Work::StartPool(pool) => (format!("its first price, {}", pool.price), None),
        Work::CreateMarket(market) => (market_text(design, market), None),
        Work::SetFee(_, bps) => (format!("its fee, {} of the interest", BasisPoints(*bps)), None),
        Work::SetFeeRecipient(_, recipient) => {
            (format!("its reserve goes to {}", design.address_text(*recipient)), None)
        }
        Work::SetBackstop(_, backstop) => (format!("it is covered by {}", design.address_text(*backstop)), None),
        Work::FirstDeposit(deposit) => {
            let Payment { token, amount, .. } = deposit.payment;
            (format!("a first deposit of {}, which stays for good", design.amount_text(token, amount)), None)
        }
        Work::Cover(cover) => {
            let limit = design.amount_text(cover.market.params.loanToken, cover.limit);
            (format!("it covers up to {limit}"), None)
        }
        Work::CreateProgramme(programme) => {
            let token = |address: &Address| design.token_text(*address);
            let rewards: Vec<String> = programme.reward_tokens.iter().map(token).collect();
            let (stake, rewards) = (token(&programme.stake_token), rewards.join(", "));
            (format!("stakes {stake}, pays {rewards}; programme {}", programme.id), None)
        }
        Work::Fund(funding) => {
            let amount = design.amount_text(funding.payment.token, funding.payment.amount);
            let starts =
                funding.starts.map_or_else(|| "the next Thursday".to_owned(), |first| Epoch(first).to_string());
            (format!("{amount} over {} weeks from {starts} on, once", funding.epochs), None)
        }
        Work::SetUpManager(setup) => {
            let text =
                format!("{} roles over {} functions; the deployer keeps none", setup.roles.len(), setup.powers.len());
            (text, None)
        }
    }
}

fn market_text(design: &Design, market: &Market) -> String {
    let params = &market.params;
    let tokens =
        format!("lends {} against {}", design.token_text(params.loanToken), design.token_text(params.collateralToken));
    let (Ok(risk), Ok(curve)) = (Risk::from_word(params.risk), RateCurve::from_word(params.curve)) else {
        return format!("{tokens}; market {}", market.id);
    };
    // Rates are stored per second and rounded down, so that 4 % become 3.999… %.
    let yearly = (u128::from(curve.start_rate_per_second()) * u128::from(SECONDS_PER_YEAR)).div_ceil(YEARLY_DIVISOR);
    let decimal = |number: u128, decimals| decimal_text(U256::from(number), decimals);
    let amount = |units: u128| design.amount_text(params.loanToken, U256::from(units));
    let surge = risk.surge_limit().map_or_else(String::new, |limit| {
        let (floor, share) = (amount(risk.surge_floor()), BasisPoints(limit.share_bps));
        format!("surge limit {floor} and {share} of the aged debt over {}, ", Seconds(limit.period_secs.into()))
    });
    format!(
        "{tokens} by {}: LTV {}, liquidation LTV {}, minimum debt {}, {surge}{}% a year at {}, {} times that at 100%, speed {} a \
         year; market {}",
        design.address_text(params.oracle),
        BasisPoints(risk.borrow_ltv_bps()),
        BasisPoints(risk.liquidation_ltv_bps()),
        amount(risk.min_debt()),
        decimal(yearly, 4),
        BasisPoints(curve.target_bps()),
        decimal(curve.steepness().into(), 4),
        decimal(curve.speed_per_year().into(), 4),
        market.id
    )
}

/// Result of `verify` for one contract.
#[derive(Debug, Clone, Serialize)]
pub struct ContractReport {
    /// Name in the manifest.
    pub name: String,
    /// Name in Solidity.
    pub contract: String,
    /// Result of the comparison of its code: `same`, `by address`, `different` or `missing`.
    pub code: &'static str,
    /// Number of parameters that were compared.
    pub parameters: usize,
    /// Parameters that only the address proves.
    pub by_address_only: Vec<String>,
    /// Differences from the manifest, as messages.
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
            by_address_only: finding.unreadable.clone(),
            differences: finding.differences.clone(),
        }
    }
}

/// Result of `verify`.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// Result for each contract.
    pub contracts: Vec<ContractReport>,
    /// Other steps that are not done.
    pub open: Vec<StepReport>,
    /// Existing contracts that are not what the manifest expects.
    pub problems: Vec<String>,
    /// Files that were written, and results of explorers.
    pub published: Vec<String>,
    /// Whether the chain matches the manifest.
    pub good: bool,
}

impl VerifyReport {
    /// Combines results; steps that wait for their notice period count as done.
    #[must_use]
    pub fn new(design: &Design, findings: &[Finding], statuses: &[(Step, StepStatus)], problems: Vec<String>) -> Self {
        let is_open =
            |(step, status): &&(Step, StepStatus)| *status != StepStatus::Done && !matches!(step.work, Work::Create(_));
        let open: Vec<StepReport> =
            statuses.iter().filter(is_open).map(|(step, status)| step_report(design, step, status)).collect();
        // A change that was announced as in the manifest cannot be any further.
        let is_waiting = |line: &StepReport| line.state == StepState::Waits;
        let good = findings.iter().all(Finding::is_good) && open.iter().all(is_waiting) && problems.is_empty();
        Self {
            contracts: findings.iter().map(ContractReport::from).collect(),
            open,
            problems,
            published: Vec::new(),
            good,
        }
    }

    /// Returns the report as text for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let width = self.contracts.iter().map(|line| line.name.len()).max().unwrap_or_default();
        for line in &self.contracts {
            let is_good = matches!(line.code, "same" | "by address") && line.differences.is_empty();
            let colour = if is_good { "32" } else { "31" };
            let code = paint(colour, &format!("code {:10}", line.code));
            let parameters = match line.code {
                "missing" => String::new(),
                _ => format!("{} parameters compared", line.parameters),
            };
            let _ = writeln!(text, "  {code} {:width$}  {:18} {parameters}", line.name, line.contract);
            if !line.by_address_only.is_empty() {
                let _ = writeln!(
                    text,
                    "  {:15} {:width$}  proved by the address alone: {}",
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
        push_list(&mut text, "The chain is not what the manifest expects:", &self.problems);
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

/// Returns a table of all that a record lists.
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
        let _ = writeln!(text, "  pending for {}: {}", pending.step, pending.transaction);
    }
    text
}

/// Colours a text if both streams are terminals, because a report goes to either, and `NO_COLOR` is not set.
fn paint(colour: &str, text: &str) -> String {
    let is_coloured = may_colour(&std::io::stdout()) && may_colour(&std::io::stderr());
    if is_coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}
