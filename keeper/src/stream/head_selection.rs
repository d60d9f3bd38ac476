//! Head selection: whose head to follow. One endpoint leads: only its head can revert blocks, so that two endpoints
//! that differ for a moment do not make the book alternate between them. Any endpoint may announce the next block.

use super::{
    block_logs::RpcHeader,
    failover::EndpointView,
    reorg::{AppliedBlocks, Relation},
};

/// A head that may be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadCandidate {
    /// Index of the endpoint that has the head.
    pub(super) endpoint: usize,
    pub(super) head: RpcHeader,
    /// Whether applied blocks may be reverted to reach the head.
    pub(super) may_revert: bool,
}

/// What to do with the endpoints' heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeadSelection {
    /// Try to follow these heads, in order.
    Follow(Vec<HeadCandidate>),
    /// Every endpoint is below the newest applied block and on our chain; this is the leader's head. Either all are
    /// behind, or the chain was rolled back with no other blocks in place of the old ones.
    AllBehind(Box<HeadCandidate>),
    /// Wait: no head is new, or no endpoint is connected.
    Wait,
}

/// Selects the heads to follow from the applied blocks on.
pub(super) fn select(views: &[EndpointView], applied: &AppliedBlocks, max_lag: u64) -> HeadSelection {
    let tip = applied.tip();
    let rank = |view: &EndpointView| match view.number() < Some(tip.number.saturating_sub(max_lag)) {
        false if view.is_healthy => 0,
        // A demoted endpoint that is up to date is better than a healthy one that is far behind.
        false if !view.last_request_failed => 1,
        true if view.is_healthy => 2,
        _ => 3,
    };
    let connected = views.iter().enumerate().filter(|(_, view)| view.is_connected);
    let mut ranked: Vec<_> = connected
        .filter_map(|(endpoint, view)| Some((rank(view), endpoint, view.head?)))
        // An endpoint below the oldest block that can be reverted to must catch up before it shows whether its chain is
        // ours.
        .filter(|(_, _, head)| head.header.number >= applied.oldest().number)
        .collect();
    ranked.sort_by_key(|(rank, endpoint, _)| (*rank, *endpoint));
    let Some((best, leader, newest)) = ranked.first().copied() else { return HeadSelection::Wait };
    ranked.retain(|(rank, ..)| *rank == best);

    let mut candidates = Vec::new();
    for (_, endpoint, head) in ranked {
        let leads = endpoint == leader;
        let extends = head.header.number > tip.number;
        // A leader that has stopped on a branch of its own is overruled by a branch that is longer by more than the
        // lag.
        let may_revert = leads || head.header.number > newest.header.number.saturating_add(max_lag);
        let is_applied = applied.relation(&head.header) == Relation::Applied;
        if !is_applied && (extends || leads) {
            candidates.push(HeadCandidate { endpoint, head, may_revert });
        }
    }
    let is_next = |candidate: &HeadCandidate| applied.relation(&candidate.head.header) == Relation::ChildOf(tip);
    candidates.sort_by_key(|candidate| !is_next(candidate));
    if !candidates.is_empty() {
        return HeadSelection::Follow(candidates);
    }
    let has_tip =
        |view: &EndpointView| view.is_connected && !view.last_request_failed && view.number() >= Some(tip.number);
    if newest.header.number < tip.number && !views.iter().any(has_tip) {
        return HeadSelection::AllBehind(Box::new(HeadCandidate { endpoint: leader, head: newest, may_revert: true }));
    }
    HeadSelection::Wait
}

#[cfg(test)]
mod tests {
    use alloy::eips::BlockNumHash;

    use super::*;
    use crate::stream::failover::tests::{at, demoted, hash};

    const MAX_LAG: u64 = 3;

    /// Returns each selected head as endpoint, block number and whether it may revert blocks, with blocks up to 100 of
    /// fork 0 applied. The number is 0 where all endpoints are behind.
    fn selected(views: &[EndpointView]) -> Vec<(usize, u64, bool)> {
        let mut applied = AppliedBlocks::starting_at(BlockNumHash { number: 60, hash: hash(60, 0) });
        (61..=100).for_each(|number| applied.push(BlockNumHash { number, hash: hash(number, 0) }));
        match select(views, &applied, MAX_LAG) {
            HeadSelection::Follow(heads) => {
                heads.iter().map(|to| (to.endpoint, to.head.header.number, to.may_revert)).collect()
            }
            HeadSelection::AllBehind(leader) => vec![(leader.endpoint, 0, true)],
            HeadSelection::Wait => Vec::new(),
        }
    }

    #[test]
    fn the_first_endpoint_that_announces_the_next_block_is_followed() {
        assert_eq!(selected(&[at(100, 0), at(101, 0)]), [(1, 101, false)]);
        assert_eq!(selected(&[at(103, 0), at(101, 0)]), [(1, 101, false), (0, 103, true)]);
        assert_eq!(selected(&[at(100, 0), at(100, 0)]), []);
    }

    #[test]
    fn only_the_leaders_head_reverts_blocks() {
        assert_eq!(selected(&[at(100, 1), at(100, 0)]), [(0, 100, true)]);
        assert_eq!(selected(&[at(98, 1), at(100, 0)]), [(0, 98, true)]);
        assert_eq!(selected(&[at(100, 0), at(99, 1)]), []);
        assert_eq!(selected(&[at(100, 0), at(102, 1)]), [(1, 102, false)]);
    }

    #[test]
    fn a_leader_that_stopped_on_its_own_branch_is_overruled_by_a_longer_one() {
        assert_eq!(selected(&[at(100, 0), at(104, 1)]), [(1, 104, true)]);
    }

    #[test]
    fn an_endpoint_that_is_demoted_or_far_behind_does_not_lead() {
        assert_eq!(selected(&[demoted(at(100, 1)), at(100, 0)]), []);
        assert_eq!(selected(&[demoted(at(101, 0))]), [(0, 101, true)], "it is the only one");
        assert_eq!(selected(&[at(96, 1), at(100, 0)]), [], "its branch is far behind");
    }

    #[test]
    fn a_rollback_is_suspected_only_if_every_endpoint_is_behind() {
        assert_eq!(selected(&[at(95, 0), at(94, 0)]), [(0, 0, true)]);
        assert_eq!(selected(&[at(95, 0), at(100, 0)]), []);
        assert_eq!(selected(&[]), []);
    }

    #[test]
    fn a_demoted_endpoint_that_is_up_to_date_leads_before_a_healthy_one_far_behind() {
        assert_eq!(selected(&[at(90, 0), demoted(at(101, 0))]), [(1, 101, true)]);
        assert_eq!(selected(&[at(90, 0), demoted(at(100, 0))]), []);
        let failed = EndpointView { last_request_failed: true, ..demoted(at(100, 0)) };
        assert_eq!(selected(&[at(90, 0), failed]), [(0, 0, true)], "a head from before a failure proves nothing");
    }

    #[test]
    fn an_endpoint_below_the_oldest_revertible_block_is_ignored() {
        assert_eq!(selected(&[at(59, 0)]), []);
        assert_eq!(selected(&[at(59, 0), at(101, 0)]), [(1, 101, true)]);
    }
}
