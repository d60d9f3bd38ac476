//! `lab record`: records a block of a live chain.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use eyre::ensure;
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_deploy::{toolchain::progress::say, toolchain::tools::Tools};
use serde::Serialize;

use plimsoll_testkit::recording::{Outcome, Recorder, replay};

use crate::output::Folder;

/// The result of a recording.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Id of the chain.
    pub chain_id: u64,
    /// Number of the block.
    pub block: u64,
    /// Result of its execution.
    pub outcome: Outcome,
    /// Number of accounts that it touched.
    pub accounts: usize,
    /// Number of storage slots that it touched.
    pub slots: usize,
    /// The two files of the recording.
    pub files: [PathBuf; 2],
}

/// Replays a block of a live chain and records the state that it reads.
///
/// # Errors
/// When the node does not answer, and when the replay does not end as the block did, because then something is missing.
/// Nothing is written in either case.
pub async fn record(tools: &Tools, endpoint: Endpoint, number: u64, folder: &Path) -> eyre::Result<Report> {
    let folder = Folder::ready(folder)?;
    let recorder = Recorder::start(endpoint, number).await?;
    let block = recorder.block()?;
    say(format_args!("replaying the {} transactions of block {number}", block.transactions.len()));
    let (was, outcome) = (Outcome::of(&block), replay(tools, &recorder.http_url(), &block).await?);
    ensure!(
        outcome == was,
        "block {number} ended with {was}, but replayed with {outcome}: nothing is recorded. Take another block; Anvil \
         cannot replay one whose contracts ask for PREVRANDAO"
    );
    let recording = recorder.recording().await?;
    let files = recording.add_to(folder.path())?;
    let (accounts, slots) = recording.size();
    Ok(Report { chain_id: recording.chain_id(), block: number, outcome, accounts, slots, files })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [state, block] = &self.files;
        writeln!(f, "block {} of chain {}: {}", self.block, self.chain_id, self.outcome)?;
        writeln!(f, "{} accounts and {} slots before it: {}", self.accounts, self.slots, state.display())?;
        write!(f, "the block: {}", block.display())
    }
}
