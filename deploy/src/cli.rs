//! The command line: results on stdout, as text or as one JSON document, everything else on stderr. Failures end
//! with exit code 1, words that make no command with 2.

use std::{
    env,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use eyre::{WrapErr, bail, ensure, eyre};
use plimsoll_chain::{
    endpoint::Endpoint,
    logging::{self, Format},
    redaction::scrub,
};
use plimsoll_contracts::deployment::Deployment;
use serde::Serialize;
use url::Url;

use crate::{
    apply::{Applier, Progress},
    compile::Artifacts,
    connection::Chain,
    design::Design,
    explorer::{Explorer, Outcome, Submission},
    journal::{Journal, record_of},
    look::look,
    manifest::Manifest,
    node::Node,
    packages,
    plan::{Inputs, Plan},
    preflight,
    progress::say,
    report::{PlanReport, VerifyReport, deployment_text},
    standard_json,
    tools::Tools,
    verify,
    workspace::Workspace,
};

/// How long to wait before asking an explorer again.
const EXPLORER_PAUSE: Duration = Duration::from_secs(3);
/// The manifest when none is named.
const LOCAL_MANIFEST: &str = "examples/local.toml";

/// Compiles Plimsoll and makes a chain what a manifest says.
///
/// A manifest is a TOML file that names a network, contracts and their arguments, tokens, price feeds, oracles,
/// markets, backstops, pools and staking programmes: examples/local.toml explains every key, docs/deploy.md the rest.
///
/// Contracts are created by the deterministic deployer, so addresses follow from code and arguments. Nothing is sent
/// before everything was checked and tried; an interrupted `apply` goes on where it was, and a second one does nothing.
/// Keys come from an encrypted keystore, an environment variable, or – on a local Anvil only – from Anvil; never as an
/// argument.
#[derive(Debug, Parser)]
#[command(name = "deploy", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Write the result as one JSON document.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile the contracts, as forge does, and list them.
    Build,
    /// Show what `apply` would do, and why; without an endpoint, what shall be on a chain.
    Plan {
        #[command(flatten)]
        target: Target,
        /// Do not look at a chain even if the manifest names an endpoint.
        #[arg(long)]
        offline: bool,
    },
    /// Do what is left to do. Shows the plan and its cost first, and asks on chains that are not local.
    Apply {
        #[command(flatten)]
        target: Target,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Where code or arguments changed since the record was written: create the new contracts beside the old ones.
        #[arg(long)]
        replace: bool,
    },
    /// Compare the chain with the compiled code and the manifest; publish sources.
    Verify {
        #[command(flatten)]
        target: Target,
        /// Write the compiler's standard JSON input of each contract into this folder.
        #[arg(long, value_name = "DIR")]
        standard_json: Option<PathBuf>,
        /// Hand sources in to an explorer that speaks Etherscan's language (key in ETHERSCAN_API_KEY).
        #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "https://api.etherscan.io/v2/api")]
        etherscan: Option<Url>,
        /// Hand sources in to Sourcify.
        #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "https://sourcify.dev/server")]
        sourcify: Option<Url>,
    },
    /// Show what stands on a chain, from its record and from the chain itself.
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// Start a fresh local Anvil, deploy everything on it, and stay until Ctrl-C.
    Up {
        /// What to deploy.
        #[arg(default_value = LOCAL_MANIFEST)]
        manifest: PathBuf,
        /// Anvil's port; 0 for any that is free.
        #[arg(long, default_value_t = 8545)]
        port: u16,
        /// Where the record goes; else target/deployments.
        #[arg(long, value_name = "DIR")]
        records: Option<PathBuf>,
        /// End when everything is deployed.
        #[arg(long)]
        exit: bool,
    },
}

#[derive(Debug, Args)]
struct Target {
    /// The manifest.
    #[arg(default_value = LOCAL_MANIFEST)]
    manifest: PathBuf,
    /// The node, for URLs that hold no key.
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,
    /// The environment variable that holds the node's URL.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "rpc")]
    rpc_env: Option<String>,
    /// Where records are; else deployments, and target/deployments for local chains.
    #[arg(long, value_name = "DIR")]
    records: Option<PathBuf>,
}

/// The whole program.
pub async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(Format::Text);
    match run(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(scrub(&format!("error: {}", with_causes(&error))));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, each said once: many an error's text holds its cause's already.
fn with_causes(error: &eyre::Report) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Does what the arguments say; `false` where the result is that something is not as it shall be.
pub async fn run(arguments: Arguments) -> eyre::Result<bool> {
    let json = arguments.json;
    match arguments.command {
        Command::Build => build(json).await,
        Command::Plan { target, offline } => plan(&target, offline, json).await,
        Command::Apply { target, yes, replace } => apply(&target, yes, replace, json).await,
        Command::Verify { target, standard_json, etherscan, sourcify } => {
            let mut explorers = Vec::new();
            if let Some(url) = etherscan {
                explorers.push(Explorer::etherscan(url)?);
            }
            explorers.extend(sourcify.map(Explorer::Sourcify));
            verify_all(&target, standard_json.as_deref(), &explorers, json).await
        }
        Command::Status { target } => status(&target, json).await,
        Command::Up { manifest, port, records, exit } => up(&manifest, port, records.as_deref(), exit, json).await,
    }
}

/// What every command begins with.
struct Project {
    tools: Tools,
    artifacts: Artifacts,
}

impl Project {
    async fn open() -> eyre::Result<Self> {
        let prepare = || -> eyre::Result<Self> {
            let tools = Tools::ready(&Workspace::find()?)?;
            let artifacts = packages::everything(&tools)?;
            Ok(Self { tools, artifacts })
        };
        tokio::task::spawn_blocking(prepare).await?
    }

    fn record_path(&self, records: Option<&Path>, chain: &Chain) -> PathBuf {
        let default = || match chain.local() {
            // A local chain is gone tomorrow, and a fork has the id of the chain that it copies.
            Some(_) => self.tools.workspace().target().join("deployments"),
            None => self.tools.workspace().root().join("deployments"),
        };
        records.map_or_else(default, Path::to_path_buf).join(format!("{}.json", chain.id()))
    }
}

impl Target {
    /// The endpoint that arguments or manifest name, if they do and it is set.
    fn endpoint(&self, manifest: &Manifest) -> eyre::Result<Option<Endpoint>> {
        let network = &manifest.tables.network;
        if let Some(url) = &self.rpc {
            return Ok(Some(url.parse()?));
        }
        if let Some(variable) = self.rpc_env.as_ref().or(network.rpc_env.as_ref()) {
            let url = env::var(variable)
                .map_err(|_| eyre!("the environment variable {variable} is not set; it must hold the node's URL"))?;
            return Ok(Some(url.parse()?));
        }
        network.rpc.as_ref().map(|url| url.parse()).transpose().map_err(Into::into)
    }

    async fn connect(&self, manifest: &Manifest) -> eyre::Result<Chain> {
        let endpoint = self.endpoint(manifest)?.ok_or_else(|| {
            eyre!(
                "no node is named: write `rpc` or `rpc_env` in [network] of {}, or say --rpc or --rpc-env",
                manifest.path().display()
            )
        })?;
        Ok(Chain::connect(endpoint).await?)
    }
}

fn print(json: bool, value: &impl Serialize, text: &str) -> eyre::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    } else {
        write!(out, "{text}")?;
    }
    Ok(out.flush()?)
}

async fn build(json: bool) -> eyre::Result<bool> {
    #[derive(Serialize)]
    struct Built<'a> {
        contract: &'a str,
        source: String,
        creation_bytes: usize,
        runtime_bytes: usize,
    }

    let project = Project::open().await?;
    let list: Vec<Built<'_>> = project
        .artifacts
        .iter()
        .map(|artifact| Built {
            contract: &artifact.name,
            source: artifact.source.display().to_string(),
            creation_bytes: artifact.creation_code.len(),
            runtime_bytes: artifact.runtime_code.len(),
        })
        .collect();
    let row =
        |built: &Built<'_>| format!("{:20} {:>6} bytes  {}\n", built.contract, built.creation_bytes, built.source);
    print(json, &list, &list.iter().map(row).collect::<String>())?;
    Ok(true)
}

async fn plan(target: &Target, offline: bool, json: bool) -> eyre::Result<bool> {
    let manifest = read(&target.manifest)?;
    let project = Project::open().await?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let endpoint = if offline {
        None
    } else {
        target.endpoint(&manifest).unwrap_or_else(|reason| {
            say(format_args!("planning without a chain: {reason}"));
            None
        })
    };
    let Some(endpoint) = endpoint else {
        let report = PlanReport::offline(&design);
        print(json, &report, &report.text())?;
        return Ok(true);
    };
    let chain = Chain::connect(endpoint).await?;
    let record = record_of(&project.record_path(target.records.as_deref(), &chain), &chain, &design).await?;
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: false };
    let report = PlanReport::online(&design, &Plan::new(inputs, &record).await?);
    print(json, &report, &report.text())?;
    Ok(report.problems.is_empty())
}

async fn apply(target: &Target, yes: bool, replace: bool, json: bool) -> eyre::Result<bool> {
    let manifest = read(&target.manifest)?;
    let project = Project::open().await?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let chain = target.connect(&manifest).await?;
    let path = project.record_path(target.records.as_deref(), &chain);
    let ask = !yes && chain.local().is_none();
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: replace };
    let record = carry_out(&manifest, inputs, &path, ask).await?;
    print(json, &record, &deployment_text(&record))?;
    say(format_args!("the record is {}", path.display()));
    Ok(true)
}

async fn carry_out(manifest: &Manifest, inputs: Inputs<'_>, path: &Path, ask: bool) -> eyre::Result<Deployment> {
    let Inputs { design, chain, .. } = inputs;
    let signer = manifest.tables.deployer.key.load(chain.local())?;
    let journal = Journal::open(path, chain, design).await?;
    let is_local = chain.local().is_some();
    let tell = |progress: Progress<'_>| tell(progress, is_local);
    let mut applier = Applier::new(inputs, signer, journal, &tell)?;
    let plan = applier.prepare().await?;
    say(PlanReport::online(design, &plan).text());
    if ask && plan.transactions > 0 {
        confirm(&design.network)?;
    }
    applier.execute().await?;
    Ok(applier.record().clone())
}

fn tell(progress: Progress<'_>, is_local: bool) {
    match progress {
        // On a local chain it is mined before anybody has read this.
        Progress::Sent { .. } if is_local => {}
        Progress::Sent { step, transaction } => say(format_args!("  {step}: sent {transaction}")),
        Progress::Mined { step, sent } => say(format_args!("  {step}: {} in block {}", sent.transaction, sent.block)),
        Progress::Waits { transactions } => {
            say(format_args!("waiting for {transactions} other transactions of the deployer to be mined"));
        }
        Progress::Found { step } => say(format_args!("  {step}: was paid before, and is in the record now")),
    }
}

/// Asks for the network's name, which nobody types by mistake.
fn confirm(network: &str) -> eyre::Result<()> {
    ensure!(io::stdin().is_terminal(), "nobody is here to confirm this: say --yes");
    say(format_args!("Type the network's name, {network}, to send this:"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != network {
        bail!("not confirmed, and nothing was sent");
    }
    Ok(())
}

async fn verify_all(target: &Target, folder: Option<&Path>, explorers: &[Explorer], json: bool) -> eyre::Result<bool> {
    let manifest = read(&target.manifest)?;
    let project = Project::open().await?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let chain = target.connect(&manifest).await?;
    let record = record_of(&project.record_path(target.records.as_deref(), &chain), &chain, &design).await?;
    let problems = preflight::problems(&chain, &design).await?;
    let findings = verify::contracts(&chain, &design, &project.artifacts).await?;
    let mut seen = Vec::new();
    for step in &design.steps {
        seen.push((step.clone(), look(&chain, &design, &record, step).await?));
    }
    let mut report = VerifyReport::new(&findings, &seen, problems);
    if let Some(folder) = folder {
        for artifact in project.artifacts.iter().filter(|artifact| !artifact.runtime_code.is_empty()) {
            let input = standard_json::standard_json(&project.tools, artifact)?;
            let path =
                standard_json::write(&input, &artifact.name, folder).wrap_err_with(|| folder.display().to_string())?;
            report.published.push(format!("{} written to {}", artifact.name, path.display()));
        }
    }
    for explorer in explorers {
        publish(&project, &design, &chain, &record, explorer, &mut report).await?;
    }
    print(json, &report, &report.text())?;
    Ok(report.good)
}

/// Hands every contract that was compiled here in to an explorer. One that is refused spoils the verdict, not the rest.
async fn publish(
    project: &Project,
    design: &Design,
    chain: &Chain,
    record: &Deployment,
    explorer: &Explorer,
    report: &mut VerifyReport,
) -> eyre::Result<()> {
    for (name, creation) in design.creations() {
        let artifact = project.artifacts.get(&creation.contract)?;
        if artifact.runtime_code.is_empty() {
            continue;
        }
        let input = standard_json::standard_json(&project.tools, artifact)?;
        let submission = Submission {
            chain_id: chain.id(),
            address: creation.address,
            arguments: &creation.encoded_arguments,
            input: &input,
            transaction: record.contracts.get(name).and_then(|known| known.created).map(|sent| sent.transaction),
        };
        match explorer.submit(&submission, EXPLORER_PAUSE).await {
            Ok(Outcome::Verified) => report.published.push(format!("{name}: verified by the explorer")),
            Ok(Outcome::Already) => report.published.push(format!("{name}: the explorer has it already")),
            Err(error) => {
                report.good = false;
                report.published.push(format!("{name}: {error}"));
            }
        }
    }
    Ok(())
}

async fn status(target: &Target, json: bool) -> eyre::Result<bool> {
    #[derive(Serialize)]
    struct Status<'a> {
        record: &'a Deployment,
        plan: &'a PlanReport,
    }

    let manifest = read(&target.manifest)?;
    let project = Project::open().await?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let chain = target.connect(&manifest).await?;
    let record = record_of(&project.record_path(target.records.as_deref(), &chain), &chain, &design).await?;
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: false };
    let plan = Plan::new(inputs, &record).await?;
    let report = PlanReport::online(&design, &plan);
    print(
        json,
        &Status { record: &record, plan: &report },
        &format!("{}\n{}", deployment_text(&record), report.text()),
    )?;
    Ok(plan.drift.is_empty() && plan.problems.is_empty())
}

/// The manifest at this path; the default one is the project's, wherever the command is run.
fn read(path: &Path) -> eyre::Result<Manifest> {
    if path != Path::new(LOCAL_MANIFEST) {
        return Ok(Manifest::read(path)?);
    }
    Ok(Manifest::read(&Workspace::find()?.root().join(path))?)
}

async fn up(manifest: &Path, port: u16, records: Option<&Path>, exit: bool, json: bool) -> eyre::Result<bool> {
    let project = Project::open().await?;
    let manifest = read(manifest)?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let (port, chain_id) = (port.to_string(), design.chain_id.to_string());
    let node = Node::start(&project.tools, &["--port", &port, "--chain-id", &chain_id]).await?;
    let chain = Chain::connect(node.http_url().parse()?).await?;
    let path = project.record_path(records, &chain);
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: false };
    let record = carry_out(&manifest, inputs, &path, false).await?;
    print(json, &record, &deployment_text(&record))?;
    if !exit {
        say(format_args!("the chain stays up at {} (record: {}); Ctrl-C ends it", node.http_url(), path.display()));
        tokio::signal::ctrl_c().await?;
    }
    Ok(true)
}
