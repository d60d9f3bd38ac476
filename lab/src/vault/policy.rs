//! Ways of spreading a vault's assets.

use std::fmt;

use alloy::primitives::U256;
use plimsoll_contracts::{IVault::reallocateCall, market::BPS};
use plimsoll_keeper::strategies::rebalance::{
    Limits, VaultSnapshot,
    level::{AllocatedMarket, Allocations},
    plan_move, reallocation,
};
use serde::Serialize;

use super::chain::gas_cost;

/// The keeper's limits by default.
pub(super) const LIMITS: Limits = Limits {
    max_utilisation_bps: 9_200,
    min_idle_bps: 200,
    flee_utilisation_bps: 9_900,
    flee_distance_bps: 200,
    flee_debt_bps: 2_500,
};
/// The keeper's dead band, horizon and margin by default.
const DEAD_BAND_BPS: u16 = 20;
const HORIZON_SECS: u64 = 86_400;
const MARGIN: u128 = 1;
/// Gas of a move between four markets, as far as it is not known yet.
const EXPECTED_GAS: u64 = 400_000;
/// Difference of utilisations at which the usual bot for equal utilisation acts, in basis points.
const TRIGGER_BPS: u128 = 250;
/// Seconds in which a move must be mined.
const DEADLINE_SECS: u64 = 600;

/// A way of spreading a vault's assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// As they were at the beginning: the same amount in every market.
    Untouched,
    /// So that all markets have the same utilisation, whatever they pay.
    EqualUtilisation,
    /// As the keeper does: so that all markets pay the same.
    Rebalance,
    /// Equal utilisation, with as much idle as it takes for as much to be withdrawable as under [`Self::Rebalance`].
    EquallyLiquid,
}

impl Policy {
    /// Those that need to know of no other.
    pub const INDEPENDENT: [Self; 3] = [Self::Untouched, Self::EqualUtilisation, Self::Rebalance];
    /// All of them; each knows how much could be withdrawn under those before it.
    pub const ALL: [Self; 4] = [Self::Untouched, Self::EqualUtilisation, Self::Rebalance, Self::EquallyLiquid];

    /// Returns whether markets without a price are left.
    pub(super) fn leaves_flagged(self) -> bool {
        self == Self::Rebalance
    }

    /// Returns the move that is made at a time, if any.
    ///
    /// `liquid_bps` is the part that could be withdrawn under [`Self::Rebalance`], which [`Self::EquallyLiquid`] keeps to.
    pub(super) fn decide(self, snapshot: &VaultSnapshot, time: u64, liquid_bps: u128) -> Option<reallocateCall> {
        let allocations = &snapshot.allocations;
        match self {
            Self::Untouched => None,
            Self::EqualUtilisation => {
                let acts = utilisations_differ(allocations) || allocations.idle > 2 * allocations.min_idle;
                acts.then(|| to_parts(snapshot, &equal_utilisation(allocations, allocations.min_idle), time))
            }
            Self::EquallyLiquid => {
                let wanted = allocations.total() * liquid_bps / u128::from(BPS);
                let held: Vec<_> = allocations.markets.iter().map(|allocated| allocated.held).collect();
                let differs = liquid(allocations, &held).abs_diff(wanted) * u128::from(BPS);
                let acts = utilisations_differ(allocations) || differs > allocations.total() * TRIGGER_BPS;
                acts.then(|| to_parts(snapshot, &equally_liquid(allocations, wanted), time))
            }
            Self::Rebalance => {
                let planned = plan_move(snapshot, DEAD_BAND_BPS, HORIZON_SECS).ok()?;
                let pays = planned.gain >= gas_cost(EXPECTED_GAS) * (1 + MARGIN);
                pays.then(|| reallocation(snapshot, &planned.parts, time + DEADLINE_SECS, &LIMITS))
            }
        }
    }
}

/// Returns the call that brings a vault to these parts, without any bound.
pub(super) fn to_parts(snapshot: &VaultSnapshot, parts: &[u128], time: u64) -> reallocateCall {
    let mut call = reallocation(snapshot, parts, time + DEADLINE_SECS, &LIMITS);
    call.minIdle = U256::ZERO;
    for target in &mut call.targets {
        (target.maxUtilisationBps, target.minRatePerSecond) = (U256::from(BPS), U256::ZERO);
    }
    call
}

/// Returns whether utilisations differ by as much as the usual bot acts on.
fn utilisations_differ(allocations: &Allocations) -> bool {
    let utilisation = |allocated: &AllocatedMarket| {
        allocated.totals.borrow_assets * u128::from(BPS) / allocated.totals.supply_assets.max(1)
    };
    let (lowest, highest) = allocations
        .markets
        .iter()
        .map(utilisation)
        .fold((u128::MAX, 0), |(low, high), one| (low.min(one), high.max(one)));
    highest.saturating_sub(lowest) >= TRIGGER_BPS
}

/// Returns what could be withdrawn if so much were in each market.
pub(super) fn liquid(allocations: &Allocations, parts: &[u128]) -> u128 {
    let idle = allocations.total().saturating_sub(parts.iter().sum());
    let of_markets = allocations.markets.iter().zip(parts).map(|(allocated, part)| {
        let supplied = allocated.totals.supply_assets - allocated.held + part;
        supplied.saturating_sub(allocated.totals.borrow_assets).min(*part)
    });
    idle + of_markets.sum::<u128>()
}

/// Returns the parts of [`equal_utilisation`] with the least idle with which so much could be withdrawn.
pub(super) fn equally_liquid(allocations: &Allocations, wanted: u128) -> Vec<u128> {
    let (mut low, mut high) = (allocations.min_idle.min(allocations.total()), allocations.total());
    while low < high {
        let idle = low.midpoint(high);
        if liquid(allocations, &equal_utilisation(allocations, idle)) >= wanted {
            high = idle;
        } else {
            low = idle + 1;
        }
    }
    equal_utilisation(allocations, high)
}

/// Returns the parts with which all markets have the same utilisation, as far as their bounds allow, and so much is idle.
pub(super) fn equal_utilisation(allocations: &Allocations, idle: u128) -> Vec<u128> {
    let to_supply = allocations.total().saturating_sub(idle);
    let part = |allocated: &AllocatedMarket, utilisation: u128| {
        let others = allocated.totals.supply_assets.saturating_sub(allocated.held);
        let supplied = allocated.totals.borrow_assets * SCALE / utilisation;
        supplied.saturating_sub(others).clamp(allocated.least, allocated.most)
    };
    let at = |utilisation| allocations.markets.iter().map(|allocated| part(allocated, utilisation)).collect::<Vec<_>>();
    // What is supplied falls with the utilisation.
    let (mut low, mut high) = (1, SCALE);
    while low < high {
        let middle = low.midpoint(high);
        if at(middle).iter().sum::<u128>() <= to_supply {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    at(high)
}

/// Utilisations in the search.
const SCALE: u128 = 1_000_000_000;

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Untouched => "untouched",
            Self::EqualUtilisation => "equal utilisation",
            Self::Rebalance => "rebalance",
            Self::EquallyLiquid => "equal, as liquid",
        })
    }
}
