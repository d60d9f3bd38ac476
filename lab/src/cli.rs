//! The command line: results on stdout, as text or as one JSON document, everything else on stderr. Failures end with
//! exit code 1, words that make no command with 2.

use std::{
    env, fmt,
    io::{self, Write},
    path::PathBuf,
    process::{self, ExitCode},
    time::Duration,
};

use clap::{Parser, Subcommand};
use eyre::{WrapErr, ensure, eyre};
use plimsoll_chain::logging;
use plimsoll_deploy::{progress::say, tools::Tools, workspace::Workspace};
use plimsoll_keeper::cli as keeper;
use serde::Serialize;

use crate::{
    all, book, demo,
    gas::{self, GasDifference, GasReport},
    keeper::Keeper,
    mutants,
    output::Folder,
    package, reaction, recording, replay, storm,
};

/// The demo's day: half an hour of it in a second or so.
const STEPS: u64 = 48;
const PACE: Duration = Duration::from_millis(1_200);

/// Shows and measures Plimsoll on a chain of your own.
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Measure with this build as it is. Otherwise all, book, reaction and storm are built with optimisation first,
    /// without which times and memory mean nothing.
    #[arg(long, global = true)]
    as_built: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures everything, one after another, and saves each figure in a file of its own, beside what is known of the
    /// machine. Takes some minutes, in which nothing else should run.
    All {
        /// The folder for the figures.
        #[arg(long, value_name = "DIR")]
        json: PathBuf,
        /// Small sizes, to see whether everything works.
        #[arg(long)]
        quick: bool,
    },
    /// Shows everything at once on a chain of its own: borrowers, stakers, a backstop, a keeper with its page, and a day
    /// on which the price falls by a third, in about a minute. Then reports, and saves a picture.
    Demo {
        /// End after the report instead of keeping chain and page up.
        #[arg(long)]
        exit: bool,
        /// From which number borrowers and prices are drawn.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many borrow.
        #[arg(long, default_value_t = 300)]
        positions: u64,
        /// Report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Measures what calls cost in gas, beside Morpho Blue's real bytecode on the same node.
    Gas {
        /// A kept table (`lab/gas.json`): report how the figures differ from it instead.
        #[arg(long, value_name = "FILE")]
        diff: Option<PathBuf>,
        /// Report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Measures the keeper's book: memory, events a second, the time from a price to those under water, and that to
    /// write it to a checkpoint and have it back.
    Book {
        /// How many positions the book holds.
        #[arg(long, default_value_t = 1_000_000)]
        positions: u64,
        /// Report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Records a block of a live chain and everything it touched, for tests that need no chain any more.
    Record {
        /// The environment variable that holds the URL of a node which still has the state before the block.
        #[arg(long, default_value = "ETH_RPC_URL")]
        rpc_env: String,
        /// The block's number.
        #[arg(long)]
        block: u64,
        /// The folder for the recording. What it holds of the same block already is kept.
        #[arg(long)]
        out: PathBuf,
        /// Report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Measures how soon the keeper reacts: from a new head to its liquidation waiting in the pool.
    Reaction {
        /// How many positions the keeper's book holds.
        #[arg(long, default_value_t = 100_000)]
        positions: u64,
        /// How many reactions are measured.
        #[arg(long, default_value_t = 200)]
        rounds: u64,
        /// Report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Has thousands of loans under water in one block, and reports what the keeper made of it.
    Storm {
        /// How many loans.
        #[arg(long, default_value_t = 5_000)]
        positions: u64,
        /// Report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Replays recorded prices: what would a market have done on that day? Borrowers are drawn; exchange, gas and price
    /// feed are as chosen; contracts and keeper are the real ones, on a chain of their own.
    Replay {
        #[command(flatten)]
        options: replay::Options,
        /// Report as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// The keeper itself, for the measurements that start it beside them.
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
    /// Tries small faults in the lending core, and reports which of them no test notices.
    Mutants {
        #[command(flatten)]
        options: mutants::Options,
        /// Report as one JSON document.
        #[arg(long)]
        json: bool,
    },
}

/// The whole program.
pub async fn main() -> ExitCode {
    let Arguments { command, as_built } = Arguments::parse();
    match command {
        Command::Keeper(arguments) => keeper::carry_out(arguments).await,
        Command::All { .. } | Command::Book { .. } | Command::Reaction { .. } | Command::Storm { .. }
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
            report.complete()?;
        }
        Command::Demo { exit, seed, positions, json } => {
            let options = demo::Options { positions, seed, steps: STEPS, pace: PACE };
            let folder = Folder::ready(&Workspace::find()?.target().join("demo"))?;
            let evening = demo::run(&options, Keeper::this_program()?).await?;
            print(&evening.report, json)?;
            let [vector, raster] = evening.save_picture(&folder)?;
            say(format_args!("pictures of the day: {} and {}", vector.display(), raster.display()));
            if !exit {
                evening.go_on().await?;
                let (page, node) = (evening.keeper.url(), evening.stage.rig.node.http_url());
                say(format_args!("the keeper's page stays up at {page}, the chain at {node}; Ctrl-C ends both"));
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
        Command::Record { rpc_env, block, out, json } => {
            let endpoint = env::var(&rpc_env)
                .map_err(|_| eyre!("the environment variable {rpc_env} is to hold the URL of a node"))?
                .parse()
                .wrap_err_with(|| format!("what the environment variable {rpc_env} holds"))?;
            let tools = Tools::ready(&Workspace::find()?)?;
            let report = recording::record(&tools, endpoint, block, Folder::ready(&out)?.path()).await?;
            print(&report, json)?;
        }
        Command::Reaction { positions, rounds, json } => {
            let report = reaction::run(positions, rounds, Keeper::this_program()?).await?;
            print(&report, json)?;
        }
        Command::Replay { options, json } => {
            let folder = options.report.as_deref().map(Folder::ready).transpose()?;
            // Pictures need a font from the pinned packages.
            let _ = folder.as_ref().map(|_| Tools::ready(&Workspace::find()?)).transpose()?;
            let report = Box::pin(replay::run(&options, Keeper::this_program)).await?;
            print(&report, json)?;
            if let Some(folder) = folder {
                say(format_args!("the report is in {}", report.save(&folder)?.display()));
            }
        }
        Command::Storm { positions, json } => {
            let report = storm::run(positions, Keeper::this_program()?).await?;
            print(&report, json)?;
        }
        Command::Package { folder, json } => print(&package::write(&Workspace::find()?, &folder)?, json)?,
        Command::Mutants { options, json } => {
            let report = mutants::run(&options).await?;
            print(&report, json)?;
        }
    }
    Ok(())
}

/// The result: stdout holds nothing else.
fn print(report: &(impl Serialize + fmt::Display), json: bool) -> eyre::Result<()> {
    let text = if json { serde_json::to_string_pretty(report)? } else { report.to_string() };
    writeln!(io::stdout(), "{text}").wrap_err("the result cannot be written to stdout")
}

/// Has cargo run the same command in an optimised build.
fn optimised(command: &Command) -> eyre::Result<()> {
    if let Command::All { json, .. } = command {
        Folder::ready(json)?;
    }
    say("building with optimisation, without which time and memory mean nothing");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["run", "--release", "--quiet", "--package", "plimsoll-lab", "--bin", "lab", "--"];
    let status = process::Command::new(cargo).args(build).args(env::args_os().skip(1)).status()?;
    ensure!(status.success(), "the optimised build or its measurement failed");
    Ok(())
}
