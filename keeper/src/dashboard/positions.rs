//! Positions at risk, each with the decision about it and the reason: the least healthy on the overview, and all of them on
//! a page with search, filters, order and paging.

use maud::{Markup, html};

use super::{
    format::{count, counted, percent, words},
    layout::subpage,
    link,
};
use crate::view::{DecisionView, PositionRow, PositionView, PositionsQuery, Selection, SortKey, View};

/// Number of positions on the overview.
const SHOWN: usize = 20;
/// The parameter that the form keeps, although it has no field for it.
const KEPT: &str = "limit";
/// What positions are ordered by, in words. Narrow screens show no headings to order by.
const ORDERS: [(SortKey, &str); 7] = [
    (SortKey::Health, "health factor"),
    (SortKey::Debt, "debt"),
    (SortKey::Collateral, "collateral"),
    (SortKey::Distance, "liquidation price"),
    (SortKey::Since, "liquidatable since"),
    (SortKey::Account, "account"),
    (SortKey::Market, "market"),
];
/// Number of positions on a page of all of them.
const PAGE: usize = 50;

/// Renders the positions with the lowest health factors: what is done about each, or why nothing is.
pub(super) fn most_at_risk(view: &View) -> Markup {
    let query = PositionsQuery { limit: SHOWN, ..PositionsQuery::default() };
    let selection = query.select(view);
    html! {
        section #positions aria-labelledby="positions-title" {
            h2 #positions-title { "Positions at risk" }
            @if selection.total == 0 {
                p.empty { "None: every loan is above a health factor of " (view.keeper.watch_below) "." }
            } @else {
                (reason_counts(view, &PositionsQuery::default()))
                (table(view, &PositionsQuery::default(), &selection))
                p.more {
                    @if selection.total > SHOWN { "The " (SHOWN) " with the lowest health factors are shown. " }
                    a href="/positions" { "All " (counted(crate::view::count(selection.total), "position")) } " · "
                    a href="/api/v1/positions.csv" { "CSV" }
                }
            }
        }
    }
}

/// Renders a page of the positions that a query selects.
pub(crate) fn positions_page(view: &View, query: &PositionsQuery) -> String {
    let shown = PositionsQuery { limit: query.limit.min(PAGE), ..query.clone() };
    let selection = shown.select(view);
    let content = html! {
        section #position-list aria-labelledby="positions-title" {
            h2 #positions-title { "Positions at risk" }
            p.lead {
                "Loans below a health factor of " (view.keeper.watch_below)
                @if let Some(block) = view.block() { ", as of block " (count(block)) }
                ". " a href={ "/positions?" (query.to_url()) } { "Reload" } "."
            }
            (reason_counts(view, query))
            (form(view, query))
            @if selection.total == 0 {
                p.empty { "No position matches. " a href="/positions" { "Show all" } }
            } @else {
                (table(view, query, &selection))
                (paging(&shown, query, selection.total))
            }
        }
    };
    subpage(view, "positions", &content)
}

/// Renders the positions of one market on its page.
pub(super) fn of_market(view: &View, query: &PositionsQuery) -> Markup {
    let selection = PositionsQuery { limit: SHOWN, ..query.clone() }.select(view);
    html! {
        @if selection.total == 0 {
            p.empty { "None: every loan is above a health factor of " (view.keeper.watch_below) "." }
        } @else {
            (table(view, query, &selection))
            p.more {
                a href={ "/positions?" (query_url(query, 0)) } { "All " (counted(crate::view::count(selection.total), "position")) }
                " · " a href={ "/api/v1/positions.csv?" (query.to_url()) } { "CSV" }
            }
        }
    }
}

/// Renders the numbers of positions by decision, each a link to these positions in the order of a query.
fn reason_counts(view: &View, query: &PositionsQuery) -> Markup {
    let PositionsQuery { sort, is_descending, limit, .. } = *query;
    let of_reason = |reason: &str| {
        PositionsQuery { reason: reason.to_owned(), sort, is_descending, limit, ..PositionsQuery::default() }.to_url()
    };
    html! {
        ul.counts aria-label="Decisions" {
            @for count in &view.decisions {
                li {
                    a class={ "pill " (if count.acts { "act" } else { "not" }) } href={ "/positions?" (of_reason(&count.reason)) } {
                        strong { (count.positions) } " " (words(&count.reason))
                    }
                }
            }
        }
    }
}

fn form(view: &View, query: &PositionsQuery) -> Markup {
    let selected = |is_selected: bool| is_selected.then_some("selected");
    html! {
        form.filter method="get" action="/positions" role="search" {
            @for (name, value) in query.parameters().filter(|(name, _)| *name == KEPT) {
                input type="hidden" name=(name) value=(value);
            }
            label { "Search" input type="search" name="search" value=(query.search) placeholder="address or market"; }
            label {
                "Market"
                select name="market" {
                    option value="" { "all" }
                    @for market in &view.markets {
                        option value=(market.name) selected=[selected(query.market == Some(market.id))] { (market.name) }
                    }
                }
            }
            label {
                "Decision"
                select name="reason" {
                    option value="" { "all" }
                    @for count in &view.decisions {
                        option value=(count.reason) selected=[selected(query.reason == count.reason)] { (words(&count.reason)) }
                    }
                }
            }
            label {
                "State"
                select name="liquidatable" {
                    option value="" { "all" }
                    option value="true" selected=[selected(query.liquidatable == Some(true))] { "liquidatable" }
                    option value="false" selected=[selected(query.liquidatable == Some(false))] { "healthy" }
                }
            }
            label {
                "Order by"
                select name="sort" {
                    @for (key, text) in ORDERS {
                        option value=(key.name()) selected=[selected(query.sort == key)] { (text) }
                    }
                }
            }
            label {
                "Order"
                select name="order" {
                    option value="asc" { "lowest first" }
                    option value="desc" selected=[selected(query.is_descending)] { "highest first" }
                }
            }
            button type="submit" { "Apply" }
            a href={ "/api/v1/positions.csv?" (query_url(query, 0)) } { "CSV" }
        }
    }
}

/// URL parameters of the same query from another position on.
fn query_url(query: &PositionsQuery, offset: usize) -> String {
    PositionsQuery { offset, ..query.clone() }.to_url()
}

/// Renders links to the pages before and after the one that is `shown`, with the parameters of `query`.
fn paging(shown: &PositionsQuery, query: &PositionsQuery, total: usize) -> Markup {
    let last = (shown.offset + shown.limit).min(total);
    let number = |number| count(crate::view::count(number));
    html! {
        nav.paging aria-label="Pages of positions" {
            @if query.offset > 0 {
                a href={ "/positions?" (query_url(query, query.offset.saturating_sub(shown.limit))) } rel="prev" { "← Previous" }
            }
            span { (number(query.offset.min(total) + usize::from(query.offset < total))) "–" (number(last)) " of " (number(total)) }
            @if last < total {
                a href={ "/positions?" (query_url(query, last)) } rel="next" { "Next →" }
            }
        }
    }
}

fn table(view: &View, query: &PositionsQuery, selection: &Selection<'_, PositionRow>) -> Markup {
    html! {
        table {
            thead {
                tr {
                    (heading(query, SortKey::Account, "Account", false))
                    (heading(query, SortKey::Market, "Market", false))
                    (heading(query, SortKey::Health, "Health factor", true))
                    (heading(query, SortKey::Debt, "Debt", true))
                    (heading(query, SortKey::Collateral, "Collateral", true))
                    (heading(query, SortKey::Distance, "Liquidation price", true))
                    th scope="col" { "Decision, or why not" }
                }
            }
            tbody { @for row in &selection.page { (table_row(view, &row.view())) } }
        }
    }
}

/// Renders the heading of a column: a link that orders by it, in the other direction where that is the order already.
fn heading(query: &PositionsQuery, key: SortKey, title: &str, is_number: bool) -> Markup {
    let is_sorted = query.sort == key;
    let starts_descending = matches!(key, SortKey::Debt | SortKey::Collateral);
    let is_descending = if is_sorted { !query.is_descending } else { starts_descending };
    let by_key = PositionsQuery { sort: key, is_descending, ..query.clone() };
    let order = is_sorted.then_some(if query.is_descending { "descending" } else { "ascending" });
    html! {
        th scope="col" class=[is_number.then_some("number")] aria-sort=[order] {
            a href={ "/positions?" (query_url(&by_key, 0)) } {
                (title)
                @match order { Some("descending") => { " ↓" } Some(_) => { " ↑" } None => {} }
            }
        }
    }
}

/// Renders a position as a row of a table.
pub(super) fn table_row(view: &View, position: &PositionView) -> Markup {
    let is_liquidatable = position.distance_bps < 0;
    let distance = if is_liquidatable {
        format!("{} above the price", percent(position.distance_bps.unsigned_abs()))
    } else {
        format!("{} below the price", percent(position.distance_bps))
    };
    html! {
        tr class=[is_liquidatable.then_some("under")] {
            td data-label="Account" { (link::account(view, position.account)) }
            td data-label="Market" { a href={ "/markets/" (position.market) } { (position.market_name) } }
            td.number data-label="Health factor" { strong { (position.health) } }
            td.number data-label="Debt" { (position.debt) }
            td.number data-label="Collateral" { (position.collateral) }
            td.number data-label="Liquidation price" { (position.waterline) span.small { (distance) } }
            td.why data-label="Why" {
                @match &position.decision {
                    Some(decision) => { (why(decision)) }
                    None => { span.dim { "not decided yet" } }
                }
                @if let (Some(since), Some(block)) = (position.liquidatable_since, view.block()) {
                    span.small { "liquidatable since block " (link::block(view, since)) ", " (counted(block.saturating_sub(since), "block")) " ago" }
                }
            }
        }
    }
}

/// Renders a decision: its name and the sentence.
fn why(decision: &DecisionView) -> Markup {
    html! {
        span class={ "pill " (if decision.acts { "act" } else { "not" }) } { (words(&decision.reason)) }
        span.text { (decision.text) }
    }
}
