//! One endpoint's client: its connection, what is known of it, and every request that is made to it. Each request has a
//! timeout, and its result counts for the endpoint's health.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::B256,
    rpc::{
        client::RpcClient,
        json_rpc::{RpcRecv, RpcSend},
        types::{Filter, Log},
    },
    transports::TransportError,
};
use futures_util::future::try_join_all;
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};

use super::{
    block_logs::RpcHeader, endpoint_health::HealthTracker, hedging::RecentLatencies, log_range::AdaptiveLogRange,
    rpc_error::RpcErrorKind,
};
use crate::{chain::Sources, record};

/// Maximum number of requests of one kind that are made to an endpoint at the same time.
pub(super) const MAX_CONCURRENT_REQUESTS: usize = 8;

/// A client for one endpoint, with what is known of the endpoint.
pub(super) struct EndpointClient {
    pub(super) endpoint: Arc<Endpoint>,
    request_timeout: Duration,
    state: Mutex<ClientState>,
    /// Number of requests of other parts that are late.
    late_requests: AtomicU32,
    /// Wakes the endpoint's connection task when the endpoint has been demoted or restored.
    pub(super) health_changed: Notify,
}

/// What is known of an endpoint.
pub(super) struct ClientState {
    /// The connection, while there is one to the right chain.
    pub(super) client: Option<RpcClient>,
    /// A second connection for [`StreamReader`](super::StreamReader), `None` while there is none: if a node sends small
    /// answers together, as Anvil does, an answer waits until the last one on its connection was acknowledged, which takes
    /// 40 ms when nothing else is sent.
    reader_client: Option<RpcClient>,
    /// Whether the endpoint announces new heads by itself.
    pub(super) announces_heads: bool,
    /// The newest block of the endpoint.
    pub(super) head: Option<RpcHeader>,
    /// Number of times that `head` was recorded, by which an answer is recognised that was overtaken meanwhile.
    heads_recorded: u64,
    /// The reason why the endpoint is never used.
    pub(super) excluded: Option<String>,
    pub(super) health: HealthTracker,
    pub(super) log_range: AdaptiveLogRange,
    /// Latencies of the last answers to other parts.
    reader_latencies: RecentLatencies,
}

/// A request that is late, until it is answered or given up.
struct LateRequest<'a>(&'a AtomicU32);

impl<'a> LateRequest<'a> {
    fn count(late: &'a AtomicU32) -> Self {
        late.fetch_add(1, Ordering::Relaxed);
        Self(late)
    }
}

impl Drop for LateRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that failed. It has been counted for the endpoint's health already.
#[derive(Debug, Clone)]
pub(super) struct RequestError {
    pub(super) kind: RpcErrorKind,
    pub(super) error: ChainError,
}

impl EndpointClient {
    pub(super) fn new(endpoint: Arc<Endpoint>, request_timeout: Duration, max_log_range: u64) -> Self {
        let state = ClientState {
            client: None,
            reader_client: None,
            announces_heads: false,
            head: None,
            heads_recorded: 0,
            excluded: None,
            health: HealthTracker::default(),
            log_range: AdaptiveLogRange::with_max(max_log_range),
            reader_latencies: RecentLatencies::default(),
        };
        Self {
            endpoint,
            request_timeout,
            state: Mutex::new(state),
            late_requests: AtomicU32::new(0),
            health_changed: Notify::new(),
        }
    }

    /// Locks what is known of the endpoint. The guard must not be held across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a connection to the right chain.
    pub(super) fn connected(&self, client: RpcClient, announces_heads: bool) {
        let mut state = self.state();
        state.client = Some(client);
        state.announces_heads = announces_heads;
    }

    /// Records the second connection, or that there is none. Requests of other parts use the first one then.
    pub(super) fn set_reader_client(&self, client: Option<RpcClient>) {
        self.state().reader_client = client;
    }

    /// Records that the connection has ended, or could not be established.
    pub(super) fn disconnected(&self, error: &ChainError) {
        tracing::warn!(endpoint = %self.endpoint, %error, "endpoint disconnected");
        let mut state = self.state();
        state.client = None;
        state.reader_client = None;
        state.announces_heads = false;
        state.health.record_disconnect(error.to_string());
    }

    /// Excludes the endpoint for good.
    pub(super) fn exclude(&self, reason: String) {
        tracing::error!(endpoint = %self.endpoint, reason, "endpoint excluded");
        let mut state = self.state();
        state.head = None;
        state.health.last_error = Some(reason.clone());
        state.excluded = Some(reason);
    }

    /// Records that an answer of the endpoint is not true, and demotes it.
    pub(super) fn report_false_answer(&self, reason: &str) {
        tracing::warn!(endpoint = %self.endpoint, cause = "false answer", reason, "endpoint demoted");
        self.state().health.record_false_answer(reason.to_owned(), Instant::now());
        self.health_changed.notify_one();
    }

    /// Records the endpoint's newest block. Returns true if it is another than before.
    pub(super) fn record_head(&self, head: RpcHeader) -> bool {
        let mut state = self.state();
        state.heads_recorded += 1;
        state.head.replace(head) != Some(head)
    }

    /// Requests the newest block and records it. Returns true if it is another than before; an answer that was
    /// overtaken by an announcement is ignored.
    pub(super) async fn poll_head(&self) -> Result<bool, RequestError> {
        let recorded = self.state().heads_recorded;
        let latest = self.header(BlockNumberOrTag::Latest).await?;
        let Some(latest) = latest else {
            return Err(self.record_failure(RpcErrorKind::Unreachable, self.error("it has no newest block")));
        };
        let was_overtaken = self.state().heads_recorded != recorded;
        Ok(!was_overtaken && self.record_head(latest))
    }

    /// Requests a header by number or tag; `None` if the endpoint does not have the block. Fails if it gives another.
    pub(super) async fn header(&self, block: BlockNumberOrTag) -> Result<Option<RpcHeader>, RequestError> {
        let header: Option<RpcHeader> = self.request("eth_getBlockByNumber", (block, false)).await?;
        let wanted = block.as_number();
        self.verified(header, |header| wanted.is_none_or(|wanted| header.header.number == wanted))
    }

    /// Requests a header by hash; `None` if the endpoint does not have the block. Fails if it gives another.
    pub(super) async fn header_by_hash(&self, hash: B256) -> Result<Option<RpcHeader>, RequestError> {
        let header: Option<RpcHeader> = self.request("eth_getBlockByHash", (hash, false)).await?;
        self.verified(header, |header| header.header.hash == hash)
    }

    fn verified(
        &self,
        header: Option<RpcHeader>,
        is_wanted: impl Fn(&RpcHeader) -> bool,
    ) -> Result<Option<RpcHeader>, RequestError> {
        if header.as_ref().is_none_or(is_wanted) {
            return Ok(header);
        }
        let reason = "it gave another block than was asked for";
        self.report_false_answer(reason);
        Err(RequestError { kind: RpcErrorKind::Rejected, error: self.error(reason) })
    }

    /// Requests the logs that are followed in a range of blocks, in their order.
    pub(super) async fn logs_between(
        &self,
        sources: &Sources,
        first: u64,
        last: u64,
    ) -> Result<Vec<Log>, RequestError> {
        let filters = sources.filters().into_iter().map(|filter| filter.from_block(first).to_block(last));
        let mut answers = try_join_all(filters.map(|filter| self.logs(filter))).await?;
        let mut logs = answers.pop().unwrap_or_default();
        if !answers.is_empty() {
            logs.extend(answers.into_iter().flatten());
            logs.sort_by_key(|log| (log.block_number, log.log_index));
        }
        Ok(logs)
    }

    pub(super) async fn logs(&self, filter: Filter) -> Result<Vec<Log>, RequestError> {
        self.request("eth_getLogs", (filter,)).await
    }

    /// Returns the connection for a request of another part. Fails without one, and while the endpoint's rate limit is in
    /// effect.
    pub(super) fn for_reader(&self) -> Result<RpcClient, RequestError> {
        let state = self.state();
        let client = state.reader_client.clone().or_else(|| state.client.clone());
        drop(state);
        self.usable(client)
    }

    /// Waits for the answer to a request of another part. From `late_after` on, further requests go to other endpoints
    /// first.
    pub(super) async fn read<R>(
        &self,
        request: impl Future<Output = Result<R, ChainError>>,
        late_after: Duration,
    ) -> Result<R, RequestError> {
        let start = Instant::now();
        let mut answered = pin!(self.timed(request));
        let answer = match time::timeout(late_after, &mut answered).await {
            Ok(answer) => answer,
            Err(_) => {
                let _late = LateRequest::count(&self.late_requests);
                answered.await
            }
        };
        if answer.is_ok() {
            self.state().reader_latencies.record(start.elapsed());
        }
        answer
    }

    /// Returns true if a request of another part is late.
    pub(super) fn has_late_request(&self) -> bool {
        self.late_requests.load(Ordering::Relaxed) > 0
    }

    /// Returns the time after which a request of another part is hedged.
    pub(super) fn hedge_delay(&self, block_time: Duration) -> Duration {
        self.state().reader_latencies.hedge_delay(block_time)
    }

    /// Makes a request of the stream.
    pub(super) async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, RequestError> {
        let client = self.state().client.clone();
        let client = self.usable(client)?;
        record::rpc(method, self.with_timeout(client.request(method, params))).await
    }

    /// Returns a connection that may be used. Fails without one, and while the endpoint's rate limit is in effect.
    fn usable(&self, client: Option<RpcClient>) -> Result<RpcClient, RequestError> {
        let rate_limit = self.state().health.rate_limit(Instant::now()).map(|reason| self.error(reason));
        match (client, rate_limit) {
            (Some(client), None) => Ok(client),
            (Some(_), Some(error)) => Err(RequestError { kind: RpcErrorKind::RateLimited(None), error }),
            (None, _) => {
                Err(RequestError { kind: RpcErrorKind::Unreachable, error: self.error("it is not connected") })
            }
        }
    }

    /// Waits for an answer, no longer than the timeout, and counts the result for the endpoint's health.
    pub(super) async fn with_timeout<R>(
        &self,
        request: impl Future<Output = Result<R, TransportError>>,
    ) -> Result<R, RequestError> {
        let of_transport = |error| ChainError::of_transport(&self.endpoint, &error);
        self.timed(async { request.await.map_err(of_transport) }).await
    }

    /// Waits for an answer as [`Self::with_timeout`] does.
    async fn timed<R>(&self, request: impl Future<Output = Result<R, ChainError>>) -> Result<R, RequestError> {
        let start = Instant::now();
        match time::timeout(self.request_timeout, request).await {
            Ok(Ok(answer)) => {
                self.record_answer(start);
                Ok(answer)
            }
            Ok(Err(error)) => {
                let kind = RpcErrorKind::of(&error);
                if kind == RpcErrorKind::Reverted {
                    self.record_answer(start);
                }
                Err(self.record_failure(kind, error))
            }
            Err(_) => {
                let error = self.error(&format!("nothing within {:?}", self.request_timeout));
                Err(self.record_failure(RpcErrorKind::TimedOut, error))
            }
        }
    }

    /// Records the answer to a request that was made at `start`.
    fn record_answer(&self, start: Instant) {
        let now = Instant::now();
        if self.state().health.record_answer(now - start, now) {
            tracing::info!(endpoint = %self.endpoint, "endpoint restored");
            self.health_changed.notify_one();
        }
    }

    /// Records a failed request, and demotes the endpoint if the failure is the endpoint's.
    pub(super) fn record_failure(&self, kind: RpcErrorKind, error: ChainError) -> RequestError {
        let (reason, now) = (error.to_string(), Instant::now());
        let mut state = self.state();
        let was_healthy = state.health.is_healthy();
        match kind {
            RpcErrorKind::Unreachable | RpcErrorKind::TimedOut | RpcErrorKind::Rejected => {
                state.health.record_failure(reason.clone(), now);
            }
            RpcErrorKind::RateLimited(retry_after) => {
                state.health.record_rate_limit(reason.clone(), retry_after, now);
            }
            RpcErrorKind::RangeTooLarge | RpcErrorKind::UnknownBlock => state.health.last_error = Some(reason.clone()),
            RpcErrorKind::Reverted => {}
        }
        if was_healthy && !state.health.is_healthy() {
            tracing::warn!(endpoint = %self.endpoint, cause = "failed request", reason, "endpoint demoted");
            self.health_changed.notify_one();
        }
        RequestError { kind, error }
    }

    /// Returns an error that names the endpoint.
    pub(super) fn error(&self, problem: &str) -> ChainError {
        ChainError::Unreachable { endpoint: self.endpoint.to_string(), problem: problem.to_owned() }
    }
}
