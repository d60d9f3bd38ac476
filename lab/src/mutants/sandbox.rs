//! A copy of the repository in a temporary folder.
//!
//! Tests may use the contracts' libraries to compute what they expect. In the copy they use a second, unmodified copy of
//! the libraries: a fault must not change the expectation as well, and most tests need not be compiled again. Only the
//! tests of libraries and types themselves see the fault.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::toolchain::tools::{Tool, Tools};
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    groups::Group,
    operators::Mutant,
    report::Outcome,
    schema::{schema_of, without_pure},
};

/// The files of the repository that every group needs: the core too, which others are tested with. Of the other
/// contracts and tests only the group's own are copied, because forge compiles all.
const COPIED: [&str; 8] = [
    "foundry.toml",
    "package.json",
    "tools",
    "contracts/src/Plimsoll.sol",
    "contracts/src/interfaces",
    "contracts/src/libraries",
    "contracts/src/types",
    "contracts/test/support",
];
/// The remapping of the libraries in `foundry.toml`.
const REMAPPING: &str = "\"plimsoll/=contracts/src/\",";
/// Folder of the unmodified libraries in the copy.
const UNMODIFIED: &str = "contracts/unmodified";
/// Time limit of a test run for which sources are compiled.
const COMPILING_LIMIT: Duration = Duration::from_secs(900);
/// Time limit of any other test run, because a fault can make a loop endless: a multiple of the time without a fault, and
/// at least a minute, so that a busy machine kills no mutant.
const TIME_LIMIT_FACTOR: u32 = 10;
const MIN_TIME_LIMIT: Duration = Duration::from_secs(60);

/// Names of the test contracts that bound the gas of calls.
const GAS_TESTS: &str = "GasTest$";

/// A copy of the repository, removed when dropped.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
    tools: Tools,
    group: &'static Group,
    fuzz_runs: u32,
    seed: u64,
    time_limit: Duration,
}

impl Sandbox {
    /// Copies the files that are needed.
    ///
    /// # Errors
    /// When a file is missing, or `foundry.toml` does not have the remapping.
    pub fn create(tools: &Tools, group: &'static Group, fuzz_runs: u32, seed: u64) -> eyre::Result<Self> {
        let sandbox = Self {
            folder: tempfile::tempdir()?,
            tools: tools.clone(),
            group,
            fuzz_runs,
            seed,
            time_limit: MIN_TIME_LIMIT,
        };
        let project = tools.workspace().root();
        for part in COPIED {
            copy(&project.join(part), &sandbox.path(part))?;
        }
        let sources = group.sources.iter().map(|source| format!("src/{source}"));
        let tests = group.tests.iter().map(|folder| format!("test/{folder}"));
        for part in sources.chain(tests).chain(group.needs.iter().map(ToString::to_string)) {
            let part = format!("contracts/{part}");
            copy(&project.join(&part), &sandbox.path(&part))?;
        }
        copy(&project.join("contracts/src"), &sandbox.path(UNMODIFIED))?;
        // A function that calls a mutated one, or that an interface declares, is not `pure` either.
        make_view(&sandbox.path("contracts/src"))?;
        for part in group.unit_tests {
            let part = sandbox.path("contracts/test").join(part);
            if part.is_file() {
                import_mutated(&part)?;
                continue;
            }
            for test in fs::read_dir(part)? {
                import_mutated(&test?.path())?;
            }
        }
        link(&project.join("node_modules"), &sandbox.path("node_modules"))?;
        let settings = fs::read_to_string(sandbox.path("foundry.toml"))?;
        ensure!(settings.contains(REMAPPING), "foundry.toml does not remap {REMAPPING}");
        let settings = settings.replace(REMAPPING, &format!("\"plimsoll/={UNMODIFIED}/\","));
        fs::write(sandbox.path("foundry.toml"), settings)?;
        Ok(sandbox)
    }

    /// Makes another copy, compiler output included.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn duplicate(&self) -> eyre::Result<Self> {
        let folder = tempfile::tempdir()?;
        copy(self.folder.path(), folder.path())?;
        Ok(Self { folder, tools: self.tools.clone(), ..*self })
    }

    /// Runs the tests without a fault.
    ///
    /// # Errors
    /// When a test fails, with its name, or the time limit is exceeded.
    pub async fn require_tests_to_pass(&mut self) -> eyre::Result<()> {
        // Otherwise each run would analyse again the files that none of its tests needs, which takes longer than the tests.
        let built = self.forge("build")?.output().await.wrap_err("forge cannot be started")?;
        ensure!(built.status.success(), "the copy does not compile:\n{}", said(&built));
        let started = Instant::now();
        let output = self.test(0, &[], COMPILING_LIMIT).await?.wrap_err("the tests take too long without any fault")?;
        ensure!(output.status.success(), "the tests fail without any fault:\n{}", failures(&said(&output)));
        self.time_limit = MIN_TIME_LIMIT.max(started.elapsed() * TIME_LIMIT_FACTOR);
        Ok(())
    }

    /// Compiles mutants together, numbered from 1 in this order, and returns the indices of those that compile. The others
    /// are invalid.
    ///
    /// # Errors
    /// When the tests fail without a fault in effect.
    pub async fn compile(&self, mutants: &[Mutant]) -> eyre::Result<Vec<usize>> {
        let mut left: Vec<usize> = (0..mutants.len()).collect();
        // An error of the compiler is about one mutant; without it the others compile.
        while !left.is_empty() {
            let lines = self.write(mutants, &left)?;
            let output = self.test(0, &[], COMPILING_LIMIT).await?;
            let output = output.wrap_err("the tests take too long without a fault in effect")?;
            if output.status.success() {
                break;
            }
            let said = said(&output);
            let invalid: Vec<usize> =
                left.iter().copied().filter(|i| lines.iter().any(|(at, j)| i == j && said.contains(at))).collect();
            ensure!(!invalid.is_empty(), "the tests fail without a fault in effect:\n{}", failures(&said));
            left.retain(|i| !invalid.contains(i));
        }
        Ok(left)
    }

    /// Tests a mutant that was compiled with others, by its number: first by the test files that are the likeliest to kill
    /// it, then, if it survives them, by all tests of the group.
    ///
    /// # Errors
    /// When forge cannot be started.
    pub async fn outcome(&self, number: usize, likely: &[String]) -> eyre::Result<Outcome> {
        if !likely.is_empty() {
            let outcome = outcome_of(self.test(number, likely, self.time_limit).await?.as_ref());
            if outcome != Outcome::Survived {
                return Ok(outcome);
            }
        }
        Ok(outcome_of(self.test(number, &[], self.time_limit).await?.as_ref()))
    }

    /// Tests a mutant whose place can exist in one version only, in a source of its own.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub async fn test_single(&self, mutant: &Mutant, likely: &[String]) -> eyre::Result<Outcome> {
        let source = fs::read_to_string(self.unmodified(mutant))?;
        fs::write(self.path(&mutant.file), without_pure(&mutant.applied_to(&source, 0..source.len())))?;
        let built = self.forge("build")?.output().await.wrap_err("forge cannot be started")?;
        let outcome = if built.status.success() { self.outcome(0, likely).await? } else { Outcome::Invalid };
        self.restore(std::slice::from_ref(mutant))?;
        Ok(outcome)
    }

    /// Writes the sources with these mutants, and returns for each its position as the compiler reports it.
    fn write(&self, mutants: &[Mutant], left: &[usize]) -> eyre::Result<Vec<(String, usize)>> {
        self.restore(mutants)?;
        let mut places = Vec::new();
        let numbered: Vec<(usize, &Mutant)> = left.iter().map(|&i| (i + 1, &mutants[i])).collect();
        for of_file in numbered.chunk_by(|(_, a), (_, b)| a.file == b.file) {
            let mutant = of_file[0].1;
            let schema = schema_of(&fs::read_to_string(self.unmodified(mutant))?, of_file);
            fs::write(self.path(&mutant.file), schema.text)?;
            places.extend(schema.lines.iter().map(|(line, number)| (format!("{}:{line}:", mutant.file), number - 1)));
        }
        Ok(places)
    }

    /// Restores the sources of these mutants.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn restore(&self, mutants: &[Mutant]) -> eyre::Result<()> {
        for mutant in mutants {
            let source = fs::read_to_string(self.unmodified(mutant))?;
            fs::write(self.path(&mutant.file), without_pure(&source))?;
        }
        Ok(())
    }

    fn unmodified(&self, mutant: &Mutant) -> PathBuf {
        self.path(UNMODIFIED).join(mutant.file.trim_start_matches("contracts/src/"))
    }

    /// Runs these test files, or all tests of the group if none is named, with one of the mutants in effect. Returns none
    /// when they exceed the time limit.
    async fn test(&self, number: usize, files: &[String], limit: Duration) -> eyre::Result<Option<Output>> {
        let mut command = self.forge("test")?;
        let glob = if files.is_empty() { self.group.test_glob() } else { any_of(files) };
        command.args(["--fail-fast", "--threads", "1", "--match-path", &glob]);
        command.args(["--fuzz-runs", &self.fuzz_runs.to_string(), "--fuzz-seed", &self.seed.to_string()]);
        // Each function with several versions costs more gas.
        command.args(["--no-match-contract", GAS_TESTS]);
        // A contract with several versions of its code exceeds the size limit of chains.
        command.args(["--block-prevrandao", &format!("{number:#066x}"), "--code-size-limit", "1000000"]);
        match tokio::time::timeout(limit, command.output()).await {
            Ok(output) => Ok(Some(output.wrap_err("forge cannot be started")?)),
            Err(_) => Ok(None),
        }
    }

    /// Returns a command of forge in the copy.
    fn forge(&self, subcommand: &str) -> eyre::Result<Command> {
        let mut command = Command::from(self.tools.command(Tool::Forge)?);
        command.current_dir(self.folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.args([subcommand, "--color", "never"]);
        Ok(command)
    }

    fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }
}

/// Replaces `pure` by `view` in all sources below a folder.
fn make_view(folder: &Path) -> eyre::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            make_view(&path)?;
        } else {
            let source = fs::read_to_string(&path)?;
            fs::write(&path, without_pure(&source))?;
        }
    }
    Ok(())
}

/// Lets a test in a folder of `contracts/test` import the mutated libraries: relative paths are not remapped.
fn import_mutated(test: &Path) -> eyre::Result<()> {
    let source = fs::read_to_string(test)?.replace("\"plimsoll/", "\"../../src/");
    Ok(fs::write(test, without_pure(&source))?)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

/// Returns forge's messages about failing tests, or all of its output.
fn failures(said: &str) -> String {
    let said_of = |wanted: &str| said.lines().filter(|line| line.starts_with(wanted)).collect::<Vec<_>>().join("\n");
    let failing = said_of("[FAIL");
    if failing.is_empty() { said.to_owned() } else { failing }
}

/// Returns a glob of these files.
fn any_of(files: &[String]) -> String {
    match files {
        [file] => file.clone(),
        files => format!("{{{}}}", files.join(",")),
    }
}

/// Returns the outcome of a run: killed by the first failing test, or invalid where none was run.
fn outcome_of(output: Option<&Output>) -> Outcome {
    match output {
        None => Outcome::TimedOut,
        Some(output) if output.status.success() => Outcome::Survived,
        Some(output) => outcome_of_failure(&said(output)),
    }
}

fn outcome_of_failure(said: &str) -> Outcome {
    let mut lines = said.lines();
    let mut suite = "";
    let failure = lines.find(|line| {
        // "Ran 3 tests for contracts/test/core/Borrow.t.sol:BorrowTest"
        if let Some((_, path)) = line.strip_prefix("Ran ").and_then(|rest| rest.split_once(" for ")) {
            suite = path.split(':').next().unwrap_or(path);
        }
        line.starts_with("[FAIL")
    });
    let Some(failure) = failure else { return Outcome::Invalid };
    let test = failure.rsplit_once("] ").map_or(failure, |(_, test)| test);
    Outcome::Killed { by: test.split('(').next().unwrap_or(test).to_owned(), suite: suite.to_owned() }
}

/// Copies a file, or a folder with its content. Links are copied as links.
fn copy(from: &Path, to: &Path) -> eyre::Result<()> {
    let kind = fs::symlink_metadata(from).wrap_err_with(|| from.display().to_string())?.file_type();
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if kind.is_symlink() {
        link(&fs::read_link(from)?, to)?;
    } else if kind.is_dir() {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else {
        fs::copy(from, to).wrap_err_with(|| from.display().to_string())?;
    }
    Ok(())
}

#[cfg(unix)]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failing_test_is_reported_with_its_file() {
        let said = "Ran 1 test for contracts/test/core/A.t.sol:ATest\n[PASS] test_a() (gas: 1)\n\nRan 2 tests for \
                    contracts/test/core/B.t.sol:BTest\n[FAIL: x; counterexample: args=[1, [2] 3]] \
                    testFuzz_b(uint256[6]) (runs: 1)\nRan 2 test suites in 1s\n";
        let (by, suite) = ("testFuzz_b".to_owned(), "contracts/test/core/B.t.sol".to_owned());
        assert_eq!(outcome_of_failure(said), Outcome::Killed { by, suite });
    }

    #[test]
    fn a_mutant_that_does_not_compile_is_invalid() {
        assert_eq!(outcome_of_failure("Error: Compiler run failed:\nError (7576)"), Outcome::Invalid);
    }
}
