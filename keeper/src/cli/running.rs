//! What a keeper that runs has decided, asked where its page is. Only one that looks after the same deployment on the
//! same chain is believed: the address says nothing about who answers there.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use reqwest::{Client, redirect::Policy};
use serde::Deserialize;
use thiserror::Error;

use crate::{
    config::Deployed,
    outside::view::{Decision, PositionView},
    report::positions::AskedKeeper,
};

/// It answers from what it has, so at once or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a keeper has decided.
#[derive(Debug)]
pub(super) struct Running {
    /// Who it is, and how far it is.
    pub(super) keeper: AskedKeeper,
    decisions: HashMap<(B256, Address), Decision>,
}

/// Why no keeper was asked.
#[derive(Debug, Error)]
pub(super) enum NotAsked {
    #[error("`listen` in [http] is off")]
    Off,
    #[error("`listen` in [http] leaves the port to the system, and only the keeper knows which it is")]
    UnknownPort,
    #[error("nobody answers at {url}")]
    Silent { url: String },
    #[error("what answers at {url} is no keeper of this version")]
    Stranger { url: String },
    #[error("the keeper at {url} has another {what}: {theirs}, and here it is {ours}")]
    Elsewhere { url: String, what: &'static str, theirs: String, ours: String },
    #[error("the keeper at {url} has not read the chain yet")]
    Behind { url: String },
}

/// What of a keeper's status is needed; all of it is of one moment.
#[derive(Debug, Deserialize)]
struct Status {
    keeper: Identity,
    head: Option<Head>,
    at_risk: Vec<Decided>,
}

#[derive(Debug, Deserialize)]
struct Identity {
    chain_id: u64,
    genesis: B256,
    core: Address,
    live: bool,
}

#[derive(Debug, Deserialize)]
struct Head {
    number: u64,
}

#[derive(Debug, Deserialize)]
struct Decided {
    market: B256,
    account: Address,
    decision: Option<Decision>,
}

impl Running {
    /// Asks the keeper that listens there, if it is one for this deployment.
    pub(super) async fn ask(listen: Option<SocketAddr>, deployed: &Deployed) -> Result<Self, NotAsked> {
        let url = format!("http://{}", reachable(listen.ok_or(NotAsked::Off)?)?);
        let Status { keeper, head, at_risk } = status(&url).await?;
        keeper.is_for(deployed, &url)?;
        let Some(Head { number }) = head else { return Err(NotAsked::Behind { url }) };
        let decisions =
            at_risk.into_iter().filter_map(|decided| Some(((decided.market, decided.account), decided.decision?)));
        Ok(Self { decisions: decisions.collect(), keeper: AskedKeeper { url, block: number, live: keeper.live } })
    }

    /// What it has decided about a position; nothing where that is not among the most endangered.
    pub(super) fn decision(&self, position: &PositionView) -> Option<Decision> {
        self.decisions.get(&(position.market, position.account)).cloned()
    }
}

impl Identity {
    fn is_for(&self, deployed: &Deployed, url: &str) -> Result<(), NotAsked> {
        let other = |what, theirs: String, ours: String| {
            let url = url.to_owned();
            Err(NotAsked::Elsewhere { url, what, theirs, ours })
        };
        if self.chain_id != deployed.chain_id {
            return other("chain", self.chain_id.to_string(), deployed.chain_id.to_string());
        }
        if let Some(ours) = deployed.genesis.filter(|ours| *ours != self.genesis) {
            return other("first block", self.genesis.to_string(), ours.to_string());
        }
        if self.core != deployed.core {
            return other("core", self.core.to_string(), deployed.core.to_string());
        }
        Ok(())
    }
}

/// Where somebody who listens on every address of this machine can be reached on it.
fn reachable(listen: SocketAddr) -> Result<SocketAddr, NotAsked> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    if listen.port() == 0 { Err(NotAsked::UnknownPort) } else { Ok(SocketAddr::new(ip, listen.port())) }
}

async fn status(url: &str) -> Result<Status, NotAsked> {
    let silent = |_| NotAsked::Silent { url: url.to_owned() };
    // A proxy of the environment's is for other machines.
    let client = Client::builder().timeout(PATIENCE).no_proxy().redirect(Policy::none()).build().map_err(silent)?;
    let answer = client.get(format!("{url}/api/status")).send().await.map_err(silent)?;
    answer.json().await.map_err(|_| NotAsked::Stranger { url: url.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_everywhere_is_reached_on_this_machine() {
        let reached = |listen: &str| reachable(listen.parse().unwrap()).map(|address| address.to_string()).ok();
        assert_eq!(reached("0.0.0.0:9464").as_deref(), Some("127.0.0.1:9464"));
        assert_eq!(reached("[::]:9464").as_deref(), Some("[::1]:9464"));
        assert_eq!(reached("10.1.2.3:80").as_deref(), Some("10.1.2.3:80"));
        assert_eq!(reached("127.0.0.1:0"), None);
    }
}
