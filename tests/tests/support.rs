//! Shared helpers: the pinned tools, forge, the keeper's executable, and the folder of real data.

use std::{
    env,
    future::Future,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use alloy::{
    primitives::Address,
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{WrapErr, ensure};
use plimsoll_deploy::toolchain::tools::{Tool, Tools};
use tokio::time;

/// How long [`soon`] waits before it fails.
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// Returns the pinned tools. The first test that calls this installs them, the others wait for it.
pub(crate) fn tools() -> eyre::Result<Tools> {
    plimsoll_testkit::workspace::tools()
}

/// Returns the keeper's executable as a command.
pub(crate) fn keeper() -> Command {
    Command::new(env!("CARGO_BIN_EXE_keeper_bin"))
}

/// Waits for a future, and fails instead of hanging.
pub(crate) async fn soon<T>(what: impl Future<Output = eyre::Result<T>>) -> eyre::Result<T> {
    time::timeout(WAIT_TIMEOUT, what).await.wrap_err("it was waited for in vain")?
}

/// Returns a file of real data, from the folder that PLIMSOLL_DATA names. Without it the test prints that it is
/// skipped.
pub(crate) fn data_file(name: &str) -> eyre::Result<Option<PathBuf>> {
    let file = env::var_os("PLIMSOLL_DATA").map(|folder| PathBuf::from(folder).join(name));
    if let Some(file) = file.filter(|file| file.is_file()) {
        return Ok(Some(file));
    }
    writeln!(io::stderr(), "SKIPPED: {name} is not in the folder that PLIMSOLL_DATA names")?;
    Ok(None)
}

/// Returns every event of a kind that a contract has emitted.
pub(crate) async fn events<E: SolEvent>(provider: &DynProvider, contract: Address) -> eyre::Result<Vec<E>> {
    let filter = Filter::new().address(contract).event_signature(E::SIGNATURE_HASH).from_block(0);
    let logs = provider.get_logs(&filter).await?;
    logs.iter().map(|log| Ok(E::decode_log(&log.inner)?.data)).collect()
}

/// Runs forge and shows its output as it appears. When forge fails, so does this, with what [`forge_failures`] finds in
/// the output. Only one forge runs at a time: two would compile the same files into the same folder.
pub(crate) fn forge(arguments: &[&str], variables: &[(&str, String)]) -> eyre::Result<()> {
    let tools = tools()?;
    let _lock = tools.workspace().lock("forge")?;
    let mut command = tools.command(Tool::Forge)?;
    command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer).stdin(Stdio::null());
    let mut child = command.spawn()?;
    // The command holds the writing end, and the pipe only ends when all of them are closed.
    drop(command);
    let mut said = String::new();
    for line in BufReader::new(reader).lines() {
        let line = line?;
        // The test harness captures only the print macros, so this is shown at once.
        writeln!(io::stderr(), "{line}")?;
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait()?;
    ensure!(status.success(), "forge {}: {status}\n{}", arguments.join(" "), forge_failures(&said));
    Ok(())
}

/// Returns each failing test once, below the file and contract that it is in, with its reason and counterexample; or,
/// where no test failed, the errors of the compiler; or all of the output.
pub(crate) fn forge_failures(said: &str) -> String {
    // What follows the last suite repeats the failures.
    let said_once = said.split("\nFailing tests:").next().unwrap_or(said);
    let mut failures = Vec::new();
    let mut suite = None;
    let mut in_failure = false;
    for line in said_once.lines() {
        if line.starts_with("Ran ") {
            suite = line.split_once(" for ").map(|(_, suite)| suite);
        }
        if line.starts_with("[FAIL") {
            failures.extend(suite.take());
            in_failure = true;
        } else if line.is_empty() || line.starts_with("[PASS") || line.starts_with("Suite result") {
            in_failure = false;
        }
        if in_failure {
            failures.push(line);
        }
    }
    if !failures.is_empty() {
        return failures.join("\n");
    }
    said.find("\nError").and_then(|start| said.get(start..)).unwrap_or(said).trim().to_owned()
}

#[test]
fn the_message_of_a_failing_forge_names_each_failing_test_with_its_reason() {
    let said = "Compiling\n\nRan 1 test for a/A.t.sol:ATest\n[PASS] test_a() (gas: 1)\nSuite result: ok.\n\nRan 3 tests for \
                a/B.t.sol:BTest\n[FAIL: x != y; counterexample: args=[1]] testFuzz_b(uint256) (runs: 1)\n[PASS] test_c()\n\
                [FAIL: z]\n\t[Sequence]\n\t\tcalldata=f()\n invariant_d() (runs: 2)\nSuite result: FAILED.\n\nRan 2 test \
                suites in 1s\n\nFailing tests:\nEncountered 2 failing tests in a/B.t.sol:BTest\n[FAIL: z]\n";
    assert_eq!(
        forge_failures(said),
        "a/B.t.sol:BTest\n[FAIL: x != y; counterexample: args=[1]] testFuzz_b(uint256) (runs: 1)\n[FAIL: \
         z]\n\t[Sequence]\n\t\tcalldata=f()\n invariant_d() (runs: 2)"
    );
    assert_eq!(
        forge_failures("Compiling\nError: it does not compile\nError (1): x\n"),
        "Error: it does not compile\nError (1): x"
    );
    assert_eq!(forge_failures("killed\n"), "killed");
}

/// Returns the tables of a manifest with a governor, whose votes an account of the manifest receives.
pub(crate) fn governor(receiver: &str) -> String {
    format!(
        r#"
[governance.token]
name = "Plimsoll Votes"
symbol = "vPLIM"
supply = "1000000"
receiver = "{receiver}"

[governance.governor]
name = "Plimsoll Governor"
voting_delay = "2 days"
voting_period = "5 days"
late_quorum_extension = "1 day"
proposal_threshold = "1000"
quorum = "4%"
base_delay = "1 day"
guardian = "council"
"#
    )
}
