//! `lab prove`: proofs about the contracts.
//!
//! Lemmas about the arithmetic (`lab/proofs`, Python) are proved by z3 over unbounded integers, and a fault planted in each
//! is refuted. Checks of rights and structure (`contracts/test/proofs/Rights.sol`) are made by halmos on the core's
//! bytecode. `environment` installs both, `lemmas` and `checks` run them.

mod checks;
mod environment;
mod lemmas;

use std::{fmt, fs};

use eyre::{WrapErr, ensure};
use plimsoll_testkit::workspace::tools;
use serde::Serialize;

use checks::Check;
use environment::Python;
use lemmas::{Lemma, Proofs};

/// The reference of all lemmas and checks.
const PAGE: &str = "docs/reference/proofs.md";

/// Options: which lemmas are proved.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Prove only lemmas whose name contains this text, and make no checks.
    #[arg(long, value_name = "TEXT")]
    pub lemma: Option<String>,
    /// Write the vectors by which the Solidity tests compare the libraries with the lemmas' formulas.
    #[arg(long)]
    pub write_vectors: bool,
}

/// What was proved and refuted. As JSON, the counts alone.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Number of lemmas.
    pub lemmas: usize,
    /// Number of lemmas that z3 proved.
    pub proved: usize,
    /// Number of faults planted in the lemmas' formulas.
    pub planted: usize,
    /// Number of these that a counterexample refutes.
    pub refuted: usize,
    /// Number of checks by halmos.
    pub checks: usize,
    /// Number of checks that hold on all paths.
    pub held: usize,
    /// Number of false checks by halmos.
    pub planted_checks: usize,
    /// Number of these that a counterexample refutes.
    pub refuted_checks: usize,
    #[serde(skip)]
    vectors_are_fresh: bool,
    /// Lemmas and checks that the reference does not name.
    #[serde(skip)]
    undocumented: Vec<String>,
    #[serde(skip)]
    all_lemmas: Vec<Lemma>,
    #[serde(skip)]
    all_checks: Vec<Check>,
}

/// Proves the lemmas and makes the checks.
///
/// # Errors
/// When Python, its packages or the contracts cannot be prepared, or a program fails. A lemma that is not proved is no
/// error here: see [`Report::ensure_complete`].
pub fn run(options: &Options) -> eyre::Result<Report> {
    let tools = tools()?;
    let python = Python::ready(tools.workspace())?;
    let Proofs { results: all_lemmas, vectors_are_fresh } = lemmas::prove(&python, tools.workspace(), options)?;
    let all_checks = if options.lemma.is_none() { checks::check(&python, &tools)? } else { Vec::new() };
    let page = tools.workspace().root().join(PAGE);
    let page = fs::read_to_string(&page).wrap_err_with(|| page.display().to_string())?;
    let names = all_lemmas.iter().map(|lemma| &*lemma.name).chain(all_checks.iter().map(Check::function));
    let undocumented = names.filter(|name| !page.contains(&format!("`{name}`"))).map(str::to_owned).collect();
    let (planted_checks, checks): (Vec<&Check>, Vec<&Check>) = all_checks.iter().partition(|check| check.is_planted());
    let as_expected = |checks: &[&Check]| checks.iter().filter(|check| check.is_as_expected()).count();
    Ok(Report {
        lemmas: all_lemmas.len(),
        proved: all_lemmas.iter().filter(|lemma| lemma.proved).count(),
        planted: all_lemmas.len(),
        refuted: all_lemmas.iter().filter(|lemma| lemma.refuted).count(),
        checks: checks.len(),
        held: as_expected(&checks),
        planted_checks: planted_checks.len(),
        refuted_checks: as_expected(&planted_checks),
        vectors_are_fresh,
        undocumented,
        all_lemmas,
        all_checks,
    })
}

impl Report {
    /// Fails when anything is unproved, a planted fault is not refuted, the Solidity tests have other vectors than those
    /// of the formulas, or the reference does not name a lemma or check.
    ///
    /// # Errors
    /// Names what is missing.
    pub fn ensure_complete(&self) -> eyre::Result<()> {
        ensure!(self.lemmas > 0, "no lemma has this text in its name");
        let unproved = self.all_lemmas.iter().filter(|lemma| !lemma.proved).map(|lemma| &lemma.name);
        let survived = self.all_lemmas.iter().filter(|lemma| !lemma.refuted).map(|lemma| &lemma.name);
        let unheld = self.all_checks.iter().filter(|check| !check.is_as_expected()).map(|check| &check.name);
        let failed: Vec<_> = unproved.chain(survived).chain(unheld).map(String::as_str).collect();
        ensure!(failed.is_empty(), "not proved, or its planted fault not refuted: {}", failed.join(", "));
        ensure!(
            self.vectors_are_fresh,
            "contracts/test/proofs/vectors.json is not what the formulas give: run cargo lab prove --write-vectors, and \
             then the Solidity tests"
        );
        ensure!(self.undocumented.is_empty(), "{PAGE} does not name {}", self.undocumented.join(", "));
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for lemma in &self.all_lemmas {
            writeln!(f, "{lemma}")?;
        }
        for check in &self.all_checks {
            writeln!(f, "{check}")?;
        }
        write!(
            f,
            "\n{} of {} lemmas proved, {} of {} planted faults refuted; {} of {} checks hold, {} of {} false ones refuted",
            self.proved,
            self.lemmas,
            self.refuted,
            self.planted,
            self.held,
            self.checks,
            self.refuted_checks,
            self.planted_checks
        )
    }
}
