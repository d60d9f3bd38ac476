//! How amounts of a token or of the native coin are shown.

use alloy::primitives::{Address, I256, U256};

use crate::{
    amount::{Amount, Balance},
    config::Config,
};

/// Decimals of every chain's native coin.
const COIN_DECIMALS: u8 = 18;

/// Name and decimals of a token.
#[derive(Debug, Clone)]
pub(super) struct Denomination {
    pub(super) name: String,
    pub(super) decimals: u8,
}

impl Denomination {
    /// Looks a token up in the configuration. The amounts of an unknown token are shown in its smallest units.
    pub(super) fn of(config: &Config, token: Address) -> Self {
        let decimals = config.tokens.get(token).map_or(0, |token| token.decimals);
        Self { name: config.tokens.name(token), decimals }
    }

    /// Labels a number of smallest units.
    pub(super) fn amount(&self, units: impl TryInto<U256>) -> Amount {
        Amount::new(units, self.decimals, self.name.clone())
    }
}

/// Labels wei of the native coin.
pub(super) fn coin_amount(wei: U256, coin: &str) -> Amount {
    Amount::new(wei, COIN_DECIMALS, coin)
}

/// Subtracts wei spent from wei earned.
pub(super) fn coin_balance(earned: U256, spent: U256, coin: &str) -> Balance {
    let signed = |wei: U256| I256::try_from(wei).unwrap_or(I256::MAX);
    Balance { units: signed(earned).saturating_sub(signed(spent)), decimals: COIN_DECIMALS, token: coin.to_owned() }
}

/// Converts a length to the integer type of the view.
pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
