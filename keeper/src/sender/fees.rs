//! Fees of a transaction: enough for the next blocks, never more than its expected profit covers. A replacement bumps
//! both fees by what pools require.

use alloy::primitives::{U256, ruint::UintTryTo};

use crate::intent::{FeeExceedsProfit, Fees, GuardKind, Intent};

/// Number of fee bumps that a first offer leaves room for below its limit, where that is possible.
const RESERVED_FEE_BUMPS: u32 = 3;

/// Which fee fields a chain's transactions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxFees {
    /// A maximum fee and a maximum priority fee (EIP-1559). What the maximum exceeds the base fee and priority fee by
    /// is not paid.
    Eip1559,
    /// One gas price, which is paid in full.
    Legacy,
}

/// How fees are found. Every figure is the chain's or the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeePolicy {
    /// Fee fields of the chain's transactions.
    pub style: TxFees,
    /// Lowest priority fee that block producers take, in wei per gas.
    pub min_priority_fee: u128,
    /// Highest fee that is offered whatever the profit, in wei per gas. It is the only limit of cancellations.
    pub max_fee_per_gas: u128,
    /// How much of the present base fee a first offer covers, in percent: 200 lasts for five full blocks under
    /// Ethereum's rules.
    pub base_fee_percent: u32,
    /// Highest cost of one transaction, in wei: its gas limit at its maximum fee. It bounds what a single revert may cost.
    pub max_cost: U256,
    /// By how much a replacement raises both fees, in percent: at least geth's 10.
    pub bump_percent: u32,
}

impl Default for FeePolicy {
    /// Returns a policy for Ethereum.
    fn default() -> Self {
        Self {
            style: TxFees::Eip1559,
            min_priority_fee: 10_000_000,
            max_fee_per_gas: 2_000_000_000_000,
            base_fee_percent: 200,
            max_cost: U256::MAX,
            bump_percent: 10,
        }
    }
}

impl FeePolicy {
    /// Returns the highest maximum fee per gas that an intent affords, in wei: the price up to which it is worth its cost,
    /// by the rule that it was decided by, no more than its call is guarded for, and no more than a transaction may cost.
    #[must_use]
    pub fn affordable_fee(&self, intent: &Intent) -> u128 {
        let worth = intent.worth().max_gas_price().unwrap_or(0);
        let guarded = match intent.guard {
            GuardKind::OnChain | GuardKind::None => u128::MAX,
            GuardKind::UpTo(price) => price,
        };
        let within_cost = self.max_cost / U256::from(intent.gas_limit.max(1));
        let within_cost: u128 = within_cost.uint_try_to().unwrap_or(u128::MAX);
        worth.min(guarded).min(within_cost).min(self.max_fee_per_gas)
    }

    /// Returns the fees to offer for an intent. `outbid` is what a pool may hold for the same nonce, or has rejected as
    /// underpriced. Fails if the fees would exceed the expected profit.
    pub fn fees_for(&self, intent: &Intent, base_fee: u64, outbid: Option<Fees>) -> Result<Fees, FeeExceedsProfit> {
        self.fees_within(self.affordable_fee(intent), intent.bid, base_fee, outbid)
    }

    /// Returns the fees to offer for a cancellation. Fails if they would exceed the policy's maximum.
    pub fn cancellation_fees(&self, base_fee: u64, outbid: Option<Fees>) -> Result<Fees, FeeExceedsProfit> {
        self.fees_within(self.max_fee_per_gas, 0, base_fee, outbid)
    }

    /// Returns the fees to offer for a cancellation that only has to take the place of what pools hold. Fails if they would
    /// exceed the policy's maximum.
    pub fn replacement_fees(&self, outbid: Fees) -> Result<Fees, FeeExceedsProfit> {
        let bumped = self.bumped_fees(outbid);
        let needed = bumped.max_fee_per_gas.max(bumped.max_priority_fee_per_gas);
        if needed > self.max_fee_per_gas {
            return Err(FeeExceedsProfit { needed, affordable: self.max_fee_per_gas });
        }
        Ok(Fees { max_fee_per_gas: needed, ..bumped })
    }

    /// Whether an offer no longer covers this base fee and the minimum priority fee.
    #[must_use]
    pub fn is_below_base_fee(&self, fees: Fees, base_fee: u64) -> bool {
        fees.max_fee_per_gas < self.lowest_fee(base_fee)
    }

    /// Returns the lowest maximum fee per gas with which a transaction could be mined and replaces what a pool may hold for
    /// the same nonce.
    #[must_use]
    pub fn least_fee(&self, base_fee: u64, outbid: Option<Fees>) -> u128 {
        let lowest = self.lowest_fee(base_fee);
        let bumped = outbid.map(|outbid| self.bumped_fees(outbid));
        bumped.map_or(lowest, |bumped| lowest.max(bumped.max_fee_per_gas).max(bumped.max_priority_fee_per_gas))
    }

    fn bumped_fees(&self, fees: Fees) -> Fees {
        Fees {
            max_fee_per_gas: self.bumped(fees.max_fee_per_gas),
            max_priority_fee_per_gas: self.bumped(fees.max_priority_fee_per_gas),
        }
    }

    fn fees_within(
        &self,
        affordable: u128,
        bid: u128,
        base_fee: u64,
        outbid: Option<Fees>,
    ) -> Result<Fees, FeeExceedsProfit> {
        let bumped = outbid.map(|outbid| self.bumped_fees(outbid));
        let needed = self.least_fee(base_fee, outbid);
        if needed > affordable {
            return Err(FeeExceedsProfit { needed, affordable });
        }
        let first = self.first_offer(affordable, bid, base_fee);
        let bumped = bumped.unwrap_or(first);
        let priority_fee = first.max_priority_fee_per_gas.max(bumped.max_priority_fee_per_gas);
        // The bumped priority fee may exceed the maximum of a first offer.
        let max_fee = first.max_fee_per_gas.max(bumped.max_fee_per_gas).max(priority_fee);
        Ok(Fees {
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: match self.style {
                TxFees::Eip1559 => priority_fee,
                TxFees::Legacy => max_fee,
            },
        })
    }

    /// Returns a first offer: at least what the next block takes, at most `affordable`, which the caller has compared.
    fn first_offer(&self, affordable: u128, bid: u128, base_fee: u64) -> Fees {
        let base_fee = u128::from(base_fee);
        let priority_fee = bid.min(affordable.saturating_sub(base_fee)).max(self.min_priority_fee);
        let wanted = percent(base_fee, self.base_fee_percent).saturating_add(priority_fee);
        let with_room = (0..RESERVED_FEE_BUMPS).fold(affordable, |fee, _| self.unbumped(fee));
        let needed = base_fee.saturating_add(priority_fee);
        let max_fee = wanted.min(with_room).max(needed).min(affordable);
        Fees { max_fee_per_gas: max_fee, max_priority_fee_per_gas: priority_fee.min(max_fee) }
    }

    /// Returns the lowest maximum fee per gas with which a transaction is mined at this base fee.
    fn lowest_fee(&self, base_fee: u64) -> u128 {
        u128::from(base_fee).saturating_add(self.min_priority_fee)
    }

    /// Raises a fee by the bump, and by 1 wei at least.
    fn bumped(&self, fee: u128) -> u128 {
        percent(fee, self.bump_percent.saturating_add(100)).max(fee.saturating_add(1))
    }

    /// Returns a fee that, bumped once, is at most `fee`.
    fn unbumped(&self, fee: u128) -> u128 {
        let divisor = u128::from(self.bump_percent.saturating_add(100));
        fee / divisor * 100
    }
}

/// Returns this percentage of a fee, rounded up.
fn percent(fee: u128, percent: u32) -> u128 {
    fee.saturating_mul(u128::from(percent)).div_ceil(100)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};
    use proptest::prelude::*;

    use super::*;
    use crate::intent::{Priority, Purpose, Scope};

    const GWEI: u128 = 1_000_000_000;

    fn intent(priority: Priority, expected_gas: u64, gain: u128) -> Intent {
        Intent {
            purpose: Purpose::Liquidate { market: B256::ZERO, borrowers: Vec::new() },
            priority,
            to: Address::ZERO,
            data: Vec::new().into(),
            gas_limit: expected_gas * 2,
            expected_gas,
            expected_gain: U256::from(gain),
            extra_wei: U256::ZERO,
            margin_bps: 2_500,
            deadline: u64::MAX,
            scope: Scope::new("liquidate", B256::ZERO),
            guard: GuardKind::None,
            bid: 0,
            profit: None,
        }
    }

    fn fees(max_fee_per_gas: u128, max_priority_fee_per_gas: u128) -> Fees {
        Fees { max_fee_per_gas, max_priority_fee_per_gas }
    }

    #[test]
    fn a_first_offer_covers_twice_the_base_fee_and_bids_what_the_intent_says() {
        let policy = FeePolicy::default();
        let gain = 100_000 * 1_000 * GWEI;
        let unbid = intent(Priority::High, 100_000, gain);
        let offer = policy.fees_for(&unbid, 10_000_000_000, None).unwrap();
        assert_eq!(offer, fees(20 * GWEI + GWEI / 100, GWEI / 100));
        let bid = Intent { bid: 89 * GWEI, ..unbid.clone() };
        assert_eq!(policy.fees_for(&bid, 10_000_000_000, None).unwrap(), fees(109 * GWEI, 89 * GWEI));
        // 800 gwei are affordable per unit of gas, of which 790 are left for a bid.
        let too_high = Intent { bid: 2_000 * GWEI, ..unbid };
        assert_eq!(policy.fees_for(&too_high, 10_000_000_000, None).unwrap(), fees(800 * GWEI, 790 * GWEI));
    }

    #[test]
    fn no_offer_costs_more_at_its_gas_limit_than_a_transaction_may() {
        let policy = FeePolicy { max_cost: U256::from(200_000 * 15 * GWEI), ..FeePolicy::default() };
        let rich = intent(Priority::High, 100_000, 100_000 * 1_000 * GWEI);
        assert!(policy.fees_for(&rich, 10_000_000_000, None).unwrap().max_fee_per_gas <= 15 * GWEI);
        let refused = policy.fees_for(&rich, 16_000_000_000, None).unwrap_err();
        assert_eq!(refused.affordable, 15 * GWEI);
    }

    #[test]
    fn an_intent_that_does_not_cover_its_gas_is_refused_with_both_figures() {
        let refused =
            FeePolicy::default().fees_for(&intent(Priority::High, 100_000, 100_000 * GWEI), 10_000_000_000, None);
        assert_eq!(refused, Err(FeeExceedsProfit { needed: 10_010_000_000, affordable: 800_000_000 }));
    }

    #[test]
    fn no_offer_and_no_replacement_exceeds_the_price_that_a_call_is_guarded_for() {
        let policy = FeePolicy::default();
        let gain = 100_000 * 1_000 * GWEI;
        let guarded = Intent { guard: GuardKind::UpTo(30 * GWEI), ..intent(Priority::High, 100_000, gain) };
        let mut offer = policy.fees_for(&guarded, 10_000_000_000, None).unwrap();
        assert_eq!(offer.max_priority_fee_per_gas, GWEI / 100);
        let refused = loop {
            assert!(offer.max_fee_per_gas <= 30 * GWEI, "{offer:?}");
            match policy.fees_for(&guarded, 10_000_000_000, Some(offer)) {
                Ok(replacement) => offer = replacement,
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.affordable, 30 * GWEI);
    }

    #[test]
    fn a_small_gain_leaves_room_for_three_fee_bumps() {
        let policy = FeePolicy::default();
        let small = intent(Priority::Low, 100_000, 100_000 * 20 * GWEI);
        let mut fees = policy.fees_for(&small, 10_000_000_000, None).unwrap();
        for _ in 0..3 {
            fees = policy.fees_for(&small, 10_000_000_000, Some(fees)).unwrap();
        }
        assert!(fees.max_fee_per_gas <= 16 * GWEI, "{fees:?}");
    }

    proptest! {
        #[test]
        fn fees_never_exceed_the_spendable_gain_and_outbid_by_the_bump(
            gain in 0..u128::MAX, gas in 1..u64::MAX / 4, base_fee in 0..u64::MAX, bid: u128, legacy: bool,
            outbid in prop::option::of((0..1u128 << 60, 0..1u128 << 60)),
        ) {
            let style = if legacy { TxFees::Legacy } else { TxFees::Eip1559 };
            let policy = FeePolicy { style, max_fee_per_gas: u128::MAX, ..FeePolicy::default() };
            let outbid = outbid.map(|(max_fee, priority_fee)| fees(max_fee.max(priority_fee), priority_fee));
            if let Ok(offer) = policy.fees_for(&Intent { bid, ..intent(Priority::High, gas, gain) }, base_fee, outbid) {
                let (max_fee, priority_fee) = (offer.max_fee_per_gas, offer.max_priority_fee_per_gas);
                let cost = U256::from(max_fee) * U256::from(gas);
                prop_assert!(cost * U256::from(10_000 + 2_500) <= U256::from(gain) * U256::from(10_000));
                prop_assert!(priority_fee <= max_fee);
                prop_assert!(max_fee >= u128::from(base_fee) + policy.min_priority_fee);
                if let Some(outbid) = outbid {
                    let is_bumped = |new: u128, old: u128| {
                        new > old && U256::from(new) * U256::from(100) >= U256::from(old) * U256::from(110)
                    };
                    prop_assert!(is_bumped(max_fee, outbid.max_fee_per_gas));
                    prop_assert!(is_bumped(priority_fee, outbid.max_priority_fee_per_gas));
                }
            }
        }
    }
}
