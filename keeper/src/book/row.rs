//! The book's rows as bytes, for a checkpoint that does not interpret them.
//!
//! A row is one market, position, amount of cover, pool or staker as of a block. Keys sort so that markets and pools
//! come before their accounts, in the order of their creation. Numbers are big-endian and of fixed width, without
//! separators.

use alloy::primitives::{Address, B256, Bytes, U256};
use plimsoll_contracts::{MarketId, MarketParams};

use super::{
    market::{CoverKey, MarketState},
    positions::Position,
    rewards::{HarvestConsent, PoolState, RewardLedger},
};
use crate::math::{rewards::Stream, types::Market};

const MARKET: u8 = 1;
const POSITION: u8 = 2;
const COVER: u8 = 3;
const POOL: u8 = 4;
const STAKER: u8 = 5;

const AMOUNT: u8 = 1;
const FLOOR: u8 = 2;
const LIMIT: u8 = 3;

/// One row of the book as of a block. Empty positions and amounts of 0 are rows, too, because they replace earlier
/// versions of the same row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A market.
    Market {
        /// Number of markets that were created before it.
        index: u32,
        /// The parameters and the mutable state.
        market: Box<(MarketParams, MarketState)>,
    },
    /// The position of an account in a market.
    Position {
        /// Number of the market.
        market: u32,
        /// The account.
        account: Address,
        /// The supply, debt and collateral.
        position: Position,
    },
    /// An amount that a backstop keeps or sets in the core.
    Cover {
        /// What the amount is.
        key: CoverKey,
        /// Units of the token.
        amount: U256,
    },
    /// A staking pool.
    Pool {
        /// Number of pools that were created before it.
        index: u32,
        /// The pool without its stakers.
        pool: Box<PoolRow>,
    },
    /// The stake of an account in a pool, with its reward ledgers.
    Staker {
        /// Number of the pool.
        pool: u32,
        /// The account.
        account: Address,
        /// Units of the stake token.
        staked: u128,
        /// The ledger for each stream of the pool.
        ledgers: Vec<RewardLedger>,
    },
}

/// A pool without its stakers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRow {
    /// Id of the pool.
    pub id: B256,
    /// The token that is staked.
    pub stake_token: Address,
    /// The tokens that the pool can pay.
    pub reward_tokens: Vec<Address>,
    /// The mutable state.
    pub state: PoolState,
}

/// Bytes that are not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no row has the key {key} and {length} bytes of value")]
pub struct RowError {
    /// The key.
    pub key: Bytes,
    /// Length of the value, in bytes.
    pub length: usize,
}

impl Row {
    /// Encodes the key, which identifies the row in a checkpoint.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Market { index, .. } => [&[MARKET][..], &index.to_be_bytes()].concat(),
            Self::Position { market, account, .. } => {
                [&[POSITION][..], &market.to_be_bytes(), account.as_slice()].concat()
            }
            Self::Cover { key: CoverKey::Amount(backstop, token), .. } => {
                [&[COVER, AMOUNT][..], backstop.as_slice(), token.as_slice()].concat()
            }
            Self::Cover { key: CoverKey::Floor(backstop, token), .. } => {
                [&[COVER, FLOOR][..], backstop.as_slice(), token.as_slice()].concat()
            }
            Self::Cover { key: CoverKey::Limit(backstop, market), .. } => {
                [&[COVER, LIMIT][..], backstop.as_slice(), market.0.as_slice()].concat()
            }
            Self::Pool { index, .. } => [&[POOL][..], &index.to_be_bytes()].concat(),
            Self::Staker { pool, account, .. } => [&[STAKER][..], &pool.to_be_bytes(), account.as_slice()].concat(),
        }
    }

    /// Encodes the value.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        match self {
            Self::Market { market, .. } => market_value(&market.0, &market.1),
            Self::Position { position, .. } => [
                position.supply_shares.to_be_bytes(),
                position.borrow_shares.to_be_bytes(),
                position.collateral.to_be_bytes(),
            ]
            .concat(),
            Self::Cover { amount, .. } => amount.to_be_bytes_vec(),
            Self::Pool { pool, .. } => pool_value(pool),
            Self::Staker { staked, ledgers, .. } => {
                let mut value = staked.to_be_bytes().to_vec();
                ledgers.iter().for_each(|ledger| value.extend(ledger_value(ledger)));
                value
            }
        }
    }

    /// Decodes a row. Fails if no row has such a key and value.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, RowError> {
        Self::read(&mut Fields(key), &mut Fields(value))
            .ok_or_else(|| RowError { key: Bytes::copy_from_slice(key), length: value.len() })
    }

    fn read(key: &mut Fields<'_>, value: &mut Fields<'_>) -> Option<Self> {
        let row = match key.byte()? {
            MARKET => Self::Market { index: key.u32()?, market: Box::new(read_market(value)?) },
            POSITION => Self::Position {
                market: key.u32()?,
                account: key.address()?,
                position: Position {
                    supply_shares: value.u128()?,
                    borrow_shares: value.u128()?,
                    collateral: value.u128()?,
                },
            },
            COVER => {
                let key = match key.byte()? {
                    AMOUNT => CoverKey::Amount(key.address()?, key.address()?),
                    FLOOR => CoverKey::Floor(key.address()?, key.address()?),
                    LIMIT => CoverKey::Limit(key.address()?, MarketId(key.word()?.into())),
                    _ => return None,
                };
                Self::Cover { key, amount: value.word()? }
            }
            POOL => Self::Pool { index: key.u32()?, pool: Box::new(read_pool(value)?) },
            STAKER => Self::Staker {
                pool: key.u32()?,
                account: key.address()?,
                staked: value.u128()?,
                ledgers: value.all(read_ledger)?,
            },
            _ => return None,
        };
        (key.0.is_empty() && value.0.is_empty()).then_some(row)
    }
}

fn market_value(params: &MarketParams, state: &MarketState) -> Vec<u8> {
    let MarketParams { loanToken, collateralToken, oracle, risk, curve } = params;
    let MarketState { totals, fee_recipient, backstop } = state;
    let mut value = [
        loanToken.as_slice(),
        collateralToken.as_slice(),
        oracle.as_slice(),
        &risk.to_be_bytes::<32>(),
        &curve.to_be_bytes::<32>(),
        &totals.supply_assets.to_be_bytes(),
        &totals.supply_shares.to_be_bytes(),
        &totals.borrow_assets.to_be_bytes(),
        &totals.borrow_shares.to_be_bytes(),
        &totals.last_update.to_be_bytes(),
        &totals.fee_bps.to_be_bytes(),
        &totals.rate_at_target.to_be_bytes(),
        &totals.interest_remainder.to_be_bytes(),
        &totals.reserve_shares.to_be_bytes(),
        fee_recipient.as_slice(),
        backstop.as_slice(),
    ]
    .concat();
    // Only where the surge limit is in use, so that rows of markets without one are those of earlier versions.
    if totals.surge_level != 0 {
        value.extend(totals.surge_level.to_be_bytes());
    }
    value
}

fn read_market(value: &mut Fields<'_>) -> Option<(MarketParams, MarketState)> {
    let params = MarketParams {
        loanToken: value.address()?,
        collateralToken: value.address()?,
        oracle: value.address()?,
        risk: value.word()?,
        curve: value.word()?,
    };
    let mut totals = Market {
        supply_assets: value.u128()?,
        supply_shares: value.u128()?,
        borrow_assets: value.u128()?,
        borrow_shares: value.u128()?,
        last_update: value.u64()?,
        fee_bps: value.u16()?,
        rate_at_target: value.u64()?,
        interest_remainder: value.u32()?,
        reserve_shares: value.u128()?,
        surge_level: 0,
    };
    let (fee_recipient, backstop) = (value.address()?, value.address()?);
    if !value.0.is_empty() {
        totals.surge_level = value.u32()?;
    }
    Some((params, MarketState { totals, fee_recipient, backstop }))
}

fn pool_value(pool: &PoolRow) -> Vec<u8> {
    let PoolRow { id, stake_token, reward_tokens, state } = pool;
    let mut value = [id.as_slice(), stake_token.as_slice(), &state.total_staked.to_be_bytes()].concat();
    for (token, stream) in reward_tokens.iter().zip(&state.streams) {
        value.extend_from_slice(token.as_slice());
        value.extend(stream_value(stream));
    }
    value
}

fn read_pool(value: &mut Fields<'_>) -> Option<PoolRow> {
    let (id, stake_token, total_staked) = (B256::new(value.bytes()?), value.address()?, value.u128()?);
    let streams = value.all(|value| Some((value.address()?, read_stream(value)?)))?;
    let (reward_tokens, streams) = streams.into_iter().unzip();
    Some(PoolRow { id, stake_token, reward_tokens, state: PoolState { total_staked, streams } })
}

/// Stands in a stream's value for a remainder that does not fit its four bytes and follows the schedule instead.
const LARGE_REMAINDER: u32 = u32::MAX;

fn stream_value(stream: &Stream) -> Vec<u8> {
    let Stream { accumulator, last_update, remainder, epoch_amount, last_funded_epoch, funded, scheduled } = stream;
    let small_remainder = u32::try_from(*remainder).unwrap_or(LARGE_REMAINDER);
    let mut value = [
        &accumulator.to_be_bytes::<32>()[..],
        &last_update.to_be_bytes(),
        &small_remainder.to_be_bytes(),
        &epoch_amount.to_be_bytes(),
        &last_funded_epoch.to_be_bytes(),
        &funded.to_be_bytes(),
        &u8::try_from(scheduled.len()).unwrap_or(u8::MAX).to_be_bytes(),
    ]
    .concat();
    for (epoch, amount) in scheduled {
        value.extend(epoch.to_be_bytes());
        value.extend(amount.to_be_bytes());
    }
    if small_remainder == LARGE_REMAINDER {
        value.extend(remainder.to_be_bytes());
    }
    value
}

fn read_stream(value: &mut Fields<'_>) -> Option<Stream> {
    let mut stream = Stream {
        accumulator: value.word()?,
        last_update: value.u64()?,
        remainder: value.u32()?.into(),
        epoch_amount: value.u128()?,
        last_funded_epoch: value.u64()?,
        funded: value.u128()?,
        scheduled: {
            let epochs = value.byte()?;
            (0..epochs).map(|_| Some((value.u64()?, value.u128()?))).collect::<Option<_>>()?
        },
    };
    if stream.remainder == u64::from(LARGE_REMAINDER) {
        stream.remainder = value.u64()?;
    }
    Some(stream)
}

fn ledger_value(ledger: &RewardLedger) -> Vec<u8> {
    let RewardLedger { offset, consent: HarvestConsent { enabled, compounds, tip_bps, smallest } } = ledger;
    let flags = [u8::from(*enabled), u8::from(*compounds)];
    [&offset.to_be_bytes()[..], &flags, &tip_bps.to_be_bytes(), &smallest.to_be_bytes()].concat()
}

fn read_ledger(value: &mut Fields<'_>) -> Option<RewardLedger> {
    let (offset, enabled, compounds) = (value.u128()?, value.flag()?, value.flag()?);
    let (tip_bps, smallest) = (value.u16()?, value.u128()?);
    Some(RewardLedger { offset, consent: HarvestConsent { enabled, compounds, tip_bps, smallest } })
}

/// The bytes that have not been read yet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// Reads values until no byte remains.
    fn all<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            all.push(read(self)?);
        }
        Some(all)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn bytes<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.bytes().map(u128::from_be_bytes)
    }

    fn word(&mut self) -> Option<U256> {
        self.bytes().map(U256::from_be_bytes::<32>)
    }

    fn address(&mut self) -> Option<Address> {
        self.bytes().map(Address::new)
    }
}
