//! Quantities as people read them: exact digits where they fit, cut – never rounded up – where they do not.

use std::fmt;

use alloy::primitives::{I256, U256};
use plimsoll_contracts::quantity::decimal_text;
use serde::{Serialize, Serializer, ser::SerializeStruct};

/// Digits that are shown behind the point of a number of at least 1, and digits that count of a smaller one.
const SHOWN_DIGITS: usize = 4;
/// Numbers with so many digits before the point are shown without any behind it.
const LONG_DIGITS: usize = 6;
/// By how many powers of ten prices and healths are scaled.
const PRICE_DECIMALS: u8 = 36;
const WAD_DECIMALS: u8 = 18;

/// An amount of a token or coin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amount {
    /// In the smallest units.
    pub units: U256,
    /// Of how many decimals.
    pub decimals: u8,
    /// Of what.
    pub token: String,
}

/// An amount that may be owed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Balance {
    /// In the smallest units.
    pub units: I256,
    /// Of how many decimals.
    pub decimals: u8,
    /// Of what.
    pub token: String,
}

/// How many whole loan tokens one whole collateral token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// As oracles say it: loan units per collateral unit, 1e36 for 1.
    pub raw: U256,
    /// Decimals of the collateral token.
    pub collateral_decimals: u8,
    /// Decimals of the loan token.
    pub loan_decimals: u8,
}

/// A health: 1e18 for 1, the largest number where nothing is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Health(pub U256);

impl Amount {
    /// Units of a token.
    pub fn new(units: impl TryInto<U256>, decimals: u8, token: impl Into<String>) -> Self {
        Self { units: units.try_into().unwrap_or(U256::MAX), decimals, token: token.into() }
    }

    /// All digits, without the token.
    #[must_use]
    pub fn exact(&self) -> String {
        decimal_text(self.units, self.decimals)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", readable(&self.exact()), self.token)
    }
}

impl Balance {
    /// All digits, without the token.
    #[must_use]
    pub fn exact(&self) -> String {
        let sign = if self.units.is_negative() { "-" } else { "" };
        format!("{sign}{}", decimal_text(self.units.unsigned_abs(), self.decimals))
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units.is_negative() { "−" } else { "" };
        let digits = readable(&decimal_text(self.units.unsigned_abs(), self.decimals));
        write!(f, "{sign}{digits} {}", self.token)
    }
}

impl Price {
    /// All digits; `None` where there is no such price: at 0, and beyond every price.
    #[must_use]
    pub fn exact(&self) -> Option<String> {
        if self.raw.is_zero() || self.raw == U256::MAX {
            return None;
        }
        // Loan units per collateral unit become loan tokens per collateral token.
        let decimals = PRICE_DECIMALS.saturating_add(self.loan_decimals);
        let (raw, decimals) = match decimals.checked_sub(self.collateral_decimals) {
            Some(decimals) => (self.raw, decimals),
            None => {
                let power = U256::from(10).pow(U256::from(self.collateral_decimals - decimals));
                (self.raw.saturating_mul(power), 0)
            }
        };
        Some(decimal_text(raw, decimals))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exact() {
            Some(digits) => f.write_str(&readable(&digits)),
            None if self.raw.is_zero() => f.write_str("none"),
            None => f.write_str("every price"),
        }
    }
}

impl Health {
    /// All digits; `None` where nothing is owed.
    #[must_use]
    pub fn exact(self) -> Option<String> {
        (self.0 != U256::MAX).then(|| decimal_text(self.0, WAD_DECIMALS))
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exact() {
            // Cut, so that what is below 1 never looks like 1.
            Some(digits) => f.write_str(&cut(&digits, SHOWN_DIGITS)),
            None => f.write_str("∞"),
        }
    }
}

/// A decimal number with groups of thousands, and no more digits than say something.
#[must_use]
pub fn readable(digits: &str) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let shown = if whole.len() >= LONG_DIGITS {
        0
    } else if whole == "0" {
        fraction.len() - fraction.trim_start_matches('0').len() + SHOWN_DIGITS
    } else {
        SHOWN_DIGITS.saturating_sub(whole.len() / 2)
    };
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.get(..shown).unwrap_or(fraction).trim_end_matches('0');
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

fn cut(digits: &str, decimals: usize) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    format!("{whole}.{:0<decimals$}", fraction.get(..decimals).unwrap_or(fraction))
}

/// What is written for programs: every digit, as a text, beside its token.
fn serialize_tokens<S: Serializer>(serializer: S, exact: &str, token: &str) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_struct("Amount", 2)?;
    object.serialize_field("amount", exact)?;
    object.serialize_field("token", token)?;
    object.end()
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_tokens(serializer, &self.exact(), &self.token)
    }
}

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_tokens(serializer, &self.exact(), &self.token)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.exact().serialize(serializer)
    }
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.exact().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_and_never_rounded_up() {
        for (exact, shown) in [
            ("1234567.891", "1,234,567"),
            ("1999.99999", "1,999.99"),
            ("0.000123456", "0.0001234"),
            ("1.5", "1.5"),
            ("0", "0"),
            ("12", "12"),
            ("100000", "100,000"),
        ] {
            assert_eq!(readable(exact), shown);
        }
        let health = Health(U256::from(999_999_999_999_999_999_u64));
        assert_eq!(health.to_string(), "0.9999");
        assert_eq!(Health(U256::from(1_100_000_000_000_000_000_u64)).to_string(), "1.1000");
        assert_eq!(Health(U256::MAX).to_string(), "∞");
    }

    #[test]
    fn a_price_is_told_in_whole_tokens() {
        let price = |raw: U256| Price { raw, collateral_decimals: 18, loan_decimals: 6 };
        let raw = U256::from(1_999_500_000_u64) * U256::from(10).pow(U256::from(18));
        assert_eq!(price(raw).exact().unwrap(), "1999.5");
        assert_eq!(price(U256::ZERO).to_string(), "none");
        assert_eq!(price(U256::MAX).to_string(), "every price");
        let odd = Price { raw: U256::from(3), collateral_decimals: 60, loan_decimals: 0 };
        assert_eq!(odd.exact().unwrap(), format!("3{}", "0".repeat(24)));
    }

    #[test]
    fn what_is_owed_has_a_sign() {
        let balance = Balance { units: I256::try_from(-1_500_000).unwrap(), decimals: 6, token: "USDC".into() };
        assert_eq!((balance.exact().as_str(), balance.to_string().as_str()), ("-1.5", "−1.5 USDC"));
        let json = serde_json::to_string(&Amount::new(1_500_000_u64, 6, "USDC")).unwrap();
        assert_eq!(json, r#"{"amount":"1.5","token":"USDC"}"#);
    }
}
