//! The top of the page: which keeper this is, whether it works, and its key figures.

use maud::{Markup, html};

use super::{ago, count, counted, mark};
use crate::view::View;

/// Renders the name, the mode, the newest block and current problems.
pub(super) fn top(view: &View) -> Markup {
    let readiness = view.readiness();
    let problems = problems(view, readiness.reason.as_deref());
    let (class, word) = match (problems.is_empty(), readiness.ready) {
        (true, _) => ("good", "healthy"),
        (false, true) => ("warn", "needs attention"),
        (false, false) => ("bad", "not ready"),
    };
    html! {
        header #top {
            div.name {
                (mark())
                div {
                    h1 { "Plimsoll keeper" }
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
                    span.block { "block " strong { (count(head.number)) } span.age { (ago(head.age().as_secs())) " ago" } }
                }
            }
            @if !problems.is_empty() {
                ul.problems role="alert" {
                    @for problem in &problems { li { (problem) } }
                }
            }
        }
    }
}

/// Lists everything that needs the operator's attention.
fn problems(view: &View, not_ready: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    problems.extend(not_ready.map(|reason| format!("Not ready: {reason}")));
    problems.extend(view.safety.stopped.as_ref().map(|reason| format!("Nothing is sent: {reason}")));
    for signer in &view.signers {
        problems.extend(signer.problem.as_ref().map(|problem| format!("The signer for {}: {problem}", signer.role)));
    }
    if view.audit.mismatches > 0 {
        let last = view.audit.last.as_deref().unwrap_or_default();
        problems
            .push(format!("The book differs from the chain in {}. {last}", counted(view.audit.mismatches, "place")));
    }
    if !view.endpoints.is_empty() && view.endpoints.iter().all(|endpoint| !endpoint.healthy) {
        problems.push("No endpoint is healthy.".to_owned());
    }
    problems
}

/// Renders the key figures.
pub(super) fn summary(view: &View) -> Markup {
    let liquidatable = view.liquidatable();
    let loans: u64 = view.markets.iter().map(|market| market.loans).sum();
    html! {
        section.figures #summary aria-label="Summary" {
            dl {
                div class=[(liquidatable > 0).then_some("bad")] {
                    dt { "Liquidatable" } dd { (count(liquidatable)) }
                    dd.more { "of " (counted(loans, "loan")) }
                }
                div {
                    dt { "At risk" } dd { (count(view.watched())) }
                    dd.more { "below the watched health factor" }
                }
                div {
                    dt { "Liquidated" } dd { (count(view.totals.liquidated)) }
                    dd.more { "in " (counted(view.totals.transactions, "transaction")) ", " (count(view.totals.reverted)) " reverted" }
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
                    dd.more { "net profit of the last day: " (view.totals.day) }
                }
            }
        }
    }
}
