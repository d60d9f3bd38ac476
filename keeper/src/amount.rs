//! Token amounts, prices and health factors, formatted for people and serialised for programs.
//!
//! For people (`Display`) a number has the digits that say something; the others are cut off, never rounded up, so that a
//! health factor below 1 is never shown as 1. For programs (`exact`, JSON) every digit is there, as text.

use std::fmt;

use alloy::primitives::{I256, U256};
use plimsoll_contracts::quantity::decimal_text;
use serde::{Serialize, Serializer, ser::SerializeStruct};

/// Decimals that are shown of a number of at least 1, and significant digits that are shown of a smaller one.
const SHOWN_DIGITS: usize = 4;
/// A number with at least this many digits before the point is shown without decimals.
const LONG_DIGITS: usize = 6;
/// Oracle prices are scaled by 1e36.
const PRICE_DECIMALS: u8 = 36;
/// Decimals of every chain's native currency.
pub const NATIVE_DECIMALS: u8 = 18;
/// Health factors are scaled by 1e18.
const WAD_DECIMALS: u8 = 18;

/// An amount of a token, or of the chain's native currency.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amount {
    /// Amount in the token's smallest units.
    pub units: U256,
    /// Decimals of the token.
    pub decimals: u8,
    /// Symbol or name of the token.
    pub token: String,
}

/// An amount that may be negative, such as a profit or loss.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Balance {
    /// Amount in the token's smallest units.
    pub units: I256,
    /// Decimals of the token.
    pub decimals: u8,
    /// Symbol or name of the token.
    pub token: String,
}

/// A market's price, shown as whole loan tokens for one whole collateral token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Price as oracles return it: units of the loan token per unit of the collateral token, 1e36-scaled.
    pub raw: U256,
    /// Decimals of the collateral token.
    pub collateral_decimals: u8,
    /// Decimals of the loan token.
    pub loan_decimals: u8,
}

/// A health factor: value of the collateral × liquidation LTV ÷ debt, 1e18-scaled.
///
/// A position is liquidatable where it is below 1. It is `U256::MAX` where there is no debt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Health(pub U256);

impl Amount {
    /// Returns an amount of `units`; the largest amount where `units` does not fit 256 bits.
    pub fn new(units: impl TryInto<U256>, decimals: u8, token: impl Into<String>) -> Self {
        Self { units: units.try_into().unwrap_or(U256::MAX), decimals, token: token.into() }
    }

    /// Returns an amount of the chain's native currency, whose symbol is `coin`.
    #[must_use]
    pub fn of_wei(wei: U256, coin: &str) -> Self {
        Self::new(wei, NATIVE_DECIMALS, coin)
    }

    /// Returns all digits as a decimal number, without the token.
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
    /// Returns all digits as a decimal number, without the token.
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
    /// Returns all digits as a decimal number; `None` at 0 and at `U256::MAX`, which stand for no price and every price.
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
    /// Returns all digits as a decimal number; `None` where there is no debt.
    #[must_use]
    pub fn exact(self) -> Option<String> {
        (self.0 != U256::MAX).then(|| decimal_text(self.0, WAD_DECIMALS))
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exact() {
            // Cut, not rounded: a liquidatable position must not be shown with a health factor of 1.
            Some(digits) => f.write_str(&cut(&digits, SHOWN_DIGITS)),
            None => f.write_str("∞"),
        }
    }
}

/// Formats a number with a noun: `1 loan`, `1,200 loans`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", readable(&number.to_string()))
}

/// Formats a decimal number for people: thousands grouped by commas, and no more decimals than are useful. Digits are
/// cut off, never rounded up.
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

/// Returns a decimal number with exactly so many decimals; further ones are cut off.
fn cut(digits: &str, decimals: usize) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    format!("{whole}.{:0<decimals$}", fraction.get(..decimals).unwrap_or(fraction))
}

/// Serialises an amount for programs: every digit as text, and the token.
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
    fn a_noun_is_in_the_plural_but_for_one() {
        assert_eq!([0, 1, 1_200].map(|number| counted(number, "loan")), ["0 loans", "1 loan", "1,200 loans"]);
    }

    #[test]
    fn shown_numbers_are_cut_and_never_rounded_up() {
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
    fn a_price_is_shown_in_whole_tokens() {
        let price = |raw: U256| Price { raw, collateral_decimals: 18, loan_decimals: 6 };
        let raw = U256::from(1_999_500_000_u64) * U256::from(10).pow(U256::from(18));
        assert_eq!(price(raw).exact().unwrap(), "1999.5");
        assert_eq!(price(U256::ZERO).to_string(), "none");
        assert_eq!(price(U256::MAX).to_string(), "every price");
        let odd = Price { raw: U256::from(3), collateral_decimals: 60, loan_decimals: 0 };
        assert_eq!(odd.exact().unwrap(), format!("3{}", "0".repeat(24)));
    }

    #[test]
    fn a_negative_balance_has_a_sign_and_json_has_every_digit() {
        let balance = Balance { units: I256::try_from(-1_500_000).unwrap(), decimals: 6, token: "USDC".into() };
        assert_eq!((balance.exact().as_str(), balance.to_string().as_str()), ("-1.5", "−1.5 USDC"));
        let json = serde_json::to_string(&Amount::new(1_500_000_u64, 6, "USDC")).unwrap();
        assert_eq!(json, r#"{"amount":"1.5","token":"USDC"}"#);
    }
}
