//! A node's HTTP side, for whoever answers.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, response::IntoResponse, routing::post};
use tokio::{net::TcpListener, task::JoinSet};

use crate::proxy::rpc::{Message, Reply, Request, unreadable};

/// Whoever answers.
pub(super) trait Answers: Send + Sync + 'static {
    /// The answer to one call.
    fn answer(&self, request: &Request) -> impl Future<Output = Reply> + Send;
}

/// A running server, on a port that the system chose. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(who: Arc<impl Answers>) -> eyre::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let service = Router::new().route("/", post(move |body: Bytes| answer(Arc::clone(&who), body)));
        let mut serving = JoinSet::new();
        // It serves until it is dropped; a connection that breaks concerns its caller alone.
        serving.spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { address, _serving: serving })
    }

    pub(super) fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answer(who: Arc<impl Answers>, body: Bytes) -> impl IntoResponse {
    let answer = match Message::read(&body) {
        Some(message) => {
            let mut answers = Vec::with_capacity(message.requests.len());
            for request in &message.requests {
                answers.push(request.answered(who.answer(request).await));
            }
            message.answered(answers)
        }
        None => unreadable(),
    };
    ([(CONTENT_TYPE, "application/json")], answer.to_string())
}
