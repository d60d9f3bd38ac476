//! The blocks of the view that are made from the book: markets, positions at risk, watched accounts, staking programmes.

use std::sync::Arc;

use alloy::primitives::{U256, map::HashMap};
use plimsoll_contracts::{MarketId, market::SECONDS_PER_YEAR};

use super::{
    decisions::{PositionDecisions, RewardDecisions},
    denomination::{Denomination, count},
    liquidatable::LiquidatableSince,
    model::{DecisionCount, MarketView, PositionView, ProgrammeView, WatchedAccount},
    publisher::BlockSnapshot,
    row::{PositionRow, RowMarket},
    words::Words,
};
use crate::{
    amount::{Health, Price},
    book::{Book, CoverKey, MarketBook, StreamBook},
    config::{Config, MarketSettings},
    math::{
        interest::{borrow_rate, distance_from_target},
        shares::to_assets_down,
        types::Market,
        wide::{WAD, product},
    },
    prices::{NoPrice, Prices},
    strategies::{
        COUNTED_LOANS, SkipReason,
        harvest::StreamId,
        liquidate::{LoanAtRisk, worst_at_risk},
    },
    survey::Survey,
};

const BPS: u64 = 10_000;

/// Markets and the positions at risk in them.
#[derive(Debug)]
pub(super) struct LendingViews {
    pub(super) markets: Vec<MarketView>,
    pub(super) at_risk: Arc<[PositionRow]>,
    pub(super) decisions: Vec<DecisionCount>,
    pub(super) watched_accounts: Vec<WatchedAccount>,
}

/// Shows every configured market, and every position below the watched health with the last decision about it.
pub(super) fn lending_views(
    config: &Config,
    snapshot: &BlockSnapshot<'_>,
    decisions: &PositionDecisions,
    survey: &Survey,
    liquidatable_since: &mut LiquidatableSince,
) -> LendingViews {
    let BlockSnapshot { header, book, prices, .. } = *snapshot;
    let (mut markets, mut rows, mut dust_total) = (Vec::new(), Vec::new(), 0);
    let below = config.liquidate.watch_below;
    for market in book.markets() {
        let Some(settings) = config.liquidate.markets.get(&market.id()) else { continue };
        let price = prices.of(market.id());
        let dust = decisions.dust(market.id());
        let (least_shares, dust_loans) = dust.map_or((0, 0), |class| (class.least_shares, class.loans));
        let loans = price.as_ref().map_or_else(
            |_| Vec::new(),
            |price| worst_at_risk(market, *price, header.timestamp, below, (least_shares, COUNTED_LOANS)),
        );
        let liquidatable: Vec<_> = loans.iter().filter(|loan| loan.health_wad < U256::from(WAD)).collect();
        if price.is_ok() {
            liquidatable_since.update(market.id(), liquidatable.iter().map(|loan| loan.account), header.number);
        }
        dust_total += count(dust_loans);
        let words = Words::of_market(config, market.params());
        let loan_token = Denomination::of(config, market.params().loanToken);
        let bad_debt =
            liquidatable.iter().fold(0_u128, |sum, loan| sum.saturating_add(loan.debt.saturating_sub(loan.value)));
        markets.push(MarketView {
            liquidatable: count(liquidatable.len() + dust_loans),
            liquidatable_blocks: liquidatable_since.longest(market.id(), header.number),
            bad_debt: loan_token.amount(bad_debt),
            cover: cover(book, market).map(|units| loan_token.amount(units)),
            liquidation_problem: liquidation_problem(config, settings),
            ..market_view(config, market, header.timestamp, price, (survey, words.clone()))
        });
        let Ok(price) = prices.of(market.id()) else { continue };
        let row_market = Arc::new(RowMarket::of(config, market, price, header.number, words));
        rows.extend(loans.iter().map(|loan| PositionRow {
            liquidatable_since: liquidatable_since.of(market.id(), loan.account),
            decision: decisions.of(market.id(), loan.account),
            ..PositionRow::of(Arc::clone(&row_market), loan)
        }));
    }
    rows.sort_by_key(|row| (row.health_wad, row.account));
    LendingViews {
        markets,
        decisions: decision_counts(&rows, dust_total),
        at_risk: rows.into(),
        watched_accounts: watched_accounts(config, book, prices, header.timestamp),
    }
}

/// Forgets the decisions about positions that are not liquidatable any more. One whose market has no price now is kept.
pub(super) fn forget_healthy(decisions: &mut PositionDecisions, snapshot: &BlockSnapshot<'_>) {
    let BlockSnapshot { header, book, prices, .. } = *snapshot;
    // A market is accrued once, not for each decision.
    let mut accrued = HashMap::<MarketId, Option<(&MarketBook, Market, U256)>>::default();
    decisions.retain(|id, account| {
        let market = accrued.entry(id).or_insert_with(|| {
            let market = book.market(id)?;
            Some((market, market.at(header.timestamp), prices.of(id).ok()?))
        });
        market.as_ref().is_none_or(|(market, totals, price)| {
            totals.is_liquidatable(market.position(account).loan(), market.liquidation_incentive(), *price)
        })
    });
}

/// Counts positions by decision, the most frequent first.
fn decision_counts(rows: &[PositionRow], dust: u64) -> Vec<DecisionCount> {
    let mut counts = HashMap::<(bool, &str), u64>::default();
    if dust > 0 {
        counts.insert((false, SkipReason::DUST), dust);
    }
    for row in rows {
        *counts.entry(row.reason()).or_default() += 1;
    }
    let to_count =
        |((acts, reason), positions): ((bool, &str), u64)| DecisionCount { acts, reason: reason.to_owned(), positions };
    let mut counts: Vec<_> = counts.into_iter().map(to_count).collect();
    counts.sort_by(|left, right| right.positions.cmp(&left.positions).then(left.reason.cmp(&right.reason)));
    counts
}

fn market_view(
    config: &Config,
    market: &MarketBook,
    timestamp: u64,
    price: Result<U256, NoPrice>,
    (survey, words): (&Survey, Words),
) -> MarketView {
    let totals = market.at(timestamp);
    let (params, curve) = (market.params(), market.curve());
    let loan = Denomination::of(config, params.loanToken);
    let collateral = Denomination::of(config, params.collateralToken);
    let distance = distance_from_target(totals.supply_assets, totals.borrow_assets, curve.target_bps());
    let per_second = u128::from(borrow_rate(totals.rate_at_target, distance, curve.steepness()));
    let yearly_bps = per_second * u128::from(SECONDS_PER_YEAR) / u128::from(WAD / BPS);
    let to_suppliers =
        product(yearly_bps, u128::from(BPS - u64::from(totals.fee_bps))) * U256::from(totals.borrow_assets);
    let supplied = product(totals.supply_assets, u128::from(BPS));
    let supply_bps = to_suppliers.checked_div(supplied).unwrap_or_default();
    let reserve = to_assets_down(totals.reserve_shares, totals.supply_assets, totals.supply_shares);
    let utilisation = U256::from(totals.borrow_assets) * U256::from(BPS);
    let utilisation = utilisation.checked_div(U256::from(totals.supply_assets)).unwrap_or_default();
    let raw_price = |raw| Price { raw, collateral_decimals: collateral.decimals, loan_decimals: loan.decimals };
    MarketView {
        id: market.id().0,
        name: config.deployed.market_name(market.id()),
        loan_token: loan.name.clone(),
        collateral_token: collateral.name,
        loan_token_address: params.loanToken,
        loan_decimals: loan.decimals,
        collateral_token_address: params.collateralToken,
        collateral_decimals: collateral.decimals,
        oracle: params.oracle,
        borrow_ltv_bps: market.risk().borrow_ltv_bps(),
        liquidation_ltv_bps: market.risk().liquidation_ltv_bps(),
        supplied: loan.amount(totals.supply_assets),
        borrowed: loan.amount(totals.borrow_assets),
        utilisation_bps: utilisation.saturating_to(),
        borrow_rate_bps: u64::try_from(yearly_bps).unwrap_or(u64::MAX),
        supply_rate_bps: supply_bps.saturating_to(),
        reserve: loan.amount(reserve),
        cover: None,
        bad_debt: loan.amount(0_u8),
        surge_room: totals.surge_room(market.risk()).map(|room| loan.amount(room)),
        surge_period_secs: market.risk().surge_limit().map(|limit| limit.period_secs),
        price: price.as_ref().ok().copied().map(raw_price),
        price_problem: price.err().map(|problem| problem.to_string()),
        loans: count(market.loans()),
        liquidatable: 0,
        liquidatable_blocks: 0,
        liquidation_problem: None,
        orders: count(market.orders().count()),
        debt: survey.distribution(market, loan.decimals, &loan.name).unwrap_or_default(),
        words,
    }
}

/// Computes the most that the backstop of a market pays for its bad debt: what its cover has above its floor, within the
/// market's limit. `None` without a backstop.
fn cover(book: &Book, market: &MarketBook) -> Option<U256> {
    let (backstop, token) = (market.state().backstop, market.params().loanToken);
    let [amount, floor] =
        [CoverKey::Amount(backstop, token), CoverKey::Floor(backstop, token)].map(|key| book.cover(key));
    let limit = book.cover(CoverKey::Limit(backstop, market.id()));
    (!backstop.is_zero()).then(|| amount.saturating_sub(floor).min(limit))
}

/// Returns why nothing is liquidated in a market; `None` where liquidations are enabled and possible.
fn liquidation_problem(config: &Config, settings: &MarketSettings) -> Option<String> {
    let sells = settings.route.is_some() && config.deployed.liquidator.is_some();
    let reason = if !config.liquidate.enabled || !settings.enabled {
        SkipReason::SwitchedOff
    } else if sells || settings.from_inventory {
        return None;
    } else {
        SkipReason::NoRoute
    };
    // Neither reason has figures.
    Some(reason.text(&Words::default()))
}

/// Shows a position at a price, without a decision.
#[must_use]
pub fn position_view(config: &Config, market: &MarketBook, loan: &LoanAtRisk, price: U256) -> PositionView {
    let market = Arc::new(RowMarket::of(config, market, price, 0, Words::default()));
    PositionView { decision: None, ..PositionRow::of(market, loan).view() }
}

fn watched_accounts(config: &Config, book: &Book, prices: &Prices, timestamp: u64) -> Vec<WatchedAccount> {
    let mut found = Vec::new();
    for watched in &config.alerts.watch {
        let is_meant = |market: &&MarketBook| watched.market.is_none_or(|id: MarketId| id == market.id());
        for market in book.markets().filter(is_meant) {
            let loan = market.position(watched.account).loan();
            let Ok(price) = prices.of(market.id()) else { continue };
            if loan.borrow_shares > 0 {
                found.push(WatchedAccount {
                    account: watched.account,
                    market_name: config.deployed.market_name(market.id()),
                    health: Health(market.at(timestamp).health_wad(loan, market.liquidation_incentive(), price)),
                    below: Health(watched.below),
                });
            }
        }
    }
    found
}

/// Shows every reward of every staking programme that the deployment's record names.
pub(super) fn programme_views(
    config: &Config,
    book: &Book,
    decisions: &RewardDecisions,
    timestamp: u64,
) -> Vec<ProgrammeView> {
    let view = |stream: StreamBook<'_>| {
        let id = StreamId { pool: stream.pool().id(), reward_token: stream.reward_token() };
        ProgrammeView {
            id: id.pool,
            name: config.deployed.programme_name(id.pool),
            reward_token: config.tokens.name(id.reward_token),
            consenting: count(stream.consenting()),
            due: count(stream.harvestable(timestamp).len()),
            decision: decisions.get(id).cloned(),
        }
    };
    let is_named = |stream: &StreamBook<'_>| config.deployed.programme_names.contains_key(&stream.pool().id());
    book.rewards().filter(is_named).map(view).collect()
}
