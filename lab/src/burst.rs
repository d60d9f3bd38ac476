//! `lab burst`: thousands of loans become liquidatable in one block, on a node with Ethereum's gas limits that mines at
//! its own pace.

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
use plimsoll_deploy::toolchain::progress::say;
use serde::Serialize;

use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    keeper::Keeper,
    observer::{Observation, Observer},
};

use crate::dust;

/// Arguments for Anvil: transactions have Ethereum's gas limit, blocks Anvil's default of 30 million.
const NODE: [&str; 1] = ["--enable-tx-gas-limit"];
/// Gas limit of a block while it is measured: Anvil's default.
const BLOCK_GAS: u64 = 30_000_000;
/// Gas limit of the blocks in which loans are opened. For each block the node computes the root of its whole state, which takes
/// longer the more loans there are: in blocks of one transaction 100,000 loans are not opened in half an hour.
const OPENING_BLOCK_GAS: u64 = 1_000_000_000;
/// Ethereum's gas limit of a transaction.
const TRANSACTION_GAS: u64 = 1 << 24;
/// Seconds between blocks.
const BLOCK_SECS: u64 = 2;
/// Base fee of the first block, in wei.
const BASE_FEE: u128 = 1_000_000_000;
/// Blocks after the price change that the keeper has. Loans that are liquidatable after that are reported as not
/// liquidated.
const MAX_BLOCKS: u64 = 20;
/// Debts against one ether of collateral, in millionths of a dollar: liquidatable at the price after the fall, and not
/// before.
const DEBTS: Range<u128> = 1_500_000_000..1_560_000_000;
/// Price of an ether after the fall, in dollars of 8 decimals: 1 % below the liquidation price of the lowest debt.
const PRICE_AFTER: u128 = 172_700_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// The pool's ether and dollars, in units, at the manifest's price of 2,000 dollars.
const POOL: [u128; 2] = [1_000_000 * ETHER, 2_000_000_000_000_000];

/// The measured figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of loans that became liquidatable at once.
    #[serde(rename = "underwater")]
    pub liquidatable: u64,
    /// Number of loans that were liquidated.
    pub liquidated: u64,
    /// Blocks from the price change to the last liquidation.
    pub blocks: u64,
    /// Number of the keeper's mined transactions.
    pub transactions: u64,
    /// Number of the keeper's reverted transactions.
    pub reverted: u64,
    /// Number of loans that were liquidated more than once.
    pub sent_twice: u64,
    /// Gas of all the keeper's transactions, divided by the number of liquidated loans.
    pub gas_per_position: u64,
}

/// Runs the measurement, with so many loans of `dust` besides. `keeper` is a program that takes the keeper's arguments.
///
/// # Errors
/// When there are no positions, the chain cannot be prepared, or the keeper ends.
pub async fn run(positions: u64, dust: u64, keeper: Command) -> eyre::Result<Report> {
    ensure!(positions > 0, "there must be at least one position");
    say("starting a node and deploying");
    let suite = Suite::start_with(&NODE).await?;
    let (core, params) = (suite.contract("Plimsoll")?, suite.market("weth-usdc")?);
    suite.supply(&params, U256::from(DEBTS.end * 2 * u128::from(positions))).await?;
    let [ether, dollars] = POOL.map(U256::from);
    suite.add_liquidity("weth-usdc", ether, dollars).await?;
    say(format_args!("opening {positions} loans"));
    set_block_gas(suite.devnet.provider(), OPENING_BLOCK_GAS).await?;
    let borrowers = Borrowers::deploy(&suite.devnet, core, TRANSACTION_GAS).await?;
    borrowers.open(&params, &(0..positions).map(|number| new_loan(number, positions)).collect::<Vec<_>>()).await?;
    let settings = dust::open(&suite, &borrowers, dust).await?;
    set_block_gas(suite.devnet.provider(), BLOCK_GAS).await?;

    say("starting the keeper");
    let keeper = Keeper::start(&suite, keeper, &settings).await?;
    keeper.wait_until_ready().await?;
    let mut observer = Observer::start(&suite.devnet.node).await?;
    let provider = suite.devnet.provider();
    provider.anvil_set_auto_mine(false).await?;
    // While the loans were opened, the base fee of almost empty blocks fell until the smallest loan would pay.
    provider.anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
    provider.evm_mine(None).await?;
    provider.anvil_set_interval_mining(BLOCK_SECS).await?;
    say("the price falls");
    // With fees of its own: an estimate by the blocks before may lie below the base fee.
    let price_change = suite.send_price_last("eth-usd", PRICE_AFTER, BASE_FEE).await?;

    // The number of liquidations of each loan, the block of the price change, and that of the last liquidation.
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
        say(format_args!(
            "{behind} blocks after the price change: {} of {positions} loans are liquidated",
            liquidated.len()
        ));
        if u64::try_from(liquidated.len())? >= positions || behind >= MAX_BLOCKS {
            let sent = Sent::between(provider, keeper.signer(), first..=number).await?;
            return report(positions, &liquidated, last.saturating_sub(first), &sent);
        }
    }
}

/// Sets the gas limit of this block and those after it.
async fn set_block_gas(provider: &DynProvider, gas: u64) -> eyre::Result<()> {
    ensure!(provider.anvil_set_block_gas_limit(gas).await?, "the node did not take the gas limit {gas}");
    provider.evm_mine(None).await?;
    Ok(())
}

fn report(positions: u64, liquidated: &BTreeMap<Address, u64>, blocks: u64, sent: &Sent) -> eyre::Result<Report> {
    let count = u64::try_from(liquidated.len())?;
    Ok(Report {
        liquidatable: positions,
        liquidated: count,
        blocks,
        transactions: sent.transactions,
        reverted: sent.reverted,
        sent_twice: u64::try_from(liquidated.values().filter(|times| **times > 1).count())?,
        gas_per_position: sent.gas / count.max(1),
    })
}

/// The mined transactions of an account.
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

/// Returns the loan with a number. Debts are spread evenly over the range.
fn new_loan(number: u64, positions: u64) -> NewLoan {
    let span = DEBTS.end - DEBTS.start;
    NewLoan { collateral: ETHER, debt: DEBTS.start + span * u128::from(number) / u128::from(positions) }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "liquidatable        {:>8}", self.liquidatable)?;
        writeln!(f, "liquidated          {:>8}", self.liquidated)?;
        writeln!(f, "blocks it took      {:>8}", self.blocks)?;
        writeln!(f, "transactions        {:>8}", self.transactions)?;
        writeln!(f, "of these reverted   {:>8}", self.reverted)?;
        writeln!(f, "liquidated twice    {:>8}", self.sent_twice)?;
        write!(f, "gas for each        {:>8}", self.gas_per_position)
    }
}
