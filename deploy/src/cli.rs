//! The command line. Results go to stdout, as text or as one JSON document, everything else to stderr. The exit code is
//! 0 on success, 1 on failure or when the chain does not match the manifest, 2 for arguments that are not understood.

mod help;

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use eyre::{ContextCompat, WrapErr, bail, ensure, eyre};
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
    safe, standard_json,
    toolchain::{
        node::Node,
        progress::say,
        tools::{Tool, Tools},
        workspace::{ROOT_VARIABLE, Workspace},
    },
    verify,
};

/// Name of the program.
const NAME: &str = "plimsoll-deploy";
/// Version and commit, from the build script.
const VERSION: &str = env!("PLIMSOLL_VERSION");
/// Environment variable with a node's URL, as in Foundry's tools.
const RPC_URL_VARIABLE: &str = "ETH_RPC_URL";
/// Time between two queries of a block explorer.
const EXPLORER_POLL_INTERVAL: Duration = Duration::from_secs(3);
/// Manifest that is used when none is named, from the root of the repository.
const LOCAL_MANIFEST: &str = "examples/local.toml";

/// Compiles Plimsoll and makes a chain match a manifest.
///
/// A manifest is a TOML file that describes a network, contracts and their arguments, tokens, price feeds, oracles,
/// markets, backstops, pools and staking programmes: examples/local.toml explains every key, docs/deploy.md the rest.
///
/// Contracts are created by the deterministic deployer, so addresses follow from code and arguments. Nothing is sent
/// before everything was checked and simulated; an interrupted `apply` continues where it was, and a second one changes
/// nothing. Keys come from an encrypted keystore, an environment variable, or – on a local Anvil only – from Anvil; never
/// from an argument.
#[derive(Debug, Parser)]
#[command(name = NAME, version = VERSION, after_help = help::EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Root of the Plimsoll repository; else the one that the current folder is in.
    #[arg(long, value_name = "DIR", global = true, env = ROOT_VARIABLE, help_heading = "Global")]
    root: Option<PathBuf>,
    /// Write the result as one JSON document.
    #[arg(long, global = true, help_heading = "Global")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile the contracts, as forge does, and list them.
    #[command(after_help = help::BUILD)]
    Build,
    /// Show what `apply` would do, and why.
    ///
    /// Without an endpoint, the target state is shown without looking at a chain.
    #[command(after_help = help::PLAN)]
    Plan {
        #[command(flatten)]
        target: Target,
        /// Do not look at a chain even if an endpoint is configured.
        #[arg(long, conflicts_with_all = ["rpc_url", "rpc_env"], help_heading = "Chain")]
        offline: bool,
        /// Write the calls that the core's owner must sign to this file, for the Transaction Builder of Safe.
        #[arg(long, value_name = "FILE", conflicts_with = "offline", help_heading = "Owner")]
        safe: Option<PathBuf>,
    },
    /// Execute the steps that are left.
    ///
    /// Shows the plan and its cost first, and asks for confirmation unless it deploys to an Anvil with one of Anvil's keys.
    #[command(after_help = help::APPLY)]
    Apply {
        #[command(flatten)]
        target: Target,
        /// Do not ask for confirmation.
        #[arg(long, help_heading = "Sending")]
        yes: bool,
        /// Create new contracts besides the old ones where code or arguments have changed since the record was written.
        #[arg(long, help_heading = "Sending")]
        replace: bool,
    },
    /// Compare the chain with the compiled code and the manifest; publish sources.
    #[command(after_help = help::VERIFY)]
    Verify {
        #[command(flatten)]
        target: Target,
        /// Write the compiler's standard JSON input of each contract to this folder.
        #[arg(long, value_name = "DIR", help_heading = "Sources")]
        standard_json: Option<PathBuf>,
        /// Submit sources to an explorer with Etherscan's API (key in ETHERSCAN_API_KEY).
        #[arg(
            long,
            value_name = "URL",
            num_args = 0..=1,
            default_missing_value = "https://api.etherscan.io/v2/api",
            help_heading = "Sources"
        )]
        etherscan: Option<Url>,
        /// Submit sources to Sourcify.
        #[arg(
            long,
            value_name = "URL",
            num_args = 0..=1,
            default_missing_value = "https://sourcify.dev/server",
            help_heading = "Sources"
        )]
        sourcify: Option<Url>,
    },
    /// Show what is deployed on a chain, from its record and from the chain itself.
    #[command(after_help = help::STATUS)]
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// Start a fresh local Anvil, deploy everything on it, and keep it running until Ctrl-C or SIGTERM.
    #[command(after_help = help::UP)]
    Up {
        /// Manifest to deploy.
        #[arg(default_value = LOCAL_MANIFEST)]
        manifest: PathBuf,
        /// Anvil's port; 0 for any that is free.
        #[arg(long, default_value_t = 8545, help_heading = "Chain")]
        port: u16,
        /// Folder for the record; else target/deployments of the repository.
        #[arg(long, value_name = "DIR", help_heading = "Record")]
        records: Option<PathBuf>,
        /// End as soon as everything is deployed.
        #[arg(long, help_heading = "Chain")]
        exit: bool,
    },
    /// Run a pinned tool: anvil, cast, forge or solc.
    ///
    /// The tool is installed if it is missing. It runs in the current folder, with the environment and the standard streams
    /// of this program. All that follows its name is passed on to it.
    #[command(after_help = help::TOOL)]
    Tool {
        /// Name of the tool, and its arguments.
        #[arg(
            value_name = "TOOL",
            required = true,
            num_args = 1..,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        words: Vec<OsString>,
    },
    /// Print a completion script for a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// Shell that the script is for.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands to a folder.
    #[command(after_help = help::MAN)]
    Man {
        /// Folder for the pages, one file per command.
        #[arg(long, value_name = "DIR", help_heading = "Output")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Target {
    /// Manifest of the network.
    #[arg(default_value = LOCAL_MANIFEST)]
    manifest: PathBuf,
    /// URL of the node; else `rpc` or `rpc_env` of the manifest, else the environment variable ETH_RPC_URL.
    ///
    /// Prefer an environment variable for a URL with a key, because arguments are visible in the list of processes.
    #[arg(long, value_name = "URL", alias = "rpc", help_heading = "Chain")]
    rpc_url: Option<String>,
    /// Environment variable that holds the node's URL.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "rpc_url", help_heading = "Chain")]
    rpc_env: Option<String>,
    /// Folder of the records; else deployments of the repository, or target/deployments for local chains.
    #[arg(long, value_name = "DIR", help_heading = "Record")]
    records: Option<PathBuf>,
}

/// Runs the program with the arguments of the process.
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

/// Joins an error and its causes, without those that the text contains already.
fn with_causes(error: &eyre::Report) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Executes a command; returns false if it completed and the chain does not match the manifest.
pub async fn run(arguments: Arguments) -> eyre::Result<bool> {
    let Arguments { command, root, json } = arguments;
    let context = Context { root, json };
    match command {
        Command::Build => build(&context).await,
        Command::Plan { target, offline, safe } => plan(&context, &target, offline, safe.as_deref()).await,
        Command::Apply { target, yes, replace } => apply(&context, &target, yes, replace).await,
        Command::Verify { target, standard_json, etherscan, sourcify } => {
            let mut explorers = Vec::new();
            if let Some(url) = etherscan {
                explorers.push(Explorer::etherscan(url)?);
            }
            explorers.extend(sourcify.map(Explorer::Sourcify));
            verify_all(&context, &target, standard_json.as_deref(), &explorers).await
        }
        Command::Status { target } => status(&context, &target).await,
        Command::Up { manifest, port, records, exit } => up(&context, &manifest, port, records.as_deref(), exit).await,
        Command::Tool { words } => tool(&context, &words),
        Command::Completions { shell } => write_stdout(&shell::completions(Arguments::command(), shell)),
        Command::Man { out: Some(folder) } => {
            shell::man_pages(Arguments::command(), &folder).wrap_err_with(|| folder.display().to_string())?;
            Ok(true)
        }
        Command::Man { out: None } => write_stdout(&shell::man_page(Arguments::command())?),
    }
}

/// Global options.
struct Context {
    root: Option<PathBuf>,
    json: bool,
}

impl Context {
    fn workspace(&self) -> eyre::Result<Workspace> {
        // An empty variable counts as unset.
        let root = self.root.as_deref().filter(|root| !root.as_os_str().is_empty());
        Ok(root.map_or_else(Workspace::find, Workspace::checked)?)
    }

    /// Reads a manifest. The default one is the repository's, whatever the current folder is.
    fn manifest(&self, path: &Path) -> eyre::Result<Manifest> {
        if path != Path::new(LOCAL_MANIFEST) {
            return Ok(Manifest::read(path)?);
        }
        Ok(Manifest::read(&self.workspace()?.root().join(path))?)
    }

    /// Writes a result to stdout, as JSON or as text.
    fn print(&self, value: &impl Serialize, text: &str) -> eyre::Result<()> {
        let json = if self.json { Some(serde_json::to_string_pretty(value)? + "\n") } else { None };
        write_stdout(json.as_deref().unwrap_or(text).as_bytes())?;
        Ok(())
    }
}

fn write_stdout(bytes: &[u8]) -> eyre::Result<bool> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(true)
}

/// The installed tools and the compiled contracts, which most commands need.
struct Project {
    tools: Tools,
    artifacts: Artifacts,
}

impl Project {
    async fn open(context: &Context) -> eyre::Result<Self> {
        let workspace = context.workspace()?;
        let prepare = move || -> eyre::Result<Self> {
            let tools = Tools::ready(&workspace)?;
            let artifacts = packages::all_artifacts(&tools)?;
            Ok(Self { tools, artifacts })
        };
        tokio::task::spawn_blocking(prepare).await?
    }

    fn record_path(&self, records: Option<&Path>, chain: &Chain, design: &Design) -> PathBuf {
        let workspace = self.tools.workspace();
        // A development chain is short-lived, and a fork has the id of the chain that it copies.
        let is_dev = chain.is_dev_chain(design.deployer);
        let default = || if is_dev { workspace.target() } else { workspace.root().to_path_buf() }.join("deployments");
        records.map_or_else(default, Path::to_path_buf).join(format!("{}.json", chain.id()))
    }
}

impl Target {
    /// Returns the endpoint that an option, the manifest or [`RPC_URL_VARIABLE`] names, in this order. Fails if its URL is
    /// invalid, or a variable that `--rpc-env` names is not set. Returns `None` if there is no endpoint; a variable that the
    /// manifest names and that is not set counts as none.
    fn endpoint(&self, manifest: &Manifest) -> eyre::Result<Option<Endpoint>> {
        let network = &manifest.tables.network;
        let variable = |name: &str| env::var(name).ok().filter(|url| !url.is_empty());
        let found = if let Some(url) = &self.rpc_url {
            Some(("--rpc-url".to_owned(), url.clone()))
        } else if let Some(name) = &self.rpc_env {
            Some((name.clone(), variable(name).wrap_err_with(|| unset(name))?))
        } else {
            let from_manifest = match &network.rpc_env {
                Some(name) => variable(name).map(|url| (name.clone(), url)),
                None => network.rpc.clone().map(|url| (format!("`rpc` in {}", manifest.path().display()), url)),
            };
            from_manifest.or_else(|| Some((RPC_URL_VARIABLE.to_owned(), variable(RPC_URL_VARIABLE)?)))
        };
        // The error does not repeat the URL, which may contain a key.
        found.map(|(origin, url)| url.parse().map_err(|error| eyre!("{origin}: {error}"))).transpose()
    }

    async fn connect(&self, manifest: &Manifest) -> eyre::Result<Chain> {
        let endpoint = self.endpoint(manifest)?.ok_or_else(|| no_endpoint(manifest))?;
        Ok(Chain::connect(endpoint).await?)
    }
}

fn unset(variable: &str) -> String {
    format!("the environment variable {variable} is not set; it must hold the node's URL")
}

/// Returns the reason that there is no endpoint, with the remedy.
fn no_endpoint(manifest: &Manifest) -> eyre::Report {
    match &manifest.tables.network.rpc_env {
        Some(variable) => eyre!("{}. --rpc-url and {RPC_URL_VARIABLE} name a node, too", unset(variable)),
        None => eyre!(
            "no node is named: write `rpc` or `rpc_env` in [network] of {}, pass --rpc-url, or set {RPC_URL_VARIABLE}",
            manifest.path().display()
        ),
    }
}

/// Runs a pinned tool in place of this process. Returns only when it could not be started, or, where a process cannot be
/// replaced, when the tool has ended.
fn tool(context: &Context, words: &[OsString]) -> eyre::Result<bool> {
    let (name, arguments) = words.split_first().wrap_err("name a tool")?;
    let tool = Tool::ALL.into_iter().find(|tool| name.to_str() == Some(tool.name())).ok_or_else(|| {
        let names = Tool::ALL.map(Tool::name).join(", ");
        eyre!("\"{}\" is not a pinned tool: {names} are", name.display())
    })?;
    let tools = Tools::ready(&context.workspace()?)?;
    let mut command = tools.interactive_command(tool)?;
    command.args(arguments);
    #[cfg(unix)]
    return Err(std::os::unix::process::CommandExt::exec(&mut command))
        .wrap_err_with(|| format!("{tool} cannot be run"));
    #[cfg(not(unix))]
    Ok(command.status().wrap_err_with(|| format!("{tool} cannot be run"))?.success())
}

async fn build(context: &Context) -> eyre::Result<bool> {
    #[derive(Serialize)]
    struct Built<'a> {
        contract: &'a str,
        source: String,
        creation_bytes: usize,
        runtime_bytes: usize,
    }

    let project = Project::open(context).await?;
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
    context.print(&list, &list.iter().map(row).collect::<String>())?;
    Ok(true)
}

async fn plan(context: &Context, target: &Target, offline: bool, safe: Option<&Path>) -> eyre::Result<bool> {
    let manifest = context.manifest(&target.manifest)?;
    let project = Project::open(context).await?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let endpoint = if offline { None } else { target.endpoint(&manifest)? };
    let Some(endpoint) = endpoint else {
        ensure!(safe.is_none(), "--safe needs a chain: {}", no_endpoint(&manifest));
        if !offline {
            say(format_args!("planning without a chain: {}", no_endpoint(&manifest)));
        }
        let report = PlanReport::offline(&design);
        context.print(&report, &report.text())?;
        return Ok(true);
    };
    let chain = Chain::connect(endpoint).await?;
    let record = record_of(&project.record_path(target.records.as_deref(), &chain, &design), &chain, &design).await?;
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: false };
    let plan = Plan::new(inputs, &record).await?;
    if let Some(path) = safe {
        write_owners_calls(inputs, &plan, path).await?;
    }
    let report = PlanReport::online(&design, &plan);
    context.print(&report, &report.text())?;
    Ok(report.problems.is_empty())
}

/// Writes the calls that the core's owner must sign now to a file. Writes none if there are none.
async fn write_owners_calls(inputs: Inputs<'_>, plan: &Plan, path: &Path) -> eyre::Result<()> {
    let Inputs { design, artifacts, chain, .. } = inputs;
    let calls = safe::owners_calls(chain, design, plan).await?;
    if calls.is_empty() {
        say("the owner has nothing to sign");
        return Ok(());
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let batch = safe::batch(design, artifacts, &calls, u64::try_from(now)?);
    fs::write(path, serde_json::to_string_pretty(&batch)? + "\n").wrap_err_with(|| path.display().to_string())?;
    say(format_args!("{} calls for the owner are in {}", calls.len(), path.display()));
    Ok(())
}

async fn apply(context: &Context, target: &Target, yes: bool, replace: bool) -> eyre::Result<bool> {
    let manifest = context.manifest(&target.manifest)?;
    let project = Project::open(context).await?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let chain = target.connect(&manifest).await?;
    let path = project.record_path(target.records.as_deref(), &chain, &design);
    let ask = !yes && !chain.is_dev_chain(design.deployer);
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: replace };
    let record = deploy(&manifest, inputs, &path, ask).await?;
    context.print(&record, &deployment_text(&record))?;
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
    say(PlanReport::online(design, &plan).outstanding());
    if ask && plan.transactions > 0 {
        confirm(&design.network)?;
    }
    applier.execute(&plan).await?;
    Ok(applier.record().clone())
}

fn report_progress(progress: Progress<'_>, is_local: bool) {
    match progress {
        // On a local chain it is mined before this can be read.
        Progress::Sent { .. } if is_local => {}
        Progress::Sent { step, transaction } => say(format_args!("  {step}: sent {transaction}")),
        Progress::Mined { step, sent } => say(format_args!("  {step}: {} in block {}", sent.transaction, sent.block)),
        Progress::BroadcastAgain { step, transaction } => {
            say(format_args!("  {step}: the node had dropped {transaction}, which was sent again"));
        }
        Progress::Displaced { step, transaction } => {
            say(format_args!("  {step}: another transaction took the nonce of {transaction}"));
        }
        Progress::WaitingForOthers { transactions } => {
            say(format_args!("waiting for {transactions} other transactions of the deployer to be mined"));
        }
        Progress::AlreadyPaid { step } => say(format_args!("  {step}: was paid before, and is in the record now")),
    }
}

/// Asks for the network's name, which nobody types by mistake. Fails unless it is typed.
fn confirm(network: &str) -> eyre::Result<()> {
    ensure!(io::stdin().is_terminal(), "stdin is not a terminal, so nobody can confirm this: pass --yes");
    say(format_args!("Type the network's name, {network}, to send this:"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != network {
        bail!("not confirmed, and nothing was sent");
    }
    Ok(())
}

async fn verify_all(
    context: &Context,
    target: &Target,
    folder: Option<&Path>,
    explorers: &[Explorer],
) -> eyre::Result<bool> {
    let manifest = context.manifest(&target.manifest)?;
    let project = Project::open(context).await?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let chain = target.connect(&manifest).await?;
    let record = record_of(&project.record_path(target.records.as_deref(), &chain, &design), &chain, &design).await?;
    let problems = preflight::problems(&chain, &design).await?;
    let findings = verify::contracts(&chain, &design, &project.artifacts).await?;
    let mut statuses = Vec::new();
    for step in &design.steps {
        statuses.push((step.clone(), inspect(&chain, &design, &record, step).await?));
    }
    let mut report = VerifyReport::new(&design, &findings, &statuses, problems);
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
    context.print(&report, &report.text())?;
    Ok(report.good)
}

/// Submits every contract that was compiled here to an explorer. A rejected one makes the result negative, and the others
/// are submitted all the same.
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
        match explorer.submit(&submission, EXPLORER_POLL_INTERVAL).await {
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

async fn status(context: &Context, target: &Target) -> eyre::Result<bool> {
    #[derive(Serialize)]
    struct Status<'a> {
        record: &'a Deployment,
        plan: &'a PlanReport,
    }

    let manifest = context.manifest(&target.manifest)?;
    let project = Project::open(context).await?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let chain = target.connect(&manifest).await?;
    let record = record_of(&project.record_path(target.records.as_deref(), &chain, &design), &chain, &design).await?;
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: false };
    let plan = Plan::new(inputs, &record).await?;
    let report = PlanReport::online(&design, &plan);
    context.print(
        &Status { record: &record, plan: &report },
        &format!("{}\n{}", deployment_text(&record), report.text()),
    )?;
    Ok(plan.drift.is_empty() && plan.problems.is_empty())
}

async fn up(context: &Context, manifest: &Path, port: u16, records: Option<&Path>, exit: bool) -> eyre::Result<bool> {
    let project = Project::open(context).await?;
    let manifest = context.manifest(manifest)?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let (port, chain_id) = (port.to_string(), design.chain_id.to_string());
    let node = Node::start(&project.tools, &["--port", &port, "--chain-id", &chain_id]).await?;
    let chain = Chain::connect(node.http_url().parse()?).await?;
    let path = project.record_path(records, &chain, &design);
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: false };
    let record = deploy(&manifest, inputs, &path, false).await?;
    context.print(&record, &deployment_text(&record))?;
    if !exit {
        say(format_args!("the chain stays up at {} (record: {}); Ctrl-C ends it", node.http_url(), path.display()));
        interrupted().await?;
    }
    Ok(true)
}

/// Waits for SIGINT (Ctrl-C) or SIGTERM.
async fn interrupted() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(arguments: &[&str]) -> Target {
        let words = [NAME, "plan"].into_iter().chain(arguments.iter().copied());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Plan { target, .. } => target,
            other => panic!("{other:?}"),
        }
    }

    fn manifest(network: &str) -> Manifest {
        let text = format!(
            "[network]\nname = \"a\"\nchain_id = 1\n{network}\n[deployer]\naddress = \"me\"\nkey = {{ anvil = 0 }}\n\
             [owner]\n"
        );
        Manifest::parse(Path::new("a.toml"), text).unwrap()
    }

    #[test]
    fn the_definition_of_the_arguments_is_valid() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_option_takes_precedence_over_the_manifest_under_both_names() {
        let manifest = manifest("rpc = \"http://127.0.0.1:1\"");
        for name in ["--rpc-url", "--rpc"] {
            let endpoint = target(&[name, "http://127.0.0.1:2"]).endpoint(&manifest).unwrap().unwrap();
            assert_eq!(endpoint.to_string(), "http://127.0.0.1:2");
        }
    }

    #[test]
    fn an_endpoint_that_was_named_must_be_valid() {
        let manifest = manifest("rpc_env = \"PLIMSOLL_TEST_UNSET\"");
        for url in ["127.0.0.1:8545", "ftp://127.0.0.1", ""] {
            let error = target(&["--rpc-url", url]).endpoint(&manifest).unwrap_err().to_string();
            assert!(error.starts_with("--rpc-url: an endpoint must "), "{error}");
        }
        let error = target(&["--rpc-env", "PLIMSOLL_TEST_UNSET"]).endpoint(&manifest).unwrap_err().to_string();
        assert!(error.contains("PLIMSOLL_TEST_UNSET is not set"), "{error}");
    }

    #[test]
    fn arguments_of_a_tool_are_passed_on_unread() {
        let words = [NAME, "tool", "cast", "block", "--json", "--help", "--", "-1"];
        let arguments = Arguments::try_parse_from(words).unwrap();
        assert!(!arguments.json);
        let Command::Tool { words: passed } = arguments.command else { panic!("not a tool") };
        assert_eq!(passed, ["cast", "block", "--json", "--help", "--", "-1"].map(OsString::from));
    }

    #[test]
    fn every_shell_completes_commands_and_every_command_has_a_manual_page() {
        for shell in <Shell as clap::ValueEnum>::value_variants() {
            let script = String::from_utf8(shell::completions(Arguments::command(), *shell)).unwrap();
            assert!(["verify", "rpc-url"].iter().all(|word| script.contains(word)), "{shell}");
        }
        let folder = tempfile::tempdir().unwrap();
        shell::man_pages(Arguments::command(), folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("plimsoll-deploy-apply.1")).unwrap();
        assert!(page.contains("Examples:") && page.contains("replace"), "{page}");
    }
}
