//! One exchange: what a caller sends at once, what befalls it, and what it hears.

use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use serde_json::Value;
use tokio::{sync::watch, time};

use super::{
    counts::Counts,
    geth_pool::GethPool,
    log_range,
    rpc::{self, Message, Reply, Request},
    rules::{Fault, Phase, Rule, RuleId, Rules},
    stale,
    upstream::Upstream,
};

/// What providers answer to calls beyond a plan.
const LIMIT_EXCEEDED: i64 = -32005;

/// What all connections of a proxy share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) rules: Rules,
    pub(super) counts: watch::Sender<Counts>,
    pub(super) upstream: Upstream,
    pool: GethPool,
}

/// What a caller hears.
#[derive(Debug)]
pub(super) enum Outcome {
    /// JSON-RPC.
    Answer {
        /// What HTTP says of it.
        status: Status,
        /// The answer.
        body: Value,
    },
    /// A web page.
    Page {
        /// The HTTP status.
        status: u16,
    },
    /// Nothing: the connection is reset.
    Reset,
}

/// What HTTP says of an answer, which a WebSocket leaves unsaid.
#[derive(Debug, Clone, Copy)]
pub(super) enum Status {
    /// 200.
    Ok,
    /// 413.
    PayloadTooLarge,
    /// 429.
    TooManyRequests {
        /// When to come again.
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

    /// Counts blocks, and has transactions that wait for a lower base fee tried again.
    pub(super) async fn follow(self: Arc<Self>, mut heads: impl Stream<Item = Value> + Unpin) {
        while heads.next().await.is_some() {
            // A node that is gone is noticed by every caller.
            self.pool.try_again(&self.upstream).await.ok();
            self.counts.send_modify(Counts::mined);
        }
    }

    /// The faults that befall an announcement now.
    pub(super) fn befalling_announcement(&self, about: impl Fn(&Fault) -> bool) -> Vec<Fault> {
        let rules = self.befalling(|rule| about(rule.fault()));
        rules.iter().map(|(_, rule)| rule.fault().clone()).collect()
    }

    fn befalling(&self, about: impl Fn(&Rule) -> bool) -> Vec<(RuleId, Rule)> {
        let rules = self.rules.befalling(about);
        self.counts.send_if_modified(|counts| {
            rules.iter().for_each(|(id, _)| counts.act(*id));
            !rules.is_empty()
        });
        rules
    }
}

/// A message on its way to the node and back.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    shared: &'a Shared,
    message: &'a Message,
    rules: Vec<(RuleId, Rule)>,
}

impl<'a> Exchange<'a> {
    /// Counts what is asked and decides what befalls it.
    pub(super) fn begin(shared: &'a Shared, message: &'a Message) -> Self {
        shared.counts.send_modify(|counts| message.requests.iter().for_each(|request| counts.asked(&request.method)));
        let rules = shared.befalling(|rule| message.requests.iter().any(|request| rule.is_about(&request.method)));
        Self { shared, message, rules }
    }

    /// All of it.
    pub(super) async fn run(self) -> Outcome {
        if let Some(outcome) = self.before_forwarding().await {
            return outcome;
        }
        let mut answers = Vec::new();
        for request in &self.message.requests {
            match self.answer(request).await {
                Ok(reply) => answers.push(request.answered(reply)),
                // Without the node there is none in front of it either.
                Err(_) => return Outcome::Reset,
            }
        }
        for (id, rule) in &self.rules {
            match rule.fault() {
                Fault::Reset(Phase::AfterForwarding) => return Outcome::Reset,
                Fault::Stall(Phase::AfterForwarding) => self.shared.rules.lifted(*id).await,
                Fault::Slow(delay) => time::sleep(*delay).await,
                _ => {}
            }
        }
        let is_too_large = answers.iter().any(|answer| answer["error"]["code"] == log_range::PAYLOAD_TOO_LARGE);
        let status = if is_too_large { Status::PayloadTooLarge } else { Status::Ok };
        Outcome::Answer { status, body: self.message.answered(answers) }
    }

    /// What befalls it before the node hears of it; an outcome where it never does.
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

    /// The error that stands instead of a call's result, where a rule says so.
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
            if let Fault::LogRange { most_blocks, provider } = fault
                && let Some(refusal) = log_range::refusal(upstream, request, *most_blocks, *provider).await?
            {
                return Ok(Err(refusal));
            }
        }
        let answering = self.faults(request).find(|fault| matches!(fault, Fault::Stale { .. } | Fault::GethPool));
        let mut reply = match answering {
            Some(Fault::Stale { head }) => stale::answer(upstream, request, *head).await?,
            Some(Fault::GethPool) => self.shared.pool.answer(upstream, request).await?,
            _ => upstream.ask(request).await?,
        };
        for fault in self.faults(request) {
            if let (Fault::TruncatedLogs { keep }, Ok(Value::Array(logs))) = (fault, &mut reply) {
                logs.truncate(*keep);
            }
        }
        Ok(reply)
    }

    /// The faults that befall one of the calls.
    fn faults(&self, request: &Request) -> impl Iterator<Item = &Fault> {
        self.rules.iter().filter(|(_, rule)| rule.is_about(&request.method)).map(|(_, rule)| rule.fault())
    }
}
