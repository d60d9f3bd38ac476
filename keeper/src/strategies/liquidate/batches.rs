//! Which loans of a market go together in a transaction, and in which order.
//!
//! A loan is worth a place in a batch where its bonus, by the oracle's price, is more than the gas of that place. The
//! exchange's depth is what is scarce, so the best come first by what is left of the bonus for each unit of value that
//! is sold. A batch is worth sending where its bonuses together exceed its gas; since every loan in it brings more than
//! it costs, no part of a batch is worth more than the whole, as long as the exchange keeps the price.

use std::cmp::Ordering;

use alloy::primitives::{Address, U256, U512};
use plimsoll_contracts::MarketId;

use super::super::{
    gas::{Costs, GasTable},
    why_not::WhyNot,
};
use crate::{
    book::{Candidate, MarketBook},
    math::{
        liquidation::value_down,
        market::{Liquidated, Loan, Market},
    },
};

/// Bytes of a call that liquidates nobody, and of each loan in it.
const CALL_BYTES: usize = 800;
const LOAN_BYTES: usize = 32;

/// A market at a price and a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) market: &'a MarketBook,
    pub(super) price: U256,
    pub(super) timestamp: u64,
}

/// What a liquidation costs in gas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) table: &'a GasTable,
    pub(super) costs: &'a Costs,
    /// Pools that the collateral is sold through.
    pub(super) pools: usize,
    /// The most gas of one transaction.
    pub(super) room: u64,
}

/// Loans that go together, the best first, and what the core would do to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) loans: Vec<Candidate>,
    pub(super) repaid: U256,
    pub(super) seized: U256,
    /// The market before it.
    pub(super) before: Market,
}

/// What the core would do to loans in their order, repaying no more than `limit` over all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// To which it would do something, and what.
    pub(super) loans: Vec<(Candidate, Liquidated)>,
    pub(super) repaid: U256,
    pub(super) seized: U256,
    /// What the collateral is worth beyond the repayment, by the oracle, in units of the loan token.
    pub(super) bonus: U256,
}

impl Scene<'_> {
    pub(super) const fn id(self) -> MarketId {
        self.market.id()
    }

    pub(super) fn expect(self, market: &mut Market, loans: &[Candidate], limit: U256) -> Expected {
        let mut expected = Expected::default();
        for candidate in loans {
            let left = limit.saturating_sub(expected.repaid).saturating_to();
            let mut loan = candidate.loan;
            let (terms, smallest_debt) = (self.market.terms(), self.market.risk().smallest_debt());
            if let Some(done) = market.liquidate(&mut loan, terms, self.price, smallest_debt, left) {
                expected.repaid += U256::from(done.repaid);
                expected.seized += U256::from(done.seized);
                expected.bonus += self.bonus(&done);
                expected.loans.push((*candidate, done));
            }
        }
        expected
    }

    fn bonus(self, done: &Liquidated) -> U256 {
        U256::from(value_down(done.seized, self.price).saturating_sub(done.repaid))
    }

    /// What would be done to a loan alone.
    fn alone(self, market: Market, mut loan: Loan) -> Option<Liquidated> {
        let (terms, smallest_debt) = (self.market.terms(), self.market.risk().smallest_debt());
        let mut market = market;
        market.liquidate(&mut loan, terms, self.price, smallest_debt, u128::MAX)
    }
}

/// A loan with what remains of its bonus after its gas, in wei, and the value that is sold for it.
struct Ranked {
    candidate: Candidate,
    net_wei: U256,
    sold: u128,
}

impl Ranked {
    /// The most wei for what is sold first.
    fn order(&self, other: &Self) -> Ordering {
        let per_sold = |one: &Self, other: &Self| -> U512 { one.net_wei.widening_mul(U256::from(other.sold)) };
        per_sold(other, self)
            .cmp(&per_sold(self, other))
            .then_with(|| other.net_wei.cmp(&self.net_wei))
            .then_with(|| self.candidate.account.cmp(&other.candidate.account))
    }
}

/// Puts loans into batches. `worth` says what units of the loan token are worth to us, in wei. Each loan that is in none
/// comes back with the reason.
pub(super) fn batches(
    scene: Scene<'_>,
    candidates: Vec<Candidate>,
    worth: impl Fn(U256) -> U256,
    terms: Terms<'_>,
) -> (Vec<Batch>, Vec<(Address, WhyNot)>) {
    let mut market = scene.market.at(scene.timestamp);
    let place_wei = terms.costs.of(terms.table.further_loan, LOAN_BYTES);
    let (mut ranked, mut left_out) = (Vec::with_capacity(candidates.len()), Vec::new());
    for candidate in candidates {
        let Some(done) = scene.alone(market, candidate.loan) else {
            left_out.push((candidate.account, WhyNot::NoPartPossible));
            continue;
        };
        let gain_wei = worth(scene.bonus(&done));
        if gain_wei <= place_wei {
            left_out.push((candidate.account, WhyNot::GainBelowGas { gain_wei, gas_wei: place_wei }));
        } else {
            let sold = value_down(done.seized, scene.price);
            ranked.push(Ranked { candidate, net_wei: gain_wei - place_wei, sold });
        }
    }
    ranked.sort_unstable_by(Ranked::order);
    let ranked: Vec<_> = ranked.into_iter().map(|ranked| ranked.candidate).collect();

    let size = terms.table.loans_within(terms.room, terms.pools);
    if size == 0 {
        let rule = format!("no liquidation fits {} gas, which is all that a transaction may use", terms.room);
        left_out.extend(ranked.iter().map(|loan| (loan.account, WhyNot::Held { rule: rule.clone() })));
        return (Vec::new(), left_out);
    }
    let mut batches = Vec::new();
    for loans in ranked.chunks(size) {
        let before = market;
        let expected = scene.expect(&mut market, loans, U256::MAX);
        let gain_wei = worth(expected.bonus);
        let gas_wei = cost_of(terms, loans.len());
        if terms.costs.are_worth(gain_wei, gas_wei) {
            let loans = loans.to_vec();
            batches.push(Batch { loans, repaid: expected.repaid, seized: expected.seized, before });
        } else {
            market = before;
            let why_not = WhyNot::GainBelowGas { gain_wei, gas_wei };
            left_out.extend(loans.iter().map(|loan| (loan.account, why_not.clone())));
        }
    }
    (batches, left_out)
}

/// What a transaction with so many loans costs, in wei.
pub(super) fn cost_of(terms: Terms<'_>, loans: usize) -> U256 {
    let gas = terms.table.of_liquidation(loans, terms.pools);
    terms.costs.of(gas, CALL_BYTES.saturating_add(loans.saturating_mul(LOAN_BYTES)))
}
