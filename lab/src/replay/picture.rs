//! A replay as a chart: prices with the liquidations at theirs, debt owed and repaid, and who was under water.

use super::{
    outcome::{Liquidation, Moment, Outcome},
    params::ReplayParams,
    prices::{PRICE_DECIMALS, Prices},
    report::{Recording, market},
};
use crate::chart::{Axis, Chart, Colour, Mark, Panel, Point, Series, Shape, standing};

/// In pixels.
const PRICES_HEIGHT: u64 = 250;
const DEBT_HEIGHT: u64 = 130;
const LOANS_HEIGHT: u64 = 90;
/// The recorded price is looked at so often: more than a chart has pixels.
const LOOKS: u64 = 4_000;
const PRICE: Axis = Axis { decimals: PRICE_DECIMALS, from_zero: false };
const DOLLARS: Axis = Axis { decimals: 6, from_zero: true };
const COUNT: Axis = Axis { decimals: 0, from_zero: true };

/// Draws it.
pub(super) fn chart(recording: &Recording, params: &ReplayParams, prices: &Prices, outcome: &Outcome) -> Chart {
    let last = outcome.moments.last().map_or(0, |moment| moment.second);
    let secs = prices.end().max(last);
    let series = |label: &str, colour, shape| Series { label: label.to_owned(), colour, right: false, shape };
    let at = |value: fn(&Moment) -> u128| {
        let points = outcome.moments.iter().map(|moment| Point { second: moment.second, value: value(moment) });
        standing(points, secs)
    };
    let recorded = (0..=LOOKS).map(|look| {
        let second = secs * look / LOOKS;
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
                series("the oracle's", Colour::Ink, Shape::Line(at(|moment| moment.oracle_price))),
                series("liquidations, by debt repaid", Colour::Red, Shape::Marks(marks)),
            ],
        ),
        panel(
            DEBT_HEIGHT,
            DOLLARS,
            vec![
                series("debt owed, in dollars", Colour::Sea, Shape::Area(at(|moment| moment.debt))),
                series("repaid by liquidators", Colour::Red, Shape::Line(repaid(&outcome.liquidations, secs))),
            ],
        ),
        panel(
            LOANS_HEIGHT,
            COUNT,
            vec![series("loans under water", Colour::Amber, Shape::Area(at(|moment| moment.under_water.into())))],
        ),
    ];
    let subtitle = format!("{}: {}", recording.file, recording.when());
    Chart { title: market(params), subtitle, clock: recording.clock(), secs, panels }
}

/// A liquidation, at the oracle's price of the block before: that is what it was decided by.
fn mark(liquidation: &Liquidation, outcome: &Outcome) -> Mark {
    let before = outcome.moments.partition_point(|moment| moment.second < liquidation.second);
    let moment = outcome.moments.get(before.saturating_sub(1));
    let value = moment.map_or(0, |moment| moment.oracle_price);
    Mark { at: Point { second: liquidation.second, value }, weight: liquidation.repaid }
}

/// All that was repaid until then.
fn repaid(liquidations: &[Liquidation], secs: u64) -> Vec<Point> {
    let sums = liquidations.iter().scan(0_u128, |sum, liquidation| {
        *sum = sum.saturating_add(liquidation.repaid);
        Some(Point { second: liquidation.second, value: *sum })
    });
    standing([Point { second: 0, value: 0 }].into_iter().chain(sums), secs)
}
