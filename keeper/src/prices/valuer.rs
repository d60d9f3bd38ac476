//! What tokens are worth in the chain's coin: by a feed, by pools, or by a fixed rate, as configured for each.

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
    node::{Answer, Call, Reads},
    rate::Rate,
    tick::rate_at_average,
};
use crate::chain::Header;

/// Decimals of every chain's coin.
const COIN_DECIMALS: u8 = 18;
/// No token and no feed has more.
const MOST_DECIMALS: u8 = 60;
/// For so many blocks after something was wanted it is read ahead.
const BLOCKS_AHEAD: u64 = 5;
/// More than any feed or pool takes.
const GAS: u64 = 1_000_000;

/// How a token's worth is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Always the same.
    Fixed(Rate),
    /// The product of the first feeds' answers over that of the others: whole coins for one whole token.
    Feeds {
        /// Multiplied.
        base: Vec<Address>,
        /// Divided by.
        quote: Vec<Address>,
        /// Of the token.
        decimals: u8,
        /// An older answer is none.
        max_age_secs: u64,
    },
    /// What pools of Uniswap V3 say, one after the other, the last of which gives the wrapped coin.
    Pools(Vec<PoolHop>),
}

/// A step through a pool of Uniswap V3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolHop {
    /// The pool.
    pub pool: Address,
    /// Its token that is valued.
    pub token_in: Address,
    /// Its other token.
    pub token_out: Address,
    /// Over how many seconds its price is averaged; its price at the moment where this is `None`.
    pub window_secs: Option<u32>,
}

/// Why a token's worth is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoValuation {
    /// The configuration does not say how to find it.
    NotConfigured,
    /// A feed or a pool does not answer, or not as such.
    NoAnswer {
        /// The feed or the pool.
        contract: Address,
        /// What came instead.
        problem: String,
    },
    /// A feed's answer is too old.
    Stale {
        /// The feed.
        feed: Address,
        /// How old its answer is.
        age_secs: u64,
        /// How old it may be.
        max_age_secs: u64,
    },
    /// A feed says 0 or less.
    NotPositive {
        /// The feed.
        feed: Address,
    },
    /// It is too much or too little to count with.
    OutOfRange,
}

/// What tokens are worth in one block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    rates: AddressMap<Result<Rate, NoValuation>>,
}

impl Values {
    /// What a token is worth, or why that is unknown.
    pub fn of(&self, token: Address) -> Result<Rate, NoValuation> {
        self.rates.get(&token).cloned().unwrap_or(Err(NoValuation::NotConfigured))
    }
}

impl FromIterator<(Address, Result<Rate, NoValuation>)> for Values {
    fn from_iter<I: IntoIterator<Item = (Address, Result<Rate, NoValuation>)>>(rates: I) -> Self {
        Self { rates: rates.into_iter().collect() }
    }
}

/// Finds what tokens are worth: each at most once a block, all that are wanted in one request, and in none where their
/// rates are fixed.
#[derive(Debug)]
pub struct Valuer {
    sources: BTreeMap<Address, Source>,
    /// What feeds said of themselves once; it does not change.
    feed_decimals: AddressMap<u8>,
    /// What is known so far in this block.
    known: (B256, Values),
    /// What is read ahead, up to this block.
    ahead: (u64, Vec<Address>),
}

/// What is asked, so that the same is asked once.
type Question = (Address, Bytes);
type Answers = HashMap<Question, Answer>;

impl Valuer {
    /// Values these tokens.
    #[must_use]
    pub fn new(sources: BTreeMap<Address, Source>) -> Self {
        Self { sources, feed_decimals: AddressMap::default(), known: Default::default(), ahead: Default::default() }
    }

    /// What these tokens are worth in a block, as far as the configuration says how to find it. Fails where the node does
    /// not answer; what a single feed or pool does not answer is the reason for that token alone.
    pub async fn values<R: Reads>(
        &mut self,
        reads: &R,
        header: &Header,
        tokens: &[Address],
    ) -> Result<Values, ChainError> {
        if self.known.0 != header.hash {
            self.known = (header.hash, Values::default());
        }
        let is_new = |token: &&Address| !self.known.1.rates.contains_key(*token);
        let new: Vec<_> = tokens.iter().filter(is_new).filter_map(|token| self.sources.get_key_value(token)).collect();
        let mut questions: Vec<_> = new.iter().flat_map(|(_, source)| self.questions(source)).collect();
        questions.sort_unstable();
        questions.dedup();
        let as_call = |(to, data): &Question| Call { from: Address::ZERO, to: *to, data: data.clone(), gas: GAS };
        let calls: Vec<_> = questions.iter().map(as_call).collect();
        let answers: Answers = questions.into_iter().zip(reads.calls(header.hash, &calls).await?).collect();
        remember_decimals(&mut self.feed_decimals, &answers);
        let rates: Vec<_> =
            new.into_iter().map(|(token, source)| (*token, self.rate(source, &answers, header.timestamp))).collect();
        self.known.1.rates.extend(rates);
        Ok(self.known.1.clone())
    }

    /// Has these tokens read ahead in the blocks after this one: one liquidation seldom comes alone.
    pub fn expect(&mut self, tokens: &[Address], header: &Header) {
        self.ahead = (header.number.saturating_add(BLOCKS_AHEAD), tokens.to_vec());
    }

    /// Reads what is expected to be wanted in a block before anybody knows whether it is. What is not answered is asked
    /// for again when it is wanted.
    pub async fn read_ahead<R: Reads>(&mut self, reads: &R, header: &Header) {
        if header.number > self.ahead.0 {
            return;
        }
        let tokens = self.ahead.1.clone();
        if let Err(error) = self.values(reads, header, &tokens).await {
            tracing::debug!(%error, "nothing was read ahead");
        }
        self.known.1.rates.retain(|_, rate| !matches!(rate, Err(NoValuation::NoAnswer { .. })));
    }

    fn questions(&self, source: &Source) -> Vec<Question> {
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

    fn rate(&self, source: &Source, answers: &Answers, now: u64) -> Result<Rate, NoValuation> {
        match source {
            Source::Fixed(rate) => Ok(*rate),
            Source::Feeds { base, quote, decimals, max_age_secs } => {
                let units = power_of_ten(*decimals)?;
                let coin = power_of_ten(COIN_DECIMALS)?;
                let mut rate = Rate::new(coin, units);
                for (feed, is_base) in
                    base.iter().map(|feed| (feed, true)).chain(quote.iter().map(|feed| (feed, false)))
                {
                    let (answer, scale) = self.feed(*feed, answers, now, *max_age_secs)?;
                    let (above, below) = if is_base { (answer, scale) } else { (scale, answer) };
                    rate = rate.zip(Rate::new(above, below)).and_then(|(rate, more)| rate.times(more));
                }
                rate.ok_or(NoValuation::OutOfRange)
            }
            Source::Pools(hops) => {
                let rates = hops.iter().map(|hop| through_pool(hop, answers));
                rates.reduce(|rate, next| rate?.times(next?).ok_or(NoValuation::OutOfRange)).unwrap_or(Ok(Rate::ONE))
            }
        }
    }

    /// What a feed says, and as how much it counts 1.
    fn feed(&self, feed: Address, answers: &Answers, now: u64, max_age_secs: u64) -> Result<(U512, U512), NoValuation> {
        let round: IAggregatorV3::latestRoundDataReturn =
            answer_to::<IAggregatorV3::latestRoundDataCall>(answers, feed, round_call())?;
        let decimals = self.feed_decimals.get(&feed).copied();
        let decimals = decimals
            .ok_or_else(|| NoValuation::NoAnswer { contract: feed, problem: "it does not say its decimals".into() })?;
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

fn remember_decimals(decimals: &mut AddressMap<u8>, answers: &Answers) {
    let said = answers.iter().filter(|((_, data), _)| *data == decimals_call());
    for ((feed, _), answer) in said {
        if let Ok(Ok(said)) = answer.as_ref().map(|data| IAggregatorV3::decimalsCall::abi_decode_returns(data)) {
            decimals.insert(*feed, said);
        }
    }
}

fn through_pool(hop: &PoolHop, answers: &Answers) -> Result<Rate, NoValuation> {
    let of_token_0 = hop.token_in < hop.token_out;
    let out_of_range = NoValuation::OutOfRange;
    let Some(window_secs) = hop.window_secs else {
        let slot = answer_to::<IUniswapV3Observer::slot0Call>(answers, hop.pool, pool_call(hop))?;
        let root = U512::from(slot.sqrtPriceX96);
        let (above, below) = (root * root, U512::ONE << 192);
        let (above, below) = if of_token_0 { (above, below) } else { (below, above) };
        return Rate::new(above, below).ok_or(out_of_range);
    };
    let observed = answer_to::<IUniswapV3Observer::observeCall>(answers, hop.pool, pool_call(hop))?;
    let [before, now] = observed.tickCumulatives.as_slice() else { return Err(out_of_range) };
    // The pool's sums wrap on purpose, and so must their difference.
    let sum = i64::try_from(now.wrapping_sub(*before)).map_err(|_| NoValuation::OutOfRange)?;
    rate_at_average(sum, window_secs, of_token_0).ok_or(out_of_range)
}

fn answer_to<C: SolCall>(answers: &Answers, contract: Address, data: Bytes) -> Result<C::Return, NoValuation> {
    let none = |problem: String| NoValuation::NoAnswer { contract, problem };
    match answers.get(&(contract, data)) {
        Some(Ok(answer)) => C::abi_decode_returns(answer).map_err(|_| none("it answers something else".into())),
        Some(Err(refusal)) => Err(none(refusal.to_string())),
        None => Err(none("it was not asked".into())),
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
    if decimals > MOST_DECIMALS {
        return Err(NoValuation::OutOfRange);
    }
    Ok(U512::from(10).pow(U512::from(decimals)))
}

impl Source {
    /// So many wei for one whole token, always. `None` where that is 0, or there are more decimals than any token has.
    #[must_use]
    pub fn fixed(wei_per_token: U256, decimals: u8) -> Option<Self> {
        Rate::new(U512::from(wei_per_token), power_of_ten(decimals).ok()?).map(Self::Fixed)
    }
}

impl fmt::Display for NoValuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => f.write_str("the configuration does not say what it is worth: add it to [tokens]"),
            Self::NoAnswer { contract, problem } => write!(f, "{contract} does not say what it is worth: {problem}"),
            Self::Stale { feed, age_secs, max_age_secs } => {
                write!(f, "the feed {feed} is {age_secs} s old, and {max_age_secs} s are allowed")
            }
            Self::NotPositive { feed } => write!(f, "the feed {feed} says 0 or less"),
            Self::OutOfRange => f.write_str("it is worth too much or too little to count with"),
        }
    }
}

#[cfg(test)]
#[path = "valuer_tests.rs"]
mod tests;
