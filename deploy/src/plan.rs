//! What is left to do on a chain, what stands in its way, and what it costs. Nothing is changed to find out.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::deployment::Deployment;

use crate::{
    compile::Artifacts,
    connection::Chain,
    design::{Creation, Design, Step, Work},
    fees::{Fees, with_margin},
    inspect::{Action, StepStatus, inspect_reserving},
    manifest::units::decimal_text,
    preflight,
    rehearsal::{self, Rehearsal},
    verify,
};

const ETHER_DECIMALS: u8 = 18;

/// What a deployment is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What shall be.
    pub design: &'a Design,
    /// The code.
    pub artifacts: &'a Artifacts,
    /// The chain.
    pub chain: &'a Chain,
    /// Whether, on a chain that is not local, a contract may be created beside the one that the record has under its
    /// name.
    pub may_replace: bool,
}

/// Every step as the chain shows it, what is wrong, and what it costs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each step of the design, in order.
    pub steps: Vec<(Step, StepStatus)>,
    /// Parameters of contracts that somebody changed: reported, left as they are.
    pub drift: Vec<String>,
    /// Why nothing may be sent.
    pub problems: Vec<String>,
    /// How many transactions are left.
    pub transactions: usize,
    /// What they use.
    pub gas: u64,
    /// What they cost at most, in wei.
    pub cost: U256,
    /// Whether the node tried it all; else gas is a guess.
    pub was_rehearsed: bool,
    /// A transaction of an earlier run that is still on its way.
    pub in_flight: Option<(String, B256)>,
}

impl Plan {
    /// Looks at a chain without changing anything.
    pub async fn new(inputs: Inputs<'_>, record: &Deployment) -> Result<Self, ChainError> {
        let Inputs { design, artifacts, chain, may_replace } = inputs;
        let mut problems = preflight::problems(chain, design).await?;
        let replaced = replaced(design, record);
        if !may_replace && chain.local().is_none() {
            let refused =
                |told: &String| format!("{told}: say --replace if that is meant, else bring manifest and code back");
            problems.extend(replaced.iter().map(refused));
        }
        let mut steps = Vec::with_capacity(design.steps.len());
        if chain.id() == design.chain_id {
            let mut reserved: BTreeMap<Address, U256> = BTreeMap::new();
            for step in &design.steps {
                let funding = if let Work::Fund(funding) = &step.work { Some(funding) } else { None };
                let already = funding.and_then(|funding| reserved.get(&funding.token)).copied().unwrap_or_default();
                let found = inspect_reserving(chain, design, record, step, already).await?;
                if let (Some(funding), StepStatus::ToDo(_)) = (funding, &found) {
                    *reserved.entry(funding.token).or_default() += funding.amount;
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
        // Things that are not there make everything that needs them fail, too: that is not worth telling.
        let mut rehearsal = Rehearsal::default();
        if problems.is_empty() {
            rehearsal = rehearsal::rehearse(chain, design, artifacts, &actions).await?;
            problems.append(&mut rehearsal.problems);
        }
        let gas: u64 = rehearsal.gas.iter().sum();
        let cost = U256::from(with_margin(gas)) * U256::from(Fees::now(chain).await?.highest_price());
        let in_flight = record.in_flight.as_ref().map(|pending| (pending.step.clone(), pending.transaction));
        if in_flight.is_none() {
            let value: U256 = actions.iter().map(|(_, action)| value_of(action)).sum();
            let balance = chain.balance(design.deployer).await?;
            if balance < cost + value {
                problems.push(format!(
                    "the deployer {} has {} ether, and this costs up to {}: send it the rest",
                    design.deployer,
                    ether(balance),
                    ether(cost + value)
                ));
            }
        }
        let mut drift = verify::drift(chain, design, artifacts).await?;
        drift.extend(replaced);
        let (transactions, was_rehearsed) = (actions.len(), rehearsal.was_tried);
        Ok(Self { drift, problems, transactions, gas, cost, was_rehearsed, in_flight, steps })
    }

    /// Whether the chain is as the manifest says and nothing is left to anybody.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.drift.is_empty()
            && self.problems.is_empty()
            && self.steps.iter().all(|(_, steps)| *steps == StepStatus::Done)
    }
}

/// Contracts that would be created anew because their code or arguments are not what they were.
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

/// Wei as ether.
#[must_use]
pub fn ether(wei: U256) -> String {
    decimal_text(wei, ETHER_DECIMALS)
}
