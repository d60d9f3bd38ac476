//! The index against a full scan of the bounds, through random accounts and prices.

use std::collections::BTreeMap;

use alloy::primitives::U512;
use proptest::{collection::vec, prelude::*};

use super::*;

const TOKENS: u16 = 5;

fn account(number: u8) -> Address {
    Address::repeat_byte(number)
}

/// An amount of any magnitude, and not seldom 0.
fn amount(most_bits: u32) -> impl Strategy<Value = u128> {
    (0..=most_bits, any::<u128>()).prop_map(|(bits, random)| random.checked_shr(128 - bits).unwrap_or_default())
}

fn price() -> impl Strategy<Value = EffectivePrice> {
    let of = || prop_oneof![20 => amount(128).prop_map(Some), 1 => Just(None)];
    (of(), of(), any::<bool>()).prop_map(|(collateral, debt, is_stable)| EffectivePrice { collateral, debt, is_stable })
}

fn term() -> impl Strategy<Value = Term> {
    let side = prop_oneof![2 => Just(Side::Collateral), 1 => Just(Side::Debt)];
    (0..TOKENS, side, amount(128)).prop_map(|(token, side, weight)| Term { token, side, weight })
}

fn bound() -> impl Strategy<Value = SafetyBound> {
    (vec(term(), 0..6), amount(80))
        .prop_map(|(terms, margin)| SafetyBound { terms: terms.into(), margin: U256::from(margin) })
}

/// What happens to the index.
#[derive(Debug, Clone)]
enum Action {
    Set(u8, Option<SafetyBound>),
    Remove(u8),
    /// New prices, near those before: each in parts of 1,000.
    Move(Vec<u32>),
    Replace(Vec<EffectivePrice>),
}

fn action() -> impl Strategy<Value = Action> {
    let accounts = 0..40_u8;
    prop_oneof![
        6 => (accounts.clone(), bound()).prop_map(|(number, bound)| Action::Set(number, Some(bound))),
        1 => accounts.clone().prop_map(|number| Action::Set(number, None)),
        1 => accounts.prop_map(Action::Remove),
        8 => vec(900..1_100_u32, usize::from(TOKENS)).prop_map(Action::Move),
        1 => vec(price(), 0..=usize::from(TOKENS)).prop_map(Action::Replace),
    ]
}

/// Returns whether a bound is certainly not negative at these prices.
fn is_safe(bound: &SafetyBound, prices: &[EffectivePrice]) -> bool {
    let (mut plus, mut minus) = (U512::ZERO, U512::from(bound.margin));
    for term in &bound.terms {
        let Some(price) = prices.get(usize::from(term.token)).and_then(|price| price.of(term.side)) else {
            return false;
        };
        let value = U512::from(term.weight) * U512::from(price);
        match term.side {
            Side::Collateral => plus += value,
            Side::Debt => minus += value,
        }
    }
    plus >= minus
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_account_that_is_not_certainly_safe_is_handed_out(
        initial in vec(price(), usize::from(TOKENS)),
        actions in vec(action(), 1..80),
    ) {
        let (mut index, mut model, mut prices) = (Tripwires::default(), BTreeMap::new(), initial);
        index.tick(&prices);
        for action in actions {
            match action {
                Action::Set(number, bound) => {
                    index.set(account(number), bound.clone());
                    model.insert(account(number), bound);
                    continue;
                }
                Action::Remove(number) => {
                    index.remove(account(number));
                    model.remove(&account(number));
                    continue;
                }
                Action::Move(parts) => {
                    for (price, part) in prices.iter_mut().zip(parts) {
                        let moved = |price: u128| (price / 1_000).saturating_mul(u128::from(part));
                        price.collateral = price.collateral.map(moved);
                        price.debt = price.debt.map(moved);
                    }
                }
                Action::Replace(others) => prices = others,
            }
            let due = index.tick(&prices);
            let known: Vec<_> = model.keys().copied().collect();
            prop_assert!(due.iter().all(|account| known.contains(account)), "{due:?}");
            prop_assert_eq!(index.len(), model.len());
            for (account, bound) in &model {
                let is_safe = bound.as_ref().is_some_and(|bound| is_safe(bound, &prices));
                prop_assert!(is_safe || due.contains(account), "{account} is missed: {bound:?} at {prices:?}");
            }
        }
    }
}

#[test]
fn an_account_is_due_exactly_when_its_price_is_beyond_the_line() {
    let mut prices = [(false, 1_000), (true, 1_000)].map(|(is_stable, price)| EffectivePrice {
        collateral: Some(price * 1_000_000),
        debt: Some(price * 1_000_000),
        is_stable,
    });
    let mut index = Tripwires::default();
    index.tick(&prices);
    let term = |token, side, weight| Term { token, side, weight };
    let terms = [term(0, Side::Collateral, 2), term(1, Side::Debt, 1)];
    index.set(account(1), Some(SafetyBound { terms: terms.into(), margin: U256::ZERO }));
    let mut at = |price| {
        prices[0].collateral = Some(price);
        index.tick(&prices)
    };
    // 2 × price against 1,000 million: the line is at 500 million, less the stable token's hundredth of the slack.
    assert!(at(510_000_000).is_empty());
    assert_eq!(at(499_999_999), [account(1)]);
    assert_eq!(at(499_999_999), [account(1)], "it is due as long as it is unsafe");
    assert_eq!(at(1_000_000_000), [account(1)]);
    assert!(at(1_000_000_000).is_empty());
}
