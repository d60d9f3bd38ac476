//! Routes of up to three hops over hub tokens, ranked by what they bring.

use std::{cmp::Reverse, collections::BTreeMap};

use alloy::primitives::{Address, Bytes, U256};

use super::{
    pool::{Pool, PoolState},
    router::{Place, ordered},
};

/// Most hops of a route.
const MAX_HOPS: usize = 3;
/// Pools of a pair of tokens that routes use: those that bring most.
const POOLS_PER_PAIR: usize = 3;
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

    /// Sets the state of the pool at a place; `None` if there is none.
    pub(super) fn set(&mut self, place: Place, state: Option<PoolState>) {
        let Place { venue, key, address, token0, token1, .. } = place;
        let pools = self.by_tokens.entry((token0, token1)).or_default();
        pools.retain(|pool| pool.address != address);
        pools.extend(state.map(|state| Pool { venue, key, address, token0, token1, state }));
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
