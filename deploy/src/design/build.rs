//! Works through a manifest: resolves names to addresses, adds a step for everything that must be created, and collects
//! problems.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    ops::Range,
};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};
use plimsoll_contracts::{InvalidParams, MarketParams, RateCurve, Risk, SurgeLimit};
use toml::Spanned;

use super::{
    Cover, Deposit, Design, Existing, Expected, Funding, Market, Payment, Programme, Step, Token, Work,
    nodes::EMISSION,
    section::{self, DEPLOYER, EXCHANGE, GOVERNOR, MANAGER, OWNER, Section, VOTES},
};
use crate::{
    compile::Artifacts,
    manifest::{
        self, Manifest, ManifestError, Parsed, Problem,
        units::{Amount, Reference, decimal_text},
    },
    min_debt::{self, BAD_DAY_GAS_PRICE},
};

/// Contract that holds all markets.
pub(super) const CORE: &str = "Plimsoll";
/// Contract that holds all staking programmes.
pub(super) const REWARDS: &str = "Rewards";
/// Longest time in weeks over which a payment into a programme may be spread.
const MAX_EPOCHS_AHEAD: u64 = 26;
const MAX_REWARD_TOKENS: usize = 4;
const MAX_FEE_BPS: u16 = 2_500;

/// The address of a named thing, and the external facts that it depends on.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) address: Address,
    pub(super) depends_on: BTreeSet<String>,
}

/// A token's name, address and decimals.
#[derive(Debug, Clone)]
pub(super) struct ResolvedToken {
    pub(super) name: String,
    pub(super) place: Resolved,
    pub(super) decimals: u8,
    pub(super) can_mint: bool,
}

/// State of [`Design::new`].
#[derive(Debug)]
pub(super) struct Builder<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) artifacts: &'a Artifacts,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    pub(super) resolved: BTreeMap<(Section, String), Option<Resolved>>,
    /// Names that are being resolved, from the outermost, to detect circular references.
    pub(super) resolving: Vec<(Section, String)>,
    /// Position of the reference that is being resolved.
    pub(super) reference_span: Range<usize>,
    pub(super) steps: Vec<Step>,
    pub(super) existing: Vec<Existing>,
    pub(super) salt: B256,
}

impl<'a> Builder<'a> {
    pub(super) fn new(manifest: &'a Manifest, artifacts: &'a Artifacts) -> Self {
        Self {
            manifest,
            artifacts,
            problems: manifest.problems.clone(),
            warnings: Vec::new(),
            resolved: BTreeMap::new(),
            resolving: Vec::new(),
            reference_span: 0..0,
            steps: Vec::new(),
            existing: Vec::new(),
            salt: B256::ZERO,
        }
    }

    pub(super) fn build(mut self) -> Result<Design, ManifestError> {
        let manifest = self.manifest;
        let tables = &manifest.tables;
        if let Some(salt) = &tables.network.salt {
            self.salt = self.value(salt).map_or(B256::ZERO, |salt| salt.0);
        }
        self.steps.push(Step { name: "factory".to_owned(), work: Work::Factory });
        let deployer = self.deployer();
        let owner = self.resolve(Section::Accounts, OWNER);
        let tokens = self.all_tokens();
        let feeds = self.all(Section::Feeds, tables.feeds.keys());
        if tables.uniswap_v3.is_some() {
            self.resolve(Section::Exchange, EXCHANGE);
        }
        self.all(Section::Pools, tables.pools.keys());
        self.all(Section::Oracles, tables.oracles.keys());
        self.all(Section::Contracts, tables.contracts.keys());
        self.all(Section::Backstops, tables.backstops.keys());
        for (name, backstop) in &tables.backstops {
            if backstop.get_ref().splitter.is_some() {
                self.resolve(Section::Splitters, name);
            }
            self.first_deposit(name, &backstop.span(), backstop.get_ref());
        }
        let markets = self.markets();
        self.covers(&markets);
        self.vaults(&markets);
        self.programmes();
        self.check_min_debts(&markets);
        self.governance();

        match (deployer, owner) {
            (Some(deployer), Some(owner)) if self.problems.is_empty() => Ok(Design {
                network: tables.network.name.clone(),
                chain_id: tables.network.chain_id,
                is_local: tables.network.local,
                confirmations: tables.network.confirmations.max(1),
                deployer: deployer.address,
                owner: owner.address,
                names: self.names(),
                warnings: self.warnings,
                existing: self.existing,
                steps: self.steps,
                tokens,
                feeds,
            }),
            _ => Err(manifest.invalid(self.problems)),
        }
    }

    /* PROBLEMS */

    /// Records a problem at a position of the manifest; always returns `None`.
    pub(super) fn reject<T>(&mut self, span: &Range<usize>, message: impl Display) -> Option<T> {
        self.problems.push(Problem { span: span.clone(), message: message.to_string() });
        None
    }

    /// Returns a parsed value; records a problem if it could not be parsed.
    pub(super) fn value<T: Clone>(&mut self, said: &Parsed<T>) -> Option<T> {
        match &said.value {
            Ok(value) => Some(value.clone()),
            Err(problem) => self.reject(&said.span, problem),
        }
    }

    /// Records a problem if the manifest is not for a local chain.
    pub(super) fn require_local(&mut self, span: &Range<usize>, what: &str) -> Option<()> {
        if self.manifest.tables.network.local {
            return Some(());
        }
        self.reject(
            span,
            format!("{what} is made up for local chains only: give its `address`, or set `local = true` in [network]"),
        )
    }

    /* NAMES */

    /// Resolves the account that signs and pays.
    fn deployer(&mut self) -> Option<Resolved> {
        let said = &self.manifest.tables.deployer.address;
        match self.value(said)? {
            Reference::Name(name) if name != DEPLOYER && name != OWNER => self.address(said, &[Section::Accounts]),
            Reference::Name(_) => self.reject(&said.span, "the deployer's address must be written out"),
            Reference::Address(address) => Some(external(DEPLOYER, address)),
        }
    }

    /// Resolves a reference to an address, or to an entry of one of these sections.
    pub(super) fn address(&mut self, said: &Parsed<Reference>, sections: &[Section]) -> Option<Resolved> {
        match self.value(said)? {
            Reference::Address(address) => Some(external(&said.text, address)),
            Reference::Name(text) => {
                let (section, name) = self.find(&said.span, &text, sections)?;
                self.reference_span = said.span.clone();
                self.resolve(section, &name)
            }
        }
    }

    /// Resolves a name. The first time, the steps that its entry needs are added.
    pub(super) fn resolve(&mut self, section: Section, name: &str) -> Option<Resolved> {
        let key = (section, name.to_owned());
        if let Some(known) = self.resolved.get(&key) {
            return known.clone();
        }
        if self.resolving.contains(&key) {
            let names = self.resolving.iter().chain([&key]);
            let cycle: Vec<String> = names.map(|(section, name)| format!("{}.{name}", section.name())).collect();
            return self.reject(&self.reference_span.clone(), format!("this needs itself: {}", cycle.join(" needs ")));
        }
        self.resolving.push(key.clone());
        let place = match section {
            Section::Accounts => self.account(name),
            Section::Tokens => self.resolve_token(name),
            Section::Feeds => self.resolve_feed(name),
            Section::Contracts => self.resolve_contract(name),
            Section::Oracles => self.resolve_oracle(name),
            Section::Backstops => self.resolve_backstop(name),
            Section::Splitters => self.resolve_splitter(name),
            Section::Pools => self.resolve_pool(name),
            Section::Exchange => self.resolve_exchange(),
        };
        self.resolving.pop();
        self.resolved.insert(key, place.clone());
        place
    }

    /// Returns the section and name that a text refers to; records a problem if there is none.
    pub(super) fn find(&mut self, span: &Range<usize>, text: &str, sections: &[Section]) -> Option<(Section, String)> {
        match section::find(&self.manifest.tables, text, sections) {
            Ok(found) => Some(found),
            Err(message) => self.reject(span, message),
        }
    }

    fn all<'n>(&mut self, section: Section, names: impl Iterator<Item = &'n String>) -> BTreeMap<String, Address> {
        names.filter_map(|name| Some((name.clone(), self.resolve(section, name)?.address))).collect()
    }

    fn account(&mut self, name: &str) -> Option<Resolved> {
        let tables = &self.manifest.tables;
        match name {
            DEPLOYER => self.deployer(),
            OWNER => self.owner(),
            MANAGER if tables.governance.is_some() => self.resolve_manager(),
            GOVERNOR if self.governor_entry().is_some() => self.resolve_governor(),
            VOTES if self.votes_entry().is_some() => self.resolve_votes(),
            _ => match self.value(&tables.accounts[name])? {
                Reference::Address(address) => Some(external(&format!("accounts.{name}"), address)),
                Reference::Name(_) => {
                    self.reject(&tables.accounts[name].span, format!("the account {name} must be an address"))
                }
            },
        }
    }

    fn owner(&mut self) -> Option<Resolved> {
        let entry = &self.manifest.tables.owner;
        match (&entry.get_ref().account, &entry.get_ref().timelock) {
            (Some(account), None) => self.address(account, &[Section::Accounts]),
            (None, Some(timelock)) => self.timelock(&entry.span(), timelock),
            _ => self.reject(&entry.span(), "[owner] is either an `account` or a `timelock`"),
        }
    }

    /// Returns the names in the manifest of all addresses; an account's goes before another's.
    fn names(&self) -> BTreeMap<Address, String> {
        let mut names = BTreeMap::new();
        for ((section, name), place) in &self.resolved {
            let Some(place) = place else { continue };
            let name = match section {
                Section::Accounts | Section::Exchange => name.clone(),
                _ => format!("{}.{name}", section.name()),
            };
            names.entry(place.address).or_insert(name);
        }
        names
    }

    fn all_tokens(&mut self) -> BTreeMap<String, Token> {
        let tables = &self.manifest.tables;
        let addresses = self.all(Section::Tokens, tables.tokens.keys());
        let with_decimals = |(name, address): (String, Address)| {
            let decimals = tables.tokens[&name].get_ref().decimals;
            (name, Token { address, decimals })
        };
        addresses.into_iter().map(with_decimals).collect()
    }

    /// Resolves a token, which must be named in `[tokens]`, because an address alone says nothing about decimals.
    pub(super) fn token(&mut self, said: &Parsed<Reference>) -> Option<ResolvedToken> {
        let Reference::Name(text) = self.value(said)? else {
            return self.reject(&said.span, "name this token in [tokens], with its decimals, and write the name here");
        };
        let (_, name) = self.find(&said.span, &text, &[Section::Tokens])?;
        let entry = self.manifest.tables.tokens[&name].get_ref();
        let place = self.resolve(Section::Tokens, &name)?;
        Some(ResolvedToken { name, place, decimals: entry.decimals, can_mint: entry.address.is_none() })
    }

    /// Returns an amount in units of a token; records a problem if it is an amount of another token or too precise.
    pub(super) fn units(&mut self, said: &Parsed<Amount>, token: &ResolvedToken) -> Option<U256> {
        let amount = self.value(said)?;
        if let Some(other) = amount.token.filter(|name| *name != token.name) {
            return self.reject(&said.span, format!("this amount is in {}, not in {other}", token.name));
        }
        match amount.number.scaled(token.decimals) {
            Ok(units) => Some(units),
            Err(problem) => self.reject(&said.span, format!("{}: {problem}", token.name)),
        }
    }

    /// Resolves the only entry of `[contracts]` for this contract; records a problem if there is none, or several.
    pub(super) fn singleton(&mut self, contract: &str, span: &Range<usize>) -> Option<Resolved> {
        let entries = self.manifest.tables.contracts.iter();
        let of_kind = |(name, entry): &(&String, &toml::Spanned<manifest::Contract>)| {
            entry.get_ref().contract.as_deref().unwrap_or(name) == contract
        };
        let names: Vec<&String> = entries.filter(of_kind).map(|(name, _)| name).collect();
        match names.as_slice() {
            [name] => {
                self.reference_span = span.clone();
                self.resolve(Section::Contracts, name)
            }
            [] => self.reject(span, format!("this needs the contract {contract}: add [contracts.{contract}]")),
            _ => self.reject(span, format!("this needs one contract {contract}, and there are {}", names.len())),
        }
    }

    /* MARKETS AND COVER */

    /// Adds the step that gives a backstop its first shares. Without shares nobody owns its income, so a backstop that gets
    /// income from a splitter must have it.
    fn first_deposit(&mut self, name: &str, span: &Range<usize>, entry: &manifest::Backstop) -> Option<()> {
        let backstop = self.resolve(Section::Backstops, name)?.address;
        let Some(said) = &entry.first_deposit else {
            if entry.splitter.is_none() {
                return Some(());
            }
            return self.reject(
                span,
                "a backstop with a `splitter` needs a `first_deposit`, such as \"10 USDC\": without shares its income belongs \
                 to nobody, and the first depositor of a single unit takes it. The deposit stays for good",
            );
        };
        let asset = self.token(&entry.asset)?;
        let amount = self.units(said, &asset)?;
        if amount.is_zero() {
            return self.reject(&said.span, "a first deposit of 0 makes no shares");
        }
        let payment = Payment { token: asset.place.address, amount, can_mint: asset.can_mint };
        self.step(format!("backstops.{name}.first_deposit"), Work::FirstDeposit(Deposit { vault: backstop, payment }));
        Some(())
    }

    /// Warns of markets whose minimum debt does not pay for its liquidation, where the manifest says what the native coin
    /// costs in the loan token.
    fn check_min_debts(&mut self, markets: &BTreeMap<String, (Market, ResolvedToken)>) {
        let network = &self.manifest.tables.network;
        let said = network.bad_day_gas_price.as_ref().map(|price| self.value(price));
        let Some(gas_price) = said.unwrap_or(Some(BAD_DAY_GAS_PRICE)) else { return };
        for (token, price) in &network.native_prices {
            let Some((_, name)) = self.find(&price.span, token, &[Section::Tokens]) else { continue };
            for (market, (design, loan)) in markets.iter().filter(|(_, (_, loan))| loan.name == name) {
                let Some(native_price) = self.scaled(price, loan.decimals) else { break };
                let Ok(risk) = Risk::from_word(design.params.risk) else { continue };
                let needed = min_debt::needed(gas_price, native_price, risk);
                if U256::from(risk.min_debt()) < needed {
                    let amount = |units| format!("{} {name}", decimal_text(units, loan.decimals));
                    self.warnings.push(format!(
                        "markets.{market}: the smallest loans do not pay for their liquidation on a bad day, at {gas_price}: \
                         `min_debt` is {}, and should be {} or more",
                        amount(U256::from(risk.min_debt())),
                        amount(min_debt::rounded_up(needed))
                    ));
                }
            }
        }
    }

    fn markets(&mut self) -> BTreeMap<String, (Market, ResolvedToken)> {
        let mut markets = BTreeMap::new();
        for (name, entry) in &self.manifest.tables.markets {
            if let Some(market) = self.market(name, &entry.span(), entry.get_ref()) {
                markets.insert(name.clone(), market);
            }
        }
        markets
    }

    fn market(&mut self, name: &str, span: &Range<usize>, entry: &manifest::Market) -> Option<(Market, ResolvedToken)> {
        let core = self.singleton(CORE, span);
        let loan = self.token(&entry.loan);
        let collateral = self.token(&entry.collateral);
        let oracle = self.address(&entry.oracle, &[Section::Oracles]);
        let min_debt = loan.as_ref().and_then(|loan| self.units(&entry.min_debt, loan));
        let (ltv, liquidation_ltv) = (self.value(&entry.ltv), self.value(&entry.liquidation_ltv));
        let (rate, steepness, speed) =
            (self.value(&entry.rate), self.value(&entry.steepness), self.value(&entry.speed));
        let fee = entry.fee.as_ref().map(|fee| (fee.span.clone(), self.value(fee)));
        let recipient =
            entry.fee_recipient.as_ref().map(|said| self.address(said, &[Section::Splitters, Section::Accounts]));
        let backstop = entry.backstop.as_ref().map(|said| self.address(said, &[Section::Backstops]));
        let curve = rate.zip(steepness).zip(speed).and_then(|((rate, steepness), speed)| {
            let curve = RateCurve::new(rate.per_second, rate.target_bps, steepness.0, speed.0);
            curve.map_err(|problem| self.out_of_bounds(entry, problem)).ok()
        });

        let (core, loan, collateral, oracle) = (core?, loan?, collateral?, oracle?);
        self.check_pair(name, &entry.oracle, &loan, &collateral);
        let min_debt = min_debt?;
        let Ok(min_debt) = u128::try_from(min_debt) else {
            return self.reject(&entry.min_debt.span, "`min_debt` does not fit 128 bits");
        };
        let risk = Risk::new(ltv?.0, liquidation_ltv?.0, min_debt);
        let mut risk = risk.map_err(|problem| self.out_of_bounds(entry, problem)).ok()?;
        if let Some(surge) = &entry.surge_limit {
            let limit = self.surge_limit(surge.get_ref(), &loan, risk.min_debt())?;
            let limited = risk.with_surge_limit(limit);
            risk = limited.map_err(|problem| self.out_of_bounds(entry, problem)).ok()?;
        }
        if loan.place.address == collateral.place.address {
            return self.reject(&entry.collateral.span, "a market's two tokens must differ");
        }
        let params = MarketParams::new(loan.place.address, collateral.place.address, oracle.address, risk, curve?);
        let market = Market { core: core.address, id: params.id(), params };
        self.step(format!("markets.{name}"), Work::CreateMarket(market.clone()));
        if let Some((span, fee)) = fee {
            let fee = fee?.0;
            if fee > MAX_FEE_BPS {
                return self.reject(&span, "a market's fee is at most 25%");
            }
            self.step(format!("markets.{name}.fee"), Work::SetFee(market.clone(), fee));
        }
        if let Some(recipient) = recipient {
            self.step(
                format!("markets.{name}.fee_recipient"),
                Work::SetFeeRecipient(market.clone(), recipient?.address),
            );
        }
        if let Some(backstop) = backstop {
            self.step(format!("markets.{name}.backstop"), Work::SetBackstop(market.clone(), backstop?.address));
        }
        Some((market, loan))
    }

    fn surge_limit(&mut self, entry: &manifest::Surge, loan: &ResolvedToken, min_debt: u128) -> Option<SurgeLimit> {
        let (share, period) = (self.value(&entry.share), self.value(&entry.period));
        let floor = self.units(&entry.floor, loan)?;
        let (multiple, rest) = floor.div_rem(U256::from(min_debt));
        if !rest.is_zero() {
            return self
                .reject(&entry.floor.span, "a surge limit's floor must be a multiple of the market's `min_debt`");
        }
        let Ok(floor_multiple) = u32::try_from(multiple) else {
            return self.reject(&entry.floor.span, "a surge limit's floor is below 2^32 times the market's `min_debt`");
        };
        // More than 136 years is out of bounds as well.
        let period_secs = u32::try_from(period?.0).unwrap_or(u32::MAX);
        Some(SurgeLimit { share_bps: share?.0, period_secs, floor_multiple })
    }

    /// Records that a market's parameter exceeds the core's bounds, at the position of the parameter.
    fn out_of_bounds(&mut self, entry: &manifest::Market, problem: InvalidParams) {
        let span = match problem {
            InvalidParams::BorrowLtvZero | InvalidParams::BorrowLtvTooHigh { .. } => &entry.ltv.span,
            InvalidParams::LiquidationLtvTooHigh(_) => &entry.liquidation_ltv.span,
            InvalidParams::MinDebtTooLow(_) => &entry.min_debt.span,
            InvalidParams::SurgeShare(_) | InvalidParams::SurgePeriod(_) | InvalidParams::SurgeFloor { .. } => {
                return self.surge_out_of_bounds(entry, problem);
            }
            InvalidParams::StartRate(_) | InvalidParams::Target(_) | InvalidParams::UnusedBits(_) => &entry.rate.span,
            InvalidParams::Steepness(_) => &entry.steepness.span,
            InvalidParams::Speed(_) => &entry.speed.span,
        };
        let _: Option<()> = self.reject(span, problem);
    }

    fn surge_out_of_bounds(&mut self, entry: &manifest::Market, problem: InvalidParams) {
        let Some(surge) = &entry.surge_limit else { return };
        let surge = surge.get_ref();
        let span = match problem {
            InvalidParams::SurgeShare(_) => &surge.share.span,
            InvalidParams::SurgePeriod(_) => &surge.period.span,
            _ => &surge.floor.span,
        };
        let _: Option<()> = self.reject(span, problem);
    }

    /// Records a problem if a market's oracle prices other tokens than the market's two, which would make its price wrong
    /// from the first block.
    fn check_pair(&mut self, market: &str, said: &Parsed<Reference>, loan: &ResolvedToken, collateral: &ResolvedToken) {
        let Ok(Reference::Name(text)) = &said.value else { return };
        let Some((_, name)) = self.find(&said.span, text, &[Section::Oracles]) else { return };
        let oracle = self.manifest.tables.oracles[&name].get_ref();
        let (Some(priced), Some(in_token)) = (self.token(&oracle.collateral), self.token(&oracle.loan)) else { return };
        if (&priced.name, &in_token.name) != (&collateral.name, &loan.name) {
            let message = format!(
                "the oracle {name} prices {} in {}, but {market} lends {} against {}",
                priced.name, in_token.name, loan.name, collateral.name
            );
            let _: Option<()> = self.reject(&said.span, message);
        }
    }

    fn covers(&mut self, markets: &BTreeMap<String, (Market, ResolvedToken)>) {
        for (name, entry) in &self.manifest.tables.backstops {
            for (market_name, limit) in &entry.get_ref().covers {
                let known = &self.manifest.tables.markets;
                if !known.contains_key(market_name) {
                    let message = section::unknown(market_name, "[markets]", known.keys().map(String::as_str));
                    let _: Option<()> = self.reject(&limit.span, message);
                    continue;
                }
                let Some((market, loan)) = markets.get(market_name) else { continue };
                self.cover(name, entry.get_ref(), market_name, market, loan, limit);
            }
        }
    }

    fn cover(
        &mut self,
        name: &str,
        entry: &manifest::Backstop,
        market_name: &str,
        market: &Market,
        loan: &ResolvedToken,
        limit: &Parsed<Amount>,
    ) -> Option<()> {
        let asset = self.token(&entry.asset)?;
        if asset.name != loan.name {
            let message = format!("{market_name} lends {}, but this backstop's asset is {}", loan.name, asset.name);
            return self.reject(&limit.span, message);
        }
        let limit = self.units(limit, loan)?;
        let backstop = self.resolve(Section::Backstops, name)?.address;
        let curator = self.address(&entry.curator, &[Section::Accounts])?.address;
        let cover = Cover { backstop, curator, market: market.clone(), limit };
        self.step(format!("backstops.{name}.covers.{market_name}"), Work::Cover(cover));
        Some(())
    }

    /* REWARDS */

    fn programmes(&mut self) {
        let tables = &self.manifest.tables;
        let mut ids = BTreeSet::new();
        for (name, entry) in &tables.rewards {
            if let Some(programme) = self.programme(name, &entry.span(), entry.get_ref()) {
                self.fundings(name, &programme, &entry.get_ref().funding, &mut ids);
            }
        }
        if let Some(entry) = &tables.nodes
            && let Some(programme) = self.nodes(&entry.span(), entry.get_ref())
        {
            self.fundings(EMISSION, &programme, &entry.get_ref().emission, &mut ids);
        }
    }

    /// Adds the steps that pay into a programme. Their ids are unique in the manifest.
    fn fundings(
        &mut self,
        name: &str,
        programme: &Programme,
        entries: &'a [Spanned<manifest::Funding>],
        ids: &mut BTreeSet<&'a str>,
    ) {
        for funding in entries {
            if !ids.insert(funding.get_ref().id.as_str()) {
                let message = format!(
                    "the funding id \"{}\" stands here twice: what was paid under it is never paid again",
                    funding.get_ref().id
                );
                let _: Option<()> = self.reject(&funding.span(), message);
            }
            self.funding(name, programme, &funding.span(), funding.get_ref());
        }
    }

    fn programme(&mut self, name: &str, span: &Range<usize>, entry: &manifest::Programme) -> Option<Programme> {
        let contract = self.singleton(REWARDS, span);
        let stake = self.token(&entry.stake);
        let rewards: Vec<Option<ResolvedToken>> = entry.rewards.iter().map(|said| self.token(said)).collect();
        let salt = entry.salt.as_ref().map(|salt| self.value(salt));
        let reward_tokens: Vec<Address> =
            rewards.into_iter().collect::<Option<Vec<_>>>()?.iter().map(|token| token.place.address).collect();
        if reward_tokens.is_empty() || reward_tokens.len() > MAX_REWARD_TOKENS {
            return self.reject(span, format!("`rewards` must name 1 to {MAX_REWARD_TOKENS} tokens"));
        }
        if reward_tokens.iter().collect::<BTreeSet<_>>().len() != reward_tokens.len() {
            return self.reject(span, "`rewards` names a token twice");
        }
        let (contract, stake_token) = (contract?.address, stake?.place.address);
        let salt = salt.map_or(Some(B256::ZERO), |salt| Some(salt?.0))?;
        let id = keccak256((stake_token, reward_tokens.clone(), salt).abi_encode_params());
        let programme = Programme { contract, id, stake_token, reward_tokens, salt };
        self.step(format!("rewards.{name}"), Work::CreateProgramme(programme.clone()));
        Some(programme)
    }

    fn funding(
        &mut self,
        name: &str,
        programme: &Programme,
        span: &Range<usize>,
        entry: &manifest::Funding,
    ) -> Option<()> {
        let token = self.token(&entry.token)?;
        let amount = self.units(&entry.amount, &token);
        let starts = entry.starts.as_ref().map(|starts| self.value(starts));
        if !programme.reward_tokens.contains(&token.place.address) {
            return self.reject(&entry.token.span, format!("{} is not among this programme's `rewards`", token.name));
        }
        if !(1..=MAX_EPOCHS_AHEAD).contains(&entry.epochs) {
            return self.reject(span, format!("`epochs` must be 1 to {MAX_EPOCHS_AHEAD} weeks, not {}", entry.epochs));
        }
        let amount = amount?;
        if amount.is_zero() {
            return self.reject(&entry.amount.span, "an amount of 0 pays nobody");
        }
        let starts = starts.map_or(Some(None), |starts| Some(Some(starts?.0)))?;
        let funding = Funding {
            id: entry.id.clone(),
            programme: programme.clone(),
            payment: Payment { token: token.place.address, amount, can_mint: token.can_mint },
            epochs: entry.epochs,
            starts,
        };
        self.step(format!("rewards.{name}.funding.{}", entry.id), Work::Fund(funding));
        Some(())
    }

    /* LISTS */

    pub(super) fn step(&mut self, name: String, work: Work) {
        self.steps.push(Step { name, work });
    }

    pub(super) fn expect(&mut self, name: String, address: Address, expected: Expected) {
        self.existing.push(Existing { name, address, expected });
    }
}

/// Returns the address of something that this project does not create, which depends on that address alone.
pub(super) fn external(name: &str, address: Address) -> Resolved {
    Resolved { address, depends_on: BTreeSet::from([format!("{name} = {address}")]) }
}
