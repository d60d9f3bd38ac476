//! One endpoint: its connection, what it knows, and every question that we ask it, each with a deadline and on record.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};

use super::{head::Head, range::RangeSize, refusal::Refusal, standing::Standing};

/// An endpoint and what is known about it.
pub(super) struct Node {
    pub(super) endpoint: Arc<Endpoint>,
    deadline: Duration,
    state: Mutex<State>,
    /// Rung when its standing has changed, for the one who attends to it.
    pub(super) poked: Notify,
}

/// What is known about an endpoint.
pub(super) struct State {
    /// Its connection, while there is one to the right chain.
    pub(super) client: Option<RpcClient>,
    /// A second one for others' questions: where a node sends small answers together, as Anvil does, an answer waits
    /// until the last one on its connection was acknowledged, which takes 40 ms when nothing else is said.
    for_others: Option<RpcClient>,
    /// Whether it announces heads by itself.
    pub(super) listens: bool,
    pub(super) head: Option<Head>,
    /// How often `head` was noted: an answer that was on its way meanwhile is old.
    seen: u64,
    /// Why it is never asked.
    pub(super) excluded: Option<String>,
    pub(super) standing: Standing,
    pub(super) range: RangeSize,
}

/// A question without an answer. What it says of the endpoint is on record already.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) refusal: Refusal,
    pub(super) error: ChainError,
}

impl Node {
    pub(super) fn new(endpoint: Arc<Endpoint>, deadline: Duration, longest_range: u64) -> Self {
        let state = State {
            client: None,
            for_others: None,
            listens: false,
            head: None,
            seen: 0,
            excluded: None,
            standing: Standing::default(),
            range: RangeSize::up_to(longest_range),
        };
        Self { endpoint, deadline, state: Mutex::new(state), poked: Notify::new() }
    }

    /// What is known. Nobody waits while holding it.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connected(&self, client: RpcClient, for_others: Option<RpcClient>, listens: bool) {
        let mut state = self.state();
        state.client = Some(client);
        state.for_others = for_others;
        state.listens = listens;
    }

    /// There is no connection, or none any more.
    pub(super) fn disconnected(&self, error: &ChainError) {
        tracing::warn!(%error, "an endpoint is away");
        let mut state = self.state();
        state.client = None;
        state.for_others = None;
        state.listens = false;
        state.standing.is_away(error.to_string());
    }

    /// For good.
    pub(super) fn exclude(&self, reason: String) {
        tracing::error!(endpoint = %self.endpoint, reason, "an endpoint is not used");
        let mut state = self.state();
        state.head = None;
        state.standing.last_error = Some(reason.clone());
        state.excluded = Some(reason);
    }

    /// It said something that is not true.
    pub(super) fn lied(&self, reason: &str) {
        tracing::warn!(endpoint = %self.endpoint, reason, "an endpoint said what is not true, and is asked last for now");
        self.state().standing.lies(reason.to_owned(), Instant::now());
        self.poked.notify_one();
    }

    /// Notes its newest block. True where that is news.
    pub(super) fn saw(&self, head: Head) -> bool {
        let mut state = self.state();
        state.seen += 1;
        state.head.replace(head) != Some(head)
    }

    /// Asks for its newest block. An answer that was overtaken by an announcement is left aside.
    pub(super) async fn look(&self) -> Result<bool, Failure> {
        let seen = self.state().seen;
        let latest = self.header(BlockNumberOrTag::Latest).await?;
        let Some(latest) = latest else {
            return Err(self.failed(Refusal::Away, self.problem("it has no newest block")));
        };
        let was_overtaken = self.state().seen != seen;
        Ok(!was_overtaken && self.saw(latest))
    }

    pub(super) async fn header(&self, block: BlockNumberOrTag) -> Result<Option<Head>, Failure> {
        let head: Option<Head> = self.ask("eth_getBlockByNumber", (block, false)).await?;
        let wanted = block.as_number();
        self.checked(head, |head| wanted.is_none_or(|wanted| head.header.number == wanted))
    }

    pub(super) async fn header_by_hash(&self, hash: B256) -> Result<Option<Head>, Failure> {
        let head: Option<Head> = self.ask("eth_getBlockByHash", (hash, false)).await?;
        self.checked(head, |head| head.header.hash == hash)
    }

    fn checked(&self, head: Option<Head>, is_it: impl Fn(&Head) -> bool) -> Result<Option<Head>, Failure> {
        if head.as_ref().is_none_or(is_it) {
            return Ok(head);
        }
        let reason = "it gave another block than was asked for";
        self.lied(reason);
        Err(Failure { refusal: Refusal::Other, error: self.problem(reason) })
    }

    pub(super) async fn logs(&self, filter: Filter) -> Result<Vec<Log>, Failure> {
        self.ask("eth_getLogs", (filter,)).await
    }

    /// The connection for others' questions.
    pub(super) fn client_for_others(&self) -> Option<RpcClient> {
        let state = self.state();
        state.for_others.clone().or_else(|| state.client.clone())
    }

    /// Somebody else's question. A second connection that does not work is left for the first.
    pub(super) async fn ask_for_others<P, R>(&self, method: &'static str, params: P) -> Result<R, Failure>
    where
        P: RpcSend,
        R: RpcRecv,
    {
        let answer = self.ask_over(self.client_for_others(), method, params).await;
        if answer.as_ref().is_err_and(|failure| failure.refusal == Refusal::Away) {
            self.state().for_others = None;
        }
        answer
    }

    /// Any question of the stream's.
    pub(super) async fn ask<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: P) -> Result<R, Failure> {
        let client = self.state().client.clone();
        self.ask_over(client, method, params).await
    }

    /// Who wants to be left alone is.
    async fn ask_over<P, R>(&self, client: Option<RpcClient>, method: &'static str, params: P) -> Result<R, Failure>
    where
        P: RpcSend,
        R: RpcRecv,
    {
        let wants_rest = self.state().standing.wants_rest(Instant::now()).map(|reason| self.problem(reason));
        match (client, wants_rest) {
            (Some(client), None) => self.timed(client.request(method, params)).await,
            (Some(_), Some(error)) => Err(Failure { refusal: Refusal::Busy(None), error }),
            (None, _) => Err(Failure { refusal: Refusal::Away, error: self.problem("it is not connected") }),
        }
    }

    /// Waits for an answer, no longer than the deadline, and notes what that says of the endpoint.
    pub(super) async fn timed<R>(&self, asked: impl Future<Output = Result<R, TransportError>>) -> Result<R, Failure> {
        let start = Instant::now();
        match time::timeout(self.deadline, asked).await {
            Ok(Ok(answer)) => {
                let now = Instant::now();
                if self.state().standing.answers(now - start, now) {
                    tracing::info!(endpoint = %self.endpoint, "an endpoint is good again");
                    self.poked.notify_one();
                }
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(Refusal::of(&error), ChainError::of_transport(&self.endpoint, &error))),
            Err(_) => Err(self.failed(Refusal::Away, self.problem(&format!("nothing within {:?}", self.deadline)))),
        }
    }

    /// Notes what did not work, as far as that says something of the endpoint.
    pub(super) fn failed(&self, refusal: Refusal, error: ChainError) -> Failure {
        let (reason, now) = (error.to_string(), Instant::now());
        let mut state = self.state();
        let was_good = state.standing.is_good();
        match refusal {
            Refusal::Away | Refusal::Other => state.standing.fails(reason.clone(), now),
            Refusal::Busy(retry_after) => state.standing.is_busy(reason.clone(), retry_after, now),
            Refusal::TooLarge | Refusal::UnknownBlock => state.standing.last_error = Some(reason.clone()),
            Refusal::Reverted => {}
        }
        if was_good && !state.standing.is_good() {
            tracing::warn!(endpoint = %self.endpoint, reason, "an endpoint is asked last for now");
            self.poked.notify_one();
        }
        Failure { refusal, error }
    }

    pub(super) fn problem(&self, problem: &str) -> ChainError {
        ChainError::Unreachable { endpoint: self.endpoint.to_string(), problem: problem.to_owned() }
    }
}
