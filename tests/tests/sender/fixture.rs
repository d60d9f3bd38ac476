//! A node that mines on request, geth's pool in front of it, and a sender with its store.

use std::sync::Arc;

use alloy::eips::Encodable2718;
use alloy::{
    eips::BlockNumberOrTag,
    network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes, U256, address, utils::Unit},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
};
use eyre::{ContextCompat, WrapErr, bail};
use plimsoll_keeper::{
    chain::Header,
    intent::{GuardKind, Intent, Outcome, Priority, Purpose, Report, Scope},
    safety,
    sender::{
        self, Nodes, SenderEvent, SenderHandle, SenderSettings, SenderTasks, SignerStatus, Signers, StartError,
        journal::{EntryState, JournalEntry},
    },
    store::{Identity, Store, StoreError},
};
use plimsoll_testkit::{
    node::Node,
    proxy::{Fault, Proxy},
};
use tempfile::TempDir;
use tokio::{
    sync::mpsc,
    time::{Duration, timeout},
};

use crate::support;

/// Counts the executions of each intent in the slot that its calldata names.
pub(super) const COUNTER: Address = address!("0x1000000000000000000000000000000000000002");
/// `PUSH0 CALLDATALOAD DUP1 SLOAD PUSH1 1 ADD SWAP1 SSTORE STOP`.
const COUNTER_CODE: [u8; 10] = [0x5f, 0x35, 0x80, 0x54, 0x60, 1, 1, 0x90, 0x55, 0];

/// Reverts on every call.
pub(super) const REVERTER: Address = address!("0x1000000000000000000000000000000000000003");
/// `PUSH0 PUSH0 REVERT`.
const REVERTER_CODE: [u8; 3] = [0x5f, 0x5f, 0xfd];

pub(super) const GWEI: u64 = 1_000_000_000;
const CHAIN_ID: u64 = 31_337;

/// How long a condition is waited for before the test fails.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A node, a proxy and a key.
pub(super) struct Fixture {
    pub(super) node: Node,
    pub(super) proxy: Proxy,
    pub(super) key: PrivateKeySigner,
    folder: TempDir,
}

/// A running sender.
pub(super) struct Running {
    pub(super) handle: SenderHandle,
    pub(super) store: Store,
    news: mpsc::UnboundedReceiver<SenderEvent>,
    kept: Vec<Report>,
    tasks: SenderTasks,
}

impl Fixture {
    pub(super) async fn new() -> eyre::Result<Self> {
        let node = Node::start(&support::tools()?, &["--no-mining"]).await?;
        let proxy = Proxy::start(node.address()).await?;
        proxy.inject(Fault::GethPool);
        let key = PrivateKeySigner::random();
        let provider = node.provider();
        provider.anvil_set_balance(key.address(), Unit::ETHER.wei()).await?;
        provider.anvil_set_code(COUNTER, Bytes::from_static(&COUNTER_CODE)).await?;
        provider.anvil_set_code(REVERTER, Bytes::from_static(&REVERTER_CODE)).await?;
        Ok(Self { node, proxy, key, folder: tempfile::tempdir()? })
    }

    pub(super) fn settings(&self) -> SenderSettings {
        SenderSettings {
            chain_id: CHAIN_ID,
            core: sender::core::CoreSettings { finality_depth: 4, ..Default::default() },
            safety: safety::SafetySettings {
                is_live: true,
                loss_cap_per_day: Unit::ETHER.wei(),
                scope_loss_cap_per_day: Unit::ETHER.wei(),
                breaker_reverts: 3,
                breaker_window_secs: 600,
                breaker_pause_secs: 600,
                minimum_balance: U256::from(1),
                contracts: safety::Contracts::default(),
            },
            kill_file: Some(self.folder.path().join("STOP")),
            adopt_nonce: false,
            lock_folder: Some(self.folder.path().join("locks")),
        }
    }

    pub(super) fn kill_file(&self) -> std::path::PathBuf {
        self.folder.path().join("STOP")
    }

    /// Starts a sender with the fixture's proxy as its only node, and passes it the newest block.
    pub(super) async fn start(&self) -> eyre::Result<Running> {
        let nodes = nodes(&[&self.proxy], &[&self.proxy], &[])?;
        let running = self.start_with(self.settings(), nodes, "store").await??;
        running.handle.on_block(self.header().await?, &[]);
        Ok(running)
    }

    /// Starts a sender with these settings, with the store in a folder of this name.
    pub(super) async fn start_with(
        &self,
        settings: SenderSettings,
        nodes: Nodes,
        store: &str,
    ) -> eyre::Result<Result<Running, StartError>> {
        let identity =
            Identity { chain_id: CHAIN_ID, genesis: B256::repeat_byte(1), core: Address::ZERO, rewards: None };
        let store = loop {
            match Store::open(&self.folder.path().join(store), &identity) {
                // A lock that was released remains held while a process that another test forks has not yet called
                // exec.
                Err(StoreError::InUse { .. }) => tokio::task::yield_now().await,
                opened => break opened?,
            }
        };
        let signers = Signers { high_priority: Some(self.key.clone().into()), ..Signers::default() };
        let started = sender::start(settings, signers, nodes, store.journal.clone(), store.notes.clone()).await;
        Ok(started.map(|(handle, news, tasks)| Running { handle, store, news, kept: Vec::new(), tasks }))
    }

    /// Returns the newest block, by the node itself.
    pub(super) async fn header(&self) -> eyre::Result<Header> {
        let block = self.node.provider().get_block_by_number(BlockNumberOrTag::Latest).await?.wrap_err("no block")?;
        Ok(Header {
            number: block.header.number,
            hash: block.header.hash,
            parent_hash: block.header.parent_hash,
            timestamp: block.header.timestamp,
            base_fee: block.header.base_fee_per_gas.unwrap_or_default(),
            gas_limit: block.header.gas_limit,
            gas_used: block.header.gas_used,
        })
    }

    /// Mines a block, waits until the proxy's pool has processed it, and passes the block to a sender.
    pub(super) async fn mine(&self, running: &Running) -> eyre::Result<Header> {
        let mined = self.proxy.counts().blocks();
        self.node.provider().anvil_mine(Some(1), None).await?;
        self.proxy.wait_for(|counts| counts.blocks() > mined).await?;
        let header = self.header().await?;
        running.handle.on_block(header, &[]);
        Ok(header)
    }

    pub(super) async fn set_base_fee(&self, gwei: u64) -> eyre::Result<()> {
        Ok(self.node.provider().anvil_set_next_block_base_fee_per_gas(u128::from(gwei * GWEI)).await?)
    }

    /// Returns the number of executions of an intent.
    pub(super) async fn executions(&self, label: u64) -> eyre::Result<U256> {
        Ok(self.node.provider().get_storage_at(COUNTER, U256::from(label)).await?)
    }

    /// Signs an empty transfer with the same key, as another program would.
    pub(super) async fn sign_foreign(&self, nonce: u64, max_fee_gwei: u64, tip_gwei: u64) -> eyre::Result<Bytes> {
        let request = TransactionRequest::default()
            .with_chain_id(CHAIN_ID)
            .with_from(self.key.address())
            .with_to(Address::ZERO)
            .with_nonce(nonce)
            .with_gas_limit(21_000)
            .with_max_fee_per_gas(u128::from(max_fee_gwei * GWEI))
            .with_max_priority_fee_per_gas(u128::from(tip_gwei * GWEI));
        let wallet = EthereumWallet::from(self.key.clone());
        Ok(request.build(&wallet).await?.encoded_2718().into())
    }

    /// Waits until the node's own pool has this number of minable transactions of the key.
    pub(super) async fn wait_until_pooled(&self, count: u64) -> eyre::Result<()> {
        let provider = self.node.provider();
        let pooled = async || -> eyre::Result<u64> {
            let mined = provider.get_transaction_count(self.key.address()).await?;
            Ok(provider.get_transaction_count(self.key.address()).pending().await? - mined)
        };
        timeout(WAIT_TIMEOUT, async {
            while pooled().await? != count {}
            Ok(())
        })
        .await
        .wrap_err("they never came")?
    }

    /// Waits until the node itself has a transaction.
    pub(super) async fn wait_until_known(&self, hash: B256) -> eyre::Result<()> {
        let provider = self.node.provider();
        let known = async {
            while provider.get_transaction_by_hash(hash).await?.is_none() {}
            Ok(())
        };
        timeout(WAIT_TIMEOUT, known).await.wrap_err("it never came")?
    }
}

/// Returns nodes behind these proxies: for reading, for broadcasting, and private ones.
pub(super) fn nodes(read: &[&Proxy], send: &[&Proxy], private: &[&Proxy]) -> eyre::Result<Nodes> {
    let endpoints = |proxies: &[&Proxy]| {
        let endpoint = |proxy: &&Proxy| Ok(Arc::new(proxy.http_url().parse()?));
        proxies.iter().map(endpoint).collect::<eyre::Result<Vec<_>>>()
    };
    Ok(Nodes::new(endpoints(read)?, endpoints(send)?, endpoints(private)?))
}

/// Returns an intent that earns a tenth of an ether and bids a tenth of that, without a deadline.
pub(super) fn intent(label: u64, priority: Priority) -> Intent {
    Intent {
        purpose: Purpose::ClaimOwn { pool: U256::from(label).into(), reward_token: Address::ZERO },
        priority,
        to: COUNTER,
        data: B256::from(U256::from(label)).into(),
        gas_limit: 100_000,
        expected_gas: 50_000,
        expected_gain: Unit::ETHER.wei() / U256::from(10),
        extra_wei: U256::ZERO,
        margin_bps: 0,
        deadline: u64::MAX,
        scope: Scope::new("harvest", B256::ZERO),
        guard: GuardKind::None,
        bid: 179_900_000_000,
        profit: None,
    }
}

impl Running {
    pub(super) fn submit(&self, label: u64) -> u64 {
        self.handle.submit(intent(label, Priority::High))
    }

    /// Returns the next outcome of an intent. Outcomes of others are kept, alerts are skipped.
    pub(super) async fn next(&mut self, id: u64) -> eyre::Result<Outcome> {
        if let Some(at) = self.kept.iter().position(|report| report.id == id) {
            return Ok(self.kept.remove(at).outcome);
        }
        loop {
            let news = timeout(WAIT_TIMEOUT, self.news.recv()).await.wrap_err("there is no news")?;
            match news.wrap_err("the sender has ended")? {
                SenderEvent::Report(report) if report.id == id => return Ok(report.outcome),
                SenderEvent::Report(report) => self.kept.push(*report),
                SenderEvent::Alert(_) | SenderEvent::LeaseAcquired => {}
            }
        }
    }

    /// Submits an intent, waits until it is broadcast, and returns its id and hash.
    pub(super) async fn sent(&mut self, label: u64) -> eyre::Result<(u64, B256)> {
        let id = self.submit(label);
        match self.next(id).await? {
            Outcome::Sent { hash, .. } => Ok((id, hash)),
            other => bail!("it was not sent: {other:?}"),
        }
    }

    /// Waits until the signer's status satisfies a condition.
    pub(super) async fn wait_until(&self, wanted: impl FnMut(&SignerStatus) -> bool) -> eyre::Result<SignerStatus> {
        let mut status = self.handle.watch_status(Priority::High).wrap_err("nobody signs")?;
        let reached = timeout(WAIT_TIMEOUT, status.wait_for(wanted)).await;
        let status = reached.map_err(|_| eyre::eyre!("waited in vain: {:?}", self.handle.status()))??.clone();
        Ok(status)
    }

    /// Returns the journal entry of an intent.
    pub(super) async fn entry(&self, id: u64) -> eyre::Result<JournalEntry> {
        let entries = self.store.journal.newest(1_000).await?;
        entries.into_iter().find(|entry| entry.id == id).wrap_err_with(|| format!("{id} is not in the journal"))
    }

    /// Waits until the journal has an intent in this state.
    pub(super) async fn wait_for_state(&self, id: u64, state: EntryState) -> eyre::Result<()> {
        timeout(WAIT_TIMEOUT, async {
            while self.entry(id).await?.state != state {}
            Ok(())
        })
        .await
        .wrap_err("it never was")?
    }

    pub(super) async fn shut_down(self) {
        self.tasks.shut_down().await;
    }
}
