//! Delivery of queued alerts to the webhook, oldest first. Each is posted until it is accepted, with exponential
//! backoff between attempts.

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

/// Time limit of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the first failed attempt; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
/// Upper limit of the backoff between attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// Maximum number of alerts read from the store at a time.
const BATCH_SIZE: u32 = 32;

/// Delivers all queued alerts, then each new one when `wake` signals it. Returns when the sender of `wake` is gone.
pub(super) async fn deliver(webhook: &Webhook, queue: &AlertQueue, mut wake: watch::Receiver<()>) {
    let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return error!(error = %error.without_url(), "alert delivery unavailable"),
    };
    let mut backoff = INITIAL_BACKOFF;
    loop {
        wake.mark_unchanged();
        match deliver_all(&client, webhook, queue).await {
            Ok(()) => {
                backoff = INITIAL_BACKOFF;
                if wake.changed().await.is_err() {
                    return;
                }
            }
            Err(problem) => {
                let (webhook, retry_seconds) = (&webhook.shown, backoff.as_secs());
                warn!(%webhook, %problem, retry_seconds, "alert delivery failed");
                sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
}

async fn deliver_all(client: &Client, webhook: &Webhook, queue: &AlertQueue) -> Result<(), String> {
    let store_error = |error: StoreError| error.to_string();
    loop {
        let alerts = queue.pending(BATCH_SIZE).await.map_err(store_error)?;
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
    let response = request.body(alert.body.clone()).send().await;
    match response.map(|response| response.status()) {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(format!("the webhook responded with {}", reason(status))),
        Err(error) => Err(error.without_url().to_string()),
    }
}

fn reason(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}

/// Returns the HMAC-SHA256 of the body as `sha256=` and hexadecimal digits, the form that most receivers verify.
fn signature(key: &str, body: &str) -> String {
    // HMAC accepts a key of any length.
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

    /// A request to the receiver: the alert's number, its signature, its body.
    type Request = (String, String, String);

    /// Starts a receiver that refuses the first alert and accepts every later one.
    async fn receiver() -> (String, mpsc::UnboundedReceiver<Request>) {
        let (sender, requests) = mpsc::unbounded_channel();
        let refusals = Arc::new(Mutex::new(1));
        let accept = |State((sender, refusals)): State<(mpsc::UnboundedSender<Request>, Arc<Mutex<u32>>)>,
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
        let router = Router::new().route("/hook", post(accept)).with_state((sender, refusals));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, requests)
    }

    #[tokio::test]
    async fn a_refused_alert_is_delivered_again_before_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { chain_id: 1, genesis: B256::ZERO, core: Address::ZERO, rewards: None };
        let queue = Store::open(folder.path(), &identity).unwrap().alerts;
        // One alert from before a restart, one raised while the receiver refuses.
        let first = queue.enqueue("bad_debt", "{\"a\":1}").await.unwrap();
        let (url, mut requests) = receiver().await;
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
        assert_eq!(requests.recv().await.unwrap().0, first.to_string());
        let second = queue.enqueue("stopped", "{}").await.unwrap();
        enqueued.send_replace(());
        let again = requests.recv().await.unwrap();
        assert_eq!((again.0, again.2.as_str()), (first.to_string(), "{\"a\":1}"));
        assert_eq!(again.1, signature("signing key", "{\"a\":1}"));
        assert_eq!(requests.recv().await.unwrap().0, second.to_string());
        // Delivered alerts have left the queue once delivery waits for the next one.
        drop(enqueued);
        delivery.await.unwrap();
        assert_eq!(queue.pending(10).await.unwrap(), []);
    }

    #[test]
    fn a_signature_is_the_hmac_of_the_body() {
        // RFC 4231, test case 2.
        let signed = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", "what do ya want for nothing?"), signed);
    }
}
