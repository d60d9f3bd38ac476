//! Delivery of alerts to one target, in the order in which they were raised. Each is posted until it is accepted, with
//! exponential backoff between attempts.

use std::time::Duration;

use alloy::hex;
use hmac::{Hmac, Mac};
use reqwest::{Client, StatusCode, redirect::Policy};
use sha2::Sha256;
use tokio::{sync::mpsc, time::sleep};
use tracing::{error, warn};

use super::Message;
use crate::{alert::TargetValues, config::AlertTarget, store::AlertQueue};

/// Time limit of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the first failed attempt; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
/// Upper limit of the backoff between attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// A message for a target.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) message: Message,
    /// Number of the message in the store, from which it is deleted when it is delivered; `None` where it is in memory
    /// alone.
    pub(super) stored: Option<(i64, AlertQueue)>,
}

/// Delivers each message, the first one first. Returns when all are delivered and no more can come.
pub(super) async fn deliver(target: AlertTarget, mut messages: mpsc::UnboundedReceiver<Delivery>) {
    let client = match Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build() {
        Ok(client) => client,
        Err(error) => return error!(error = %error.without_url(), "alert delivery unavailable"),
    };
    while let Some(delivery) = messages.recv().await {
        let mut backoff = INITIAL_BACKOFF;
        while let Err(problem) = post(&client, &target, &delivery).await {
            let (name, host, retry_seconds) = (&target.name, &target.shown, backoff.as_secs());
            warn!(target_name = name, host, %problem, retry_seconds, "alert delivery failed");
            sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
        let Some((id, queue)) = delivery.stored else { continue };
        if let Err(error) = queue.delivered(id).await {
            warn!(id, %error, "delivered alert not deleted; the next start delivers it again");
        }
    }
}

async fn post(client: &Client, target: &AlertTarget, delivery: &Delivery) -> Result<(), String> {
    let routing_key = target.routing_key.as_ref().map_or("", |key| key.expose());
    let values = TargetValues { chat_id: target.chat_id.as_deref().unwrap_or_default(), routing_key };
    let body = target.body.fill(&delivery.message, values);
    let mut request = client.post(target.url.expose()).header("content-type", "application/json");
    if let Some((id, _)) = &delivery.stored {
        request = request.header("x-plimsoll-alert", *id);
    }
    if let Some(key) = &target.signing_key {
        request = request.header("x-plimsoll-signature", signature(key.expose(), &body));
    }
    match request.body(body).send().await.map(|response| response.status()) {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(format!("the target responded with {}", reason(status))),
        Err(error) => Err(error.without_url().to_string()),
    }
}

fn reason(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}

/// Returns the HMAC-SHA256 of the body as `sha256=` and hexadecimal digits, the form that most receivers verify.
pub(super) fn signature(key: &str, body: &str) -> String {
    // HMAC accepts a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_the_body() {
        // RFC 4231, test case 2.
        let signed = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", "what do ya want for nothing?"), signed);
    }
}
