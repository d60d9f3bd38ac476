//! Which accounts are harvested together, if the time has come.

use alloy::primitives::{Address, U256};
use plimsoll_contracts::market::BPS;

use super::super::{
    gas::{Costs, GasTable},
    why_not::WhyNot,
};
use crate::{book::HarvestCandidate, prices::Rate};

/// Bytes of a call that harvests nobody, and of each account in it.
const CALL_BYTES: usize = 132;
const ACCOUNT_BYTES: usize = 32;

/// What a harvest costs in gas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) table: &'a GasTable,
    pub(super) costs: &'a Costs,
    /// The most gas of one transaction.
    pub(super) room: u64,
    /// The most accounts in one.
    pub(super) largest_batch: usize,
}

/// Accounts of a stream that are worth their place in a harvest, in transactions that each pay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) batches: Vec<Batch>,
    /// All tips that can be had, in wei.
    pub(super) waiting_wei: U256,
    /// What all transactions cost together, in wei.
    pub(super) gas_wei: U256,
    pub(super) left_out: Vec<(Address, WhyNot)>,
}

/// Accounts that are harvested in one transaction, those with the largest tips first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) accounts: Vec<Address>,
    /// How many of them have their rewards staked again.
    pub(super) compounding: usize,
    pub(super) tips_wei: U256,
    pub(super) gas: u64,
    pub(super) gas_wei: U256,
}

/// Chooses of the accounts that can be harvested. A tip is worth its place where it is more than the gas of that place.
pub(super) fn choose(candidates: &[HarvestCandidate], rate: Rate, terms: Terms<'_>) -> Choice {
    let mut choice = Choice::default();
    let mut worth = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let tip_wei = rate.value_down(tip_of(candidate));
        choice.waiting_wei = choice.waiting_wei.saturating_add(tip_wei);
        let place_wei = terms.costs.of(terms.table.of_account(candidate.consent.compounds), ACCOUNT_BYTES);
        if tip_wei > place_wei {
            worth.push((candidate, tip_wei));
        } else {
            choice.left_out.push((candidate.account, WhyNot::GainBelowGas { gain_wei: tip_wei, gas_wei: place_wei }));
        }
    }
    worth.sort_by(|(one, one_wei), (other, other_wei)| {
        other_wei.cmp(one_wei).then_with(|| one.account.cmp(&other.account))
    });
    let size = terms.table.accounts_within(terms.room).min(terms.largest_batch).max(1);
    for accounts in worth.chunks(size) {
        let compounding = accounts.iter().filter(|(candidate, _)| candidate.consent.compounds).count();
        let tips_wei = accounts.iter().fold(U256::ZERO, |sum, (_, tip_wei)| sum.saturating_add(*tip_wei));
        let gas = terms.table.of_harvest(accounts.len(), compounding);
        let gas_wei = terms.costs.of(gas, CALL_BYTES + accounts.len() * ACCOUNT_BYTES);
        let accounts = accounts.iter().map(|(candidate, _)| candidate.account).collect::<Vec<_>>();
        if terms.costs.are_worth(tips_wei, gas_wei) {
            choice.gas_wei = choice.gas_wei.saturating_add(gas_wei);
            choice.batches.push(Batch { accounts, compounding, tips_wei, gas, gas_wei });
        } else {
            let why_not = WhyNot::GainBelowGas { gain_wei: tips_wei, gas_wei };
            choice.left_out.extend(accounts.into_iter().map(|account| (account, why_not.clone())));
        }
    }
    choice
}

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
        /// A unit is worth a wei, and gas costs one.
        #[test]
        fn no_set_of_accounts_pays_better_than_the_chosen_one(
            rewards in prop::collection::vec((0_u128..40_000_000, 0_u16..2_000, any::<bool>()), 1..9),
        ) {
            let candidates: Vec<_> = (0..)
                .zip(&rewards)
                .map(|(number, (claimable, tip_bps, compounds))| candidate(number, *claimable, *tip_bps, *compounds))
                .collect();
            let (table, costs) = (GasTable::default(), Costs { gas_price: 1, data_byte_price: 0, margin_bps: 0 });
            let terms = Terms { table: &table, costs: &costs, room: 10_000_000, largest_batch: 100 };
            let rate = Rate::new(U512::ONE, U512::ONE).unwrap();
            let choice = choose(&candidates, rate, terms);
            let chosen: usize = choice.batches.iter().map(|batch| batch.accounts.len()).sum();
            prop_assert_eq!(chosen + choice.left_out.len(), candidates.len());
            let ours = choice.batches.iter().map(|batch| batch.tips_wei - batch.gas_wei).sum::<U256>();
            for set in 1..1_usize << candidates.len() {
                let some: Vec<_> = candidates.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, one)| one).collect();
                let tips = some.iter().map(|one| tip_of(one)).sum::<U256>();
                let compounding = some.iter().filter(|one| one.consent.compounds).count();
                let gas = U256::from(table.of_harvest(some.len(), compounding));
                prop_assert!(tips.saturating_sub(gas) <= ours, "{some:?}");
            }
        }
    }

    #[test]
    fn many_accounts_go_in_several_transactions_that_each_fit_and_pay() {
        let candidates: Vec<_> =
            (0..250).map(|number| candidate(number, 1_000_000_000, 100, number % 2 == 0)).collect();
        let (table, costs) = (GasTable::default(), Costs { gas_price: 1, data_byte_price: 0, margin_bps: 0 });
        let terms = Terms { table: &table, costs: &costs, room: 5_000_000, largest_batch: 100 };
        let choice = choose(&candidates, Rate::ONE, terms);
        assert!(choice.batches.len() > 3);
        for batch in &choice.batches {
            assert!(table.harvest_limit(batch.gas, batch.accounts.len()) <= 5_000_000);
            assert!(batch.tips_wei > batch.gas_wei);
        }
        assert_eq!(choice.left_out, []);
    }
}
