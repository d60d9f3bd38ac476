//! The rewards contract compared with an independent model, over random histories on a real node.

mod history;
mod model;
mod random;

use std::ops::Range;

use eyre::ensure;
use plimsoll_testkit::devnet::Devnet;

use history::{Programmes, Seen, Setting};

/// R1, R2, R5: while there is always a stake, every account gets what it earned to within one unit.
#[tokio::test]
async fn every_staker_is_paid_what_it_earned() -> eyre::Result<()> {
    let seen = compare(0..8, &Setting { blocks: 50, somebody_stays: true }).await?;
    ensure!(seen.returns == 0, "there were times with nobody staked: {seen:?}");
    Ok(())
}

/// R1, R2: times without a stake move rewards to later epochs and lose none.
#[tokio::test]
async fn rewards_without_stakers_are_not_lost() -> eyre::Result<()> {
    let seen = compare(100..108, &Setting { blocks: 50, somebody_stays: false }).await?;
    ensure!(seen.returns > 10, "somebody was always staked: {seen:?}");
    Ok(())
}

/// Runs a history for each seed. Fails where contract and model differ, or where the histories contain too little.
async fn compare(seeds: Range<u64>, setting: &Setting) -> eyre::Result<Seen> {
    let devnet = Devnet::start_with(&["--order", "fifo"]).await?;
    let programmes = Programmes::deploy(&devnet).await?;
    let mut seen = Seen::default();
    for seed in seeds {
        seen += programmes.run(seed, setting).await?;
    }
    ensure!(seen.claims > 50 && seen.harvests > 50 && seen.compounded > 10 && seen.skipped > 20, "too poor: {seen:?}");
    Ok(seen)
}
