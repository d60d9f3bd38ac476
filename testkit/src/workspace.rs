//! Where the Plimsoll repository is, independent of the current directory.

use std::{env, path::PathBuf};

use eyre::ensure;
use plimsoll_deploy::{toolchain::tools::Tools, toolchain::workspace::Workspace};

/// Environment variable that names the root of the Plimsoll repository. It takes precedence over the location of this
/// crate, for programs that run on another machine than the one they were built on.
pub const ROOT_VARIABLE: &str = "PLIMSOLL_ROOT";
/// The root of the repository that this crate was compiled in.
const COMPILED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// A file that only the root of the repository has.
const ROOT_MARK: &str = "foundry.toml";

/// Returns the Plimsoll repository whose contracts, pinned tools and keeper are used: the folder that [`ROOT_VARIABLE`]
/// names, or else the repository that this crate was compiled in. The current directory is not considered, so that a
/// test behaves the same in every folder and a Foundry project around it is not mistaken for Plimsoll.
///
/// # Errors
/// When that folder has no `foundry.toml`.
pub fn workspace() -> eyre::Result<Workspace> {
    let named = env::var_os(ROOT_VARIABLE).filter(|root| !root.is_empty()).map(PathBuf::from);
    at(named)
}

/// [`workspace`] for what the variable holds.
fn at(named: Option<PathBuf>) -> eyre::Result<Workspace> {
    let (root, remedy) = match named {
        Some(root) => (root, "it is named by PLIMSOLL_ROOT, which must be the root of the Plimsoll repository"),
        None => (
            PathBuf::from(COMPILED_IN),
            "this program was built there; set PLIMSOLL_ROOT to where the Plimsoll repository is now",
        ),
    };
    ensure!(root.join(ROOT_MARK).is_file(), "there is no {ROOT_MARK} in {}: {remedy}", root.display());
    // Paths within the repository are given to programs that run in other folders.
    Ok(Workspace::at(root.canonicalize()?))
}

/// Returns the pinned tools of the [`workspace`], after installing them where they are missing.
///
/// # Errors
/// When the repository is not found, or the tools cannot be installed.
pub fn tools() -> eyre::Result<Tools> {
    Ok(Tools::ready(&workspace()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_found_by_where_this_crate_is() {
        let workspace = at(None).unwrap();
        assert!(workspace.root().is_absolute() && workspace.root().join("testkit/Cargo.toml").is_file());
    }

    #[test]
    fn a_folder_that_is_named_but_is_not_the_repository_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = at(Some(folder.path().to_path_buf())).unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()) && error.contains("PLIMSOLL_ROOT"), "{error}");
        std::fs::write(folder.path().join(ROOT_MARK), "").unwrap();
        assert!(at(Some(folder.path().to_path_buf())).is_ok());
    }
}
