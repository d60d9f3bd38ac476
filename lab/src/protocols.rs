//! `lab protocols`: one keeper on Plimsoll, Morpho Blue, Aave v3, an isolated pool of Venus and its core pool, all from their real
//! bytecode on one chain, through falls of all prices.

pub mod restart;

use std::{collections::BTreeMap, fmt, process::Command, time::Instant};

use alloy::providers::ext::AnvilApi;
use eyre::ensure;
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_testkit::{
    keeper::{Keeper, KeeperSetup},
    protocols::{ANVIL_ARGUMENTS, Lender, Protocols, Tally},
    random::Random,
    venus, venus_core,
};
use serde::Serialize;

/// Falls of prices, in basis points of the first ones.
const FALLS: [u64; 4] = [800, 1_400, 2_000, 2_600];
/// Most blocks of a step.
const MAX_BLOCKS: u64 = 400;
/// Base fee, in wei, at which a liquidation costs a small part of its bonus.
const BASE_FEE: u128 = 1_000_000_000;

/// The measured figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was done at each protocol.
    pub protocols: Vec<ProtocolReport>,
    /// Number of falls of all prices.
    pub steps: usize,
    /// Number of mined transactions of the keeper.
    pub transactions: u64,
    /// Number of those that reverted.
    pub reverted: u64,
    /// Number of successful transactions that cost more than they brought.
    pub successful_with_loss: usize,
    /// Number of transactions that the keeper books otherwise than its account's balances changed.
    pub book_differs: usize,
    /// Duration of the preparation of the chain, in seconds.
    pub preparation_seconds: u64,
    /// Duration from the keeper's start to its end, in seconds.
    pub seconds: u64,
}

/// What was done at a protocol.
#[derive(Debug, Clone, Serialize)]
pub struct ProtocolReport {
    /// Name of the protocol.
    pub name: &'static str,
    /// Number of accounts.
    pub accounts: u64,
    /// Number of accounts that could be liquidated after a fall.
    pub liquidatable: usize,
    /// Number of accounts that were liquidated.
    pub liquidated: usize,
    /// Number of liquidations.
    pub liquidations: u64,
    /// Number of accounts that were liquidated though they were healthy.
    pub healthy_touched: usize,
    /// Number of accounts that could be liquidated at the end of a step and were worth it.
    pub missed: usize,
}

impl ProtocolReport {
    fn new(lender: Lender, tally: &Tally) -> Self {
        Self {
            name: lender.name(),
            accounts: tally.accounts,
            liquidatable: tally.liquidatable.len(),
            liquidated: tally.liquidated.len(),
            liquidations: tally.liquidations,
            healthy_touched: tally.healthy_touched.len(),
            missed: tally.missed.len(),
        }
    }
}

/// Runs the measurement with so many accounts of each protocol. `program` takes the keeper's arguments.
///
/// # Errors
/// When the chain cannot be prepared, or the keeper ends.
pub async fn run(accounts: usize, seed: u64, program: Command) -> eyre::Result<Report> {
    ensure!(accounts > 0, "there must be at least one account of each protocol");
    let has_venus = venus::is_installed()? && venus_core::is_installed()?;
    if !has_venus {
        say("Venus is left out: its packages are not installed (npm ci --ignore-scripts --prefix tools/venus)");
    }
    let lenders: Vec<_> = Lender::ALL.into_iter().filter(|lender| has_venus || !lender.is_venus()).collect();
    let preparing = Instant::now();
    say(format_args!("starting a node, and deploying {} protocols", lenders.len()));
    let mut protocols = Protocols::start(&lenders, &ANVIL_ARGUMENTS).await?;
    let mut random = Random::from_seed(seed);
    for lender in &lenders {
        say(format_args!("opening {accounts} accounts of {}", lender.name()));
        protocols.open(*lender, accounts, &mut random).await?;
    }
    let preparation_seconds = preparing.elapsed().as_secs();
    let provider = protocols.suite.provider();
    provider.anvil_set_auto_mine(false).await?;
    provider.anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
    let setup = KeeperSetup { further: protocols.keeper_settings(), ..KeeperSetup::live(&protocols.suite) };
    let keeper = Keeper::start_with(&protocols.suite, program, &setup).await?;
    keeper.wait_until_ready().await?;
    let started = Instant::now();
    protocols.mine(&keeper).await?;
    protocols.mine(&keeper).await?;
    let mut tallies = BTreeMap::new();
    for (step, fall_bps) in FALLS.into_iter().enumerate() {
        let (number, steps) = (step + 1, FALLS.len());
        let elapsed = started.elapsed().as_secs();
        // The steps take about the same time.
        let left = match u64::try_from(step)? {
            0 => String::new(),
            step => format!(", about {} s left", elapsed * (u64::try_from(steps)? - step) / step),
        };
        say(format_args!("step {number} of {steps}: all prices fall to {} % of the first{left}", 100 - fall_bps / 100));
        protocols.fall(fall_bps).await?;
        protocols.note(&mut tallies, false).await?;
        protocols.settle(&keeper).await?;
        protocols.mine_until_quiet(&keeper, MAX_BLOCKS).await?;
        protocols.note(&mut tallies, true).await?;
    }
    let seconds = started.elapsed().as_secs();
    say("comparing liquidations and the keeper's book with the chain");
    protocols.note_liquidations(&mut tallies).await?;
    let earnings = protocols.earnings(&keeper).await?;
    Ok(Report {
        protocols: tallies.iter().map(|(lender, tally)| ProtocolReport::new(*lender, tally)).collect(),
        steps: FALLS.len(),
        transactions: earnings.transactions,
        reverted: earnings.reverted,
        successful_with_loss: earnings.successful_with_loss.len(),
        book_differs: earnings.book_differs.len(),
        preparation_seconds,
        seconds,
    })
}

impl Report {
    /// Checks that nothing was missed, lost or booked wrongly, and no healthy account was touched.
    ///
    /// # Errors
    /// When something was, with the figures.
    pub fn ensure_faultless(&self) -> eyre::Result<()> {
        for protocol in &self.protocols {
            let ProtocolReport { name, healthy_touched, missed, .. } = protocol;
            ensure!(
                *missed == 0 && *healthy_touched == 0,
                "{name}: {missed} missed, {healthy_touched} healthy touched"
            );
        }
        ensure!(self.successful_with_loss == 0, "{} transactions were a loss", self.successful_with_loss);
        ensure!(self.book_differs == 0, "{} transactions are booked wrongly", self.book_differs);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "protocol      accounts  liquidatable  liquidated  liquidations  healthy touched  missed")?;
        for protocol in &self.protocols {
            let ProtocolReport { name, accounts, liquidatable, liquidated, liquidations, healthy_touched, missed } =
                protocol;
            writeln!(
                f,
                "{name:<12}{accounts:>10}{liquidatable:>14}{liquidated:>12}{liquidations:>14}{healthy_touched:>17}{missed:>8}"
            )?;
        }
        writeln!(f, "transactions           {:>8}", self.transactions)?;
        writeln!(f, "– reverted             {:>8}", self.reverted)?;
        writeln!(f, "– successful with loss {:>8}", self.successful_with_loss)?;
        write!(f, "– booked wrongly       {:>8}", self.book_differs)
    }
}
