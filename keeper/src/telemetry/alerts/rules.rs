//! The conditions that raise alerts, evaluated on one view after another.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use tokio::time::Duration;

use super::{AlertKind, Notice};
use crate::view::View;

/// Identifies a condition: its kind and its subject.
type Condition = (AlertKind, String);

/// Finds conditions that begin or end between two views.
#[derive(Debug)]
pub(super) struct AlertRules {
    /// Balance in wei below which a signer raises an alert.
    low_balance: U256,
    /// Age of the head from which it raises an alert.
    stalled_after: Duration,
    /// Conditions in effect, with their texts.
    active: BTreeMap<Condition, String>,
}

impl AlertRules {
    /// Creates rules with thresholds for a signer's balance, in wei, and for the age of the head.
    pub(super) const fn new(low_balance: U256, stalled_after: Duration) -> Self {
        Self { low_balance, stalled_after, active: BTreeMap::new() }
    }

    /// Returns a notice for each condition that began or ended since the previous call.
    pub(super) fn evaluate(&mut self, view: &View) -> Vec<Notice> {
        let now = self.conditions(view);
        let began = now.iter().filter(|(key, _)| !self.active.contains_key(*key)).map(|entry| notice(entry, false));
        let ended = self.active.iter().filter(|(key, _)| !now.contains_key(*key)).map(|entry| notice(entry, true));
        let notices = began.chain(ended).collect();
        self.active = now;
        notices
    }

    fn conditions(&self, view: &View) -> BTreeMap<Condition, String> {
        let mut found = BTreeMap::new();
        let mut add = |kind, subject: &str, text: String| found.insert((kind, subject.to_owned()), text);
        if let Some(head) = view.head.as_ref().filter(|head| head.age() > self.stalled_after) {
            add(AlertKind::StalledHead, "chain", format!("no new block since block {}", head.number));
        }
        if let Some(reason) = &view.safety.stopped {
            add(AlertKind::Stopped, "safety", format!("nothing is sent: {reason}"));
        }
        for signer in &view.signers {
            let name = format!("the signer for {} ({})", signer.role, signer.address);
            if let Some(problem) = &signer.problem {
                add(AlertKind::SignerProblem, &signer.role, format!("{name}: {problem}"));
            }
            if let Some(balance) = signer.balance.as_ref().filter(|balance| balance.units < self.low_balance) {
                add(AlertKind::LowBalance, &signer.role, format!("{name} has {balance} left"));
            }
        }
        if view.audit.mismatches > 0 {
            let last = view.audit.last.clone().unwrap_or_default();
            add(AlertKind::AuditMismatch, "book", format!("the book differs from the chain: {last}"));
        }
        for account in view.watched_accounts.iter().filter(|account| account.health < account.below) {
            let subject = format!("{} in {}", account.account, account.market_name);
            let text = format!("the health factor of {subject} is {}, below {}", account.health, account.below);
            add(AlertKind::HealthBelowLine, &subject, text);
        }
        found
    }
}

fn notice(((kind, subject), text): (&Condition, &String), resolved: bool) -> Notice {
    let text = if resolved { format!("resolved: {text}") } else { text.clone() };
    Notice { kind: *kind, subject: subject.clone(), resolved, text }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        amount::{Amount, Health},
        view::{HeadView, SignerView, WatchedAccount},
    };

    /// A view in which no rule applies.
    fn calm() -> View {
        let head = HeadView {
            number: 7,
            hash: alloy::primitives::B256::ZERO,
            timestamp: 0,
            base_fee: 0,
            applied: Instant::now(),
        };
        let signer = SignerView {
            role: "liquidations".into(),
            address: Address::ZERO,
            balance: Some(Amount::new(U256::from(100), 18, "ETH")),
            nonce: Some(0),
            pending: 0,
            problem: None,
        };
        let account = WatchedAccount {
            account: Address::ZERO,
            market_name: "weth-usdc".into(),
            health: Health(U256::from(110)),
            below: Health(U256::from(105)),
        };
        View { head: Some(head), signers: vec![signer], watched_accounts: vec![account], ..View::default() }
    }

    type Worsen = fn(&mut View);

    fn kinds(notices: &[Notice]) -> Vec<(AlertKind, bool)> {
        notices.iter().map(|notice| (notice.kind, notice.resolved)).collect()
    }

    #[test]
    fn a_condition_raises_one_notice_when_it_begins_and_one_when_it_ends() {
        let mut rules = AlertRules::new(U256::from(50), Duration::from_secs(60));
        assert_eq!(rules.evaluate(&calm()), []);
        let cases: [(AlertKind, Worsen); 5] = [
            (AlertKind::LowBalance, |view| view.signers[0].balance = Some(Amount::new(U256::from(49), 18, "ETH"))),
            (AlertKind::SignerProblem, |view| view.signers[0].problem = Some("the nonce was taken".into())),
            (AlertKind::Stopped, |view| view.safety.stopped = Some("the breaker is open".into())),
            (AlertKind::AuditMismatch, |view| view.audit.mismatches = 1),
            (AlertKind::HealthBelowLine, |view| view.watched_accounts[0].health = Health(U256::from(104))),
        ];
        for (kind, worsen) in cases {
            let mut view = calm();
            worsen(&mut view);
            assert_eq!(kinds(&rules.evaluate(&view)), [(kind, false)]);
            assert_eq!(rules.evaluate(&view), []);
            assert_eq!(kinds(&rules.evaluate(&calm())), [(kind, true)]);
        }
    }

    #[test]
    fn a_stalled_head_raises_a_notice_without_a_new_view() {
        // Any age of the head is above a threshold of zero.
        let mut rules = AlertRules::new(U256::ZERO, Duration::ZERO);
        assert_eq!(kinds(&rules.evaluate(&calm())), [(AlertKind::StalledHead, false)]);
        rules.stalled_after = Duration::from_secs(3_600);
        assert_eq!(kinds(&rules.evaluate(&calm())), [(AlertKind::StalledHead, true)]);
    }
}
