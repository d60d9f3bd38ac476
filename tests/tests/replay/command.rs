//! `lab replay` on the command line.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output},
};

use flate2::{Compression, write::GzEncoder};
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

#[test]
fn a_file_that_is_no_price_file_is_named_as_what_it_is_and_leaves_no_report_folder() -> eyre::Result<()> {
    let scratch = tempfile::tempdir()?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"ts,price\n0,2000\n60,1900\n")?;
    let files = [
        ("milliseconds.csv", b"ts,price\n1700000000000,2000\n1700000060000,1900\n".to_vec(), "must be milliseconds"),
        ("twice.csv", b"ts,price,price\n0,1,2\n60,1,2\n".to_vec(), "2 columns are named \"price\""),
        ("day.csv.gz", encoder.finish()?, "compressed by gzip: unpack it first"),
        ("day.zip", b"PK\x03\x04\0\0".to_vec(), "compressed by zip: unpack it first"),
        ("day.xz", b"\xfd7zXZ\0\0".to_vec(), "compressed by xz: unpack it first"),
    ];
    for (name, content, wanted) in files {
        let (file, report) = (scratch.path().join(name), scratch.path().join("reports/day"));
        fs::write(&file, content)?;
        let output = replay(&file, &["--model", "--report", report.to_string_lossy().as_ref()])?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{told}");
        assert!(told.contains(name) && told.contains(wanted), "{told}");
        assert!(!scratch.path().join("reports").exists(), "a folder is left behind");
    }
    Ok(())
}

#[test]
fn a_byte_order_mark_is_accepted_and_a_long_gap_between_bars_is_in_the_report() -> eyre::Result<()> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("day.csv");
    let bars = [0, 60, 1_260, 1_320].map(|second| format!("{second},2000,2010,1990,2000\n")).concat();
    fs::write(&file, format!("\u{feff}ts,open,high,low,close\n{bars}"))?;
    let output = replay(&file, &["--model", "--positions", "20", "--json"])?;
    assert!(output.status.success(), "{output:?}");
    let gap = "19 bars of 60 seconds are missing, 19 of them after 60; straight lines bridge them";
    let said: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(said["runs"][0]["prices"]["gaps"], gap);
    assert!(String::from_utf8_lossy(&output.stderr).contains(gap), "{output:?}");
    Ok(())
}

#[test]
fn without_the_repository_a_report_is_refused_with_the_remedy_and_leaves_no_folder() -> eyre::Result<()> {
    let scratch = tempfile::tempdir()?;
    let report = scratch.path().join("report");
    let mut lab = Command::new(LAB);
    lab.args(["replay", "--model", "--prices", GAP, "--report"]).arg(&report);
    let output = lab.env("PLIMSOLL_ROOT", scratch.path()).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no foundry.toml") && told.contains("named by PLIMSOLL_ROOT"), "{told}");
    assert!(!report.exists(), "a report folder is left behind");
    Ok(())
}
