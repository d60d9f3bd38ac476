//! `lab all` with small sizes.

use std::{fs, process::Command};

use plimsoll_lab::{
    all::{self, Figure},
    output::Folder,
};
use serde_json::Value;

const LAB: &str = env!("CARGO_BIN_EXE_lab_bin");

#[test]
fn every_figure_is_measured_and_saved_with_the_machine() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut lab = Command::new(LAB);
    lab.args(["all", "--quick", "--as-built", "--json"]).arg(folder.path()).env("RUST_LOG", "warn");
    // Its stderr, and that of the processes that it starts, is kept: it says why a figure failed.
    let output = lab.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);

    let read = |name: &str| -> eyre::Result<Value> {
        Ok(serde_json::from_slice(&fs::read(folder.path().join(format!("{name}.json")))?)?)
    };
    let summary = read("all")?;
    assert!(summary["machine"]["tools"]["anvil"].is_string() && summary["began"].is_string(), "{summary}");
    assert_eq!(summary["machine"]["optimised"], !cfg!(debug_assertions));
    let figures = summary["figures"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(figures.len(), all::figures(true).len());
    for figure in figures {
        assert!(figure["failure"].is_null(), "{figure}: {said}");
    }
    assert!(read("gas")?["ops"].is_array());
    assert_eq!(read("book-1m")?["positions"], 1_000);
    assert!(read("latency")?["p50_ms"].is_number());
    assert_eq!(read("backfill")?["events"], 2_000);
    assert_eq!(read("burst")?["liquidated"], 10);
    assert_eq!(read("fleet")?["lost"], 0);
    assert_eq!(read("surge")?["runs"].as_array().map(Vec::len), Some(4));
    assert_eq!(read("replay")?["runs"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_failing_figure_is_reported_and_does_not_stop_the_others() -> eyre::Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = Folder::ready(scratch.path())?;
    let figures = [("none", "book --positions 1"), ("small", "book --positions 100")]
        .map(|(name, command)| Figure { name, command });
    let report = all::run(&figures, || Ok(Command::new(LAB)), &folder).await?;

    let [none, small] = &report.figures[..] else { panic!("{report:?}") };
    assert!(none.file.is_none() && none.failure.as_ref().is_some_and(|why| why.contains("exit status: 1")), "{none:?}");
    assert!(small.failure.is_none() && small.file.as_ref().is_some_and(|file| file.is_file()), "{small:?}");
    let error = report.ensure_complete().err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("none failed")), "{report:?}");
    assert!(folder.path().join("all.json").is_file() && !folder.path().join("none.json").exists());
    Ok(())
}
