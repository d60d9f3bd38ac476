//! Bids by empirical best response: the priority fee that a liquidation offers follows what earlier races would have taken.
//!
//! For every scope – a strategy in one market – the last [`MEMORY`] prices to beat are kept, in shares of the net profit
//! that a race was about. The bid is the share that would have earned most over these: `F(s) (1 − s) − (1 − F(s)) r(s)`,
//! where `F(s)` is the part of the races that a bid of `s` would have won, and `r(s)` what a reverted transaction costs: its
//! gas with the same bid, and nothing behind relays that do not include it. So where
//! nobody competes nothing is bid, a rival that outbids now and then is not paid for in every race, and one that cannot be
//! beaten with a profit is not raced against.
//!
//! A rule that raises after a loss and lowers after a win does worse: one rival in ten races makes it bid the rival's price
//! in nearly all of them.

use std::collections::{BTreeMap, VecDeque};

use alloy::primitives::{U256, ruint::UintTryTo};
use serde::{Deserialize, Serialize};

use crate::intent::Scope;

/// One whole, in the millionths that shares are counted in.
pub const WHOLE: u32 = 1_000_000;

/// Number of prices that are remembered in each scope.
pub const MEMORY: usize = 32;

/// With fewer prices than this in a market, those of the strategy in all markets are used.
const SPARSE: usize = 8;

/// A bid that beats a remembered price exceeds it by this part of it: a sixteenth.
const STEP_SHIFT: u32 = 4;

/// Below this share, in millionths, a belief about rivals has faded.
const FADED: u32 = 1_000;

/// Number of races in a row that a rival must win by a narrow margin to be taken for one that copies our transactions.
const COPIES: u32 = 3;

/// By how much a copier outbids at most, in percent of our priority fee.
const COPY_MARGIN_PERCENT: u128 = 5;

/// How transactions are ordered within a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// By priority fee, highest first: a race is an auction.
    Priority,
    /// By arrival: a bid buys nothing.
    Arrival,
}

/// What is bid for an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bid {
    /// This share of its net profit, in millionths.
    Share(u32),
    /// Nothing: with every bid up to the cap, lost races would cost more than won ones earn.
    Outbid,
}

/// What a lost race costs. Nothing where what reverts is not mined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RevertCost {
    /// Gas at the expected price, without a bid, in millionths of the net profit.
    pub gas: u32,
    /// Part of the bid that a reverted transaction pays nevertheless, in millionths: that of its gas in a successful one's.
    pub of_bid: u32,
}

impl RevertCost {
    /// Returns the cost of a race about a net profit, whose lost transaction uses this gas, and whose won one `gas`.
    pub fn of_race(lost_race_gas: u64, gas: u64, gas_price: u128, net_wei: U256) -> Self {
        Self { gas: share_of(gas_price, lost_race_gas, net_wei), of_bid: share_of(1, lost_race_gas, U256::from(gas)) }
    }

    /// Returns the cost with a bid of this share, in millionths of the net profit.
    fn with_bid(self, share: u32) -> u32 {
        let bid = u64::from(share) * u64::from(self.of_bid) / u64::from(WHOLE);
        self.gas.saturating_add(u32::try_from(bid).unwrap_or(u32::MAX))
    }
}

/// How a race ended that an intent of ours had entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaceResult {
    /// Ours was first, with this share of its net profit, in millionths.
    Won(u32),
    /// A rival was first, with this priority fee per gas in wei.
    Lost {
        /// The rival's priority fee per gas, in wei.
        theirs: u128,
        /// Ours, in wei.
        ours: u128,
        /// Share of our net profit that the rival's priority fee would have been at our gas, in millionths.
        price: u32,
    },
}

/// What a lost race says about the rivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaceAlert {
    /// Several races in a row were lost by a few percent: somebody copies pending transactions.
    Copied,
    /// Most races are lost to transactions that offered less: they reach the block by another way.
    OrderFlow,
}

/// The prices to beat in one scope, oldest first, in millionths; [`WHOLE`] for a race that no bid would have won.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Prices {
    prices: VecDeque<u32>,
    /// Number of races in a row that were lost by a few percent.
    #[serde(default)]
    narrow_losses: u32,
}

/// What is remembered of races through a restart: the prices of each scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RaceRecord(Vec<(Scope, Prices)>);

/// Bids for the intents of all scopes.
#[derive(Debug)]
pub struct Bids {
    cap: u32,
    ordering: Ordering,
    scopes: BTreeMap<Scope, Prices>,
}

impl Bids {
    /// Returns bids that never exceed `cap`, in millionths of the net profit, and continue from a record.
    #[must_use]
    pub fn new(cap: u32, ordering: Ordering, record: RaceRecord) -> Self {
        Self { cap: cap.min(WHOLE - 1), ordering, scopes: record.0.into_iter().collect() }
    }

    /// Returns what to remember through a restart.
    #[must_use]
    pub fn record(&self) -> RaceRecord {
        RaceRecord(self.scopes.iter().map(|(scope, prices)| (scope.clone(), prices.clone())).collect())
    }

    /// Returns the bid for an intent of a scope, whose transaction costs so much if it reverts.
    #[must_use]
    pub fn bid(&self, scope: &Scope, revert_cost: RevertCost) -> Bid {
        if self.ordering == Ordering::Arrival {
            return Bid::Share(0);
        }
        let enough = |prices: &&Prices| prices.prices.len() >= SPARSE;
        let prices = self.scopes.get(scope).filter(enough).or_else(|| self.scopes.get(&everywhere(scope)));
        prices.map_or(Bid::Share(0), |prices| prices.best_response(self.cap, revert_cost))
    }

    /// Records how a race ended. Returns what an operator should know of it.
    pub fn record_result(&mut self, scope: &Scope, result: RaceResult) -> Option<RaceAlert> {
        self.scopes.entry(everywhere(scope)).or_default().record_result(result);
        self.scopes.entry(scope.clone()).or_default().record_result(result)
    }

    /// Records that a race was not entered because of [`Bid::Outbid`]. The oldest price is forgotten, so that a rival that
    /// has left does not keep us away for ever.
    pub fn pass_over(&mut self, scope: &Scope) {
        for scope in [everywhere(scope), scope.clone()] {
            if let Some(prices) = self.scopes.get_mut(&scope) {
                prices.prices.pop_front();
            }
        }
    }
}

/// Returns the scope that stands for a strategy in all of its markets.
fn everywhere(scope: &Scope) -> Scope {
    Scope { market: Default::default(), ..scope.clone() }
}

impl Prices {
    /// Returns the share with the highest value over the remembered races; the lowest of equals.
    fn best_response(&self, cap: u32, revert_cost: RevertCost) -> Bid {
        let beating = self.prices.iter().map(|price| price + (price >> STEP_SHIFT) + 1).filter(|share| *share <= cap);
        let best = std::iter::once(0).chain(beating).map(|share| (self.value(share, revert_cost), share));
        let best = best.reduce(|best, next| if (next.0, best.1) > (best.0, next.1) { next } else { best });
        match best {
            Some((value, share)) if value > 0 => Bid::Share(share),
            _ => Bid::Outbid,
        }
    }

    /// Returns what a share would have earned over the remembered races and one more that it wins.
    fn value(&self, share: u32, revert_cost: RevertCost) -> i64 {
        // A price of 0 is nobody's.
        let won = 1 + self.prices.iter().filter(|price| **price < share || **price == 0).count();
        let lost = 1 + self.prices.len() - won;
        let times = |count: usize, amount: u32| i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(amount.into());
        times(won, WHOLE.saturating_sub(share)) - times(lost, revert_cost.with_bid(share))
    }

    /// Returns the number of races that no bid would have won.
    fn unwinnable(&self) -> usize {
        self.prices.iter().filter(|price| **price == WHOLE).count()
    }

    fn record_result(&mut self, result: RaceResult) -> Option<RaceAlert> {
        let mut alert = None;
        let price = match result {
            RaceResult::Won(share) => {
                self.narrow_losses = 0;
                // Nothing was seen of rivals: what is believed of them fades.
                if share > FADED { share - share / 8 } else { 0 }
            }
            RaceResult::Lost { theirs, ours, .. } if theirs <= ours => {
                self.narrow_losses = 0;
                alert = Some(RaceAlert::OrderFlow);
                WHOLE
            }
            RaceResult::Lost { theirs, ours, price } => {
                let is_narrow = theirs <= ours.saturating_add(ours.saturating_mul(COPY_MARGIN_PERCENT) / 100);
                self.narrow_losses = if is_narrow { self.narrow_losses + 1 } else { 0 };
                if self.narrow_losses >= COPIES {
                    (self.narrow_losses, alert) = (0, Some(RaceAlert::Copied));
                }
                price.min(WHOLE)
            }
        };
        let before = self.unwinnable();
        self.prices.push_back(price);
        if self.prices.len() > MEMORY {
            self.prices.pop_front();
        }
        let is_new = before <= MEMORY / 2 && self.unwinnable() > MEMORY / 2;
        alert.filter(|alert| *alert != RaceAlert::OrderFlow || is_new)
    }
}

/// Returns the share of a net profit, in millionths, that a priority fee per gas takes; [`WHOLE`] where it takes all of it
/// and more.
#[must_use]
pub fn share_of(priority_fee: u128, gas: u64, net_wei: U256) -> u32 {
    let paid = U256::from(priority_fee).saturating_mul(U256::from(gas)).saturating_mul(U256::from(WHOLE));
    let share: u32 = paid.checked_div(net_wei).unwrap_or(U256::MAX).uint_try_to().unwrap_or(WHOLE);
    share.min(WHOLE)
}

/// Returns the priority fee per gas, in wei and rounded down, that is a share of a net profit.
#[must_use]
pub fn priority_fee(share: u32, gas: u64, net_wei: U256) -> u128 {
    let paid = net_wei.saturating_mul(U256::from(share)) / U256::from(WHOLE);
    (paid / U256::from(gas.max(1))).uint_try_to().unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests;
