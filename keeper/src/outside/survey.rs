//! How far the price may fall for how much debt: a look at every loan of a market, a few thousand at a time, so that no
//! block waits for it. The picture is of the last complete look.

use alloy::primitives::{U256, map::B256Map};
use plimsoll_contracts::market::BPS;
use serde::Serialize;

use crate::{
    amount::Amount,
    book::{Book, MarketBook},
    math::{liquidation::value_down, market::Market},
};

/// How wide a bar is, in basis points of the price.
pub const BAR_BPS: u32 = 250;
/// How many bars there are above the waterline; the last one also has all debt beyond it.
pub const BARS: usize = 20;

/// Debt by how far the price may fall until its loan is under water.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DebtPicture {
    /// Of loans under water already.
    pub under_water: Amount,
    /// Of loans that a fall by at most one more [`BAR_BPS`] each puts under water.
    pub bars: Vec<Amount>,
}

/// Looks at one loan after the other, and begins again.
#[derive(Debug, Default)]
pub struct Survey {
    market: usize,
    position: usize,
    sums: Sums,
    complete: B256Map<[u128; BARS + 1]>,
}

/// Under water first, then the bars.
#[derive(Debug, Default)]
struct Sums([u128; BARS + 1]);

impl Survey {
    /// Looks at up to so many more loans, each at its market's price and at a time. Loans in markets without a price are
    /// passed over.
    pub fn look(&mut self, book: &Book, price: impl Fn(&MarketBook) -> Option<U256>, timestamp: u64, mut loans: usize) {
        let markets = book.markets().count();
        // Once round at the most.
        for _ in 0..=markets {
            let Some(market) = book.markets().nth(self.market) else {
                self.market = 0;
                continue;
            };
            let Some(price) = price(market) else {
                self.complete.remove(&market.id().0);
                self.next_market();
                continue;
            };
            let (accrued, ltv_bps) = (market.at(timestamp), market.risk().liquidation_ltv_bps());
            let mut looked = 0;
            for (_, position) in market.positions_from(self.position).take(loans) {
                looked += 1;
                self.sums.add(&accrued, position.loan(), price, ltv_bps);
            }
            self.position += looked;
            loans -= looked;
            if loans == 0 {
                return;
            }
            self.complete.insert(market.id().0, self.sums.0);
            self.next_market();
        }
    }

    fn next_market(&mut self) {
        (self.market, self.position, self.sums) = (self.market + 1, 0, Sums::default());
    }

    /// What was found in the last complete look at a market; `None` before the first.
    #[must_use]
    pub fn picture(&self, market: &MarketBook, loan_decimals: u8, loan_token: &str) -> Option<DebtPicture> {
        let sums = self.complete.get(&market.id().0)?;
        let amount = |units: &u128| Amount::new(U256::from(*units), loan_decimals, loan_token);
        let (under_water, bars) = sums.split_first()?;
        Some(DebtPicture { under_water: amount(under_water), bars: bars.iter().map(amount).collect() })
    }
}

impl Sums {
    fn add(&mut self, market: &Market, loan: crate::math::market::Loan, price: U256, ltv_bps: u16) {
        if loan.borrow_shares == 0 {
            return;
        }
        let debt = market.debt_of(loan);
        let bar = match distance_bps(debt, value_down(loan.collateral, price), ltv_bps) {
            Some(distance) => 1 + usize::try_from(distance / BAR_BPS).unwrap_or(BARS).min(BARS - 1),
            None => 0,
        };
        if let Some(sum) = self.0.get_mut(bar) {
            *sum = sum.saturating_add(debt);
        }
    }
}

/// How much of the price may be lost until a loan is under water, in basis points, rounded down; `None` where it is.
#[must_use]
pub fn distance_bps(debt: u128, value: u128, ltv_bps: u16) -> Option<u32> {
    let bps = U256::from(BPS);
    let carried = U256::from(value) * U256::from(ltv_bps);
    let owed = U256::from(debt) * bps;
    let left = carried.checked_sub(owed)?;
    (left * bps).checked_div(carried).map_or(Some(0), |distance| u32::try_from(distance).ok())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use plimsoll_contracts::{
        IPlimsoll::{self, IPlimsollEvents},
        MarketParams, RateCurve, Risk,
    };

    use super::*;
    use crate::{book::Block, chain::Event, math::liquidation::ORACLE_SCALE};

    const NOW: u64 = 1_000_000;

    /// A market with loans of 1,000 each, against 1,000 more of collateral for each next one.
    fn book(loans: u64) -> Book {
        let risk = Risk::new(8_000, 8_600, 10_000).unwrap();
        let curve = RateCurve::new(1_268_391_679, 9_000, 40_000, 500_000).unwrap();
        let account = |number: u64| Address::left_padding_from(&number.to_be_bytes());
        let params = MarketParams::new(account(1), account(2), account(3), risk, curve);
        let id = params.id().0;
        let supplied = U256::from(loans * 10_000_000);
        let mut events = vec![
            IPlimsollEvents::CreateMarket(IPlimsoll::CreateMarket { id, params }),
            IPlimsollEvents::Supply(IPlimsoll::Supply {
                id,
                caller: account(9),
                onBehalf: account(9),
                assets: supplied,
                shares: supplied * U256::from(1_000_000),
            }),
        ];
        for number in 1..=loans {
            let (caller, assets) = (account(100 + number), U256::from(1_000_000));
            let collateral = U256::from(1_000_000 + number * 50_000);
            events.push(IPlimsollEvents::SupplyCollateral(IPlimsoll::SupplyCollateral {
                id,
                caller,
                onBehalf: caller,
                assets: collateral,
            }));
            events.push(IPlimsollEvents::Borrow(IPlimsoll::Borrow {
                id,
                caller,
                onBehalf: caller,
                receiver: caller,
                assets,
                shares: assets * U256::from(1_000_000),
            }));
        }
        let events: Vec<_> = events.into_iter().map(Event::Core).collect();
        let mut book = Book::new();
        book.apply(Block { number: 1, timestamp: NOW }, &events).unwrap();
        book
    }

    fn picture_of(survey: &Survey, book: &Book) -> Option<DebtPicture> {
        survey.picture(book.markets().next().unwrap(), 6, "USDC")
    }

    #[test]
    fn a_look_in_parts_finds_what_one_look_finds_and_leaves_nobody_out() {
        let book = book(40);
        let price = |_: &MarketBook| Some(ORACLE_SCALE);
        let mut at_once = Survey::default();
        at_once.look(&book, price, NOW, 1_000);
        let whole = picture_of(&at_once, &book).unwrap();
        let sum = whole.bars.iter().fold(whole.under_water.units, |sum, bar| sum + bar.units);
        assert_eq!(sum, U256::from(40_000_000));
        // 1,000,000 at 86 % carries less than 1,162,790: three loans have less than that.
        assert_eq!(whole.under_water.units, U256::from(3_000_000));

        let mut in_parts = Survey::default();
        for _ in 0..41 {
            assert_eq!(picture_of(&in_parts, &book), None);
            in_parts.look(&book, price, NOW, 1);
        }
        // The lender, too, has a row.
        in_parts.look(&book, price, NOW, 1);
        assert_eq!(picture_of(&in_parts, &book), Some(whole));
        in_parts.look(&book, |_| None, NOW, 1);
        assert_eq!(picture_of(&in_parts, &book), None);
    }

    #[test]
    fn the_distance_is_what_of_the_price_may_be_lost() {
        // 860 is owed on 2,000 at 86 %: half of the price may go.
        assert_eq!(distance_bps(860, 2_000, 8_600), Some(5_000));
        assert_eq!(distance_bps(860, 1_000, 8_600), Some(0));
        assert_eq!(distance_bps(861, 1_000, 8_600), None);
        assert_eq!(distance_bps(0, 0, 8_600), Some(0));
        assert_eq!(distance_bps(u128::MAX, u128::MAX, 8_600), None);
        assert_eq!(distance_bps(1, u128::MAX, 8_600), Some(9_999));
    }
}
