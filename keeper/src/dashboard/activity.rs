//! Liquidations and harvests, newest first.

use maud::{Markup, html};

use super::{ago, count, counted, short};
use crate::view::{ActivityEntry, ActivityKind, ActivityState, View};

/// Renders the timeline of liquidations and harvests.
pub(super) fn activity(view: &View) -> Markup {
    let now = view.head.as_ref().map_or(0, |head| head.timestamp);
    html! {
        section #activity aria-labelledby="activity-title" {
            h2 #activity-title { "Activity" }
            @if view.timeline.is_empty() {
                p.empty { "No liquidations or harvests yet." }
            }
            ol.timeline {
                @for entry in &view.timeline { (line(entry, now)) }
            }
        }
    }
}

fn line(entry: &ActivityEntry, now: u64) -> Markup {
    let (class, state) = state(entry.state);
    html! {
        li class=(class) data-event=(entry.id) {
            p.when {
                time { (ago(now.saturating_sub(entry.at))) " ago" }
                @if let Some(block) = entry.block { span.small { "block " (count(block)) } }
            }
            div.what {
                p {
                    strong { (title(entry)) } " in " (entry.place) " "
                    span class={ "pill " (class) } { (state) }
                }
                p.sums {
                    @if let Some(moved) = &entry.moved { span { (moved) " " (moved_word(entry.kind)) } }
                    @if let Some(profit) = &entry.profit { span { (profit) " profit" } }
                    @if let Some(gas) = &entry.gas { span { (gas) " gas" } }
                    @if let Some(hash) = &entry.transaction { span { (short(hash)) } }
                }
                @if let Some(note) = &entry.note { p.note { (note) } }
            }
        }
    }
}

fn title(entry: &ActivityEntry) -> String {
    match entry.kind {
        ActivityKind::Liquidation => format!("Liquidated {}", counted(entry.accounts, "loan")),
        ActivityKind::Harvest => format!("Harvested for {}", counted(entry.accounts, "account")),
        ActivityKind::Claim => "Claimed own rewards".to_owned(),
        ActivityKind::Elsewhere => format!("Another liquidator liquidated {}", counted(entry.accounts, "loan")),
    }
}

const fn moved_word(kind: ActivityKind) -> &'static str {
    match kind {
        ActivityKind::Liquidation | ActivityKind::Elsewhere => "repaid",
        ActivityKind::Harvest | ActivityKind::Claim => "claimed",
    }
}

/// Returns the CSS class and the label of a state.
const fn state(state: ActivityState) -> (&'static str, &'static str) {
    match state {
        ActivityState::Dry => ("dry", "dry run"),
        ActivityState::Sent => ("sent", "pending"),
        ActivityState::Mined => ("good", "mined"),
        ActivityState::Final => ("good", "final"),
        ActivityState::Reverted => ("bad", "reverted"),
        ActivityState::Dropped => ("dim", "dropped"),
    }
}
