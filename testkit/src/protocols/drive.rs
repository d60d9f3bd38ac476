//! A keeper that is driven block by block through falls of prices, and the account of what it did.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    eips::BlockId,
    network::TransactionResponse,
    primitives::{Address, B256, U256, utils::parse_ether},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{Log, TransactionReceipt},
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure, eyre};
use futures_util::{StreamExt, TryStreamExt, stream};
use plimsoll_contracts::{IAggregatorV3, IExecutor, ILiquidator};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use super::{Lender, Protocols};
use crate::{
    devnet::ITestToken,
    keeper::{Keeper, RESPONSE_TIMEOUT},
};

/// Time between two looks at the keeper.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Most accounts that are looked at at once.
const MAX_VIEWS: usize = 16;
/// Blocks without anything to do after which a step has ended.
const QUIET_BLOCKS: u32 = 3;
/// Value of collateral and debt, in dollars, above which an account that can be liquidated is worth it in any case.
const WORTH_DOLLARS: u64 = 500;
/// Value in dollars that an account of Venus may seem to be able to borrow while it can be liquidated, since views have no
/// interest since the last transaction.
const INTEREST_DOLLARS: u64 = 2;

/// What a keeper did at one protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Number of accounts.
    pub accounts: u64,
    /// Number of accounts that could be liquidated at the end of a block with new prices.
    pub liquidatable: BTreeSet<Address>,
    /// Number of accounts that were liquidated.
    pub liquidated: BTreeSet<Address>,
    /// Number of liquidations.
    pub liquidations: u64,
    /// Accounts that were liquidated though their protocol says that they were healthy.
    pub healthy_touched: BTreeSet<Address>,
    /// Accounts that could be liquidated, and were worth it, at the end of a step.
    pub missed: BTreeSet<Address>,
}

/// What a keeper earned, by the chain and by its own book.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Earnings {
    /// Number of mined transactions.
    pub transactions: u64,
    /// Number of those that reverted.
    pub reverted: u64,
    /// Transactions that the keeper books otherwise than the balances of its account changed.
    pub book_differs: Vec<B256>,
    /// Transactions that were successful and cost more than they brought.
    pub successful_with_loss: Vec<B256>,
}

impl Protocols {
    /// Mines a block, and waits until the keeper has decided on it at every protocol and sent what it wants to send. Returns
    /// whether it has something to do.
    ///
    /// # Errors
    /// When the keeper ends, or the node does not answer.
    pub async fn mine(&self, keeper: &Keeper) -> eyre::Result<bool> {
        let provider = self.suite.provider();
        provider.evm_mine(None).await?;
        self.settle(keeper).await
    }

    /// Waits until the keeper has decided on the newest block. Returns whether it has something to do.
    ///
    /// # Errors
    /// As [`Self::mine`].
    pub async fn settle(&self, keeper: &Keeper) -> eyre::Result<bool> {
        let provider = self.suite.provider();
        let head = provider.get_block_number().await?;
        let others = self.lenders.iter().filter(|lender| lender.kind().is_some()).count();
        let is_decided = |status: &Value| {
            let protocols = status["protocols"].as_array().map_or(&[][..], Vec::as_slice);
            protocols.len() == others && protocols.iter().all(|protocol| protocol["block"].as_u64() >= Some(head))
        };
        keeper.wait_for_block(head).await?;
        let mut status = keeper.wait_until("status", is_decided).await?;
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        loop {
            let decisions = |value: &Value| value["decisions"].as_array().cloned().unwrap_or_default();
            let mut counts = decisions(&status);
            counts.extend(status["protocols"].as_array().into_iter().flatten().flat_map(decisions));
            let acts = counts.iter().any(|count| count["acts"] == true);
            let waits = counts.iter().any(|count| {
                ["in_flight", "tried_later", "backing_off", "others_first"]
                    .iter()
                    .any(|reason| count["reason"] == **reason)
            });
            let signers = status["signers"].as_array().cloned().unwrap_or_default();
            let pending: u64 = signers.iter().filter_map(|signer| signer["pending"].as_u64()).sum();
            // What was not sent in time, since the node did not answer, say, is sent with the next block.
            if !acts || self.has_pending(keeper).await? || Instant::now() > deadline {
                return Ok(acts || waits || pending > 0);
            }
            sleep(POLL_INTERVAL).await;
            status = keeper.api("status").await?;
        }
    }

    async fn has_pending(&self, keeper: &Keeper) -> eyre::Result<bool> {
        let provider = self.suite.provider();
        let mined = provider.get_transaction_count(keeper.signer()).await?;
        Ok(provider.get_transaction_count(keeper.signer()).pending().await? > mined)
    }

    /// Mines until the keeper has nothing to do for some blocks, at most `max_blocks`.
    ///
    /// # Errors
    /// As [`Self::mine`].
    pub async fn mine_until_quiet(&self, keeper: &Keeper, max_blocks: u64) -> eyre::Result<()> {
        let mut quiet = 0;
        for _ in 0..max_blocks {
            quiet = if self.mine(keeper).await? { 0 } else { quiet + 1 };
            self.note_booked(keeper).await?;
            if quiet == QUIET_BLOCKS {
                break;
            }
        }
        Ok(())
    }

    /// Notes in `tallies` which accounts can be liquidated in the newest block; at the end of a step those that were missed,
    /// too.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn note(&self, tallies: &mut BTreeMap<Lender, Tally>, is_end: bool) -> eyre::Result<()> {
        let head = self.suite.provider().get_block_number().await?;
        for (lender, accounts) in &self.borrowers {
            let tally = tallies.entry(*lender).or_default();
            tally.accounts = u64::try_from(accounts.len())?;
            let standings = stream::iter(accounts).map(|account| self.standing(*lender, *account, head));
            let standings: Vec<_> = standings.buffered(MAX_VIEWS).try_collect().await?;
            for (account, standing) in accounts.iter().zip(standings) {
                if !standing.is_liquidatable {
                    continue;
                }
                let least = U256::from(WORTH_DOLLARS);
                let is_worth_it = standing.collateral >= least && standing.debt >= least;
                if is_end && is_worth_it {
                    tally.missed.insert(*account);
                } else if !is_end {
                    tally.liquidatable.insert(*account);
                }
            }
        }
        Ok(())
    }

    /// Adds to `tallies` what was liquidated, by the protocols' logs.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn note_liquidations(&self, tallies: &mut BTreeMap<Lender, Tally>) -> eyre::Result<()> {
        for (lender, tally) in tallies {
            let liquidations = self.liquidations(*lender).await?;
            let before = stream::iter(&liquidations)
                .map(|(block, _, account)| self.standing(*lender, *account, block.saturating_sub(1)));
            let before: Vec<_> = before.buffered(MAX_VIEWS).try_collect().await?;
            for ((_, _, account), before) in liquidations.into_iter().zip(before) {
                tally.liquidations += 1;
                tally.liquidated.insert(account);
                if !before.is_liquidatable && (!lender.is_venus() || before.excess > U256::from(INTEREST_DOLLARS)) {
                    tally.healthy_touched.insert(account);
                }
            }
        }
        Ok(())
    }

    /// Keeps what the keeper has booked lately: it shows its newest transactions alone.
    async fn note_booked(&self, keeper: &Keeper) -> eyre::Result<()> {
        let activity = keeper.api("activity?limit=1000").await?;
        let entries = activity["activity"].as_array().wrap_err("no activity")?;
        let mut booked = self.booked.lock().map_err(|_| eyre!("the keeper's book is poisoned"))?;
        for entry in entries {
            let hash = entry["transaction"].as_str().and_then(|hash| hash.parse::<B256>().ok());
            booked.extend(hash.zip(amount(&entry["profit"])));
        }
        Ok(())
    }

    /// Compares what the keeper booked with what its account received, transaction by transaction.
    ///
    /// # Errors
    /// When the node does not answer, or the keeper has ended.
    pub async fn earnings(&self, keeper: &Keeper) -> eyre::Result<Earnings> {
        let provider = self.suite.provider();
        self.note_booked(keeper).await?;
        let booked = self.booked.lock().map_err(|_| eyre!("the keeper's book is poisoned"))?.clone();
        let mut earnings = Earnings::default();
        for number in 1..=provider.get_block_number().await? {
            let block = provider.get_block_by_number(number.into()).full().await?.wrap_err("no block")?;
            let own: Vec<_> = block
                .transactions
                .txns()
                .filter(|sent| sent.from() == keeper.signer())
                .map(|sent| sent.tx_hash())
                .collect();
            if own.is_empty() {
                continue;
            }
            let mut received: BTreeMap<Address, U256> = BTreeMap::new();
            for hash in &own {
                let receipt = provider.get_transaction_receipt(*hash).await?.wrap_err("no receipt")?;
                earnings.transactions += 1;
                if !receipt.status() {
                    earnings.reverted += 1;
                    continue;
                }
                let mut gain_wei = U256::ZERO;
                for (token, profit) in profits(&receipt) {
                    *received.entry(token).or_default() += profit;
                    gain_wei += self.wei(token, profit, number - 1).await?;
                }
                let cost = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
                if gain_wei < cost {
                    earnings.successful_with_loss.push(*hash);
                }
                if booked.get(hash).is_none_or(|booked| booked.abs_diff(gain_wei) > gain_wei / U256::from(1_000_000)) {
                    earnings.book_differs.push(*hash);
                }
            }
            // Nothing but its own transactions pays the account.
            for token in self.debts.iter().chain(&self.collaterals) {
                let balance = ITestToken::new(token.address, provider);
                let balance = balance.balanceOf(keeper.signer());
                let before = balance.clone().block(BlockId::number(number - 1)).call().await?;
                let after = balance.block(BlockId::number(number)).call().await?;
                if before + received.remove(&token.address).unwrap_or_default() != after {
                    earnings.book_differs.extend(own.first());
                }
            }
            ensure!(received.is_empty(), "profit in an unknown token: {received:?} in block {number}");
        }
        Ok(earnings)
    }

    /// Returns what units of a debt token are worth in wei at the prices of a block, rounded down.
    async fn wei(&self, token: Address, units: U256, block: u64) -> eyre::Result<U256> {
        let [dollar, ether] = self.debts;
        if token == ether.address {
            return Ok(units);
        }
        ensure!(token == dollar.address, "a profit in {token}");
        let feed = self.suite.deployment.feeds.get("eth-usd").copied().wrap_err("no feed")?;
        let feed = IAggregatorV3::new(feed, self.suite.provider());
        let answer = feed.latestRoundData().block(BlockId::number(block)).call().await?.answer;
        let answer = U256::try_from(answer)?;
        Ok(units * U256::from(10).pow(U256::from(20)) / answer)
    }
}

/// Returns the profits that a transaction's events tell.
fn profits(receipt: &TransactionReceipt) -> Vec<(Address, U256)> {
    let of_log = |log: &Log| {
        if let Ok(event) = IExecutor::Executed::decode_log(&log.inner) {
            return Some((event.profitToken, event.profit));
        }
        let event = ILiquidator::LiquidateWithoutCapital::decode_log(&log.inner).ok()?;
        Some((event.profitToken, event.profit))
    };
    receipt.inner.logs().iter().filter_map(of_log).collect()
}

/// Reads an amount of the native coin, in wei, from a document of the keeper.
fn amount(value: &Value) -> Option<U256> {
    parse_ether(value["amount"].as_str()?).ok()
}
