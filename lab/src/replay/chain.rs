//! The replay on a chain: the real contracts, a real Uniswap V3 pool and the real keeper, each as it would be elsewhere.
//!
//! The chain's clock jumps with the recording. Before each next block the keeper has the time that it needs: on a real
//! chain that is twelve seconds. It has no rivals, so it pays nothing for its place in a block.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use alloy::{
    primitives::{Address, B256, U256},
    providers::ext::AnvilApi,
    rpc::types::TransactionReceipt,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::quantity::{BasisPoints, decimal_text};
use plimsoll_deploy::{manifest::Manifest, progress::say};
use plimsoll_keeper::amount::readable;
use tokio::time::Instant;

use super::{
    feed::{Answer, Clock, Mood},
    outcome::{Delay, Liquidation, Moment, Outcome},
    params::{DOLLAR, LENT_PERCENT, ReplayParams, SMALLEST_DEBT, UNITS_PER_UNIT, worth},
    prices::{PRICE_DECIMALS, Prices},
};
use plimsoll_testkit::{
    borrowers::Borrowers,
    deployment::Suite,
    keeper::Keeper,
    market_env::MarketEnv,
    scenario::{MarketEvent, MinedBlock, Scenario, market_events},
};

/// The market, its pool and its oracle, as a manifest.
const MANIFEST: &str = include_str!("market.toml");
/// Its name there, and its pool's.
pub const MARKET: &str = "replay";
const FEED: &str = "collateral-usd";
/// A transaction uses no more than Ethereum allows, and the node keeps no more states than anybody asks for.
const NODE: [&str; 3] = ["--enable-tx-gas-limit", "--prune-history", "100"];
const TRANSACTION_GAS: u64 = 1 << 24;
/// Between two lines about how far it has come.
const TOLD_EVERY: Duration = Duration::from_secs(3);
/// What whoever trades in the pool has for gas, in wei: a million ether.
const FOR_GAS: u128 = 10_u128.pow(24);

/// Lets it happen on a node of its own, with a program that is the keeper.
pub async fn play(params: &ReplayParams, prices: &Prices, keeper: Command) -> eyre::Result<Outcome> {
    let suite = empty_market(params, prices).await?;
    play_on(&suite, params, prices, keeper).await
}

/// A node with the market in which nobody is yet.
pub async fn empty_market(params: &ReplayParams, prices: &Prices) -> eyre::Result<Suite> {
    say("starting a node and deploying");
    Box::pin(Suite::start_from(manifest(params, prices.first())?, &NODE)).await
}

/// Lets it happen there.
pub async fn play_on(suite: &Suite, params: &ReplayParams, prices: &Prices, keeper: Command) -> eyre::Result<Outcome> {
    let market_env = MarketEnv::open(suite, MARKET, FEED, pool(params, prices.first())).await?;
    market_env.provider().anvil_set_balance(suite.devnet.deployer(), U256::from(FOR_GAS)).await?;
    let loans = params.loans(prices.first());
    let borrowed: u128 = loans.iter().map(|loan| loan.debt).sum();
    suite.supply(&market_env.market, U256::from(borrowed * LENT_PERCENT / 100)).await?;
    let borrowers = Borrowers::deploy(&suite.devnet, suite.contract("Plimsoll")?, TRANSACTION_GAS).await?;
    borrowers.open(&market_env.market, &loans).await?;

    say(format_args!("{} loans; starting the keeper", loans.len()));
    let mut play = Scenario::start(&market_env, params.gas_price).await?;
    let keeper = Keeper::start(suite, keeper, &keeper_settings(params)).await?;
    keeper.wait_until_ready().await?;
    let mut log = Log::open(params, prices, &play)?;
    let (mut clock, mut mood, mut told) = (Clock::new(), Mood::Quiet, Instant::now());
    let mut last = Answer { second: 0, price: prices.first() };
    while let Some(second) = clock.tick(prices, params.feed, last, mood) {
        let price = prices.at(second);
        let answer = params.feed.answer(last, second, price);
        let block = play.mine(second, price, answer.map(|answer| answer.price)).await?;
        last = answer.unwrap_or(last);
        let moment = log.note(&block, keeper.signer(), price)?;
        mood = if moment.under_water == 0 {
            keeper.wait_for_block(block.at.block).await?;
            Mood::Quiet
        } else if play.wait_for_response(&keeper, &block).await? {
            Mood::Busy
        } else {
            Mood::Stuck
        };
        if told.elapsed() > TOLD_EVERY {
            told = Instant::now();
            tell(&moment, prices);
        }
    }
    let shortfall = market_env.shortfall(&play.borrowers).await?;
    log.close(u128::try_from(shortfall)?)
}

/// How far it has come.
fn tell(moment: &Moment, prices: &Prices) {
    let part = moment.second * 100 / prices.end().max(1);
    let (hours, minutes) = (moment.second / 3_600, moment.second / 60 % 60);
    let price = readable(&decimal_text(U256::from(moment.market_price), PRICE_DECIMALS));
    let (under_water, owed) = (moment.under_water, readable(&(moment.debt / DOLLAR).to_string()));
    say(format_args!("{part} %, hour {hours}:{minutes:02}: {price} USD, {under_water} under water, {owed} USDC owed"));
}

/// What has happened so far.
struct Log<'a> {
    params: &'a ReplayParams,
    /// Accounts as numbers, in the order in which they were drawn.
    numbers: BTreeMap<Address, u64>,
    /// The market, as events say it.
    market: B256,
    /// What the keeper gets its profit in.
    loan_token: Address,
    /// What the feed said last.
    oracle_price: u128,
    /// Bad debt as the market realised it.
    losses: u128,
    outcome: Outcome,
}

impl<'a> Log<'a> {
    fn open(params: &'a ReplayParams, prices: &Prices, play: &Scenario<'_>) -> eyre::Result<Self> {
        let (market, debt) = (&play.market_env.market, u128::try_from(play.initial_loans.debt)?);
        let price = prices.first();
        let moment = Moment {
            second: 0,
            market_price: price,
            oracle_price: price,
            debt,
            under_water: u64::try_from(play.initial_loans.liquidatable.len())?,
        };
        let loans = u64::try_from(play.borrowers.len())?;
        Ok(Self {
            params,
            numbers: play.borrowers.iter().copied().zip(0..).collect(),
            market: market.id().0,
            loan_token: market.loanToken,
            oracle_price: price,
            losses: 0,
            outcome: Outcome { loans, debt, moments: vec![moment], ..Outcome::default() },
        })
    }

    /// Writes down a block.
    fn note(&mut self, block: &MinedBlock, keeper: Address, market_price: u128) -> eyre::Result<Moment> {
        for receipt in &block.receipts {
            if receipt.from == keeper {
                self.note_gas(receipt, market_price)?;
            }
            for event in market_events(receipt, self.market)? {
                self.note_happening(&event, block)?;
            }
        }
        for account in &block.loans.liquidatable {
            let number = self.number(*account)?;
            self.outcome.under_water.insert(number);
        }
        let delays = block.delays().map(|[seconds, blocks]| Delay { seconds, blocks });
        self.outcome.worst_delay = delays.fold(self.outcome.worst_delay, Ord::max);
        let moment = Moment {
            second: block.at.second,
            market_price,
            oracle_price: self.oracle_price,
            debt: u128::try_from(block.loans.debt)?,
            under_water: u64::try_from(block.loans.liquidatable.len())?,
        };
        self.outcome.moments.push(moment);
        Ok(moment)
    }

    /// What a transaction of the keeper's cost it.
    fn note_gas(&mut self, receipt: &TransactionReceipt, market_price: u128) -> eyre::Result<()> {
        let wei = u128::from(receipt.gas_used) * receipt.effective_gas_price;
        // An ether has as many decimals as the collateral.
        self.outcome.gas += worth(wei, self.params.ether(market_price));
        self.outcome.transactions += 1;
        self.outcome.reverted += u64::from(!receipt.status());
        Ok(())
    }

    fn note_happening(&mut self, event: &MarketEvent, block: &MinedBlock) -> eyre::Result<()> {
        match event {
            MarketEvent::PriceUpdate(event) => self.oracle_price = u128::try_from(event.current)?,
            MarketEvent::Liquidation(event) => {
                let seized = u128::try_from(event.seized)?;
                let since = block.liquidatable_before.get(&event.borrower).unwrap_or(&block.at);
                self.outcome.liquidations.push(Liquidation {
                    second: block.at.second,
                    borrower: self.number(event.borrower)?,
                    since: since.second,
                    repaid: u128::try_from(event.repaid)?,
                    seized,
                    worth: worth(seized, self.oracle_price),
                    bad_debt: u128::try_from(event.badDebt)?,
                });
            }
            MarketEvent::Loss(event) => self.losses += u128::try_from(event.loss)?,
            MarketEvent::Profit(event) => {
                let is_loan = event.profitToken == self.loan_token;
                ensure!(is_loan, "a profit came in another token than the loan's: {event:?}");
                self.outcome.profit += u128::try_from(event.profit)?;
            }
            MarketEvent::Harvest(_) => {}
        }
        Ok(())
    }

    fn number(&self, account: Address) -> eyre::Result<u64> {
        self.numbers.get(&account).copied().wrap_err_with(|| format!("{account} never borrowed"))
    }

    /// What it came to.
    fn close(self, shortfall: u128) -> eyre::Result<Outcome> {
        let Self { mut outcome, losses, .. } = self;
        let bad: u128 = outcome.liquidations.iter().map(|liquidation| liquidation.bad_debt).sum();
        ensure!(losses == bad, "liquidations left bad debt of {bad} units, and losses of {losses} were realised");
        outcome.left_under_water = outcome.moments.last().map_or(0, |moment| moment.under_water);
        outcome.shortfall = shortfall;
        Ok(outcome)
    }
}

fn manifest(params: &ReplayParams, price: u128) -> eyre::Result<Manifest> {
    let decimal = |price| decimal_text(U256::from(price), PRICE_DECIMALS);
    let text = MANIFEST
        .replace("$PRICE", &decimal(price))
        // A manifest says how far a price may be off when it is carried out, so that a wrong feed is noticed.
        .replace("$LOW", &decimal(price / 2))
        .replace("$HIGH", &decimal(price * 2))
        .replace("$BORROW_LTV", &BasisPoints(params.borrow_ltv_bps).to_string())
        .replace("$LIQUIDATION_LTV", &BasisPoints(params.liquidation_ltv_bps).to_string())
        .replace("$SMALLEST_DEBT", &(SMALLEST_DEBT / DOLLAR).to_string());
    Ok(Manifest::parse(Path::new("the market to replay in"), text)?)
}

/// What the pool holds of each token, so that sales which lower its price by 2 % bring the depth that is wanted: of the
/// loan token they bring 1 − √0.98 of it.
fn pool(params: &ReplayParams, price: u128) -> [U256; 2] {
    const E18: u128 = 10_u128.pow(18);
    let scale = U256::from(E18);
    let left = (U256::from(98) * scale / U256::from(100) * scale).root(2);
    let loan = U256::from(params.depth) * scale / (scale - left);
    [loan * U256::from(UNITS_PER_UNIT) / U256::from(price), loan]
}

/// What the keeper is told beside where everything is: what a dollar is worth in ether, and that it has no rivals.
fn keeper_settings(params: &ReplayParams) -> String {
    let valuation = match params.ether_price {
        None => format!("feeds = [\"usdc-usd\"]\nover = [\"{FEED}\"]\nmax_age = \"1000 days\""),
        Some(price) => {
            let wei = U256::from(10).pow(U256::from(18 + PRICE_DECIMALS)) / U256::from(price);
            format!("rate = \"{}\"", decimal_text(wei, 18))
        }
    };
    format!("[tokens.USDC]\n{valuation}\n\n[fees]\nprofit_share = \"0%\"\nhighest_price = \"100000 gwei\"\n")
}
