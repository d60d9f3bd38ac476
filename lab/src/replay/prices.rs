//! Recorded prices: a file is read into a function from a second to a price.
//!
//! A file is CSV with a header. The column `ts` has Unix seconds. With columns `open`, `high`, `low` and `close` a line
//! is a bar: its price moves along straight lines through these four, first to the extreme that is away from the close,
//! and each leg takes a third of the bar; missing bars are bridged by a straight line. Otherwise a line's price holds
//! until the next line, which represents a sudden gap. It is taken from the first column that is not a time, or from a
//! chosen one.

use std::{fmt, fs, path::Path, str::FromStr};

use eyre::{ContextCompat, WrapErr, bail, ensure, eyre};
use plimsoll_contracts::quantity::Decimal;

/// Decimals of prices, as of a feed's answers.
pub const PRICE_DECIMALS: u8 = 8;
/// Lowest price for which the market's arithmetic is made.
const LOWEST_PRICE: u128 = 10_000;
/// Highest price for which the market's arithmetic is made.
const HIGHEST_PRICE: u128 = 10_u128.pow(9 + PRICE_DECIMALS as u32);
/// The largest plausible factor between the prices of two lines.
const ABSURD_FACTOR: u128 = 10;
/// The longest period of a file.
const MAX_SECONDS: u64 = 366 * 86_400;
/// Bars that may be missing without a notice.
const MAX_SILENT_BARS: u64 = 3;
/// Timestamps beyond this, in the year 5138, are not in seconds.
const MAX_TIMESTAMP: u64 = 100_000_000_000;
const BYTE_ORDER_MARK: char = '\u{feff}';
/// First bytes of compressed files, their format, and the program that unpacks them.
const COMPRESSED: [(&[u8], &str, &str); 5] = [
    (&[0x1f, 0x8b], "gzip", "gunzip"),
    (b"PK\x03\x04", "zip", "unzip"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", "unxz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "Zstandard", "unzstd"),
    (b"BZh", "bzip2", "bunzip2"),
];
const BAR: [&str; 4] = ["open", "high", "low", "close"];
const TIMES: [&str; 2] = ["ts", "utc"];

/// A price at a second since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    second: u64,
    price: u128,
}

/// The price at any second of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// Timestamp of the first price, in Unix seconds.
    begin: u64,
    /// Prices in the order of their seconds. Two at the same second are a jump.
    points: Vec<Point>,
    /// Whether prices move in straight lines between points. Otherwise each holds until the next.
    moves: bool,
    /// Missing bars that are bridged by straight lines.
    gaps: Option<Gaps>,
}

/// Missing bars of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gaps {
    /// Number of missing bars.
    bars: u64,
    /// Length of a bar in seconds.
    length: u64,
    /// The longest gap in bars, and the timestamp where it begins.
    longest: (u64, u64),
}

impl Gaps {
    /// Finds gaps longer than [`MAX_SILENT_BARS`]; shorter ones are usual.
    fn among(rows: &[Row], length: u64) -> Option<Self> {
        let missing = |row: &Row, next: &Row| (next.second - row.second).checked_div(length).unwrap_or(1) - 1;
        let gaps = rows.iter().zip(rows.iter().skip(1)).map(|(row, next)| (missing(row, next), row.second));
        let gaps: Vec<_> = gaps.filter(|(bars, _)| *bars > MAX_SILENT_BARS).collect();
        let longest = gaps.iter().copied().max_by_key(|(bars, _)| *bars)?;
        Some(Self { bars: gaps.iter().map(|(bars, _)| bars).sum(), length, longest })
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bars, length, longest: (longest, after) } = self;
        write!(
            f,
            "{bars} bars of {length} seconds are missing, {longest} of them after {after}; straight lines bridge them"
        )
    }
}

impl Prices {
    /// Reads a file. `column` names the column of prices; without it, bars or the first column of prices are used.
    ///
    /// # Errors
    /// When the file cannot be read or used, with the line and the mistake.
    pub fn read(path: &Path, column: Option<&str>) -> eyre::Result<Self> {
        let bytes = fs::read(path).wrap_err_with(|| format!("the prices cannot be read from {}", path.display()))?;
        decode(bytes).and_then(|text| Self::parse(&text, column)).wrap_err_with(|| path.display().to_string())
    }

    /// Describes missing bars, where there are more than a few in a row.
    #[must_use]
    pub fn gaps(&self) -> Option<impl fmt::Display + use<>> {
        self.gaps
    }

    /// Parses the content of a file.
    ///
    /// # Errors
    /// When it cannot be used, with the line and the mistake.
    pub fn parse(text: &str, column: Option<&str>) -> eyre::Result<Self> {
        // Spreadsheets write a byte-order mark before UTF-8.
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut lines = (1_u64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let (_, header) = lines.next().wrap_err("line 1: the file is empty; a header such as ts,price is expected")?;
        let columns = Columns::of(header, column)?;
        let mut rows = Vec::<Row>::new();
        for (number, line) in lines {
            let row = columns.row(line).wrap_err_with(|| format!("line {number}"))?;
            if let Some(last) = rows.last() {
                row.follows(last).wrap_err_with(|| format!("line {number}"))?;
            }
            rows.push(row);
        }
        Self::of(&rows, columns.is_bar())
    }

    fn of(rows: &[Row], bars: bool) -> eyre::Result<Self> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { bail!("there are no prices in it") };
        ensure!(rows.len() > 1, "there is one price only; at least two are needed");
        ensure!(last.second - first.second <= MAX_SECONDS, "the prices span more than a year; cut the file");
        // Lines may be missing, so the shortest distance is the length of a bar.
        let gaps = rows.iter().zip(rows.iter().skip(1)).map(|(row, next)| next.second - row.second);
        let length = gaps.min().unwrap_or_default();
        let mut points = Vec::new();
        for row in rows {
            let begin = row.second - first.second;
            let count = u64::try_from(row.path.len())?;
            for (place, price) in (0..).zip(&row.path) {
                let second = if count > 1 { begin + length * place / (count - 1) } else { begin };
                points.push(Point { second, price: *price });
            }
        }
        let gaps = if bars { Gaps::among(rows, length) } else { None };
        Ok(Self { begin: first.second, points, moves: bars, gaps })
    }

    /// Returns the timestamp of the first price, in Unix seconds.
    #[must_use]
    pub const fn begin(&self) -> u64 {
        self.begin
    }

    /// Returns the first price.
    #[must_use]
    pub fn first(&self) -> u128 {
        self.at(0)
    }

    /// Returns the lowest price.
    #[must_use]
    pub fn lowest(&self) -> u128 {
        self.points.iter().map(|point| point.price).min().unwrap_or_default()
    }

    /// Returns the last second.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.points.last().map_or(0, |point| point.second)
    }

    /// Returns the price at a second, with [`PRICE_DECIMALS`] decimals. After the end it is the last price.
    #[must_use]
    pub fn at(&self, second: u64) -> u128 {
        let after = self.points.partition_point(|point| point.second <= second);
        let next = self.points.get(after);
        let Some(last) = after.checked_sub(1).and_then(|place| self.points.get(place)) else {
            return next.map_or(0, |point| point.price);
        };
        let Some(next) = next.filter(|_| self.moves) else { return last.price };
        let (passed, between) = (u128::from(second - last.second), u128::from(next.second - last.second));
        if next.price >= last.price {
            last.price + (next.price - last.price) * passed / between
        } else {
            last.price - (last.price - next.price) * passed / between
        }
    }
}

/// Converts a file's content to text. Fails with the format of a file that is no UTF-8 text.
fn decode(bytes: Vec<u8>) -> eyre::Result<String> {
    let compressed = COMPRESSED.iter().find(|(magic, ..)| bytes.starts_with(magic));
    if let Some((_, format, program)) = compressed {
        bail!("the file is compressed by {format}: unpack it first, for example by `{program}`");
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        bail!("the file is text in UTF-16: save it as UTF-8");
    }
    String::from_utf8(bytes).map_err(|_| eyre!("the file is no text in UTF-8"))
}

/// Refuses a timestamp that is not in seconds.
fn check_seconds(second: u64) -> eyre::Result<()> {
    if second <= MAX_TIMESTAMP {
        return Ok(());
    }
    let units = [("milliseconds", 1_000), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000)];
    let likely = units.into_iter().find(|(_, factor)| second / factor <= MAX_TIMESTAMP);
    let (unit, factor) = likely.wrap_err_with(|| format!("ts is {second}; Unix seconds are expected"))?;
    bail!(
        "ts is {second}, which must be {unit}; Unix seconds are expected, {} here: divide the column",
        second / factor
    )
}

/// The columns of a file.
struct Columns {
    count: usize,
    time: usize,
    prices: Vec<usize>,
    names: Vec<String>,
}

impl Columns {
    fn of(header: &str, wanted: Option<&str>) -> eyre::Result<Self> {
        let names: Vec<_> = header.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let time = place("ts").wrap_err_with(|| format!("line 1: there is no column ts, only {}", names.join(", ")))?;
        let prices = if let Some(wanted) = wanted {
            let found = place(&wanted.to_ascii_lowercase());
            vec![found.wrap_err_with(|| format!("line 1: there is no column {wanted}, only {}", names.join(", ")))?]
        } else if let Some(bar) = BAR.iter().map(|name| place(name)).collect() {
            bar
        } else {
            let price = names.iter().position(|name| !TIMES.contains(&name.as_str()));
            vec![price.wrap_err("line 1: there is no column with a price")?]
        };
        // Which of two was meant cannot be known. Columns that are not read may be named as they like.
        for name in prices.iter().chain([&time]).filter_map(|place| names.get(*place)) {
            let count = names.iter().filter(|other| *other == name).count();
            ensure!(count == 1, "line 1: {count} columns are named {name:?}; rename or remove all but one of them");
        }
        Ok(Self { count: names.len(), time, prices, names })
    }

    fn is_bar(&self) -> bool {
        self.prices.len() == BAR.len()
    }

    fn row(&self, line: &str) -> eyre::Result<Row> {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        ensure!(fields.len() == self.count, "there are {} fields; the header has {}", fields.len(), self.count);
        let field = |place: usize| fields.get(place).copied().unwrap_or_default();
        let time = field(self.time);
        let second = time.parse().map_err(|_| eyre!("ts is {time:?}; Unix seconds are expected"))?;
        check_seconds(second)?;
        let price = |place: &usize| {
            let name = self.names.get(*place).map_or("", String::as_str);
            price(field(*place)).wrap_err_with(|| format!("column {name}"))
        };
        let prices = self.prices.iter().map(price).collect::<eyre::Result<Vec<_>>>()?;
        let path = if let [open, high, low, close] = *prices {
            let [least, most] = [open.min(close), open.max(close)];
            ensure!(low <= least && most <= high, "open and close do not lie between low and high");
            if close >= open { vec![open, low, high, close] } else { vec![open, high, low, close] }
        } else {
            prices
        };
        Ok(Row { second, path })
    }
}

/// A line: its time, and the prices that it passes through.
struct Row {
    second: u64,
    path: Vec<u128>,
}

impl Row {
    fn follows(&self, last: &Self) -> eyre::Result<()> {
        ensure!(self.second > last.second, "{} is not after {}, the time of the line before", self.second, last.second);
        let (Some(price), Some(before)) = (self.path.first(), last.path.last()) else { return Ok(()) };
        let [low, high] = [price.min(before), price.max(before)];
        ensure!(
            *high <= low.saturating_mul(ABSURD_FACTOR),
            "the price is more than {ABSURD_FACTOR} times that of the line before, or less than a {ABSURD_FACTOR}th; \
             if that is so, cut the file here"
        );
        Ok(())
    }
}

fn price(text: &str) -> eyre::Result<u128> {
    ensure!(!text.is_empty(), "the price is missing; drop the line or name another column");
    // Decimals beyond those of a feed are cut off.
    let cut = text.find('.').map_or(text, |point| text.get(..point + 1 + usize::from(PRICE_DECIMALS)).unwrap_or(text));
    let number = Decimal::from_str(cut).map_err(|error| eyre!("the price is {text:?}: {error}"))?;
    let price = number.scaled_to(PRICE_DECIMALS, "the price").ok();
    let price = price.filter(|price| (LOWEST_PRICE..=HIGHEST_PRICE).contains(price));
    price.wrap_err_with(|| format!("the price is {text}; one between 0.0001 and 1,000,000,000 is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CENT: u128 = 1_000_000;

    fn refusal(text: &str) -> String {
        format!("{:#}", Prices::parse(text, None).unwrap_err())
    }

    #[test]
    fn a_bar_moves_to_its_far_extreme_first_and_a_gap_between_bars_is_a_jump() {
        let prices = Prices::parse("ts,open,high,low,close\n600,10,16,7,13\n690,20,20,11,11\n", None).unwrap();
        let at = |second| prices.at(second) / CENT;
        assert_eq!([at(0), at(10), at(30), at(45), at(60), at(89)], [1000, 900, 700, 1150, 1600, 1310]);
        assert_eq!([at(90), at(120), at(135), at(150), at(180)], [2000, 2000, 1550, 1100, 1100]);
        assert_eq!((prices.begin(), prices.end()), (600, 180));
        assert_eq!((prices.first() / CENT, prices.lowest() / CENT), (1000, 700));
    }

    #[test]
    fn a_single_price_holds_until_the_next_line() {
        let text = "ts,utc,one,other\n0,,2000.123456789,1\n60,,1500,2\n";
        let prices = Prices::parse(text, None).unwrap();
        assert_eq!([prices.at(0), prices.at(59), prices.at(60)], [200_012_345_678, 200_012_345_678, 1500 * 100 * CENT]);
        assert_eq!(Prices::parse(text, Some("Other")).unwrap().at(60), 200 * CENT);
        let unread_twice = "ts,price,,\n0,2000,,\n60,1500,,\n";
        assert_eq!(Prices::parse(unread_twice, None).unwrap().at(60), 1500 * 100 * CENT);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let text = "ts,price\n1,2\n2,3\n";
        assert_eq!(Prices::parse(&format!("\u{feff}{text}"), None).unwrap(), Prices::parse(text, None).unwrap());
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_with_its_format() {
        for (bytes, told) in [
            (&[0x1f, 0x8b, 8, 0][..], "compressed by gzip: unpack it first, for example by `gunzip`"),
            (b"PK\x03\x04rest", "compressed by zip"),
            (b"\xfd7zXZ\0rest", "compressed by xz"),
            (b"\xff\xfet\0s\0", "UTF-16"),
            (b"ts,price\n1,\xff\n", "no text in UTF-8"),
        ] {
            let error = format!("{:#}", decode(bytes.to_vec()).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_long_gap_between_bars_is_reported_and_a_short_one_is_not() {
        let bars = |seconds: &[u64]| {
            let lines: String = seconds.iter().map(|second| format!("{second},5,6,4,5\n")).collect();
            Prices::parse(&format!("ts,open,high,low,close\n{lines}"), None).unwrap().gaps.map(|gaps| gaps.to_string())
        };
        assert_eq!(bars(&[0, 60, 240, 300]), None);
        let told = bars(&[0, 60, 660, 720]).unwrap();
        assert!(told.starts_with("9 bars of 60 seconds are missing, 9 of them after 60;"), "{told}");
    }

    #[test]
    fn an_unusable_file_is_refused_with_the_line_and_the_mistake() {
        for (text, told) in [
            ("", "line 1: the file is empty"),
            ("time,price\n1,2\n", "line 1: there is no column ts, only time, price"),
            ("ts,utc\n1,2\n", "line 1: there is no column with a price"),
            ("ts,price\n1,2\n", "one price only"),
            ("ts,price\n1,2\n2\n", "line 3: there are 1 fields; the header has 2"),
            ("ts,price\n1,2\nnoon,2\n", "line 3: ts is \"noon\""),
            ("ts,price\n1,2\n\n2,0\n", "line 4: column price: the price is 0;"),
            ("ts,price\n1,2\n2,\n", "line 3: column price: the price is missing"),
            ("ts,price\n1,2\n2,-3\n", "line 3: column price: the price is \"-3\""),
            ("ts,price\n1,2\n2,cheap\n", "line 3: column price: the price is \"cheap\""),
            ("ts,price\n1,2\n2,1000000000.5\n", "line 3: column price: the price is 1000000000.5; one between"),
            ("ts,price\n2,2\n2,3\n", "line 3: 2 is not after 2"),
            (
                "ts,price\n1600000000000,2\n",
                "line 2: ts is 1600000000000, which must be milliseconds; Unix seconds are expected, 1600000000 here",
            ),
            ("ts,price\n1600000000000000,2\n", "which must be microseconds"),
            ("ts,price,Price\n1,2,3\n", "line 1: 2 columns are named \"price\"; rename or remove all but one"),
            ("ts,ts,price\n1,2,3\n", "line 1: 2 columns are named \"ts\""),
            ("ts,price\n2,2\n3,21\n", "line 3: the price is more than 10 times"),
            ("ts,price\n0,2\n99999999,2\n", "more than a year"),
            ("ts,open,high,low,close\n1,5,6,4,7\n", "line 2: open and close do not lie between"),
        ] {
            let error = refusal(text);
            assert!(error.contains(told), "{text:?}: {error}");
        }
        assert!(format!("{:#}", Prices::parse("ts,a\n1,2\n2,2\n", Some("b")).unwrap_err()).contains("no column b"));
    }
}
