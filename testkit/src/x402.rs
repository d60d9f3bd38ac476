//! x402's published client, and a chain with payment channels where that client looks for them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    process::Command,
    sync::OnceLock,
};

use alloy::{
    primitives::Address,
    providers::{Provider, ext::AnvilApi},
    sol_types::SolValue,
};
use eyre::{WrapErr, ensure};
use plimsoll_channels::{ERC3009_COLLECTOR, SETTLEMENT};
use serde_json::Value;

use crate::{devnet::Devnet, workspace::workspace};

/// The folder of the npm package with the client in the repository.
const PACKAGE: &str = "tools/x402";

/// Places the channels contract and its collector at x402's addresses.
///
/// # Errors
/// When a transaction fails.
pub async fn place_channels(devnet: &Devnet) -> eyre::Result<()> {
    place(devnet, "Channels", Vec::new(), SETTLEMENT).await?;
    // The collector keeps the address of the channels contract in its code.
    place(devnet, "ERC3009Collector", SETTLEMENT.abi_encode(), ERC3009_COLLECTOR).await
}

async fn place(devnet: &Devnet, name: &str, arguments: Vec<u8>, at: Address) -> eyre::Result<()> {
    let deployed = devnet.deploy(name, arguments).await?;
    let code = devnet.provider().get_code_at(deployed).await?;
    Ok(devnet.provider().anvil_set_code(at, code).await?)
}

/// Runs a script of the npm package, and returns what it printed, as JSON. `None` if the package is not installed and
/// cannot be, which is printed with the reason.
///
/// # Errors
/// When the script fails, with what it printed.
pub fn run_script(script: &str, arguments: &[String]) -> eyre::Result<Option<Value>> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = match INSTALLED.get_or_init(|| install().map_err(|error| format!("{error:#}"))) {
        Ok(folder) => folder,
        Err(reason) => {
            writeln!(io::stderr(), "SKIPPED: x402's client cannot be installed in {PACKAGE}: {reason}")?;
            return Ok(None);
        }
    };
    let printed = output(Command::new("node").arg(script).args(arguments).current_dir(folder))?;
    Ok(Some(serde_json::from_str(&printed).wrap_err_with(|| format!("{script} printed {printed:.2000}"))?))
}

/// Installs the locked packages. One process does it, others wait.
fn install() -> eyre::Result<PathBuf> {
    let workspace = workspace()?;
    let (folder, state) = (workspace.root().join(PACKAGE), workspace.target().join(PACKAGE));
    fs::create_dir_all(&state)?;
    let lock = File::create(state.join("lock"))?;
    lock.lock()?;
    // What was installed by this lock file is there.
    let (pinned, stamp) = (fs::read(folder.join("package-lock.json"))?, state.join("installed"));
    let is_current = fs::read(&stamp).is_ok_and(|installed| installed == pinned);
    if !is_current || !folder.join("node_modules").is_dir() {
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
        output(Command::new("npm").args(arguments).current_dir(&folder))?;
        fs::write(stamp, pinned)?;
    }
    Ok(folder)
}

fn output(command: &mut Command) -> eyre::Result<String> {
    let output = command.output().wrap_err_with(|| format!("{command:?} cannot be started"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}
