//! What a node announces on its way to one subscriber: heads that are lost, repeated or out of order.

use serde_json::Value;

use super::{handler::Shared, rpc, rules::Fault};

/// What becomes of a head. A rule's [`times`](super::Rule::times) says of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    /// It is not announced.
    Skipped,
    /// It is announced twice.
    Duplicated,
    /// It is announced after the next one.
    Reordered,
}

/// The announcements to one subscriber.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    held_back: Option<String>,
}

impl Announcements {
    /// What to pass on of what the node said, in order. Answers pass untouched.
    pub(super) fn pass(&mut self, shared: &Shared, said: String) -> Vec<String> {
        let Some(announced) = announced(&said) else { return vec![said] };
        let number = ["number", "blockNumber"].iter().find_map(|&name| rpc::number(announced.get(name)?));
        let is_stale = |fault: &Fault| matches!(fault, Fault::Stale { head } if number > Some(*head));
        let is_head = announced.get("parentHash").is_some();
        let faults =
            shared.befalling_announcement(|fault| is_stale(fault) || is_head && matches!(fault, Fault::Heads(_)));
        let mut passed = match faults.first() {
            None => vec![said],
            Some(Fault::Heads(HeadFault::Duplicated)) => vec![said.clone(), said],
            Some(Fault::Heads(HeadFault::Reordered)) => {
                // The one that was held back before has waited for this.
                return self.held_back.replace(said).into_iter().collect();
            }
            Some(_) => return Vec::new(),
        };
        if is_head {
            passed.extend(self.held_back.take());
        }
        passed
    }
}

/// What a subscription brings: a head, a log, the hash of a transaction.
fn announced(said: &str) -> Option<Value> {
    let mut message: Value = serde_json::from_str(said).ok()?;
    let is_announcement = message.get("method").is_some_and(|method| method == "eth_subscription");
    is_announcement.then(|| message.pointer_mut("/params/result").map(Value::take))?
}
