//! The pinned EVM tools: anvil, cast, forge and solc, in exactly the versions that `package.json` names.
//!
//! They come from the npm registry, pinned by the lock file, and [`Tools::ready`] installs them once where they are
//! missing. A tool named by `ANVIL`, `CAST`, `FORGE` or `SOLC`, or found on the `PATH` of a platform that the pinned
//! packages do not cover, is used instead, after its version is checked.

mod environment;
mod install;
mod pins;

pub use environment::Environment;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use semver::Version;

use crate::toolchain::workspace::{Workspace, WorkspaceError};
use pins::Pins;

/// One of the tools that are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The local node.
    Anvil,
    /// Foundry's command line for everything else.
    Cast,
    /// Tests and formats the Solidity.
    Forge,
    /// The Solidity compiler.
    Solc,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Anvil, Self::Cast, Self::Forge, Self::Solc];

    const fn name(self) -> &'static str {
        match self {
            Self::Anvil => "anvil",
            Self::Cast => "cast",
            Self::Forge => "forge",
            Self::Solc => "solc",
        }
    }

    /// The environment variable that names another executable.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Anvil => "ANVIL",
            Self::Cast => "CAST",
            Self::Forge => "FORGE",
            Self::Solc => "SOLC",
        }
    }

    const fn where_to_get(self) -> &'static str {
        match self {
            Self::Anvil | Self::Cast | Self::Forge => "https://getfoundry.sh",
            Self::Solc => "https://github.com/ethereum/solidity/releases",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a tool cannot be used. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Node.js or npm is not installed.
    #[error(
        "`{program}` is not on the PATH. The pinned tools (anvil, forge, solc) come from the npm registry: install \
         Node.js {wanted} with npm (https://nodejs.org/en/download), then run this again"
    )]
    NodeMissing {
        /// Which of the two is missing.
        program: &'static str,
        /// The versions of Node.js that will do.
        wanted: String,
    },
    /// Node.js is too old for the pinned packages.
    #[error("Node.js {found} is too old: install {wanted} (https://nodejs.org/en/download), then run this again")]
    NodeTooOld {
        /// The version on this machine.
        found: Version,
        /// The versions that will do.
        wanted: String,
    },
    /// npm did not bring the packages.
    #[error(
        "`npm ci --ignore-scripts` failed ({status}); what it said stands above. It needs the npm registry once: check \
         the network and `npm config get registry`, then run this again"
    )]
    NpmFailed {
        /// How it ended.
        status: String,
    },
    /// The platform is not among the pinned packages, and the PATH has no such tool.
    #[error(
        "the packages pinned in package.json do not bring {tool} for {platform}, and it is not on the PATH: install \
         {tool} {wanted} ({}) or name it by {}=/path/to/{tool}", .tool.where_to_get(), .tool.variable()
    )]
    NotForThisPlatform {
        /// What is missing.
        tool: Tool,
        /// Operating system and processor.
        platform: String,
        /// The version that will do.
        wanted: Version,
    },
    /// The tool works but is not the pinned version.
    #[error(
        "{} is {tool} {found}, but {wanted} is pinned: another version makes other bytecode or behaves otherwise. \
         Install {wanted} ({}) or unset {} to use the pinned one", .path.display(), .tool.where_to_get(), .tool.variable()
    )]
    WrongVersion {
        /// Which tool.
        tool: Tool,
        /// The executable that was asked.
        path: PathBuf,
        /// The version it is.
        found: Version,
        /// The version that will do.
        wanted: Version,
    },
    /// The tool did not tell its version.
    #[error("`{} --version` does not tell a version ({said}): is it {tool}?", .path.display())]
    NoVersion {
        /// Which tool it should be.
        tool: Tool,
        /// The executable that was asked.
        path: PathBuf,
        /// What came instead.
        said: String,
    },
    /// `package.json` is not as expected.
    #[error("package.json: {0}")]
    Package(String),
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What was asked for.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The project was not found or could not be written to.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl ToolError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }
}

/// The tools of one project, installed.
#[derive(Debug, Clone)]
pub struct Tools {
    workspace: Workspace,
    environment: Environment,
    pins: Pins,
}

impl Tools {
    /// The tools for this process; installs them first where they are missing, outdated or damaged. Fails when that
    /// is not possible, and then leaves nothing half-made.
    pub fn ready(workspace: &Workspace) -> Result<Self, ToolError> {
        Self::ready_in(workspace, Environment::of_process())
    }

    /// [`Tools::ready`] in another environment than this process has.
    pub fn ready_in(workspace: &Workspace, environment: Environment) -> Result<Self, ToolError> {
        let pins = Pins::read(workspace.root())?;
        install::ensure(workspace, &environment, &pins)?;
        Ok(Self { workspace: workspace.clone(), environment, pins })
    }

    /// The project whose tools these are.
    #[must_use]
    pub const fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The version of a tool that is pinned.
    #[must_use]
    pub fn pinned_version(&self, tool: Tool) -> &Version {
        self.pins.version(tool)
    }

    /// The executable of a tool. Fails when there is none for this platform or it has another version than is pinned.
    pub fn path(&self, tool: Tool) -> Result<PathBuf, ToolError> {
        if let Some(named) = self.environment.get(tool.variable()) {
            let path = PathBuf::from(named);
            self.check_version(tool, &path)?;
            return Ok(path);
        }
        if tool == Tool::Solc {
            self.environment.find("node").ok_or_else(|| self.pins.node_missing("node"))?;
            return Ok(self.workspace.root().join("tools/solc"));
        }
        if let Some(package) = self.pins.platform_package(tool) {
            return Ok(self.workspace.root().join("node_modules").join(package).join("bin").join(tool.name()));
        }
        let path = self.environment.find(tool.name()).ok_or_else(|| ToolError::NotForThisPlatform {
            tool,
            platform: pins::platform(),
            wanted: self.pins.version(tool).clone(),
        })?;
        self.check_version(tool, &path)?;
        Ok(path)
    }

    /// A tool ready to be given arguments: it runs in the root of the project, which is where paths in `foundry.toml`
    /// begin, and none of Foundry's own environment variables reaches it, because they would change settings.
    pub fn command(&self, tool: Tool) -> Result<Command, ToolError> {
        let mut command = Command::new(self.path(tool)?);
        command.current_dir(self.workspace.root()).env_clear().stdin(Stdio::null());
        command.envs(self.environment.without_prefixes(&["FOUNDRY_", "DAPP_"]));
        if tool == Tool::Forge && self.environment.get(Tool::Solc.variable()).is_some() {
            command.env("FOUNDRY_SOLC", self.path(Tool::Solc)?);
        }
        Ok(command)
    }

    fn check_version(&self, tool: Tool, path: &Path) -> Result<(), ToolError> {
        let mut command = Command::new(path);
        command.arg("--version").stdin(Stdio::null()).env_clear().envs(self.environment.variables());
        let output = command.output().map_err(ToolError::io(path))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let found = version_in(&said).ok_or_else(|| {
            let said = if said.trim().is_empty() { String::from_utf8_lossy(&output.stderr) } else { said };
            let said = said.lines().next().unwrap_or("it says nothing").to_owned();
            ToolError::NoVersion { tool, path: path.to_path_buf(), said }
        })?;
        let wanted = self.pins.version(tool);
        if found == *wanted {
            Ok(())
        } else {
            Err(ToolError::WrongVersion { tool, path: path.to_path_buf(), found, wanted: wanted.clone() })
        }
    }
}

/// The three numbers of the version in what `--version` prints: both Foundry's tools and solc write it after "Version:
/// ", and solc goes on with a build that is no semantic version (`Linux.g++`).
fn version_in(said: &str) -> Option<Version> {
    let word = said.split_once("Version: ")?.1.split_whitespace().next()?;
    word.split(['+', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_tools_print() {
        assert_eq!(version_in("forge Version: 1.7.1-stable\nCommit SHA: 4072e4\n"), Some(Version::new(1, 7, 1)));
        let solc = "solc, the solidity compiler\nVersion: 0.8.37+commit.f401782d.Linux.g++\n";
        assert_eq!(version_in(solc), Some(Version::new(0, 8, 37)));
        assert_eq!(version_in("v20.20.2\n"), None);
    }
}
