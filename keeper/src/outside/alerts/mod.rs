//! Who is told of what: conditions are found by looking at each view, kept in the store until a webhook has taken them,
//! and delivered at least once. Nothing here is ever waited for by whoever makes views.
//!
//! A condition is told when it begins and when it ends. After a restart one that still holds is told again.

mod watchman;
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

use self::watchman::Watchman;
use super::{shutdown::Shutdown, view::View};
use crate::{config::Alerts, store::AlertQueue};

/// How often conditions are looked at that begin while nothing happens.
const TICK: Duration = Duration::from_secs(5);

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A watched account's health fell below its line.
    HealthBelowLine,
    /// A liquidation left debt that nobody will pay.
    BadDebt,
    /// No new block for long.
    StalledHead,
    /// A signer has little left.
    LowBalance,
    /// The breaker, a cap or the kill file keeps it from sending.
    Stopped,
    /// A signer's nonce is not what the journal says, or it cannot send for another reason.
    SignerProblem,
    /// The book differs from the chain.
    AuditMismatch,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What it is about.
    pub kind: AlertKind,
    /// Whom or what it concerns, to tell several of a kind apart.
    pub subject: String,
    /// Whether this is the end of it.
    pub over: bool,
    /// For people, with figures.
    pub text: String,
}

/// For things that are told once, such as bad debt. Never waits.
#[derive(Debug, Clone)]
pub struct AlertSender(mpsc::UnboundedSender<Notice>);

impl AlertSender {
    /// Has something told.
    pub fn tell(&self, notice: Notice) {
        // Nobody listens any more when the keeper ends.
        let _ = self.0.send(notice);
    }
}

/// Begins to watch views, to keep what is to be told, and to deliver it, until shutdown.
pub fn start(
    settings: Alerts,
    queue: AlertQueue,
    views: watch::Receiver<Arc<View>>,
    shutdown: Shutdown,
) -> AlertSender {
    let (sender, notices) = mpsc::unbounded_channel();
    let Alerts { webhook, low_balance, stalled_after, watch: _ } = settings;
    let watchman = Watchman::new(low_balance, stalled_after);
    let (enqueued, wake) = watch::channel(());
    tokio::spawn(keep(watchman, queue.clone(), views, notices, enqueued, shutdown.clone()));
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

async fn keep(
    mut watchman: Watchman,
    queue: AlertQueue,
    mut views: watch::Receiver<Arc<View>>,
    mut notices: mpsc::UnboundedReceiver<Notice>,
    enqueued: watch::Sender<()>,
    shutdown: Shutdown,
) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let told = tokio::select! {
            () = shutdown.requested() => return,
            Some(notice) = notices.recv() => vec![notice],
            changed = views.changed() => {
                if changed.is_err() { return }
                let view = Arc::clone(&views.borrow_and_update());
                watchman.look(&view)
            }
            _ = tick.tick() => {
                let view = Arc::clone(&views.borrow());
                watchman.look(&view)
            }
        };
        for notice in told {
            let view = Arc::clone(&views.borrow());
            warn!(kind = word(notice.kind), "alert: {}", notice.text);
            if let Err(error) = queue.enqueue(word(notice.kind), &body(&notice, &view)).await {
                error!("an alert could not be kept, and may never be delivered: {error}");
            }
            enqueued.send_replace(());
        }
    }
}

/// The name of a kind, as in the body.
const fn word(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::HealthBelowLine => "health_below_line",
        AlertKind::BadDebt => "bad_debt",
        AlertKind::StalledHead => "stalled_head",
        AlertKind::LowBalance => "low_balance",
        AlertKind::Stopped => "stopped",
        AlertKind::SignerProblem => "signer_problem",
        AlertKind::AuditMismatch => "audit_mismatch",
    }
}

/// What is posted.
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
    // Plain texts and numbers always become JSON.
    serde_json::to_string(&body).unwrap_or_default()
}
