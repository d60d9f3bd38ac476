//! An account's safety bound: a linear function of effective prices that is never above what the comptroller computes, whatever
//! it rounds and whichever markets it accrues first.
//!
//! The effective price of collateral is that of a market token as it counts in a liquidation, its weight and rate in it; of debt
//! that of a unit at index 1. So no change of terms needs an account to be armed again: it moves a price.

use alloy::primitives::U256;

use super::math::{EXP, Holding, MarketTerms, Rules};
use crate::tripwire::{EffectivePrice, SafetyBound, Side, Term};

/// Scale of a health factor in basis points.
const BPS: U256 = U256::from_limbs([10_000, 0, 0, 0]);
/// Deviation of a price from a power of ten, in percent, below which it is thought to be a stable token's: an oracle's price of a
/// dollar is a power of ten, whatever the token's decimals.
const STABLE_PERCENT: u64 = 3;

/// Returns the effective prices of a market: as collateral by the lower of the stored and the accrued rate, as debt by the higher
/// index. Those of a market without terms are unknown.
#[must_use]
pub fn effective_price(rules: Rules, terms: Option<&MarketTerms>) -> EffectivePrice {
    let Some(terms) = terms else { return EffectivePrice { collateral: None, debt: None, is_stable: false } };
    let MarketTerms { stored, accrued, price, weight, .. } = *terms;
    let rate = stored.exchange_rate.min(accrued.exchange_rate);
    let index = stored.borrow_index.max(accrued.borrow_index);
    let collateral = if terms.is_listed { rules.weighted_price(weight, rate, price) } else { Some(U256::ZERO) };
    let debt = price.checked_mul(index).map(|product| product.div_ceil(EXP));
    let narrow = |price: Option<U256>| price.and_then(|price| u128::try_from(price).ok());
    EffectivePrice { collateral: narrow(collateral), debt: narrow(debt), is_stable: is_stable(price) }
}

fn is_stable(price: U256) -> bool {
    let near = |power: U256| price.abs_diff(power) <= power / U256::from(100) * U256::from(STABLE_PERCENT);
    let powers = std::iter::successors(Some(U256::ONE), |power| power.checked_mul(U256::from(10)));
    powers.take_while(|power| *power / U256::from(2) <= price).any(near)
}

/// Returns the bound of an account: not negative only if its health factor is certainly at least `health`, in basis points,
/// whatever is accrued. `None` if it cannot be stated.
#[must_use]
pub fn safety_bound(holdings: &[Holding], health: u16) -> Option<SafetyBound> {
    let mut terms = Vec::new();
    let mut collaterals = U256::ZERO;
    for Holding { market, tokens, debt } in holdings {
        let token = u16::try_from(*market).ok()?;
        let mut push = |side, weight: U256| {
            terms.push(Term { token, side, weight: u128::try_from(weight).ok()? });
            Some(())
        };
        if !tokens.is_zero() {
            push(Side::Collateral, tokens.checked_mul(BPS)?)?;
            collaterals += U256::ONE;
        }
        if !debt.principal.is_zero() {
            // What is owed at index 1, rounded up; the contract rounds what is owed down.
            let scaled = debt.principal.checked_mul(EXP)?.checked_add(debt.index)?.checked_div(debt.index)?;
            push(Side::Debt, scaled.checked_mul(U256::from(health))?)?;
        }
    }
    // Each collateral's value is rounded down to a unit of the oracle's currency.
    let margin = collaterals.checked_mul(BPS)?.checked_mul(EXP)?;
    Some(SafetyBound { terms: terms.into(), margin })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, uint};
    use proptest::{collection::vec, prelude::*};

    use super::{
        super::{
            account::Account,
            math::{Debt, PoolTerms, Quote, Rates, Sums},
        },
        *,
    };
    use crate::{HEALTHY, NATIVE_COIN, tripwire::Tripwires};

    const MARKETS: usize = 5;

    /// An account: market tokens by market and value, debts, and debt as a part of what is allowed, of 10,000.
    type Holder = (Vec<(usize, u64)>, Vec<usize>, u32, u64);

    fn market() -> impl Strategy<Value = MarketTerms> {
        let rates = (0_u32..34, 1_u64..1_000_000, 0_u64..2_000);
        (0_u32..34, 1_u64..999_999, rates, 0_u64..=1_000, any::<bool>()).prop_map(
            |(price, digits, (token_price, index, accrual), weight, is_viewed)| {
                let ten = |power: u32| U256::from(10).pow(U256::from(power));
                // What a market token is worth is within what can be stated, as it is on chain.
                let rate = (token_price + 18).saturating_sub(price);
                let price = (ten(price) * U256::from(digits) / uint!(1_000_U256)).max(U256::ONE);
                let rate = ten(rate) / uint!(1_000_U256) * U256::from(digits) + U256::ONE;
                let stored = Rates { exchange_rate: rate, borrow_index: EXP + EXP / U256::from(index) };
                MarketTerms {
                    is_listed: true,
                    underlying: NATIVE_COIN,
                    weight: EXP * U256::from(weight) / uint!(1_000_U256),
                    viewed_price: if is_viewed { price } else { U256::ZERO },
                    price,
                    stored,
                    accrued: accrue(stored, accrual),
                    supply: EXP,
                    assets: EXP,
                    seize_share: U256::ZERO,
                    incentive: EXP,
                    is_forced: false,
                    debt_paused: false,
                    seizing_paused: false,
                }
            },
        )
    }

    /// Rates after interest, in millionths of debt. A donation or a loss may move the exchange rate the other way.
    fn accrue(Rates { exchange_rate, borrow_index }: Rates, millionths: u64) -> Rates {
        let grown = |rate: U256, by: u64| rate + rate * U256::from(by) / uint!(1_000_000_U256);
        let exchange_rate = match millionths % 5 {
            0 => exchange_rate - exchange_rate / uint!(1_000_U256),
            _ => grown(exchange_rate, millionths / 2),
        };
        Rates { exchange_rate, borrow_index: grown(borrow_index, millionths) }
    }

    /// An account whose debt is near what its collateral allows, where roundings decide.
    fn holder() -> impl Strategy<Value = Holder> {
        let part = prop_oneof![3 => 9_990_u64..10_010, 1 => 5_000_u64..12_000];
        (vec((0..MARKETS, 1_u64..10_000), 0..=4), vec(0..MARKETS, 1..=2), 0_u32..24, part)
    }

    fn holdings(
        rules: Rules,
        markets: &[Option<MarketTerms>],
        (collaterals, debts, magnitude, part): &Holder,
    ) -> Vec<Holding> {
        let mut held: Vec<Holding> = Vec::new();
        let at = |held: &mut Vec<Holding>, market: usize| match held.iter().position(|holding| holding.market == market)
        {
            Some(place) => place,
            None => {
                held.push(Holding { market, tokens: U256::ZERO, debt: Debt::default() });
                held.len() - 1
            }
        };
        let mut allowed = U256::ZERO;
        for (market, value) in collaterals {
            let Some(terms) = &markets[*market] else { continue };
            let value = U256::from(*value) * U256::from(10).pow(U256::from(*magnitude));
            let price = rules.weighted_price(terms.weight, terms.stored.exchange_rate, terms.price).unwrap();
            let place = at(&mut held, *market);
            held[place].tokens = (value * EXP).checked_div(price).unwrap_or(value).min(U256::from(1_u128 << 110));
            allowed += price * held[place].tokens / EXP;
        }
        for market in debts {
            let Some(terms) = &markets[*market] else { continue };
            let value = allowed * U256::from(*part) / BPS / U256::from(debts.len());
            let place = at(&mut held, *market);
            let principal = (value * EXP / terms.price).min(U256::from(1_u128 << 100)).max(U256::ONE);
            held[place].debt = Debt { principal, index: terms.stored.borrow_index };
        }
        held
    }

    /// A move of one market: price in parts of 10,000, interest, whether what is accrued is stored, other weight, listing.
    type Move = (usize, u64, u64, bool, Option<u64>, u8);

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let weight = prop_oneof![20 => Just(None), 1 => (0_u64..1_000).prop_map(Some)];
        vec((0..MARKETS, 8_000_u64..12_000, 0_u64..2_000, any::<bool>(), weight, 0_u8..20), 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_the_index_hands_out_contains_what_a_full_scan_finds(
            is_isolated in any::<bool>(),
            markets in vec(market(), MARKETS),
            holders in vec(holder(), 1..40),
            moves in moves(),
            touched in vec(any::<prop::sample::Index>(), 0..8),
            health in prop_oneof![Just(10_000_u16), Just(11_000)],
        ) {
            let rules = if is_isolated { Rules::Isolated } else { Rules::Plain };
            let min_collateral = if is_isolated { EXP * uint!(100_U256) } else { U256::ZERO };
            let pool = PoolTerms { rules, close_factor: EXP / uint!(2_U256), incentive: EXP, min_collateral, liquidator: None, redeem_fee: U256::ZERO };
            let mut markets: Vec<_> = markets.into_iter().map(Some).collect();
            let mut accounts: Vec<_> = holders.iter().map(|holder| holdings(rules, &markets, holder)).collect();
            let address = |number: usize| Address::left_padding_from(&number.to_be_bytes());
            let mut index = Tripwires::default();
            let prices = |markets: &[Option<MarketTerms>]| {
                markets.iter().map(|terms| effective_price(rules, terms.as_ref())).collect::<Vec<_>>()
            };
            index.tick(&prices(&markets));
            for (number, holdings) in accounts.iter().enumerate() {
                index.set(address(number), safety_bound(holdings, health));
            }
            let line = HEALTHY / BPS * U256::from(health);
            let mut touched = touched.iter();
            for (step, (market, price, interest, is_stored, weight, listing)) in moves.into_iter().enumerate() {
                let missing = (listing == 0).then(|| markets[market].take()).flatten();
                for terms in markets.iter_mut().flatten() {
                    terms.accrued = accrue(terms.accrued, interest);
                }
                if let Some(terms) = &mut markets[market] {
                    terms.price = (terms.price * U256::from(price)).div_ceil(BPS);
                    terms.weight = weight.map_or(terms.weight, |weight| EXP * U256::from(weight) / uint!(1_000_U256));
                    terms.stored = if is_stored { terms.accrued } else { terms.stored };
                    terms.is_listed ^= listing == 1;
                }
                if step % 5 == 4 && let Some(chosen) = touched.next() {
                    let number = chosen.index(accounts.len());
                    for holding in &mut accounts[number] {
                        holding.tokens /= U256::from(2);
                    }
                    index.set(address(number), safety_bound(&accounts[number], health));
                }
                let due = index.tick(&prices(&markets));
                for (number, held) in accounts.iter().enumerate() {
                    let counts = |holding: &&Holding| markets[holding.market].as_ref().is_none_or(|terms| terms.is_listed);
                    let held: Vec<_> = held.iter().filter(counts).copied().collect();
                    let own = Account::of(&pool, &markets, &held).and_then(|account| account.health(None));
                    if own.is_some_and(|own| own < line) {
                        prop_assert!(due.contains(&address(number)), "{held:?} is missed at {markets:?}");
                    }
                    // Whichever pair is liquidated.
                    for pair in Account::pairs(&pool, &markets, &held) {
                        if pair.health(None).is_some_and(|own| own < line) {
                            prop_assert!(due.contains(&address(number)), "a pair of {held:?} is missed at {markets:?}");
                        }
                    }
                }
                if missing.is_some() {
                    markets[market] = missing;
                }
            }
        }
    }

    proptest! {
        /// Values of a few units, where each rounding decides.
        #[test]
        fn a_small_account_that_is_not_handed_out_is_healthy(
            is_isolated in any::<bool>(),
            prices in vec((1_u64..40, 0_u64..3), 3),
            tokens in vec(0_u64..20_000, 2),
            (grown, more) in (prop_oneof![Just(0), 0_u64..1_000], 0_u64..4),
        ) {
            let rules = if is_isolated { Rules::Isolated } else { Rules::Plain };
            let pool = PoolTerms { rules, close_factor: EXP, incentive: EXP, min_collateral: U256::ZERO, liquidator: None, redeem_fee: U256::ZERO };
            let thousandth = EXP / uint!(1_000_U256);
            let markets: Vec<_> = prices.iter().map(|(price, accrued)| {
                let stored = Rates { exchange_rate: EXP, borrow_index: EXP + thousandth * U256::from(grown) };
                let accrued = Rates { borrow_index: stored.borrow_index + thousandth * U256::from(*accrued), ..stored };
                let terms = of(*price);
                Some(MarketTerms { price: U256::from(*price), stored, accrued, ..terms })
            }).collect();
            let mut holdings: Vec<_> = (0..).zip(&tokens).map(|(market, tokens)| {
                Holding { market, tokens: thousandth * U256::from(*tokens), debt: Debt::default() }
            }).collect();
            let quote = |holding: &Holding| {
                let MarketTerms { price, stored, weight, .. } = markets[holding.market]?;
                Some(Quote { price, rates: stored, weight })
            };
            let worth = Sums::of(rules, &holdings, quote).unwrap().weighted + U256::from(more);
            let MarketTerms { price, stored, .. } = markets[2].unwrap();
            let debt = Debt { principal: (worth * EXP).div_ceil(price).max(U256::ONE), index: stored.borrow_index };
            holdings.push(Holding { market: 2, tokens: U256::ZERO, debt });
            let mut index = Tripwires::default();
            let prices: Vec<_> = markets.iter().map(|terms| effective_price(rules, terms.as_ref())).collect();
            index.tick(&prices);
            index.set(Address::ZERO, safety_bound(&holdings, 10_000));
            let own = Account::of(&pool, &markets, &holdings).unwrap().health(None).unwrap();
            prop_assert!(own >= HEALTHY || !index.tick(&prices).is_empty(), "{own} of {holdings:?} at {markets:?}");
        }
    }

    /// Terms at a price of whole units of the oracle's currency, with nothing accrued.
    fn of(price: u64) -> MarketTerms {
        let (rates, price) = (Rates { exchange_rate: EXP, borrow_index: EXP }, EXP * U256::from(price));
        MarketTerms {
            is_listed: true,
            underlying: NATIVE_COIN,
            weight: EXP / uint!(5_U256) * uint!(4_U256),
            viewed_price: price,
            price,
            stored: rates,
            accrued: rates,
            supply: EXP,
            assets: EXP,
            seize_share: U256::ZERO,
            incentive: EXP,
            is_forced: false,
            debt_paused: false,
            seizing_paused: false,
        }
    }

    #[test]
    fn an_account_far_from_the_line_is_not_evaluated() {
        let debt = Debt { principal: EXP * uint!(800_U256), index: EXP };
        let holdings = [
            Holding { market: 0, tokens: EXP, debt: Debt::default() },
            Holding { market: 1, tokens: U256::ZERO, debt },
        ];
        let mut index = Tripwires::default();
        let mut at = |price| {
            let prices = [of(price), of(1)].map(|terms| effective_price(Rules::Isolated, Some(&terms)));
            if index.is_empty() {
                index.tick(&prices);
                index.set(Address::ZERO, safety_bound(&holdings, 10_000));
            }
            index.tick(&prices).len()
        };
        // 0.8 × price against 800: the line is at a price of 1,000; a small part of the slack is the stable debt's.
        assert_eq!((at(2_000), at(1_010), at(999), at(2_000), at(2_000)), (0, 0, 1, 1, 0));
        assert!([1, 10, 100].map(U256::from).into_iter().all(is_stable) && !is_stable(U256::from(2_000)));
        assert!(
            is_stable(EXP - EXP / U256::from(50)) && !is_stable(EXP + EXP / U256::from(25)) && !is_stable(U256::ZERO)
        );
    }
}
