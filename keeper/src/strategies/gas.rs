//! What transactions cost: gas from a table of what each part of them was measured to use, and its price.

use alloy::primitives::U256;
use plimsoll_contracts::market::BPS;

/// Gas of what the keeper sends, by its parts. The defaults are what `cargo lab gas` measured and what the tests of
/// whole liquidations use, on Ethereum's rules; chains that count otherwise have a table of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GasTable {
    /// A transaction that liquidates one loan.
    pub liquidation: u64,
    /// Each further loan in it.
    pub further_loan: u64,
    /// Selling the collateral through one pool, and passing on the profit.
    pub exchange: u64,
    /// Each further pool.
    pub further_pool: u64,
    /// A transaction that harvests for one account.
    pub harvest: u64,
    /// Each further account in it.
    pub further_account: u64,
    /// How much more it is for an account whose reward is staked again.
    pub compounding: u64,
    /// How much more it may be for each account: those that do not hold the token yet, tokens of their own kind.
    pub account_headroom: u64,
    /// A transaction that claims own rewards.
    pub claim: u64,
    /// Staking them again in the same transaction.
    pub restake: u64,
    /// Whether what a call used when it was tried counts instead of the table, where the node tells it: for chains whose
    /// gas is another.
    pub as_tried: bool,
    /// How much more than expected a transaction may use: for balances that are not in use yet, oracles that ask many
    /// feeds, pools whose price is far away.
    pub headroom: u64,
    /// How much more again, in basis points of what is expected: gas that comes back in the end must be there at first.
    pub headroom_bps: u16,
}

impl Default for GasTable {
    fn default() -> Self {
        Self {
            liquidation: 97_000,
            further_loan: 10_800,
            exchange: 135_000,
            further_pool: 80_000,
            harvest: 72_000,
            further_account: 19_800,
            compounding: 16_000,
            account_headroom: 40_000,
            claim: 64_000,
            restake: 60_000,
            as_tried: false,
            headroom: 150_000,
            headroom_bps: 1_000,
        }
    }
}

impl GasTable {
    /// Liquidating so many loans, and selling the collateral through so many pools.
    #[must_use]
    pub fn of_liquidation(&self, loans: usize, pools: usize) -> u64 {
        let exchange = if pools == 0 { 0 } else { sum(self.exchange, self.further_pool, pools) };
        sum(self.liquidation, self.further_loan, loans).saturating_add(exchange)
    }

    /// Harvesting for so many accounts, some of which have their rewards staked again.
    #[must_use]
    pub fn of_harvest(&self, accounts: usize, compounding: usize) -> u64 {
        let compounding = u64::try_from(compounding).unwrap_or(u64::MAX).saturating_mul(self.compounding);
        sum(self.harvest, self.further_account, accounts).saturating_add(compounding)
    }

    /// What an account adds to a harvest.
    #[must_use]
    pub const fn of_account(&self, compounds: bool) -> u64 {
        let more = if compounds { self.compounding } else { 0 };
        self.further_account.saturating_add(more)
    }

    /// What a harvest for so many accounts that is expected to use this much may use.
    #[must_use]
    pub fn harvest_limit(&self, expected: u64, accounts: usize) -> u64 {
        let accounts = u64::try_from(accounts).unwrap_or(u64::MAX);
        self.limit(expected).saturating_add(accounts.saturating_mul(self.account_headroom))
    }

    /// What a transaction that is expected to use this much may use.
    #[must_use]
    pub fn limit(&self, expected: u64) -> u64 {
        let limit = u128::from(expected) * u128::from(BPS + u32::from(self.headroom_bps)) / u128::from(BPS);
        u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(self.headroom)
    }

    /// The most that a transaction may be expected to use, if it may use no more than `room`.
    fn expected_within(&self, room: u64) -> u64 {
        let expected = u128::from(room.saturating_sub(self.headroom)) * u128::from(BPS);
        u64::try_from(expected / u128::from(BPS + u32::from(self.headroom_bps))).unwrap_or(u64::MAX)
    }

    /// The most loans whose liquidation, with the collateral sold through so many pools, may use no more than `room`.
    #[must_use]
    pub fn loans_within(&self, room: u64, pools: usize) -> usize {
        count(self.expected_within(room), self.of_liquidation(1, pools), self.further_loan)
    }

    /// The most accounts whose harvest may use no more than `room`, whatever becomes of their rewards.
    #[must_use]
    pub fn accounts_within(&self, room: u64) -> usize {
        let each =
            self.limit(self.of_account(true)).saturating_sub(self.headroom).saturating_add(self.account_headroom);
        let one = self.harvest_limit(self.of_harvest(1, 1), 1);
        // Each account's limit is rounded down by itself, so one unit more is taken for each.
        count(room, one, each.saturating_add(1))
    }
}

/// How many of something there can be.
fn count(room: u64, one: u64, further: u64) -> usize {
    let count = room.checked_sub(one).map(|rest| rest / further.max(1) + 1);
    usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX)
}

/// What one of something costs and what so many do.
fn sum(one: u64, further: u64, count: usize) -> u64 {
    let further_count = u64::try_from(count).unwrap_or(u64::MAX).saturating_sub(1);
    one.saturating_add(further.saturating_mul(further_count))
}

/// The most gas that one transaction of ours may use in a block with this limit, where the chain's rules allow a
/// transaction `cap` and we take no more than `share_bps` of a block: below one half, two fit.
#[must_use]
pub fn room(block_gas_limit: u64, cap: u64, share_bps: u16) -> u64 {
    let share = u128::from(block_gas_limit) * u128::from(share_bps) / u128::from(BPS);
    cap.min(u64::try_from(share).unwrap_or(u64::MAX))
}

/// What gas is expected to cost, and what is wanted beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// A unit of gas with the tip, in wei.
    pub gas_price: u128,
    /// A byte of a transaction, in wei, where it is paid for beside gas.
    pub data_byte_price: u128,
    /// How much more than its cost a transaction must bring, in basis points of the cost.
    pub margin_bps: u32,
}

impl Costs {
    /// What a transaction costs that uses so much gas and has so many bytes of data.
    #[must_use]
    pub fn of(&self, gas: u64, bytes: usize) -> U256 {
        let bytes = U256::from(bytes).saturating_mul(U256::from(self.data_byte_price));
        U256::from(gas).saturating_mul(U256::from(self.gas_price)).saturating_add(bytes)
    }

    /// Whether a gain is worth a cost.
    #[must_use]
    pub fn are_worth(&self, gain: U256, cost: U256) -> bool {
        let (bps, wanted_bps) = (U256::from(BPS), U256::from(u64::from(BPS) + u64::from(self.margin_bps)));
        gain > cost && gain.saturating_mul(bps) >= cost.saturating_mul(wanted_bps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_loans_as_fit_and_not_one_more() {
        let table = GasTable::default();
        for room in [0, 250_000, 300_000, 1_000_000, 13_500_000, 1 << 24] {
            for pools in [0, 1, 3] {
                let loans = table.loans_within(room, pools);
                assert!(loans == 0 || table.limit(table.of_liquidation(loans, pools)) <= room, "{room} {loans}");
                assert!(table.limit(table.of_liquidation(loans + 1, pools)) + 1 > room, "{room} {loans}");
            }
            let accounts = table.accounts_within(room);
            let limit = |accounts| table.harvest_limit(table.of_harvest(accounts, accounts), accounts);
            assert!(accounts == 0 || limit(accounts) <= room);
            assert!(limit(accounts + 2) > room);
        }
    }

    #[test]
    fn two_transactions_fit_a_block_and_none_goes_over_the_chains_cap() {
        assert_eq!(room(30_000_000, 1 << 24, 4_500), 13_500_000);
        assert_eq!(room(60_000_000, 1 << 24, 4_500), 1 << 24);
    }

    #[test]
    fn a_gain_must_exceed_its_cost_by_the_margin() {
        let costs = |margin_bps| Costs { gas_price: 1, data_byte_price: 0, margin_bps };
        let worth = |margin, gain: u64, cost: u64| costs(margin).are_worth(U256::from(gain), U256::from(cost));
        assert!(!worth(0, 100, 100) && worth(0, 101, 100));
        assert!(!worth(1_000, 109, 100) && worth(1_000, 110, 100));
        assert!(!worth(0, 0, 0));
    }
}
