//! Groups the liquidatable loans of a market into batches, one for each transaction, the most profitable loans first.
//!
//! A loan is worth its place in a batch where its liquidation incentive, at the oracle's price, exceeds the gas of that
//! place. Swap liquidity is scarce, so loans are ranked by the incentive net of gas for each unit of value sold. A batch
//! is sent where its incentives together exceed its gas by the margin. Since every loan in it brings more than it costs,
//! no part of a batch is worth more than the whole, as long as the swap keeps the oracle's price.

use std::cmp::Ordering;

use alloy::primitives::{Address, U256, U512};

use super::market_snapshot::MarketSnapshot;
use crate::{
    book::LiquidationCandidate,
    math::{liquidation::value_down, types::Market},
    strategies::{
        SkipReason,
        gas::{Costs, GasTable, no_room},
    },
};

/// Bytes of calldata of a liquidation without loans.
const CALL_BYTES: usize = 800;
/// Bytes of calldata of each loan in a liquidation.
const LOAN_BYTES: usize = 32;

/// Gas, gas prices and gas room of liquidations in a market.
#[derive(Debug, Clone, Copy)]
pub(super) struct LiquidationCosts<'a> {
    pub(super) table: &'a GasTable,
    pub(super) costs: &'a Costs,
    /// Number of pools that the collateral is swapped through.
    pub(super) pools: usize,
    /// Highest gas limit of one transaction.
    pub(super) room: u64,
}

impl LiquidationCosts<'_> {
    /// Returns the cost of a transaction that liquidates `loans`, in wei.
    pub(super) fn batch_cost(&self, loans: usize) -> U256 {
        let gas = self.table.liquidation_gas(loans, self.pools);
        self.costs.transaction_cost(gas, CALL_BYTES.saturating_add(loans.saturating_mul(LOAN_BYTES)))
    }

    /// Returns what one further loan adds to the cost of a transaction, in wei.
    pub(super) fn place_cost(&self) -> U256 {
        self.costs.transaction_cost(self.table.further_loan, LOAN_BYTES)
    }
}

/// Loans that are liquidated in one transaction, the most profitable first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoanBatch {
    pub(super) loans: Vec<LiquidationCandidate>,
    /// Expected repayment of the whole batch, in units of the loan token.
    pub(super) repaid: U256,
    /// Totals of the market before the batch, after all batches before it.
    pub(super) before: Market,
}

/// A loan with the figures that rank it.
struct RankedLoan {
    candidate: LiquidationCandidate,
    /// Liquidation incentive net of the gas of its place, in wei.
    net_wei: U256,
    /// Value of the collateral that is sold for it, in units of the loan token.
    sold: u128,
}

impl RankedLoan {
    /// Orders loans by net gain for each unit of value sold, highest first; ties by net gain, then by account.
    fn order(&self, other: &Self) -> Ordering {
        let per_sold = |one: &Self, other: &Self| -> U512 { one.net_wei.widening_mul(U256::from(other.sold)) };
        per_sold(other, self)
            .cmp(&per_sold(self, other))
            .then_with(|| other.net_wei.cmp(&self.net_wei))
            .then_with(|| self.candidate.account.cmp(&other.candidate.account))
    }
}

/// Groups loans into batches that each fit a transaction and are profitable at the oracle's price. `value` gives the
/// value in wei of a liquidation incentive in units of the loan token. Loans that are in no batch are returned with their
/// reasons.
pub(super) fn build_batches(
    snapshot: MarketSnapshot<'_>,
    candidates: Vec<LiquidationCandidate>,
    value: impl Fn(U256) -> U256,
    costs: LiquidationCosts<'_>,
) -> (Vec<LoanBatch>, Vec<(Address, SkipReason)>) {
    let mut totals = snapshot.market.at(snapshot.timestamp);
    let place_wei = costs.place_cost();
    let (mut ranked, mut skipped) = (Vec::with_capacity(candidates.len()), Vec::new());
    for candidate in candidates {
        let Some(done) = snapshot.liquidate(&mut totals.clone(), candidate.loan, u128::MAX) else {
            skipped.push((candidate.account, SkipReason::NoPartPossible));
            continue;
        };
        let gain_wei = value(snapshot.incentive(&done));
        if gain_wei <= place_wei {
            skipped.push((candidate.account, SkipReason::GainBelowGas { gain_wei, gas_wei: place_wei }));
        } else {
            let sold = value_down(done.seized, snapshot.price);
            ranked.push(RankedLoan { candidate, net_wei: gain_wei - place_wei, sold });
        }
    }
    ranked.sort_unstable_by(RankedLoan::order);
    let ranked: Vec<_> = ranked.into_iter().map(|ranked| ranked.candidate).collect();

    let size = costs.table.max_loans(costs.room, costs.pools);
    if size == 0 {
        let rule = no_room(costs.room);
        skipped.extend(ranked.iter().map(|loan| (loan.account, SkipReason::Held { rule: rule.clone() })));
        return (Vec::new(), skipped);
    }
    let mut batches = Vec::new();
    for loans in ranked.chunks(size) {
        let before = totals;
        let expected = snapshot.expect_liquidation(&mut totals, loans, U256::MAX);
        let gain_wei = value(expected.incentive);
        let gas_wei = costs.batch_cost(loans.len());
        if costs.costs.is_profitable(gain_wei, gas_wei) {
            batches.push(LoanBatch { loans: loans.to_vec(), repaid: expected.repaid, before });
        } else {
            totals = before;
            let reason = SkipReason::GainBelowGas { gain_wei, gas_wei };
            skipped.extend(loans.iter().map(|loan| (loan.account, reason.clone())));
        }
    }
    (batches, skipped)
}
