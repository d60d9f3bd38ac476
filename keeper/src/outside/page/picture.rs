//! A market as a ship's side: debt that is safe stands above the waterline, the further to the right the more of the
//! price may be lost; debt under water hangs below it.

use alloy::primitives::U256;
use maud::{Markup, html};

use super::percent;
use crate::outside::{Amount, survey::BAR_BPS, view::MarketView};

const WIDTH: u64 = 408;
/// Where the waterline lies, and so how high bars can be.
const LINE: u64 = 124;
const HEIGHT: u64 = 206;
/// How deep debt under water can reach.
const DEPTH: u64 = 44;
/// The place of what is under water, with the mark.
const LEFT: u64 = 48;
/// Between bars.
const GAP: u64 = 2;
/// What is there is seen, however little.
const LEAST: u64 = 3;
/// Every so many bars there is a label.
const LABEL_EVERY: usize = 4;

pub(super) fn picture(market: &MarketView) -> Markup {
    let debt = &market.debt;
    let largest = debt.bars.iter().chain([&debt.under_water]).map(|amount| amount.units).max().unwrap_or_default();
    if largest.is_zero() {
        return html! { p.empty { "No debt." } };
    }
    let bars = u64::try_from(debt.bars.len()).unwrap_or(1).max(1);
    let step = (WIDTH - LEFT) / bars;
    let x = |index: usize| LEFT + u64::try_from(index).unwrap_or_default() * step;
    let below = height(&debt.under_water, largest, DEPTH);
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
                    title { "under water: " (debt.under_water) }
                }
            }
            line.line x1="0" y1=(LINE) x2=(WIDTH) y2=(LINE) {}
            circle.line cx="20" cy=(LINE) r="9" {}
            line.line x1="4" y1=(LINE) x2="36" y2=(LINE) {}
            @for index in (0..debt.bars.len()).step_by(LABEL_EVERY).skip(1) {
                line.tick x1=(x(index)) y1=(LINE) x2=(x(index)) y2=(LINE + 6) {}
                text x=(x(index)) y=(LINE + 22) text-anchor="middle" { (label(index)) }
            }
            text.axis x=(WIDTH) y=(HEIGHT - 10) text-anchor="end" { "the price may fall by →" }
            text.axis x="0" y=(HEIGHT - 10) { "under water" }
        }
    }
}

/// In proportion to the largest; never 0 where there is something.
fn height(amount: &Amount, largest: U256, most: u64) -> u64 {
    if amount.units.is_zero() {
        return 0;
    }
    let height: u64 = (amount.units.saturating_mul(U256::from(most)) / largest).saturating_to();
    height.clamp(LEAST, most)
}

/// Near the line, a little off, far away.
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

/// The picture in words.
fn summary(market: &MarketView) -> String {
    let debt = &market.debt;
    let within = |bars: usize| {
        let units = debt.bars.iter().take(bars).fold(U256::ZERO, |sum, amount| sum.saturating_add(amount.units));
        Amount { units, ..debt.under_water.clone() }
    };
    format!(
        "{}: {} under water; a fall of the price by 10 % would add {}, one by 20 % {}.",
        market.name,
        debt.under_water,
        within(4),
        within(8)
    )
}
