//! `lab record` and `lab fork replay`: records a block of a live chain, and replays recorded blocks.

use std::{
    cell::Cell,
    fmt, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use eyre::{WrapErr, bail, eyre};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_deploy::{toolchain::progress::say, toolchain::tools::Tools};
use plimsoll_testkit::recording::{
    ANVILS_OWN, Outcome, Playback, Progress, Read, Recorder, Recording, Replayed, replay_under, rules_of,
};
use serde::Serialize;

use crate::output::Folder;

/// Time between two lines of progress while state is fetched.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// Ending of the name of a recording's second file.
const BLOCK_FILE: &str = "_block.json.gz";
/// Reads outside a recording that an error lists.
const LISTED_READS: usize = 3;

/// The result of a recording.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Id of the chain.
    pub chain_id: u64,
    /// Number of the block.
    pub block: u64,
    /// The hard fork whose rules applied, by Anvil's name.
    pub rules: String,
    /// Result of its execution.
    pub outcome: Outcome,
    /// Number of accounts that it touched.
    pub accounts: usize,
    /// Number of storage slots that it touched.
    pub slots: usize,
    /// The two files of the recording.
    pub files: [PathBuf; 2],
}

/// Replays a block of a live chain and records the state that it reads. `rules` names a hard fork, one of
/// [`HARDFORKS`](plimsoll_testkit::recording::HARDFORKS), where the block's own fields do not tell it.
///
/// # Errors
/// When the node does not answer, and when the replay does not end as the block did, because then something is missing.
/// Nothing is written in either case, and no folder is left behind.
pub async fn record(
    tools: &Tools,
    endpoint: Endpoint,
    number: u64,
    rules: Option<&str>,
    folder: &Path,
) -> eyre::Result<Report> {
    let folder = Folder::ready(folder)?;
    let recorder = Recorder::start(endpoint, number).await?;
    let block = recorder.block()?;
    say(format_args!("asking which state the {} transactions of block {number} read", block.transactions.len()));
    let progress = ProgressLines::default();
    let rules = rules.unwrap_or_else(|| rules_of(&block));
    let replayed = recorder.replay(tools, rules, |now| progress.report(now)).await?;
    replayed.check(&block).wrap_err("nothing is recorded")?;
    let Replayed { outcome, rules, .. } = replayed;
    let recording = recorder.recording().await?;
    let files = recording.add_to(folder.path())?;
    let (accounts, slots) = recording.size();
    Ok(Report { chain_id: recording.chain_id(), block: number, rules, outcome, accounts, slots, files })
}

/// Writes to stderr what a recorder does: how far fetching is every few seconds, with the remaining time.
struct ProgressLines {
    fetching_since: Cell<Instant>,
    written: Cell<Instant>,
}

impl Default for ProgressLines {
    fn default() -> Self {
        let now = Instant::now();
        Self { fetching_since: Cell::new(now), written: Cell::new(now) }
    }
}

impl ProgressLines {
    fn report(&self, progress: Progress) {
        match progress {
            Progress::Fetching { done, all } => {
                let now = Instant::now();
                if done == 1 {
                    self.fetching_since.set(now);
                    self.written.set(now);
                    say(format_args!("fetching accounts and slots by {all} requests"));
                } else if now - self.written.get() >= PROGRESS_INTERVAL {
                    self.written.set(now);
                    let remaining = remaining_secs(now - self.fetching_since.get(), done, all);
                    say(format_args!("{done} of {all} requests, {remaining} s remaining"));
                }
            }
            Progress::Executing { pass: 1 } => say("executing the block"),
            Progress::Executing { pass } => {
                say(format_args!("executing the block with what the last pass lacked, pass {pass}"));
            }
            Progress::Waiting => {
                say("executing the block, while the node answers one after another what is still unknown");
            }
        }
    }
}

/// Returns the seconds that the remaining requests take at the rate so far, rounded up.
fn remaining_secs(elapsed: Duration, done: usize, all: usize) -> u128 {
    (elapsed.as_millis() * (all - done) as u128).div_ceil(1_000 * done.max(1) as u128)
}

/// Reads the recording of a block from a folder; without a number that of the only block there.
///
/// # Errors
/// When there is none, or several without a number, with the remedy; and when the recording cannot be read.
pub fn find(folder: &Path, number: Option<u64>) -> eyre::Result<Recording> {
    let unknown = || format!("there is no recording in {}: `plimsoll-lab record` makes one", folder.display());
    let entries = fs::read_dir(folder).wrap_err_with(unknown)?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u64> = names.filter_map(|name| name.strip_suffix(BLOCK_FILE)?.parse().ok()).collect();
    numbers.sort_unstable();
    let listed = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let number = match (number, &numbers[..]) {
        (_, []) => bail!(unknown()),
        (Some(number), held) if held.contains(&number) => number,
        (Some(number), _) => {
            bail!("there is no recording of block {number} in {}, only of {listed}", folder.display())
        }
        (None, [number]) => *number,
        (None, _) => bail!("{} has recordings of the blocks {listed}: choose one by --block", folder.display()),
    };
    Ok(Recording::read(folder, number)?)
}

/// Replays a recording on an Anvil that has no other source of state, under the rules of the block's time or those of the
/// hard fork that `rules` names.
///
/// # Errors
/// When the replay does not end as the block did, with what it read outside the recording.
pub async fn replay_recording(tools: &Tools, recording: Recording, rules: Option<&str>) -> eyre::Result<ReplayReport> {
    let playback = Playback::start(recording, &[]).await?;
    let (chain_id, block) = (playback.recording().chain_id(), playback.recording().block()?);
    let rules = rules.unwrap_or_else(|| rules_of(&block));
    let replayed = replay_under(tools, &playback.http_url(), &block, rules).await?;
    let outside = playback.outside();
    let is_anvils = |read: &Read| matches!(read, Read::Account(account) if ANVILS_OWN.contains(account));
    let outside: Vec<_> = outside.into_keys().filter(|read| !is_anvils(read)).collect();
    replayed.check(&block).map_err(|error| with_reads(&error, &outside))?;
    let Replayed { outcome, rules, .. } = replayed;
    Ok(ReplayReport { chain_id, block: playback.recording().number(), rules, outcome, reads_outside: outside.len() })
}

/// Adds the reads outside a recording, which may be the cause, to the error of a replay.
fn with_reads(error: &eyre::Report, outside: &[Read]) -> eyre::Report {
    if outside.is_empty() {
        return eyre!("{error:#}. The recording has everything that was read");
    }
    let listed = outside.iter().take(LISTED_READS).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = outside.len().checked_sub(LISTED_READS).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    eyre!("{error:#}. The recording does not have, and answered as empty: {listed}{more}")
}

/// The result of replaying a recording.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    /// Id of the chain.
    pub chain_id: u64,
    /// Number of the block.
    pub block: u64,
    /// The hard fork whose rules applied, by Anvil's name.
    pub rules: String,
    /// Result of the execution, which is the block's own.
    pub outcome: Outcome,
    /// Number of accounts and slots that were read, are not in the recording and were answered as empty, without
    /// Anvil's own accounts. For example, an account that receives its first payment was not there before.
    pub reads_outside: usize,
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain_id, block, rules, outcome, reads_outside } = self;
        writeln!(f, "block {block} of chain {chain_id} replayed under the rules of {rules} as it was: {outcome}")?;
        write!(f, "{reads_outside} reads outside the recording, answered as empty")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [state, block] = &self.files;
        let Self { chain_id, block: number, rules, outcome, .. } = self;
        writeln!(f, "block {number} of chain {chain_id}, under the rules of {rules}: {outcome}")?;
        writeln!(f, "{} accounts and {} slots before it: {}", self.accounts, self.slots, state.display())?;
        write!(f, "the block: {}", block.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_follows_from_the_rate_so_far() {
        let secs = |millis, done, all| remaining_secs(Duration::from_millis(millis), done, all);
        assert_eq!([secs(4_000, 100, 500), secs(1_500, 1, 2), secs(9_000, 500, 500)], [16, 2, 0]);
    }

    #[test]
    fn a_folder_without_the_recording_is_refused_with_what_it_has_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |folder: &Path, number| format!("{:#}", find(folder, number).unwrap_err());
        let remedy = "`plimsoll-lab record` makes one";
        for nowhere in [folder.path().join("nowhere"), folder.path().to_owned()] {
            let told = refusal(&nowhere, Some(7));
            assert!(told.contains(&nowhere.display().to_string()) && told.contains(remedy), "{told}");
        }
        for number in [5, 11] {
            fs::write(folder.path().join(format!("{number}{BLOCK_FILE}")), "").unwrap();
        }
        let told = refusal(folder.path(), None);
        assert!(told.contains("has recordings of the blocks 5, 11: choose one by --block"), "{told}");
        let told = refusal(folder.path(), Some(7));
        assert!(told.contains("no recording of block 7") && told.ends_with("only of 5, 11"), "{told}");
    }
}
