//! What the keeper shows of the book: markets, and positions near the waterline with what was decided about them.

use alloy::primitives::{Address, U256, map::HashMap, utils::format_ether};
use plimsoll_contracts::{MarketId, market::SECONDS_PER_YEAR};

use crate::{
    amount::readable,
    book::{Book, MarketBook},
    chain::Header,
    config::Config,
    math::{
        interest::{borrow_rate, distance_from_target},
        wide::WAD,
    },
    outside::{
        Amount, Health, Price, Survey,
        view::{Decision, DecisionCount, MarketView, PositionView, SHOWN_POSITIONS, WatchedAccount},
    },
    prices::Prices,
    strategies::{
        self, WhyNot,
        liquidate::{AtRisk, at_risk},
    },
};

const BPS: u64 = 10_000;
/// So many loans are looked at for the picture of debt after each block.
const SURVEYED_LOANS: usize = 5_000;

/// What was decided last about every position that something was decided about.
#[derive(Debug, Default)]
pub(super) struct Decisions(HashMap<(MarketId, Address), Decision>);

impl Decisions {
    /// Notes a decision.
    pub(super) fn note(&mut self, market: MarketId, account: Address, block: u64, decision: &strategies::Decision) {
        self.0.insert((market, account), in_words(decision, block));
    }

    fn of(&self, market: MarketId, account: Address) -> Option<&Decision> {
        self.0.get(&(market, account))
    }

    /// Keeps what this says, and forgets the rest.
    fn retain(&mut self, mut is_kept: impl FnMut(MarketId, Address) -> bool) {
        self.0.retain(|(market, account), _| is_kept(*market, *account));
    }
}

/// A decision as it is shown.
pub(super) fn in_words(decision: &strategies::Decision, block: u64) -> Decision {
    let (acts, reason, text) = match decision {
        strategies::Decision::Act { gain_wei, gas_wei } => {
            let [gain, gas] = [gain_wei, gas_wei].map(|wei| readable(&format_ether(*wei)));
            (true, "act", format!("it is sent: it is to bring {gain} coins and to cost {gas}"))
        }
        strategies::Decision::WhyNot(why_not) => (false, why_not.name(), why_not.to_string()),
    };
    Decision { block, acts, reason: reason.to_owned(), text }
}

/// What of the book is shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) markets: Vec<MarketView>,
    pub(super) at_risk: Vec<PositionView>,
    pub(super) decisions: Vec<DecisionCount>,
    pub(super) watched_accounts: Vec<WatchedAccount>,
}

/// Looks at the book after a block.
pub(super) fn look(
    config: &Config,
    book: &Book,
    header: &Header,
    prices: &Prices,
    decisions: &mut Decisions,
    survey: &mut Survey,
) -> Shown {
    let timestamp = header.timestamp;
    survey.look(book, |market| prices.of(market.id()).ok(), timestamp, SURVEYED_LOANS);
    let mut shown = Shown::default();
    let mut endangered = Vec::new();
    for market in book.markets() {
        let Some(settings) = config.liquidate.markets.get(&market.id()) else { continue };
        let price = prices.of(market.id());
        let loans = price.as_ref().map_or_else(
            |_| Vec::new(),
            |price| at_risk(market, *price, timestamp, config.liquidate.watch_below, usize::MAX),
        );
        let under_water = loans.iter().filter(|loan| loan.health_wad < U256::from(WAD)).count();
        let view = MarketView {
            under_water: count(under_water),
            watched: watched(config, settings),
            ..market_view(config, market, timestamp, price.map_err(|problem| problem.to_string()), survey)
        };
        shown.markets.push(view);
        endangered.extend(loans.into_iter().map(|loan| (market, loan)));
    }
    decisions.retain(|market, account| {
        // A position that is out of danger needs no decision.
        let price = prices.of(market).ok();
        book.market(market).zip(price).is_none_or(|(book, price)| {
            let loan = book.position(account).loan();
            book.at(timestamp).is_liquidatable(loan, book.terms(), price)
        })
    });
    endangered.sort_by_key(|(_, loan)| loan.health_wad);
    let mut counts = HashMap::<(bool, String), u64>::default();
    for (market, loan) in &endangered {
        let key = decision(decisions, market.id(), loan, header.number);
        *counts.entry((key.acts, key.reason)).or_default() += 1;
    }
    let to_count = |((acts, reason), positions)| DecisionCount { acts, reason, positions };
    shown.decisions = counts.into_iter().map(to_count).collect();
    shown.decisions.sort_by(|left, right| right.positions.cmp(&left.positions).then(left.reason.cmp(&right.reason)));
    let position = |(market, loan): &(&MarketBook, AtRisk)| {
        let price = prices.of(market.id()).unwrap_or_default();
        let decision = decision(decisions, market.id(), loan, header.number);
        PositionView { decision: Some(decision), ..position_view(config, market, loan, price) }
    };
    shown.at_risk = endangered.iter().take(SHOWN_POSITIONS).map(position).collect();
    shown.watched_accounts = watched_accounts(config, book, prices, timestamp);
    shown
}

/// What was decided, or that there was nothing to decide.
fn decision(decisions: &Decisions, market: MarketId, loan: &AtRisk, block: u64) -> Decision {
    if let Some(decision) = decisions.of(market, loan.account) {
        return decision.clone();
    }
    let healthy = WhyNot::Healthy { health_wad: loan.health_wad };
    Decision { block, acts: false, reason: healthy.name().to_owned(), text: healthy.to_string() }
}

fn market_view(
    config: &Config,
    market: &MarketBook,
    timestamp: u64,
    price: Result<U256, String>,
    survey: &Survey,
) -> MarketView {
    let totals = market.at(timestamp);
    let (params, curve) = (market.params(), market.curve());
    let loan = Denomination::of(config, params.loanToken);
    let collateral = Denomination::of(config, params.collateralToken);
    let distance = distance_from_target(totals.supply_assets, totals.borrow_assets, curve.target_bps());
    let per_second = u128::from(borrow_rate(totals.rate_at_target, distance, curve.steepness()));
    let yearly_bps = per_second * u128::from(SECONDS_PER_YEAR) / u128::from(WAD / BPS);
    let utilisation = U256::from(totals.borrow_assets) * U256::from(BPS);
    let utilisation = utilisation.checked_div(U256::from(totals.supply_assets)).unwrap_or_default();
    let raw_price = |raw| Price { raw, collateral_decimals: collateral.decimals, loan_decimals: loan.decimals };
    MarketView {
        id: market.id().0,
        name: config.deployed.market_name(market.id()),
        loan_token: loan.name.clone(),
        collateral_token: collateral.name,
        liquidation_ltv_bps: market.risk().liquidation_ltv_bps(),
        supplied: loan.amount(totals.supply_assets),
        borrowed: loan.amount(totals.borrow_assets),
        utilisation_bps: utilisation.saturating_to(),
        borrow_rate_bps: u64::try_from(yearly_bps).unwrap_or(u64::MAX),
        price: price.map(raw_price),
        loans: count(market.loans()),
        under_water: 0,
        watched: Ok(()),
        debt: survey.picture(market, loan.decimals, &loan.name).unwrap_or_default(),
    }
}

/// Whether anything is done in a market, or why not.
fn watched(config: &Config, settings: &crate::config::MarketSettings) -> Result<(), String> {
    if !config.liquidate.enabled || !settings.enabled {
        return Err(WhyNot::SwitchedOff.to_string());
    }
    let sells = settings.route.is_some() && config.deployed.liquidator.is_some();
    if sells || settings.from_inventory { Ok(()) } else { Err(WhyNot::NoRoute.to_string()) }
}

/// A position, nothing decided about it.
#[must_use]
pub fn position_view(config: &Config, market: &MarketBook, loan: &AtRisk, price: U256) -> PositionView {
    let params = market.params();
    let (debt, collateral) =
        (Denomination::of(config, params.loanToken), Denomination::of(config, params.collateralToken));
    let waterline =
        Price { raw: loan.waterline, collateral_decimals: collateral.decimals, loan_decimals: debt.decimals };
    PositionView {
        market: market.id().0,
        market_name: config.deployed.market_name(market.id()),
        account: loan.account,
        debt: debt.amount(loan.debt),
        collateral: collateral.amount(loan.collateral),
        health: Health(loan.health_wad),
        waterline,
        distance_bps: PositionView::distance_bps(price, loan.waterline),
        decision: None,
    }
}

fn watched_accounts(config: &Config, book: &Book, prices: &Prices, timestamp: u64) -> Vec<WatchedAccount> {
    let mut found = Vec::new();
    for watched in &config.alerts.watch {
        let markets = book.markets().filter(|market| watched.market.is_none_or(|id| id == market.id()));
        for market in markets {
            let loan = market.position(watched.account).loan();
            let Ok(price) = prices.of(market.id()) else { continue };
            if loan.borrow_shares > 0 {
                found.push(WatchedAccount {
                    account: watched.account,
                    market_name: config.deployed.market_name(market.id()),
                    health: Health(market.at(timestamp).health_wad(loan, market.terms(), price)),
                    below: Health(watched.below),
                });
            }
        }
    }
    found
}

/// In what a token's amounts are said.
#[derive(Debug, Clone)]
pub(super) struct Denomination {
    pub(super) name: String,
    pub(super) decimals: u8,
}

impl Denomination {
    /// Of a token that nobody has named: whole units.
    pub(super) fn of(config: &Config, token: Address) -> Self {
        let decimals = config.tokens.get(token).map_or(0, |token| token.decimals);
        Self { name: config.tokens.name(token), decimals }
    }

    pub(super) fn amount(&self, units: impl TryInto<U256>) -> Amount {
        Amount::new(units, self.decimals, self.name.clone())
    }
}

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
