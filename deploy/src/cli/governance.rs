//! The commands of governance. Each returns true, or false where a simulation finds that a call reverts.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::primitives::Address;
use clap::Args;
use eyre::{ContextCompat, WrapErr, bail, ensure, eyre};
use plimsoll_chain::{
    endpoint::Endpoint,
    signer::{PasswordSource, SignerSource},
};
use plimsoll_contracts::deployment::Deployment;
use serde::Serialize;

use super::{
    RPC_URL_VARIABLE,
    context::{Context, Project},
    output::confirm,
};
use crate::{
    connection::Chain,
    governance::{Governance, Next, Proposal, Sender, Simulation, Stage, Subject, Support, page},
    inspect::Call,
    plan::ether,
    safe,
    toolchain::progress::say,
};

/// The chain, and what is deployed on it.
#[derive(Debug, Args)]
pub(super) struct Deployed {
    /// Record of the deployment; else that of the node's chain in the folder `deployments` of the repository, or, for a
    /// local chain, in `target/deployments`.
    #[arg(long, value_name = "FILE", help_heading = "Record")]
    record: Option<PathBuf>,
    /// URL of the node; else the environment variable ETH_RPC_URL.
    ///
    /// Prefer an environment variable for a URL with a key, because arguments are visible in the list of processes.
    #[arg(long, value_name = "URL", alias = "rpc", help_heading = "Chain")]
    rpc_url: Option<String>,
    /// Environment variable that holds the node's URL.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "rpc_url", help_heading = "Chain")]
    rpc_env: Option<String>,
}

/// The account that sends, or a Safe that signs elsewhere.
#[derive(Debug, Args)]
pub(super) struct Account {
    /// Encrypted keystore of the account that sends.
    #[arg(long, value_name = "FILE", requires = "password", help_heading = "Account")]
    keystore: Option<PathBuf>,
    /// Environment variable that holds the keystore's password.
    #[arg(long, value_name = "VARIABLE", group = "password", help_heading = "Account")]
    password_env: Option<String>,
    /// File that holds the keystore's password.
    #[arg(long, value_name = "FILE", group = "password", help_heading = "Account")]
    password_file: Option<PathBuf>,
    /// Environment variable that holds the account's private key.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "keystore", help_heading = "Account")]
    key_env: Option<String>,
    /// Environment variable that holds the URL of a remote signer, such as Web3Signer, which signs for --account.
    #[arg(
        long,
        value_name = "VARIABLE",
        requires = "account",
        conflicts_with_all = ["keystore", "key_env"],
        help_heading = "Account"
    )]
    signer_env: Option<String>,
    /// Number of one of Anvil's own accounts, on a local Anvil only.
    #[arg(
        long,
        value_name = "NUMBER",
        conflicts_with_all = ["keystore", "key_env", "signer_env"],
        help_heading = "Account"
    )]
    anvil_account: Option<usize>,
    /// The account, where no key of it is here: for a remote signer, or with --safe.
    #[arg(long, value_name = "ADDRESS", help_heading = "Account")]
    account: Option<Address>,
    /// Send nothing: write the calls that --account must make to this file, for the Transaction Builder of Safe.
    #[arg(
        long,
        value_name = "FILE",
        requires = "account",
        conflicts_with_all = ["keystore", "key_env", "signer_env", "anvil_account"],
        help_heading = "Account"
    )]
    safe: Option<PathBuf>,
    /// Do not ask for confirmation.
    #[arg(long, help_heading = "Sending")]
    yes: bool,
}

impl Account {
    fn source(&self) -> eyre::Result<SignerSource> {
        let password = match (&self.password_env, &self.password_file) {
            (Some(name), _) => Some(PasswordSource::Environment(name.clone())),
            (None, Some(path)) => Some(PasswordSource::File(path.clone())),
            (None, None) => None,
        };
        match (&self.keystore, password, &self.key_env, &self.signer_env, self.anvil_account) {
            (Some(path), Some(password), ..) => Ok(SignerSource::Keystore { path: path.clone(), password }),
            (_, _, Some(name), ..) => Ok(SignerSource::Environment(name.clone())),
            (_, _, _, Some(url_env), _) => {
                let address = self.account.wrap_err("--signer-env needs --account")?;
                Ok(SignerSource::Remote { url_env: url_env.clone(), address })
            }
            (.., Some(index)) => Ok(SignerSource::Anvil(index)),
            _ => bail!("no account is named: pass --keystore, --key-env, --signer-env, or --safe with --account"),
        }
    }
}

/// What every command of governance works on.
struct Opened {
    project: Project,
    chain: Chain,
    record: Deployment,
}

impl Opened {
    async fn new(context: &Context, deployed: &Deployed) -> eyre::Result<Self> {
        let project = Project::open(context).await?;
        let chain = Chain::connect(deployed.endpoint()?).await?;
        let workspace = project.tools.workspace();
        let file = format!("{}.json", chain.id());
        let mut places: Vec<PathBuf> = deployed.record.clone().into_iter().collect();
        if places.is_empty() {
            if chain.local().is_some() {
                places.push(workspace.target().join("deployments").join(&file));
            }
            places.push(workspace.root().join("deployments").join(&file));
        }
        for place in &places {
            if let Some(record) = Deployment::read(place)? {
                return Ok(Self { project, chain, record });
            }
        }
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        bail!("there is no record at {}: name it by --record", places.join(" nor at "))
    }

    async fn governance(&self) -> eyre::Result<Governance<'_>> {
        Governance::open(&self.chain, &self.record, &self.project.artifacts).await
    }
}

impl Deployed {
    fn endpoint(&self) -> eyre::Result<Endpoint> {
        let variable = |name: &str| env::var(name).ok().filter(|url| !url.is_empty());
        let (origin, url) = match (&self.rpc_url, &self.rpc_env) {
            (Some(url), _) => ("--rpc-url", url.clone()),
            (None, Some(name)) => (
                name.as_str(),
                variable(name).wrap_err_with(|| {
                    format!("the environment variable {name} is not set; it must hold the node's URL")
                })?,
            ),
            (None, None) => (
                RPC_URL_VARIABLE,
                variable(RPC_URL_VARIABLE)
                    .wrap_err_with(|| format!("no node is named: pass --rpc-url, or set {RPC_URL_VARIABLE}"))?,
            ),
        };
        // The error does not repeat the URL, which may contain a key.
        url.parse().map_err(|error| eyre!("{origin}: {error}"))
    }
}

/// Who sends, and how.
enum Outlet<'a> {
    Key { sender: Box<Sender<'a>>, ask: bool },
    Safe { account: Address, path: &'a Path },
}

impl<'a> Outlet<'a> {
    async fn open(opened: &'a Opened, account: &'a Account) -> eyre::Result<Self> {
        if let (Some(path), Some(address)) = (&account.safe, account.account) {
            return Ok(Self::Safe { account: address, path });
        }
        let signer = account.source()?.open(opened.chain.local()).await?;
        let sender = Box::new(Sender { chain: &opened.chain, artifacts: &opened.project.artifacts, signer });
        let is_dev = opened.chain.is_dev_chain(sender.account());
        // What an interrupted run left pending may be the very same transaction.
        sender.wait_for_pending().await?;
        Ok(Self::Key { sender, ask: !account.yes && !is_dev })
    }

    fn account(&self) -> Address {
        match self {
            Self::Key { sender, .. } => sender.account(),
            Self::Safe { account, .. } => *account,
        }
    }

    /// Sends calls one after the other, or writes them to the file. Every one is checked before the first is sent.
    async fn send(&self, opened: &Opened, calls: &[(Call, String)]) -> eyre::Result<Vec<String>> {
        match self {
            Self::Key { sender, ask } => {
                let mut cost = alloy::primitives::U256::ZERO;
                for (call, text) in calls {
                    let prepared = sender.prepare(call.to, call.value, call.input.clone()).await;
                    cost = cost.saturating_add(prepared.wrap_err_with(|| text.clone())?.cost);
                    say(text);
                }
                say(format_args!("{} transactions of {}, up to {} ether", calls.len(), sender.account(), ether(cost)));
                if *ask {
                    confirm(&opened.record.network)?;
                }
                let mut sent = Vec::with_capacity(calls.len());
                for (call, text) in calls {
                    let prepared = sender.prepare(call.to, call.value, call.input.clone()).await;
                    let mined = sender.send(prepared.wrap_err_with(|| text.clone())?).await?;
                    say(format_args!("  {} in block {}", mined.transaction, mined.block));
                    sent.push(mined.transaction.to_string());
                }
                Ok(sent)
            }
            Self::Safe { account, path } => {
                let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
                let calls: Vec<Call> = calls.iter().map(|(call, _)| call.clone()).collect();
                let (record, artifacts) = (&opened.record, &opened.project.artifacts);
                let description = format!("Governance calls for {account}");
                let batch = safe::batch_of(record.chain_id, &record.network, description, artifacts, &calls, now);
                let text = serde_json::to_string_pretty(&batch)? + "\n";
                fs::write(path, text).wrap_err_with(|| path.display().to_string())?;
                say(format_args!("{} calls for {account} are in {}", calls.len(), path.display()));
                Ok(Vec::new())
            }
        }
    }
}

/// What a command did.
#[derive(Debug, Serialize)]
struct Outcome {
    /// Numbers of proposals, or hashes of operations.
    ids: Vec<String>,
    /// Transactions that were sent; none if it was done already, or if a Safe signs.
    transactions: Vec<String>,
    /// What is true now, in words.
    text: String,
    /// What the proposal does.
    #[serde(skip_serializing_if = "Option::is_none")]
    simulation: Option<Simulation>,
}

impl Outcome {
    fn print(&self, context: &Context) -> eyre::Result<bool> {
        context.print(self, &format!("{}\n", self.text))?;
        Ok(true)
    }
}

fn id_of(subject: &Subject) -> String {
    match subject {
        Subject::Proposal(proposal) => proposal.id.to_string(),
        Subject::Operation(operation) => operation.id.to_string(),
    }
}

/// Finds what an argument means: a file that was proposed, or an id.
async fn subjects(governance: &Governance<'_>, said: &str, member: Option<Address>) -> eyre::Result<Vec<Subject>> {
    let path = Path::new(said);
    if !path.is_file() {
        return Ok(vec![governance.find(said).await?]);
    }
    let proposal = Proposal::read(path, &governance.names())?;
    let found = governance.find_proposal(&proposal, member).await?;
    ensure!(!found.is_empty(), "{said} is not proposed yet: `propose` does that");
    Ok(found)
}

async fn the_proposal(governance: &Governance<'_>, said: &str) -> eyre::Result<crate::governance::GovernorProposal> {
    match subjects(governance, said, None).await?.into_iter().next() {
        Some(Subject::Proposal(proposal)) => Ok(proposal),
        _ => bail!(
            "{said} is an operation that a member of a role scheduled: nobody votes on it, and it is executed once it is due"
        ),
    }
}

pub(super) async fn propose(
    context: &Context,
    file: &Path,
    deployed: &Deployed,
    account: &Account,
    as_member: bool,
    force: bool,
) -> eyre::Result<bool> {
    let opened = Opened::new(context, deployed).await?;
    let governance = opened.governance().await?;
    let proposal = Proposal::read(file, &governance.names())?;
    let outlet = Outlet::open(&opened, account).await?;
    // Once more: what was pending may have changed it.
    let governance = opened.governance().await?;
    let next = governance.propose(&proposal, outlet.account(), as_member).await?;
    let caller = governance.governor.filter(|_| !as_member).map_or(outlet.account(), |governor| governor.address);
    let (transactions, simulation) = match next {
        Next::Done(text) => {
            say(text);
            (Vec::new(), None)
        }
        Next::Send { call, text } => {
            let simulation = governance.simulate(&opened.project.tools, &proposal, caller).await?;
            say(simulation.text());
            ensure!(
                force || !simulation.reverts,
                "it reverts in the simulation, so it was not proposed: mend it, or pass --force if what it needs will be there"
            );
            (outlet.send(&opened, &[(call, text)]).await?, Some(simulation))
        }
    };
    let governance = opened.governance().await?;
    let member =
        as_member.then(|| outlet.account()).or_else(|| governance.governor.is_none().then(|| outlet.account()));
    let mut ids = Vec::new();
    let mut text = String::new();
    for subject in governance.find_proposal(&proposal, member).await? {
        let stage = governance.stage(&subject).await?;
        text.push_str(&format!("{}: {}\n", id_of(&subject), stage.text()));
        ids.push(id_of(&subject));
    }
    Outcome { ids, transactions, text: text.trim_end().to_owned(), simulation }.print(context)
}

pub(super) async fn simulate(
    context: &Context,
    said: &str,
    deployed: &Deployed,
    caller: Option<Address>,
    html: Option<&Path>,
) -> eyre::Result<bool> {
    let opened = Opened::new(context, deployed).await?;
    let governance = opened.governance().await?;
    let governor = governance.governor.map(|governor| governor.address);
    let path = Path::new(said);
    let (proposal, by) = if path.is_file() {
        (Proposal::read(path, &governance.names())?, governor)
    } else {
        match governance.find(said).await? {
            Subject::Proposal(found) => (found.proposal(), governor),
            Subject::Operation(operation) => (governance.proposal_of(&operation), Some(operation.caller)),
        }
    };
    let caller = caller.or(by).wrap_err("there is no governor: name the member of roles that proposes this by --as")?;
    let simulation = governance.simulate(&opened.project.tools, &proposal, caller).await?;
    if let Some(html) = html {
        fs::write(html, page(&simulation)).wrap_err_with(|| html.display().to_string())?;
        say(format_args!("the page is {}", html.display()));
    }
    context.print(&simulation, &simulation.text())?;
    Ok(!simulation.reverts)
}

pub(super) async fn vote(
    context: &Context,
    said: &str,
    support: Support,
    reason: &str,
    deployed: &Deployed,
    account: &Account,
) -> eyre::Result<bool> {
    let opened = Opened::new(context, deployed).await?;
    let outlet = Outlet::open(&opened, account).await?;
    let governance = opened.governance().await?;
    let proposal = the_proposal(&governance, said).await?;
    let next = governance.vote(&proposal, outlet.account(), support, reason).await?;
    finish(context, &opened, &outlet, vec![(Subject::Proposal(proposal), next)]).await
}

pub(super) async fn queue(context: &Context, said: &str, deployed: &Deployed, account: &Account) -> eyre::Result<bool> {
    let opened = Opened::new(context, deployed).await?;
    let outlet = Outlet::open(&opened, account).await?;
    let governance = opened.governance().await?;
    let proposal = the_proposal(&governance, said).await?;
    let next = governance.queue(&proposal).await?;
    finish(context, &opened, &outlet, vec![(Subject::Proposal(proposal), next)]).await
}

pub(super) async fn execute(
    context: &Context,
    said: Option<&str>,
    deployed: &Deployed,
    account: &Account,
    as_member: bool,
) -> eyre::Result<bool> {
    let opened = Opened::new(context, deployed).await?;
    let outlet = Outlet::open(&opened, account).await?;
    let governance = opened.governance().await?;
    let is_member = as_member || governance.governor.is_none();
    let member = is_member.then(|| outlet.account());
    let mut steps = Vec::new();
    let file = said.map(Path::new).filter(|path| path.is_file());
    if let (Some(path), true) = (file, is_member) {
        // Calls that need no schedule are made at once, from the file alone.
        let proposal = Proposal::read(path, &governance.names())?;
        let scheduled = governance.find_proposal(&proposal, member).await?;
        for subject in scheduled.iter().cloned() {
            let next = governance.execute(&subject, outlet.account()).await?;
            steps.push((subject, next));
        }
        for action in &proposal.actions {
            let is_scheduled = scheduled.iter().any(|subject| {
                matches!(subject, Subject::Operation(known) if known.target == action.target && known.data == action.data)
            });
            if !is_scheduled {
                let is_immediate = governance.is_immediate(action, outlet.account()).await?;
                ensure!(is_immediate, "{} is not scheduled yet: `propose` does that", path.display());
                let Next::Send { call, text } = governance.execution(action) else { continue };
                let sent = outlet.send(&opened, &[(call, text.clone())]).await?;
                Outcome { ids: Vec::new(), transactions: sent, text, simulation: None }.print(context)?;
            }
        }
        if steps.is_empty() {
            return Ok(true);
        }
    } else {
        let found = match said {
            Some(said) => subjects(&governance, said, member).await?,
            None => governance.due(outlet.account()).await?,
        };
        for subject in found {
            let next = governance.execute(&subject, outlet.account()).await?;
            steps.push((subject, next));
        }
    }
    if steps.is_empty() {
        say("nothing is due");
    }
    finish(context, &opened, &outlet, steps).await
}

/// Sends what is to be sent, and prints the stage that follows.
async fn finish(
    context: &Context,
    opened: &Opened,
    outlet: &Outlet<'_>,
    steps: Vec<(Subject, Next)>,
) -> eyre::Result<bool> {
    let mut calls = Vec::new();
    for (_, next) in &steps {
        match next {
            Next::Send { call, text } => calls.push((call.clone(), text.clone())),
            Next::Done(text) => say(text),
        }
    }
    let transactions = if calls.is_empty() { Vec::new() } else { outlet.send(opened, &calls).await? };
    let governance = opened.governance().await?;
    let mut ids = Vec::new();
    let mut text = String::new();
    for (subject, _) in steps {
        let id = id_of(&subject);
        let stage: Stage = governance.stage(&governance.find(&id).await?).await?;
        text.push_str(&format!("{id}: {}\n", stage.text()));
        ids.push(id);
    }
    Outcome { ids, transactions, text: text.trim_end().to_owned(), simulation: None }.print(context)
}

pub(super) async fn proposals(context: &Context, deployed: &Deployed, all: bool) -> eyre::Result<bool> {
    let opened = Opened::new(context, deployed).await?;
    let governance = opened.governance().await?;
    let mut list = governance.list().await?;
    if !all {
        list.retain(|listed| !listed.stage.is_over());
    }
    let mut text = String::new();
    for listed in &list {
        text.push_str(&format!("{}\n  {}\n  {}\n", listed.id, listed.title, listed.text));
        listed.calls.iter().for_each(|call| text.push_str(&format!("    {call}\n")));
    }
    if list.is_empty() {
        text = format!("nothing is {}\n", if all { "proposed or scheduled" } else { "pending" });
    }
    context.print(&list, &text)?;
    Ok(true)
}
