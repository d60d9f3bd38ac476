//! Endpoint failover: all endpoints together, the order in which they are asked, and a reader that asks the next one
//! when one fails.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

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
    EndpointHealth, EndpointState, StreamSettings,
    ask::{self, AskPolicy},
    block_logs::RpcHeader,
    endpoint_client::EndpointClient,
    hedging::HedgeBudget,
    progress::ProgressTracker,
};
use crate::{
    chain::{Header, Sources},
    record,
};

/// The endpoints, with what all tasks that use them share.
pub(super) struct EndpointPool {
    pub(super) clients: Vec<EndpointClient>,
    pub(super) settings: StreamSettings,
    pub(super) sources: Sources,
    /// Notifies of a new head, and of an endpoint that was connected, disconnected, demoted or restored. Notifications
    /// merge, so that no receiver has to keep up.
    pub(super) new_head: watch::Sender<()>,
    /// Hash of the chain's first block, once it is known.
    pub(super) genesis: watch::Sender<Option<B256>>,
    /// Header of the newest block that is followed, published before its events are fetched.
    pub(super) newest: watch::Sender<Option<Header>>,
    /// Hedges that other parts' questions may use.
    pub(super) hedges: HedgeBudget,
    progress: Mutex<ProgressTracker>,
}

/// What the selection of an endpoint depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndpointView {
    /// The endpoint's newest block.
    pub(super) head: Option<RpcHeader>,
    pub(super) is_connected: bool,
    /// Whether it is not demoted.
    pub(super) is_healthy: bool,
    /// Whether a request of another part is late.
    pub(super) has_late_request: bool,
    /// Average latency of its answers; zero before the first.
    pub(super) latency: Duration,
    /// Whether the last request failed, so that `head` may be out of date.
    pub(super) last_request_failed: bool,
}

impl EndpointView {
    /// Returns the number of the endpoint's newest block.
    pub(super) fn number(&self) -> Option<u64> {
        self.head.map(|head| head.header.number)
    }

    /// Returns the magnitude of its latency: 0 below [`FAST`], one more for every four times as much. So endpoints that
    /// are alike keep the order of the configuration.
    fn slowness(&self) -> u32 {
        u32::try_from(self.latency.as_millis() / FAST.as_millis())
            .unwrap_or(u32::MAX)
            .checked_ilog(4)
            .map_or(0, |log| log + 1)
    }
}

/// Latency below which endpoints are equally good.
const FAST: Duration = Duration::from_millis(16);

/// Returns the failover order for a request about a block: the indices of the connected endpoints. The healthy go before
/// the demoted, then those without a late request, those that have the block, the faster, and last the order of the
/// configuration.
fn failover_order(views: &[EndpointView], number: u64) -> Vec<usize> {
    let mut order: Vec<_> = views.iter().enumerate().filter(|(_, view)| view.is_connected).collect();
    order.sort_by_key(|(index, view)| {
        let is_behind = view.number() < Some(number);
        (!view.is_healthy, view.has_late_request, is_behind, view.slowness(), *index)
    });
    order.into_iter().map(|(index, _)| index).collect()
}

impl EndpointPool {
    pub(super) fn new(endpoints: Vec<Arc<Endpoint>>, sources: Sources, settings: StreamSettings) -> Self {
        let client = |endpoint| EndpointClient::new(endpoint, settings.request_timeout, settings.max_log_range);
        Self {
            clients: endpoints.into_iter().map(client).collect(),
            genesis: watch::Sender::new(settings.genesis),
            sources,
            settings,
            new_head: watch::Sender::default(),
            newest: watch::Sender::default(),
            hedges: HedgeBudget::default(),
            progress: Mutex::default(),
        }
    }

    /// Returns true if a block may contain logs of our contracts, so that they must be requested.
    pub(super) fn may_contain_our_logs(&self, header: &RpcHeader) -> bool {
        let follows_any = self.sources.addresses().next().is_some();
        follows_any && (!self.settings.blooms || header.may_contain_logs_of(&self.sources))
    }

    /// Locks the progress of the backfill. The guard must not be held across an await.
    pub(super) fn progress(&self) -> MutexGuard<'_, ProgressTracker> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of blocks to ask for at once, of the endpoint that is asked first about a block.
    pub(super) fn log_range(&self, number: u64) -> u64 {
        let client = self.clients_for(number).next();
        client.map_or(1, |(_, client)| client.state().log_range.blocks()).max(1)
    }

    /// Returns true if a healthy endpoint announces new heads.
    pub(super) fn has_announcer(&self) -> bool {
        let announces = |client: &EndpointClient| {
            let state = client.state();
            state.announces_heads && state.health.is_healthy()
        };
        self.clients.iter().any(announces)
    }

    /// Returns true if an endpoint other than this one is connected and healthy.
    pub(super) fn has_healthy_other(&self, than: &EndpointClient) -> bool {
        let is_healthy = |client: &EndpointClient| {
            let state = client.state();
            state.client.is_some() && state.health.is_healthy()
        };
        self.clients.iter().any(|client| !std::ptr::eq(client, than) && is_healthy(client))
    }

    /// Returns the number of endpoints that are not excluded.
    pub(super) fn in_use(&self) -> usize {
        self.clients.iter().filter(|client| client.state().excluded.is_none()).count()
    }

    /// Notifies the planner and the connections of a new head, or of a change of an endpoint's health.
    pub(super) fn notify_new_head(&self) {
        self.new_head.send_replace(());
    }

    /// Publishes the header of the newest block that is followed. Does nothing if it was published last: whoever waits
    /// for a new head would take it for one.
    pub(super) fn publish_newest(&self, header: Header) {
        self.newest.send_if_modified(|newest| newest.replace(header) != Some(header));
    }

    /// Returns a view of each endpoint, by index.
    pub(super) fn views(&self) -> Vec<EndpointView> {
        let view = |client: &EndpointClient| {
            let state = client.state();
            EndpointView {
                head: state.head,
                is_connected: state.client.is_some(),
                is_healthy: state.health.is_healthy(),
                has_late_request: client.has_late_request(),
                latency: state.health.latency.map_or(Duration::ZERO, |latency| latency.average),
                last_request_failed: state.health.last_request_failed,
            }
        };
        self.clients.iter().map(view).collect()
    }

    /// Returns the connected endpoints with their indices, in the failover order for a request about a block.
    pub(super) fn clients_for(&self, number: u64) -> impl Iterator<Item = (usize, &EndpointClient)> {
        let order = failover_order(&self.views(), number);
        order.into_iter().filter_map(|index| Some((index, self.clients.get(index)?)))
    }

    pub(super) fn health(&self) -> Vec<EndpointHealth> {
        let newest = self.clients.iter().filter_map(|client| client.state().head).map(|head| head.header.number).max();
        let now = Instant::now();
        let health = |client: &EndpointClient| {
            let state = client.state();
            let tracker = &state.health;
            let head = state.head.map(|head| head.header.number);
            EndpointHealth {
                name: client.endpoint.to_string(),
                state: match (&state.excluded, &state.client, tracker.demotion()) {
                    (Some(reason), ..) => EndpointState::Excluded { reason: reason.clone() },
                    (None, None, _) => EndpointState::Disconnected,
                    (None, Some(_), None) => EndpointState::Healthy,
                    (None, Some(_), Some(demotion)) => EndpointState::Demoted {
                        reason: demotion.reason.clone(),
                        remaining_secs: demotion.until.saturating_duration_since(now).as_secs(),
                    },
                },
                head,
                // A head may have arrived since `newest` was read.
                lag: newest.zip(head).map(|(newest, head)| newest.saturating_sub(head)),
                last_error: tracker.last_error.clone(),
                latency: tracker.latency,
                answered: tracker.answered,
                failed: tracker.failed,
                false_answers: tracker.false_answers,
            }
        };
        self.clients.iter().map(health).collect()
    }
}

/// Makes requests to the stream's endpoints for other parts of the keeper, in the stream's failover order. A WebSocket
/// endpoint has a second connection for them.
#[derive(Clone)]
pub struct StreamReader(pub(super) Arc<EndpointPool>);

impl StreamReader {
    /// Makes a request about a block: to the best endpoint that has it, then to the next one if that fails. A revert is
    /// an answer. Fails with the last error if no endpoint answers.
    pub async fn ask<P: RpcSend + 'static, R: RpcRecv>(
        &self,
        number: u64,
        method: &'static str,
        params: P,
    ) -> Result<R, ChainError> {
        let policy = AskPolicy { block: number, is_urgent: false };
        let request = |endpoint: Arc<Endpoint>, client: RpcClient| {
            let request = client.request::<P, R>(method, params.clone());
            let request = async move { request.await.map_err(|error| ChainError::of_transport(&endpoint, &error)) };
            record::rpc(method, request)
        };
        ask::ask(&self.0, policy, request).await
    }

    /// Asks a question by a policy. `request` makes it to one endpoint; it fails with [`ChainError`] also where the answer
    /// is not valid, which counts against the endpoint. Fails with the last error if no endpoint answers.
    pub async fn ask_by<T, F>(
        &self,
        policy: AskPolicy,
        request: impl Fn(Arc<Endpoint>, RpcClient) -> F,
    ) -> Result<T, ChainError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ChainError>> + Send + 'static,
    {
        ask::ask(&self.0, policy, request).await
    }

    /// Asks every connected endpoint the same, and returns the valid answers with the endpoints' indices. Once one has
    /// answered, those that are late are not waited for.
    pub async fn ask_each<T, F>(&self, request: impl Fn(Arc<Endpoint>, RpcClient) -> F) -> Vec<(usize, T)>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ChainError>> + Send + 'static,
    {
        ask::ask_all(&self.0, request).await
    }

    /// Records that an answer of the endpoint with this index is not true, and demotes it.
    pub fn report_false_answer(&self, index: usize, reason: &str) {
        if let Some(client) = self.0.clients.get(index) {
            client.report_false_answer(reason);
        }
    }
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.clients.iter().map(|client| &client.endpoint)).finish()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alloy::primitives::Bloom;

    use super::*;

    pub(in crate::stream) fn hash(number: u64, fork: u8) -> B256 {
        let mut hash = B256::left_padding_from(&number.to_be_bytes());
        hash.0[0] = fork;
        hash
    }

    /// Returns the header of a block of one fork whose parent may be of another.
    pub(in crate::stream) fn header(number: u64, fork: u8, parent_fork: u8) -> Header {
        Header {
            number,
            hash: hash(number, fork),
            parent_hash: hash(number - 1, parent_fork),
            timestamp: 0,
            base_fee: 0,
            gas_limit: 0,
            gas_used: 0,
        }
    }

    /// Returns a head of a fork that left the chain of fork 0 after block 95.
    pub(in crate::stream) fn head(number: u64, fork: u8) -> RpcHeader {
        let header = header(number, fork, if number <= 96 { 0 } else { fork });
        RpcHeader { header, bloom: Bloom::ZERO, receipts_root: None }
    }

    /// Returns a healthy endpoint with this head.
    pub(in crate::stream) fn at(number: u64, fork: u8) -> EndpointView {
        EndpointView {
            head: Some(head(number, fork)),
            is_connected: true,
            is_healthy: true,
            has_late_request: false,
            latency: Duration::ZERO,
            last_request_failed: false,
        }
    }

    pub(in crate::stream) fn demoted(view: EndpointView) -> EndpointView {
        EndpointView { is_healthy: false, ..view }
    }

    #[test]
    fn healthy_endpoints_that_have_the_block_are_asked_first() {
        let disconnected = EndpointView { is_connected: false, ..at(100, 0) };
        let views = [demoted(at(100, 0)), at(90, 0), at(100, 0), disconnected, at(101, 0)];
        assert_eq!(failover_order(&views, 100), [2, 4, 1, 0]);
    }

    #[test]
    fn a_demoted_late_or_lagging_endpoint_is_asked_after_the_others() {
        let late = EndpointView { has_late_request: true, ..at(100, 0) };
        for worse in [demoted(at(100, 0)), late, at(99, 0)] {
            assert_eq!(failover_order(&[worse, at(100, 0)], 100), [1, 0]);
        }
    }

    #[test]
    fn a_much_faster_endpoint_is_asked_first_and_a_little_faster_one_is_not() {
        let takes = |millis| EndpointView { latency: Duration::from_millis(millis), ..at(100, 0) };
        assert_eq!(failover_order(&[takes(15), takes(1)], 100), [0, 1]);
        assert_eq!(failover_order(&[takes(120), takes(70)], 100), [0, 1]);
        assert_eq!(failover_order(&[takes(120), takes(40)], 100), [1, 0]);
    }
}
