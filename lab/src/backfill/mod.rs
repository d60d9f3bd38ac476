//! `lab backfill`: how fast a keeper without a checkpoint reads a long history from a distant node, over one connection
//! and over several; how well it estimates the time that remains; and that it goes on after `kill -9`.

mod chain;

use std::{
    cell::Cell,
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

use eyre::{ContextCompat, ensure};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_keeper::{
    book::Book,
    chain::Sources,
    engine::{Follower, FollowerEvent, RestoredBook},
    store::{Identity, Store},
    stream::{Stream, StreamSettings},
};
use plimsoll_testkit::{process::Process, workspace::workspace};
use serde::Serialize;
use tokio::time;

use self::chain::{CHAIN_ID, CORE, Chain, Node};

/// The time between blocks that the keeper is told.
const BLOCK_TIME: Duration = Duration::from_secs(12);
/// The most blocks that a process may lose when it is killed: two batches of 64 ranges. A shorter chain than twice as long
/// cannot show that fewer are lost.
const MAX_LOST_BLOCKS: u64 = 256_000;
/// What the process prints before the block that it begins after.
const BEGINS: &str = "begins after ";
/// What it prints before the newest applied block.
const APPLIED: &str = "applied ";
/// What it prints before its result.
const READ: &str = "read ";

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Number of blocks of the chain.
    #[arg(long, default_value_t = 1_000_000)]
    pub blocks: u64,
    /// Number of events, evenly over the blocks.
    #[arg(long, default_value_t = 100_000)]
    pub events: u64,
    /// Time that the node takes for each answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 150)]
    pub latency: u64,
    /// Number of ranges that are read at the same time, next to a run with one.
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
}

/// What a process of its own reads, until it is killed or has reached a block.
#[derive(Debug, Clone, clap::Args)]
pub struct ReaderOptions {
    /// URL of the node.
    #[arg(long)]
    url: String,
    /// Folder of the checkpoint.
    #[arg(long)]
    folder: PathBuf,
    /// Number of ranges that are read at the same time.
    #[arg(long)]
    connections: usize,
    /// Last block to read.
    #[arg(long)]
    until: u64,
}

/// The measured figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of blocks of the chain.
    pub blocks: u64,
    /// Number of events.
    pub events: u64,
    /// Time that the node takes for each answer, in milliseconds.
    pub latency_ms: u64,
    /// Number of ranges that are read at the same time.
    pub connections: usize,
    /// Time to read the whole chain over these connections, in seconds.
    pub seconds: f64,
    /// Blocks a second over these connections, over the whole chain.
    pub blocks_per_s: u64,
    /// Blocks a second over one connection, over a tenth of the chain.
    pub one_connection_blocks_per_s: u64,
    /// The former divided by the latter.
    pub times: f64,
    /// Time that was estimated to remain after the first tenth, in seconds.
    pub estimated_s: f64,
    /// Time that it took, in seconds.
    pub remained_s: f64,
    /// Difference of the two in percent of the latter.
    pub estimate_error_percent: f64,
    /// Newest applied block when a second reader was killed.
    pub killed_at: u64,
    /// Block after which the next process began.
    pub resumed_after: u64,
}

/// Runs the measurement. `program` starts this program.
///
/// # Errors
/// When the book is not what the chain's events make it, or a process does not go on where it was killed.
pub async fn run(options: &Options, program: impl Fn() -> eyre::Result<Command>) -> eyre::Result<Report> {
    let Options { blocks, events, latency, connections } = *options;
    ensure!(
        blocks >= 10_000 && events <= blocks / 2,
        "there must be 10000 blocks, and at most an event in every second"
    );
    let chain = Chain::new(blocks, events, Duration::from_millis(latency))?;
    let node = Node::start(chain.clone()).await?;
    let scratch = tempfile::tempdir_in(workspace()?.target())?;
    let reader = |name: &str, connections, until| ReaderOptions {
        url: node.url(),
        folder: scratch.path().join(name),
        connections,
        until,
    };

    say(format_args!("reading a tenth of {blocks} blocks over one connection"));
    let alone = read(&reader("alone", 1, blocks / 10), |_| Ok(())).await?;
    alone.ensure_complete(&chain)?;
    say(format_args!("reading {blocks} blocks over {connections} connections"));
    let whole = read(&reader("whole", connections, blocks), |_| Ok(())).await?;
    whole.ensure_complete(&chain)?;

    let (kill_at, until) = (blocks * 3 / 5, blocks * 7 / 10);
    say(format_args!("reading again, killed after block {kill_at}"));
    let again = reader("killed", connections, until);
    let killed_at = killed(&again, kill_at, program()?).await?;
    let resumed_after = resumed(&again, &chain, program()?).await?;
    ensure!(
        resumed_after + MAX_LOST_BLOCKS >= killed_at,
        "of the {killed_at} blocks that were read, {resumed_after} were left"
    );

    let (one, many) = (per_second(blocks / 10, alone.took)?, per_second(blocks, whole.took)?);
    let (at, estimate) = whole.estimate.wrap_err("the remaining time was not estimated")?;
    let (estimated, remained) = (estimate.as_secs_f64(), (whole.took - at).as_secs_f64());
    Ok(Report {
        blocks,
        events,
        latency_ms: latency,
        connections,
        seconds: tenths(whole.took.as_secs_f64()),
        blocks_per_s: many.into(),
        one_connection_blocks_per_s: one.into(),
        times: tenths(f64::from(many) / f64::from(one)),
        estimated_s: tenths(estimated),
        remained_s: tenths(remained),
        estimate_error_percent: tenths((estimated - remained).abs() * 100.0 / remained),
        killed_at,
        resumed_after,
    })
}

/// Reads in this process, and prints how far it is.
///
/// # Errors
/// When the chain cannot be followed.
pub async fn read_and_report(options: &ReaderOptions) -> eyre::Result<()> {
    let print = |line: String| writeln!(io::stdout(), "{line}");
    let next = Cell::new(0);
    let done = read(options, |progress| {
        match progress {
            Progress::Begins(after) => print(format!("{BEGINS}{after}"))?,
            Progress::Applied(block) if block >= next.get() => {
                next.set(block + options.until / 100);
                print(format!("{APPLIED}{block}"))?;
            }
            Progress::Applied(_) => {}
        }
        Ok(())
    })
    .await?;
    print(format!("{READ}{} {} {}", done.block, done.accounts, done.collateral))?;
    Ok(())
}

/// What a reader tells.
enum Progress {
    /// It begins after this block.
    Begins(u64),
    /// It has applied this block.
    Applied(u64),
}

/// What was read.
struct Reading {
    /// The last block.
    block: u64,
    took: Duration,
    /// Time at which a tenth was read, and the time that was estimated to remain then.
    estimate: Option<(Duration, Duration)>,
    /// Number of accounts in the book.
    accounts: u64,
    /// Collateral of all of them.
    collateral: u128,
}

impl Reading {
    /// Checks that the book is what the chain's events make it.
    fn ensure_complete(&self, chain: &Chain) -> eyre::Result<()> {
        let expected = chain.collateral_after(self.block);
        ensure!(
            (self.accounts, self.collateral) == expected,
            "after block {} the book has {} accounts with {} units of collateral, and the chain {expected:?}",
            self.block,
            self.accounts,
            self.collateral
        );
        Ok(())
    }
}

/// Follows the chain as a keeper does, until a block.
async fn read(options: &ReaderOptions, tell: impl Fn(Progress) -> io::Result<()>) -> eyre::Result<Reading> {
    let identity = Identity { chain_id: CHAIN_ID, genesis: Chain::hash(0), core: CORE, rewards: None };
    let store = Store::open(&options.folder, &identity)?;
    let sources = Sources::all(CORE, None);
    let restored = RestoredBook::load(&store.checkpoint, &sources).await?;
    let cursor = restored.cursor(1);
    tell(Progress::Begins(cursor.number))?;
    let settings = StreamSettings {
        concurrent_ranges: options.connections,
        genesis: Some(identity.genesis),
        ..StreamSettings::new(CHAIN_ID, BLOCK_TIME)
    };
    let started = Instant::now();
    let stream = Stream::start([options.url.parse::<Endpoint>()?], sources, cursor, settings);
    let mut follower = Follower::new(stream, restored, store.checkpoint, 1);
    let (mut block, mut estimate) = (cursor.number, None);
    while block < options.until {
        if estimate.is_none() {
            let tenth = follower.stream().backfill_progress().filter(|progress| progress.percent() >= 10);
            estimate = tenth.and_then(|progress| Some((started.elapsed(), progress.remaining?)));
        }
        let step = tokio::select! {
            step = follower.next_step() => step,
            // Blocks are handed out many at a time, and the progress is to be seen in between.
            () = time::sleep(Duration::from_millis(20)) => continue,
        };
        if let FollowerEvent::Applied(applied) = follower.process(step).await? {
            block = applied.number;
            tell(Progress::Applied(block))?;
        }
    }
    let took = started.elapsed();
    follower.flush().await;
    let (accounts, collateral) = collateral(follower.book());
    Ok(Reading { block, took, estimate, accounts, collateral })
}

/// Returns the number of accounts in the book, and the collateral of all of them.
fn collateral(book: &Book) -> (u64, u128) {
    let positions = book.markets().flat_map(|market| market.positions());
    positions.fold((0, 0), |(accounts, sum), (_, position)| (accounts + 1, sum + position.collateral))
}

/// Reads in another process until it has applied a block, and kills it. Returns the last block that it told of.
async fn killed(options: &ReaderOptions, at: u64, program: Command) -> eyre::Result<u64> {
    let applied = move |line: &str| line.strip_prefix(APPLIED)?.parse().ok().filter(|block| *block >= at);
    let command = reading(program, options);
    // Dropping the process kills it by SIGKILL.
    let (_process, block) =
        tokio::task::spawn_blocking(move || Process::start("the reader", command, applied)).await??;
    Ok(block)
}

/// Reads on in another process until it ends. Returns the block after which it began.
async fn resumed(options: &ReaderOptions, chain: &Chain, program: Command) -> eyre::Result<u64> {
    let begins = Mutex::new(None);
    let command = reading(program, options);
    let done = move |line: &str| {
        let mut begins = begins.lock().ok()?;
        *begins = line.strip_prefix(BEGINS).and_then(|after| after.parse::<u64>().ok()).or(*begins);
        Some((line.strip_prefix(READ)?.to_owned(), (*begins)?))
    };
    let (_process, (read, after)) =
        tokio::task::spawn_blocking(move || Process::start("the reader", command, done)).await??;
    let mut numbers = read.split(' ');
    let mut next = || numbers.next().wrap_err("the reader printed too little");
    let (block, accounts, collateral) = (next()?.parse()?, next()?.parse()?, next()?.parse()?);
    Reading { block, took: Duration::ZERO, estimate: None, accounts, collateral }.ensure_complete(chain)?;
    Ok(after)
}

fn reading(mut program: Command, options: &ReaderOptions) -> Command {
    program.args(["backfill-reader", "--url", &options.url, "--folder"]).arg::<&Path>(&options.folder);
    program.args(["--connections", &options.connections.to_string(), "--until", &options.until.to_string()]);
    program
}

/// Returns the blocks a second, at least one.
fn per_second(blocks: u64, took: Duration) -> eyre::Result<u32> {
    Ok(u32::try_from(u128::from(blocks) * 1_000 / took.as_millis().max(1))?.max(1))
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "blocks                    {:>12}", self.blocks)?;
        writeln!(f, "events                    {:>12}", self.events)?;
        writeln!(f, "each answer takes         {:>12} ms", self.latency_ms)?;
        writeln!(f, "connections               {:>12}", self.connections)?;
        writeln!(f, "time                      {:>12} s", self.seconds)?;
        writeln!(f, "blocks a second           {:>12}", self.blocks_per_s)?;
        writeln!(f, "over one connection       {:>12}", self.one_connection_blocks_per_s)?;
        writeln!(f, "times as fast             {:>12}", self.times)?;
        writeln!(f, "estimated after a tenth   {:>12} s", self.estimated_s)?;
        writeln!(f, "it took                   {:>12} s", self.remained_s)?;
        writeln!(f, "estimate's error          {:>12} %", self.estimate_error_percent)?;
        writeln!(f, "killed at block           {:>12}", self.killed_at)?;
        write!(f, "went on after block       {:>12}", self.resumed_after)
    }
}
