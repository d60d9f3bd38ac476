//! What Plimsoll does, shown on a node of our own: progress goes to stderr, the report is returned.

use std::fmt;

use alloy::{
    primitives::{Address, U256, utils::format_units},
    providers::ext::AnvilApi,
};
use plimsoll_contracts::{IPlimsoll, market::SECONDS_PER_YEAR};
use plimsoll_deploy::progress::say;
use serde::Serialize;

use crate::{
    market::{LOAN_DECIMALS, LocalMarket},
    rig::{Rig, mined},
};

const LENT_DOLLARS: u64 = 100_000;
const COLLATERAL_ETHER: u64 = 40;
const BORROWED_DOLLARS: u64 = 60_000;

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The contract.
    pub core: Address,
    /// What the lender put in, in units of the loan token.
    pub lent: U256,
    /// What the borrower took, in units of the loan token.
    pub borrowed: U256,
    /// What the borrower owes a year later.
    pub owed_after_a_year: U256,
    /// What the lender owns a year later.
    pub owned_after_a_year: U256,
}

/// Lends, borrows, lets a year pass and looks at the books.
pub async fn run(rig: &Rig) -> eyre::Result<Report> {
    say("deploying a market");
    let market = LocalMarket::deploy(rig).await?;
    say("lending and borrowing");
    market.lend(rig, rig.node.account(1)?, LENT_DOLLARS).await?;
    market.open_loan(rig, rig.node.account(2)?, COLLATERAL_ETHER, BORROWED_DOLLARS).await?;
    let core = IPlimsoll::new(market.core, rig.provider());
    let id = market.params.id().0;
    let before = core.market(id).call().await?;

    say("letting a year pass");
    rig.provider().anvil_increase_time(SECONDS_PER_YEAR).await?;
    mined(core.accrue(market.params.clone()).from(rig.deployer())).await?;
    let after = core.market(id).call().await?;
    Ok(Report {
        core: market.core,
        lent: before.supplyAssets,
        borrowed: before.borrowAssets,
        owed_after_a_year: after.borrowAssets,
        owned_after_a_year: after.supplyAssets,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = |units: U256| format_units(units, LOAN_DECIMALS).map_err(|_| fmt::Error);
        writeln!(f, "core                {}", self.core)?;
        writeln!(f, "lent                {:>16} USD", dollars(self.lent)?)?;
        writeln!(f, "borrowed            {:>16} USD", dollars(self.borrowed)?)?;
        writeln!(f, "owed after a year   {:>16} USD", dollars(self.owed_after_a_year)?)?;
        write!(f, "owned after a year  {:>16} USD", dollars(self.owned_after_a_year)?)
    }
}
