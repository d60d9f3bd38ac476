//! Cargo, run by a program that cargo itself runs, such as a test.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Variables that cargo sets for the programs it runs, by the beginning of their names. A build that inherited them
/// would compile packages again whose build scripts depend on them.
const RUN_VARIABLES: [&str; 5] =
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
/// A file that cargo keeps in every target folder.
const TARGET_MARK: &str = ".rustc_info.json";

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

/// Returns the target folder that an executable is in; none where it is elsewhere.
fn target_folder(executable: &Path) -> Option<PathBuf> {
    executable.ancestors().skip(1).find(|folder| folder.join(TARGET_MARK).is_file()).map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_folder_is_found_from_an_executable_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let test = folder.path().join("debug/deps/test");
        assert_eq!(target_folder(&test), None);
        std::fs::write(folder.path().join(TARGET_MARK), "{}").unwrap();
        assert_eq!(target_folder(&test).as_deref(), Some(folder.path()));
    }
}
