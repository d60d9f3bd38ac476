//! A node that misbehaves: an HTTP and WebSocket JSON-RPC proxy in front of one healthy node, whose faults are data and
//! are switched on and off while it runs.
//!
//! Nothing here is random and nothing happens by itself: a [`Rule`] says which requests a fault befalls, from which on
//! and how many, so that a run can be repeated. [`Proxy::wait_for`] waits for what was asked, or for a fault to have
//! acted, so that a test never sleeps.
//!
//! | fault | what it is in real life |
//! |---|---|
//! | [`Proxy::take_down`] | a node that is being restarted: connections end, new ones are refused |
//! | [`Fault::Reset`] before forwarding | a load balancer that loses the request |
//! | [`Fault::Reset`] after forwarding | one that loses the answer: the node has done it, the caller cannot know |
//! | [`Fault::Stall`] | a node in garbage collection or swapping, which comes back, or does not |
//! | [`Fault::Slow`] | a node under load, or far away |
//! | [`Fault::Page`] | the web page of a gateway whose node is gone, with status 502, or 200 from a captive portal |
//! | [`Fault::RateLimited`] | a plan that is used up |
//! | [`Fault::Error`] | a node that answers, but not what was asked: pruned state, a timeout, a method that is off |
//! | [`Fault::TruncatedLogs`] | an index that is behind or broken: logs are missing and nothing says so |
//! | [`Fault::LogRange`] | a provider's limit on ranges, in its own words |
//! | [`Fault::Stale`] | one of several nodes behind an address that has stopped following the chain |
//! | [`Fault::Heads`] | subscriptions that lose, repeat or reorder heads |
//! | [`Fault::GethPool`] | not a fault: the transaction pool of geth, where Anvil's is more lenient |
//!
//! What it does not model: filters (`eth_newFilter`), faults that befall the answer to a subscription after it is made,
//! and blocks that the upstream never had.

mod counts;
mod geth_pool;
mod handler;
mod heads;
mod http;
mod log_range;
pub(crate) mod rpc;
mod rules;
mod stale;
mod upstream;
mod ws;

use std::{
    net::SocketAddr,
    ops::Range,
    process,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use eyre::{WrapErr, bail, eyre};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
    time,
};

use self::handler::Shared;
pub use self::{
    counts::Counts,
    heads::HeadFault,
    log_range::RpcProvider,
    rules::{Fault, Phase, Rule, RuleId},
};

/// How long [`Proxy::wait_for`] waits: it is there to fail instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

/// A running proxy. Dropping it ends it, connections included.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Holds the port while nobody listens, so that a proxy that is down cannot lose it to another program.
    _port: TcpSocket,
    acceptor: JoinSet<()>,
    _watcher: JoinSet<()>,
}

/// Below what systems choose from for whoever asks for any port: nobody is given a port whose proxy is down for a while.
const PORTS: Range<u16> = 20_000..32_000;

/// A port that is ours, whether anybody listens there or not.
fn reserve() -> eyre::Result<TcpSocket> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other processes have other places to begin at.
    let begin = u16::try_from(process::id() % u32::from(PORTS.end - PORTS.start))?;
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start);
        let number = PORTS.start + (begin + step) % (PORTS.end - PORTS.start);
        let port = TcpSocket::new_v4()?;
        port.set_reuseaddr(true)?;
        // Only one that nobody listens at can be bound and listened at.
        if std::net::TcpListener::bind(("127.0.0.1", number)).is_ok()
            && port.bind(SocketAddr::from(([127, 0, 0, 1], number))).is_ok()
        {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free", PORTS.start, PORTS.end - 1)
}

impl Proxy {
    /// Starts a proxy without faults, on a free port, in front of the node at `upstream` (host and
    /// port). Fails when that does not answer.
    pub async fn start(upstream: &str) -> eyre::Result<Self> {
        let shared = Arc::new(Shared::new(upstream)?);
        let blocks = shared.upstream.heads().await.wrap_err_with(|| format!("{upstream} announces no heads"))?;
        let mut watcher = JoinSet::new();
        watcher.spawn(Arc::clone(&shared).follow(blocks));
        let port = reserve()?;
        let address = port.local_addr()?;
        let mut proxy = Self { address, shared, _port: port, acceptor: JoinSet::new(), _watcher: watcher };
        proxy.bring_up()?;
        Ok(proxy)
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Where it is reached by HTTP.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it is reached by WebSocket.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Adds a fault, or a rule with one. Rules act in the order in which they were added.
    pub fn inject(&self, rule: impl Into<Rule>) -> RuleId {
        self.shared.rules.inject(rule.into())
    }

    /// Takes a rule away and lets go of what it stalls. One that is gone already is no error.
    pub fn lift(&self, rule: RuleId) {
        self.shared.rules.lift(rule);
    }

    /// Takes every rule away.
    pub fn lift_all(&self) {
        self.shared.rules.lift_all();
    }

    /// Ends every connection and refuses new ones, as a dead node does.
    pub async fn take_down(&mut self) {
        self.acceptor.shutdown().await;
    }

    /// Listens again, at the same address. Does nothing where it already does.
    pub fn bring_up(&mut self) -> eyre::Result<()> {
        if self.acceptor.is_empty() {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(self.address).wrap_err_with(|| format!("{} is taken", self.address))?;
            self.acceptor.spawn(accept(socket.listen(BACKLOG)?, Arc::clone(&self.shared)));
        }
        Ok(())
    }

    /// Ends every connection, WebSockets without a word, and takes new ones at once.
    pub async fn cut_connections(&mut self) -> eyre::Result<()> {
        self.take_down().await;
        self.bring_up()
    }

    /// What was asked until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts.borrow().clone()
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        self.shared.counts.send_replace(Counts::default());
    }

    /// Waits until the counts are as wanted and returns them. Fails after a minute, with what they were.
    pub async fn wait_for(&self, wanted: impl FnMut(&Counts) -> bool) -> eyre::Result<Counts> {
        let mut counts = self.shared.counts.subscribe();
        let reached = time::timeout(PATIENCE, counts.wait_for(wanted)).await.map(|counts| counts.map(|c| c.clone()));
        reached.map_err(|_| eyre!("waited in vain; the counts are {:?}", self.counts()))?.map_err(Into::into)
    }
}

/// Takes connections for as long as it runs; they end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let shared = Arc::clone(&shared);
                // How a connection ends concerns its caller alone, who notices.
                connections.spawn(async move { http::serve(stream, shared).await.ok() });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
