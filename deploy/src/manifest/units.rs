//! Quantities that occur only in manifests: `"4% at 90%"`, `"50 per year"`, days on which epochs begin. They are exact, as
//! those of [`plimsoll_contracts::quantity`] are.

use std::{fmt, str::FromStr};

use alloy::primitives::{B256, U256};
pub use plimsoll_contracts::quantity::{Amount, BasisPoints, Decimal, PoolFee, Reference, Seconds, decimal_text};
use plimsoll_contracts::{market::SECONDS_PER_YEAR, quantity::percent};

/// A yearly rate at a utilisation: `"4% at 90%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Rate per second, scaled by 1e18 and rounded down.
    pub per_second: u64,
    /// Target utilisation in basis points.
    pub target_bps: u16,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rate, target) = text.split_once(" at ").ok_or_else(|| {
            format!(
                "\"{text}\" is not a rate at a utilisation: write \"4% at 90%\" for 4% a year at a utilisation of 90%"
            )
        })?;
        let yearly: u128 = percent(rate)?.scaled_to(16, "a yearly rate")?;
        let per_second =
            u64::try_from(yearly / u128::from(SECONDS_PER_YEAR)).map_err(|_| format!("{rate} is too much"))?;
        Ok(Self { per_second, target_bps: target.parse::<BasisPoints>()?.0 })
    }
}

/// A yearly rate: `"30%"`, as the rate per second, scaled by 1e18 and rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YearlyRate(pub u64);

impl FromStr for YearlyRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let yearly: u128 = percent(text)?.scaled_to(16, "a yearly rate")?;
        let per_second = yearly / u128::from(SECONDS_PER_YEAR);
        u64::try_from(per_second).map(Self).map_err(|_| format!("\"{text}\" is too high for a yearly rate"))
    }
}

/// A factor, scaled by 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multiple(pub u32);

impl FromStr for Multiple {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.parse::<Decimal>()?.scaled_to(4, "a multiple")?))
    }
}

/// A speed per year, scaled by 10,000: `"50 per year"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed(pub u32);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix("per year").ok_or_else(|| {
            format!("\"{text}\" is not a speed: write \"50 per year\", or \"0 per year\" for a plain curve")
        })?;
        Ok(Self(number.parse::<Decimal>()?.scaled_to(4, "a speed")?))
    }
}

/// Highest age of an answer in seconds; `u32::MAX` for `"unbounded"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxAge(pub u32);

impl FromStr for MaxAge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "unbounded" {
            return Ok(Self(u32::MAX));
        }
        let Seconds(age) = text.parse().map_err(|problem| format!("{problem}, or \"unbounded\""))?;
        u32::try_from(age).map(Self).map_err(|_| format!("{text} is too long: write \"unbounded\" for no bound"))
    }
}

/// Length of a reward epoch: a week. Epochs are counted from 1970.
pub const EPOCH_SECS: u64 = 7 * SECONDS_PER_DAY;
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
/// Last year with four digits.
const LAST_YEAR: u64 = 9999;
/// Decimals of a gwei in wei.
const GWEI_DECIMALS: u8 = 9;

/// A price of gas, in wei per unit: `"200 gwei"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GasPrice(pub u128);

impl FromStr for GasPrice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix("gwei");
        let number = number.ok_or_else(|| format!("\"{text}\" is not a price of gas: write \"200 gwei\""))?;
        Ok(Self(number.parse::<Decimal>()?.scaled_to(GWEI_DECIMALS, "a price of gas")?))
    }
}

impl fmt::Display for GasPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} gwei", decimal_text(U256::from(self.0), GWEI_DECIMALS))
    }
}

/// The day on which a week of rewards begins, always a Thursday, as the number of weeks since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl FromStr for Epoch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a day: write \"2027-01-07\"");
        let parts: Vec<u64> = text.trim().split('-').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let &[year, month, day] = parts.as_slice() else { return Err(wrong()) };
        if !(1970..=LAST_YEAR).contains(&year)
            || !(1..=12).contains(&month)
            || !(1..=days_in(year, month)).contains(&day)
        {
            return Err(wrong());
        }
        let years: u64 = (1970..year).map(days_in_year).sum();
        let days = years + (1..month).map(|month| days_in(year, month)).sum::<u64>() + day - 1;
        match days % 7 {
            0 => Ok(Self(days / 7)),
            past => {
                Err(format!("{text} is {past} days after a Thursday, and weeks of rewards begin on Thursdays (UTC)"))
            }
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0.saturating_mul(EPOCH_SECS));
        write!(f, "{year}-{month:02}-{day:02}")
    }
}

/// Formats a time in seconds since 1970 as a date and time in UTC.
#[must_use]
pub fn time_text(secs: u64) -> String {
    let (year, month, day) = date(secs);
    let minutes = secs % SECONDS_PER_DAY / 60;
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// Returns year, month and day of a time in seconds since 1970.
fn date(secs: u64) -> (u64, u64, u64) {
    let (mut year, mut month, mut days) = (1970, 1, secs / SECONDS_PER_DAY);
    while year < LAST_YEAR && days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    while month < 12 && days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

fn days_in_year(year: u64) -> u64 {
    (1..=12).map(|month| days_in(year, month)).sum()
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// 32 bytes, written as hexadecimal or as a small number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Salt(pub B256);

impl FromStr for Salt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("\"{text}\" is not a salt: a whole number, or 0x and up to 64 hexadecimal digits");
        let number = match text.strip_prefix("0x") {
            Some(digits) => U256::from_str_radix(digits, 16).map_err(wrong)?,
            None => U256::from_str_radix(text, 10).map_err(wrong)?,
        };
        Ok(Self(number.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: FromStr<Err = String>>(text: &str) -> Result<T, String> {
        text.parse()
    }

    #[test]
    fn rates_are_scaled_as_in_the_contract() {
        let rate: Rate = "4% at 90%".parse().unwrap();
        assert_eq!(rate, Rate { per_second: 40_000_000_000_000_000 / SECONDS_PER_YEAR, target_bps: 9_000 });
        assert!(read::<Rate>("4%").unwrap_err().contains("\"4% at 90%\""));
        assert!(read::<Rate>("4 at 90%").unwrap_err().contains('%'));
        assert_eq!(read("4.5"), Ok(Multiple(45_000)));
        assert_eq!(read("50 per year"), Ok(Speed(500_000)));
        assert!(read::<Speed>("50").is_err());
    }

    #[test]
    fn an_age_may_have_no_bound() {
        assert_eq!(read("unbounded"), Ok(MaxAge(u32::MAX)));
        assert_eq!(read("1 hour"), Ok(MaxAge(3_600)));
        assert!(read::<MaxAge>("for ever").is_err());
    }

    #[test]
    fn weeks_of_rewards_begin_on_thursdays() {
        assert_eq!(read("1970-01-01"), Ok(Epoch(0)));
        assert_eq!(read("2027-01-07"), Ok(Epoch(1_799_280_000 / 604_800)));
        assert_eq!(read("2024-02-29"), Ok(Epoch(1_709_164_800 / 604_800)));
        assert!(read::<Epoch>("2027-01-08").unwrap_err().contains("1 days after a Thursday"));
        for wrong in ["2023-02-29", "2027-13-01", "tomorrow", "1969-12-25"] {
            assert!(read::<Epoch>(wrong).unwrap_err().contains("is not a day"), "{wrong}");
        }
    }

    #[test]
    fn days_and_times_are_written_as_people_read_them() {
        for day in ["1970-01-01", "2024-02-29", "2027-01-07", "2099-12-31"] {
            assert_eq!(read::<Epoch>(day).unwrap().to_string(), day);
        }
        assert_eq!(time_text(1_799_280_000 + 13 * 3_600 + 5 * 60 + 59), "2027-01-07 13:05 UTC");
        assert!(time_text(u64::MAX).starts_with("9999-12-"));
    }

    #[test]
    fn prices_of_gas_have_their_unit() {
        assert_eq!(read("200 gwei"), Ok(GasPrice(200_000_000_000)));
        assert_eq!(GasPrice(1_500_000_000).to_string(), "1.5 gwei");
        assert!(read::<GasPrice>("200").unwrap_err().contains("200 gwei"));
    }

    #[test]
    fn salts_are_numbers_or_bytes() {
        assert_eq!(read("1"), Ok(Salt(B256::with_last_byte(1))));
        assert_eq!(read("0xff"), Ok(Salt(B256::with_last_byte(255))));
        assert!(read::<Salt>("spring").is_err());
    }
}
