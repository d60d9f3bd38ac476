//! Markets, each with a chart of its debt by distance from the liquidation price.

use maud::{Markup, html};

use super::{count, counted, debt_chart::debt_chart, percent};
use crate::view::{MarketView, View};

/// Renders one card for each market.
pub(super) fn markets(view: &View) -> Markup {
    html! {
        section #markets aria-labelledby="markets-title" {
            h2 #markets-title { "Markets" }
            p.lead { "Debt by the fall of the price that would make it liquidatable." }
            @if view.markets.is_empty() {
                p.empty { "No markets yet." }
            }
            div.cards {
                @for market in &view.markets { (card(market)) }
            }
        }
    }
}

fn card(market: &MarketView) -> Markup {
    html! {
        article.card {
            header {
                h3 { (market.name) }
                @match &market.price {
                    Ok(price) => p.price { strong { (price) } " " (market.loan_token) " / " (market.collateral_token) },
                    Err(reason) => p.price.bad { "no price: " (reason) },
                }
            }
            (debt_chart(market))
            dl.facts {
                div { dt { "Debt" } dd { (market.borrowed) } }
                div { dt { "Supplied" } dd { (market.supplied) } }
                div { dt { "Utilisation" } dd { (percent(market.utilisation_bps)) } }
                div { dt { "Borrow APR" } dd { (percent(market.borrow_rate_bps)) } }
                div { dt { "Liquidation LTV" } dd { (percent(market.liquidation_ltv_bps)) } }
                div { dt { "Loans" } dd { (count(market.loans)) } }
                @if let Some(room) = &market.surge_room {
                    div { dt { "Surge room" } dd { (room) } }
                }
            }
            @if let Err(reason) = &market.watched {
                p.note { "Nothing is liquidated here: " (reason) }
            }
            @if market.liquidatable > 0 {
                p.note.bad { (counted(market.liquidatable, "loan")) " liquidatable" }
            }
        }
    }
}
