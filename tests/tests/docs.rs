//! The documents name only tests and commands that exist.

mod commands;

use std::{fs, path::Path};

use eyre::{WrapErr, ensure};
use plimsoll_testkit::workspace::workspace;

const PROPERTIES: &str = "docs/reference/properties.md";
const SOLIDITY_TESTS: &str = "contracts/test";
const ATTACKS: &str = "contracts/test/attacks";

#[test]
fn every_test_named_in_the_properties_exists() -> eyre::Result<()> {
    let workspace = workspace()?;
    let page = read(&workspace.root().join(PROPERTIES))?;
    let mut missing = Vec::new();
    let mut found = 0;
    for line in page.lines() {
        // A file is named before the tests that it contains.
        let mut file = String::new();
        let mut source = String::new();
        for name in quoted(line) {
            if name.ends_with(".sol") || name.ends_with(".rs") {
                file = if name.ends_with(".rs") { name.to_owned() } else { format!("{SOLIDITY_TESTS}/{name}") };
                source = read(&workspace.root().join(&file))?;
            } else if is_test(name) || file.ends_with(".rs") {
                let function = if file.ends_with(".rs") { "fn" } else { "function" };
                if source.contains(&format!("{function} {name}(")) {
                    found += 1;
                } else {
                    missing.push(format!("{name} in {file:?}"));
                }
            }
        }
    }
    ensure!(missing.is_empty(), "{PROPERTIES} names tests that do not exist: {missing:#?}");
    ensure!(found > 0, "{PROPERTIES} names no tests");
    Ok(())
}

#[test]
fn every_attack_test_is_named_in_the_properties() -> eyre::Result<()> {
    let workspace = workspace()?;
    let page = read(&workspace.root().join(PROPERTIES))?;
    let mut missing = Vec::new();
    for entry in fs::read_dir(workspace.root().join(ATTACKS))? {
        for line in read(&entry?.path())?.lines() {
            let Some((name, _)) = line.trim_start().strip_prefix("function ").and_then(|rest| rest.split_once('('))
            else {
                continue;
            };
            if is_test(name) && !quoted(&page).any(|quoted| quoted == name) {
                missing.push(name.to_owned());
            }
        }
    }
    ensure!(missing.is_empty(), "{PROPERTIES} does not name these tests in {ATTACKS}: {missing:#?}");
    Ok(())
}

#[test]
fn every_link_between_documents_leads_to_a_file() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let mut broken = Vec::new();
    for (file, text) in commands::documents()? {
        let folder = root.join(&file).parent().map(Path::to_path_buf).unwrap_or_default();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let is_ours = !path.is_empty() && !path.contains(':') && !path.contains(' ');
            if is_ours && !folder.join(path).exists() {
                broken.push(format!("{} in {}", target, file.display()));
            }
        }
    }
    ensure!(broken.is_empty(), "links lead nowhere: {broken:#?}");
    Ok(())
}

#[test]
fn every_page_is_in_the_books_contents() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let contents = read(&root.join("docs/SUMMARY.md"))?;
    let pages = commands::documents()?.into_iter().map(|(file, _)| file);
    let pages = pages.filter_map(|file| Some(file.strip_prefix("docs").ok()?.display().to_string()));
    let missing: Vec<_> =
        pages.filter(|page| page != "SUMMARY.md" && !contents.contains(&format!("({page})"))).collect();
    ensure!(missing.is_empty(), "docs/SUMMARY.md does not list {missing:?}");
    Ok(())
}

fn read(path: &Path) -> eyre::Result<String> {
    fs::read_to_string(path).wrap_err_with(|| format!("{} cannot be read", path.display()))
}

/// Returns the texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns whether a name is that of a test, by forge's prefixes.
fn is_test(name: &str) -> bool {
    ["test", "invariant_", "afterInvariant"].iter().any(|prefix| name.starts_with(prefix))
}
