//! What calls cost, beside the protocols that people use today: receipts' `gasUsed` from one node, on which both sides
//! have the same tokens, oracle, people, amounts, fee and elapsed time.
//!
//! Time on the node is set block by block and addresses are fixed, so figures are exact and repeat; the snapshot in
//! `lab/gas.json` shows every change in review.

mod bench;
mod lending;
mod morpho;
mod plimsoll;
mod report;
mod rewards;

use bench::Bench;
use plimsoll_testkit::devnet::Devnet;
pub use report::{Batch, GasReport, Harvest, Op, RewardOp, RewardsReport};

/// When the node's chain begins: fixed, so that figures repeat.
const GENESIS: &str = "1700000000";

/// Measures everything on a fresh node.
pub async fn run() -> eyre::Result<GasReport> {
    let devnet = Devnet::start_with(&["--timestamp", GENESIS]).await?;
    let mut bench = Bench::new(&devnet).await?;
    let lending::Figures { ops, batch, sizes } = lending::measure(&mut bench).await?;
    let rewards = rewards::measure(&mut bench).await?;
    Ok(GasReport { ops, batch, rewards, sizes })
}
