//! Which endpoint to ask, and whose head to follow. One endpoint leads: only what it says can take blocks back, so that
//! two that differ for a moment do not have the book go to and fro. Anybody may announce what comes next.

use super::{
    head::Head,
    history::{History, Join},
};

/// What decides about an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// Its newest block.
    pub(super) head: Option<Head>,
    /// Whether it is connected.
    pub(super) is_there: bool,
    /// Whether it has not been demoted.
    pub(super) is_good: bool,
    /// Whether it did not answer the last time, so that its head is a memory.
    pub(super) is_silent: bool,
}

/// A head to follow, and from whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The endpoint's position.
    pub(super) node: usize,
    pub(super) head: Head,
    /// Whether blocks may be taken back for it.
    pub(super) may_undo: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// To try these heads in order.
    Follow(Vec<Candidate>),
    /// Every endpoint is below the newest applied block, on our chain, the leader at this head: it is behind, or blocks
    /// were taken back without others in their place.
    Below(Box<Candidate>),
    /// Nothing: there is no news, or nobody to ask.
    Wait,
}

impl View {
    fn number(&self) -> Option<u64> {
        self.head.map(|head| head.header.number)
    }
}

/// The connected endpoints in the order in which to ask about a block of this height: the good before the demoted, those
/// that have it before those that are behind, and else as they were configured.
pub(super) fn order(views: &[View], number: u64) -> Vec<usize> {
    let mut order: Vec<_> = views.iter().enumerate().filter(|(_, view)| view.is_there).collect();
    order.sort_by_key(|(index, view)| (!view.is_good, view.number() < Some(number), *index));
    order.into_iter().map(|(index, _)| index).collect()
}

/// Whose head to follow from the newest applied block on.
pub(super) fn choose(views: &[View], history: &History, most_lag: u64) -> Choice {
    let tip = history.tip();
    let rank = |view: &View| match view.number() < Some(tip.number.saturating_sub(most_lag)) {
        false if view.is_good => 0,
        // Better whoever was bad and is here than whoever is good and far behind.
        false if !view.is_silent => 1,
        true if view.is_good => 2,
        _ => 3,
    };
    let connected = views.iter().enumerate().filter(|(_, view)| view.is_there);
    let mut ranked: Vec<_> = connected
        .filter_map(|(node, view)| Some((rank(view), node, view.head?)))
        // Whoever is further back than we can go has to catch up before it can be told from one of another branch.
        .filter(|(_, _, head)| head.header.number >= history.oldest().number)
        .collect();
    ranked.sort_by_key(|(rank, node, _)| (*rank, *node));
    let Some((best, leader, newest)) = ranked.first().copied() else { return Choice::Wait };
    ranked.retain(|(rank, ..)| *rank == best);

    let mut candidates = Vec::new();
    for (_, node, head) in ranked {
        let leads = node == leader;
        let extends = head.header.number > tip.number;
        // A leader that has stopped on a branch of its own is overruled by a branch that is longer by more than a lag.
        let may_undo = leads || head.header.number > newest.header.number.saturating_add(most_lag);
        let is_known = history.join(&head.header) == Join::Known;
        if !is_known && (extends || leads) {
            candidates.push(Candidate { node, head, may_undo });
        }
    }
    let follows = |candidate: &Candidate| history.join(&candidate.head.header) == Join::Child(tip);
    candidates.sort_by_key(|candidate| !follows(candidate));
    if !candidates.is_empty() {
        return Choice::Follow(candidates);
    }
    let says_more = |view: &View| view.is_there && !view.is_silent && view.number() >= Some(tip.number);
    if newest.header.number < tip.number && !views.iter().any(says_more) {
        return Choice::Below(Box::new(Candidate { node: leader, head: newest, may_undo: true }));
    }
    Choice::Wait
}

#[cfg(test)]
mod tests {
    use alloy::{
        eips::BlockNumHash,
        primitives::{B256, Bloom},
    };

    use super::*;
    use crate::chain::Header;

    const MOST_LAG: u64 = 3;

    fn hash(number: u64, fork: u8) -> B256 {
        let mut hash = B256::left_padding_from(&number.to_be_bytes());
        hash.0[0] = fork;
        hash
    }

    /// A head of a fork that left the chain of fork 0 after block 95.
    fn head(number: u64, fork: u8) -> Head {
        let parent_fork = if number <= 96 { 0 } else { fork };
        let header = Header {
            number,
            hash: hash(number, fork),
            parent_hash: hash(number - 1, parent_fork),
            timestamp: 0,
            base_fee: 0,
            gas_limit: 0,
            gas_used: 0,
        };
        Head { header, bloom: Bloom::ZERO, receipts_root: None }
    }

    fn at(number: u64, fork: u8) -> View {
        View { head: Some(head(number, fork)), is_there: true, is_good: true, is_silent: false }
    }

    fn demoted(view: View) -> View {
        View { is_good: false, ..view }
    }

    /// Applied up to block 100 of fork 0.
    fn chosen(views: &[View]) -> Vec<(usize, u64, bool)> {
        let mut history = History::starting_at(BlockNumHash { number: 60, hash: hash(60, 0) });
        (61..=100).for_each(|number| history.push(BlockNumHash { number, hash: hash(number, 0) }));
        match choose(views, &history, MOST_LAG) {
            Choice::Follow(heads) => heads.iter().map(|to| (to.node, to.head.header.number, to.may_undo)).collect(),
            Choice::Below(leader) => vec![(leader.node, 0, true)],
            Choice::Wait => Vec::new(),
        }
    }

    #[test]
    fn the_good_are_asked_first_and_of_them_those_that_have_the_block() {
        let away = View { is_there: false, ..at(100, 0) };
        let views = [demoted(at(100, 0)), at(90, 0), at(100, 0), away, at(101, 0)];
        assert_eq!(order(&views, 100), [2, 4, 1, 0]);
    }

    #[test]
    fn whoever_announces_the_next_block_first_is_followed() {
        assert_eq!(chosen(&[at(100, 0), at(101, 0)]), [(1, 101, false)]);
        assert_eq!(chosen(&[at(103, 0), at(101, 0)]), [(1, 101, false), (0, 103, true)]);
        assert_eq!(chosen(&[at(100, 0), at(100, 0)]), []);
    }

    #[test]
    fn only_the_leader_takes_blocks_back() {
        assert_eq!(chosen(&[at(100, 1), at(100, 0)]), [(0, 100, true)]);
        assert_eq!(chosen(&[at(98, 1), at(100, 0)]), [(0, 98, true)]);
        assert_eq!(chosen(&[at(100, 0), at(99, 1)]), []);
        assert_eq!(chosen(&[at(100, 0), at(102, 1)]), [(1, 102, false)]);
    }

    #[test]
    fn a_leader_that_stopped_on_a_branch_of_its_own_is_overruled() {
        assert_eq!(chosen(&[at(100, 0), at(104, 1)]), [(1, 104, true)]);
    }

    #[test]
    fn who_is_demoted_or_far_behind_does_not_lead() {
        assert_eq!(chosen(&[demoted(at(100, 1)), at(100, 0)]), []);
        assert_eq!(chosen(&[demoted(at(101, 0))]), [(0, 101, true)], "there is nobody else");
        assert_eq!(chosen(&[at(96, 1), at(100, 0)]), [], "a branch far behind");
    }

    #[test]
    fn being_below_the_newest_block_is_only_said_of_all() {
        assert_eq!(chosen(&[at(95, 0), at(94, 0)]), [(0, 0, true)]);
        assert_eq!(chosen(&[at(95, 0), at(100, 0)]), []);
        assert_eq!(chosen(&[]), []);
    }

    #[test]
    fn who_was_bad_and_is_here_is_better_than_who_is_good_and_far_behind() {
        assert_eq!(chosen(&[at(90, 0), demoted(at(101, 0))]), [(1, 101, true)]);
        assert_eq!(chosen(&[at(90, 0), demoted(at(100, 0))]), []);
        let silent = View { is_silent: true, ..demoted(at(100, 0)) };
        assert_eq!(chosen(&[at(90, 0), silent]), [(0, 0, true)], "what is only remembered is no witness");
    }

    #[test]
    fn who_is_further_back_than_we_can_go_decides_nothing() {
        assert_eq!(chosen(&[at(59, 0)]), []);
        assert_eq!(chosen(&[at(59, 0), at(101, 0)]), [(1, 101, true)]);
    }
}
