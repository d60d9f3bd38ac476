//! Plans: the steps that are left on a chain, the problems that prevent them, and their cost. Making one changes nothing.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::deployment::Deployment;

use crate::{
    compile::Artifacts,
    connection::Chain,
    design::{Creation, Design, Step},
    fees::Fees,
    gas::limit_of_simulated,
    inspect::{Action, StepStatus, inspect_reserving},
    manifest::units::decimal_text,
    preflight,
    rehearsal::{self, Rehearsal},
    verify,
};

/// Decimals of ether.
const ETHER_DECIMALS: u8 = 18;

/// Inputs of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Target state.
    pub design: &'a Design,
    /// Compiled contracts.
    pub artifacts: &'a Artifacts,
    /// Chain to deploy on.
    pub chain: &'a Chain,
    /// Whether a contract may be created besides the one that the record has under its name, on a chain that is not local.
    pub may_replace: bool,
}

/// The state of every step, the problems, and the cost.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Steps of the design in order, each with its state on the chain.
    pub steps: Vec<(Step, StepStatus)>,
    /// Parameters of contracts that were changed since; they are left unchanged.
    pub drift: Vec<String>,
    /// Reasons why nothing may be sent.
    pub problems: Vec<String>,
    /// Number of transactions that are left.
    pub transactions: usize,
    /// Gas of these transactions.
    pub gas: u64,
    /// The most that they may cost, which [`crate::apply::Applier::execute`] does not exceed.
    pub budget: Budget,
    /// Whether the node simulated them; otherwise gas is a guess.
    pub was_rehearsed: bool,
    /// Step and hash of an earlier run's pending transaction.
    pub in_flight: Option<(String, B256)>,
}

/// The most that a plan's transactions may cost together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Sum of their gas limits.
    pub gas: u64,
    /// Highest price of a unit of gas, in wei.
    pub price: u128,
    /// Ether that they send along, in wei.
    pub value: U256,
}

impl Budget {
    /// Returns the cost in wei.
    #[must_use]
    pub fn total(&self) -> U256 {
        U256::from(self.gas).saturating_mul(U256::from(self.price)).saturating_add(self.value)
    }
}

impl Plan {
    /// Inspects a chain. Fails only if a request to the chain fails.
    pub async fn new(inputs: Inputs<'_>, record: &Deployment) -> Result<Self, ChainError> {
        let Inputs { design, artifacts, chain, may_replace } = inputs;
        let mut problems = preflight::problems(chain, design).await?;
        let replaced = replaced(design, record);
        if !may_replace && !chain.is_dev_chain(design.deployer) {
            let refused =
                |told: &String| format!("{told}: pass --replace if that is meant, else bring manifest and code back");
            problems.extend(replaced.iter().map(refused));
        }
        let mut steps = Vec::with_capacity(design.steps.len());
        if chain.id() == design.chain_id {
            let mut reserved: BTreeMap<Address, U256> = BTreeMap::new();
            for step in &design.steps {
                let payment = step.work.payment();
                let already = payment.and_then(|payment| reserved.get(&payment.token)).copied().unwrap_or_default();
                let found = inspect_reserving(chain, design, record, step, already).await?;
                if let (Some(payment), StepStatus::ToDo(_)) = (payment, &found) {
                    let sum = reserved.entry(payment.token).or_default();
                    *sum = sum.saturating_add(payment.amount);
                }
                steps.push((step.clone(), found));
            }
        }
        let mut actions = Vec::new();
        for (step, steps) in &steps {
            match steps {
                StepStatus::ToDo(list) => actions.extend(list.iter().map(|action| (step, action.clone()))),
                StepStatus::Refused(reason) => problems.push(format!("{}: {reason}", step.name)),
                _ => {}
            }
        }
        // What is missing makes all that needs it fail, too, which is not worth reporting.
        let mut rehearsal = Rehearsal::default();
        if problems.is_empty() {
            rehearsal = rehearsal::rehearse(chain, design, artifacts, &actions).await?;
            problems.append(&mut rehearsal.problems);
        }
        let gas: u64 = rehearsal.gas.iter().sum();
        let budget = Budget {
            gas: rehearsal.gas.iter().map(|gas| limit_of_simulated(*gas)).sum(),
            price: Fees::suggested(chain).await?.max_price(),
            value: actions.iter().map(|(_, action)| value_of(action)).sum(),
        };
        let in_flight = record.in_flight.as_ref().map(|pending| (pending.step.clone(), pending.transaction));
        if in_flight.is_none() {
            let balance = chain.balance(design.deployer).await?;
            if balance < budget.total() {
                problems.push(format!(
                    "the deployer {} has {} ether, and this costs up to {}: send it the rest",
                    design.deployer,
                    ether(balance),
                    ether(budget.total())
                ));
            }
        }
        let mut drift = verify::drift(chain, design, artifacts).await?;
        drift.extend(replaced);
        let (transactions, was_rehearsed) = (actions.len(), rehearsal.was_simulated);
        Ok(Self { drift, problems, transactions, gas, budget, was_rehearsed, in_flight, steps })
    }

    /// Returns whether the chain matches the manifest completely.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.drift.is_empty()
            && self.problems.is_empty()
            && self.steps.iter().all(|(_, steps)| *steps == StepStatus::Done)
    }
}

/// Returns messages about contracts that would be created again because their code or arguments have changed.
fn replaced(design: &Design, record: &Deployment) -> Vec<String> {
    let told = |(name, creation): (&str, &Creation)| {
        let known = record.address(name).filter(|known| *known != creation.address)?;
        let new = creation.address;
        Some(format!("{name} is at {known}, but its code or arguments changed and make another one at {new}"))
    };
    design.creations().filter_map(told).collect()
}

fn value_of(action: &Action) -> U256 {
    match action {
        Action::Send(call) => call.value,
        Action::SendFactory | Action::PlaceFactory => U256::ZERO,
    }
}

/// Formats an amount in wei as ether.
#[must_use]
pub fn ether(wei: U256) -> String {
    decimal_text(wei, ETHER_DECIMALS)
}
