//! `lab replay` on the command line.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

const LAB: &str = env!("CARGO_BIN_EXE_lab_bin");
const GAP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/prices/gap-12.csv");

fn replay(prices: &Path, arguments: &[&str]) -> eyre::Result<Output> {
    Ok(Command::new(LAB).args(["replay", "--prices"]).arg(prices).args(arguments).output()?)
}

#[test]
fn the_saved_report_has_the_figures_of_stdout() -> eyre::Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("report");
    let output = replay(
        Path::new(GAP),
        &["--model", "--positions", "20", "--json", "--report", folder.to_string_lossy().as_ref()],
    )?;
    assert!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(said, serde_json::from_slice::<Value>(&fs::read(folder.join("report.json"))?)?);
    assert!(fs::read_to_string(folder.join("report.html"))?.contains("gap-12.csv"));
    assert!(fs::read_to_string(folder.join("run-1.svg"))?.starts_with("<svg"));
    assert!(fs::read(folder.join("run-1.png"))?.starts_with(b"\x89PNG"));
    Ok(())
}

#[test]
fn an_unusable_price_file_is_reported_by_line_with_nothing_on_stdout() -> eyre::Result<()> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("day.csv");
    fs::write(&file, "ts,price\n0,2000\n60,1900\n30,1800\n")?;
    let report = scratch.path().join("report");
    let output = replay(&file, &["--json", "--report", report.to_string_lossy().as_ref()])?;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    assert!(!report.exists(), "a report folder is left behind");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("day.csv: line 4: 30 is not after 60") && !told.contains("starting"), "{told}");
    Ok(())
}
