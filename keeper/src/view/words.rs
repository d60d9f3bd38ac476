//! How decisions are put into words: names of coins and tokens, and what may be bid.

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{MarketParams, market::BPS};

use super::denomination::Denomination;
use crate::{
    amount::{Amount, readable},
    config::Config,
    math::wide::mul_div_down,
    strategies::Wording,
};

/// Names of coins and tokens, and what may be bid, for decisions about the loans of one market, about rewards or about
/// vaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// Symbol of the chain's native currency.
    pub coin: String,
    /// Loan token of the market; `None` for decisions about rewards and vaults.
    pub loan: Option<Denomination>,
    /// Tokens whose decimals are known.
    pub tokens: Vec<Denomination>,
    /// Part of the profit that is bid at most, in basis points; 0 where nothing is bid.
    pub bid_share_bps: u32,
    /// The most that a transaction may cost with its bid, in wei.
    pub max_cost_wei: U256,
}

impl Words {
    /// Words for decisions about loans of a market.
    pub(super) fn of_market(config: &Config, params: &MarketParams) -> Self {
        let loan = Denomination::of(config, params.loanToken);
        let known =
            [params.loanToken, params.collateralToken].into_iter().filter(|token| config.tokens.get(*token).is_some());
        // Of a profit in coins, builders of bundles are paid a share, which is no cost of the transaction.
        let pays_builders = config.tokens.wrapped_coin() == Some(params.loanToken);
        Self {
            max_cost_wei: if pays_builders { U256::MAX } else { config.safety.max_cost_per_transaction },
            coin: config.chain.coin.clone(),
            tokens: known.map(|token| Denomination::of(config, token)).collect(),
            loan: config.tokens.get(loan.address).is_some().then_some(loan),
            bid_share_bps: config.fees.bid_share_bps.into(),
        }
    }

    /// Words for decisions about rewards and vaults, whose transactions wait for their turn and bid nothing.
    pub(super) fn without_bids(config: &Config) -> Self {
        let tokens = config.tokens.iter().map(|token| Denomination::of(config, token.address)).collect();
        Self { coin: config.chain.coin.clone(), loan: None, tokens, bid_share_bps: 0, max_cost_wei: U256::ZERO }
    }
}

impl Wording for Words {
    fn coin(&self, wei: U256) -> String {
        Amount::of_wei(wei, &self.coin).to_string()
    }

    fn loan(&self, units: U256) -> String {
        match &self.loan {
            Some(loan) => loan.amount(units).to_string(),
            None => format!("{} units of the loan token", readable(&units.to_string())),
        }
    }

    fn token(&self, token: Address, units: U256) -> String {
        match self.tokens.iter().find(|known| known.address == token) {
            Some(known) => known.amount(units).to_string(),
            None => format!("{} units of {token}", readable(&units.to_string())),
        }
    }

    fn highest_bid(&self, gain_wei: U256, gas_wei: U256) -> U256 {
        let share = mul_div_down(gain_wei.saturating_sub(gas_wei), U256::from(self.bid_share_bps), U256::from(BPS));
        share.min(self.max_cost_wei.saturating_sub(gas_wei))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bid_is_a_share_of_the_net_gain_and_never_more_than_a_transaction_may_cost() {
        let words = Words { bid_share_bps: 5_000, max_cost_wei: U256::from(100), ..Words::default() };
        let bid = |gain: u64, gas: u64| words.highest_bid(U256::from(gain), U256::from(gas)).to::<u64>();
        assert_eq!(bid(110, 10), 50);
        assert_eq!(bid(1_000_000, 10), 90);
        assert_eq!(bid(1_000_000, 100), 0);
        assert_eq!(bid(5, 10), 0);
    }
}
