//! Charts in SVG: panels above one another over the same time, each with round scales at its sides, lines, areas and
//! marks, and a legend.
//!
//! Values are integers with a number of decimals; what is drawn is cut to a tenth of a pixel, and of thousands of points
//! no more than can be seen. Colours are classes of [`STYLE`], by day and by night, which a page includes once and a
//! file brings along.

mod frame;
mod scale;

use std::fmt::{self, Display, Write};

pub use self::scale::Clock;
use self::{
    frame::{Field, Frame, Tenths, Trail},
    scale::{Scale, times},
};

/// How charts look.
pub const STYLE: &str = include_str!("chart/chart.css");
/// A file's width; pages have narrower charts for phones.
pub const WIDE: u64 = 960;

/// In pixels: what lies around panels, and between them.
const SIDE: u64 = 64;
const EDGE: u64 = 28;
const TOP: u64 = 12;
const TITLE: u64 = 28;
const ROW: u64 = 22;
const GAP: u64 = 16;
const FOOT: u64 = 30;
/// So much room a mark of time needs, and a letter.
const PER_TIME: u64 = 90;
const PER_LETTER: u64 = 8;
/// A legend's sign, with what is between it and its text, and between two entries.
const SIGN: u64 = 22;
const SIGN_GAP: u64 = 8;
const ENTRY_GAP: u64 = 20;

/// Panels above one another.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// Of what, where that has to be told.
    pub subtitle: String,
    /// From where seconds are counted.
    pub clock: Clock,
    /// How long it lasts.
    pub secs: u64,
    /// From the top down.
    pub panels: Vec<Panel>,
}

/// Some series over one another, the first at the bottom.
#[derive(Debug, Clone)]
pub struct Panel {
    /// In pixels.
    pub height: u64,
    /// The scale at its left.
    pub left: Axis,
    /// The scale at its right, where some series have one of their own.
    pub right: Option<Axis>,
    /// What is drawn.
    pub series: Vec<Series>,
}

/// How values are counted.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// Of how many decimals they are.
    pub decimals: u8,
    /// Whether nothing is at the bottom, or the lowest value.
    pub from_zero: bool,
}

/// What belongs together.
#[derive(Debug, Clone)]
pub struct Series {
    /// What the legend says.
    pub label: String,
    /// In which colour.
    pub colour: Colour,
    /// Whether the scale at the right is its own.
    pub right: bool,
    /// What is drawn.
    pub shape: Shape,
}

/// What is drawn of a series.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A line from point to point.
    Line(Vec<Point>),
    /// All below such a line.
    Area(Vec<Point>),
    /// Circles of different sizes.
    Marks(Vec<Mark>),
}

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Since the beginning.
    pub second: u64,
    /// In units.
    pub value: u128,
}

/// A circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Where.
    pub at: Point,
    /// How large its area is. Those of marks that would stand in one place are added up.
    pub weight: u128,
}

/// What colours are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// What matters most.
    Ink,
    /// What is only there to compare.
    Dim,
    /// What floats.
    Sea,
    /// What was lost or taken.
    Red,
    /// What is in danger.
    Amber,
}

/// A value that stands until the next one, up to an end, as points of a line.
#[must_use]
pub fn standing(points: impl IntoIterator<Item = Point>, end: u64) -> Vec<Point> {
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
    /// For a file of its own.
    #[must_use]
    pub fn file(&self) -> String {
        self.drawn(WIDE, true)
    }

    /// For a page that has [`STYLE`], and has said what it shows.
    #[must_use]
    pub fn inline(&self, width: u64) -> String {
        self.drawn(width, false)
    }

    fn drawn(&self, width: u64, file: bool) -> String {
        let right = if self.panels.iter().any(|panel| panel.right.is_some()) { SIDE } else { EDGE };
        let field = Field { left: SIDE, right: width - right, secs: self.secs.max(1) };
        let times = times(self.clock, self.secs, (field.right - field.left) / PER_TIME);
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
    /// Title and subtitle at the top, as much of them as there is room for.
    fn head(&self, body: &mut String, top: &mut u64) {
        *top = TOP;
        for (text, class, height) in [(&self.title, " class=\"title\"", TITLE), (&self.subtitle, "", ROW)] {
            if !text.is_empty() {
                *top += height;
                let y = *top - 8;
                let most = usize::try_from((WIDE - SIDE) / PER_LETTER * ROW / height).unwrap_or(usize::MAX);
                let cut: String = text.chars().take(most).collect();
                put(body, format_args!("<text{class} x=\"{SIDE}\" y=\"{y}\">{}</text>\n", Escaped(&cut)));
            }
        }
    }
}

impl Panel {
    /// Draws it below `top`, and moves that below it.
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
            let wide = SIGN + SIGN_GAP + letters * PER_LETTER;
            if at > field.left && at + wide > field.right {
                (at, *top) = (field.left, *top + ROW);
            }
            let (colour, label, text) = (series.colour, Escaped(&series.label), SIGN + SIGN_GAP);
            let sign = match series.shape {
                Shape::Line(_) => format!("<line class=\"line {colour}\" x1=\"0\" x2=\"{SIGN}\" y1=\"-4\" y2=\"-4\"/>"),
                Shape::Area(_) => format!("<rect class=\"fill {colour}\" width=\"{SIGN}\" height=\"12\" y=\"-10\"/>"),
                Shape::Marks(_) => {
                    format!("<circle class=\"fill marks {colour}\" cx=\"{}\" cy=\"-4\" r=\"6\"/>", SIGN / 2)
                }
            };
            let y = *top - 8;
            put(
                body,
                format_args!("<g transform=\"translate({at} {y})\">{sign}<text x=\"{text}\">{label}</text></g>\n"),
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

/// Text from outside.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                // XML has no place for these, not even escaped.
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

/// Writing to a string cannot fail.
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
        let file = chart(Shape::Line(standing(spike, 3_600))).file();
        assert!(file.contains("points=\"64,184 498,184 498,84 498.2,184 932,184\""), "{file}");
    }

    #[test]
    fn a_step_line_holds_each_value_until_the_next() {
        let line = standing([point(0, 3), point(10, 2)], 15);
        assert_eq!(line, [point(0, 3), point(10, 3), point(10, 2), point(15, 2)]);
        assert_eq!(standing([], 15), []);
    }

    #[test]
    fn marks_in_one_place_are_merged_and_areas_are_proportional_to_weights() {
        let mark = |second, weight| Mark { at: point(second, 50), weight };
        let file = chart(Shape::Marks(vec![mark(0, 10), mark(1, 15), mark(3_000, 100)])).file();
        let radii: Vec<_> = file.split(" r=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(radii, ["6", "14", "7"], "{file}");
    }
}
