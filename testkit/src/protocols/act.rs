//! Transactions of accounts whose keys nobody has.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, PendingTransactionConfig, Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use eyre::{ContextCompat, ensure};
use futures_util::future::try_join_all;
use plimsoll_deploy::toolchain::progress::Progress;

/// Gas limit where none is set.
const GAS: u64 = 2_000_000;
/// Gas limit of blocks that hold the actions of many accounts, and of all others, which is Anvil's.
const LARGE_BLOCK_GAS: u64 = 4_000_000_000;
const BLOCK_GAS: u64 = 30_000_000;
/// Accounts whose actions are in one block.
const ACCOUNTS_PER_BLOCK: usize = 50;

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

    /// Sends coins along, in wei.
    #[must_use]
    pub fn value(self, wei: U256) -> Self {
        Self(self.0.value(wei))
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

/// Sends what accounts do, the actions of each one after another and those of many accounts in one block, on a node that
/// mines by itself before and afterwards. `what` names the accounts' work.
pub(super) async fn send_in_blocks(
    provider: &DynProvider,
    work: Vec<(Address, Vec<Action>)>,
    what: &str,
) -> eyre::Result<()> {
    provider.anvil_set_auto_mine(false).await?;
    provider.anvil_set_block_gas_limit(LARGE_BLOCK_GAS).await?;
    let mut progress = Progress::new(what, work.len());
    let mut done = 0;
    let mut work = work.into_iter();
    loop {
        let accounts: Vec<_> = work.by_ref().take(ACCOUNTS_PER_BLOCK).collect();
        if accounts.is_empty() {
            break;
        }
        done += accounts.len();
        let sent = try_join_all(accounts.into_iter().map(|(account, actions)| async move {
            adopt(provider, account).await?;
            let count = actions.len();
            for action in actions {
                action.send(provider).await?;
            }
            eyre::Ok(count)
        }))
        .await?;
        provider.evm_mine(None).await?;
        let block = provider.get_block_number().await?;
        let receipts = provider.get_block_receipts(block.into()).await?.wrap_err("the block has no receipts")?;
        for receipt in &receipts {
            ensure!(receipt.status(), "{what}: {} to {:?} reverts", receipt.transaction_hash, receipt.to);
        }
        let sent: usize = sent.into_iter().sum();
        ensure!(receipts.len() == sent, "{what}: {} of {sent} transactions were mined", receipts.len());
        progress.done(done);
    }
    provider.anvil_set_block_gas_limit(BLOCK_GAS).await?;
    provider.anvil_set_auto_mine(true).await?;
    Ok(())
}

/// Gives an account ether, and has the node sign for it.
async fn adopt(provider: &DynProvider, account: Address) -> eyre::Result<()> {
    provider.anvil_set_balance(account, U256::from(10).pow(U256::from(20))).await?;
    provider.anvil_impersonate_account(account).await?;
    Ok(())
}
