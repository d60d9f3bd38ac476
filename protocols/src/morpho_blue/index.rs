//! Positions of one market in the order of collateral to debt, so that those nearest to liquidation are found without looking
//! at the others.
//!
//! Health follows the ratio of collateral to debt shares but for roundings, which weigh the more the smaller the debt is. So
//! positions are put in classes by the magnitude of their debt shares, and in each class a walk from the lowest ratio ends
//! where the roundings cannot bring a later position below the bound any more.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use alloy::primitives::{Address, U256};

use super::math::{Position, Valuation};

/// A position with debt. The order is that of collateral for each debt share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    position: Position,
    account: Address,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        let product = |a: &Self, b: &Self| U256::from(a.position.collateral) * U256::from(b.position.borrow_shares);
        let key = |entry: &Self| (entry.position.borrow_shares, entry.account);
        product(self, other).cmp(&product(other, self)).then_with(|| key(self).cmp(&key(other)))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The positions with debt of one market.
#[derive(Debug, Clone, Default)]
pub(super) struct HealthIndex {
    /// Entries by the binary logarithm of their debt shares, rounded down.
    classes: BTreeMap<u32, BTreeSet<Entry>>,
    len: usize,
    /// Sum of the debt shares.
    shares: u128,
}

impl HealthIndex {
    /// Returns the number of positions.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the sum of the debt shares.
    pub(super) const fn shares(&self) -> u128 {
        self.shares
    }

    /// Puts a position in the place of the account's former one. One without debt is left out.
    pub(super) fn replace(&mut self, account: Address, before: Position, after: Position) {
        if let Some(class) = before.borrow_shares.checked_ilog2()
            && let Some(entries) = self.classes.get_mut(&class)
            && entries.remove(&Entry { position: before, account })
        {
            self.len -= 1;
            self.shares = self.shares.saturating_sub(before.borrow_shares);
            if entries.is_empty() {
                self.classes.remove(&class);
            }
        }
        if let Some(class) = after.borrow_shares.checked_ilog2()
            && self.classes.entry(class).or_default().insert(Entry { position: after, account })
        {
            self.len += 1;
            self.shares = self.shares.saturating_add(after.borrow_shares);
        }
    }

    /// Hands every position with a health factor × 10¹⁸ below `bound` to `visit`, with its health, and perhaps some others.
    /// What `visit` returns is the bound from then on; it must not grow. Positions whose health cannot be computed, because
    /// the contract's arithmetic would overflow, are left out, and so are those of classes with fewer debt shares than
    /// `least_shares` only, however many there are.
    pub(super) fn visit_below(
        &self,
        valuation: &Valuation,
        least_shares: u128,
        mut bound: U256,
        mut visit: impl FnMut(Address, U256) -> U256,
    ) {
        let first_class = least_shares.checked_ilog2().unwrap_or(0);
        for (class, entries) in self.classes.range(first_class..) {
            let least_shares = 1 << class;
            for entry in entries {
                if valuation.all_reach(bound, entry.position, least_shares) {
                    break;
                }
                if let Some(health) = valuation.health(entry.position) {
                    bound = visit(entry.account, health);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::morpho_blue::math::{Totals, WAD};

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
            let shares = same.iter().map(|position| position.borrow_shares).sum::<u128>();
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
