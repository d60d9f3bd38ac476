//! The state of a market and of a loan as the contract keeps them, and the results of the operations on them.

use alloy::primitives::{U256, ruint::UintTryTo};
use plimsoll_contracts::Market as MarketOnChain;

/// The totals of a market as of its last update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Market {
    /// Assets that suppliers and the reserve own together.
    pub supply_assets: u128,
    /// Shares into which the supply assets are divided.
    pub supply_shares: u128,
    /// Assets that borrowers owe together.
    pub borrow_assets: u128,
    /// Shares into which the borrow assets are divided.
    pub borrow_shares: u128,
    /// Timestamp up to which interest has been accrued, in seconds.
    pub last_update: u64,
    /// Part of the interest that goes to the reserve, in basis points.
    pub fee_bps: u16,
    /// Borrow rate at the target utilisation, per second, 1e18-scaled.
    pub rate_at_target: u64,
    /// Interest below one unit, in 2^-32 units.
    pub interest_remainder: u32,
    /// Supply shares that belong to the reserve.
    pub reserve_shares: u128,
    /// Used part of the surge limit, of [`super::surge::FULL`]; 0 in a market without one.
    pub surge_level: u32,
}

/// What an accrual of interest added to a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accrued {
    /// Assets added to the borrow assets and to the supply assets.
    pub interest: u128,
    /// Shares added to the supply shares and to the reserve shares.
    pub fee_shares: u128,
}

/// The debt of an account in a market, and the collateral for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loan {
    /// Shares of the market's debt.
    pub borrow_shares: u128,
    /// Units of the collateral token.
    pub collateral: u128,
}

/// The result of liquidating one loan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Liquidated {
    /// Units of the loan token that the liquidator pays.
    pub repaid: u128,
    /// Borrow shares that the loan loses.
    pub shares: u128,
    /// Units of the collateral token that the liquidator gets.
    pub seized: u128,
    /// Units of the loan token that are written off.
    pub bad_debt: u128,
}

impl From<Market> for MarketOnChain {
    fn from(market: Market) -> Self {
        Self {
            supplyAssets: U256::from(market.supply_assets),
            supplyShares: U256::from(market.supply_shares),
            borrowAssets: U256::from(market.borrow_assets),
            borrowShares: U256::from(market.borrow_shares),
            lastUpdate: U256::from(market.last_update),
            feeBps: U256::from(market.fee_bps),
            rateAtTarget: U256::from(market.rate_at_target),
            interestRemainder: U256::from(market.interest_remainder),
            reserveShares: U256::from(market.reserve_shares),
            surgeLevel: U256::from(market.surge_level),
        }
    }
}

/// A stored total is larger than the contract can store: it is another contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a market's {0} is larger than the contract can store")]
pub struct MarketOutOfRange(&'static str);

impl TryFrom<MarketOnChain> for Market {
    type Error = MarketOutOfRange;

    fn try_from(market: MarketOnChain) -> Result<Self, Self::Error> {
        fn narrow<T>(number: U256, name: &'static str) -> Result<T, MarketOutOfRange>
        where
            U256: UintTryTo<T>,
        {
            number.uint_try_to().map_err(|_| MarketOutOfRange(name))
        }
        Ok(Self {
            supply_assets: narrow(market.supplyAssets, "supply assets")?,
            supply_shares: narrow(market.supplyShares, "supply shares")?,
            borrow_assets: narrow(market.borrowAssets, "borrow assets")?,
            borrow_shares: narrow(market.borrowShares, "borrow shares")?,
            last_update: narrow(market.lastUpdate, "last update")?,
            fee_bps: narrow(market.feeBps, "fee")?,
            rate_at_target: narrow(market.rateAtTarget, "rate at target")?,
            interest_remainder: narrow(market.interestRemainder, "interest remainder")?,
            reserve_shares: narrow(market.reserveShares, "reserve shares")?,
            surge_level: narrow(market.surgeLevel, "surge level")?,
        })
    }
}
