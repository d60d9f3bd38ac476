//! One base URL for OpenAI's clients on this machine: each of their requests is asked at the node, paid and checked.

use std::{net::SocketAddr, sync::Arc};

use alloy::primitives::B256;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use super::{Answered, AskArguments, Ledger, pay_for};
use crate::{
    gate::now,
    kind::Kind,
    local,
    openai::{Answer, ChatRequest, DONE, Refusal, event},
};

const MAX_BODY: usize = 64 * 1024;

/// What requests are paid with. A channel serves one request at a time, and so does this.
struct Local {
    arguments: AskArguments,
    kind: Kind,
    ledger: Mutex<Ledger>,
}

/// Serves until the process is told to stop.
pub(crate) async fn listen(arguments: &AskArguments, address: SocketAddr) -> eyre::Result<()> {
    local::serve(router(arguments)?, address, "spends your money").await
}

pub(super) fn router(arguments: &AskArguments) -> eyre::Result<Router> {
    let kind = Kind::load(arguments.kind.as_deref())?;
    let ledger = Mutex::new(Ledger::open(&arguments.wallet.ledger)?);
    let local = Arc::new(Local { arguments: arguments.clone(), kind, ledger });
    Ok(Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(local))
}

async fn models(State(local): State<Arc<Local>>) -> Response {
    let model = json!({"id": local.kind.file.name, "object": "model", "owned_by": "plimsoll-node"});
    answered(StatusCode::OK, &json!({"object": "list", "data": [model]}))
}

fn answered(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    answered(StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST), &refusal.body())
}

/// Why an answer was not had, or not paid.
fn failed(error: &eyre::Report) -> Refusal {
    Refusal::new(502, "not_answered", format!("{error:#}"))
}

async fn chat(State(local): State<Arc<Local>>, body: Bytes) -> Response {
    let file = &local.kind.file;
    let request = match ChatRequest::parse(&body, &file.name, file.limits.completion_tokens) {
        Ok(request) => request,
        Err(refusal) => return refused(&refusal),
    };
    let Ok(body) = String::from_utf8(body.into()) else {
        return refused(&Refusal::new(400, "invalid_json", "the body is not UTF-8"));
    };
    if request.stream {
        return streamed(local, body, request.include_usage);
    }
    // On its own: a client that leaves must not leave a payment without its end.
    match tokio::spawn(async move { local.ask(body, &mut |_| ()).await }).await {
        Ok(Ok(answer)) => answered(StatusCode::OK, &answer.body()),
        Ok(Err(error)) => refused(&failed(&error)),
        Err(error) => refused(&failed(&error.into())),
    }
}

fn streamed(local: Arc<Local>, body: String, include_usage: bool) -> Response {
    let (sender, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (id, created, model) = (new_id(), now(), local.kind.file.name.clone());
        let mut on_text = |delta: &str| {
            let choices =
                json!([{"index": 0, "delta": {"role": "assistant", "content": delta}, "finish_reason": null}]);
            // A client that is gone gets nothing; the answer is paid and kept all the same.
            sender.send(event(&Answer::chunk(&id, created, &model, choices))).ok();
        };
        let last = match local.ask(body, &mut on_text).await {
            Ok(answer) => Answer { id: id.clone(), created, ..answer }.last_events(include_usage) + DONE,
            Err(error) => event(&failed(&error).body()),
        };
        sender.send(last).ok();
    });
    let events = stream::unfold(events, async |mut events: mpsc::UnboundedReceiver<String>| {
        let event = events.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(event), events))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

fn new_id() -> String {
    format!("chatcmpl-{:x}", B256::random())
}

impl Local {
    async fn ask(&self, body: String, on_text: &mut (dyn FnMut(&str) + Send)) -> eyre::Result<Answer> {
        let mut ledger = self.ledger.lock().await;
        let Answered { text, finish, file, .. } =
            pay_for(&self.arguments, &self.kind, body, &mut ledger, on_text).await?;
        Ok(Answer {
            id: new_id(),
            created: now(),
            model: self.kind.file.name.clone(),
            text,
            prompt_tokens: file.receipt.prompt_tokens,
            completion_tokens: file.receipt.completion_tokens,
            finish,
        })
    }
}
