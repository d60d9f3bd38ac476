//! Where a node is reached. The URL of a provider usually holds the key that is paid for, so it is never shown.

use std::{fmt, str::FromStr, time::Duration};

use alloy::{
    rpc::client::{ClientBuilder, RpcClient},
    transports::ws::WsConnect,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, de};
use url::Url;

use crate::{error::ChainError, http::HttpTransport, redaction, secret::Secret, ws::OneConnection};

/// How long to wait until a node takes our connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a node may think about one request before we count it as away.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Parts of a path or query at least this long are taken for keys; `v3` and `rpc` are not.
const SHORTEST_KEY_BYTES: usize = 8;

/// A node's URL, shown as scheme and host only.
pub struct Endpoint {
    url: Secret<String>,
    shown: String,
    transport: Transport,
}

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One request, one answer.
    Http,
    /// Both ways: subscriptions work.
    WebSocket,
}

/// Why a text is no endpoint. The text is not repeated, because it may be a secret all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is not a URL.
    #[error("an endpoint must be a URL such as https://host/path or wss://host/path: {0}")]
    NotAUrl(url::ParseError),
    /// It is a URL of something else.
    #[error("an endpoint must begin with http://, https://, ws:// or wss://, not {0}://")]
    Scheme(String),
}

impl Endpoint {
    /// Whether it is HTTP or WebSocket.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// A client for requests to this endpoint alone; WebSocket is connected at once, HTTP at the first request.
    ///
    /// # Errors
    /// When a WebSocket does not open, or the operating system lacks what TLS needs.
    pub async fn client(&self) -> Result<RpcClient, ChainError> {
        match self.transport {
            Transport::Http => {
                let client = reqwest::Client::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .timeout(REQUEST_TIMEOUT)
                    .build()
                    .map_err(|error| ChainError::of(self, &error))?;
                let url = self.url.expose().parse::<Url>().map_err(|error| ChainError::of(self, &error))?;
                let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
                Ok(ClientBuilder::default().transport(HttpTransport::new(client, url), is_local))
            }
            Transport::WebSocket => ClientBuilder::default()
                .ws(WsConnect::new(self.url.expose()))
                .await
                .map_err(|error| ChainError::of_transport(self, &error)),
        }
    }

    /// As [`Self::client`], except that a WebSocket is not opened again when it ends: its requests fail and its
    /// subscriptions end at once, so that whoever follows a chain knows that something may have been missed.
    ///
    /// # Errors
    /// When a WebSocket does not open, or the operating system lacks what TLS needs.
    pub async fn connection(&self) -> Result<RpcClient, ChainError> {
        match self.transport {
            Transport::Http => self.client().await,
            Transport::WebSocket => ClientBuilder::default()
                .pubsub(OneConnection::to(self.url.expose(), CONNECT_TIMEOUT))
                .await
                .map_err(|error| ChainError::of_transport(self, &error)),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.trim().parse().map_err(EndpointError::NotAUrl)?;
        let transport = match url.scheme() {
            "http" | "https" => Transport::Http,
            "ws" | "wss" => Transport::WebSocket,
            other => return Err(EndpointError::Scheme(other.to_owned())),
        };
        hide_secrets_of(&url);
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let more = if url.path().len() > 1 || url.query().is_some() { "/…" } else { "" };
        let shown = format!("{}://{}{port}{more}", url.scheme(), url.host_str().unwrap_or_default());
        Ok(Self { url: Secret::unlisted(url.into()), shown, transport })
    }
}

/// Has everything in a URL scrubbed that may be a key. Its host is no secret, so the URL as a whole is not either.
fn hide_secrets_of(url: &Url) {
    let beyond_host = &url[url::Position::BeforePath..];
    let segments = url.path_segments().into_iter().flatten();
    let queried = url.query_pairs().flat_map(|(name, value)| [name, value]).collect::<Vec<_>>();
    let parts = segments.chain(queried.iter().map(AsRef::as_ref)).chain([beyond_host]);
    parts.filter(|part| part.len() >= SHORTEST_KEY_BYTES).for_each(redaction::hide);
    if let Some(password) = url.password() {
        redaction::hide(password);
        redaction::hide(&BASE64_STANDARD.encode(format!("{}:{password}", url.username())));
    } else if url.username().len() >= SHORTEST_KEY_BYTES {
        redaction::hide(url.username());
        redaction::hide(&BASE64_STANDARD.encode(format!("{}:", url.username())));
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::test_server;

    const PATH_KEY: &str = "f00dfeedf00dfeedf00dfeed";
    const QUERY_KEY: &str = "query-key-0123456789";
    const PASSWORD: &str = "pa55word-of-a-node";

    fn with_every_secret(scheme: &str, address: &str) -> Endpoint {
        format!("{scheme}://user:{PASSWORD}@{address}/v3/{PATH_KEY}?token={QUERY_KEY}").parse().unwrap()
    }

    fn assert_reveals_nothing(text: &str) {
        let header = BASE64_STANDARD.encode(format!("user:{PASSWORD}"));
        for secret in [PATH_KEY, QUERY_KEY, PASSWORD, &header] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    /// A server that refuses everything and repeats what it was asked.
    async fn rude_server() -> String {
        test_server::serve("403 Forbidden", str::to_owned).await
    }

    /// The log speaks of that address, and wherever it does, nothing is revealed.
    fn assert_log_is_scrubbed(address: &str) {
        let log = test_server::log_everything();
        assert!(log.lines().any(|line| line.contains(address) && line.contains(redaction::REDACTED)), "{log}");
        assert_reveals_nothing(&log);
    }

    #[test]
    fn an_endpoint_shows_scheme_and_host_only() {
        let endpoint = with_every_secret("wss", "node.example.org:8546");
        assert_eq!(format!("{endpoint} {endpoint:?}"), "wss://node.example.org:8546/… wss://node.example.org:8546/…");
        let plain: Endpoint = "http://127.0.0.1:8545".parse().unwrap();
        assert_eq!(plain.to_string(), "http://127.0.0.1:8545");
    }

    #[test]
    fn a_text_that_is_no_endpoint_is_refused_without_repeating_it() {
        for text in [PATH_KEY.to_owned(), format!("ftp://example.org/{PATH_KEY}"), String::new()] {
            assert_reveals_nothing(&text.parse::<Endpoint>().unwrap_err().to_string());
        }
    }

    #[tokio::test]
    async fn neither_error_nor_log_of_a_refused_request_reveals_a_key() {
        let address = rude_server().await;
        let endpoint = with_every_secret("http", &address);
        let client = endpoint.client().await.unwrap();
        let error = client.request_noparams::<String>("eth_chainId").await.unwrap_err();
        // What this protects from: alloy's own words do reveal it.
        assert!(error.to_string().contains(PATH_KEY), "{error}");
        let error = ChainError::of_transport(&endpoint, &error);
        assert_reveals_nothing(&format!("{error} {error:?}"));
        assert_reveals_nothing(&test_server::log_everything());
    }

    #[tokio::test]
    async fn neither_error_nor_log_of_a_failed_handshake_reveals_a_key() {
        let address = rude_server().await;
        let endpoint = with_every_secret("ws", &address);
        let error = endpoint.client().await.err().unwrap();
        assert!(error.is_retryable());
        assert_reveals_nothing(&format!("{error} {error:?}"));
        assert_log_is_scrubbed(&address);
    }

    #[tokio::test]
    async fn a_node_that_is_away_is_named_by_its_host() {
        test_server::log_everything();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let endpoint = with_every_secret("http", &address);
        let error = endpoint.client().await.unwrap().request_noparams::<String>("eth_chainId").await.unwrap_err();
        let text = ChainError::of_transport(&endpoint, &error).to_string();
        assert!(text.starts_with(&format!("http://{address}/… does not answer: ")), "{text}");
        assert_reveals_nothing(&text);
    }
}
