//! Accounts of an isolated pool of Venus, as Compound v2's forks go.

use alloy::primitives::U256;
use plimsoll_protocols::{
    HEALTHY, NATIVE_COIN,
    compound_v2::{self, Debt, Holding, MarketTerms, PoolTerms, Rates, Rules},
    tripwire::{EffectivePrice, SafetyBound, Side},
};

use super::Model;

const RULES: Rules = Rules::Isolated;
/// Scale of prices, rates and indices.
const EXP: U256 = HEALTHY;
/// Units of a token for 10¹⁸ market tokens, which have eight decimals and are worth a token here.
const RATE: u64 = 10_000_000_000;

pub(super) struct CompoundV2;

impl Model for CompoundV2 {
    type Terms = Option<MarketTerms>;
    type Account = Vec<Holding>;

    fn terms(dollars: u128, threshold_bps: u16) -> Self::Terms {
        let rates = Rates { exchange_rate: EXP * U256::from(RATE), borrow_index: EXP };
        let price = EXP * U256::from(dollars);
        Some(MarketTerms {
            is_listed: true,
            underlying: NATIVE_COIN,
            weight: EXP * U256::from(threshold_bps) / U256::from(10_000),
            viewed_price: price,
            price,
            stored: rates,
            accrued: rates,
            supply: EXP,
            assets: EXP,
            seize_share: U256::ZERO,
            incentive: EXP * U256::from(11) / U256::from(10),
            is_forced: false,
            debt_paused: false,
            seizing_paused: false,
        })
    }

    fn move_price(terms: &mut Self::Terms, millionths: u128) {
        if let Some(terms) = terms {
            terms.price = terms.price * U256::from(millionths) / U256::from(1_000_000);
        }
    }

    /// What is stored stays as it was, as in a market without transactions.
    fn accrue(terms: &mut Self::Terms, billionths: u128) {
        if let Some(Rates { borrow_index, .. }) = terms.as_mut().map(|terms| &mut terms.accrued) {
            *borrow_index += *borrow_index * U256::from(billionths) / U256::from(1_000_000_000);
        }
    }

    fn account(balances: &[(u16, Side, u128)]) -> Vec<Holding> {
        let holding = |(token, side, units): &(u16, Side, u128)| {
            let (units, market) = (U256::from(*units), usize::from(*token));
            match side {
                Side::Collateral => Holding { market, tokens: units / U256::from(RATE), debt: Debt::default() },
                Side::Debt => Holding { market, tokens: U256::ZERO, debt: Debt { principal: units, index: EXP } },
            }
        };
        balances.iter().map(holding).collect()
    }

    fn effective_price(terms: &Self::Terms) -> EffectivePrice {
        compound_v2::effective_price(RULES, terms.as_ref())
    }

    fn bound(account: &Vec<Holding>, _: &[Self::Terms], health: u16) -> Option<SafetyBound> {
        compound_v2::safety_bound(account, health)
    }

    fn is_liquidatable(account: &Vec<Holding>, tokens: &[Self::Terms]) -> bool {
        let half = EXP / U256::from(2);
        let incentive = EXP * U256::from(11) / U256::from(10);
        let zero = U256::ZERO;
        let pool = PoolTerms {
            rules: RULES,
            close_factor: half,
            incentive,
            min_collateral: zero,
            liquidator: None,
            redeem_fee: zero,
        };
        compound_v2::health(&pool, tokens, account).is_some_and(|health| health < HEALTHY)
    }
}
