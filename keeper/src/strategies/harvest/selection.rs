//! Selects the accounts that are worth harvesting, and groups them into transactions.

use alloy::primitives::{Address, U256};
use plimsoll_contracts::market::BPS;

use crate::{
    book::HarvestCandidate,
    prices::Rate,
    strategies::{
        SkipReason,
        gas::{Costs, GasTable, no_room},
    },
};

/// Bytes of calldata of a harvest without accounts.
const CALL_BYTES: usize = 164;
/// Bytes of calldata of each account in a harvest.
const ACCOUNT_BYTES: usize = 32;

/// Gas, gas prices and limits of harvests.
#[derive(Debug, Clone, Copy)]
pub(super) struct HarvestCosts<'a> {
    pub(super) table: &'a GasTable,
    pub(super) costs: &'a Costs,
    /// Highest gas limit of one transaction.
    pub(super) room: u64,
    /// Highest number of accounts in one transaction.
    pub(super) max_batch: usize,
}

/// The accounts of a stream that are worth harvesting, in transactions that are each profitable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) batches: Vec<HarvestBatch>,
    /// Sum of the tips of all candidates, in wei.
    pub(super) waiting_wei: U256,
    /// Sum of the costs of all batches, in wei.
    pub(super) gas_wei: U256,
    /// Candidates that are in no batch, with the reasons.
    pub(super) skipped: Vec<(Address, SkipReason)>,
}

/// An account that is worth its place in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SelectedAccount {
    pub(super) account: Address,
    /// Expected tip, in wei.
    pub(super) tip_wei: U256,
    /// Whether the reward is staked again instead of paid.
    pub(super) compounds: bool,
}

/// Accounts that are harvested in one transaction, those with the largest tips first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HarvestBatch {
    pub(super) accounts: Vec<SelectedAccount>,
    /// Sum of the tips, in wei.
    pub(super) tips_wei: U256,
    /// Gas that the transaction is expected to use.
    pub(super) gas: u64,
    /// Expected cost, in wei.
    pub(super) gas_wei: U256,
}

impl HarvestBatch {
    /// Returns a batch of these accounts, with the sum of their tips and the expected gas.
    pub(super) fn new(accounts: Vec<SelectedAccount>, table: &GasTable, costs: &Costs) -> Self {
        let compounding = accounts.iter().filter(|account| account.compounds).count();
        let tips_wei = accounts.iter().fold(U256::ZERO, |sum, account| sum.saturating_add(account.tip_wei));
        let gas = table.harvest_gas(accounts.len(), compounding);
        let gas_wei = costs.transaction_cost(gas, CALL_BYTES + accounts.len() * ACCOUNT_BYTES);
        Self { accounts, tips_wei, gas, gas_wei }
    }

    /// Lists the addresses of the accounts.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> {
        self.accounts.iter().map(|account| account.account)
    }
}

/// Selects accounts of those that can be harvested. An account is worth its place in a transaction where its tip exceeds
/// the gas of that place.
pub(super) fn select_accounts(candidates: &[HarvestCandidate], rate: Rate, costs: HarvestCosts<'_>) -> Selection {
    let mut selection = Selection::default();
    let mut worth = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let tip_wei = rate.value_down(tip_of(candidate));
        selection.waiting_wei = selection.waiting_wei.saturating_add(tip_wei);
        let place_gas = costs.table.account_gas(candidate.consent.compounds);
        let place_wei = costs.costs.transaction_cost(place_gas, ACCOUNT_BYTES);
        if tip_wei > place_wei {
            let (account, compounds) = (candidate.account, candidate.consent.compounds);
            worth.push(SelectedAccount { account, tip_wei, compounds });
        } else {
            let reason = SkipReason::GainBelowGas { gain_wei: tip_wei, gas_wei: place_wei };
            selection.skipped.push((candidate.account, reason));
        }
    }
    worth.sort_by(|one, other| other.tip_wei.cmp(&one.tip_wei).then_with(|| one.account.cmp(&other.account)));
    let size = costs.table.max_accounts(costs.room).min(costs.max_batch);
    if size == 0 {
        let rule = no_room(costs.room);
        let held = |account: SelectedAccount| (account.account, SkipReason::Held { rule: rule.clone() });
        selection.skipped.extend(worth.into_iter().map(held));
        return selection;
    }
    for accounts in worth.chunks(size) {
        let batch = HarvestBatch::new(accounts.to_vec(), costs.table, costs.costs);
        if costs.costs.is_profitable(batch.tips_wei, batch.gas_wei) {
            selection.gas_wei = selection.gas_wei.saturating_add(batch.gas_wei);
            selection.batches.push(batch);
        } else {
            let reason = SkipReason::GainBelowGas { gain_wei: batch.tips_wei, gas_wei: batch.gas_wei };
            selection.skipped.extend(batch.addresses().map(|account| (account, reason.clone())));
        }
    }
    selection
}

/// Returns the tip of an account's harvest, in units of the reward token.
fn tip_of(candidate: &HarvestCandidate) -> U256 {
    U256::from(candidate.claimable) * U256::from(candidate.consent.tip_bps) / U256::from(BPS)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U512;
    use proptest::prelude::*;

    use super::*;
    use crate::book::HarvestConsent;

    fn candidate(number: u64, claimable: u128, tip_bps: u16, compounds: bool) -> HarvestCandidate {
        let consent = HarvestConsent { enabled: true, compounds, tip_bps, smallest: 0 };
        HarvestCandidate { account: Address::left_padding_from(&number.to_be_bytes()), claimable, consent }
    }

    proptest! {
        /// A unit of the reward token is worth one wei, and a unit of gas costs one.
        #[test]
        fn no_set_of_accounts_is_more_profitable_than_the_selected_one(
            rewards in prop::collection::vec((0_u128..40_000_000, 0_u16..2_000, any::<bool>()), 1..9),
        ) {
            let candidates: Vec<_> = (0..)
                .zip(&rewards)
                .map(|(number, (claimable, tip_bps, compounds))| candidate(number, *claimable, *tip_bps, *compounds))
                .collect();
            let (table, costs) = (GasTable::default(), Costs { gas_price: 1, data_byte_price: 0, margin_bps: 0 });
            let costs = HarvestCosts { table: &table, costs: &costs, room: 10_000_000, max_batch: 100 };
            let rate = Rate::new(U512::ONE, U512::ONE).unwrap();
            let selection = select_accounts(&candidates, rate, costs);
            let selected: usize = selection.batches.iter().map(|batch| batch.accounts.len()).sum();
            prop_assert_eq!(selected + selection.skipped.len(), candidates.len());
            let ours = selection.batches.iter().map(|batch| batch.tips_wei - batch.gas_wei).sum::<U256>();
            for set in 1..1_usize << candidates.len() {
                let some: Vec<_> = candidates.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, one)| one).collect();
                let tips = some.iter().map(|one| tip_of(one)).sum::<U256>();
                let compounding = some.iter().filter(|one| one.consent.compounds).count();
                let gas = U256::from(table.harvest_gas(some.len(), compounding));
                prop_assert!(tips.saturating_sub(gas) <= ours, "{some:?}");
            }
        }
    }

    #[test]
    fn many_accounts_are_split_into_transactions_that_each_fit_and_are_profitable() {
        let candidates: Vec<_> =
            (0..250).map(|number| candidate(number, 1_000_000_000, 100, number % 2 == 0)).collect();
        let (table, costs) = (GasTable::default(), Costs { gas_price: 1, data_byte_price: 0, margin_bps: 0 });
        let costs = HarvestCosts { table: &table, costs: &costs, room: 5_000_000, max_batch: 100 };
        let selection = select_accounts(&candidates, Rate::ONE, costs);
        assert!(selection.batches.len() > 3);
        for batch in &selection.batches {
            assert!(table.harvest_gas_limit(batch.gas, batch.accounts.len()) <= 5_000_000);
            assert!(batch.tips_wei > batch.gas_wei);
        }
        assert_eq!(selection.skipped, []);
    }
}
