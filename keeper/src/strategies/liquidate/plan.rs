//! The plan of a market, the candidate calls to simulate in it, and the quote that a simulation gives for one.

use alloy::primitives::U256;

use super::{
    LoanId, batches::LoanBatch, candidate_call::CandidateCall, funding::Funding, market_snapshot::MarketSnapshot,
};
use crate::{intent::Worth, strategies::gas::Costs};

/// What is simulated in a market before it is decided what to send.
pub(super) struct MarketPlan<'a> {
    pub(super) snapshot: MarketSnapshot<'a>,
    pub(super) batches: Vec<LoanBatch>,
    /// Candidate calls for the first batch, whole and in parts, by every funding. Each is simulated independently of the
    /// others; at most one is sent.
    pub(super) independent: Vec<CandidateCall<'a>>,
    /// Candidate calls for all batches, whole, by the first funding, simulated sequentially; empty where there is only
    /// one batch.
    pub(super) sequential: Vec<CandidateCall<'a>>,
}

/// What a simulated call would bring and cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quote {
    /// Repayment, in units of the loan token.
    pub(super) repaid: U256,
    /// Profit of a flash swap, in units of its profit token; for a liquidation from inventory the seized collateral.
    pub(super) profit: U256,
    /// Gain before gas, in wei.
    pub(super) gain_wei: U256,
    /// Gas used in simulation, or expected where that is not known.
    pub(super) gas: u64,
    /// Cost of gas and calldata, in wei.
    pub(super) gas_wei: U256,
    /// What the call is worth by the gas that it is charged for: of a flash swap, the guard's on chain, before refunds.
    pub(super) worth: Worth,
    /// Cost that is charged at the expected price, in wei.
    pub(super) charge_wei: U256,
}

impl Quote {
    /// Returns the gain after gas, in wei; 0 for a loss.
    pub(super) const fn net(&self) -> U256 {
        self.gain_wei.saturating_sub(self.gas_wei)
    }

    /// Returns the gain after the guard's charge, in wei, of which a share may be bid; 0 for a loss.
    pub(super) const fn net_after_charge(&self) -> U256 {
        self.gain_wei.saturating_sub(self.charge_wei)
    }

    /// Returns whether the call is worth sending, by the rule by which the sender offers fees.
    pub(super) fn is_profitable(&self, costs: &Costs) -> bool {
        self.worth.pays_at(costs.gas_price)
    }
}

impl<'a> MarketPlan<'a> {
    /// Returns all loans of all batches.
    pub(super) fn loans(&self) -> impl Iterator<Item = LoanId> {
        let batches = self.batches.iter();
        batches.flat_map(|batch| batch.loans.iter().map(|loan| self.snapshot.loan(loan.account)))
    }

    /// Removes all but the two largest independent calls of each funding, and returns the removed ones.
    pub(super) fn defer_smaller_parts(&mut self) -> Vec<CandidateCall<'a>> {
        let (mut kept, mut deferred): (Vec<CandidateCall<'a>>, _) = (Vec::new(), Vec::new());
        for call in std::mem::take(&mut self.independent) {
            let with_same_funding = kept.iter().filter(|other| other.funding == call.funding).count();
            if with_same_funding < 2 { kept.push(call) } else { deferred.push(call) }
        }
        self.independent = kept;
        deferred
    }

    /// Returns whether with each funding the whole batch succeeds and its half brings no more. `quotes` are those of the
    /// independent calls, `None` where one reverts.
    pub(super) fn wholes_bring_most(&self, quotes: &[Option<Quote>]) -> bool {
        let mut wholes: Vec<(Funding<'a>, U256)> = Vec::new();
        for (call, quote) in self.independent.iter().zip(quotes) {
            let net = quote.as_ref().map(Quote::net);
            match wholes.iter().find(|(funding, _)| *funding == call.funding) {
                Some((_, whole)) if net.is_some_and(|half| half > *whole) => return false,
                Some(_) => {}
                None => match net {
                    Some(whole) => wholes.push((call.funding, whole)),
                    None => return false,
                },
            }
        }
        true
    }
}
