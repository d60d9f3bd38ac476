//! Formats seconds for people: dates in UTC, and durations.

use plimsoll_keeper::date::date_of;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Seconds of a day.
pub const DAY: u64 = 24 * HOUR;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Formats a Unix timestamp as `2020-03-12 10:43`.
#[must_use]
pub fn date_and_time(unix: u64) -> String {
    format!("{} {}", date_of(unix / DAY), time(unix))
}

/// Formats the date of a Unix timestamp as `12 Mar`.
#[must_use]
pub fn day(unix: u64) -> String {
    let date = date_of(unix / DAY);
    let mut parts = date.rsplit('-').map(|part| part.parse::<usize>().unwrap_or_default());
    let (day, month) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{day} {}", month.checked_sub(1).and_then(|month| MONTHS.get(month)).copied().unwrap_or_default())
}

/// Formats the time of a Unix timestamp as `10:43`.
#[must_use]
pub fn time(unix: u64) -> String {
    format!("{:02}:{:02}", unix % DAY / HOUR, unix % HOUR / MINUTE)
}

/// Formats a duration in its two largest units: `2 days 3 h`, `12 min`.
#[must_use]
pub fn duration(seconds: u64) -> String {
    let [days, hours, minutes, rest] = [seconds / DAY, seconds % DAY / HOUR, seconds % HOUR / MINUTE, seconds % MINUTE];
    let days = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
    let (larger, smaller, none) = match seconds {
        0..MINUTE => return format!("{rest} s"),
        MINUTE..HOUR => (format!("{minutes} min"), format!("{rest} s"), rest == 0),
        HOUR..DAY => (format!("{hours} h"), format!("{minutes} min"), minutes == 0),
        _ => (days, format!("{hours} h"), hours == 0),
    };
    if none { larger } else { format!("{larger} {smaller}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_the_calendars_date() {
        for (unix, told) in [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_800, "2000-03-01 00:00"),
            (1_584_007_980, "2020-03-12 10:13"),
            (1_735_689_599, "2024-12-31 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(date_and_time(unix), told);
        }
        assert_eq!((day(1_584_007_980), time(1_584_007_980)), ("12 Mar".to_owned(), "10:13".to_owned()));
        let _ = date_and_time(u64::MAX);
    }

    #[test]
    fn a_duration_is_written_in_its_two_largest_units() {
        let told = [59, 60, 61, 3_600, 9_599, 86_400, 190_800].map(duration);
        assert_eq!(told, ["59 s", "1 min", "1 min 1 s", "1 h", "2 h 39 min", "1 day", "2 days 5 h"]);
    }
}
