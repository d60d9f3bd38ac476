//! The day itself: a price, a block, and more blocks until the keeper has nothing left to do; then the next price.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use alloy::{
    primitives::{Address, U256},
    providers::{Provider, ext::AnvilApi},
};
use eyre::ensure;
use plimsoll_contracts::quantity::decimal_text;
use plimsoll_deploy::progress::say;
use plimsoll_keeper::outside::amount::readable;
use serde_json::Value;
use tokio::time::{self, Instant};

use super::{
    draw::PRICE_BEFORE,
    scene::{Scene, Standing, now},
};
use crate::keeper::Keeper;

/// Between blocks that follow one another.
pub(super) const BLOCK_SECS: u64 = 12;
const DAY_SECS: u64 = 86_400;
/// What gas costs, in wei, so that a quiet chain does not make it free.
const BASE_FEE: u128 = 1_000_000_000;
/// After so many blocks, which half an hour has room for, whoever is still under water is left to the next price.
const MOST_BLOCKS: u64 = 100;
/// How long the keeper has to send what it decided on before the next block is mined all the same: much more than it
/// takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at whether it has sent.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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
    /// How it began.
    pub(super) morning: Moment,
    /// How it went on.
    pub(super) moments: Vec<Moment>,
    /// How many owed something.
    pub(super) loans: u64,
    /// What collateral was worth from a block on, as oracles say it.
    pub(super) prices: BTreeMap<u64, U256>,
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
        scene: &Scene<'_>,
        keeper: &Keeper,
        prices: &[u128],
        pace: Duration,
    ) -> eyre::Result<Self> {
        let provider = scene.stage.rig.provider();
        provider.anvil_set_auto_mine(false).await?;
        provider.anvil_set_block_timestamp_interval(BLOCK_SECS).await?;
        // Offers for gas follow the last block.
        provider.anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
        provider.evm_mine(None).await?;
        let (begin, block) = (now(provider).await?, provider.get_block_number().await?);
        let standing = scene.standing().await?;
        let morning = Moment { second: 0, block, price: PRICE_BEFORE, debt: standing.debt };
        let mut player = Player {
            scene,
            keeper,
            since: BTreeMap::new(),
            day: Self {
                morning,
                moments: Vec::new(),
                loans: u64::try_from(scene.borrowers.len())?,
                prices: BTreeMap::from([(block, standing.price)]),
                ever_under_water: BTreeSet::new(),
                left_under_water: 0,
                most_blocks_behind: 0,
            },
        };
        say(format_args!("{} loans owe {}; the day begins", player.day.loans, dollars(standing.debt)));
        let steps = u64::try_from(prices.len())?;
        for (step, price) in (1..).zip(prices) {
            let next = Instant::now() + pace;
            let second = DAY_SECS * step / steps;
            provider.anvil_set_next_block_timestamp(begin + second).await?;
            let standing = player.fall_to(second, *price).await?;
            let block = provider.get_block_number().await?;
            player.day.moments.push(Moment { second, block, price: *price, debt: standing.debt });
            time::sleep_until(next).await;
        }
        player.mine(*prices.last().unwrap_or(&PRICE_BEFORE)).await?;
        player.day.left_under_water = u64::try_from(player.since.len())?;
        Ok(player.day)
    }
}

struct Player<'a> {
    scene: &'a Scene<'a>,
    keeper: &'a Keeper,
    /// Since which block who is under water.
    since: BTreeMap<Address, u64>,
    day: Day,
}

impl Player<'_> {
    /// The feed has a new price; the keeper has what blocks it takes to answer.
    async fn fall_to(&mut self, second: u64, price: u128) -> eyre::Result<Standing> {
        let answered = self.scene.stage.send_feed("eth-usd", price).await?;
        let (first, mut standing) = self.mine(price).await?;
        self.scene.succeeded(answered).await?;
        let under_water = standing.under_water.len();
        let mut last = first;
        while !standing.under_water.is_empty() && last - first < MOST_BLOCKS {
            self.until_answered(last).await?;
            (last, standing) = self.mine(price).await?;
        }
        // Rewards are harvested when nobody is under water: that is mined with the next price.
        self.until_answered(last).await?;
        let blocks = match last - first {
            1 => "a block".to_owned(),
            many => format!("{many} blocks"),
        };
        let answer = match (under_water, standing.under_water.len()) {
            (0, _) => String::new(),
            (_, 0) => format!("; {under_water} under water, none {blocks} later"),
            (_, left) => format!("; {under_water} under water, {left} still {blocks} later"),
        };
        let price = readable(&decimal_text(U256::from(price), 8));
        say(format_args!("{}  an ether is {price} USD{answer}; {} owed", clock(second), dollars(standing.debt)));
        Ok(standing)
    }

    /// One block more. In each of them somebody trades until the pool's price is that of all other exchanges.
    async fn mine(&mut self, price: u128) -> eyre::Result<(u64, Standing)> {
        let scene = self.scene;
        let provider = scene.stage.rig.provider();
        let [ether, dollars_for_it] = scene.worth(price);
        let traded = scene.exchange.send_trade_to(scene.pool, ether, dollars_for_it).await?;
        provider.anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
        provider.evm_mine(None).await?;
        scene.succeeded(traded).await?;
        let block = provider.get_block_number().await?;
        let standing = scene.standing().await?;
        ensure!(!standing.price.is_zero(), "the oracle of the market has no price in block {block}");
        self.day.prices.insert(block, standing.price);
        let before = mem::take(&mut self.since);
        for account in &standing.under_water {
            self.since.insert(*account, before.get(account).copied().unwrap_or(block));
        }
        self.day.ever_under_water.extend(&standing.under_water);
        for since in before.values() {
            self.day.most_blocks_behind = self.day.most_blocks_behind.max(block - since);
        }
        Ok((block, standing))
    }

    /// Waits until the keeper has decided by a block and sent what it decided on.
    async fn until_answered(&self, block: u64) -> eyre::Result<()> {
        self.keeper.until_applied(block).await?;
        let status = self.keeper.api("status").await?;
        let all = |name: &str| status[name].as_array().cloned().unwrap_or_default();
        let harvests = |programme: &Value| {
            let decision = &programme["decision"];
            decision["acts"] == true && decision["block"] == block
        };
        if !all("decisions").iter().any(|count| count["acts"] == true) && !all("programmes").iter().any(harvests) {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.is_sent().await? && Instant::now() < deadline {
            time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Whether anything of the keeper's waits for a block.
    async fn is_sent(&self) -> eyre::Result<bool> {
        let provider = self.scene.stage.rig.provider();
        for signer in self.keeper.signers() {
            let mined = provider.get_transaction_count(signer).await?;
            if provider.get_transaction_count(signer).pending().await? > mined {
                return Ok(true);
            }
        }
        Ok(false)
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
