//! Alerts for an operator: rules over the view, notices of events, and delivery to every configured target.
//!
//! A condition raises one notice when it begins and one when it is resolved, also across restarts: the conditions in
//! effect are kept in the store. Notices are queued in the store until their target has accepted them, so that each is
//! delivered at least once. The engine never waits for any of this.
//!
//! Alerts start before anything that can fail. Until the store is open, notices are kept in memory alone.

mod rules;
mod webhook;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Duration, Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{error, warn};

use self::rules::{ActiveCondition, AlertRules};
use crate::{
    alert::{AlertKind, Message, Severity},
    config::{AlertTarget, Alerts},
    store::{AlertQueue, Notes},
    view::View,
};

/// Interval at which rules are evaluated while no new view arrives, for conditions such as a stalled head.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(5);
/// Time for which an event that was raised is not raised again with the same text.
const EVENT_REPEAT: Duration = Duration::from_secs(3_600);
/// Time for the last notices to be delivered when the keeper ends. What is in the store is delivered by the next start.
const DELIVERY_GRACE: Duration = Duration::from_secs(10);
/// Maximum number of notices from an earlier run that are delivered.
const MAX_QUEUED: u32 = 1_000;
/// Name under which the store keeps the conditions in effect.
const ACTIVE: &str = "alerts";

/// A message about the beginning or the end of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The kind of condition.
    pub kind: AlertKind,
    /// The account, signer or market concerned; distinguishes several conditions of one kind.
    pub subject: String,
    /// True if the condition has ended; `over` in the JSON body.
    pub resolved: bool,
    /// Description for people, with figures.
    pub text: String,
}

/// Raises notices about events that have no duration, such as bad debt.
#[derive(Debug, Clone)]
pub struct AlertSender(mpsc::UnboundedSender<Command>);

#[derive(Debug)]
enum Command {
    Raise(Notice),
    /// The store is open.
    Attach(Box<(AlertQueue, Notes)>),
    /// The keeper ends, for this reason if nobody had asked it to.
    Finish(Option<String>),
}

/// The running alerts, until [`AlertService::finish`].
#[derive(Debug)]
pub struct AlertService {
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

impl AlertSender {
    /// Raises an event. The same one is raised at most once an hour. Returns at once.
    pub fn send(&self, notice: Notice) {
        // The receiver is gone only while the keeper shuts down.
        let _ = self.0.send(Command::Raise(notice));
    }
}

impl AlertService {
    /// Starts to evaluate rules on each view and to deliver notices to the targets. `block_time` is the chain's.
    pub fn start(settings: Alerts, block_time: Duration, views: watch::Receiver<Arc<View>>) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let Alerts { targets, severity, low_balance, stalled_after, liquidatable_for, .. } = settings;
        let dispatcher = Dispatcher::start(targets, severity, views.clone());
        let rules = AlertRules::new(low_balance, stalled_after, blocks_within(liquidatable_for, block_time));
        let task =
            tokio::spawn(AlertTask { rules, dispatcher, notes: None, events: BTreeMap::new() }.run(receiver, views));
        Self { commands, task }
    }

    /// Returns a handle that raises events.
    #[must_use]
    pub fn sender(&self) -> AlertSender {
        AlertSender(self.commands.clone())
    }

    /// Keeps undelivered notices and conditions in effect in the store from now on, and continues with those that an
    /// earlier run left there.
    pub fn attach(&self, queue: AlertQueue, notes: Notes) {
        let _ = self.commands.send(Command::Attach(Box::new((queue, notes))));
    }

    /// Raises an alert if the keeper ends because of a failure, and waits for the last notices to be delivered, for a
    /// short time.
    pub async fn finish(self, failure: Option<String>) {
        let _ = self.commands.send(Command::Finish(failure));
        // A panic of the task is on record already.
        let _ = self.task.await;
    }
}

/// The task that owns rules and queue.
#[derive(Debug)]
struct AlertTask {
    rules: AlertRules,
    dispatcher: Dispatcher,
    /// Where conditions in effect are kept, once the store is open.
    notes: Option<Notes>,
    /// When each event was raised last.
    events: BTreeMap<(AlertKind, String, String), Instant>,
}

impl AlertTask {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, mut views: watch::Receiver<Arc<View>>) {
        let mut tick = interval(EVALUATION_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_views = true;
        loop {
            let notices = tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Raise(notice)) => self.event(notice, Instant::now()).into_iter().collect(),
                    Some(Command::Attach(store)) => {
                        self.attach(*store).await;
                        continue;
                    }
                    Some(Command::Finish(failure)) => {
                        let began = failure.and_then(|text| self.rules.begin(AlertKind::KeeperFailed, "keeper", text));
                        self.raise(began).await;
                        break;
                    }
                    None => break,
                },
                changed = views.changed(), if has_views => {
                    has_views = changed.is_ok();
                    self.evaluate(&views)
                }
                _ = tick.tick() => self.evaluate(&views),
            };
            self.raise(notices).await;
        }
        self.dispatcher.finish().await;
    }

    fn evaluate(&mut self, views: &watch::Receiver<Arc<View>>) -> Vec<Notice> {
        let view = Arc::clone(&views.borrow());
        self.rules.evaluate(&view, Instant::now())
    }

    /// Returns the notice of an event unless the same one was raised lately.
    fn event(&mut self, notice: Notice, at: Instant) -> Option<Notice> {
        self.events.retain(|_, raised| at.saturating_duration_since(*raised) < EVENT_REPEAT);
        let key = (notice.kind, notice.subject.clone(), notice.text.clone());
        match self.events.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(at);
                Some(notice)
            }
            // What goes on and on is raised again once its hour is over.
            Entry::Occupied(_) => None,
        }
    }

    async fn attach(&mut self, (queue, notes): (AlertQueue, Notes)) {
        match notes.read(ACTIVE).await.map(|text| text.map(|text| serde_json::from_str::<Vec<ActiveCondition>>(&text)))
        {
            Ok(Some(Ok(active))) => self.rules.restore(active),
            Ok(None) => {}
            Ok(Some(Err(error))) => error!(%error, "conditions of an earlier run not read"),
            Err(error) => error!(%error, "conditions of an earlier run not read"),
        }
        self.notes = Some(notes);
        self.dispatcher.attach(queue).await;
    }

    /// Logs and queues notices, and keeps the conditions in effect.
    async fn raise(&mut self, notices: impl IntoIterator<Item = Notice>) {
        let mut is_changed = false;
        for notice in notices {
            let Notice { kind, subject, resolved, text } = &notice;
            warn!(kind = kind.name(), subject, resolved, text, "alert");
            self.dispatcher.queue(&notice).await;
            is_changed = true;
        }
        if is_changed && let Some(notes) = &self.notes {
            let active = serde_json::to_string(&self.rules.active()).unwrap_or_default();
            if let Err(error) = notes.write(ACTIVE, active).await {
                error!(%error, "conditions in effect not stored");
            }
        }
    }
}

/// Hands each notice to the targets that want it.
#[derive(Debug)]
struct Dispatcher {
    severity: BTreeMap<AlertKind, Severity>,
    views: watch::Receiver<Arc<View>>,
    queue: Option<AlertQueue>,
    targets: Vec<TargetQueue>,
    deliveries: JoinSet<()>,
}

/// A target as the dispatcher knows it.
#[derive(Debug)]
struct TargetQueue {
    name: String,
    min_severity: Severity,
    messages: mpsc::UnboundedSender<webhook::Delivery>,
}

impl Dispatcher {
    /// Starts a task for each target, so that none waits for another one's.
    fn start(
        targets: Vec<AlertTarget>,
        severity: BTreeMap<AlertKind, Severity>,
        views: watch::Receiver<Arc<View>>,
    ) -> Self {
        let mut deliveries = JoinSet::new();
        let start = |target: AlertTarget| {
            let (messages, receiver) = mpsc::unbounded_channel();
            let (name, min_severity) = (target.name.clone(), target.min_severity);
            deliveries.spawn(webhook::deliver(target, receiver));
            TargetQueue { name, min_severity, messages }
        };
        let targets = targets.into_iter().map(start).collect();
        Self { severity, views, queue: None, targets, deliveries }
    }

    /// Queues in the store from now on. Notices in it for targets that are not configured any more are deleted; the
    /// others are delivered.
    async fn attach(&mut self, queue: AlertQueue) {
        let names: Vec<_> = self.targets.iter().map(|target| target.name.clone()).collect();
        let left = async {
            queue.retain(names).await?;
            queue.pending(MAX_QUEUED).await
        };
        match left.await {
            Ok(left) => {
                for alert in left {
                    let Some(target) = self.targets.iter().find(|target| target.name == alert.target) else { continue };
                    // A message of another version is deleted.
                    let Ok(message) = serde_json::from_str(&alert.body) else {
                        let _ = queue.delivered(alert.id).await;
                        continue;
                    };
                    let stored = Some((alert.id, queue.clone()));
                    let _ = target.messages.send(webhook::Delivery { message, stored });
                }
            }
            Err(error) => error!(%error, "alerts of an earlier run not read"),
        }
        self.queue = Some(queue);
    }

    /// Queues a notice for every target that takes its severity.
    async fn queue(&self, notice: &Notice) {
        let severity = self.severity.get(&notice.kind).copied().unwrap_or(notice.kind.default_severity());
        let message = message(notice, severity, &self.views.borrow().clone());
        for target in self.targets.iter().filter(|target| severity >= target.min_severity) {
            let body = serde_json::to_string(&message).unwrap_or_default();
            let stored = match &self.queue {
                Some(queue) => match queue.enqueue(&target.name, &body).await {
                    Ok(id) => Some((id, queue.clone())),
                    Err(error) => {
                        error!(kind = message.kind, target = target.name, %error, "alert not stored, kept in memory");
                        None
                    }
                },
                None => None,
            };
            let _ = target.messages.send(webhook::Delivery { message: message.clone(), stored });
        }
    }

    /// Waits for the last notices to be delivered, for a short time.
    async fn finish(mut self) {
        self.targets.clear();
        let delivered = async { while self.deliveries.join_next().await.is_some() {} };
        let _ = timeout(DELIVERY_GRACE, delivered).await;
    }
}

/// Number of blocks within a time; at least one.
fn blocks_within(time: Duration, block_time: Duration) -> u64 {
    let blocks = time.as_millis().checked_div(block_time.as_millis()).unwrap_or_default();
    u64::try_from(blocks).unwrap_or(u64::MAX).max(1)
}

fn message(notice: &Notice, severity: Severity, view: &View) -> Message {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    Message {
        kind: notice.kind.name().to_owned(),
        severity,
        subject: notice.subject.clone(),
        over: notice.resolved,
        text: notice.text.clone(),
        network: view.keeper.network.clone(),
        chain_id: view.keeper.chain_id,
        block: view.head.as_ref().map(|head| head.number),
        at,
    }
}

#[cfg(test)]
mod tests;
