//! The day as a picture in SVG: the price, what is owed, and what has been repaid by liquidators.

use std::fmt::Write;

use alloy::primitives::U256;
use plimsoll_keeper::outside::amount::readable;

use super::{
    day::{Day, Moment},
    draw::DOLLAR_E8,
    report::Chapter,
};

/// In pixels, with what lies between the lines and the edge.
const WIDTH: u64 = 960;
const HEIGHT: u64 = 480;
const LEFT: u64 = 70;
const RIGHT: u64 = 90;
const TOP: u64 = 60;
const BOTTOM: u64 = 50;
const DAY_SECS: u64 = 86_400;
/// The scales: the price's in dollars, both with so many lines across.
const LOWEST_PRICE: u128 = 1_200;
const HIGHEST_PRICE: u128 = 2_100;
const LINES: u64 = 6;
const HOURS_BETWEEN_MARKS: u64 = 4;
/// A dollar's units.
const DOLLAR: u128 = 1_000_000;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#475569}.title{font-size:18px;fill:#0f172a}\
                     .grid{stroke:#e2e8f0}.price{fill:none;stroke:#0f172a;stroke-width:2}\
                     .owed{fill:#bfdbfe}.repaid{fill:none;stroke:#dc2626;stroke-width:2}";

/// Draws it.
pub(super) fn svg(day: &Day, chapter: &Chapter) -> String {
    let moments: Vec<_> = std::iter::once(&day.morning).chain(&day.moments).collect();
    let repaid_by = |moment: &Moment| {
        let until = chapter.liquidations.iter().filter(|(block, _)| *block <= moment.block);
        dollars(until.map(|(_, event)| event.repaid).sum())
    };
    let most = moments.iter().map(|moment| dollars(moment.debt).max(repaid_by(moment))).max().unwrap_or_default();
    let most = rounded_up(most);
    let line = |value: &dyn Fn(&Moment) -> u64| {
        moments.iter().fold(String::new(), |mut line, moment| {
            // Writing to a string cannot fail.
            let _ = write!(line, "{},{} ", x(moment.second), value(moment));
            line
        })
    };
    let price = line(&|moment| y(moment.price.saturating_sub(LOWEST_PRICE * DOLLAR_E8), price_span()));
    let owed = line(&|moment| y(dollars(moment.debt), most));
    let repaid = line(&|moment| y(repaid_by(moment), most));
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>A day of falling prices on Plimsoll</title>\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <polygon class=\"owed\" points=\"{LEFT},{bottom} {owed}{right},{bottom}\"/>\n{grid}\
         <polyline class=\"repaid\" points=\"{repaid}\"/>\n<polyline class=\"price\" points=\"{price}\"/>\n\
         {legend}</svg>\n",
        grid = grid(most),
        legend = legend(),
    )
}

/// Lines across with both scales, and the hours below.
fn grid(most: u128) -> String {
    let (mut grid, right) = (String::new(), WIDTH - RIGHT);
    for number in 0..=LINES {
        let part = |whole: u128| whole * u128::from(number) / u128::from(LINES);
        let height = y(u128::from(number), u128::from(LINES));
        let price = LOWEST_PRICE + part(HIGHEST_PRICE - LOWEST_PRICE);
        let debt = readable(&part(most).to_string());
        let _ = write!(
            grid,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{height}\" y2=\"{height}\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n<text x=\"{}\" y=\"{}\">{debt}</text>\n",
            LEFT - 8,
            height + 4,
            readable(&price.to_string()),
            right + 8,
            height + 4,
        );
    }
    for hour in (0..=24).step_by(usize::try_from(HOURS_BETWEEN_MARKS).unwrap_or(1)) {
        let (at, below) = (x(hour * 3_600), HEIGHT - BOTTOM + 20);
        let _ = writeln!(grid, "<text x=\"{at}\" y=\"{below}\" text-anchor=\"middle\">{hour} h</text>");
    }
    grid
}

fn legend() -> String {
    let entries = [
        ("<line class=\"price\" x1=\"0\" x2=\"22\" y1=\"-4\" y2=\"-4\"/>", "an ether in dollars (left)"),
        ("<rect class=\"owed\" width=\"22\" height=\"12\" y=\"-11\"/>", "owed in dollars (right)"),
        ("<line class=\"repaid\" x1=\"0\" x2=\"22\" y1=\"-4\" y2=\"-4\"/>", "repaid by liquidators (right)"),
    ];
    let mut legend = format!("<text class=\"title\" x=\"{LEFT}\" y=\"24\">A day of falling prices</text>\n");
    for ((sign, text), place) in entries.into_iter().zip(0_u64..) {
        let at = LEFT + 230 * place;
        let _ = writeln!(legend, "<g transform=\"translate({at} 46)\">{sign}<text x=\"30\">{text}</text></g>");
    }
    legend
}

fn x(second: u64) -> u64 {
    LEFT + (WIDTH - LEFT - RIGHT) * second.min(DAY_SECS) / DAY_SECS
}

fn y(value: u128, span: u128) -> u64 {
    let height = u128::from(HEIGHT - TOP - BOTTOM);
    let above = height * value.min(span) / span.max(1);
    HEIGHT - BOTTOM - u64::try_from(above).unwrap_or_default()
}

const fn price_span() -> u128 {
    (HIGHEST_PRICE - LOWEST_PRICE) * DOLLAR_E8
}

/// Whole dollars, rounded down.
fn dollars(units: U256) -> u128 {
    u128::try_from(units / U256::from(DOLLAR)).unwrap_or(u128::MAX)
}

/// To a number that divides into round ones for every line: twelve times a power of ten, or half or a quarter of that.
fn rounded_up(dollars: u128) -> u128 {
    let mut scale = 12;
    while scale < dollars {
        scale *= 10;
    }
    [scale / 4, scale / 2].into_iter().find(|part| *part >= dollars).unwrap_or(scale)
}
