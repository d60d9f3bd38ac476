//! A fixture to be lived through: loans in groups, each of which goes under water at a price of its own, a pool to sell
//! collateral in, and what has to be true when it is over.

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
    sender::journal::{Entry, State},
    store::{Identity, Store},
};
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    keeper::{Keeper, KeeperSetup},
};

pub(super) use crate::support::{keeper as program, soon};

pub(super) const ETHER: u128 = 1_000_000_000_000_000_000;
const DOLLAR: u128 = 1_000_000;
const TRANSACTION_GAS: u64 = 1 << 24;
/// What the loans of the first group owe for an ether, and how much less those of each further one.
const FIRST_DEBT: u128 = 1_500 * DOLLAR;
const DEBT_STEP: u128 = 20 * DOLLAR;
/// What the pool holds of each, in units: at 2,000 dollars, as the manifest says.
const POOL: [u128; 2] = [1_000_000 * ETHER, 2_000_000_000 * DOLLAR];
/// Blocks after which a block counts as final, where the keepers are told so.
pub(super) const FINAL_AFTER: u64 = 8;
/// For keepers whose journal is looked at in the end.
pub(super) const SOON_FINAL: &str = "[chain]\nfinal_after = 8\n";

/// A suite with a market and loans in it.
pub(super) struct Fixture {
    pub(super) suite: Suite,
    pub(super) params: MarketParams,
    pub(super) core: Address,
    loans: u64,
}

impl Fixture {
    /// Begins one with groups of so many loans, and a deep pool.
    pub(super) async fn begin(groups: &[u64]) -> eyre::Result<Self> {
        let fixture = Self::without_pool(groups).await?;
        fixture.provide(POOL).await?;
        Ok(fixture)
    }

    /// The same, with nothing to sell collateral to.
    pub(super) async fn without_pool(groups: &[u64]) -> eyre::Result<Self> {
        let suite = Suite::start().await?;
        let (core, params) = (suite.contract("Plimsoll")?, suite.market("weth-usdc")?);
        let loans: u64 = groups.iter().sum();
        suite.supply(&params, U256::from(FIRST_DEBT * 2 * u128::from(loans.max(100)))).await?;
        let mut fixture = Self { suite, params, core, loans: 0 };
        for (group, loans) in (0..).zip(groups) {
            fixture.open(group, *loans).await?;
        }
        Ok(fixture)
    }

    /// Opens more loans of a group.
    pub(super) async fn open(&mut self, group: u128, loans: u64) -> eyre::Result<()> {
        self.open_loans(NewLoan { collateral: ETHER, debt: FIRST_DEBT - DEBT_STEP * group }, loans).await
    }

    /// Opens so many of a loan, by accounts of their own.
    pub(super) async fn open_loans(&mut self, loan: NewLoan, loans: u64) -> eyre::Result<()> {
        let borrowers = Borrowers::deploy(&self.suite.devnet, self.core, TRANSACTION_GAS).await?;
        borrowers.open(&self.params, &vec![loan; usize::try_from(loans)?]).await?;
        self.loans += loans;
        Ok(())
    }

    /// Gives the pool so much of both tokens more.
    pub(super) async fn provide(&self, amounts: [u128; 2]) -> eyre::Result<()> {
        let [ether, dollars] = amounts.map(U256::from);
        self.suite.add_liquidity("weth-usdc", ether, dollars).await?;
        Ok(())
    }

    pub(super) fn provider(&self) -> &DynProvider {
        self.suite.devnet.provider()
    }

    /// Has the node mine only when it is told.
    pub(super) async fn stop_mining(&self) -> eyre::Result<()> {
        Ok(self.provider().anvil_set_auto_mine(false).await?)
    }

    pub(super) async fn head(&self) -> eyre::Result<u64> {
        Ok(self.provider().get_block_number().await?)
    }

    /// Mines a block, and tells its number.
    pub(super) async fn mine(&self) -> eyre::Result<u64> {
        self.provider().evm_mine(None).await?;
        self.head().await
    }

    /// The price at which the loans of a group, and of those before it, are one percent under water; in a block of its
    /// own.
    pub(super) async fn fall(&self, group: u128) -> eyre::Result<()> {
        let waterline = (FIRST_DEBT - DEBT_STEP * group) * 100 / 86;
        self.set_price(waterline / 100 * 99 * 100).await
    }

    /// A price in dollars of 8 decimals, in a block of its own.
    pub(super) async fn set_price(&self, answer: u128) -> eyre::Result<()> {
        let hash = self.suite.send_price("eth-usd", answer).await?;
        self.mine().await?;
        let receipt = self.provider().get_transaction_receipt(hash).await?.wrap_err("the price was not mined")?;
        ensure!(receipt.status(), "the feed refused the price {answer}");
        Ok(())
    }

    /// How often each borrower was liquidated on the chain as it is.
    pub(super) async fn liquidated(&self) -> eyre::Result<BTreeMap<Address, u64>> {
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

    /// Mines one block after another, each when these keepers have applied the last, until so many borrowers were
    /// liquidated.
    pub(super) async fn until_liquidated(&self, borrowers: u64, keepers: &[&Keeper]) -> eyre::Result<()> {
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

    /// Mines so many blocks, each when the keeper has applied the last.
    pub(super) async fn idle(&self, blocks: u64, keeper: &Keeper) -> eyre::Result<()> {
        for _ in 0..blocks {
            keeper.wait_for_block(self.mine().await?).await?;
        }
        Ok(())
    }

    /// Mines until everything that a keeper sent is settled in its journal, and ends it. To read that it is ended, well,
    /// and it is started anew as often as something was still open.
    pub(super) async fn end(&self, mut keeper: Keeper, setup: &KeeperSetup) -> eyre::Result<Vec<Entry>> {
        soon(async {
            loop {
                while keeper.pending().await? > 0 {
                    self.idle(1, &keeper).await?;
                }
                self.idle(FINAL_AFTER + 2, &keeper).await?;
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

    /// Every loan was liquidated, and none twice.
    pub(super) async fn ensure_each_once(&self) -> eyre::Result<()> {
        let liquidated = self.liquidated().await?;
        let again: Vec<_> = liquidated.iter().filter(|(_, times)| **times != 1).collect();
        ensure!(again.is_empty(), "liquidated more than once: {again:?}");
        ensure!(u64::try_from(liquidated.len())? == self.loans, "{} of {}", liquidated.len(), self.loans);
        Ok(())
    }

    /// All mined transactions of an account by nonce, with whether they did what they were to do and what gas they
    /// used.
    pub(super) async fn mined_of(&self, signer: Address) -> eyre::Result<BTreeMap<u64, (B256, bool, u64)>> {
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

    /// What a keeper that has ended left in its journal.
    pub(super) async fn journal(&self, setup: &KeeperSetup) -> eyre::Result<Vec<Entry>> {
        let deployment = &self.suite.deployment;
        let identity = Identity {
            chain_id: deployment.chain_id,
            genesis: deployment.genesis,
            core: self.core,
            rewards: Some(self.suite.contract("Rewards")?),
        };
        let store = Store::open(&setup.store(&self.suite), &identity)?;
        Ok(store.journal.newest(100_000).await?)
    }

    /// Nothing that this account sent reverted.
    pub(super) async fn ensure_none_reverted(&self, signer: Address) -> eyre::Result<()> {
        let reverted: Vec<_> = self.mined_of(signer).await?.into_iter().filter(|(_, (_, did, _))| !did).collect();
        ensure!(reverted.is_empty(), "{reverted:?}");
        Ok(())
    }

    /// K2, by a keeper's settled journal: every nonce is one mined transaction, and the intent that it served is on
    /// record; no other entry claims it.
    pub(super) async fn ensure_on_record(&self, journal: &[Entry], signer: Address) -> eyre::Result<()> {
        let mut mined = self.mined_of(signer).await?;
        for entry in journal.iter().filter(|entry| entry.signer == signer) {
            if let State::Final(place) | State::Cancelled(place) = entry.state {
                let served = mined.remove(&entry.nonce);
                let (hash, ..) = served.wrap_err_with(|| format!("nonce {} serves no other intent", entry.nonce))?;
                ensure!(place.hash == hash, "nonce {} was used by {hash}, not by {}", entry.nonce, place.hash);
            }
        }
        ensure!(mined.is_empty(), "the journal does not have {mined:?}");
        Ok(())
    }
}
