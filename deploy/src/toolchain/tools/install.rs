//! Brings the pinned npm packages, once, and notices when they are missing, outdated or damaged.
//!
//! After an installation a stamp inside `node_modules` records the lock file and the shape of the tree (every file's
//! path, size and whether it can be executed). While both are as recorded nothing is done; reading the shape takes a
//! few hundredths of a second and catches a deleted or truncated file long before a tool would fail on it strangely.

use std::{
    fmt::Write as _,
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use alloy::primitives::keccak256;
use semver::Version;

use super::{Environment, Pins, ToolError};
use crate::{toolchain::progress::say, toolchain::workspace::Workspace};

const STAMP: &str = ".plimsoll-installed";

pub(super) fn ensure(workspace: &Workspace, environment: &Environment, pins: &Pins) -> Result<(), ToolError> {
    if state(workspace.root())? == State::Installed {
        return Ok(());
    }
    let _lock = workspace.lock("tools")?;
    // Somebody else may have installed them while we waited.
    let State::NotInstalled(reason) = state(workspace.root())? else { return Ok(()) };
    check_node(environment, pins)?;
    let npm = environment.find("npm").ok_or_else(|| pins.node_missing("npm"))?;

    say(format_args!("installing the pinned tools ({reason}): npm ci --ignore-scripts"));
    let modules = workspace.root().join("node_modules");
    let status = Command::new(&npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(workspace.root())
        .env_clear()
        .envs(environment.variables())
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
        Err(_) => return Ok(State::NotInstalled("node_modules was not made by this program to the end")),
    };
    let now = fingerprint(root)?;
    if recorded == now {
        return Ok(State::Installed);
    }
    let same_lock = recorded.lines().next() == now.lines().next();
    Ok(State::NotInstalled(if same_lock { "files in node_modules are damaged" } else { "package-lock.json changed" }))
}

/// Two lines: one for the lock file, one for the shape of `node_modules`.
fn fingerprint(root: &Path) -> Result<String, ToolError> {
    let lock = root.join("package-lock.json");
    let lock_hash = keccak256(fs::read(&lock).map_err(ToolError::io(&lock))?);
    let mut shape = String::new();
    let modules = root.join("node_modules");
    describe(&modules, &modules, &mut shape)?;
    Ok(format!("{lock_hash}\n{}\n", keccak256(shape)))
}

fn describe(folder: &Path, base: &Path, shape: &mut String) -> Result<(), ToolError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(ToolError::io(folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let metadata = entry.metadata().map_err(ToolError::io(&path))?;
        if metadata.is_dir() {
            describe(&path, base, shape)?;
        } else if entry.file_name() != STAMP {
            let name = path.strip_prefix(base).unwrap_or(&path).display();
            // Writing to a String cannot fail.
            let _ = writeln!(shape, "{name} {} {}", metadata.len(), can_execute(&metadata));
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
    let output = Command::new(&node).arg("--version").output().map_err(ToolError::io(&node))?;
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
