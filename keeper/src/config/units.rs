//! Quantities as they are written in settings, for `#[serde(deserialize_with = "…")]`. All of them are parsed from text,
//! exactly; those with a type parameter read an `Option` as well.

use std::{net::SocketAddr, time::Duration};

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::quantity::{self, BasisPoints, Decimal, Reference, Seconds, decimal_text};
use serde::{Deserialize, Deserializer, de::Error};
use url::Url;

/// Decimals of every chain's native currency, and of numbers that are scaled by 1e18.
const WAD_DECIMALS: u8 = 18;
/// Decimals of a price in gwei.
const GWEI_DECIMALS: u8 = 9;
/// Hexadecimal digits of a private key.
const KEY_DIGITS: usize = 64;

fn parsed<'de, D: Deserializer<'de>, V, T: From<V>>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<V, String>,
) -> Result<T, D::Error> {
    parse(&String::deserialize(deserializer)?).map(T::from).map_err(D::Error::custom)
}

/// Reads a decimal number scaled by 1e18, such as an amount of the native currency in wei or a health factor: `"0.05"`.
pub(super) fn wad<'de, D: Deserializer<'de>, T: From<U256>>(deserializer: D) -> Result<T, D::Error> {
    parsed(deserializer, |text| text.parse::<Decimal>()?.scaled(WAD_DECIMALS))
}

/// Writes a number as [`wad`] reads it.
pub(super) fn wad_text(wad: U256) -> String {
    decimal_text(wad, WAD_DECIMALS)
}

/// Reads a gas price in wei: `"2.5 gwei"`.
pub(super) fn gwei<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    parsed(deserializer, |text| {
        let number = text.trim().strip_suffix("gwei");
        let number = number.ok_or_else(|| format!("\"{text}\" is not a gas price: write \"2.5 gwei\""))?;
        number.trim().parse::<Decimal>()?.scaled_to::<u128>(GWEI_DECIMALS, "a gas price")
    })
}

/// Reads the address of a web site, without the slash at its end: `"https://etherscan.io"`. It is shown as a link.
pub(super) fn web_address<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<T, D::Error> {
    parsed(deserializer, |text| {
        let url = text.parse::<Url>().map_err(|error| format!("\"{text}\" is not the address of a site: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("\"{text}\" is not the address of a site: it must begin with https://"));
        }
        Ok(text.trim().trim_end_matches('/').to_owned())
    })
}

/// Reads a part in basis points, which may exceed the whole: `"150%"`.
pub(super) fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    parsed(deserializer, |text| quantity::percent(text)?.scaled_to::<u32>(2, "a part"))
}

/// Reads a part of a whole in basis points: `"45%"`.
pub(super) fn basis_points<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    parsed(deserializer, |text| text.parse().map(|BasisPoints(part)| part))
}

/// Reads a duration: `"250 ms"`, `"12 seconds"`.
pub(super) fn time<'de, D: Deserializer<'de>, T: From<Duration>>(deserializer: D) -> Result<T, D::Error> {
    parsed(deserializer, |text| {
        if let Some(number) = text.trim().strip_suffix("ms") {
            let number = number.trim().parse().map_err(|_| format!("\"{text}\" is not a duration: write \"250 ms\""));
            return number.map(Duration::from_millis);
        }
        let Seconds(seconds) = text.parse().map_err(|problem: String| format!("{problem}, or \"250 ms\""))?;
        Ok(Duration::from_secs(seconds))
    })
}

/// Writes a duration as [`time`] reads it.
pub(super) fn time_text(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} seconds", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}

/// Reads an address, 0x and 40 hexadecimal digits; mixed case is a checksum (EIP-55) and must be right.
pub(super) fn address<'de, D: Deserializer<'de>, T: From<Address>>(deserializer: D) -> Result<T, D::Error> {
    parsed(deserializer, |text| match text.parse()? {
        Reference::Address(address) => Ok(address),
        Reference::Name(_) => Err("this must be an address: 0x and 40 hexadecimal digits".to_owned()),
    })
}

/// Reads 32 bytes: 0x and 64 hexadecimal digits.
pub(super) fn hash<'de, D: Deserializer<'de>, T: From<B256>>(deserializer: D) -> Result<T, D::Error> {
    parsed(deserializer, |text| {
        text.parse::<B256>().map_err(|_| format!("\"{text}\" is not 0x and 64 hexadecimal digits"))
    })
}

/// Reads an address to listen on, or `"off"`.
pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    parsed(deserializer, |text| match (text, text.parse()) {
        ("off", _) => Ok(None),
        (_, Ok(address)) => Ok(Some(address)),
        (_, Err(_)) => Err(format!("\"{text}\" is no place to listen: write \"127.0.0.1:9464\", or \"off\"")),
    })
}

/// Reads the name of an environment variable. A key that was written in its place is refused without repeating it.
pub(super) fn variable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    parsed(deserializer, |text| {
        is_variable(text).then(|| text.to_owned()).ok_or_else(|| {
            "this must be the name of an environment variable, in letters, digits and underscores; the secret itself \
             belongs in that variable"
                .to_owned()
        })
    })
}

/// Whether a text can be the name of an environment variable and cannot be a private key.
pub(super) fn is_variable(text: &str) -> bool {
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_word && text.starts_with(|c: char| !c.is_ascii_digit()) && text.len() < KEY_DIGITS
}
