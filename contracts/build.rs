//! Writes the bindings: every interface and value type in Solidity, joined into one `sol!` block, and the interfaces of
//! the test harnesses, joined into another.
//!
//! The interface files are the one source of truth for Solidity, Rust and the reader; nothing generated is kept in git,
//! and building needs neither node nor solc.

#[path = "rust/joining.rs"]
mod joining;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// The interfaces of the test harnesses, with the value types that these import.
const HARNESSES: [&str; 5] = [
    "src/types/Market.sol",
    "src/rewards/Accrual.sol",
    "test/support/IGuardMathHarness.sol",
    "test/support/IMathHarness.sol",
    "test/support/IRewardsHarness.sol",
];

fn main() -> Result<(), Box<dyn Error>> {
    let crate_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=rust/joining.rs");

    let mut interfaces = Vec::new();
    for folder in ["src/types", "src/interfaces"] {
        let path = crate_dir.join(folder);
        // Cargo takes a folder that does not exist for one that always changed.
        println!("cargo::rerun-if-changed={}", if path.exists() { folder } else { "src" });
        collect_solidity(&path, &mut interfaces)?;
    }
    interfaces.sort();
    write_bindings(&crate_dir, &interfaces, "bindings.rs")?;

    for file in HARNESSES {
        println!("cargo::rerun-if-changed={file}");
    }
    write_bindings(&crate_dir, &HARNESSES.map(|file| crate_dir.join(file)), "harness.rs")
}

/// Joins the files into one `sol!` block under this name. Reports what a block cannot express as a build error.
fn write_bindings(crate_dir: &Path, files: &[PathBuf], name: &str) -> Result<(), Box<dyn Error>> {
    let mut sources = Vec::with_capacity(files.len());
    for file in files {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.strip_prefix(crate_dir).unwrap_or(file).display().to_string();
        sources.push(joining::Source { name: format!("contracts/{name}"), text });
    }
    match joining::sol_block(&sources) {
        Ok(block) => fs::write(PathBuf::from(env::var("OUT_DIR")?).join(name), block)?,
        Err(problems) => {
            for problem in problems {
                println!("cargo::error={problem}");
            }
        }
    }
    Ok(())
}

fn collect_solidity(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_solidity(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "sol") {
            files.push(path);
        }
    }
    Ok(())
}
