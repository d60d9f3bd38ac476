//! Delivery: the oldest first, each until it was taken, with longer and longer pauses while it is not.

use std::time::Duration;

use alloy::hex;
use hmac::{Hmac, Mac};
use reqwest::{Client, StatusCode, redirect::Policy};
use sha2::Sha256;
use tokio::{sync::watch, time::sleep};
use tracing::{error, warn};

use crate::{
    config::Webhook,
    store::{Alert, AlertQueue, StoreError},
};

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between attempts, doubled each time …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// So many alerts are read from the store at a time.
const BATCH: u32 = 32;

/// Delivers what is kept, the oldest first, and what comes later when it comes.
pub(super) async fn deliver(webhook: &Webhook, queue: &AlertQueue, mut wake: watch::Receiver<()>) {
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use alloy::primitives::{Address, B256};
    use axum::{Router, extract::State, http::HeaderMap, routing::post};
    use plimsoll_chain::secret::Secret;
    use tokio::{net::TcpListener, sync::mpsc};

    use super::*;
    use crate::store::{Identity, Store};

    /// What a receiver was told: the alert's number, its signature, its body.
    type Told = (String, String, String);

    /// Refuses the first, and takes every later one.
    async fn receiver() -> (String, mpsc::UnboundedReceiver<Told>) {
        let (sender, told) = mpsc::unbounded_channel();
        let refusals = Arc::new(Mutex::new(1));
        let take = |State((sender, refusals)): State<(mpsc::UnboundedSender<Told>, Arc<Mutex<u32>>)>,
                    headers: HeaderMap,
                    body: String| async move {
            let header = |name: &str| headers[name].to_str().unwrap().to_owned();
            sender.send((header("x-plimsoll-alert"), header("x-plimsoll-signature"), body)).unwrap();
            let mut left = refusals.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            StatusCode::NO_CONTENT
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(take)).with_state((sender, refusals));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, told)
    }

    #[tokio::test]
    async fn an_alert_that_was_refused_comes_again_and_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { chain_id: 1, genesis: B256::ZERO, core: Address::ZERO, rewards: None };
        let queue = Store::open(folder.path(), &identity).unwrap().alerts;
        // One from before a restart, one that comes while the receiver is away.
        let first = queue.enqueue("bad_debt", "{\"a\":1}").await.unwrap();
        let (url, mut told) = receiver().await;
        let webhook = Webhook {
            url: Secret::unlisted(url),
            shown: "http://127.0.0.1".into(),
            signing_key: Some(Secret::new("signing key".into())),
        };
        let (enqueued, wake) = watch::channel(());
        let delivery = tokio::spawn({
            let queue = queue.clone();
            async move { deliver(&webhook, &queue, wake).await }
        });
        assert_eq!(told.recv().await.unwrap().0, first.to_string());
        let second = queue.enqueue("stopped", "{}").await.unwrap();
        enqueued.send_replace(());
        let again = told.recv().await.unwrap();
        assert_eq!((again.0, again.2.as_str()), (first.to_string(), "{\"a\":1}"));
        assert_eq!(again.1, signature("signing key", "{\"a\":1}"));
        assert_eq!(told.recv().await.unwrap().0, second.to_string());
        // Taken is forgotten, which shows when the next wait begins.
        drop(enqueued);
        delivery.await.unwrap();
        assert_eq!(queue.pending(10).await.unwrap(), []);
    }

    #[test]
    fn bodies_are_signed_as_receivers_know_it() {
        // RFC 4231, test case 2.
        let signed = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", "what do ya want for nothing?"), signed);
    }
}
