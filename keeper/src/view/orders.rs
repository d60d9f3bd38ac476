//! Orders at the guard whose triggers are met, with the last decision about each.

use plimsoll_contracts::MarketId;

use super::{
    decisions::RecordedDecision,
    denomination::{Denomination, count},
    model::{OrderView, TriggeredOrders},
    publisher::BlockSnapshot,
    words::Words,
};
use crate::{
    config::Config,
    strategies::{Decision, guard::OrderId},
};

/// Number of orders that are shown.
const SHOWN_ORDERS: usize = 100;

/// The decisions about orders on the newest block.
#[derive(Debug, Default)]
pub(super) struct OrderDecisions {
    block: u64,
    decisions: Vec<(OrderId, Decision)>,
}

impl OrderDecisions {
    pub(super) const fn new(block: u64, decisions: Vec<(OrderId, Decision)>) -> Self {
        Self { block, decisions }
    }

    /// Shows the orders about which something was decided: those that are executed first, then by market, account and
    /// kind.
    pub(super) fn view(&self, config: &Config, snapshot: &BlockSnapshot<'_>) -> TriggeredOrders {
        let mut decisions: Vec<_> = self.decisions.iter().collect();
        decisions.sort_by_key(|(order, decision)| (!matches!(decision, Decision::Act { .. }), *order));
        let shown = decisions.into_iter().take(SHOWN_ORDERS);
        TriggeredOrders {
            total: count(self.decisions.len()),
            orders: shown.filter_map(|(order, decision)| self.row(config, snapshot, *order, decision)).collect(),
        }
    }

    fn row(
        &self,
        config: &Config,
        snapshot: &BlockSnapshot<'_>,
        OrderId { market: id, account, kind }: OrderId,
        decision: &Decision,
    ) -> Option<OrderView> {
        let BlockSnapshot { header, book, prices, .. } = *snapshot;
        let (market, price) = (book.market(id)?, prices.of(id).ok()?);
        let order = market.triggered_order(account, kind, price, header.timestamp)?;
        let [loan, collateral] =
            [market.params().loanToken, market.params().collateralToken].map(|token| Denomination::of(config, token));
        let words = Words::of_market(config, market.params());
        let decision = RecordedDecision { block: self.block, decision: decision.clone() };
        let MarketId(market) = id;
        Some(OrderView {
            market,
            market_name: config.deployed.market_name(id),
            account,
            kind,
            repaid: loan.amount(order.execution.payment),
            sold: collateral.amount(order.execution.sold),
            premium_ppm: order.execution.premium / 1_000_000_000_000,
            uses: order.placed.order.uses,
            expiry: order.placed.order.expiry,
            decision: decision.view(&words),
        })
    }
}
