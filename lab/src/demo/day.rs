//! The day: a price update, a block, and further blocks until the keeper has nothing left to do; then the next update.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::TransactionReceipt,
};
use plimsoll_contracts::quantity::decimal_text;
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_keeper::amount::readable;
use plimsoll_testkit::{
    keeper::Keeper,
    scenario::{BLOCK_SECS, MinedBlock, Scenario},
};
use tokio::time::{self, Instant};

use super::sample::PRICE_BEFORE;

const DAY_SECS: u64 = 86_400;
/// The most blocks for each price, which half an hour has room for. Loans that are still liquidatable then are left to
/// the next price.
const MAX_BLOCKS: u64 = 100;

/// The state of the market at a time of the day.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Seconds since the day began.
    pub(super) second: u64,
    /// The last block at this price.
    pub(super) block: u64,
    /// Price of an ether, in dollars of 8 decimals.
    pub(super) price: u128,
    /// Total debt, in units of the loan token.
    pub(super) debt: U256,
}

/// The course of the day.
#[derive(Debug)]
pub(super) struct Day {
    /// Id of the market.
    pub(super) market: B256,
    /// The market before the first price update.
    pub(super) opening: Snapshot,
    /// The market after each price update.
    pub(super) snapshots: Vec<Snapshot>,
    /// Number of loans.
    pub(super) loans: u64,
    /// Liquidation price of the collateral from a block on, as the oracle returns it.
    pub(super) prices: BTreeMap<u64, U256>,
    /// Receipts of all transactions, in order.
    pub(super) receipts: Vec<TransactionReceipt>,
    /// Borrowers that were liquidatable at any time.
    pub(super) ever_liquidatable: BTreeSet<Address>,
    /// Number of loans that are liquidatable at the end.
    pub(super) left_liquidatable: u64,
    /// The most blocks that a loan was liquidatable.
    pub(super) most_blocks_behind: u64,
}

impl Day {
    /// Plays a day with these prices, in dollars of 8 decimals.
    pub(super) async fn play(
        scenario: Scenario<'_>,
        keeper: &Keeper,
        prices: &[u128],
        pace: Duration,
    ) -> eyre::Result<Self> {
        let initial = &scenario.initial_loans;
        let opening = Snapshot { second: 0, block: scenario.first_block, price: PRICE_BEFORE, debt: initial.debt };
        let day = Self {
            market: scenario.market_env.market.id().0,
            loans: u64::try_from(scenario.borrowers.len())?,
            prices: BTreeMap::from([(opening.block, initial.price)]),
            opening,
            snapshots: Vec::new(),
            receipts: Vec::new(),
            ever_liquidatable: BTreeSet::new(),
            left_liquidatable: 0,
            most_blocks_behind: 0,
        };
        say(format_args!("{} loans owe {}; the day begins", day.loans, dollars(initial.debt)));
        let mut run = Run { scenario, keeper, second: 0, day };
        let steps = u64::try_from(prices.len())?;
        for (step, price) in (1..).zip(prices) {
            let next = Instant::now() + pace;
            run.update_price(DAY_SECS * step / steps, *price).await?;
            time::sleep_until(next).await;
        }
        // The keeper's last transactions are mined.
        run.mine(run.second + BLOCK_SECS, *prices.last().unwrap_or(&PRICE_BEFORE), None).await?;
        Ok(run.day)
    }
}

/// A day in progress.
struct Run<'a> {
    scenario: Scenario<'a>,
    keeper: &'a Keeper,
    /// Seconds from the beginning of the day to the newest block.
    second: u64,
    day: Day,
}

impl Run<'_> {
    /// Updates the feed, and mines blocks until no loan is liquidatable and the keeper has nothing more to send.
    async fn update_price(&mut self, second: u64, price: u128) -> eyre::Result<()> {
        let first = self.mine(second, price, Some(price)).await?;
        let (liquidatable, first_block) = (first.loans.liquidatable.len(), first.at.block);
        let mut last = first;
        while !last.loans.liquidatable.is_empty() && last.at.block - first_block < MAX_BLOCKS {
            self.scenario.wait_for_response(self.keeper, &last).await?;
            last = self.mine(self.second + BLOCK_SECS, price, None).await?;
        }
        let blocks = match last.at.block - first_block {
            1 => "a block".to_owned(),
            many => format!("{many} blocks"),
        };
        let response = match (liquidatable, last.loans.liquidatable.len()) {
            (0, _) => String::new(),
            (_, 0) => format!("; {liquidatable} loans liquidatable, none {blocks} later"),
            (_, left) => format!("; {liquidatable} loans liquidatable, {left} still {blocks} later"),
        };
        // Orders are executed and rewards harvested when no loan is liquidatable. Those transactions are mined at this price,
        // too: they would be out of date at the next one.
        while self.scenario.wait_for_response(self.keeper, &last).await? && last.at.block - first_block < MAX_BLOCKS {
            last = self.mine(self.second + BLOCK_SECS, price, None).await?;
        }
        let (debt, ether) = (last.loans.debt, readable(&decimal_text(U256::from(price), 8)));
        say(format_args!("{}  an ether is {ether} USD{response}; {} owed", clock(second), dollars(debt)));
        self.day.snapshots.push(Snapshot { second, block: last.at.block, price, debt });
        Ok(())
    }

    /// Mines a block and records it.
    async fn mine(&mut self, second: u64, price: u128, answer: Option<u128>) -> eyre::Result<MinedBlock> {
        let mut block = self.scenario.mine(second, price, answer).await?;
        let (day, loans) = (&mut self.day, &block.loans);
        self.second = second;
        day.prices.insert(block.at.block, loans.price);
        day.receipts.append(&mut block.receipts);
        day.ever_liquidatable.extend(&loans.liquidatable);
        day.left_liquidatable = u64::try_from(loans.liquidatable.len())?;
        day.most_blocks_behind = block.delays().map(|[_, blocks]| blocks).fold(day.most_blocks_behind, u64::max);
        Ok(block)
    }
}

/// Formats units of the loan token for people.
fn dollars(units: U256) -> String {
    format!("{} USDC", readable(&decimal_text(units, 6)))
}

/// Formats seconds since the day began as hours and minutes.
fn clock(second: u64) -> String {
    let minutes = second / 60;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}
