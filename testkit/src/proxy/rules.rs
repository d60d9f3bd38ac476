//! Faults, and the rules that state which requests they affect. A rule's only state is the number of requests that it
//! matched.

use std::time::Duration;

use tokio::sync::watch;

use super::{heads::HeadFault, log_range::RpcProvider};

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset instead of a response.
    Reset(Phase),
    /// The request is held until the rule is removed; then it continues.
    Stall(Phase),
    /// The response is delayed by this time.
    Slow(Duration),
    /// The response is an HTML page instead of JSON. A WebSocket is closed.
    Page {
        /// The HTTP status.
        status: u16,
    },
    /// The response has HTTP status 429 with `Retry-After`, and an error in the body; over a WebSocket the error alone.
    RateLimited {
        /// The value of `Retry-After`, in seconds.
        retry_after_secs: u64,
    },
    /// The response is a JSON-RPC error. The request is not forwarded.
    Error {
        /// The error code.
        code: i64,
        /// The error message.
        message: String,
    },
    /// `eth_getLogs` returns only its first logs, or none.
    TruncatedLogs {
        /// The number of logs that are returned.
        keep: usize,
    },
    /// `eth_getLogs` refuses longer ranges.
    LogRange {
        /// The longest range that is answered, in blocks.
        max_blocks: u64,
        /// The provider whose error longer ranges get.
        provider: RpcProvider,
    },
    /// All responses are as of the time when `head` was the newest block, and later blocks are not announced.
    Stale {
        /// Number of the newest block that the node seems to have.
        head: u64,
    },
    /// `eth_call` is answered as of this block, whichever is asked for.
    OtherBlock {
        /// Number of the block.
        number: u64,
    },
    /// Head announcements are faulty. Where several rules match a head, the first applies.
    Heads(HeadFault),
    /// The connection is reset in the middle of the response; over a WebSocket instead of it.
    CutOff,
    /// The response to a batch lacks its last answer. Over a WebSocket every call is a message of its own.
    ShortBatch,
    /// Every occurrence of a text in a result is replaced: a node that lies.
    Substituted {
        /// The text.
        from: String,
        /// The text in its place.
        to: String,
    },
    /// Transactions are accepted and refused by geth's rules: replacements need 10 % more of both fees, a transaction
    /// that is pooled is `already known`, one below the base fee is kept until it can be mined, and none may cost more
    /// than one coin in fees.
    GethPool,
}

/// Whether a fault acts on the request or on the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The fault acts before the request reaches the node.
    BeforeForwarding,
    /// The fault acts after the node has processed the request: only the response is affected.
    AfterForwarding,
}

impl Fault {
    /// Returns whether the fault can affect requests of a method.
    fn can_affect(&self, method: &str) -> bool {
        match self {
            Self::TruncatedLogs { .. } | Self::LogRange { .. } => method == "eth_getLogs",
            Self::GethPool => {
                matches!(method, "eth_sendRawTransaction" | "eth_getTransactionByHash" | "eth_getTransactionCount")
            }
            Self::OtherBlock { .. } => method == "eth_call",
            Self::Heads(_) => false,
            _ => true,
        }
    }
}

/// A fault with the requests that it affects: by default all that it can affect, until the rule is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    fault: Fault,
    methods: Vec<String>,
    skipped: u64,
    times: u64,
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self { fault, methods: Vec::new(), skipped: 0, times: u64::MAX }
    }
}

impl Rule {
    /// Limits the rule to requests of these methods.
    #[must_use]
    pub fn on(mut self, methods: &[&str]) -> Self {
        self.methods = methods.iter().map(|&method| method.to_owned()).collect();
        self
    }

    /// Lets the first `skipped` matching requests pass unaffected.
    #[must_use]
    pub const fn after(mut self, skipped: u64) -> Self {
        self.skipped = skipped;
        self
    }

    /// Limits how many requests the rule affects.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    pub(super) const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Returns whether the rule matches requests of a method.
    pub(super) fn matches(&self, method: &str) -> bool {
        self.fault.can_affect(method) && (self.methods.is_empty() || self.methods.iter().any(|wanted| wanted == method))
    }
}

/// The id of a rule of one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u64);

/// The rules of a proxy, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Rules(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    injected: u64,
    rules: Vec<(RuleId, Rule, u64)>,
}

impl Rules {
    pub(super) fn inject(&self, rule: Rule) -> RuleId {
        let mut id = RuleId(0);
        self.0.send_modify(|state| {
            id = RuleId(state.injected);
            state.injected += 1;
            state.rules.push((id, rule, 0));
        });
        id
    }

    pub(super) fn lift(&self, rule: RuleId) {
        self.0.send_modify(|state| state.rules.retain(|(id, ..)| *id != rule));
    }

    pub(super) fn lift_all(&self) {
        self.0.send_modify(|state| state.rules.clear());
    }

    /// Waits until a rule is removed.
    pub(super) async fn lifted(&self, rule: RuleId) {
        // This value owns the sender, so it cannot be closed.
        self.0.subscribe().wait_for(|state| state.rules.iter().all(|(id, ..)| *id != rule)).await.ok();
    }

    /// Returns the rules that apply to an event, in order: those that match it and are within their limits. Every
    /// matching rule counts the event.
    pub(super) fn applying(&self, matches: impl Fn(&Rule) -> bool) -> Vec<(RuleId, Rule)> {
        let mut acting = Vec::new();
        self.0.send_if_modified(|state| {
            for (id, rule, matched) in state.rules.iter_mut().filter(|(_, rule, _)| matches(rule)) {
                if *matched >= rule.skipped && *matched - rule.skipped < rule.times {
                    acting.push((*id, rule.clone()));
                }
                *matched += 1;
            }
            // Nothing waits for these counts.
            false
        });
        acting
    }
}
