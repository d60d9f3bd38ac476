//! Installs the pinned npm packages where they are missing, outdated or damaged.
//!
//! After an installation a stamp inside `node_modules` records the hash of the lock file and of a listing of the tree
//! (path, size and executable bit of every file). While both are unchanged nothing is done. The listing takes a few
//! hundredths of a second and detects a deleted or truncated file long before a tool would fail on it.

use std::{
    fmt::Write as _,
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use alloy::primitives::keccak256;
use semver::Version;

use super::{Environment, Pins, ToolError};
use crate::toolchain::{progress::say, workspace::Workspace};

/// File inside `node_modules` with the [`fingerprint`] after an installation.
const STAMP: &str = ".plimsoll-installed";

/// Installs the packages unless they are as the stamp says. Fails without Node.js or npm, or when npm fails, and then
/// removes what npm has left behind.
pub(super) fn ensure(workspace: &Workspace, environment: &Environment, pins: &Pins) -> Result<(), ToolError> {
    if state(workspace.root())? == State::Installed {
        return Ok(());
    }
    let _lock = workspace.lock("tools")?;
    // Another process may have installed them in the meantime.
    let State::NotInstalled(reason) = state(workspace.root())? else { return Ok(()) };
    check_node(environment, pins)?;
    let npm = environment.find("npm").ok_or_else(|| pins.node_missing("npm"))?;

    say(format_args!("installing the pinned tools ({reason}): npm ci --ignore-scripts"));
    let modules = workspace.root().join("node_modules");
    let status = Command::new(&npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(workspace.root())
        .env_clear()
        .envs(environment.for_children())
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(ToolError::io(&npm))?;
    if !status.success() {
        remove_folder(&modules)?;
        return Err(ToolError::NpmFailed { status: status.to_string() });
    }
    let stamp = modules.join(STAMP);
    fs::write(&stamp, fingerprint(workspace.root())?).map_err(ToolError::io(&stamp))
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Installed,
    NotInstalled(&'static str),
}

fn state(root: &Path) -> Result<State, ToolError> {
    let modules = root.join("node_modules");
    let recorded = match fs::read_to_string(modules.join(STAMP)) {
        Ok(recorded) => recorded,
        Err(_) if !modules.exists() => return Ok(State::NotInstalled("node_modules is missing")),
        Err(_) => return Ok(State::NotInstalled("node_modules was not completely installed by this program")),
    };
    let now = fingerprint(root)?;
    if recorded == now {
        return Ok(State::Installed);
    }
    let same_lock = recorded.lines().next() == now.lines().next();
    Ok(State::NotInstalled(if same_lock { "files in node_modules are damaged" } else { "package-lock.json changed" }))
}

/// Returns two lines: the hash of the lock file, and that of the listing of `node_modules`.
fn fingerprint(root: &Path) -> Result<String, ToolError> {
    let lock = root.join("package-lock.json");
    let lock_hash = keccak256(fs::read(&lock).map_err(ToolError::io(&lock))?);
    let mut listing = String::new();
    let modules = root.join("node_modules");
    list(&modules, &modules, &mut listing)?;
    Ok(format!("{lock_hash}\n{}\n", keccak256(listing)))
}

fn list(folder: &Path, base: &Path, listing: &mut String) -> Result<(), ToolError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(ToolError::io(folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let metadata = entry.metadata().map_err(ToolError::io(&path))?;
        if metadata.is_dir() {
            list(&path, base, listing)?;
        } else if entry.file_name() != STAMP {
            let name = path.strip_prefix(base).unwrap_or(&path).display();
            // Writing to a String cannot fail.
            let _ = writeln!(listing, "{name} {} {}", metadata.len(), can_execute(&metadata));
        }
    }
    Ok(())
}

#[cfg(unix)]
fn can_execute(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
const fn can_execute(_metadata: &fs::Metadata) -> bool {
    true
}

fn check_node(environment: &Environment, pins: &Pins) -> Result<(), ToolError> {
    let node = environment.find("node").ok_or_else(|| pins.node_missing("node"))?;
    let mut command = Command::new(&node);
    command.arg("--version").env_clear().envs(environment.for_children());
    let output = command.output().map_err(ToolError::io(&node))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let found: Version = said.trim().trim_start_matches('v').parse().map_err(|_| pins.node_missing("node"))?;
    if pins.node.matches(&found) { Ok(()) } else { Err(ToolError::NodeTooOld { found, wanted: pins.node.to_string() }) }
}

fn remove_folder(folder: &Path) -> Result<(), ToolError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ToolError::io(folder)(error)),
        _ => Ok(()),
    }
}
