//! Handles one message of a caller: applies the rules, forwards it, and returns the outcome.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use serde_json::Value;
use tokio::{sync::watch, task, time};

use super::{
    counts::Counts,
    geth_pool::GethPool,
    log_range,
    rpc::{self, Message, Reply, Request},
    rules::{Fault, Phase, Rule, RuleId, Rules},
    stale,
    upstream::Upstream,
};

/// The error code with which providers refuse requests beyond a plan.
const LIMIT_EXCEEDED: i64 = -32005;
/// What the runtime's timer may be late by: it counts in whole milliseconds.
const TIMER_LAG: Duration = Duration::from_millis(2);

/// The state that all connections of a proxy share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) rules: Rules,
    pub(super) counts: watch::Sender<Counts>,
    pub(super) upstream: Upstream,
    pool: GethPool,
}

/// The response to a caller.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A JSON-RPC response.
    Answer {
        /// The HTTP status.
        status: Status,
        /// The response, or the responses of a batch.
        body: Value,
    },
    /// An HTML page.
    Page {
        /// The HTTP status.
        status: u16,
    },
    /// The beginning of a JSON-RPC response, and then a reset of the connection.
    CutOff {
        /// The whole response.
        body: Value,
    },
    /// A reset of the connection.
    Reset,
}

/// The HTTP status of a JSON-RPC response; over a WebSocket it is not sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Status {
    /// 200.
    Ok,
    /// 413.
    PayloadTooLarge,
    /// 429.
    TooManyRequests {
        /// Seconds after which the caller may retry.
        retry_after_secs: u64,
    },
}

impl Shared {
    pub(super) fn new(upstream: &str) -> eyre::Result<Self> {
        Ok(Self {
            rules: Rules::default(),
            counts: watch::Sender::default(),
            upstream: Upstream::new(upstream)?,
            pool: GethPool::default(),
        })
    }

    /// Counts blocks, and after each retries transactions that wait for a lower base fee.
    pub(super) async fn follow(self: Arc<Self>, mut heads: impl Stream<Item = Value> + Unpin) {
        while heads.next().await.is_some() {
            // When the node is down, every caller gets an error of its own.
            self.pool.retry(&self.upstream).await.ok();
            self.counts.send_modify(Counts::add_block);
        }
    }

    /// Returns the faults that apply to an announcement, and counts them.
    pub(super) fn faults_of_announcement(&self, about: impl Fn(&Fault) -> bool) -> Vec<Fault> {
        let rules = self.applying(|rule| about(rule.fault()));
        rules.iter().map(|(_, rule)| rule.fault().clone()).collect()
    }

    fn applying(&self, about: impl Fn(&Rule) -> bool) -> Vec<(RuleId, Rule)> {
        let rules = self.rules.applying(about);
        self.counts.send_if_modified(|counts| {
            rules.iter().for_each(|(id, _)| counts.add_effect(*id));
            !rules.is_empty()
        });
        rules
    }
}

/// A message of a caller with the rules that apply to it.
#[derive(Debug)]
pub(super) struct Handler<'a> {
    shared: &'a Shared,
    message: &'a Message,
    rules: Vec<(RuleId, Rule)>,
}

impl Drop for Handler<'_> {
    fn drop(&mut self) {
        // Nothing waits for this.
        self.shared.counts.send_if_modified(|counts| {
            counts.end_message();
            false
        });
    }
}

impl<'a> Handler<'a> {
    /// Counts the requests of a message and selects the rules that apply to it.
    pub(super) fn new(shared: &'a Shared, message: &'a Message) -> Self {
        shared.counts.send_modify(|counts| {
            counts.begin_message();
            message.requests.iter().for_each(|request| counts.add_request(request));
        });
        let rules = shared.applying(|rule| message.requests.iter().any(|request| rule.matches(&request.method)));
        Self { shared, message, rules }
    }

    /// Processes the message and returns the response.
    pub(super) async fn run(self) -> Outcome {
        if let Some(outcome) = self.before_forwarding().await {
            return outcome;
        }
        let mut answers = Vec::new();
        for request in &self.message.requests {
            match self.answer(request).await {
                Ok(reply) => answers.push(request.answered(reply)),
                // Without an answer of the node, the proxy behaves as if it were down itself.
                Err(_) => return Outcome::Reset,
            }
        }
        for (id, rule) in &self.rules {
            match rule.fault() {
                Fault::Reset(Phase::AfterForwarding) => return Outcome::Reset,
                Fault::Stall(Phase::AfterForwarding) => self.shared.rules.lifted(*id).await,
                Fault::Slow(delay) => wait(*delay).await,
                Fault::CutOff => return Outcome::CutOff { body: self.message.answered(answers) },
                Fault::ShortBatch if answers.len() > 1 => drop(answers.pop()),
                _ => {}
            }
        }
        let is_too_large = answers.iter().any(|answer| answer["error"]["code"] == log_range::PAYLOAD_TOO_LARGE);
        let status = if is_too_large { Status::PayloadTooLarge } else { Status::Ok };
        Outcome::Answer { status, body: self.message.answered(answers) }
    }

    /// Applies the faults that act before the message is forwarded; returns an outcome where it is not forwarded at
    /// all.
    pub(super) async fn before_forwarding(&self) -> Option<Outcome> {
        for (id, rule) in &self.rules {
            match rule.fault() {
                Fault::Reset(Phase::BeforeForwarding) => return Some(Outcome::Reset),
                Fault::Stall(Phase::BeforeForwarding) => self.shared.rules.lifted(*id).await,
                Fault::Page { status } => return Some(Outcome::Page { status: *status }),
                Fault::RateLimited { retry_after_secs } => {
                    let refusal = rpc::error(LIMIT_EXCEEDED, "request rate exceeded: too many requests, retry later");
                    let refused = |request: &Request| request.answered(Err(refusal.clone()));
                    let body = self.message.answered(self.message.requests.iter().map(refused).collect());
                    let status = Status::TooManyRequests { retry_after_secs: *retry_after_secs };
                    return Some(Outcome::Answer { status, body });
                }
                _ => {}
            }
        }
        None
    }

    /// Returns the error that a rule injects instead of the result of a call.
    pub(super) fn refusal(&self, request: &Request) -> Option<Reply> {
        self.faults(request).find_map(|fault| match fault {
            Fault::Error { code, message } => Some(Err(rpc::error(*code, message))),
            _ => None,
        })
    }

    async fn answer(&self, request: &Request) -> eyre::Result<Reply> {
        if let Some(refusal) = self.refusal(request) {
            return Ok(refusal);
        }
        let upstream = &self.shared.upstream;
        for fault in self.faults(request) {
            if let Fault::LogRange { max_blocks, provider } = fault
                && let Some(refusal) = log_range::refusal(upstream, request, *max_blocks, *provider).await?
            {
                return Ok(Err(refusal));
            }
        }
        let answers =
            |fault: &&Fault| matches!(fault, Fault::Stale { .. } | Fault::OtherBlock { .. } | Fault::GethPool);
        let answering = self.faults(request).find(answers);
        let mut reply = match answering {
            Some(Fault::Stale { head }) => stale::answer(upstream, request, *head).await?,
            Some(Fault::OtherBlock { number }) => {
                let mut request = request.clone();
                request.set_param(1, rpc::quantity(*number));
                upstream.ask(&request).await?
            }
            Some(Fault::GethPool) => self.shared.pool.answer(upstream, request).await?,
            _ => upstream.ask(request).await?,
        };
        for fault in self.faults(request) {
            match (fault, &mut reply) {
                (Fault::TruncatedLogs { keep }, Ok(Value::Array(logs))) => logs.truncate(*keep),
                (Fault::Substituted { from, to }, Ok(result)) => {
                    *result = serde_json::from_str(&result.to_string().replace(from, to))?;
                }
                _ => {}
            }
        }
        Ok(reply)
    }

    /// Returns the faults that apply to one of the calls.
    fn faults(&self, request: &Request) -> impl Iterator<Item = &Fault> {
        self.rules.iter().filter(|(_, rule)| rule.matches(&request.method)).map(|(_, rule)| rule.fault())
    }
}

/// Waits for exactly this time: a delay that is measured against must not vary by a millisecond.
async fn wait(delay: Duration) {
    let end = Instant::now() + delay;
    time::sleep(delay.saturating_sub(TIMER_LAG)).await;
    let rest = end.saturating_duration_since(Instant::now());
    // It ends with the runtime if that ends now.
    task::spawn_blocking(move || thread::sleep(rest)).await.ok();
}
