//! What is read of tokens, once: their decimals and symbols. Any contract may be a token, so that neither need be true.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, Bytes, U256},
    sol,
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::quantity::decimal_text;
use plimsoll_protocols::{NATIVE_COIN, PositionSummary};

use crate::{
    chain::Header,
    prices::{Call, ChainReader},
    report::watch::{WatchedAmount, WatchedBalance, WatchedLiquidation, WatchedPosition},
};

/// Gas for a view of a token.
const VIEW_GAS: u64 = 100_000;
/// Most decimals that are believed.
const MAX_DECIMALS: u8 = 36;
/// Most characters of a symbol that are shown.
const MAX_SYMBOL: usize = 12;
/// Exponent of the number of collateral units that a price is for.
const PRICE_DECIMALS: u8 = 36;
/// Decimals of the chain's own coin.
const COIN_DECIMALS: u8 = 18;
const BPS: i64 = 10_000;

sol! {
    interface ITokenMetadata {
        function decimals() external view returns (uint256);
        function symbol() external view returns (string memory);
    }
}

/// The tokens that were read.
#[derive(Debug, Default)]
pub(super) struct Tokens(BTreeMap<Address, Token>);

#[derive(Debug, Clone, Default)]
struct Token {
    decimals: Option<u8>,
    symbol: Option<String>,
}

impl Tokens {
    /// Reads those of the tokens that are not known yet.
    pub(super) async fn read(
        &mut self,
        reader: &impl ChainReader,
        block: &Header,
        tokens: impl IntoIterator<Item = Address>,
    ) -> Result<(), ChainError> {
        let mut unknown: Vec<_> = tokens.into_iter().filter(|token| !self.0.contains_key(token)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let calls = unknown.iter().flat_map(|token| {
            let call = |data: Vec<u8>| Call::view(*token, data, VIEW_GAS);
            [call(ITokenMetadata::decimalsCall {}.abi_encode()), call(ITokenMetadata::symbolCall {}.abi_encode())]
        });
        let answers = reader.run_each(block, calls.collect::<Vec<_>>()).await?;
        for (token, answers) in unknown.iter().zip(answers.chunks(2)) {
            let [decimals, symbol] = answers else { continue };
            let decimals = decimals.result.as_ref().ok().and_then(decode_decimals);
            let symbol = symbol.result.as_ref().ok().and_then(decode_symbol);
            self.0.insert(*token, Token { decimals, symbol });
        }
        Ok(())
    }

    /// Describes a position in whole tokens.
    pub(super) fn describe(&self, position: &PositionSummary) -> WatchedPosition {
        let liquidation = position.liquidation.map(|liquidation| WatchedLiquidation {
            repaid: self.amount(position.debt_token, liquidation.repaid),
            seized: self.amount(position.collateral_token, liquidation.seized),
            bonus: self.amount(position.debt_token, liquidation.bonus),
            bad_debt: self.amount(position.debt_token, liquidation.bad_debt),
        });
        let price = |price: U256| self.price(position.collateral_token, position.debt_token, price);
        let further = position.further.iter().map(|balance| {
            let price = |price: U256| self.price(balance.token, position.debt_token, price);
            WatchedBalance {
                is_debt: balance.is_debt,
                amount: self.amount(balance.token, balance.amount),
                price: price(balance.price),
                liquidation_price: balance.liquidation_price.and_then(price),
                distance_bps: balance.liquidation_price.map(|liquidatable| distance_bps(balance.price, liquidatable)),
            }
        });
        WatchedPosition {
            market: position.market,
            account: position.account,
            health: decimal_text(position.health, 18),
            liquidatable: position.is_liquidatable,
            collateral: self.amount(position.collateral_token, position.collateral),
            debt: self.amount(position.debt_token, position.debt),
            price: price(position.price),
            liquidation_price: position.liquidation_price.and_then(price),
            distance_bps: position.liquidation_price.map(|liquidatable| distance_bps(position.price, liquidatable)),
            liquidation,
            further: further.collect(),
            after_gas: None,
            after_gas_unknown: None,
            remark: position.remark.clone(),
        }
    }

    fn token(&self, token: Address) -> Token {
        if token == NATIVE_COIN {
            return Token { decimals: Some(COIN_DECIMALS), symbol: Some("coin".to_owned()) };
        }
        self.0.get(&token).cloned().unwrap_or_default()
    }

    pub(super) fn amount(&self, token: Address, units: U256) -> WatchedAmount {
        let Token { decimals, symbol } = self.token(token);
        WatchedAmount {
            token,
            symbol,
            units: units.to_string(),
            amount: decimals.map(|decimals| decimal_text(units, decimals)),
        }
    }

    /// Returns a price in whole debt tokens for a whole token; `None` where either has no decimals.
    fn price(&self, token: Address, debt: Address, price: U256) -> Option<String> {
        let (debt, collateral) = (self.token(debt).decimals?, self.token(token).decimals?);
        let decimals = PRICE_DECIMALS.checked_add(debt)?.checked_sub(collateral)?;
        Some(decimal_text(price, decimals))
    }
}

/// Returns by how much of itself the price must fall until it is the liquidation price, in basis points, rounded down;
/// negative if it is lower already.
fn distance_bps(price: U256, liquidatable: U256) -> i64 {
    let part = |distance: U256| {
        let whole = price.max(U256::ONE);
        distance
            .checked_mul(U256::from(BPS))
            .map_or(i64::MAX, |scaled| i64::try_from(scaled / whole).unwrap_or(i64::MAX))
    };
    if price >= liquidatable { part(price - liquidatable) } else { -part(liquidatable - price) }
}

fn decode_decimals(data: &Bytes) -> Option<u8> {
    let decimals = ITokenMetadata::decimalsCall::abi_decode_returns(data).ok()?;
    u8::try_from(decimals).ok().filter(|decimals| *decimals <= MAX_DECIMALS)
}

/// Reads a symbol, which old tokens return as 32 bytes. Only letters that cannot disturb a terminal are kept.
fn decode_symbol(data: &Bytes) -> Option<String> {
    let text = match ITokenMetadata::symbolCall::abi_decode_returns(data) {
        Ok(text) => text,
        Err(_) if data.len() == 32 => String::from_utf8_lossy(data).trim_end_matches('\0').to_owned(),
        Err(_) => return None,
    };
    let shown: String = text.chars().filter(char::is_ascii_graphic).take(MAX_SYMBOL).collect();
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_both_kinds_are_read_and_cannot_disturb_a_terminal() {
        let symbol = |text: &str| {
            let encoded = ITokenMetadata::symbolCall::abi_encode_returns(&text.to_owned());
            decode_symbol(&encoded.into())
        };
        assert_eq!(symbol("WETH").as_deref(), Some("WETH"));
        assert_eq!(symbol("A\x1b[2J\u{202e}B\n").as_deref(), Some("A[2JB"));
        assert_eq!(symbol("\u{202e}"), None);
        let mut old = [0; 32];
        old[..3].copy_from_slice(b"MKR");
        assert_eq!(decode_symbol(&old.to_vec().into()).as_deref(), Some("MKR"));
        assert_eq!(decode_symbol(&Bytes::new()), None);
    }

    #[test]
    fn decimals_that_cannot_be_are_none() {
        let decimals = |number: u64| decode_decimals(&U256::from(number).to_be_bytes_vec().into());
        assert_eq!((decimals(0), decimals(18), decimals(36)), (Some(0), Some(18), Some(36)));
        assert_eq!((decimals(37), decimals(256), decode_decimals(&Bytes::new())), (None, None, None));
    }

    #[test]
    fn the_distance_is_negative_once_the_price_is_too_low() {
        let distance = |price: u64, liquidatable: u64| distance_bps(U256::from(price), U256::from(liquidatable));
        assert_eq!((distance(200, 150), distance(200, 200), distance(200, 210)), (2_500, 0, -500));
        assert_eq!(distance_bps(U256::ZERO, U256::MAX), -i64::MAX);
    }
}
