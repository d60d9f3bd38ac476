//! Serves the page's files on this machine.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::Site;

/// What a policy in the page itself cannot say, and headers against guessing and caching: the record changes with every
/// deployment.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// A running server of the page. Dropping it ends it.
#[derive(Debug)]
pub struct AppServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl AppServer {
    /// Starts to serve on a port of this machine, or on any free one where that is taken.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn start(site: Site, port: u16) -> io::Result<Self> {
        let listener = match TcpListener::bind(("127.0.0.1", port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => TcpListener::bind(("127.0.0.1", 0)).await?,
            other => other?,
        };
        let address = listener.local_addr()?;
        let router = Router::new().fallback(serve).with_state(Arc::new(site));
        let task = tokio::spawn(async move {
            // It fails only where the listener does, and then there is nobody to tell.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, task })
    }

    /// Returns the URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for AppServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    match site.file(uri.path()) {
        Some((media_type, content)) => {
            (HEADERS, [(header::CONTENT_TYPE, media_type)], content.to_vec()).into_response()
        }
        None => (StatusCode::NOT_FOUND, HEADERS, "there is no such file").into_response(),
    }
}
