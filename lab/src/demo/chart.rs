//! The day as a picture: the price, what is owed, and what has been repaid by liquidators.

use alloy::primitives::U256;

use super::{
    day::{Day, Moment},
    report::Chapter,
};
use crate::{
    calendar::DAY,
    chart::{Axis, Chart, Clock, Colour, Panel, Point, Series, Shape},
};

/// In pixels.
const HEIGHT: u64 = 370;
const PRICE: Axis = Axis { decimals: 8, from_zero: false };
const DOLLARS: Axis = Axis { decimals: 6, from_zero: true };

/// Draws it, in SVG.
pub(super) fn svg(day: &Day, chapter: &Chapter) -> String {
    let moments: Vec<_> = std::iter::once(&day.morning).chain(&day.moments).collect();
    let repaid_by = |moment: &Moment| {
        let until = chapter.liquidations.iter().filter(|(block, _)| *block <= moment.block);
        units(until.map(|(_, event)| event.repaid).sum())
    };
    let points = |value: &dyn Fn(&Moment) -> u128| {
        moments.iter().map(|moment| Point { second: moment.second, value: value(moment) }).collect()
    };
    let series = |label: &str, colour, right, shape| Series { label: label.to_owned(), colour, right, shape };
    let owed = Shape::Area(points(&|moment| units(moment.debt)));
    let series = vec![
        series("an ether in dollars (left)", Colour::Ink, false, Shape::Line(points(&|moment| moment.price))),
        series("owed in dollars (right)", Colour::Sea, true, owed),
        series("repaid by liquidators (right)", Colour::Red, true, Shape::Line(points(&repaid_by))),
    ];
    let panel = Panel { height: HEIGHT, left: PRICE, right: Some(DOLLARS), series };
    let title = "A day of falling prices".to_owned();
    Chart { title, subtitle: String::new(), clock: Clock::Beginning, secs: DAY, panels: vec![panel] }.file()
}

fn units(amount: U256) -> u128 {
    u128::try_from(amount).unwrap_or(u128::MAX)
}
