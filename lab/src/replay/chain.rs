//! The replay on a chain: the real contracts, a real Uniswap V3 pool and the real keeper.
//!
//! The chain's time jumps with the recorded prices. Before each block the keeper has the time that it needs; on a real
//! chain that is twelve seconds. It has no rivals, so it pays no priority fee. A part of the borrowers can have orders at
//! the guard, which the same keeper executes.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use alloy::{
    primitives::{Address, B256, U256},
    providers::ext::AnvilApi,
    rpc::types::TransactionReceipt,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{
    IGuard::{self, ExecuteOrder},
    IOrderExecutor::ExecuteWithoutCapital,
    quantity::{BasisPoints, decimal_text},
};
use plimsoll_deploy::{manifest::Manifest, toolchain::progress::say};
use plimsoll_keeper::amount::readable;
use tokio::time::Instant;

use super::{
    feed::{Activity, Answer, Clock},
    guard::{Execution, GuardShare, Terms},
    options::FEE_DECIMALS,
    orders,
    outcome::{Delay, Liquidation, Outcome, Snapshot},
    params::{DOLLAR, LENT_PERCENT, ReplayParams, UNITS_PER_UNIT, worth},
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
/// Name of the market and its pool in the manifest.
pub const MARKET: &str = "replay";
/// Name of the market's feed in the manifest.
const FEED: &str = "collateral-usd";
/// Arguments for Anvil: transactions have Ethereum's gas limit, and few old states are kept in memory.
const NODE: [&str; 3] = ["--enable-tx-gas-limit", "--prune-history", "100"];
/// Decimals of the loan token.
const LOAN_DECIMALS: u8 = 6;
/// Ethereum's gas limit of a transaction.
const TRANSACTION_GAS: u64 = 1 << 24;
/// Time between two progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(3);
/// Balance of the account that trades in the pool, for gas, in wei: a million ether.
const TRADER_BALANCE: u128 = 10_u128.pow(24);

/// Replays prices on a node of its own. `keeper` is a program that takes the keeper's arguments.
///
/// # Errors
/// When the chain cannot be prepared, or the keeper ends.
pub async fn play(params: &ReplayParams, prices: &Prices, keeper: Command) -> eyre::Result<Outcome> {
    let suite = empty_market(params, prices).await?;
    play_on(&suite, None, params, prices, keeper).await
}

/// Replays prices on a node of its own, with orders of a part of the borrowers.
///
/// # Errors
/// As [`play`].
pub async fn play_guarded(
    share: GuardShare,
    params: &ReplayParams,
    prices: &Prices,
    keeper: Command,
) -> eyre::Result<Outcome> {
    let suite = empty_market(params, prices).await?;
    play_on(&suite, Some(share), params, prices, keeper).await
}

/// Starts a node and deploys the market, without suppliers and borrowers.
///
/// # Errors
/// When a transaction of the deployment fails.
pub async fn empty_market(params: &ReplayParams, prices: &Prices) -> eyre::Result<Suite> {
    say("starting a node and deploying");
    let manifest = Box::new(manifest(params, prices.first())?);
    Suite::start_from(&manifest, &NODE).await
}

/// Replays prices in an empty market, with orders of this part of the borrowers.
///
/// # Errors
/// When the market cannot be prepared, or the keeper ends.
pub async fn play_on(
    suite: &Suite,
    share: Option<GuardShare>,
    params: &ReplayParams,
    prices: &Prices,
    keeper: Command,
) -> eyre::Result<Outcome> {
    let market_env = MarketEnv::open(suite, MARKET, FEED, pool(params, prices.first())).await?;
    market_env.provider().anvil_set_balance(suite.devnet.deployer(), U256::from(TRADER_BALANCE)).await?;
    let loans = params.loans(prices.first());
    let borrowed: u128 = loans.iter().map(|loan| loan.debt).sum();
    suite.supply(&market_env.market, U256::from(borrowed * LENT_PERCENT / 100)).await?;
    let borrowers = Borrowers::deploy(&suite.devnet, suite.contract("Plimsoll")?, TRANSACTION_GAS).await?;
    borrowers.open(&market_env.market, &loans).await?;
    if let Some(share) = share {
        let numbered = (0..).zip(market_env.borrowers().await?);
        let guarded: Vec<_> =
            numbered.filter(|(number, _)| share.has_order(*number)).map(|(_, account)| account).collect();
        let terms = Terms::recommended(params.borrow_ltv_bps, params.liquidation_ltv_bps, params.swap_fee_ppm);
        orders::place(&market_env, &guarded, &terms).await?;
    }

    say(format_args!("{} loans; starting the keeper", loans.len()));
    let mut scenario = Scenario::start(&market_env, params.gas_price).await?;
    let keeper = Keeper::start(suite, keeper, &keeper_settings(params)).await?;
    keeper.wait_until_ready().await?;
    let mut log = EventLog::new(params, prices, &scenario)?;
    let (mut clock, mut activity, mut reported) = (Clock::new(), Activity::Idle, Instant::now());
    let mut last = Answer { second: 0, price: prices.first() };
    while let Some(second) = clock.tick(prices, params.feed, last, activity) {
        let price = prices.at(second);
        let answer = params.feed.answer(last, second, price);
        let block = scenario.mine(second, price, answer.map(|answer| answer.price)).await?;
        last = answer.unwrap_or(last);
        let snapshot = log.add_block(&block, keeper.signers(), price)?;
        let waits = snapshot.liquidatable != 0 || (share.is_some() && has_triggered_orders(&keeper, &block).await?);
        activity = if !waits {
            keeper.wait_for_block(block.at.block).await?;
            Activity::Idle
        } else if scenario.wait_for_response(&keeper, &block).await? {
            Activity::Busy
        } else {
            Activity::Stuck
        };
        if reported.elapsed() > PROGRESS_INTERVAL {
            reported = Instant::now();
            report_progress(&snapshot, prices);
        }
    }
    let shortfall = market_env.shortfall(&scenario.borrowers).await?;
    log.finish(u128::try_from(shortfall)?)
}

/// Returns whether the trigger of an order is met, as the keeper has decided on a block.
async fn has_triggered_orders(keeper: &Keeper, block: &MinedBlock) -> eyre::Result<bool> {
    keeper.wait_for_block(block.at.block).await?;
    Ok(keeper.api("status").await?["orders"]["total"].as_u64() != Some(0))
}

/// Prints a progress message.
fn report_progress(snapshot: &Snapshot, prices: &Prices) {
    let part = snapshot.second * 100 / prices.end().max(1);
    let (hours, minutes) = (snapshot.second / 3_600, snapshot.second / 60 % 60);
    let price = readable(&decimal_text(U256::from(snapshot.market_price), PRICE_DECIMALS));
    let (liquidatable, owed) = (snapshot.liquidatable, readable(&(snapshot.debt / DOLLAR).to_string()));
    say(format_args!(
        "{part} %, hour {hours}:{minutes:02}: {price} USD, {liquidatable} loans liquidatable, {owed} USDC owed"
    ));
}

/// Collects the outcome from the chain's events.
struct EventLog<'a> {
    params: &'a ReplayParams,
    /// Numbers of the accounts, in the order of their loans.
    numbers: BTreeMap<Address, u64>,
    /// Id of the market.
    market: B256,
    /// The token of the keeper's profit.
    loan_token: Address,
    /// The feed's last answer.
    oracle_price: u128,
    /// Bad debt that the market has realised.
    losses: u128,
    outcome: Outcome,
}

impl<'a> EventLog<'a> {
    fn new(params: &'a ReplayParams, prices: &Prices, scenario: &Scenario<'_>) -> eyre::Result<Self> {
        let (market, debt) = (&scenario.market_env.market, u128::try_from(scenario.initial_loans.debt)?);
        let price = prices.first();
        let snapshot = Snapshot {
            second: 0,
            market_price: price,
            oracle_price: price,
            debt,
            liquidatable: u64::try_from(scenario.initial_loans.liquidatable.len())?,
        };
        let loans = u64::try_from(scenario.borrowers.len())?;
        Ok(Self {
            params,
            numbers: scenario.borrowers.iter().copied().zip(0..).collect(),
            market: market.id().0,
            loan_token: market.loanToken,
            oracle_price: price,
            losses: 0,
            outcome: Outcome { loans, debt, snapshots: vec![snapshot], ..Outcome::default() },
        })
    }

    /// Adds a block, and returns the state after it.
    fn add_block(&mut self, block: &MinedBlock, signers: [Address; 2], market_price: u128) -> eyre::Result<Snapshot> {
        for receipt in &block.receipts {
            if signers.contains(&receipt.from) {
                self.add_gas(receipt, market_price)?;
            }
            self.add_executions(receipt)?;
            for event in market_events(receipt, self.market)? {
                self.add_event(&event, block)?;
            }
        }
        for account in &block.loans.liquidatable {
            let number = self.number(*account)?;
            self.outcome.ever_liquidatable.insert(number);
        }
        let delays = block.delays().map(|[seconds, blocks]| Delay { seconds, blocks });
        self.outcome.worst_delay = delays.fold(self.outcome.worst_delay, Ord::max);
        let snapshot = Snapshot {
            second: block.at.second,
            market_price,
            oracle_price: self.oracle_price,
            debt: u128::try_from(block.loans.debt)?,
            liquidatable: u64::try_from(block.loans.liquidatable.len())?,
        };
        self.outcome.snapshots.push(snapshot);
        Ok(snapshot)
    }

    /// Adds the cost of a transaction of the keeper.
    fn add_gas(&mut self, receipt: &TransactionReceipt, market_price: u128) -> eyre::Result<()> {
        let wei = u128::from(receipt.gas_used) * receipt.effective_gas_price;
        // An ether has as many decimals as the collateral.
        self.outcome.gas += worth(wei, self.params.ether(market_price));
        self.outcome.transactions += 1;
        self.outcome.reverted += u64::from(!receipt.status());
        Ok(())
    }

    fn add_event(&mut self, event: &MarketEvent, block: &MinedBlock) -> eyre::Result<()> {
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

    /// Adds the executions of orders in a transaction.
    fn add_executions(&mut self, receipt: &TransactionReceipt) -> eyre::Result<()> {
        for log in receipt.logs() {
            if log.topics().starts_with(&[ExecuteOrder::SIGNATURE_HASH, self.market]) {
                let event = ExecuteOrder::decode_log(&log.inner)?;
                let IGuard::Execution { own, payment, sold, .. } = event.execution;
                self.outcome.executions.push(Execution {
                    borrower: self.number(event.account)?,
                    repaid: u128::try_from(own + payment)?,
                    worth: worth(u128::try_from(sold)?, self.oracle_price),
                });
            } else if log.topics().starts_with(&[ExecuteWithoutCapital::SIGNATURE_HASH, self.market]) {
                self.outcome.profit += u128::try_from(ExecuteWithoutCapital::decode_log(&log.inner)?.profit)?;
            }
        }
        Ok(())
    }

    fn number(&self, account: Address) -> eyre::Result<u64> {
        self.numbers.get(&account).copied().wrap_err_with(|| format!("{account} never borrowed"))
    }

    /// Returns the outcome. Fails when realised losses differ from the liquidations' bad debt.
    fn finish(self, shortfall: u128) -> eyre::Result<Outcome> {
        let Self { mut outcome, losses, .. } = self;
        let bad: u128 = outcome.liquidations.iter().map(|liquidation| liquidation.bad_debt).sum();
        ensure!(losses == bad, "liquidations left bad debt of {bad} units, and losses of {losses} were realised");
        outcome.left_liquidatable = outcome.snapshots.last().map_or(0, |snapshot| snapshot.liquidatable);
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
        .replace("$SWAP_FEE", &format!("{}%", decimal_text(U256::from(params.swap_fee_ppm), FEE_DECIMALS)))
        .replace("$BORROW_LTV", &BasisPoints(params.borrow_ltv_bps).to_string())
        .replace("$LIQUIDATION_LTV", &BasisPoints(params.liquidation_ltv_bps).to_string())
        .replace("$MIN_DEBT", &decimal_text(U256::from(params.min_debt), LOAN_DECIMALS));
    Ok(Manifest::parse(Path::new("the market to replay in"), text)?)
}

/// Returns the pool's amounts of collateral and loan token, for which sales that lower its price by 2 % yield the
/// chosen depth: they yield 1 − √0.98 of its loan token.
fn pool(params: &ReplayParams, price: u128) -> [U256; 2] {
    const E18: u128 = 10_u128.pow(18);
    let scale = U256::from(E18);
    let left = (U256::from(98) * scale / U256::from(100) * scale).root(2);
    let loan = U256::from(params.depth) * scale / (scale - left);
    [loan * U256::from(UNITS_PER_UNIT) / U256::from(price), loan]
}

/// Returns further settings of the keeper: the value of a dollar in ether, bids without a priority fee, and no limit of
/// cost, which at a high gas price would leave room for a few loans in a transaction.
fn keeper_settings(params: &ReplayParams) -> String {
    let valuation = match params.ether_price {
        None => format!("feeds = [\"usdc-usd\"]\nquote_feeds = [\"{FEED}\"]\nmax_age = \"1000 days\""),
        Some(price) => {
            let wei = U256::from(10).pow(U256::from(18 + PRICE_DECIMALS)) / U256::from(price);
            format!("rate = \"{}\"", decimal_text(wei, 18))
        }
    };
    format!(
        "[tokens.USDC]\n{valuation}\n\n[fees]\nbid_share = \"0%\"\nmax_gas_price = \"100000 gwei\"\n\n\
         [safety]\nmax_cost_per_transaction = \"1000\"\nmarket_loss_cap_per_day = \"5000\"\nloss_cap_per_day = \"5000\"\n"
    )
}
