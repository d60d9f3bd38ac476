//! A copy of the project in a temporary folder.
//!
//! Tests may use the core's libraries to say what they expect. In the copy they get them from a second, untouched copy:
//! a fault must not change the expectation together with what is expected, and most tests need not be compiled again.
//! Only the libraries' and types' own tests see the fault.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::tools::{Tool, Tools};
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    operators::Mutant,
    report::Outcome,
    schema::{schema_of, without_pure},
};

/// What of the project the core and its tests need.
const COPIED: [&str; 12] = [
    "foundry.toml",
    "package.json",
    "tools",
    "contracts/src/Plimsoll.sol",
    "contracts/src/interfaces",
    "contracts/src/libraries",
    "contracts/src/types",
    "contracts/test/attacks",
    "contracts/test/core",
    "contracts/test/libraries",
    "contracts/test/support",
    "contracts/test/types",
];
/// The tests that are run.
const TESTS: &str = "contracts/test/{attacks,core,libraries,types}/*";
/// Where the project's files find the libraries, and where they do in the copy.
const REMAPPING: &str = "\"plimsoll/=contracts/src/\",";
const UNTOUCHED: &str = "contracts/untouched";
/// Tests of what is mutated itself, not by way of the contract.
const UNIT_TESTS: [&str; 2] = ["contracts/test/libraries", "contracts/test/types"];
/// A fault can make a loop endless. Much more than all tests take on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// A copy of the project, removed when dropped.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
    tools: Tools,
    fuzz_runs: u32,
    seed: u64,
}

impl Sandbox {
    /// Copies what is needed. Fails when the project is not as expected here.
    pub fn create(tools: &Tools, fuzz_runs: u32, seed: u64) -> eyre::Result<Self> {
        let sandbox = Self { folder: tempfile::tempdir()?, tools: tools.clone(), fuzz_runs, seed };
        let project = tools.workspace().root();
        for part in COPIED {
            copy(&project.join(part), &sandbox.path(part))?;
        }
        copy(&sandbox.path("contracts/src"), &sandbox.path(UNTOUCHED))?;
        for folder in UNIT_TESTS {
            for test in fs::read_dir(sandbox.path(folder))? {
                let path = test?.path();
                // Relative paths are not remapped.
                let source = fs::read_to_string(&path)?.replace("\"plimsoll/", "\"../../src/");
                fs::write(&path, without_pure(&source))?;
            }
        }
        link(&project.join("node_modules"), &sandbox.path("node_modules"))?;
        let settings = fs::read_to_string(sandbox.path("foundry.toml"))?;
        ensure!(settings.contains(REMAPPING), "foundry.toml does not remap {REMAPPING}");
        let settings = settings.replace(REMAPPING, &format!("\"plimsoll/={UNTOUCHED}/\","));
        fs::write(sandbox.path("foundry.toml"), settings)?;
        Ok(sandbox)
    }

    /// Another copy, with all that is compiled already.
    pub fn duplicate(&self) -> eyre::Result<Self> {
        let folder = tempfile::tempdir()?;
        copy(self.folder.path(), folder.path())?;
        Ok(Self { folder, tools: self.tools.clone(), ..*self })
    }

    /// Fails, naming the first test that fails, when the tests do not pass.
    pub async fn require_tests_to_pass(&self) -> eyre::Result<()> {
        let output = self.test(0).await?.wrap_err("the tests take too long without any fault")?;
        ensure!(output.status.success(), "the tests fail without any fault:\n{}", failures(&said(&output)));
        Ok(())
    }

    /// What becomes of these mutants, which are compiled together. The copy is then as before.
    pub async fn try_mutants(&self, mutants: &[Mutant], mut report: impl FnMut(usize, Outcome)) -> eyre::Result<()> {
        let mut left: Vec<usize> = (0..mutants.len()).collect();
        // Complaints of the compiler are about single mutants: without those the others compile.
        while !left.is_empty() {
            let lines = self.write(mutants, &left)?;
            let output = self.test(0).await?.wrap_err("the tests take too long without a fault in force")?;
            if output.status.success() {
                break;
            }
            let said = said(&output);
            let invalid: Vec<usize> =
                left.iter().copied().filter(|i| lines.iter().any(|(at, j)| i == j && said.contains(at))).collect();
            ensure!(!invalid.is_empty(), "the tests fail without a fault in force:\n{}", failures(&said));
            left.retain(|i| !invalid.contains(i));
            invalid.into_iter().for_each(|i| report(i, Outcome::Invalid));
        }
        for i in left {
            report(i, self.outcome(i + 1).await?);
        }
        self.restore(mutants)
    }

    /// What becomes of a mutant that is one of a kind with its place: it has the source for itself.
    pub async fn try_single(&self, mutant: &Mutant) -> eyre::Result<Outcome> {
        let source = fs::read_to_string(self.untouched(mutant))?;
        fs::write(self.path(&mutant.file), mutant.applied_to(&source, 0..source.len()))?;
        let outcome = self.outcome(0).await?;
        self.restore(std::slice::from_ref(mutant))?;
        Ok(outcome)
    }

    async fn outcome(&self, number: usize) -> eyre::Result<Outcome> {
        Ok(match self.test(number).await? {
            None => Outcome::TimedOut,
            Some(output) if output.status.success() => Outcome::Survived,
            Some(output) => outcome_of_failure(&said(&output)),
        })
    }

    /// Writes the sources with these mutants in them, and says where each of them stands as the compiler would.
    fn write(&self, mutants: &[Mutant], left: &[usize]) -> eyre::Result<Vec<(String, usize)>> {
        self.restore(mutants)?;
        let mut places = Vec::new();
        let numbered: Vec<(usize, &Mutant)> = left.iter().map(|&i| (i + 1, &mutants[i])).collect();
        for of_file in numbered.chunk_by(|(_, a), (_, b)| a.file == b.file) {
            let mutant = of_file[0].1;
            let schema = schema_of(&fs::read_to_string(self.untouched(mutant))?, of_file);
            fs::write(self.path(&mutant.file), schema.text)?;
            places.extend(schema.lines.iter().map(|(line, number)| (format!("{}:{line}:", mutant.file), number - 1)));
        }
        Ok(places)
    }

    /// Puts the sources of these mutants back.
    fn restore(&self, mutants: &[Mutant]) -> eyre::Result<()> {
        for mutant in mutants {
            fs::copy(self.untouched(mutant), self.path(&mutant.file))?;
        }
        Ok(())
    }

    fn untouched(&self, mutant: &Mutant) -> PathBuf {
        self.path(UNTOUCHED).join(mutant.file.trim_start_matches("contracts/src/"))
    }

    /// Runs the tests with one of the mutants in force; nothing when they do not end.
    async fn test(&self, number: usize) -> eyre::Result<Option<Output>> {
        let mut command = Command::from(self.tools.command(Tool::Forge)?);
        command.current_dir(self.folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.args(["test", "--fail-fast", "--color", "never", "--threads", "1", "--match-path", TESTS]);
        command.args(["--fuzz-runs", &self.fuzz_runs.to_string(), "--fuzz-seed", &self.seed.to_string()]);
        // Several versions of everything exceed the limit that holds on chains.
        command.args(["--block-prevrandao", &format!("{number:#066x}"), "--code-size-limit", "1000000"]);
        match tokio::time::timeout(TIME_LIMIT, command.output()).await {
            Ok(output) => Ok(Some(output.wrap_err("forge cannot be started")?)),
            Err(_) => Ok(None),
        }
    }

    fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

/// What forge says about failing tests or compilation.
fn failures(said: &str) -> String {
    let said_of = |wanted: &str| said.lines().filter(|line| line.starts_with(wanted)).collect::<Vec<_>>().join("\n");
    let failing = said_of("[FAIL");
    if failing.is_empty() { said.to_owned() } else { failing }
}

/// The first test that failed, or that there was nothing to test.
fn outcome_of_failure(said: &str) -> Outcome {
    let Some(failure) = said.lines().find(|line| line.starts_with("[FAIL")) else {
        return Outcome::Invalid;
    };
    let test = failure.rsplit_once("] ").map_or(failure, |(_, test)| test);
    Outcome::Killed { by: test.split('(').next().unwrap_or(test).to_owned() }
}

/// Copies a file or a folder with all that is in it; links are copied as links.
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
    fn the_first_failing_test_is_reported() {
        let said =
            "[PASS] test_a() (gas: 1)\n[FAIL: x; counterexample: args=[1, [2] 3]] testFuzz_b(uint256[6]) (runs: 1)\n";
        assert_eq!(outcome_of_failure(said), Outcome::Killed { by: "testFuzz_b".to_owned() });
    }

    #[test]
    fn a_mutant_that_does_not_compile_is_invalid() {
        assert_eq!(outcome_of_failure("Error: Compiler run failed:\nError (7576)"), Outcome::Invalid);
    }
}
