//! The report of mutation testing, as JSON and as text.

use std::{fmt, fs, path::Path};

use eyre::WrapErr;
use serde::{Deserialize, Serialize};

use super::operators::Mutant;

/// The outcome for a mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A test failed.
    Killed {
        /// Name of the first failing test.
        by: String,
        /// The file of that test.
        suite: String,
    },
    /// The tests exceeded the time limit, which counts as killed.
    TimedOut,
    /// All tests passed.
    Survived,
    /// The mutant does not compile, so it says nothing about the tests.
    Invalid,
    /// The mutant was only listed.
    Untried,
}

impl Outcome {
    /// Returns the outcome in words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Killed { .. } => "killed",
            Self::TimedOut => "timed out",
            Self::Survived => "SURVIVED",
            Self::Invalid => "invalid",
            Self::Untried => "untried",
        }
    }
}

/// A mutant with its outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tested {
    /// The mutant.
    #[serde(flatten)]
    pub mutant: Mutant,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The report of all mutants.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of mutants that a failing test or the time limit killed.
    pub killed: u32,
    /// Number of mutants that survived.
    pub survived: u32,
    /// Number of mutants that do not compile.
    pub invalid: u32,
    /// Killed mutants in percent of those that compile; none where none was tested.
    pub score_percent: Option<f64>,
    /// All mutants.
    pub mutants: Vec<Tested>,
}

impl Report {
    /// Creates the report, with its counts.
    #[must_use]
    pub fn new(mutants: Vec<Tested>) -> Self {
        let (killed, survived, invalid) = count(mutants.iter());
        Self { killed, survived, invalid, score_percent: score(killed, survived), mutants }
    }
}

/// Returns the mutants that survived according to a report. Fails when the file is not a report.
pub(super) fn survivors_in(path: &Path) -> eyre::Result<Vec<Mutant>> {
    let named = || path.display().to_string();
    let report: ReadReport = serde_json::from_slice(&fs::read(path).wrap_err_with(named)?).wrap_err_with(named)?;
    let survivors = report.mutants.into_iter().filter(|tested| tested.outcome == Outcome::Survived);
    Ok(survivors.map(|tested| tested.mutant).collect())
}

#[derive(Deserialize)]
struct ReadReport {
    mutants: Vec<Tested>,
}

fn count<'a>(mutants: impl Iterator<Item = &'a Tested>) -> (u32, u32, u32) {
    mutants.fold((0, 0, 0), |(killed, survived, invalid), tested| match tested.outcome {
        Outcome::Killed { .. } | Outcome::TimedOut => (killed + 1, survived, invalid),
        Outcome::Survived => (killed, survived + 1, invalid),
        Outcome::Invalid => (killed, survived, invalid + 1),
        Outcome::Untried => (killed, survived, invalid),
    })
}

fn score(killed: u32, survived: u32) -> Option<f64> {
    (killed + survived != 0).then(|| (f64::from(killed) * 1000.0 / f64::from(killed + survived)).round() / 10.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tested in &self.mutants {
            if matches!(tested.outcome, Outcome::Survived | Outcome::Untried) {
                writeln!(f, "{:9} {}", tested.outcome.name(), tested.mutant)?;
            }
        }
        writeln!(f, "{:44} {:>6} {:>8} {:>7} {:>6}", "file", "killed", "survived", "invalid", "score")?;
        let mut files: Vec<&str> = self.mutants.iter().map(|tested| tested.mutant.file.as_str()).collect();
        files.dedup();
        for file in files {
            let (killed, survived, invalid) = count(self.mutants.iter().filter(|tested| tested.mutant.file == file));
            line(f, file, killed, survived, invalid)?;
        }
        line(f, "all", self.killed, self.survived, self.invalid)
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, killed: u32, survived: u32, invalid: u32) -> fmt::Result {
    let score = score(killed, survived).map_or_else(|| "–".to_owned(), |percent| format!("{percent:.1}%"));
    writeln!(f, "{name:44} {killed:>6} {survived:>8} {invalid:>7} {score:>6}")
}
