//! The Solidity tests, run by forge. With `PLIMSOLL_FUZZ=deep` each fuzz test has a hundred times as many runs.

use std::{env, fs};

use eyre::ContextCompat;
use plimsoll_testkit::workspace::workspace;

use crate::support;

const DEEP_FACTOR: i64 = 100;

#[test]
fn all_solidity_tests_pass() -> eyre::Result<()> {
    let variables = match env::var("PLIMSOLL_FUZZ").as_deref() {
        Ok("deep") => deep_runs()?,
        Ok(other) => eyre::bail!("PLIMSOLL_FUZZ must be \"deep\" or unset, not \"{other}\""),
        Err(_) => Vec::new(),
    };
    support::forge(&["test"], &variables)
}

#[test]
fn no_solidity_test_fixes_its_own_number_of_fuzz_runs() -> eyre::Result<()> {
    let mut folders = vec![workspace()?.root().join("contracts/test")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path)?;
                let fixed = text.lines().any(|line| line.contains("forge-config:") && line.contains(".runs"));
                assert!(!fixed, "{}: leave the number of runs to foundry.toml", path.display());
            }
        }
    }
    Ok(())
}

/// Returns the number of runs of fuzz tests and invariants: a multiple of that in `foundry.toml`.
fn deep_runs() -> eyre::Result<Vec<(&'static str, String)>> {
    let path = workspace()?.root().join("foundry.toml");
    let settings: toml::Table = fs::read_to_string(path)?.parse()?;
    let deep = |section: &str| -> eyre::Result<String> {
        let runs = settings.get(section).and_then(|section| section.get("runs")).and_then(toml::Value::as_integer);
        let runs = runs.wrap_err_with(|| format!("foundry.toml: [{section}] runs is missing"))?;
        Ok((runs * DEEP_FACTOR).to_string())
    };
    Ok(vec![("FOUNDRY_FUZZ_RUNS", deep("fuzz")?), ("FOUNDRY_INVARIANT_RUNS", deep("invariant")?)])
}
