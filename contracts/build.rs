//! Writes the bindings: every interface and value type in Solidity, joined into one `sol!` block.
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

fn main() -> Result<(), Box<dyn Error>> {
    let crate_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=rust/joining.rs");

    let mut files = Vec::new();
    for folder in ["src/types", "src/interfaces"] {
        let path = crate_dir.join(folder);
        // Cargo takes a folder that does not exist for one that always changed.
        println!("cargo::rerun-if-changed={}", if path.exists() { folder } else { "src" });
        collect_solidity(&path, &mut files)?;
    }
    files.sort();

    let mut sources = Vec::with_capacity(files.len());
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.strip_prefix(&crate_dir).unwrap_or(&file).display().to_string();
        sources.push(joining::Source { name: format!("contracts/{name}"), text });
    }
    match joining::sol_block(&sources) {
        Ok(block) => fs::write(out_dir.join("bindings.rs"), block)?,
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
