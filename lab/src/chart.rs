//! Charts in SVG: stacked panels over the same time, each with round scales, lines, areas, marks and a legend.
//!
//! Values are integers with a number of decimals. Coordinates are rounded to a tenth of a pixel, and points that cannot
//! be distinguished are left out. Colours are classes of [`STYLE`], for light and dark mode, which a page includes once
//! and a file contains.

mod frame;
mod scale;

use std::fmt::{self, Display, Write};

pub use self::scale::Clock;
use self::{
    frame::{Field, Frame, Tenths, Trail},
    scale::{Scale, times},
};

/// The style sheet of charts.
pub const STYLE: &str = include_str!("chart/chart.css");
/// Width of a chart in a file, in pixels. Pages also have narrower charts for phones.
pub const WIDE: u64 = 960;

/// Width of a scale at a side, in pixels.
const SIDE: u64 = 64;
/// Margin at a side without a scale, in pixels.
const EDGE: u64 = 28;
/// Margin at the top, in pixels.
const TOP: u64 = 12;
/// Height of the title, in pixels.
const TITLE: u64 = 28;
/// Height of a row of a legend, in pixels.
const ROW: u64 = 22;
/// Space between panels, in pixels.
const GAP: u64 = 16;
/// Height of the time labels, in pixels.
const FOOT: u64 = 30;
/// Width of a time label with its margin, in pixels.
const TIME_WIDTH: u64 = 90;
/// Average width of a letter, in pixels.
const LETTER_WIDTH: u64 = 8;
/// Width of a legend's symbol, in pixels.
const SYMBOL: u64 = 22;
/// Space between a symbol and its text, in pixels.
const SYMBOL_GAP: u64 = 8;
/// Space between two entries of a legend, in pixels.
const ENTRY_GAP: u64 = 20;

/// A chart of stacked panels.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Title.
    pub title: String,
    /// Subtitle; may be empty.
    pub subtitle: String,
    /// How times are labelled.
    pub clock: Clock,
    /// The period that is shown, in seconds.
    pub secs: u64,
    /// The panels, from top to bottom.
    pub panels: Vec<Panel>,
}

/// A panel with series over one another, the first at the bottom.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Height, in pixels.
    pub height: u64,
    /// The scale on the left.
    pub left: Axis,
    /// The scale on the right, if some series have one of their own.
    pub right: Option<Axis>,
    /// The series.
    pub series: Vec<Series>,
}

/// The scale of values.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// Decimals of the values.
    pub decimals: u8,
    /// Whether the scale begins at 0 rather than at the lowest value.
    pub from_zero: bool,
}

/// Values with a label and a colour.
#[derive(Debug, Clone)]
pub struct Series {
    /// Text in the legend.
    pub label: String,
    /// Colour.
    pub colour: Colour,
    /// Whether the series uses the scale on the right.
    pub right: bool,
    /// Values and how they are drawn.
    pub shape: Shape,
}

/// The values of a series, and how they are drawn.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A line from point to point.
    Line(Vec<Point>),
    /// The area below a line.
    Area(Vec<Point>),
    /// Circles of different sizes.
    Marks(Vec<Mark>),
}

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Seconds since the beginning.
    pub second: u64,
    /// The value, in units.
    pub value: u128,
}

/// A circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Position.
    pub at: Point,
    /// Relative area. Marks in the same place are merged, and their weights added.
    pub weight: u128,
}

/// A colour, by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// The main series.
    Ink,
    /// A series for comparison.
    Dim,
    /// Debt.
    Sea,
    /// Losses and liquidations.
    Red,
    /// Risk.
    Amber,
}

/// Returns the points of a step line, in which a value holds until the next one, up to an end.
#[must_use]
pub fn steps(points: impl IntoIterator<Item = Point>, end: u64) -> Vec<Point> {
    let (mut line, mut last) = (Vec::new(), None::<Point>);
    for point in points {
        line.extend(last.map(|last| Point { second: point.second, ..last }));
        line.push(point);
        last = Some(point);
    }
    line.extend(last.map(|last| Point { second: end.max(last.second), ..last }));
    line
}

impl Chart {
    /// Renders the chart as an SVG file.
    #[must_use]
    pub fn file(&self) -> String {
        self.drawn(WIDE, true)
    }

    /// Renders the chart for a page that includes [`STYLE`], without title.
    #[must_use]
    pub fn inline(&self, width: u64) -> String {
        self.drawn(width, false)
    }

    fn drawn(&self, width: u64, file: bool) -> String {
        let right = if self.panels.iter().any(|panel| panel.right.is_some()) { SIDE } else { EDGE };
        let field = Field { left: SIDE, right: width - right, secs: self.secs.max(1) };
        let times = times(self.clock, self.secs, (field.right - field.left) / TIME_WIDTH);
        let (mut top, mut body) = (0, String::new());
        if file {
            self.head(&mut body, &mut top);
        }
        for panel in &self.panels {
            panel.draw(&mut body, field, &times, &mut top);
        }
        let foot = top - GAP + ROW;
        for (second, told) in &times {
            let x = field.x(*second);
            put(&mut body, format_args!("<text x=\"{x}\" y=\"{foot}\" text-anchor=\"middle\">{told}</text>\n"));
        }
        let height = top - GAP + FOOT;
        let (title, subtitle) = (Escaped(&self.title), Escaped(&self.subtitle));
        let (namespace, ground) = if file {
            let ground = format!("<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n");
            (" xmlns=\"http://www.w3.org/2000/svg\"", format!("<style>\n{STYLE}</style>\n{ground}"))
        } else {
            ("", String::new())
        };
        format!(
            "<svg{namespace} class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>{title} {subtitle}</title>\n{ground}{body}</svg>\n"
        )
    }
}

impl Chart {
    /// Draws title and subtitle, cut to the width.
    fn head(&self, body: &mut String, top: &mut u64) {
        *top = TOP;
        for (text, class, height) in [(&self.title, " class=\"title\"", TITLE), (&self.subtitle, "", ROW)] {
            if !text.is_empty() {
                *top += height;
                let y = *top - 8;
                let most = usize::try_from((WIDE - SIDE) / LETTER_WIDTH * ROW / height).unwrap_or(usize::MAX);
                let cut: String = text.chars().take(most).collect();
                put(body, format_args!("<text{class} x=\"{SIDE}\" y=\"{y}\">{}</text>\n", Escaped(&cut)));
            }
        }
    }
}

impl Panel {
    /// Draws the panel below `top`, and moves that to its end.
    fn draw(&self, body: &mut String, field: Field, times: &[(u64, String)], top: &mut u64) {
        self.legend(body, field, top);
        let frame = Frame { field, top: *top, height: self.height };
        let scale = |axis: Axis, right: bool| {
            let values = self.series.iter().filter(|series| series.right == right).flat_map(Series::values);
            Scale::of(values, axis.decimals, axis.from_zero)
        };
        let (left, right) = (scale(self.left, false), self.right.map(|axis| scale(axis, true)));
        let areas = self.series.iter().filter(|series| matches!(series.shape, Shape::Area(_)));
        let others = self.series.iter().filter(|series| !matches!(series.shape, Shape::Area(_)));
        let scale = |series: &Series| right.as_ref().filter(|_| series.right).unwrap_or(&left);
        for series in areas {
            series.draw(body, frame, scale(series));
        }
        frame.grid(body, times, &left, right.as_ref());
        for series in others {
            series.draw(body, frame, scale(series));
        }
        *top += self.height + GAP;
    }

    fn legend(&self, body: &mut String, field: Field, top: &mut u64) {
        let mut at = field.left;
        *top += ROW;
        for series in &self.series {
            let letters = u64::try_from(series.label.chars().count()).unwrap_or_default();
            let wide = SYMBOL + SYMBOL_GAP + letters * LETTER_WIDTH;
            if at > field.left && at + wide > field.right {
                (at, *top) = (field.left, *top + ROW);
            }
            let (colour, label, text) = (series.colour, Escaped(&series.label), SYMBOL + SYMBOL_GAP);
            let symbol = match series.shape {
                Shape::Line(_) => {
                    format!("<line class=\"line {colour}\" x1=\"0\" x2=\"{SYMBOL}\" y1=\"-4\" y2=\"-4\"/>")
                }
                Shape::Area(_) => format!("<rect class=\"fill {colour}\" width=\"{SYMBOL}\" height=\"12\" y=\"-10\"/>"),
                Shape::Marks(_) => {
                    format!("<circle class=\"fill marks {colour}\" cx=\"{}\" cy=\"-4\" r=\"6\"/>", SYMBOL / 2)
                }
            };
            let y = *top - 8;
            put(
                body,
                format_args!("<g transform=\"translate({at} {y})\">{symbol}<text x=\"{text}\">{label}</text></g>\n"),
            );
            at += wide + ENTRY_GAP;
        }
    }
}

impl Series {
    fn values(&self) -> Vec<u128> {
        match &self.shape {
            Shape::Line(points) | Shape::Area(points) => points.iter().map(|point| point.value).collect(),
            Shape::Marks(marks) => marks.iter().map(|mark| mark.at.value).collect(),
        }
    }

    fn draw(&self, body: &mut String, frame: Frame, scale: &Scale) {
        let colour = self.colour;
        match &self.shape {
            Shape::Line(points) => {
                let line = Trail(frame.trail(points, scale));
                put(body, format_args!("<polyline class=\"line {colour}\" points=\"{line}\"/>\n"));
            }
            Shape::Area(points) => {
                let line = frame.trail(points, scale);
                let (Some((first, _)), Some((last, _))) = (line.first(), line.last()) else { return };
                let (first, last, bottom) = (Tenths(*first), Tenths(*last), frame.top + frame.height);
                let line = Trail(line);
                let points = format_args!("{first},{bottom} {line} {last},{bottom}");
                put(body, format_args!("<polygon class=\"fill {colour}\" points=\"{points}\"/>\n"));
            }
            Shape::Marks(marks) => {
                for (x, y, radius) in frame.circles(marks, scale) {
                    let (x, y, r) = (Tenths(x), Tenths(y), Tenths(radius));
                    put(
                        body,
                        format_args!("<circle class=\"fill marks {colour}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>\n"),
                    );
                }
            }
        }
    }
}

/// Text that is escaped for XML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                // XML does not allow control characters, not even escaped.
                letter if letter.is_control() => f.write_char(' ')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

impl Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ink => "ink",
            Self::Dim => "dim",
            Self::Sea => "sea",
            Self::Red => "red",
            Self::Amber => "amber",
        })
    }
}

/// Appends formatted text, which cannot fail for a string.
fn put(body: &mut String, text: fmt::Arguments<'_>) {
    let _ = body.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: u64, value: u128) -> Point {
        Point { second, value }
    }

    fn chart(shape: Shape) -> Chart {
        let series = Series { label: "a < b".to_owned(), colour: Colour::Ink, right: false, shape };
        let left = Axis { decimals: 0, from_zero: true };
        let panel = Panel { height: 100, left, right: None, series: vec![series] };
        Chart {
            title: "\"R&D\"".to_owned(),
            subtitle: "<today>".to_owned(),
            clock: Clock::Beginning,
            secs: 3_600,
            panels: vec![panel],
        }
    }

    #[test]
    fn a_file_contains_its_style_and_an_inline_chart_does_not() {
        let chart = chart(Shape::Line(vec![point(0, 0), point(3_600, 50)]));
        let (file, page) = (chart.file(), chart.inline(400));
        assert!(file.contains(STYLE) && file.contains("<title>&quot;R&amp;D&quot; &lt;today&gt;</title>"), "{file}");
        assert!(!page.contains("<style") && page.contains("viewBox=\"0 0 400 ") && page.contains("a &lt; b"), "{page}");
    }

    #[test]
    fn the_largest_value_is_at_the_top_and_the_end_at_the_right() {
        let file = chart(Shape::Line(vec![point(0, 0), point(1_800, 50), point(3_600, 25)])).file();
        assert!(file.contains("points=\"64,184 498,84 932,134\""), "{file}");
        let area = chart(Shape::Area(vec![point(0, 50), point(3_600, 50)])).file();
        assert!(area.contains("points=\"64,184 64,84 932,84 932,184\""), "{area}");
    }

    #[test]
    fn a_thousand_points_in_one_column_keep_their_extremes() {
        let mut points: Vec<_> = (0..1_000).map(|second| point(second, 20)).collect();
        for (at, value) in [(500, 50), (501, 0)] {
            if let Some(point) = points.get_mut(at) {
                point.value = value;
            }
        }
        let mut chart = chart(Shape::Line(points));
        chart.secs = 3_600_000;
        let file = chart.file();
        assert!(file.contains("points=\"64,144 64.1,84 64.1,184 64.2,144\""), "{file}");
    }

    #[test]
    fn a_spike_in_one_column_does_not_slant_into_the_next() {
        let spike = [point(0, 0), point(1_800, 50), point(1_801, 0), point(3_600, 0)];
        let file = chart(Shape::Line(steps(spike, 3_600))).file();
        assert!(file.contains("points=\"64,184 498,184 498,84 498.2,184 932,184\""), "{file}");
    }

    #[test]
    fn a_step_line_holds_each_value_until_the_next() {
        let line = steps([point(0, 3), point(10, 2)], 15);
        assert_eq!(line, [point(0, 3), point(10, 3), point(10, 2), point(15, 2)]);
        assert_eq!(steps([], 15), []);
    }

    #[test]
    fn marks_in_one_place_are_merged_and_areas_are_proportional_to_weights() {
        let mark = |second, weight| Mark { at: point(second, 50), weight };
        let file = chart(Shape::Marks(vec![mark(0, 10), mark(1, 15), mark(3_000, 100)])).file();
        let radii: Vec<_> = file.split(" r=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(radii, ["6", "14", "7"], "{file}");
    }
}
