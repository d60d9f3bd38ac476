//! The documents name only what exists: tests, commands, files, items of the code, figures.

mod commands;
mod figures;
mod links;
mod paths;
mod properties;

use std::{fs, path::Path};

use eyre::WrapErr;

fn read(path: &Path) -> eyre::Result<String> {
    fs::read_to_string(path).wrap_err_with(|| format!("{} cannot be read", path.display()))
}

/// Returns the texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the cells of a row of a Markdown table, or none if the line is not such a row.
fn cells(line: &str) -> Vec<&str> {
    let row = line.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|'));
    row.map(|row| row.split('|').map(str::trim).collect()).unwrap_or_default()
}
