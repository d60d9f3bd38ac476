//! The HTTP server of a node whose answers come from [`Answers`].

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, response::IntoResponse, routing::post};
use tokio::{net::TcpListener, task::JoinSet};

use crate::proxy::rpc::{Message, Reply, Request, unreadable};

/// Something that answers JSON-RPC calls.
pub(super) trait Answers: Send + Sync + 'static {
    /// Answers one call.
    fn answer(&self, request: &Request) -> impl Future<Output = Reply> + Send;
}

/// A running server on a free port. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(answers: Arc<impl Answers>) -> eyre::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let service = Router::new().route("/", post(move |body: Bytes| answer(Arc::clone(&answers), body)));
        let mut serving = JoinSet::new();
        // It serves until it is dropped. The error of a connection is seen by its caller.
        serving.spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { address, _serving: serving })
    }

    pub(super) fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answer(answers: Arc<impl Answers>, body: Bytes) -> impl IntoResponse {
    let answer = match Message::read(&body) {
        Some(message) => {
            let mut responses = Vec::with_capacity(message.requests.len());
            for request in &message.requests {
                responses.push(request.answered(answers.answer(request).await));
            }
            message.answered(responses)
        }
        None => unreadable(),
    };
    ([(CONTENT_TYPE, "application/json")], answer.to_string())
}
