//! A suite with groups of loans, each liquidatable from a price of its own, a pool to sell collateral in, and the
//! checks at the end of a test.

use std::collections::BTreeMap;

use alloy::{
    consensus::Transaction as _,
    network::TransactionResponse as _,
    primitives::{Address, B256, U256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IPlimsoll, MarketParams};
use plimsoll_keeper::{
    sender::journal::{EntryState, JournalEntry},
    store::{Identity, Store},
};
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    keeper::{Keeper, KeeperSetup},
};
use serde_json::Value;

pub(crate) use crate::support::{keeper as program, soon};

pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
const DOLLAR: u128 = 1_000_000;
const TRANSACTION_GAS: u64 = 1 << 24;
/// Debt of the first group's loans against an ether; each further group owes [`DEBT_STEP`] less.
pub(crate) const FIRST_DEBT: u128 = 1_500 * DOLLAR;
pub(crate) const DEBT_STEP: u128 = 20 * DOLLAR;
/// The pool's ether and dollars, in units, at the manifest's price of 2,000 dollars.
const POOL: [u128; 2] = [1_000_000 * ETHER, 2_000_000_000 * DOLLAR];
/// Number of blocks after which a block is final, with [`EARLY_FINALITY`].
pub(crate) const FINALITY_DEPTH: u64 = 8;
/// Settings for keepers whose journal is checked at the end.
pub(crate) const EARLY_FINALITY: &str = "[chain]\nfinality_depth = 8\n";

/// Mines blocks, each when the keeper has answered the last, until its status meets a condition. Returns that status.
pub(crate) async fn mine_until(
    suite: &Suite,
    keeper: &Keeper,
    condition: impl Fn(&Value) -> bool,
) -> eyre::Result<Value> {
    soon(async {
        let provider = suite.provider();
        loop {
            provider.evm_mine(None).await?;
            keeper.wait_for_response(provider, provider.get_block_number().await?).await?;
            let status = keeper.api("status").await?;
            if condition(&status) {
                return Ok(status);
            }
        }
    })
    .await
}

/// A suite with a market and loans.
pub(crate) struct Fixture {
    pub(crate) suite: Suite,
    pub(crate) params: MarketParams,
    pub(crate) core: Address,
    loans: u64,
}

impl Fixture {
    /// Creates groups with these numbers of loans, and a deep pool.
    pub(crate) async fn new(groups: &[u64]) -> eyre::Result<Self> {
        let fixture = Self::without_pool(groups).await?;
        fixture.provide(POOL).await?;
        Ok(fixture)
    }

    /// Creates groups of loans without liquidity in the pool.
    pub(crate) async fn without_pool(groups: &[u64]) -> eyre::Result<Self> {
        let mut fixture = Self::in_market(Suite::start().await?, "weth-usdc")?;
        let loans: u64 = groups.iter().sum();
        fixture.suite.supply(&fixture.params, U256::from(FIRST_DEBT * 2 * u128::from(loans.max(100)))).await?;
        for (group, loans) in (0..).zip(groups) {
            fixture.open(group, *loans).await?;
        }
        Ok(fixture)
    }

    /// Takes a suite, and opens nothing.
    pub(crate) fn in_market(suite: Suite, market: &str) -> eyre::Result<Self> {
        let (core, params) = (suite.contract("Plimsoll")?, suite.market(market)?);
        Ok(Self { suite, params, core, loans: 0 })
    }

    /// Opens further loans of a group.
    pub(crate) async fn open(&mut self, group: u128, loans: u64) -> eyre::Result<()> {
        self.open_loans(NewLoan { collateral: ETHER, debt: FIRST_DEBT - DEBT_STEP * group }, loans).await
    }

    /// Opens equal loans of separate accounts.
    pub(crate) async fn open_loans(&mut self, loan: NewLoan, loans: u64) -> eyre::Result<()> {
        let borrowers = Borrowers::deploy(&self.suite.devnet, self.core, TRANSACTION_GAS).await?;
        borrowers.open(&self.params, &vec![loan; usize::try_from(loans)?]).await?;
        self.loans += loans;
        Ok(())
    }

    /// Adds liquidity to the pool, in units.
    pub(crate) async fn provide(&self, amounts: [u128; 2]) -> eyre::Result<()> {
        let [ether, dollars] = amounts.map(U256::from);
        self.suite.add_liquidity("weth-usdc", ether, dollars).await?;
        Ok(())
    }

    pub(crate) fn provider(&self) -> &DynProvider {
        self.suite.devnet.provider()
    }

    /// Makes the node mine on request only.
    pub(crate) async fn stop_mining(&self) -> eyre::Result<()> {
        Ok(self.provider().anvil_set_auto_mine(false).await?)
    }

    pub(crate) async fn head(&self) -> eyre::Result<u64> {
        Ok(self.provider().get_block_number().await?)
    }

    /// Mines a block and returns its number.
    pub(crate) async fn mine(&self) -> eyre::Result<u64> {
        self.provider().evm_mine(None).await?;
        self.head().await
    }

    /// Sets the price at which the loans of a group, and those of the groups before it, are 1 % below their liquidation
    /// price. The price is mined in a block of its own.
    pub(crate) async fn drop_price_below(&self, group: u128) -> eyre::Result<()> {
        let waterline = (FIRST_DEBT - DEBT_STEP * group) * 100 / 86;
        self.set_price(waterline / 100 * 99 * 100).await
    }

    /// Sets a price in dollars of 8 decimals, in a block of its own.
    pub(crate) async fn set_price(&self, answer: u128) -> eyre::Result<()> {
        let hash = self.suite.send_price("eth-usd", answer).await?;
        self.mine().await?;
        let receipt = self.provider().get_transaction_receipt(hash).await?.wrap_err("the price was not mined")?;
        ensure!(receipt.status(), "the feed refused the price {answer}");
        Ok(())
    }

    /// Returns the number of liquidations of each borrower on the current chain.
    pub(crate) async fn liquidated(&self) -> eyre::Result<BTreeMap<Address, u64>> {
        let filter = Filter::new()
            .address(self.core)
            .event_signature(IPlimsoll::Liquidate::SIGNATURE_HASH)
            .topic1(self.params.id().0)
            .from_block(0);
        let mut times = BTreeMap::new();
        for log in self.provider().get_logs(&filter).await? {
            *times.entry(IPlimsoll::Liquidate::decode_log(&log.inner)?.borrower).or_default() += 1;
        }
        Ok(times)
    }

    /// Mines blocks, each when these keepers have applied the last, until a number of borrowers were liquidated.
    pub(crate) async fn wait_until_liquidated(&self, borrowers: u64, keepers: &[&Keeper]) -> eyre::Result<()> {
        soon(async {
            while u64::try_from(self.liquidated().await?.len())? < borrowers {
                let head = self.mine().await?;
                for keeper in keepers {
                    keeper.wait_for_block(head).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Mines a number of blocks, each when the keeper has applied the last.
    pub(crate) async fn mine_blocks(&self, blocks: u64, keeper: &Keeper) -> eyre::Result<()> {
        for _ in 0..blocks {
            keeper.wait_for_block(self.mine().await?).await?;
        }
        Ok(())
    }

    /// Mines blocks until a keeper shows what a transaction brought. Returns its totals.
    pub(crate) async fn shown(&self, keeper: &Keeper, transaction: B256) -> eyre::Result<Value> {
        soon(async {
            loop {
                self.mine_blocks(1, keeper).await?;
                let activity = keeper.api("activity").await?;
                let entries = activity["activity"].as_array().wrap_err("no list")?;
                let is_it =
                    |entry: &&Value| entry["transaction"] == transaction.to_string() && entry["state"] == "mined";
                if entries.iter().any(|entry| is_it(&entry) && !entry["profit"].is_null() && !entry["moved"].is_null())
                {
                    return Ok(keeper.api("status").await?["totals"].clone());
                }
            }
        })
        .await
    }

    /// Mines until everything that a keeper sent is settled in its journal, and shuts it down. The journal can only be
    /// read after that, so the keeper is restarted as long as something is unsettled.
    pub(crate) async fn settle_and_end(
        &self,
        mut keeper: Keeper,
        setup: &KeeperSetup,
    ) -> eyre::Result<Vec<JournalEntry>> {
        soon(async {
            loop {
                while keeper.pending().await? > 0 {
                    self.mine_blocks(1, &keeper).await?;
                }
                self.mine_blocks(FINALITY_DEPTH + 2, &keeper).await?;
                keeper.shut_down().await?;
                let journal = self.journal(setup).await?;
                if journal.iter().all(|entry| entry.state.is_settled()) {
                    return Ok(journal);
                }
                keeper = Keeper::start_with(&self.suite, program(), setup).await?;
                keeper.wait_until_ready().await?;
            }
        })
        .await
    }

    /// Checks that every loan was liquidated exactly once.
    pub(crate) async fn ensure_each_once(&self) -> eyre::Result<()> {
        let liquidated = self.liquidated().await?;
        let again: Vec<_> = liquidated.iter().filter(|(_, times)| **times != 1).collect();
        ensure!(again.is_empty(), "liquidated more than once: {again:?}");
        ensure!(u64::try_from(liquidated.len())? == self.loans, "{} of {}", liquidated.len(), self.loans);
        Ok(())
    }

    /// Returns all mined transactions of an account by nonce: hash, success and gas used.
    pub(crate) async fn mined_transactions(&self, signer: Address) -> eyre::Result<BTreeMap<u64, (B256, bool, u64)>> {
        let mut mined = BTreeMap::new();
        for number in 0..=self.head().await? {
            let block = self.provider().get_block_by_number(number.into()).full().await?.wrap_err("no block")?;
            for transaction in block.transactions.txns().filter(|transaction| transaction.from() == signer) {
                let hash = transaction.tx_hash();
                let receipt = self.provider().get_transaction_receipt(hash).await?.wrap_err("no receipt")?;
                mined.insert(transaction.nonce(), (hash, receipt.status(), receipt.gas_used));
            }
        }
        Ok(mined)
    }

    /// Returns the identity of the suite's deployment.
    pub(crate) fn identity(&self) -> eyre::Result<Identity> {
        let deployment = &self.suite.deployment;
        Ok(Identity {
            chain_id: deployment.chain_id,
            genesis: deployment.genesis,
            core: self.core,
            rewards: Some(self.suite.contract("Rewards")?),
        })
    }

    /// Returns the journal of a keeper that has ended.
    pub(crate) async fn journal(&self, setup: &KeeperSetup) -> eyre::Result<Vec<JournalEntry>> {
        let identity = self.identity()?;
        let store = Store::open(&setup.store(&self.suite), &identity)?;
        Ok(store.journal.newest(100_000).await?)
    }

    /// Checks that no transaction of an account reverted.
    pub(crate) async fn ensure_none_reverted(&self, signer: Address) -> eyre::Result<()> {
        let reverted: Vec<_> =
            self.mined_transactions(signer).await?.into_iter().filter(|(_, (_, did, _))| !did).collect();
        ensure!(reverted.is_empty(), "{reverted:?}");
        Ok(())
    }

    /// Checks K2 by a keeper's settled journal: every nonce is one mined transaction of the intent that the journal
    /// names, and no other entry claims it.
    pub(crate) async fn ensure_journal_is_complete(
        &self,
        journal: &[JournalEntry],
        signer: Address,
    ) -> eyre::Result<()> {
        let mut mined = self.mined_transactions(signer).await?;
        for entry in journal.iter().filter(|entry| entry.signer == signer) {
            if let EntryState::Final(place) | EntryState::Cancelled(place) = entry.state {
                let served = mined.remove(&entry.nonce);
                let (hash, ..) = served.wrap_err_with(|| format!("nonce {} serves no other intent", entry.nonce))?;
                ensure!(place.hash == hash, "nonce {} was used by {hash}, not by {}", entry.nonce, place.hash);
            }
        }
        ensure!(mined.is_empty(), "the journal does not have {mined:?}");
        Ok(())
    }
}
