//! What tokens are worth in the chain's coin, and how one is swapped for another: as the configuration says, else as
//! follows from the record.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use alloy::primitives::{Address, Bytes, U256};
use plimsoll_contracts::{
    deployment::PoolRecord,
    quantity::{PoolFee, Reference},
};

use super::{
    chain::ChainFacts,
    deployment::Known,
    reader::Section,
    values::{Coins, Count, Text, Time},
};
use crate::prices::{PoolHop, Source};

/// A token that the keeper may have to value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// For people.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// How many decimals it has.
    pub decimals: u8,
    /// What it is worth; without it, nothing that pays in it is done.
    pub valuation: Option<Valuation>,
}

/// How a token's worth in the chain's coin is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Valuation {
    /// So many wei for one whole token, always.
    Rate(U256),
    /// The product of the first feeds' answers over that of the others: coins for one whole token.
    Feeds {
        /// Multiplied.
        base: Vec<Address>,
        /// Divided by.
        quote: Vec<Address>,
        /// An older answer is none.
        max_age: Duration,
    },
    /// What Uniswap V3 pools say, one after the other, the last of which has the wrapped coin.
    Pools {
        /// Through which.
        hops: Vec<Hop>,
        /// Over how long their prices are averaged; as they are at the moment where this is `None`.
        average_over: Option<Duration>,
    },
}

/// A step through a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The pool.
    pub pool: Address,
    /// What goes in.
    pub token_in: Address,
    /// What comes out.
    pub token_out: Address,
    /// What it costs, in millionths.
    pub fee: u32,
}

impl Valuation {
    /// `None` where a rate is 0 or the token has more decimals than any.
    fn source(&self, decimals: u8) -> Option<Source> {
        match self {
            Self::Rate(wei) => Source::fixed(*wei, decimals),
            Self::Feeds { base, quote, max_age } => Some(Source::Feeds {
                base: base.clone(),
                quote: quote.clone(),
                decimals,
                max_age_secs: max_age.as_secs(),
            }),
            Self::Pools { hops, average_over } => {
                let window_secs = average_over.and_then(|time| u32::try_from(time.as_secs()).ok());
                let hop = |hop: &Hop| PoolHop {
                    pool: hop.pool,
                    token_in: hop.token_in,
                    token_out: hop.token_out,
                    window_secs,
                };
                Some(Source::Pools(hops.iter().map(hop).collect()))
            }
        }
    }
}

/// Everything that is known about tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    by_address: BTreeMap<Address, Token>,
}

impl Tokens {
    /// A token.
    #[must_use]
    pub fn get(&self, address: Address) -> Option<&Token> {
        self.by_address.get(&address)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.by_address.values()
    }

    /// How whoever values tokens finds what those are worth that have a valuation.
    #[must_use]
    pub fn sources(&self) -> BTreeMap<Address, Source> {
        let source = |token: &Token| Some((token.address, token.valuation.as_ref()?.source(token.decimals)?));
        self.iter().filter_map(source).collect()
    }

    /// The name of a token, or its address.
    #[must_use]
    pub fn name(&self, address: Address) -> String {
        self.get(address).map_or_else(|| address.to_string(), |token| token.name.clone())
    }

    pub(super) fn address(&self, said: &Reference) -> Result<Address, String> {
        match said {
            Reference::Address(address) => Ok(*address),
            Reference::Name(name) => {
                let found = self.iter().find(|token| token.name == *name);
                found
                    .map(|token| token.address)
                    .ok_or_else(|| unknown("token", name, self.iter().map(|t| t.name.as_str())))
            }
        }
    }

    /// Reads `[tokens]`, over what the record has.
    pub(super) fn read(root: &Section<'_, '_>, known: &Known, chain: &ChainFacts) -> Self {
        let said = root.named("tokens", |name, section| Said::read(name, section, known));
        let mut tokens = Self::default();
        for (name, (address, decimals)) in &known.tokens {
            let token = Token { name: name.clone(), address: *address, decimals: *decimals, valuation: None };
            tokens.by_address.insert(*address, token);
        }
        for said in said.iter().flatten() {
            let (name, address, decimals) = (said.name.clone(), said.address, said.decimals);
            tokens.by_address.insert(address, Token { name, address, decimals, valuation: None });
        }
        let wrapped = chain.wrapped_coin.or_else(|| {
            let name = format!("W{}", chain.coin);
            known.tokens.get(&name).map(|(address, _)| *address)
        });
        let valuations: Vec<_> = tokens
            .iter()
            .map(|token| {
                let said = said.iter().flatten().find(|said| said.address == token.address);
                let valuation = said.and_then(|said| said.valuation.clone());
                (token.address, valuation.or_else(|| derived(token, known, chain, wrapped)))
            })
            .collect();
        for (address, valuation) in valuations {
            if let Some(token) = tokens.by_address.get_mut(&address) {
                token.valuation = valuation;
            }
        }
        tokens
    }
}

/// A token as the configuration has it.
struct Said {
    name: String,
    address: Address,
    decimals: u8,
    valuation: Option<Valuation>,
}

impl Said {
    fn read(name: &str, section: &Section<'_, '_>, known: &Known) -> Option<Self> {
        const DERIVED: &str = "as follows from the record";
        let recorded = known.tokens.get(name).copied();
        let of_record = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
        let address = match section.optional("address", &of_record(recorded.map(|(a, _)| a.to_string()))) {
            Some(Reference::Address(address)) => Some(address),
            Some(Reference::Name(_)) => {
                section.problem_with("address", "this must be an address: 0x and 40 hexadecimal digits");
                None
            }
            None => recorded.map(|(address, _)| address),
        };
        let decimals = section
            .optional("decimals", &of_record(recorded.map(|(_, d)| d.to_string())))
            .map(|Count(decimals)| decimals)
            .or_else(|| recorded.map(|(_, decimals)| u64::from(decimals)));
        let rate = section.optional("rate", DERIVED).map(|Coins(wei)| wei);
        let base = section.list::<Reference>("feeds", DERIVED);
        let quote = section.list::<Reference>("over", "nothing");
        let Time(max_age) = section.value("max_age", Time(Duration::from_secs(2 * 86_400)));
        let pools = section.list::<Text>("pools", DERIVED);
        let average_over = section.optional("average_over", "the price of the moment").map(|Time(time)| time);
        if [rate.is_some(), base.is_some(), pools.is_some()].iter().filter(|said| **said).count() > 1 {
            section.problem("a token is valued in one way: by its `rate`, by `feeds` or by `pools`");
        }
        if quote.is_some() && base.is_none() {
            section.problem_with("over", "`over` divides what `feeds` say: name those, too");
        }
        let feed = |(said, span): (Reference, std::ops::Range<usize>)| match said {
            Reference::Address(address) => Some(address),
            Reference::Name(name) => {
                let found = known.feeds.get(&name).copied();
                if found.is_none() {
                    section.problem_at(&span, unknown("feed", &name, known.feeds.keys().map(String::as_str)));
                }
                found
            }
        };
        let feeds = |said: Option<Vec<_>>| said.into_iter().flatten().filter_map(feed).collect::<Vec<_>>();
        let (address, decimals) = (address, decimals.and_then(|decimals| u8::try_from(decimals).ok()));
        if address.is_none() || decimals.is_none() {
            section.problem(format!("the record has no token {name}: say its `address` and its `decimals`"));
        }
        let (address, decimals) = (address?, decimals?);
        let valuation = if let Some(rate) = rate {
            Some(Valuation::Rate(rate))
        } else if base.is_some() {
            Some(Valuation::Feeds { base: feeds(base), quote: feeds(quote), max_age })
        } else {
            pools.map(|pools| {
                let mut token_in = address;
                let hop = |(Text(name), span): (Text, std::ops::Range<usize>)| {
                    let Some(pool) = known.pools.get(&name) else {
                        section.problem_at(&span, unknown("pool", &name, known.pools.keys().map(String::as_str)));
                        return None;
                    };
                    let Some(hop) = through(pool, token_in) else {
                        section.problem_at(&span, format!("the pool {name} does not have the token that comes to it"));
                        return None;
                    };
                    token_in = hop.token_out;
                    Some(hop)
                };
                Valuation::Pools { hops: pools.into_iter().filter_map(hop).collect(), average_over }
            })
        };
        Some(Self { name: name.to_owned(), address, decimals, valuation })
    }
}

/// What follows from the names in a record: the wrapped coin is worth a coin; feeds by their names, else pools.
fn derived(token: &Token, known: &Known, chain: &ChainFacts, wrapped: Option<Address>) -> Option<Valuation> {
    if Some(token.address) == wrapped {
        return Some(Valuation::Rate(U256::from(10).pow(U256::from(18))));
    }
    let (name, coin) = (token.name.to_lowercase(), chain.coin.to_lowercase());
    let feed = |name: String| known.feeds.get(&name).copied();
    let max_age = Duration::from_secs(2 * 86_400);
    if let Some(direct) = feed(format!("{name}-{coin}")) {
        return Some(Valuation::Feeds { base: vec![direct], quote: Vec::new(), max_age });
    }
    if let (Some(token), Some(coin)) = (feed(format!("{name}-usd")), feed(format!("{coin}-usd"))) {
        return Some(Valuation::Feeds { base: vec![token], quote: vec![coin], max_age });
    }
    let hops = shortest(known.pools.values(), token.address, wrapped?)?;
    Some(Valuation::Pools { hops, average_over: None })
}

/// The way through the fewest pools, the cheapest first.
pub(super) fn shortest<'p>(
    pools: impl Iterator<Item = &'p PoolRecord>,
    from: Address,
    to: Address,
) -> Option<Vec<Hop>> {
    let mut pools: Vec<_> = pools.collect();
    pools.sort_by_key(|pool| (pool.fee, pool.address));
    let mut seen = BTreeSet::from([from]);
    let mut ways = VecDeque::from([(from, Vec::new())]);
    while let Some((at, way)) = ways.pop_front() {
        if at == to {
            return Some(way);
        }
        for hop in pools.iter().filter_map(|pool| through(pool, at)) {
            if seen.insert(hop.token_out) {
                let mut further: Vec<Hop> = way.clone();
                further.push(hop);
                ways.push_back((hop.token_out, further));
            }
        }
    }
    None
}

fn through(pool: &PoolRecord, token_in: Address) -> Option<Hop> {
    let token_out = if token_in == pool.token0 {
        pool.token1
    } else if token_in == pool.token1 {
        pool.token0
    } else {
        return None;
    };
    Some(Hop { pool: pool.address, token_in, token_out, fee: pool.fee })
}

/// Uniswap's path: token, fee, token, and so on.
pub(super) fn encoded(first: Address, steps: &[(PoolFee, Address)]) -> Bytes {
    let mut path = first.to_vec();
    for (fee, token) in steps {
        path.extend_from_slice(&fee.0.to_be_bytes()[1..]);
        path.extend_from_slice(token.as_slice());
    }
    path.into()
}

pub(super) fn unknown<'n>(kind: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let known: Vec<_> = known.collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("the record has no {kind} `{name}`; it has {known}")
}
