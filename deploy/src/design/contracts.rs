//! Contracts to create, with the arguments of their constructors. These are checked against the compiled ABI by name and
//! type, so a new contract needs no code here.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use alloy::{
    dyn_abi::{DynSolType, DynSolValue, Specifier},
    json_abi::Param,
    primitives::{Address, I256, U256},
};

use super::{
    Creation, Expected, Work,
    build::{Builder, CORE, Resolved, ResolvedToken, external},
    section::{ALL_SECTIONS, OWNER, Section},
};
use crate::{
    compile::Artifact,
    create2,
    manifest::{
        self, Parsed,
        units::{Decimal, Reference},
    },
};

/// Contracts that are for local chains only, because they must never hold anybody's money.
const LOCAL_ONLY: [&str; 3] = ["SettableFeed", "TestToken", "UniswapV3Factory"];
/// Parameter of the core's constructor.
const FIRST_OWNER: &str = "firstOwner";
/// Highest upper bound of an oracle's price as a multiple of the lower one, as in `ChainlinkOracle`.
const MAX_EXPECTED_FACTOR: u64 = 10;
/// Name of an executor that stands for everybody.
const ANYONE: &str = "anyone";
/// Decimals of prices and ratios in constructor arguments.
const WHOLE_DECIMALS: u8 = 18;
/// Decimals of an oracle's price, before those of the tokens.
const PRICE_DECIMALS: u8 = 36;

type Values = Vec<(&'static str, DynSolValue)>;

impl<'a> Builder<'a> {
    /* CONTRACTS WITH A SECTION OF THEIR OWN */

    pub(super) fn resolve_token(&mut self, name: &str) -> Option<Resolved> {
        let entry = &self.manifest.tables.tokens[name];
        let decimals = entry.get_ref().decimals;
        let full_name = format!("tokens.{name}");
        match &entry.get_ref().address {
            Some(said) => {
                let place = self.address(said, &[Section::Accounts])?;
                self.expect(full_name.clone(), place.address, Expected::Token { decimals });
                Some(external(&full_name, place.address))
            }
            None => {
                self.require_local(&entry.span(), "a token")?;
                let values = vec![("name_", DynSolValue::String(name.to_owned())), ("decimals_", number(decimals, 8))];
                self.create(full_name, "TestToken", values, &entry.span(), [])
            }
        }
    }

    pub(super) fn resolve_feed(&mut self, name: &str) -> Option<Resolved> {
        let entry = &self.manifest.tables.feeds[name];
        let feed = entry.get_ref();
        let full_name = format!("feeds.{name}");
        let bounds = self.answers_between(feed);
        match (&feed.address, &feed.answer) {
            (Some(said), None) => {
                let place = self.address(said, &[Section::Accounts])?;
                let (low, high) = bounds?;
                let description = feed.description.clone();
                self.expect(
                    full_name.clone(),
                    place.address,
                    Expected::Feed { decimals: feed.decimals, description, low, high },
                );
                Some(external(&full_name, place.address))
            }
            (None, Some(said)) => {
                self.require_local(&entry.span(), "a feed")?;
                let answer = self.answer(feed, said)?;
                let (low, high) = bounds?;
                if answer < low || answer > high {
                    return self.reject(&said.span, "the first answer lies outside `between`");
                }
                let owner = self.resolve(Section::Accounts, super::section::DEPLOYER)?;
                let values = vec![
                    ("owner_", DynSolValue::Address(owner.address)),
                    ("decimals_", number(feed.decimals, 8)),
                    ("description_", DynSolValue::String(feed.description.clone())),
                    ("answer", DynSolValue::Int(answer, 192)),
                ];
                self.create(full_name, "SettableFeed", values, &entry.span(), [owner])
            }
            _ => {
                self.reject(&entry.span(), "a feed has either an `address`, or – on local chains – its first `answer`")
            }
        }
    }

    fn answers_between(&mut self, feed: &manifest::Feed) -> Option<(I256, I256)> {
        let [low, high] = &feed.between;
        let (bottom, top) = (self.answer(feed, low)?, self.answer(feed, high)?);
        if bottom <= I256::ZERO || bottom >= top {
            return self.reject(&low.span, "`between` must be two prices above 0, the lower first");
        }
        Some((bottom, top))
    }

    fn answer(&mut self, feed: &manifest::Feed, said: &Parsed<Decimal>) -> Option<I256> {
        let units = self.scaled(said, feed.decimals)?;
        match I256::try_from(units) {
            Ok(answer) if answer.bits() <= 192 => Some(answer),
            _ => self.reject(&said.span, "this does not fit the 192 bits of a feed's answer"),
        }
    }

    pub(super) fn scaled(&mut self, said: &Parsed<Decimal>, decimals: u8) -> Option<U256> {
        match self.value(said)?.scaled(decimals) {
            Ok(units) => Some(units),
            Err(problem) => self.reject(&said.span, problem),
        }
    }

    pub(super) fn resolve_oracle(&mut self, name: &str) -> Option<Resolved> {
        let entry = &self.manifest.tables.oracles[name];
        let oracle = entry.get_ref();
        let (collateral, loan) = (self.token(&oracle.collateral), self.token(&oracle.loan));
        let over_feeds = !oracle.base.is_empty() || !oracle.quote.is_empty();
        let between = oracle
            .between
            .as_ref()
            .map(|[low, high]| Some((self.scaled(low, WHOLE_DECIMALS)?, self.scaled(high, WHOLE_DECIMALS)?)));
        let full_name = format!("oracles.{name}");
        match (over_feeds, &oracle.ratio, &oracle.address) {
            (true, None, None) => {
                let Some(between) = between else {
                    return self.reject(&entry.span(), "an oracle over feeds needs `between`: the only defence against a feed that prices something else");
                };
                let (low, high) = between?;
                if low.is_zero() || high <= low || high > low.saturating_mul(U256::from(MAX_EXPECTED_FACTOR)) {
                    let span = oracle.between.as_ref().map_or_else(|| entry.span(), |[low, _]| low.span.clone());
                    let message = "`between` must be two prices above 0, the lower first, and the higher at most ten times the lower";
                    return self.reject(&span, message);
                }
                self.chainlink_oracle(full_name, &entry.span(), oracle, collateral?, loan?, (low, high))
            }
            (false, Some(ratio), None) => {
                let ratio = self.scaled(ratio, WHOLE_DECIMALS)?;
                let (collateral, loan) = (collateral?, loan?);
                let values = vec![
                    ("collateralToken_", DynSolValue::Address(collateral.place.address)),
                    ("loanToken_", DynSolValue::Address(loan.place.address)),
                    ("ratioE18_", DynSolValue::Uint(ratio, 256)),
                ];
                self.create(full_name, "FixedOracle", values, &entry.span(), [collateral.place, loan.place])
            }
            (false, None, Some(said)) => {
                let place = self.address(said, &[Section::Accounts])?;
                let (collateral, loan) = (collateral?, loan?);
                let in_oracles_scale = |whole: U256| {
                    let above =
                        U256::from(10).checked_pow(U256::from(PRICE_DECIMALS - WHOLE_DECIMALS + loan.decimals))?;
                    whole.checked_mul(above)?.checked_div(U256::from(10).checked_pow(U256::from(collateral.decimals))?)
                };
                let bounds = match between {
                    Some(between) => {
                        let (low, high) = between?;
                        in_oracles_scale(low).zip(in_oracles_scale(high))
                    }
                    None => None,
                };
                // A whole collateral token's price has as many decimals as 1e36-scaled units make of it.
                let decimals = (PRICE_DECIMALS + loan.decimals).saturating_sub(collateral.decimals);
                self.expect(full_name.clone(), place.address, Expected::Oracle { bounds, decimals });
                Some(external(&full_name, place.address))
            }
            _ => self.reject(
                &entry.span(),
                "an oracle has either feeds (`base`, `quote`), or a fixed `ratio`, or an `address`",
            ),
        }
    }

    fn chainlink_oracle(
        &mut self,
        name: String,
        span: &Range<usize>,
        oracle: &manifest::Oracle,
        collateral: ResolvedToken,
        loan: ResolvedToken,
        (low, high): (U256, U256),
    ) -> Option<Resolved> {
        let mut places = vec![collateral.place.clone(), loan.place.clone()];
        let base = self.oracle_feeds(&oracle.base, &mut places);
        let quote = self.oracle_feeds(&oracle.quote, &mut places);
        let none = || DynSolValue::Address(Address::ZERO);
        let sequencer = match &oracle.sequencer {
            Some(sequencer) => {
                let feed = self.address(&sequencer.feed, &[Section::Feeds, Section::Accounts]);
                let grace = self.small(&sequencer.grace)?;
                let feed = feed?;
                self.expect(format!("{name}.sequencer"), feed.address, Expected::Code);
                let address = feed.address;
                places.push(feed);
                vec![DynSolValue::Address(address), number(grace, 32)]
            }
            None => vec![none(), number(0_u8, 32)],
        };
        let twap = match &oracle.twap {
            Some(twap) => {
                let pool = self.address(&twap.pool, &[Section::Pools, Section::Accounts]);
                let (window, block_time) = (self.small(&twap.window), self.small(&twap.block_time));
                let deviation = self.value(&twap.max_deviation)?.0;
                let pool = pool?;
                let address = pool.address;
                places.push(pool);
                vec![DynSolValue::Address(address), number(window?, 32), number(block_time?, 32), number(deviation, 16)]
            }
            None => vec![none(), number(0_u8, 32), number(0_u8, 32), number(0_u8, 16)],
        };
        let setup = DynSolValue::Tuple(vec![
            DynSolValue::Address(collateral.place.address),
            DynSolValue::Address(loan.place.address),
            DynSolValue::Array(base?),
            DynSolValue::Array(quote?),
            DynSolValue::Tuple(sequencer),
            DynSolValue::Tuple(twap),
        ]);
        let expected = DynSolValue::Tuple(vec![DynSolValue::Uint(low, 256), DynSolValue::Uint(high, 256)]);
        self.create(name, "ChainlinkOracle", vec![("given", setup), ("expected", expected)], span, places)
    }

    fn oracle_feeds(&mut self, feeds: &[manifest::OracleFeed], places: &mut Vec<Resolved>) -> Option<Vec<DynSolValue>> {
        let mut values = Vec::new();
        for entry in feeds {
            let feed = self.address(&entry.feed, &[Section::Feeds]);
            let borrow_max_age = self.small(&entry.borrow_max_age);
            let liquidation_max_age = self.value(&entry.liquidation_max_age);
            values.push(feed.zip(borrow_max_age).zip(liquidation_max_age).map(|((feed, borrow), liquidation)| {
                let address = DynSolValue::Address(feed.address);
                places.push(feed);
                DynSolValue::Tuple(vec![address, number(borrow, 32), number(liquidation.0, 32)])
            }));
        }
        values.into_iter().collect()
    }

    /// Returns a duration in seconds; records a problem if it does not fit 32 bits.
    fn small(&mut self, said: &Parsed<manifest::units::Seconds>) -> Option<u32> {
        let seconds = self.value(said)?;
        u32::try_from(seconds.0).ok().or_else(|| self.reject(&said.span, "this is too long"))
    }

    pub(super) fn resolve_backstop(&mut self, name: &str) -> Option<Resolved> {
        let entry = &self.manifest.tables.backstops[name];
        let backstop = entry.get_ref();
        let core = self.singleton("Plimsoll", &entry.span());
        let asset = self.token(&backstop.asset);
        let curator = self.address(&backstop.curator, &[Section::Accounts]);
        let (cooldown, window) = (self.value(&backstop.cooldown), self.value(&backstop.window));
        let (core, asset, curator) = (core?, asset?, curator?);
        let values = vec![
            ("plimsoll_", DynSolValue::Address(core.address)),
            ("asset_", DynSolValue::Address(asset.place.address)),
            ("firstCurator", DynSolValue::Address(curator.address)),
            ("cooldownSecs_", number(cooldown?.0, 256)),
            ("windowSecs_", number(window?.0, 256)),
            ("name_", DynSolValue::String(backstop.name.clone())),
            ("symbol_", DynSolValue::String(backstop.symbol.clone())),
        ];
        self.create(format!("backstops.{name}"), "Backstop", values, &entry.span(), [core, asset.place, curator])
    }

    pub(super) fn resolve_splitter(&mut self, name: &str) -> Option<Resolved> {
        let entry = &self.manifest.tables.backstops[name];
        let splitter = entry.get_ref().splitter.as_ref()?;
        let backstop = self.resolve(Section::Backstops, name);
        let treasury = self.address(&splitter.treasury, &[Section::Accounts]);
        let part = self.value(&splitter.treasury_part);
        let (backstop, treasury) = (backstop?, treasury?);
        let values = vec![
            ("backstop_", DynSolValue::Address(backstop.address)),
            ("treasury_", DynSolValue::Address(treasury.address)),
            ("treasuryBps_", number(part?.0, 256)),
        ];
        self.create(format!("splitters.{name}"), "FeeSplitter", values, &entry.span(), [backstop, treasury])
    }

    pub(super) fn timelock(&mut self, span: &Range<usize>, timelock: &manifest::Timelock) -> Option<Resolved> {
        let delay = self.value(&timelock.delay);
        let mut places = Vec::new();
        let mut addresses =
            |builder: &mut Self, list: &[Parsed<Reference>], anyone: bool| -> Option<Vec<DynSolValue>> {
                let one = |said: &Parsed<Reference>| {
                    if anyone && said.text == ANYONE {
                        return Some(DynSolValue::Address(Address::ZERO));
                    }
                    let place = builder.address(said, &[Section::Accounts])?;
                    let address = place.address;
                    places.push(place);
                    Some(DynSolValue::Address(address))
                };
                list.iter().map(one).collect::<Vec<_>>().into_iter().collect()
            };
        let proposers = addresses(self, &timelock.proposers, false);
        let executors = addresses(self, &timelock.executors, true);
        if timelock.proposers.is_empty() || timelock.executors.is_empty() {
            return self.reject(span, "a timelock needs `proposers` and `executors`, else it can never do anything");
        }
        let values = vec![
            ("minDelay", number(delay?.0, 256)),
            ("proposers", DynSolValue::Array(proposers?)),
            ("executors", DynSolValue::Array(executors?)),
            ("admin", DynSolValue::Address(Address::ZERO)),
        ];
        self.create("owner.timelock".to_owned(), "TimelockController", values, span, places)
    }

    /* ANY CONTRACT */

    pub(super) fn resolve_contract(&mut self, name: &str) -> Option<Resolved> {
        let entry = &self.manifest.tables.contracts[name];
        let contract = entry.get_ref().contract.as_deref().unwrap_or(name);
        if LOCAL_ONLY.contains(&contract) {
            self.require_local(&entry.span(), contract)?;
        }
        let artifact = self.artifact(contract, &entry.span())?;
        let parameters = parameters(artifact);
        let given = &entry.get_ref().arguments;
        for (argument, value) in given {
            if !parameters.iter().any(|parameter| parameter.name == *argument) {
                let known = parameters.iter().map(|parameter| parameter.name.as_str());
                let place = format!("the constructor of {contract}");
                let _: Option<()> = self.reject(&value.span(), super::section::unknown(argument, &place, known));
            }
        }
        let mut places = Vec::new();
        let mut values = Vec::new();
        for parameter in parameters {
            let Some(value) = given.get(&parameter.name) else {
                let message =
                    format!("{contract} needs the argument `{}` ({})", parameter.name, parameter.selector_type());
                let _: Option<()> = self.reject(&entry.span(), message);
                values.push(None);
                continue;
            };
            let resolved = parameter.resolve().ok();
            let Some(kind) = resolved else {
                return self.reject(&value.span(), format!("arguments of type {} are not supported", parameter.ty));
            };
            values.push(
                self.coerce(value.get_ref(), &kind, &value.span(), &mut places)
                    .map(|value| (parameter.name.clone(), value)),
            );
        }
        let values: Vec<(String, DynSolValue)> = values.into_iter().collect::<Option<_>>()?;
        if contract == CORE {
            self.check_owner(given, &values)?;
        }
        self.create_checked(format!("contracts.{name}"), contract, values, &entry.span(), places)
    }

    /// Records a problem if the core's first owner is not the one of `[owner]`, which `plan` shows and signs for.
    fn check_owner(
        &mut self,
        given: &BTreeMap<String, toml::Spanned<toml::Value>>,
        values: &[(String, DynSolValue)],
    ) -> Option<()> {
        let owner = self.resolve(Section::Accounts, OWNER)?.address;
        let first = values.iter().find(|(name, _)| name == FIRST_OWNER).and_then(|(_, value)| value.as_address())?;
        if first == owner {
            return Some(());
        }
        let span = given.get(FIRST_OWNER).map_or(0..0, toml::Spanned::span);
        self.reject(
            &span,
            format!("the core would belong to {first}, but [owner] is {owner}: write {FIRST_OWNER} = \"{OWNER}\""),
        )
    }

    /// Converts a value of a manifest to a Solidity type; addresses may be names. Records a problem if it does not fit.
    fn coerce(
        &mut self,
        value: &toml::Value,
        kind: &DynSolType,
        span: &Range<usize>,
        places: &mut Vec<Resolved>,
    ) -> Option<DynSolValue> {
        match (value, kind) {
            (toml::Value::Array(items), DynSolType::Array(inner)) => {
                let values: Vec<_> = items.iter().map(|item| self.coerce(item, inner, span, places)).collect();
                Some(DynSolValue::Array(values.into_iter().collect::<Option<_>>()?))
            }
            (toml::Value::Array(items), DynSolType::Tuple(kinds) | DynSolType::CustomStruct { tuple: kinds, .. })
                if items.len() == kinds.len() =>
            {
                let fields = items.iter().zip(kinds);
                let values: Vec<_> = fields.map(|(item, kind)| self.coerce(item, kind, span, places)).collect();
                Some(DynSolValue::Tuple(values.into_iter().collect::<Option<_>>()?))
            }
            (toml::Value::String(text), DynSolType::Address) => {
                let said = Parsed { span: span.clone(), text: text.clone(), value: text.parse() };
                let place = self.address(&said, &ALL_SECTIONS)?;
                let address = place.address;
                places.push(place);
                Some(DynSolValue::Address(address))
            }
            (toml::Value::String(text), DynSolType::String) => Some(DynSolValue::String(text.clone())),
            (toml::Value::Boolean(flag), DynSolType::Bool) => Some(DynSolValue::Bool(*flag)),
            (toml::Value::Float(number), _) => {
                self.reject(span, format!("{number} is a floating-point number, which is not exact: put it in quotes"))
            }
            (toml::Value::String(text), _) => self.coerce_text(text, kind, span),
            (toml::Value::Integer(number), _) => self.coerce_text(&number.to_string(), kind, span),
            _ => self.reject(span, format!("this must be a {kind}")),
        }
    }

    fn coerce_text(&mut self, text: &str, kind: &DynSolType, span: &Range<usize>) -> Option<DynSolValue> {
        match kind.coerce_str(text) {
            Ok(value) => Some(value),
            Err(error) => self.reject(span, format!("\"{text}\" is not a {kind}: {error}")),
        }
    }

    /// Adds a contract whose parameters are known here, as [`Builder::create_checked`] does.
    pub(super) fn create(
        &mut self,
        name: String,
        contract: &str,
        values: Values,
        span: &Range<usize>,
        places: impl IntoIterator<Item = Resolved>,
    ) -> Option<Resolved> {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.create_checked(name, contract, values, span, places)
    }

    /// Adds the step that creates a contract, and returns its address. Records a problem if the values do not match the
    /// constructor's parameters.
    fn create_checked(
        &mut self,
        name: String,
        contract: &str,
        values: Vec<(String, DynSolValue)>,
        span: &Range<usize>,
        places: impl IntoIterator<Item = Resolved>,
    ) -> Option<Resolved> {
        let artifact = self.artifact(contract, span)?;
        let parameters = parameters(artifact);
        let fits = parameters.len() == values.len()
            && parameters.iter().zip(&values).all(|(parameter, (name, value))| {
                parameter.name == *name && parameter.resolve().is_ok_and(|kind| kind.matches(value))
            });
        if !fits {
            let wanted: Vec<String> = parameters.iter().map(|p| format!("{} {}", p.selector_type(), p.name)).collect();
            return self.reject(
                span,
                format!(
                    "the constructor of {contract} takes ({}): this version does not know how to fill it in",
                    wanted.join(", ")
                ),
            );
        }
        let encoded = DynSolValue::Tuple(values.iter().map(|(_, value)| value.clone()).collect()).abi_encode_params();
        let init_code = [&artifact.creation_code[..], &encoded].concat();
        let address = create2::address_of(self.salt, &init_code);
        let depends_on: BTreeSet<String> = places.into_iter().flat_map(|place| place.depends_on).collect();
        let creation = Creation {
            contract: contract.to_owned(),
            address,
            init_code: init_code.into(),
            salt: self.salt,
            arguments: values,
            encoded_arguments: encoded.into(),
            depends_on: depends_on.clone(),
        };
        self.step(name, Work::Create(creation));
        Some(Resolved { address, depends_on })
    }

    fn artifact(&mut self, contract: &str, span: &Range<usize>) -> Option<&'a Artifact> {
        let artifacts = self.artifacts;
        match artifacts.get(contract) {
            Ok(artifact) => Some(artifact),
            Err(error) => self.reject(span, error),
        }
    }
}

fn parameters(artifact: &Artifact) -> &[Param] {
    artifact.abi.constructor.as_ref().map_or(&[], |constructor| &constructor.inputs)
}

fn number(value: impl Into<u64>, bits: usize) -> DynSolValue {
    DynSolValue::Uint(U256::from(value.into()), bits)
}
