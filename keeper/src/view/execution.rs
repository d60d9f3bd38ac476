//! What a mined transaction did, read from its receipt.

use alloy::{
    primitives::{Address, Log, U256},
    rpc::types::TransactionReceipt,
    sol_types::SolEvent,
};
use plimsoll_contracts::{ILiquidator::LiquidateWithoutCapital, IPlimsoll, IRewards};

use super::denomination::Denomination;
use crate::{
    amount::Amount,
    config::{Config, Deployed},
    prices::Values,
};

/// What a mined transaction of the keeper did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExecutionResult {
    /// Number of accounts that were liquidated or harvested.
    pub(crate) accounts: u64,
    /// Borrowers whose loans were liquidated.
    pub(crate) borrowers: Vec<Address>,
    /// Token and amount that was repaid or claimed. The token is zero after a liquidation, whose event does not name
    /// it: see [`Self::in_token`].
    pub(crate) moved: Option<(Address, U256)>,
    /// Token and amount of the profit.
    pub(crate) profit: Option<(Address, U256)>,
}

impl ExecutionResult {
    /// Reads the events of the deployment's contracts in a receipt; other contracts' are ignored.
    pub(crate) fn of(receipt: &TransactionReceipt, deployed: &Deployed) -> Self {
        let mut result = Self::default();
        for log in receipt.logs() {
            let log: &Log = &log.inner;
            if Some(log.address) == deployed.liquidator
                && let Ok(event) = LiquidateWithoutCapital::decode_log(log)
            {
                result.profit = Some((event.profitToken, event.profit));
            } else if log.address == deployed.core
                && let Ok(event) = IPlimsoll::Liquidate::decode_log(log)
            {
                result.accounts += 1;
                result.borrowers.push(event.borrower);
                result.add_moved(Address::ZERO, event.repaid);
            } else if Some(log.address) == deployed.rewards
                && let Ok(event) = IRewards::Harvest::decode_log(log)
            {
                result.accounts += 1;
                result.add_moved(event.rewardToken, event.amount);
                let (_, tips) = result.profit.unwrap_or_default();
                result.profit = Some((event.rewardToken, tips.saturating_add(event.tip)));
            } else if Some(log.address) == deployed.rewards
                && let Ok(event) = IRewards::Claim::decode_log(log)
            {
                result.accounts += 1;
                result.add_moved(event.rewardToken, event.amount);
            }
        }
        result
    }

    /// Names the loan token of a liquidation.
    #[must_use]
    pub(crate) fn in_token(mut self, token: Address) -> Self {
        if let Some((unnamed, _)) = self.moved.as_mut().filter(|(named, _)| named.is_zero()) {
            *unnamed = token;
        }
        self
    }

    /// Values the profit in wei, rounded down; 0 where its token has no value.
    pub(crate) fn gain(&self, values: &Values) -> U256 {
        let value = |(token, units)| Some(values.of(token).ok()?.value_down(units));
        self.profit.and_then(value).unwrap_or_default()
    }

    /// Labels the amount that was repaid or claimed with its token.
    pub(crate) fn moved_amount(&self, config: &Config) -> Option<Amount> {
        self.moved.map(|(token, units)| Denomination::of(config, token).amount(units))
    }

    /// Labels the profit with its token.
    pub(crate) fn profit_amount(&self, config: &Config) -> Option<Amount> {
        self.profit.map(|(token, units)| Denomination::of(config, token).amount(units))
    }

    fn add_moved(&mut self, token: Address, units: U256) {
        let (_, before) = self.moved.unwrap_or_default();
        self.moved = Some((token, before.saturating_add(units)));
    }
}
