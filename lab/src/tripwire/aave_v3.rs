//! Accounts of Aave v3. Its rules are those of version 3.0, whose bound is widest, because thresholds are averaged.

use plimsoll_protocols::{
    HEALTHY,
    aave_v3::{self, Balance, TokenTerms, Version},
    tripwire::{EffectivePrice, SafetyBound, Side},
};

use super::Model;

const RAY: u128 = 1_000_000_000_000_000_000_000_000_000;
/// The oracle's dollar.
const DOLLAR: u128 = 100_000_000;
const VERSION: Version = Version::V3_0;

pub(super) struct AaveV3;

impl Model for AaveV3 {
    type Terms = TokenTerms;
    type Account = Vec<Balance>;

    fn terms(dollars: u128, threshold_bps: u16) -> TokenTerms {
        TokenTerms {
            price: dollars * DOLLAR,
            decimals: 18,
            threshold_bps,
            incentive_bps: 10_500,
            fee_bps: 0,
            liquidity_index: RAY,
            borrow_index: RAY,
        }
    }

    fn move_price(terms: &mut TokenTerms, millionths: u128) {
        terms.price = terms.price * millionths / 1_000_000;
    }

    fn accrue(terms: &mut TokenTerms, billionths: u128) {
        terms.borrow_index += terms.borrow_index / 1_000_000_000 * billionths;
    }

    fn account(balances: &[(u16, Side, u128)]) -> Vec<Balance> {
        let side = |side| match side {
            Side::Collateral => aave_v3::Side::Collateral,
            Side::Debt => aave_v3::Side::Debt,
        };
        balances.iter().map(|(token, of, scaled)| Balance { token: *token, side: side(*of), scaled: *scaled }).collect()
    }

    fn effective_price(terms: &TokenTerms) -> EffectivePrice {
        aave_v3::effective_price(terms, DOLLAR)
    }

    fn bound(account: &Vec<Balance>, tokens: &[TokenTerms], health: u16) -> Option<SafetyBound> {
        aave_v3::safety_bound(account, |place| tokens.get(usize::from(place)), Some, VERSION, health)
    }

    fn is_liquidatable(account: &Vec<Balance>, tokens: &[TokenTerms]) -> bool {
        let health = aave_v3::health(account, |place| tokens.get(usize::from(place)), VERSION);
        health.is_some_and(|health| health < HEALTHY)
    }
}
