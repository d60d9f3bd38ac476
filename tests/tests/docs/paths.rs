//! Every item and file of the code that the documents name exists.

use std::{
    fs,
    path::{Path, PathBuf},
};

use eyre::ensure;
use plimsoll_testkit::workspace::workspace;

use super::{commands::documents, quoted, read};

/// Crates and the folders of their modules. The tests come last: what a crate has is meant before a test module of the
/// same name.
const CRATES: [(&str, &str); 8] = [
    ("chain", "chain/src"),
    ("deploy", "deploy/src"),
    ("protocols", "protocols/src"),
    ("keeper", "keeper/src"),
    ("testkit", "testkit/src"),
    ("lab", "lab/src"),
    ("contracts", "contracts/rust"),
    ("tests", "tests/tests"),
];
/// Words that a definition begins with.
const KEYWORDS: [&str; 10] =
    ["fn ", "struct ", "enum ", "trait ", "type ", "const ", "static ", "mod ", "macro_rules! ", "interface "];
/// The first parts of paths that are not of this repository.
const OTHERS: [&str; 9] = ["Path", "alloy", "axum", "clap", "eyre", "serde", "std", "tokio", "tracing"];
/// Endings of files that the documents name by their paths.
const ENDINGS: [&str; 9] = [".rs", ".sol", ".toml", ".md", ".json", ".csv", ".yml", ".svg", ".js"];
/// First folders of paths in the repository; other paths are of the reader's machine.
const FOLDERS: [&str; 10] =
    ["chain/", "contracts/", "deploy/", "docs/", "examples/", "keeper/", "lab/", "protocols/", "testkit/", "tests/"];
/// Interfaces of the contracts, which are the bindings' modules.
const INTERFACES: &str = "contracts/src/interfaces";

#[test]
fn every_item_that_the_documents_name_exists() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let (mut missing, mut found) = (Vec::new(), 0);
    for (file, text) in markdown()? {
        let words = text.split(|letter: char| !letter.is_alphanumeric() && !['_', ':'].contains(&letter));
        for path in words.filter(|word| word.contains("::")) {
            let parts: Vec<_> = path.split("::").filter(|part| !part.is_empty()).collect();
            let Some(first) = parts.first() else { continue };
            if OTHERS.contains(first) {
                continue;
            }
            found += 1;
            if !resolves(&root, &parts)? {
                missing.push(format!("{path} in {}", file.display()));
            }
        }
    }
    ensure!(missing.is_empty(), "documents name items that do not exist: {missing:#?}");
    ensure!(found > 80, "only {found} items were found");
    Ok(())
}

#[test]
fn every_file_that_the_documents_name_exists() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let (mut missing, mut found) = (Vec::new(), 0);
    for (file, text) in markdown()? {
        for path in quoted(&text).flat_map(str::split_whitespace) {
            let is_file = ENDINGS.iter().any(|ending| path.ends_with(ending));
            let is_plain = path.chars().all(|letter| letter.is_alphanumeric() || "/_-.".contains(letter));
            if is_file && is_plain && FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                found += 1;
                if !root.join(path).exists() {
                    missing.push(format!("{path} in {}", file.display()));
                }
            }
        }
    }
    ensure!(missing.is_empty(), "documents name files that do not exist: {missing:#?}");
    ensure!(found > 30, "only {found} files were found");
    Ok(())
}

fn markdown() -> eyre::Result<impl Iterator<Item = (PathBuf, String)>> {
    Ok(documents()?.into_iter().filter(|(file, _)| file.extension().is_some_and(|extension| extension == "md")))
}

/// Returns whether a path names a module of ours, or an item in one.
fn resolves(root: &Path, parts: &[&str]) -> eyre::Result<bool> {
    let first = parts[0].strip_prefix("plimsoll_").unwrap_or(parts[0]);
    if first == "contracts"
        && parts.get(1).is_some_and(|name| root.join(INTERFACES).join(format!("{name}.sol")).exists())
    {
        return Ok(true);
    }
    for (name, folder) in CRATES {
        let folder = root.join(folder);
        // The crate itself may be named, or only the module in it.
        if (first == name && resolves_in(&folder, &parts[1..])?) || resolves_in(&folder, parts)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Follows modules as far as they are files, and looks for the rest of the path in what the last of them contains.
fn resolves_in(folder: &Path, parts: &[&str]) -> eyre::Result<bool> {
    let Some((first, rest)) = parts.split_first() else { return Ok(true) };
    let (file, inner) = (folder.join(first).with_extension("rs"), folder.join(first));
    if inner.is_dir() && resolves_in(&inner, rest)? {
        return Ok(true);
    }
    if file.exists() {
        return Ok(defines_all(&read(&file)?, rest));
    }
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            // A type may be named without its module.
            let is_type = first.starts_with(char::is_uppercase);
            if (is_source && defines_all(&read(&path)?, parts))
                || (is_type && path.is_dir() && resolves_in(&path, parts)?)
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn defines_all(source: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| defines(source, part))
}

/// Returns whether a source defines an item, exports it, or has it as a variant.
fn defines(source: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    let follows = |start: &str| source.split(start).skip(1).any(|rest| rest.strip_prefix(name).is_some_and(ends));
    let is_variant = |line: &str| {
        line.trim_start()
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['{', '(', ',', ' ']))
    };
    KEYWORDS.iter().any(|keyword| follows(keyword))
        || (name.starts_with(char::is_uppercase) && source.lines().any(is_variant))
}

#[test]
fn a_path_to_a_missing_item_is_noticed() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    for path in ["chain::secret::Secret", "stream::Step::Revert", "Step::Apply", "keeper::stream", "solidity"] {
        let parts: Vec<_> = path.split("::").collect();
        assert!(resolves(&root, &parts)?, "{path}");
    }
    for path in ["chain::secret::Secre", "stream::Step::Undo", "Step::Undo", "keeper::streams", "sender::lane"] {
        let parts: Vec<_> = path.split("::").collect();
        assert!(!resolves(&root, &parts)?, "{path}");
    }
    Ok(())
}
