//! A JSON-RPC proxy that injects faults between a client and a node, over HTTP and WebSocket. Faults are data, and are
//! added and removed while it runs.
//!
//! Nothing is random and nothing happens by itself: a [`Rule`] states which requests a fault affects, from which on and
//! how many, so that a run can be repeated. [`Proxy::wait_for`] waits until requests have arrived or a rule has acted,
//! so that a test never sleeps.
//!
//! | fault | what it represents |
//! |---|---|
//! | [`Proxy::take_down`] | a node that is restarted: connections end, new ones are refused |
//! | [`Fault::Reset`] before forwarding | a load balancer that loses the request |
//! | [`Fault::Reset`] after forwarding | a load balancer that loses the response: the node has acted, the caller cannot know |
//! | [`Fault::Stall`] | a node in garbage collection or swapping, which may recover |
//! | [`Fault::Slow`] | a node under load, or far away |
//! | [`Fault::Page`] | the HTML page of a gateway whose node is down, with status 502, or 200 from a captive portal |
//! | [`Fault::RateLimited`] | a plan whose limit is reached |
//! | [`Fault::Error`] | a node that answers with an error: pruned state, a timeout, a method that is disabled |
//! | [`Fault::TruncatedLogs`] | a log index that is behind or broken: logs are missing without an error |
//! | [`Fault::LogRange`] | a provider's limit on block ranges, with its own error |
//! | [`Fault::Stale`] | one of several nodes behind an address that has stopped following the chain |
//! | [`Fault::OtherBlock`] | a load balancer whose nodes answer by their newest block where they lack the one that is asked for |
//! | [`Fault::Heads`] | subscriptions that lose, repeat or reorder heads |
//! | [`Fault::CutOff`] | a connection that ends in the middle of a response |
//! | [`Fault::ShortBatch`] | a load balancer that loses a part of a batch |
//! | [`Fault::Substituted`] | a node that lies |
//! | [`Fault::GethPool`] | no fault: the rules of geth's transaction pool, where Anvil's are more lenient |
//!
//! Not modelled are filters (`eth_newFilter`), faults in the response to a subscription request, and blocks that the
//! node never had.
//!
//! # Example
//! ```no_run
//! use plimsoll_testkit::{
//!     devnet::Devnet,
//!     proxy::{Fault, Phase, Proxy, Rule},
//! };
//!
//! # async fn example() -> eyre::Result<()> {
//! let devnet = Devnet::start().await?;
//! let proxy = Proxy::start(devnet.node.address()).await?;
//! // The first transaction reaches the node, but its sender never learns that.
//! let lost = Rule::from(Fault::Reset(Phase::AfterForwarding)).on(&["eth_sendRawTransaction"]).times(1);
//! let lost = proxy.inject(lost);
//! let url = proxy.http_url();
//! // … a client that uses `url` sends a transaction …
//! proxy.wait_for(|counts| counts.acted(lost) == 1).await?;
//! # Ok(()) }
//! ```

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
    io,
    net::{SocketAddr, UdpSocket},
    ops::Range,
    process,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
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

/// How long [`Proxy::wait_for`] waits before it fails.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a port that the proxy has just closed may still be open: a process that is being started has every open file of
/// its parent for a moment, however those are marked.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two attempts to listen at such a port.
const CLOSING_INTERVAL: Duration = Duration::from_millis(1);

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// A running proxy. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Keeps the port, also while the proxy is down.
    _reservation: UdpSocket,
    acceptor: JoinSet<()>,
    _watcher: JoinSet<()>,
}

/// The ports that proxies use. They are below those that operating systems assign, so that a proxy that is down keeps
/// its port.
const PORTS: Range<u16> = 20_000..32_000;

/// Reserves a port on which nobody listens. The reservation is the UDP port of the same number, which only one socket can
/// have: so the proxies of several processes never try each other's ports, whether they are up or down. Fails when no port
/// is free.
pub(crate) fn reserve() -> eyre::Result<UdpSocket> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other processes begin elsewhere in the range.
    let begin = u16::try_from(process::id() % u32::from(PORTS.end - PORTS.start))?;
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start);
        let address = ("127.0.0.1", PORTS.start + (begin + step) % (PORTS.end - PORTS.start));
        if let Ok(reservation) = UdpSocket::bind(address)
            && std::net::TcpListener::bind(address).is_ok()
        {
            return Ok(reservation);
        }
    }
    bail!("no port from {} to {} is free", PORTS.start, PORTS.end - 1)
}

impl Proxy {
    /// Starts a proxy without faults, on a free port, in front of the node at `upstream` (host and port).
    ///
    /// # Errors
    /// When the node does not answer, or does not announce heads over WebSocket.
    pub async fn start(upstream: &str) -> eyre::Result<Self> {
        let shared = Arc::new(Shared::new(upstream)?);
        let blocks = shared.upstream.heads().await.wrap_err_with(|| format!("{upstream} announces no heads"))?;
        let mut watcher = JoinSet::new();
        watcher.spawn(Arc::clone(&shared).follow(blocks));
        let reservation = reserve()?;
        let address = reservation.local_addr()?;
        let mut proxy =
            Self { address, shared, _reservation: reservation, acceptor: JoinSet::new(), _watcher: watcher };
        proxy.bring_up()?;
        Ok(proxy)
    }

    /// Returns the proxy's host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Returns the proxy's HTTP URL.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the proxy's WebSocket URL.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Adds a rule, or a fault that affects every request, and returns the rule's id. Rules act in the order in which
    /// they were added.
    pub fn inject(&self, rule: impl Into<Rule>) -> RuleId {
        self.shared.rules.inject(rule.into())
    }

    /// Removes a rule; requests that it stalls continue. Does nothing where the rule was removed before.
    pub fn lift(&self, rule: RuleId) {
        self.shared.rules.lift(rule);
    }

    /// Removes every rule.
    pub fn lift_all(&self) {
        self.shared.rules.lift_all();
    }

    /// Closes every connection and refuses new ones, as a node that is down.
    pub async fn take_down(&mut self) {
        self.acceptor.shutdown().await;
    }

    /// Listens again at the same address. Does nothing where the proxy is not down.
    ///
    /// # Errors
    /// When another program listens at the address.
    pub fn bring_up(&mut self) -> eyre::Result<()> {
        if self.acceptor.is_empty() {
            let listener = self.listen().wrap_err_with(|| format!("{} cannot be listened at", self.address))?;
            self.acceptor.spawn(accept(listener, Arc::clone(&self.shared)));
        }
        Ok(())
    }

    fn listen(&self) -> io::Result<TcpListener> {
        let begun = Instant::now();
        loop {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            match socket.bind(self.address).and_then(|()| socket.listen(BACKLOG)) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < CLOSING_TIMEOUT => {
                    thread::sleep(CLOSING_INTERVAL);
                }
                outcome => return outcome,
            }
        }
    }

    /// Closes every connection, WebSockets without a closing handshake, and accepts new ones at once.
    ///
    /// # Errors
    /// As [`Proxy::bring_up`].
    pub async fn cut_connections(&mut self) -> eyre::Result<()> {
        self.take_down().await;
        self.bring_up()
    }

    /// Returns the counts of requests, blocks and effects.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts.borrow().clone()
    }

    /// Resets all counts to zero.
    pub fn reset_counts(&self) {
        self.shared.counts.send_replace(Counts::default());
    }

    /// Waits until the counts satisfy a condition, and returns them.
    ///
    /// # Errors
    /// After a minute, with the counts.
    pub async fn wait_for(&self, condition: impl FnMut(&Counts) -> bool) -> eyre::Result<Counts> {
        let mut counts = self.shared.counts.subscribe();
        let reached =
            time::timeout(WAIT_TIMEOUT, counts.wait_for(condition)).await.map(|counts| counts.map(|c| c.clone()));
        reached.map_err(|_| eyre!("waited for a minute; the counts are {:?}", self.counts()))?.map_err(Into::into)
    }
}

/// Accepts connections until it is cancelled, which closes them.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let shared = Arc::clone(&shared);
                // The error of a connection is seen by its caller.
                connections.spawn(async move { http::serve(stream, shared).await.ok() });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
