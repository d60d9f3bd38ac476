//! `lab record`: records a block of a live chain.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use eyre::{WrapErr, bail};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_deploy::{toolchain::progress::say, toolchain::tools::Tools};
use serde::Serialize;

use plimsoll_testkit::recording::{Outcome, Playback, Recorder, Recording, replay, rules_of};

use crate::output::Folder;

/// Requests between two lines of progress.
const PROGRESS_EVERY: usize = 500;

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
    say(format_args!("fetching the state that the {} transactions of block {number} read", block.transactions.len()));
    let begin = Instant::now();
    recorder.prefetch(|done, all| report_progress(begin, done, all)).await?;
    say("replaying the block");
    let outcome = replay(tools, &recorder.http_url(), &block).await?;
    outcome.check(&block).wrap_err("nothing is recorded")?;
    let recording = recorder.recording().await?;
    let files = recording.add_to(folder.path())?;
    let (accounts, slots) = recording.size();
    Ok(Report { chain_id: recording.chain_id(), block: number, outcome, accounts, slots, files })
}

/// Writes how far the fetching is, with the remaining time.
fn report_progress(begin: Instant, done: usize, all: usize) {
    if done.is_multiple_of(PROGRESS_EVERY) || done == all {
        let per_request = begin.elapsed() / u32::try_from(done.max(1)).unwrap_or(u32::MAX);
        let remaining = per_request * u32::try_from(all - done).unwrap_or(u32::MAX);
        say(format_args!("{done} of {all} requests, {} s remaining", remaining.as_secs()));
    }
}

/// Replays a recording on an Anvil that has no other source of state, under the rules of the block's time.
///
/// # Errors
/// When the recording cannot be read, or the replay does not end as the block did.
pub async fn replay_recording(tools: &Tools, folder: &Path, number: Option<u64>) -> eyre::Result<ReplayReport> {
    let number = match number {
        Some(number) => number,
        None => only_recording(folder)?,
    };
    let playback = Playback::start(Recording::read(folder, number)?, &[]).await?;
    let block = playback.recording().block()?;
    let outcome = replay(tools, &playback.http_url(), &block).await?;
    outcome.check(&block)?;
    Ok(ReplayReport { block: number, rules: rules_of(&block), outcome, reads_outside: playback.outside().len() })
}

/// Returns the number of the only recording in a folder.
fn only_recording(folder: &Path) -> eyre::Result<u64> {
    let entries = fs::read_dir(folder).wrap_err_with(|| format!("there is no recording in {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u64> = names.filter_map(|name| name.split_once("_block.json")?.0.parse().ok()).collect();
    numbers.sort_unstable();
    match numbers[..] {
        [number] => Ok(number),
        [] => bail!("there is no recording in {}: `plimsoll-lab record` makes one", folder.display()),
        _ => bail!("{} has recordings of the blocks {numbers:?}: choose one by --block", folder.display()),
    }
}

/// The result of replaying a recording.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    /// Number of the block.
    pub block: u64,
    /// The hard fork whose rules applied.
    pub rules: &'static str,
    /// Result of the execution, which is the block's own.
    pub outcome: Outcome,
    /// Reads of accounts and slots that the recording does not have, answered as empty.
    pub reads_outside: usize,
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block, rules, outcome, reads_outside } = self;
        write!(
            f,
            "block {block} replayed under {rules} rules as it was: {outcome}; {reads_outside} reads outside the recording"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [state, block] = &self.files;
        writeln!(f, "block {} of chain {}: {}", self.block, self.chain_id, self.outcome)?;
        writeln!(f, "{} accounts and {} slots before it: {}", self.accounts, self.slots, state.display())?;
        write!(f, "the block: {}", block.display())
    }
}
