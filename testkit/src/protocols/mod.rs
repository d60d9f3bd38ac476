//! Lending protocols side by side on one chain, each from its real bytecode: accounts with several collaterals and debts,
//! pools of Uniswap V2 and V3 to sell at, one `Executor` that lists them all, and prices that fall everywhere at once.

mod act;
mod drive;
mod judge;
mod open;

use std::{collections::BTreeMap, sync::Mutex};

use alloy::{
    primitives::{Address, B256, U256, utils::parse_ether},
    providers::{Provider, ext::AnvilApi},
    sol_types::SolValue,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{
    IExecutor::{Target, TargetKind, Venue, VenueKind},
    IUniswapV3Swapper, MarketParams,
};
use plimsoll_protocols::{ProtocolKind, morpho_blue};

use crate::{
    aave_v3::{AaveV3, IPriceOracle, Listing, Release},
    deployment::Suite,
    devnet::{IOneSlotOracle, ITestToken},
    exchange::{Amount, Exchange, POOL_CODE_HASH},
    morpho_blue::MorphoBlue,
    pairs::{self, IPair, Pairs},
    venus::{self, Venus, VenusMarket},
    venus_core::VenusCore,
};
pub use act::Action;
pub use drive::{Earnings, Tally};
pub use judge::Standing;

/// Arguments for Anvil: Venus' comptroller is a little longer than chains allow.
pub use crate::venus::ANVIL_ARGUMENTS;

const DOLLAR_CENTS: u64 = 100;
/// Price of an ether at first, in hundredths of dollars.
const ETHER_CENTS: u64 = 2_000 * DOLLAR_CENTS;
/// Value of each side of a pool, in dollars.
const POOL_DOLLARS: u64 = 400_000_000;
/// Fees of the pools, in millionths. The first pool is the one by which the example of a manifest sells ether.
const POOL_FEES: [u32; 4] = [3_000, 3_000, 500, 3_000];
/// Priority fee of prices, in wei per gas, so that they come before everything else in their block.
const FIRST_FEE: u128 = 1_000_000_000_000;
/// Account of the node that sets prices.
const PRICE_SETTER: usize = 2;
/// Liquidation LTV of the market of Morpho Blue.
const MORPHO_LLTV: &str = "0.86";

/// A lending protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lender {
    /// Plimsoll: ether against dollars.
    Plimsoll,
    /// Morpho Blue: the same.
    MorphoBlue,
    /// Aave v3.0, with up to four collaterals and two debts.
    AaveV3,
    /// An isolated pool of Venus, with the same.
    Venus,
    /// Venus' core pool, with the same and with the chain's own coin among the collaterals and the debts.
    VenusCore,
}

impl Lender {
    /// Every protocol.
    pub const ALL: [Self; 5] = [Self::Plimsoll, Self::MorphoBlue, Self::AaveV3, Self::Venus, Self::VenusCore];

    /// Returns whether it is a pool of Venus, whose packages are installed apart from the others.
    #[must_use]
    pub const fn is_venus(self) -> bool {
        matches!(self, Self::Venus | Self::VenusCore)
    }

    /// Returns the protocol's kind; `None` of Plimsoll.
    #[must_use]
    pub const fn kind(self) -> Option<ProtocolKind> {
        match self {
            Self::Plimsoll => None,
            Self::MorphoBlue => Some(ProtocolKind::MorphoBlue),
            Self::AaveV3 => Some(ProtocolKind::AaveV3),
            Self::Venus | Self::VenusCore => Some(ProtocolKind::CompoundV2),
        }
    }

    /// Returns the protocol's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::MorphoBlue => "morpho-blue",
            Self::AaveV3 => "aave-v3",
            Self::Venus => "venus",
            Self::VenusCore => "venus-core",
        }
    }
}

/// A token of the chain.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    /// Address.
    pub address: Address,
    /// Decimals.
    pub decimals: u8,
    /// Price at first, in hundredths of dollars.
    pub cents: u64,
    /// How much of a fall it takes part in, in percent.
    beta: u64,
}

impl Token {
    /// Returns the units that are worth so many dollars at the first price.
    fn worth(&self, dollars: u64) -> U256 {
        self.worth_at(dollars, self.cents)
    }

    fn worth_at(&self, dollars: u64, cents: u64) -> U256 {
        U256::from(dollars) * U256::from(DOLLAR_CENTS) * U256::from(10).pow(U256::from(self.decimals))
            / U256::from(cents)
    }

    /// Returns what a pool has of it at a price in hundredths of dollars.
    fn amount(&self, cents: u64) -> Amount {
        Amount { token: self.address, units: self.worth_at(POOL_DOLLARS, cents) }
    }

    /// Returns the price after a fall of so many basis points, in hundredths of dollars.
    #[must_use]
    pub const fn fallen(&self, fall_bps: u64) -> u64 {
        self.cents - self.cents * fall_bps / 10_000 * self.beta / 100
    }
}

/// A pool of two tokens, the second of which is a debt token.
#[derive(Debug, Clone, Copy)]
struct Pool {
    address: Address,
    tokens: [Token; 2],
}

/// The protocols of a chain, with pools and an executor.
#[derive(Debug)]
pub struct Protocols {
    /// The chain, with Plimsoll.
    pub suite: Suite,
    /// The executor, which lists the other protocols.
    pub executor: Address,
    /// The tokens of debts: dollars and ether.
    pub debts: [Token; 2],
    /// The tokens that are collateral of Aave and Venus.
    pub collaterals: [Token; 4],
    /// The accounts that borrow, by the protocol.
    pub borrowers: BTreeMap<Lender, Vec<Address>>,
    lenders: Vec<Lender>,
    pools: Vec<Pool>,
    pairs: Vec<Pool>,
    maker: Address,
    aave: Option<AaveV3>,
    venus: Option<Venus>,
    venus_core: Option<VenusCore>,
    morpho: Option<(MorphoBlue, morpho_blue::MarketParams)>,
    plimsoll: MarketParams,
    /// What the keeper has booked, in wei, by transaction.
    booked: Mutex<BTreeMap<B256, U256>>,
}

impl Protocols {
    /// Deploys protocols on a new chain, with supplies to borrow, Aave as 3.0. Venus needs [`ANVIL_ARGUMENTS`] and its packages.
    ///
    /// # Errors
    /// When a transaction fails, or a package is missing.
    pub async fn start(lenders: &[Lender], arguments: &[&str]) -> eyre::Result<Self> {
        Self::start_with(lenders, Release::V3_0, arguments).await
    }

    /// Deploys protocols as [`Protocols::start`] does, with a release of Aave.
    ///
    /// # Errors
    /// As [`Protocols::start`].
    pub async fn start_with(lenders: &[Lender], release: Release, arguments: &[&str]) -> eyre::Result<Self> {
        let suite = Suite::start_with(arguments).await?;
        let devnet = &suite.devnet;
        let [dollar, ether] = [suite.token("USDC")?, suite.token("WETH")?];
        let dollar = Token { address: dollar, decimals: 6, cents: DOLLAR_CENTS, beta: 0 };
        let ether = Token { address: ether, decimals: 18, cents: ETHER_CENTS, beta: 100 };
        let mut collaterals = [ether; 4];
        for (index, (decimals, cents, beta)) in
            [(18, 4_000, 90), (8, 3_000_000, 100), (6, 500, 120), (18, 12_000, 100)].into_iter().enumerate()
        {
            let address = devnet.deploy_token(&format!("C{index}"), decimals).await?;
            collaterals[index] = Token { address, decimals, cents, beta };
        }
        let swapper = IUniswapV3Swapper::new(suite.contract("UniswapV3Swapper")?, devnet.provider());
        let factory = swapper.factory().call().await?;
        let exchange = Exchange::at(devnet, factory).await?;
        let [c0, c1, c2, c3] = collaterals;
        let mut pools = Vec::new();
        for (tokens, fee) in [[ether, dollar], [c0, ether], [c1, dollar], [c3, dollar]].into_iter().zip(POOL_FEES) {
            let [one, other] = tokens.map(|token| token.amount(token.cents));
            pools.push(Pool { address: exchange.add_liquidity(fee, one, other).await?, tokens });
        }
        let maker = exchange.maker();
        // One collateral is sold at a pair alone, two have the choice, two have none.
        let factory_of_pairs = Pairs::deploy(devnet).await?;
        let mut pairs = Vec::new();
        for tokens in [[ether, dollar], [c1, dollar], [c2, ether]] {
            let reserves = tokens.map(|token| token.amount(token.cents));
            pairs.push(Pool { address: factory_of_pairs.create(devnet, reserves).await?, tokens });
        }
        let has = |lender| lenders.contains(&lender);
        let all = [dollar, ether, c0, c1, c2, c3];
        let aave = if has(Lender::AaveV3) { Some(AaveV3::deploy(devnet, release).await?) } else { None };
        if let Some(aave) = &aave {
            let listing = |token: &Token| Listing {
                token: token.address,
                decimals: token.decimals,
                price: token.cents * 1_000_000,
                terms: [8_000, 8_250, 10_500],
                fee_bps: 1_000,
            };
            aave.list(devnet, &all.iter().map(listing).collect::<Vec<_>>()).await?;
        }
        let listing = |token: &Token| venus::Listing {
            token: token.address,
            decimals: token.decimals,
            price: token.cents / DOLLAR_CENTS,
            factors: [80, 83],
        };
        let listings = all.iter().map(listing).collect::<Vec<_>>();
        let venus = if has(Lender::Venus) { Some(Venus::deploy(devnet, &listings).await?) } else { None };
        let venus_core = if has(Lender::VenusCore) {
            devnet.wrap_coin(ether.address).await?;
            Some(VenusCore::deploy_with_coin(devnet, &listings, Some(ether.address)).await?)
        } else {
            None
        };
        let morpho = if has(Lender::MorphoBlue) {
            let morpho = MorphoBlue::deploy(devnet).await?;
            let oracle = devnet.deploy("OneSlotOracle", morpho_price(ETHER_CENTS).abi_encode()).await?;
            let lltv = parse_ether(MORPHO_LLTV)?;
            Some((morpho, morpho.create_market(devnet, [ether.address, dollar.address], oracle, lltv).await?))
        } else {
            None
        };
        let targets = [
            morpho.as_ref().map(|(morpho, _)| Target { kind: TargetKind::MorphoBlue, account: morpho.core }),
            aave.map(|aave| Target { kind: TargetKind::AaveV3, account: aave.pool }),
            venus.as_ref().map(|venus| Target { kind: TargetKind::CompoundV2, account: venus.comptroller }),
            venus_core.as_ref().map(|core| Target { kind: TargetKind::CompoundV2, account: core.comptroller }),
        ];
        let targets: Vec<_> = targets.into_iter().flatten().collect();
        let Pairs { factory: deployer, init_code_hash } = factory_of_pairs;
        let venues = vec![
            Venue { kind: VenueKind::UniswapV3, deployer: factory, poolInitCodeHash: POOL_CODE_HASH },
            Venue { kind: VenueKind::UniswapV2, deployer, poolInitCodeHash: init_code_hash },
        ];
        let executor = devnet.deploy("Executor", (ether.address, targets, venues).abi_encode_params()).await?;
        let plimsoll = suite.market("weth-usdc")?;
        let protocols = Self {
            executor,
            debts: [dollar, ether],
            collaterals,
            borrowers: BTreeMap::new(),
            lenders: lenders.to_vec(),
            pools,
            pairs,
            maker,
            aave,
            venus,
            venus_core,
            morpho,
            plimsoll,
            booked: Mutex::default(),
            suite,
        };
        protocols.supply().await?;
        Ok(protocols)
    }

    /// Returns the settings by which a keeper follows the protocols.
    #[must_use]
    pub fn keeper_settings(&self) -> String {
        let entry = |lender: &Lender| {
            let (kind, address) = (lender.kind()?, self.address(*lender)?);
            Some(format!("[[protocols]]\nkind = \"{kind}\"\naddress = \"{address}\"\nfirst_block = 1\n"))
        };
        let entries: String = self.lenders.iter().filter_map(entry).collect();
        format!("{entries}[executor]\naddress = \"{}\"\nhubs = [\"WETH\", \"USDC\"]\n", self.executor)
    }

    /// Returns the main contract of a protocol; `None` where it is not deployed.
    #[must_use]
    pub fn address(&self, lender: Lender) -> Option<Address> {
        match lender {
            Lender::Plimsoll => self.suite.contract("Plimsoll").ok(),
            Lender::MorphoBlue => self.morpho.as_ref().map(|(morpho, _)| morpho.core),
            Lender::AaveV3 => self.aave.map(|aave| aave.pool),
            Lender::Venus => self.venus.as_ref().map(|venus| venus.comptroller),
            Lender::VenusCore => self.venus_core.as_ref().map(|core| core.comptroller),
        }
    }

    /// Returns the markets of a pool of Venus; none where it is not deployed.
    fn venus_markets(&self, lender: Lender) -> &[VenusMarket] {
        match lender {
            Lender::Venus => self.venus.as_ref().map_or(&[], |venus| &venus.markets),
            Lender::VenusCore => self.venus_core.as_ref().map_or(&[], |core| &core.markets),
            _ => &[],
        }
    }

    /// Returns the market of a token in a pool of Venus.
    fn venus_market(&self, lender: Lender, token: &Token) -> eyre::Result<VenusMarket> {
        let market = self.venus_markets(lender).iter().find(|market| market.token == token.address);
        market.copied().wrap_err("the token has no market")
    }

    /// Lets every price fall by so many basis points of the first one, in oracles and pools, in one block, which is mined.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn fall(&self, fall_bps: u64) -> eyre::Result<()> {
        let provider = self.suite.provider();
        let exchange = Exchange::with_maker(&self.suite.devnet, self.maker);
        // Anybody sets these prices. The deployer's nonces are counted elsewhere.
        let setter = self.suite.devnet.account(PRICE_SETTER)?;
        let mut hashes = Vec::new();
        for pool in &self.pools {
            let amounts = pool.tokens.map(|token| token.amount(token.fallen(fall_bps)));
            hashes.push(exchange.send_trade_first(pool.address, amounts, FIRST_FEE).await?);
        }
        let mut actions = Vec::new();
        for pair in &self.pairs {
            let amounts = pair.tokens.map(|token| token.amount(token.fallen(fall_bps)));
            let missing = pairs::missing(provider, pair.address, amounts).await?;
            let mint = ITestToken::mintCall { to: pair.address, amount: missing.units };
            actions.push(Action::new(setter, missing.token, &mint));
            actions.push(Action::new(setter, pair.address, &IPair::syncCall {}));
        }
        for token in self.debts.iter().chain(&self.collaterals) {
            let cents = token.fallen(fall_bps);
            if let Some(aave) = &self.aave {
                let set = IPriceOracle::setAssetPriceCall {
                    asset: token.address,
                    price: U256::from(cents) * U256::from(1_000_000),
                };
                actions.push(Action::new(setter, aave.oracle, &set));
            }
            if let Some(venus) = &self.venus {
                let market = self.venus_market(Lender::Venus, token)?;
                actions.push(Action::new(setter, venus.oracle, &venus.price_call(&market, cents)));
            }
            if let Some(core) = &self.venus_core {
                let market = self.venus_market(Lender::VenusCore, token)?;
                actions.push(Action::new(setter, core.oracle, &core.price_call(&market, cents)));
            }
        }
        let ether = self.debts[1].fallen(fall_bps);
        if let Some((_, market)) = &self.morpho {
            let set = IOneSlotOracle::setCall { price: morpho_price(ether) };
            actions.push(Action::new(setter, market.oracle, &set));
        }
        for action in actions {
            hashes.push(action.gas(200_000).fee(FIRST_FEE).send(provider).await?);
        }
        hashes.push(self.suite.send_price_first("eth-usd", u128::from(ether) * 1_000_000).await?);
        provider.evm_mine(None).await?;
        for hash in hashes {
            let receipt = provider.get_transaction_receipt(hash).await?;
            ensure!(receipt.is_some_and(|receipt| receipt.status()), "a price is refused");
        }
        Ok(())
    }
}

/// Returns an oracle's price of ether in dollars for Morpho Blue.
fn morpho_price(cents: u64) -> U256 {
    U256::from(cents) * U256::from(10).pow(U256::from(22))
}
