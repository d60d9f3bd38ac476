//! Quantities as written in manifests and configurations – `"80%"`, `"7 days"`, `"1000.5 USDC"`. They are parsed
//! exactly, without rounding or floating point. Every error states the accepted form.

use std::{fmt, str::FromStr};

use alloy::primitives::{Address, U256};

use crate::market::BPS;

/// The most digits of a number: more than any amount of any token has.
const MAX_DIGITS: usize = 60;
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A decimal number, exactly as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    digits: U256,
    decimals: u8,
}

impl Decimal {
    /// Returns the number times ten to the power of `decimals`. Fails if the result is not whole or exceeds 256 bits:
    /// amounts are never rounded.
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

    /// [`Decimal::scaled`] as another integer type. Fails if it does not fit; `what` names the quantity in the error.
    pub fn scaled_to<T: TryFrom<U256>>(&self, decimals: u8, what: &str) -> Result<T, String> {
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

/// Formats units of a token as a decimal number of whole tokens.
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
    /// The number of whole tokens.
    pub number: Decimal,
    /// The token's name, if one was written.
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

/// Parses a percentage such as `"80%"` to the number before the sign. Fails without a `%`.
pub fn percent(text: &str) -> Result<Decimal, String> {
    let number = text.trim().strip_suffix('%').ok_or_else(|| format!("\"{text}\" lacks its %: write \"80%\""))?;
    number.parse()
}

/// A part of a whole, in basis points. Parsing fails for a finer part and for more than 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasisPoints(pub u16);

impl FromStr for BasisPoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bps: u16 = percent(text)?.scaled_to(2, "a part")?;
        if u32::from(bps) > BPS { Err(format!("{text} is more than 100%")) } else { Ok(Self(bps)) }
    }
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", decimal_text(U256::from(self.0), 2))
    }
}

/// The fee of a Uniswap V3 pool, in millionths. Parsing fails for a fee that no pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolFee(pub u32);

impl FromStr for PoolFee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match percent(text)?.scaled_to(4, "a pool's fee")? {
            fee @ (100 | 500 | 3_000 | 10_000) => Ok(Self(fee)),
            _ => Err(format!("{text} is not a fee that pools have: 0.01%, 0.05%, 0.3% or 1%")),
        }
    }
}

impl fmt::Display for PoolFee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", decimal_text(U256::from(self.0), 4))
    }
}

/// A duration in whole seconds, parsed from text such as `"7 days"`.
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

/// In the largest unit of which it is a whole number.
impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(SECONDS_PER_DAY, "day"), (60 * 60, "hour"), (60, "minute")];
        let (unit, name) =
            units.into_iter().find(|(unit, _)| self.0 != 0 && self.0.is_multiple_of(*unit)).unwrap_or((1, "second"));
        let number = self.0 / unit;
        write!(f, "{number} {name}{}", if number == 1 { "" } else { "s" })
    }
}

/// An address, or the name of a contract or token in the same document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// An address. Mixed upper and lower case is a checksum and must be right.
    Address(Address),
    /// A name.
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

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
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
    fn units_are_formatted_as_decimal_numbers() {
        assert_eq!(decimal_text(U256::from(1_000_500_000), 6), "1000.5");
        assert_eq!(decimal_text(U256::from(1), 18), "0.000000000000000001");
        assert_eq!(decimal_text(U256::ZERO, 6), "0");
        assert_eq!(decimal_text(U256::from(7), 0), "7");
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
    fn durations_need_a_unit() {
        assert_eq!(read("7 days"), Ok(Seconds(604_800)));
        assert_eq!(read("1 hour"), Ok(Seconds(3_600)));
        for wrong in ["7", "days", "7 fortnights", "-1 days", "99999999999999999999 days", "18446744073709551615 weeks"]
        {
            assert!(read::<Seconds>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_shown_in_their_largest_whole_unit() {
        for (seconds, text) in
            [(0, "0 seconds"), (1, "1 second"), (90, "90 seconds"), (4_200, "70 minutes"), (3_600, "1 hour")]
        {
            assert_eq!(Seconds(seconds).to_string(), text);
            assert_eq!(text.parse::<Seconds>().unwrap(), Seconds(seconds));
        }
        assert_eq!(Seconds(14 * SECONDS_PER_DAY).to_string(), "14 days");
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
}
