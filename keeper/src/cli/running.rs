//! Asks a running keeper for its decisions over HTTP. Only a keeper of the same deployment on the same chain is believed:
//! the address alone does not say which program listens there.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use reqwest::{Client, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

use crate::{
    config::Deployed,
    report::positions::AskedKeeper,
    view::{DecisionView, PositionView},
};

/// Time limit of the request. A keeper responds from memory, so at once.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Number of positions, those with the lowest health factors, whose decisions are asked for: the most of one page.
const MAX_DECISIONS: u64 = 1_000;

/// The decisions of a running keeper.
#[derive(Debug)]
pub(super) struct RunningKeeper {
    /// Where the keeper listens, and as of which block it has decided.
    pub(super) keeper: AskedKeeper,
    decisions: HashMap<(B256, Address), DecisionView>,
}

/// Why there are no decisions of a running keeper.
#[derive(Debug, Error)]
pub(super) enum NotAsked {
    #[error("`listen` in [http] is off")]
    Off,
    #[error("`listen` in [http] leaves the port to the system, and only the keeper knows which it is")]
    UnknownPort,
    #[error("nothing responds at {url}")]
    NoResponse { url: String },
    #[error("the server at {url} is not a keeper of this version")]
    NotAKeeper { url: String },
    #[error("the keeper at {url} has another {what}: {theirs}, and here it is {ours}")]
    OtherDeployment { url: String, what: &'static str, theirs: String, ours: String },
    #[error("the keeper at {url} has not read the chain yet")]
    NotSynced { url: String },
}

/// The part of `/api/v1/status` that is needed here.
#[derive(Debug, Deserialize)]
struct Status {
    keeper: Identity,
    head: Option<Head>,
}

/// The part of `/api/v1/positions` that is needed here.
#[derive(Debug, Deserialize)]
struct Positions {
    block: Option<u64>,
    positions: Vec<DecidedPosition>,
}

#[derive(Debug, Deserialize)]
struct Identity {
    chain_id: u64,
    genesis: B256,
    core: Option<Address>,
    live: bool,
}

#[derive(Debug, Deserialize)]
struct Head {}

#[derive(Debug, Deserialize)]
struct DecidedPosition {
    market: B256,
    account: Address,
    decision: Option<DecisionView>,
}

impl RunningKeeper {
    /// Asks the keeper at `listen`. Fails if nothing responds there, or not a keeper of this deployment.
    pub(super) async fn ask(listen: Option<SocketAddr>, deployed: &Deployed) -> Result<Self, NotAsked> {
        let url = format!("http://{}", reachable(listen.ok_or(NotAsked::Off)?)?);
        let Status { keeper, head: Some(Head {}) } = get(&url, "status").await? else {
            return Err(NotAsked::NotSynced { url });
        };
        // Before its first block, a keeper may not know its chain's first block yet.
        keeper.matches(deployed, &url)?;
        let path = format!("positions?limit={MAX_DECISIONS}");
        let Positions { block: Some(number), positions } = get(&url, &path).await? else {
            return Err(NotAsked::NotSynced { url });
        };
        let decisions =
            positions.into_iter().filter_map(|decided| Some(((decided.market, decided.account), decided.decision?)));
        Ok(Self { decisions: decisions.collect(), keeper: AskedKeeper { url, block: number, live: keeper.live } })
    }

    /// Returns its decision about a position; `None` if the position is not among those with the lowest health factors.
    pub(super) fn decision(&self, position: &PositionView) -> Option<DecisionView> {
        self.decisions.get(&(position.market, position.account)).cloned()
    }
}

impl Identity {
    fn matches(&self, deployed: &Deployed, url: &str) -> Result<(), NotAsked> {
        let other = |what, theirs: String, ours: String| {
            let url = url.to_owned();
            Err(NotAsked::OtherDeployment { url, what, theirs, ours })
        };
        if self.chain_id != deployed.chain_id {
            return other("chain", self.chain_id.to_string(), deployed.chain_id.to_string());
        }
        if let Some(ours) = deployed.genesis.filter(|ours| *ours != self.genesis) {
            return other("first block", self.genesis.to_string(), ours.to_string());
        }
        if self.core != deployed.core() {
            let theirs = self.core.map_or_else(|| "none".to_owned(), |core| core.to_string());
            return other("core", theirs, deployed.core.to_string());
        }
        Ok(())
    }
}

/// Returns the address at which a server that listens at `listen` can be reached on this machine.
fn reachable(listen: SocketAddr) -> Result<SocketAddr, NotAsked> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    if listen.port() == 0 { Err(NotAsked::UnknownPort) } else { Ok(SocketAddr::new(ip, listen.port())) }
}

/// Asks for one of the keeper's JSON documents.
async fn get<T: DeserializeOwned>(url: &str, path: &str) -> Result<T, NotAsked> {
    let no_response = |_| NotAsked::NoResponse { url: url.to_owned() };
    // A proxy from the environment is for other machines.
    let client = Client::builder().timeout(TIMEOUT).no_proxy().redirect(Policy::none()).build().map_err(no_response)?;
    let response = client.get(format!("{url}/api/v1/{path}")).send().await.map_err(no_response)?;
    response.json().await.map_err(|_| NotAsked::NotAKeeper { url: url.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_reached_on_loopback() {
        let reached = |listen: &str| reachable(listen.parse().unwrap()).map(|address| address.to_string()).ok();
        assert_eq!(reached("0.0.0.0:9464").as_deref(), Some("127.0.0.1:9464"));
        assert_eq!(reached("[::]:9464").as_deref(), Some("[::1]:9464"));
        assert_eq!(reached("10.1.2.3:80").as_deref(), Some("10.1.2.3:80"));
        assert_eq!(reached("127.0.0.1:0"), None);
    }
}
