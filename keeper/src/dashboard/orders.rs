//! Borrowers' orders whose triggers are met, with the keeper's decisions.

use maud::{Markup, html};

use super::{format::counted, link};
use crate::{
    math::guard::OrderKind,
    view::{OrderView, View},
};

/// Renders the orders whose triggers are met; a line without any.
pub(super) fn triggered(view: &View) -> Markup {
    let placed = view.markets.iter().map(|market| market.orders).sum();
    html! {
        section #orders aria-labelledby="orders-title" {
            h2 #orders-title { "Borrowers’ orders" }
            p.lead {
                (counted(placed, "order")) " placed, of which the triggers of "
                (counted(view.orders.total, "order")) " are met."
            }
            @if !view.orders.orders.is_empty() {
                ol.activity { @for order in &view.orders.orders { (row(view, order)) } }
            }
        }
    }
}

fn row(view: &View, order: &OrderView) -> Markup {
    html! {
        li {
            div.what {
                p {
                    strong { (kind(order.kind)) } " in "
                    (link::market(view, order.market, &order.market_name))
                }
                p.sums {
                    span { (order.repaid) " to repay" }
                    span { (order.sold) " to sell" }
                    span { (link::account_if_known(view, order.account)) }
                }
                p.note { (order.decision.text) }
            }
        }
    }
}

const fn kind(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Protect => "Protect",
        OrderKind::CloseBelow => "Close below a price",
        OrderKind::CloseAbove => "Close above a price",
    }
}
