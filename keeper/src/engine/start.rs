//! Opening everything that a keeper needs, in the order in which refusing costs least, and the loop.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use alloy::{eips::BlockNumberOrTag, primitives::B256, signers::local::PrivateKeySigner};
use eyre::{WrapErr, ensure, eyre};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError, local::LocalChain, signer::SignerSource};
use serde::Deserialize;
use tokio::{
    sync::{mpsc::UnboundedReceiver, watch},
    task::JoinSet,
    time::{self, Instant, MissedTickBehavior},
};

use super::{
    Engine, Follower, Loaded, News, SUMS, TICK,
    data_fee::DataPrice,
    feed::PriceFeed,
    ledger::{Ledger, Sums},
    look::Named,
    picture::Decisions,
    reads::Endpoints,
    terms::{self, Roles},
};
use crate::{
    audit::Auditor,
    config::Config,
    outside::{self, Metrics, Server, Shutdown, Survey, View, view},
    prices::Valuer,
    sender::{self, SenderTasks, Signers, StartError},
    store::{Identity, Store},
    strategies::{harvest::Harvest, liquidate::Liquidate},
    stream::Stream,
};

/// Between two attempts to reach a node before anything else can begin.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Whether anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is: the keeper says what it would do.
    DryRun,
    /// It is.
    Live {
        /// Whether to begin at the chain's nonce where that is ahead of the journal.
        adopt_nonce: bool,
    },
}

/// Runs a keeper until it is told to end. `listening` is called once the page is up. Fails where something is wrong
/// that time does not mend; a node that is away is waited for.
pub async fn run(
    config: Config,
    mode: Mode,
    shutdown: Shutdown,
    listening: impl FnOnce(SocketAddr) + Send,
) -> eyre::Result<()> {
    let (is_live, adopt_nonce) = match mode {
        Mode::DryRun => (false, false),
        Mode::Live { adopt_nonce } => (true, adopt_nonce),
    };
    let mut config = config;
    let named: Vec<_> = config
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.role.reads())
        .map(|endpoint| Named { name: endpoint.name.clone(), role: endpoint.role.to_string() })
        .collect();
    let sender_settings = sender::Settings::of(&config, is_live, adopt_nonce);
    let roles = Roles::of(std::mem::take(&mut config.endpoints));

    let begin = async {
        let genesis = match config.deployed.genesis {
            Some(genesis) => genesis,
            None => until_answered(&roles.read, genesis_of).await,
        };
        let signers = signers(&config, &roles.read).await?;
        eyre::Ok((genesis, signers))
    };
    let (genesis, signers) = tokio::select! {
        begun = begin => begun?,
        () = shutdown.requested() => return Ok(()),
    };
    let keeper = signers.urgent.as_ref().map(PrivateKeySigner::address).unwrap_or_default();
    let harvester = signers.patient.as_ref().map_or(keeper, PrivateKeySigner::address);
    ensure!(!is_live || signers.urgent.is_some(), "--live needs a key: name one as `liquidations` in [signers]");

    let deployed = &config.deployed;
    let identity = Identity { chain_id: deployed.chain_id, genesis, core: deployed.core, rewards: deployed.rewards };
    let store = Store::open(&config.store.folder, &identity)?;
    let Store { checkpoint, journal, notes, alerts: queue } = store;
    let forgotten = journal.prune(config.store.keep).await?;
    if forgotten > 0 {
        tracing::info!(forgotten, "settled transactions are old enough to go from the journal");
    }
    let loaded = Loaded::from(&checkpoint).await?;
    let settings = crate::stream::Settings { genesis: Some(genesis), ..terms::stream(&config) };
    let first_block = deployed.first_block;
    let stream = Stream::start(roles.read.clone(), deployed.sources(), loaded.cursor(first_block), settings);
    let reader = stream.reader();
    let endpoints = Endpoints::new(reader.clone());
    let markets: Arc<[_]> = Engine::configured(&config).into();
    let feed = PriceFeed::start(endpoints.clone(), deployed.lens, markets, stream.on_head());
    let follower = Follower::new(stream, loaded, checkpoint, first_block);

    let starting = start_sender(sender_settings, signers, &roles, &journal, &notes);
    let (sender, news, tasks) = tokio::select! {
        started = starting => started?,
        () = shutdown.requested() => return Ok(()),
    };
    let sums: Sums = match notes.read(SUMS).await? {
        Some(text) => serde_json::from_str(&text).wrap_err("the sums in the store's journal")?,
        None => Sums::default(),
    };

    let view = first_view(&config, genesis, is_live);
    let (views, seen) = watch::channel(Arc::new(view.clone()));
    let metrics = Metrics::new(seen.clone());
    let server = match config.http.listen {
        Some(listen) => {
            let server = Server::start(listen, seen.clone(), metrics.clone(), shutdown.clone()).await?;
            listening(server.address);
            Some(server)
        }
        None => None,
    };
    let alerts = std::mem::replace(
        &mut config.alerts,
        crate::config::Alerts {
            webhook: None,
            low_balance: Default::default(),
            stalled_after: Duration::ZERO,
            watch: Vec::new(),
        },
    );
    config.alerts.watch.clone_from(&alerts.watch);
    let alerts = outside::alerts::start(alerts, queue, seen, shutdown.clone());
    let engine = Engine {
        liquidate: Liquidate::new(terms::liquidate(&config, keeper)),
        harvest: terms::harvest(&config, harvester).map(Harvest::new),
        harvests: HashMap::new(),
        data_price: DataPrice::new(config.chain.data_fee),
        valuer: Valuer::new(config.tokens.sources()),
        endpoint_names: named,
        config,
        follower,
        endpoints,
        reader,
        feed,
        sender,
        notes,
        handed_over: HashMap::new(),
        reverted: Vec::new(),
        decisions: Decisions::default(),
        ledger: Ledger::new(sums),
        survey: Survey::default(),
        auditor: Auditor::default(),
        audited: view::AuditView::default(),
        told_of: HashSet::new(),
        last: None,
        is_held_up: false,
        background: JoinSet::new(),
        show_at: None,
        view,
        views,
        metrics,
        alerts,
    };
    let result = engine.run(news, tasks, &shutdown).await;
    // Whatever made it end, everybody else does, too.
    shutdown.request();
    if let Some(server) = server {
        server.ended().await;
    }
    result
}

impl Engine {
    async fn run(
        mut self,
        mut news: UnboundedReceiver<sender::News>,
        mut tasks: SenderTasks,
        shutdown: &Shutdown,
    ) -> eyre::Result<()> {
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let result = loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => break Ok(()),
                Some(told) = news.recv() => {
                    let is_done = told.is_mined();
                    self.hear(told);
                    if is_done {
                        self.go_on().await;
                    }
                }
                () = time::sleep_until(self.show_at.unwrap_or_else(Instant::now)), if self.show_at.is_some() => self.show(),
                step = self.follower.wait() => match self.follower.take(step).await {
                    Ok(News::Applied(block)) => self.applied(&block).await,
                    Ok(News::Undone { to }) => {
                        self.is_held_up = false;
                        tracing::info!(block = to.number, "blocks after this one were taken back");
                    }
                    Ok(News::Rebuilt) => self.begin_anew(),
                    Ok(News::Refused) => {}
                    Err(error) => break Err(error.into()),
                },
                Some(found) = self.background.join_next() => {
                    if let Ok(found) = found {
                        self.found(found).await;
                    }
                }
                () = tasks.ended() => {
                    break Err(eyre!("a task of the sender has ended, so nothing can be sent any more: start again"));
                }
                _ = tick.tick() => {
                    self.look_at_endpoints();
                    self.publish();
                }
            }
        };
        tracing::info!("ending: what is on its way stays in the journal");
        tasks.shut_down().await;
        // What was written down last, too.
        while let Some(found) = self.background.join_next().await {
            drop(found);
        }
        self.follower.flush().await;
        result
    }
}

fn first_view(config: &Config, genesis: B256, live: bool) -> View {
    View {
        keeper: view::Keeper {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            network: config.deployed.network.clone(),
            chain: config.chain.name.clone(),
            chain_id: config.deployed.chain_id,
            genesis,
            core: config.deployed.core,
            coin: config.chain.coin.clone(),
            live,
            ready_within: config.http.ready_within,
        },
        progress: Some("waiting for a node".to_owned()),
        ..View::default()
    }
}

/// The keys. Anvil's own are loaded only with the proof that the chain is an Anvil.
async fn signers(config: &Config, nodes: &[Arc<Endpoint>]) -> eyre::Result<Signers> {
    let sources = [&config.signers.liquidations, &config.signers.harvests];
    let is_anvils = |source: &&Option<SignerSource>| matches!(source, Some(SignerSource::Anvil(_)));
    let local = if sources.iter().any(is_anvils) { until_answered(nodes, local_chain).await } else { None };
    let load = |source: &Option<SignerSource>| source.as_ref().map(|source| source.load(local)).transpose();
    let [urgent, patient] = sources.map(load);
    Ok(Signers {
        urgent: urgent.wrap_err("`liquidations` in [signers]")?,
        patient: patient.wrap_err("`harvests` in [signers]")?,
    })
}

/// Starts the sender as soon as a node answers.
async fn start_sender(
    settings: sender::Settings,
    signers: Signers,
    roles: &Roles,
    journal: &crate::store::SqliteJournal,
    notes: &crate::store::Notes,
) -> Result<(sender::SenderHandle, UnboundedReceiver<sender::News>, SenderTasks), StartError> {
    loop {
        let (settings, signers) = (settings.clone(), signers.clone());
        match sender::start(settings, signers, roles.nodes(), journal.clone(), notes.clone()).await {
            Err(StartError::Chain(error)) if error.is_retryable() => wait_for_a_node(&error).await,
            started => return started,
        }
    }
}

/// Asks one node after the other until one answers.
async fn until_answered<T>(nodes: &[Arc<Endpoint>], question: impl AsyncFn(&Endpoint) -> Result<T, ChainError>) -> T {
    loop {
        for node in nodes {
            match question(node).await {
                Ok(answer) => return answer,
                Err(error) => wait_for_a_node(&error).await,
            }
        }
    }
}

async fn wait_for_a_node(error: &ChainError) {
    tracing::warn!(%error, "waiting for a node");
    time::sleep(TRY_AGAIN).await;
}

async fn local_chain(node: &Endpoint) -> Result<Option<LocalChain>, ChainError> {
    LocalChain::detect(node, &node.client().await?).await
}

async fn genesis_of(node: &Endpoint) -> Result<B256, ChainError> {
    #[derive(Debug, Deserialize)]
    struct Block {
        hash: B256,
    }
    let client = node.client().await?;
    let first = client.request::<_, Block>("eth_getBlockByNumber", (BlockNumberOrTag::Number(0), false)).await;
    Ok(first.map_err(|error| ChainError::of_transport(node, &error))?.hash)
}
