//! Transactions of one account, one after the other: written down before they are sent, replaced by dearer ones until
//! one is mined, and taken up again after a crash.
//!
//! Every call that this daemon sends can be sent twice without harm: claims are sums, deposits and refunds have a nonce
//! of their own, and steps of jobs check their state. So a transaction that a node refuses is forgotten.

use std::time::Duration;

use alloy::{
    consensus::{SignableTransaction, TxEnvelope},
    eips::eip2718::Encodable2718,
    network::{NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes},
    providers::{DynProvider, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::{SignerSync, local::PrivateKeySigner},
};
use eyre::{WrapErr, bail, ensure};
use tokio::{sync::Mutex as Lock, time::Instant};

use crate::{
    config::Fees,
    journal::{Journal, Journalled},
};

/// How long a caller waits. The transaction stays in the journal, and the next one of the account waits for it.
const TIMEOUT: Duration = Duration::from_secs(240);
/// A pool takes a replacement that pays at least a tenth more.
const BUMP_PERCENT: u128 = 25;
/// Gas limit above the estimate, because the state may change before the transaction is mined.
const GAS_PERCENT: u64 = 125;
const POLL: Duration = Duration::from_secs(1);
const LOCAL_POLL: Duration = Duration::from_millis(20);

/// The account that pays gas.
pub(crate) struct Sender {
    provider: DynProvider,
    key: PrivateKeySigner,
    chain_id: u64,
    journal: Journal,
    fees: Fees,
    confirmations: u64,
    poll: Duration,
    sending: Lock<()>,
}

impl Sender {
    /// `provider` signs nothing itself.
    pub(crate) fn new(
        provider: DynProvider,
        key: PrivateKeySigner,
        chain_id: u64,
        journal: Journal,
        fees: Fees,
        confirmations: u64,
    ) -> Self {
        let poll = if provider.client().is_local() { LOCAL_POLL } else { POLL };
        Self { provider, key, chain_id, journal, fees, confirmations, poll, sending: Lock::new(()) }
    }

    pub(crate) const fn address(&self) -> Address {
        self.key.address()
    }

    /// Sends a call, waits until it is confirmed and returns its hash.
    ///
    /// Fails without a transaction if the call would revert. Otherwise the transaction may still be mined after an
    /// error, unless the error says that it reverted.
    pub(crate) async fn send(&self, to: Address, call: Vec<u8>) -> eyre::Result<B256> {
        let _one_at_a_time = self.sending.lock().await;
        let deadline = Instant::now() + TIMEOUT;
        // The same call, signed before a crash, has been sent by now.
        if let Some((_, hash)) =
            self.finish_earlier(deadline).await?.into_iter().find(|(earlier, _)| is_call(earlier, to, &call))
        {
            return Ok(hash);
        }
        let request = TransactionRequest::default().with_from(self.address()).with_to(to).with_input(Bytes::from(call));
        // Simulated first: a transaction that reverts costs gas.
        self.provider.call(request.clone()).await.wrap_err("the transaction would revert")?;
        let gas = self.provider.estimate_gas(request.clone()).await?;
        let nonce = self.provider.get_transaction_count(self.address()).await?;
        let fees = self.provider.estimate_eip1559_fees().await?;
        let mut request = request
            .with_chain_id(self.chain_id)
            .with_nonce(nonce)
            .with_gas_limit(gas.saturating_mul(GAS_PERCENT) / 100);
        let most = self.fees.max_fee_per_gas.0;
        ensure!(
            fees.max_fee_per_gas <= most,
            "the chain asks {} wei for a unit of gas; fees.max_fee_per_gas is {most}",
            fees.max_fee_per_gas
        );
        request.set_max_fee_per_gas(fees.max_fee_per_gas);
        request.set_max_priority_fee_per_gas(fees.max_priority_fee_per_gas);
        let entry = self.sign(nonce, request, Vec::new())?;
        self.drive(entry, deadline).await
    }

    /// Waits for transactions that a crash or a timeout left in the journal.
    pub(crate) async fn resume(&self) -> eyre::Result<()> {
        let _one_at_a_time = self.sending.lock().await;
        self.finish_earlier(Instant::now() + TIMEOUT).await?;
        Ok(())
    }

    /// Returns what was mined.
    async fn finish_earlier(&self, deadline: Instant) -> eyre::Result<Vec<(TransactionRequest, B256)>> {
        let mut mined = Vec::new();
        for entry in self.journal.transactions()? {
            let (nonce, request) = (entry.nonce, entry.request.clone());
            tracing::info!(nonce, "earlier transaction taken up");
            match self.drive(entry, deadline).await {
                Ok(hash) => mined.push((request, hash)),
                // Another error than a revert leaves it in the journal, and then nothing may be sent after it.
                Err(error) => {
                    tracing::warn!(nonce, "earlier transaction: {error:#}");
                    ensure!(
                        self.journal.transactions()?.iter().all(|kept| kept.nonce != nonce),
                        "the transaction with nonce {nonce} is not mined yet"
                    );
                }
            }
        }
        Ok(mined)
    }

    /// Signs a request and writes it down.
    fn sign(&self, nonce: u64, request: TransactionRequest, mut hashes: Vec<B256>) -> eyre::Result<Journalled> {
        let unsigned = request.clone().build_unsigned().wrap_err("the transaction is not complete")?;
        let signature = self.key.sign_hash_sync(&unsigned.signature_hash())?;
        let envelope: TxEnvelope = unsigned.into_signed(signature).into();
        hashes.push(*envelope.tx_hash());
        let entry = Journalled { nonce, request, raw: envelope.encoded_2718().into(), hashes };
        self.journal.keep(&entry)?;
        Ok(entry)
    }

    /// Sends a written-down transaction until one of its nonce is confirmed.
    async fn drive(&self, mut entry: Journalled, deadline: Instant) -> eyre::Result<B256> {
        loop {
            let sent = self.provider.send_raw_transaction(&entry.raw).await;
            if let Err(error) = &sent
                && self.receipt(&entry.hashes).await?.is_none()
                && !is_known(error)
            {
                if self.provider.get_transaction_count(self.address()).await? > entry.nonce {
                    self.journal.forget(entry.nonce)?;
                    bail!("nonce {} was used by another transaction of this account", entry.nonce);
                }
                // Refused by the node, and nothing of this nonce was accepted before: it cannot be mined.
                if error.as_error_resp().is_some() && entry.hashes.len() == 1 {
                    self.journal.forget(entry.nonce)?;
                    bail!("the transaction was refused: {error}");
                }
                tracing::warn!(nonce = entry.nonce, "transaction not sent: {error}");
            }
            let bump_at = Instant::now() + Duration::from_secs(self.fees.bump_seconds);
            while Instant::now() < bump_at {
                if let Some(receipt) = self.confirmed(&entry.hashes).await? {
                    self.journal.forget(entry.nonce)?;
                    let hash = receipt.transaction_hash;
                    ensure!(receipt.status(), "the transaction {hash} reverted");
                    return Ok(hash);
                }
                if Instant::now() > deadline {
                    bail!("the transaction {} is not mined; it stays in the journal", entry.hashes[0]);
                }
                tokio::time::sleep(self.poll).await;
            }
            if let Some(dearer) = self.bumped(&entry.request).await? {
                tracing::info!(
                    nonce = entry.nonce,
                    fee = dearer.max_fee_per_gas,
                    "transaction replaced by a dearer one"
                );
                entry = self.sign(entry.nonce, dearer, entry.hashes)?;
            }
        }
    }

    /// Returns the request with higher fees; `None` at the bound.
    async fn bumped(&self, request: &TransactionRequest) -> eyre::Result<Option<TransactionRequest>> {
        let raise = |fee: u128| fee.saturating_add((fee.saturating_mul(BUMP_PERCENT) / 100).max(1));
        let now = self.provider.estimate_eip1559_fees().await?;
        let fee = raise(request.max_fee_per_gas.unwrap_or_default()).max(now.max_fee_per_gas);
        let tip = raise(request.max_priority_fee_per_gas.unwrap_or_default()).max(now.max_priority_fee_per_gas);
        if fee > self.fees.max_fee_per_gas.0 {
            return Ok(None);
        }
        let mut dearer = request.clone();
        dearer.set_max_fee_per_gas(fee);
        dearer.set_max_priority_fee_per_gas(tip.min(fee));
        Ok(Some(dearer))
    }

    async fn receipt(&self, hashes: &[B256]) -> eyre::Result<Option<TransactionReceipt>> {
        for hash in hashes.iter().rev() {
            if let Some(receipt) = self.provider.get_transaction_receipt(*hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// Returns the receipt once its block has the confirmations asked for.
    async fn confirmed(&self, hashes: &[B256]) -> eyre::Result<Option<TransactionReceipt>> {
        let Some(receipt) = self.receipt(hashes).await? else { return Ok(None) };
        let Some(block) = receipt.block_number else { return Ok(None) };
        let newest = self.provider.get_block_number().await?;
        Ok((newest + 1 >= block + self.confirmations).then_some(receipt))
    }
}

fn is_call(request: &TransactionRequest, to: Address, call: &[u8]) -> bool {
    request.to.and_then(|kind| kind.to().copied()) == Some(to)
        && request.input.input().is_some_and(|input| input[..] == *call)
}

/// Whether a node says that it has this transaction already.
fn is_known<E: std::fmt::Display>(error: &E) -> bool {
    let text = error.to_string().to_lowercase();
    text.contains("already known") || text.contains("already imported") || text.contains("known transaction")
}
