//! The outcome of a replay, on a chain or in the model.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::I256;
use plimsoll_keeper::amount::{Amount, Balance};
use serde::Serialize;

use super::guard::Execution;

const BPS: u128 = 10_000;
/// Decimals of the loan token.
const DECIMALS: u8 = 6;
const SYMBOL: &str = "USDC";

/// The outcome of a replay. Amounts are in units of the loan token, collateral in units of its own.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Number of loans.
    pub loans: u64,
    /// Their initial debt.
    pub debt: u128,
    /// The market after each block.
    pub snapshots: Vec<Snapshot>,
    /// The liquidations, in order.
    pub liquidations: Vec<Liquidation>,
    /// The executions of orders, in order.
    pub executions: Vec<Execution>,
    /// Numbers of the loans that were liquidatable at any time.
    pub ever_liquidatable: BTreeSet<u64>,
    /// Number of loans that are liquidatable at the end.
    pub left_liquidatable: u64,
    /// Debt beyond the value of the collateral, of loans that are open at the end: bad debt that is not written off.
    pub shortfall: u128,
    /// The longest time that a loan was liquidatable.
    pub worst_delay: Delay,
    /// Profit of the keeper's liquidations, before gas.
    pub profit: u128,
    /// Cost of the keeper's gas.
    pub gas: u128,
    /// Number of the keeper's mined transactions.
    pub transactions: u64,
    /// Number of the keeper's reverted transactions.
    pub reverted: u64,
}

/// The market after a block.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Seconds since the beginning.
    pub second: u64,
    /// The recorded price of the collateral, with 8 decimals.
    pub market_price: u128,
    /// The feed's last answer, with 8 decimals.
    pub oracle_price: u128,
    /// Total debt.
    pub debt: u128,
    /// Number of liquidatable loans.
    pub liquidatable: u64,
}

/// One liquidation.
#[derive(Debug, Clone, Copy)]
pub struct Liquidation {
    /// Seconds since the beginning.
    pub second: u64,
    /// Number of the loan.
    pub borrower: u64,
    /// The second since which it was liquidatable.
    pub since: u64,
    /// Debt repaid.
    pub repaid: u128,
    /// Collateral seized for it.
    pub seized: u128,
    /// Value of that collateral, at the oracle's price.
    pub worth: u128,
    /// Debt written off.
    pub bad_debt: u128,
}

/// A duration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delay {
    /// In seconds of the recording.
    pub seconds: u64,
    /// In blocks that were mined.
    pub blocks: u64,
}

/// The figures of an outcome. Amounts are exact.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Number of loans.
    pub loans: u64,
    /// Their initial debt.
    pub debt: Amount,
    /// Number of loans that were liquidatable at any time.
    #[serde(rename = "underWater")]
    pub liquidatable: u64,
    /// Number of loans that are liquidatable at the end.
    #[serde(rename = "leftUnderWater")]
    pub left_liquidatable: u64,
    /// Debt written off.
    pub bad_debt: Amount,
    /// Debt beyond the value of the collateral, of loans that are open at the end.
    pub shortfall: Amount,
    /// Debt that liquidators repaid.
    pub repaid: Amount,
    /// Debt repaid, in basis points of the initial debt.
    pub liquidated_bps: u64,
    /// Borrowers' loss: the value of the seized collateral less the debt that was repaid or written off.
    pub penalty: Amount,
    /// The penalty in basis points of the debt repaid.
    pub penalty_of_repaid_bps: u64,
    /// The penalty in basis points of the initial debt.
    pub penalty_of_debt_bps: u64,
    /// Number of liquidations.
    pub liquidations: u64,
    /// Number of loans that were liquidated.
    pub liquidated: u64,
    /// Number of times that a loan was liquidated again after it had been healthy.
    pub again: u64,
    /// The keeper's profit, after the exchange and gas.
    pub keeper: Balance,
    /// Cost of the keeper's gas.
    pub gas: Amount,
    /// The longest time that a loan was liquidatable.
    pub worst_delay: Delay,
    /// Number of the keeper's mined transactions.
    pub transactions: u64,
    /// Number of the keeper's reverted transactions.
    pub reverted: u64,
}

impl Liquidation {
    /// Returns the borrower's loss. It is 0 where the collateral was worth less than the debt, which is a loss of
    /// others.
    #[must_use]
    pub const fn penalty(&self) -> u128 {
        self.worth.saturating_sub(self.repaid + self.bad_debt)
    }
}

impl Outcome {
    /// Returns the loss of a borrower by liquidations; none if there was no liquidation.
    #[must_use]
    pub fn penalty(&self, borrower: u64) -> Option<u128> {
        let own = self.liquidations.iter().filter(|done| done.borrower == borrower);
        own.map(Liquidation::penalty).reduce(|sum, penalty| sum + penalty)
    }

    /// Returns the loss of a borrower by executions of its order and by liquidations.
    #[must_use]
    pub fn loss(&self, borrower: u64) -> u128 {
        self.premium(borrower) + self.penalty(borrower).unwrap_or_default()
    }

    /// Returns the loss of a borrower by executions of its order.
    fn premium(&self, borrower: u64) -> u128 {
        let own = self.executions.iter().filter(|done| done.borrower == borrower);
        own.map(|done| done.worth.saturating_sub(done.repaid)).sum()
    }

    /// Adds another outcome, with borrowers of its own. The snapshots remain those of this one.
    pub fn merge(&mut self, other: Self) {
        let before = self.loans;
        self.loans += other.loans;
        self.debt += other.debt;
        let renumbered = |done: Liquidation| Liquidation { borrower: before + done.borrower, ..done };
        self.liquidations.extend(other.liquidations.into_iter().map(renumbered));
        self.ever_liquidatable.extend(other.ever_liquidatable.into_iter().map(|number| before + number));
        self.left_liquidatable += other.left_liquidatable;
        self.shortfall += other.shortfall;
        self.worst_delay = self.worst_delay.max(other.worst_delay);
        self.profit += other.profit;
        self.gas += other.gas;
        self.transactions += other.transactions;
        self.reverted += other.reverted;
    }

    /// Computes the figures.
    ///
    /// # Errors
    /// When a number exceeds its type.
    pub fn figures(&self) -> eyre::Result<Figures> {
        let (mut episodes, [mut repaid, mut penalty, mut bad_debt]) = (BTreeMap::<u64, BTreeSet<u64>>::new(), [0; 3]);
        for liquidation in &self.liquidations {
            episodes.entry(liquidation.borrower).or_default().insert(liquidation.since);
            repaid += liquidation.repaid;
            penalty += liquidation.penalty();
            bad_debt += liquidation.bad_debt;
        }
        let part_bps = |part: u128, whole: u128| u64::try_from((part * BPS).checked_div(whole).unwrap_or_default());
        let dollars = |units: u128| Amount::new(units, DECIMALS, SYMBOL);
        let net = I256::try_from(self.profit)?.checked_sub(I256::try_from(self.gas)?).unwrap_or_default();
        let count = |count: usize| u64::try_from(count);
        Ok(Figures {
            loans: self.loans,
            debt: dollars(self.debt),
            liquidatable: count(self.ever_liquidatable.len())?,
            left_liquidatable: self.left_liquidatable,
            bad_debt: dollars(bad_debt),
            shortfall: dollars(self.shortfall),
            repaid: dollars(repaid),
            liquidated_bps: part_bps(repaid, self.debt)?,
            penalty: dollars(penalty),
            penalty_of_repaid_bps: part_bps(penalty, repaid)?,
            penalty_of_debt_bps: part_bps(penalty, self.debt)?,
            liquidations: count(self.liquidations.len())?,
            liquidated: count(episodes.len())?,
            again: count(episodes.values().map(|times| times.len() - 1).sum())?,
            keeper: Balance { units: net, decimals: DECIMALS, token: SYMBOL.to_owned() },
            gas: dollars(self.gas),
            worst_delay: self.worst_delay,
            transactions: self.transactions,
            reverted: self.reverted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_outcomes_have_distinct_borrowers() {
        let liquidation =
            Liquidation { second: 24, borrower: 3, since: 12, repaid: 100, seized: 1, worth: 105, bad_debt: 1 };
        let outcome = Outcome {
            loans: 10,
            debt: 1_000,
            liquidations: vec![liquidation, Liquidation { since: 20, ..liquidation }],
            ever_liquidatable: BTreeSet::from([3, 4]),
            shortfall: 7,
            worst_delay: Delay { seconds: 12, blocks: 1 },
            profit: 5,
            gas: 2,
            ..Outcome::default()
        };
        let mut both = outcome.clone();
        both.merge(Outcome { worst_delay: Delay { seconds: 24, blocks: 1 }, ..outcome });
        let figures = both.figures().unwrap();
        assert_eq!([figures.loans, figures.liquidatable, figures.liquidated, figures.again], [20, 4, 2, 2]);
        assert_eq!(
            [figures.penalty_of_repaid_bps, figures.penalty_of_debt_bps, figures.liquidated_bps],
            [400, 80, 2_000]
        );
        assert_eq!((figures.worst_delay.seconds, both.shortfall, both.profit - both.gas), (24, 14, 6));
    }
}
