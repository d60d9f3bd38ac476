//! Calendar dates, in UTC.

/// Seconds of a day of UTC.
pub const SECONDS_PER_DAY: u64 = 86_400;

/// Days of a cycle of 400 years, after which the calendar repeats.
const DAYS_PER_CYCLE: u64 = 146_097;
/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH: u64 = 719_468;

/// Returns the date of a day since 1970, such as `2026-02-28`, in the Gregorian calendar.
#[must_use]
pub fn date_of(day: u64) -> String {
    // Years are counted from March, so that a leap day is the last of its year.
    let days = day.saturating_add(EPOCH);
    let (cycle, day) = (days / DAYS_PER_CYCLE, days % DAYS_PER_CYCLE);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = cycle * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{of_month:02}")
}

/// Returns the day since 1970 of a date such as `2026-02-28`; `None` for any other text, and for a date that the calendar
/// does not have.
#[must_use]
pub fn day_of(date: &str) -> Option<u64> {
    let mut parts = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some()
        || !(1_970..10_000).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
    {
        return None;
    }
    let (march_year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let years = 365 * march_year + march_year / 4 - march_year / 100 + march_year / 400;
    let days = years.checked_add(of_year)?.checked_sub(EPOCH)?;
    // A day that its month does not have is one of the next month.
    (date_of(days) == format!("{year:04}-{month:02}-{day:02}")).then_some(days)
}

/// Returns a time in seconds since 1970 as in `2026-02-28T09:30:00Z`.
#[must_use]
pub fn time_of(timestamp: u64) -> String {
    let second = timestamp % SECONDS_PER_DAY;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", date_of(timestamp / SECONDS_PER_DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (day, date) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_512, "2026-02-28"),
            (20_513, "2026-03-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!((date_of(day).as_str(), day_of(date)), (date, Some(day)));
        }
        for day in 0..50_000 {
            assert_eq!(day_of(&date_of(day)), Some(day));
        }
        assert_eq!(time_of(1_795_858_200), "2026-11-28T09:30:00Z");
    }

    #[test]
    fn what_the_calendar_does_not_have_is_no_date() {
        for text in
            ["2026-02-29", "2026-02-30", "2026-13-01", "2026-00-01", "2026-01-00", "1969-12-31", "2026-01", "a-b-c", ""]
        {
            assert_eq!(day_of(text), None, "{text}");
        }
        assert_eq!(day_of("2026-1-1-1"), None);
        assert_eq!(day_of(&format!("2026-01-{}", u64::MAX)), None);
    }
}
