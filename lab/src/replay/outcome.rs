//! What came of it: the same, whether it happened on a chain or in the model.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::I256;
use plimsoll_keeper::amount::{Amount, Balance};
use serde::Serialize;

const BPS: u128 = 10_000;
/// Of the loan token.
const DECIMALS: u8 = 6;
const SYMBOL: &str = "USDC";

/// Everything that happened. Amounts are in units of the loan token, collateral in its own.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// How many borrowed in the beginning.
    pub loans: u64,
    /// What they owed.
    pub debt: u128,
    /// Block by block.
    pub moments: Vec<Moment>,
    /// In their order.
    pub liquidations: Vec<Liquidation>,
    /// Who was under water at some time, by number.
    pub under_water: BTreeSet<u64>,
    /// How many still are in the end.
    pub left_under_water: u64,
    /// What loans that still stand owe beyond what their collateral is worth: bad debt that nobody has written off.
    pub shortfall: u128,
    /// The longest that anybody was under water.
    pub worst_delay: Delay,
    /// What liquidations brought the keeper, before gas.
    pub profit: u128,
    /// What gas cost it.
    pub gas: u128,
    /// Its transactions that were mined.
    pub transactions: u64,
    /// Of these, reverted.
    pub reverted: u64,
}

/// How things stood in a block.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// Since the beginning.
    pub second: u64,
    /// What collateral costs elsewhere, in units of 8 decimals.
    pub market_price: u128,
    /// What the oracle says it does.
    pub oracle_price: u128,
    /// What everybody owes.
    pub debt: u128,
    /// How many are under water.
    pub under_water: u64,
}

/// One liquidation.
#[derive(Debug, Clone, Copy)]
pub struct Liquidation {
    /// Since the beginning.
    pub second: u64,
    /// Whose loan, by number.
    pub borrower: u64,
    /// Since when it was under water.
    pub since: u64,
    /// Debt repaid.
    pub repaid: u128,
    /// Collateral taken for it.
    pub seized: u128,
    /// What that was worth by the oracle.
    pub worth: u128,
    /// Debt written off.
    pub bad_debt: u128,
}

/// How long something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delay {
    /// In seconds of the recording.
    pub seconds: u64,
    /// In blocks that were mined.
    pub blocks: u64,
}

/// What people want to know of it. Amounts are exact.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// How many borrowed.
    pub loans: u64,
    /// What they owed in the beginning.
    pub debt: Amount,
    /// How many were under water at some time.
    pub under_water: u64,
    /// How many still are in the end.
    pub left_under_water: u64,
    /// Debt written off.
    pub bad_debt: Amount,
    /// What loans that still stand owe beyond the worth of their collateral.
    pub shortfall: Amount,
    /// Debt that liquidators repaid.
    pub repaid: Amount,
    /// The same as a part of what was owed in the beginning.
    pub liquidated_bps: u64,
    /// What borrowers lost beside: the worth of what was taken, less the debt that they were rid of.
    pub penalty: Amount,
    /// As a part of the debt repaid.
    pub penalty_of_repaid_bps: u64,
    /// As a part of all debt in the beginning.
    pub penalty_of_debt_bps: u64,
    /// How many liquidations.
    pub liquidations: u64,
    /// Of how many loans.
    pub liquidated: u64,
    /// How often a loan that had been brought to safety was liquidated again.
    pub again: u64,
    /// What the keeper earned after the exchange and gas.
    pub keeper: Balance,
    /// What gas cost it.
    pub gas: Amount,
    /// The longest that anybody was under water.
    pub worst_delay: Delay,
    /// The keeper's transactions that were mined.
    pub transactions: u64,
    /// Of these, reverted.
    pub reverted: u64,
}

impl Liquidation {
    /// What the borrower lost. Nothing where the collateral was worth less than the debt: that is others' loss.
    #[must_use]
    pub const fn penalty(&self) -> u128 {
        self.worth.saturating_sub(self.repaid + self.bad_debt)
    }
}

impl Outcome {
    /// Has both have happened, to different people. How things stood block by block is that of the first.
    pub fn join(&mut self, other: Self) {
        let before = self.loans;
        self.loans += other.loans;
        self.debt += other.debt;
        let renumbered = |done: Liquidation| Liquidation { borrower: before + done.borrower, ..done };
        self.liquidations.extend(other.liquidations.into_iter().map(renumbered));
        self.under_water.extend(other.under_water.into_iter().map(|number| before + number));
        self.left_under_water += other.left_under_water;
        self.shortfall += other.shortfall;
        self.worst_delay = self.worst_delay.max(other.worst_delay);
        self.profit += other.profit;
        self.gas += other.gas;
        self.transactions += other.transactions;
        self.reverted += other.reverted;
    }

    /// What it comes to.
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
            under_water: count(self.under_water.len())?,
            left_under_water: self.left_under_water,
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
            under_water: BTreeSet::from([3, 4]),
            shortfall: 7,
            worst_delay: Delay { seconds: 12, blocks: 1 },
            profit: 5,
            gas: 2,
            ..Outcome::default()
        };
        let mut both = outcome.clone();
        both.join(Outcome { worst_delay: Delay { seconds: 24, blocks: 1 }, ..outcome });
        let figures = both.figures().unwrap();
        assert_eq!([figures.loans, figures.under_water, figures.liquidated, figures.again], [20, 4, 2, 2]);
        assert_eq!(
            [figures.penalty_of_repaid_bps, figures.penalty_of_debt_bps, figures.liquidated_bps],
            [400, 80, 2_000]
        );
        assert_eq!((figures.worst_delay.seconds, both.shortfall, both.profit - both.gas), (24, 14, 6));
    }
}
