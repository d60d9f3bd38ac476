//! The liquidation prices of all markets in one block, by one call to the lens.

use std::fmt;

use alloy::{
    hex,
    primitives::{Address, B256, U256, map::B256Map},
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{IChainlinkOracle::IChainlinkOracleErrors, ILens, Market, MarketId};
use serde::Serialize;

use super::reader::{Call, ChainReader};
use crate::chain::Header;

/// Markets in one call. An honest oracle uses some ten thousand gas; one that burns all that it gets uses half a million
/// for each of its prices, and nodes allow no more than some 50 million a call.
const MARKETS_PER_CALL: usize = 40;
/// Gas limit of a call to the lens: as much as nodes allow.
const GAS: u64 = 50_000_000;

/// The liquidation prices of markets in one block, with the totals that the lens returns along with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    by_market: B256Map<Result<U256, NoPrice>>,
    stored: B256Map<Market>,
}

/// Why a market has no liquidation price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoPrice {
    /// The oracle reverted. The word has the error's selector and what fits of its arguments.
    Reverted(B256),
    /// The oracle has no code, or returned too little data.
    NoAnswer,
    /// The oracle returned 0, which the core rejects.
    Zero,
    /// The node gives the lens too little gas to read the oracle.
    TooLittleGas,
    /// The market was not read in this block.
    NotAsked,
}

impl Prices {
    /// Returns the liquidation price of a market, 1e36-scaled, or why there is none.
    pub fn of(&self, market: MarketId) -> Result<U256, NoPrice> {
        self.by_market.get(&market.0).cloned().unwrap_or(Err(NoPrice::NotAsked))
    }

    /// Returns a market's totals as the core has them in storage; `None` where the market was not read.
    #[must_use]
    pub fn stored(&self, market: MarketId) -> Option<&Market> {
        self.stored.get(&market.0)
    }
}

impl FromIterator<(MarketId, Result<U256, NoPrice>)> for Prices {
    fn from_iter<I: IntoIterator<Item = (MarketId, Result<U256, NoPrice>)>>(prices: I) -> Self {
        let by_market = prices.into_iter().map(|(market, price)| (market.0, price)).collect();
        Self { by_market, stored: B256Map::default() }
    }
}

/// Reads the liquidation prices of markets in a block: one call for up to 40 markets, all calls in one request. Markets
/// that the lens had too little gas for are read once more, each on its own. Fails where no node answers, or where the
/// address is not a lens.
pub async fn snapshot<R: ChainReader>(
    reader: &R,
    lens: Address,
    header: &Header,
    markets: &[MarketId],
) -> Result<Prices, ChainError> {
    let mut prices = read_prices(reader, lens, header, markets, MARKETS_PER_CALL).await?;
    let starved: Vec<_> = markets.iter().filter(|id| prices.of(**id) == Err(NoPrice::TooLittleGas)).copied().collect();
    if !starved.is_empty() && markets.len() > 1 {
        prices.by_market.extend(read_prices(reader, lens, header, &starved, 1).await?.by_market);
    }
    Ok(prices)
}

async fn read_prices<R: ChainReader>(
    reader: &R,
    lens: Address,
    header: &Header,
    markets: &[MarketId],
    markets_per_call: usize,
) -> Result<Prices, ChainError> {
    if markets.is_empty() {
        return Ok(Prices::default());
    }
    let call = |ids: &[MarketId]| {
        let data = ILens::snapshotCall { ids: ids.iter().map(|id| id.0).collect() }.abi_encode().into();
        Call { from: Address::ZERO, to: lens, data, gas: GAS }
    };
    let calls: Vec<_> = markets.chunks(markets_per_call).map(call).collect();
    let mut prices = Prices::default();
    for result in reader.simulate_independent(header.hash, &calls).await? {
        let data = result.map_err(|error| reader.invalid_response(format!("the lens {lens} reverted: {error}")))?;
        let snapshot = ILens::snapshotCall::abi_decode_returns(&data)
            .map_err(|_| reader.invalid_response(format!("{lens} is not a lens: its return data cannot be decoded")))?;
        for line in snapshot.markets {
            prices.by_market.insert(line.id, decode_price(&line.liquidationPrice));
            prices.stored.insert(line.id, line.stored);
        }
    }
    Ok(prices)
}

fn decode_price(reading: &ILens::PriceReading) -> Result<U256, NoPrice> {
    match reading.status {
        ILens::PriceStatus::Ok => Ok(reading.price),
        ILens::PriceStatus::Reverted => Err(NoPrice::Reverted(reading.errorData)),
        ILens::PriceStatus::NoAnswer | ILens::PriceStatus::__Invalid => Err(NoPrice::NoAnswer),
        ILens::PriceStatus::Zero => Err(NoPrice::Zero),
        ILens::PriceStatus::TooLittleGas => Err(NoPrice::TooLittleGas),
    }
}

impl fmt::Display for NoPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reverted(error) => {
                let selector = [error[0], error[1], error[2], error[3]];
                match IChainlinkOracleErrors::name_by_selector(selector) {
                    Some(name) => write!(f, "the oracle reverts: {name}"),
                    None => write!(f, "the oracle reverts with 0x{}", hex::encode(selector)),
                }
            }
            Self::NoAnswer => f.write_str("the oracle does not answer"),
            Self::Zero => f.write_str("the oracle returns 0"),
            Self::TooLittleGas => f.write_str("the node gives too little gas to read the oracle"),
            Self::NotAsked => f.write_str("the oracle was not read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use alloy::sol_types::{SolType, SolValue};

    use super::*;
    use crate::prices::{CallError, CallResult, SimulatedCall};

    const LENS: Address = Address::repeat_byte(5);

    /// A lens that has gas for only so many oracles a call. The oracle of market 7 reverts, that of market 8 returns 0.
    struct Lens {
        oracles_per_call: usize,
        /// Markets of each call so far.
        requested: Mutex<Vec<usize>>,
    }

    impl ChainReader for Lens {
        async fn simulate_independent(&self, _: B256, calls: &[Call]) -> Result<Vec<CallResult>, ChainError> {
            Ok(calls.iter().map(|call| self.answer(call)).collect())
        }

        async fn simulate_sequential(&self, _: &Header, _: &[Call]) -> Result<Option<Vec<SimulatedCall>>, ChainError> {
            Ok(None)
        }

        fn invalid_response(&self, problem: String) -> ChainError {
            ChainError::Unreachable { endpoint: "lens".into(), problem }
        }
    }

    impl Lens {
        fn answer(&self, call: &Call) -> CallResult {
            if call.to != LENS {
                return Err(CallError { message: "execution reverted".into(), data: None });
            }
            let ids = ILens::snapshotCall::abi_decode(&call.data).unwrap().ids;
            self.requested.lock().unwrap().push(ids.len());
            let line = |(place, id): (usize, &B256)| {
                let number = U256::from_be_bytes(id.0);
                let (status, price) = match number.to::<u64>() {
                    _ if place >= self.oracles_per_call => (ILens::PriceStatus::TooLittleGas, U256::ZERO),
                    7 => (ILens::PriceStatus::Reverted, U256::ZERO),
                    8 => (ILens::PriceStatus::Zero, U256::ZERO),
                    _ => (ILens::PriceStatus::Ok, number),
                };
                let reading = ILens::PriceReading { status, price, errorData: B256::repeat_byte(1) };
                ILens::MarketLine { id: *id, liquidationPrice: reading, ..blank() }
            };
            let markets = ids.iter().enumerate().map(line).collect();
            let one = U256::ONE;
            let snapshot = ILens::Snapshot { blockNumber: one, timestamp: one, baseFee: one, markets };
            Ok(ILens::snapshotCall::abi_encode_returns(&snapshot).into())
        }
    }

    /// Returns a line of zeroes.
    fn blank() -> ILens::MarketLine {
        let words = vec![0; ILens::MarketLine::ENCODED_SIZE.unwrap()];
        <ILens::MarketLine as SolValue>::abi_decode(&words).unwrap()
    }

    fn market(number: u64) -> MarketId {
        MarketId(U256::from(number).into())
    }

    async fn prices_of(lens: &Lens, markets: u64) -> Prices {
        let ids: Vec<_> = (1..=markets).map(market).collect();
        let header = Header {
            number: 1,
            hash: B256::ZERO,
            parent_hash: B256::ZERO,
            timestamp: 1,
            base_fee: 0,
            gas_limit: 0,
            gas_used: 0,
        };
        snapshot(lens, LENS, &header, &ids).await.unwrap()
    }

    #[tokio::test]
    async fn one_call_reads_forty_markets_and_says_why_some_have_no_price() {
        let lens = Lens { oracles_per_call: 100, requested: Mutex::default() };
        let prices = prices_of(&lens, 40).await;
        assert_eq!(*lens.requested.lock().unwrap(), [40]);
        assert_eq!(prices.of(market(1)), Ok(U256::ONE));
        assert_eq!(prices.of(market(7)), Err(NoPrice::Reverted(B256::repeat_byte(1))));
        assert_eq!(prices.of(market(8)), Err(NoPrice::Zero));
        assert_eq!(prices.of(market(41)), Err(NoPrice::NotAsked));
        prices_of(&lens, 41).await;
        assert_eq!(*lens.requested.lock().unwrap(), [40, 40, 1]);
    }

    #[tokio::test]
    async fn markets_with_too_little_gas_are_read_again_each_on_its_own() {
        let lens = Lens { oracles_per_call: 1, requested: Mutex::default() };
        let prices = prices_of(&lens, 3).await;
        assert_eq!(*lens.requested.lock().unwrap(), [3, 1, 1]);
        assert!((1..=3).all(|number| prices.of(market(number)) == Ok(U256::from(number))));
        let starved = Lens { oracles_per_call: 0, requested: Mutex::default() };
        assert_eq!(prices_of(&starved, 2).await.of(market(1)), Err(NoPrice::TooLittleGas));
    }
}
