//! Positions of one market in the order of collateral to debt, each measured by its line, so that those nearest to liquidation
//! are found without looking at the others.
//!
//! Health follows the ratio of collateral to debt shares but for roundings, which weigh the more the smaller the debt is. So
//! positions are put in classes by the magnitude of their debt shares, and in each class a walk from the lowest ratio ends
//! where the roundings cannot bring a later position below the bound any more.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use alloy::primitives::{Address, U256, Uint};

use super::math::{Position, Valuation};

/// Whose a position of an index is.
pub(super) trait Holder: Copy + Ord {
    /// Returns the LTV × 10¹⁸ from which on this position is liquidated; `None` where all of the index have the valuation's.
    fn line(&self) -> Option<u64>;
}

impl Holder for Address {
    fn line(&self) -> Option<u64> {
        None
    }
}

/// A position with debt. The order is that of collateral times the line for each debt share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<H> {
    position: Position,
    holder: H,
}

impl<H: Holder> Entry<H> {
    fn cmp_ratio(&self, other: &Self) -> Ordering {
        let product = |a: &Self, b: &Self| U256::from(a.position.collateral) * U256::from(b.position.borrow_shares);
        let (one, another) = (product(self, other), product(other, self));
        match (self.holder.line(), other.holder.line()) {
            (Some(line), Some(others)) if line != others => {
                let weighted = |product, line| Weighted::from(product) * Weighted::from(line);
                weighted(one, line).cmp(&weighted(another, others))
            }
            _ => one.cmp(&another),
        }
    }
}

impl<H: Holder> Ord for Entry<H> {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |entry: &Self| (entry.position.borrow_shares, entry.holder);
        self.cmp_ratio(other).then_with(|| key(self).cmp(&key(other)))
    }
}

impl<H: Holder> PartialOrd for Entry<H> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An integer for products of two amounts and a line.
type Weighted = Uint<320, 5>;

/// The positions with debt of one market.
#[derive(Debug, Clone)]
pub(super) struct HealthIndex<H = Address> {
    /// Entries by the binary logarithm of their debt shares, rounded down.
    classes: BTreeMap<u32, BTreeSet<Entry<H>>>,
    len: usize,
    /// Sum of the debt shares.
    shares: U256,
}

impl<H> Default for HealthIndex<H> {
    fn default() -> Self {
        Self { classes: BTreeMap::new(), len: 0, shares: U256::ZERO }
    }
}

impl<H: Holder> HealthIndex<H> {
    /// Returns the number of positions.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the sum of the debt shares.
    pub(super) const fn shares(&self) -> U256 {
        self.shares
    }

    /// Returns all positions.
    #[cfg(test)]
    pub(super) fn positions(&self) -> impl Iterator<Item = (H, Position)> {
        self.classes.values().flatten().map(|entry| (entry.holder, entry.position))
    }

    /// Puts a position in the place of the holder's former one. One without debt is left out.
    pub(super) fn replace(&mut self, holder: H, before: Position, after: Position) {
        if let Some(class) = before.borrow_shares.checked_ilog2()
            && let Some(entries) = self.classes.get_mut(&class)
            && entries.remove(&Entry { position: before, holder })
        {
            self.len -= 1;
            self.shares = self.shares.saturating_sub(U256::from(before.borrow_shares));
            if entries.is_empty() {
                self.classes.remove(&class);
            }
        }
        if let Some(class) = after.borrow_shares.checked_ilog2()
            && self.classes.entry(class).or_default().insert(Entry { position: after, holder })
        {
            self.len += 1;
            self.shares = self.shares.saturating_add(U256::from(after.borrow_shares));
        }
    }

    /// Hands every position with a health factor × 10¹⁸ below `bound` to `visit`, with its health, and perhaps some others.
    /// What `visit` returns is the bound from then on; it must not grow. Positions whose health cannot be computed, because
    /// the contract's arithmetic would overflow, are left out, and so are those of classes with fewer debt shares than
    /// `least_shares` only, however many there are. Health is by the holder's line where it has one.
    pub(super) fn visit_below(
        &self,
        valuation: &Valuation,
        least_shares: u128,
        mut bound: U256,
        mut visit: impl FnMut(H, U256) -> U256,
    ) {
        let first_class = least_shares.checked_ilog2().unwrap_or(0);
        for (class, entries) in self.classes.range(first_class..) {
            let least_shares = 1 << class;
            for entry in entries {
                #[cfg(test)]
                looks::count();
                let lltv = entry.holder.line().map_or(valuation.lltv, U256::from);
                let valuation = Valuation { lltv, ..*valuation };
                if valuation.all_reach(bound, entry.position, least_shares) {
                    break;
                }
                if let Some(health) = valuation.health(entry.position) {
                    bound = visit(entry.holder, health);
                }
            }
        }
    }
}

/// How often a test's thread has looked at an entry of an index, a market or a contract.
#[cfg(test)]
pub(super) mod looks {
    use std::cell::Cell;

    thread_local!(static LOOKS: Cell<usize> = const { Cell::new(0) });

    pub(in super::super) fn count() {
        LOOKS.set(LOOKS.get() + 1);
    }

    pub(in super::super) fn take() -> usize {
        LOOKS.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::morpho_blue::math::{Totals, WAD};

    /// An account with a line of its own.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Measured {
        line: u64,
        account: Address,
    }

    impl Holder for Measured {
        fn line(&self) -> Option<u64> {
            Some(self.line)
        }
    }

    fn account(index: usize) -> Address {
        Address::left_padding_from(&index.to_be_bytes())
    }

    fn indexed(positions: &[Position]) -> HealthIndex {
        let mut index = HealthIndex::default();
        for (at, position) in positions.iter().enumerate() {
            index.replace(account(at), Position::default(), *position);
        }
        index
    }

    /// Returns what a search finds, the least healthy first, and the number of positions that it looked at.
    fn search(index: &HealthIndex, valuation: &Valuation, bound: U256) -> (Vec<(U256, Address)>, usize) {
        let (mut found, mut visits) = (Vec::new(), 0);
        index.visit_below(valuation, 0, bound, |account, health| {
            visits += 1;
            if health < bound {
                found.push((health, account));
            }
            bound
        });
        found.sort_unstable();
        (found, visits)
    }

    /// An amount of any magnitude.
    fn amount(most_bits: u32) -> impl Strategy<Value = u128> {
        (0..=most_bits, any::<u128>()).prop_map(|(bits, random)| random.checked_shr(128 - bits).unwrap_or_default())
    }

    fn positions() -> impl Strategy<Value = Vec<Position>> {
        let position =
            (amount(110), amount(110)).prop_map(|(borrow_shares, collateral)| Position { borrow_shares, collateral });
        prop::collection::vec(position, 0..40)
    }

    fn valuation() -> impl Strategy<Value = Valuation> {
        (amount(100), amount(110), amount(128), 0..1_000_u64).prop_map(|(borrow_assets, borrow_shares, price, lltv)| {
            let totals = Totals { borrow_assets, borrow_shares, ..Totals::default() };
            Valuation { totals, price: U256::from(price), lltv: WAD * U256::from(lltv) / U256::from(1_000) }
        })
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_full_scan_finds(
            positions in positions(),
            valuation in valuation(),
            near in 0..40_usize,
            thousandths in 900..1_500_u64,
        ) {
            // A bound that some position is near to, where roundings decide.
            let own = positions.get(near).and_then(|position| valuation.health(*position));
            let bounds = [Some(WAD * U256::from(thousandths) / U256::from(1_000)), own, own.map(|own| own + U256::ONE)];
            for bound in bounds.into_iter().flatten() {
                let with_debt = positions.iter().enumerate().filter(|(_, position)| position.borrow_shares > 0);
                let health = |(at, position): (usize, &Position)| Some((valuation.health(*position)?, account(at)));
                let mut scanned: Vec<_> = with_debt.filter_map(health).filter(|(health, _)| *health < bound).collect();
                scanned.sort_unstable();
                prop_assert_eq!(search(&indexed(&positions), &valuation, bound).0, scanned);
            }
        }

        #[test]
        fn a_search_by_several_lines_finds_what_a_full_scan_finds(
            positions in positions(),
            lines in prop::collection::vec(prop::sample::select(vec![0, 1, 333_333_333_333_333_333, 500_000_000_000_000_000, 999_999_999_999_999_999]), 40),
            valuation in valuation(),
            near in 0..40_usize,
        ) {
            let measured: Vec<_> = (0..).zip(positions.into_iter().zip(lines)).collect();
            let health = |(_, (position, line)): &(usize, (Position, u64))| {
                Valuation { lltv: U256::from(*line), ..valuation }.health(*position)
            };
            let mut index = HealthIndex::default();
            for (at, (position, line)) in &measured {
                index.replace(Measured { line: *line, account: account(*at) }, Position::default(), *position);
            }
            let own = measured.get(near).and_then(health);
            for bound in [Some(WAD), own, own.map(|own| own + U256::ONE)].into_iter().flatten() {
                let mut found = Vec::new();
                index.visit_below(&valuation, 0, bound, |holder, health| {
                    found.extend((health < bound).then_some((health, holder.account)));
                    bound
                });
                found.sort_unstable();
                let with_debt = measured.iter().filter(|(_, (position, _))| position.borrow_shares > 0);
                let mut scanned: Vec<_> = with_debt.filter_map(|one| Some((health(one)?, account(one.0)))).collect();
                scanned.retain(|(health, _)| *health < bound);
                scanned.sort_unstable();
                prop_assert_eq!(found, scanned);
            }
        }

        #[test]
        fn positions_too_small_for_a_bonus_are_left_out_and_no_others(
            positions in positions(),
            valuation in valuation(),
            least in amount(100),
        ) {
            let least = U256::from(least);
            let bonus = |position: &Position| valuation.liquidation(*position).map(|liquidation| liquidation.bonus);
            let is_wanted = |position: &&Position| {
                valuation.health(**position).is_some_and(|health| health < WAD)
                    && bonus(position).is_some_and(|bonus| bonus > U256::ZERO && bonus >= least)
            };
            let mut found = 0;
            let least_shares = valuation.least_shares(least);
            indexed(&positions).visit_below(&valuation, least_shares, WAD, |account, health| {
                let index = positions.iter().enumerate().find(|(at, _)| self::account(*at) == account);
                found += usize::from(health < WAD && index.is_some_and(|(_, position)| is_wanted(&position)));
                WAD
            });
            let with_debt = positions.iter().filter(|position| position.borrow_shares > 0);
            prop_assert_eq!(found, with_debt.filter(is_wanted).count());
        }

        #[test]
        fn a_replaced_position_leaves_nothing_behind(before in positions(), after in positions()) {
            let mut index = indexed(&before);
            for (at, position) in before.iter().enumerate() {
                index.replace(account(at), *position, after.get(at).copied().unwrap_or_default());
            }
            let same: Vec<_> = after.iter().copied().take(before.len()).collect();
            let fresh = indexed(&same);
            prop_assert_eq!(&index.classes, &fresh.classes);
            let shares = same.iter().map(|position| U256::from(position.borrow_shares)).sum::<U256>();
            prop_assert_eq!(index.shares(), shares);
            prop_assert_eq!(index.len(), same.iter().filter(|position| position.borrow_shares > 0).count());
        }
    }

    #[test]
    fn a_search_looks_at_few_more_positions_than_it_finds() {
        // Ten thousand loans of 1,000 units and more, with a health from 1.0 to 2.0.
        let loan = |at: u64| {
            let debt = 1_000_000_000 + u128::from(at) * 7_919;
            let collateral = debt / 86 * (100 + u128::from(at % 10_000) / 100);
            Position { borrow_shares: debt * 1_000_000, collateral }
        };
        let positions: Vec<_> = (0..10_000).map(loan).collect();
        let totals = Totals { borrow_assets: 1 << 50, borrow_shares: (1 << 50) * 1_000_000, ..Totals::default() };
        let price = U256::from(10).pow(U256::from(36));
        let valuation = Valuation { totals, price, lltv: WAD * U256::from(86) / U256::from(100) };
        let (found, visits) = search(&indexed(&positions), &valuation, WAD * U256::from(105) / U256::from(100));
        assert!(found.len() > 400 && found.len() < 700, "{} found", found.len());
        assert!(visits <= found.len() + 10, "{visits} looked at for {}", found.len());
    }
}
