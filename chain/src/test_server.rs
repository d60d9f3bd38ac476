//! For tests: a server whose answers can be as odd as wanted, and a log of everything that anybody says about it.

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

/// Serves `status` and the body that `answer` makes of each request's text. Returns host and port.
pub(crate) async fn serve(status: &'static str, answer: fn(&str) -> String) -> String {
    log_everything();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let body = answer(&read_request(&mut socket).await);
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    address
}

/// Reads to the end of the request: closing a connection with something unread would reset it, answer and all.
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

/// Logs at the finest level the way our programs do, from the first call on, and returns what was logged so far. One
/// log for all tests: tracing decides once per place in the code, and for all threads, whether it logs.
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
