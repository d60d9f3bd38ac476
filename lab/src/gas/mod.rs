//! `lab gas`: the gas of calls, compared with protocols in use: `gasUsed` of receipts from one node, on which both
//! sides have the same tokens, oracle, accounts, amounts, fee and elapsed time.
//!
//! The node's time is set block by block and addresses are fixed, so figures are exact and reproducible; the snapshot
//! in `lab/gas.json` shows every change in review.

mod bench;
mod difference;
mod lending;
mod morpho;
mod plimsoll;
mod report;
mod rewards;

use bench::Bench;
pub use difference::GasDifference;
use plimsoll_testkit::devnet::Devnet;
pub use report::{Batch, GasReport, Harvest, Op, RewardOp, RewardsReport};

/// Timestamp of the genesis block: fixed, so that figures are reproducible.
const GENESIS: &str = "1700000000";

/// Measures all figures on a new node.
///
/// # Errors
/// When a transaction fails.
pub async fn run() -> eyre::Result<GasReport> {
    let devnet = Devnet::start_with(&["--timestamp", GENESIS]).await?;
    let mut bench = Bench::new(&devnet).await?;
    let lending::Figures { ops, batch, sizes } = lending::measure(&mut bench).await?;
    let rewards = rewards::measure(&mut bench).await?;
    Ok(GasReport { ops, batch, rewards, sizes })
}
