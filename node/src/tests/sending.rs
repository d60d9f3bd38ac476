//! Transactions that are not mined at once.

use std::{path::Path, sync::Arc};

use alloy::{
    primitives::{Address, U256},
    providers::{Provider, ProviderBuilder, ext::AnvilApi},
};
use eyre::ensure;
use plimsoll_chain::signer::SignerSource;
use plimsoll_testkit::devnet::Devnet;
use serde_json::Value;

use crate::{config::Fees, journal::Journal, sender::Sender};

const CHAIN: u64 = 31_337;

async fn sender(devnet: &Devnet, path: &Path, fees: Fees) -> eyre::Result<Sender> {
    let endpoint: plimsoll_chain::endpoint::Endpoint = devnet.node.http_url().parse()?;
    let client = endpoint.client().await?;
    let local = plimsoll_chain::local::LocalChain::detect(&endpoint, &client).await?;
    let provider = ProviderBuilder::default().connect_client(client).erased();
    let key = SignerSource::Anvil(2).load(local)?;
    let journal = journal(devnet, path)?;
    Ok(Sender::new(provider, key, CHAIN, journal, fees, 1))
}

fn journal(devnet: &Devnet, path: &Path) -> eyre::Result<Journal> {
    Journal::open(path, CHAIN, devnet.account(2)?)
}

/// Fees of this account's transactions that wait for a block.
async fn waiting(devnet: &Devnet, of: Address) -> eyre::Result<Vec<u128>> {
    let pool: Value = devnet.provider().raw_request("txpool_content".into(), ()).await?;
    let mut fees = Vec::new();
    for (account, transactions) in ["pending", "queued"].iter().filter_map(|part| pool[part].as_object()).flatten() {
        if account.parse::<Address>()? == of {
            for transaction in transactions.as_object().into_iter().flat_map(|found| found.values()) {
                let fee: U256 = serde_json::from_value(transaction["maxFeePerGas"].clone())?;
                fees.push(fee.to());
            }
        }
    }
    Ok(fees)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_replaced_by_dearer_ones_and_survives_a_crash() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let provider = devnet.provider();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.sqlite");
    let fees = Fees { bump_seconds: 1, ..Fees::default() };
    let sending = Arc::new(sender(&devnet, &path, fees).await?);
    let of = sending.address();
    provider.anvil_set_auto_mine(false).await?;

    let task = tokio::spawn({
        let sending = Arc::clone(&sending);
        async move { sending.send(Address::repeat_byte(7), vec![1]).await }
    });
    let first = loop {
        if let [fee] = waiting(&devnet, of).await?[..] {
            break fee;
        }
        tokio::task::yield_now().await;
    };
    // It is replaced in the pool, and never a second one beside it.
    loop {
        let fees = waiting(&devnet, of).await?;
        ensure!(fees.len() <= 1, "{fees:?}");
        if fees.iter().any(|fee| *fee >= first + first / 10) {
            break;
        }
        tokio::task::yield_now().await;
    }
    // The process ends here.
    task.abort();
    ensure!(task.await.is_err());
    drop(sending);
    let kept = journal(&devnet, &path)?.transactions()?;
    ensure!(kept.len() == 1 && kept[0].hashes.len() > 1, "{kept:?}");
    provider.anvil_drop_all_transactions().await?;
    let resumed = Arc::new(sender(&devnet, &path, fees).await?);
    let task = tokio::spawn({
        let resumed = Arc::clone(&resumed);
        async move {
            resumed.resume().await?;
            resumed.send(Address::repeat_byte(8), vec![2]).await
        }
    });
    while waiting(&devnet, of).await?.is_empty() {
        tokio::task::yield_now().await;
    }
    provider.anvil_set_auto_mine(true).await?;
    provider.anvil_mine(Some(1), None).await?;
    task.await??;
    ensure!(journal(&devnet, &path)?.transactions()?.is_empty());
    ensure!(provider.get_transaction_count(of).await? == 2, "one of each");

    // Above the bound nothing is sent, and what would revert is not written down.
    let bounded = sender(&devnet, &path, Fees { max_fee_per_gas: crate::x402::Amount(1), ..fees }).await?;
    let error = format!("{:#}", bounded.send(of, Vec::new()).await.err().unwrap_or_else(|| eyre::eyre!("sent")));
    ensure!(error.contains("fees.max_fee_per_gas is 1"), "{error}");
    let code = devnet.deploy("Channels", Vec::new()).await?;
    ensure!(resumed.send(code, vec![0xff; 4]).await.is_err());
    ensure!(journal(&devnet, &path)?.transactions()?.is_empty() && provider.get_transaction_count(of).await? == 2);
    Ok(())
}
