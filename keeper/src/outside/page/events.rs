//! What was done, the newest first.

use maud::{Markup, html};

use super::{ago, count, counted, short};
use crate::outside::view::{Happening, HappeningState, Kind, View};

/// Liquidations and harvests.
pub(super) fn events(view: &View) -> Markup {
    let now = view.head.as_ref().map_or(0, |head| head.timestamp);
    html! {
        section #events aria-labelledby="events-title" {
            h2 #events-title { "What happened" }
            @if view.timeline.is_empty() {
                p.empty { "Nothing was liquidated or harvested yet." }
            }
            ol.timeline {
                @for event in &view.timeline { (line(event, now)) }
            }
        }
    }
}

fn line(event: &Happening, now: u64) -> Markup {
    let (class, state) = state(event.state);
    html! {
        li class=(class) data-event=(event.id) {
            p.when {
                time { (ago(now.saturating_sub(event.at))) " ago" }
                @if let Some(block) = event.block { span.small { "block " (count(block)) } }
            }
            div.what {
                p {
                    strong { (title(event)) } " in " (event.place) " "
                    span class={ "pill " (class) } { (state) }
                }
                p.sums {
                    @if let Some(moved) = &event.moved { span { (moved) " " (moved_word(event.kind)) } }
                    @if let Some(profit) = &event.profit { span { (profit) " earned" } }
                    @if let Some(gas) = &event.gas { span { (gas) " gas" } }
                    @if let Some(hash) = &event.transaction { span { (short(hash)) } }
                }
                @if let Some(note) = &event.note { p.note { (note) } }
            }
        }
    }
}

fn title(event: &Happening) -> String {
    match event.kind {
        Kind::Liquidation => format!("Liquidated {}", counted(event.accounts, "loan")),
        Kind::Harvest => format!("Harvested for {}", counted(event.accounts, "account")),
        Kind::Claim => "Claimed own rewards".to_owned(),
        Kind::Elsewhere => format!("Somebody else liquidated {}", counted(event.accounts, "loan")),
    }
}

const fn moved_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Liquidation | Kind::Elsewhere => "repaid",
        Kind::Harvest | Kind::Claim => "claimed",
    }
}

const fn state(state: HappeningState) -> (&'static str, &'static str) {
    match state {
        HappeningState::Dry => ("dry", "dry run"),
        HappeningState::Sent => ("sent", "on its way"),
        HappeningState::Mined => ("good", "mined"),
        HappeningState::Final => ("good", "final"),
        HappeningState::Reverted => ("bad", "reverted"),
        HappeningState::Dropped => ("dim", "dropped"),
    }
}
