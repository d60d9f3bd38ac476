//! The page of properties and the tests that hold them: neither names what the other does not have.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use eyre::{ContextCompat, ensure};
use plimsoll_testkit::workspace::workspace;

use super::{cells, quoted, read};

const PAGE: &str = "docs/reference/properties.md";
const SOLIDITY_TESTS: &str = "contracts/test";
/// The head of the table of tests, which is the last on the page.
const TABLE: &str = "| property | file | tests |\n|---|---|---|\n";
/// Stands in the table for assertions that a fixture or a handler makes after its actions.
const ASSERTIONS: &str = "assertions";
/// Subjects of properties, by the letter with which their ids begin.
const LETTERS: [char; 12] = ['A', 'D', 'E', 'G', 'H', 'I', 'K', 'L', 'N', 'R', 'S', 'V'];
/// Set to write the table instead of comparing it.
const UPDATE: &str = "PLIMSOLL_UPDATE";

/// Tests by property and file; a property is known by its place on the page.
type Table = BTreeMap<(usize, String), BTreeSet<String>>;

#[test]
fn the_table_of_properties_and_tests_is_complete() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let page = read(&root.join(PAGE))?;
    let (text, rows) = page.split_once(TABLE).wrap_err_with(|| format!("{PAGE} has no table of tests"))?;
    let properties: Vec<_> = text.lines().filter_map(property_of).collect();
    ensure!(properties.len() > 40, "{PAGE} states only {} properties", properties.len());

    let mut table = Table::new();
    for line in rows.lines() {
        let [id, file, tests] = cells(line)[..] else { continue };
        let place = place_of(id, &properties)?;
        let file = quoted(file).next().unwrap_or_default();
        table.entry((place, file.to_owned())).or_default().extend(quoted(tests).map(str::to_owned));
    }
    for file in solidity_files(&root)? {
        let source = read(&root.join(SOLIDITY_TESTS).join(&file))?;
        for (id, test) in cited(&source, file.ends_with(".t.sol")) {
            let place = place_of(&id, &properties)?;
            table.entry((place, file.clone())).or_default().extend(test);
        }
    }

    let held: BTreeSet<_> = table.keys().map(|(place, _)| *place).collect();
    let loose: Vec<_> = properties.iter().enumerate().filter(|(place, _)| !held.contains(place)).collect();
    ensure!(loose.is_empty(), "{PAGE} states properties without a test: {loose:?}");
    let rendered = render(&table, &properties, &root)?;
    if env::var_os(UPDATE).is_some() {
        fs::write(root.join(PAGE), format!("{text}{TABLE}{rendered}"))?;
    } else {
        let new: Vec<_> = rendered.lines().filter(|line| !rows.contains(line)).collect();
        ensure!(rendered == rows, "{PAGE} is out of date: run this test with {UPDATE}=1. Rows to write: {new:#?}");
    }
    Ok(())
}

/// Returns the id of the property that a line states: a row of two cells that begins with an id.
fn property_of(line: &str) -> Option<&str> {
    let [id, _] = cells(line)[..] else { return None };
    is_id(id).then_some(id)
}

fn place_of(id: &str, properties: &[&str]) -> eyre::Result<usize> {
    let place = properties.iter().position(|property| *property == id);
    place.wrap_err_with(|| format!("{id} is no property that {PAGE} states"))
}

/// Returns whether a word is the id of a property: `A1` or `attack01`.
fn is_id(word: &str) -> bool {
    let number = word.strip_prefix("attack").or_else(|| word.strip_prefix(LETTERS));
    number.is_some_and(|number| !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit()))
}

/// Returns the ids that a Solidity source cites, each with the test whose name has it; without a test where an assertion
/// of a file without tests has it.
fn cited(source: &str, has_tests: bool) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for line in source.lines().map(str::trim_start) {
        if let Some((name, _)) = line.strip_prefix("function ").and_then(|rest| rest.split_once('(')) {
            let ids = name.split('_').filter(|word| is_id(word) && is_test(name));
            found.extend(ids.map(|id| (id.to_owned(), Some(name.to_owned()))));
        }
        if !has_tests && line.contains("assert") {
            let ids = line.split('"').filter_map(|text| text.split([':', '"']).next()).filter(|word| is_id(word));
            found.extend(ids.map(|id| (id.to_owned(), None)));
        }
    }
    found
}

/// Returns the rows of the table. Fails if a file does not have one of the tests, or has none.
fn render(table: &Table, properties: &[&str], root: &Path) -> eyre::Result<String> {
    let mut rows = String::new();
    for ((place, file), tests) in table {
        let is_rust = file.ends_with(".rs");
        let source = read(&if is_rust { root.join(file) } else { root.join(SOLIDITY_TESTS).join(file) })?;
        let keyword = if is_rust { "fn" } else { "function" };
        let position = |test: &String| source.find(&format!("{keyword} {test}("));
        let mut tests: Vec<_> = tests.iter().map(|test| (position(test), test)).collect();
        let missing: Vec<_> = tests.iter().filter(|(position, _)| position.is_none()).collect();
        ensure!(missing.is_empty(), "{PAGE} names tests that {file} does not have: {missing:?}");
        tests.sort();
        let names: Vec<_> = tests.iter().map(|(_, test)| format!("`{test}`")).collect();
        let cell = if names.is_empty() { ASSERTIONS.to_owned() } else { names.join(", ") };
        rows += &format!("| {} | `{file}` | {cell} |\n", properties[*place]);
    }
    Ok(rows)
}

/// Returns the Solidity files below the folder of tests, by their paths in it.
fn solidity_files(root: &Path) -> eyre::Result<Vec<String>> {
    let tests = root.join(SOLIDITY_TESTS);
    let (mut folders, mut files) = (vec![tests.clone()], Vec::<PathBuf>::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sol"));
    files.iter().map(|file| Ok(file.strip_prefix(&tests)?.display().to_string())).collect()
}

/// Returns whether a name is that of a test, by forge's prefixes.
fn is_test(name: &str) -> bool {
    ["test", "invariant_", "afterInvariant"].iter().any(|prefix| name.starts_with(prefix))
}

#[test]
fn tests_and_assertions_that_cite_a_property_are_found() {
    let test = "    function test_A1_H10_ofBoth(uint256 a) public {\n  assertEq(a, 0, \"A2: in a test\");";
    let both = ["A1", "H10"].map(|id| (id.to_owned(), Some("test_A1_H10_ofBoth".to_owned())));
    assert_eq!(cited(test, true), both);
    assert_eq!(cited("function _check() {\n  assertEq(a, 0, \"H8: too much\");", false), [("H8".to_owned(), None)]);
    assert_eq!(property_of("| attack01 | first depositor |"), Some("attack01"));
    assert_eq!(property_of("| A1 | `file` | `test` |"), None);
}
