//! A chart of a market's debt, drawn as SVG like a ship's side: safe debt stands above the waterline, the further to the
//! right the more the price may fall before it becomes liquidatable; liquidatable debt hangs below the waterline.

use alloy::primitives::U256;
use maud::{Markup, html};

use super::format::percent;
use crate::{amount::Amount, survey::BAR_BPS, view::MarketView};

/// Width of the drawing, in its own units.
const WIDTH: u64 = 408;
/// Height of the drawing.
const HEIGHT: u64 = 206;
/// Distance of the waterline from the top, and so the space for bars above it.
const LINE: u64 = 124;
/// Maximum depth of the bar below the waterline.
const DEPTH: u64 = 44;
/// Width of the column of liquidatable debt, which also bears the mark.
const LEFT: u64 = 48;
/// Space between bars.
const GAP: u64 = 2;
/// Minimum height of a bar, so that the smallest debt can be seen.
const MIN_HEIGHT: u64 = 3;
/// Number of bars between two labels of the axis.
const LABEL_EVERY: usize = 4;

/// Renders the chart, or a note if the market has no debt.
pub(super) fn debt_chart(market: &MarketView) -> Markup {
    let debt = &market.debt;
    let largest = debt.bars.iter().chain([&debt.liquidatable]).map(|amount| amount.units).max().unwrap_or_default();
    if largest.is_zero() {
        return html! { p.empty { "No debt." } };
    }
    let bars = u64::try_from(debt.bars.len()).unwrap_or(1).max(1);
    let step = (WIDTH - LEFT) / bars;
    let x = |index: usize| LEFT + u64::try_from(index).unwrap_or_default() * step;
    let below = height(&debt.liquidatable, largest, DEPTH);
    html! {
        svg.debt viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(summary(market)) {
            rect.sea x="0" y=(LINE) width=(WIDTH) height=(DEPTH + 8) {}
            @for (index, amount) in debt.bars.iter().enumerate() {
                @let tall = height(amount, largest, LINE - 12);
                @if tall > 0 {
                    rect class={ "bar " (tone(index)) } x=(x(index) + GAP) y=(LINE - tall) width=(step - GAP) height=(tall) rx="2" {
                        title { (range(index, debt.bars.len())) ": " (amount) }
                    }
                }
            }
            @if below > 0 {
                rect.bar.under x=(GAP) y=(LINE) width=(LEFT - 5 * GAP) height=(below) rx="2" {
                    title { "liquidatable: " (debt.liquidatable) }
                }
            }
            line.line x1="0" y1=(LINE) x2=(WIDTH) y2=(LINE) {}
            circle.line cx="20" cy=(LINE) r="9" {}
            line.line x1="4" y1=(LINE) x2="36" y2=(LINE) {}
            @for index in (0..debt.bars.len()).step_by(LABEL_EVERY).skip(1) {
                line.tick x1=(x(index)) y1=(LINE) x2=(x(index)) y2=(LINE + 6) {}
                text x=(x(index)) y=(LINE + 22) text-anchor="middle" { (label(index)) }
            }
            text.axis x=(WIDTH) y=(HEIGHT - 10) text-anchor="end" { "fall of the price →" }
            text.axis x="0" y=(HEIGHT - 10) { "liquidatable" }
        }
    }
}

/// Returns the height of a bar in proportion to the largest amount, which is `max` high; 0 only for no debt.
fn height(amount: &Amount, largest: U256, max: u64) -> u64 {
    if amount.units.is_zero() {
        return 0;
    }
    let height: u64 = (amount.units.saturating_mul(U256::from(max)) / largest).saturating_to();
    height.clamp(MIN_HEIGHT, max)
}

/// Returns the CSS class of a bar: its colour shows how near the liquidation price its debt is.
const fn tone(index: usize) -> &'static str {
    match index {
        0..=1 => "near",
        2..=5 => "off",
        _ => "far",
    }
}

fn label(index: usize) -> String {
    format!("{} %", u64::from(BAR_BPS) * u64::try_from(index).unwrap_or_default() / 100)
}

fn range(index: usize, bars: usize) -> String {
    let bps = |index: usize| i128::from(BAR_BPS) * i128::try_from(index).unwrap_or_default();
    if index + 1 == bars {
        format!("{} and more", percent(bps(index)))
    } else {
        format!("{} to {}", percent(bps(index)), percent(bps(index + 1)))
    }
}

/// Describes the chart in words, for screen readers.
fn summary(market: &MarketView) -> String {
    let debt = &market.debt;
    let within = |bars: usize| {
        let units = debt.bars.iter().take(bars).fold(U256::ZERO, |sum, amount| sum.saturating_add(amount.units));
        Amount { units, ..debt.liquidatable.clone() }
    };
    format!(
        "{}: {} liquidatable; a fall of the price by 10 % would add {}, one by 20 % {}.",
        market.name,
        debt.liquidatable,
        within(4),
        within(8)
    )
}
