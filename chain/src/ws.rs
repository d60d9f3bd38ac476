//! WebSocket connections that do not reconnect: when one closes, its subscriptions end at once, so that a subscriber
//! knows that it may have missed events. Nagle's algorithm is off, so small requests are sent without delay.

use std::{convert::Infallible, time::Duration};

use alloy::{
    pubsub::{ConnectionHandle, PubSubConnect},
    transports::{
        TransportErrorKind, TransportResult,
        ws::{WsBackend, WsConnect},
    },
};
use tokio::{sync::oneshot, time};
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::answer_size::MAX_ANSWER_BYTES;

/// Time between pings on an idle connection.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Room for what is read next.
const READ_BYTES: usize = 16 * 1_024;

/// Connects to a node once.
pub(crate) struct SingleConnection {
    node: WsConnect,
    timeout: Duration,
    /// Dropped with the connection, which is how its end is noticed.
    _open: oneshot::Sender<Infallible>,
}

impl SingleConnection {
    pub(crate) fn to(url: &str, timeout: Duration, open: oneshot::Sender<Infallible>) -> Self {
        Self { node: WsConnect::new(url), timeout, _open: open }
    }
}

/// Returns the settings of a WebSocket: no message is read beyond the bound of an answer, and the room for what is read next,
/// which is cleared before every attempt to read, is what most answers fit in.
pub(crate) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .max_message_size(Some(MAX_ANSWER_BYTES))
        .max_frame_size(Some(MAX_ANSWER_BYTES))
}

impl PubSubConnect for SingleConnection {
    fn is_local(&self) -> bool {
        self.node.is_local()
    }

    async fn connect(&self) -> TransportResult<ConnectionHandle> {
        let request = self.node.clone().into_client_request().map_err(TransportErrorKind::custom)?;
        let connecting = time::timeout(self.timeout, connect_async_with_config(request, Some(config()), true));
        let connected = connecting.await.map_err(TransportErrorKind::custom)?;
        let (socket, _) = connected.map_err(TransportErrorKind::custom)?;
        let (handle, interface) = ConnectionHandle::new();
        WsBackend::from_socket(socket, interface, KEEPALIVE_INTERVAL).spawn();
        Ok(handle)
    }

    async fn try_reconnect(&self) -> TransportResult<ConnectionHandle> {
        Err(TransportErrorKind::non_retryable_str("the connection is closed"))
    }
}
