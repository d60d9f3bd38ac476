//! Numbers, times and names as the dashboard shows them.

pub(super) use crate::amount::counted;

/// Formats basis points as a percentage with one decimal, cut: `12.3 %`.
pub(super) fn percent(bps: impl Into<i128>) -> String {
    let bps: i128 = bps.into();
    let sign = if bps < 0 { "−" } else { "" };
    let tenths = bps.unsigned_abs() / 10;
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

/// Formats a duration in its largest unit.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Formats a number with groups of thousands.
pub(super) fn count(number: u64) -> String {
    crate::amount::readable(&number.to_string())
}

/// Returns the name of a reason in words: `no_route` as "no route".
pub(super) fn words(reason: &str) -> String {
    if reason == "none" { "not decided yet".to_owned() } else { reason.replace('_', " ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shortened_for_people() {
        assert_eq!(percent(1_234_i64), "12.3 %");
        assert_eq!(percent(-5_i64), "−0.0 %");
        assert_eq!(ago(59), "59 s");
        assert_eq!(ago(7_200), "2 h");
        assert_eq!(words("no_route"), "no route");
    }
}
