//! Python and the solvers, installed on first use into `target/tools/proofs` from a lock file with hashes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::toolchain::{progress::say, tools::Environment, workspace::Workspace};

/// The lock file, from the repository's root.
const REQUIREMENTS: &str = "lab/proofs/requirements.txt";
/// Names of Python, the first that is new enough is used.
const PYTHONS: [&str; 5] = ["python3", "python3.13", "python3.12", "python3.11", "python"];
/// A virtual environment with the packages of the lock file.
#[derive(Debug)]
pub(super) struct Python {
    folder: PathBuf,
}

impl Python {
    /// Installs the environment where it is missing or of another lock file.
    pub(super) fn ready(workspace: &Workspace) -> eyre::Result<Self> {
        let lock_file = workspace.root().join(REQUIREMENTS);
        let wanted = fs::read(&lock_file).wrap_err_with(|| lock_file.display().to_string())?;
        let python = Self { folder: workspace.target().join("tools/proofs") };
        let _lock = workspace.lock("proofs")?;
        let installed = python.folder.join("requirements.txt");
        if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        say(format_args!("installing z3 and halmos into {}", python.folder.display()));
        match fs::remove_dir_all(&python.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).wrap_err_with(|| python.folder.display().to_string());
            }
            _ => {}
        }
        let mut create = in_environment(&found()?);
        create.args(["-m", "venv"]).arg(&python.folder);
        succeed(create, "the virtual environment (Debian has it in the package python3-venv)")?;
        let mut install = python.command("python");
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]);
        install.arg(&lock_file);
        succeed(install, "the installation of the proofs' packages")?;
        fs::write(&installed, wanted).wrap_err_with(|| installed.display().to_string())?;
        Ok(python)
    }

    /// Returns a command for a program of the environment.
    pub(super) fn command(&self, program: &str) -> Command {
        in_environment(&self.folder.join("bin").join(program))
    }
}

/// Returns the first Python that is new enough for halmos.
fn found() -> eyre::Result<PathBuf> {
    let is_new_enough = |name: &&str| {
        let mut ask = in_environment(Path::new(name));
        ask.args(["-c", "import sys; sys.exit(sys.version_info < (3, 11))"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    };
    let name = PYTHONS.into_iter().find(is_new_enough);
    name.map(PathBuf::from).wrap_err("the proofs need Python 3.11 or newer: install it as python3")
}

fn in_environment(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(Environment::of_process().for_children()).stdin(Stdio::null());
    command
}

fn succeed(mut command: Command, what: &str) -> eyre::Result<()> {
    let output = command.output().wrap_err_with(|| format!("{what} cannot be started"))?;
    ensure!(output.status.success(), "{what} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
