//! Sends one transaction of an account, and waits until it is mined.

use std::time::Duration;

use alloy::{
    eips::{BlockNumberOrTag, eip2718::Encodable2718},
    network::{NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use eyre::{bail, ensure};
use plimsoll_chain::signer::TransactionSigner;
use serde::Serialize;

use crate::{
    apply::{is_known, poll_interval, revert_data},
    compile::Artifacts,
    connection::Chain,
    fees::Fees,
    gas::with_margin,
    plan::ether,
    reverts,
};

/// Time between two messages about a transaction that is not mined.
const PATIENCE: Duration = Duration::from_secs(60);

/// An account that sends transactions.
#[derive(Debug)]
pub struct Sender<'a> {
    /// Chain that they are sent on.
    pub chain: &'a Chain,
    /// Contracts whose errors are explained.
    pub artifacts: &'a Artifacts,
    /// Signs them.
    pub signer: TransactionSigner,
}

/// A transaction that was checked and is to be signed.
#[derive(Debug, Clone)]
pub struct Prepared {
    request: TransactionRequest,
    /// The most that its gas may cost, in wei.
    pub cost: U256,
}

/// A mined transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mined {
    /// Hash.
    pub transaction: B256,
    /// Block number.
    pub block: u64,
}

impl Sender<'_> {
    /// Returns the account.
    #[must_use]
    pub const fn account(&self) -> Address {
        self.signer.address()
    }

    /// Waits until none of the account's transactions is pending, such as one of an interrupted run.
    pub async fn wait_for_pending(&self) -> eyre::Result<()> {
        let mut was_told = false;
        loop {
            let mined = self.chain.transaction_count(self.account(), BlockNumberOrTag::Latest).await?;
            if self.chain.transaction_count(self.account(), BlockNumberOrTag::Pending).await? <= mined {
                return Ok(());
            }
            if !std::mem::replace(&mut was_told, true) {
                crate::toolchain::progress::say(format_args!(
                    "waiting for a transaction of {} that is pending",
                    self.account()
                ));
            }
            tokio::time::sleep(poll_interval(self.chain)).await;
        }
    }

    /// Checks a call and what it costs. Fails if it would revert, or if the account cannot pay.
    pub async fn prepare(&self, to: Address, value: U256, data: Bytes) -> eyre::Result<Prepared> {
        let (chain, from) = (self.chain, self.account());
        let request = TransactionRequest::default().with_from(from).with_to(to).with_value(value).with_input(data);
        let gas = match chain.provider().estimate_gas(request.clone()).await.map_err(|error| chain.error(&error)) {
            Ok(gas) => with_margin(gas),
            Err(error) if error.is_revert() => {
                bail!("it would be refused: {}", reverts::explain(self.artifacts, &revert_data(&error)))
            }
            Err(error) => return Err(error.into()),
        };
        let fees = Fees::suggested(chain).await?;
        let cost = U256::from(gas).saturating_mul(U256::from(fees.max_price()));
        let balance = chain.balance(from).await?;
        ensure!(
            balance >= cost.saturating_add(value),
            "{from} has {} ether, and this costs up to {}: send it the rest",
            ether(balance),
            ether(cost.saturating_add(value))
        );
        let request = fees.apply_to(request.with_gas_limit(gas).with_chain_id(chain.id()));
        Ok(Prepared { request, cost })
    }

    /// Signs and broadcasts a transaction, and waits until it is mined. Fails if it reverts then, or if another transaction
    /// of the account takes its nonce.
    pub async fn send(&self, prepared: Prepared) -> eyre::Result<Mined> {
        let (chain, from) = (self.chain, self.account());
        let nonce = chain.transaction_count(from, BlockNumberOrTag::Latest).await?;
        let signed = self.signer.sign(prepared.request.with_nonce(nonce).build_unsigned()?).await?;
        let (hash, raw) = (*signed.tx_hash(), Bytes::from(signed.encoded_2718()));
        self.broadcast(&raw).await?;
        let (mut seems_displaced, begun, mut told) = (false, tokio::time::Instant::now(), 0);
        loop {
            // In this order: a transaction that used its nonce has a receipt.
            let is_used = chain.transaction_count(from, BlockNumberOrTag::Latest).await? > nonce;
            if let Some(receipt) = chain.receipt(hash).await? {
                ensure!(receipt.status(), "the transaction {hash} was mined and failed: run this again to see why");
                return Ok(Mined { transaction: hash, block: receipt.block_number.unwrap_or_default() });
            }
            if is_used {
                // Twice, because two answers may come from two nodes, of which one lags behind.
                ensure!(
                    !seems_displaced,
                    "another transaction of {from} took the nonce of {hash}: run this again, which shows what remains to be done"
                );
                seems_displaced = true;
            } else if !chain.knows(hash).await? {
                self.broadcast(&raw).await?;
            }
            let waited = begun.elapsed().as_secs() / PATIENCE.as_secs();
            if waited > told {
                told = waited;
                crate::toolchain::progress::say(format_args!("{hash} is not mined yet"));
            }
            tokio::time::sleep(poll_interval(chain)).await;
        }
    }

    async fn broadcast(&self, raw: &Bytes) -> eyre::Result<()> {
        let sent = self.chain.provider().send_raw_transaction(raw).await.map_err(|error| self.chain.error(&error));
        match sent {
            Ok(_) => Ok(()),
            Err(plimsoll_chain::error::ChainError::Refused { message, .. }) if is_known(&message) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
