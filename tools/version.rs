//! Sets `PLIMSOLL_VERSION`, which `--version` prints: the crate's version and the commit that it is built from.
//!
//! The commit is what the environment variable `PLIMSOLL_COMMIT` holds, for builds from a copy without a repository, or
//! what git says about the folder. Without either, the version stands alone.
//!
//! A release build asks git again after every commit. A debug build asks again only when another branch is checked out,
//! so that a commit alone does not make cargo rebuild everything that depends on the program; it is marked as such.
//!
//! The build script of every crate with a program for users (`build` in its Cargo.toml).

#![allow(clippy::print_stdout, reason = "cargo reads what a build script prints")]

use std::{env, path::Path, process::Command};

/// Hexadecimal digits of a commit that are shown.
const COMMIT_DIGITS: &str = "--short=10";

fn main() {
    println!("cargo::rerun-if-changed=../tools/version.rs");
    println!("cargo::rerun-if-env-changed=PLIMSOLL_COMMIT");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let named = env::var("PLIMSOLL_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = named.or_else(|| commit_of_repository(is_release));
    let details: Vec<_> = commit.into_iter().chain((!is_release).then(|| "debug build".to_owned())).collect();
    let mut version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    if !details.is_empty() {
        version += &format!(" ({})", details.join(", "));
    }
    println!("cargo::rustc-env=PLIMSOLL_VERSION={version}");
}

/// Returns the commit that is checked out; `None` without git, without a repository, or inside a repository of another
/// project.
fn commit_of_repository(is_release: bool) -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--show-prefix", "--git-path", "HEAD", "--git-path", "logs/HEAD", COMMIT_DIGITS, "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let lines = String::from_utf8(output.stdout).ok()?;
    let [prefix, head, log, commit] = lines.lines().collect::<Vec<_>>().try_into().ok()?;
    let package = env::var("CARGO_MANIFEST_DIR").ok()?;
    if prefix.trim_end_matches('/') != Path::new(&package).file_name()?.to_str()? {
        return None;
    }
    // The log grows with every commit. Cargo treats a file that does not exist as one that has always changed.
    let watched = if is_release && Path::new(log).exists() { log } else { head };
    println!("cargo::rerun-if-changed={watched}");
    Some(commit.to_owned())
}
