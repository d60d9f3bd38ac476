//! Formats seconds for people: dates in UTC, and durations.

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Seconds of a day.
pub const DAY: u64 = 24 * HOUR;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Formats a Unix timestamp as `2020-03-12 10:43`.
#[must_use]
pub fn date_and_time(unix: u64) -> String {
    let (year, month, day) = date(unix);
    format!("{year}-{month:02}-{day:02} {}", time(unix))
}

/// Formats the date of a Unix timestamp as `12 Mar`.
#[must_use]
pub fn day(unix: u64) -> String {
    let (_, month, day) = date(unix);
    let name = usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default();
    format!("{day} {name}")
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

/// Returns year, month and day. Internally years begin in March, so that a leap day is the last day of a year.
const fn date(unix: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    const DAYS_FROM_MARCH_OF_YEAR_0_TO_1970: u64 = 719_468;
    let days = unix / DAY + DAYS_FROM_MARCH_OF_YEAR_0_TO_1970;
    let of_era = days % DAYS_OF_400_YEARS;
    // Leap days so far: one in 1,461 days, but none in 36,524, but one in 146,096.
    let years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    // From March on, five months have 153 days.
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = days / DAYS_OF_400_YEARS * 400 + years + if month <= 2 { 1 } else { 0 };
    (year, month, day)
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
