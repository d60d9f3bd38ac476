//! A small HTTP server for tests.

use std::future::Future;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A request.
pub(super) struct Request {
    pub(super) method: String,
    /// The path with its query.
    pub(super) path: String,
    pub(super) body: String,
}

/// Serves until the test ends, and returns the URL.
pub(super) async fn serve<A, F>(answer: A) -> eyre::Result<String>
where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = (u16, String)> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let answer = answer.clone();
            // A client that disconnects early is not an error of the server.
            tokio::spawn(async move { converse(socket, answer).await.ok() });
        }
    });
    Ok(url)
}

async fn converse<A, F>(socket: TcpStream, answer: A) -> std::io::Result<()>
where
    A: Fn(Request) -> F,
    F: Future<Output = (u16, String)>,
{
    let mut stream = BufReader::new(socket);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            let header = header.trim().to_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let (status, text) = answer(Request { method, path, body }).await;
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
        stream.get_mut().write_all(format!("{head}{text}").as_bytes()).await?;
    }
}
