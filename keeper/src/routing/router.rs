//! Which pools there are between the tokens that matter, and their state as last read.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{primitives::Address, sol, sol_types::SolCall};
use plimsoll_chain::error::ChainError;

use super::{
    pool::{Pool, PoolState, Venue, VenueKind},
    route::Pools,
};
use crate::{
    chain::Header,
    prices::{Call, ChainReader, SimulatedCall},
};

/// Gas of a view of a pool or of a token's balance.
const VIEW_GAS: u64 = 100_000;
/// Number of blocks after which the state of pools is read again. It only ranks: what is sent was tried in its own block.
const REFRESH_BLOCKS: u64 = 5;
/// Number of blocks after which pools that did not exist are looked for again.
const SEARCH_BLOCKS: u64 = 2_000;

sol! {
    interface IPair {
        function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 blockTimestampLast);
    }
    interface IConcentrated {
        function slot0() external view returns (uint160 sqrtPriceX96, int24 tick);
        function liquidity() external view returns (uint128 liquidity);
    }
    interface IBalance {
        function balanceOf(address account) external view returns (uint256 balance);
    }
}

/// Two tokens, the one with the lower address first.
type Pair = (Address, Address);

/// Finds routes by the pools of venues, whose state it reads.
#[derive(Debug)]
pub struct Router {
    venues: Vec<Venue>,
    /// Tokens that routes may lead over.
    hubs: Vec<Address>,
    pools: Pools,
    /// Blocks in which pools of each pair were looked for, and read, last.
    known: BTreeMap<Pair, Known>,
}

/// What is known of a pair.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Block in which its pools were looked for last.
    searched_at: u64,
    /// Block of their state.
    read_at: u64,
}

impl Router {
    /// Returns a router over venues, in the order in which the executor lists them, that knows no pool yet.
    #[must_use]
    pub fn new(venues: Vec<Venue>, hubs: Vec<Address>) -> Self {
        Self { venues, hubs, pools: Pools::default(), known: BTreeMap::new() }
    }

    /// Returns the pools as last read.
    #[must_use]
    pub const fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Returns the tokens that routes may lead over.
    #[must_use]
    pub fn hubs(&self) -> &[Address] {
        &self.hubs
    }

    /// Reads the pools that sales from the first to the second of each two tokens may use, in one request; without a request
    /// where they were read a few blocks ago.
    ///
    /// # Errors
    /// When no node answers. What was known stays.
    pub async fn refresh<R: ChainReader>(
        &mut self,
        reader: &R,
        header: &Header,
        sales: impl IntoIterator<Item = (Address, Address)>,
    ) -> Result<(), ChainError> {
        let wanted: BTreeSet<Pair> = sales.into_iter().flat_map(|sale| self.pairs(sale)).collect();
        let is_older = |at: u64, blocks: u64| header.number.saturating_sub(at) >= blocks;
        let (mut searched, mut read) = (Vec::new(), Vec::new());
        for pair in wanted {
            match self.known.get(&pair) {
                Some(known) if !is_older(known.searched_at, SEARCH_BLOCKS) => {
                    if is_older(known.read_at, REFRESH_BLOCKS) {
                        read.push(pair);
                    }
                }
                _ => searched.push(pair),
            }
        }
        let mut places: Vec<Place> = read.iter().flat_map(|pair| self.pools.of(*pair)).map(Place::of).collect();
        places.extend(searched.iter().flat_map(|pair| self.places(*pair)));
        let calls: Vec<Vec<Call>> = places.iter().map(Place::calls).collect();
        if !calls.is_empty() {
            let results = reader.run_each(header, calls.iter().flatten().cloned().collect::<Vec<_>>()).await?;
            let mut results = results.into_iter();
            for (place, calls) in places.into_iter().zip(calls) {
                let answers: Vec<_> = results.by_ref().take(calls.len()).collect();
                let state = place.state(&answers);
                self.pools.set(place, state);
            }
        }
        let at = header.number;
        self.known.extend(searched.into_iter().map(|pair| (pair, Known { searched_at: at, read_at: at })));
        for pair in read {
            if let Some(known) = self.known.get_mut(&pair) {
                known.read_at = at;
            }
        }
        Ok(())
    }

    /// Returns the pairs whose pools a sale may use.
    fn pairs(&self, (from, to): (Address, Address)) -> Vec<Pair> {
        let between: Vec<_> = self.hubs.iter().copied().filter(|hub| *hub != from && *hub != to).collect();
        let over = between.iter().flat_map(|hub| {
            let hops = between.iter().map(|other| (*hub, *other));
            [(from, *hub), (*hub, to)].into_iter().chain(hops)
        });
        std::iter::once((from, to)).chain(over).filter(|(a, b)| a != b).map(|(a, b)| ordered(a, b)).collect()
    }

    /// Returns where pools of a pair may be.
    fn places(&self, (token0, token1): Pair) -> Vec<Place> {
        let of_venue = |(index, venue): (usize, &Venue)| {
            let venue_index = u8::try_from(index).ok()?;
            let place = |key: &u32| Place {
                kind: venue.kind,
                venue: venue_index,
                key: *key,
                address: venue.pool_of(token0, token1, *key),
                token0,
                token1,
            };
            Some(venue.keys.iter().map(place).collect::<Vec<_>>())
        };
        self.venues.iter().enumerate().filter_map(of_venue).flatten().collect()
    }
}

/// Where a pool is, or may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    kind: VenueKind,
    pub(super) venue: u8,
    pub(super) key: u32,
    pub(super) address: Address,
    pub(super) token0: Address,
    pub(super) token1: Address,
}

impl Place {
    pub(super) const fn of(pool: &Pool) -> Self {
        let Pool { venue, key, address, token0, token1, .. } = *pool;
        let kind = match pool.state {
            PoolState::Pair { .. } => VenueKind::UniswapV2,
            PoolState::Concentrated { .. } => VenueKind::UniswapV3,
        };
        Self { kind, venue, key, address, token0, token1 }
    }

    fn calls(&self) -> Vec<Call> {
        let call = |to: Address, data: Vec<u8>| Call { to, data: data.into(), gas: VIEW_GAS };
        let balance = |token| call(token, IBalance::balanceOfCall { account: self.address }.abi_encode());
        match self.kind {
            VenueKind::UniswapV2 => vec![call(self.address, IPair::getReservesCall {}.abi_encode())],
            VenueKind::UniswapV3 => vec![
                call(self.address, IConcentrated::slot0Call {}.abi_encode()),
                call(self.address, IConcentrated::liquidityCall {}.abi_encode()),
                balance(self.token0),
                balance(self.token1),
            ],
        }
    }

    /// Returns the state of the pool by the answers to its calls; `None` if there is no pool.
    fn state(&self, answers: &[SimulatedCall]) -> Option<PoolState> {
        let data = |index: usize| answers.get(index)?.result.as_ref().ok();
        Some(match self.kind {
            VenueKind::UniswapV2 => {
                let reserves = IPair::getReservesCall::abi_decode_returns(data(0)?).ok()?;
                PoolState::Pair { reserve0: reserves.reserve0.to(), reserve1: reserves.reserve1.to() }
            }
            VenueKind::UniswapV3 => PoolState::Concentrated {
                sqrt_price_x96: IConcentrated::slot0Call::abi_decode_returns(data(0)?).ok()?.sqrtPriceX96.to(),
                liquidity: IConcentrated::liquidityCall::abi_decode_returns(data(1)?).ok()?,
                balance0: IBalance::balanceOfCall::abi_decode_returns(data(2)?).ok()?,
                balance1: IBalance::balanceOfCall::abi_decode_returns(data(3)?).ok()?,
            },
        })
    }
}

/// Returns two tokens in the order in which pools have them.
pub(super) fn ordered(a: Address, b: Address) -> Pair {
    if a < b { (a, b) } else { (b, a) }
}
