//! The replay on a chain: the real contracts, a real Uniswap V3 pool and the real keeper, each as it would be elsewhere.
//!
//! The chain's clock jumps with the recording. Before each next block the keeper has the time it needs: on a real chain
//! that is twelve seconds. It has no rivals, so it pays nothing for its place in a block.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use alloy::{
    primitives::{Address, U256},
    providers::ext::AnvilApi,
    rpc::types::TransactionReceipt,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{
    ILiquidator::LiquidateWithoutCapital,
    IPlimsoll::{Liquidate, RealiseLoss},
    quantity::{BasisPoints, decimal_text},
};
use plimsoll_deploy::{manifest::Manifest, progress::say};
use plimsoll_keeper::outside::amount::readable;
use tokio::time::Instant;

use super::{
    feed::{Answer, BLOCK_SECS, Clock, Mood},
    outcome::{Delay, Liquidation, Moment, Outcome},
    prices::{PRICE_DECIMALS, Prices},
    setting::{DOLLAR, LENT_PERCENT, SMALLEST_DEBT, Setting, UNITS_PER_UNIT, worth},
};
use crate::{
    crowd::Crowd,
    keeper::Keeper,
    stage::Stage,
    venue::{Block, Next, Venue},
};

/// The market, its pool and its oracle, as a manifest.
const MANIFEST: &str = include_str!("market.toml");
const MARKET: &str = "replay";
const FEED: &str = "collateral-usd";
/// A transaction uses no more than Ethereum allows.
const NODE: [&str; 1] = ["--enable-tx-gas-limit"];
const TRANSACTION_GAS: u64 = 1 << 24;
/// After the end of the recording the keeper has so many blocks to end what it has begun.
const MOST_BLOCKS_BEYOND: u64 = 300;
/// Between two lines about how far it has come.
const TOLD_EVERY: Duration = Duration::from_secs(3);
/// What whoever trades in the pool has for gas, in wei: a million ether.
const FOR_GAS: u128 = 10_u128.pow(24);

/// Lets it happen, with a program that is the keeper.
pub async fn play(setting: &Setting, prices: &Prices, keeper: Command) -> eyre::Result<Outcome> {
    say("starting a node and deploying");
    let stage = Box::pin(Stage::start_from(manifest(setting, prices.first())?, &NODE)).await?;
    let venue = Venue::open(&stage, MARKET, FEED, pool(setting, prices.first())).await?;
    let loans = setting.loans(prices.first());
    say(format_args!("{} loans", loans.len()));
    let borrowed: u128 = loans.iter().map(|loan| loan.debt).sum();
    stage.lend(&venue.market, borrowed * LENT_PERCENT / 100).await?;
    let crowd = Crowd::deploy(&stage.rig, stage.contract("Plimsoll")?, TRANSACTION_GAS).await?;
    crowd.open(&venue.market, &loans).await?;
    let borrowers = venue.borrowers().await?;
    venue.provider().anvil_set_balance(stage.rig.deployer(), U256::from(FOR_GAS)).await?;

    say("starting the keeper");
    let keeper = Keeper::start(&stage, keeper, &keeper_settings(setting)).await?;
    keeper.until_ready().await?;
    let play = Play { setting, prices, venue: &venue, keeper: &keeper, borrowers: &borrowers };
    play.through().await
}

/// What stays the same while it is played.
struct Play<'a> {
    setting: &'a Setting,
    prices: &'a Prices,
    venue: &'a Venue<'a>,
    keeper: &'a Keeper,
    borrowers: &'a [Address],
}

impl Play<'_> {
    async fn through(&self) -> eyre::Result<Outcome> {
        let (venue, prices) = (self.venue, self.prices);
        let [begin, _] = venue.begin(self.setting.gas_price).await?;
        let standing = venue.standing(self.borrowers).await?;
        let debt = u128::try_from(standing.debt)?;
        let mut log = Log {
            play: self,
            numbers: (0..).zip(self.borrowers).map(|(number, account)| (*account, number)).collect(),
            since: BTreeMap::new(),
            losses: 0,
            outcome: Outcome { loans: u64::try_from(self.borrowers.len())?, debt, ..Outcome::default() },
        };
        let mut clock = Clock::new();
        let mut last = Answer { second: 0, price: prices.first() };
        let (mut mood, mut told) = (Mood::Quiet, Instant::now());
        while let Some(second) = clock.tick(prices, self.setting.feed, last, mood) {
            if second > prices.end() + MOST_BLOCKS_BEYOND * BLOCK_SECS {
                break;
            }
            let price = prices.at(second);
            let answer = self.setting.feed.answer(last, second, price);
            let next = Next {
                timestamp: begin + second,
                price,
                answer: answer.map(|answer| answer.price),
                base_fee: self.setting.gas_price,
            };
            let block = venue.mine(&next, self.borrowers).await?;
            last = answer.unwrap_or(last);
            let moment = log.note(&block, second, price, last.price)?;
            let is_busy = self.keeper.until_answered(venue.provider(), block.number).await?;
            mood = match moment.under_water {
                _ if is_busy => Mood::Busy,
                0 => Mood::Quiet,
                _ => Mood::Stuck,
            };
            if told.elapsed() > TOLD_EVERY {
                told = Instant::now();
                self.tell(&moment);
            }
        }
        log.end().await
    }

    fn tell(&self, moment: &Moment) {
        let part = moment.second * 100 / self.prices.end().max(1);
        let (hours, minutes) = (moment.second / 3_600, moment.second / 60 % 60);
        let price = readable(&decimal_text(U256::from(moment.market_price), PRICE_DECIMALS));
        let owed = readable(&(moment.debt / DOLLAR).to_string());
        say(format_args!(
            "{part} %, hour {hours}:{minutes:02}: the price is {price}, {} under water, {owed} USDC owed",
            moment.under_water
        ));
    }
}

/// What has happened so far.
struct Log<'a> {
    play: &'a Play<'a>,
    /// Accounts as numbers, in the order in which they were drawn.
    numbers: BTreeMap<Address, u64>,
    /// Who is under water, since which second and block.
    since: BTreeMap<u64, Since>,
    /// Bad debt as the market realised it.
    losses: u128,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy)]
struct Since {
    second: u64,
    block: u64,
}

impl Log<'_> {
    /// Writes down a block.
    fn note(&mut self, block: &Block, second: u64, market_price: u128, oracle_price: u128) -> eyre::Result<Moment> {
        for receipt in &block.receipts {
            self.note_receipt(receipt, second, market_price, oracle_price)?;
        }
        let mut before = std::mem::take(&mut self.since);
        for account in &block.standing.under_water {
            let number = self.number(*account)?;
            let since = before.remove(&number).unwrap_or(Since { second, block: block.number });
            self.since.insert(number, since);
            self.outcome.under_water.insert(number);
        }
        let over = before.values().chain(self.since.values());
        let delay = |since: &Since| Delay { seconds: second - since.second, blocks: block.number - since.block };
        let worst = over.map(delay).max().unwrap_or_default();
        self.outcome.worst_delay = self.outcome.worst_delay.max(worst);
        let moment = Moment {
            second,
            market_price,
            oracle_price,
            debt: u128::try_from(block.standing.debt)?,
            under_water: u64::try_from(block.standing.under_water.len())?,
        };
        self.outcome.moments.push(moment);
        Ok(moment)
    }

    /// Writes down what a transaction did: liquidations, losses, what they brought the keeper and what they cost it.
    fn note_receipt(
        &mut self,
        receipt: &TransactionReceipt,
        second: u64,
        market_price: u128,
        oracle_price: u128,
    ) -> eyre::Result<()> {
        if self.play.keeper.signers().contains(&receipt.from) {
            let wei = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
            let ether = U256::from(self.play.setting.ether(market_price));
            self.outcome.gas += u128::try_from((wei * ether).div_ceil(U256::from(UNITS_PER_UNIT)))?;
            self.outcome.transactions += 1;
            self.outcome.reverted += u64::from(!receipt.status());
        }
        for log in receipt.logs() {
            match log.topics().first() {
                Some(&Liquidate::SIGNATURE_HASH) => {
                    let event = Liquidate::decode_log(&log.inner)?;
                    let (borrower, seized) = (self.number(event.borrower)?, u128::try_from(event.seized)?);
                    self.outcome.liquidations.push(Liquidation {
                        second,
                        borrower,
                        since: self.since.get(&borrower).map_or(second, |since| since.second),
                        repaid: u128::try_from(event.repaid)?,
                        seized,
                        worth: worth(seized, oracle_price),
                        bad_debt: u128::try_from(event.badDebt)?,
                    });
                }
                Some(&RealiseLoss::SIGNATURE_HASH) => {
                    self.losses += u128::try_from(RealiseLoss::decode_log(&log.inner)?.loss)?;
                }
                Some(&LiquidateWithoutCapital::SIGNATURE_HASH) => {
                    let event = LiquidateWithoutCapital::decode_log(&log.inner)?;
                    let loan = self.play.venue.market.loanToken;
                    ensure!(event.profitToken == loan, "a profit came in another token than the loan's: {event:?}");
                    self.outcome.profit += u128::try_from(event.profit)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn number(&self, account: Address) -> eyre::Result<u64> {
        self.numbers.get(&account).copied().wrap_err_with(|| format!("{account} never borrowed"))
    }

    /// What it came to.
    async fn end(self) -> eyre::Result<Outcome> {
        let mut outcome = self.outcome;
        let bad: u128 = outcome.liquidations.iter().map(|liquidation| liquidation.bad_debt).sum();
        let losses = self.losses;
        ensure!(losses == bad, "liquidations left bad debt of {bad} units, and losses of {losses} were realised");
        outcome.left_under_water = u64::try_from(self.since.len())?;
        outcome.shortfall = u128::try_from(self.play.venue.shortfall(self.play.borrowers).await?)?;
        Ok(outcome)
    }
}

fn manifest(setting: &Setting, price: u128) -> eyre::Result<Manifest> {
    let decimal = |price| decimal_text(U256::from(price), PRICE_DECIMALS);
    let text = MANIFEST
        .replace("$PRICE", &decimal(price))
        // A manifest says how far a price may be off when it is carried out, so that a wrong feed is noticed.
        .replace("$LOW", &decimal(price / 2))
        .replace("$HIGH", &decimal(price * 2))
        .replace("$BORROW_LTV", &BasisPoints(setting.borrow_ltv_bps).to_string())
        .replace("$LIQUIDATION_LTV", &BasisPoints(setting.liquidation_ltv_bps).to_string())
        .replace("$SMALLEST_DEBT", &(SMALLEST_DEBT / DOLLAR).to_string());
    Ok(Manifest::parse(Path::new("the market to replay in"), text)?)
}

/// What the pool holds of each token, so that sales which lower its price by 2 % bring the depth that is wanted: of the
/// loan token they bring 1 − √0.98 of it.
fn pool(setting: &Setting, price: u128) -> [U256; 2] {
    const E18: u128 = 10_u128.pow(18);
    let scale = U256::from(E18);
    let left = (U256::from(98) * scale / U256::from(100) * scale).root(2);
    let loan = U256::from(setting.depth) * scale / (scale - left);
    [loan * U256::from(UNITS_PER_UNIT) / U256::from(price), loan]
}

/// What the keeper is told beside where everything is: what a dollar is worth in ether, and that it has no rivals.
fn keeper_settings(setting: &Setting) -> String {
    let valuation = match setting.ether_price {
        None => format!("feeds = [\"usdc-usd\"]\nover = [\"{FEED}\"]\nmax_age = \"1000 days\""),
        Some(price) => {
            let wei = U256::from(10).pow(U256::from(18 + PRICE_DECIMALS)) / U256::from(price);
            format!("rate = \"{}\"", decimal_text(wei, 18))
        }
    };
    format!("[tokens.USDC]\n{valuation}\n\n[fees]\nprofit_share = \"0%\"\nhighest_price = \"100000 gwei\"\n")
}
