//! The worst night: thousands of loans under water in one block, on a node with real limits that mines at its own pace.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Range, RangeInclusive},
    process::Command,
};

use alloy::{
    eips::BlockId,
    primitives::{Address, U256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::IPlimsoll;
use plimsoll_deploy::progress::say;
use serde::Serialize;

use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    keeper::Keeper,
    observer::{Observation, Observer},
};

/// A transaction uses no more than Ethereum allows, and a block holds what it holds there by default: 30 million.
const NODE: [&str; 1] = ["--enable-tx-gas-limit"];
const TRANSACTION_GAS: u64 = 1 << 24;
/// Between blocks.
const BLOCK_SECS: u64 = 2;
/// After so many blocks whoever is still under water counts as left there.
const MOST_BLOCKS: u64 = 20;
/// In millionths of a dollar for one ether of collateral: under water at the price after the fall, not before.
const DEBTS: Range<u128> = 1_500_000_000..1_560_000_000;
/// Dollars of 8 decimals: at the lowest debt the loan is 1 % under water.
const PRICE_AFTER: u128 = 172_700_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// What the pool holds of each, in units: at 2,000 dollars, as the manifest says.
const POOL: [u128; 2] = [1_000_000 * ETHER, 2_000_000_000_000_000];

/// What happened.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Loans under water at once.
    pub underwater: u64,
    /// Of these, liquidated.
    pub liquidated: u64,
    /// Blocks after the price's until the last of them was.
    pub blocks: u64,
    /// The keeper's transactions that were mined.
    pub transactions: u64,
    /// Of these, reverted.
    pub reverted: u64,
    /// Loans that were liquidated a second time.
    pub sent_twice: u64,
    /// Over all the keeper's transactions.
    pub gas_per_position: u64,
}

/// Lets it happen, with the keeper that this program is.
pub async fn run(positions: u64, keeper: Command) -> eyre::Result<Report> {
    ensure!(positions > 0, "there is no storm without a loan");
    say("starting a node and deploying");
    let suite = Suite::start_with(&NODE).await?;
    let (core, params) = (suite.contract("Plimsoll")?, suite.market("weth-usdc")?);
    suite.supply(&params, U256::from(DEBTS.end * 2 * u128::from(positions))).await?;
    let [ether, dollars] = POOL.map(U256::from);
    suite.add_liquidity("weth-usdc", ether, dollars).await?;
    say(format_args!("opening {positions} loans"));
    let borrowers = Borrowers::deploy(&suite.devnet, core, TRANSACTION_GAS).await?;
    borrowers.open(&params, &(0..positions).map(|number| new_loan(number, positions)).collect::<Vec<_>>()).await?;

    say("starting the keeper");
    let keeper = Keeper::start(&suite, keeper, "").await?;
    keeper.wait_until_ready().await?;
    let mut observer = Observer::start(&suite.devnet.node).await?;
    let provider = suite.devnet.provider();
    provider.anvil_set_auto_mine(false).await?;
    provider.anvil_set_interval_mining(BLOCK_SECS).await?;
    say("the price falls");
    let price_change = suite.send_price("eth-usd", PRICE_AFTER).await?;

    // How often each loan was liquidated, the price's block, and the last that liquidated any.
    let mut liquidated = BTreeMap::<Address, u64>::new();
    let (mut first, mut last) = (None, 0);
    loop {
        let (_, sight) = observer.next().await?;
        let Observation::Head(number) = sight else { continue };
        if first.is_none() {
            let block = provider.get_block(BlockId::number(number)).await?.wrap_err("a block is missing")?;
            first = block.transactions.hashes().any(|hash| hash == price_change).then_some(number);
        }
        let Some(first) = first else { continue };
        let filter = Filter::new()
            .address(core)
            .event_signature(IPlimsoll::Liquidate::SIGNATURE_HASH)
            .topic1(params.id().0)
            .select(number);
        for log in provider.get_logs(&filter).await? {
            let event = IPlimsoll::Liquidate::decode_log(&log.inner)?;
            *liquidated.entry(event.borrower).or_default() += 1;
            last = number;
        }
        let behind = number.saturating_sub(first);
        say(format_args!("{behind} blocks after the price's, {} of {positions} are liquidated", liquidated.len()));
        if u64::try_from(liquidated.len())? >= positions || behind >= MOST_BLOCKS {
            let sent = Sent::between(provider, keeper.signer(), first..=number).await?;
            return report(positions, &liquidated, last.saturating_sub(first), &sent);
        }
    }
}

fn report(positions: u64, liquidated: &BTreeMap<Address, u64>, blocks: u64, sent: &Sent) -> eyre::Result<Report> {
    let count = u64::try_from(liquidated.len())?;
    Ok(Report {
        underwater: positions,
        liquidated: count,
        blocks,
        transactions: sent.transactions,
        reverted: sent.reverted,
        sent_twice: u64::try_from(liquidated.values().filter(|times| **times > 1).count())?,
        gas_per_position: sent.gas / count.max(1),
    })
}

/// What of one account was mined.
#[derive(Debug, Default)]
struct Sent {
    transactions: u64,
    reverted: u64,
    gas: u64,
}

impl Sent {
    async fn between(provider: &DynProvider, from: Address, blocks: RangeInclusive<u64>) -> eyre::Result<Self> {
        let mut sent = Self::default();
        for number in blocks {
            let receipts = provider.get_block_receipts(BlockId::number(number)).await?.unwrap_or_default();
            for receipt in receipts.iter().filter(|receipt| receipt.from == from) {
                sent.transactions += 1;
                sent.reverted += u64::from(!receipt.status());
                sent.gas += receipt.gas_used;
            }
        }
        Ok(sent)
    }
}

/// Debts lie evenly between the two ends.
fn new_loan(number: u64, positions: u64) -> NewLoan {
    let span = DEBTS.end - DEBTS.start;
    NewLoan { collateral: ETHER, debt: DEBTS.start + span * u128::from(number) / u128::from(positions) }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "under water         {:>8}", self.underwater)?;
        writeln!(f, "liquidated          {:>8}", self.liquidated)?;
        writeln!(f, "blocks it took      {:>8}", self.blocks)?;
        writeln!(f, "transactions        {:>8}", self.transactions)?;
        writeln!(f, "of these reverted   {:>8}", self.reverted)?;
        writeln!(f, "liquidated twice    {:>8}", self.sent_twice)?;
        write!(f, "gas for each        {:>8}", self.gas_per_position)
    }
}
