//! The command line's end of the socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::{Done, MAX_BYTES, Request, Response, socket_path};

/// Longest time for which a response is waited for; the keeper responds between two blocks.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Why a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No keeper listens on the socket.
    #[error(
        "no keeper runs with the store {}: start one, or name the configuration of the running one with --config",
        .folder.display()
    )]
    NotRunning {
        /// Folder of the store that was named.
        folder: PathBuf,
    },
    /// The socket cannot be used.
    #[error("{}: {source}; the command must be given by the user that runs the keeper", .path.display())]
    Io {
        /// Path of the socket.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The keeper's response is not understood.
    #[error("the keeper gave no response that is understood; is it of another version?")]
    NoResponse,
    /// The keeper did not respond in time.
    #[error(
        "the keeper that runs with the store {} has not answered for {secs} s: it hangs or was stopped (SIGSTOP). See its log; if it \
         goes on, it may still carry the command out",
        .folder.display()
    )]
    TimedOut {
        /// Folder of the store.
        folder: PathBuf,
        /// For how long a response was waited for.
        secs: u64,
    },
    /// The keeper refused the command, for this reason.
    #[error("{0}")]
    Refused(String),
}

/// Sends a request to the keeper that runs with the store in a folder. Fails if there is none, or if it refuses.
pub async fn send(folder: &Path, request: &Request) -> Result<Done, ControlError> {
    send_within(folder, request, TIMEOUT).await
}

async fn send_within(folder: &Path, request: &Request, limit: Duration) -> Result<Done, ControlError> {
    let path = socket_path(folder);
    let stream = UnixStream::connect(&path).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning { folder: folder.to_path_buf() }
        }
        _ => ControlError::Io { path: path.clone(), source },
    })?;
    match timeout(limit, exchange(stream, request)).await {
        Ok(Ok(Some(response))) => response.map_err(ControlError::Refused),
        Ok(Ok(None)) => Err(ControlError::NoResponse),
        Err(_) => Err(ControlError::TimedOut { folder: folder.to_path_buf(), secs: limit.as_secs() }),
        Ok(Err(source)) => Err(ControlError::Io { path, source }),
    }
}

/// Writes a request and reads the response; `None` for one that is not understood.
async fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Option<Response>> {
    let text = serde_json::to_string(request).map_err(io::Error::other)?;
    stream.write_all(format!("{text}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_BYTES)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line).ok())
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_keeper_that_does_not_answer_is_said_to_hang() {
        let folder = tempfile::tempdir().unwrap();
        // As of a process that was stopped: the system takes connections, and nobody answers.
        let _listener = UnixListener::bind(socket_path(folder.path())).unwrap();
        let error = send_within(folder.path(), &Request::CloseBreaker, Duration::ZERO).await.unwrap_err();
        assert!(
            matches!(error, ControlError::TimedOut { .. }) && error.to_string().contains("has not answered for 0 s"),
            "{error}"
        );
    }
}
