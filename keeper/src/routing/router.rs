//! Which pools there are between the tokens that matter, and their state as last read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::{primitives::Address, sol, sol_types::SolCall};
use plimsoll_chain::error::ChainError;

use super::{
    concentrated::{LAST_TICK, Ticks},
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
/// Most requests in which a pool's ticks are read: for the words of its bitmap, and for the ticks that they name.
const TICK_REQUESTS: usize = 2;
/// Ticks of one word of a pool's bitmap, in units of their spacing.
const WORD_TICKS: i32 = 256;
/// Ticks around the price that are read, as far as there are few of them: a fall by a fifth.
const REACH_TICKS: i32 = 2_300;
/// Most ticks at which liquidity changes that are read, above the price and below it.
const TICKS_PER_SIDE: usize = 32;
/// Number of blocks after which pools that did not exist are looked for again.
const SEARCH_BLOCKS: u64 = 2_000;

sol! {
    interface IPair {
        function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 blockTimestampLast);
    }
    interface IConcentrated {
        function slot0() external view returns (uint160 sqrtPriceX96, int24 tick);
        function liquidity() external view returns (uint128 liquidity);
        function tickSpacing() external view returns (int24 spacing);
        function tickBitmap(int16 wordPosition) external view returns (uint256 bits);
        function ticks(int24 tick) external view returns (uint128 liquidityGross, int128 liquidityNet);
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
        let reading = self.reading(header, sales, REFRESH_BLOCKS);
        let pools = reading.run(reader, header, 0).await?;
        self.take(pools);
        Ok(())
    }

    /// Reads the pools that sales may use, and the ticks around their prices, so that a refresh in the next block needs no
    /// request.
    ///
    /// # Errors
    /// When no node answers. What was known stays.
    pub async fn refresh_ahead<R: ChainReader>(
        &mut self,
        reader: &R,
        header: &Header,
        sales: impl IntoIterator<Item = (Address, Address)>,
    ) -> Result<(), ChainError> {
        let pools = self.reading_ahead(header, sales).run_with_ticks(reader, header).await?;
        self.take(pools);
        Ok(())
    }

    /// Plans what [`Self::refresh_ahead`] reads, so that something else can be done with the router meanwhile.
    #[must_use]
    pub fn reading_ahead(&self, header: &Header, sales: impl IntoIterator<Item = (Address, Address)>) -> PoolReading {
        let mut reading = self.reading(header, sales, REFRESH_BLOCKS - 1);
        // Those that a refresh read in this block, whose ticks were not known.
        let is_new = |pair: &&Pair| self.known.get(*pair).is_some_and(|known| known.read_at == header.number);
        let pools = self.known.keys().filter(is_new).flat_map(|pair| self.pools.of(*pair));
        reading.places.extend(pools.filter(|pool| !pool.wanted.is_read).map(Place::of));
        reading
    }

    /// Plans to read the pools of sales that were read so many blocks ago or longer.
    fn reading(
        &self,
        header: &Header,
        sales: impl IntoIterator<Item = (Address, Address)>,
        blocks: u64,
    ) -> PoolReading {
        let wanted: BTreeSet<Pair> = sales.into_iter().flat_map(|sale| self.pairs(sale)).collect();
        let is_older = |at: u64, blocks: u64| header.number.saturating_sub(at) >= blocks;
        let (mut searched, mut read) = (Vec::new(), Vec::new());
        for pair in wanted {
            match self.known.get(&pair) {
                Some(known) if !is_older(known.searched_at, SEARCH_BLOCKS - (REFRESH_BLOCKS - blocks)) => {
                    if is_older(known.read_at, blocks) {
                        read.push(pair);
                    }
                }
                _ => searched.push(pair),
            }
        }
        let mut places: Vec<Place> = read.iter().flat_map(|pair| self.pools.of(*pair)).map(Place::of).collect();
        places.extend(searched.iter().flat_map(|pair| self.places(*pair)));
        PoolReading { searched, read, places }
    }

    /// Takes pools that were read, unless they were read in a later block meanwhile.
    pub fn take(&mut self, pools: PoolsRead) {
        let PoolsRead { block, searched, read, states } = pools;
        let is_newer =
            |known: &BTreeMap<Pair, Known>, pair: Pair| known.get(&pair).is_some_and(|known| known.read_at > block);
        for (place, state) in states {
            if !is_newer(&self.known, (place.token0, place.token1)) {
                self.pools.set(place, state);
            }
        }
        for pair in searched {
            if !is_newer(&self.known, pair) {
                self.known.insert(pair, Known { searched_at: block, read_at: block });
            }
        }
        for pair in read {
            if let Some(known) = self.known.get_mut(&pair) {
                known.read_at = known.read_at.max(block);
            }
        }
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
                wanted: WantedTicks::default(),
            };
            Some(venue.keys.iter().map(place).collect::<Vec<_>>())
        };
        self.venues.iter().enumerate().filter_map(of_venue).flatten().collect()
    }
}

/// Pools that are to be read in a block.
#[derive(Debug)]
pub struct PoolReading {
    /// Pairs whose pools are looked for.
    searched: Vec<Pair>,
    /// Pairs whose pools are known.
    read: Vec<Pair>,
    places: Vec<Place>,
}

/// Pools as read in one block.
#[derive(Debug)]
pub struct PoolsRead {
    block: u64,
    searched: Vec<Pair>,
    read: Vec<Pair>,
    states: Vec<(Place, PlaceState)>,
}

/// State of a pool, and what of its ticks is to be read next; `None` where there is no pool.
type PlaceState = Option<(PoolState, WantedTicks)>;

impl PoolReading {
    /// Returns whether there is nothing to read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Reads the pools and the ticks around their prices, in up to three requests.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn run_with_ticks<R: ChainReader>(self, reader: &R, header: &Header) -> Result<PoolsRead, ChainError> {
        self.run(reader, header, TICK_REQUESTS).await
    }

    /// Reads the pools in one request, and what is still unknown of their ticks in so many more.
    async fn run<R: ChainReader>(self, reader: &R, header: &Header, further: usize) -> Result<PoolsRead, ChainError> {
        let Self { searched, read, places } = self;
        let mut states = read_states(reader, header, places).await?;
        for _ in 0..further {
            let (known, incomplete): (Vec<_>, Vec<_>) =
                states.into_iter().partition(|(_, state)| state.as_ref().is_none_or(|(_, wanted)| wanted.is_read));
            states = known;
            if incomplete.is_empty() {
                break;
            }
            let next = |(place, state): (Place, PlaceState)| match state {
                Some((_, wanted)) => Place { wanted, ..place },
                None => place,
            };
            states.extend(read_states(reader, header, incomplete.into_iter().map(next).collect()).await?);
        }
        Ok(PoolsRead { block: header.number, searched, read, states })
    }
}

/// Reads pools where they are, or may be, in one request.
async fn read_states<R: ChainReader>(
    reader: &R,
    header: &Header,
    places: Vec<Place>,
) -> Result<Vec<(Place, PlaceState)>, ChainError> {
    let calls: Vec<Vec<Call>> = places.iter().map(Place::calls).collect();
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let results = reader.run_each(header, calls.iter().flatten().cloned().collect::<Vec<_>>()).await?;
    let mut results = results.into_iter();
    let read = |(place, calls): (Place, Vec<Call>)| {
        let answers: Vec<_> = results.by_ref().take(calls.len()).collect();
        let state = place.state(&answers);
        (place, state)
    };
    Ok(places.into_iter().zip(calls).map(read).collect())
}

/// What of a pool's ticks is read next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct WantedTicks {
    /// The first and the last word of the bitmap, around the price.
    words: Option<(i32, i32)>,
    /// Ticks at which liquidity changes, the nearest to the price.
    ticks: Vec<i32>,
    /// Whether exactly this was read.
    is_read: bool,
}

/// Where a pool is, or may be.
#[derive(Debug, Clone)]
pub(super) struct Place {
    kind: VenueKind,
    pub(super) venue: u8,
    pub(super) key: u32,
    pub(super) address: Address,
    pub(super) token0: Address,
    pub(super) token1: Address,
    wanted: WantedTicks,
}

impl Place {
    pub(super) fn of(pool: &Pool) -> Self {
        let Pool { venue, key, address, token0, token1, .. } = *pool;
        let kind = match pool.state {
            PoolState::Pair { .. } => VenueKind::UniswapV2,
            PoolState::Concentrated { .. } => VenueKind::UniswapV3,
        };
        Self { kind, venue, key, address, token0, token1, wanted: pool.wanted.clone() }
    }

    fn calls(&self) -> Vec<Call> {
        let call = |to: Address, data: Vec<u8>| Call::view(to, data, VIEW_GAS);
        let of_pool = |data: Vec<u8>| call(self.address, data);
        let balance = |token| call(token, IBalance::balanceOfCall { account: self.address }.abi_encode());
        match self.kind {
            VenueKind::UniswapV2 => vec![of_pool(IPair::getReservesCall {}.abi_encode())],
            VenueKind::UniswapV3 => {
                let word = |word: i32| {
                    Some(IConcentrated::tickBitmapCall { wordPosition: i16::try_from(word).ok()? }.abi_encode())
                };
                let tick = |tick: &i32| Some(IConcentrated::ticksCall { tick: (*tick).try_into().ok()? }.abi_encode());
                let words = self.wanted.words.into_iter().flat_map(|(first, last)| first..=last).filter_map(word);
                let ticks = self.wanted.ticks.iter().filter_map(tick);
                let mut calls = vec![
                    of_pool(IConcentrated::slot0Call {}.abi_encode()),
                    of_pool(IConcentrated::liquidityCall {}.abi_encode()),
                    balance(self.token0),
                    balance(self.token1),
                    of_pool(IConcentrated::tickSpacingCall {}.abi_encode()),
                ];
                calls.extend(words.chain(ticks).map(of_pool));
                calls
            }
        }
    }

    /// Returns the state of the pool by the answers to its calls, and what to read of it next; `None` if there is no pool.
    fn state(&self, answers: &[SimulatedCall]) -> PlaceState {
        let data = |index: usize| answers.get(index)?.result.as_ref().ok();
        Some(match self.kind {
            VenueKind::UniswapV2 => {
                let reserves = IPair::getReservesCall::abi_decode_returns(data(0)?).ok()?;
                let state = PoolState::Pair { reserve0: reserves.reserve0.to(), reserve1: reserves.reserve1.to() };
                (state, WantedTicks { is_read: true, ..WantedTicks::default() })
            }
            VenueKind::UniswapV3 => {
                let slot = IConcentrated::slot0Call::abi_decode_returns(data(0)?).ok()?;
                let spacing = data(4).and_then(|data| IConcentrated::tickSpacingCall::abi_decode_returns(data).ok());
                let spacing = spacing.map(|spacing| spacing.as_i32()).filter(|spacing| *spacing > 0);
                let (ticks, wanted) = match spacing {
                    Some(spacing) => self.ticks(slot.tick.as_i32(), spacing, answers.get(5..).unwrap_or_default()),
                    // Nothing more can be read of it.
                    None => (None, WantedTicks { is_read: true, ..WantedTicks::default() }),
                };
                let state = PoolState::Concentrated {
                    sqrt_price_x96: slot.sqrtPriceX96.to(),
                    liquidity: IConcentrated::liquidityCall::abi_decode_returns(data(1)?).ok()?,
                    balance0: IBalance::balanceOfCall::abi_decode_returns(data(2)?).ok()?,
                    balance1: IBalance::balanceOfCall::abi_decode_returns(data(3)?).ok()?,
                    ticks: ticks.map(Arc::new),
                };
                (state, wanted)
            }
        })
    }

    /// Returns the ticks around the price by the answers to the calls that ask for them, and those to read next.
    fn ticks(&self, current: i32, spacing: i32, answers: &[SimulatedCall]) -> (Option<Ticks>, WantedTicks) {
        let compressed = current.div_euclid(spacing);
        let here = compressed.div_euclid(WORD_TICKS);
        let around = (REACH_TICKS / (WORD_TICKS * spacing)).max(1);
        let words = Some((here.saturating_sub(around), here.saturating_add(around)));
        let asked = self.wanted.words.filter(|(first, last)| (*first..=*last).contains(&here));
        let Some((first, last)) = asked else {
            return (None, WantedTicks { words, ..WantedTicks::default() });
        };
        let data = |index: usize| answers.get(index)?.result.as_ref().ok();
        let mut initialised = BTreeSet::new();
        for (index, word) in (first..=last).enumerate() {
            let bits = data(index).and_then(|data| IConcentrated::tickBitmapCall::abi_decode_returns(data).ok());
            let Some(bits) = bits else { return (None, WantedTicks { words, ..WantedTicks::default() }) };
            let set = (0..256).filter(|bit| bits.bit(*bit)).filter_map(|bit| i32::try_from(bit).ok());
            initialised.extend(set.map(|bit| (word * WORD_TICKS + bit).saturating_mul(spacing)));
        }
        let count = usize::try_from(last - first + 1).unwrap_or_default();
        let net = |(index, tick): (usize, &i32)| {
            let tick_state = IConcentrated::ticksCall::abi_decode_returns(data(count + index)?).ok()?;
            Some((*tick, tick_state.liquidityNet))
        };
        let nets: BTreeMap<i32, i128> = self.wanted.ticks.iter().enumerate().filter_map(net).collect();
        let is_unknown = |tick: &&i32| !nets.contains_key(*tick);
        let below = || initialised.range(..=current).rev();
        let above = || initialised.range(current.saturating_add(1)..);
        let lowest = (first * WORD_TICKS).saturating_mul(spacing).max(-LAST_TICK);
        let highest = (last * WORD_TICKS + WORD_TICKS - 1).saturating_mul(spacing).min(LAST_TICK);
        let known = (
            below().find(is_unknown).map_or(lowest, |tick| tick.saturating_add(1)),
            above().find(is_unknown).map_or(highest, |tick| tick.saturating_sub(1)),
        );
        let of_known = |tick: &&i32| (known.0..=known.1).contains(*tick);
        let net = initialised.iter().filter(of_known).filter_map(|tick| Some((*tick, *nets.get(tick)?))).collect();
        let ticks: Vec<_> = below().take(TICKS_PER_SIDE).chain(above().take(TICKS_PER_SIDE)).copied().collect();
        let is_read = words == asked && ticks.iter().all(|tick| nets.contains_key(tick));
        (Some(Ticks { spacing, current, net, known }), WantedTicks { words, ticks, is_read })
    }
}

/// Returns two tokens in the order in which pools have them.
pub(super) fn ordered(a: Address, b: Address) -> Pair {
    if a < b { (a, b) } else { (b, a) }
}
