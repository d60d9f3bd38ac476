//! The keepers of one operator that share a database: who lives, who holds which lease, and whose a market is.

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

impl FleetStatus {
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
    use std::collections::BTreeMap;

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
}
