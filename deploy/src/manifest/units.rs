//! Quantities as people write them – `"80%"`, `"7 days"`, `"1000.5 USDC"`, `"4% at 90%"` – read exactly: digits are
//! counted, never rounded, and no floating point is involved. Every refusal says what would have been understood.

use std::{fmt, str::FromStr};

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::market::{BPS, SECONDS_PER_YEAR};

/// More digits than any amount of any token has.
const MAX_DIGITS: usize = 60;
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A decimal number, exactly as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    digits: U256,
    decimals: u8,
}

impl Decimal {
    /// The number times ten to the power of `decimals`. Fails where that is not whole, since rounding money is not
    /// ours.
    pub fn scaled(&self, decimals: u8) -> Result<U256, String> {
        if let Some(more) = decimals.checked_sub(self.decimals) {
            let power = U256::from(10).checked_pow(U256::from(more));
            return power
                .and_then(|power| self.digits.checked_mul(power))
                .ok_or_else(|| format!("{self} with {decimals} decimals does not fit 256 bits"));
        }
        let divisor = U256::from(10).pow(U256::from(self.decimals - decimals));
        let (whole, rest) = self.digits.div_rem(divisor);
        if rest.is_zero() { Ok(whole) } else { Err(format!("{self} has more than the {decimals} decimals there are")) }
    }

    /// The number times `scale` as a smaller integer.
    fn times_power<T: TryFrom<U256>>(&self, decimals: u8, what: &str) -> Result<T, String> {
        T::try_from(self.scaled(decimals)?).map_err(|_| format!("{self} is too much for {what}"))
    }
}

impl FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a number: write one like 1000.5 or 1_000");
        let plain: String = text.trim().chars().filter(|&c| c != '_').collect();
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        let all_digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || plain.ends_with('.') {
            return Err(wrong());
        }
        let fraction = fraction.trim_end_matches('0');
        if whole.len() + fraction.len() > MAX_DIGITS {
            return Err(format!("\"{text}\" has more than {MAX_DIGITS} digits"));
        }
        let digits = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
        Ok(Self { digits, decimals: u8::try_from(fraction.len()).map_err(|_| wrong())? })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal_text(self.digits, self.decimals))
    }
}

/// Units of a token as a decimal number of whole tokens.
#[must_use]
pub fn decimal_text(units: U256, decimals: u8) -> String {
    let digits = format!("{units:0>width$}", width = usize::from(decimals) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(decimals));
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

/// An amount of a token, with the token's name if it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// How many whole tokens.
    pub number: Decimal,
    /// Of which.
    pub token: Option<String>,
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, token) = match text.trim().split_once(char::is_whitespace) {
            Some((number, token)) => (number, Some(token.trim().to_owned())),
            None => (text, None),
        };
        let number = number.parse().map_err(|problem| format!("{problem}, or with a token's name: \"100 USDC\""))?;
        Ok(Self { number, token })
    }
}

fn percent(text: &str) -> Result<Decimal, String> {
    let number = text.trim().strip_suffix('%').ok_or_else(|| format!("\"{text}\" lacks its %: write \"80%\""))?;
    number.parse()
}

/// A part, in basis points; a finer one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasisPoints(pub u16);

impl FromStr for BasisPoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bps: u16 = percent(text)?.times_power(2, "a part")?;
        if u32::from(bps) > BPS { Err(format!("{text} is more than 100%")) } else { Ok(Self(bps)) }
    }
}

/// The fee of a Uniswap V3 pool, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolFee(pub u32);

impl FromStr for PoolFee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match percent(text)?.times_power(4, "a pool's fee")? {
            fee @ (100 | 500 | 3_000 | 10_000) => Ok(Self(fee)),
            _ => Err(format!("{text} is not a fee that pools have: 0.01%, 0.05%, 0.3% or 1%")),
        }
    }
}

/// A yearly rate at a utilisation: `"4% at 90%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// 1e18-scaled, rounded down: what 1e18 does not show, a market does not earn.
    pub per_second: u64,
    /// The utilisation.
    pub target_bps: u16,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rate, target) = text.split_once(" at ").ok_or_else(|| {
            format!(
                "\"{text}\" is not a rate at a utilisation: write \"4% at 90%\" for 4% a year while 90% is lent out"
            )
        })?;
        let yearly: u128 = percent(rate)?.times_power(16, "a yearly rate")?;
        let per_second =
            u64::try_from(yearly / u128::from(SECONDS_PER_YEAR)).map_err(|_| format!("{rate} is too much"))?;
        Ok(Self { per_second, target_bps: target.parse::<BasisPoints>()?.0 })
    }
}

/// A factor, 10,000 for 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multiple(pub u32);

impl FromStr for Multiple {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.parse::<Decimal>()?.times_power(4, "a multiple")?))
    }
}

/// A speed, 10,000 for 1 a year: `"50 per year"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed(pub u32);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix("per year").ok_or_else(|| {
            format!("\"{text}\" is not a speed: write \"50 per year\", or \"0 per year\" for a plain curve")
        })?;
        Ok(Self(number.parse::<Decimal>()?.times_power(4, "a speed")?))
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub u64);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not a length of time: write \"90 seconds\", \"70 minutes\", \"1 hour\", \"7 days\" or \"2 weeks\""
            )
        };
        let (number, unit) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = match unit.trim().trim_end_matches('s') {
            "second" => 1,
            "minute" => 60,
            "hour" => 60 * 60,
            "day" => SECONDS_PER_DAY,
            "week" => 7 * SECONDS_PER_DAY,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

/// How old an answer may be, or `"unbounded"`.
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

/// The day on which a week of rewards begins, always a Thursday: as the number of weeks since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl FromStr for Epoch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a day: write \"2027-01-07\"");
        let parts: Vec<u64> = text.trim().split('-').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let &[year, month, day] = parts.as_slice() else { return Err(wrong()) };
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return Err(wrong());
        }
        let years: u64 = (1970..year).map(|year| (1..=12).map(|month| days_in(year, month)).sum::<u64>()).sum();
        let days = years + (1..month).map(|month| days_in(year, month)).sum::<u64>() + day - 1;
        match days % 7 {
            0 => Ok(Self(days / 7)),
            past => {
                Err(format!("{text} is {past} days after a Thursday, and weeks of rewards begin on Thursdays (UTC)"))
            }
        }
    }
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// An address, or the name of something that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Written out; mixed upper and lower case is a checksum and must be right.
    Address(Address),
    /// By name.
    Name(String),
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with("0x") {
            return Ok(Self::Name(text.to_owned()));
        }
        let address: Address =
            text.parse().map_err(|_| format!("{text} is not an address: 0x and 40 hexadecimal digits"))?;
        let digits = &text[2..];
        let has_checksum = digits != digits.to_ascii_lowercase() && digits != digits.to_ascii_uppercase();
        if has_checksum && address.to_checksum(None) != text {
            return Err(format!("{text} is mistyped: its upper and lower case letters do not fit its digits (EIP-55)"));
        }
        if address.is_zero() {
            return Err("the zero address belongs to nobody".to_owned());
        }
        Ok(Self::Address(address))
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
    fn amounts_are_exact_or_refused() {
        let units = |text: &str, decimals| read::<Amount>(text).and_then(|amount| amount.number.scaled(decimals));
        assert_eq!(units("1000.5", 6), Ok(U256::from(1_000_500_000)));
        assert_eq!(units("1_000.500000 USDC", 6), Ok(U256::from(1_000_500_000)));
        assert_eq!(units("0.000001", 6), Ok(U256::from(1)));
        assert!(units("0.0000001", 6).unwrap_err().contains("more than the 6 decimals"));
        assert_eq!(units("3", 0), Ok(U256::from(3)));
        for wrong in ["", ".5", "5.", "1e6", "-1", "1,5", "٣"] {
            assert!(units(wrong, 18).is_err(), "{wrong}");
        }
        assert!(units(&"9".repeat(61), 0).is_err());
        assert!(units(&"9".repeat(60), 36).unwrap_err().contains("256 bits"));
    }

    #[test]
    fn units_are_told_as_people_write_them() {
        assert_eq!(decimal_text(U256::from(1_000_500_000), 6), "1000.5");
        assert_eq!(decimal_text(U256::from(1), 18), "0.000000000000000001");
        assert_eq!(decimal_text(U256::ZERO, 6), "0");
        assert_eq!(decimal_text(U256::from(7), 0), "7");
    }

    #[test]
    fn rates_are_as_the_contract_counts_them() {
        let rate: Rate = "4% at 90%".parse().unwrap();
        assert_eq!(rate, Rate { per_second: 40_000_000_000_000_000 / SECONDS_PER_YEAR, target_bps: 9_000 });
        assert!(read::<Rate>("4%").unwrap_err().contains("\"4% at 90%\""));
        assert!(read::<Rate>("4 at 90%").unwrap_err().contains('%'));
        assert_eq!(read("4.5"), Ok(Multiple(45_000)));
        assert_eq!(read("50 per year"), Ok(Speed(500_000)));
        assert!(read::<Speed>("50").is_err());
    }

    #[test]
    fn parts_finer_than_a_basis_point_are_refused() {
        assert_eq!(read("86%"), Ok(BasisPoints(8_600)));
        assert_eq!(read("0.01%"), Ok(BasisPoints(1)));
        assert!(read::<BasisPoints>("0.001%").is_err());
        assert!(read::<BasisPoints>("100.01%").is_err());
        assert!(read::<BasisPoints>("0.8").unwrap_err().contains("lacks its %"));
        assert_eq!(read("0.05%"), Ok(PoolFee(500)));
        assert!(read::<PoolFee>("0.2%").is_err());
    }

    #[test]
    fn times_carry_their_unit() {
        assert_eq!(read("7 days"), Ok(Seconds(604_800)));
        assert_eq!(read("1 hour"), Ok(Seconds(3_600)));
        assert_eq!(read("unbounded"), Ok(MaxAge(u32::MAX)));
        for wrong in ["7", "days", "7 fortnights", "-1 days", "99999999999999999999 days", "18446744073709551615 weeks"]
        {
            assert!(read::<Seconds>(wrong).is_err(), "{wrong}");
        }
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
    fn a_mistyped_address_is_refused() {
        assert!(matches!(read("0x4e59b44847b379578588920cA78FbF26c0B4956C"), Ok(Reference::Address(_))));
        assert!(matches!(read("0x4e59b44847b379578588920ca78fbf26c0b4956c"), Ok(Reference::Address(_))));
        assert!(read::<Reference>("0x4e59B44847b379578588920cA78FbF26c0B4956C").unwrap_err().contains("EIP-55"));
        assert!(read::<Reference>("0x4e59").unwrap_err().contains("40 hexadecimal digits"));
        assert!(read::<Reference>(&format!("0x{}", "0".repeat(40))).is_err());
        assert_eq!(read("WETH"), Ok(Reference::Name("WETH".into())));
    }

    #[test]
    fn salts_are_numbers_or_bytes() {
        assert_eq!(read("1"), Ok(Salt(B256::with_last_byte(1))));
        assert_eq!(read("0xff"), Ok(Salt(B256::with_last_byte(255))));
        assert!(read::<Salt>("spring").is_err());
    }
}
