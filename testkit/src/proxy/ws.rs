//! The caller's side over WebSocket. Subscriptions use a WebSocket of their own to the node, all other requests HTTP.
//! The node's response to a subscription is forwarded on that WebSocket, so that no announcement can overtake it.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message as Frame, protocol::Role},
};

use super::{
    handler::{Handler, Outcome, Shared, Status},
    heads::Announcements,
    rpc::{self, Message},
};

/// How a message of a caller is continued.
enum Step {
    /// The proxy responds with this text.
    Answer(String),
    /// This text is forwarded to the node, which responds by itself.
    Forward(String),
    /// The connection is closed, or reset.
    End {
        /// Whether it is reset instead of being closed properly.
        reset: bool,
    },
}

/// Serves a WebSocket until either side closes it. Fails when it is not closed properly.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) -> eyre::Result<()> {
    let caller = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let (mut to_caller, mut from_caller) = caller.split();
    let (mut to_node, mut from_node) = shared.upstream.connect().await?.split();
    let (steps, mut next_step) = mpsc::unbounded_channel();
    let mut announcements = Announcements::default();
    let mut handlers = JoinSet::new();
    loop {
        tokio::select! {
            frame = from_caller.next() => match frame {
                Some(Ok(Frame::Text(text))) => {
                    let (shared, steps) = (Arc::clone(&shared), steps.clone());
                    // Messages are handled concurrently, so that a stalled one does not delay the others. A response
                    // that comes after the connection has ended is dropped.
                    handlers.spawn(async move { steps.send(step(&shared, text.to_string()).await).ok() });
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
            frame = from_node.next() => match frame {
                Some(Ok(Frame::Text(text))) => {
                    for forwarded in announcements.forward(&shared, text.to_string()) {
                        to_caller.send(Frame::text(forwarded)).await?;
                    }
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
            Some(step) = next_step.recv() => match step {
                Step::Answer(text) => to_caller.send(Frame::text(text)).await?,
                Step::Forward(text) => to_node.send(Frame::text(text)).await?,
                Step::End { reset: false } => return Ok(to_caller.close().await?),
                Step::End { reset: true } => return Ok(to_caller.reunite(from_caller)?.get_ref().set_zero_linger()?),
            },
            Some(_) = handlers.join_next() => {}
        }
    }
}

async fn step(shared: &Shared, text: String) -> Step {
    let Some(message) = Message::read(text.as_bytes()) else { return Step::Answer(rpc::unreadable().to_string()) };
    let handler = Handler::new(shared, &message);
    let is_subscription = |method: &str| matches!(method, "eth_subscribe" | "eth_unsubscribe");
    let outcome = match message.single().filter(|request| is_subscription(&request.method)) {
        Some(request) => match handler.before_forwarding().await {
            Some(outcome) => outcome,
            None => match handler.refusal(request) {
                Some(refusal) => Outcome::Answer { status: Status::Ok, body: request.answered(refusal) },
                None => return Step::Forward(text),
            },
        },
        None => handler.run().await,
    };
    match outcome {
        Outcome::Answer { body, .. } => Step::Answer(body.to_string()),
        Outcome::Page { .. } => Step::End { reset: false },
        Outcome::CutOff { .. } | Outcome::Reset => Step::End { reset: true },
    }
}
