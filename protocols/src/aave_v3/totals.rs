//! Sums over all accounts, kept with every change of one, so that no block looks at the accounts that stay as they were.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, U256};

use super::{accounts::Account, health::Side};

/// Sums over all accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Totals {
    /// Scaled debt of each reserve.
    debts: BTreeMap<u16, U256>,
    /// Accounts in each e-mode category, 0 included.
    categories: BTreeMap<u8, usize>,
    /// Accounts of each category with a balance in each reserve; those with a problem of their own are left out.
    holders: BTreeMap<(u8, u16), usize>,
    /// Accounts with a problem of their own.
    problems: BTreeSet<Address>,
}

impl Totals {
    /// Adds an account.
    pub(super) fn add(&mut self, address: Address, account: &Account) {
        for (reserve, scaled) in debts(account) {
            *self.debts.entry(reserve).or_default() += scaled;
        }
        *self.categories.entry(account.category).or_default() += 1;
        for holder in holders(account) {
            *self.holders.entry(holder).or_default() += 1;
        }
        if account.problem.is_some() {
            self.problems.insert(address);
        }
    }

    /// Subtracts an account that was added as it is here.
    pub(super) fn subtract(&mut self, address: Address, account: &Account) {
        for (reserve, scaled) in debts(account) {
            let debt = self.debts.entry(reserve).or_default();
            *debt = debt.saturating_sub(scaled);
            if debt.is_zero() {
                self.debts.remove(&reserve);
            }
        }
        count_down(&mut self.categories, account.category);
        for holder in holders(account) {
            count_down(&mut self.holders, holder);
        }
        self.problems.remove(&address);
    }

    /// Returns the scaled debt of a reserve.
    pub(super) fn debt(&self, reserve: u16) -> U256 {
        self.debts.get(&reserve).copied().unwrap_or_default()
    }

    /// Iterates over the e-mode categories that accounts are in.
    pub(super) fn categories(&self) -> impl Iterator<Item = u8> {
        self.categories.keys().copied().filter(|category| *category != 0)
    }

    /// Iterates over category and reserve of balances, with the number of accounts that have such.
    pub(super) fn holders(&self) -> impl Iterator<Item = ((u8, u16), usize)> {
        self.holders.iter().map(|(holder, count)| (*holder, *count))
    }

    /// Returns the accounts with a problem of their own.
    pub(super) const fn problems(&self) -> &BTreeSet<Address> {
        &self.problems
    }
}

fn debts(account: &Account) -> impl Iterator<Item = (u16, U256)> {
    let debts = account.balances.iter().filter(|balance| balance.side == Side::Debt);
    debts.map(|balance| (balance.token, U256::from(balance.scaled)))
}

/// Each reserve once, though an account may have both collateral and debt in it.
fn holders(account: &Account) -> BTreeSet<(u8, u16)> {
    let balances = account.balances.iter().filter(|_| account.problem.is_none());
    balances.map(|balance| (account.category, balance.token)).collect()
}

fn count_down<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aave_v3::health::Balance;

    /// An account by chance; every fourth has a problem.
    fn account(draw: u64) -> Account {
        let balance = |index: u64| {
            let of = draw.rotate_right(u32::try_from(index * 7).unwrap());
            let side = if of & 1 == 0 { Side::Debt } else { Side::Collateral };
            Balance { token: u16::try_from(of >> 1 & 3).unwrap(), side, scaled: u128::from(of >> 8) + 1 }
        };
        Account {
            category: u8::try_from(draw >> 20 & 3).unwrap(),
            balances: (0..draw >> 5 & 3).map(balance).collect(),
            problem: (draw & 12 == 0).then(|| "a problem".to_owned()),
        }
    }

    #[test]
    fn totals_are_those_of_the_accounts_whatever_was_added_and_subtracted() {
        let (mut totals, mut known) = (Totals::default(), BTreeMap::new());
        let mut draw = 88_172_645_463_325_252_u64;
        for _ in 0..3_000 {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            let address = Address::repeat_byte(u8::try_from(draw >> 40 & 31).unwrap());
            if let Some(before) = known.remove(&address) {
                totals.subtract(address, &before);
            }
            if draw >> 50 & 3 != 0 {
                totals.add(address, &account(draw));
                known.insert(address, account(draw));
            }
            let mut fresh = Totals::default();
            known.iter().for_each(|(address, account)| fresh.add(*address, account));
            assert_eq!(totals, fresh);
        }
        assert!(!totals.problems().is_empty() && totals.holders().count() > 4 && totals.categories().count() == 3);
        for (address, account) in &known {
            totals.subtract(*address, account);
        }
        assert_eq!(totals, Totals::default());
    }
}
