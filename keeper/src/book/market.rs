//! A market in the book: its parameters, totals and positions, and which of its loans are liquidatable. Also the cover
//! that backstops keep in the core against the bad debt of markets.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{InvalidParams, MarketId, MarketParams, RateCurve, Risk};

use super::{
    orders::{Orders, PlacedOrder},
    positions::{Position, Positions},
};
use crate::math::{
    guard::OrderKind,
    liquidation::{LiquidationIncentive, waterline_price},
    types::{Loan, Market},
};

/// One market with all positions in it, as of the last applied block.
#[derive(Debug)]
pub struct MarketBook {
    id: MarketId,
    /// Number of the market in a checkpoint's rows; markets are in the order of their numbers.
    pub(super) number: u32,
    params: MarketParams,
    risk: Risk,
    curve: RateCurve,
    liquidation_incentive: LiquidationIncentive,
    pub(super) state: MarketState,
    pub(super) positions: Positions,
    /// Orders of the market's borrowers. They are in the order of their triggers only while the account has a debt.
    pub(super) orders: Orders,
    /// Number of the application that recorded the state in the undo log: once per application is enough.
    pub(super) recorded_in: u64,
}

/// The mutable state of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MarketState {
    /// Totals as of the market's last update.
    pub totals: Market,
    /// Account that gets the reserve above its floor; 0 if there is none.
    pub fee_recipient: Address,
    /// Backstop that covers the market's bad debt; 0 if there is none.
    pub backstop: Address,
}

/// A loan that is liquidatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiquidationCandidate {
    /// The borrower.
    pub account: Address,
    /// The borrower's debt and collateral.
    pub loan: Loan,
}

impl MarketBook {
    /// Creates a market without positions. Fails if no market can have these parameters.
    pub(super) fn new(number: u32, params: &MarketParams, created_at: u64) -> Result<Self, InvalidParams> {
        let (risk, curve) = (Risk::from_word(params.risk)?, RateCurve::from_word(params.curve)?);
        let totals =
            Market { last_update: created_at, rate_at_target: curve.start_rate_per_second(), ..Market::default() };
        Ok(Self {
            id: params.id(),
            number,
            params: params.clone(),
            risk,
            curve,
            liquidation_incentive: LiquidationIncentive::of(risk),
            state: MarketState { totals, ..MarketState::default() },
            positions: Positions::default(),
            orders: Orders::default(),
            recorded_in: 0,
        })
    }

    /// Returns the market's id.
    #[must_use]
    pub const fn id(&self) -> MarketId {
        self.id
    }

    /// Returns the parameters that calls to the contract take.
    #[must_use]
    pub const fn params(&self) -> &MarketParams {
        &self.params
    }

    /// Returns the risk parameters: LTVs and minimum debt.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        self.risk
    }

    /// Returns the rate curve.
    #[must_use]
    pub const fn curve(&self) -> RateCurve {
        self.curve
    }

    /// Returns the liquidation incentive, which is the same for all loans.
    #[must_use]
    pub const fn liquidation_incentive(&self) -> &LiquidationIncentive {
        &self.liquidation_incentive
    }

    /// Returns the mutable state.
    #[must_use]
    pub const fn state(&self) -> &MarketState {
        &self.state
    }

    /// Returns the totals with interest accrued up to `timestamp`.
    #[must_use]
    pub fn at(&self, timestamp: u64) -> Market {
        self.state.totals.accrued(self.risk, self.curve, timestamp)
    }

    /// Returns the position of an account; all zeros if it has none.
    #[must_use]
    pub fn position(&self, account: Address) -> Position {
        self.positions.slot(account).map(|slot| self.positions.get(slot)).unwrap_or_default()
    }

    /// Replaces the position in a row, and moves the account's orders to the places that its new loan gives them.
    pub(super) fn set_position(&mut self, slot: u32, position: Position) {
        let before = self.positions.get(slot).loan();
        self.positions.set(slot, position);
        self.orders.change_loan(self.positions.account(slot), slot, before, position.loan());
    }

    /// Removes the position in the last row.
    pub(super) fn pop_position(&mut self, last: u32) {
        self.set_position(last, Position::default());
        self.positions.pop();
    }

    /// Replaces the order of an account, and returns the previous one.
    pub(super) fn set_order(
        &mut self,
        account: Address,
        kind: OrderKind,
        order: Option<PlacedOrder>,
    ) -> Option<PlacedOrder> {
        let loan = self.positions.slot(account).map(|slot| (slot, self.positions.get(slot).loan()));
        self.orders.set(account, kind, loan, order)
    }

    /// Returns the number of accounts with a debt.
    #[must_use]
    pub fn loans(&self) -> usize {
        self.positions.waterline().len()
    }

    /// Iterates over every account that ever had a position, in the order of their first.
    pub fn positions(&self) -> impl Iterator<Item = (Address, Position)> {
        self.positions_from(0)
    }

    /// Iterates over the same without the first `row` accounts, which cost no time.
    pub fn positions_from(&self, row: usize) -> impl Iterator<Item = (Address, Position)> {
        self.positions.iter_from(row)
    }

    /// Returns every loan whose health factor is below 1 at a price and a time, by the contract's own arithmetic. The
    /// work is proportional to their number, not to the number of all loans. Returns none at a price of 0, which the
    /// contract rejects.
    pub fn liquidatable(&self, price: U256, timestamp: u64) -> Vec<LiquidationCandidate> {
        self.liquidatable_from(price, timestamp, 0, usize::MAX)
    }

    /// Returns the same without the sizes of loans that lie wholly below `least_shares` – the work does not depend on
    /// their number – and of each other size no more than the `most` with the lowest health factors. Sizes are powers of
    /// four of borrow shares.
    pub fn liquidatable_from(
        &self,
        price: U256,
        timestamp: u64,
        least_shares: u128,
        most: usize,
    ) -> Vec<LiquidationCandidate> {
        if price.is_zero() {
            return Vec::new();
        }
        let (market, ltv_bps) = (self.at(timestamp), self.liquidation_incentive.ltv_bps);
        let slots = self.positions.waterline().within_reach(&market, ltv_bps, price, least_shares, most);
        slots
            .map(|slot| (slot, self.positions.get(slot).loan()))
            .filter(|(_, loan)| market.is_liquidatable(*loan, &self.liquidation_incentive, price))
            .map(|(slot, loan)| LiquidationCandidate { account: self.positions.account(slot), loan })
            .collect()
    }

    /// Counts the loans that are liquidatable, or spared by the contract's rounding, at a price and a time, and that
    /// [`liquidatable_from`](Self::liquidatable_from) leaves out for their size. The count ends at `most`.
    pub fn count_smaller(&self, price: U256, timestamp: u64, least_shares: u128, most: usize) -> usize {
        if price.is_zero() {
            return 0;
        }
        let (market, ltv_bps) = (self.at(timestamp), self.liquidation_incentive.ltv_bps);
        self.positions.waterline().count_smaller(&market, ltv_bps, price, least_shares, most)
    }

    /// Returns the lowest borrow shares of the first size of which the largest debt, in units of the loan token, `pays`; 0
    /// if the market has no loans.
    pub fn least_shares(&self, timestamp: u64, pays: impl Fn(u128) -> bool) -> u128 {
        let market = self.at(timestamp);
        self.positions
            .waterline()
            .least_shares(|borrow_shares| pays(market.debt_of(Loan { borrow_shares, collateral: 0 })))
    }

    /// Returns the liquidation price (waterline) of an account's loan at a time: the highest price at which it is
    /// liquidatable; 0 if it is healthy at every price, and the largest number if it is liquidatable at every price.
    /// The same as `ILens.PositionLine.waterlinePrice`.
    #[must_use]
    pub fn waterline(&self, account: Address, timestamp: u64) -> U256 {
        let loan = self.position(account).loan();
        let debt = self.at(timestamp).debt_of(loan);
        waterline_price(debt, loan.collateral, self.liquidation_incentive.ltv_bps)
    }
}

/// Identifies an amount that a backstop keeps or sets in the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoverKey {
    /// The cover of a backstop (first address) in a token (second address).
    Amount(Address, Address),
    /// The part of the cover of a backstop (first address) in a token (second address) that no loss may use.
    Floor(Address, Address),
    /// The amount of a backstop's cover that a market may still use.
    Limit(Address, MarketId),
}

/// All amounts of backstops that are not 0.
#[derive(Debug, Default)]
pub(super) struct Cover(BTreeMap<CoverKey, U256>);

impl Cover {
    pub(super) fn get(&self, key: CoverKey) -> U256 {
        self.0.get(&key).copied().unwrap_or_default()
    }

    /// Replaces an amount, and returns the previous one.
    pub(super) fn set(&mut self, key: CoverKey, amount: U256) -> U256 {
        let before = if amount.is_zero() { self.0.remove(&key) } else { self.0.insert(key, amount) };
        before.unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (CoverKey, U256)> {
        self.0.iter().map(|(key, amount)| (*key, *amount))
    }
}
