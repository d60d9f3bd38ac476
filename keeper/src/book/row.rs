//! The book's rows as bytes, for a checkpoint that does not interpret them.
//!
//! A row is one market, position, amount of cover, pool, staker, order or vault as of a block, the state of governance, or the book's coverage. Keys sort so that the coverage
//! comes first, and markets and pools before their accounts, in the order of their creation. Numbers are big-endian and of fixed width, without
//! separators. [`Field`] says for each type how it is written and read; for a struct, `fields!` does by the order of its
//! fields.

use std::{collections::BTreeSet, sync::Arc};

use alloy::primitives::{Address, B256, Bytes, U256};
use plimsoll_contracts::{MarketId, MarketParams};

use super::{
    coverage::Coverage,
    governance::GovernanceState,
    jobs::{JobState, NodeState},
    market::{CoverKey, MarketState},
    orders::PlacedOrder,
    positions::Position,
    rewards::{HarvestConsent, PoolState, RewardLedger},
    vaults::VaultState,
};
use crate::{
    chain::Followed,
    math::{
        guard::{Order, OrderKind},
        rewards::Stream,
        types::Market,
    },
};

const COVERAGE: u8 = 0;
const MARKET: u8 = 1;
const POSITION: u8 = 2;
const COVER: u8 = 3;
const POOL: u8 = 4;
const STAKER: u8 = 5;
const ORDER: u8 = 6;
const VAULT: u8 = 7;
const GOVERNANCE: u8 = 8;
const JOB: u8 = 9;
const NODE: u8 = 10;

const AMOUNT: u8 = 1;
const FLOOR: u8 = 2;
const LIMIT: u8 = 3;

/// Bytes of the longest key, that of a market's limit of cover.
const LONGEST_KEY: usize = 2 + 20 + 32;

/// One row of the book as of a block. Empty positions and amounts of 0 are rows, too, because they replace earlier
/// versions of the same row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Which markets and pools the other rows are of.
    Coverage(Coverage),
    /// A market.
    Market {
        /// Number of the market, which its positions refer to.
        number: u32,
        /// The parameters and the mutable state.
        market: Box<(MarketParams, MarketState)>,
    },
    /// The position of an account in a market.
    Position {
        /// Number of the market.
        market: u32,
        /// Account that owns the position.
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
        /// Number of the pool, which its stakers refer to.
        number: u32,
        /// The pool without its stakers.
        pool: Box<PoolRow>,
    },
    /// The stake of an account in a pool, with its reward ledgers.
    Staker {
        /// Number of the pool.
        pool: u32,
        /// Account that staked.
        account: Address,
        /// Units of the stake token.
        staked: u128,
        /// The ledger for each stream of the pool.
        ledgers: Vec<RewardLedger>,
    },
    /// An order of an account at the guard.
    Order {
        /// Number of the market.
        market: u32,
        /// Account that placed it.
        account: Address,
        /// Its trigger.
        kind: OrderKind,
        /// The order; `None` once it is cancelled, used up or expired.
        order: Option<Box<PlacedOrder>>,
    },
    /// The state of a vault.
    Vault {
        /// Address of the contract.
        address: Address,
        /// The mutable state.
        state: Box<VaultState>,
    },
    /// What waits in the manager and in governors.
    Governance(Box<GovernanceState>),
    /// A job of nodes.
    Job {
        /// Its id.
        id: u64,
        /// `None` once it has ended.
        job: Option<Box<JobState>>,
    },
    /// A node.
    Node {
        /// Its id.
        id: u32,
        /// `None` after a reorg of its registration.
        node: Option<NodeState>,
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
    /// Key that was read.
    pub key: Bytes,
    /// Length of the value that was read, in bytes.
    pub length: usize,
}

impl Row {
    /// Encodes the key, which identifies the row in a checkpoint.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(LONGEST_KEY);
        match self {
            Self::Coverage(_) => COVERAGE.write(&mut key),
            Self::Market { number, .. } => (MARKET, *number).write(&mut key),
            Self::Position { market, account, .. } => (POSITION, (*market, *account)).write(&mut key),
            Self::Cover { key: of, .. } => (COVER, *of).write(&mut key),
            Self::Pool { number, .. } => (POOL, *number).write(&mut key),
            Self::Staker { pool, account, .. } => (STAKER, (*pool, *account)).write(&mut key),
            Self::Order { market, account, kind, .. } => (ORDER, (*market, (*account, *kind))).write(&mut key),
            Self::Vault { address, .. } => (VAULT, *address).write(&mut key),
            Self::Governance(_) => GOVERNANCE.write(&mut key),
            Self::Job { id, .. } => (JOB, *id).write(&mut key),
            Self::Node { id, .. } => (NODE, *id).write(&mut key),
        }
        key
    }

    /// Encodes the value.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        let mut value = Vec::new();
        match self {
            Self::Coverage(coverage) => coverage.write(&mut value),
            Self::Market { market, .. } => market.write(&mut value),
            Self::Position { position, .. } => position.write(&mut value),
            Self::Cover { amount, .. } => amount.write(&mut value),
            Self::Pool { pool, .. } => pool.write(&mut value),
            Self::Staker { staked, ledgers, .. } => {
                staked.write(&mut value);
                ledgers.write(&mut value);
            }
            Self::Order { order, .. } => order.iter().for_each(|order| order.write(&mut value)),
            Self::Vault { state, .. } => state.write(&mut value),
            Self::Governance(state) => state.write(&mut value),
            Self::Job { job, .. } => job.iter().for_each(|job| job.write(&mut value)),
            Self::Node { node, .. } => node.iter().for_each(|node| node.write(&mut value)),
        }
        value
    }

    /// Decodes a row. Fails if no row has such a key and value.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, RowError> {
        Self::read(&mut &*key, &mut &*value)
            .ok_or_else(|| RowError { key: Bytes::copy_from_slice(key), length: value.len() })
    }

    fn read(key: &mut &[u8], value: &mut &[u8]) -> Option<Self> {
        let row = match u8::read(key)? {
            COVERAGE => Self::Coverage(Field::read(value)?),
            MARKET => Self::Market { number: Field::read(key)?, market: Box::new(Field::read(value)?) },
            POSITION => {
                Self::Position { market: Field::read(key)?, account: Field::read(key)?, position: Field::read(value)? }
            }
            COVER => Self::Cover { key: Field::read(key)?, amount: Field::read(value)? },
            POOL => Self::Pool { number: Field::read(key)?, pool: Box::new(Field::read(value)?) },
            STAKER => Self::Staker {
                pool: Field::read(key)?,
                account: Field::read(key)?,
                staked: Field::read(value)?,
                ledgers: Field::read(value)?,
            },
            ORDER => Self::Order {
                market: Field::read(key)?,
                account: Field::read(key)?,
                kind: Field::read(key)?,
                order: if value.is_empty() { None } else { Some(Box::new(Field::read(value)?)) },
            },
            VAULT => Self::Vault { address: Field::read(key)?, state: Box::new(Field::read(value)?) },
            GOVERNANCE => Self::Governance(Box::new(Field::read(value)?)),
            JOB => Self::Job {
                id: Field::read(key)?,
                job: if value.is_empty() { None } else { Some(Box::new(Field::read(value)?)) },
            },
            NODE => Self::Node {
                id: Field::read(key)?,
                node: if value.is_empty() { None } else { Some(Field::read(value)?) },
            },
            _ => return None,
        };
        (key.is_empty() && value.is_empty()).then_some(row)
    }
}

/// A type that is encoded in rows.
pub(super) trait Field: Sized {
    /// Appends the encoded value to `bytes`.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Takes a value from the beginning of `bytes`. `None` if they do not begin with one.
    fn read(bytes: &mut &[u8]) -> Option<Self>;
}

/// Implements [`Field`] for types of a fixed number of bytes, given their conversions to and from an array of that length.
macro_rules! fixed {
    ($($type:ty: $to_bytes:expr, $from_bytes:expr;)*) => {$(
        impl Field for $type {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&$to_bytes(*self));
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                let (first, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some($from_bytes(*first))
            }
        }
    )*};
}

/// Implements [`Field`] for a struct: all of its fields in this order.
macro_rules! fields {
    ($($type:ident { $($field:ident),* })*) => {$(
        #[allow(non_snake_case, reason = "types of the contracts have Solidity's names")]
        impl Field for $type {
            fn write(&self, bytes: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.write(bytes);)*
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                $(let $field = Field::read(bytes)?;)*
                Some(Self { $($field),* })
            }
        }
    )*};
}

fixed! {
    u8: u8::to_be_bytes, u8::from_be_bytes;
    u16: u16::to_be_bytes, u16::from_be_bytes;
    u32: u32::to_be_bytes, u32::from_be_bytes;
    u64: u64::to_be_bytes, u64::from_be_bytes;
    u128: u128::to_be_bytes, u128::from_be_bytes;
    U256: |word: U256| word.to_be_bytes::<32>(), U256::from_be_bytes::<32>;
    Address: |address: Address| address.0.0, Address::new;
    B256: |hash: B256| hash.0, B256::new;
    MarketId: |id: MarketId| id.0.0, |bytes| MarketId(B256::new(bytes));
}

fields! {
    PlacedOrder { order, last_executed }
    Order {
        trigger_ltv_bps, target_ltv_bps, trigger_price, premium_start_ppm, premium_end_ppm, ramp_bps,
        require_borrow_price, uses, expiry, cooldown_secs, flat_tip, max_own
    }
    MarketParams { loanToken, collateralToken, oracle, risk, curve }
    Position { supply_shares, borrow_shares, collateral }
    RewardLedger { offset, consent }
    HarvestConsent { enabled, compounds, tip_bps, smallest }
    Coverage { followed, missing, dropped_markets, dropped_pools, next_market, next_pool }
}

/// The surge level follows only where it is not 0, so that rows of markets without a surge limit are as they were before
/// there was one.
impl Field for MarketState {
    fn write(&self, bytes: &mut Vec<u8>) {
        let Self { totals, fee_recipient, backstop } = self;
        for amount in [totals.supply_assets, totals.supply_shares, totals.borrow_assets, totals.borrow_shares] {
            amount.write(bytes);
        }
        (totals.last_update, totals.fee_bps).write(bytes);
        (totals.rate_at_target, totals.interest_remainder).write(bytes);
        (totals.reserve_shares, (*fee_recipient, *backstop)).write(bytes);
        if totals.surge_level != 0 {
            totals.surge_level.write(bytes);
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut totals = Market {
            supply_assets: Field::read(bytes)?,
            supply_shares: Field::read(bytes)?,
            borrow_assets: Field::read(bytes)?,
            borrow_shares: Field::read(bytes)?,
            last_update: Field::read(bytes)?,
            fee_bps: Field::read(bytes)?,
            rate_at_target: Field::read(bytes)?,
            interest_remainder: Field::read(bytes)?,
            reserve_shares: Field::read(bytes)?,
            surge_level: 0,
        };
        let (fee_recipient, backstop) = Field::read(bytes)?;
        if !bytes.is_empty() {
            totals.surge_level = Field::read(bytes)?;
        }
        Some(Self { totals, fee_recipient, backstop })
    }
}

impl Field for bool {
    fn write(&self, bytes: &mut Vec<u8>) {
        u8::from(*self).write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match u8::read(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Field for OrderKind {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.number().write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Self::from_number(u8::read(bytes)?)
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::read(bytes)?, B::read(bytes)?))
    }
}

/// Values up to the end of the bytes.
impl<T: Field> Field for Vec<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.iter().for_each(|value| value.write(bytes));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut values = Self::new();
        while !bytes.is_empty() {
            values.push(T::read(bytes)?);
        }
        Some(values)
    }
}

impl Field for CoverKey {
    fn write(&self, bytes: &mut Vec<u8>) {
        match *self {
            Self::Amount(backstop, token) => (AMOUNT, (backstop, token)).write(bytes),
            Self::Floor(backstop, token) => (FLOOR, (backstop, token)).write(bytes),
            Self::Limit(backstop, market) => (LIMIT, (backstop, market)).write(bytes),
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match u8::read(bytes)? {
            AMOUNT => Some(Self::Amount(Field::read(bytes)?, Field::read(bytes)?)),
            FLOOR => Some(Self::Floor(Field::read(bytes)?, Field::read(bytes)?)),
            LIMIT => Some(Self::Limit(Field::read(bytes)?, Field::read(bytes)?)),
            _ => None,
        }
    }
}

impl Field for Followed {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::All => false.write(bytes),
            Self::Only(ids) => {
                true.write(bytes);
                (**ids).write(bytes);
            }
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(if bool::read(bytes)? { Self::Only(Arc::new(Field::read(bytes)?)) } else { Self::All })
    }
}

/// The number of values stands before them.
impl<T: Field + Ord> Field for BTreeSet<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).write(bytes);
        self.iter().for_each(|value| value.write(bytes));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        (0..u32::read(bytes)?).map(|_| T::read(bytes)).collect()
    }
}

/// Each reward token stands before its stream.
impl Field for PoolRow {
    fn write(&self, bytes: &mut Vec<u8>) {
        let Self { id, stake_token, reward_tokens, state: PoolState { total_staked, streams } } = self;
        (*id, (*stake_token, *total_staked)).write(bytes);
        for (token, stream) in reward_tokens.iter().zip(streams) {
            token.write(bytes);
            stream.write(bytes);
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (id, (stake_token, total_staked)) = Field::read(bytes)?;
        let (reward_tokens, streams) = Vec::<(Address, Stream)>::read(bytes)?.into_iter().unzip();
        Some(Self { id, stake_token, reward_tokens, state: PoolState { total_staked, streams } })
    }
}

/// Stands in a stream's value for a remainder that does not fit its four bytes and follows the schedule instead.
const LARGE_REMAINDER: u32 = u32::MAX;

impl Field for Stream {
    fn write(&self, bytes: &mut Vec<u8>) {
        let Self { accumulator, last_update, remainder, epoch_amount, last_funded_epoch, funded, scheduled } = self;
        let small_remainder = u32::try_from(*remainder).unwrap_or(LARGE_REMAINDER);
        accumulator.write(bytes);
        last_update.write(bytes);
        small_remainder.write(bytes);
        epoch_amount.write(bytes);
        last_funded_epoch.write(bytes);
        funded.write(bytes);
        u8::try_from(scheduled.len()).unwrap_or(u8::MAX).write(bytes);
        scheduled.iter().for_each(|(epoch, amount)| (*epoch, *amount).write(bytes));
        if small_remainder == LARGE_REMAINDER {
            remainder.write(bytes);
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut stream = Self {
            accumulator: Field::read(bytes)?,
            last_update: Field::read(bytes)?,
            remainder: u32::read(bytes)?.into(),
            epoch_amount: Field::read(bytes)?,
            last_funded_epoch: Field::read(bytes)?,
            funded: Field::read(bytes)?,
            scheduled: {
                let epochs = u8::read(bytes)?;
                (0..epochs).map(|_| Field::read(bytes)).collect::<Option<_>>()?
            },
        };
        if stream.remainder == u64::from(LARGE_REMAINDER) {
            stream.remainder = Field::read(bytes)?;
        }
        Some(stream)
    }
}
