//! The address of a node. A provider's URL usually contains the customer's API key, so only scheme and host are shown.

use std::{convert::Infallible, fmt, future, path::Path, str::FromStr, time::Duration};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::B256,
    rpc::client::{ClientBuilder, RpcClient},
    transports::ws::WsConnect,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, de};
use tokio::sync::oneshot;
use url::Url;

use crate::{
    answer_size::MAX_ANSWER_BYTES,
    error::ChainError,
    http::HttpTransport,
    ipc::IpcConnection,
    redaction,
    relay::RelayIdentity,
    secret::Secret,
    ws::{self, SingleConnection},
};

/// Longest time for a connection to be established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time for one HTTP request before the endpoint counts as unreachable.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Shortest part of a path or query that is treated as an API key; `v3` and `rpc` are shorter.
const MIN_KEY_BYTES: usize = 8;

/// Scheme of an IPC socket.
const IPC_SCHEME: &str = "ipc://";

/// URL of a node, or path of its IPC socket. `Display` and `Debug` show a URL's scheme and host only.
pub struct Endpoint {
    /// The URL; of an IPC socket its path.
    url: Secret<String>,
    shown: String,
    transport: Transport,
}

/// Protocol of an [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP: one request, one response, no subscriptions.
    Http,
    /// WebSocket, which allows subscriptions.
    WebSocket,
    /// The socket of a node on the same machine, which allows subscriptions.
    Ipc,
}

/// A connection that is not established again when it ends.
#[derive(Debug)]
pub struct Connection {
    /// Makes requests over the connection. They fail once it has ended.
    pub client: RpcClient,
    /// Dropped by the transport with the connection; `None` for HTTP.
    open: Option<oneshot::Receiver<Infallible>>,
}

impl Connection {
    /// Waits until the connection has ended. Never returns for HTTP, which connects anew for a request.
    pub async fn closed(&mut self) {
        match &mut self.open {
            Some(open) => drop(open.await),
            None => future::pending().await,
        }
    }
}

/// Why a text is not an endpoint. The message does not repeat the text, which may still be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The text is not a URL.
    #[error(
        "an endpoint must be a URL such as https://host/path or wss://host/path, or the path of an IPC socket: {0}"
    )]
    NotAUrl(url::ParseError),
    /// The URL has a scheme other than those of HTTP, WebSocket and IPC.
    #[error("an endpoint must begin with http://, https://, ws://, wss:// or ipc://, not {0}://")]
    Scheme(String),
}

impl Endpoint {
    /// Returns the protocol that requests use.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Creates a client for this endpoint alone. A WebSocket or IPC socket is connected at once and reconnects by itself;
    /// HTTP connects with the first request. There is no failover to another endpoint.
    ///
    /// # Errors
    /// When a socket cannot be opened, or TLS cannot be set up.
    pub async fn client(&self) -> Result<RpcClient, ChainError> {
        match self.transport {
            Transport::Http => self.http_client(None),
            Transport::WebSocket => ClientBuilder::default()
                .ws(WsConnect::new(self.url.expose()).with_config(ws::config()))
                .await
                .map_err(|error| ChainError::of_transport(self, &error)),
            Transport::Ipc => ClientBuilder::default()
                .pubsub(IpcConnection::lasting(Path::new(self.url.expose())))
                .await
                .map_err(|error| ChainError::of_transport(self, &error)),
        }
    }

    /// Asks for the hash of a block, over a connection of its own; `None` if the node does not have the block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn block_hash(&self, number: u64) -> Result<Option<B256>, ChainError> {
        #[derive(Debug, Deserialize)]
        struct Block {
            hash: B256,
        }
        let client = self.client().await?;
        let parameters = (BlockNumberOrTag::Number(number), false);
        let block = client.request::<_, Option<Block>>("eth_getBlockByNumber", parameters).await;
        Ok(block.map_err(|error| ChainError::of_transport(self, &error))?.map(|block| block.hash))
    }

    /// Creates a client for a relay, which signs each request. It must be an endpoint over HTTP.
    ///
    /// # Errors
    /// When it is not, or TLS cannot be set up.
    pub fn relay_client(&self, identity: RelayIdentity) -> Result<RpcClient, ChainError> {
        match self.transport {
            Transport::Http => self.http_client(Some(identity)),
            Transport::WebSocket | Transport::Ipc => Err(ChainError::Unreachable {
                endpoint: self.to_string(),
                problem: "bundles are sent over HTTP alone".to_owned(),
            }),
        }
    }

    fn http_client(&self, identity: Option<RelayIdentity>) -> Result<RpcClient, ChainError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| ChainError::of(self, &error))?;
        let url = self.url.expose().parse::<Url>().map_err(|error| ChainError::of(self, &error))?;
        let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        let transport = HttpTransport::new(client, url, MAX_ANSWER_BYTES);
        let transport = match identity {
            Some(identity) => transport.signed_by(identity),
            None => transport,
        };
        Ok(ClientBuilder::default().transport(transport, is_local))
    }

    /// Connects as [`Self::client`] does, except that a WebSocket or IPC socket does not reconnect. When it closes, its
    /// requests fail and its subscriptions end at once, so that a follower of the chain knows that it may have missed
    /// something.
    ///
    /// # Errors
    /// When a socket cannot be opened, or TLS cannot be set up.
    pub async fn connection(&self) -> Result<Connection, ChainError> {
        let (open, ended) = oneshot::channel();
        let url = self.url.expose();
        let client = match self.transport {
            Transport::Http => return Ok(Connection { client: self.client().await?, open: None }),
            Transport::WebSocket => {
                ClientBuilder::default().pubsub(SingleConnection::to(url, CONNECT_TIMEOUT, open)).await
            }
            Transport::Ipc => ClientBuilder::default().pubsub(IpcConnection::once(Path::new(url), open)).await,
        };
        let client = client.map_err(|error| ChainError::of_transport(self, &error))?;
        Ok(Connection { client, open: Some(ended) })
    }
}

/// Returns the path of an IPC socket, from a URL of that scheme or from a path.
fn ipc_path(text: &str) -> Option<&str> {
    let is_path = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
    text.strip_prefix(IPC_SCHEME).or_else(|| is_path.then_some(text))
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = ipc_path(text.trim()) {
            let shown = format!("{IPC_SCHEME}{path}");
            return Ok(Self { url: Secret::unlisted(path.to_owned()), shown, transport: Transport::Ipc });
        }
        let url: Url = text.trim().parse().map_err(EndpointError::NotAUrl)?;
        let transport = match url.scheme() {
            "http" | "https" => Transport::Http,
            "ws" | "wss" => Transport::WebSocket,
            other => return Err(EndpointError::Scheme(other.to_owned())),
        };
        hide_secrets_in(&url);
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let more = if url.path().len() > 1 || url.query().is_some() { "/…" } else { "" };
        let shown = format!("{}://{}{port}{more}", url.scheme(), url.host_str().unwrap_or_default());
        Ok(Self { url: Secret::unlisted(url.into()), shown, transport })
    }
}

/// Registers every part of a URL that may be a key or password for redaction. The host is not a secret, so the URL as a
/// whole is not registered.
fn hide_secrets_in(url: &Url) {
    let beyond_host = &url[url::Position::BeforePath..];
    let segments = url.path_segments().into_iter().flatten();
    let queried = url.query_pairs().flat_map(|(name, value)| [name, value]).collect::<Vec<_>>();
    let parts = segments.chain(queried.iter().map(AsRef::as_ref)).chain([beyond_host]);
    parts.filter(|part| part.len() >= MIN_KEY_BYTES).for_each(redaction::hide);
    if let Some(password) = url.password() {
        redaction::hide(password);
        redaction::hide(&BASE64_STANDARD.encode(format!("{}:{password}", url.username())));
    } else if url.username().len() >= MIN_KEY_BYTES {
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

    /// Serves a refusal of every request that repeats the request.
    async fn echoing_server() -> String {
        test_server::serve("403 Forbidden", str::to_owned).await
    }

    /// Asserts that the log mentions the address and reveals no secret.
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
    fn an_ipc_socket_is_named_by_a_url_or_its_path() {
        for text in ["ipc:///run/node.ipc", "/run/node.ipc"] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.transport(), endpoint.to_string().as_str()), (Transport::Ipc, "ipc:///run/node.ipc"));
        }
    }

    #[tokio::test]
    async fn an_ipc_socket_that_is_not_there_is_named_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.ipc");
        let endpoint: Endpoint = path.to_str().unwrap().parse().unwrap();
        for error in [endpoint.client().await.err().unwrap(), endpoint.connection().await.err().unwrap()] {
            assert!(error.is_retryable() && error.to_string().contains("node.ipc"), "{error}");
        }
    }

    #[test]
    fn an_invalid_endpoint_is_rejected_without_repeating_it() {
        for text in [PATH_KEY.to_owned(), format!("ftp://example.org/{PATH_KEY}"), String::new()] {
            assert_reveals_nothing(&text.parse::<Endpoint>().unwrap_err().to_string());
        }
    }

    #[tokio::test]
    async fn a_refused_request_reveals_no_key_in_error_or_log() {
        let address = echoing_server().await;
        let endpoint = with_every_secret("http", &address);
        let client = endpoint.client().await.unwrap();
        let error = client.request_noparams::<String>("eth_chainId").await.unwrap_err();
        // The protection is needed: alloy's own message contains the key.
        assert!(error.to_string().contains(PATH_KEY), "{error}");
        let error = ChainError::of_transport(&endpoint, &error);
        assert_reveals_nothing(&format!("{error} {error:?}"));
        assert_reveals_nothing(&test_server::log_everything());
    }

    #[tokio::test]
    async fn a_failed_handshake_reveals_no_key_in_error_or_log() {
        let address = echoing_server().await;
        let endpoint = with_every_secret("ws", &address);
        let error = endpoint.client().await.err().unwrap();
        assert!(error.is_retryable());
        assert_reveals_nothing(&format!("{error} {error:?}"));
        assert_log_is_scrubbed(&address);
    }

    #[tokio::test]
    async fn an_unreachable_node_is_named_by_its_host() {
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
