//! The chart of the day: price, total debt, and debt repaid by liquidators.

use alloy::primitives::U256;

use super::{
    day::{Day, Snapshot},
    report::ChainEvents,
};
use crate::{
    calendar::DAY,
    chart::{Axis, Chart, Clock, Colour, Panel, Point, Series, Shape},
};

/// Height of the panel, in pixels.
const HEIGHT: u64 = 370;
const PRICE: Axis = Axis { decimals: 8, from_zero: false };
const DOLLARS: Axis = Axis { decimals: 6, from_zero: true };

/// Draws the chart as SVG.
pub(super) fn svg(day: &Day, events: &ChainEvents) -> String {
    let snapshots: Vec<_> = std::iter::once(&day.opening).chain(&day.snapshots).collect();
    let repaid_by = |snapshot: &Snapshot| {
        let until = events.liquidations.iter().filter(|(block, _)| *block <= snapshot.block);
        units(until.map(|(_, event)| event.repaid).sum())
    };
    let points = |value: &dyn Fn(&Snapshot) -> u128| {
        snapshots.iter().map(|snapshot| Point { second: snapshot.second, value: value(snapshot) }).collect()
    };
    let series = |label: &str, colour, right, shape| Series { label: label.to_owned(), colour, right, shape };
    let debt = Shape::Area(points(&|snapshot| units(snapshot.debt)));
    let series = vec![
        series("an ether in dollars (left)", Colour::Ink, false, Shape::Line(points(&|snapshot| snapshot.price))),
        series("debt in dollars (right)", Colour::Sea, true, debt),
        series("repaid by liquidators (right)", Colour::Red, true, Shape::Line(points(&repaid_by))),
    ];
    let panel = Panel { height: HEIGHT, left: PRICE, right: Some(DOLLARS), series };
    let title = "A day of falling prices".to_owned();
    Chart { title, subtitle: String::new(), clock: Clock::Beginning, secs: DAY, panels: vec![panel] }.file()
}

fn units(amount: U256) -> u128 {
    u128::try_from(amount).unwrap_or(u128::MAX)
}
