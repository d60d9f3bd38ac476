//! The day itself: a price, a block, and more blocks until the keeper has nothing left to do; then the next price.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::TransactionReceipt,
};
use plimsoll_contracts::quantity::decimal_text;
use plimsoll_deploy::progress::say;
use plimsoll_keeper::amount::readable;
use tokio::time::{self, Instant};

use super::draw::PRICE_BEFORE;
use plimsoll_testkit::{
    keeper::Keeper,
    scenario::{BLOCK_SECS, MinedBlock, Scenario},
};

const DAY_SECS: u64 = 86_400;
/// After so many blocks, which half an hour has room for, whoever is still under water is left to the next price.
const MOST_BLOCKS: u64 = 100;

/// How things stood at one time of the day.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// Seconds since the day began.
    pub(super) second: u64,
    /// The last block of this price.
    pub(super) block: u64,
    /// In dollars of 8 decimals.
    pub(super) price: u128,
    /// What everybody owes, in units of the loan token.
    pub(super) debt: U256,
}

/// A day that was played.
#[derive(Debug)]
pub(super) struct Day {
    /// In which market.
    pub(super) market: B256,
    /// How it began.
    pub(super) morning: Moment,
    /// How it went on.
    pub(super) moments: Vec<Moment>,
    /// How many owed something.
    pub(super) loans: u64,
    /// What collateral was worth from a block on, as oracles say it.
    pub(super) prices: BTreeMap<u64, U256>,
    /// Of everything that was sent, in its order.
    pub(super) receipts: Vec<TransactionReceipt>,
    /// Who was under water at any time.
    pub(super) ever_under_water: BTreeSet<Address>,
    /// How many still were in the end.
    pub(super) left_under_water: u64,
    /// The most blocks that anybody was.
    pub(super) most_blocks_behind: u64,
}

impl Day {
    /// Plays it with these prices, in dollars of 8 decimals.
    pub(super) async fn play(
        play: Scenario<'_>,
        keeper: &Keeper,
        prices: &[u128],
        pace: Duration,
    ) -> eyre::Result<Self> {
        let opening = &play.initial_loans;
        let morning = Moment { second: 0, block: play.first_block, price: PRICE_BEFORE, debt: opening.debt };
        let day = Self {
            market: play.market_env.market.id().0,
            loans: u64::try_from(play.borrowers.len())?,
            prices: BTreeMap::from([(morning.block, opening.price)]),
            morning,
            moments: Vec::new(),
            receipts: Vec::new(),
            ever_under_water: BTreeSet::new(),
            left_under_water: 0,
            most_blocks_behind: 0,
        };
        say(format_args!("{} loans owe {}; the day begins", day.loans, dollars(opening.debt)));
        let mut player = Player { play, keeper, second: 0, day };
        let steps = u64::try_from(prices.len())?;
        for (step, price) in (1..).zip(prices) {
            let next = Instant::now() + pace;
            player.fall_to(DAY_SECS * step / steps, *price).await?;
            time::sleep_until(next).await;
        }
        // What was sent last is mined.
        player.mine(player.second + BLOCK_SECS, *prices.last().unwrap_or(&PRICE_BEFORE), None).await?;
        Ok(player.day)
    }
}

struct Player<'a> {
    play: Scenario<'a>,
    keeper: &'a Keeper,
    /// Of the newest block.
    second: u64,
    day: Day,
}

impl Player<'_> {
    /// The feed has a new price; the keeper has what blocks it takes to answer.
    async fn fall_to(&mut self, second: u64, price: u128) -> eyre::Result<()> {
        let first = self.mine(second, price, Some(price)).await?;
        let (under_water, begun) = (first.loans.liquidatable.len(), first.at.block);
        let mut last = first;
        while !last.loans.liquidatable.is_empty() && last.at.block - begun < MOST_BLOCKS {
            self.play.wait_for_response(self.keeper, &last).await?;
            last = self.mine(self.second + BLOCK_SECS, price, None).await?;
        }
        // Rewards are harvested when nobody is under water: that is mined with the next price.
        self.play.wait_for_response(self.keeper, &last).await?;
        let blocks = match last.at.block - begun {
            1 => "a block".to_owned(),
            many => format!("{many} blocks"),
        };
        let answer = match (under_water, last.loans.liquidatable.len()) {
            (0, _) => String::new(),
            (_, 0) => format!("; {under_water} under water, none {blocks} later"),
            (_, left) => format!("; {under_water} under water, {left} still {blocks} later"),
        };
        let (debt, ether) = (last.loans.debt, readable(&decimal_text(U256::from(price), 8)));
        say(format_args!("{}  an ether is {ether} USD{answer}; {} owed", clock(second), dollars(debt)));
        self.day.moments.push(Moment { second, block: last.at.block, price, debt });
        Ok(())
    }

    /// One block more.
    async fn mine(&mut self, second: u64, price: u128, answer: Option<u128>) -> eyre::Result<MinedBlock> {
        let mut block = self.play.mine(second, price, answer).await?;
        let (day, loans) = (&mut self.day, &block.loans);
        self.second = second;
        day.prices.insert(block.at.block, loans.price);
        day.receipts.append(&mut block.receipts);
        day.ever_under_water.extend(&loans.liquidatable);
        day.left_under_water = u64::try_from(loans.liquidatable.len())?;
        day.most_blocks_behind = block.delays().map(|[_, blocks]| blocks).fold(day.most_blocks_behind, u64::max);
        Ok(block)
    }
}

/// Dollars as people read them.
fn dollars(units: U256) -> String {
    format!("{} USDC", readable(&decimal_text(units, 6)))
}

/// Hours and minutes since the day began.
fn clock(second: u64) -> String {
    let minutes = second / 60;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}
