//! What a liquidation brings after gas, by the state of pools: an estimate from a node alone, which is never sent.
//!
//! The seized collateral is sold by the best route, the repayment is subtracted, and the rest is exchanged for the chain's
//! coin. What pools with concentrated liquidity bring is exact within a fifth of their price, up to 32 changes of liquidity on
//! either side; beyond that it is what the liquidity at the price gives.

use alloy::primitives::{Address, U256};
use plimsoll_chain::error::ChainError;
use plimsoll_protocols::{PositionSummary, wrapped};

use crate::{
    chain::Header,
    prices::ChainReader,
    routing::{pool::Venue, router::Router},
};

/// Where collateral may be sold, and what gas is paid in.
#[derive(Debug, Clone, Default)]
pub struct Sales {
    /// Factories of pools.
    pub venues: Vec<Venue>,
    /// Token that wraps the chain's coin; `None` where it is not known, so that nothing is known after gas either.
    pub wrapped_coin: Option<Address>,
    /// Further tokens that routes may lead over.
    pub hubs: Vec<Address>,
    /// Symbol of the coin.
    pub coin: String,
}

/// Computes what liquidations bring.
#[derive(Debug)]
pub(super) struct Estimator {
    wrapped_coin: Address,
    router: Router,
}

/// What a liquidation brings, by the state of the pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    /// Units of the debt token for which the seized collateral is sold.
    pub(super) proceeds: U256,
    /// Cost of the gas at the block's base fee, in wei.
    pub(super) gas_wei: U256,
    /// Value of the proceeds less the repayment and the gas, in wei; where these are more, what is missing.
    pub(super) net_wei: Result<U256, U256>,
}

impl Estimator {
    /// Returns an estimator that knows no pool yet; fails with the reason where nothing can be estimated.
    pub(super) fn new(sales: Sales) -> Result<Self, String> {
        let Some(wrapped_coin) = sales.wrapped_coin else {
            return Err("the token that wraps the chain's coin is not known: name it by --wrapped-coin".to_owned());
        };
        if sales.venues.is_empty() {
            return Err("no factory of pools is known on this chain: name one by --venue".to_owned());
        }
        let mut hubs = sales.hubs;
        hubs.insert(0, wrapped_coin);
        hubs.dedup();
        Ok(Self { wrapped_coin, router: Router::new(sales.venues, hubs) })
    }

    /// Reads the pools that liquidations of these positions need.
    pub(super) async fn refresh<R: ChainReader>(
        &mut self,
        reader: &R,
        header: &Header,
        positions: &[PositionSummary],
    ) -> Result<(), ChainError> {
        let sales = positions.iter().filter(|position| position.liquidation.is_some()).flat_map(|position| {
            let [collateral, debt] = self.pair(position);
            [(collateral, debt), (debt, self.wrapped_coin)]
        });
        let sales: Vec<_> = sales.filter(|(from, to)| from != to).collect();
        self.router.refresh_ahead(reader, header, sales).await
    }

    /// Returns what a liquidation of a position brings that uses so much gas, or why that is not known.
    pub(super) fn estimate(
        &self,
        header: &Header,
        gas: u64,
        position: &PositionSummary,
    ) -> Result<Estimate, &'static str> {
        let liquidation = position.liquidation.ok_or("no liquidation of it is known")?;
        let [collateral, debt] = self.pair(position);
        let proceeds =
            self.sell(collateral, debt, liquidation.seized).ok_or("no pool that is known buys the collateral")?;
        let value =
            |units| self.sell(debt, self.wrapped_coin, units).ok_or("no pool that is known buys the debt token");
        let gas_wei = U256::from(gas) * U256::from(header.base_fee);
        let net_wei = match proceeds.checked_sub(liquidation.repaid) {
            Some(left) => {
                let left_wei = value(left)?;
                left_wei.checked_sub(gas_wei).ok_or_else(|| gas_wei.saturating_sub(left_wei))
            }
            None => Err(value(liquidation.repaid.saturating_sub(proceeds))?.saturating_add(gas_wei)),
        };
        Ok(Estimate { proceeds, gas_wei, net_wei })
    }

    /// Returns the collateral and the debt token of a position, as pools have them.
    fn pair(&self, position: &PositionSummary) -> [Address; 2] {
        [position.collateral_token, position.debt_token].map(|token| wrapped(token, self.wrapped_coin))
    }

    /// Returns what the best route brings for an amount.
    fn sell(&self, from: Address, to: Address, amount: U256) -> Option<U256> {
        if from == to || amount.is_zero() {
            return Some(amount);
        }
        let routes = self.router.pools().candidates(from, to, self.router.hubs(), amount);
        routes.into_iter().next().map(|route| route.amount_out)
    }
}
