//! The pool as of a block: versions, reserves, e-mode categories and prices, from the answers to what was read.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};

use super::{
    bound::effective_price,
    health::TokenTerms,
    interface::{IAaveAddressesProvider, IAaveOracle, IAavePool, IAaveSentinel, IAaveToken},
    reads::{Read, decode, decode_category, decode_reserve, narrow},
    version::Version,
};
use crate::{Answer, tripwire::EffectivePrice};

/// Most reserves of a pool.
const MAX_RESERVES: u16 = 128;
/// A price of 1 where the oracle does not state its unit.
const CURRENCY_UNIT: u128 = 100_000_000;

/// A field of a reserve's configuration: its first bit and number of bits.
type Field = (usize, usize);
const THRESHOLD: Field = (16, 16);
const INCENTIVE: Field = (32, 16);
const DECIMALS: Field = (48, 8);
const ACTIVE: Field = (56, 1);
const PAUSED: Field = (60, 1);
const FEE: Field = (152, 16);
const CATEGORY: Field = (168, 8);
const VIRTUAL_ACCOUNTING: Field = (252, 1);

/// A reserve.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    pub(super) asset: Address,
    pub(super) a_token: Address,
    pub(super) debt_token: Address,
    /// The token of debt at a stable rate, in versions that have it.
    pub(super) stable_debt_token: Option<Address>,
    /// Sum of all scaled debts, if it was read.
    pub(super) scaled_debt: Option<u128>,
    /// Why its debt is not the scaled balance times the index.
    pub(super) has_discounted_debt: bool,
    /// Why nothing can be liquidated that has to do with it.
    pub(super) obstacle: Option<String>,
}

/// The pool in a block.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub(super) version: Version,
    pub(super) reserves: BTreeMap<u16, Reserve>,
    /// The terms of each reserve, by e-mode category and id; or why there are none.
    terms: BTreeMap<u8, BTreeMap<u16, Result<TokenTerms, String>>>,
    /// Place of a category's first effective price.
    places: BTreeMap<u8, u16>,
    currency_unit: u128,
    /// Whether accounts with a health factor of 0.95 and more may be liquidated.
    pub(super) sentinel_allows: bool,
}

/// The answers of a block, by what was read.
#[derive(Debug, Default)]
pub(super) struct Answers(pub(super) BTreeMap<Read, Answer>);

impl Answers {
    fn decoded<C: SolCall>(&self, read: Read) -> Option<Result<C::Return, String>> {
        self.0.get(&read).map(decode::<C>)
    }

    fn provider(&self) -> Option<Address> {
        self.decoded::<IAavePool::ADDRESSES_PROVIDERCall>(Read::Provider)?.ok()
    }

    fn oracle(&self) -> Option<Address> {
        let provider = self.provider()?;
        self.decoded::<IAaveAddressesProvider::getPriceOracleCall>(Read::Oracle { provider })?.ok()
    }

    fn sentinel(&self) -> Option<Address> {
        let provider = self.provider()?;
        let sentinel = self.decoded::<IAaveAddressesProvider::getPriceOracleSentinelCall>(Read::Sentinel { provider });
        sentinel?.ok().filter(|sentinel| !sentinel.is_zero())
    }

    fn assets(&self) -> Vec<Address> {
        let assets = self.decoded::<IAavePool::getReservesListCall>(Read::Reserves).and_then(Result::ok);
        assets.unwrap_or_default()
    }

    /// Returns what is to be read of the pool, by what the answers say. `before` are those of the block before: what they
    /// say of addresses is believed until it proves to be otherwise, so that one request is enough.
    pub(super) fn wanted(&self, before: &Self, categories: &BTreeSet<u8>) -> Vec<Read> {
        let mut wanted = vec![Read::Revision, Read::Provider, Read::Reserves];
        for answers in [self, before] {
            let known = |read| std::ptr::eq(answers, self) || !self.0.contains_key(&read);
            if let Some(provider) = answers.provider().filter(|_| known(Read::Provider)) {
                wanted.extend([Read::Oracle { provider }, Read::Sentinel { provider }]);
            }
            let sentinel = answers.sentinel().filter(|_| known(Read::Provider));
            wanted.extend(sentinel.map(|sentinel| Read::LiquidationAllowed { sentinel }));
            let oracle = answers.oracle().filter(|_| known(Read::Provider));
            wanted.extend(oracle.map(|oracle| Read::CurrencyUnit { oracle }));
            let of_category = |id: &u8| [Read::Category { id: *id }, Read::CategoryCollateral { id: *id }];
            wanted.extend(categories.iter().flat_map(of_category));
            if known(Read::Reserves) {
                for asset in answers.assets() {
                    wanted.extend([
                        Read::Reserve { asset },
                        Read::Income { asset },
                        Read::DebtIndex { asset },
                        Read::GracePeriod { asset },
                    ]);
                    wanted.extend(oracle.map(|oracle| Read::Price { oracle, asset }));
                    let data = answers.0.get(&Read::Reserve { asset }).and_then(|answer| decode_reserve(answer).ok());
                    wanted.extend(data.map(|data| Read::ScaledSupply { token: data.variableDebtTokenAddress }));
                }
            }
            for id in categories {
                let category = answers.0.get(&Read::Category { id: *id });
                let source =
                    category.and_then(|answer| decode_category(answer).ok()).map(|category| category.priceSource);
                if let (Some(asset), Some(oracle)) = (source.filter(|source| !source.is_zero()), oracle) {
                    wanted.push(Read::Price { oracle, asset });
                }
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|read| !self.0.contains_key(read));
        wanted
    }

    /// Returns the oracle's price of an asset, which may be 0.
    fn price(&self, asset: Address) -> Result<u128, String> {
        let oracle = self.oracle().ok_or("the pool has no oracle")?;
        let price = self.decoded::<IAaveOracle::getAssetPriceCall>(Read::Price { oracle, asset });
        let price = price.unwrap_or_else(|| Err("the oracle was not asked".to_owned()));
        let price = price.map_err(|problem| format!("the oracle gives no price of {asset}: {problem}"))?;
        narrow(price, "the oracle's price")
    }

    /// Returns the pool; fails if it is none, or of a version that is not known.
    pub(super) fn pool(&self, timestamp: u64, categories: &BTreeSet<u8>) -> Result<Pool, String> {
        let version = self.version()?;
        let mut reserves = BTreeMap::new();
        let mut configurations = BTreeMap::new();
        let mut indices = BTreeMap::new();
        for asset in self.assets() {
            let data = self.0.get(&Read::Reserve { asset }).ok_or_else(|| format!("reserve {asset} was not read"))?;
            let data = decode_reserve(data)?;
            let index = |index: Option<Result<U256, String>>| {
                narrow(index.unwrap_or_else(|| Err("it was not read".to_owned()))?, "an index")
            };
            let liquidity_index =
                index(self.decoded::<IAavePool::getReserveNormalizedIncomeCall>(Read::Income { asset }))?;
            let borrow_index =
                index(self.decoded::<IAavePool::getReserveNormalizedVariableDebtCall>(Read::DebtIndex { asset }))?;
            indices.insert(data.id, [liquidity_index, borrow_index]);
            configurations.insert(data.id, data.configuration);
            let supply = Read::ScaledSupply { token: data.variableDebtTokenAddress };
            let supply = self.decoded::<IAaveToken::scaledTotalSupplyCall>(supply);
            let grace = self.decoded::<IAavePool::getLiquidationGracePeriodCall>(Read::GracePeriod { asset });
            let stable =
                Some(data.stableDebtTokenAddress).filter(|token| version.has_single_e_modes() && !token.is_zero());
            let reserve = Reserve {
                asset,
                a_token: data.aTokenAddress,
                debt_token: data.variableDebtTokenAddress,
                stable_debt_token: stable,
                scaled_debt: supply.and_then(Result::ok).and_then(|supply| u128::try_from(supply).ok()),
                has_discounted_debt: version.has_discounted_debt()
                    && field(data.configuration, VIRTUAL_ACCOUNTING) == 0,
                obstacle: obstacle(
                    asset,
                    data.configuration,
                    grace.and_then(Result::ok).map(|end| end.to()),
                    timestamp,
                ),
            };
            if data.id < MAX_RESERVES {
                reserves.insert(data.id, reserve);
            }
        }
        let mut pool = Pool {
            version,
            reserves,
            terms: BTreeMap::new(),
            places: BTreeMap::new(),
            currency_unit: self.currency_unit(),
            sentinel_allows: !version.asks_sentinel() || self.sentinel_allows(),
        };
        for (place, id) in (0..).zip(std::iter::once(0).chain(categories.iter().copied().filter(|id| *id != 0))) {
            let category = if id == 0 { None } else { Some(self.category(id)?) };
            let terms = pool.reserves.iter().filter_map(|(reserve, data)| {
                let (configuration, [liquidity_index, borrow_index]) =
                    (configurations.get(reserve)?, *indices.get(reserve)?);
                let terms = self.terms(version, *reserve, data.asset, *configuration, category.as_ref());
                Some((*reserve, terms.map(|terms| TokenTerms { liquidity_index, borrow_index, ..terms })))
            });
            let terms = terms.collect();
            pool.terms.insert(id, terms);
            pool.places.insert(id, place * MAX_RESERVES);
        }
        Ok(pool)
    }

    pub(super) fn version(&self) -> Result<Version, String> {
        let revision = self.decoded::<IAavePool::POOL_REVISIONCall>(Read::Revision);
        let revision = revision.unwrap_or_else(|| Err("it was not asked".to_owned()))?;
        Version::of_revision(revision)
            .ok_or_else(|| format!("its POOL_REVISION() is {revision}, and the rules of versions up to 11 are known"))
    }

    fn currency_unit(&self) -> u128 {
        let unit = self.oracle().and_then(|oracle| {
            self.decoded::<IAaveOracle::BASE_CURRENCY_UNITCall>(Read::CurrencyUnit { oracle })?.ok()
        });
        unit.and_then(|unit| u128::try_from(unit).ok()).unwrap_or(CURRENCY_UNIT)
    }

    fn sentinel_allows(&self) -> bool {
        self.sentinel().is_none_or(|sentinel| {
            let allowed = Read::LiquidationAllowed { sentinel };
            self.decoded::<IAaveSentinel::isLiquidationAllowedCall>(allowed).is_some_and(|allowed| allowed == Ok(true))
        })
    }

    fn category(&self, id: u8) -> Result<Category, String> {
        let data = self.0.get(&Read::Category { id }).ok_or_else(|| format!("e-mode category {id} was not read"))?;
        let data = decode_category(data)?;
        let members = self.decoded::<IAavePool::getEModeCategoryCollateralBitmapCall>(Read::CategoryCollateral { id });
        Ok(Category {
            id,
            threshold_bps: data.liquidationThreshold,
            incentive_bps: data.liquidationBonus,
            price_source: Some(data.priceSource).filter(|source| !source.is_zero()),
            members: members.and_then(Result::ok),
        })
    }

    fn terms(
        &self,
        version: Version,
        reserve: u16,
        asset: Address,
        configuration: U256,
        category: Option<&Category>,
    ) -> Result<TokenTerms, String> {
        let small = |of: Field| u16::try_from(field(configuration, of)).unwrap_or_default();
        let (base_threshold, mut incentive_bps) = (small(THRESHOLD), small(INCENTIVE));
        let (mut threshold_bps, mut source) = (base_threshold, None);
        if let Some(category) = category.filter(|category| category.contains(version, reserve, small(CATEGORY))) {
            let counts = base_threshold != 0 || version.has_independent_e_modes();
            threshold_bps = if counts { category.threshold_bps } else { 0 };
            incentive_bps = category.incentive_bps;
            source = category.price_source.filter(|_| version.has_single_e_modes());
        }
        // A category's price of 0 is none, and each reserve's own is in effect.
        let price = source.map_or(Ok(0), |source| self.price(source))?;
        let price = if price == 0 { self.price(asset)? } else { price };
        if price == 0 {
            return Err(format!("the oracle's price of {asset} is 0"));
        }
        Ok(TokenTerms {
            price,
            decimals: u8::try_from(field(configuration, DECIMALS)).unwrap_or_default(),
            threshold_bps,
            incentive_bps,
            fee_bps: small(FEE),
            liquidity_index: 0,
            borrow_index: 0,
        })
    }
}

/// What the weights of accounts in the index depend on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Weights {
    version: Version,
    /// Liquidation thresholds in basis points, by category and reserve.
    thresholds: BTreeMap<(u8, u16), u16>,
}

/// An e-mode category.
#[derive(Debug)]
struct Category {
    id: u8,
    threshold_bps: u16,
    incentive_bps: u16,
    price_source: Option<Address>,
    /// The reserves that are collateral in it, from 3.2 on.
    members: Option<u128>,
}

impl Category {
    fn contains(&self, version: Version, reserve: u16, category_of_reserve: u16) -> bool {
        if version.has_single_e_modes() {
            category_of_reserve == u16::from(self.id)
        } else {
            self.members.is_some_and(|members| members >> reserve & 1 == 1)
        }
    }
}

impl Pool {
    /// Returns a reserve's terms in a category; fails without a price.
    pub(super) fn terms(&self, category: u8, reserve: u16) -> Result<&TokenTerms, &str> {
        let terms = self.terms.get(&category).and_then(|terms| terms.get(&reserve));
        terms.ok_or("there is no such reserve")?.as_ref().map_err(String::as_str)
    }

    /// Returns a reserve's place in the list of effective prices.
    pub(super) fn place(&self, category: u8, reserve: u16) -> Option<u16> {
        self.places.get(&category)?.checked_add(reserve)
    }

    /// Returns the effective prices of every reserve in every category.
    pub(super) fn effective_prices(&self) -> Vec<EffectivePrice> {
        let unknown = EffectivePrice { collateral: None, debt: None, is_stable: false };
        let mut prices = vec![unknown; self.places.len() * usize::from(MAX_RESERVES)];
        for (category, terms) in &self.terms {
            for (reserve, terms) in terms {
                let place = self.place(*category, *reserve).and_then(|place| prices.get_mut(usize::from(place)));
                if let (Some(price), Ok(terms)) = (place, terms) {
                    *price = effective_price(terms, self.currency_unit);
                }
            }
        }
        prices
    }

    /// Returns everything that weights of accounts depend on: once it changes, every account is armed again.
    pub(super) fn weights(&self) -> Weights {
        let thresholds = self.terms.iter().flat_map(|(category, terms)| {
            let threshold = |terms: &Result<TokenTerms, String>| terms.as_ref().map_or(0, |terms| terms.threshold_bps);
            terms.iter().map(move |(reserve, terms)| ((*category, *reserve), threshold(terms)))
        });
        Weights { version: self.version, thresholds: thresholds.collect() }
    }
}

fn field(word: U256, (first, bits): Field) -> u64 {
    ((word >> first) & ((U256::ONE << bits) - U256::ONE)).to()
}

fn obstacle(asset: Address, configuration: U256, grace_period_end: Option<u64>, timestamp: u64) -> Option<String> {
    if field(configuration, ACTIVE) == 0 {
        Some(format!("reserve {asset} is not active"))
    } else if field(configuration, PAUSED) == 1 {
        Some(format!("reserve {asset} is paused"))
    } else {
        let end = grace_period_end.filter(|end| *end >= timestamp)?;
        Some(format!("reserve {asset} is in its grace period for {} s more", end - timestamp + 1))
    }
}
