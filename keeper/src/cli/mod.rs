//! The command line. Results go to stdout, as text or as one JSON document, everything else to stderr. The exit code is
//! 0 on success, 1 on failure or when a check fails, 2 for arguments that are not understood.

mod book;
mod check;
mod fleet;
mod positions;
mod report;
mod running;
mod snapshot;
mod source;
mod watch;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use alloy::primitives::Address;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use plimsoll_chain::{
    logging::{self, Format},
    redaction::scrub,
    shell::{self, Shell},
};
use serde::Serialize;

use self::source::Source;
use crate::{
    config::Setting,
    control::{self, ControlError, Done, Request},
    engine::{self, Mode},
    report::with_causes,
    shutdown::Shutdown,
};

/// Name of the program.
const NAME: &str = "plimsoll-keeper";
/// Version and commit, from the build script.
const VERSION: &str = env!("PLIMSOLL_VERSION");

const EXAMPLES: &str = "\
Examples:
  # Is everything there that the keeper needs?
  plimsoll-keeper check
  # A dry run: decide and show, but send nothing
  plimsoll-keeper run
  # Send transactions
  plimsoll-keeper run --live --config /etc/plimsoll/keeper.toml
  # Loans that are liquidatable or nearly so
  plimsoll-keeper positions --below 1.1";

const RUN_EXAMPLES: &str = "\
Examples:
  # A dry run with keeper.toml in the current folder, if there is one
  plimsoll-keeper run
  # The same, sending transactions
  plimsoll-keeper run --live
  # With a node from the environment
  ETH_RPC_URL=wss://… plimsoll-keeper run";

const CHECK_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper check --config keeper.toml
  # For scripts; the exit code is 1 if anything fails
  plimsoll-keeper check --json";

const POSITIONS_EXAMPLES: &str = "\
Examples:
  # Liquidatable loans
  plimsoll-keeper positions --below 1
  # Loans of one market that are liquidatable or nearly so
  plimsoll-keeper positions --market weth-usdc --below 1.1
  # All loans, with all digits
  plimsoll-keeper positions --json";

const REPORT_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper report --since \"7 days\"
  # For a spreadsheet
  plimsoll-keeper report --since 2026-11-01 --until 2026-12-01 --csv > november.csv";

const PAUSE_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper pause
  # One market, also after a restart
  plimsoll-keeper pause weth-usdc --across-restarts
  # The keeper that runs with this configuration
  plimsoll-keeper pause --config /etc/plimsoll/keeper.toml";

const RESUME_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper resume
  plimsoll-keeper resume weth-usdc";

const SWEEP_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper sweep USDC
  plimsoll-keeper sweep WETH USDC --json";

const CANCEL_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper cancel 117
  plimsoll-keeper cancel 117 --account 0x…";

const BREAKER_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper breaker close";

const SNAPSHOT_EXAMPLES: &str = "\
Examples:
  # Also while a keeper runs
  plimsoll-keeper snapshot export book-2026-11.db
  # On another machine, before the first start
  plimsoll-keeper snapshot import book-2026-11.db";

const FLEET_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper fleet status
  plimsoll-keeper fleet status --json";

const WATCH_EXAMPLES: &str = "\
Examples:
  # Morpho Blue on Ethereum, as each block leaves it, until Ctrl-C
  ETH_RPC_URL=https://… plimsoll-keeper watch --protocol morpho-blue --chain 1
  # What is liquidatable now, for scripts
  plimsoll-keeper watch --protocol morpho-blue --below 1 --once --json
  # A deployment that is not among the known ones
  plimsoll-keeper watch --protocol morpho-blue --address 0x… --from-block 1";

const CONFIG_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper config
  PLIMSOLL_KEEPER__SAFETY__MIN_BALANCE=0.1 plimsoll-keeper config";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper completions bash > ~/.local/share/bash-completion/completions/plimsoll-keeper
  plimsoll-keeper completions zsh > ~/.zfunc/_plimsoll-keeper
  plimsoll-keeper completions fish > ~/.config/fish/completions/plimsoll-keeper.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  plimsoll-keeper man | man -l -
  plimsoll-keeper man --out ~/.local/share/man/man1";

/// Watches a chain, liquidates loans, and harvests staking rewards.
///
/// Settings come from keeper.toml, which keeper.example.toml explains, and from variables such as
/// PLIMSOLL_KEEPER__HTTP__LISTEN. For a chain started by plimsoll-deploy none are needed. docs/how-to/operate.md is the
/// operator's handbook.
///
/// Keys come from an encrypted keystore, an environment variable, or – on a local Anvil only – from Anvil; never from an
/// argument.
#[derive(Debug, Parser)]
#[command(name = NAME, version = VERSION, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the chain, and liquidate and harvest until SIGINT (Ctrl-C) or SIGTERM.
    ///
    /// Without --live nothing is sent: the dashboard and the log show what would be.
    #[command(after_help = RUN_EXAMPLES)]
    Run {
        #[command(flatten)]
        from: Source,
        /// Send transactions.
        #[arg(long, help_heading = "Sending")]
        live: bool,
        /// Start at the chain's nonce although it is ahead of the journal's.
        ///
        /// Use it once, after finding out why.
        #[arg(long, requires = "live", help_heading = "Sending")]
        adopt_nonce: bool,
    },
    /// Check nodes, contracts, keys, files and prices.
    ///
    /// Says how to repair what does not work. Sends nothing.
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        #[command(flatten)]
        from: Source,
        /// Write the result as one JSON document.
        #[arg(long, help_heading = "Output")]
        json: bool,
    },
    /// List loans by health factor, with their liquidation prices.
    ///
    /// The list is read from the chain. A keeper that runs at `listen` under [http] is asked for its decision about each
    /// loan, or why it does not act.
    #[command(after_help = POSITIONS_EXAMPLES)]
    Positions {
        #[command(flatten)]
        from: Source,
        /// Only loans in this market, by name or id.
        #[arg(long, value_name = "MARKET", help_heading = "Selection")]
        market: Option<String>,
        /// Only loans with a health factor below this, such as 1.1; loans below 1 are liquidatable.
        #[arg(long, value_name = "HEALTH", help_heading = "Selection")]
        below: Option<String>,
        /// Write the result as one JSON document.
        #[arg(long, help_heading = "Output")]
        json: bool,
    },
    /// List what each transaction earned and cost.
    ///
    /// Read from the store, also while the keeper runs.
    #[command(after_help = REPORT_EXAMPLES)]
    Report {
        #[command(flatten)]
        from: Source,
        /// Only transactions from this time on: a duration such as "7 days", or a day (UTC) such as 2026-11-01.
        #[arg(long, value_name = "TIME", help_heading = "Selection")]
        since: Option<String>,
        /// Only transactions before this time, in the same forms.
        #[arg(long, value_name = "TIME", help_heading = "Selection")]
        until: Option<String>,
        /// Write comma-separated values.
        #[arg(long, conflicts_with = "json", help_heading = "Output")]
        csv: bool,
        /// Write the result as one JSON document.
        #[arg(long, help_heading = "Output")]
        json: bool,
    },
    /// Have the running keeper begin nothing new, in one market or anywhere.
    ///
    /// It goes on following the chain, and what is pending goes on. A restart ends the pause unless `--across-restarts` is given.
    #[command(after_help = PAUSE_EXAMPLES)]
    Pause {
        #[command(flatten)]
        control: Control,
        /// Market to pause, by name or id; else everything, harvests included.
        #[arg(value_name = "MARKET")]
        market: Option<String>,
        /// Hold the pause after a restart, too.
        #[arg(long, help_heading = "Selection")]
        across_restarts: bool,
    },
    /// End a pause of the running keeper.
    #[command(after_help = RESUME_EXAMPLES)]
    Resume {
        #[command(flatten)]
        control: Control,
        /// Market to resume, by name or id; else everything.
        #[arg(value_name = "MARKET")]
        market: Option<String>,
    },
    /// Send tokens that lie on the signers' accounts to the receiver of profits.
    ///
    /// All that the signers hold of them goes to `receiver` in [liquidate], and nowhere else. The running keeper sends it, so
    /// that no nonce is used without its journal. Where none runs, this command takes its place until the transfers are
    /// mined.
    #[command(after_help = SWEEP_EXAMPLES)]
    Sweep {
        #[command(flatten)]
        control: Control,
        /// Tokens, by name or address.
        #[arg(value_name = "TOKEN", required = true)]
        tokens: Vec<String>,
    },
    /// Replace a pending transaction by a cancellation.
    ///
    /// The cancellation is a transfer of nothing from the signer to itself with the same nonce, at a price that replaces. The
    /// running keeper sends it; where none runs, this command takes its place until one of the two is mined. A keeper decides
    /// again afterwards: pause the market first if it is not to.
    #[command(after_help = CANCEL_EXAMPLES)]
    Cancel {
        #[command(flatten)]
        control: Control,
        /// Nonce of the transaction, as the dashboard's signers and the log have it.
        #[arg(value_name = "NONCE")]
        nonce: u64,
        /// Account that signed it, where both signers have a pending transaction with this nonce.
        #[arg(long, value_name = "ADDRESS", help_heading = "Selection")]
        account: Option<Address>,
    },
    /// Close the circuit breaker of the running keeper before its time is over.
    ///
    /// First find out why transactions reverted.
    #[command(after_help = BREAKER_EXAMPLES)]
    Breaker {
        #[command(flatten)]
        control: Control,
        /// What to do with it.
        action: BreakerAction,
    },
    /// Carry the book, and what is known of other protocols, from one keeper to another, so that a new one need not read the
    /// chain's history.
    #[command(after_help = SNAPSHOT_EXAMPLES)]
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Show the keepers that share a database.
    #[command(after_help = FLEET_EXAMPLES)]
    Fleet {
        #[command(subcommand)]
        command: FleetCommand,
    },
    /// Show the positions of a live protocol that are nearest to liquidation.
    ///
    /// Needs a node and nothing else: no configuration, no deployment, no keys. The logs of the protocol are read from its
    /// first block on, with the remaining time in the log, and compared with the totals on chain. Sends nothing.
    #[command(after_help = WATCH_EXAMPLES)]
    Watch {
        #[command(flatten)]
        options: watch::WatchOptions,
    },
    /// Show every setting in effect and where it comes from.
    ///
    /// Secrets are not shown.
    #[command(after_help = CONFIG_EXAMPLES)]
    Config {
        #[command(flatten)]
        from: Source,
        /// Write the result as one JSON document.
        #[arg(long, help_heading = "Output")]
        json: bool,
    },
    /// Print a completion script for a shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell that the script is for.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands to a folder.
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// Folder for the pages, one file per command.
        #[arg(long, value_name = "FOLDER", help_heading = "Output")]
        out: Option<PathBuf>,
    },
}

/// Options of commands to a running keeper.
#[derive(Debug, Args)]
struct Control {
    #[command(flatten)]
    from: Source,
    /// Write the result as one JSON document.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BreakerAction {
    /// Let transactions be sent again.
    Close,
}

#[derive(Debug, Subcommand)]
enum FleetCommand {
    /// List the keepers that share the database of [store], and which of them holds the lease on each signer.
    Status {
        #[command(flatten)]
        from: Source,
        /// Write the result as one JSON document.
        #[arg(long, help_heading = "Output")]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    /// Write the book and the checkpoints of other protocols, as of blocks at least 64 deep, to a new file, also while a keeper
    /// runs.
    ///
    /// The file has a digest of its contents.
    Export {
        #[command(flatten)]
        from: Source,
        /// File to write; it must not exist yet.
        file: PathBuf,
    },
    /// Put a snapshot in the place of the store's checkpoints, after comparing it with the chain.
    ///
    /// A file that was cut off or altered is refused, and one of another deployment or of blocks that the chain does not have. What
    /// it has is then followed up to the newest block and compared there: totals, programmes, vaults, what governance waits for, and
    /// up to 10,000 each of positions, stakes and orders; of other protocols what their contracts say. Only then anything is changed. No keeper may run with this folder meanwhile. Files
    /// that are replaced are kept with `.old` at their names.
    Import {
        #[command(flatten)]
        from: Source,
        /// File that `export` wrote.
        file: PathBuf,
    },
}

/// Runs the program with the arguments of the process.
pub async fn main() -> ExitCode {
    execute(Arguments::parse()).await
}

/// Executes a command and returns the exit code. Errors are printed to stderr, with secrets removed.
pub async fn execute(arguments: Arguments) -> ExitCode {
    // The future of a command is too large for the stack.
    match Box::pin(run(arguments)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to report to when stderr is closed.
            let _ = writeln!(io::stderr(), "{}", scrub(&error_text(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Executes a command; returns false if it completed with a negative result.
async fn run(arguments: Arguments) -> eyre::Result<bool> {
    match arguments.command {
        Command::Run { from, live, adopt_nonce } => {
            let config = from.read()?;
            logging::start(config.log.format);
            config.log_warnings();
            let mode = if live { Mode::Live { adopt_nonce } } else { Mode::DryRun };
            let listening = |address| {
                // The parent process need not read stdout.
                let _ = writeln!(io::stdout(), "Listening on http://{address}");
            };
            let shutdown = Shutdown::on_signals()?;
            shutdown.fail_on_panic();
            Box::pin(engine::run(config, mode, shutdown, listening)).await?;
            Ok(true)
        }
        Command::Check { from, json } => {
            let config = from.read()?;
            logging::start(Format::Text);
            config.log_warnings();
            let report = Box::pin(check::run_checks(config)).await;
            print(json, &report, &report.text())?;
            Ok(report.good)
        }
        Command::Positions { from, market, below, json } => {
            let config = from.read()?;
            logging::start(Format::Text);
            config.log_warnings();
            let report = positions::list_positions(config, market.as_deref(), below.as_deref()).await?;
            print(json, &report, &report.text())?;
            Ok(true)
        }
        Command::Snapshot { command } => {
            logging::start(Format::Text);
            let text = match command {
                SnapshotCommand::Export { from, file } => snapshot::export(&from.read()?, &file)?,
                SnapshotCommand::Import { from, file } => Box::pin(snapshot::import(from.read()?, &file)).await?,
            };
            io::stdout().write_all(text.as_bytes())?;
            Ok(true)
        }
        Command::Fleet { command: FleetCommand::Status { from, json } } => {
            let config = from.read()?;
            logging::start(Format::Text);
            config.log_warnings();
            let report = Box::pin(fleet::status(config)).await?;
            print(json, &report, &report.text())?;
            Ok(true)
        }
        Command::Config { from, json } => {
            let config = from.read()?;
            logging::start(Format::Text);
            config.log_warnings();
            let settings = config.settings;
            print(json, &settings, &settings_text(&settings))?;
            Ok(true)
        }
        Command::Watch { options } => {
            logging::start(Format::Text);
            watch::watch(options).await?;
            Ok(true)
        }
        Command::Report { from, since, until, csv, json } => {
            let config = from.read()?;
            logging::start(Format::Text);
            config.log_warnings();
            let report = Box::pin(report::report(config, since.as_deref(), until.as_deref())).await?;
            print(json, &report, &if csv { report.csv() } else { report.text() })?;
            Ok(true)
        }
        Command::Pause { control, market, across_restarts } => {
            command(control, &Request::Pause { market, across_restarts }).await
        }
        Command::Resume { control, market } => command(control, &Request::Resume { market }).await,
        Command::Sweep { control, tokens } => command(control, &Request::Sweep { tokens }).await,
        Command::Cancel { control, nonce, account } => command(control, &Request::Cancel { nonce, account }).await,
        Command::Breaker { control, action: BreakerAction::Close } => command(control, &Request::CloseBreaker).await,
        Command::Completions { shell } => {
            io::stdout().write_all(&shell::completions(Arguments::command(), shell))?;
            Ok(true)
        }
        Command::Man { out: Some(folder) } => {
            shell::man_pages(Arguments::command(), &folder)?;
            Ok(true)
        }
        Command::Man { out: None } => {
            io::stdout().write_all(&shell::man_page(Arguments::command())?)?;
            Ok(true)
        }
    }
}

/// Sends a command to the keeper that runs with the configuration's store, or does itself without one what needs none.
/// Fails if there is neither, or if it is refused.
async fn command(Control { from, json }: Control, request: &Request) -> eyre::Result<bool> {
    let config = from.read()?;
    logging::start(Format::Text);
    config.log_warnings();
    let is_about_sending = matches!(request, Request::Sweep { .. } | Request::Cancel { .. });
    let done = match control::send(&config.store.folder, request).await {
        Err(ControlError::NotRunning { .. }) if is_about_sending => {
            Done { text: Box::pin(engine::run_alone(config, request)).await?, paused: Vec::new() }
        }
        answered => answered?,
    };
    let text = match done.paused.as_slice() {
        _ if is_about_sending => done.text.clone(),
        [] => format!("{}\npaused: nothing is paused", done.text),
        paused => format!("{}\npaused: {}", done.text, paused.join(", ")),
    };
    print(json, &done, &format!("{text}\n"))?;
    Ok(true)
}

/// Formats an error with its causes, leaving out causes that the text names already. A configuration error lists places
/// in files and stands alone.
fn error_text(error: &eyre::Report) -> String {
    if error.downcast_ref::<crate::config::ConfigError>().is_some() {
        return error.to_string();
    }
    format!("error: {}", with_causes(error))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::ValueEnum;
    use plimsoll_chain::shell::{completions, man_page, man_pages};

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_version_begins_with_that_of_the_crate() {
        assert!(VERSION.starts_with(env!("CARGO_PKG_VERSION")), "{VERSION}");
    }

    #[test]
    fn every_shell_completes_commands_and_options() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(Arguments::command(), *shell)).unwrap();
            for word in [NAME, "positions", "below", "rpc-url"] {
                assert!(script.contains(word), "{shell}: {word} is missing");
            }
        }
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = tempfile::tempdir().unwrap();
        man_pages(Arguments::command(), &folder.path().join("man1")).unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
        assert!(page("plimsoll-keeper.1").contains("Examples:"));
        assert!(page("plimsoll-keeper-positions.1").contains("HEALTH"));
        assert_eq!(page("plimsoll-keeper.1"), String::from_utf8(man_page(Arguments::command()).unwrap()).unwrap());
    }
}
