//! The commands. Each returns whether the chain matches the manifest, or true where it does not look at one.

use std::{
    ffi::OsString,
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use eyre::{ContextCompat, WrapErr, ensure, eyre};
use plimsoll_contracts::deployment::Deployment;
use serde::Serialize;
use url::Url;

use super::{
    Target,
    context::{Context, Project, no_endpoint},
    output::{confirm, report_progress},
};
use crate::{
    app::{AppServer, Site},
    apply::{Applier, Progress},
    connection::Chain,
    design::Design,
    explorer::{Explorer, Outcome, Submission},
    inspect::inspect,
    journal::{Journal, record_of},
    manifest::Manifest,
    plan::{Inputs, Plan},
    preflight,
    report::{PlanReport, VerifyReport, deployment_text},
    safe,
    seed::seed_pools,
    standard_json,
    toolchain::{
        node::Node,
        progress::say,
        tools::{Tool, Tools},
    },
    verify::{self, roles},
};

/// Time between two queries of a block explorer.
const EXPLORER_POLL_INTERVAL: Duration = Duration::from_secs(3);

/// Runs a pinned tool in place of this process. Returns only when it could not be started, or, where a process cannot be
/// replaced, when the tool has ended.
pub(super) fn tool(context: &Context, words: &[OsString]) -> eyre::Result<bool> {
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

pub(super) async fn build(context: &Context) -> eyre::Result<bool> {
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

pub(super) async fn plan(context: &Context, target: &Target, offline: bool, safe: Option<&Path>) -> eyre::Result<bool> {
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
    let now = u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?;
    let calls = safe::owners_calls(chain, design, plan).await?;
    // An AccessManager signs nothing: a member of the role of these calls schedules them there.
    let manager = design.manager().filter(|setup| setup.manager == design.owner);
    let (calls, batch) = match manager {
        None => {
            let batch = safe::batch(design, artifacts, &calls, now);
            (calls, batch)
        }
        Some(setup) => {
            let through = safe::through_manager(chain, setup, &calls).await?;
            let account = through.account;
            ensure!(
                setup.governor.is_none() || account != setup.governor,
                "the governor has the role of these calls: write them into a proposal, and `propose` it"
            );
            let who = account.map_or_else(|| "nobody".to_owned(), |account| design.address_text(account));
            for waiting in &through.waiting {
                say(waiting);
            }
            let description = format!("Calls of {who} through the AccessManager {}", setup.manager);
            let batch = safe::batch_of(design.chain_id, &design.network, description, artifacts, &through.calls, now);
            (through.calls, batch)
        }
    };
    if calls.is_empty() {
        say("the owner has nothing to sign");
        return Ok(());
    }
    fs::write(path, serde_json::to_string_pretty(&batch)? + "\n").wrap_err_with(|| path.display().to_string())?;
    say(format_args!("{} calls for the owner are in {}", calls.len(), path.display()));
    Ok(())
}

pub(super) async fn apply(context: &Context, target: &Target, yes: bool, replace: bool) -> eyre::Result<bool> {
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
    let signer = manifest.tables.deployer.key.open(chain.local()).await?;
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

pub(super) async fn verify_all(
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
    let mut findings = verify::contracts(&chain, &design, &project.artifacts).await?;
    roles::further_holders(&chain, &design, &record, &mut findings).await?;
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

pub(super) async fn status(context: &Context, target: &Target) -> eyre::Result<bool> {
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

/// How long a chain that `up` started stays.
pub(super) enum Until {
    Deployed,
    Interrupted { page_port: u16 },
}

pub(super) async fn up(
    context: &Context,
    manifest: &Path,
    port: u16,
    records: Option<&Path>,
    until: Until,
) -> eyre::Result<bool> {
    let project = Project::open(context).await?;
    let manifest = context.manifest(manifest)?;
    let design = Design::new(&manifest, &project.artifacts)?;
    let (port, chain_id) = (port.to_string(), design.chain_id.to_string());
    let node = Node::start(&project.tools, &["--port", &port, "--chain-id", &chain_id]).await?;
    let chain = Chain::connect(node.http_url().parse()?).await?;
    let path = project.record_path(records, &chain, &design);
    let inputs = Inputs { design: &design, artifacts: &project.artifacts, chain: &chain, may_replace: false };
    let record = deploy(&manifest, inputs, &path, false).await?;
    seed_pools(&chain, &design, &project.artifacts).await?;
    context.print(&record, &deployment_text(&record))?;
    if let Until::Interrupted { page_port } = until {
        let site = Site::build(&project.tools, &record, &node.http_url().parse()?, true)?;
        let page = AppServer::start(site, page_port).await?;
        say(format_args!("the page is at {}", page.url()));
        say(format_args!("the chain stays up at {} (record: {}); Ctrl-C ends it", node.http_url(), path.display()));
        interrupted().await?;
    }
    Ok(true)
}

pub(super) fn page(context: &Context, record: &Path, node: &Url, out: &Path) -> eyre::Result<bool> {
    let tools = Tools::ready(&context.workspace()?)?;
    let deployment =
        Deployment::read(record)?.wrap_err_with(|| format!("{}: there is no such record", record.display()))?;
    Site::build(&tools, &deployment, node, false)?.write(out)?;
    say(format_args!("the page for {} is in {}", deployment.network, out.display()));
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
