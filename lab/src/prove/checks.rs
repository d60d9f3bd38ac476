//! The checks of rights and structure, made by halmos on the core's bytecode.

use std::{collections::BTreeMap, env, fmt, fs, os::unix::fs::symlink, path::Path, process::Stdio};

use eyre::{WrapErr, ensure};
use plimsoll_deploy::toolchain::{
    progress::say,
    tools::{Tool, Tools},
};
use serde::Deserialize;

use super::environment::Python;

/// What false checks begin with.
const PLANTED: &str = "check_planted_";
/// halmos's code for a check that holds on all paths.
const HOLDS: u32 = 0;
/// halmos's code for a check with a counterexample. Others are for checks without an outcome.
const COUNTEREXAMPLE: u32 = 1;
/// Contracts that the core does not need, and other tests: they are not compiled.
const SKIPPED: &str = r#"["*/src/oracles/*","*/src/rewards/*","*/src/backstop/*","*/src/periphery/*","*.t.sol"]"#;

/// A check and what became of it.
#[derive(Debug, Deserialize)]
pub(super) struct Check {
    /// Its signature.
    pub(super) name: String,
    exitcode: u32,
    /// Seconds: in all, on paths, in the solver.
    time: Option<(f64, f64, f64)>,
}

#[derive(Debug, Deserialize)]
struct Output {
    test_results: BTreeMap<String, Vec<Check>>,
}

impl Check {
    /// Returns the name of its function.
    pub(super) fn function(&self) -> &str {
        self.name.split('(').next().unwrap_or_default()
    }

    /// Whether the check asserts what is false.
    pub(super) fn is_planted(&self) -> bool {
        self.name.starts_with(PLANTED)
    }

    /// Whether it holds, or is refuted where it is false.
    pub(super) fn is_as_expected(&self) -> bool {
        self.exitcode == if self.is_planted() { COUNTEREXAMPLE } else { HOLDS }
    }
}

/// Makes all checks. The core is compiled as it is deployed, into a folder of its own.
pub(super) fn check(python: &Python, tools: &Tools) -> eyre::Result<Vec<Check>> {
    say("halmos compiles the core and checks rights: about a minute");
    let root = tools.workspace().root();
    let folder = tools.workspace().target().join("proofs");
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).wrap_err_with(|| programs.display().to_string())?;
    // halmos runs forge by name.
    let forge = programs.join("forge");
    let _ = fs::remove_file(&forge);
    symlink(tools.path(Tool::Forge)?, &forge).wrap_err_with(|| forge.display().to_string())?;
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([programs].into_iter().chain(env::split_paths(&path)))?;

    let report = folder.join("halmos.json");
    let mut command = python.command("halmos");
    command.current_dir(root).args([
        "--root",
        ".",
        "--no-status",
        "--early-exit",
        "--forge-build-out",
        "target/proofs/out",
    ]);
    command.args(["--contract", "RightsProof", "--solver-timeout-assertion", "60s", "--json-output"]).arg(&report);
    command.env("PATH", path).env("FOUNDRY_SOLC", tools.path(Tool::Solc)?);
    command.env("FOUNDRY_OUT", "target/proofs/out").env("FOUNDRY_CACHE_PATH", "target/proofs/cache");
    command.env("FOUNDRY_TEST", "contracts/test/proofs").env("FOUNDRY_SKIP", SKIPPED);
    // As the core is deployed; with the profiles of foundry.toml there would be two of each interface.
    command.env("FOUNDRY_VIA_IR", "true").env("FOUNDRY_OPTIMIZER_RUNS", "1000000");
    command.env("FOUNDRY_COMPILATION_RESTRICTIONS", "[]").env("FOUNDRY_ADDITIONAL_COMPILER_PROFILES", "[]");
    let _ = fs::remove_file(&report);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().wrap_err("halmos cannot be started")?;
    // It fails for the false checks, too; what counts is the report.
    let printed = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let checks = read(&report).wrap_err_with(|| format!("halmos made no report. Its output:\n{}", printed()))?;
    ensure!(
        checks.iter().any(Check::is_planted),
        "halmos made no false check: it proves nothing. Its output:\n{}",
        printed()
    );
    Ok(checks)
}

fn read(report: &Path) -> eyre::Result<Vec<Check>> {
    let output: Output = serde_json::from_slice(&fs::read(report)?)?;
    Ok(output.test_results.into_values().flatten().collect())
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.is_planted(), self.is_as_expected()) {
            (false, true) => "holds",
            (false, false) => "DOES NOT HOLD",
            (true, true) => "false, and refuted",
            (true, false) => "false, and NOT REFUTED",
        };
        let secs = self.time.map_or(0.0, |(all, _, _)| all);
        write!(f, "{verdict} in {secs:.1} s: {} (halmos, code {})", self.function(), self.exitcode)
    }
}
