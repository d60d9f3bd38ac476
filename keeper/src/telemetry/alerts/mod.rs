//! Alerts for a webhook. Rules are evaluated on each view; the notices are queued in the store until the webhook has
//! accepted them, so that each is delivered at least once. The engine never waits for any of this.
//!
//! A condition raises one notice when it begins and another when it is resolved. After a restart, a condition that is
//! still in effect raises its notice again.

mod rules;
mod webhook;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tracing::{error, warn};

use self::rules::AlertRules;
use crate::{config::Alerts, shutdown::Shutdown, store::AlertQueue, view::View};

/// Interval at which rules are evaluated while no new view arrives, for conditions such as a stalled head.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(5);

/// The kind of condition that an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// The health factor of a watched account fell below its threshold.
    HealthBelowLine,
    /// A liquidation left bad debt: debt without collateral.
    BadDebt,
    /// No new block was applied for the configured time.
    StalledHead,
    /// A signer's balance fell below the threshold.
    LowBalance,
    /// The circuit breaker, the loss cap or the kill file prevents sending.
    Stopped,
    /// A signer cannot send, for instance because its nonce differs from the journal's.
    SignerProblem,
    /// The book differs from the chain.
    AuditMismatch,
    /// Somebody copies pending liquidations and offers a little more.
    Copied,
    /// Most races are lost to transactions that offered less.
    OrderFlow,
}

impl AlertKind {
    /// Returns the name of the kind as in the JSON body.
    const fn name(self) -> &'static str {
        match self {
            Self::HealthBelowLine => "health_below_line",
            Self::BadDebt => "bad_debt",
            Self::StalledHead => "stalled_head",
            Self::LowBalance => "low_balance",
            Self::Stopped => "stopped",
            Self::SignerProblem => "signer_problem",
            Self::AuditMismatch => "audit_mismatch",
            Self::Copied => "copied",
            Self::OrderFlow => "order_flow",
        }
    }
}

/// A message about the beginning or the end of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The kind of condition.
    pub kind: AlertKind,
    /// The account, signer or market concerned; distinguishes several conditions of one kind.
    pub subject: String,
    /// True if the condition has ended; `over` in the JSON body.
    #[serde(rename = "over")]
    pub resolved: bool,
    /// Description for people, with figures.
    pub text: String,
}

/// Raises notices about events that have no duration, such as bad debt.
#[derive(Debug, Clone)]
pub struct AlertSender(mpsc::UnboundedSender<Notice>);

impl AlertSender {
    /// Queues a notice for delivery; returns at once.
    pub fn send(&self, notice: Notice) {
        // The receiver is gone only while the keeper shuts down.
        let _ = self.0.send(notice);
    }
}

/// Starts to evaluate rules on each view, to queue notices in the store and to deliver them, until shutdown.
pub fn start(
    settings: Alerts,
    queue: AlertQueue,
    views: watch::Receiver<Arc<View>>,
    shutdown: Shutdown,
) -> AlertSender {
    let (sender, notices) = mpsc::unbounded_channel();
    let Alerts { webhook, low_balance, stalled_after, .. } = settings;
    let rules = AlertRules::new(low_balance, stalled_after);
    let (enqueued, wake) = watch::channel(());
    tokio::spawn(raise(rules, queue.clone(), views, notices, enqueued, shutdown.clone()));
    if let Some(webhook) = webhook {
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.requested() => {}
                () = webhook::deliver(&webhook, &queue, wake) => {}
            }
        });
    }
    AlertSender(sender)
}

async fn raise(
    mut rules: AlertRules,
    queue: AlertQueue,
    mut views: watch::Receiver<Arc<View>>,
    mut notices: mpsc::UnboundedReceiver<Notice>,
    enqueued: watch::Sender<()>,
    shutdown: Shutdown,
) {
    let mut tick = interval(EVALUATION_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let raised = tokio::select! {
            () = shutdown.requested() => return,
            Some(notice) = notices.recv() => vec![notice],
            changed = views.changed() => {
                if changed.is_err() { return }
                let view = Arc::clone(&views.borrow_and_update());
                rules.evaluate(&view)
            }
            _ = tick.tick() => {
                let view = Arc::clone(&views.borrow());
                rules.evaluate(&view)
            }
        };
        for notice in raised {
            let view = Arc::clone(&views.borrow());
            let Notice { kind, subject, resolved, text } = &notice;
            warn!(kind = kind.name(), subject, resolved, text, "alert");
            if let Err(error) = queue.enqueue(kind.name(), &body(&notice, &view)).await {
                error!(kind = kind.name(), subject, %error, "alert not stored and may never be delivered");
            }
            enqueued.send_replace(());
        }
    }
}

/// Returns the JSON body that is posted to the webhook.
fn body(notice: &Notice, view: &View) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(flatten)]
        notice: &'a Notice,
        network: &'a str,
        chain_id: u64,
        block: Option<u64>,
        at: u64,
    }

    let at = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    let keeper = &view.keeper;
    let block = view.head.as_ref().map(|head| head.number);
    let body = Body { notice, network: &keeper.network, chain_id: keeper.chain_id, block, at };
    // Texts and numbers alone: serialisation cannot fail.
    serde_json::to_string(&body).unwrap_or_default()
}
