//! Positions at risk, each with the decision about it and the reason.

use maud::{Markup, html};

use super::{counted, percent, short};
use crate::view::{DecisionView, PositionView, View};

/// Renders the positions below the watched health factor: what is done about each, or why nothing is.
pub(super) fn positions(view: &View) -> Markup {
    let hidden = view.watched().saturating_sub(u64::try_from(view.at_risk.len()).unwrap_or(u64::MAX));
    html! {
        section #positions aria-labelledby="positions-title" {
            h2 #positions-title { "Positions at risk" }
            @if view.at_risk.is_empty() {
                p.empty { "None: every loan is above the watched health factor." }
            } @else {
                ul.counts aria-label="Decisions" {
                    @for count in &view.decisions {
                        li class={ "pill " (if count.acts { "act" } else { "not" }) } {
                            strong { (count.positions) } " " (words(&count.reason))
                        }
                    }
                }
                table {
                    thead {
                        tr {
                            th scope="col" { "Account" }
                            th scope="col" { "Market" }
                            th.number scope="col" { "Health factor" }
                            th.number scope="col" { "Debt" span.small { "Collateral" } }
                            th.number scope="col" { "Liquidation price" }
                            th scope="col" { "Decision, or why not" }
                        }
                    }
                    tbody {
                        @for position in &view.at_risk { (row(position)) }
                    }
                }
                @if hidden > 0 {
                    p.more { "and " (counted(hidden, "more position")) " with higher health factors" }
                }
            }
        }
    }
}

fn row(position: &PositionView) -> Markup {
    let is_liquidatable = position.distance_bps < 0;
    let distance = if is_liquidatable {
        format!("{} above the price", percent(position.distance_bps.unsigned_abs()))
    } else {
        format!("{} below the price", percent(position.distance_bps))
    };
    html! {
        tr class=[is_liquidatable.then_some("under")] {
            td data-label="Account" { (short(&position.account)) }
            td data-label="Market" { (position.market_name) }
            td.number data-label="Health factor" { strong { (position.health) } }
            td.number data-label="Debt, collateral" { (position.debt) span.small { (position.collateral) } }
            td.number data-label="Liquidation price" { (position.waterline) span.small { (distance) } }
            td.why data-label="Why" {
                @match &position.decision {
                    Some(decision) => (why(decision)),
                    None if is_liquidatable => span.dim { "not decided yet" },
                    None => span.dim { "healthy at this price" },
                }
            }
        }
    }
}

fn why(decision: &DecisionView) -> Markup {
    html! {
        span class={ "pill " (if decision.acts { "act" } else { "not" }) } { (words(&decision.reason)) }
        span.text { (decision.text) }
    }
}

/// Returns the name of a reason in words: `no_route` as "no route".
fn words(reason: &str) -> String {
    reason.replace('_', " ")
}
