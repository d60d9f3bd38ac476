//! Debt by distance from the liquidation price. A survey scans every loan of a market, a few thousand after each block,
//! so that no block waits for it; its result is that of the last complete scan.

use alloy::primitives::{U256, map::B256Map};
use plimsoll_contracts::market::BPS;
use serde::Serialize;

use crate::{
    amount::Amount,
    book::{Book, MarketBook},
    math::{liquidation::value_down, types::Market},
};

/// Width of a bar, in basis points of the price.
pub const BAR_BPS: u32 = 250;
/// Number of bars; the last one includes all debt further from its liquidation price.
pub const BARS: usize = 20;

/// The debt of a market by the fall of the price that would make its loans liquidatable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DebtDistribution {
    /// Debt of loans that are liquidatable now.
    pub liquidatable: Amount,
    /// Debt of loans that become liquidatable when the price falls by at most [`BAR_BPS`] in the first bar, by at most
    /// twice as much in the second, and so on.
    pub bars: Vec<Amount>,
}

/// Scans all loans of all markets, a number at a time, over and over.
#[derive(Debug, Default)]
pub struct Survey {
    /// Index of the market being scanned.
    market: usize,
    /// Number of its positions that were scanned.
    position: usize,
    /// Sums over those positions.
    sums: Sums,
    /// Sums of the last complete scan of each market.
    complete: B256Map<[u128; BARS + 1]>,
}

/// Sums of debt: of liquidatable loans first, then of each bar.
#[derive(Debug, Default)]
struct Sums([u128; BARS + 1]);

impl Survey {
    /// Scans up to `loans` further positions at their market's price and with interest accrued until `timestamp`. Markets
    /// without a price are skipped, and have no distribution.
    pub fn scan(&mut self, book: &Book, price: impl Fn(&MarketBook) -> Option<U256>, timestamp: u64, mut loans: usize) {
        let markets = book.markets().count();
        // Each market at most once.
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
            let mut scanned = 0;
            for (_, position) in market.positions_from(self.position).take(loans) {
                scanned += 1;
                self.sums.add(&accrued, position.loan(), price, ltv_bps);
            }
            self.position += scanned;
            loans -= scanned;
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

    /// Returns the result of the last complete scan of a market; `None` before the first.
    #[must_use]
    pub fn distribution(&self, market: &MarketBook, loan_decimals: u8, loan_token: &str) -> Option<DebtDistribution> {
        let sums = self.complete.get(&market.id().0)?;
        let amount = |units: &u128| Amount::new(U256::from(*units), loan_decimals, loan_token);
        let (liquidatable, bars) = sums.split_first()?;
        Some(DebtDistribution { liquidatable: amount(liquidatable), bars: bars.iter().map(amount).collect() })
    }
}

impl Sums {
    fn add(&mut self, market: &Market, loan: crate::math::types::Loan, price: U256, ltv_bps: u16) {
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

/// Returns by how many basis points the price may fall until a loan becomes liquidatable, rounded down; `None` if it is
/// liquidatable already.
#[must_use]
pub fn distance_bps(debt: u128, value: u128, ltv_bps: u16) -> Option<u32> {
    let bps = U256::from(BPS);
    let max_debt = U256::from(value) * U256::from(ltv_bps);
    let owed = U256::from(debt) * bps;
    let left = max_debt.checked_sub(owed)?;
    (left * bps).checked_div(max_debt).map_or(Some(0), |distance| u32::try_from(distance).ok())
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

    /// A market with loans of 1,000,000 units each, the first with 1,050,000 units of collateral, each further one with
    /// 50,000 more.
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

    fn distribution_of(survey: &Survey, book: &Book) -> Option<DebtDistribution> {
        survey.distribution(book.markets().next().unwrap(), 6, "USDC")
    }

    #[test]
    fn a_scan_in_parts_finds_what_one_scan_finds() {
        let book = book(40);
        let price = |_: &MarketBook| Some(ORACLE_SCALE);
        let mut at_once = Survey::default();
        at_once.scan(&book, price, NOW, 1_000);
        let whole = distribution_of(&at_once, &book).unwrap();
        let sum = whole.bars.iter().fold(whole.liquidatable.units, |sum, bar| sum + bar.units);
        assert_eq!(sum, U256::from(40_000_000));
        // At 86 % a debt of 1,000,000 needs 1,162,790 of collateral; three loans have less.
        assert_eq!(whole.liquidatable.units, U256::from(3_000_000));

        let mut in_parts = Survey::default();
        for _ in 0..41 {
            assert_eq!(distribution_of(&in_parts, &book), None);
            in_parts.scan(&book, price, NOW, 1);
        }
        // The supplier has a position, too.
        in_parts.scan(&book, price, NOW, 1);
        assert_eq!(distribution_of(&in_parts, &book), Some(whole));
        in_parts.scan(&book, |_| None, NOW, 1);
        assert_eq!(distribution_of(&in_parts, &book), None);
    }

    #[test]
    fn the_distance_is_the_fall_of_the_price_that_makes_a_loan_liquidatable() {
        // 860 is owed on 2,000 at 86 %: the price may fall by half.
        assert_eq!(distance_bps(860, 2_000, 8_600), Some(5_000));
        assert_eq!(distance_bps(860, 1_000, 8_600), Some(0));
        assert_eq!(distance_bps(861, 1_000, 8_600), None);
        assert_eq!(distance_bps(0, 0, 8_600), Some(0));
        assert_eq!(distance_bps(u128::MAX, u128::MAX, 8_600), None);
        assert_eq!(distance_bps(1, u128::MAX, 8_600), Some(9_999));
    }
}
