//! The keeper's end of the socket.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{debug, warn};

use super::{MAX_BYTES, PendingRequest, Response, socket_path};

/// Longest time of a connection, from the first byte of its request to the last of its response.
const TIMEOUT: Duration = Duration::from_secs(14);
/// Longest time for the keeper to carry a command out. The client waits a little longer, so that it has an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a connection that the operating system could not make.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// What a client is told once nobody receives commands any more.
const ENDING: &str = "the keeper is ending";
/// Number of requests that may wait for the keeper.
const QUEUE: usize = 16;
/// Permissions of the socket: its owner alone may connect.
const MODE: u32 = 0o600;

/// The receiving end of the requests, in the order of their arrival.
pub type Requests = mpsc::Receiver<PendingRequest>;

/// The listening socket. Dropping it removes the socket.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    _task: JoinSet<()>,
}

impl ControlServer {
    /// Listens in a folder that this keeper has locked, so a socket that is there is left over from an earlier run.
    /// Fails if the socket cannot be made, for instance because its path is too long for the operating system.
    pub fn start(folder: &Path) -> io::Result<(Self, Requests)> {
        let path = socket_path(folder);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(MODE))?;
        let owner = fs::metadata(&path)?.uid();
        let (sender, requests) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, owner, sender));
        Ok((Self { path, _task: task }, requests))
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // A socket that stays is removed by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, owner: u32, requests: mpsc::Sender<PendingRequest>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Between bind and chmod anybody could have connected.
                    let is_owner = stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0);
                    if is_owner {
                        let answer = answer(stream, requests.clone(), PATIENCE);
                        connections.spawn(async move { timeout(TIMEOUT, answer).await.unwrap_or(Ok(())) });
                    } else {
                        warn!("a control command of another user was refused");
                    }
                }
                Err(error) => {
                    // Such as no file handle being left: the next attempt would fail at once, too.
                    warn!(%error, "control connection failed");
                    sleep(PAUSE_AFTER_ERROR).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Ok(Err(error)) = ended {
                    debug!(%error, "control connection broken");
                }
            }
        }
    }
}

async fn answer(mut stream: UnixStream, requests: mpsc::Sender<PendingRequest>, patience: Duration) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_BYTES)).read_line(&mut line).await?;
    let response: Response = match serde_json::from_str(&line) {
        Ok(request) => {
            let (respond, response) = oneshot::channel();
            let deadline = Instant::now() + patience;
            let late = |what: &str| {
                let secs = patience.as_secs();
                format!("{what} within {secs} s: it waits for a node, or hangs. See its log and its dashboard")
            };
            match timeout_at(deadline, requests.send(PendingRequest { request, respond })).await {
                Ok(Ok(())) => match timeout_at(deadline, response).await {
                    Ok(response) => response.unwrap_or_else(|_| Err(ENDING.to_owned())),
                    Err(_) => {
                        let late = late("the keeper has not got to it");
                        Err(format!("{late}; it carries the command out when it gets to it"))
                    }
                },
                Ok(Err(_)) => Err(ENDING.to_owned()),
                Err(_) => {
                    let late = late(&format!("the keeper, for which {QUEUE} commands wait, has not taken it"));
                    Err(format!("{late}; it does not carry the command out: give it again"))
                }
            }
        }
        Err(error) => Err(format!("this keeper does not know the command: {error}")),
    };
    let text = serde_json::to_string(&response).unwrap_or_default();
    write.write_all(format!("{text}\n").as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{ControlError, Done, Request, send};

    const REQUEST: Request = Request::CloseBreaker;

    fn done() -> Done {
        Done { text: "done".to_owned(), paused: vec!["everything".to_owned()] }
    }

    #[tokio::test]
    async fn a_request_is_answered_by_the_keeper_and_only_the_owner_may_connect() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(socket_path(folder.path()), "left over").unwrap();
        let (server, mut requests) = ControlServer::start(folder.path()).unwrap();
        assert_eq!(fs::metadata(&server.path).unwrap().mode() & 0o777, MODE);
        let keeper = tokio::spawn(async move {
            for response in [Ok(done()), Err("no".to_owned())] {
                let PendingRequest { request, respond } = requests.recv().await.unwrap();
                assert_eq!(request, REQUEST);
                respond.send(response).unwrap();
            }
        });
        assert_eq!(send(folder.path(), &REQUEST).await.unwrap(), done());
        let refused = send(folder.path(), &REQUEST).await.unwrap_err();
        assert!(matches!(&refused, ControlError::Refused(reason) if reason == "no"), "{refused}");
        keeper.await.unwrap();
        let ending = send(folder.path(), &REQUEST).await.unwrap_err();
        assert!(matches!(&ending, ControlError::Refused(reason) if reason.contains("ending")), "{ending}");
        drop(server);
        let gone = send(folder.path(), &REQUEST).await.unwrap_err();
        assert!(matches!(gone, ControlError::NotRunning { .. }), "{gone}");
    }

    #[tokio::test]
    async fn a_keeper_that_does_not_get_to_a_command_says_so_before_the_client_gives_up() {
        let (sender, mut requests) = mpsc::channel(1);
        let refusal = async || {
            let (mut client, server) = UnixStream::pair().unwrap();
            let answer = tokio::spawn(answer(server, sender.clone(), Duration::ZERO));
            client.write_all(format!("{}\n", serde_json::to_string(&REQUEST).unwrap()).as_bytes()).await.unwrap();
            let mut response = String::new();
            client.read_to_string(&mut response).await.unwrap();
            answer.await.unwrap().unwrap();
            serde_json::from_str::<Response>(&response).unwrap().unwrap_err()
        };
        let queued = refusal().await;
        assert!(queued.contains("has not got to it within 0 s") && queued.contains("; it carries"), "{queued}");
        // The queue is full now.
        let refused = refusal().await;
        assert!(refused.contains("has not taken it within 0 s") && refused.contains("does not carry"), "{refused}");
        assert!(requests.try_recv().is_ok() && requests.try_recv().is_err());
    }

    #[tokio::test]
    async fn nonsense_and_endless_requests_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (server, _requests) = ControlServer::start(folder.path()).unwrap();
        for request in ["nonsense\n".to_owned(), "x".repeat(100_000)] {
            let mut stream = UnixStream::connect(&server.path).await.unwrap();
            // The server may answer before it has read all.
            let _ = stream.write_all(request.as_bytes()).await;
            let mut response = String::new();
            let _ = stream.read_to_string(&mut response).await;
            assert!(response.is_empty() || response.contains("does not know the command"), "{response}");
        }
    }
}
