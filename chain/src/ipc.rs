//! Connections to a node on the same machine by its IPC socket. Requests and answers are JSON values one after another.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
};

use alloy::{
    pubsub::{ConnectionHandle, ConnectionInterface, PubSubConnect},
    rpc::json_rpc::PubSubItem,
    transports::{TransportErrorKind, TransportResult},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
};

use crate::answer_size::{AnswerTooLarge, MAX_ANSWER_BYTES};

/// Connects to an IPC socket, once or again and again.
pub(crate) struct IpcConnection {
    path: PathBuf,
    /// Dropped with the connection, which is how its end is noticed; `None` where it reconnects.
    open: Option<oneshot::Sender<Infallible>>,
}

impl IpcConnection {
    /// Connects once: when the connection ends, its subscriptions end, too, and `open` is dropped.
    pub(crate) fn once(path: &Path, open: oneshot::Sender<Infallible>) -> Self {
        Self { path: path.to_owned(), open: Some(open) }
    }

    /// Connects again when the connection has ended.
    pub(crate) fn lasting(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }
}

impl PubSubConnect for IpcConnection {
    fn is_local(&self) -> bool {
        true
    }

    async fn connect(&self) -> TransportResult<ConnectionHandle> {
        let (read, write) = UnixStream::connect(&self.path).await.map_err(TransportErrorKind::custom)?.into_split();
        let (handle, interface) = ConnectionHandle::new();
        tokio::spawn(exchange(read, write, interface));
        Ok(handle)
    }

    async fn try_reconnect(&self) -> TransportResult<ConnectionHandle> {
        match self.open {
            Some(_) => Err(TransportErrorKind::non_retryable_str("the connection is closed")),
            None => self.connect().await,
        }
    }
}

/// Passes requests to the node and its answers back, until either side ends.
async fn exchange(mut read: OwnedReadHalf, mut write: OwnedWriteHalf, mut interface: ConnectionInterface) {
    let mut received = Received::new(MAX_ANSWER_BYTES);
    let error = loop {
        tokio::select! {
            request = interface.recv_from_frontend() => match request {
                Some(request) => if let Err(error) = write.write_all(request.get().as_bytes()).await {
                    break error;
                },
                None => return,
            },
            read = read.read_buf(&mut received.bytes) => match read.and_then(|count| received.values(count)) {
                Ok(values) => for value in values {
                    if interface.send_to_frontend(value).is_err() {
                        return;
                    }
                },
                Err(error) => break error,
            },
        }
    };
    interface.close_with_transport_error(TransportErrorKind::custom(error));
}

/// Bytes that were received and are not a whole value yet.
struct Received {
    bytes: Vec<u8>,
    /// Number of these bytes that were looked at.
    scanned: usize,
    depth: u32,
    is_in_text: bool,
    is_escaped: bool,
    max_bytes: usize,
}

impl Received {
    const fn new(max_bytes: usize) -> Self {
        Self { bytes: Vec::new(), scanned: 0, depth: 0, is_in_text: false, is_escaped: false, max_bytes }
    }

    /// Takes the values that became whole by the last `count` bytes. Fails if these are none, or not JSON, or if a value
    /// is larger than is read.
    fn values(&mut self, count: usize) -> io::Result<Vec<PubSubItem>> {
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut values, mut start) = (Vec::new(), 0);
        while let Some(end) = self.next_end() {
            let value = self.bytes.get(start..end).unwrap_or_default();
            values.push(serde_json::from_slice(value).map_err(io::Error::other)?);
            start = end;
        }
        self.bytes.drain(..start);
        self.scanned -= start;
        if self.bytes.len() > self.max_bytes {
            return Err(io::Error::other(AnswerTooLarge { limit: self.max_bytes }));
        }
        Ok(values)
    }

    /// Looks at the bytes that were not looked at, up to the end of a value, and returns its place.
    fn next_end(&mut self) -> Option<usize> {
        while let Some(byte) = self.bytes.get(self.scanned) {
            self.scanned += 1;
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_text => self.is_escaped = true,
                b'"' => self.is_in_text = !self.is_in_text,
                _ if self.is_in_text => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(self.scanned);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the results in a stream of answers that arrives in pieces of this size.
    fn received(stream: &str, piece: usize) -> Vec<String> {
        let mut received = Received::new(1_000);
        let mut results = Vec::new();
        for piece in stream.as_bytes().chunks(piece) {
            received.bytes.extend_from_slice(piece);
            for value in received.values(piece.len()).unwrap() {
                let PubSubItem::Response(response) = value else { panic!("{value:?}") };
                results.push(response.payload.as_success().unwrap().to_string());
            }
        }
        results
    }

    #[test]
    fn answers_are_told_apart_however_they_arrive() {
        let answer = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        let results = [r#""0x1""#, r#"{"a":[1,{"b":"}]"}]}"#, r#""quote \" and }""#, "[]"];
        let stream =
            format!("{}{}\n{} {}", answer(results[0]), answer(results[1]), answer(results[2]), answer(results[3]));
        for piece in [1, 7, stream.len()] {
            assert_eq!(received(&stream, piece), results);
        }
    }

    #[test]
    fn an_answer_without_end_ends_the_connection() {
        let mut received = Received::new(1_000);
        received.bytes = vec![b'['; 1_001];
        assert!(received.values(1_001).unwrap_err().to_string().contains("more than 1000 bytes"));
        assert!(received.values(0).is_err(), "the node has closed it");
    }
}
