//! Start of a keeper: everything that it needs is opened in the order in which a refusal costs least.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use alloy::primitives::B256;
use eyre::{WrapErr, ensure, eyre};
use plimsoll_chain::{
    endpoint::Endpoint,
    error::ChainError,
    local::LocalChain,
    redaction::scrub,
    relay::RelayIdentity,
    signer::{SignerError, SignerSource, TransactionSigner, is_anvil_account},
};
use plimsoll_protocols::{Deployment, NATIVE_COIN};
use tokio::{sync::mpsc::UnboundedReceiver, time};
use tracing::{info, warn};

use super::{
    Engine, FailoverReader, Follower, RestoredBook,
    background::{Background, load_races},
    block_request::BlockRequest,
    book_audit::BookAudit,
    chain_events::ReportedEvents,
    confirmation::confirm_deployment,
    executor_listing::ExecutorListing,
    job_terms,
    log::DryRunLog,
    operator::Pauses,
    pricing::Pricing,
    protocols::Protocols,
    publishers::Publishers,
    results::ResultsRecorder,
    route_pools,
    strategies::Strategies,
    submissions::Submissions,
    verifier::Verifier,
    wait_log::WaitLog,
    warm_up::WarmUp,
    wiring::{self, Roles},
};
use crate::{
    api::Server,
    config::{self, Config},
    control::ControlServer,
    prices::UNSIGNED_ACCOUNT,
    report::with_causes,
    sender::{self, SenderHandle, SenderTasks, Signers, StartError},
    shutdown::Shutdown,
    store::{Identity, Records, Store, StoreError},
    strategies::{
        governance::Governance, guard::Guard, harvest::Harvest, jobs::Jobs, liquidate::Liquidate, rebalance::Rebalance,
        vouchers::Vouchers,
    },
    stream::{self, Stream, newest_header},
    telemetry::alerts::AlertService,
    view::{EndpointName, Ledger, ViewPublisher},
};

/// Pause between two attempts to reach a node before anything else can begin.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Whether transactions are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dry run: the keeper decides as if it were live, shows what it would send, and sends nothing.
    DryRun,
    /// Transactions are signed and sent.
    Live {
        /// Whether to continue at the chain's nonce where that is ahead of the journal.
        adopt_nonce: bool,
    },
}

/// Runs a keeper until shutdown is requested. `listening` is called with the address of the HTTP server once it accepts
/// connections. Fails where something is wrong that time does not mend; a node that cannot be reached is waited for.
///
/// The HTTP server and the alerts start first: they tell of whatever else fails.
pub async fn run(
    mut config: Config,
    mode: Mode,
    shutdown: Shutdown,
    listening: impl FnOnce(SocketAddr) + Send,
) -> eyre::Result<()> {
    let (network, chain_id, is_live) = (&config.deployed.network, config.deployed.chain_id, mode != Mode::DryRun);
    info!(version = env!("PLIMSOLL_VERSION"), network, chain_id, is_live, "keeper starts");
    for warning in wiring::limit_warnings(&config) {
        warn!("{warning}");
    }
    let endpoint_names = endpoint_names(&config);
    // Before the endpoints are taken: their roles say how transactions are sent.
    let sender_settings = wiring::sender(&config, mode);
    let roles = Roles::of(std::mem::take(&mut config.endpoints));
    // URLs of targets belong to the alerts alone.
    let alert_settings = take_alerts(&mut config.alerts);
    let config = Arc::new(config);
    let view = ViewPublisher::new(Arc::clone(&config), endpoint_names, mode != Mode::DryRun);
    let alerts = AlertService::start(alert_settings, config.chain.block_time, view.subscribe());
    let server = match config.http.listen {
        Some(listen) => match Server::start(listen, view.subscribe(), shutdown.clone()).await {
            Ok(server) => Some(server),
            Err(error) => {
                alerts.finish(Some(error.to_string())).await;
                return Err(error.into());
            }
        },
        None => None,
    };
    if let Some(server) = &server {
        listening(server.address);
    }
    let parts = Parts { config, mode, roles, sender_settings, view, shutdown: shutdown.clone() };
    let ended = Box::pin(parts.run(&alerts)).await;
    // Everything else ends with the engine, whatever its reason.
    shutdown.request();
    let ended = match shutdown.failure() {
        Some(failure) => Err(eyre!(failure)),
        None => ended,
    };
    alerts
        .finish(
            ended.as_ref().err().map(|error| scrub(&format!("the keeper ended: {}", with_causes(error))).into_owned()),
        )
        .await;
    if let Some(server) = server {
        server.ended().await;
    }
    ended
}

/// What exists before anything was read from a node or from the store.
struct Parts {
    config: Arc<Config>,
    mode: Mode,
    roles: Roles,
    sender_settings: sender::SenderSettings,
    view: ViewPublisher,
    shutdown: Shutdown,
}

impl Parts {
    /// Opens everything else and runs the engine until shutdown is requested.
    async fn run(self, alerts: &AlertService) -> eyre::Result<()> {
        let Self { config, mode, roles, sender_settings, mut view, shutdown } = self;
        let begin = async {
            confirm_deployment(&config, &roles.read).await?;
            let genesis = genesis(&config, &roles.read).await;
            let identity = Identity::of(&config.deployed, genesis);
            let store = Store::open(&config.store.folder, &identity)?;
            alerts.attach(store.alerts.clone(), store.notes.clone());
            let records = Records::open(&config.store, &store, &identity).await?;
            eyre::Ok((genesis, store, records, signers(&config, &roles.read).await?))
        };
        let (genesis, store, records, signers) = tokio::select! {
            begun = begin => begun?,
            () = shutdown.requested() => return Ok(()),
        };
        let keeper = signers.high_priority.as_ref().map_or(UNSIGNED_ACCOUNT, TransactionSigner::address);
        let harvester = signers.low_priority.as_ref().map_or(keeper, TransactionSigner::address);
        ensure!(
            mode == Mode::DryRun || signers.high_priority.is_some(),
            "--live needs a key: name one as `liquidations` in [signers]"
        );
        view.show_genesis(genesis);

        let Store { checkpoint, protocols: checkpoints, notes, .. } = store;
        let with_checkpoint = |deployment: &Deployment| Ok((deployment.clone(), checkpoints.open(deployment)?));
        let followed: Vec<_> =
            config.protocols.deployments.iter().map(with_checkpoint).collect::<Result<_, StoreError>>()?;
        let pruned = records.prune(config.store.retention).await?;
        if pruned > 0 {
            info!(pruned, "journal pruned");
        }
        let deployed = &config.deployed;
        let sources = config.sources();
        let first_block = match deployed.core() {
            Some(_) => deployed.first_block,
            // No event of the past is wanted.
            None => {
                checkpoint.clear().await?;
                tokio::select! {
                    header = until_answered(&roles.read, async |node| newest_header(node).await) => header.number.saturating_sub(config.chain.finality_depth),
                    () = shutdown.requested() => return Ok(()),
                }
            }
        };
        let restored = RestoredBook::load(&checkpoint, &sources).await?;
        let settings = stream::StreamSettings { genesis: Some(genesis), ..wiring::stream(&config) };
        let stream = Stream::start(roles.read.clone(), sources, restored.cursor(first_block), settings);
        let reader = stream.reader();
        let [liquidation_reader, harvest_reader] =
            [keeper, harvester].map(|account| FailoverReader::new(reader.clone(), account));
        // A journal on a server is on a disk of its own.
        let writes_here = matches!(records, Records::Folder { .. }) && mode != Mode::DryRun;
        let warm_up = writes_here.then(|| WarmUp::open(&config.store.folder));
        let warm_up = warm_up.and_then(|opened| {
            opened.inspect_err(|error| warn!(%error, "the disk is not woken: a first write may take longer")).ok()
        });
        let block_request = BlockRequest::start(liquidation_reader.clone(), stream.on_head(), warm_up);
        let follower = Follower::new(stream, restored, checkpoint, first_block);

        let core_settings = sender_settings.core.clone();
        let reading = executor_listing(&config, &roles.read);
        let listing = tokio::select! {
            listing = reading => listing?,
            () = shutdown.requested() => return Ok(()),
        };
        let reading = job_terms::read(&config, &roles.read);
        let job_terms = tokio::select! {
            terms = reading => terms,
            () = shutdown.requested() => return Ok(()),
        };
        let mut liquidate_settings = wiring::liquidate(&config, keeper, &core_settings);
        tokio::select! {
            () = route_pools::find(&mut liquidate_settings, &roles.read) => (),
            () = shutdown.requested() => return Ok(()),
        }
        let starting = start_sender(sender_settings, signers, &roles, &records);
        let (sender, sender_events, sender_tasks) = tokio::select! {
            started = starting => started?,
            () = shutdown.requested() => return Ok(()),
        };
        let races = load_races(&notes).await?;
        let mut ledger = Ledger::default();
        ledger.set_results(sender.with_gate(|gate, _| gate.record().results.clone()));
        let pauses = Pauses::load(notes.clone()).await?;
        let control = match ControlServer::start(&config.store.folder) {
            Ok(control) => Some(control),
            Err(error) => {
                warn!(%error, "no control socket, so `plimsoll-keeper pause` and the like have no effect");
                None
            }
        };
        let (_control, requests) = control.unzip();
        let liquidate = Liquidate::with_races(liquidate_settings, races);
        let guard = wiring::guard(&config, harvester, &core_settings).map(Guard::new);
        let harvest = wiring::harvest(&config, harvester).map(Harvest::new);
        let rebalance = wiring::rebalance(&config, harvester).map(Rebalance::new);
        let governance = wiring::governance(&config, harvester).map(Governance::new);
        let vouchers = wiring::vouchers(&config, harvester).map(Vouchers::new);
        let challenge_secs = job_terms.map_or(0, |terms| terms.challenge_secs);
        let jobs = wiring::jobs(&config, job_terms, harvester).map(Jobs::new);
        let wrapped_coin = listing.as_ref().map_or(NATIVE_COIN, |listing| listing.wrapped_coin);
        let seize = listing.map(|listing| wiring::seize(&config, listing, keeper, &core_settings));
        let engine = Engine {
            follower,
            pricing: Pricing::new(&config, liquidation_reader, harvest_reader, block_request),
            strategies: Strategies::new(liquidate, guard, harvest, rebalance, (governance, jobs, vouchers), seize),
            protocols: Protocols::start(&roles.read, followed, keeper, wrapped_coin),
            submissions: Submissions::new(sender),
            publishers: Publishers::start(&config),
            verifier: Verifier::start(&config, challenge_secs, reader.clone()),
            audit: BookAudit::new(config.audit.clone()),
            background: Background::new(reader.clone(), notes),
            results: ResultsRecorder::start(records, reader).await?,
            ledger,
            view,
            alerts: alerts.sender(),
            pauses,
            dry_run: DryRunLog::default(),
            reported: ReportedEvents::default(),
            latest: None,
            upkeep: None,
            config,
        };
        // In a task of its own, a panic of the engine ends that task and not the alerts that tell of it.
        let run = async move { Box::pin(engine.run(sender_events, sender_tasks, requests, &shutdown)).await };
        tokio::spawn(run).await.wrap_err("the engine's task")?
    }
}

/// Returns the hash of the chain's first block, from the record or from a node.
pub(super) async fn genesis(config: &Config, nodes: &[Arc<Endpoint>]) -> B256 {
    match config.deployed.genesis {
        Some(genesis) => genesis,
        None => until_answered(nodes, genesis_of).await,
    }
}

/// Returns the identity of the configuration's deployment, for commands besides a running keeper. Takes the endpoints.
pub(crate) async fn identity(config: &mut Config) -> Identity {
    let nodes = Roles::of(std::mem::take(&mut config.endpoints)).read;
    Identity::of(&config.deployed, genesis(config, &nodes).await)
}

/// Reads what the executor of the configuration lists; `None` where no other protocol is followed. Fails where it is another
/// contract, or lacks one of the protocols.
async fn executor_listing(config: &Config, nodes: &[Arc<Endpoint>]) -> eyre::Result<Option<ExecutorListing>> {
    let Some(executor) = &config.protocols.executor else { return Ok(None) };
    let listing = loop {
        match ExecutorListing::read(nodes, executor).await {
            Err(problem) if problem.is::<ChainError>() => warn!(%problem, "waiting for a node"),
            listing => break listing?,
        }
        time::sleep(RETRY_INTERVAL).await;
    };
    for deployment in &config.protocols.deployments {
        listing.serves(deployment).wrap_err("deploy an executor that lists every protocol of [[protocols]]")?;
        if let Err(problem) = listing.pre_liquidates(deployment) {
            warn!(%problem, "no pre-liquidations");
        }
    }
    Ok(Some(listing))
}

/// Names and roles of the endpoints that are read from, in the order of the stream's.
fn endpoint_names(config: &Config) -> Vec<EndpointName> {
    let read = config.endpoints.iter().filter(|endpoint| endpoint.role.reads());
    read.map(|endpoint| EndpointName { name: endpoint.name.clone(), role: endpoint.role.to_string() }).collect()
}

/// Takes the settings of the alerts, and leaves those that are shown: the watched accounts, and what a low balance is.
fn take_alerts(alerts: &mut config::Alerts) -> config::Alerts {
    let (watch, low_balance) = (alerts.watch.clone(), alerts.low_balance);
    let taken = std::mem::take(alerts);
    (alerts.watch, alerts.low_balance) = (watch, low_balance);
    taken
}

/// Loads the keys, or connects to the signers that have them. Anvil's own are used only with the proof that the chain is
/// an Anvil. Fails where a key cannot be read or decrypted.
pub(super) async fn signers(config: &Config, nodes: &[Arc<Endpoint>]) -> eyre::Result<Signers> {
    let sources = [&config.signers.liquidations, &config.signers.harvests, &config.signers.bundles];
    let is_anvils = |source: &&Option<SignerSource>| match source {
        Some(SignerSource::Anvil(_)) => true,
        Some(SignerSource::Remote { address, .. }) => is_anvil_account(*address),
        _ => false,
    };
    let local = if sources.iter().any(is_anvils) { until_answered(nodes, local_chain).await } else { None };
    let [liquidations, harvests, bundles] = sources;
    Ok(Signers {
        high_priority: signer(liquidations.as_ref(), local).await.wrap_err("`liquidations` in [signers]")?,
        low_priority: signer(harvests.as_ref(), local).await.wrap_err("`harvests` in [signers]")?,
        relays: bundles.as_ref().map(|source| source.load(local)).transpose().wrap_err("`bundles` in [signers]")?,
    })
}

async fn signer(
    source: Option<&SignerSource>,
    local: Option<LocalChain>,
) -> Result<Option<TransactionSigner>, SignerError> {
    match source {
        Some(source) => Ok(Some(source.open(local).await?)),
        None => Ok(None),
    }
}

/// Starts the sender as soon as a node answers. Fails where that would not help.
pub(super) async fn start_sender(
    settings: sender::SenderSettings,
    signers: Signers,
    roles: &Roles,
    records: &Records,
) -> Result<(SenderHandle, UnboundedReceiver<sender::SenderEvent>, SenderTasks), StartError> {
    let identity = signers.relays.clone().map_or_else(RelayIdentity::random, RelayIdentity::new);
    let first = signers.high_priority.as_ref().or(signers.low_priority.as_ref());
    let safety = records.safety(first.map_or(UNSIGNED_ACCOUNT, TransactionSigner::address));
    loop {
        let (settings, signers) = (settings.clone(), signers.clone());
        match sender::start(settings, signers, roles.nodes(&identity), records.clone(), safety.clone()).await {
            Err(StartError::Chain(error)) if error.is_retryable() => {
                warn!(%error, "waiting for a node");
                time::sleep(RETRY_INTERVAL).await;
            }
            started => return started,
        }
    }
}

/// Asks one node after another until one answers, and pauses after each round.
pub(super) async fn until_answered<T>(
    nodes: &[Arc<Endpoint>],
    request: impl AsyncFn(&Arc<Endpoint>) -> Result<T, ChainError>,
) -> T {
    let mut log = WaitLog::default();
    loop {
        for node in nodes {
            match request(node).await {
                Ok(answer) => return answer,
                Err(error) => log.warn(node, &error),
            }
        }
        time::sleep(RETRY_INTERVAL).await;
    }
}

async fn local_chain(node: &Arc<Endpoint>) -> Result<Option<LocalChain>, ChainError> {
    LocalChain::detect(node, &node.client().await?).await
}

async fn genesis_of(node: &Arc<Endpoint>) -> Result<B256, ChainError> {
    let missing =
        || ChainError::Unreachable { endpoint: node.to_string(), problem: "it has no first block".to_owned() };
    node.block_hash(0).await?.ok_or_else(missing)
}
