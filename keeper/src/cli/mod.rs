//! The command line: results on stdout, as text or as one JSON document, everything else on stderr. Failures and what
//! is wrong end with exit code 1, words that make no command with 2.

mod check;
mod positions;
mod running;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use plimsoll_chain::{
    logging::{self, Format},
    redaction::scrub,
};
use serde::Serialize;

use crate::{
    config::{Config, Setting},
    engine::{self, Mode},
    outside::Shutdown,
};

/// Watches a chain, liquidates loans under water, and harvests staking rewards.
///
/// Settings come from keeper.toml, which keeper.example.toml explains, and from variables such as
/// PLIMSOLL_KEEPER__HTTP__LISTEN. For a chain that `deploy up` started none are needed. docs/operations.md is the
/// operator's handbook.
///
/// Keys come from an encrypted keystore, an environment variable, or – on a local Anvil only – from Anvil; never as an
/// argument.
#[derive(Debug, Parser)]
#[command(name = "keeper", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the chain and act on it until told to end, by Ctrl-C or SIGTERM. Without --live nothing is sent: the page
    /// and the log say what would be.
    Run {
        #[command(flatten)]
        from: From,
        /// Send transactions.
        #[arg(long)]
        live: bool,
        /// Begin at the chain's nonce where that is ahead of the journal; for once, when it is understood why.
        #[arg(long, requires = "live")]
        adopt_nonce: bool,
    },
    /// Look whether everything is there that the keeper needs: nodes, contracts, keys, files, prices.
    Check {
        #[command(flatten)]
        from: From,
        /// Write the result as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Show loans by how safe they are, with the price at which each can be liquidated. A keeper that runs at `listen`
    /// under [http] is asked what it does about them, and why it does nothing.
    Positions {
        #[command(flatten)]
        from: From,
        /// Only those in this market, by name or id.
        #[arg(long, value_name = "MARKET")]
        market: Option<String>,
        /// Only those whose health is below this, such as 1.1; below 1 anyone may liquidate.
        #[arg(long, value_name = "HEALTH")]
        below: Option<String>,
        /// Write the result as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Show every setting as it holds and where it comes from; nothing secret.
    Config {
        #[command(flatten)]
        from: From,
        /// Write the result as one JSON document.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct From {
    /// The configuration; else keeper.toml in the current folder, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl From {
    fn read(&self) -> eyre::Result<Config> {
        Ok(Config::load(self.config.as_deref())?)
    }
}

/// The whole program.
pub async fn main() -> ExitCode {
    carry_out(Arguments::parse()).await
}

/// What the arguments say, and how that ends.
pub async fn carry_out(arguments: Arguments) -> ExitCode {
    // What a command needs is too much for the stack.
    match Box::pin(run(arguments)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "{}", scrub(&told(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Does what the arguments say; `false` where the result is that something is not as it should be.
async fn run(arguments: Arguments) -> eyre::Result<bool> {
    match arguments.command {
        Command::Run { from, live, adopt_nonce } => {
            let config = from.read()?;
            logging::start(config.log.format);
            let mode = if live { Mode::Live { adopt_nonce } } else { Mode::DryRun };
            let listening = |address| {
                // Whoever started this may not listen.
                let _ = writeln!(io::stdout(), "Listening on http://{address}");
            };
            Box::pin(engine::run(config, mode, Shutdown::on_signals()?, listening)).await?;
            Ok(true)
        }
        Command::Check { from, json } => {
            let config = from.read()?;
            logging::start(Format::Text);
            let report = Box::pin(check::look(config)).await;
            print(json, &report, &report.text())?;
            Ok(report.good)
        }
        Command::Positions { from, market, below, json } => {
            let config = from.read()?;
            logging::start(Format::Text);
            let report = positions::look(config, market.as_deref(), below.as_deref()).await?;
            print(json, &report, &report.text())?;
            Ok(true)
        }
        Command::Config { from, json } => {
            let settings = from.read()?.settings;
            print(json, &settings, &settings_text(&settings))?;
            Ok(true)
        }
    }
}

/// An error and its causes, each said once. One that lists places in files stands for itself.
fn told(error: &eyre::Report) -> String {
    let mut text = error.to_string();
    if error.downcast_ref::<crate::config::ConfigError>().is_some() {
        return text;
    }
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    format!("error: {text}")
}

fn print(json: bool, value: &impl Serialize, text: &str) -> eyre::Result<()> {
    let text = if json { format!("{}\n", serde_json::to_string_pretty(value)?) } else { text.to_owned() };
    let mut out = io::stdout().lock();
    write!(out, "{}", scrub(&text))?;
    Ok(out.flush()?)
}

fn settings_text(settings: &[Setting]) -> String {
    let width = settings.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
    let line = |setting: &Setting| format!("{:<width$}  {}  ({})\n", setting.name, setting.value, setting.origin);
    settings.iter().map(line).collect()
}
