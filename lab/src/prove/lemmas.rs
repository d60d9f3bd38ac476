//! The lemmas, proved by `lab/proofs/prove.py`.

use std::{collections::BTreeMap, fmt, process::Stdio};

use eyre::{WrapErr, ensure};
use plimsoll_deploy::toolchain::workspace::Workspace;
use serde::Deserialize;

use super::{Options, environment::Python};

/// What the program reports.
#[derive(Debug, Deserialize)]
pub(super) struct Proofs {
    pub(super) results: Vec<Lemma>,
    /// Whether the vectors in the repository are those of the formulas.
    pub(super) vectors_are_fresh: bool,
}

/// A lemma and what became of it.
#[derive(Debug, Deserialize)]
pub(super) struct Lemma {
    pub(super) name: String,
    statement: String,
    /// The Solidity functions that it is about, and the test that compares each with its formula.
    solidity: BTreeMap<String, String>,
    pub(super) proved: bool,
    /// Why it is not proved.
    failure: Option<String>,
    /// The fault that is planted in its formulas, in words.
    planted: String,
    pub(super) refuted: bool,
    /// Values for which the formulas with the fault break the lemma.
    counterexample: Option<BTreeMap<String, String>>,
    secs: f64,
}

/// Proves the chosen lemmas. Progress goes to stderr.
pub(super) fn prove(python: &Python, workspace: &Workspace, options: &Options) -> eyre::Result<Proofs> {
    let mut command = python.command("python");
    command.arg("-B").arg(workspace.root().join("lab/proofs/prove.py"));
    command.args(options.lemma.iter().flat_map(|text| ["--lemma", text]));
    command.args(options.write_vectors.then_some("--write-vectors"));
    let output = command.stderr(Stdio::inherit()).output().wrap_err("lab/proofs/prove.py cannot be started")?;
    ensure!(output.status.success(), "lab/proofs/prove.py failed");
    serde_json::from_slice(&output.stdout).wrap_err("lab/proofs/prove.py printed no report")
}

impl fmt::Display for Lemma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.proved { "proved" } else { "NOT PROVED" };
        writeln!(f, "{verdict} in {:.1} s: {}. {}", self.secs, self.name, self.statement)?;
        if let Some(failure) = &self.failure {
            writeln!(f, "    {failure}")?;
        }
        let compared: Vec<_> = self.solidity.iter().map(|(function, test)| format!("{function} ({test})")).collect();
        writeln!(f, "    about {}", compared.join(", "))?;
        let Some(values) = &self.counterexample else {
            return write!(f, "    planted: {}: NOT REFUTED", self.planted);
        };
        let values: Vec<_> = values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        write!(f, "    planted: {}: refuted by {}", self.planted, values.join(", "))
    }
}
