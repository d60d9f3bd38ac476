//! Every market's liquidation price in one block, by one call to the lens.

use std::fmt;

use alloy::{
    hex,
    primitives::{Address, B256, U256, map::B256Map},
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{IChainlinkOracle::IChainlinkOracleErrors, ILens, Market, MarketId};
use serde::Serialize;

use super::node::{Call, Reads};
use crate::chain::Header;

/// Markets in one call. An honest oracle takes some ten thousand gas; one that burns all it gets takes half a million
/// for each of its prices, and nodes carry out no more than some 50 million a call.
const MARKETS_PER_CALL: usize = 40;
/// As much as nodes carry out in a call.
const GAS: u64 = 50_000_000;

/// The prices of one block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    by_market: B256Map<Result<U256, NoPrice>>,
    stored: B256Map<Market>,
}

/// Why a market has no price to liquidate by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoPrice {
    /// Its oracle refused, with this selector of an error and what fits of the arguments.
    Reverted(B256),
    /// Its oracle is gone, or answers too little.
    NoAnswer,
    /// Its oracle says 0, which the core refuses.
    Zero,
    /// The node gives the lens too little gas to ask.
    TooLittleGas,
    /// Nobody asked, or the lens did not answer.
    NotAsked,
}

impl Prices {
    /// The liquidation price of a market, or why there is none.
    pub fn of(&self, market: MarketId) -> Result<U256, NoPrice> {
        self.by_market.get(&market.0).cloned().unwrap_or(Err(NoPrice::NotAsked))
    }

    /// A market's totals as the core has them stored, which the lens says beside.
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

/// Reads the liquidation prices of markets in a block: one call for up to 40 of them, all in one request. Those that
/// the lens had too little gas for are asked once more, each on its own. Fails where the node or the lens does not
/// answer.
pub async fn snapshot<R: Reads>(
    reads: &R,
    lens: Address,
    header: &Header,
    markets: &[MarketId],
) -> Result<Prices, ChainError> {
    let mut prices = ask(reads, lens, header, markets, MARKETS_PER_CALL).await?;
    let starved: Vec<_> = markets.iter().filter(|id| prices.of(**id) == Err(NoPrice::TooLittleGas)).copied().collect();
    if !starved.is_empty() && markets.len() > 1 {
        prices.by_market.extend(ask(reads, lens, header, &starved, 1).await?.by_market);
    }
    Ok(prices)
}

async fn ask<R: Reads>(
    reads: &R,
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
    for answer in reads.calls(header.hash, &calls).await? {
        let answer = answer.map_err(|refusal| reads.error(format!("the lens {lens} refused: {refusal}")))?;
        let snapshot = ILens::snapshotCall::abi_decode_returns(&answer)
            .map_err(|_| reads.error(format!("there is no lens at {lens}: it answers something else")))?;
        for line in snapshot.markets {
            prices.by_market.insert(line.id, read(&line.liquidationPrice));
            prices.stored.insert(line.id, line.stored);
        }
    }
    Ok(prices)
}

fn read(reading: &ILens::PriceReading) -> Result<U256, NoPrice> {
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
                    Some(name) => write!(f, "the oracle refuses: {name}"),
                    None => write!(f, "the oracle refuses with 0x{}", hex::encode(selector)),
                }
            }
            Self::NoAnswer => f.write_str("the oracle does not answer"),
            Self::Zero => f.write_str("the oracle says 0"),
            Self::TooLittleGas => f.write_str("the node gives too little gas to ask the oracle"),
            Self::NotAsked => f.write_str("the oracle was not asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use alloy::sol_types::{SolType, SolValue};

    use super::*;
    use crate::prices::{Answer, Refusal, Trial};

    const LENS: Address = Address::repeat_byte(5);

    /// A lens with so much gas that it can ask so many oracles a call; the 7th market's reverts, the 8th says 0.
    struct Lens {
        oracles_per_call: usize,
        asked: Mutex<Vec<usize>>,
    }

    impl Reads for Lens {
        async fn calls(&self, _: B256, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
            Ok(calls.iter().map(|call| self.answer(call)).collect())
        }

        async fn sequence(&self, _: &Header, _: &[Call]) -> Result<Option<Vec<Trial>>, ChainError> {
            Ok(None)
        }

        fn error(&self, problem: String) -> ChainError {
            ChainError::Unreachable { endpoint: "lens".into(), problem }
        }
    }

    impl Lens {
        fn answer(&self, call: &Call) -> Answer {
            if call.to != LENS {
                return Err(Refusal { message: "execution reverted".into(), data: None });
            }
            let ids = ILens::snapshotCall::abi_decode(&call.data).unwrap().ids;
            self.asked.lock().unwrap().push(ids.len());
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

    /// A line of nothing.
    fn blank() -> ILens::MarketLine {
        let words = vec![0; ILens::MarketLine::ENCODED_SIZE.unwrap()];
        <ILens::MarketLine as SolValue>::abi_decode(&words).unwrap()
    }

    fn market(number: u64) -> MarketId {
        MarketId(U256::from(number).into())
    }

    async fn ask_all(lens: &Lens, markets: u64) -> Prices {
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
    async fn one_call_has_the_prices_of_forty_markets_and_the_reasons_of_those_without() {
        let lens = Lens { oracles_per_call: 100, asked: Mutex::default() };
        let prices = ask_all(&lens, 40).await;
        assert_eq!(*lens.asked.lock().unwrap(), [40]);
        assert_eq!(prices.of(market(1)), Ok(U256::ONE));
        assert_eq!(prices.of(market(7)), Err(NoPrice::Reverted(B256::repeat_byte(1))));
        assert_eq!(prices.of(market(8)), Err(NoPrice::Zero));
        assert_eq!(prices.of(market(41)), Err(NoPrice::NotAsked));
        ask_all(&lens, 41).await;
        assert_eq!(*lens.asked.lock().unwrap(), [40, 40, 1]);
    }

    #[tokio::test]
    async fn markets_that_there_was_too_little_gas_for_are_asked_alone() {
        let lens = Lens { oracles_per_call: 1, asked: Mutex::default() };
        let prices = ask_all(&lens, 3).await;
        assert_eq!(*lens.asked.lock().unwrap(), [3, 1, 1]);
        assert!((1..=3).all(|number| prices.of(market(number)) == Ok(U256::from(number))));
        let starved = Lens { oracles_per_call: 0, asked: Mutex::default() };
        assert_eq!(ask_all(&starved, 2).await.of(market(1)), Err(NoPrice::TooLittleGas));
    }
}
