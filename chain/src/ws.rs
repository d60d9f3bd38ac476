//! Connections by WebSocket that stay ended once they end, and say so at once: whoever listens to a node has to know
//! that something may have been missed. Small requests leave at once, too, without waiting to be sent together.

use std::time::Duration;

use alloy::{
    pubsub::{ConnectionHandle, PubSubConnect},
    transports::{
        TransportErrorKind, TransportResult,
        ws::{WsBackend, WsConnect},
    },
};
use tokio::time;
use tokio_tungstenite::{connect_async_with_config, tungstenite::client::IntoClientRequest};

/// How often a node that says nothing is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Connects once.
pub(crate) struct OneConnection {
    node: WsConnect,
    timeout: Duration,
}

impl OneConnection {
    pub(crate) fn to(url: &str, timeout: Duration) -> Self {
        Self { node: WsConnect::new(url), timeout }
    }
}

impl PubSubConnect for OneConnection {
    fn is_local(&self) -> bool {
        self.node.is_local()
    }

    async fn connect(&self) -> TransportResult<ConnectionHandle> {
        let request = self.node.clone().into_client_request().map_err(TransportErrorKind::custom)?;
        let connecting = time::timeout(self.timeout, connect_async_with_config(request, None, true));
        let connected = connecting.await.map_err(TransportErrorKind::custom)?;
        let (socket, _) = connected.map_err(TransportErrorKind::custom)?;
        let (handle, interface) = ConnectionHandle::new();
        WsBackend::from_socket(socket, interface, KEEPALIVE).spawn();
        Ok(handle)
    }

    async fn try_reconnect(&self) -> TransportResult<ConnectionHandle> {
        Err(TransportErrorKind::non_retryable_str("the connection has ended"))
    }
}
