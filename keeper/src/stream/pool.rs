//! All endpoints together: who is asked first, what is known of each, and the bell that rings when one has news.

use std::sync::Arc;

use alloy::{
    primitives::B256,
    rpc::{
        client::RpcClient,
        json_rpc::{RpcRecv, RpcSend},
    },
};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use tokio::{sync::watch, time::Instant};

use super::{
    choice::{self, View},
    head::Head,
    node::Node,
    refusal::Refusal,
    settings::Settings,
    standing::Latency,
};
use crate::chain::{Header, Sources};

/// The endpoints, and what all who ask them share.
pub(super) struct Pool {
    pub(super) nodes: Vec<Node>,
    pub(super) settings: Settings,
    pub(super) sources: Sources,
    /// Rings when an endpoint has a new head, comes, goes, or gets better or worse. Rings merge: nobody has to keep up.
    pub(super) bell: watch::Sender<()>,
    /// The first block's hash, once it is known.
    pub(super) genesis: watch::Sender<Option<B256>>,
    /// The block that is being fetched, or was last.
    pub(super) newest: watch::Sender<Option<Header>>,
}

/// How an endpoint is doing, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Scheme and host.
    pub name: String,
    /// Whether it is asked, and why not.
    pub state: EndpointState,
    /// Its newest block.
    pub head: Option<u64>,
    /// How far that is behind the newest of all.
    pub lag: Option<u64>,
    /// What went wrong last, scrubbed.
    pub last_error: Option<String>,
    /// How fast it answers.
    pub latency: Option<Latency>,
    /// Questions that it answered.
    pub answered: u64,
    /// Questions that it did not answer.
    pub failed: u64,
    /// Answers that were not true.
    pub lied: u64,
}

/// Whether an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointState {
    /// In its turn.
    Good,
    /// Only when there is nobody better.
    Demoted {
        /// Why.
        reason: String,
        /// For how many seconds more at least.
        for_secs: u64,
    },
    /// It is not connected; that is tried again and again.
    Away,
    /// Never: it is of another chain.
    Excluded {
        /// Why.
        reason: String,
    },
}

impl Pool {
    pub(super) fn new(endpoints: Vec<Arc<Endpoint>>, sources: Sources, settings: Settings) -> Self {
        let node = |endpoint| Node::new(endpoint, settings.deadline, settings.longest_range);
        Self {
            nodes: endpoints.into_iter().map(node).collect(),
            genesis: watch::Sender::new(settings.genesis),
            sources,
            settings,
            bell: watch::Sender::default(),
            newest: watch::Sender::default(),
        }
    }

    /// Whether a block's logs have to be asked for.
    pub(super) fn may_concern_us(&self, head: &Head) -> bool {
        !self.settings.blooms || head.may_concern(&self.sources)
    }

    /// Whether an endpoint that is asked in its turn announces its heads.
    pub(super) fn listens(&self) -> bool {
        let listens = |node: &Node| {
            let state = node.state();
            state.listens && state.standing.is_good()
        };
        self.nodes.iter().any(listens)
    }

    /// Whether another endpoint than this is asked in its turn.
    pub(super) fn has_better(&self, than: &Node) -> bool {
        let is_good = |node: &Node| {
            let state = node.state();
            state.client.is_some() && state.standing.is_good()
        };
        self.nodes.iter().any(|node| !std::ptr::eq(node, than) && is_good(node))
    }

    /// Something has changed: there may be something to do.
    pub(super) fn ring(&self) {
        self.bell.send_replace(());
    }

    pub(super) fn views(&self) -> Vec<View> {
        let view = |node: &Node| {
            let state = node.state();
            View {
                head: state.head,
                is_there: state.client.is_some(),
                is_good: state.standing.is_good(),
                is_silent: state.standing.is_silent,
            }
        };
        self.nodes.iter().map(view).collect()
    }

    /// The connected endpoints, by their positions, in the order in which to ask about a block of this height.
    pub(super) fn order(&self, number: u64) -> Vec<usize> {
        choice::order(&self.views(), number)
    }

    pub(super) fn health(&self) -> Vec<EndpointHealth> {
        let best = self.nodes.iter().filter_map(|node| node.state().head).map(|head| head.header.number).max();
        let now = Instant::now();
        let health = |node: &Node| {
            let state = node.state();
            let standing = &state.standing;
            let head = state.head.map(|head| head.header.number);
            EndpointHealth {
                name: node.endpoint.to_string(),
                state: match (&state.excluded, &state.client, standing.demotion()) {
                    (Some(reason), ..) => EndpointState::Excluded { reason: reason.clone() },
                    (None, None, _) => EndpointState::Away,
                    (None, Some(_), None) => EndpointState::Good,
                    (None, Some(_), Some(demotion)) => EndpointState::Demoted {
                        reason: demotion.reason.clone(),
                        for_secs: demotion.until.saturating_duration_since(now).as_secs(),
                    },
                },
                head,
                lag: best.zip(head).map(|(best, head)| best - head),
                last_error: standing.last_error.clone(),
                latency: standing.latency,
                answered: standing.answered,
                failed: standing.failed,
                lied: standing.lied,
            }
        };
        self.nodes.iter().map(health).collect()
    }
}

/// Asks the stream's endpoints for others, in the same order; a WebSocket has a second connection for that.
#[derive(Clone)]
pub struct Reader(pub(super) Arc<Pool>);

impl Reader {
    /// Asks about a block of this height: the best endpoint that has it, and the next where that fails. A revert is an
    /// answer. Fails with the last error when nobody answers.
    pub async fn ask<P: RpcSend, R: RpcRecv>(
        &self,
        number: u64,
        method: &'static str,
        params: P,
    ) -> Result<R, ChainError> {
        let nobody = || ChainError::Unreachable {
            endpoint: "every endpoint".to_owned(),
            problem: "none is connected".to_owned(),
        };
        let mut last = None;
        for node in self.0.order(number).into_iter().filter_map(|index| self.0.nodes.get(index)) {
            match node.ask_for_others(method, params.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.refusal == Refusal::Reverted => return Err(failure.error),
                Err(failure) => last = Some(failure.error),
            }
        }
        Err(last.unwrap_or_else(nobody))
    }

    /// The connected endpoints that have a block of this height, the best first. Their connections end when the stream
    /// finds that they are gone; ask again then.
    #[must_use]
    pub fn clients(&self, number: u64) -> Vec<(Arc<Endpoint>, RpcClient)> {
        let client = |index: usize| {
            let node = self.0.nodes.get(index)?;
            Some((Arc::clone(&node.endpoint), node.client_for_others()?))
        };
        self.0.order(number).into_iter().filter_map(client).collect()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.nodes.iter().map(|node| &node.endpoint)).finish()
    }
}
