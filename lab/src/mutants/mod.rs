//! `lab mutants`: mutation testing of the contracts.
//!
//! A mutant is a contract with one small fault ([`operators`]). Many are compiled together (`schema`) and tested in a
//! copy of the repository ([`sandbox`]) by the tests of its group ([`groups`]). A failing test kills a mutant; one that
//! survives shows behaviour that no test asserts. The repository itself is not changed. A run can be interrupted and go
//! on (`record`).

mod declarations;
pub mod groups;
pub mod operators;
mod record;
pub mod report;
pub mod sandbox;
mod schema;
mod tokens;

use std::{
    collections::{HashSet, VecDeque},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use eyre::{WrapErr, ensure};
use plimsoll_deploy::{toolchain::progress::say, toolchain::tools::Tools, toolchain::workspace::Workspace};
use plimsoll_testkit::workspace::workspace;

use groups::{GROUPS, Group};
use operators::{Mutant, Place};
use record::Record;
use report::{Outcome, Report, Tested};
use sandbox::Sandbox;

/// The most mutants that are compiled together. More cost the compiler more time than they save.
const MAX_TOGETHER: usize = 48;
/// The most test files that are run before all others, because they killed the last mutants of the same source.
const LIKELY_KILLERS: usize = 3;

/// Options: which mutants are tested, and how thoroughly.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Mutate only this group of contracts: core, rewards, backstop, oracles, periphery, guard, governance, executor, vault or
    /// nodes; may be given several times.
    #[arg(long, value_parser = Group::named)]
    pub group: Vec<&'static Group>,
    /// Mutate only files whose path contains this text; may be given several times.
    #[arg(long)]
    pub file: Vec<String>,
    /// Test only mutants that survived according to this report, which `--json` printed.
    #[arg(long)]
    pub survivors_of: Option<PathBuf>,
    /// Test at most this many mutants, chosen at random.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Seed of the random choice and of fuzzed arguments.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of mutants that are tested in parallel, each in a copy of the repository.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub workers: u8,
    /// Runs of each fuzz test; more runs kill more mutants and take longer.
    #[arg(long, default_value_t = 64)]
    pub fuzz_runs: u32,
    /// Record each outcome in this file as soon as it is known, and do not test again what the file has: an interrupted
    /// run goes on. Outcomes of a source that changed since are not used.
    #[arg(long)]
    pub resume: Option<PathBuf>,
    /// List the mutants without testing them.
    #[arg(long)]
    pub list: bool,
}

/// Tests the chosen mutants. When interrupted, it reports those that were tested until then, and removes its copies.
///
/// # Errors
/// When the tests fail without a fault.
pub async fn run(options: &Options) -> eyre::Result<Report> {
    let workspace = workspace()?;
    let sources = sources(&workspace)?;
    let mut mutants = chosen(&workspace, &sources, options)?;
    if options.list {
        return Ok(Report::new(
            mutants.into_iter().map(|mutant| Tested { mutant, outcome: Outcome::Untried }).collect(),
        ));
    }
    let tools = Tools::ready(&workspace)?;
    let mut progress = Progress { started: Instant::now(), total: mutants.len(), tested: Vec::new(), record: None };
    if let Some(path) = &options.resume {
        let (record, known) = Record::open(path, &sources)?;
        for (mutant, outcome) in known {
            if let Some(i) = mutants.iter().position(|other| other.is_same(&mutant)) {
                progress.tested.push(Tested { mutant: mutants.remove(i), outcome });
            }
        }
        progress.record = Some(record);
    }
    let log = Arc::new(Mutex::new(progress));
    tokio::select! {
        done = test_groups(&tools, &mutants, options, &log) => done?,
        _ = tokio::signal::ctrl_c() => say("interrupted: the report has what was tested until then"),
    }
    let mut tested = std::mem::take(&mut lock(&log).tested);
    tested.sort_by(|a, b| (&a.mutant.file, a.mutant.range.start).cmp(&(&b.mutant.file, b.mutant.range.start)));
    Ok(Report::new(tested))
}

/// Returns paths and texts of the sources of all groups: a fault may name a function of another group.
fn sources(workspace: &Workspace) -> eyre::Result<Vec<(String, String)>> {
    let mut sources = Vec::new();
    for group in &GROUPS {
        for file in group.files(workspace.root())? {
            let text = fs::read_to_string(workspace.root().join(&file)).wrap_err_with(|| file.display().to_string())?;
            sources.push((file.to_string_lossy().into_owned(), text));
        }
    }
    sources.sort();
    Ok(sources)
}

/// Returns the mutants of the chosen groups and files, or a sample of them, in the order of the source.
fn chosen(workspace: &Workspace, sources: &[(String, String)], options: &Options) -> eyre::Result<Vec<Mutant>> {
    let mut mutants = operators::mutants_of(sources);
    if !options.group.is_empty() {
        let mut in_groups = HashSet::new();
        for group in &options.group {
            in_groups.extend(group.files(workspace.root())?);
        }
        mutants.retain(|mutant| in_groups.contains(Path::new(&mutant.file)));
    }
    mutants.retain(|mutant| options.file.is_empty() || options.file.iter().any(|part| mutant.file.contains(part)));
    ensure!(!mutants.is_empty(), "no file of the chosen groups matches --file {}", options.file.join(" --file "));
    if let Some(path) = &options.survivors_of {
        let survivors = report::survivors_in(path)?;
        mutants.retain(|mutant| survivors.iter().any(|survivor| survivor.is_same(mutant)));
        ensure!(!mutants.is_empty(), "no mutant that survived according to {} exists any more", path.display());
    }
    if let Some(limit) = options.limit {
        let mut drawn: Vec<(u64, Mutant)> =
            mutants.into_iter().zip(0..).map(|(mutant, i)| (scramble(options.seed, i), mutant)).collect();
        drawn.sort_by_key(|(number, _)| *number);
        drawn.truncate(limit);
        mutants = drawn.into_iter().map(|(_, mutant)| mutant).collect();
        mutants.sort_by(|a, b| (&a.file, a.range.start).cmp(&(&b.file, b.range.start)));
    }
    Ok(mutants)
}

/// Returns the n-th number of a pseudo-random sequence (SplitMix64).
fn scramble(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Tests the mutants of one group after the other, each by the group's tests.
async fn test_groups(
    tools: &Tools,
    mutants: &[Mutant],
    options: &Options,
    log: &Arc<Mutex<Progress>>,
) -> eyre::Result<()> {
    for group in &GROUPS {
        let files = group.files(tools.workspace().root())?;
        let of_group =
            mutants.iter().filter(|mutant| files.iter().any(|file| file.as_os_str() == mutant.file.as_str()));
        let of_group: Vec<Mutant> = of_group.cloned().collect();
        if !of_group.is_empty() {
            test_all(tools, group, of_group, options, log).await?;
        }
    }
    Ok(())
}

async fn test_all(
    tools: &Tools,
    group: &'static Group,
    mutants: Vec<Mutant>,
    options: &Options,
    log: &Arc<Mutex<Progress>>,
) -> eyre::Result<()> {
    say(format_args!("{}: running the tests without a fault, in a copy of the repository", group.name));
    let mut first = Sandbox::create(tools, group, options.fuzz_runs, options.seed)?;
    first.require_tests_to_pass().await?;
    let workers = usize::from(options.workers).min(mutants.len());
    let mut sandboxes = Vec::new();
    for _ in 1..workers {
        sandboxes.push(first.duplicate()?);
    }
    sandboxes.push(first);

    let queue = Arc::new(Mutex::new(batches_of(mutants)));
    let mut running = tokio::task::JoinSet::new();
    for sandbox in sandboxes {
        let (queue, log) = (Arc::clone(&queue), Arc::clone(log));
        running.spawn(async move {
            while let Some(batch) = next_of(&queue) {
                test_batch(&sandbox, &batch, &log).await?;
            }
            eyre::Ok(())
        });
    }
    while let Some(worker) = running.join_next().await {
        worker??;
    }
    Ok(())
}

/// Tests mutants that are compiled together, or one that cannot share a source.
async fn test_batch(sandbox: &Sandbox, batch: &[Mutant], log: &Mutex<Progress>) -> eyre::Result<()> {
    if let [single] = batch
        && single.place == Place::Single
    {
        let likely = lock(log).likely_killers(&single.file);
        let outcome = sandbox.test_single(single, &likely).await?;
        return lock(log).add(single, outcome);
    }
    let compiled = sandbox.compile(batch).await?;
    for (i, mutant) in batch.iter().enumerate() {
        let outcome = if compiled.contains(&i) {
            let likely = lock(log).likely_killers(&mutant.file);
            sandbox.outcome(i + 1, &likely).await?
        } else {
            Outcome::Invalid
        };
        lock(log).add(mutant, outcome)?;
    }
    sandbox.restore(batch)
}

/// Batches mutants that are compiled together. Mutants that cannot share a source are alone.
fn batches_of(mutants: Vec<Mutant>) -> VecDeque<Vec<Mutant>> {
    let (single, mut sharing): (Vec<_>, Vec<_>) = mutants.into_iter().partition(|mutant| mutant.place == Place::Single);
    // The versions of one place must be consecutive.
    sharing.sort_by_key(|mutant| (mutant.file.clone(), mutant.place.start()));
    let together = sharing.chunks(MAX_TOGETHER).map(<[Mutant]>::to_vec);
    together.chain(single.into_iter().map(|mutant| vec![mutant])).collect()
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_of(queue: &Mutex<VecDeque<Vec<Mutant>>>) -> Option<Vec<Mutant>> {
    lock(queue).pop_front()
}

/// Collects outcomes, records and prints each.
struct Progress {
    started: Instant,
    total: usize,
    tested: Vec<Tested>,
    record: Option<Record>,
}

impl Progress {
    fn add(&mut self, mutant: &Mutant, outcome: Outcome) -> eyre::Result<()> {
        let (done, secs) = (self.tested.len() + 1, self.started.elapsed().as_secs());
        say(format_args!("{done}/{} after {secs} s: {} {mutant}", self.total, outcome.name()));
        let tested = Tested { mutant: mutant.clone(), outcome };
        if let Some(record) = &mut self.record {
            record.append(&tested)?;
        }
        self.tested.push(tested);
        Ok(())
    }

    /// Returns the test files that killed the last mutants of a source, which are the likeliest to kill the next.
    fn likely_killers(&self, source: &str) -> Vec<String> {
        let mut suites: Vec<String> = Vec::new();
        for tested in self.tested.iter().rev().filter(|tested| tested.mutant.file == source) {
            if let Outcome::Killed { suite, .. } = &tested.outcome
                && !suites.contains(suite)
            {
                suites.push(suite.clone());
            }
            if suites.len() == LIKELY_KILLERS {
                break;
            }
        }
        suites
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_killed_the_last_mutants_of_a_source_come_first() {
        let sources =
            ["A.sol", "B.sol"].map(|name| (name.to_owned(), "contract C { function f() { x = 1; } }".to_owned()));
        let [a, _, b, _] = &operators::mutants_of(&sources)[..] else { panic!("not two mutants of each source") };
        let mut progress = Progress { started: Instant::now(), total: 0, tested: Vec::new(), record: None };
        for suite in ["1", "2", "1", "3", "4", "3"] {
            let outcome = Outcome::Killed { by: String::new(), suite: suite.to_owned() };
            progress.tested.push(Tested { mutant: a.clone(), outcome });
            progress.tested.push(Tested { mutant: b.clone(), outcome: Outcome::Survived });
        }
        assert_eq!(progress.likely_killers("A.sol"), ["3", "4", "1"]);
        assert!(progress.likely_killers("B.sol").is_empty());
    }
}
