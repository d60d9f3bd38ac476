//! The liquidation prices of markets in one block, by their own oracles, with the totals that the core has stored.

use std::fmt;

use alloy::{
    hex,
    primitives::{Address, B256, Bytes, U256, map::B256Map},
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{
    IChainlinkOracle::IChainlinkOracleErrors,
    IOracle,
    IPlimsoll::{self, marketCall},
    Market, MarketId,
};
use serde::Serialize;

use super::reader::{Call, CallError, CallResult, ChainReader, SimulatedCall};
use crate::{book::MarketBook, chain::Header};

/// Gas for one price. 300,000 are enough for an oracle of four Chainlink feeds, a sequencer feed and a Uniswap average.
const ORACLE_GAS: u64 = 500_000;
/// Gas for reading a market's totals, which uses some ten thousand.
const TOTALS_GAS: u64 = 100_000;
const WORD_BYTES: usize = 32;

/// A market whose price is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PricedMarket {
    /// Id of the market.
    pub id: MarketId,
    /// Address of its oracle.
    pub oracle: Address,
}

/// The liquidation prices of markets in one block, with the totals that the core has stored there.
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
    /// The node has too little gas to read the oracle.
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

impl PricedMarket {
    /// Returns a market of the book.
    #[must_use]
    pub const fn of(market: &MarketBook) -> Self {
        Self { id: market.id(), oracle: market.params().oracle }
    }
}

/// Reads the oracles of markets from the core; those that do not exist have none. Fails where no node answers.
pub async fn read_markets<R: ChainReader>(
    reader: &R,
    core: Address,
    header: &Header,
    ids: &[MarketId],
) -> Result<Vec<PricedMarket>, ChainError> {
    let call = |id: &MarketId| {
        let data = IPlimsoll::marketParamsCall { id: id.0 }.abi_encode();
        Call::view(core, data, TOTALS_GAS)
    };
    let results = reader.run_each(header, ids.iter().map(call).collect::<Vec<_>>()).await?;
    let oracle = |result: &CallResult| {
        let params = IPlimsoll::marketParamsCall::abi_decode_returns(result.as_ref().ok()?).ok();
        params.map(|params| params.oracle)
    };
    let market = |(id, call): (&MarketId, SimulatedCall)| PricedMarket {
        id: *id,
        oracle: oracle(&call.result).unwrap_or_default(),
    };
    Ok(ids.iter().zip(results).map(market).collect())
}

/// Returns the calls by which the prices and totals of markets are read.
pub fn price_calls(core: Address, markets: &[PricedMarket]) -> Vec<Call> {
    let calls = |market: &PricedMarket| {
        let price = IOracle::liquidationPriceCall {}.abi_encode();
        let totals = IPlimsoll::marketCall { id: market.id.0 }.abi_encode();
        [Call::view(market.oracle, price, ORACLE_GAS), Call::view(core, totals, TOTALS_GAS)]
    };
    markets.iter().flat_map(calls).collect()
}

/// Reads the liquidation prices and totals of markets in a block. Whatever an oracle does, it is only its own market that
/// has no price. Fails where no node answers.
pub async fn snapshot<R: ChainReader>(
    reader: &R,
    core: Address,
    header: &Header,
    markets: &[PricedMarket],
) -> Result<Prices, ChainError> {
    let results = reader.run_each(header, price_calls(core, markets)).await?;
    let mut prices = Prices::default();
    for (market, pair) in markets.iter().zip(results.chunks_exact(2)) {
        let [price, totals] = pair else { continue };
        prices.by_market.insert(market.id.0, decode_price(&price.result));
        if let Some(totals) = decode_totals(totals) {
            prices.stored.insert(market.id.0, totals);
        }
    }
    Ok(prices)
}

fn decode_price(result: &CallResult) -> Result<U256, NoPrice> {
    match result {
        Ok(data) => match data.get(..WORD_BYTES).map(U256::from_be_slice) {
            None => Err(NoPrice::NoAnswer),
            Some(U256::ZERO) => Err(NoPrice::Zero),
            Some(price) => Ok(price),
        },
        Err(CallError::Reverted(data)) => Err(NoPrice::Reverted(first_word(data))),
        Err(CallError::NotRun) => Err(NoPrice::TooLittleGas),
    }
}

fn decode_totals(call: &SimulatedCall) -> Option<Market> {
    marketCall::abi_decode_returns(call.result.as_ref().ok()?).ok()
}

/// Returns the first 32 bytes, filled up with zeroes at the end.
fn first_word(data: &Bytes) -> B256 {
    let mut word = B256::ZERO;
    for (to, from) in word.iter_mut().zip(data) {
        *to = *from;
    }
    word
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
            Self::TooLittleGas => f.write_str("the node has too little gas to read the oracle"),
            Self::NotAsked => f.write_str("the oracle was not read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const CORE: Address = Address::repeat_byte(0xc0);

    /// A core, and oracles whose addresses begin with what they do.
    #[derive(Default)]
    struct Node {
        requests: Mutex<Vec<usize>>,
    }

    impl ChainReader for Node {
        async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
            self.requests.lock().unwrap().push(sequences.len());
            let answer = |call: &Call| SimulatedCall { result: answer(call), gas_used: 1 };
            Ok(sequences.iter().map(|calls| calls.iter().map(answer).collect()).collect())
        }
    }

    fn answer(call: &Call) -> CallResult {
        if call.to == CORE {
            return Err(CallError::Reverted(Bytes::new()));
        }
        match call.to[0] {
            1 => Ok(U256::from(7).to_be_bytes_vec().into()),
            2 => Err(CallError::Reverted(vec![1, 2, 3, 4, 5].into())),
            3 => Ok(vec![0; WORD_BYTES].into()),
            4 => Ok(vec![1; WORD_BYTES - 1].into()),
            // More than a word: only the first one counts.
            5 => Ok([U256::from(8).to_be_bytes_vec(), vec![9; 99]].concat().into()),
            _ => Err(CallError::NotRun),
        }
    }

    #[tokio::test]
    async fn one_request_reads_all_markets_and_says_why_some_have_no_price() {
        let (node, header) = (Node::default(), Header::default());
        let market =
            |kind: u8| PricedMarket { id: MarketId(B256::repeat_byte(kind)), oracle: Address::repeat_byte(kind) };
        let markets: Vec<_> = (1..=6).map(market).collect();
        let prices = snapshot(&node, CORE, &header, &markets).await.unwrap();
        let mut selector = B256::ZERO;
        selector[..5].copy_from_slice(&[1, 2, 3, 4, 5]);
        let expected = [
            Ok(U256::from(7)),
            Err(NoPrice::Reverted(selector)),
            Err(NoPrice::Zero),
            Err(NoPrice::NoAnswer),
            Ok(U256::from(8)),
            Err(NoPrice::TooLittleGas),
        ];
        assert_eq!(markets.iter().map(|market| prices.of(market.id)).collect::<Vec<_>>(), expected);
        assert_eq!(prices.of(market(7).id), Err(NoPrice::NotAsked));
        assert_eq!(*node.requests.lock().unwrap(), [12]);
    }
}
