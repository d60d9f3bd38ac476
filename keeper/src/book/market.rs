//! A market in the book: its parameters, its totals, its positions, and who is under water.

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{InvalidParams, MarketId, MarketParams, RateCurve, Risk};

use super::positions::{Position, Positions};
use crate::math::{
    liquidation::{Terms, waterline_price},
    market::{Loan, Market},
};

/// One market and everybody's positions in it, as of the last applied block.
#[derive(Debug)]
pub struct MarketBook {
    id: MarketId,
    params: MarketParams,
    risk: Risk,
    curve: RateCurve,
    terms: Terms,
    pub(super) state: MarketState,
    pub(super) positions: Positions,
    /// Which application recorded the state for undoing: once for each is enough.
    pub(super) recorded_in: u64,
}

/// What of a market changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MarketState {
    /// Its totals as of its last update.
    pub totals: Market,
    /// Who gets its reserve above the floor; 0 for nobody.
    pub fee_recipient: Address,
    /// Which backstop covers it; 0 for none.
    pub backstop: Address,
}

/// A loan that can be liquidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Whose it is.
    pub account: Address,
    /// What is owed, and what secures it.
    pub loan: Loan,
}

impl MarketBook {
    pub(super) fn new(params: &MarketParams, created_at: u64) -> Result<Self, InvalidParams> {
        let (risk, curve) = (Risk::from_word(params.risk)?, RateCurve::from_word(params.curve)?);
        let totals =
            Market { last_update: created_at, rate_at_target: curve.start_rate_per_second(), ..Market::default() };
        Ok(Self {
            id: params.id(),
            params: params.clone(),
            risk,
            curve,
            terms: Terms::of(risk),
            state: MarketState { totals, ..MarketState::default() },
            positions: Positions::default(),
            recorded_in: 0,
        })
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> MarketId {
        self.id
    }

    /// Its parameters as calls take them.
    #[must_use]
    pub const fn params(&self) -> &MarketParams {
        &self.params
    }

    /// Its limits.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        self.risk
    }

    /// Its rate curve.
    #[must_use]
    pub const fn curve(&self) -> RateCurve {
        self.curve
    }

    /// What liquidations in it have in common.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What of it changes.
    #[must_use]
    pub const fn state(&self) -> &MarketState {
        &self.state
    }

    /// Its totals with interest up to a second.
    #[must_use]
    pub fn at(&self, timestamp: u64) -> Market {
        self.state.totals.accrued(self.curve, timestamp)
    }

    /// What an account holds and owes in it; all 0 where that is nothing.
    #[must_use]
    pub fn position(&self, account: Address) -> Position {
        self.positions.slot(account).map(|slot| self.positions.get(slot)).unwrap_or_default()
    }

    /// How many accounts owe something in it.
    #[must_use]
    pub fn loans(&self) -> usize {
        self.positions.waterline().len()
    }

    /// Every account that ever had a position, in the order of their first.
    pub fn positions(&self) -> impl Iterator<Item = (Address, Position)> {
        self.positions_from(0)
    }

    /// The same without the first so many, which are not even passed over.
    pub fn positions_from(&self, row: usize) -> impl Iterator<Item = (Address, Position)> {
        self.positions.iter_from(row)
    }

    /// Every loan that the contract would find unhealthy at a price and a time, exactly. The work is in proportion to
    /// their number, not to that of all loans. None at a price of 0, which the contract refuses.
    pub fn liquidatable(&self, price: U256, timestamp: u64) -> Vec<Candidate> {
        if price.is_zero() {
            return Vec::new();
        }
        let market = self.at(timestamp);
        let slots = self.positions.waterline().within_reach(&market, &self.terms, price);
        slots
            .map(|slot| (slot, self.positions.get(slot).loan()))
            .filter(|(_, loan)| market.is_liquidatable(*loan, &self.terms, price))
            .map(|(slot, loan)| Candidate { account: self.positions.account(slot), loan })
            .collect()
    }

    /// The highest price at which an account's loan can be liquidated at a time: 0 where at none, the largest number
    /// where at every price. The same as `ILens.PositionLine.waterlinePrice`.
    #[must_use]
    pub fn waterline(&self, account: Address, timestamp: u64) -> U256 {
        let loan = self.position(account).loan();
        waterline_price(self.at(timestamp).debt_of(loan), loan.collateral, self.terms.ltv_bps)
    }
}
