//! The pinned EVM tools: anvil, cast, forge and solc, in exactly the versions that `package.json` names.
//!
//! They come from the npm registry, pinned by the lock file, and [`Tools::ready`] installs them where they are missing.
//! A tool named by `ANVIL`, `CAST`, `FORGE` or `SOLC` is used instead, and so is one on the `PATH` where no pinned package
//! exists for the platform; both only if they have the pinned version.

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

use super::workspace::{Workspace, WorkspaceError};
use pins::Pins;

/// Program that runs another one with a changed environment; `tools/solc` begins with it, too.
const ENV: &str = "/usr/bin/env";

/// A pinned tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Local node.
    Anvil,
    /// Command line for calls, transactions and conversions.
    Cast,
    /// Tests and formats Solidity.
    Forge,
    /// Solidity compiler.
    Solc,
}

impl Tool {
    /// All tools.
    pub const ALL: [Self; 4] = [Self::Anvil, Self::Cast, Self::Forge, Self::Solc];

    /// Returns the name of the executable.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anvil => "anvil",
            Self::Cast => "cast",
            Self::Forge => "forge",
            Self::Solc => "solc",
        }
    }

    /// Returns the environment variable that names another executable.
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

/// Why a tool cannot be used. Every message contains the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Node.js or npm is not installed.
    #[error(
        "`{program}` is not on the PATH. The pinned tools (anvil, forge, solc) come from the npm registry: install \
         Node.js {wanted} with npm (https://nodejs.org/en/download), then run this again"
    )]
    NodeMissing {
        /// Program that is missing, `node` or `npm`.
        program: &'static str,
        /// Versions of Node.js that are accepted.
        wanted: String,
    },
    /// Node.js is too old for the pinned packages.
    #[error("Node.js {found} is too old: install {wanted} (https://nodejs.org/en/download), then run this again")]
    NodeTooOld {
        /// Version on this machine.
        found: Version,
        /// Versions that are accepted.
        wanted: String,
    },
    /// npm could not install the packages.
    #[error(
        "`npm ci --ignore-scripts` failed ({status}); its output is above. It needs the npm registry once: check the \
         network and `npm config get registry`, then run this again"
    )]
    NpmFailed {
        /// Exit status of npm.
        status: String,
    },
    /// No pinned package has the tool for this platform, and it is not on the `PATH`.
    #[error(
        "package.json pins no package with {tool} for {platform}, and it is not on the PATH: install {tool} {wanted} \
         ({}) or name it by {}=/path/to/{tool}", .tool.where_to_get(), .tool.variable()
    )]
    NotForThisPlatform {
        /// Tool that is missing.
        tool: Tool,
        /// Operating system and processor, as in `linux-arm64`.
        platform: String,
        /// Pinned version.
        wanted: Version,
    },
    /// A pinned package for this platform was not installed: npm was told to omit optional packages, or Node.js runs under
    /// emulation of another processor.
    #[error(
        "{} is missing, although package.json pins {package} for {platform}: npm left it out. If npm omits optional \
         packages, or Node.js is not built for {platform}, change that and run `npm ci --ignore-scripts \
         --include=optional` in the root of the project", .path.display()
    )]
    PackageMissing {
        /// Path of the executable.
        path: PathBuf,
        /// Package that should contain it.
        package: String,
        /// Operating system and processor, as in `linux-arm64`.
        platform: String,
    },
    /// The tool has another version than the pinned one.
    #[error(
        "{} is {tool} {found}, but {wanted} is pinned: another version may compile or behave differently. \
         Install {wanted} ({}) or unset {} to use the pinned one", .path.display(), .tool.where_to_get(), .tool.variable()
    )]
    WrongVersion {
        /// The tool.
        tool: Tool,
        /// Path of the executable.
        path: PathBuf,
        /// Version of the executable.
        found: Version,
        /// Pinned version.
        wanted: Version,
    },
    /// The output of `--version` contains no version.
    #[error("`{} --version` does not print a version ({said}): is it {tool}?", .path.display())]
    NoVersion {
        /// Tool that the executable should be.
        tool: Tool,
        /// Path of the executable.
        path: PathBuf,
        /// Output of the executable.
        said: String,
    },
    /// `package.json` cannot be used.
    #[error("package.json: {0}")]
    Package(String),
    /// A file cannot be read or written, or a program not started.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Path of the file or program.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The repository cannot be found or written to.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl ToolError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }
}

/// The installed tools of one repository.
#[derive(Debug, Clone)]
pub struct Tools {
    workspace: Workspace,
    environment: Environment,
    pins: Pins,
}

impl Tools {
    /// Returns the tools, after installing them where they are missing, outdated or damaged. Fails when that is not
    /// possible, and then leaves no partial installation behind.
    pub fn ready(workspace: &Workspace) -> Result<Self, ToolError> {
        Self::ready_in(workspace, Environment::of_process())
    }

    /// Returns the tools as [`Tools::ready`] does, with these environment variables instead of the process's own.
    pub fn ready_in(workspace: &Workspace, environment: Environment) -> Result<Self, ToolError> {
        let pins = Pins::read(workspace.root())?;
        install::ensure(workspace, &environment, &pins)?;
        Ok(Self { workspace: workspace.clone(), environment, pins })
    }

    /// Returns the repository that the tools belong to.
    #[must_use]
    pub const fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Returns the pinned version of a tool.
    #[must_use]
    pub fn pinned_version(&self, tool: Tool) -> &Version {
        self.pins.version(tool)
    }

    /// Returns the path of a tool's executable. Fails when there is none for this platform, or it has another version than
    /// the pinned one.
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
            let path = self.workspace.root().join("node_modules").join(package).join("bin").join(tool.name());
            if path.is_file() {
                return Ok(path);
            }
            return Err(ToolError::PackageMissing { path, package: package.to_owned(), platform: pins::platform() });
        }
        let path = self.environment.find(tool.name()).ok_or_else(|| ToolError::NotForThisPlatform {
            tool,
            platform: pins::platform(),
            wanted: self.pins.version(tool).clone(),
        })?;
        self.check_version(tool, &path)?;
        Ok(path)
    }

    /// Returns a command for a tool that runs in the root of the repository, where relative paths in `foundry.toml` begin.
    /// It gets only those environment variables that it needs: no key, no endpoint, and none of Foundry's own, which would
    /// change settings. Fails as [`Tools::path`].
    pub fn command(&self, tool: Tool) -> Result<Command, ToolError> {
        let mut command = Command::new(self.path(tool)?);
        command.current_dir(self.workspace.root()).env_clear().stdin(Stdio::null());
        command.envs(self.environment.for_children());
        if tool == Tool::Forge && self.environment.get(Tool::Solc.variable()).is_some() {
            command.env("FOUNDRY_SOLC", self.path(Tool::Solc)?);
        }
        Ok(command)
    }

    /// Returns a command that runs a script of an installed package, by its path in the repository, with Node.js. Root and
    /// environment are those of [`Tools::command`]. Fails when Node.js is not on the `PATH`.
    pub fn node_script(&self, script: &str) -> Result<Command, ToolError> {
        let node = self.environment.find("node").ok_or_else(|| self.pins.node_missing("node"))?;
        let mut command = Command::new(node);
        command.arg(script).current_dir(self.workspace.root()).env_clear().stdin(Stdio::null());
        command.envs(self.environment.for_children());
        Ok(command)
    }

    /// Returns the program and its first arguments that run the compiler for a library that starts it with this process's
    /// environment: through `env`, which clears it. Fails as [`Tools::path`].
    pub fn compiler(&self) -> Result<(PathBuf, Vec<String>), ToolError> {
        let solc = self.path(Tool::Solc)?;
        if cfg!(unix) {
            Ok((PathBuf::from(ENV), self.environment.only_compilers(&solc)))
        } else {
            Ok((solc, Vec::new()))
        }
    }

    /// Returns a command for a tool as if it were on the user's `PATH`: it runs in the current folder, with the environment
    /// and the standard streams of this process. Fails as [`Tools::path`].
    pub fn interactive_command(&self, tool: Tool) -> Result<Command, ToolError> {
        let mut command = Command::new(self.path(tool)?);
        command.env_clear().envs(self.environment.variables());
        if tool == Tool::Forge && self.environment.get(Tool::Solc.variable()).is_some() {
            command.env("FOUNDRY_SOLC", self.path(Tool::Solc)?);
        }
        Ok(command)
    }

    fn check_version(&self, tool: Tool, path: &Path) -> Result<(), ToolError> {
        let mut command = Command::new(path);
        command.arg("--version").stdin(Stdio::null()).env_clear().envs(self.environment.for_children());
        let output = command.output().map_err(ToolError::io(path))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let found = version_in(&said).ok_or_else(|| {
            let said = if said.trim().is_empty() { String::from_utf8_lossy(&output.stderr) } else { said };
            let said = said.lines().next().unwrap_or("no output").to_owned();
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

/// Returns the three numbers of the version in the output of `--version`. Foundry's tools and solc print it after
/// `Version: `; solc adds a build that is not valid in a semantic version (`Linux.g++`).
fn version_in(said: &str) -> Option<Version> {
    let word = said.split_once("Version: ")?.1.split_whitespace().next()?;
    word.split(['+', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_output_of_the_tools() {
        assert_eq!(version_in("forge Version: 1.7.1-stable\nCommit SHA: 4072e4\n"), Some(Version::new(1, 7, 1)));
        let solc = "solc, the solidity compiler\nVersion: 0.8.37+commit.f401782d.Linux.g++\n";
        assert_eq!(version_in(solc), Some(Version::new(0, 8, 37)));
        assert_eq!(version_in("v20.20.2\n"), None);
    }
}
