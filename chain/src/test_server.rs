//! For tests: an HTTP server with arbitrary responses, and a log at the finest level.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tracing_subscriber::filter::LevelFilter;

use crate::logging::Scrubbing;

/// Serves `status` and the body that `answer` returns for the text of each request. Returns host and port.
pub(crate) async fn serve(status: &'static str, answer: impl Fn(&str) -> String + Send + 'static) -> String {
    log_everything();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let request = read_request(&mut socket).await;
            let body = answer(&request);
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    address
}

/// Reads the whole request: closing a connection with unread data would reset it, and the response would be lost.
async fn read_request(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return String::from_utf8_lossy(&request).into_owned();
            }
        }
        if socket.read_buf(&mut request).await.unwrap() == 0 {
            return String::from_utf8_lossy(&request).into_owned();
        }
    }
}

/// Starts a log at the finest level, scrubbed as in our programs, with the first call, and returns its text so far. All
/// tests share one log, because tracing decides once per call site, for all threads, whether it is enabled.
pub(crate) fn log_everything() -> String {
    static LOG: LazyLock<Arc<Mutex<Vec<u8>>>> = LazyLock::new(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(Scrubbing(move || Sink(Arc::clone(&sink))))
            .init();
        log
    });
    String::from_utf8(LOG.lock().unwrap().clone()).unwrap()
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
