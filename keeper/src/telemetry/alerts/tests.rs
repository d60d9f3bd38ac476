//! Alerts as their targets receive them.

use std::sync::Mutex;

use alloy::primitives::{Address, B256};
use axum::{Router, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use plimsoll_chain::secret::Secret;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::{
    alert::{AlertFormat, Template},
    store::{Identity, Store},
};

/// A request to a target: number, signature and body.
#[derive(Debug)]
struct Received {
    number: Option<String>,
    signature: Option<String>,
    body: Value,
    raw: String,
}

/// A target that refuses a number of requests and accepts all later ones.
struct Receiver {
    url: String,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    async fn start(refusals: u32) -> Self {
        type Shared = (mpsc::UnboundedSender<Received>, Arc<Mutex<u32>>);
        let (sender, received) = mpsc::unbounded_channel();
        let accept = async |State((sender, refusals)): State<Shared>, headers: HeaderMap, raw: String| {
            let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            let body = serde_json::from_str(&raw).unwrap();
            let (number, signature) = (header("x-plimsoll-alert"), header("x-plimsoll-signature"));
            sender.send(Received { number, signature, body, raw }).unwrap();
            let mut left = refusals.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            StatusCode::NO_CONTENT
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(accept)).with_state((sender, Arc::new(Mutex::new(refusals))));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, received }
    }

    fn target(&self, name: &str, format: AlertFormat, min_severity: Severity) -> AlertTarget {
        AlertTarget {
            name: name.to_owned(),
            url: Secret::unlisted(self.url.clone()),
            shown: "http://127.0.0.1".to_owned(),
            min_severity,
            body: Template::of(format),
            signing_key: Some(Secret::new("signing key".to_owned())),
            routing_key: None,
            chat_id: None,
        }
    }

    async fn next(&mut self) -> Received {
        self.received.recv().await.unwrap()
    }

    fn is_empty(&mut self) -> bool {
        self.received.try_recv().is_err()
    }
}

fn settings(targets: Vec<AlertTarget>) -> Alerts {
    let mut settings = Alerts::default();
    (settings.targets, settings.stalled_after) = (targets, Duration::from_secs(3_600));
    settings
}

fn store(folder: &TempDir) -> Store {
    let identity = Identity { chain_id: 1, genesis: B256::ZERO, core: Address::ZERO, rewards: None };
    Store::open(folder.path(), &identity).unwrap()
}

fn start(settings: Alerts) -> (AlertService, watch::Sender<Arc<View>>) {
    let views = watch::Sender::new(Arc::new(View::default()));
    (AlertService::start(settings, Duration::from_secs(12), views.subscribe()), views)
}

fn event(kind: AlertKind, text: &str) -> Notice {
    Notice { kind, subject: "subject".to_owned(), resolved: false, text: text.to_owned() }
}

#[tokio::test]
async fn a_refused_alert_is_delivered_again_before_later_ones_and_leaves_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let Store { notes, alerts: queue, .. } = store(&folder);
    let mut receiver = Receiver::start(1).await;
    let (alerts, _views) = start(settings(vec![receiver.target("a", AlertFormat::Json, Severity::Info)]));
    alerts.attach(queue.clone(), notes);
    alerts.sender().send(event(AlertKind::BadDebt, "first"));
    alerts.sender().send(event(AlertKind::SignerProblem, "second"));
    let (refused, again, second) = (receiver.next().await, receiver.next().await, receiver.next().await);
    assert_eq!((&refused.body["text"], refused.raw), (&Value::from("first"), again.raw.clone()));
    assert_eq!(again.signature, Some(webhook::signature("signing key", &again.raw)));
    assert!(again.number.is_some() && refused.number == again.number && second.number != again.number);
    assert_eq!((&second.body["text"], &second.body["severity"]), (&"second".into(), &"critical".into()));
    alerts.finish(None).await;
    assert_eq!(queue.pending(10).await.unwrap(), []);
}

#[tokio::test]
async fn a_target_gets_what_is_severe_enough_for_it_and_no_event_twice() {
    let (mut everything, mut pager) = (Receiver::start(0).await, Receiver::start(0).await);
    let targets = vec![
        everything.target("everything", AlertFormat::Slack, Severity::Info),
        pager.target("pager", AlertFormat::Json, Severity::Critical),
    ];
    let mut settings = settings(targets);
    settings.severity = [(AlertKind::LowBalance, Severity::Critical)].into();
    let (alerts, _views) = start(settings);
    for notice in
        [event(AlertKind::BadDebt, "a loss"), event(AlertKind::BadDebt, "a loss"), event(AlertKind::LowBalance, "low")]
    {
        alerts.sender().send(notice);
    }
    alerts.finish(None).await;
    assert_eq!(everything.next().await.body["text"], "[warning] : a loss");
    assert_eq!(everything.next().await.body["text"], "[critical] : low");
    assert_eq!(pager.next().await.body["kind"], "low_balance");
    assert!(everything.is_empty() && pager.is_empty());
}

#[tokio::test]
async fn what_failed_before_the_store_was_open_is_told_all_the_same() {
    let mut receiver = Receiver::start(0).await;
    let (alerts, _views) = start(settings(vec![receiver.target("a", AlertFormat::Json, Severity::Info)]));
    alerts.finish(Some("the store is in use".to_owned())).await;
    let received = receiver.next().await;
    assert_eq!((&received.body["kind"], received.number), (&Value::from("keeper_failed"), None));
    assert_eq!(received.body["text"], "the store is in use");
}

#[tokio::test]
async fn a_keeper_that_fails_at_every_start_alerts_once() {
    let (folder, mut receiver) = (tempfile::tempdir().unwrap(), Receiver::start(0).await);
    for _ in 0..3 {
        let Store { notes, alerts: queue, .. } = store(&folder);
        let (alerts, _views) = start(settings(vec![receiver.target("a", AlertFormat::Json, Severity::Info)]));
        alerts.attach(queue, notes);
        alerts.finish(Some("no key".to_owned())).await;
    }
    assert_eq!(receiver.next().await.body["text"], "no key");
    assert!(receiver.is_empty());
}

#[tokio::test]
async fn nothing_piles_up_for_a_target_that_is_not_configured() {
    let folder = tempfile::tempdir().unwrap();
    let Store { notes, alerts: queue, .. } = store(&folder);
    queue.enqueue("a former target", "{}").await.unwrap();
    let (alerts, _views) = start(settings(Vec::new()));
    alerts.attach(queue.clone(), notes);
    alerts.sender().send(event(AlertKind::BadDebt, "a loss"));
    alerts.finish(None).await;
    assert_eq!(queue.pending(10).await.unwrap(), []);
}

#[tokio::test]
async fn an_event_that_goes_on_is_raised_once_an_hour() {
    let views = watch::Sender::new(Arc::new(View::default()));
    let rules = AlertRules::new(Default::default(), Duration::from_secs(60), 75);
    let dispatcher = Dispatcher::start(Vec::new(), BTreeMap::new(), views.subscribe());
    let mut task = AlertTask { rules, dispatcher, notes: None, events: BTreeMap::new() };
    let (start, mut raised) = (Instant::now(), Vec::new());
    for minute in 0..130_u64 {
        let at = start + Duration::from_secs(60 * minute);
        if task.event(event(AlertKind::SignerProblem, "it does not sign"), at).is_some() {
            raised.push(minute);
        }
    }
    assert_eq!(raised, [0, 60, 120]);
}
