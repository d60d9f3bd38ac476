//! Positions below the watched health factor as rows of numbers. After every block there may be very many of them, so a row
//! becomes text only where a client asks for it.

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};

use super::{decisions::RecordedDecision, denomination::Denomination, model::PositionView, words::Words};
use crate::{
    amount::{Health, Price},
    book::MarketBook,
    config::Config,
    math::wide::WAD,
    strategies::{Decision, SkipReason, liquidate::LoanAtRisk},
};

/// What the rows of one market in one block have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMarket {
    /// Market id.
    pub id: B256,
    /// Name of the market.
    pub name: String,
    /// The loan token.
    pub loan: Denomination,
    /// The collateral token.
    pub collateral: Denomination,
    /// Liquidation price in the block, as the oracle returns it.
    pub price: U256,
    /// Number of the block.
    pub block: u64,
    /// How decisions about its loans are put into words.
    pub words: Words,
}

/// A position below the watched health factor.
#[derive(Debug, Clone)]
pub struct PositionRow {
    /// The position's market in the block.
    pub market: Arc<RowMarket>,
    /// Borrower.
    pub account: Address,
    /// Debt with interest, in units of the loan token.
    pub debt: u128,
    /// Collateral, in units of the collateral token.
    pub collateral: u128,
    /// Health factor, 1e18-scaled: the position is liquidatable below 1.
    pub health_wad: U256,
    /// Liquidation price (waterline): the highest price at which the position is liquidatable, as oracles return it.
    pub waterline: U256,
    /// Block since which the position is liquidatable, counted from when this process saw it first; `None` where it is
    /// not.
    pub liquidatable_since: Option<u64>,
    /// The last decision about the position; `None` where none was taken.
    pub decision: Option<Arc<RecordedDecision>>,
}

impl RowMarket {
    /// Describes a market in a block, with the words of decisions about its loans.
    pub(super) fn of(config: &Config, market: &MarketBook, price: U256, block: u64, words: Words) -> Self {
        Self {
            id: market.id().0,
            name: config.deployed.market_name(market.id()),
            loan: Denomination::of(config, market.params().loanToken),
            collateral: Denomination::of(config, market.params().collateralToken),
            price,
            block,
            words,
        }
    }
}

impl PositionRow {
    pub(super) fn of(market: Arc<RowMarket>, loan: &LoanAtRisk) -> Self {
        let LoanAtRisk { account, debt, collateral, health_wad, waterline, .. } = *loan;
        Self { market, account, debt, collateral, health_wad, waterline, liquidatable_since: None, decision: None }
    }

    /// Whether the position is liquidatable.
    #[must_use]
    pub fn is_liquidatable(&self) -> bool {
        self.health_wad < U256::from(WAD)
    }

    /// Whether a transaction includes the position, and the stable name of the reason for the last decision about it;
    /// `none` where none was taken about a liquidatable one.
    #[must_use]
    pub fn reason(&self) -> (bool, &'static str) {
        match &self.decision {
            Some(decision) => decision.reason(),
            None if self.is_liquidatable() => (false, "none"),
            None => (false, "healthy"),
        }
    }

    /// Shows the position to people and programs.
    #[must_use]
    pub fn view(&self) -> PositionView {
        let RowMarket { loan, collateral, .. } = &*self.market;
        let decision = self.decision.as_deref().map(|decision| decision.view(&self.market.words));
        let healthy = || {
            let decision = Decision::Skip(SkipReason::Healthy { health_wad: self.health_wad });
            RecordedDecision { block: self.market.block, decision }.view(&self.market.words)
        };
        PositionView {
            market: self.market.id,
            market_name: self.market.name.clone(),
            account: self.account,
            debt: loan.amount(self.debt),
            collateral: collateral.amount(self.collateral),
            health: Health(self.health_wad),
            waterline: Price {
                raw: self.waterline,
                collateral_decimals: collateral.decimals,
                loan_decimals: loan.decimals,
            },
            distance_bps: PositionView::distance_bps(self.market.price, self.waterline),
            liquidatable_since: self.liquidatable_since,
            decision: decision.or_else(|| (!self.is_liquidatable()).then(healthy)),
        }
    }
}
