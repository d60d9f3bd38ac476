//! The value of tokens in the chain's native currency: by price feeds, pools or a fixed rate, as configured for each.

use std::{collections::BTreeMap, fmt};

use alloy::{
    primitives::{
        Address, B256, Bytes, U256, U512,
        map::{AddressMap, HashMap},
    },
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{IAggregatorV3, IUniswapV3Observer};
use serde::Serialize;

use super::{
    rate::Rate,
    reader::{Call, CallResult, ChainReader},
    twap::rate_at_average,
};
use crate::{amount::NATIVE_DECIMALS, chain::Header};

/// No token and no feed has more decimals.
const MAX_DECIMALS: u8 = 60;
/// Gas limit of one read: more than any feed or pool uses.
const GAS: u64 = 1_000_000;

/// With what a Uniswap V3 pool reverts that is asked for an older observation than it has.
const TOO_OLD: &str = "OLD";

/// Where the value of a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A rate that never changes.
    Fixed(Rate),
    /// Price feeds: the product of the base feeds' answers ÷ the product of the quote feeds' answers is the price of one
    /// whole token in whole native currencys.
    Feeds {
        /// Feeds whose answers are multiplied.
        base: Vec<Address>,
        /// Feeds whose answers are divided by.
        quote: Vec<Address>,
        /// Decimals of the valued token.
        decimals: u8,
        /// Age in seconds above which an answer is stale and not used.
        max_age_secs: u64,
    },
    /// A path of Uniswap V3 pools, whose prices are multiplied; the last one ends in the wrapped native currency.
    Pools(Vec<PoolHop>),
}

/// One Uniswap V3 pool on the path of [`Source::Pools`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolHop {
    /// Address of the pool.
    pub pool: Address,
    /// Token of the pool that is valued.
    pub token_in: Address,
    /// Token of the pool that the value is in.
    pub token_out: Address,
    /// Length in seconds of the time-weighted average price (TWAP); the spot price where this is `None`.
    pub window_secs: Option<u32>,
}

/// Why the value of a token is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoValuation {
    /// The configuration has no source for the token.
    NotConfigured,
    /// A feed or pool reverted, or its return data cannot be decoded.
    NoAnswer {
        /// Address of the feed or pool.
        contract: Address,
        /// What is wrong, in words.
        problem: String,
    },
    /// A feed's answer is stale.
    Stale {
        /// Address of the feed.
        feed: Address,
        /// Age of its answer, in seconds.
        age_secs: u64,
        /// Highest age that is configured, in seconds.
        max_age_secs: u64,
    },
    /// A feed answered 0 or less.
    NotPositive {
        /// Address of the feed.
        feed: Address,
    },
    /// The value is too large or too small to be represented.
    OutOfRange,
}

/// The values of tokens in one block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    rates: AddressMap<Result<Rate, NoValuation>>,
}

impl Values {
    /// Returns the value of a token, or why it is unknown.
    pub fn of(&self, token: Address) -> Result<Rate, NoValuation> {
        self.rates.get(&token).cloned().unwrap_or(Err(NoValuation::NotConfigured))
    }
}

impl FromIterator<(Address, Result<Rate, NoValuation>)> for Values {
    fn from_iter<I: IntoIterator<Item = (Address, Result<Rate, NoValuation>)>>(rates: I) -> Self {
        Self { rates: rates.into_iter().collect() }
    }
}

/// Reads the values of tokens: each at most once a block, all that are needed in one request, and without a request where
/// rates are fixed.
#[derive(Debug)]
pub struct Valuer {
    sources: BTreeMap<Address, Source>,
    /// Decimals of feeds, which do not change and are read once.
    feed_decimals: AddressMap<u8>,
    /// Hash of the current block, and the values known so far in it.
    known: (B256, Values),
    /// The last known value of each token, of whatever block.
    last: AddressMap<Rate>,
}

/// Contract and calldata of a read: equal reads are made once.
type Read = (Address, Bytes);
type ReadResults = HashMap<Read, CallResult>;

impl Valuer {
    /// Returns a valuer of the tokens that have a source.
    #[must_use]
    pub fn new(sources: BTreeMap<Address, Source>) -> Self {
        Self { sources, feed_decimals: AddressMap::default(), known: Default::default(), last: AddressMap::default() }
    }

    /// Returns the value that a token had when it was last read, which may be long ago; `None` if it never was.
    #[must_use]
    pub fn last_known(&self, token: Address) -> Option<Rate> {
        self.last.get(&token).copied()
    }

    /// Returns whether a token has a source and was not valued yet.
    #[must_use]
    pub fn is_never_read(&self, token: Address) -> bool {
        self.sources.contains_key(&token) && !self.last.contains_key(&token)
    }

    /// Returns the values of `tokens` in a block, and whatever else is known in it. Fails where no node answers; a feed or
    /// pool that reverts leaves only the tokens that depend on it without a value.
    pub async fn values<R: ChainReader>(
        &mut self,
        reader: &R,
        header: &Header,
        tokens: &[Address],
    ) -> Result<Values, ChainError> {
        if self.known.0 != header.hash {
            self.known = (header.hash, Values::default());
        }
        let is_new = |token: &&Address| !self.known.1.rates.contains_key(*token);
        let new: Vec<_> = tokens.iter().filter(is_new).filter_map(|token| self.sources.get_key_value(token)).collect();
        let reads = self.reads(new.iter().map(|(_, source)| *source));
        let results = reader.run_each(header, reads.iter().map(as_call)).await?;
        let results: ReadResults = reads.into_iter().zip(results.into_iter().map(|call| call.result)).collect();
        remember_decimals(&mut self.feed_decimals, &results);
        let rates: Vec<_> =
            new.into_iter().map(|(token, source)| (*token, self.rate(source, &results, header.timestamp))).collect();
        self.last.extend(rates.iter().filter_map(|(token, rate)| Some((*token, rate.clone().ok()?))));
        self.known.1.rates.extend(rates);
        Ok(self.known.1.clone())
    }

    /// Returns the calls by which [`values`](Self::values) reads the values of `tokens` in a block of which none is known.
    #[must_use]
    pub fn calls(&self, tokens: &[Address]) -> Vec<Call> {
        let sources = tokens.iter().filter_map(|token| self.sources.get(token));
        self.reads(sources).iter().map(as_call).collect()
    }

    /// Returns the reads that sources need, each once.
    fn reads<'a>(&self, sources: impl Iterator<Item = &'a Source>) -> Vec<Read> {
        let mut reads: Vec<_> = sources.flat_map(|source| self.reads_for(source)).collect();
        reads.sort_unstable();
        reads.dedup();
        reads
    }

    /// Returns the reads that a source needs in every block, and once for decimals that are not known yet.
    fn reads_for(&self, source: &Source) -> Vec<Read> {
        match source {
            Source::Fixed(_) => Vec::new(),
            Source::Feeds { base, quote, .. } => {
                let decimals = |feed: &&Address| !self.feed_decimals.contains_key(*feed);
                let unknown = base.iter().chain(quote).filter(decimals).map(|feed| (*feed, decimals_call()));
                unknown.chain(base.iter().chain(quote).map(|feed| (*feed, round_call()))).collect()
            }
            Source::Pools(hops) => hops.iter().map(|hop| (hop.pool, pool_call(hop))).collect(),
        }
    }

    /// Computes the rate of a source from the results of its reads, rounded down.
    fn rate(&self, source: &Source, results: &ReadResults, now: u64) -> Result<Rate, NoValuation> {
        match source {
            Source::Fixed(rate) => Ok(*rate),
            Source::Feeds { base, quote, decimals, max_age_secs } => {
                let units = power_of_ten(*decimals)?;
                let native = power_of_ten(NATIVE_DECIMALS)?;
                let mut rate = Rate::new(native, units);
                for (feed, is_base) in
                    base.iter().map(|feed| (feed, true)).chain(quote.iter().map(|feed| (feed, false)))
                {
                    let (answer, scale) = self.feed_answer(*feed, results, now, *max_age_secs)?;
                    let (numerator, denominator) = if is_base { (answer, scale) } else { (scale, answer) };
                    let factor = Rate::new(numerator, denominator);
                    rate = rate.zip(factor).and_then(|(rate, factor)| rate.times(factor));
                }
                rate.ok_or(NoValuation::OutOfRange)
            }
            Source::Pools(hops) => {
                let rates = hops.iter().map(|hop| pool_rate(hop, results));
                rates.reduce(|rate, next| rate?.times(next?).ok_or(NoValuation::OutOfRange)).unwrap_or(Ok(Rate::ONE))
            }
        }
    }

    /// Returns a feed's latest answer and its scale, the answer that stands for 1. Fails where it is stale or not
    /// positive.
    fn feed_answer(
        &self,
        feed: Address,
        results: &ReadResults,
        now: u64,
        max_age_secs: u64,
    ) -> Result<(U512, U512), NoValuation> {
        let round: IAggregatorV3::latestRoundDataReturn =
            decode_result::<IAggregatorV3::latestRoundDataCall>(results, feed, round_call())?;
        let decimals = self.feed_decimals.get(&feed).copied();
        let decimals = decimals.ok_or_else(|| NoValuation::NoAnswer {
            contract: feed,
            problem: "its decimals could not be read".into(),
        })?;
        let answered_at: u64 = round.updatedAt.saturating_to();
        let age_secs = now.saturating_sub(answered_at);
        if age_secs > max_age_secs {
            return Err(NoValuation::Stale { feed, age_secs, max_age_secs });
        }
        if !round.answer.is_positive() {
            return Err(NoValuation::NotPositive { feed });
        }
        Ok((U512::from(round.answer.unsigned_abs()), power_of_ten(decimals)?))
    }
}

fn as_call((to, data): &Read) -> Call {
    Call::view(*to, data.clone(), GAS)
}

fn remember_decimals(known: &mut AddressMap<u8>, results: &ReadResults) {
    let reads = results.iter().filter(|((_, data), _)| *data == decimals_call());
    for ((feed, _), result) in reads {
        if let Ok(Ok(decimals)) = result.as_ref().map(|data| IAggregatorV3::decimalsCall::abi_decode_returns(data)) {
            known.insert(*feed, decimals);
        }
    }
}

/// Computes a pool's price of the token that is valued in the other one: the spot price, or the TWAP where a window is
/// configured.
fn pool_rate(hop: &PoolHop, results: &ReadResults) -> Result<Rate, NoValuation> {
    let of_token_0 = hop.token_in < hop.token_out;
    let out_of_range = NoValuation::OutOfRange;
    let Some(window_secs) = hop.window_secs else {
        let slot = decode_result::<IUniswapV3Observer::slot0Call>(results, hop.pool, pool_call(hop))?;
        let root = U512::from(slot.sqrtPriceX96);
        let (numerator, denominator) = (root * root, U512::ONE << 192);
        let (numerator, denominator) = if of_token_0 { (numerator, denominator) } else { (denominator, numerator) };
        return Rate::new(numerator, denominator).ok_or(out_of_range);
    };
    if let Some(Err(error)) = results.get(&(hop.pool, pool_call(hop)))
        && error.message().as_deref() == Some(TOO_OLD)
    {
        let problem = format!(
            "its observations do not reach back over the {window_secs} s of `twap_window`: wait, have the pool keep more of \
             them (increaseObservationCardinalityNext), or value the token another way"
        );
        return Err(NoValuation::NoAnswer { contract: hop.pool, problem });
    }
    let observed = decode_result::<IUniswapV3Observer::observeCall>(results, hop.pool, pool_call(hop))?;
    let [before, now] = observed.tickCumulatives.as_slice() else { return Err(out_of_range) };
    // The pool's tick accumulators wrap on purpose, and so must their difference.
    let sum = i64::try_from(now.wrapping_sub(*before)).map_err(|_| NoValuation::OutOfRange)?;
    rate_at_average(sum, window_secs, of_token_0).ok_or(out_of_range)
}

/// Decodes the result of a read; fails where the contract reverted or returned something else.
fn decode_result<C: SolCall>(results: &ReadResults, contract: Address, data: Bytes) -> Result<C::Return, NoValuation> {
    let none = |problem: String| NoValuation::NoAnswer { contract, problem };
    match results.get(&(contract, data)) {
        Some(Ok(data)) => C::abi_decode_returns(data).map_err(|_| none("its return data cannot be decoded".into())),
        Some(Err(error)) => Err(none(error.to_string())),
        None => Err(none("it was not read".into())),
    }
}

fn decimals_call() -> Bytes {
    IAggregatorV3::decimalsCall {}.abi_encode().into()
}

fn round_call() -> Bytes {
    IAggregatorV3::latestRoundDataCall {}.abi_encode().into()
}

fn pool_call(hop: &PoolHop) -> Bytes {
    match hop.window_secs {
        None => IUniswapV3Observer::slot0Call {}.abi_encode().into(),
        Some(window) => IUniswapV3Observer::observeCall { secondsAgos: vec![window, 0] }.abi_encode().into(),
    }
}

fn power_of_ten(decimals: u8) -> Result<U512, NoValuation> {
    if decimals > MAX_DECIMALS {
        return Err(NoValuation::OutOfRange);
    }
    Ok(U512::from(10).pow(U512::from(decimals)))
}

impl Source {
    /// Returns the fixed source of `wei_per_token` for one whole token. `None` where that is 0, or where `decimals` are
    /// more than any token has.
    #[must_use]
    pub fn fixed(wei_per_token: U256, decimals: u8) -> Option<Self> {
        Rate::new(U512::from(wei_per_token), power_of_ten(decimals).ok()?).map(Self::Fixed)
    }
}

impl fmt::Display for NoValuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => f.write_str("its value is not configured: add it to [tokens]"),
            Self::NoAnswer { contract, problem } => write!(f, "{contract} does not give its value: {problem}"),
            Self::Stale { feed, age_secs, max_age_secs } => {
                write!(f, "the answer of the feed {feed} is stale: {age_secs} s old, and {max_age_secs} s are allowed")
            }
            Self::NotPositive { feed } => write!(f, "the feed {feed} answers 0 or less"),
            Self::OutOfRange => f.write_str("its value is out of range"),
        }
    }
}

#[cfg(test)]
mod tests;
