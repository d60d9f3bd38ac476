//! The keepers of one operator that share a database: who lives, who holds which lease, and whose a market is.

use std::collections::BTreeMap;

use alloy::primitives::{Address, keccak256};
use serde::Serialize;

/// Number of blocks that a member may be behind another, before it counts as cut off from the chain.
const MAX_LAG: u64 = 5;

/// Who shares the database, as of the last heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FleetStatus {
    /// Host, port and name of the database; empty where keepers share none.
    pub server: String,
    /// Whether the database answered the last heartbeat. Nothing is sent while it does not.
    pub is_reachable: bool,
    /// Keepers that were seen within a day.
    pub members: Vec<Member>,
    /// Leases on signers, also those that have expired.
    pub leases: Vec<LeaseStatus>,
}

/// A keeper that shares the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Id, new with each start.
    pub id: String,
    /// Name in its configuration.
    pub name: String,
    /// Number of the newest block that it has applied.
    pub head: u64,
    /// Seconds since its last heartbeat, by the database's clock.
    pub seen_secs_ago: u64,
    /// Whether its last heartbeat is no longer ago than the term of a lease.
    pub is_live: bool,
    /// Whether it is the keeper that says so.
    pub is_self: bool,
}

/// A lease on a signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseStatus {
    /// Account that signs.
    pub signer: Address,
    /// Id of the member that holds it, or held it last.
    pub holder: String,
    /// Number of the lease, higher than that of every lease before it.
    pub fence: i64,
    /// Time until it expires unless it is renewed, in milliseconds by the database's clock; negative once it has.
    pub expires_in_ms: i64,
}

/// What is wrong with the keepers that share a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetProblem {
    /// The database does not answer.
    #[error("the database that keepers share does not answer: nothing is sent until it does")]
    Unreachable,
    /// A keeper neither lives nor was shut down.
    #[error("the keeper {name} has not been heard of for {secs} s")]
    MemberGone {
        /// Name of the keeper.
        name: String,
        /// Seconds since its last heartbeat.
        secs: u64,
    },
    /// A signer's lease has expired, and no keeper has taken it.
    #[error("no keeper has the lease on {signer}: nothing is sent for it")]
    NobodySigns {
        /// Account that signs.
        signer: Address,
    },
}

impl FleetStatus {
    /// Lists what is wrong, as far as it concerns a keeper with these signers. What the database said before it stopped to
    /// answer is not repeated.
    #[must_use]
    pub fn problems(&self, signers: &[Address]) -> Vec<FleetProblem> {
        if !self.is_reachable {
            return vec![FleetProblem::Unreachable];
        }
        let gone = self.gone().into_iter().map(|(name, secs)| FleetProblem::MemberGone { name: name.to_owned(), secs });
        let is_free = |lease: &&LeaseStatus| lease.expires_in_ms <= 0 && signers.contains(&lease.signer);
        let unheld = self.leases.iter().filter(is_free).map(|lease| FleetProblem::NobodySigns { signer: lease.signer });
        gone.chain(unheld).collect()
    }

    /// Returns the names of keepers that neither live nor were shut down, each with the seconds since its last heartbeat. One
    /// that was started again under its name is not among them.
    #[must_use]
    pub fn gone(&self) -> BTreeMap<&str, u64> {
        let mut newest = BTreeMap::<&str, &Member>::new();
        for member in &self.members {
            let known = newest.entry(&member.name).or_insert(member);
            if member.seen_secs_ago < known.seen_secs_ago {
                *known = member;
            }
        }
        newest.retain(|_, member| !member.is_live);
        newest.into_iter().map(|(name, member)| (name, member.seen_secs_ago)).collect()
    }

    /// Returns the member that acts first for a key, such as a market's id: the same for every member that sees the same
    /// others. `None` while no member that lives, follows the chain and holds a lease is known.
    #[must_use]
    pub fn owner(&self, key: &[u8]) -> Option<&Member> {
        let weight = |member: &&Member| keccak256([member.id.as_bytes(), key].concat());
        self.members.iter().filter(|member| self.is_active(member)).max_by_key(weight)
    }

    /// Whether this keeper is too far behind another member, so that it is cut off from the chain.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.members.iter().find(|member| member.is_self).is_some_and(|member| self.lags(member))
    }

    fn is_active(&self, member: &Member) -> bool {
        let holds = |lease: &LeaseStatus| lease.holder == member.id && lease.expires_in_ms > 0;
        member.is_live && self.leases.iter().any(holds) && !self.lags(member)
    }

    fn lags(&self, member: &Member) -> bool {
        let newest = self.members.iter().filter(|other| other.is_live).map(|other| other.head).max().unwrap_or(0);
        member.head.saturating_add(MAX_LAG) < newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(members: u8) -> FleetStatus {
        let member = |number: u8| Member {
            id: format!("member {number}"),
            name: format!("keeper {number}"),
            head: 100,
            seen_secs_ago: 0,
            is_live: true,
            is_self: number == 0,
        };
        let lease = |number: u8| LeaseStatus {
            signer: Address::repeat_byte(number),
            holder: format!("member {number}"),
            fence: i64::from(number) + 1,
            expires_in_ms: 1,
        };
        FleetStatus {
            server: "db".to_owned(),
            is_reachable: true,
            members: (0..members).map(member).collect(),
            leases: (0..members).map(lease).collect(),
        }
    }

    fn owners(fleet: &FleetStatus) -> BTreeMap<u16, String> {
        (0..1_000u16).map(|key| (key, fleet.owner(&key.to_be_bytes()).unwrap().id.clone())).collect()
    }

    #[test]
    fn ten_members_share_markets_evenly_and_the_markets_of_one_that_dies_alone_change_hands() {
        let mut fleet = fleet(10);
        let before = owners(&fleet);
        let of = |owners: &BTreeMap<u16, String>, id: &str| owners.values().filter(|owner| *owner == id).count();
        for member in &fleet.members {
            let share = of(&before, &member.id);
            assert!((60..=140).contains(&share), "{} has {share}", member.id);
        }
        fleet.members[3].is_live = false;
        let after = owners(&fleet);
        for (key, owner) in &before {
            assert_ne!(after[key], "member 3");
            assert!(after[key] == *owner || owner == "member 3", "key {key} moved from {owner} to {}", after[key]);
        }
    }

    #[test]
    fn a_member_without_a_lease_or_behind_the_chain_owns_nothing() {
        let mut fleet = fleet(2);
        fleet.leases[1].expires_in_ms = -1;
        assert!(owners(&fleet).values().all(|owner| owner == "member 0"));
        fleet.members[0].head = 94;
        assert!(fleet.is_cut_off() && fleet.owner(b"any").is_none());
        fleet.members[0].head = 95;
        assert!(!fleet.is_cut_off());
    }

    #[test]
    fn a_member_is_gone_until_it_is_started_again_and_a_signer_is_nobodys_while_its_lease_is_free() {
        let mut fleet = fleet(2);
        let own = [Address::repeat_byte(0)];
        assert_eq!(fleet.problems(&own), []);
        (fleet.members[1].is_live, fleet.members[1].seen_secs_ago) = (false, 40);
        assert_eq!(fleet.problems(&own), [FleetProblem::MemberGone { name: "keeper 1".to_owned(), secs: 40 }]);
        fleet.members.push(Member {
            id: "member 2".to_owned(),
            name: "keeper 1".to_owned(),
            ..fleet.members[0].clone()
        });
        assert_eq!(fleet.problems(&own), []);
        (fleet.leases[0].expires_in_ms, fleet.leases[1].expires_in_ms) = (0, 0);
        assert_eq!(fleet.problems(&own), [FleetProblem::NobodySigns { signer: own[0] }]);
        fleet.is_reachable = false;
        assert_eq!(fleet.problems(&own), [FleetProblem::Unreachable]);
    }
}
