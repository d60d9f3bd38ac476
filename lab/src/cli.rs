//! The command line. Results are printed on stdout, as text or as one JSON document, everything else on stderr. The
//! exit code is 1 after a failure, and 2 for arguments that cannot be understood.

use std::{
    env, fmt,
    io::{self, Write},
    path::PathBuf,
    process::{self, ExitCode},
    time::Duration,
};

use clap::{Parser, Subcommand, builder::PossibleValuesParser};
use eyre::{WrapErr, bail, ensure, eyre};
use plimsoll_chain::{endpoint::Endpoint, logging};
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_keeper::cli as keeper;
use plimsoll_protocols::ProtocolKind;
use plimsoll_testkit::{
    recording::HARDFORKS,
    workspace::{tools, workspace},
};
use serde::Serialize;

use crate::{
    all, backfill, book, burst, demo, fleet,
    gas::{self, GasDifference, GasReport},
    latency, money, mutants, nodes,
    output::Folder,
    package, protocols, prove, record, replay, surge, tripwire, vault,
};

/// Environment variable that holds the URL of a node, as for the other programs.
const RPC_URL_VARIABLE: &str = "ETH_RPC_URL";
/// Price updates in the demo's day, one for each half hour.
const STEPS: u64 = 48;
/// Real time that each of them takes.
const PACE: Duration = Duration::from_millis(1_200);

/// Shows and measures Plimsoll on a local chain.
#[derive(Debug, Parser)]
#[command(name = "plimsoll-lab", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Measure with this build as it is. Otherwise all, backfill, book, latency and burst are first built with optimisation,
    /// without which times and memory mean nothing.
    #[arg(long, global = true)]
    as_built: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures everything, one after another, and saves each figure to a file, with a description of the machine.
    /// Takes some minutes, in which nothing else should run.
    All {
        /// The folder for the figures.
        #[arg(long, value_name = "DIR")]
        json: PathBuf,
        /// Use small sizes, to check that everything works.
        #[arg(long)]
        quick: bool,
    },
    /// Shows everything at once on a local chain: borrowers, stakers, a backstop, a keeper with its page, and a day on
    /// which the price falls by a third, in about a minute. Then prints a report and saves a chart.
    Demo {
        /// End after the report instead of keeping the chain and the page running.
        #[arg(long)]
        exit: bool,
        /// Seed of the random borrowers and prices.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Number of borrowers.
        #[arg(long, default_value_t = 300)]
        positions: u64,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Measures the gas of calls, next to Morpho Blue's real bytecode on the same node.
    Gas {
        /// A kept table (`lab/gas.json`): report how the figures differ from it instead.
        #[arg(long, value_name = "FILE")]
        diff: Option<PathBuf>,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Measures the keeper's book: memory, events a second, the time from a price to the liquidatable loans, and the
    /// time to save it to a checkpoint and to load it.
    Book {
        /// Number of positions in the book.
        #[arg(long, default_value_t = 1_000_000)]
        positions: u64,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Measures the index of accounts with several collaterals and debts: evaluated accounts in quiet ticks and in a crash,
    /// memory, and the time from prices to the liquidatable accounts, beside a full scan.
    Tripwire {
        /// Whose accounts: aave-v3, or compound-v2.
        #[arg(long, value_name = "PROTOCOL", default_value = "aave-v3")]
        protocol: ProtocolKind,
        /// Number of accounts.
        #[arg(long, default_value_t = 100_000)]
        accounts: u32,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Records a block of a live chain and the state before it of everything it touched, for tests that then need no
    /// node of that chain.
    ///
    /// The block is replayed on a local Anvil, and recorded only if gas and receipts are the chain's. State is fetched
    /// many requests at a time, first what the node's access lists name, then what an execution lacked: a distant node
    /// costs seconds, not minutes. It must still have the state before the block; of the methods of an archive node only
    /// eth_getStorageAt, eth_getBalance, eth_getTransactionCount and eth_getCode are needed, and eth_createAccessList
    /// is used where it is there.
    Record {
        /// URL of a node that still has the state before the block; else the environment variable ETH_RPC_URL.
        ///
        /// Prefer an environment variable for a URL with a key, because arguments are visible in the list of processes.
        #[arg(long, value_name = "URL")]
        rpc_url: Option<String>,
        /// Environment variable that holds the node's URL.
        #[arg(long, value_name = "VARIABLE", conflicts_with = "rpc_url", default_value = RPC_URL_VARIABLE)]
        rpc_env: String,
        /// The number of the block.
        #[arg(long, value_name = "N")]
        block: u64,
        /// The folder for the recording. An existing recording of the same block is added to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        rules: Rules,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Runs five nodes that serve a language model on a local chain: x402's published client and ours ask a hundred times and
    /// pay by vouchers, a keeper claims and brings jobs on, an audit slashes the node that answers with other weights, and an
    /// audit of a right answer costs its author. Builds the daemon's own workspace, which takes ten minutes the first time,
    /// and fetches the model, of 93 MB, by its hash. Fails when a goal is missed.
    Nodes {
        /// Answers that each of the two clients asks for.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(8..=1_000))]
        answers: u64,
        /// The most tokens of an answer.
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=512))]
        max_tokens: u32,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Works with recorded blocks of other chains.
    Fork {
        #[command(subcommand)]
        command: ForkCommand,
    },
    /// Measures the keeper's latency: from a new head to its liquidation in the node's pool.
    #[command(alias = "reaction")]
    Latency {
        /// Number of positions in the keeper's book.
        #[arg(long, default_value_t = 100_000)]
        positions: u64,
        /// Number of measurements.
        #[arg(long, default_value_t = 200)]
        rounds: u64,
        /// Delay every answer of the node by so many milliseconds, and count the round trips.
        #[arg(long)]
        rtt_ms: Option<u64>,
        /// Let the price fall at once by more than the keeper looks ahead.
        #[arg(long)]
        far: bool,
        /// Number of loans besides that are liquidatable in every round, and too small to pay for their gas.
        #[arg(long, default_value_t = 0)]
        dust: u64,
        /// Open as many positions at another protocol, too, have the same keeper liquidate one in each round, and compare the
        /// medians: morpho-blue.
        #[arg(long, value_name = "PROTOCOL")]
        protocol: Option<ProtocolKind>,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Measures how fast a keeper without a checkpoint reads a long history from a distant node, over one connection and
    /// over several, and how well it estimates the time that remains; kills it, and starts it again.
    ///
    /// The node is a stand-in over real sockets, because no Anvil holds millions of blocks.
    Backfill {
        #[command(flatten)]
        options: backfill::Options,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Reads for `backfill`, as a process of its own that is killed.
    #[command(hide = true)]
    BackfillReader(backfill::ReaderOptions),
    /// Makes thousands of loans liquidatable in one block, and reports how the keeper liquidated them.
    #[command(alias = "storm")]
    Burst {
        /// Number of loans.
        #[arg(long, default_value_t = 5_000)]
        positions: u64,
        /// Number of loans besides that become liquidatable, too, and are too small to pay for their gas.
        #[arg(long, default_value_t = 0)]
        dust: u64,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Has three keepers on one database liquidate loans in waves, while one after another is killed, paused, or cut off,
    /// and the database restarts and fails over. Fails if a loan is lost, or liquidated twice.
    Fleet {
        /// Number of loans.
        #[arg(long, default_value_t = 5_000)]
        positions: u64,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Lets all prices fall in steps on Plimsoll, Morpho Blue, Aave v3, an isolated pool of Venus and its core pool, each from its
    /// real bytecode, on one chain, and reports what one keeper liquidated and earned. Fails if it missed an account that is
    /// worth it, touched a healthy one, lost money, or booked otherwise than its account received. Without `npm ci
    /// --ignore-scripts --prefix tools/venus` Venus is left out.
    Protocols {
        /// Number of accounts of each protocol.
        #[arg(long, default_value_t = 100)]
        accounts: usize,
        /// Seed of the accounts.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Instead, opens so many loans on Morpho Blue, and measures a keeper's time from its start until it knows them all: by
        /// all logs, and from its checkpoint after it was killed.
        #[arg(long, value_name = "POSITIONS", conflicts_with_all = ["accounts", "seed"])]
        restart: Option<u64>,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Has the keeper race against rivals on a node that orders by priority fee, sandwiches its swaps, and reports what it
    /// earned and paid, next to what its first version would have.
    Money {
        /// Number of races against each rival.
        #[arg(long, default_value_t = 64)]
        races: u64,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Pours unbacked collateral into a market, in the shapes of two attacks of 2026, and reports what lenders lose with
    /// and without a surge limit. Fails when the loss exceeds what the limit promises.
    Surge {
        /// Seconds between two of the attacker's loans.
        #[arg(long, value_name = "SECONDS", default_value_t = surge::DEFAULT_INTERVAL_SECS, value_parser = clap::value_parser!(u64).range(2..=3_600))]
        interval: u64,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Measures a vault on a local chain: gas of deposits and withdrawals, beside a MetaMorpho vault; what depositors earn where the keeper levels the
    /// rates of its markets, where their utilisation is levelled, and where nobody does anything, over drawn demand; and
    /// how it leaves a market that lost its price.
    Vault {
        #[command(flatten)]
        options: vault::Options,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Replays recorded prices: what would a market have done on that day? Borrowers are random; exchange, gas and
    /// price feed are as chosen; contracts and keeper are the real ones, on a local chain.
    Replay {
        #[command(flatten)]
        options: replay::Options,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Runs the keeper, for the measurements that start it as a process of its own.
    #[command(hide = true)]
    Keeper(keeper::Arguments),
    /// Writes the npm package `plimsoll-contracts`: interfaces, ABIs, creation bytecode, a base contract for tests.
    Package {
        /// The folder for it, which must be missing or empty.
        folder: PathBuf,
        /// Report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Tests the contracts with small faults in them, and reports which of them no test notices.
    Mutants {
        #[command(flatten)]
        options: mutants::Options,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Proves lemmas about the contracts' arithmetic with z3, and checks rights on the core's bytecode with halmos. A fault
    /// is planted for each kind of proof, which must be refuted.
    Prove {
        #[command(flatten)]
        options: prove::Options,
        /// Print the counts as one JSON document.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ForkCommand {
    /// Replays a recorded block offline, under the rules of its time, and compares gas and receipts with the chain's.
    ///
    /// The rules are those of Ethereum's mainnet at the block's time, from London on; blob transactions are replayed
    /// without their blobs. A block ends differently where a contract reads PREVRANDAO or the beacon block root, which
    /// Anvil cannot set. An incomplete replay says which transactions were not mined, and why.
    Replay {
        /// The folder of the recording, which `plimsoll-lab record` made: <BLOCK>_pre_state_with_code.json.gz and
        /// <BLOCK>_block.json.gz.
        #[arg(long, value_name = "DIR")]
        recording: PathBuf,
        /// The number of the block, where the folder has several.
        #[arg(long, value_name = "N")]
        block: Option<u64>,
        #[command(flatten)]
        rules: Rules,
        /// Print the report as one JSON document.
        #[arg(long)]
        json: bool,
    },
}

/// The rules of a block.
#[derive(Debug, clap::Args)]
struct Rules {
    /// The hard fork whose rules the block was made under. By default it follows from the fields of the header and, for
    /// forks that added none, from the time at which Ethereum's mainnet adopted them.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(HARDFORKS))]
    hardfork: Option<String>,
}

/// Parses the arguments and runs the command.
pub async fn main() -> ExitCode {
    let Arguments { command, as_built } = Arguments::parse();
    match command {
        Command::Keeper(arguments) => keeper::execute(arguments).await,
        Command::All { .. }
        | Command::Backfill { .. }
        | Command::Book { .. }
        | Command::Tripwire { .. }
        | Command::Latency { .. }
        | Command::Burst { .. }
            if cfg!(debug_assertions) && !as_built =>
        {
            logging::ending(optimised(&command))
        }
        command => logging::ending(Box::pin(run(command)).await),
    }
}

async fn run(command: Command) -> eyre::Result<()> {
    match command {
        Command::Keeper(_) => {}
        Command::All { json, quick } => {
            let folder = Folder::ready(&json)?;
            let this_program = || Ok(process::Command::new(env::current_exe()?));
            let report = all::run(&all::figures(quick), this_program, &folder).await?;
            print(&report, false)?;
            report.ensure_complete()?;
        }
        Command::Demo { exit, seed, positions, json } => {
            let options = demo::Options { positions, seed, steps: STEPS, pace: PACE };
            let folder = Folder::ready(&workspace()?.target().join("demo"))?;
            let demo = demo::run(&options, keeper_program()?).await?;
            print(&demo.report, json)?;
            let [vector, raster] = demo.save_chart(&folder)?;
            say(format_args!("charts of the day: {} and {}", vector.display(), raster.display()));
            if !exit {
                demo.resume_mining().await?;
                let (keeper, node) = (demo.keeper.url(), demo.suite.devnet.node.http_url());
                say(format_args!("lend and borrow at {}", demo.page.url()));
                say(format_args!("the keeper's page stays up at {keeper}, the chain at {node}; Ctrl-C ends them"));
                tokio::signal::ctrl_c().await?;
            }
        }
        Command::Gas { diff, json } => {
            let kept = diff.as_deref().map(GasReport::read).transpose()?;
            let report = gas::run().await?;
            match kept {
                Some(kept) => print(&GasDifference::between(&kept, &report), json)?,
                None => print(&report, json)?,
            }
        }
        Command::Book { positions, json } => {
            let report = book::run(positions).await?;
            print(&report, json)?;
        }
        Command::Tripwire { protocol, accounts, json } => {
            let report = tripwire::run(protocol, accounts)?;
            print(&report, json)?;
        }
        Command::Record { rpc_url, rpc_env, block, out, rules, json } => {
            let endpoint = endpoint(rpc_url, &rpc_env)?;
            let report = record::record(&tools()?, endpoint, block, rules.hardfork.as_deref(), &out).await?;
            print(&report, json)?;
        }
        Command::Fork { command: ForkCommand::Replay { recording, block, rules, json } } => {
            let recording = record::find(&recording, block)?;
            let report = record::replay_recording(&tools()?, recording, rules.hardfork.as_deref()).await?;
            print(&report, json)?;
        }
        Command::Latency { positions, rounds, rtt_ms, far, dust, protocol, json } => {
            let delay = rtt_ms.map(Duration::from_millis);
            let options = latency::Options { positions, rounds, delay, far, dust, beside: protocol };
            let report = Box::pin(latency::run(options, keeper_program()?)).await?;
            print(&report, json)?;
        }
        Command::Replay { options, json } => {
            // What is refused leaves no folder behind.
            options.check()?;
            // Pictures need a font from the pinned packages.
            let _ = options.report.as_ref().map(|_| tools()).transpose()?;
            let folder = options.report.as_deref().map(Folder::ready).transpose()?;
            let report = Box::pin(replay::run(&options, keeper_program)).await?;
            print(&report, json)?;
            if let Some(folder) = folder {
                say(format_args!("the report is in {}", report.save(&folder)?.display()));
            }
        }
        Command::Burst { positions, dust, json } => {
            let report = burst::run(positions, dust, keeper_program()?).await?;
            print(&report, json)?;
        }
        Command::Fleet { positions, json } => {
            let report = Box::pin(fleet::run(positions, keeper_program)).await?;
            print(&report, json)?;
            ensure!(
                report.lost == 0 && report.twice == 0,
                "{} loans lost, {} liquidated twice",
                report.lost,
                report.twice
            );
        }
        Command::Protocols { restart: Some(positions), json, .. } => {
            let report = Box::pin(protocols::restart::run(positions, keeper_program)).await?;
            print(&report, json)?;
        }
        Command::Protocols { accounts, seed, restart: None, json } => {
            let report = Box::pin(protocols::run(accounts, seed, keeper_program()?)).await?;
            print(&report, json)?;
            report.ensure_faultless()?;
        }
        Command::Nodes { answers, max_tokens, json } => {
            let options = nodes::Options { each: answers, max_tokens };
            let report = Box::pin(nodes::run_language_model(options, keeper_program()?)).await?;
            print(&report, json)?;
            report.ensure_goals()?;
        }
        Command::Money { races, json } => {
            let report = money::run(races, keeper_program).await?;
            print(&report, json)?;
        }
        Command::Backfill { options, json } => {
            let report = backfill::run(&options, || Ok(process::Command::new(env::current_exe()?))).await?;
            print(&report, json)?;
        }
        Command::BackfillReader(options) => backfill::read_and_report(&options).await?,
        Command::Surge { interval, json } => {
            let report = surge::run(interval).await?;
            print(&report, json)?;
            report.ensure_bounded()?;
        }
        Command::Vault { options, json } => print(&Box::pin(vault::run(&options)).await?, json)?,
        Command::Package { folder, json } => print(&package::write(&workspace()?, &folder)?, json)?,
        Command::Prove { options, json } => {
            let report = prove::run(&options)?;
            print(&report, json)?;
            report.ensure_complete()?;
        }
        Command::Mutants { options, json } => {
            let report = mutants::run(&options).await?;
            print(&report, json)?;
        }
    }
    Ok(())
}

/// Returns the node that a URL, or else an environment variable, names. The error does not repeat the URL, which may
/// contain a key.
fn endpoint(url: Option<String>, variable: &str) -> eyre::Result<Endpoint> {
    let (origin, url) = match (url, env::var(variable).ok().filter(|url| !url.is_empty())) {
        (Some(url), _) => ("--rpc-url", url),
        (None, Some(url)) => (variable, url),
        (None, None) => bail!("no node is named: pass --rpc-url, or set the environment variable {variable}"),
    };
    url.parse().map_err(|error| eyre!("{origin}: {error}"))
}

/// Returns this program as a command that runs the keeper.
fn keeper_program() -> eyre::Result<process::Command> {
    let mut program = process::Command::new(env::current_exe()?);
    program.arg("keeper");
    Ok(program)
}

/// Prints the result on stdout, which holds nothing else.
fn print(report: &(impl Serialize + fmt::Display), json: bool) -> eyre::Result<()> {
    let text = if json { serde_json::to_string_pretty(report)? } else { report.to_string() };
    writeln!(io::stdout(), "{text}").wrap_err("the result cannot be written to stdout")
}

/// Runs the same command in an optimised build, by cargo.
fn optimised(command: &Command) -> eyre::Result<()> {
    if let Command::All { json, .. } = command {
        Folder::ready(json)?;
    }
    say("building with optimisation, without which time and memory mean nothing");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = process::Command::new(cargo);
    build.args([
        "run",
        "--release",
        "--quiet",
        "--package",
        "plimsoll-lab",
        "--bin",
        "plimsoll-lab",
        "--manifest-path",
    ]);
    build.arg(workspace()?.root().join("Cargo.toml")).arg("--");
    let status = build.args(env::args_os().skip(1)).status()?;
    ensure!(status.success(), "the optimised build or its measurement failed");
    Ok(())
}
