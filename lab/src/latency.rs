//! `lab latency`: the time from a new head to the keeper's liquidation in the node's pool, both observed over WebSocket
//! connections of its own.
//!
//! The keeper is a process of its own. The node mines on request, because an Anvil with many accounts needs some time
//! for each block, which is not part of the latency. In each round the price falls just far enough that one more loan
//! is liquidatable.

use std::{fmt, process::Command, time::Duration};

use alloy::{
    primitives::U256,
    providers::{Provider, ext::AnvilApi},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IPlimsoll, MarketParams};
use plimsoll_deploy::toolchain::progress::say;
use serde::Serialize;
use tokio::time;

use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    keeper::Keeper,
    observer::Observer,
};

/// Rounds before the measured ones, in which connections and caches warm up.
const WARM_UP: u64 = 5;
/// Gas limit of a block, which must hold a transaction that opens 2,000 loans.
const BLOCK_GAS_LIMIT: u64 = 2_000_000_000;
/// Arguments for Anvil: room for large transactions, and little state in memory, which makes it fast.
const NODE: [&str; 4] = ["--gas-limit", "2000000000", "--prune-history", "100"];
/// Time between two announcements of the node: it holds one back until the previous one on the same connection is
/// acknowledged, which takes up to 40 ms. The blocks of a real chain are further apart.
const PAUSE: Duration = Duration::from_millis(100);
/// Difference between the prices of two rounds, in millionths of a dollar.
const STEP: u128 = 20_000;
/// Liquidation price of the first round's loan, in millionths of a dollar for an ether.
const FIRST_LIQUIDATION_PRICE: u128 = 1_850_000_000;
/// Debt of loans that are never liquidatable, in millionths of a dollar.
const SAFE_DEBT: u128 = 1_000_000_000;
const LIQUIDATION_LTV_PERCENT: u128 = 86;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// The pool's ether and dollars, in units, at the manifest's price of 2,000 dollars.
const POOL: [u128; 2] = [1_000_000 * ETHER, 2_000_000_000_000_000];

/// The measured figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of positions in the keeper's book.
    pub positions: u64,
    /// Number of measured rounds.
    pub rounds: u64,
    /// Median latency, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the latency, in milliseconds.
    pub p99_ms: f64,
    /// The most blocks between a price change and its liquidation.
    pub blocks_behind_max: u64,
}

/// Runs the measurement. `keeper` is a program that takes the keeper's arguments.
///
/// # Errors
/// When there are too few positions for the rounds, the chain cannot be prepared, or the keeper ends.
pub async fn run(positions: u64, rounds: u64, keeper: Command) -> eyre::Result<Report> {
    let laps = WARM_UP + rounds;
    ensure!(rounds > 0, "there is nothing to measure in 0 rounds");
    ensure!(positions >= laps, "{positions} positions are too few for {rounds} rounds: it takes {laps}");
    say("starting a node and deploying");
    let suite = Suite::start_with(&NODE).await?;
    let params = suite.market("weth-usdc")?;
    suite.supply(&params, U256::from(SAFE_DEBT * 2 * u128::from(positions))).await?;
    let [ether, dollars] = POOL.map(U256::from);
    suite.add_liquidity("weth-usdc", ether, dollars).await?;
    say(format_args!("opening {positions} loans"));
    let borrowers = Borrowers::deploy(&suite.devnet, suite.contract("Plimsoll")?, BLOCK_GAS_LIMIT).await?;
    let loans = (0..positions).map(|number| new_loan(number, laps)).collect::<Vec<_>>();
    borrowers.open(&params, &loans).await?;

    say("starting the keeper");
    let keeper = Keeper::start(&suite, keeper, "").await?;
    keeper.wait_until_ready().await?;
    suite.devnet.provider().anvil_set_auto_mine(false).await?;
    let mut observer = Observer::start(&suite.devnet.node).await?;
    let mut times = Vec::new();
    let mut first_block = None;
    for lap in 0..laps {
        let (block, time) = round(&suite, &keeper, &mut observer, liquidation_price(lap) - STEP / 2).await?;
        first_block.get_or_insert(block);
        if lap >= WARM_UP {
            times.push(time);
        }
    }
    times.sort_unstable();
    let blocks_behind_max = most_behind(&suite, &params, first_block.unwrap_or_default(), laps).await?;
    let rank = |percent: usize| times.get((times.len() * percent / 100).min(times.len() - 1)).copied();
    Ok(Report {
        positions,
        rounds,
        p50_ms: millis(rank(50).wrap_err("nothing was measured")?),
        p99_ms: millis(rank(99).wrap_err("nothing was measured")?),
        blocks_behind_max,
    })
}

/// Lowers the price, waits for the keeper's transaction and mines it. Returns the block of the price and the latency.
async fn round(suite: &Suite, keeper: &Keeper, observer: &mut Observer, price: u128) -> eyre::Result<(u64, Duration)> {
    let provider = suite.devnet.provider();
    // A feed has 8 decimals.
    let price_change = suite.send_price("eth-usd", price * 100).await?;
    time::sleep(PAUSE).await;
    let number = provider.get_block_number().await? + 1;
    provider.evm_mine(None).await?;
    let [seen, pending] = observer.head_and_pending(number, &[price_change]).await?;
    provider.evm_mine(None).await?;
    keeper.wait_for_block(number + 1).await?;
    time::sleep(PAUSE).await;
    Ok((number, pending.saturating_duration_since(seen)))
}

/// Returns the most blocks between a round's price and its liquidation. Fails unless every round has one.
async fn most_behind(suite: &Suite, params: &MarketParams, first_block: u64, laps: u64) -> eyre::Result<u64> {
    let core = suite.contract("Plimsoll")?;
    let filter = Filter::new()
        .address(core)
        .event_signature(IPlimsoll::Liquidate::SIGNATURE_HASH)
        .topic1(params.id().0)
        .from_block(first_block);
    let logs = suite.devnet.provider().get_logs(&filter).await?;
    ensure!(logs.len() == usize::try_from(laps)?, "{} loans were liquidated in {laps} rounds", logs.len());
    let mut most = 0;
    for (lap, log) in (0..).zip(logs) {
        let block = log.block_number.wrap_err("a log of no block")?;
        // A round has two blocks: that of the price and the next one.
        most = most.max(block.saturating_sub(first_block + 2 * lap));
    }
    Ok(most)
}

/// Returns the loan with a number: the first ones become liquidatable in the rounds, the others never.
fn new_loan(number: u64, laps: u64) -> NewLoan {
    let debt = if number < laps { liquidation_price(number) * LIQUIDATION_LTV_PERCENT / 100 } else { SAFE_DEBT };
    NewLoan { collateral: ETHER, debt }
}

/// Returns the price below which a round's loan is liquidatable, in millionths of a dollar.
fn liquidation_price(lap: u64) -> u128 {
    FIRST_LIQUIDATION_PRICE - STEP * u128::from(lap)
}

/// Returns milliseconds, rounded to a hundredth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "positions            {:>8}", self.positions)?;
        writeln!(f, "rounds               {:>8}", self.rounds)?;
        writeln!(f, "median               {:>8.2} ms", self.p50_ms)?;
        writeln!(f, "99 of 100 within     {:>8.2} ms", self.p99_ms)?;
        write!(f, "blocks behind        {:>8}", self.blocks_behind_max)
    }
}
