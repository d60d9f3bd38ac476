//! Routes by random pools against all paths, and the arithmetic of pairs against the pair's own rule.

use alloy::primitives::{Address, U256, U512, address, b256};
use proptest::prelude::*;

use super::{
    pool::{Pool, PoolState, Venue, VenueKind},
    route::{MAX_CANDIDATES, Pools},
    router::{Place, WantedTicks},
};

const MILLION: u64 = 1_000_000;

fn token(index: u8) -> Address {
    Address::with_last_byte(index + 1)
}

fn pool(index: u8, (a, b): (u8, u8), key: u32, state: PoolState) -> Pool {
    let (token0, token1) = (token(a.min(b)), token(a.max(b)));
    let (address, wanted) = (Address::with_last_byte(100 + index), WantedTicks::default());
    Pool { venue: index % 2, key, address, token0, token1, state, wanted }
}

fn any_state() -> impl Strategy<Value = PoolState> {
    let reserve = 1_000_u128..1 << 100;
    prop_oneof![
        (reserve.clone(), reserve.clone()).prop_map(|(reserve0, reserve1)| PoolState::Pair {
            reserve0: U256::from(reserve0),
            reserve1: U256::from(reserve1),
        }),
        (1_u128 << 60..1 << 120, 0_u128..1 << 100, reserve.clone(), reserve).prop_map(
            |(root, liquidity, balance0, balance1)| PoolState::Concentrated {
                sqrt_price_x96: U256::from(root),
                liquidity,
                balance0: U256::from(balance0),
                balance1: U256::from(balance1),
                ticks: None,
            }
        ),
    ]
}

/// Pools between five tokens.
fn any_pools() -> impl Strategy<Value = Vec<Pool>> {
    let pool = ((0_u8..5, 0_u8..5), 1_u32..10_000, any_state());
    prop::collection::vec(pool, 1..14).prop_map(|pools| {
        let numbered = pools.into_iter().enumerate().filter(|(_, (tokens, ..))| tokens.0 != tokens.1);
        numbered
            .map(|(index, (tokens, key, state))| {
                self::pool(u8::try_from(index).unwrap_or_default(), tokens, key, state)
            })
            .collect()
    })
}

/// Returns the most that any path of up to three hops brings, by trying them all.
fn best_by_all_paths(pools: &[Pool], at: Address, to: Address, amount: U256, visited: &[Address]) -> Option<U256> {
    if visited.len() > 3 {
        return None;
    }
    let outs = pools.iter().filter_map(|pool| {
        let next = [pool.token0, pool.token1].into_iter().find(|token| *token != at && !visited.contains(token))?;
        let out = pool.amount_out(at, amount)?;
        if next == to {
            return Some(out);
        }
        best_by_all_paths(pools, next, to, out, &[visited, &[next]].concat())
    });
    outs.max()
}

proptest! {
    /// The output of a pair is the most that its rule (the product after the fee does not fall) permits.
    #[test]
    fn the_output_of_a_pair_is_the_most_that_it_permits(
        reserves in (1_000_u128..1 << 100, 1_000_u128..1 << 100), amount in 1_u128..1 << 100, key in 0_u32..10_000,
    ) {
        let (reserve_in, reserve_out) = (U256::from(reserves.0), U256::from(reserves.1));
        let state = PoolState::Pair { reserve0: reserve_in, reserve1: reserve_out };
        let pair = pool(0, (0, 1), key, state);
        let amount = U256::from(amount);
        let permits = |out: U256| {
            let adjusted = (reserve_in + amount) * U256::from(MILLION) - amount * U256::from(key);
            adjusted * (reserve_out - out) >= reserve_in * reserve_out * U256::from(MILLION)
        };
        match pair.amount_out(token(0), amount) {
            Some(out) => prop_assert!(permits(out) && !permits(out + U256::ONE)),
            None => prop_assert!(!permits(U256::ONE)),
        }
    }

    /// Concentrated liquidity is never taken for deeper than what it holds, nor for better than its price.
    #[test]
    fn the_model_of_concentrated_liquidity_is_conservative(
        root in 1_u128 << 60..1 << 120, liquidity in 1_u128..1 << 100, balance in 1_u128..1 << 100, amount in 1_u128..1 << 90,
    ) {
        let state = PoolState::Concentrated {
            sqrt_price_x96: U256::from(root), liquidity, balance0: U256::ZERO, balance1: U256::from(balance),
            ticks: None,
        };
        let Some(out) = pool(0, (0, 1), 500, state).amount_out(token(0), U256::from(amount)) else { return Ok(()) };
        prop_assert!(out < U256::from(balance));
        // out ÷ amount ≤ price, which is root² ÷ 2^192.
        let root = U256::from(root).widening_mul::<256, 4, 512, 8>(U256::from(root));
        let worth = (root * U512::from(amount)) >> 192;
        prop_assert!(U512::from(out) <= worth);
    }

    /// With all tokens as hubs and few pools, the first candidate brings what the best of all paths brings.
    #[test]
    fn the_best_candidate_is_the_best_of_all_paths(pools in any_pools(), amount in 1_u128..1 << 80) {
        let hubs: Vec<_> = (0..5).map(token).collect();
        let amount = U256::from(amount);
        let mut known = Pools::default();
        pools.iter().for_each(|pool| known.set(Place::of(pool), Some((pool.state.clone(), WantedTicks::default()))));
        let candidates = known.candidates(token(0), token(1), &hubs, amount);
        let expected = best_by_all_paths(&pools, token(0), token(1), amount, &[token(0)]);
        prop_assert_eq!(candidates.first().map(|route| route.amount_out), expected);
        prop_assert!(candidates.len() <= MAX_CANDIDATES);
        for route in &candidates {
            let hops = route.encode().len() / 24;
            prop_assert!((1..=3).contains(&hops));
            prop_assert_eq!(route.encode().len(), 24 * hops);
            prop_assert!(route.encode().ends_with(token(1).as_slice()));
        }
    }
}

/// Returns the parts of an amount that an encoded split gives to its routes, as the executor computes them, with their hops.
fn parts_of(encoded: &[u8], mut amount: U256) -> Vec<(U256, Vec<u8>)> {
    let (mut parts, mut rest) = (Vec::new(), encoded);
    while let [u8::MAX, a, b, c, header @ ..] = rest {
        let count = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        let share = U256::from_be_slice(&header[..20]);
        let (hops, after) = header[20..].split_at(24 * count);
        let portion = amount * share / U256::from(MILLION);
        parts.push((portion, hops.to_vec()));
        (amount, rest) = (amount - portion, after);
    }
    parts.push((amount, rest.to_vec()));
    parts
}

proptest! {
    /// A split gives out the whole amount, over routes without a common pool, and brings more than the best single route by
    /// more than what the further routes cost.
    #[test]
    fn a_split_loses_no_unit_and_brings_more_than_any_route(
        pools in any_pools(), amount in 1_000_u128..1 << 90, cost in 0_u64..1 << 40,
    ) {
        let hubs: Vec<_> = (0..5).map(token).collect();
        let (amount, cost) = (U256::from(amount), U256::from(cost));
        let mut known = Pools::default();
        pools.iter().for_each(|pool| known.set(Place::of(pool), Some((pool.state.clone(), WantedTicks::default()))));
        let single = known.candidates(token(0), token(1), &hubs, amount);
        let Some(split) = known.split(token(0), token(1), &hubs, amount, cost) else { return Ok(()) };
        let parts = parts_of(&split.encode(), amount);
        prop_assert!((2..=3).contains(&parts.len()));
        prop_assert_eq!(parts.iter().map(|(portion, _)| *portion).sum::<U256>(), amount);
        let further = cost * U256::from(parts.len() - 1);
        prop_assert!(single.iter().all(|route| split.amount_out > route.amount_out + further));
        // By the pools of its hops, one after another, each of which occurs once.
        let (mut brought, mut used) = (U256::ZERO, Vec::new());
        for (portion, hops) in &parts {
            prop_assert!(hops.ends_with(token(1).as_slice()));
            let (mut at, mut units) = (token(0), *portion);
            for hop in hops.chunks(24) {
                let next = Address::from_slice(&hop[4..]);
                let is_meant = |pool: &&Pool| {
                    let tokens = [pool.token0, pool.token1];
                    pool.venue == hop[0] && pool.key.to_be_bytes()[1..] == hop[1..4]
                        && tokens.contains(&at) && tokens.contains(&next)
                };
                let pool = pools.iter().find(is_meant).unwrap();
                used.push(pool.address);
                units = pool.amount_out(at, units).unwrap_or_default();
                at = next;
            }
            brought += units;
        }
        let count = used.len();
        used.sort_unstable();
        used.dedup();
        prop_assert_eq!(used.len(), count);
        prop_assert_eq!(brought, split.amount_out);
    }
}

proptest! {
    /// The search for a split may end early: no shares of two routes bring more than the bound says.
    #[test]
    fn no_shares_of_routes_bring_more_than_the_bound(
        pools in any_pools(), amount in 1_u128..1 << 100, share in 0_u64..=1_024,
    ) {
        let hubs: Vec<_> = (0..5).map(token).collect();
        let mut known = Pools::default();
        pools.iter().for_each(|pool| known.set(Place::of(pool), Some((pool.state.clone(), WantedTicks::default()))));
        let amount = U256::from(amount);
        let first = amount * U256::from(share) / U256::from(1_024);
        let routes = known.candidates(token(0), token(1), &hubs, amount);
        for one in &routes {
            let most = known.most_by_split(token(0), &routes, amount);
            for other in &routes {
                let [one, other] = [(one, first), (other, amount - first)]
                    .map(|(route, amount)| known.quote(token(0), route, amount).unwrap_or_default());
                prop_assert!(one + other <= most, "{one} and {other}, and not {most}");
            }
        }
    }
}

#[test]
fn a_large_sale_is_split_evenly_over_pools_that_are_alike() {
    let mut known = Pools::default();
    let reserve = U256::from(10_u64.pow(15));
    for index in 0..3 {
        let state = PoolState::Pair { reserve0: reserve, reserve1: reserve };
        let pool = pool(index, (0, 1), 3_000, state);
        known.set(Place::of(&pool), Some((pool.state.clone(), WantedTicks::default())));
    }
    let amount = reserve / U256::from(3);
    let split = known.split(token(0), token(1), &[], amount, U256::ONE).unwrap();
    let parts = parts_of(&split.encode(), amount);
    assert_eq!(parts.len(), 3);
    for (portion, _) in parts {
        assert!(portion.abs_diff(amount / U256::from(3)) < amount / U256::from(500), "{portion} of {amount}");
    }
    // A third more would not be worth this to anybody.
    assert_eq!(known.split(token(0), token(1), &[], amount, amount), None);
}

/// Known pools of Ethereum: USDC and WETH, of Uniswap V2, and of Uniswap V3 at 0.05 %.
#[test]
fn addresses_are_those_of_the_known_pools() {
    let usdc = address!("A0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48");
    let weth = address!("C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2");
    let pairs = Venue {
        kind: VenueKind::UniswapV2,
        deployer: address!("5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f"),
        pool_init_code_hash: b256!("96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f"),
        keys: vec![3_000],
    };
    let pools = Venue {
        kind: VenueKind::UniswapV3,
        deployer: address!("1F98431c8aD98523631AE4a59f267346ea31F984"),
        pool_init_code_hash: b256!("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54"),
        keys: vec![500],
    };
    assert_eq!(pairs.pool_of(weth, usdc, 3_000), address!("B4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc"));
    assert_eq!(pools.pool_of(weth, usdc, 500), address!("88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"));
}
