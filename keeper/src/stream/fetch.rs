//! The events of one block, asked for by its hash, and not believed where something known speaks against them.
//!
//! A negative bloom needs no answer. An empty answer to a positive one takes a second opinion, because blooms err on that
//! side. What the book has refused takes a proof: with every log of the block at hand, whoever's it is, nothing may be
//! left of the bloom.

use std::sync::Arc;

use alloy::{
    primitives::{B256, logs_bloom},
    rpc::types::{Filter, Log},
};

use super::{
    BlockEvents, Rebuild,
    head::Head,
    node::{Failure, Node},
    pool::Pool,
    refusal::Refusal,
};
use crate::chain::Event;

/// A block that the book has refused.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubt {
    pub(super) reason: String,
    /// What was refused, each time.
    pub(super) refused: Vec<Arc<BlockEvents>>,
    /// From whom that was.
    pub(super) from: Vec<usize>,
}

/// Events of a block.
pub(super) struct Fetched {
    pub(super) events: Vec<Event>,
    /// Whose word that is; nobody's where the bloom says that there are none.
    pub(super) from: Option<usize>,
}

/// Why something could not be fetched.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may work later.
    Failed,
    /// It never will.
    Rebuild(Rebuild),
}

/// What an endpoint says when it is asked for every log of a block.
enum Proof {
    /// These are all of ours.
    Complete(Vec<Event>),
    /// It leaves out something.
    Incomplete,
    /// It does not say.
    None,
}

/// The events of a block, from `first` if it can be.
pub(super) async fn events_of(pool: &Pool, head: &Head, first: usize) -> Result<Fetched, Trouble> {
    if !pool.may_concern_us(head) {
        return Ok(Fetched { events: Vec::new(), from: None });
    }
    let (mut empty, mut foreign) = (None, None);
    for (index, node) in having(pool, head, first) {
        let Ok(logs) = ours(pool, node, head).await else { continue };
        let events = match decode(pool, &logs) {
            Ok(events) => events,
            Err(problem) => {
                foreign = Some(problem);
                continue;
            }
        };
        match empty {
            None if events.is_empty() && pool.settings.blooms => empty = Some((index, node)),
            Some((_, liar)) if !events.is_empty() => {
                Node::lied(liar, "it left out every log of a block");
                return Ok(Fetched { events, from: Some(index) });
            }
            _ => return Ok(Fetched { events, from: Some(index) }),
        }
    }
    if let Some((index, node)) = empty {
        let from = Some(index);
        return match prove(pool, node, head).await {
            Proof::Complete(events) => Ok(Fetched { events, from }),
            Proof::Incomplete => Err(Trouble::Failed),
            Proof::None => match ours(pool, node, head).await {
                Ok(logs) if logs.is_empty() => Ok(Fetched { events: Vec::new(), from }),
                _ => Err(Trouble::Failed),
            },
        };
    }
    Err(foreign
        .map_or(Trouble::Failed, |problem| Trouble::Rebuild(Rebuild::Foreign { number: head.header.number, problem })))
}

/// The events of a block that the book has refused: others than those, or the proof that there are no others.
pub(super) async fn events_in_doubt(pool: &Pool, head: &Head, doubt: &Doubt) -> Result<Fetched, Trouble> {
    let number = head.header.number;
    let was_refused = |events: &[Event]| {
        doubt.refused.iter().any(|refused| refused.hash == head.header.hash && refused.events == events)
    };
    let hopeless = || Trouble::Rebuild(Rebuild::DoesNotAddUp { number, reason: doubt.reason.clone() });
    let mut nodes = having(pool, head, usize::MAX);
    nodes.sort_by_key(|(index, _)| doubt.from.contains(index));
    let mut refused_by = 0;
    for (index, node) in &nodes {
        match prove(pool, node, head).await {
            Proof::Complete(events) if was_refused(&events) => return Err(hopeless()),
            Proof::Complete(events) => return Ok(Fetched { events, from: Some(*index) }),
            Proof::Incomplete => {}
            Proof::None => {
                let Ok(logs) = ours(pool, node, head).await else { continue };
                match decode(pool, &logs) {
                    Ok(events) if !was_refused(&events) => return Ok(Fetched { events, from: Some(*index) }),
                    _ => refused_by += 1,
                }
            }
        }
    }
    // Without a proof, what all say is the truth.
    Err(if refused_by > 0 && refused_by == nodes.len() { hopeless() } else { Trouble::Failed })
}

/// Reads logs of our contracts.
pub(super) fn decode<'a>(pool: &Pool, logs: impl IntoIterator<Item = &'a Log>) -> Result<Vec<Event>, String> {
    let events = logs.into_iter().filter_map(|log| {
        let problem = |error| format!("a log of {} is none of the contract's events: {error}", log.address());
        pool.sources.decode(&log.inner).map_err(problem).transpose()
    });
    events.collect()
}

/// The endpoints that have a block, `first` first.
fn having<'a>(pool: &'a Pool, head: &Head, first: usize) -> Vec<(usize, &'a Node)> {
    let number = head.header.number;
    let has_it = |index: &usize| {
        let head = pool.nodes.get(*index).and_then(|node| node.state().head);
        *index == first || head.is_some_and(|head| head.header.number >= number)
    };
    let mut order: Vec<_> = pool.order(number).into_iter().filter(has_it).collect();
    order.sort_by_key(|index| *index != first);
    order.into_iter().filter_map(|index| Some((index, pool.nodes.get(index)?))).collect()
}

/// What an endpoint says our contracts have logged.
async fn ours(pool: &Pool, node: &Node, head: &Head) -> Result<Vec<Log>, Failure> {
    let addresses: Vec<_> = pool.sources.addresses().collect();
    of_block(node, head.header.hash, Filter::new().address(addresses)).await
}

/// Asks for every log of a block, and compares them with its bloom.
async fn prove(pool: &Pool, node: &Node, head: &Head) -> Proof {
    if !pool.settings.blooms {
        return Proof::None;
    }
    let Ok(logs) = of_block(node, head.header.hash, Filter::new()).await else { return Proof::None };
    if head.shows_more_than(&logs_bloom(logs.iter().map(|log| &log.inner))) {
        node.lied("it left out logs of a block");
        return Proof::Incomplete;
    }
    decode(pool, &logs).map_or(Proof::None, Proof::Complete)
}

/// Logs of one block, and of no other.
async fn of_block(node: &Node, hash: B256, filter: Filter) -> Result<Vec<Log>, Failure> {
    let logs = node.logs(filter.at_block_hash(hash)).await?;
    if logs.iter().all(|log| log.block_hash == Some(hash) && !log.removed) {
        return Ok(logs);
    }
    let reason = "it gave logs of another block than was asked for";
    node.lied(reason);
    Err(Failure { refusal: Refusal::Other, error: node.problem(reason) })
}
