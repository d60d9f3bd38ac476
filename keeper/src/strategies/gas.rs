//! Gas and profitability: how much gas a transaction uses, what that costs, and whether a gain is worth it.
//!
//! Expected gas comes from a table of measurements ([`GasTable`]), not from `eth_estimateGas`, so that batches can be
//! sized before any node is asked. [`Costs`] turns gas into wei and decides profitability, by
//! the rule of [`Worth`].

use alloy::primitives::U256;
use plimsoll_contracts::market::BPS;

use crate::{
    intent::{Worth, max_cost},
    math::wide::mul_div_down,
};

/// Bytes of a signed transaction besides its calldata, at most.
const ENVELOPE_BYTES: usize = 200;
/// The base fee rises by at most one part in this many from one block to the next (EIP-1559).
pub const BASE_FEE_RISE: u128 = 8;
/// Gas of every transaction, by Ethereum's rules.
const TRANSACTION_GAS: u64 = 21_000;
/// Gas of a byte of calldata that is not 0, by Ethereum's rules.
pub const BYTE_GAS: u64 = 16;
/// Gas of a byte of calldata that is 0, by Ethereum's rules.
pub const ZERO_BYTE_GAS: u64 = 4;

/// Maximum additional gas of calldata by a call's own overhead, which is encoded as 0 when calldata is counted: it fits eight
/// bytes.
pub(super) const OVERHEAD_BYTES_GAS: u64 = 8 * (BYTE_GAS - ZERO_BYTE_GAS);

/// Returns what remains of an amount after a loss in basis points, rounded down.
pub(super) fn kept(amount: U256, lost_bps: u16) -> U256 {
    mul_div_down(amount, U256::from(BPS.saturating_sub(u32::from(lost_bps))), U256::from(BPS))
}

/// Gas used by the keeper's transactions, by their parts, after refunds.
///
/// The defaults are what `cargo lab gas` measured and what the tests of whole liquidations use, by Ethereum's rules. On
/// chains with another gas schedule see [`use_simulated_gas`](Self::use_simulated_gas).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GasTable {
    /// Gas of a transaction that liquidates one loan, without a swap.
    pub liquidation: u64,
    /// Gas of each further loan in a liquidation.
    pub further_loan: u64,
    /// Gas of swapping the collateral through one pool and transferring the profit.
    pub swap: u64,
    /// Gas of each further pool on the swap's route.
    pub further_pool: u64,
    /// Gas of a transaction that executes an order at the guard, without a swap.
    pub order: u64,
    /// Gas of a transaction that harvests for one account.
    pub harvest: u64,
    /// Gas of each further account in a harvest.
    pub further_account: u64,
    /// Additional gas for an account whose reward is compounded (staked again).
    pub compounding: u64,
    /// Most gas that the payment to one account of a harvest may use; the contract skips an account whose payment needs
    /// more. Enough for an account that does not hold the token yet, and for most unusual tokens. The gas limit has as
    /// much for each account, so that a receiver that burns it leaves enough for the others.
    pub payment_gas: u64,
    /// Gas of a transaction that claims the keeper's own rewards.
    pub claim: u64,
    /// Gas of staking claimed rewards again in the same transaction.
    pub restake: u64,
    /// Whether the gas that a call used in simulation replaces the table's figure. For chains whose gas schedule is not
    /// Ethereum's.
    pub use_simulated_gas: bool,
    /// Gas added to every gas limit beyond the expected gas: for balances that are not in use yet, oracles that read many
    /// feeds, pools whose price is far away.
    pub headroom: u64,
    /// Share of the expected gas added to every gas limit, in basis points: gas that is refunded at the end must be there
    /// at first.
    pub headroom_bps: u16,
}

impl Default for GasTable {
    fn default() -> Self {
        Self {
            liquidation: 97_000,
            further_loan: 10_800,
            swap: 135_000,
            further_pool: 80_000,
            order: 200_000,
            harvest: 72_000,
            further_account: 19_800,
            compounding: 16_000,
            payment_gas: 100_000,
            claim: 64_000,
            restake: 60_000,
            use_simulated_gas: false,
            headroom: 150_000,
            headroom_bps: 1_000,
        }
    }
}

impl GasTable {
    /// Returns the expected gas of a transaction that liquidates `loans` and swaps the collateral through `pools`; 0
    /// pools stand for a liquidation without a swap.
    #[must_use]
    pub fn liquidation_gas(&self, loans: usize, pools: usize) -> u64 {
        sum(self.liquidation, self.further_loan, loans).saturating_add(self.swap_gas(pools))
    }

    /// Returns the expected gas of a transaction that executes an order and swaps the collateral through `pools`; 0 pools
    /// stand for one without a swap.
    #[must_use]
    pub fn order_gas(&self, pools: usize) -> u64 {
        self.order.saturating_add(self.swap_gas(pools))
    }

    fn swap_gas(&self, pools: usize) -> u64 {
        if pools == 0 { 0 } else { sum(self.swap, self.further_pool, pools) }
    }

    /// Returns the expected gas of a harvest for `accounts`, of which `compounding` have their rewards staked again.
    #[must_use]
    pub fn harvest_gas(&self, accounts: usize, compounding: usize) -> u64 {
        let compounding = u64::try_from(compounding).unwrap_or(u64::MAX).saturating_mul(self.compounding);
        sum(self.harvest, self.further_account, accounts).saturating_add(compounding)
    }

    /// Returns the gas that one more account adds to a harvest.
    #[must_use]
    pub const fn account_gas(&self, compounds: bool) -> u64 {
        let more = if compounds { self.compounding } else { 0 };
        self.further_account.saturating_add(more)
    }

    /// Returns the gas limit of a harvest for `accounts` that is expected to use this much.
    #[must_use]
    pub fn harvest_gas_limit(&self, expected: u64, accounts: usize) -> u64 {
        let accounts = u64::try_from(accounts).unwrap_or(u64::MAX);
        self.gas_limit(expected).saturating_add(accounts.saturating_mul(self.payment_gas))
    }

    /// Returns the gas limit of a transaction that is expected to use this much.
    #[must_use]
    pub fn gas_limit(&self, expected: u64) -> u64 {
        let limit = u128::from(expected) * u128::from(BPS + u32::from(self.headroom_bps)) / u128::from(BPS);
        u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(self.headroom)
    }

    /// Returns the most gas that a transaction may be expected to use for its gas limit not to exceed `room`.
    fn max_expected_gas(&self, room: u64) -> u64 {
        let expected = u128::from(room.saturating_sub(self.headroom)) * u128::from(BPS);
        u64::try_from(expected / u128::from(BPS + u32::from(self.headroom_bps))).unwrap_or(u64::MAX)
    }

    /// Returns how many loans fit a liquidation whose gas limit is at most `room`, with the collateral swapped through
    /// `pools`; 0 where not even one does.
    #[must_use]
    pub fn max_loans(&self, room: u64, pools: usize) -> usize {
        max_count(self.max_expected_gas(room), self.liquidation_gas(1, pools), self.further_loan)
    }

    /// Returns how many accounts fit a harvest whose gas limit is at most `room`, even if all of them compound; 0 where
    /// not even one does.
    #[must_use]
    pub fn max_accounts(&self, room: u64) -> usize {
        let each =
            self.gas_limit(self.account_gas(true)).saturating_sub(self.headroom).saturating_add(self.payment_gas);
        let one = self.harvest_gas_limit(self.harvest_gas(1, 1), 1);
        // Each account's share of the limit is rounded down by itself, so each is counted with one unit more.
        max_count(room, one, each.saturating_add(1))
    }
}

/// Returns how many items fit `room`, if the first takes `one` and each further one `further`.
fn max_count(room: u64, one: u64, further: u64) -> usize {
    let count = room.checked_sub(one).map(|rest| rest / further.max(1) + 1);
    usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX)
}

/// Returns what `count` items take, if the first takes `one` and each further one `further`.
fn sum(one: u64, further: u64, count: usize) -> u64 {
    let further_count = u64::try_from(count).unwrap_or(u64::MAX).saturating_sub(1);
    one.saturating_add(further.saturating_mul(further_count))
}

/// Returns the gas that a transaction with this calldata uses before its execution begins.
#[must_use]
pub fn intrinsic_gas(data: &[u8]) -> u64 {
    let byte_gas = |byte: &u8| if *byte == 0 { ZERO_BYTE_GAS } else { BYTE_GAS };
    data.iter().map(byte_gas).fold(TRANSACTION_GAS, u64::saturating_add)
}

/// Returns the gas room of one transaction, the highest gas limit that it may have: `share_bps` of the block gas limit,
/// and no more than the chain's cap for a transaction. With a share below one half two transactions fit a block.
#[must_use]
pub fn room(block_gas_limit: u64, cap: u64, share_bps: u16) -> u64 {
    let share = u128::from(block_gas_limit) * u128::from(share_bps) / u128::from(BPS);
    cap.min(u64::try_from(share).unwrap_or(u64::MAX))
}

/// Says why nothing fits the gas room of a transaction.
#[must_use]
pub fn no_room(room: u64) -> String {
    format!(
        "no transaction fits {room} gas, the highest gas limit that the block, max_cost_per_transaction, max_gas_price and \
         the signer's balance allow"
    )
}

/// Returns an upper bound on the gas that a transaction uses before refunds, of what it uses after them: at most a fifth is
/// refunded (EIP-3529).
#[must_use]
pub const fn before_refunds(gas: u64) -> u64 {
    gas.saturating_add(gas.div_ceil(4))
}

/// Prices of gas and calldata in a block, and the profit margin that a transaction must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Expected price of a unit of gas, priority fee included, in wei.
    pub gas_price: u128,
    /// Price of a byte of calldata, in wei, on chains that charge for it besides gas (the data fee of a rollup); else 0.
    pub data_byte_price: u128,
    /// Profit margin: by how much the gain must exceed the cost, in basis points of the cost.
    pub margin_bps: u32,
}

impl Costs {
    /// Returns the cost in wei of a transaction that uses `gas` and has so many bytes of calldata.
    #[must_use]
    pub fn transaction_cost(&self, gas: u64, bytes: usize) -> U256 {
        let bytes = U256::from(bytes).saturating_mul(U256::from(self.data_byte_price));
        U256::from(gas).saturating_mul(U256::from(self.gas_price)).saturating_add(bytes)
    }

    /// Returns an upper bound on the data fee of a transaction with so many bytes of calldata, in wei.
    #[must_use]
    pub fn max_data_fee(&self, bytes: usize) -> U256 {
        let bytes = U256::from(bytes.saturating_add(ENVELOPE_BYTES));
        // The fee may rise by a tenth until the transaction is mined.
        bytes.saturating_mul(U256::from(self.data_byte_price)).saturating_mul(U256::from(11)).div_ceil(U256::from(10))
    }

    /// Returns the highest gas limit with which a transaction costs no more than this, in wei, where the base fee rises once
    /// more until it is mined.
    #[must_use]
    pub fn affordable_gas(&self, max_cost: U256) -> u64 {
        let price = self.gas_price.saturating_add(self.gas_price.div_ceil(BASE_FEE_RISE));
        (max_cost / U256::from(price.max(1))).try_into().unwrap_or(u64::MAX)
    }

    /// Returns what a transaction is worth that brings this gain in wei, is charged for so much gas and has so many bytes of
    /// calldata.
    #[must_use]
    pub fn worth(&self, gain: U256, gas: u64, bytes: usize) -> Worth {
        Worth { gain, gas, extra_wei: self.max_data_fee(bytes), margin_bps: self.margin_bps }
    }

    /// Returns the price per gas for which bounds are computed in a call that cannot measure it: room for a bid and for the
    /// base fee to double, as far as the transaction is worth that.
    #[must_use]
    pub fn guard_price(&self, worth: &Worth, bid: u128) -> u128 {
        let most = worth.max_gas_price().unwrap_or(0);
        self.gas_price.saturating_mul(2).saturating_add(bid).min(most)
    }

    /// Returns whether a gain in wei is profitable: more than the cost in wei, and by at least the margin.
    #[must_use]
    pub fn is_profitable(&self, gain: U256, cost: U256) -> bool {
        max_cost(gain, self.margin_bps).is_some_and(|most| cost <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_fills_the_gas_room_and_does_not_exceed_it() {
        let table = GasTable::default();
        for room in [0, 250_000, 300_000, 1_000_000, 13_500_000, 1 << 24] {
            for pools in [0, 1, 3] {
                let loans = table.max_loans(room, pools);
                assert!(loans == 0 || table.gas_limit(table.liquidation_gas(loans, pools)) <= room, "{room} {loans}");
                assert!(table.gas_limit(table.liquidation_gas(loans + 1, pools)) + 1 > room, "{room} {loans}");
            }
            let accounts = table.max_accounts(room);
            let limit = |accounts| table.harvest_gas_limit(table.harvest_gas(accounts, accounts), accounts);
            assert!(accounts == 0 || limit(accounts) <= room);
            assert!(limit(accounts + 2) > room);
        }
    }

    #[test]
    fn two_transactions_fit_a_block_and_neither_exceeds_the_chains_cap() {
        assert_eq!(room(30_000_000, 1 << 24, 4_500), 13_500_000);
        assert_eq!(room(60_000_000, 1 << 24, 4_500), 1 << 24);
    }

    #[test]
    fn a_gain_must_exceed_its_cost_by_the_margin() {
        let costs = |margin_bps| Costs { gas_price: 1, data_byte_price: 0, margin_bps };
        let pays = |margin, gain: u64, cost: u64| costs(margin).is_profitable(U256::from(gain), U256::from(cost));
        assert!(!pays(0, 100, 100) && pays(0, 101, 100));
        assert!(!pays(1_000, 109, 100) && pays(1_000, 110, 100));
        assert!(!pays(0, 0, 0));
    }
}
