//! Which requests a fault befalls. Rules are data; the only state is how many requests each has seen.

use std::time::Duration;

use tokio::sync::watch;

use super::{heads::HeadFault, log_range::RpcProvider};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset instead of an answer.
    Reset(Phase),
    /// Nothing happens until the rule is lifted; then it goes on as if nothing had been.
    Stall(Phase),
    /// The answer comes later.
    Slow(Duration),
    /// A web page instead of JSON, with this HTTP status. A WebSocket has no pages: it is closed.
    Page {
        /// The HTTP status.
        status: u16,
    },
    /// HTTP status 429 with `Retry-After`, and an error in the body; over a WebSocket the error alone.
    RateLimited {
        /// What `Retry-After` says.
        retry_after_secs: u64,
    },
    /// A JSON-RPC error instead of a result. The node is not asked.
    Error {
        /// The code.
        code: i64,
        /// The message.
        message: String,
    },
    /// `eth_getLogs` answers with its first logs only, or with none.
    TruncatedLogs {
        /// How many are left.
        keep: usize,
    },
    /// `eth_getLogs` refuses ranges of more blocks.
    LogRange {
        /// The longest range that is answered.
        most_blocks: u64,
        /// In whose words the others are refused.
        provider: RpcProvider,
    },
    /// Everything is as it was when `head` was the newest block, which announces nothing later either.
    Stale {
        /// The newest block that it knows.
        head: u64,
    },
    /// What becomes of a head on its way to each subscriber. Where several rules are about it, the first decides.
    Heads(HeadFault),
    /// Transactions are taken and refused as by geth: replacements need a tenth more of both fees, a transaction that
    /// the pool has is `already known`, and one below the base fee is kept until it can be mined.
    GethPool,
}

/// Which side of the node a fault is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The node has not heard of the request.
    BeforeForwarding,
    /// The node has done what was asked; only its answer is missing.
    AfterForwarding,
}

impl Fault {
    /// Whether there is anything for it to do in a request of this method.
    fn concerns(&self, method: &str) -> bool {
        match self {
            Self::TruncatedLogs { .. } | Self::LogRange { .. } => method == "eth_getLogs",
            Self::GethPool => {
                matches!(method, "eth_sendRawTransaction" | "eth_getTransactionByHash" | "eth_getTransactionCount")
            }
            Self::Heads(_) => false,
            _ => true,
        }
    }
}

/// A fault, and which of the requests that it concerns it befalls: without more, all of them until it is lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    fault: Fault,
    methods: Vec<String>,
    spared: u64,
    times: u64,
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self { fault, methods: Vec::new(), spared: 0, times: u64::MAX }
    }
}

impl Rule {
    /// Only requests of these methods.
    #[must_use]
    pub fn on(mut self, methods: &[&str]) -> Self {
        self.methods = methods.iter().map(|&method| method.to_owned()).collect();
        self
    }

    /// The first `spared` go through unharmed.
    #[must_use]
    pub const fn after(mut self, spared: u64) -> Self {
        self.spared = spared;
        self
    }

    /// Only so many.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    pub(super) const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Whether it is about requests of this method.
    pub(super) fn is_about(&self, method: &str) -> bool {
        self.fault.concerns(method) && (self.methods.is_empty() || self.methods.iter().any(|wanted| wanted == method))
    }
}

/// Names a rule of one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u64);

/// The rules of a proxy.
#[derive(Debug, Default)]
pub(super) struct Rules(watch::Sender<Standing>);

#[derive(Debug, Default)]
struct Standing {
    injected: u64,
    rules: Vec<(RuleId, Rule, u64)>,
}

impl Rules {
    pub(super) fn inject(&self, rule: Rule) -> RuleId {
        let mut id = RuleId(0);
        self.0.send_modify(|standing| {
            id = RuleId(standing.injected);
            standing.injected += 1;
            standing.rules.push((id, rule, 0));
        });
        id
    }

    pub(super) fn lift(&self, rule: RuleId) {
        self.0.send_modify(|standing| standing.rules.retain(|(id, ..)| *id != rule));
    }

    pub(super) fn lift_all(&self) {
        self.0.send_modify(|standing| standing.rules.clear());
    }

    /// Waits until a rule is lifted.
    pub(super) async fn lifted(&self, rule: RuleId) {
        // The sender is ours, so that it cannot be gone.
        self.0.subscribe().wait_for(|standing| standing.rules.iter().all(|(id, ..)| *id != rule)).await.ok();
    }

    /// The rules that act now, of those that are `about` it, in order. Each notes that it has seen one more.
    pub(super) fn befalling(&self, about: impl Fn(&Rule) -> bool) -> Vec<(RuleId, Rule)> {
        let mut acting = Vec::new();
        self.0.send_if_modified(|standing| {
            for (id, rule, seen) in standing.rules.iter_mut().filter(|(_, rule, _)| about(rule)) {
                if *seen >= rule.spared && *seen - rule.spared < rule.times {
                    acting.push((*id, rule.clone()));
                }
                *seen += 1;
            }
            // Nobody waits for what was seen.
            false
        });
        acting
    }
}
