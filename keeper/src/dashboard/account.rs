//! The page of an account: its positions, and what was decided about them over time.

use maud::html;

use super::{
    activity,
    format::{count, words},
    layout::subpage,
    link, positions,
};
use crate::view::{AccountView, View};

/// Renders the page of an account.
pub(crate) fn account_page(view: &View, account: &AccountView) -> String {
    let AccountView { account: address, positions: at_risk, history, watched, activity: entries } = account;
    let content = html! {
        section #account aria-labelledby="account-title" {
            h2 #account-title { "Account " (link::address(view, *address)) }
            p.lead { code.hex { (address) } }
            @for watched in watched {
                p.note {
                    "Watched in " (watched.market_name) ": health factor " (watched.health) ", alert below " (watched.below) "."
                }
            }
            h2 { "Positions" }
            @if at_risk.is_empty() {
                p.empty { "None below a health factor of " (view.keeper.watch_below) "." }
            } @else {
                table {
                    thead {
                        tr {
                            th scope="col" { "Account" }
                            th scope="col" { "Market" }
                            th.number scope="col" { "Health factor" }
                            th.number scope="col" { "Debt" }
                            th.number scope="col" { "Collateral" }
                            th.number scope="col" { "Liquidation price" }
                            th scope="col" { "Decision, or why not" }
                        }
                    }
                    tbody { @for position in at_risk { (positions::table_row(view, position)) } }
                }
            }
            h2 { "Decisions" }
            p.lead { "Since the keeper started, the newest first." }
            @if history.is_empty() { p.empty { "None yet: the loan was never liquidatable." } }
            @for market in history {
                h3.of-market { a href={ "/markets/" (market.market) } { (market.market_name) } }
                ol.history {
                    @for decision in &market.decisions {
                        li {
                            span.blocks {
                                "block " (link::block(view, decision.since_block))
                                @if decision.until_block != decision.since_block { "–" (count(decision.until_block)) }
                            }
                            span class={ "pill " (if decision.acts { "act" } else { "not" }) } { (words(decision.reason)) }
                            span.text { (decision.text) }
                        }
                    }
                }
            }
            h2 { "Activity" }
            (activity::list(view, entries.iter()))
        }
    };
    subpage(view, &address.to_string(), &content)
}
