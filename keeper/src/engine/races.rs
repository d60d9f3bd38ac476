//! Races against other liquidators and executors of orders: what ours bid, who won, and with which fee.

use alloy::{
    primitives::{Address, B256, U64, U128, U256},
    rpc::types::Log,
    sol_types::SolEvent,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{IGuard, IPlimsoll, market::BPS};
use plimsoll_protocols::morpho_blue::IMorphoBlue;
use serde::Deserialize;
use serde_json::json;

use crate::{
    intent::{Fees, Intent, Purpose, Scope},
    safety::Contracts,
    strategies::bids::{RaceResult, WHOLE, priority_fee, share_of},
    stream::StreamReader,
};

/// What an intent offers in the race for its loans or its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Race {
    /// Gas that it is charged for.
    gas: u64,
    /// Gain after gas at the expected price, in wei.
    net_wei: U256,
    /// Share of that which it bids, in millionths.
    share: u32,
    /// Priority fee per gas that its newest transaction offers, in wei; what the builder is paid besides is part of it.
    priority_fee: u128,
    /// What the builder is paid besides the priority fee, for each unit of gas, in wei.
    builder_fee: u128,
}

impl Race {
    /// Returns what an intent bids that was decided at this price per gas; `None` for one that races nobody.
    pub(super) fn of(intent: &Intent, gas_price: u128) -> Option<Self> {
        if !matches!(intent.purpose, Purpose::Liquidate { .. } | Purpose::Seize { .. } | Purpose::ExecuteOrder { .. }) {
            return None;
        }
        let gas = intent.expected_gas;
        let net_wei = intent.expected_gain.saturating_sub(intent.worth().cost_at(gas_price));
        let builder_bps = intent.profit.map_or(0, |profit| profit.builder_share_bps);
        let builder_fee = priority_fee(u32::from(builder_bps).saturating_mul(WHOLE / BPS), gas, net_wei);
        let priority_fee = intent.bid.saturating_add(builder_fee);
        Some(Self { gas, net_wei, share: share_of(priority_fee, gas, net_wei), priority_fee, builder_fee })
    }

    /// Records what its transaction offers.
    pub(super) const fn offer(&mut self, fees: Fees) {
        self.priority_fee = fees.max_priority_fee_per_gas.saturating_add(self.builder_fee);
    }

    /// Returns the result of a race that was won.
    pub(super) const fn won(self) -> RaceResult {
        RaceResult::Won(self.share)
    }

    /// Returns the result of a race that a rival won with this priority fee per gas.
    fn lost(self, theirs: u128) -> RaceResult {
        RaceResult::Lost { theirs, ours: self.priority_fee, price: share_of(theirs, self.gas, self.net_wei) }
    }
}

/// A race that was lost, whose winner is to be found.
#[derive(Debug, Clone)]
pub(super) struct LostRace {
    pub(super) scope: Scope,
    pub(super) race: Race,
    pub(super) purpose: Purpose,
    /// Blocks in which the rival's transaction is looked for: the first and the last.
    pub(super) blocks: (u64, u64),
    /// Accounts that sign for this keeper, which is no rival of itself.
    pub(super) signers: Vec<Address>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WinnersReceipt {
    from: Address,
    block_number: U64,
    effective_gas_price: U128,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BaseFee {
    #[serde(default)]
    base_fee_per_gas: U128,
}

impl LostRace {
    /// Reads who liquidated one of the loans last or executed the order, and its priority fee. `None` where nobody did, or we did. Fails where no
    /// endpoint answers.
    pub(super) async fn find_winner(
        &self,
        reader: &StreamReader,
        contracts: &Contracts,
    ) -> Result<Option<RaceResult>, ChainError> {
        let (first, last) = self.blocks;
        let (address, topics) = match &self.purpose {
            Purpose::Liquidate { market, borrowers } => {
                let borrowers: Vec<_> = borrowers.iter().map(|borrower| borrower.into_word()).collect();
                (Some(contracts.core), json!([IPlimsoll::Liquidate::SIGNATURE_HASH, market, null, borrowers]))
            }
            Purpose::Seize { deployment, market, accounts } => {
                let accounts: Vec<_> = accounts.iter().map(|account| account.into_word()).collect();
                (Some(*deployment), json!([IMorphoBlue::Liquidate::SIGNATURE_HASH, market, null, accounts]))
            }
            Purpose::ExecuteOrder { market, account, kind } => {
                let kind = B256::with_last_byte(kind.number());
                let topics = json!([IGuard::ExecuteOrder::SIGNATURE_HASH, market, account.into_word(), kind]);
                (contracts.guard, topics)
            }
            Purpose::Harvest { .. } | Purpose::ClaimOwn { .. } | Purpose::Rebalance { .. } | Purpose::Sweep { .. } => {
                return Ok(None);
            }
        };
        let Some(address) = address else { return Ok(None) };
        let filter = json!({
            "address": address,
            "fromBlock": U64::from(first),
            "toBlock": U64::from(last),
            "topics": topics,
        });
        let logs: Vec<Log> = reader.ask(last, "eth_getLogs", (filter,)).await?;
        let Some(hash) = logs.last().and_then(|log| log.transaction_hash) else { return Ok(None) };
        let receipt: Option<WinnersReceipt> = reader.ask(last, "eth_getTransactionReceipt", (hash,)).await?;
        let Some(receipt) = receipt.filter(|receipt| !self.signers.contains(&receipt.from)) else { return Ok(None) };
        let block: Option<BaseFee> = reader.ask(last, "eth_getBlockByNumber", (receipt.block_number, false)).await?;
        let Some(block) = block else { return Ok(None) };
        let theirs: U128 = receipt.effective_gas_price.saturating_sub(block.base_fee_per_gas);
        Ok(Some(self.race.lost(theirs.to())))
    }
}
