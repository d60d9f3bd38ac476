//! Who is told of what: conditions are found by looking at each view, kept in the store until a webhook has taken them,
//! and delivered at least once. Nothing here is ever waited for by whoever makes views.
//!
//! A condition is told when it begins and when it ends. After a restart one that still holds is told again.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::{hex, primitives::U256};
use hmac::{Hmac, Mac};
use reqwest::{Client, StatusCode, redirect::Policy};
use serde::Serialize;
use sha2::Sha256;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{error, warn};

use super::{shutdown::Shutdown, view::View};
use crate::{
    config::{Alerts, Webhook},
    store::{Alert, AlertQueue, StoreError},
};

/// How often conditions are looked at that begin while nothing happens.
const TICK: Duration = Duration::from_secs(5);
/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between attempts, doubled each time …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// So many alerts are read from the store at a time.
const BATCH: u32 = 32;

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
    let watchman = Watchman { low_balance, stalled_after, open: BTreeMap::new() };
    let (enqueued, wake) = watch::channel(());
    tokio::spawn(keep(watchman, queue.clone(), views, notices, enqueued, shutdown.clone()));
    if let Some(webhook) = webhook {
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.requested() => {}
                () = deliver(&webhook, &queue, wake) => {}
            }
        });
    }
    AlertSender(sender)
}

/// Finds conditions that begin or end.
#[derive(Debug)]
struct Watchman {
    low_balance: U256,
    stalled_after: Duration,
    open: BTreeMap<(AlertKind, String), String>,
}

impl Watchman {
    fn look(&mut self, view: &View) -> Vec<Notice> {
        let now = self.conditions(view);
        let began = now.iter().filter(|(key, _)| !self.open.contains_key(*key)).map(|entry| notice(entry, false));
        let ended = self.open.iter().filter(|(key, _)| !now.contains_key(*key)).map(|entry| notice(entry, true));
        let notices = began.chain(ended).collect();
        self.open = now;
        notices
    }

    fn conditions(&self, view: &View) -> BTreeMap<(AlertKind, String), String> {
        let mut found = BTreeMap::new();
        let mut add = |kind, subject: &str, text: String| found.insert((kind, subject.to_owned()), text);
        if let Some(head) = view.head.as_ref().filter(|head| head.age() > self.stalled_after) {
            add(AlertKind::StalledHead, "chain", format!("no new block since block {}", head.number));
        }
        if let Some(reason) = &view.safety.stopped {
            add(AlertKind::Stopped, "safety", format!("nothing is sent: {reason}"));
        }
        for signer in &view.signers {
            let who = format!("{} ({})", signer.role, signer.address);
            if let Some(problem) = &signer.problem {
                add(AlertKind::SignerProblem, &signer.role, format!("the signer for {who}: {problem}"));
            }
            if let Some(balance) = signer.balance.as_ref().filter(|balance| balance.units < self.low_balance) {
                add(AlertKind::LowBalance, &signer.role, format!("the signer for {who} has {balance} left"));
            }
        }
        if view.audit.mismatches > 0 {
            let last = view.audit.last.clone().unwrap_or_default();
            add(AlertKind::AuditMismatch, "book", format!("the book differs from the chain: {last}"));
        }
        for account in view.watched_accounts.iter().filter(|account| account.health < account.below) {
            let subject = format!("{} in {}", account.account, account.market_name);
            let text = format!("the health of {subject} is {}, below {}", account.health, account.below);
            add(AlertKind::HealthBelowLine, &subject, text);
        }
        found
    }
}

fn notice(((kind, subject), text): (&(AlertKind, String), &String), over: bool) -> Notice {
    let text = if over { format!("over: {text}") } else { text.clone() };
    Notice { kind: *kind, subject: subject.clone(), over, text }
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

/// Delivers what is kept, the oldest first, and what comes later when it comes.
async fn deliver(webhook: &Webhook, queue: &AlertQueue, mut wake: watch::Receiver<()>) {
    let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return error!("alerts cannot be delivered: {}", error.without_url()),
    };
    let mut pause = FIRST_PAUSE;
    loop {
        wake.mark_unchanged();
        match deliver_all(&client, webhook, queue).await {
            Ok(()) => {
                pause = FIRST_PAUSE;
                if wake.changed().await.is_err() {
                    return;
                }
            }
            Err(problem) => {
                warn!("{} did not take an alert: {problem}; trying again in {} s", webhook.shown, pause.as_secs());
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn deliver_all(client: &Client, webhook: &Webhook, queue: &AlertQueue) -> Result<(), String> {
    let store_error = |error: StoreError| error.to_string();
    loop {
        let alerts = queue.pending(BATCH).await.map_err(store_error)?;
        if alerts.is_empty() {
            return Ok(());
        }
        for alert in alerts {
            post(client, webhook, &alert).await?;
            queue.delivered(alert.id).await.map_err(store_error)?;
        }
    }
}

async fn post(client: &Client, webhook: &Webhook, alert: &Alert) -> Result<(), String> {
    let mut request = client
        .post(webhook.url.expose())
        .header("content-type", "application/json")
        .header("x-plimsoll-alert", alert.id);
    if let Some(key) = &webhook.signing_key {
        request = request.header("x-plimsoll-signature", signature(key.expose(), &alert.body));
    }
    let answer = request.body(alert.body.clone()).send().await;
    match answer.map(|answer| answer.status()) {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(format!("it answered {}", reason(status))),
        Err(error) => Err(error.without_url().to_string()),
    }
}

fn reason(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}

/// HMAC-SHA256 of the body, as most receivers know it.
fn signature(key: &str, body: &str) -> String {
    // A key of any length makes one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
