//! Markets: a card for each on the overview, with a chart of its debt by distance from the liquidation price, and a page
//! with all that is known of one.

use maud::{Markup, html};

use super::{
    activity,
    debt_chart::debt_chart,
    format::{count, counted, percent},
    layout::subpage,
    link, positions,
};
use crate::view::{ActivityQuery, MarketView, PositionsQuery, View};

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

/// Renders the page of a market.
pub(crate) fn market_page(view: &View, market: &MarketView) -> String {
    let of_market =
        PositionsQuery { market: Some(market.id), market_text: market.name.clone(), ..PositionsQuery::default() };
    let activities = ActivityQuery { market: Some(market.id), ..ActivityQuery::default() }.select(view);
    let content = html! {
        section.market #market aria-labelledby="market-title" {
            h2 #market-title { (market.name) }
            p.lead {
                (price(market))
                @if let Some(block) = view.block() { " · as of block " (link::block(view, block)) }
            }
            (notes(market))
            div.cards {
                article.card { h3 { "Debt by the fall of the price" } (debt_chart(market)) }
                article.card { h3 { "Figures" } (figures(market)) }
                article.card { h3 { "Parameters" } (parameters(view, market)) }
            }
            h2 { "Positions at risk" }
            (positions::of_market(view, &of_market))
            h2 { "Activity" }
            (activity::list(view, activities.page.into_iter()))
        }
    };
    subpage(view, &market.name, &content)
}

fn card(market: &MarketView) -> Markup {
    html! {
        article.card {
            header {
                h3 { a href={ "/markets/" (market.id) } { (market.name) } }
                p class={ "price" @if market.price.is_none() { " bad" } } { (price(market)) }
            }
            (debt_chart(market))
            dl.facts { (key_figures(market)) }
            (notes(market))
        }
    }
}

fn price(market: &MarketView) -> Markup {
    html! {
        @match (&market.price, &market.price_problem) {
            (Some(price), _) => { strong { (price) } " " (market.loan_token) " / " (market.collateral_token) }
            (None, Some(problem)) => { "no price: " (problem) }
            (None, None) => { "no price" }
        }
    }
}

fn notes(market: &MarketView) -> Markup {
    html! {
        @if let Some(problem) = &market.liquidation_problem {
            p.note { "Nothing is liquidated here: " (problem) }
        }
        @if market.liquidatable > 0 {
            p.note.bad {
                a href={ "/positions?liquidatable=true&market=" (market.id) } { (counted(market.liquidatable, "loan")) " liquidatable" }
                @if market.liquidatable_blocks > 0 { ", for up to " (counted(market.liquidatable_blocks, "block")) }
            }
        }
    }
}

/// Renders the figures of a market that the overview shows, too.
fn key_figures(market: &MarketView) -> Markup {
    html! {
        div { dt { "Debt" } dd { (market.borrowed) } }
        div { dt { "Supplied" } dd { (market.supplied) } }
        div { dt { "Utilisation" } dd { (percent(market.utilisation_bps)) } }
        div { dt { "Borrow APR" } dd { (percent(market.borrow_rate_bps)) } }
        div { dt { "Supply APR" } dd { (percent(market.supply_rate_bps)) } }
        div { dt { "Loans" } dd { (count(market.loans)) } }
    }
}

fn figures(market: &MarketView) -> Markup {
    html! {
        dl.facts {
            (key_figures(market))
            div { dt { "Reserve" } dd { (market.reserve) } }
            @if let Some(cover) = &market.cover { div { dt { "Cover of the backstop" } dd { (cover) } } }
            div { dt { "Bad debt" } dd { (market.bad_debt) } }
            @if let Some(room) = &market.surge_room { div { dt { "Surge room" } dd { (room) } } }
        }
    }
}

fn parameters(view: &View, market: &MarketView) -> Markup {
    html! {
        dl.facts {
            div { dt { "Borrow LTV" } dd { (percent(market.borrow_ltv_bps)) } }
            div { dt { "Liquidation LTV" } dd { (percent(market.liquidation_ltv_bps)) } }
            div { dt { "Loan token" } dd { (market.loan_token) " " (link::address(view, market.loan_token_address)) } }
            div { dt { "Collateral token" } dd { (market.collateral_token) " " (link::address(view, market.collateral_token_address)) } }
            div { dt { "Oracle" } dd { (link::address(view, market.oracle)) } }
            @if let Some(core) = view.keeper.core { div { dt { "Core" } dd { (link::address(view, core)) } } }
            div { dt { "Market id" } dd { (link::short(&market.id.to_string())) } }
        }
    }
}
