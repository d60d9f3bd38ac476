//! The top of every page: which keeper this is, whether it works, and what needs attention; and the key figures.

use maud::{Markup, html};

use super::{
    format::{ago, count, counted},
    link::{self, mark},
};
use crate::view::{ProblemLevel, View};

/// Renders the name, the mode, the newest block and current problems.
pub(super) fn top(view: &View) -> Markup {
    let problems = view.problems();
    let (class, word) = if problems.is_empty() {
        ("good", "healthy")
    } else if view.readiness().ready {
        ("warn", "needs attention")
    } else {
        ("bad", "not ready")
    };
    let is_critical = problems.iter().any(|problem| problem.level == ProblemLevel::Critical);
    html! {
        header #top {
            div.name {
                (mark())
                div {
                    h1 { a href="/" { "Plimsoll keeper" } }
                    p { (view.keeper.network) " · " (view.keeper.chain) " (" (view.keeper.chain_id) ")" }
                }
            }
            div.state {
                @if view.keeper.live {
                    span.pill.live { "live" }
                } @else {
                    span.pill.dry title="The keeper decides as if it were live, and sends nothing." { "dry run" }
                }
                span class={ "pill " (class) } { (word) }
                @if let Some(head) = &view.head {
                    span.block { "block " strong { (link::block(view, head.number)) } span.age { (ago(head.age().as_secs())) " ago" } }
                }
            }
            @if !problems.is_empty() {
                ul class={ "problems" @if !is_critical { " mild" } } role="alert" {
                    @for problem in &problems {
                        li class=(if problem.level == ProblemLevel::Critical { "critical" } else { "warning" }) { (problem.text) }
                    }
                }
            }
        }
    }
}

/// Renders the key figures.
pub(super) fn summary(view: &View) -> Markup {
    let liquidatable = view.liquidatable();
    let loans: u64 = view.markets.iter().map(|market| market.loans).sum();
    html! {
        section.figures #summary aria-label="Summary" {
            dl {
                div class=[(liquidatable > 0).then_some("bad")] {
                    dt { "Liquidatable" } dd { a href="/positions?liquidatable=true" { (count(liquidatable)) } }
                    dd.more { "of " (counted(loans, "loan")) }
                }
                div {
                    dt { "At risk" } dd { a href="/positions" { (count(view.watched())) } }
                    dd.more { "health factor below " (view.keeper.watch_below) }
                }
                div {
                    dt { "Liquidated" } dd { (count(view.totals.liquidated)) }
                    dd.more { "in " (counted(view.totals.transactions, "transaction")) ", " (count(view.totals.reverted)) " reverted" }
                }
                div {
                    dt { "Executed" } dd { (count(view.totals.executed)) }
                    dd.more { "borrowers’ orders" }
                }
                div {
                    dt { "Harvested" } dd { (count(view.totals.harvested)) }
                    dd.more { "accounts’ rewards" }
                }
                div {
                    dt { "Profit" } dd { (view.totals.profit) }
                    dd.more { "before gas" }
                }
                div {
                    dt { "Gas" } dd { (view.totals.gas) }
                    dd.more { "net profit of today (UTC): " (view.totals.day) }
                }
            }
        }
    }
}
