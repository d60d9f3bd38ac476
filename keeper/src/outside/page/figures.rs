//! The head of the page: who this is, whether all is well, and the figures that sum it up.

use maud::{Markup, html};

use super::{ago, count, counted, mark};
use crate::outside::view::View;

/// The name, the mode, the last block, and what is wrong if something is.
pub(super) fn top(view: &View) -> Markup {
    let readiness = view.readiness();
    let problems = problems(view, readiness.reason.as_deref());
    let (class, word) = match (problems.is_empty(), readiness.ready) {
        (true, _) => ("good", "all is well"),
        (false, true) => ("warn", "look here"),
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
                    span.pill.dry title="It decides as if it were live, and sends nothing." { "dry run" }
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

/// Everything that a person should know at once.
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
        problems.push("No node is healthy.".to_owned());
    }
    problems
}

/// What it comes to.
pub(super) fn figures(view: &View) -> Markup {
    let under_water = view.under_water();
    let loans: u64 = view.markets.iter().map(|market| market.loans).sum();
    html! {
        section.figures #figures aria-label="In figures" {
            dl {
                div class=[(under_water > 0).then_some("bad")] {
                    dt { "under water" } dd { (count(under_water)) }
                    dd.more { "of " (counted(loans, "loan")) }
                }
                div {
                    dt { "at risk" } dd { (count(view.watched())) }
                    dd.more { "below the watched health" }
                }
                div {
                    dt { "liquidated" } dd { (count(view.totals.liquidated)) }
                    dd.more { "in " (counted(view.totals.transactions, "transaction")) ", " (count(view.totals.reverted)) " reverted" }
                }
                div {
                    dt { "harvested" } dd { (count(view.totals.harvested)) }
                    dd.more { "accounts’ rewards" }
                }
                div {
                    dt { "earned" } dd { (view.totals.profit) }
                    dd.more { "before gas" }
                }
                div {
                    dt { "gas" } dd { (view.totals.gas) }
                    dd.more { "last day, net: " (view.totals.day) }
                }
            }
        }
    }
}
