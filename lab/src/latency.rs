//! `lab latency`: the time from a new head to the keeper's liquidation in the node's pool, both observed over WebSocket
//! connections of its own.
//!
//! The keeper is a process of its own. The node mines on request, because an Anvil with many accounts needs some time
//! for each block, which is not part of the latency. In each round the price falls just far enough that one more loan
//! is liquidatable.
//!
//! An absolute time says little about another machine. So every second round is that of a bare client, which makes one
//! call and sends a signed transaction at the same kind of head, on the same node: the ratio of the two medians is what
//! the keeper adds to the least that any keeper must do.

mod bare;
mod morpho_blue;
mod stages;

use std::{
    collections::BTreeMap,
    fmt,
    process::Command,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{B256, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, bail, ensure};
use plimsoll_contracts::{IPlimsoll, MarketParams};
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_protocols::ProtocolKind;
use serde::Serialize;
use tokio::time;

use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    keeper::{Keeper, KeeperSetup},
    observer::Observer,
    proxy::{Fault, Proxy},
};

pub(crate) use self::morpho_blue::MorphoMarket;
use self::{bare::BareClient, stages::Stages};
use crate::dust;

/// Rounds before the measured ones, in which connections and caches warm up.
const WARM_UP: u64 = 5;
/// Gas limit of a block, which must hold a transaction that opens 2,000 loans.
const BLOCK_GAS_LIMIT: u64 = 2_000_000_000;
/// Arguments for Anvil: room for many transactions in a block, and no states of earlier blocks, each of which would be a
/// copy of all positions.
pub(crate) const NODE: [&str; 3] = ["--gas-limit", "2000000000", "--prune-history"];
/// Time between two progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(15);
/// Time between two announcements of the node: it holds one back until the previous one on the same connection is
/// acknowledged, which takes up to 40 ms. The blocks of a real chain are further apart.
const PAUSE: Duration = Duration::from_millis(100);
/// Base fee of every block, in wei.
const BASE_FEE: u128 = 1_000_000_000;
/// Difference between the prices of two rounds, in millionths of a dollar.
const STEP: u128 = 20_000;
/// Liquidation price of the first round's loan, in millionths of a dollar for an ether.
const FIRST_LIQUIDATION_PRICE: u128 = 1_850_000_000;
/// Debt of loans that are never liquidatable, in millionths of a dollar.
const SAFE_DEBT: u128 = 1_000_000_000;
/// By how much the price is above a loan's liquidation price before it falls at once, in percent: more than a keeper
/// looks ahead.
const FAR_PERCENT: u128 = 7;
const LIQUIDATION_LTV_PERCENT: u128 = 86;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// The pool's ether and dollars, in units, at the manifest's price of 2,000 dollars.
const POOL: [u128; 2] = [1_000_000 * ETHER, 2_000_000_000_000_000];

/// The measured figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of positions in the keeper's book.
    pub positions: u64,
    /// Number of loans in the book besides that are liquidatable and would not pay for their gas.
    pub dust: u64,
    /// Number of measured rounds.
    pub rounds: u64,
    /// Median latency, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the latency, in milliseconds.
    pub p99_ms: f64,
    /// Median of the bare client's latency, in milliseconds.
    pub floor_p50_ms: f64,
    /// Median latency ÷ the bare client's.
    pub ratio: f64,
    /// Mean times of the keeper's own stages in the measured rounds, in milliseconds. Some overlap.
    pub stages_ms: BTreeMap<String, f64>,
    /// How many answers the keeper waits for, one after the other: how often the delay fits the median. Only with a delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trips: Option<u64>,
    /// What remains of the median besides these delays, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beyond_round_trips_ms: Option<f64>,
    /// Positions of another protocol in the same rounds, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// The most blocks between a price change and its liquidation.
    pub blocks_behind_max: u64,
}

/// The latency at positions of another protocol, which the same keeper follows.
#[derive(Debug, Clone, Serialize)]
pub struct Beside {
    /// Name of the protocol.
    pub protocol: String,
    /// Number of its positions.
    pub positions: u64,
    /// Median latency, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the latency, in milliseconds.
    pub p99_ms: f64,
    /// Median latency ÷ that of Plimsoll's.
    pub ratio_to_plimsoll: f64,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Number of positions in the keeper's book.
    pub positions: u64,
    /// Number of measured rounds.
    pub rounds: u64,
    /// Time by which every answer of the node is delayed, for the keeper and for the bare client.
    pub delay: Option<Duration>,
    /// Whether the price falls at once by so much that no keeper can have tried the loan before.
    pub far: bool,
    /// Number of loans besides that are liquidatable in every round, and would not pay for their gas.
    pub dust: u64,
    /// Another protocol at which as many positions are followed and liquidated.
    pub beside: Option<ProtocolKind>,
}

/// Runs the measurement. `keeper` is a program that takes the keeper's arguments.
///
/// # Errors
/// When there are too few positions for the rounds, the chain cannot be prepared, or the keeper ends.
pub async fn run(options: Options, keeper: Command) -> eyre::Result<Report> {
    let Options { positions, rounds, delay, .. } = options;
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
    let mut further = dust::open(&suite, &borrowers, options.dust).await?;
    let morpho = match options.beside {
        None => None,
        Some(ProtocolKind::MorphoBlue) => {
            let lent = U256::from(SAFE_DEBT * 2 * u128::from(positions));
            let morpho = MorphoMarket::open(&suite, &loans, lent, POOL[1] * ETHER / POOL[0]).await?;
            further += morpho.settings();
            Some(morpho)
        }
        Some(other) => bail!("positions of {other} cannot be measured: name morpho-blue"),
    };

    say("starting the keeper");
    let proxy = match delay {
        Some(delay) => {
            let proxy = Proxy::start(suite.devnet.node.address()).await?;
            proxy.inject(Fault::Slow(delay));
            Some(proxy)
        }
        None => None,
    };
    let url = proxy.as_ref().map_or_else(|| suite.devnet.node.ws_url(), Proxy::ws_url);
    // One endpoint for each of the two: to a second one of the same node all would be sent twice.
    let endpoints = vec![format!("url = \"{url}\"")];
    let setup = KeeperSetup { further, endpoints, ..KeeperSetup::live(&suite) };
    let keeper = Keeper::start_with(&suite, keeper, &setup).await?;
    keeper.wait_until_ready().await?;
    let mut bare = BareClient::start(&suite, &url, params.oracle).await?;
    suite.devnet.provider().anvil_set_auto_mine(false).await?;
    let mut observer = Observer::start(&suite.devnet.node).await?;
    // The first price's transaction must be able to pay the base fee.
    next_block(&suite, &keeper).await?;
    let (mut times, mut floor, mut besides) = (Vec::new(), Vec::new(), Vec::new());
    let first_block = suite.devnet.provider().get_block_number().await? + 1;
    let mut before = Stages::default();
    let (start, mut reported) = (Instant::now(), Instant::now());
    for lap in 0..laps {
        if lap > 0 && reported.elapsed() >= PROGRESS_INTERVAL {
            reported = Instant::now();
            let secs = start.elapsed().as_millis() * u128::from(laps - lap) / u128::from(lap) / 1_000;
            say(format_args!("{lap} of {laps} rounds, about {secs} s remain"));
        }
        if lap == WARM_UP {
            before = Stages::read(&keeper).await?;
        }
        let price = liquidation_price(lap) - STEP / 2;
        let mut ours = Vec::new();
        if options.far {
            let above = price + price * FAR_PERCENT / 100;
            ours.push(suite.send_price("eth-usd", above * 100).await?);
            next_block(&suite, &keeper).await?;
        }
        // A feed has 8 decimals.
        let update = || suite.send_price("eth-usd", price * 100);
        let time = round(&suite, &keeper, &mut observer, update(), &mut ours, None).await?;
        let bare_time = round(&suite, &keeper, &mut observer, update(), &mut ours, Some(&mut bare)).await?;
        let beside_time = match &morpho {
            Some(morpho) => {
                let update = morpho.send_price(&suite, price);
                Some(round(&suite, &keeper, &mut observer, update, &mut ours, None).await?)
            }
            None => None,
        };
        if lap >= WARM_UP {
            times.push(time);
            floor.push(bare_time);
            besides.extend(beside_time);
        }
    }
    let stages_ms = Stages::read(&keeper).await?.means_since(&before);
    times.sort_unstable();
    floor.sort_unstable();
    besides.sort_unstable();
    let before_price = u64::from(options.far);
    let blocks = before_price + if morpho.is_some() { 6 } else { 4 };
    let blocks_behind_max = most_behind(&suite, &params, first_block, laps, [blocks, before_price]).await?;
    if let Some(morpho) = &morpho {
        morpho.ensure_liquidated(&suite, laps).await?;
    }
    let rank = |times: &[Duration], percent: usize| {
        times.get((times.len() * percent / 100).min(times.len() - 1)).copied().wrap_err("nothing was measured")
    };
    let (p50, floor_p50) = (rank(&times, 50)?, rank(&floor, 50)?);
    ensure!(
        !p50.is_zero() && !floor_p50.is_zero(),
        "transactions were announced before the heads that they respond to"
    );
    let round_trips = delay.map(|delay| p50.as_nanos() / delay.as_nanos().max(1));
    let round_trips = round_trips.map(|trips| u32::try_from(trips).unwrap_or(u32::MAX));
    let beyond = delay.zip(round_trips).map(|(delay, trips)| p50.saturating_sub(delay * trips));
    let beside = match options.beside {
        Some(protocol) => {
            let median = rank(&besides, 50)?;
            Some(Beside {
                protocol: protocol.to_string(),
                positions,
                p50_ms: millis(median),
                p99_ms: millis(rank(&besides, 99)?),
                ratio_to_plimsoll: ratio(median, p50),
            })
        }
        None => None,
    };
    Ok(Report {
        positions,
        dust: options.dust,
        rounds,
        p50_ms: millis(p50),
        p99_ms: millis(rank(&times, 99)?),
        floor_p50_ms: millis(floor_p50),
        ratio: ratio(p50, floor_p50),
        stages_ms,
        round_trips: round_trips.map(u64::from),
        beyond_round_trips_ms: beyond.map(millis),
        beside,
        blocks_behind_max,
    })
}

/// Sends the price, waits for the transaction of the keeper, or of the bare client if there is one here, and mines it.
/// Returns the latency. `ours` are transactions with prices, which the node announces as well.
async fn round(
    suite: &Suite,
    keeper: &Keeper,
    observer: &mut Observer,
    price: impl Future<Output = eyre::Result<B256>>,
    ours: &mut Vec<B256>,
    bare: Option<&mut BareClient>,
) -> eyre::Result<Duration> {
    let provider = suite.devnet.provider();
    ours.push(price.await?);
    time::sleep(PAUSE).await;
    let number = provider.get_block_number().await? + 1;
    let respond = async {
        match bare {
            Some(bare) => bare.respond(number).await,
            None => Ok(()),
        }
    };
    let observe = async {
        mine(suite).await?;
        observer.head_and_pending(number, ours).await
    };
    let ([seen, pending], ()) = tokio::try_join!(observe, respond)?;
    next_block(suite, keeper).await?;
    Ok(pending.saturating_duration_since(seen))
}

/// Mines a block. The node would lower the base fee of its almost empty blocks until gas cost nothing, and the smallest
/// loan paid.
async fn mine(suite: &Suite) -> eyre::Result<()> {
    let provider = suite.devnet.provider();
    provider.anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
    provider.evm_mine(None).await?;
    Ok(())
}

/// Mines a block and waits until the keeper has applied it.
async fn next_block(suite: &Suite, keeper: &Keeper) -> eyre::Result<()> {
    mine(suite).await?;
    keeper.wait_for_block(suite.devnet.provider().get_block_number().await?).await?;
    time::sleep(PAUSE).await;
    Ok(())
}

/// Returns the most blocks between a round's price and its liquidation. Fails unless every round has one. All
/// rounds of a lap together have so many blocks, and so many of them come before the one with Plimsoll's price.
async fn most_behind(
    suite: &Suite,
    params: &MarketParams,
    first_block: u64,
    laps: u64,
    [blocks, before_price]: [u64; 2],
) -> eyre::Result<u64> {
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
        most = most.max(block.saturating_sub(first_block + blocks * lap + before_price));
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

/// Returns how many times as long the first took, rounded to a hundredth.
fn ratio(time: Duration, other: Duration) -> f64 {
    (time.as_secs_f64() / other.as_secs_f64() * 100.0).round() / 100.0
}

/// Returns milliseconds, rounded to a hundredth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "positions            {:>8}", self.positions)?;
        writeln!(f, "dust                 {:>8}", self.dust)?;
        writeln!(f, "rounds               {:>8}", self.rounds)?;
        writeln!(f, "median               {:>8.2} ms", self.p50_ms)?;
        writeln!(f, "99 of 100 within     {:>8.2} ms", self.p99_ms)?;
        writeln!(f, "bare client's median {:>8.2} ms", self.floor_p50_ms)?;
        writeln!(f, "ratio                {:>8.2}", self.ratio)?;
        for (stage, mean) in &self.stages_ms {
            writeln!(f, "  {stage:<18} {mean:>8.2} ms on average")?;
        }
        if let (Some(trips), Some(beyond)) = (self.round_trips, self.beyond_round_trips_ms) {
            writeln!(f, "round trips          {trips:>8}")?;
            writeln!(f, "beyond them          {beyond:>8.2} ms")?;
        }
        if let Some(Beside { protocol, p50_ms, p99_ms, ratio_to_plimsoll, .. }) = &self.beside {
            writeln!(
                f,
                "{protocol:<20} {p50_ms:>8.2} ms, 99 of 100 within {p99_ms:.2} ms, ratio {ratio_to_plimsoll:.2}"
            )?;
        }
        write!(f, "blocks behind        {:>8}", self.blocks_behind_max)
    }
}
