//! Blocks under the rules of Cancun, Prague and Osaka, with the transactions that these brought: recorded from a chain
//! under those rules and replayed offline.

use alloy::{
    consensus::{SignableTransaction, TxEip4844, TxEip7702, TxEnvelope},
    eips::{BlockNumberOrTag, Encodable2718, eip4844::DATA_GAS_PER_BLOB, eip7702::Authorization},
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, address, bytes, utils::Unit},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    signers::{SignerSync, local::PrivateKeySigner},
};
use eyre::{ContextCompat, ensure};
use plimsoll_lab::record;
use plimsoll_testkit::{
    node::Node,
    recording::{Playback, Recorder, Recording},
};
use serde_json::json;
use tempfile::TempDir;

use super::recordings::edit;

use crate::support;

const GWEI: u128 = 1_000_000_000;
const GAS: u64 = 200_000;

/// A contract that logs the price of blobs and the transaction's first blob: BLOBBASEFEE, PUSH0, MSTORE, PUSH0,
/// BLOBHASH, PUSH1 0x20, MSTORE, PUSH1 0x40, PUSH0, LOG0, STOP.
const BLOB_LOGGER: Bytes = bytes!("4a5f525f4960205260405fa000");
/// A contract that counts its calls in slot 0: PUSH0, SLOAD, PUSH1 1, ADD, PUSH0, SSTORE, STOP.
const COUNTER: Bytes = bytes!("5f546001015f5500");
const LOGGER_ADDRESS: Address = address!("00000000000000000000000000000000000b10b5");
const COUNTER_ADDRESS: Address = address!("00000000000000000000000000000000000c0de5");
/// A second between the forks Prague and Osaka on Ethereum's mainnet.
const IN_PRAGUE: &str = "1750000000";
/// Excess blob gas of a parent, for which blobs cost some hundred wei under Cancun's rules.
const EXCESS: &str = "0x1400000";

/// A chain under the rules of a hard fork, with an account that signs by itself.
struct Chain {
    node: Node,
    signer: PrivateKeySigner,
    nonce: u64,
}

impl Chain {
    async fn start(arguments: &[&str]) -> eyre::Result<Self> {
        // A chain that impersonates takes blob transactions without their blobs.
        let node = Node::start(&support::tools()?, &[&["--auto-impersonate"], arguments].concat()).await?;
        let signer = PrivateKeySigner::random();
        let provider = node.provider();
        provider.anvil_set_balance(signer.address(), Unit::ETHER.wei() * U256::from(100)).await?;
        provider.anvil_set_code(LOGGER_ADDRESS, BLOB_LOGGER).await?;
        provider.anvil_set_code(COUNTER_ADDRESS, COUNTER).await?;
        provider.anvil_mine(None, None).await?;
        Ok(Self { node, signer, nonce: 0 })
    }

    /// Sends a call of the logger with blobs.
    async fn send_blobs(&mut self, blobs: usize) -> eyre::Result<()> {
        let transaction = TxEip4844 {
            chain_id: self.node.provider().get_chain_id().await?,
            nonce: self.next_nonce(),
            gas_limit: GAS,
            max_fee_per_gas: 10 * GWEI,
            max_priority_fee_per_gas: GWEI,
            to: LOGGER_ADDRESS,
            max_fee_per_blob_gas: GWEI,
            blob_versioned_hashes: (0..blobs).map(|_| B256::with_last_byte(7) | VERSION).collect(),
            ..TxEip4844::default()
        };
        self.send(transaction).await
    }

    /// Sends a call of an account that delegates to the counter in the same transaction.
    async fn send_delegation(&mut self) -> eyre::Result<()> {
        let delegating = PrivateKeySigner::random();
        let chain_id = self.node.provider().get_chain_id().await?;
        let authorization = Authorization { chain_id: U256::from(chain_id), address: COUNTER_ADDRESS, nonce: 0 };
        let signature = delegating.sign_hash_sync(&authorization.signature_hash())?;
        let transaction = TxEip7702 {
            chain_id,
            nonce: self.next_nonce(),
            gas_limit: GAS,
            max_fee_per_gas: 10 * GWEI,
            max_priority_fee_per_gas: GWEI,
            to: delegating.address(),
            authorization_list: vec![authorization.into_signed(signature)],
            ..TxEip7702::default()
        };
        self.send(transaction).await
    }

    async fn send<T: SignableTransaction<alloy::primitives::Signature>>(&self, transaction: T) -> eyre::Result<()>
    where
        TxEnvelope: From<alloy::consensus::Signed<T>>,
    {
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash())?;
        let signed = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        let _pending = self.node.provider().send_raw_transaction(&signed).await?;
        Ok(())
    }

    const fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce - 1
    }

    /// Mines a block with what `send` sends and a call of the counter, and returns its number.
    async fn mine_together(&mut self, send: impl AsyncFnOnce(&mut Self) -> eyre::Result<()>) -> eyre::Result<u64> {
        self.node.provider().anvil_set_auto_mine(false).await?;
        send(self).await?;
        let provider = self.node.provider();
        let call = TransactionRequest::default().with_from(self.node.account(1)?).with_to(COUNTER_ADDRESS);
        let _pending = provider.send_transaction(call.with_gas_limit(GAS)).await?;
        provider.evm_mine(None).await?;
        Ok(provider.get_block_number().await?)
    }
}

/// Version of the hashes of blobs.
const VERSION: B256 = B256::new({
    let mut version = [0; 32];
    version[0] = 1;
    version
});

/// Records a block, ends its chain, and replays the recording under the rules that its header tells.
async fn replays_offline_under(rules: &str, chain: Chain, number: u64) -> eyre::Result<()> {
    let (tools, folder) = (support::tools()?, TempDir::new()?);
    let recorded = record::record(&tools, chain.node.http_url().parse()?, number, None, folder.path()).await?;
    drop(chain);
    let report = record::replay_recording(&tools, record::find(folder.path(), None)?, None).await?;
    assert_eq!((report.rules.as_str(), report.outcome), (rules, recorded.outcome));
    assert_eq!((report.reads_outside, report.outcome.transactions), (0, 2));
    Ok(())
}

/// Starts a chain on which blobs cost more than the minimum of 1 wei: a fork from a recorded block that says so. A chain
/// of its own never reaches that, however many blobs it has.
async fn with_dear_blobs(rules: &[&str]) -> eyre::Result<(Playback, Chain)> {
    let (first, folder) = (Chain::start(rules).await?, TempDir::new()?);
    let number = first.node.provider().get_block_number().await?;
    let recorder = Recorder::start(first.node.http_url().parse()?, number).await?;
    let [_, block] = recorder.recording().await?.write(folder.path())?;
    edit(&block, |block| block["excessBlobGas"] = json!(EXCESS))?;
    let playback = Playback::start(Recording::read(folder.path(), number)?, &[]).await?;
    let (url, before) = (playback.http_url(), (number - 1).to_string());
    let arguments = [rules, &["--fork-url", &url, "--fork-block-number", &before, "--no-storage-caching"]].concat();
    Ok((playback, Chain::start(&arguments).await?))
}

async fn replays_with_the_price_of_blobs(rules: &str, arguments: &[&str]) -> eyre::Result<()> {
    let (_upstream, mut chain) = with_dear_blobs(arguments).await?;
    let number = chain.mine_together(async |chain| chain.send_blobs(1).await).await?;
    let block = chain.node.provider().get_block_by_number(BlockNumberOrTag::Number(number)).await?;
    let header = block.wrap_err("the block is missing")?.header;
    let excess = header.excess_blob_gas.unwrap_or_default();
    ensure!(header.blob_gas_used == Some(DATA_GAS_PER_BLOB) && excess > 20_000_000, "blobs cost 1 wei: {header:?}");
    replays_offline_under(rules, chain, number).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_cancun_replays_with_its_blob_transaction_and_the_price_of_blobs() -> eyre::Result<()> {
    replays_with_the_price_of_blobs("cancun", &["--hardfork", "cancun"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_prague_replays_with_its_blob_transaction_and_the_price_of_blobs() -> eyre::Result<()> {
    replays_with_the_price_of_blobs("prague", &["--hardfork", "prague", "--timestamp", IN_PRAGUE]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_prague_replays_with_its_delegation() -> eyre::Result<()> {
    let mut chain = Chain::start(&["--hardfork", "prague", "--timestamp", IN_PRAGUE]).await?;
    let number = chain.mine_together(async |chain| chain.send_delegation().await).await?;
    replays_offline_under("prague", chain, number).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_osaka_is_known_by_its_time_and_can_be_replayed_under_named_rules() -> eyre::Result<()> {
    let mut chain = Chain::start(&["--hardfork", "osaka", "--timestamp", "1764800000"]).await?;
    let number = chain.mine_together(async |chain| chain.send_blobs(1).await).await?;
    let (tools, folder) = (support::tools()?, TempDir::new()?);
    let url = chain.node.http_url();
    record::record(&tools, url.parse()?, number, None, folder.path()).await?;
    // BLOBBASEFEE is an invalid instruction before Cancun, and blob transactions are refused.
    let recording = record::find(folder.path(), None)?;
    assert_eq!(recording.rules()?, "osaka");
    let error = record::replay_recording(&tools, recording, Some("shanghai")).await.unwrap_err().to_string();
    assert!(error.contains("only 1 of the 2 transactions") && error.contains("rules of shanghai"), "{error}");
    replays_offline_under("osaka", chain, number).await
}
