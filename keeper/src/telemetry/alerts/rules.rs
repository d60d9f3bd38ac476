//! The conditions that raise alerts, evaluated on one view after another.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use super::{AlertKind, Notice};
use crate::{
    amount::counted,
    sender::fleet::FleetProblem,
    view::{EndedView, ScheduledState, View, count},
};

/// Time for which a problem of the fleet lasts before it raises an alert.
const FLEET_PATIENCE: Duration = Duration::from_secs(30);

/// Whether a loan has been liquidatable in every block from `first` on, by the number of liquidatable loans of its market and
/// of blocks for which the first of them is.
const fn is_liquidatable_since(first: u64, head: u64, loans: u64, blocks: u64) -> bool {
    loans > 0 && head.saturating_sub(blocks) <= first
}

/// Identifies a condition: its kind and its subject.
type Condition = (AlertKind, String);

/// Most operations and proposals that are told of one by one.
const MAX_OPERATIONS: usize = 16;

/// A condition in effect, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ActiveCondition {
    kind: AlertKind,
    subject: String,
    text: String,
}

/// Finds conditions that begin or end between two views.
#[derive(Debug)]
pub(super) struct AlertRules {
    /// Balance in wei below which a signer raises an alert.
    low_balance: U256,
    /// Time without a new block, or without progress towards one, that raises an alert.
    stalled_after: Duration,
    /// Number of blocks for which loans may stay liquidatable.
    liquidatable_blocks: u64,
    /// Conditions in effect, with their texts.
    active: BTreeMap<Condition, String>,
    /// Problems of the fleet, and since when.
    fleet: BTreeMap<Condition, Instant>,
    /// What the keeper was doing while there was no block, and since when.
    progress: (Option<String>, Instant),
    /// Number of the first block of this run: for how long loans were liquidatable before it is not known.
    first_block: Option<u64>,
}

impl AlertRules {
    /// Creates rules with thresholds for a signer's balance, in wei, for the age of the head, and for the number of blocks
    /// for which loans stay liquidatable.
    pub(super) fn new(low_balance: U256, stalled_after: Duration, liquidatable_blocks: u64) -> Self {
        let progress = (None, Instant::now());
        let (active, fleet) = (BTreeMap::new(), BTreeMap::new());
        Self { low_balance, stalled_after, liquidatable_blocks, active, fleet, progress, first_block: None }
    }

    /// Returns the conditions in effect.
    pub(super) fn active(&self) -> Vec<ActiveCondition> {
        let active = |((kind, subject), text): (&Condition, &String)| ActiveCondition {
            kind: *kind,
            subject: subject.clone(),
            text: text.clone(),
        };
        self.active.iter().map(active).collect()
    }

    /// Continues with the conditions that were in effect when the keeper last ended.
    pub(super) fn restore(&mut self, active: Vec<ActiveCondition>) {
        for ActiveCondition { kind, subject, text } in active {
            self.active.entry((kind, subject)).or_insert(text);
        }
    }

    /// Begins a condition that no view shows. Returns its notice, and `None` where it is in effect already. The next
    /// view with a block ends it.
    pub(super) fn begin(&mut self, kind: AlertKind, subject: &str, text: String) -> Option<Notice> {
        let condition = (kind, subject.to_owned());
        if self.active.contains_key(&condition) {
            return None;
        }
        let began = notice((&condition, &text), false);
        self.active.insert(condition, text);
        Some(began)
    }

    /// Returns a notice for each condition that began or ended since the previous call. While there is no block, nothing
    /// is known of any condition but a stalled head, so the others stay as they are.
    pub(super) fn evaluate(&mut self, view: &View, at: Instant) -> Vec<Notice> {
        let mut now = self.conditions(view, at);
        if view.head.is_none() {
            let is_stalled = |(kind, _): &Condition| *kind == AlertKind::StalledHead;
            now.retain(|condition, _| is_stalled(condition));
            let others = self.active.iter().filter(|(condition, _)| !is_stalled(condition));
            now.extend(others.map(|(condition, text)| (condition.clone(), text.clone())));
        }
        let began = now.iter().filter(|(key, _)| !self.active.contains_key(*key)).map(|entry| notice(entry, false));
        let ended = self.active.iter().filter(|(key, _)| !now.contains_key(*key)).map(|((kind, subject), text)| {
            let text = end_of_operation(*kind, subject, view).unwrap_or_else(|| text.clone());
            notice((&(*kind, subject.clone()), &text), true)
        });
        let notices = began.chain(ended).collect();
        self.active = now;
        notices
    }

    fn conditions(&mut self, view: &View, at: Instant) -> BTreeMap<Condition, String> {
        let mut found = BTreeMap::new();
        let mut add = |kind, subject: &str, text: String| found.insert((kind, subject.to_owned()), text);
        if self.progress.0 != view.progress {
            self.progress = (view.progress.clone(), at);
        }
        match &view.head {
            Some(head) if head.age() > self.stalled_after => {
                add(AlertKind::StalledHead, "chain", format!("no new block since block {}", head.number));
            }
            None if at.saturating_duration_since(self.progress.1) > self.stalled_after => {
                let doing = view.progress.as_deref().unwrap_or("starting");
                add(AlertKind::StalledHead, "chain", format!("no block yet, and no progress: {doing}"));
            }
            _ => {}
        }
        if let Some(reason) = &view.safety.stopped {
            add(AlertKind::Stopped, "safety", format!("sending is stopped: {reason}"));
        }
        for place in &view.safety.paused {
            add(AlertKind::Paused, place, format!("paused by the operator: {place}"));
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
        let head = view.head.as_ref().map_or(0, |head| head.number);
        let first_block = if view.head.is_some() { *self.first_block.get_or_insert(head) } else { head };
        for market in &view.markets {
            let condition = (AlertKind::LoansStayLiquidatable, market.name.clone());
            // A restart begins to count from zero, and resolves nothing.
            let is_of_earlier_run = self.active.contains_key(&condition)
                && is_liquidatable_since(first_block, head, market.liquidatable, market.liquidatable_blocks);
            if market.liquidatable_blocks < self.liquidatable_blocks && !is_of_earlier_run {
                continue;
            }
            let text = format!(
                "{} of {} {} liquidatable, the first of them for {} blocks: the dashboard says why",
                counted(market.liquidatable, "loan"),
                market.name,
                if market.liquidatable == 1 { "is" } else { "are" },
                market.liquidatable_blocks
            );
            add(AlertKind::LoansStayLiquidatable, &market.name, text);
        }
        for (market, blocks) in view.held_by_peer.iter().filter(|(_, blocks)| **blocks >= self.liquidatable_blocks) {
            let text =
                format!("in {market} another keeper of the fleet has sent for the same loans for {blocks} blocks");
            add(AlertKind::HeldByPeer, market, text);
        }
        for (market, difference) in &view.audit.differing {
            add(
                AlertKind::AuditMismatch,
                &market.to_string(),
                format!("the book differs from the chain: {difference}"),
            );
        }
        for account in view.watched_accounts.iter().filter(|account| account.health < account.below) {
            let subject = format!("{} in {}", account.account, account.market_name);
            let text = format!("the health factor of {subject} is {}, below {}", account.health, account.below);
            add(AlertKind::HealthBelowLine, &subject, text);
        }
        operations(view, add);
        found.extend(self.fleet_conditions(view, at));
        found
    }

    /// The fleet's problems that have lasted: a take-over or a restart of the database resolves itself.
    fn fleet_conditions(&mut self, view: &View, at: Instant) -> BTreeMap<Condition, String> {
        let condition = |problem: FleetProblem| {
            let text = problem.to_string();
            let (kind, subject) = match problem {
                FleetProblem::Unreachable => (AlertKind::DatabaseUnreachable, "database".to_owned()),
                FleetProblem::MemberGone { name, .. } => (AlertKind::MemberGone, name),
                FleetProblem::NobodySigns { signer } => (AlertKind::NobodySigns, signer.to_string()),
            };
            ((kind, subject), text)
        };
        let mut found: BTreeMap<_, _> = view.fleet_problems().into_iter().map(condition).collect();
        self.fleet.retain(|condition, _| found.contains_key(condition));
        found.retain(|condition, _| {
            let since = *self.fleet.entry(condition.clone()).or_insert(at);
            self.active.contains_key(condition) || at.saturating_duration_since(since) >= FLEET_PATIENCE
        });
        found
    }
}

/// Tells of what is scheduled and of what is due. Calls of a proposal are told of with it.
fn operations(view: &View, mut add: impl FnMut(AlertKind, &str, String) -> Option<String>) {
    let Some(governance) = &view.governance else { return };
    let all = || governance.scheduled.iter().filter(|scheduled| !scheduled.is_of_proposal);
    for scheduled in all().take(MAX_OPERATIONS) {
        let subject = scheduled.subject();
        add(AlertKind::OperationScheduled, &subject, scheduled.text());
        if scheduled.state == ScheduledState::Due {
            add(AlertKind::OperationDue, &subject, scheduled.due_text());
        }
    }
    let further = all().count().saturating_sub(MAX_OPERATIONS);
    if further != 0 {
        let text =
            format!("{} more wait in the manager: the dashboard lists them", counted(count(further), "operation"));
        add(AlertKind::OperationScheduled, "further operations", text);
    }
}

/// Returns how an operation ended, if the condition is about one and the view knows.
fn end_of_operation(kind: AlertKind, subject: &str, view: &View) -> Option<String> {
    let is_of_operation = matches!(kind, AlertKind::OperationScheduled | AlertKind::OperationDue);
    let ended = &view.governance.as_ref().filter(|_| is_of_operation)?.ended;
    ended.iter().find(|ended| ended.subject() == subject).map(EndedView::text)
}

fn notice(((kind, subject), text): (&Condition, &String), resolved: bool) -> Notice {
    let text = if resolved { format!("resolved: {text}") } else { text.clone() };
    Notice { kind: *kind, subject: subject.clone(), resolved, text }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};
    use plimsoll_contracts::MarketId;

    use super::*;
    use crate::{
        amount::{Amount, Health},
        sender::fleet::{FleetStatus, LeaseStatus, Member},
        view::{GovernanceView, HeadView, ScheduledView, SignerView, WatchedAccount},
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
            low: false,
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
        let mut rules = AlertRules::new(U256::from(50), Duration::from_secs(60), 75);
        assert_eq!(rules.evaluate(&calm(), Instant::now()), []);
        let cases: [(AlertKind, Worsen); 5] = [
            (AlertKind::LowBalance, |view| view.signers[0].balance = Some(Amount::new(U256::from(49), 18, "ETH"))),
            (AlertKind::SignerProblem, |view| view.signers[0].problem = Some("the nonce was taken".into())),
            (AlertKind::Stopped, |view| view.safety.stopped = Some("the breaker is open".into())),
            (AlertKind::AuditMismatch, |view| {
                view.audit.differing = [(MarketId(alloy::primitives::B256::ZERO), "1 and 2".to_owned())].into();
            }),
            (AlertKind::HealthBelowLine, |view| view.watched_accounts[0].health = Health(U256::from(104))),
        ];
        for (kind, worsen) in cases {
            let mut view = calm();
            worsen(&mut view);
            assert_eq!(kinds(&rules.evaluate(&view, Instant::now())), [(kind, false)]);
            assert_eq!(rules.evaluate(&view, Instant::now()), []);
            assert_eq!(kinds(&rules.evaluate(&calm(), Instant::now())), [(kind, true)]);
        }
    }

    #[test]
    fn a_loan_that_was_liquidatable_in_the_first_block_of_a_run_stays_so_until_it_is_not_in_one_block() {
        assert!(is_liquidatable_since(100, 100, 1, 0));
        assert!(is_liquidatable_since(100, 103, 1, 3));
        assert!(!is_liquidatable_since(100, 103, 1, 2), "this one became so in block 101");
        assert!(!is_liquidatable_since(100, 103, 0, 0));
        assert!(!is_liquidatable_since(100, 100, 0, 0));
    }

    /// A view in which so many operations wait.
    fn scheduled(count: u8) -> View {
        let one = |byte| ScheduledView {
            id: B256::repeat_byte(byte),
            nonce: 1,
            is_proposal: false,
            is_of_proposal: false,
            state: ScheduledState::Waiting,
            calls: vec!["contracts.Plimsoll: setFee()".to_owned()],
            caller: Address::ZERO,
            caller_name: "safe".to_owned(),
            due: 1_000,
            expires: 2_000,
            opposition: Vec::new(),
            decision: None,
        };
        let scheduled = (0..count).map(one).collect();
        let governance = GovernanceView { manager: Address::ZERO, scheduled, ended: Vec::new(), left_out: 0 };
        View { governance: Some(governance), ..calm() }
    }

    #[test]
    fn an_operation_is_told_of_when_it_is_scheduled_when_it_is_due_and_with_how_it_ended() {
        use AlertKind::{OperationDue, OperationScheduled};
        let mut rules = AlertRules::new(U256::ZERO, Duration::from_secs(60), 75);
        let mut view = scheduled(1);
        let began = rules.evaluate(&view, Instant::now());
        assert_eq!(kinds(&began), [(OperationScheduled, false)]);
        assert!(began[0].text.contains("of safe is due at 1970-01-01"), "{began:?}");
        assert!(began[0].text.contains("contracts.Plimsoll: setFee()"), "{began:?}");
        let mut of_proposal = scheduled(1);
        of_proposal.governance.as_mut().unwrap().scheduled[0].is_of_proposal = true;
        assert_eq!(AlertRules::new(U256::ZERO, Duration::from_secs(60), 75).evaluate(&of_proposal, Instant::now()), []);
        view.governance.as_mut().unwrap().scheduled[0].state = ScheduledState::Due;
        assert_eq!(kinds(&rules.evaluate(&view, Instant::now())), [(OperationDue, false)]);
        let mut braked = scheduled(0);
        braked.governance.as_mut().unwrap().ended = vec![EndedView {
            id: B256::ZERO,
            nonce: 1,
            how: "braked",
            brake: Some("brakes.usdc".to_owned()),
            calls: vec!["contracts.Plimsoll: setFee()".to_owned()],
            at: 1_500,
        }];
        let ended = rules.evaluate(&braked, Instant::now());
        assert_eq!(kinds(&ended), [(OperationScheduled, true), (OperationDue, true)]);
        assert!(ended[0].text.contains("was cancelled by depositors at brakes.usdc"), "{ended:?}");
    }

    #[test]
    fn however_many_operations_wait_a_bounded_number_of_notices_is_raised() {
        let mut rules = AlertRules::new(U256::ZERO, Duration::from_secs(60), 75);
        let notices = rules.evaluate(&scheduled(60), Instant::now());
        assert_eq!(notices.len(), MAX_OPERATIONS + 1);
        assert!(notices.iter().any(|notice| notice.text.contains("44 operations more wait")), "{notices:?}");
        assert_eq!(rules.evaluate(&scheduled(61), Instant::now()), []);
    }

    #[test]
    fn what_ails_a_fleet_raises_a_notice_once_it_has_lasted() {
        let start = Instant::now();
        let member = |name: &str, is_live| Member {
            id: name.to_owned(),
            name: name.to_owned(),
            head: 7,
            seen_secs_ago: 0,
            is_live,
            is_self: false,
        };
        let fleet = |is_reachable, is_live, expires_in_ms| {
            let lease = LeaseStatus { signer: Address::ZERO, holder: "paris".to_owned(), fence: 1, expires_in_ms };
            let (members, leases) = (vec![member("paris", is_live)], vec![lease]);
            View { fleet: Some(FleetStatus { server: "db".to_owned(), is_reachable, members, leases }), ..calm() }
        };
        let sound = fleet(true, true, 1);
        for (kind, ill) in [
            (AlertKind::DatabaseUnreachable, fleet(false, true, 1)),
            (AlertKind::MemberGone, fleet(true, false, 1)),
            (AlertKind::NobodySigns, fleet(true, true, 0)),
        ] {
            let mut rules = AlertRules::new(U256::from(50), Duration::from_secs(3_600), 75);
            assert_eq!(rules.evaluate(&ill, start), []);
            assert_eq!(rules.evaluate(&ill, start + FLEET_PATIENCE / 2), []);
            assert_eq!(rules.evaluate(&sound, start + FLEET_PATIENCE), [], "a take-over in time is no news");
            assert_eq!(rules.evaluate(&ill, start + 2 * FLEET_PATIENCE), []);
            assert_eq!(kinds(&rules.evaluate(&ill, start + 3 * FLEET_PATIENCE)), [(kind, false)]);
            assert_eq!(rules.evaluate(&ill, start + 4 * FLEET_PATIENCE), []);
            assert_eq!(kinds(&rules.evaluate(&sound, start + 5 * FLEET_PATIENCE)), [(kind, true)]);
        }
    }

    #[test]
    fn a_market_that_another_keeper_holds_raises_a_notice_after_the_configured_blocks() {
        let mut rules = AlertRules::new(U256::ZERO, Duration::from_secs(3_600), 75);
        let held = |blocks| View { held_by_peer: [("weth-usdc".to_owned(), blocks)].into(), ..calm() };
        assert_eq!(rules.evaluate(&held(74), Instant::now()), []);
        assert_eq!(kinds(&rules.evaluate(&held(75), Instant::now())), [(AlertKind::HeldByPeer, false)]);
        assert_eq!(kinds(&rules.evaluate(&calm(), Instant::now())), [(AlertKind::HeldByPeer, true)]);
    }

    #[test]
    fn a_stalled_head_raises_a_notice_without_a_new_view() {
        // Any age of the head is above a threshold of zero.
        let mut rules = AlertRules::new(U256::ZERO, Duration::ZERO, 75);
        assert_eq!(kinds(&rules.evaluate(&calm(), Instant::now())), [(AlertKind::StalledHead, false)]);
        rules.stalled_after = Duration::from_secs(3_600);
        assert_eq!(kinds(&rules.evaluate(&calm(), Instant::now())), [(AlertKind::StalledHead, true)]);
    }

    #[test]
    fn a_keeper_that_never_gets_a_block_raises_a_notice_unless_it_makes_progress() {
        let (mut rules, start) = (AlertRules::new(U256::ZERO, Duration::from_secs(60), 75), Instant::now());
        let reading = |block: u64| View { progress: Some(format!("reading block {block}")), ..View::default() };
        let at = |seconds| start + Duration::from_secs(seconds);
        for block in 1..4 {
            assert_eq!(rules.evaluate(&reading(block), at(59 * block)), []);
        }
        let notices = rules.evaluate(&reading(3), at(59 * 3 + 61));
        assert_eq!(kinds(&notices), [(AlertKind::StalledHead, false)]);
        assert!(notices[0].text.contains("reading block 3"), "{notices:?}");
    }

    #[test]
    fn a_condition_of_an_earlier_run_is_not_raised_again_and_ends_with_the_first_block_without_it() {
        let mut low = calm();
        low.signers[0].balance = Some(Amount::new(U256::ONE, 18, "ETH"));
        let rules = || AlertRules::new(U256::from(50), Duration::from_secs(60), 75);
        let mut before = rules();
        before.evaluate(&low, Instant::now());
        assert!(before.begin(AlertKind::KeeperFailed, "keeper", "no key".into()).is_some());
        let mut after = rules();
        after.restore(before.active());
        // The next start fails as well, which is no news.
        assert_eq!(after.begin(AlertKind::KeeperFailed, "keeper", "no key".into()), None);
        // Nothing is known before the first block.
        assert_eq!(after.evaluate(&View::default(), Instant::now()), []);
        assert_eq!(kinds(&after.evaluate(&low, Instant::now())), [(AlertKind::KeeperFailed, true)]);
        assert_eq!(kinds(&after.evaluate(&calm(), Instant::now())), [(AlertKind::LowBalance, true)]);
    }
}
