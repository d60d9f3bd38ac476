//! The quantities that settings are written in. All of them are read exactly, and shown as they would be written.

use std::{fmt, str::FromStr, time::Duration};

use alloy::primitives::{B256, U256};
use plimsoll_contracts::quantity::{Decimal, Seconds, decimal_text};

/// Decimals of every chain's coin.
const COIN_DECIMALS: u8 = 18;
/// Decimals of a coin's price in gwei.
const GWEI_DECIMALS: u8 = 9;
/// Hexadecimal digits of a private key.
const KEY_DIGITS: usize = 64;

/// An amount of the chain's coin: `"0.05"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coins(pub(super) U256);

impl FromStr for Coins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<Decimal>()?.scaled(COIN_DECIMALS).map(Self)
    }
}

impl fmt::Display for Coins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal_text(self.0, COIN_DECIMALS))
    }
}

/// A price of gas: `"2.5 gwei"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gwei(pub(super) u128);

impl FromStr for Gwei {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix("gwei");
        let number = number.ok_or_else(|| format!("\"{text}\" is not a price of gas: write \"2.5 gwei\""))?;
        number.trim().parse::<Decimal>()?.scaled_to(GWEI_DECIMALS, "a price of gas").map(Self)
    }
}

impl fmt::Display for Gwei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} gwei", decimal_text(U256::from(self.0), GWEI_DECIMALS))
    }
}

/// A health, 1e18 for 1: `"1.1"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Health(pub(super) U256);

impl FromStr for Health {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<Decimal>()?.scaled(18).map(Self)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal_text(self.0, 18))
    }
}

/// A part, in basis points, that may be more than the whole: `"150%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Percent(pub(super) u32);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        plimsoll_contracts::quantity::percent(text)?.scaled_to(2, "a part").map(Self)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", decimal_text(U256::from(self.0), 2))
    }
}

/// A length of time, from milliseconds up: `"250 ms"`, `"12 seconds"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = text.trim().strip_suffix("ms") {
            let number =
                number.trim().parse().map_err(|_| format!("\"{text}\" is not a length of time: write \"250 ms\""))?;
            return Ok(Self(Duration::from_millis(number)));
        }
        let Seconds(seconds) = text.parse().map_err(|problem: String| format!("{problem}, or \"250 ms\""))?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(7 * 86_400, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute")];
        if self.0.subsec_millis() != 0 {
            return write!(f, "{} ms", self.0.as_millis());
        }
        let seconds = self.0.as_secs();
        let whole = UNITS.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
        let (number, unit) = whole.map_or((seconds, "second"), |(unit, name)| (seconds / unit, *name));
        write!(f, "{number} {unit}{}", if number == 1 { "" } else { "s" })
    }
}

/// The name of an environment variable. A key that was put in its place is refused without repeating it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable(pub(super) String);

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if is_word && begins_well && text.len() < KEY_DIGITS {
            return Ok(Self(text.to_owned()));
        }
        Err("this must be the name of an environment variable, in letters, digits and underscores; the secret itself \
             belongs into that variable"
            .to_owned())
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.replace('_', "").parse().map(Self).map_err(|_| format!("\"{text}\" is not a whole number"))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(pub(super) B256);

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("\"{text}\" is not 0x and 64 hexadecimal digits"))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl FromStr for Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An enum that is written as one of a few words.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("\"{text}\" is none of {}", [$($word),+].join(", "))),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}
pub(super) use words;
