//! `plimsoll-keeper watch` on the protocols' real bytecode.

mod aave;
mod commands;
mod fixture;
mod histories;
mod venus;
mod venus_core;

use alloy::{primitives::U256, providers::Provider};
use plimsoll_keeper::{
    report::watch::WatchReport,
    watch::{Selection, Watcher},
};

use crate::support::soon;

/// Waits for the report of all positions in the newest block.
async fn newest(provider: &impl Provider, watcher: &mut Watcher) -> eyre::Result<WatchReport> {
    let number = provider.get_block_number().await?;
    let selection = Selection { below: U256::MAX, limit: usize::MAX };
    soon(async {
        loop {
            let report = watcher.next(selection).await?;
            if report.block == number {
                return Ok(report);
            }
        }
    })
    .await
}
