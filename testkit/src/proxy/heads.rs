//! Announcements to one subscriber: heads that are skipped, duplicated or reordered.

use serde_json::Value;

use super::{handler::Shared, rpc, rules::Fault};

/// A fault of head announcements. A rule's [`times`](super::Rule::times) limits how many heads it affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    /// The head is not announced.
    Skipped,
    /// The head is announced twice.
    Duplicated,
    /// The head is announced after the next one.
    Reordered,
}

/// Forwards announcements to one subscriber.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    held_back: Option<String>,
}

impl Announcements {
    /// Returns what to forward of a message of the node, in order. Responses are forwarded unchanged.
    pub(super) fn forward(&mut self, shared: &Shared, message: String) -> Vec<String> {
        let Some(announced) = announced(&message) else { return vec![message] };
        let number = ["number", "blockNumber"].iter().find_map(|&name| rpc::number(announced.get(name)?));
        let is_stale = |fault: &Fault| matches!(fault, Fault::Stale { head } if number > Some(*head));
        let is_head = announced.get("parentHash").is_some();
        let faults =
            shared.faults_of_announcement(|fault| is_stale(fault) || is_head && matches!(fault, Fault::Heads(_)));
        let mut forwarded = match faults.first() {
            None => vec![message],
            Some(Fault::Heads(HeadFault::Duplicated)) => vec![message.clone(), message],
            Some(Fault::Heads(HeadFault::Reordered)) => {
                // The head that was held back before is released by this one.
                return self.held_back.replace(message).into_iter().collect();
            }
            Some(_) => return Vec::new(),
        };
        if is_head {
            forwarded.extend(self.held_back.take());
        }
        forwarded
    }
}

/// Returns the payload of a subscription message: a head, a log or the hash of a transaction.
fn announced(message: &str) -> Option<Value> {
    let mut message: Value = serde_json::from_str(message).ok()?;
    let is_announcement = message.get("method").is_some_and(|method| method == "eth_subscription");
    is_announcement.then(|| message.pointer_mut("/params/result").map(Value::take))?
}
