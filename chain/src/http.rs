//! HTTP transport. It differs from alloy's in four ways: it signs requests to relays, it keeps the `Retry-After` header of a refusal whose body is
//! JSON, it reads no more than a bounded number of bytes, and it does not write the URL into spans.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use alloy::{
    rpc::json_rpc::{RequestPacket, ResponsePacket},
    transports::{TransportError, TransportErrorKind, TransportFut, TransportResult},
};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use tower::Service;
use url::Url;

use crate::{
    answer_size::AnswerTooLarge,
    relay::{RelayIdentity, SIGNATURE_HEADER},
};

/// Sends JSON-RPC requests to one URL by POST.
#[derive(Clone)]
pub(crate) struct HttpTransport {
    client: reqwest::Client,
    url: Url,
    /// Largest answer that is read, in bytes.
    max_bytes: usize,
    /// Signs the body of each request, where the URL is a relay's.
    identity: Option<RelayIdentity>,
}

impl HttpTransport {
    pub(crate) const fn new(client: reqwest::Client, url: Url, max_bytes: usize) -> Self {
        Self { client, url, max_bytes, identity: None }
    }

    /// Signs the body of each request.
    pub(crate) fn signed_by(self, identity: RelayIdentity) -> Self {
        Self { identity: Some(identity), ..self }
    }

    async fn post(self, request: RequestPacket) -> TransportResult<ResponsePacket> {
        let max_bytes = self.max_bytes;
        let body = serde_json::to_vec(&request).map_err(TransportError::ser_err)?;
        let mut post = self.client.post(self.url).headers(request.headers()).header(CONTENT_TYPE, "application/json");
        if let Some(identity) = &self.identity {
            post = post.header(SIGNATURE_HEADER, identity.sign(&body).map_err(TransportErrorKind::custom)?);
        }
        let posted = post.body(body).send().await;
        let response = posted.map_err(TransportErrorKind::custom)?;
        let status = response.status();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        let body = read_body(response, max_bytes).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| TransportError::deser_err(error, String::from_utf8_lossy(&body)));
        }
        let refusal = serde_json::from_slice::<ResponsePacket>(&body).ok().filter(ResponsePacket::is_error);
        match refusal.filter(|_| retry_after.is_none()) {
            // Many nodes accompany an error in JSON by an HTTP status. The error in JSON has the details.
            Some(refusal) => Ok(refusal),
            None => {
                let body = String::from_utf8_lossy(&body).into_owned();
                Err(TransportErrorKind::http_error_with_retry_after(status.as_u16(), body, retry_after))
            }
        }
    }
}

/// Reads a response as it arrives. Fails as soon as it turns out to be longer than `max_bytes`.
async fn read_body(mut response: reqwest::Response, max_bytes: usize) -> TransportResult<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(TransportErrorKind::custom)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(TransportErrorKind::custom(AnswerTooLarge { limit: max_bytes }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl Service<RequestPacket> for HttpTransport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().post(request))
    }
}

#[cfg(test)]
mod tests {
    use alloy::{rpc::client::RpcClient, transports::RpcError};

    use super::*;
    use crate::{endpoint::Endpoint, error::ChainError, test_server};

    const REFUSAL: &str = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"later"}}"#;

    async fn refused(status: &'static str) -> TransportError {
        let address = test_server::serve(status, |_| REFUSAL.to_owned()).await;
        let client: RpcClient = format!("http://{address}").parse::<Endpoint>().unwrap().client().await.unwrap();
        client.request_noparams::<String>("eth_chainId").await.unwrap_err()
    }

    #[tokio::test]
    async fn the_retry_after_header_of_a_rate_limit_is_kept() {
        let error = refused("429 Too Many Requests\r\nretry-after: 17").await;
        let RpcError::Transport(TransportErrorKind::HttpErrorWithRetryAfter { retry_after, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!(retry_after, Duration::from_secs(17));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
        const LIMIT: usize = 1_000;
        let long = |_: &str| format!(r#"{{"jsonrpc":"2.0","id":0,"result":"{}"}}"#, "0".repeat(LIMIT));
        let address = test_server::serve("200 OK", long).await;
        let url = format!("http://{address}").parse().unwrap();
        let answer = async |limit| {
            let transport = HttpTransport::new(reqwest::Client::new(), url::Url::clone(&url), limit);
            RpcClient::new(transport, true).request_noparams::<String>("eth_chainId").await
        };
        assert_eq!(answer(2 * LIMIT).await.unwrap().len(), LIMIT);
        let error = ChainError::of_transport(&"node", &answer(LIMIT).await.unwrap_err());
        assert!(matches!(error, ChainError::AnswerTooLarge { .. }), "{error}");
        assert!(!error.is_retryable() && error.to_string().contains("more than 1000 bytes"), "{error}");
    }

    #[tokio::test]
    async fn an_error_in_json_is_read_whatever_the_http_status() {
        let error = refused("413 Payload Too Large").await;
        assert_eq!(error.as_error_resp().unwrap().code, -32005);
    }
}
