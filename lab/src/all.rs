//! `lab all`: measures every figure, one after another, each in a process of its own, and saves it together with a
//! description of the machine and the command that reproduces it. A figure that fails does not stop the others.

mod machine;

use std::{
    fmt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use eyre::{WrapErr, ensure};
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_testkit::workspace::workspace;
use serde::Serialize;
use serde_json::Value;
use tokio::process;

pub use self::machine::Machine;
use crate::output::Folder;

/// Name of the file with the summary.
const SUMMARY: &str = "all.json";

/// A measurement.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// The name, which is also that of its file.
    pub name: &'static str,
    /// The arguments for `lab`, without `--json`.
    pub command: &'static str,
}

/// Returns every figure: in the sizes that are published or, where `quick`, in small ones that only show that it works.
#[must_use]
pub fn figures(quick: bool) -> Vec<Figure> {
    let all = [
        ("gas", "gas", "gas"),
        ("protocols", "protocols --accounts 100", "protocols --accounts 6"),
        ("book-10k", "book --positions 10000", "book --positions 100"),
        ("book-1m", "book --positions 1000000", "book --positions 1000"),
        ("latency", "latency --positions 100000 --rounds 200", "latency --positions 20 --rounds 3"),
        ("backfill", "backfill", "backfill --blocks 20000 --events 2000 --latency 5"),
        ("latency-2k", "latency --positions 2000 --rounds 200", "latency --positions 20 --rounds 3 --far"),
        ("burst", "burst --positions 5000", "burst --positions 10"),
        ("fleet", "fleet --positions 5000", "fleet --positions 15"),
        ("surge", "surge", "surge --interval 900"),
        ("vault", "vault", "vault --days 1 --seeds 1"),
        (
            "replay",
            "replay --prices examples/prices/slide-30.csv examples/prices/gap-25.csv",
            "replay --model --prices examples/prices/gap-12.csv --positions 10",
        ),
    ];
    all.map(|(name, full, small)| Figure { name, command: if quick { small } else { full } }).into()
}

/// The summary of all figures.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When the measurements began, in UTC.
    pub began: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// One entry for each figure.
    pub figures: Vec<Measured>,
}

/// A figure's entry in the summary.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// The name.
    pub name: &'static str,
    /// The command that reproduces it.
    pub command: String,
    /// How long it took, in seconds.
    pub seconds: u64,
    /// The file with the result; none after a failure.
    pub file: Option<PathBuf>,
    /// Why there is no result.
    pub failure: Option<String>,
}

/// Measures figures in this order, each in a process that `program` starts, and saves each result and the summary.
///
/// # Errors
/// When a result cannot be saved. A figure that fails is reported in the summary instead.
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
    /// Checks that every figure was measured.
    ///
    /// # Errors
    /// When some failed, with their names.
    pub fn ensure_complete(&self) -> eyre::Result<()> {
        let failed: Vec<_> = self.figures.iter().filter(|one| one.failure.is_some()).map(|one| one.name).collect();
        ensure!(failed.is_empty(), "not everything could be measured: {} failed", failed.join(", "));
        Ok(())
    }
}

/// Runs the program and returns its stdout. Its stderr is passed on.
async fn measure(program: Command, command: &str) -> eyre::Result<Vec<u8>> {
    let mut program = process::Command::from(program);
    // The files that a figure's command names are those of the repository.
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
