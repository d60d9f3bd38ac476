//! `lab mutants`: mutation testing of the contracts.
//!
//! A mutant is a contract with one small fault ([`operators`]). Many are compiled together (`schema`) and tested in a
//! copy of the repository ([`sandbox`]) by the tests of its group ([`groups`]). A failing test kills a mutant; one that survives shows behaviour that no test
//! asserts. The repository itself is not changed.

pub mod groups;
pub mod operators;
pub mod report;
pub mod sandbox;
mod schema;
mod tokens;

use std::{
    collections::{HashSet, VecDeque},
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use eyre::{WrapErr, ensure};
use plimsoll_deploy::{toolchain::progress::say, toolchain::tools::Tools, toolchain::workspace::Workspace};
use plimsoll_testkit::workspace::workspace;

use groups::{GROUPS, Group};
use operators::{Mutant, Place};
use report::{Outcome, Report, Tested};
use sandbox::Sandbox;

/// The most mutants in one source. More cost the compiler more time than they save.
const MAX_PER_SOURCE: usize = 48;

/// Options: which mutants are tested, and how thoroughly.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Mutate only this group of contracts: core, rewards, backstop, oracles or periphery; may be given several times.
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
    let mutants = chosen(&workspace, options)?;
    if options.list {
        return Ok(Report::new(
            mutants.into_iter().map(|mutant| Tested { mutant, outcome: Outcome::Untried }).collect(),
        ));
    }
    let tools = Tools::ready(&workspace)?;
    let total = mutants.len();
    let log = Arc::new(Mutex::new(Progress { started: Instant::now(), total, tested: Vec::with_capacity(total) }));
    tokio::select! {
        done = test_groups(&tools, &mutants, options, &log) => done?,
        _ = tokio::signal::ctrl_c() => say("interrupted: the report has what was tested until then"),
    }
    let mut tested = std::mem::take(&mut log.lock().unwrap_or_else(PoisonError::into_inner).tested);
    tested.sort_by(|a, b| (&a.mutant.file, a.mutant.range.start).cmp(&(&b.mutant.file, b.mutant.range.start)));
    Ok(Report::new(tested))
}

/// Returns the mutants of the chosen groups and files, or a sample of them, in the order of the source.
fn chosen(workspace: &Workspace, options: &Options) -> eyre::Result<Vec<Mutant>> {
    let mut sources = Vec::new();
    let mut in_groups = HashSet::new();
    // All sources are read: a fault may name a function of another group.
    for group in &GROUPS {
        for file in group.files(workspace.root())? {
            let text = fs::read_to_string(workspace.root().join(&file)).wrap_err_with(|| file.display().to_string())?;
            let file = file.to_string_lossy().into_owned();
            if options.group.is_empty() || options.group.contains(&group) {
                in_groups.insert(file.clone());
            }
            sources.push((file, text));
        }
    }
    sources.sort();
    let mut mutants = operators::mutants_of(&sources);
    mutants.retain(|mutant| in_groups.contains(&mutant.file));
    mutants.retain(|mutant| options.file.is_empty() || options.file.iter().any(|part| mutant.file.contains(part)));
    ensure!(!mutants.is_empty(), "no file of the chosen groups matches --file {}", options.file.join(" --file "));
    if let Some(path) = &options.survivors_of {
        let survivors = report::survivors_in(path)?;
        mutants.retain(|mutant| survivors.contains(&mutant.to_string()));
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
    let first = Sandbox::create(tools, group, options.fuzz_runs, options.seed)?;
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
                let add = |i: usize, outcome| {
                    log.lock().unwrap_or_else(PoisonError::into_inner).add(&batch[i], outcome);
                };
                match &batch[..] {
                    [single] if single.place == Place::Single => add(0, sandbox.test_single(single).await?),
                    together => sandbox.test_mutants(together, add).await?,
                }
            }
            eyre::Ok(())
        });
    }
    while let Some(worker) = running.join_next().await {
        worker??;
    }
    Ok(())
}

/// Batches mutants that are compiled together: those of one file. Mutants that cannot share a source are alone.
fn batches_of(mutants: Vec<Mutant>) -> VecDeque<Vec<Mutant>> {
    let (single, mut sharing): (Vec<_>, Vec<_>) = mutants.into_iter().partition(|mutant| mutant.place == Place::Single);
    // The versions of one place must be consecutive.
    sharing.sort_by_key(|mutant| (mutant.file.clone(), mutant.place.start()));
    let mut batches = VecDeque::new();
    for of_file in sharing.chunk_by(|a, b| a.file == b.file) {
        batches.extend(of_file.chunks(MAX_PER_SOURCE).map(<[Mutant]>::to_vec));
    }
    batches.extend(single.into_iter().map(|mutant| vec![mutant]));
    batches
}

fn next_of(queue: &Mutex<VecDeque<Vec<Mutant>>>) -> Option<Vec<Mutant>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Collects outcomes, and prints each.
struct Progress {
    started: Instant,
    total: usize,
    tested: Vec<Tested>,
}

impl Progress {
    fn add(&mut self, mutant: &Mutant, outcome: Outcome) {
        let (done, secs) = (self.tested.len() + 1, self.started.elapsed().as_secs());
        say(format_args!("{done}/{} after {secs} s: {} {mutant}", self.total, outcome.name()));
        self.tested.push(Tested { mutant: mutant.clone(), outcome });
    }
}
