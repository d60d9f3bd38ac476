//! The commands of tutorials and recipes, run as they stand in the documents: by bash, in order, on a chain of their own.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use alloy::{
    primitives::{Address, U256},
    sol_types::SolEvent,
};
use eyre::{ContextCompat, bail, ensure};
use plimsoll_contracts::{IBackstop, IERC4626, IPlimsoll, IRewards};
use plimsoll_testkit::{deployment::Suite, devnet::Devnet, market::units, workspace::workspace};
use tokio::time;

use crate::support;

/// Stands before a block that is run. Other blocks are for another terminal, or show what is printed.
const MARK: &str = "<!-- run -->\n```sh\n";
/// The node's address in the documents, and the record of what is deployed there.
const ADDRESS: &str = "127.0.0.1:8545";
const RECORD: &str = "target/deployments/31337.json";
/// Files that a tutorial makes, below the project's target folder.
const SCRATCH: &str = "target/tutorial";
/// Time limit of a run, which may wait for something that does not happen.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Figures of the tables that the first tutorial shows: health factors and liquidation price.
const FIGURES: [&str; 3] = ["1.1466", "1,744.18", "1.0699"];

#[tokio::test(flavor = "multi_thread")]
async fn the_first_liquidation_happens_as_the_tutorial_says() -> eyre::Result<()> {
    let document = "docs/tutorials/first-liquidation.md";
    let suite = Devnet::start().await?.deploy_suite().await?;
    // As `up` does.
    for (market, collateral, loan) in [
        ("weth-usdc", units(10_000, 18), units(20_000_000, 6)),
        ("wbtc-usdc", units(10_000, 8), units(600_000_000, 6)),
        ("wsteth-weth", units(10_000, 18), units(11_800, 18)),
    ] {
        suite.add_liquidity(market, collateral, loan).await?;
    }
    let output = run(&suite, document).await?;
    let text = fs::read_to_string(workspace()?.root().join(document))?;
    for figure in FIGURES {
        ensure!(text.contains(figure) && output.contains(figure), "{figure} is not in both:\n{text}\n{output}");
    }
    let liquidations = suite.liquidations(&suite.market("weth-usdc")?).await?;
    let [liquidation] = liquidations.as_slice() else { bail!("one liquidation was expected: {liquidations:?}") };
    assert!(liquidation.repaid > units(7_000, 6) && liquidation.repaid < units(8_000, 6), "{liquidation:?}");
    // The keeper had no USDC: its balance in the end, which the last command prints, is its profit.
    let profit = output.lines().last().and_then(|line| line.split(' ').next()).wrap_err("nothing was printed")?;
    ensure!(profit.parse::<U256>()? > units(1_000, 6), "{profit}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_for_cast_has_its_effect() -> eyre::Result<()> {
    let suite = Devnet::start().await?.deploy_suite().await?;
    run(&suite, "docs/how-to/cast.md").await?;
    let (core, rewards, backstop) =
        (suite.contract("Plimsoll")?, suite.contract("Rewards")?, suite.contract("Backstop")?);
    assert_ne!(count::<IPlimsoll::Supply>(&suite, core).await?, 0);
    assert_ne!(count::<IPlimsoll::Withdraw>(&suite, core).await?, 0);
    assert_eq!(count::<IPlimsoll::TransferSupply>(&suite, core).await?, 1);
    assert_ne!(count::<IPlimsoll::SupplyCollateral>(&suite, core).await?, 0);
    // One of them by the authorised account.
    assert_eq!(count::<IPlimsoll::Borrow>(&suite, core).await?, 2);
    assert_eq!(count::<IPlimsoll::SetAuthorization>(&suite, core).await?, 2);
    // One in part, one in full, and one with its part of the collateral.
    assert_eq!(count::<IPlimsoll::Repay>(&suite, core).await?, 3);
    assert_eq!(count::<IPlimsoll::WithdrawCollateral>(&suite, core).await?, 2);
    assert_ne!(count::<IPlimsoll::Accrue>(&suite, core).await?, 0);
    assert_eq!(count::<IPlimsoll::Liquidate>(&suite, core).await?, 1);
    assert_eq!(count::<IPlimsoll::FlashLoan>(&suite, core).await?, 1);
    assert_eq!(count::<IPlimsoll::CollectReserve>(&suite, core).await?, 1);
    assert_eq!(count::<IRewards::Stake>(&suite, rewards).await?, 1);
    assert_eq!(count::<IRewards::Harvest>(&suite, rewards).await?, 1);
    assert_eq!(count::<IRewards::Claim>(&suite, rewards).await?, 1);
    assert_eq!(count::<IRewards::Unstake>(&suite, rewards).await?, 1);
    // One of them is the deployer's first deposit.
    assert_eq!(count::<IERC4626::Deposit>(&suite, backstop).await?, 2);
    assert_eq!(count::<IBackstop::StartCooldown>(&suite, backstop).await?, 1);
    assert_eq!(count::<IERC4626::Withdraw>(&suite, backstop).await?, 1);
    Ok(())
}

/// Returns how often a contract has emitted an event.
async fn count<E: SolEvent>(suite: &Suite, contract: Address) -> eyre::Result<usize> {
    Ok(support::events::<E>(suite.provider(), contract).await?.len())
}

/// Gas limit of the transactions of a document.
const GAS_LIMIT: &str = "5000000";

/// Runs the marked blocks of a document on a chain with everything on it, and returns what they print.
async fn run(suite: &Suite, document: &str) -> eyre::Result<String> {
    let root = workspace()?.root().to_path_buf();
    let (address, record) = (suite.devnet.node.address(), suite.record());
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path();

    let text = fs::read_to_string(root.join(document))?;
    let blocks: Vec<_> = text.split(MARK).skip(1).filter_map(|rest| rest.split("```").next()).collect();
    ensure!(!blocks.is_empty(), "{document} marks no block to run");
    let script = blocks.concat().replace(ADDRESS, address);
    let script = script.replace(RECORD, &path(record)).replace(SCRATCH, &path(&folder.join("tutorial")));

    let programs = programs(folder)?;
    // A process group of its own, so that what the script started ends with it.
    let started = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(&root)
        .env("PATH", format!("{programs}:{}", std::env::var("PATH")?))
        .env("PLIMSOLL_KEEPER__DEPLOYMENT__RECORD", record)
        .env("PLIMSOLL_KEEPER__HTTP__LISTEN", "127.0.0.1:0")
        .env("XDG_STATE_HOME", folder)
        // `cast` estimates without a margin. An estimate in the second of the last block is of a call that accrues no
        // interest; a second later it does, and runs out of gas.
        .env("ETH_GAS_LIMIT", GAS_LIMIT)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let group = started.id().wrap_err("the script has no process id")?;
    let Ok(output) = time::timeout(TIME_LIMIT, started.wait_with_output()).await else {
        Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status()?;
        bail!("{document} did not end within {} s", TIME_LIMIT.as_secs());
    };
    let output = output?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{document}: {printed}{}", String::from_utf8_lossy(&output.stderr));
    Ok(printed)
}

/// A folder with a `cargo` that runs the binaries under test: `cargo --quiet deploy …` needs no second build.
fn programs(folder: &Path) -> eyre::Result<String> {
    let programs = folder.join("bin");
    fs::create_dir(&programs)?;
    let cargo = programs.join("cargo");
    let (deploy, keeper) = (env!("CARGO_BIN_EXE_deploy_bin"), env!("CARGO_BIN_EXE_keeper_bin"));
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --quiet ] && shift\nprogram=$1\nshift\ncase $program in\ndeploy) exec {deploy} \"$@\" ;;\n\
         keeper) exec {keeper} \"$@\" ;;\n*) echo \"cargo $program\" >&2; exit 2 ;;\nesac\n"
    );
    fs::write(&cargo, script)?;
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755))?;
    Ok(path(&programs))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
