//! The chart of a replay: prices with liquidations, debt owed and repaid, and the number of liquidatable loans.

use super::{
    outcome::{Liquidation, Outcome, Snapshot},
    params::ReplayParams,
    prices::{PRICE_DECIMALS, Prices},
    report::{PriceSummary, market},
};
use crate::chart::{Axis, Chart, Colour, Mark, Panel, Point, Series, Shape, steps};

/// Height of the panel of prices, in pixels.
const PRICES_HEIGHT: u64 = 250;
/// Height of the panel of debt, in pixels.
const DEBT_HEIGHT: u64 = 130;
/// Height of the panel of liquidatable loans, in pixels.
const LOANS_HEIGHT: u64 = 90;
/// Number of samples of the recorded price: more than a chart has pixels.
const SAMPLES: u64 = 4_000;
const PRICE: Axis = Axis { decimals: PRICE_DECIMALS, from_zero: false };
const DOLLARS: Axis = Axis { decimals: 6, from_zero: true };
const COUNT: Axis = Axis { decimals: 0, from_zero: true };

/// Creates the chart.
pub(super) fn chart(summary: &PriceSummary, params: &ReplayParams, prices: &Prices, outcome: &Outcome) -> Chart {
    let last = outcome.snapshots.last().map_or(0, |snapshot| snapshot.second);
    let secs = prices.end().max(last);
    let series = |label: &str, colour, shape| Series { label: label.to_owned(), colour, right: false, shape };
    let at = |value: fn(&Snapshot) -> u128| {
        let points = outcome.snapshots.iter().map(|snapshot| Point { second: snapshot.second, value: value(snapshot) });
        steps(points, secs)
    };
    let recorded = (0..=SAMPLES).map(|sample| {
        let second = secs * sample / SAMPLES;
        Point { second, value: prices.at(second) }
    });
    let marks = outcome.liquidations.iter().map(|liquidation| mark(liquidation, outcome)).collect();
    let panel = |height, left, series| Panel { height, left, right: None, series };
    let panels = vec![
        panel(
            PRICES_HEIGHT,
            PRICE,
            vec![
                series("recorded price", Colour::Dim, Shape::Line(recorded.collect())),
                series("the oracle's", Colour::Ink, Shape::Line(at(|snapshot| snapshot.oracle_price))),
                series("liquidations, by debt repaid", Colour::Red, Shape::Marks(marks)),
            ],
        ),
        panel(
            DEBT_HEIGHT,
            DOLLARS,
            vec![
                series("debt owed, in dollars", Colour::Sea, Shape::Area(at(|snapshot| snapshot.debt))),
                series("repaid by liquidators", Colour::Red, Shape::Line(repaid(&outcome.liquidations, secs))),
            ],
        ),
        panel(
            LOANS_HEIGHT,
            COUNT,
            vec![series("liquidatable loans", Colour::Amber, Shape::Area(at(|snapshot| snapshot.liquidatable.into())))],
        ),
    ];
    let subtitle = format!("{}: {}", summary.file, summary.when());
    Chart { title: market(params), subtitle, clock: summary.clock(), secs, panels }
}

/// Returns the mark of a liquidation, at the oracle's price of the previous block, on which it was decided.
fn mark(liquidation: &Liquidation, outcome: &Outcome) -> Mark {
    let before = outcome.snapshots.partition_point(|snapshot| snapshot.second < liquidation.second);
    let snapshot = outcome.snapshots.get(before.saturating_sub(1));
    let value = snapshot.map_or(0, |snapshot| snapshot.oracle_price);
    Mark { at: Point { second: liquidation.second, value }, weight: liquidation.repaid }
}

/// Returns the cumulative debt repaid.
fn repaid(liquidations: &[Liquidation], secs: u64) -> Vec<Point> {
    let sums = liquidations.iter().scan(0_u128, |sum, liquidation| {
        *sum = sum.saturating_add(liquidation.repaid);
        Some(Point { second: liquidation.second, value: *sum })
    });
    steps([Point { second: 0, value: 0 }].into_iter().chain(sums), secs)
}
