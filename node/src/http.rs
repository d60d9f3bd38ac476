//! The routes.

use std::{net::SocketAddr, sync::Arc};

use alloy::primitives::B256;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, Path, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use plimsoll_channels::claims;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    gate::{Failure, Finished, Live, Node, Priced},
    openai::{Answer, DONE, Refusal, event},
    x402,
};

const MAX_BODY: usize = 64 * 1024;
const PREFER_STREAM: &str = "payment-response=stream";
const RECEIPT: HeaderName = HeaderName::from_static("x-receipt");
const EXPOSED: &str = "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-Receipt, Preference-Applied";

pub(crate) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/chat/completions", get(get_chat).post(post_chat))
        .route("/v1/models", get(models))
        .route("/v1/kind", get(async |State(node): State<Arc<Node>>| json_text(node.engine.kind.text.clone())))
        .route("/x402/channels/{id}", get(channel))
        .route(claims::PATH, get(async |State(node): State<Arc<Node>>| json_text(json!(node.published()).to_string())))
        .route("/receipts/{request}", get(receipt))
        .route("/metrics", get(async |State(node): State<Arc<Node>>| node.metrics.text(node.engine.waiting())))
        .route("/healthz", get(health))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(node)
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], text).into_response()
}

fn with_header(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

fn exposed(response: Response) -> Response {
    with_header(response, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)
}

impl Node {
    fn failure(&self, failure: Failure, url: &str) -> Response {
        self.metrics.refused.add(1);
        let (refusal, required) = match failure {
            Failure::Refused(refusal) => (refusal, None),
            Failure::Payment { error, amount, extra } => {
                let offer = self.offer(&error, amount, url, extra);
                (Refusal::new(402, "payment_required", error), Some(offer))
            }
        };
        let mut body = refusal.body();
        if let (Some(Value::Object(offer)), Value::Object(body)) = (&required, &mut body) {
            // The offer is in the header; its `error` is OpenAI's here.
            body.extend(offer.clone().into_iter().filter(|(name, _)| name != "error"));
        }
        let mut response = json_text(body.to_string());
        *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if refusal.status == 429 {
            let waiting = u64::try_from(self.engine.waiting()).unwrap_or(u64::MAX).max(1);
            let seconds = waiting.saturating_mul(self.metrics.mean_seconds());
            response = with_header(response, header::RETRY_AFTER, &seconds.to_string());
        }
        match required {
            Some(offer) => {
                exposed(with_header(response, HeaderName::from_static(x402::REQUIRED), &x402::encode(&offer)))
            }
            None => response,
        }
    }
}

fn url(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}/v1/chat/completions")
}

async fn post_chat(
    State(node): State<Arc<Node>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let url = url(&headers);
    match chat(&node, from, &headers, body).await {
        Ok(response) => response,
        Err(failure) => node.failure(failure, &url),
    }
}

async fn chat(
    node: &Arc<Node>,
    from: SocketAddr,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let too_large = |_| Refusal::new(413, "request_too_large", format!("the body has at most {MAX_BODY} bytes"));
    let body = body.map_err(too_large)?;
    let payment = headers.get(x402::SIGNATURE).map(|header| {
        let payment = x402::decode(header.as_bytes())?;
        let voucher = node.check(&payment)?;
        Ok((payment, voucher))
    });
    // What follows costs time, which only a payer's signature pays for.
    if !matches!(payment, Some(Ok(_))) {
        node.count_unpaid(from.ip())?;
    }
    let priced = node.price(&body)?;
    let amount = priced.ceiling;
    let (payment, voucher) = match payment {
        Some(Ok(paid)) => paid,
        Some(Err(code)) => {
            return Err(Failure::Payment { error: x402::code(code), amount, extra: Vec::new() });
        }
        None => {
            let error = "PAYMENT-SIGNATURE header is required".to_owned();
            return Err(Failure::Payment { error, amount, extra: Vec::new() });
        }
    };
    if let Some(finished) = node.replay(&priced, &voucher)? {
        return Ok(whole(&priced, &finished));
    }
    let full = || Refusal::new(429, "rate_limit_exceeded", "the queue is full; nothing was charged");
    let place = node.engine.place().ok_or_else(full)?;
    let prefers = headers.get("prefer").is_some_and(|value| value.as_bytes() == PREFER_STREAM.as_bytes());
    let node = Arc::clone(node);
    // On its own from here: a client that leaves must not leave its channel reserved.
    let task = tokio::spawn(async move {
        let is_live = priced.request.stream && prefers;
        let paid = node.pay(priced.clone(), &payment, voucher, place).await?;
        if is_live {
            let (sender, events) = mpsc::unbounded_channel();
            tokio::spawn(async move { live(&node, paid, &priced, sender).await });
            return Ok(streamed(events));
        }
        let finished = node.work(paid, None).await?;
        Ok(whole(&priced, &finished))
    });
    task.await.map_err(|error| Failure::from(eyre::eyre!("a request's task: {error}")))?
}

/// An answer that was computed first.
fn whole(priced: &Priced, finished: &Finished) -> Response {
    let response = if priced.request.stream {
        let events = finished.answer.events(priced.request.include_usage);
        ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], events).into_response()
    } else {
        json_text(finished.answer.body().to_string())
    };
    let response = with_header(response, HeaderName::from_static(x402::RESPONSE), &x402::encode(&finished.payment));
    exposed(match &finished.receipt {
        Some(receipt) => with_header(response, RECEIPT, &x402::encode(&json!(receipt))),
        None => response,
    })
}

/// An answer whose text leaves as it appears, and its payment as the last event.
async fn live(node: &Node, paid: crate::gate::Paid, priced: &Priced, sender: mpsc::UnboundedSender<String>) {
    let last = match node.work(paid, Some(Live(sender.clone()))).await {
        Ok(Finished { answer, payment, receipt }) => {
            let mut chunk = Answer::chunk(&answer.id, answer.created, &answer.model, json!([]));
            chunk["x402"] = payment;
            chunk["receipt"] = json!(receipt);
            answer.last_events(priced.request.include_usage) + &event(&chunk) + DONE
        }
        Err(_) => event(&Refusal::new(500, "internal_error", "the node failed; nothing was charged").body()),
    };
    // A client that is gone gets nothing.
    sender.send(last).ok();
}

fn streamed(events: mpsc::UnboundedReceiver<String>) -> Response {
    let events = stream::unfold(events, async |mut events| {
        let event = events.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(event), events))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("preference-applied"), PREFER_STREAM),
    ];
    exposed((headers, Body::from_stream(events)).into_response())
}

async fn get_chat(
    State(node): State<Arc<Node>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let url = url(&headers);
    let amount = node.min_price();
    let payment = match headers.get(x402::SIGNATURE) {
        None => Err("PAYMENT-SIGNATURE header is required".to_owned()),
        Some(header) => x402::decode(header.as_bytes()).map_err(x402::code),
    };
    let payment = match (node.count_unpaid(from.ip()), payment) {
        (Err(refusal), _) => return node.failure(refusal.into(), &url),
        (_, Err(error)) => return node.failure(Failure::Payment { error, amount, extra: Vec::new() }, &url),
        (Ok(()), Ok(payment)) => payment,
    };
    let refunding = Arc::clone(&node);
    let task = tokio::spawn(async move { refunding.refund(&payment).await });
    let refunded = task.await.unwrap_or_else(|error| Err(eyre::eyre!("a refund's task: {error}").into()));
    match refunded {
        Ok(payment) => {
            let response = json_text(json!({"refunded": payment["amount"]}).to_string());
            exposed(with_header(response, HeaderName::from_static(x402::RESPONSE), &x402::encode(&payment)))
        }
        Err(failure) => node.failure(failure, &url),
    }
}

async fn models(State(node): State<Arc<Node>>) -> Response {
    let price = &node.config.price;
    let model = json!({
        "id": node.engine.kind.file.name,
        "object": "model",
        "owned_by": "plimsoll-node",
        "x_kind": node.engine.kind.id,
        "x_price": {
            "base": price.base,
            "per_prompt_token": price.per_prompt_token,
            "per_completion_token": price.per_completion_token,
            "asset": node.config.payment.token,
        },
        "x_privacy": "The operator's machine reads prompts and answers. Answers are kept for replay for some minutes, \
                      hashes and receipts for ever; no text is logged.",
    });
    json_text(json!({"object": "list", "data": [model]}).to_string())
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, json_text(Refusal::new(404, "not_found", "there is none of this id").body().to_string()))
        .into_response()
}

async fn channel(
    State(node): State<Arc<Node>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(id): Path<B256>,
) -> Response {
    if let Err(refusal) = node.count_unpaid(from.ip()) {
        return node.failure(refusal.into(), "");
    }
    match node.describe(id).await {
        Ok(Some(state)) => json_text(state.to_string()),
        Ok(None) => missing(),
        Err(failure) => node.failure(failure, ""),
    }
}

async fn receipt(State(node): State<Arc<Node>>, Path(request): Path<B256>) -> Response {
    match node.store.receipt(request) {
        Ok(Some(receipt)) => json_text(receipt),
        Ok(None) => missing(),
        Err(error) => node.failure(error.into(), ""),
    }
}

async fn health(State(node): State<Arc<Node>>) -> Response {
    let is_ready = node.chain.is_fresh();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, json_text(json!({"ready": is_ready}).to_string())).into_response()
}
