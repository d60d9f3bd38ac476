//! Profit after gas by day, as a chart and a table.

use alloy::primitives::U256;
use maud::{Markup, html};

use crate::{
    amount::Balance,
    view::{DayProfit, View},
};

/// Number of days that are shown.
const DAYS: usize = 30;
/// Width of the drawing, in its own units.
const WIDTH: usize = 720;
/// Height above the line, and below it.
const HALF: u64 = 70;
/// Space between bars.
const GAP: usize = 3;
/// Minimum height of a bar of a day with any profit or loss.
const MIN_HEIGHT: u64 = 2;

/// Renders the last days with a transaction.
pub(super) fn profit(view: &View) -> Markup {
    let days = &view.profit[view.profit.len().saturating_sub(DAYS)..];
    html! {
        section #profit aria-labelledby="profit-title" {
            h2 #profit-title { "Profit over time" }
            @if days.is_empty() {
                p.empty { "No transactions yet." }
            } @else {
                p.lead { "Profit after gas on the last days with a transaction (UTC, by the chain’s clock)." }
                (chart(days))
                details {
                    summary { "Table" }
                    table.profit {
                        thead { tr { th scope="col" { "Day" } th.number scope="col" { "Profit before gas" } th.number scope="col" { "Gas" } th.number scope="col" { "Net" } } }
                        tbody {
                            @for day in days.iter().rev() {
                                tr {
                                    td data-label="Day" { (day.date) }
                                    td.number data-label="Profit before gas" { (day.profit) }
                                    td.number data-label="Gas" { (day.gas) }
                                    td.number data-label="Net" { (day.net) }
                                }
                            }
                        }
                    }
                }
                p.more { a href="/api/v1/profit.csv" { "CSV" } }
            }
        }
    }
}

fn chart(days: &[DayProfit]) -> Markup {
    let largest = days.iter().map(|day| day.net.units.unsigned_abs()).max().unwrap_or_default();
    let step = WIDTH / DAYS;
    html! {
        svg.profit-chart viewBox={ "0 0 " (WIDTH) " " (2 * HALF + 24) } role="img" aria-label=(summary(days)) {
            @for (index, day) in days.iter().enumerate() {
                @let tall = height(&day.net, largest);
                @let top = if day.net.units.is_negative() { HALF } else { HALF - tall };
                @if tall > 0 {
                    rect class=(if day.net.units.is_negative() { "loss" } else { "gain" }) x=(index * step + GAP) y=(top) width=(step - GAP) height=(tall) rx="2" {
                        title { (day.date) ": " (day.net) }
                    }
                }
            }
            line.line x1="0" y1=(HALF) x2=(WIDTH) y2=(HALF) {}
            @if let [first, .., last] = days {
                text x=(GAP) y=(2 * HALF + 18) { (first.date) }
                text x=(days.len() * step) y=(2 * HALF + 18) text-anchor="end" { (last.date) }
            } @else if let [only] = days {
                text x=(GAP) y=(2 * HALF + 18) { (only.date) }
            }
        }
    }
}

/// Returns the height of a bar in proportion to the largest; 0 only for nothing.
fn height(net: &Balance, largest: U256) -> u64 {
    let units = net.units.unsigned_abs();
    if units.is_zero() {
        return 0;
    }
    let height: u64 = (units.saturating_mul(U256::from(HALF)) / largest).saturating_to();
    height.clamp(MIN_HEIGHT, HALF)
}

/// Describes the chart in words, for screen readers.
fn summary(days: &[DayProfit]) -> String {
    let losses = days.iter().filter(|day| day.net.units.is_negative()).count();
    let newest = days.last().map(|day| format!("; on {} it was {}", day.date, day.net)).unwrap_or_default();
    format!("Profit after gas on {} days, {losses} of them with a loss{newest}.", days.len())
}
