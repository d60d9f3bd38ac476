//! Division of work between keepers that share a database: each market has a member that acts at once, and the others follow a
//! block later, so that a member that does not act costs a block.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use alloy::primitives::B256;

use crate::{
    intent::{DropReason, Outcome, Subject},
    sender::fleet::FleetStatus,
    strategies::SkipReason,
};

/// Since when, and until when, each subject of another member's markets was to be acted on, by number of the block.
pub(super) type SeenSubjects = Arc<Mutex<HashMap<Subject, (u64, u64)>>>;

/// Number of blocks without decisions on a subject after which it counts as new.
const FORGOTTEN_AFTER: u64 = 2;

/// Number of blocks without a refusal after which a market no longer counts as held by another keeper.
const FREE_AFTER: u64 = 5;

/// Markets in which nothing is sent because another keeper has claimed the loans: since which block, and until which.
#[derive(Debug, Default)]
pub(super) struct HeldMarkets(BTreeMap<B256, (u64, u64)>);

impl HeldMarkets {
    /// Takes what became of an intent in a market as of the newest block.
    pub(super) fn on_outcome(&mut self, market: B256, outcome: &Outcome, block: u64) {
        match outcome {
            Outcome::Dropped(DropReason::HeldByPeer) => {
                let (first, last) = self.0.entry(market).or_insert((block, block));
                if last.saturating_add(FREE_AFTER) < block {
                    *first = block;
                }
                *last = block;
            }
            Outcome::Sent { .. } => {
                self.0.remove(&market);
            }
            _ => {}
        }
    }

    /// Returns the markets that are held, each with the number of blocks since the first refusal.
    pub(super) fn at(&self, block: u64) -> Vec<(B256, u64)> {
        let is_held = |(_, (_, last)): &(&B256, &(u64, u64))| last.saturating_add(FREE_AFTER) >= block;
        self.0.iter().filter(is_held).map(|(market, (first, _))| (*market, block.saturating_sub(*first))).collect()
    }
}

/// What the other members of the fleet mean for decisions on a block.
#[derive(Debug)]
pub(super) struct Division {
    /// Who is there.
    pub(super) fleet: FleetStatus,
    /// Whether this keeper has no lease on its signers.
    pub(super) is_standby: bool,
    /// What was seen in earlier blocks; `None` for calls that are planned ahead.
    pub(super) seen: Option<SeenSubjects>,
}

impl Division {
    /// Why a subject is left to another member in this block; `None` where it is not.
    pub(super) fn skip_reason(&self, subject: &Subject, block: u64) -> Option<SkipReason> {
        let key = match subject {
            // The operator's own command.
            Subject::Sweep { .. } => return None,
            Subject::Loan { market, .. } | Subject::Position { market, .. } | Subject::Order { market, .. } => {
                market.as_slice()
            }
            Subject::Rewards { pool, .. } => pool.as_slice(),
            Subject::Vault(vault) => vault.as_slice(),
            Subject::Operation(id) => id.as_slice(),
            Subject::Job(id) => &id.to_be_bytes(),
            Subject::Node(id) => &id.to_be_bytes(),
            Subject::Jar(jar) => jar.as_slice(),
        };
        if self.is_standby {
            let database =
                if self.fleet.is_reachable { "another has its lease" } else { "the database does not answer" };
            return Some(SkipReason::Held { rule: format!("this keeper is in standby: {database}") });
        }
        let owner = self.fleet.owner(key).filter(|owner| !owner.is_self)?;
        let is_new = match &self.seen {
            Some(seen) => {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let (first, last) = seen.entry(*subject).or_insert((block, block));
                if last.saturating_add(FORGOTTEN_AFTER) < block || block < *last {
                    *first = block;
                }
                *last = block;
                *first == block
            }
            None => false,
        };
        is_new.then(|| SkipReason::Held { rule: format!("{} of the fleet acts first in its market", owner.name) })
    }
}

/// Forgets subjects that were not seen for some blocks.
pub(super) fn forget_old(seen: &SeenSubjects, block: u64) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.retain(|_, (_, last)| last.saturating_add(FORGOTTEN_AFTER) >= block);
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;
    use crate::{
        intent::Fees,
        sender::fleet::{LeaseStatus, Member},
    };

    fn division(is_standby: bool, seen: &SeenSubjects) -> Division {
        let member = |id: &str, is_self| Member {
            id: id.to_owned(),
            name: id.to_owned(),
            head: 1,
            seen_secs_ago: 0,
            is_live: true,
            is_self,
        };
        let lease =
            |holder: &str| LeaseStatus { signer: Address::ZERO, holder: holder.to_owned(), fence: 1, expires_in_ms: 1 };
        let fleet = FleetStatus {
            server: "db".to_owned(),
            is_reachable: true,
            members: vec![member("ours", true), member("theirs", false)],
            leases: vec![lease("ours"), lease("theirs")],
        };
        Division { fleet, is_standby, seen: Some(Arc::clone(seen)) }
    }

    fn loan(owner: &str, division: &Division) -> Subject {
        let markets = (0..=u8::MAX).map(B256::repeat_byte);
        let market = markets.into_iter().find(|id| division.fleet.owner(id.as_slice()).unwrap().id == owner).unwrap();
        Subject::Loan { market, borrower: Address::ZERO }
    }

    #[test]
    fn a_loan_in_the_market_of_another_waits_one_block_and_again_when_it_was_healthy_meanwhile() {
        let seen = SeenSubjects::default();
        let division = division(false, &seen);
        let (ours, theirs) = (loan("ours", &division), loan("theirs", &division));
        let waits = |subject, block| division.skip_reason(subject, block).is_some();
        assert!(!waits(&ours, 7));
        assert!(waits(&theirs, 7) && waits(&theirs, 7) && !waits(&theirs, 8) && !waits(&theirs, 9));
        assert!(waits(&theirs, 20) && !waits(&theirs, 21));
        forget_old(&seen, 24);
        assert!(waits(&theirs, 22));
    }

    #[test]
    fn a_keeper_in_standby_acts_on_nothing() {
        let division = division(true, &SeenSubjects::default());
        let ours = loan("ours", &division);
        assert!(division.skip_reason(&ours, 7).is_some() && division.skip_reason(&ours, 8).is_some());
    }

    #[test]
    fn a_market_is_held_from_the_first_refusal_until_something_is_sent_or_none_is_refused_any_more() {
        let market = B256::repeat_byte(1);
        let mut held = HeldMarkets::default();
        let refused = Outcome::Dropped(DropReason::HeldByPeer);
        (7..=10).for_each(|block| held.on_outcome(market, &refused, block));
        held.on_outcome(market, &Outcome::Dropped(DropReason::Obsolete), 12);
        assert_eq!(held.at(12), [(market, 5)]);
        assert_eq!(held.at(16), []);
        held.on_outcome(market, &refused, 20);
        assert_eq!(held.at(20), [(market, 0)]);
        let fees = Fees { max_fee_per_gas: 1, max_priority_fee_per_gas: 1 };
        held.on_outcome(market, &Outcome::Sent { nonce: 0, hash: B256::ZERO, fees }, 21);
        assert_eq!(held.at(21), []);
    }
}
