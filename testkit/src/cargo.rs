//! Cargo, run by a program that cargo itself runs, such as a test.

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use eyre::{ContextCompat, WrapErr, bail, ensure};
use serde_json::Value;

/// Variables that cargo sets for the programs it runs, by the beginning of their names. A build that inherited them
/// would compile packages again whose build scripts depend on them.
const RUN_VARIABLES: [&str; 5] =
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
/// A file that cargo keeps in every target folder.
const TARGET_MARK: &str = ".rustc_info.json";

/// Whether this program is optimised, and so what it builds for itself.
pub const IS_OPTIMISED: bool = !cfg!(debug_assertions);

/// Returns cargo as a command, the same one that runs this program, without the variables that cargo set for this
/// program. Its output goes to the folder that `CARGO_TARGET_DIR` names or, where that is not set, to the target folder
/// that this program was built in, so that packages which are compiled there are not compiled again.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if RUN_VARIABLES.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    if env::var_os("CARGO_TARGET_DIR").is_none()
        && let Some(folder) = env::current_exe().ok().as_deref().and_then(target_folder)
    {
        command.env("CARGO_TARGET_DIR", folder);
    }
    command
}

/// Builds what `arguments` of `cargo build` select in the cargo workspace at `folder`, and returns its executable. Cargo's
/// own messages go to stderr.
///
/// # Errors
/// When it does not compile, or has not exactly one executable.
pub fn build(folder: &Path, arguments: &[&str], is_optimised: bool) -> eyre::Result<PathBuf> {
    let mut command = cargo();
    command.current_dir(folder).stderr(Stdio::inherit());
    command.args(["build", "--quiet", "--message-format", "json-render-diagnostics"]).args(arguments);
    if is_optimised {
        command.arg("--release");
    }
    let output = command.output().wrap_err("cargo cannot be started")?;
    ensure!(output.status.success(), "it does not compile; cargo's messages are above");
    executable(&output.stdout)
}

/// Returns the only executable among cargo's JSON messages.
fn executable(messages: &[u8]) -> eyre::Result<PathBuf> {
    let lines = messages.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut executables = BTreeSet::new();
    for line in lines {
        let message: Value = serde_json::from_slice(line).wrap_err("a message of cargo")?;
        executables.extend(message["executable"].as_str().map(Path::new).map(Path::to_path_buf));
    }
    let first = executables.pop_first().wrap_err("cargo names no executable")?;
    if executables.is_empty() { Ok(first) } else { bail!("cargo names more than one executable") }
}

/// Returns the target folder that an executable is in; none where it is elsewhere.
fn target_folder(executable: &Path) -> Option<PathBuf> {
    executable.ancestors().skip(1).find(|folder| folder.join(TARGET_MARK).is_file()).map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_read_from_cargos_messages() {
        let messages = br#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/target/debug/keeper"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages).unwrap(), Path::new("/target/debug/keeper"));
        assert!(executable(b"{\"executable\":null}\n").is_err());
        assert!(executable(b"{\"executable\":\"/a\"}\n{\"executable\":\"/b\"}\n").is_err());
    }

    #[test]
    fn the_target_folder_is_found_from_an_executable_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let test = folder.path().join("debug/deps/test");
        assert_eq!(target_folder(&test), None);
        std::fs::write(folder.path().join(TARGET_MARK), "{}").unwrap();
        assert_eq!(target_folder(&test).as_deref(), Some(folder.path()));
    }
}
