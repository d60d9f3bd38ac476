//! From a manifest and compiled code to everything that shall be on a chain: each contract with its address, each
//! market with its id, each setting, in the order in which they can be made.
//!
//! It is computed without a chain: contracts are created by the deterministic deployer, so their addresses follow from
//! code and arguments. Whatever in the manifest cannot be carried out is listed, all of it at once.

mod build;
mod contracts;
mod pools;
mod section;

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    dyn_abi::DynSolValue,
    primitives::{Address, B256, Bytes, I256, U256},
};
use plimsoll_contracts::{MarketId, MarketParams};

use crate::{
    compile::Artifacts,
    manifest::{Manifest, ManifestError},
};

/// All that shall be, and what it rests on.
#[derive(Debug, Clone)]
pub struct Design {
    /// The network's name, for people.
    pub network: String,
    /// Which chain it is for.
    pub chain_id: u64,
    /// Whether it is for a local chain only.
    pub is_local: bool,
    /// How many blocks a transaction waits for, its own included.
    pub confirmations: u64,
    /// Who sends and pays.
    pub deployer: Address,
    /// Who owns the core.
    pub owner: Address,
    /// What is there already and must be what the manifest says it is.
    pub existing: Vec<Existing>,
    /// What is to be done, each after what it needs.
    pub steps: Vec<Step>,
    /// Every token by name.
    pub tokens: BTreeMap<String, Token>,
    /// Every feed by name.
    pub feeds: BTreeMap<String, Address>,
}

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Where it is, or will be.
    pub address: Address,
    /// How many decimals it has.
    pub decimals: u8,
}

/// Something on the chain that the manifest relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Its name in the manifest, such as `tokens.USDC`.
    pub name: String,
    /// Where it must be.
    pub address: Address,
    /// What it must be.
    pub expected: Expected,
}

/// What something on the chain must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Any contract.
    Code,
    /// A token with these decimals.
    Token {
        /// How many.
        decimals: u8,
    },
    /// A feed.
    Feed {
        /// How many decimals its answers have.
        decimals: u8,
        /// What it says of itself.
        description: String,
        /// The least that its answer may be.
        low: I256,
        /// The most that its answer may be.
        high: I256,
    },
    /// An oracle: prices above 0, the borrow price not above the other, and both between these.
    Oracle {
        /// In the oracle's own scale.
        bounds: Option<(U256, U256)>,
    },
}

/// One thing that shall be.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where the manifest asks for it, such as `markets.weth-usdc`; with what, where that is only a part.
    pub name: String,
    /// What it is.
    pub work: Work,
}

/// What there is to do.
#[derive(Debug, Clone)]
pub enum Work {
    /// The deterministic deployer stands at its address.
    Factory,
    /// A contract stands at its address.
    Create(Creation),
    /// The exchange has a pool.
    CreatePool(Pool),
    /// That pool has its first price.
    StartPool(Pool),
    /// The core has a market.
    CreateMarket(Market),
    /// The market has its fee.
    SetFee(Market, u16),
    /// The market's reserve goes to somebody.
    SetFeeRecipient(Market, Address),
    /// The market is covered by a backstop.
    SetBackstop(Market, Address),
    /// A backstop covers a market up to a limit.
    Cover(Cover),
    /// There is a staking programme.
    CreateProgramme(Programme),
    /// The programme was paid, once.
    Fund(Funding),
}

/// A contract to create.
#[derive(Debug, Clone)]
pub struct Creation {
    /// The contract's name in Solidity.
    pub contract: String,
    /// Where it will be.
    pub address: Address,
    /// What is run to create it, arguments included.
    pub init_code: Bytes,
    /// The salt.
    pub salt: B256,
    /// The constructor's arguments by name.
    pub arguments: Vec<(String, DynSolValue)>,
    /// The arguments as the constructor gets them.
    pub encoded_arguments: Bytes,
    /// The facts outside this project that its address depends on: where they differ, the address does.
    pub depends_on: BTreeSet<String>,
}

/// A pool of the exchange.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Who creates it.
    pub factory: Address,
    /// Where it will be.
    pub address: Address,
    /// The token with the lower address.
    pub token0: Address,
    /// The other.
    pub token1: Address,
    /// In millionths.
    pub fee: u32,
    /// The first price, as the exchange writes it.
    pub sqrt_price_x96: U256,
}

/// A market of the core.
#[derive(Debug, Clone)]
pub struct Market {
    /// The core.
    pub core: Address,
    /// Its name.
    pub id: MarketId,
    /// What it is.
    pub params: MarketParams,
}

/// How much a backstop covers of a market.
#[derive(Debug, Clone)]
pub struct Cover {
    /// The backstop.
    pub backstop: Address,
    /// Who may say so.
    pub curator: Address,
    /// The market.
    pub market: Market,
    /// In units of the loan token.
    pub limit: U256,
}

/// A staking programme.
#[derive(Debug, Clone)]
pub struct Programme {
    /// The contract of all programmes.
    pub contract: Address,
    /// Its name there.
    pub id: B256,
    /// What is staked.
    pub stake_token: Address,
    /// What is paid.
    pub reward_tokens: Vec<Address>,
    /// Tells programmes of the same tokens apart.
    pub salt: B256,
}

/// One payment into a programme.
#[derive(Debug, Clone)]
pub struct Funding {
    /// Its name in the record, unique in the manifest.
    pub id: String,
    /// Into which.
    pub programme: Programme,
    /// Of which token.
    pub token: Address,
    /// Whether the token is one that anybody mints.
    pub can_mint: bool,
    /// How much, in its units.
    pub amount: U256,
    /// Over how many weeks.
    pub epochs: u64,
    /// The first week, counted from 1970; else the next one.
    pub starts: Option<u64>,
}

impl Design {
    /// Works out everything that a manifest asks for. Fails with all that is wrong with it.
    pub fn new(manifest: &Manifest, artifacts: &Artifacts) -> Result<Self, ManifestError> {
        build::Builder::new(manifest, artifacts).build()
    }

    /// The contracts to create, with their names in the manifest.
    pub fn creations(&self) -> impl Iterator<Item = (&str, &Creation)> {
        self.steps.iter().filter_map(|step| match &step.work {
            Work::Create(creation) => Some((step.name.as_str(), creation)),
            _ => None,
        })
    }
}
