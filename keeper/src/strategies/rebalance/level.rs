//! Levelling: how a vault's assets are spread so that a further unit would earn the same supply rate everywhere. Pure and
//! exact.
//!
//! A market's supply rate falls with what is supplied to it, so the spread that is sought fills all markets to one common
//! rate (water-filling). The level is lowered until something binds: there are no more assets, or a
//! group of markets is full. The markets of a full group stay as they are, and the level of the others is lowered further.
//! Where nothing binds but the total, the rates of all markets that are neither at their least nor at their most differ by
//! one unit of the rate at most.
//!
//! It is not income that is maximised: who supplies most of a market earns most by starving its borrowers. The sum of
//! what all positions earn is only compared before and after.

use alloy::primitives::U256;
use plimsoll_contracts::{RateCurve, market::BPS};

use crate::math::{
    interest::{borrow_rate, distance_from_target},
    types::Market,
    wide::{product, to_u128},
};

/// A market as a vault may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocatedMarket {
    /// The market's totals up to now, with the vault's own supply.
    pub totals: Market,
    /// The market's rate curve.
    pub curve: RateCurve,
    /// Assets of the vault in it.
    pub held: u128,
    /// Assets that the vault must leave in it: what the market has no liquidity for, or needs. At most what is held.
    pub least: u128,
    /// Assets that the vault may have in it; at least what is held.
    pub most: u128,
}

/// Markets that share a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their indices.
    pub members: Vec<usize>,
    /// Assets that the vault may have in all of them; at least what it has.
    pub most: u128,
}

/// What is to be levelled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allocations {
    /// The markets.
    pub markets: Vec<AllocatedMarket>,
    /// The bounds that several of them share.
    pub groups: Vec<Group>,
    /// Assets that are not supplied.
    pub idle: u128,
    /// Assets that are to stay idle.
    pub min_idle: u128,
}

impl AllocatedMarket {
    /// Returns a market as a vault may use it that has `held` there and may have `cap`. If it leaves the market, all that
    /// is liquid leaves, and nothing is added. Otherwise no withdrawal lifts the utilisation above the highest that is
    /// allowed.
    #[must_use]
    pub fn new(
        totals: Market,
        curve: RateCurve,
        held: u128,
        cap: u128,
        is_left: bool,
        max_utilisation_bps: u16,
    ) -> Self {
        let liquid = held.min(totals.supply_assets.saturating_sub(totals.borrow_assets));
        let stuck = held - liquid;
        let (least, most) = if is_left {
            (stuck, stuck)
        } else {
            let needed: u128 = product(totals.borrow_assets, BPS.into())
                .div_ceil(U256::from(max_utilisation_bps.max(1)))
                .saturating_to();
            let others = totals.supply_assets.saturating_sub(held);
            let least = stuck.max(needed.saturating_sub(others)).min(held);
            // No more than the core can store.
            let space = (u128::MAX >> 1).saturating_sub(totals.supply_assets);
            (least, cap.min(held.saturating_add(space)).max(held))
        };
        Self { totals, curve, held, least, most }
    }

    /// Returns the supply rate if the vault has `assets` in the market, 1e18-scaled per second: the twin of
    /// `BooksMath.supplyRateAfter`.
    #[must_use]
    pub fn rate_with(&self, assets: u128) -> u64 {
        let Market { supply_assets, borrow_assets, rate_at_target, fee_bps, .. } = self.totals;
        let supplied = supply_assets.saturating_sub(self.held).saturating_add(assets);
        if supplied == 0 {
            return 0;
        }
        let distance = distance_from_target(supplied, borrow_assets, self.curve.target_bps());
        let rate = borrow_rate(rate_at_target, distance, self.curve.steepness());
        let part = U256::from(rate) * U256::from(borrow_assets) / U256::from(supplied);
        (part * U256::from(BPS - u32::from(fee_bps)) / U256::from(BPS)).saturating_to()
    }

    /// Returns the largest part between the least and the most with which the rate is at least `rate`; the least where
    /// it is lower with every part.
    fn filled_to(&self, rate: u64) -> u128 {
        let (mut low, mut high) = (self.least, self.most);
        while low < high {
            let middle = high - (high - low) / 2;
            if self.rate_with(middle) >= rate {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// Returns what a part earns in a second, 1e18-scaled.
    fn income_of(&self, assets: u128) -> U256 {
        U256::from(assets) * U256::from(self.rate_with(assets))
    }
}

impl Allocations {
    /// Returns the assets of all markets and idle.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.markets.iter().fold(self.idle, |sum, market| sum.saturating_add(market.held))
    }

    /// Returns the part of each market that levels their rates.
    #[must_use]
    pub fn levelled(&self) -> Vec<u128> {
        let bounds = self.bounds();
        let mut parts: Vec<_> = self.markets.iter().map(|market| market.least).collect();
        if bounds.iter().any(|bound| room(bound, &parts).is_none()) {
            // Not even what must stay leaves enough idle.
            return parts;
        }
        let mut open: Vec<_> = (0..parts.len()).collect();
        while !open.is_empty() {
            let fits = |parts: &[u128]| bounds.iter().all(|bound| room(bound, parts).is_some());
            let at = |rate| self.filled(&parts, &open, rate);
            // Nothing is supplied for nothing.
            if fits(&at(1)) {
                return at(1);
            }
            let level = self.lowest_level(&open, |rate| fits(&at(rate)));
            let (above, below) = (at(level), at(level - 1));
            parts = above;
            for index in open.iter().copied() {
                let rest = bounds.iter().filter(|bound| bound.members.contains(&index));
                let rest = rest.filter_map(|bound| room(bound, &parts)).min().unwrap_or(0);
                parts[index] += rest.min(below[index] - parts[index]);
            }
            let full = bounds.iter().filter(|bound| room(bound, &parts) == Some(0));
            let full: Vec<_> = full.flat_map(|bound| bound.members.iter().copied()).collect();
            if full.is_empty() {
                break;
            }
            open.retain(|index| !full.contains(index));
        }
        parts
    }

    /// Returns what the vault earns in a second with these parts, 1e18-scaled.
    #[must_use]
    pub fn income(&self, parts: &[u128]) -> U256 {
        self.markets
            .iter()
            .zip(parts)
            .map(|(market, part)| market.income_of(*part))
            .fold(U256::ZERO, |sum, one| sum + one)
    }

    /// Returns what the vault has in each market.
    #[must_use]
    pub fn held(&self) -> Vec<u128> {
        self.markets.iter().map(|market| market.held).collect()
    }

    /// Returns by how much the highest rate of a market that can take more exceeds the lowest of what can be moved, idle
    /// assets included; 1e18-scaled per second.
    #[must_use]
    pub fn spread(&self) -> u64 {
        let rate = |market: &AllocatedMarket| market.rate_with(market.held);
        let best = self.markets.iter().filter(|market| market.held < market.most).map(rate).max().unwrap_or(0);
        let movable = self.markets.iter().filter(|market| market.held > market.least).map(rate);
        let worst = movable.chain((self.idle > self.min_idle).then_some(0)).min();
        best.saturating_sub(worst.unwrap_or(best))
    }

    /// All bounds on sums, the whole one included: what is not idle is in the markets.
    fn bounds(&self) -> Vec<Group> {
        let whole =
            Group { members: (0..self.markets.len()).collect(), most: self.total().saturating_sub(self.min_idle) };
        self.groups.iter().cloned().chain([whole]).collect()
    }

    /// Returns the parts with those of open markets filled to a rate.
    fn filled(&self, parts: &[u128], open: &[usize], rate: u64) -> Vec<u128> {
        let fill = |(index, part): (usize, &u128)| match self.markets.get(index) {
            Some(market) if open.contains(&index) => market.filled_to(rate),
            _ => *part,
        };
        parts.iter().enumerate().map(fill).collect()
    }

    /// Returns the lowest rate for which `fits` holds; it does for high ones, and not for 1.
    fn lowest_level(&self, open: &[usize], fits: impl Fn(u64) -> bool) -> u64 {
        let highest =
            open.iter().filter_map(|index| self.markets.get(*index)).map(|market| market.rate_with(market.least));
        let (mut low, mut high) = (1, highest.max().unwrap_or(0).saturating_add(1).max(2));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }
}

/// Returns what may still be added to the markets of a group; `None` if they have too much.
fn room(bound: &Group, parts: &[u128]) -> Option<u128> {
    let sum = bound
        .members
        .iter()
        .filter_map(|index| parts.get(*index))
        .fold(U256::ZERO, |sum, part| sum + U256::from(*part));
    U256::from(bound.most).checked_sub(sum).map(to_u128)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Units of an asset with 6 decimals.
    const UNIT: u128 = 1_000_000;
    /// 4 % a year.
    const RATE: u64 = 1_268_391_679;

    /// A market in which others have supplied, and the vault, with a utilisation in basis points.
    pub(in super::super) fn allocated(others: u128, held: u128, utilisation_bps: u128, rate: u64) -> AllocatedMarket {
        let supply_assets = others + held;
        let borrow_assets = supply_assets * utilisation_bps / u128::from(BPS);
        let totals = Market { supply_assets, borrow_assets, rate_at_target: rate, ..Market::default() };
        let curve = RateCurve::new(RATE, 9_000, 40_000, 500_000).unwrap();
        let liquid = supply_assets - borrow_assets;
        AllocatedMarket { totals, curve, held, least: held - held.min(liquid), most: u128::MAX >> 1 }
    }

    fn some_market() -> impl Strategy<Value = AllocatedMarket> {
        let amount = || (0..64_u32, 1..1_000_u128).prop_map(|(bits, units)| units << bits);
        (amount(), amount(), 0..=10_000_u128, 31_709_791..20_000_000_000_u64, any::<[u16; 2]>(), 0..3_u16).prop_map(
            |(others, held, utilisation, rate, [ceiling, cap], fee)| {
                let mut allocated = allocated(others, held, utilisation, rate);
                allocated.totals.fee_bps = fee * 1_000;
                allocated.least = allocated.least.max(held / 65_536 * u128::from(ceiling));
                allocated.most = held + held / 256 * u128::from(cap);
                allocated
            },
        )
    }

    pub(in super::super) fn some_allocations() -> impl Strategy<Value = Allocations> {
        (prop::collection::vec(some_market(), 1..7), 0..80_u32, any::<u16>(), any::<[u8; 4]>()).prop_map(
            |(markets, idle, floor, [first, second, spare, other])| {
                let members = |bits: u8| (0..markets.len()).filter(|index| bits >> index & 1 == 1).collect::<Vec<_>>();
                let group = |bits: u8, spare: u8| {
                    let members = members(bits);
                    let held: u128 = members.iter().map(|index| markets[*index].held).sum();
                    Group { members, most: held + held / 128 * u128::from(spare) }
                };
                let groups = vec![group(first, spare), group(second, other)];
                let idle = (1_u128 << idle) - 1;
                let min_idle = idle / 32_768 * u128::from(floor);
                Allocations { groups, idle, min_idle, markets }
            },
        )
    }

    fn bound_by_group(allocations: &Allocations, parts: &[u128], index: usize) -> bool {
        allocations.groups.iter().any(|group| group.members.contains(&index) && room(group, parts) == Some(0))
    }

    proptest! {
        #[test]
        fn no_part_exceeds_a_bound_and_nothing_is_created_or_lost(allocations in some_allocations()) {
            let parts = allocations.levelled();
            for (market, part) in allocations.markets.iter().zip(&parts) {
                prop_assert!((market.least..=market.most).contains(part));
            }
            for group in &allocations.groups {
                prop_assert!(room(group, &parts).is_some());
            }
            let supplied = parts.iter().try_fold(0_u128, |sum, part| sum.checked_add(*part)).unwrap();
            let total = allocations.total();
            prop_assert!(supplied <= total);
            let must_stay: u128 = allocations.markets.iter().map(|market| market.least).sum();
            prop_assert!(total - supplied >= allocations.min_idle.min(total - must_stay));
        }

        #[test]
        fn the_rates_are_level_or_a_bound_binds(allocations in some_allocations()) {
            let parts = allocations.levelled();
            let rates: Vec<_> = allocations.markets.iter().zip(&parts).map(|(market, part)| market.rate_with(*part)).collect();
            for (index, market) in allocations.markets.iter().enumerate() {
                // What could be taken from one market would earn more in no other that could take it.
                if parts[index] == market.least {
                    continue;
                }
                for (other, into) in allocations.markets.iter().enumerate() {
                    if parts[other] == into.most || bound_by_group(&allocations, &parts, other) {
                        continue;
                    }
                    prop_assert!(
                        into.rate_with(parts[other] + 1) <= rates[index] + 1,
                        "{index} {other} {rates:?} {parts:?}"
                    );
                }
            }
        }

        #[test]
        fn a_level_vault_stays_as_it_is(allocations in some_allocations()) {
            let parts = allocations.levelled();
            let mut level = allocations.clone();
            let supplied: u128 = parts.iter().sum();
            level.idle = allocations.total() - supplied;
            for (market, part) in level.markets.iter_mut().zip(&parts) {
                market.totals.supply_assets = market.totals.supply_assets - market.held + part;
                market.held = *part;
            }
            // Within the last unit of the rate parts may be exchanged, and nothing else moves.
            for ((market, part), again) in level.markets.iter().zip(&parts).zip(level.levelled()) {
                prop_assert!(market.rate_with(*part).abs_diff(market.rate_with(again)) <= 1, "{part} {again}");
            }
        }
    }

    #[test]
    fn the_part_of_a_market_that_pays_more_grows_until_both_pay_the_same() {
        let (calm, busy) = (allocated(UNIT, 1_000 * UNIT, 5_000, RATE), allocated(1_000 * UNIT, 0, 9_500, RATE));
        let allocations =
            Allocations { markets: vec![calm, busy], idle: 100 * UNIT, min_idle: 50 * UNIT, groups: Vec::new() };
        let parts = allocations.levelled();
        assert_eq!(parts[0] + parts[1], 1_050 * UNIT);
        let rates = [calm.rate_with(parts[0]), busy.rate_with(parts[1])];
        assert!(rates[0].abs_diff(rates[1]) <= 1 && parts[1] > 100 * UNIT, "{parts:?} {rates:?}");
        assert!(allocations.income(&parts) > allocations.income(&allocations.held()));
        assert!(allocations.spread() > 0);
    }

    #[test]
    fn a_full_group_does_not_keep_the_others_from_their_level() {
        let market = allocated(1_000 * UNIT, 0, 9_000, RATE);
        let groups = vec![Group { members: vec![0, 1], most: 10 * UNIT }];
        let allocations = Allocations { markets: vec![market; 4], groups, idle: 400 * UNIT, min_idle: 0 };
        let parts = allocations.levelled();
        assert_eq!((parts[0] + parts[1], parts[2] + parts[3]), (10 * UNIT, 390 * UNIT));
        assert!(parts[0].abs_diff(parts[1]) <= UNIT && parts[2].abs_diff(parts[3]) <= UNIT, "{parts:?}");
    }

    #[test]
    fn nothing_is_supplied_where_nobody_borrows() {
        let allocations =
            Allocations { markets: vec![allocated(UNIT, 0, 0, RATE)], idle: UNIT, ..Allocations::default() };
        assert_eq!(allocations.levelled(), [0]);
    }
}
