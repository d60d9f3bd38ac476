//! Liquidations, executed orders and harvests, newest first, those of other liquidators included.

use maud::{Markup, html};

use super::{
    format::{ago, counted},
    layout::subpage,
    link,
};
use crate::view::{ActivityEntry, ActivityKind, ActivityQuery, ActivityState, View};

/// Number of entries on the overview.
const SHOWN: usize = 12;

/// Renders the newest liquidations and harvests.
pub(super) fn newest(view: &View) -> Markup {
    html! {
        section #activity aria-labelledby="activity-title" {
            h2 #activity-title { "Activity" }
            (list(view, view.timeline.iter().take(SHOWN)))
            @if !view.timeline.is_empty() {
                p.more { a href="/activity" { "All activity" } " · " a href="/api/v1/activity.csv" { "CSV" } }
            }
        }
    }
}

/// Renders a page of the activity that a query selects.
pub(crate) fn activity_page(view: &View, query: &ActivityQuery) -> String {
    let selection = query.select(view);
    let content = html! {
        section #activity-list aria-labelledby="activity-title" {
            h2 #activity-title { "Activity" }
            p.lead {
                "Liquidations and harvests, the newest first. " a href="/api/v1/activity.csv" { "CSV" }
            }
            (list(view, selection.page.into_iter()))
        }
    };
    subpage(view, "activity", &content)
}

/// Renders a list of entries.
pub(super) fn list<'v>(view: &View, entries: impl Iterator<Item = &'v ActivityEntry>) -> Markup {
    let now = view.head.as_ref().map_or(0, |head| head.timestamp);
    let mut entries = entries.peekable();
    html! {
        @if entries.peek().is_none() {
            p.empty { "No liquidations or harvests yet." }
        }
        ol.timeline {
            @for entry in entries { (line(view, entry, now)) }
        }
    }
}

fn line(view: &View, entry: &ActivityEntry, now: u64) -> Markup {
    let (class, state) = state(entry);
    html! {
        li class=(class) data-event=(entry.id) {
            p.when {
                time { (ago(now.saturating_sub(entry.at))) " ago" }
                @if let Some(block) = entry.block { span.small { "block " (link::block(view, block)) } }
            }
            div.what {
                p {
                    strong { (title(entry)) } " in "
                    @match entry.market {
                        Some(market) => { (link::market(view, market, &entry.place)) }
                        None => { (entry.place) }
                    }
                    " " span class={ "pill " (class) } { (state) }
                }
                p.sums {
                    @if let Some(moved) = &entry.moved { span { (moved) " " (moved_word(entry.kind)) } }
                    @if let Some(profit) = &entry.profit { span { (profit) (if entry.is_done() { " profit" } else { " expected profit" }) } }
                    @if let Some(gas) = &entry.gas { span { (gas) " gas" } }
                    @if let Some(hash) = entry.transaction { span { (link::transaction(view, hash)) } }
                    @if let [borrower] = &entry.borrowers[..] { span { (link::account(view, *borrower)) } }
                }
                @if let Some(note) = &entry.note { p.note { (note) } }
            }
        }
    }
}

/// What was done, or what was meant to be.
fn title(entry: &ActivityEntry) -> String {
    let is_done = entry.is_done();
    let words = |done: &str, meant: &str| if is_done { done } else { meant }.to_owned();
    match entry.kind {
        ActivityKind::Liquidation => {
            format!("{} {}", words("Liquidated", "Liquidation of"), counted(entry.accounts, "loan"))
        }
        ActivityKind::Order => words("Executed an order", "Execution of an order"),
        ActivityKind::Harvest => {
            format!("{} {}", words("Harvested for", "Harvest for"), counted(entry.accounts, "account"))
        }
        ActivityKind::Claim => words("Claimed own rewards", "Claim of own rewards"),
        ActivityKind::Rebalance => words("Rebalanced", "Rebalancing"),
        ActivityKind::Governance => words("Executed what was due", "Execution of what is due"),
        ActivityKind::Job => words("Brought a job on", "Step of a job"),
        ActivityKind::Vouchers => words("Claimed vouchers for a service", "Claim of vouchers for a service"),
        ActivityKind::Emission => {
            format!(
                "{} {}",
                words("Claimed the emission of", "Claim of the emission of"),
                counted(entry.accounts, "node")
            )
        }
        ActivityKind::Sweep => words("Swept to the receiver of profits", "Transfer to the receiver of profits"),
        ActivityKind::Elsewhere => format!("Somebody else liquidated {}", counted(entry.accounts, "loan")),
    }
}

const fn moved_word(kind: ActivityKind) -> &'static str {
    match kind {
        ActivityKind::Liquidation | ActivityKind::Order | ActivityKind::Elsewhere => "repaid",
        ActivityKind::Harvest | ActivityKind::Claim | ActivityKind::Emission | ActivityKind::Vouchers => "claimed",
        ActivityKind::Rebalance => "moved",
        ActivityKind::Governance => "executed",
        ActivityKind::Job => "paid",
        ActivityKind::Sweep => "sent",
    }
}

/// Returns the CSS class and the label of an entry's state.
fn state(entry: &ActivityEntry) -> (&'static str, &'static str) {
    match (entry.kind, entry.state) {
        (ActivityKind::Elsewhere, _) => ("else", "another liquidator"),
        (_, ActivityState::Dry) => ("dry", "dry run"),
        (_, ActivityState::Sent) => ("sent", "pending"),
        (_, ActivityState::Mined) => ("good", "mined"),
        (_, ActivityState::Final) => ("good", "final"),
        (_, ActivityState::Reverted) => ("bad", "reverted"),
        (_, ActivityState::Dropped) => ("dim", "dropped"),
    }
}
