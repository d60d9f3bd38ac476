//! `lab all`: every figure, one after another, each in a process of its own, kept together with the machine that made
//! it and the command that makes it again. A figure that fails does not stop the others.

mod machine;

use std::{
    fmt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use eyre::{WrapErr, ensure};
use plimsoll_deploy::progress::say;
use plimsoll_testkit::workspace::workspace;
use serde::Serialize;
use serde_json::Value;
use tokio::process;

pub use self::machine::Machine;
use crate::output::Folder;

/// The file with everything that is not a figure.
const SUMMARY: &str = "all.json";

/// Something that `lab` measures.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name, also its file's.
    pub name: &'static str,
    /// What `lab` is told, without `--json`.
    pub command: &'static str,
}

/// Every figure, as it is published, or so small that only whether it works is seen.
#[must_use]
pub fn figures(quick: bool) -> Vec<Figure> {
    let all = [
        ("gas", "gas", "gas"),
        ("book-10k", "book --positions 10000", "book --positions 100"),
        ("book-1m", "book --positions 1000000", "book --positions 1000"),
        ("reaction", "reaction --positions 100000 --rounds 200", "reaction --positions 20 --rounds 3"),
        ("storm", "storm --positions 5000", "storm --positions 10"),
        (
            "replay",
            "replay --prices examples/prices/slide-30.csv examples/prices/gap-25.csv",
            "replay --model --prices examples/prices/gap-12.csv --positions 10",
        ),
    ];
    all.map(|(name, full, small)| Figure { name, command: if quick { small } else { full } }).into()
}

/// What was measured where, and how each ended.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When it began, in UTC.
    pub began: Option<String>,
    /// Where it ran.
    pub machine: Machine,
    /// One for each figure.
    pub figures: Vec<Measured>,
}

/// How a figure ended.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Its name.
    pub name: &'static str,
    /// What makes it again.
    pub command: String,
    /// How long it took.
    pub seconds: u64,
    /// Its file, where it worked.
    pub file: Option<PathBuf>,
    /// Why there is none, where it did not.
    pub failure: Option<String>,
}

/// Measures them in this order, each by a program that is `lab`, and saves what each says and what all came to. Fails
/// only where nothing can be saved: a figure that fails is in the report.
pub async fn run(
    figures: &[Figure],
    program: impl Fn() -> eyre::Result<Command>,
    folder: &Folder,
) -> eyre::Result<Report> {
    let mut report = Report { began: machine::now(), machine: Machine::this()?, figures: Vec::new() };
    for (number, figure) in (1_u64..).zip(figures) {
        let command = format!("cargo lab {} --json", figure.command);
        say(format_args!("{number} of {}: {command}", figures.len()));
        let started = Instant::now();
        let (file, failure) = match measure(program()?, figure.command).await {
            Ok(result) => (Some(folder.save(&format!("{}.json", figure.name), result)?), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let seconds = started.elapsed().as_secs();
        report.figures.push(Measured { name: figure.name, command, seconds, file, failure });
    }
    folder.save(SUMMARY, format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    Ok(report)
}

impl Report {
    /// Fails with the names of those that failed.
    pub fn complete(&self) -> eyre::Result<()> {
        let failed: Vec<_> = self.figures.iter().filter(|one| one.failure.is_some()).map(|one| one.name).collect();
        ensure!(failed.is_empty(), "not everything could be measured: {} failed", failed.join(", "));
        Ok(())
    }
}

/// What the program says on stdout. What it says on stderr is seen while it says it.
async fn measure(program: Command, command: &str) -> eyre::Result<Vec<u8>> {
    let mut program = process::Command::from(program);
    // Files that a figure names are the project's.
    program.current_dir(workspace()?.root());
    program.args(command.split(' ')).args(["--json", "--as-built"]);
    program.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = program.output().await.wrap_err("it could not be started")?;
    ensure!(output.status.success(), "it ended with {}; what it said stands on stderr", output.status);
    serde_json::from_slice::<Value>(&output.stdout).wrap_err("it did not answer with one JSON document")?;
    Ok(output.stdout)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        for Measured { name, seconds, file, failure, .. } in &self.figures {
            let file = file.as_ref().map(|file| file.display().to_string());
            let end = file.or_else(|| Some(format!("failed: {}", failure.as_deref()?))).unwrap_or_default();
            writeln!(f, "{name:<12}{seconds:>6} s  {end}")?;
        }
        Ok(())
    }
}
