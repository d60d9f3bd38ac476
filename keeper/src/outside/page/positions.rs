//! Who is at risk, and what is thought of it.

use maud::{Markup, html};

use super::{counted, percent, short};
use crate::outside::view::{Decision, PositionView, View};

/// Positions below the watched health, with the reason for doing nothing where nothing is done.
pub(super) fn positions(view: &View) -> Markup {
    let hidden = view.watched().saturating_sub(u64::try_from(view.at_risk.len()).unwrap_or(u64::MAX));
    html! {
        section #positions aria-labelledby="positions-title" {
            h2 #positions-title { "Positions at risk" }
            @if view.at_risk.is_empty() {
                p.empty { "None: every loan is above the watched health." }
            } @else {
                ul.counts aria-label="What was decided" {
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
                            th.number scope="col" { "Health" }
                            th.number scope="col" { "Owes" }
                            th.number scope="col" { "Waterline" }
                            th scope="col" { "What is done, and why" }
                        }
                    }
                    tbody {
                        @for position in &view.at_risk { (row(position)) }
                    }
                }
                @if hidden > 0 {
                    p.more { "and " (counted(hidden, "more position")) ", less endangered than these" }
                }
            }
        }
    }
}

fn row(position: &PositionView) -> Markup {
    let is_under = position.distance_bps < 0;
    let distance = if is_under {
        format!("{} under", percent(position.distance_bps.unsigned_abs()))
    } else {
        format!("{} above", percent(position.distance_bps))
    };
    html! {
        tr class=[is_under.then_some("under")] {
            td data-label="Account" { (short(&position.account)) }
            td data-label="Market" { (position.market_name) }
            td.number data-label="Health" { strong { (position.health) } }
            td.number data-label="Owes" { (position.debt) span.small { (position.collateral) } }
            td.number data-label="Waterline" { (position.waterline) span.small { (distance) } }
            td.why data-label="Why" {
                @match &position.decision {
                    Some(decision) => (why(decision)),
                    None if is_under => span.dim { "not decided yet" },
                    None => span.dim { "safe at this price" },
                }
            }
        }
    }
}

fn why(decision: &Decision) -> Markup {
    html! {
        span class={ "pill " (if decision.acts { "act" } else { "not" }) } { (words(&decision.reason)) }
        span.text { (decision.text) }
    }
}

/// `no_route` as people write it.
fn words(reason: &str) -> String {
    reason.replace('_', " ")
}
