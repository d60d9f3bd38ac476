//! Borrowers with orders at the guard: a third of all. Each has a twin with the same loan and without an order, and what
//! orders saved is what the twins and their lenders lost more on the same day.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, I256, U256},
    sol_types::SolEvent,
};
use plimsoll_contracts::IGuard::{self, ExecuteOrder};
use plimsoll_keeper::amount::{Amount, Balance};
use plimsoll_testkit::market_env::MarketEnv;
use serde::Serialize;

use super::{day::Day, report::ChainEvents};
use crate::replay::{guard::Terms, orders};

/// Of this many borrowers, one has an order and the next one is its twin.
const GROUP: u64 = 3;
const GUARDED: u64 = 1;
const TWIN: u64 = 2;
/// LTVs of the demo's market, and the fee of its pool.
const BORROW_LTV_BPS: u16 = 8_000;
const LIQUIDATION_LTV_BPS: u16 = 8_600;
const SWAP_FEE_PPM: u32 = 3_000;

/// The borrowers with orders and their twins.
#[derive(Debug)]
pub(super) struct Twins {
    guarded: BTreeSet<Address>,
    twins: BTreeSet<Address>,
    /// Address of the guard.
    guard: Address,
}

/// What orders at the guard saved. Amounts are exact.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardFigures {
    /// Number of borrowers with an order. As many have the same loans and no order.
    pub guarded: u64,
    /// Number of executed orders.
    pub executions: u64,
    /// Debt that they repaid.
    pub repaid: Amount,
    /// Number of borrowers with an order that were liquidated nevertheless.
    pub liquidated: u64,
    /// Number of their twins that were liquidated.
    pub twins_liquidated: u64,
    /// Loss of borrowers with an order: the value of the collateral that executions sold and liquidations seized, less the
    /// debt that was repaid or written off for it.
    pub loss: Amount,
    /// Debt of theirs that was written off, which lenders lose.
    pub bad_debt: Amount,
    /// Loss of their twins. A twin whose debt exceeds its collateral loses nothing more: that is bad debt.
    pub twins_loss: Amount,
    /// Debt of their twins that was written off.
    pub twins_bad_debt: Amount,
    /// What the twins and their lenders lost more.
    pub saved: Balance,
}

/// Returns whether the loan with a number is equal to the one before, which has an order.
pub(super) const fn is_twin(number: u64) -> bool {
    number % GROUP == TWIN
}

impl Twins {
    /// Places an order for a third of the borrowers, each of whom is followed by its twin.
    pub(super) async fn guard(market_env: &MarketEnv<'_>, borrowers: &[Address]) -> eyre::Result<Self> {
        let one_of = |place| {
            let numbered = (0..).zip(borrowers).filter(move |(number, _)| number % GROUP == place);
            numbered.map(|(_, account)| *account)
        };
        // The last borrower may have no twin.
        let pairs: Vec<_> = one_of(GUARDED).zip(one_of(TWIN)).collect();
        let (guarded, twins): (Vec<_>, _) = pairs.into_iter().unzip();
        orders::place(market_env, &guarded, &Terms::recommended(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, SWAP_FEE_PPM))
            .await?;
        Ok(Self { guarded: guarded.into_iter().collect(), twins, guard: market_env.suite.contract("Guard")? })
    }
}

impl GuardFigures {
    pub(super) fn of(twins: &Twins, day: &Day, events: &ChainEvents) -> eyre::Result<Self> {
        let mut losses = BTreeMap::<Address, U256>::new();
        let mut written_off = BTreeMap::<Address, U256>::new();
        for (block, event) in &events.liquidations {
            let lost = day.worth(event.seized, *block).saturating_sub(event.repaid + event.badDebt);
            *losses.entry(event.borrower).or_default() += lost;
            *written_off.entry(event.borrower).or_default() += event.badDebt;
        }
        let (mut executions, mut repaid) = (0, U256::ZERO);
        for receipt in &day.receipts {
            let block = receipt.block_number.unwrap_or_default();
            for log in receipt.logs().iter().filter(|log| log.address() == twins.guard) {
                let Ok(event) = ExecuteOrder::decode_log(&log.inner) else { continue };
                let IGuard::Execution { own, ownReward, payment, sold, .. } = event.execution;
                executions += 1;
                repaid += own + payment;
                let lost = (day.worth(sold, block) + ownReward).saturating_sub(payment);
                *losses.entry(event.account).or_default() += lost;
            }
        }
        let sum = |amounts: &BTreeMap<Address, U256>, group: &BTreeSet<Address>| -> U256 {
            amounts.iter().filter(|(account, _)| group.contains(*account)).map(|(_, amount)| *amount).sum()
        };
        let liquidated =
            |group: &BTreeSet<Address>| u64::try_from(written_off.keys().filter(|one| group.contains(*one)).count());
        let [loss, twins_loss] = [&twins.guarded, &twins.twins].map(|group| sum(&losses, group));
        let [bad_debt, twins_bad_debt] = [&twins.guarded, &twins.twins].map(|group| sum(&written_off, group));
        let saved = I256::try_from(twins_loss + twins_bad_debt)? - I256::try_from(loss + bad_debt)?;
        let amount = events.dollars(loss);
        Ok(Self {
            guarded: u64::try_from(twins.guarded.len())?,
            executions,
            repaid: events.dollars(repaid),
            liquidated: liquidated(&twins.guarded)?,
            twins_liquidated: liquidated(&twins.twins)?,
            saved: Balance { units: saved, decimals: amount.decimals, token: amount.token.clone() },
            loss: amount,
            bad_debt: events.dollars(bad_debt),
            twins_loss: events.dollars(twins_loss),
            twins_bad_debt: events.dollars(twins_bad_debt),
        })
    }
}
