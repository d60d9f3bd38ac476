//! The caller's side over HTTP/1.1. It is read and written without a server library, because such libraries exist to
//! prevent many of the faults: a connection that is reset in the middle, a response that never comes.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    counts::Counts,
    handler::{Handler, Outcome, Shared, Status},
    rpc::{self, Message},
    ws,
};

/// The most headers of a request.
const MAX_HEADERS: usize = 64;

/// The page that a gateway shows when its backend is down.
const PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad \
                    Gateway</h1></center>\r\n</body>\r\n</html>\r\n";

/// An HTTP request.
enum Asked {
    /// A JSON-RPC message in the body of a POST.
    Post(Vec<u8>),
    /// An upgrade to a WebSocket, with its `Sec-WebSocket-Key`.
    Upgrade(String),
}

/// Serves a connection until either side closes it. Fails when the caller disconnects within a request, or does not
/// send HTTP.
pub(super) async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> eyre::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(asked) = read(&mut stream, &mut unread).await? {
        let body = match asked {
            Asked::Post(body) => body,
            Asked::Upgrade(key) => {
                shared.counts.send_modify(Counts::add_websocket);
                let accept = derive_accept_key(key.as_bytes());
                let head = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-accept: {accept}\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
                return ws::serve(stream, shared).await;
            }
        };
        let outcome = match Message::read(&body) {
            Some(message) => Handler::new(&shared, &message).run().await,
            None => Outcome::Answer { status: Status::Ok, body: rpc::unreadable() },
        };
        let response = match outcome {
            Outcome::Answer { status, body } => {
                let (status, headers) = match status {
                    Status::Ok => ("200 OK", String::new()),
                    Status::PayloadTooLarge => ("413 Payload Too Large", String::new()),
                    Status::TooManyRequests { retry_after_secs } => {
                        ("429 Too Many Requests", format!("retry-after: {retry_after_secs}\r\n"))
                    }
                };
                response(status, "application/json", &headers, &body.to_string())
            }
            Outcome::CutOff { body } => {
                let whole = response("200 OK", "application/json", "", &body.to_string());
                stream.write_all(whole.get(..whole.len() - 1).unwrap_or_default().as_bytes()).await?;
                stream.flush().await?;
                return Ok(());
            }
            Outcome::Page { status } => response(&status.to_string(), "text/html", "", PAGE),
            Outcome::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
        };
        stream.write_all(response.as_bytes()).await?;
    }
    Ok(())
}

fn response(status: &str, kind: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// Reads the next request; none when the caller has closed the connection.
async fn read(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<Asked>> {
    loop {
        if let Some((asked, length)) = parse(unread)? {
            unread.drain(..length);
            return Ok(Some(asked));
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}

/// Parses the request at the beginning of `bytes` and returns it with its length; none while it is incomplete.
fn parse(bytes: &[u8]) -> io::Result<Option<(Asked, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let header = |name: &str| {
        let header = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| str::from_utf8(header.value).ok())
    };
    if let Some(key) = header("sec-websocket-key") {
        return Ok(Some((Asked::Upgrade(key.to_owned()), head)));
    }
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    let length = length.ok_or_else(|| io::Error::other("a request without content-length is not understood"))?;
    let end = head.saturating_add(length);
    Ok(bytes.get(head..end).map(|body| (Asked::Post(body.to_vec()), end)))
}
