//! `lab protocols --restart`: how long a keeper takes from its start until it knows all positions of Morpho Blue, by all logs and
//! from its checkpoint.

use std::{
    fmt, fs,
    process::Command,
    time::{Duration, Instant},
};

use alloy::{
    primitives::U256,
    providers::{Provider, ext::AnvilApi},
};
use eyre::{ContextCompat, ensure};
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_testkit::{
    borrowers::NewLoan,
    deployment::Suite,
    keeper::{Keeper, KeeperSetup},
};
use serde::Serialize;
use serde_json::Value;
use tokio::time;

use crate::latency::{MorphoMarket, NODE};

/// Debt of a loan, in millionths of a dollar.
const DEBT: u128 = 1_000_000_000;
/// Collateral of a loan: an ether, at this price in millionths of a dollar.
const ETHER: u128 = 1_000_000_000_000_000_000;
const PRICE: u128 = 2_000_000_000;
/// Blocks after which no reorg reaches what is in a checkpoint, and some.
const BLOCKS_TO_CHECKPOINT: u64 = 70;
/// Time between two looks at the keeper.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Longest time that a start may take.
const MOST: Duration = Duration::from_secs(600);

/// The measured figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of positions.
    pub positions: u64,
    /// Time from a start without a checkpoint until all positions are known in the newest block, in seconds.
    pub from_logs_seconds: f64,
    /// The same from a checkpoint, after the keeper was killed.
    pub from_checkpoint_seconds: f64,
    /// Size of the checkpoint, in bytes.
    pub checkpoint_bytes: u64,
}

/// Runs the measurement. `program` returns a command that takes the keeper's arguments.
///
/// # Errors
/// When the chain cannot be prepared, or a keeper does not come to know all positions.
pub async fn run(positions: u64, program: impl Fn() -> eyre::Result<Command>) -> eyre::Result<Report> {
    ensure!(positions > 0, "there must be at least one position");
    say("starting a node and deploying");
    let suite = Suite::start_with(&NODE).await?;
    let loans = vec![NewLoan { collateral: ETHER, debt: DEBT }; usize::try_from(positions)?];
    let lent = U256::from(DEBT * 2 * u128::from(positions));
    let market = MorphoMarket::open(&suite, &loans, lent, PRICE).await?;
    suite.provider().anvil_set_auto_mine(false).await?;
    let setup = KeeperSetup { further: market.settings().to_owned(), ..KeeperSetup::live(&suite) };
    say("starting a keeper without a checkpoint");
    let (keeper, from_logs) = start(&suite, program()?, &setup, positions).await?;
    say(format_args!("mining {BLOCKS_TO_CHECKPOINT} blocks"));
    for _ in 0..BLOCKS_TO_CHECKPOINT {
        suite.provider().evm_mine(None).await?;
    }
    wait_until_known(&suite, &keeper, positions).await?;
    drop(keeper);
    let file = setup.store(&suite).join(format!("morpho-blue-{}.db", market.core()));
    let checkpoint_bytes = fs::metadata(&file)?.len();
    say("starting a keeper from its checkpoint");
    let (keeper, from_checkpoint) = start(&suite, program()?, &setup, positions).await?;
    ensure!(keeper.output().contains("checkpoint restored"), "no checkpoint was restored:\n{}", keeper.output());
    Ok(Report {
        positions,
        from_logs_seconds: from_logs.as_secs_f64(),
        from_checkpoint_seconds: from_checkpoint.as_secs_f64(),
        checkpoint_bytes,
    })
}

/// Starts a keeper, and returns the time until it knows all positions.
async fn start(
    suite: &Suite,
    program: Command,
    setup: &KeeperSetup,
    positions: u64,
) -> eyre::Result<(Keeper, Duration)> {
    let started = Instant::now();
    let keeper = Keeper::start_with(suite, program, setup).await?;
    wait_until_known(suite, &keeper, positions).await?;
    Ok((keeper, started.elapsed()))
}

/// Waits until the keeper has read all positions in the newest block.
async fn wait_until_known(suite: &Suite, keeper: &Keeper, positions: u64) -> eyre::Result<()> {
    let head = suite.provider().get_block_number().await?;
    let started = Instant::now();
    loop {
        let status = keeper.api("status").await?;
        let protocol = &status["protocols"][0];
        if protocol["block"].as_u64() >= Some(head) {
            let known = protocol["positions"].as_u64().wrap_err("the keeper says no number of positions")?;
            ensure!(known == positions, "the keeper knows {known} positions of {positions}");
            ensure!(protocol["differences"].as_array().is_none_or(Vec::is_empty), "{protocol}");
            return Ok(());
        }
        let said = || Value::clone(protocol);
        ensure!(
            started.elapsed() < MOST,
            "after {} s the keeper says {}:\n{}",
            MOST.as_secs(),
            said(),
            keeper.output()
        );
        time::sleep(POLL_INTERVAL).await;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "positions             {:>12}", self.positions)?;
        writeln!(f, "start by all logs     {:>12.1} s", self.from_logs_seconds)?;
        writeln!(f, "start by a checkpoint {:>12.1} s", self.from_checkpoint_seconds)?;
        write!(f, "checkpoint            {:>12} bytes", self.checkpoint_bytes)
    }
}
