//! The price at the margin of a route through pools with concentrated liquidity: no amount that is sold brings more for each
//! unit. One word of each pool says it, where a swap would have to be tried.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::SolCall,
};

use super::{pool::Venue, router::IConcentrated};
use crate::{
    math::wide::{mul_div_down, mul_div_up},
    prices::{Call, CallResult},
};

/// Bytes of an address in a path.
const ADDRESS_BYTES: usize = 20;
/// Bytes of a hop in a path: a token and the key of the pool that sells it.
const HOP_BYTES: usize = ADDRESS_BYTES + 3;
/// Gas limit of reading a pool: more than any uses.
const READ_GAS: u64 = 100_000;
/// One unit, times 2^96.
const ONE_X96: U256 = U256::ONE.wrapping_shl(96);

/// The pools of a route, in the order in which a token is sold through them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotRoute(Vec<SpotPool>);

/// A pool that a token is sold to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SpotPool {
    address: Address,
    /// Whether that token is the lower one.
    sells_token0: bool,
}

/// A price at the margin, before the pools' fees and rounded up: units that are bought for each unit sold, times 2^96.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpotPrice(U256);

impl SpotRoute {
    /// Returns the pools of a path in Uniswap's encoding; `None` where it is not one, or passes a pool twice, which would sell
    /// at another price the second time.
    #[must_use]
    pub fn along(path: &[u8], venue: &Venue) -> Option<Self> {
        let tokens: Vec<_> =
            path.chunks(HOP_BYTES).map(|hop| hop.get(..ADDRESS_BYTES).map(Address::from_slice)).collect();
        let keys = path.chunks_exact(HOP_BYTES).map(|hop| U256::try_from_be_slice(hop.get(ADDRESS_BYTES..)?));
        let pool = |(tokens, key): (&[Option<Address>], Option<U256>)| {
            let &[Some(sold), Some(bought)] = tokens else { return None };
            let address = venue.pool_of(sold, bought, key?.saturating_to());
            Some(SpotPool { address, sells_token0: sold < bought })
        };
        let pools: Vec<_> = tokens.windows(2).zip(keys).map(pool).collect::<Option<_>>()?;
        let is_once = |pool: &SpotPool| pools.iter().filter(|other| other.address == pool.address).count() == 1;
        let is_whole = path.len() % HOP_BYTES == ADDRESS_BYTES && !pools.is_empty();
        (is_whole && pools.iter().all(is_once)).then_some(Self(pools))
    }

    /// Returns the calls that read the pools.
    pub fn calls(&self) -> impl Iterator<Item = Call> {
        let data = Bytes::from(IConcentrated::slot0Call {}.abi_encode());
        self.0.iter().map(move |pool| Call::view(pool.address, data.clone(), READ_GAS))
    }

    /// Returns the price by the results of these calls; `None` where a pool has none.
    pub fn price(&self, results: impl IntoIterator<Item = CallResult>) -> Option<SpotPrice> {
        let mut results = results.into_iter();
        let mut price = ONE_X96;
        for pool in &self.0 {
            let root = U256::try_from_be_slice(results.next()?.ok()?.get(..32)?)?;
            if root.is_zero() || root.bit_len() > 160 {
                return None;
            }
            // The pool's price is the square of the root.
            for _ in 0..2 {
                price =
                    if pool.sells_token0 { mul_div_up(price, root, ONE_X96) } else { mul_div_up(price, ONE_X96, root) };
                // What does not fit would be lowered again by the next pool.
                if price == U256::MAX {
                    return None;
                }
            }
        }
        Some(SpotPrice(price))
    }
}

impl SpotPrice {
    /// Returns the most that is bought for so much.
    #[must_use]
    pub fn most_bought(self, sold: U256) -> U256 {
        mul_div_up(sold, self.0, ONE_X96)
    }

    /// Returns the least that must be sold for so much.
    #[must_use]
    pub fn least_sold(self, bought: U256) -> U256 {
        mul_div_down(bought, ONE_X96, self.0)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, address};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        prices::CallError,
        routing::{
            pool::{Pool, PoolState, VenueKind},
            router::WantedTicks,
        },
    };

    const TOKENS: [Address; 3] = [Address::repeat_byte(1), Address::repeat_byte(2), Address::repeat_byte(3)];

    fn venue() -> Venue {
        Venue {
            kind: VenueKind::UniswapV3,
            deployer: address!("1F98431c8aD98523631AE4a59f267346ea31F984"),
            pool_init_code_hash: "0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54".parse().unwrap(),
            keys: Vec::new(),
        }
    }

    fn path(tokens: &[Address], fee: u32) -> Vec<u8> {
        let mut path = tokens[0].to_vec();
        tokens[1..].iter().for_each(|token| path.extend([&fee.to_be_bytes()[1..], token.as_slice()].concat()));
        path
    }

    fn slot(root: U256) -> CallResult {
        Ok([B256::from(root), B256::ZERO].concat().into())
    }

    #[test]
    fn the_pools_of_a_path_are_those_of_its_venue() {
        // USDC and WETH at 0.05 % on Ethereum.
        let usdc = address!("A0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48");
        let weth = address!("C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2");
        let route = SpotRoute::along(&path(&[weth, usdc], 500), &venue()).unwrap();
        let pool = address!("88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640");
        assert_eq!(route, SpotRoute(vec![SpotPool { address: pool, sells_token0: false }]));
        assert_eq!(route.calls().map(|call| call.to).collect::<Vec<_>>(), [pool]);
        let back = SpotRoute::along(&path(&[usdc, weth, TOKENS[0]], 500), &venue()).unwrap();
        assert_eq!((back.0[0], back.0.len()), (SpotPool { address: pool, sells_token0: true }, 2));
    }

    #[test]
    fn what_is_no_path_or_passes_a_pool_twice_has_no_price() {
        let along = |path: &[u8]| SpotRoute::along(path, &venue());
        let [a, b, c] = TOKENS;
        let whole = path(&[a, b, c], 3_000);
        assert!(along(&whole).is_some());
        for length in 0..whole.len() {
            let is_path = length == ADDRESS_BYTES + HOP_BYTES;
            assert_eq!(along(&whole[..length]).is_some(), is_path, "{length}");
        }
        assert_eq!(along(&path(&[a, b, a], 3_000)), None);
        let mut other_fee = path(&[a, b], 3_000);
        other_fee.extend(&path(&[b, a], 500)[ADDRESS_BYTES..]);
        assert!(along(&other_fee).is_some(), "another pool of the same tokens");
    }

    #[test]
    fn a_pool_that_does_not_answer_as_one_has_no_price() {
        let route = SpotRoute::along(&path(&TOKENS[..2], 500), &venue()).unwrap();
        assert_eq!(route.price([slot(ONE_X96)]), Some(SpotPrice(ONE_X96)));
        let too_large = U256::ONE << 160;
        for result in [slot(U256::ZERO), slot(too_large), Ok(Bytes::from(vec![1; 31])), Err(CallError::NotRun)] {
            assert_eq!(route.price([result.clone()]), None, "{result:?}");
        }
        assert_eq!(route.price([]), None);
        let [a, b, c] = TOKENS;
        let dear = slot(too_large - U256::ONE);
        let route = SpotRoute::along(&path(&[a, b, c, b], 500), &venue());
        assert_eq!(route, None, "the last pool is the second one");
        let route = SpotRoute::along(&path(&[a, b, c, Address::repeat_byte(4)], 500), &venue()).unwrap();
        assert_eq!(route.price([dear.clone(), dear, slot(U256::ONE)]), None, "more than fits between two pools");
    }

    #[test]
    fn a_route_multiplies_the_prices_of_its_pools_and_rounds_against_the_seller() {
        let price = |tokens: &[Address]| {
            let route = SpotRoute::along(&path(tokens, 500), &venue()).unwrap();
            // A unit of the lower token is worth four of the higher one, or nine.
            route.price([slot(ONE_X96 << 1), slot(ONE_X96 * U256::from(3))]).unwrap()
        };
        let [a, b, c] = TOKENS;
        assert_eq!(price(&[a, b, c]).most_bought(U256::from(5)), U256::from(180));
        assert_eq!(price(&[a, b, c]).least_sold(U256::from(179)), U256::from(4));
        assert_eq!(price(&[c, b, a]).most_bought(U256::from(180)), U256::from(6), "a ninth is rounded up");
        assert_eq!(price(&[c, b, a]).most_bought(U256::from(179)), U256::from(5));
        assert_eq!(price(&[c, b, a]).least_sold(U256::from(5)), U256::from(179));
    }

    proptest! {
        /// Whatever is sold to a pool brings no more for each unit than the price at the margin, by the arithmetic of swaps.
        #[test]
        fn no_amount_brings_more_than_the_price_at_the_margin(
            (high, low) in (33_usize..128, any::<u64>()),
            liquidity in 1_000_u128..u128::MAX >> 20,
            sold in 1_u128..u128::MAX >> 30,
            (fee, sells_token0) in (prop::sample::select(vec![0_u32, 100, 3_000, 10_000]), any::<bool>()),
        ) {
            let root = (U256::ONE << high) | (U256::from(low) >> 64_usize.saturating_sub(high));
            let (sold_token, bought_token) = if sells_token0 { (TOKENS[0], TOKENS[1]) } else { (TOKENS[1], TOKENS[0]) };
            let pool = Pool {
                venue: 0,
                key: fee,
                address: Address::ZERO,
                token0: TOKENS[0],
                token1: TOKENS[1],
                state: PoolState::Concentrated {
                    sqrt_price_x96: root,
                    liquidity,
                    balance0: U256::MAX >> 100,
                    balance1: U256::MAX >> 100,
                    ticks: None,
                },
                wanted: WantedTicks::default(),
            };
            let route = SpotRoute::along(&path(&[sold_token, bought_token], fee), &venue()).unwrap();
            let price = route.price([slot(root)]).unwrap();
            let sold = U256::from(sold);
            if let Some(bought) = pool.amount_out(sold_token, sold) {
                prop_assert!(bought <= price.most_bought(sold));
                prop_assert!(price.least_sold(bought) <= sold);
            }
        }
    }
}
