//! How amounts of a token or of the native currency are shown.

use alloy::primitives::{Address, I256, U256};

use crate::{
    amount::{Amount, Balance, NATIVE_DECIMALS},
    config::Config,
};

/// Name and decimals of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denomination {
    /// Address of the token.
    pub address: Address,
    /// Name of the token, or its address if it has none.
    pub name: String,
    /// Decimals of the token.
    pub decimals: u8,
}

impl Denomination {
    /// Looks a token up in the configuration. The amounts of an unknown token are shown in its smallest units.
    pub(crate) fn of(config: &Config, token: Address) -> Self {
        let decimals = config.tokens.get(token).map_or(0, |token| token.decimals);
        Self { address: token, name: config.tokens.name(token), decimals }
    }

    /// Labels a number of smallest units.
    pub(crate) fn amount(&self, units: impl TryInto<U256>) -> Amount {
        Amount::new(units, self.decimals, self.name.clone())
    }
}

/// Subtracts wei spent from wei earned. `coin` is the symbol of the chain's native currency.
pub(super) fn coin_balance(earned: U256, spent: U256, coin: &str) -> Balance {
    let signed = |wei: U256| I256::try_from(wei).unwrap_or(I256::MAX);
    Balance { units: signed(earned).saturating_sub(signed(spent)), decimals: NATIVE_DECIMALS, token: coin.to_owned() }
}

/// Converts a length to the integer type of the view.
pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
