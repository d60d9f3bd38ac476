//! Transactions of accounts whose keys nobody has.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, PendingTransactionConfig, Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use eyre::{ContextCompat, ensure};

/// Gas limit where none is set.
const GAS: u64 = 2_000_000;

/// A transaction that the node sends for any account.
#[derive(Debug, Clone)]
pub struct Action(TransactionRequest);

impl Action {
    /// Returns a call.
    #[must_use]
    pub fn new(from: Address, to: Address, call: &impl SolCall) -> Self {
        let data: Bytes = call.abi_encode().into();
        Self(TransactionRequest::default().from(from).to(to).input(data.into()).gas_limit(GAS))
    }

    /// Sets the gas limit.
    #[must_use]
    pub fn gas(self, gas: u64) -> Self {
        Self(self.0.gas_limit(gas))
    }

    /// Sets the priority fee, in wei per gas.
    #[must_use]
    pub fn fee(self, fee: u128) -> Self {
        Self(self.0.max_priority_fee_per_gas(fee).max_fee_per_gas(2 * fee))
    }

    /// Sends it and returns its hash, without waiting for a block.
    ///
    /// # Errors
    /// When the node refuses it.
    pub async fn send(self, provider: &DynProvider) -> eyre::Result<B256> {
        Ok(provider.anvil_send_impersonated_transaction(self.0).await?)
    }
}

/// Sends actions one after another on a node that mines by itself, and waits until all are mined.
pub(super) async fn send_all(provider: &DynProvider, actions: impl IntoIterator<Item = Action>) -> eyre::Result<()> {
    let mut hashes = Vec::new();
    for action in actions {
        hashes.push(action.send(provider).await?);
    }
    for hash in hashes {
        provider.watch_pending_transaction(PendingTransactionConfig::new(hash)).await?.await?;
        let receipt = provider.get_transaction_receipt(hash).await?.wrap_err("a transaction has no receipt")?;
        ensure!(receipt.status(), "the transaction {hash} to {:?} reverts", receipt.to);
    }
    Ok(())
}

/// Gives an account ether, and has the node sign for it.
pub(super) async fn adopt(provider: &DynProvider, account: Address) -> eyre::Result<()> {
    provider.anvil_set_balance(account, U256::from(10).pow(U256::from(20))).await?;
    provider.anvil_impersonate_account(account).await?;
    Ok(())
}
