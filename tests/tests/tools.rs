//! Errors on machines that lack something. Each test has a repository folder of its own, and uses the real npm, Node.js
//! and solc unless one of them is what it is about.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    thread,
};

use eyre::ContextCompat;
use plimsoll_deploy::{
    compile::{Artifacts, CompileError},
    toolchain::tools::{Environment, Tool, ToolError, Tools},
    toolchain::workspace::Workspace,
};
use plimsoll_testkit::workspace::workspace;
use tempfile::TempDir;

use crate::support;

/// Creates a folder with the files of a fresh clone that concern the tools.
struct Clone {
    folder: TempDir,
    workspace: Workspace,
}

impl Clone {
    fn fresh() -> eyre::Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().canonicalize()?;
        let original = workspace()?;
        for file in ["package.json", "package-lock.json", "foundry.toml", "tools/solc"] {
            let to = root.join(file);
            fs::create_dir_all(to.parent().wrap_err("a file without a folder")?)?;
            fs::copy(original.root().join(file), to)?;
        }
        Ok(Self { folder, workspace: Workspace::at(root) })
    }

    /// Creates such a folder with this repository's own packages, which must not be changed.
    fn installed() -> eyre::Result<Self> {
        let clone = Self::fresh()?;
        symlink(support::tools()?.workspace().root().join("node_modules"), clone.path("node_modules"))?;
        Ok(clone)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.workspace.root().join(file)
    }

    /// Creates a folder of programs that are shell scripts, by name.
    fn programs(&self, programs: &[(&str, &str)]) -> eyre::Result<PathBuf> {
        let folder = self.folder.path().join("programs");
        fs::create_dir_all(&folder)?;
        for (name, script) in programs {
            write_program(&folder.join(name), script)?;
        }
        Ok(folder)
    }

    fn ready(&self, environment: Environment) -> Result<Tools, ToolError> {
        Tools::ready_in(&self.workspace, environment)
    }
}

fn write_program(path: &Path, script: &str) -> eyre::Result<()> {
    fs::write(path, format!("#!/bin/sh\n{script}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn only_path(folder: &Path) -> Environment {
    Environment::default().with("PATH", folder)
}

#[test]
fn without_node_the_error_says_what_to_install_and_nothing_is_begun() -> eyre::Result<()> {
    let clone = Clone::fresh()?;
    let error = clone.ready(only_path(&clone.programs(&[])?)).unwrap_err().to_string();
    assert!(error.starts_with("`node` is not on the PATH") && error.contains("nodejs.org"), "{error}");
    assert!(!clone.path("node_modules").exists());
    Ok(())
}

#[test]
fn without_npm_the_error_names_npm_although_node_is_there() -> eyre::Result<()> {
    let clone = Clone::fresh()?;
    let programs = clone.programs(&[("node", "echo v22.1.0")])?;
    let error = clone.ready(only_path(&programs)).unwrap_err().to_string();
    assert!(error.starts_with("`npm` is not on the PATH"), "{error}");
    Ok(())
}

#[test]
fn an_old_node_is_refused_with_both_versions() -> eyre::Result<()> {
    let clone = Clone::fresh()?;
    let programs = clone.programs(&[("node", "echo v16.20.2"), ("npm", "exit 0")])?;
    let error = clone.ready(only_path(&programs)).unwrap_err().to_string();
    assert!(error.contains("16.20.2 is too old: install >=18"), "{error}");
    Ok(())
}

#[test]
fn a_failed_installation_leaves_nothing_behind() -> eyre::Result<()> {
    let clone = Clone::fresh()?;
    let half = "/bin/mkdir node_modules; echo half > node_modules/half; echo no network >&2; exit 7";
    let programs = clone.programs(&[("node", "echo v22.1.0"), ("npm", half)])?;
    let error = clone.ready(only_path(&programs)).unwrap_err().to_string();
    assert!(error.contains("exit status: 7"), "{error}");
    assert!(!clone.path("node_modules").exists());
    Ok(())
}

#[test]
fn packages_are_installed_once_by_the_first_caller_and_repaired_when_damaged() -> eyre::Result<()> {
    let clone = Clone::fresh()?;
    let environment = Environment::of_process();
    thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| clone.ready(environment.clone()).map(drop)));
        both.into_iter().try_for_each(|one| one.join().unwrap())
    })?;

    let solc = clone.path("node_modules/solc/soljson.js");
    let whole = fs::metadata(&solc)?.len();
    fs::OpenOptions::new().write(true).open(&solc)?.set_len(whole / 2)?;
    clone.ready(environment)?;
    assert_eq!(fs::metadata(&solc)?.len(), whole);

    // Nothing is missing, so npm, which would fail, is not called.
    let programs = clone.programs(&[("npm", "exit 7"), ("node", "echo v22.1.0")])?;
    clone.ready(only_path(&programs))?;
    Ok(())
}

#[test]
fn another_solc_is_used_only_if_it_has_the_pinned_version() -> eyre::Result<()> {
    let clone = Clone::installed()?;
    let programs = clone.programs(&[
        ("solc-old", "echo 'Version: 0.8.30+commit.73712a01.Linux.g++'"),
        ("solc-same", "echo 'Version: 0.8.37+commit.f401782d.Linux.g++'"),
        ("no-solc", "echo hello"),
    ])?;
    let named = |program: &str| {
        let path = programs.join(program);
        let environment = Environment::of_process().with(Tool::Solc.variable(), &path);
        clone.ready(environment).and_then(|tools| tools.path(Tool::Solc)).map(|used| assert_eq!(used, path))
    };
    named("solc-same")?;
    let error = named("solc-old").unwrap_err().to_string();
    assert!(error.contains("is solc 0.8.30") && error.contains("0.8.37 is pinned"), "{error}");
    let error = named("no-solc").unwrap_err().to_string();
    assert!(error.contains("does not print a version (hello)"), "{error}");
    let error = named("missing").unwrap_err().to_string();
    assert!(error.contains("programs/missing: No such file"), "{error}");
    Ok(())
}

#[test]
fn on_a_platform_without_pinned_packages_the_path_is_searched() -> eyre::Result<()> {
    let clone = Clone::installed()?;
    let package = fs::read_to_string(clone.path("package.json"))?;
    fs::write(clone.path("package.json"), package.replace("@foundry-rs/anvil-", "@foundry-rs/anvil-for-others-"))?;
    let programs = clone.programs(&[])?;
    let tools = clone.ready(only_path(&programs))?;
    let error = tools.path(Tool::Anvil).unwrap_err().to_string();
    assert!(error.contains("it is not on the PATH: install anvil 1.7.1"), "{error}");
    write_program(&programs.join("anvil"), "echo 'anvil Version: 1.7.1-stable'")?;
    assert_eq!(tools.path(Tool::Anvil)?, programs.join("anvil"));
    Ok(())
}

#[test]
fn a_solidity_error_is_shown_as_solc_reports_it_with_file_and_line() -> eyre::Result<()> {
    let clone = Clone::installed()?;
    let settings = fs::read_to_string(clone.path("foundry.toml"))?;
    let (before, _) = settings.split_once("additional_compiler_profiles").wrap_err("foundry.toml has no profiles")?;
    let one =
        r#"compilation_restrictions = [{ paths = "contracts/src/Broken.sol", via_ir = false, optimizer_runs = 1 }]"#;
    fs::write(clone.path("foundry.toml"), format!("{before}{one}\n"))?;
    fs::create_dir_all(clone.path("contracts/src"))?;
    let broken =
        "// SPDX-License-Identifier: MIT\npragma solidity 0.8.37;\n\ncontract Broken {\n    uint256 x = true;\n}\n";
    fs::write(clone.path("contracts/src/Broken.sol"), broken)?;

    let error = Artifacts::compile(&clone.ready(Environment::of_process())?).unwrap_err();
    assert!(matches!(error, CompileError::Solidity(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("contracts/src/Broken.sol:5:17"), "{text}");
    assert!(text.contains("Type bool is not implicitly convertible"), "{text}");

    // Corrected, it compiles: nothing of the failure remains.
    fs::write(clone.path("contracts/src/Broken.sol"), broken.replace("true", "1"))?;
    assert!(Artifacts::compile(&clone.ready(Environment::of_process())?)?.get("Broken").is_ok());
    Ok(())
}

#[test]
fn the_pinned_tools_report_the_pinned_versions() -> eyre::Result<()> {
    let tools = support::tools()?;
    for tool in Tool::ALL {
        let output = tools.command(tool)?.arg("--version").output()?;
        let said = String::from_utf8(output.stdout)?;
        assert!(said.contains(&format!("Version: {}", tools.pinned_version(tool))), "{tool}: {said}");
    }
    assert!(env::var_os("SOLC").is_some() || tools.path(Tool::Solc)?.ends_with("tools/solc"));
    Ok(())
}

#[test]
fn child_processes_see_no_key_and_no_endpoint() -> eyre::Result<()> {
    let clone = Clone::installed()?;
    let seen = clone.folder.path().join("seen");
    // A compiler that notes what it sees, and is otherwise the pinned one.
    let solc = clone.path("tools/solc");
    let noting = format!("env >> {}; exec {} \"$@\"", seen.display(), solc.display());
    let programs = clone.programs(&[("solc", &noting)])?;
    let secrets = ["DEPLOYER_KEY", "ETHERSCAN_API_KEY", "ETH_RPC_URL", "KEYSTORE_PASSWORD", "NODE_AUTH_TOKEN"];
    let environment = secrets
        .iter()
        .fold(Environment::of_process(), |environment, name| environment.with(*name, format!("secret of {name}")))
        .with(Tool::Solc.variable(), programs.join("solc"));
    fs::create_dir_all(clone.path("contracts/src"))?;
    let settings = fs::read_to_string(clone.path("foundry.toml"))?;
    let (before, _) = settings.split_once("additional_compiler_profiles").wrap_err("foundry.toml has no profiles")?;
    let one = r#"compilation_restrictions = [{ paths = "contracts/src/A.sol", via_ir = false, optimizer_runs = 1 }]"#;
    fs::write(clone.path("foundry.toml"), format!("{before}{one}\n"))?;
    fs::write(
        clone.path("contracts/src/A.sol"),
        "// SPDX-License-Identifier: MIT\npragma solidity 0.8.37;\ncontract A {}\n",
    )?;
    let tools = clone.ready(environment)?;
    // The compiler is started by a library, with this process's own environment; other tools by this project.
    let mut command = tools.command(Tool::Solc)?;
    command.arg("--version").output()?;
    Artifacts::compile(&tools)?;
    let seen = fs::read_to_string(seen)?;
    assert!(seen.contains("PATH="), "{seen}");
    for secret in secrets {
        assert!(!seen.contains(secret), "{secret} was seen");
    }
    // Cargo sets this one for every test, as a stand-in for a key that is in the environment of this process itself.
    assert!(env::var_os("CARGO_MANIFEST_DIR").is_some() && !seen.contains("CARGO_MANIFEST_DIR"), "{seen}");
    Ok(())
}
