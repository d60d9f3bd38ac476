//! Conditions that are worth an alert, found by looking at one view after another.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use tokio::time::Duration;

use super::{AlertKind, Notice};
use crate::outside::view::View;

/// Finds conditions that begin or end.
#[derive(Debug)]
pub(super) struct Watchman {
    low_balance: U256,
    stalled_after: Duration,
    open: BTreeMap<(AlertKind, String), String>,
}

impl Watchman {
    /// Tells of balances below one and of heads that stand longer than another.
    pub(super) const fn new(low_balance: U256, stalled_after: Duration) -> Self {
        Self { low_balance, stalled_after, open: BTreeMap::new() }
    }

    /// What began or ended since the last look.
    pub(super) fn look(&mut self, view: &View) -> Vec<Notice> {
        let now = self.conditions(view);
        let began = now.iter().filter(|(key, _)| !self.open.contains_key(*key)).map(|entry| notice(entry, false));
        let ended = self.open.iter().filter(|(key, _)| !now.contains_key(*key)).map(|entry| notice(entry, true));
        let notices = began.chain(ended).collect();
        self.open = now;
        notices
    }

    fn conditions(&self, view: &View) -> BTreeMap<(AlertKind, String), String> {
        let mut found = BTreeMap::new();
        let mut add = |kind, subject: &str, text: String| found.insert((kind, subject.to_owned()), text);
        if let Some(head) = view.head.as_ref().filter(|head| head.age() > self.stalled_after) {
            add(AlertKind::StalledHead, "chain", format!("no new block since block {}", head.number));
        }
        if let Some(reason) = &view.safety.stopped {
            add(AlertKind::Stopped, "safety", format!("nothing is sent: {reason}"));
        }
        for signer in &view.signers {
            let who = format!("{} ({})", signer.role, signer.address);
            if let Some(problem) = &signer.problem {
                add(AlertKind::SignerProblem, &signer.role, format!("the signer for {who}: {problem}"));
            }
            if let Some(balance) = signer.balance.as_ref().filter(|balance| balance.units < self.low_balance) {
                add(AlertKind::LowBalance, &signer.role, format!("the signer for {who} has {balance} left"));
            }
        }
        if view.audit.mismatches > 0 {
            let last = view.audit.last.clone().unwrap_or_default();
            add(AlertKind::AuditMismatch, "book", format!("the book differs from the chain: {last}"));
        }
        for account in view.watched_accounts.iter().filter(|account| account.health < account.below) {
            let subject = format!("{} in {}", account.account, account.market_name);
            let text = format!("the health of {subject} is {}, below {}", account.health, account.below);
            add(AlertKind::HealthBelowLine, &subject, text);
        }
        found
    }
}

fn notice(((kind, subject), text): (&(AlertKind, String), &String), over: bool) -> Notice {
    let text = if over { format!("over: {text}") } else { text.clone() };
    Notice { kind: *kind, subject: subject.clone(), over, text }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use tokio::time::Instant;

    use super::*;
    use crate::outside::{
        Amount, Health,
        view::{Head, SignerView, WatchedAccount},
    };

    fn calm() -> View {
        let head =
            Head { number: 7, hash: alloy::primitives::B256::ZERO, timestamp: 0, base_fee: 0, applied: Instant::now() };
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

    fn told(notices: &[Notice]) -> Vec<(AlertKind, bool)> {
        notices.iter().map(|notice| (notice.kind, notice.over)).collect()
    }

    #[test]
    fn a_condition_is_told_when_it_begins_and_when_it_ends_and_once_each() {
        let mut watchman = Watchman::new(U256::from(50), Duration::from_secs(60));
        assert_eq!(watchman.look(&calm()), []);
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
            assert_eq!(told(&watchman.look(&view)), [(kind, false)]);
            assert_eq!(watchman.look(&view), []);
            assert_eq!(told(&watchman.look(&calm())), [(kind, true)]);
        }
    }

    #[test]
    fn a_head_that_stands_still_is_told_although_no_view_comes() {
        // However little time passes, it is longer than none.
        let mut watchman = Watchman::new(U256::ZERO, Duration::ZERO);
        assert_eq!(told(&watchman.look(&calm())), [(AlertKind::StalledHead, false)]);
        watchman.stalled_after = Duration::from_secs(3_600);
        assert_eq!(told(&watchman.look(&calm())), [(AlertKind::StalledHead, true)]);
    }
}
