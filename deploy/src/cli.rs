//! The command line: results on stdout, as text or as one JSON document, everything else on stderr. Failures end
//! with exit code 1, words that make no command with 2.

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use eyre::{WrapErr, bail, ensure, eyre};
use plimsoll_chain::{
    endpoint::Endpoint,
    logging::{self, Format},
    redaction::scrub,
    shell::{self, Shell},
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
    inspect::inspect,
    journal::{Journal, record_of},
    manifest::Manifest,
    packages,
    plan::{Inputs, Plan},
    preflight,
    report::{PlanReport, VerifyReport, deployment_text},
    standard_json,
    toolchain::{
        node::Node,
        progress::say,
        tools::{Tool, Tools},
        workspace::{ROOT_VARIABLE, Workspace},
    },
    verify,
};

/// How long to wait before asking an explorer again.
const EXPLORER_PAUSE: Duration = Duration::from_secs(3);
/// Names a node for every tool of this field, ours included.
const RPC_VARIABLE: &str = "ETH_RPC_URL";
/// The manifest when none is named.
const LOCAL_MANIFEST: &str = "examples/local.toml";

/// Name of the program.
const NAME: &str = "plimsoll-deploy";
/// Version and commit, from the build script.
const VERSION: &str = env!("PLIMSOLL_VERSION");

const EXAMPLES: &str = "\
Examples:
  # Everything on a fresh local Anvil, which stays until Ctrl-C
  plimsoll-deploy up
  # What would be sent to a public chain, and what it would cost
  plimsoll-deploy plan my-chain.toml --rpc-url https://rpc.example.org
  # Send it; the network's name must be typed
  ETH_RPC_URL=https://… plimsoll-deploy apply my-chain.toml
  # Compare code and parameters on the chain with the manifest
  plimsoll-deploy verify my-chain.toml
  # The pinned cast, against a local chain
  plimsoll-deploy tool cast block-number --rpc-url http://127.0.0.1:8545";

/// Compiles Plimsoll's contracts and deploys what a manifest describes.
///
/// A manifest is a TOML file that names a network, contracts and their arguments, tokens, price feeds, oracles,
/// markets, backstops, pools and staking programmes: examples/local.toml explains every key.
///
/// Contracts are created by the deterministic deployer, so addresses follow from code and arguments. Nothing is sent
/// before everything was checked and simulated; an interrupted `apply` resumes where it was, and a second one does
/// nothing. Keys come from an encrypted keystore, an environment variable, or – on a local Anvil only – from Anvil;
/// never from an argument.
#[derive(Debug, Parser)]
#[command(name = NAME, version = VERSION, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Write the result as one JSON document.
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// The checkout of Plimsoll with contracts and pinned tools; by default the one that contains the current folder.
    #[arg(long, global = true, value_name = "DIR", env = ROOT_VARIABLE, help_heading = "Project")]
    root: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile the contracts, as forge does, and list them.
    Build,
    /// Show what `apply` would do, and why; without an endpoint, what the manifest describes.
    Plan {
        #[command(flatten)]
        target: Target,
        /// Do not ask a chain even if an endpoint is named.
        #[arg(long)]
        offline: bool,
    },
    /// Execute the remaining steps. Shows the plan and its cost first, and asks on chains that are not local.
    Apply {
        #[command(flatten)]
        target: Target,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Where code or arguments changed since the record was written: create new contracts besides the old ones.
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
        /// Submit sources to an explorer with Etherscan's API (key in ETHERSCAN_API_KEY).
        #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "https://api.etherscan.io/v2/api")]
        etherscan: Option<Url>,
        /// Submit sources to Sourcify.
        #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "https://sourcify.dev/server")]
        sourcify: Option<Url>,
    },
    /// Show what is deployed on a chain, from its record and from the chain itself.
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// Start a fresh local Anvil, deploy everything on it, and stay until Ctrl-C.
    Up {
        /// The manifest to deploy.
        #[arg(default_value = LOCAL_MANIFEST)]
        manifest: PathBuf,
        /// Port of the node; 0 for any that is free.
        #[arg(long, default_value_t = 8545)]
        port: u16,
        /// Folder for the record; by default target/deployments.
        #[arg(long, value_name = "DIR")]
        records: Option<PathBuf>,
        /// End when everything is deployed.
        #[arg(long)]
        exit: bool,
    },
    /// Run a pinned tool: anvil, cast, forge or solc. The exit code is the tool's.
    Tool {
        /// The tool.
        #[arg(value_name = "NAME", value_parser = parse_tool)]
        tool: Tool,
        /// Arguments of the tool.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell that the script is for.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands to a folder.
    Man {
        /// Folder for the pages, one file per command.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

fn parse_tool(name: &str) -> Result<Tool, String> {
    let tool = Tool::ALL.into_iter().find(|tool| tool.to_string() == name);
    tool.ok_or_else(|| format!("the pinned tools are {}", Tool::ALL.map(|tool| tool.to_string()).join(", ")))
}

#[derive(Debug, Args)]
struct Target {
    /// The manifest.
    #[arg(default_value = LOCAL_MANIFEST)]
    manifest: PathBuf,
    /// URL of the node, if it contains no key. Without it, `rpc` or `rpc_env` of the manifest, then ETH_RPC_URL.
    #[arg(long, value_name = "URL", alias = "rpc", help_heading = "Endpoint")]
    rpc_url: Option<String>,
    /// The environment variable that contains the node's URL.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "rpc_url", help_heading = "Endpoint")]
    rpc_env: Option<String>,
    /// Folder of the records; by default deployments, and target/deployments for local chains.
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
    let root = arguments.root.as_deref();
    match arguments.command {
        Command::Build => build(root, json).await,
        Command::Plan { target, offline } => plan(root, &target, offline, json).await,
        Command::Apply { target, yes, replace } => apply(root, &target, yes, replace, json).await,
        Command::Verify { target, standard_json, etherscan, sourcify } => {
            let mut explorers = Vec::new();
            if let Some(url) = etherscan {
                explorers.push(Explorer::etherscan(url)?);
            }
            explorers.extend(sourcify.map(Explorer::Sourcify));
            verify_all(root, &target, standard_json.as_deref(), &explorers, json).await
        }
        Command::Status { target } => status(root, &target, json).await,
        Command::Up { manifest, port, records, exit } => {
            let project = Project::open(root).await?;
            let manifest = read(&project, &manifest)?;
            up(&project, &manifest, port, records.as_deref(), exit, json).await
        }
        Command::Tool { tool, arguments } => run_tool(root, tool, &arguments),
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

/// The tools and compiled contracts that most commands need.
struct Project {
    tools: Tools,
    artifacts: Artifacts,
}

impl Project {
    async fn open(root: Option<&Path>) -> eyre::Result<Self> {
        let workspace = workspace(root)?;
        let prepare = move || -> eyre::Result<Self> {
            let tools = Tools::ready(&workspace)?;
            let artifacts = packages::all_artifacts(&tools)?;
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
        if let Some(url) = &self.rpc_url {
            return Ok(Some(url.parse()?));
        }
        if let Some(variable) = self.rpc_env.as_ref().or(network.rpc_env.as_ref()) {
            let url = env::var(variable)
                .map_err(|_| eyre!("the environment variable {variable} is not set; it must hold the node's URL"))?;
            return Ok(Some(url.parse()?));
        }
        let url = network.rpc.clone().or_else(|| env::var(RPC_VARIABLE).ok().filter(|url| !url.is_empty()));
        url.map(|url| url.parse()).transpose().map_err(Into::into)
    }

    /// Whether an argument names the endpoint, so that it must work.
    const fn is_explicit(&self) -> bool {
        self.rpc_url.is_some() || self.rpc_env.is_some()
    }

    async fn connect(&self, manifest: &Manifest) -> eyre::Result<Chain> {
        let endpoint = self.endpoint(manifest)?.ok_or_else(|| {
            eyre!(
                "no node is named: write `rpc` or `rpc_env` in [network] of {}, pass --rpc-url or --rpc-env, or set \
                 {RPC_VARIABLE}",
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

async fn build(root: Option<&Path>, json: bool) -> eyre::Result<bool> {
    #[derive(Serialize)]
    struct Built<'a> {
        contract: &'a str,
        source: String,
        creation_bytes: usize,
        runtime_bytes: usize,
    }

    let project = Project::open(root).await?;
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

async fn plan(root: Option<&Path>, target: &Target, offline: bool, json: bool) -> eyre::Result<bool> {
    let project = Project::open(root).await?;
    let manifest = read(&project, &target.manifest)?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let endpoint = if offline {
        None
    } else {
        match target.endpoint(&manifest) {
            Err(reason) if !target.is_explicit() => {
                say(format_args!("planning without a chain: {reason}"));
                None
            }
            endpoint => endpoint?,
        }
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

async fn apply(root: Option<&Path>, target: &Target, yes: bool, replace: bool, json: bool) -> eyre::Result<bool> {
    let project = Project::open(root).await?;
    let manifest = read(&project, &target.manifest)?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let chain = target.connect(&manifest).await?;
    let path = project.record_path(target.records.as_deref(), &chain);
    let ask = !yes && chain.local().is_none();
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: replace };
    let record = deploy(&manifest, inputs, &path, ask).await?;
    print(json, &record, &deployment_text(&record))?;
    say(format_args!("the record is {}", path.display()));
    Ok(true)
}

async fn deploy(manifest: &Manifest, inputs: Inputs<'_>, path: &Path, ask: bool) -> eyre::Result<Deployment> {
    let Inputs { design, chain, .. } = inputs;
    let signer = manifest.tables.deployer.key.load(chain.local())?;
    let journal = Journal::open(path, chain, design).await?;
    let is_local = chain.local().is_some();
    let on_progress = |progress: Progress<'_>| report_progress(progress, is_local);
    let mut applier = Applier::new(inputs, signer, journal, &on_progress)?;
    let plan = applier.prepare().await?;
    say(PlanReport::online(design, &plan).text());
    if ask && plan.transactions > 0 {
        confirm(&design.network)?;
    }
    applier.execute().await?;
    Ok(applier.record().clone())
}

fn report_progress(progress: Progress<'_>, is_local: bool) {
    match progress {
        // On a local chain it is mined before anybody has read this.
        Progress::Sent { .. } if is_local => {}
        Progress::Sent { step, transaction } => say(format_args!("  {step}: sent {transaction}")),
        Progress::Mined { step, sent } => say(format_args!("  {step}: {} in block {}", sent.transaction, sent.block)),
        Progress::WaitingForOthers { transactions } => {
            say(format_args!("waiting for {transactions} other transactions of the deployer to be mined"));
        }
        Progress::AlreadyPaid { step } => say(format_args!("  {step}: was paid before, and is in the record now")),
    }
}

/// Asks for the network's name, which nobody types by mistake.
fn confirm(network: &str) -> eyre::Result<()> {
    ensure!(io::stdin().is_terminal(), "stdin is no terminal to confirm this on: pass --yes");
    say(format_args!("Type the network's name, {network}, to send this:"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != network {
        bail!("not confirmed, and nothing was sent");
    }
    Ok(())
}

async fn verify_all(
    root: Option<&Path>,
    target: &Target,
    folder: Option<&Path>,
    explorers: &[Explorer],
    json: bool,
) -> eyre::Result<bool> {
    let project = Project::open(root).await?;
    let manifest = read(&project, &target.manifest)?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let chain = target.connect(&manifest).await?;
    let record = record_of(&project.record_path(target.records.as_deref(), &chain), &chain, &design).await?;
    let problems = preflight::problems(&chain, &design).await?;
    let findings = verify::contracts(&chain, &design, &project.artifacts).await?;
    let mut seen = Vec::new();
    for step in &design.steps {
        seen.push((step.clone(), inspect(&chain, &design, &record, step).await?));
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

async fn status(root: Option<&Path>, target: &Target, json: bool) -> eyre::Result<bool> {
    #[derive(Serialize)]
    struct Status<'a> {
        record: &'a Deployment,
        plan: &'a PlanReport,
    }

    let project = Project::open(root).await?;
    let manifest = read(&project, &target.manifest)?;
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

/// Returns the project in the folder that `--root` names, else the one that contains the current folder.
fn workspace(root: Option<&Path>) -> eyre::Result<Workspace> {
    Ok(root.map_or_else(Workspace::find, Workspace::checked)?)
}

/// Reads the manifest at this path; the default one is the project's, wherever the command is run.
fn read(project: &Project, path: &Path) -> eyre::Result<Manifest> {
    if path != Path::new(LOCAL_MANIFEST) {
        return Ok(Manifest::read(path)?);
    }
    Ok(Manifest::read(&project.tools.workspace().root().join(path))?)
}

/// Runs a pinned tool in the current folder, with this process's input and output.
fn run_tool(root: Option<&Path>, tool: Tool, arguments: &[OsString]) -> eyre::Result<bool> {
    let tools = Tools::ready(&workspace(root)?)?;
    let mut command = std::process::Command::new(tools.path(tool)?);
    command.args(arguments);
    let status = command.status().wrap_err_with(|| format!("{tool} cannot be started"))?;
    match status.code() {
        Some(0) => Ok(true),
        // The tool has said why.
        Some(code) => std::process::exit(code),
        None => bail!("{tool} was ended by a signal"),
    }
}

async fn up(
    project: &Project,
    manifest: &Manifest,
    port: u16,
    records: Option<&Path>,
    exit: bool,
    json: bool,
) -> eyre::Result<bool> {
    let design = Design::new(manifest, &project.artifacts)?;
    let (port, chain_id) = (port.to_string(), design.chain_id.to_string());
    let node = Node::start(&project.tools, &["--port", &port, "--chain-id", &chain_id]).await?;
    let chain = Chain::connect(node.http_url().parse()?).await?;
    let path = project.record_path(records, &chain);
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: false };
    let record = deploy(manifest, inputs, &path, false).await?;
    print(json, &record, &deployment_text(&record))?;
    if !exit {
        say(format_args!("the chain stays up at {} (record: {}); Ctrl-C ends it", node.http_url(), path.display()));
        tokio::signal::ctrl_c().await?;
    }
    Ok(true)
}
