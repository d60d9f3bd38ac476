//! A book that a command follows up to the newest block.

use std::sync::Arc;

use eyre::bail;
use plimsoll_chain::endpoint::Endpoint;
use tokio::time::{Duration, timeout};

use crate::{
    book::{Block, Book},
    chain::Header,
    stream::{Step, Stream},
};

/// Time without any block from any node after which a command fails.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// How far a book was followed.
#[derive(Debug)]
pub(super) enum FollowResult {
    /// It is that of the newest block.
    Head(Header),
    /// The chain's events do not fit it, for this reason.
    DoesNotFit(String),
}

/// Applies the stream's blocks to a book, up to the newest. Fails if no node returns a block for a minute.
pub(super) async fn follow_to_head(stream: &mut Stream, book: &mut Book) -> eyre::Result<FollowResult> {
    loop {
        let Ok(step) = timeout(TIMEOUT, stream.next()).await else { bail!("{}", no_blocks(stream)) };
        match step {
            Step::Apply(block) => {
                let place = Block { number: block.number, timestamp: block.timestamp };
                match book.apply(place, &block.events) {
                    Ok(_) => stream.accept(),
                    Err(error) => {
                        stream.reject(error.to_string());
                        continue;
                    }
                }
                if let Some(header) = block.tip {
                    return Ok(FollowResult::Head(header));
                }
            }
            Step::Revert { to } => match book.revert_to(to.number) {
                Ok(()) => stream.accept(),
                Err(error) => return Ok(FollowResult::DoesNotFit(error.to_string())),
            },
            Step::Resync(reason) => return Ok(FollowResult::DoesNotFit(reason.to_string())),
        }
    }
}

/// Lists nodes for an error.
pub(super) fn names(nodes: &[Arc<Endpoint>]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Describes the state of every node, for when no block arrives.
fn no_blocks(stream: &Stream) -> String {
    let nodes = stream
        .health()
        .into_iter()
        .map(|node| format!("{}: {}", node.name, node.last_error.unwrap_or_else(|| "nothing new".to_owned())));
    format!("no node provided a block for {} s; {}", TIMEOUT.as_secs(), nodes.collect::<Vec<_>>().join("; "))
}
