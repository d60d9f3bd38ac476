//! Races against other liquidators and executors of orders: what ours bid, who won, and with which fee.

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, B256, U64, U128, U256},
    rpc::types::Log,
    sol_types::SolEvent,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{IGuard, IPlimsoll, market::BPS};
use plimsoll_protocols::ProtocolKind;
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
    /// Where liquidations of another protocol are logged, if the race is for positions of one.
    pub(super) foreign: Option<Emitters>,
}

/// The contracts of a protocol, whose logs tell of liquidations.
#[derive(Debug, Clone)]
pub(super) struct Emitters {
    pub(super) protocol: ProtocolKind,
    pub(super) addresses: BTreeSet<Address>,
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
        let (addresses, topics) = match &self.purpose {
            Purpose::Liquidate { market, borrowers } => {
                let borrowers: Vec<_> = borrowers.iter().map(|borrower| borrower.into_word()).collect();
                (vec![contracts.core], json!([IPlimsoll::Liquidate::SIGNATURE_HASH, market, null, borrowers]))
            }
            Purpose::Seize { .. } => {
                let Some(Emitters { protocol, addresses }) = &self.foreign else { return Ok(None) };
                (addresses.iter().copied().collect(), json!([protocol.liquidation_topic()]))
            }
            Purpose::ExecuteOrder { market, account, kind } => {
                let kind = B256::with_last_byte(kind.number());
                let topics = json!([IGuard::ExecuteOrder::SIGNATURE_HASH, market, account.into_word(), kind]);
                (contracts.guard.into_iter().collect(), topics)
            }
            Purpose::Harvest { .. }
            | Purpose::ClaimOwn { .. }
            | Purpose::Rebalance { .. }
            | Purpose::ExecuteOperation { .. }
            | Purpose::AdvanceJob { .. }
            | Purpose::HarvestNodes { .. }
            | Purpose::CollectVouchers { .. }
            | Purpose::Sweep { .. } => {
                return Ok(None);
            }
        };
        if addresses.is_empty() {
            return Ok(None);
        }
        let filter = json!({
            "address": addresses,
            "fromBlock": U64::from(first),
            "toBlock": U64::from(last),
            "topics": topics,
        });
        let logs: Vec<Log> = reader.ask(last, "eth_getLogs", (filter,)).await?;
        let last_log = logs.iter().rfind(|log| self.is_of_interest(log));
        let Some(hash) = last_log.and_then(|log| log.transaction_hash) else { return Ok(None) };
        let receipt: Option<WinnersReceipt> = reader.ask(last, "eth_getTransactionReceipt", (hash,)).await?;
        let Some(receipt) = receipt.filter(|receipt| !self.signers.contains(&receipt.from)) else { return Ok(None) };
        let block: Option<BaseFee> = reader.ask(last, "eth_getBlockByNumber", (receipt.block_number, false)).await?;
        let Some(block) = block else { return Ok(None) };
        let theirs: U128 = receipt.effective_gas_price.saturating_sub(block.base_fee_per_gas);
        Ok(Some(self.race.lost(theirs.to())))
    }

    /// Returns whether a log tells of one of the positions. Topics say it of our own contracts' logs, and not of every
    /// protocol's.
    fn is_of_interest(&self, log: &Log) -> bool {
        match (&self.purpose, &self.foreign) {
            (Purpose::Seize { market, accounts, .. }, Some(foreign)) => {
                let account = foreign.protocol.liquidated_account(*market, &log.inner);
                account.is_some_and(|account| accounts.contains(&account))
            }
            _ => true,
        }
    }
}
