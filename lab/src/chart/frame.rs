//! Positions in a panel, to a tenth of a pixel: of lines, circles and the grid.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    fmt::{self, Display},
};

use super::{
    Mark, Point, put,
    scale::{SPACES, Scale},
};

const TENTHS: u64 = 10;
/// Distance within which marks are merged, in tenths of a pixel.
const MARK_TENTHS: u64 = 60;
/// Radius of the smallest mark, in tenths of a pixel.
const MIN_MARK_RADIUS: u64 = 20;
/// Radius of the largest mark, in tenths of a pixel.
const MAX_MARK_RADIUS: u64 = 140;

/// The horizontal extent of all panels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) left: u64,
    pub(super) right: u64,
    pub(super) secs: u64,
}

/// The extent of a panel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) field: Field,
    pub(super) top: u64,
    pub(super) height: u64,
}

impl Field {
    fn x_tenths(self, second: u64) -> u64 {
        let wide = u128::from((self.right - self.left) * TENTHS);
        let after = wide * u128::from(second.min(self.secs)) / u128::from(self.secs);
        self.left * TENTHS + u64::try_from(after).unwrap_or_default()
    }

    pub(super) fn x(self, second: u64) -> Tenths {
        Tenths(self.x_tenths(second))
    }
}

impl Frame {
    fn place(self, point: &Point, scale: &Scale) -> (u64, u64) {
        let height = self.height * TENTHS;
        (self.field.x_tenths(point.second), self.top * TENTHS + height - scale.above(point.value, height))
    }

    /// Returns the points of a line. In each pixel column the first, highest, lowest and last point are kept, and of
    /// points at one height the ends.
    pub(super) fn trail(self, points: &[Point], scale: &Scale) -> Vec<(u64, u64)> {
        let places: Vec<_> = points.iter().map(|point| self.place(point, scale)).collect();
        let mut trail = Vec::<(u64, u64)>::new();
        for column in places.chunk_by(|one, other| one.0 / TENTHS == other.0 / TENTHS) {
            let by_height = |place: &usize| column.get(*place).map(|(_, y)| *y);
            let numbers = || 0..column.len();
            let extremes = [numbers().min_by_key(by_height), numbers().max_by_key(by_height)];
            let kept =
                BTreeSet::from_iter([Some(0), column.len().checked_sub(1)].into_iter().chain(extremes).flatten());
            for place in kept.into_iter().filter_map(|place| column.get(place)) {
                match &mut *trail {
                    [.., before, last] if before.1 == last.1 && last.1 == place.1 => *last = *place,
                    _ => trail.push(*place),
                }
            }
        }
        trail
    }

    /// Returns centres and radii of circles, the largest first, so that none is hidden.
    pub(super) fn circles(self, marks: &[Mark], scale: &Scale) -> Vec<(u64, u64, u64)> {
        let places: Vec<_> = marks.iter().map(|mark| (self.place(&mark.at, scale), mark.weight)).collect();
        let near = |((x, y), _): &((u64, u64), u128)| (x / MARK_TENTHS, y / MARK_TENTHS);
        let groups = places.chunk_by(|one, other| near(one) == near(other));
        let sums = groups.filter_map(|group| {
            let ((x, y), _) = group.first()?;
            Some((
                *x,
                *y,
                group.iter().map(|(_, weight)| weight).fold(0_u128, |sum, weight| sum.saturating_add(*weight)),
            ))
        });
        let mut sums: Vec<_> = sums.collect();
        sums.sort_by_key(|(_, _, weight)| Reverse(*weight));
        let most = sums.first().map_or(1, |(_, _, weight)| (*weight).max(1));
        let radius = |weight: u128| {
            let area = u128::from(MAX_MARK_RADIUS).pow(2).saturating_mul(weight) / most;
            u64::try_from(area.isqrt()).unwrap_or(MAX_MARK_RADIUS).max(MIN_MARK_RADIUS)
        };
        sums.into_iter().map(|(x, y, weight)| (x, y, radius(weight))).collect()
    }

    /// Draws the horizontal lines with both scales, and vertical lines at the times.
    pub(super) fn grid(self, body: &mut String, times: &[(u64, String)], left: &Scale, right: Option<&Scale>) {
        let (Field { left: begin, right: end, .. }, bottom) = (self.field, self.top + self.height);
        for (second, _) in times {
            let (x, top) = (self.field.x(*second), self.top);
            put(body, format_args!("<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"{top}\" y2=\"{bottom}\"/>\n"));
        }
        let right_labels = right.map(Scale::labels).unwrap_or_default();
        for (number, label) in (0..).zip(left.labels()) {
            let y = bottom - self.height * number / SPACES;
            let base = y + 4;
            put(
                body,
                format_args!(
                    "<line class=\"grid\" x1=\"{begin}\" x2=\"{end}\" y1=\"{y}\" y2=\"{y}\"/>\n\
                     <text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{label}</text>\n",
                    begin - 8
                ),
            );
            let other = usize::try_from(number).ok().and_then(|number| right_labels.get(number));
            if let Some(label) = other {
                put(body, format_args!("<text x=\"{}\" y=\"{base}\">{label}</text>\n", end + 8));
            }
        }
    }
}

/// A length in tenths of a pixel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tenths(pub(super) u64);

impl Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / TENTHS, self.0 % TENTHS) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, tenths) => write!(f, "{whole}.{tenths}"),
        }
    }
}

/// The points of a line, formatted for SVG.
pub(super) struct Trail(pub(super) Vec<(u64, u64)>);

impl Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (x, y)) in self.0.iter().enumerate() {
            let gap = if number == 0 { "" } else { " " };
            write!(f, "{gap}{},{}", Tenths(*x), Tenths(*y))?;
        }
        Ok(())
    }
}
