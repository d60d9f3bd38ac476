//! Every market, with a picture of how far its price may fall.

use maud::{Markup, html};

use super::{count, counted, percent, picture::picture};
use crate::outside::view::{MarketView, View};

/// One card for each market.
pub(super) fn markets(view: &View) -> Markup {
    html! {
        section #markets aria-labelledby="markets-title" {
            h2 #markets-title { "Markets" }
            p.lead { "Debt by how far the price may fall until it is under water." }
            @if view.markets.is_empty() {
                p.empty { "No market was found yet." }
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
            (picture(market))
            dl.facts {
                div { dt { "borrowed" } dd { (market.borrowed) } }
                div { dt { "supplied" } dd { (market.supplied) } }
                div { dt { "lent out" } dd { (percent(market.utilisation_bps)) } }
                div { dt { "costs a year" } dd { (percent(market.borrow_rate_bps)) } }
                div { dt { "liquidated from" } dd { (percent(market.liquidation_ltv_bps)) } }
                div { dt { "loans" } dd { (count(market.loans)) } }
            }
            @if let Err(reason) = &market.watched {
                p.note { "Nothing is liquidated here: " (reason) }
            }
            @if market.under_water > 0 {
                p.note.bad { (counted(market.under_water, "loan")) " under water" }
            }
        }
    }
}
