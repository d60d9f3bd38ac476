//! Routes of up to three hops over hub tokens, ranked by what they bring.

use std::{cmp::Reverse, collections::BTreeMap};

use alloy::primitives::{Address, Bytes, U256};

use crate::math::wide::{mul_div_down, mul_div_up};

use super::{
    pool::{Pool, PoolState},
    router::{Place, WantedTicks, ordered},
};

/// Most hops of a route.
const MAX_HOPS: usize = 3;
/// Pools of a pair of tokens that routes use: those that bring most.
const POOLS_PER_PAIR: usize = 3;
/// Most routes of a split.
const MAX_PARTS: usize = 3;
/// Parts of the amount of a split that are given to routes one after another, and then moved in halves of that down to one.
const UNITS: u32 = 1_024;
const FIRST_STEP: u32 = 16;
/// By how many binary digits the sample that says whether a split can bring more is smaller than the amount.
const SAMPLE_BITS: usize = 16;
/// Shares of a split are in millionths.
const MILLION: u32 = 1_000_000;
/// Most routes that are ranked.
pub const MAX_CANDIDATES: usize = 12;

/// One hop of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hop {
    /// Index of the venue in the executor.
    venue: u8,
    /// Key of the pool in its venue.
    key: u32,
    pool: Address,
    /// Token to which it leads.
    token_out: Address,
}

/// A way from one token to another, with what it brings for the amount that it was ranked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    hops: Vec<Hop>,
    /// Units of the last token, by the state of the pools.
    pub amount_out: U256,
}

impl Route {
    /// Returns the route as the executor reads it: venue, key and next token for each hop.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(24 * self.hops.len());
        for hop in &self.hops {
            let [_, key @ ..] = hop.key.to_be_bytes();
            bytes.push(hop.venue);
            bytes.extend_from_slice(&key);
            bytes.extend_from_slice(hop.token_out.as_slice());
        }
        bytes.into()
    }
}

/// A sale over several routes that share no pool, each of which takes a share of the amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Routes with the shares of the amount that go along them, in parts of [`UNITS`].
    parts: Vec<(Route, u32)>,
    /// Units of the last token that all bring together.
    pub amount_out: U256,
}

impl Split {
    /// Returns the split as the executor reads it, for selling: each route but the last takes a share of the amount.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_parts(&self.parts.iter().map(|(route, share)| (route, *share)).collect::<Vec<_>>())
    }

    /// Returns the split for buying: the shares are of what is bought.
    #[must_use]
    pub fn encode_for_buying(&self) -> Bytes {
        let share = |out: U256| mul_div_down(out, U256::from(UNITS), self.amount_out).saturating_to::<u32>().max(1);
        encode_parts(&self.parts.iter().map(|(route, _)| (route, share(route.amount_out))).collect::<Vec<_>>())
    }
}

/// Encodes routes with shares of their sum. Shares have few digits, so that a split is encoded alike as long as the pools are
/// about the same.
fn encode_parts(parts: &[(&Route, u32)]) -> Bytes {
    let mut rest: u32 = parts.iter().map(|(_, share)| share).sum();
    let mut bytes = Vec::new();
    for (index, (route, share)) in parts.iter().enumerate() {
        if index + 1 < parts.len() {
            let [_, count @ ..] = u32::try_from(route.hops.len()).unwrap_or_default().to_be_bytes();
            bytes.push(u8::MAX);
            bytes.extend_from_slice(&count);
            bytes.extend_from_slice(&U256::from(share_of(*share, rest)).to_be_bytes::<32>()[12..]);
            rest = rest.saturating_sub(*share);
        }
        bytes.extend_from_slice(&route.encode());
    }
    bytes.into()
}

/// Returns a share of what the routes before have left, in millionths, as the executor takes it.
const fn share_of(share: u32, rest: u32) -> u32 {
    match share.saturating_mul(MILLION).checked_div(rest) {
        Some(millionths) if millionths < MILLION => millionths,
        _ => MILLION - 1,
    }
}

/// Pools by their two tokens.
#[derive(Debug, Default)]
pub struct Pools {
    by_tokens: BTreeMap<(Address, Address), Vec<Pool>>,
}

impl Pools {
    /// Returns the pools of two tokens.
    pub(super) fn of(&self, pair: (Address, Address)) -> impl Iterator<Item = &Pool> {
        self.by_tokens.get(&pair).into_iter().flatten()
    }

    /// Sets the state of the pool at a place, and what to read of it next; `None` if there is none.
    pub(super) fn set(&mut self, place: Place, state: Option<(PoolState, WantedTicks)>) {
        let Place { venue, key, address, token0, token1, .. } = place;
        let pools = self.by_tokens.entry((token0, token1)).or_default();
        pools.retain(|pool| pool.address != address);
        let pool = |(state, wanted)| Pool { venue, key, address, token0, token1, state, wanted };
        pools.extend(state.map(pool));
    }

    /// Returns the best routes for selling this amount, the best first, at most [`MAX_CANDIDATES`]. Tokens between are
    /// hubs, and no token is visited twice. The same token takes no hop.
    #[must_use]
    pub fn candidates(&self, from: Address, to: Address, hubs: &[Address], amount: U256) -> Vec<Route> {
        if from == to {
            return vec![Route { hops: Vec::new(), amount_out: amount }];
        }
        let mut found = Vec::new();
        self.extend(&mut Vec::new(), from, (from, to), hubs, amount, &mut found);
        // By address where the amounts are equal, so that the order does not depend on that of the pools.
        found.sort_by_cached_key(|route: &Route| {
            (Reverse(route.amount_out), route.hops.iter().map(|hop| hop.pool).collect::<Vec<_>>())
        });
        found.truncate(MAX_CANDIDATES);
        found
    }

    /// Returns the sale of this amount over several routes that brings most, if it brings more than the best single one by
    /// more than `cost` for each further route, in units of the last token.
    ///
    /// Small parts go one after another along the route that pays most for the next one, which makes the prices at the margin
    /// equal, since each route pays less the more it takes.
    #[must_use]
    pub fn split(&self, from: Address, to: Address, hubs: &[Address], amount: U256, cost: U256) -> Option<Split> {
        let mut best = self.candidates(from, to, hubs, amount).into_iter().next().filter(|_| from != to)?;
        let mut routes = vec![best.clone()];
        // Routes for less may be others.
        for route in self.candidates(from, to, hubs, amount >> 2_u8) {
            let shares_pool =
                |other: &Route| route.hops.iter().any(|hop| other.hops.iter().any(|of| of.pool == hop.pool));
            if routes.len() < MAX_PARTS && !routes.iter().any(shares_pool) {
                routes.push(route);
            }
        }
        if self.most_by_split(from, &routes, amount) <= best.amount_out.saturating_add(cost) {
            return None;
        }
        let mut found = None;
        while routes.len() > 1 {
            let shares = self.shares(from, &routes, amount);
            let split = self.with_shares(from, &routes, &shares, amount);
            let further = U256::from(shares.iter().filter(|share| **share != 0).count().saturating_sub(1));
            if let Some(split) = split.filter(|_| further != U256::ZERO)
                && let Some(net) = split.amount_out.checked_sub(cost.saturating_mul(further))
                && net > best.amount_out
            {
                best.amount_out = net;
                found = Some(split);
            }
            let least = shares.iter().enumerate().min_by_key(|(_, share)| **share).map(|(index, _)| index);
            routes.remove(least.unwrap_or_default());
        }
        found
    }

    /// Returns what no split over these routes exceeds. A route pays less the more it takes, so the whole amount brings no more
    /// than the best price of a small sample does, and what a part smaller than that brings. Most amounts are small beside their
    /// pools, and for them the search ends here.
    pub(super) fn most_by_split(&self, from: Address, routes: &[Route], amount: U256) -> U256 {
        let sample = (amount >> SAMPLE_BITS).max(U256::ONE);
        let outs = routes.iter().map(|route| {
            // Each pool rounds down by less than a unit.
            let rounded_up = |amount, (token, hop): (Address, &Hop)| {
                let out = self.pool(token, hop).and_then(|pool| pool.amount_out(token, amount));
                out.unwrap_or_default().saturating_add(U256::ONE)
            };
            inputs(from, route).fold(sample, rounded_up)
        });
        let (mut best, mut all) = (U256::ZERO, U256::ZERO);
        for out in outs {
            (best, all) = (best.max(out), all.saturating_add(out));
        }
        mul_div_up(best, amount, sample).saturating_add(all)
    }

    /// Returns how many of [`UNITS`] parts of an amount go along each route.
    fn shares(&self, from: Address, routes: &[Route], amount: U256) -> Vec<u32> {
        let out = |route: &Route, units: u32| match units {
            0 => U256::ZERO,
            _ => self.quote(from, route, portion(amount, units)).unwrap_or_default(),
        };
        let mut shares = vec![0_u32; routes.len()];
        let mut outs = vec![U256::ZERO; routes.len()];
        let mut nexts: Vec<_> = routes.iter().map(|route| out(route, FIRST_STEP)).collect();
        for _ in 0..UNITS / FIRST_STEP {
            let gain = |index: &usize| nexts[*index].saturating_sub(outs[*index]);
            let Some(index) = (0..routes.len()).rev().max_by_key(gain) else { break };
            shares[index] += FIRST_STEP;
            outs[index] = nexts[index];
            nexts[index] = out(&routes[index], shares[index] + FIRST_STEP);
        }
        let mut step = FIRST_STEP / 2;
        while step > 0 {
            for (giver, taker) in (0..routes.len()).flat_map(|giver| (0..routes.len()).map(move |taker| (giver, taker)))
            {
                if giver == taker || shares[giver] < step {
                    continue;
                }
                let (less, more) = (shares[giver] - step, shares[taker] + step);
                let (given, taken) = (out(&routes[giver], less), out(&routes[taker], more));
                if given.saturating_add(taken) > outs[giver].saturating_add(outs[taker]) {
                    (shares[giver], shares[taker], outs[giver], outs[taker]) = (less, more, given, taken);
                }
            }
            step /= 2;
        }
        shares
    }

    /// Returns the split with these shares, of which the last route takes the rest; `None` where a route does not take its.
    fn with_shares(&self, from: Address, routes: &[Route], shares: &[u32], amount: U256) -> Option<Split> {
        let used: Vec<_> = routes.iter().zip(shares.iter().copied()).filter(|(_, share)| *share != 0).collect();
        let (mut rest, mut units, mut amount_out, mut parts) = (amount, UNITS, U256::ZERO, Vec::new());
        for (index, (route, share)) in used.iter().copied().enumerate() {
            let millionths = U256::from(share_of(share, units));
            let is_last = index + 1 == used.len();
            let taken = if is_last { rest } else { mul_div_down(rest, millionths, U256::from(MILLION)) };
            (rest, units) = (rest.checked_sub(taken)?, units.saturating_sub(share));
            let out = self.quote(from, route, taken)?;
            amount_out = amount_out.checked_add(out)?;
            parts.push((Route { amount_out: out, ..route.clone() }, share));
        }
        Some(Split { parts, amount_out })
    }

    /// Returns what a route brings for an amount, by the state of its pools.
    #[must_use]
    pub fn quote(&self, from: Address, route: &Route, amount: U256) -> Option<U256> {
        inputs(from, route).try_fold(amount, |amount, (token, hop)| self.pool(token, hop)?.amount_out(token, amount))
    }

    fn pool(&self, token_in: Address, hop: &Hop) -> Option<&Pool> {
        self.of(ordered(token_in, hop.token_out)).find(|pool| pool.address == hop.pool)
    }

    /// Adds all routes that begin with `hops`, which lead to `token` and bring `amount` of it.
    fn extend(
        &self,
        hops: &mut Vec<Hop>,
        token: Address,
        (from, to): (Address, Address),
        hubs: &[Address],
        amount: U256,
        found: &mut Vec<Route>,
    ) {
        let is_last = hops.len() + 1 == MAX_HOPS;
        let between = hubs.iter().copied().filter(|hub| !is_last && *hub != to && *hub != from);
        let nexts: Vec<_> = between.filter(|hub| hops.iter().all(|hop| hop.token_out != *hub)).chain([to]).collect();
        for next in nexts {
            for (amount_out, pool) in self.best_of_pair(token, next, amount) {
                let Pool { venue, key, address, .. } = *pool;
                hops.push(Hop { venue, key, pool: address, token_out: next });
                if next == to {
                    found.push(Route { hops: hops.clone(), amount_out });
                } else {
                    self.extend(hops, next, (from, to), hubs, amount_out, found);
                }
                hops.pop();
            }
        }
    }

    /// Returns the pools of two tokens that bring most for this amount, with what they bring.
    fn best_of_pair(&self, token_in: Address, token_out: Address, amount: U256) -> Vec<(U256, &Pool)> {
        let pools = self.of(ordered(token_in, token_out));
        let mut quoted: Vec<_> = pools.filter_map(|pool| Some((pool.amount_out(token_in, amount)?, pool))).collect();
        quoted.sort_by_key(|(out, pool)| (Reverse(*out), pool.address));
        quoted.truncate(POOLS_PER_PAIR);
        quoted
    }
}

/// Returns the hops of a route, each with the token that it takes.
fn inputs(from: Address, route: &Route) -> impl Iterator<Item = (Address, &Hop)> {
    let tokens = std::iter::once(from).chain(route.hops.iter().map(|hop| hop.token_out));
    tokens.zip(&route.hops)
}

/// Returns so many of [`UNITS`] parts of an amount, rounded down.
fn portion(amount: U256, units: u32) -> U256 {
    mul_div_down(amount, U256::from(units), U256::from(UNITS))
}
