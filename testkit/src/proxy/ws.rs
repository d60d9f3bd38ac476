//! The caller's side by WebSocket. Subscriptions have a WebSocket of their own to the node, everything else is asked by
//! HTTP; a subscription's answer passes as it is, so that no announcement can overtake it.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message as Frame, protocol::Role},
};

use super::{
    handler::{Exchange, Outcome, Shared, Status},
    heads::Announcements,
    rpc::{self, Message},
};

/// What follows from a caller's message.
enum Step {
    /// The caller hears this.
    Answer(String),
    /// The node hears this, and answers by itself.
    PassOn(String),
    /// The connection ends: orderly, or reset.
    End {
        /// Whether it is reset.
        reset: bool,
    },
}

/// Serves a WebSocket until either side ends it. Fails when that is not orderly.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) -> eyre::Result<()> {
    let caller = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let (mut to_caller, mut from_caller) = caller.split();
    let (mut to_node, mut from_node) = shared.upstream.connect().await?.split();
    let (steps, mut next_step) = mpsc::unbounded_channel();
    let mut announcements = Announcements::default();
    let mut exchanges = JoinSet::new();
    loop {
        tokio::select! {
            frame = from_caller.next() => match frame {
                Some(Ok(Frame::Text(text))) => {
                    let (shared, steps) = (Arc::clone(&shared), steps.clone());
                    // Each by itself: while one is stalled, the others are answered. Nobody hears what comes too late.
                    exchanges.spawn(async move { steps.send(step(&shared, text.to_string()).await).ok() });
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
            frame = from_node.next() => match frame {
                Some(Ok(Frame::Text(text))) => {
                    for passed in announcements.pass(&shared, text.to_string()) {
                        to_caller.send(Frame::text(passed)).await?;
                    }
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
            Some(step) = next_step.recv() => match step {
                Step::Answer(text) => to_caller.send(Frame::text(text)).await?,
                Step::PassOn(text) => to_node.send(Frame::text(text)).await?,
                Step::End { reset: false } => return Ok(to_caller.close().await?),
                Step::End { reset: true } => return Ok(to_caller.reunite(from_caller)?.get_ref().set_zero_linger()?),
            },
            Some(_) = exchanges.join_next() => {}
        }
    }
}

async fn step(shared: &Shared, text: String) -> Step {
    let Some(message) = Message::read(text.as_bytes()) else { return Step::Answer(rpc::unreadable().to_string()) };
    let exchange = Exchange::begin(shared, &message);
    let is_subscription = |method: &str| matches!(method, "eth_subscribe" | "eth_unsubscribe");
    let outcome = match message.single().filter(|request| is_subscription(&request.method)) {
        Some(request) => match exchange.before_forwarding().await {
            Some(outcome) => outcome,
            None => match exchange.refusal(request) {
                Some(refusal) => Outcome::Answer { status: Status::Ok, body: request.answered(refusal) },
                None => return Step::PassOn(text),
            },
        },
        None => exchange.run().await,
    };
    match outcome {
        Outcome::Answer { body, .. } => Step::Answer(body.to_string()),
        Outcome::Page { .. } => Step::End { reset: false },
        Outcome::Reset => Step::End { reset: true },
    }
}
