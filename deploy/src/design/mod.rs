//! Computes everything that a manifest describes: each contract with its address, each market with its id, each setting,
//! in an order in which the steps can be executed.
//!
//! No chain is needed: contracts are created by the deterministic deployer, so their addresses follow from code and
//! arguments. All that is wrong with the manifest is reported at once.

mod build;
mod contracts;
pub mod governance;
mod nodes;
mod pools;
mod section;
mod vaults;

pub(crate) use self::vaults::cap_id;

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    dyn_abi::DynSolValue,
    primitives::{Address, B256, Bytes, I256, U256, address},
    sol_types::SolValue,
};
use plimsoll_contracts::{IVault, MarketId, MarketParams};

use self::governance::ManagerSetup;
use crate::{
    compile::Artifacts,
    manifest::{Manifest, ManifestError, units::decimal_text},
};

/// The complete target state of a deployment, as steps, and what it relies on.
#[derive(Debug, Clone)]
pub struct Design {
    /// Display name of the network.
    pub network: String,
    /// Chain id that the node must report.
    pub chain_id: u64,
    /// Whether the manifest is for a local Anvil only.
    pub is_local: bool,
    /// Number of blocks to wait for a transaction, including its own.
    pub confirmations: u64,
    /// Account that signs and pays.
    pub deployer: Address,
    /// Owner of the core.
    pub owner: Address,
    /// Contracts that already exist, with what is expected of them.
    pub existing: Vec<Existing>,
    /// All steps, each after those that it needs.
    pub steps: Vec<Step>,
    /// Tokens by name.
    pub tokens: BTreeMap<String, Token>,
    /// Addresses of price feeds by name.
    pub feeds: BTreeMap<String, Address>,
    /// Names in the manifest by address.
    pub names: BTreeMap<Address, String>,
    /// What is allowed, and probably not meant.
    pub warnings: Vec<String>,
}

/// Holder of the first shares of a backstop or vault, whose key nobody has: they stay for good.
pub const SHARES_FOR_GOOD: Address = address!("000000000000000000000000000000000000dEaD");

/// Address and decimals of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Present or future address.
    pub address: Address,
    /// Number of decimals.
    pub decimals: u8,
}

/// A contract on the chain that the manifest relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Name in the manifest, such as `tokens.USDC`.
    pub name: String,
    /// Address of the contract.
    pub address: Address,
    /// Expectation that is checked before anything is sent.
    pub expected: Expected,
}

/// What is expected of an existing contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Some contract has this address.
    Code,
    /// The contract is a token with these decimals.
    Token {
        /// Number of decimals.
        decimals: u8,
    },
    /// The contract is a price feed.
    Feed {
        /// Number of decimals of its answers.
        decimals: u8,
        /// Result of its `description()`.
        description: String,
        /// Lowest acceptable answer.
        low: I256,
        /// Highest acceptable answer.
        high: I256,
    },
    /// The contract is an oracle: its prices are above 0, the borrow price does not exceed the liquidation price, and both
    /// are within the bounds.
    Oracle {
        /// Lowest and highest acceptable price.
        bounds: Option<(U256, U256)>,
        /// Decimals of the price of a whole collateral token in whole loan tokens.
        decimals: u8,
    },
}

/// One part of the target state, and how to reach it.
#[derive(Debug, Clone)]
pub struct Step {
    /// Path in the manifest, such as `markets.weth-usdc`, with the setting where it is only one of several.
    pub name: String,
    /// What must hold on the chain when the step is done.
    pub work: Work,
}

/// The state that a step brings about.
#[derive(Debug, Clone)]
pub enum Work {
    /// The deterministic deployer exists.
    Factory,
    /// A contract exists at its address.
    Create(Creation),
    /// The exchange has the pool.
    CreatePool(Pool),
    /// The pool is initialised with its first price.
    StartPool(Pool),
    /// The core has the market.
    CreateMarket(Market),
    /// The market has its fee, in basis points of interest.
    SetFee(Market, u16),
    /// The market has its fee recipient.
    SetFeeRecipient(Market, Address),
    /// The market has its backstop.
    SetBackstop(Market, Address),
    /// The backstop or vault has shares that stay for good.
    FirstDeposit(Deposit),
    /// The backstop covers a market up to a limit.
    Cover(Cover),
    /// The staking programme exists.
    CreateProgramme(Programme),
    /// The programme has received a payment, once.
    Fund(Funding),
    /// The `AccessManager` has its roles, and the deployer has none.
    SetUpManager(ManagerSetup),
}

/// A contract to create.
#[derive(Debug, Clone)]
pub struct Creation {
    /// Name of the contract in Solidity.
    pub contract: String,
    /// Address that results from code, arguments and salt.
    pub address: Address,
    /// Creation code with the encoded arguments.
    pub init_code: Bytes,
    /// Salt given to the deterministic deployer.
    pub salt: B256,
    /// Arguments of the constructor by name.
    pub arguments: Vec<(String, DynSolValue)>,
    /// ABI-encoded arguments of the constructor.
    pub encoded_arguments: Bytes,
    /// External facts that the address depends on, such as `tokens.USDC = 0x…`: on a chain where they differ, so does the
    /// address.
    pub depends_on: BTreeSet<String>,
}

impl Creation {
    /// Returns what a vault is made with; `None` where it is another contract.
    pub(crate) fn vault_setup(&self) -> Option<IVault::Setup> {
        (self.contract == "Vault").then(|| IVault::Setup::abi_decode(&self.encoded_arguments).ok()).flatten()
    }
}

/// A pool of the exchange, to be created.
#[derive(Debug, Clone)]
pub struct Pool {
    /// The exchange's factory.
    pub factory: Address,
    /// Address that results from code, arguments and salt.
    pub address: Address,
    /// Token with the lower address.
    pub token0: Address,
    /// Token with the higher address.
    pub token1: Address,
    /// Swap fee in millionths.
    pub fee: u32,
    /// First price as `sqrtPriceX96` of Uniswap V3.
    pub sqrt_price_x96: U256,
    /// First price for people, as in `1 WETH = 2000 USDC`.
    pub price: String,
    /// Liquidity that `up` provides on a local chain.
    pub seed_liquidity: u128,
}

/// A market of the core.
#[derive(Debug, Clone)]
pub struct Market {
    /// Address of the core.
    pub core: Address,
    /// Id of the market.
    pub id: MarketId,
    /// Immutable parameters.
    pub params: MarketParams,
}

/// A payment that the deployer makes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// Token that is paid.
    pub token: Address,
    /// Amount in units of the token.
    pub amount: U256,
    /// Whether the token can be minted by anybody.
    pub can_mint: bool,
}

/// The first deposit into a backstop or vault.
#[derive(Debug, Clone)]
pub struct Deposit {
    /// Address of the backstop or vault.
    pub vault: Address,
    /// Payment in its asset.
    pub payment: Payment,
}

/// The part of a market's bad debt that a backstop covers.
#[derive(Debug, Clone)]
pub struct Cover {
    /// Address of the backstop.
    pub backstop: Address,
    /// Account that sets limits of the backstop.
    pub curator: Address,
    /// Covered market.
    pub market: Market,
    /// Highest cover, in units of the loan token.
    pub limit: U256,
}

/// A staking programme.
#[derive(Debug, Clone)]
pub struct Programme {
    /// Address of the contract that holds all programmes.
    pub contract: Address,
    /// Id of the programme (`pool` in the contract).
    pub id: B256,
    /// Token that is staked.
    pub stake_token: Address,
    /// Tokens that are paid as rewards.
    pub reward_tokens: Vec<Address>,
    /// Distinguishes programmes of the same tokens.
    pub salt: B256,
}

/// One payment into a programme.
#[derive(Debug, Clone)]
pub struct Funding {
    /// Key in the deployment record, unique in the manifest.
    pub id: String,
    /// Programme that receives the payment.
    pub programme: Programme,
    /// Amount that is paid.
    pub payment: Payment,
    /// Number of weeks over which it is paid out.
    pub epochs: u64,
    /// First week, as a number of weeks since 1970; the next week if `None`.
    pub starts: Option<u64>,
}

impl Work {
    /// Returns the payment that this makes, if it makes one.
    #[must_use]
    pub const fn payment(&self) -> Option<&Payment> {
        match self {
            Self::FirstDeposit(deposit) => Some(&deposit.payment),
            Self::Fund(funding) => Some(&funding.payment),
            _ => None,
        }
    }
}

impl Design {
    /// Computes the target state that a manifest describes. Fails with a list of all that is wrong with the manifest.
    pub fn new(manifest: &Manifest, artifacts: &Artifacts) -> Result<Self, ManifestError> {
        build::Builder::new(manifest, artifacts).build()
    }

    /// Formats an amount of a token for people, as in `1000.5 USDC`.
    #[must_use]
    pub fn amount_text(&self, token: Address, units: U256) -> String {
        match self.tokens.iter().find(|(_, known)| known.address == token) {
            Some((name, known)) => format!("{} {name}", decimal_text(units, known.decimals)),
            None => format!("{units} units of {token}"),
        }
    }

    /// Returns a token's name in the manifest, or its address if it has none.
    #[must_use]
    pub fn token_text(&self, token: Address) -> String {
        let found = self.tokens.iter().find(|(_, known)| known.address == token);
        found.map_or_else(|| token.to_string(), |(name, _)| name.clone())
    }

    /// Formats an address for people, with its name in the manifest if it has one.
    #[must_use]
    pub fn address_text(&self, address: Address) -> String {
        self.names.get(&address).map_or_else(|| address.to_string(), |name| format!("{name} ({address})"))
    }

    /// Returns the roles of the manifest's `AccessManager`, if there is one.
    #[must_use]
    pub fn manager(&self) -> Option<&ManagerSetup> {
        self.steps.iter().find_map(|step| match &step.work {
            Work::SetUpManager(setup) => Some(setup),
            _ => None,
        })
    }

    /// Returns the names of what draws nodes by the chain's randomness.
    pub(crate) fn draws(&self) -> impl Iterator<Item = &str> {
        self.creations().filter(|(_, creation)| creation.contract == nodes::JOBS).map(|(name, _)| name)
    }

    /// Returns the contracts to create, with their names in the manifest.
    pub fn creations(&self) -> impl Iterator<Item = (&str, &Creation)> {
        self.steps.iter().filter_map(|step| match &step.work {
            Work::Create(creation) => Some((step.name.as_str(), creation)),
            _ => None,
        })
    }
}
