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
    let leading = order(views, tip.number.saturating_sub(most_lag));
    let is_good = |index: &usize| views.get(*index).is_some_and(|view| view.is_good);
    let any_good = leading.iter().any(is_good);
    let heads: Vec<_> = leading
        .into_iter()
        .filter(|index| !any_good || is_good(index))
        .filter_map(|node| Some((node, views.get(node)?.head?)))
        // Whoever is further back than we can go has to catch up before it can be told from one of another branch.
        .filter(|(_, head)| head.header.number >= history.oldest().number)
        .collect();
    let Some((leader, newest)) = heads.first().copied() else { return Choice::Wait };

    let mut candidates = Vec::new();
    for &(node, head) in &heads {
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
    if heads.iter().all(|(_, head)| head.header.number < tip.number) {
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
        View { head: Some(head(number, fork)), is_there: true, is_good: true }
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
    fn who_is_further_back_than_we_can_go_decides_nothing() {
        assert_eq!(chosen(&[at(59, 0)]), []);
        assert_eq!(chosen(&[at(59, 0), at(101, 0)]), [(1, 101, true)]);
    }
}
