//! The events of one block, asked for by its hash, and not believed where something known speaks against them.
//!
//! A negative bloom needs no answer. An empty answer to a positive one takes a second opinion, because blooms err on that
//! side; where there is nobody else, every log of the block is asked for, whoever's it is, and nothing may be left of the
//! bloom. What the book has refused is read from the block's receipts, which hash to what the header says.

use std::sync::Arc;

use alloy::{
    consensus::{TxReceipt, proofs::calculate_receipt_root},
    primitives::{self, B256, logs_bloom},
    rpc::types::{Filter, Log, TransactionReceipt},
};
use serde_json::Value;

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

/// The events of a block, from `first` if it can be.
pub(super) async fn events_of(pool: &Pool, head: &Head, first: usize) -> Result<Fetched, Trouble> {
    if !pool.may_concern_us(head) {
        return Ok(Fetched { events: Vec::new(), from: None });
    }
    let (mut empty, mut foreign) = (None, None);
    for (index, node) in having(pool, head, first) {
        let Ok(logs) = ours(pool, node, head).await else { continue };
        let events = match decode(pool, logs.iter().map(|log| &log.inner)) {
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
        let is_empty = nothing_is_left_out(pool, node, head).await;
        return is_empty.then(|| Fetched { events: Vec::new(), from: Some(index) }).ok_or(Trouble::Failed);
    }
    Err(foreign
        .map_or(Trouble::Failed, |problem| Trouble::Rebuild(Rebuild::Foreign { number: head.header.number, problem })))
}

/// The events of a block that the book has refused: others than those, or the certainty that there are no others.
pub(super) async fn events_in_doubt(pool: &Pool, head: &Head, doubt: &Doubt) -> Result<Fetched, Trouble> {
    let number = head.header.number;
    let was_refused = |events: &[Event]| {
        doubt.refused.iter().any(|refused| refused.hash == head.header.hash && refused.events == events)
    };
    let hopeless =
        || Trouble::Rebuild(Rebuild::DoesNotAddUp { number, reason: doubt.reason.clone(), elsewhere: false });
    let mut nodes = having(pool, head, usize::MAX);
    nodes.sort_by_key(|(index, _)| doubt.from.contains(index));
    let mut agreeing = 0;
    for (index, node) in &nodes {
        let from = Some(*index);
        match by_receipts(pool, node, head).await {
            Some(events) if was_refused(&events) => return Err(hopeless()),
            Some(events) => return Ok(Fetched { events, from }),
            None => {}
        }
        let Ok(logs) = ours(pool, node, head).await else { continue };
        match decode(pool, logs.iter().map(|log| &log.inner)) {
            Ok(events) if !was_refused(&events) => return Ok(Fetched { events, from }),
            _ => agreeing += 1,
        }
    }
    // Without a proof, what all say is the truth.
    Err(if agreeing > 0 && agreeing == nodes.len() { hopeless() } else { Trouble::Failed })
}

/// Reads logs of our contracts.
pub(super) fn decode<'a>(
    pool: &Pool,
    logs: impl IntoIterator<Item = &'a primitives::Log>,
) -> Result<Vec<Event>, String> {
    let events = logs.into_iter().filter_map(|log| {
        let problem = |error| format!("a log of {} is none of the contract's events: {error}", log.address);
        pool.sources.decode(log).map_err(problem).transpose()
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

/// Whether a block whose bloom is positive has nothing of ours all the same, by an endpoint that said so once: with every
/// log of the block nothing is left of the bloom. Where it does not give them all, it has to say it again.
async fn nothing_is_left_out(pool: &Pool, node: &Node, head: &Head) -> bool {
    let Ok(all) = of_block(node, head.header.hash, Filter::new()).await else {
        return ours(pool, node, head).await.is_ok_and(|logs| logs.is_empty());
    };
    let is_ours = |log: &Log| pool.sources.addresses().any(|address| address == log.address());
    let left_out = head.shows_more_than(&logs_bloom(all.iter().map(|log| &log.inner))) || all.iter().any(is_ours);
    if left_out {
        node.lied("it left out logs of a block");
    }
    !left_out
}

/// Our events by a block's receipts, where these hash to what the header says. None where they do not, or are of a kind
/// that only that chain knows.
async fn by_receipts(pool: &Pool, node: &Node, head: &Head) -> Option<Vec<Event>> {
    let answer: Value = node.ask("eth_getBlockReceipts", (head.header.hash,)).await.ok()?;
    let receipts: Vec<TransactionReceipt> = serde_json::from_value(answer).ok()?;
    let receipts: Vec<_> = receipts.into_iter().map(|receipt| receipt.into_primitives_receipt().inner).collect();
    let is_proven = head.receipts_root == Some(calculate_receipt_root(&receipts));
    decode(pool, receipts.iter().flat_map(TxReceipt::logs)).ok().filter(|_| is_proven)
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
