//! The keeper as a process of its own, on a [`Suite`].

use std::{env, fs, path::PathBuf, process::Command, sync::Mutex};

use alloy::{
    primitives::Address,
    providers::{DynProvider, Provider},
};
use eyre::{WrapErr, ensure};
use plimsoll_deploy::{toolchain::progress::say, toolchain::workspace::Workspace};
use serde_json::Value;
use tokio::time::{self, Duration, Instant};

use crate::{cargo, deployment::Suite, process::Process, workspace::workspace};

/// Environment variable that names the keeper's executable, so that none is built.
pub const KEEPER_VARIABLE: &str = "PLIMSOLL_KEEPER";
/// The cargo package whose executable the keeper is.
const KEEPER_PACKAGE: &str = "plimsoll-keeper";
/// Indices of the Anvil accounts that sign liquidations and harvests. The testkit uses them for nothing else.
const SIGNERS: [usize; 2] = [8, 9];
/// What the keeper prints before the address of its page when that is up.
const LISTENING: &str = "Listening on ";
/// Time between two queries of a keeper that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// How long a keeper has to send the transactions that it decided on: much more than it takes, also on a busy machine.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a keeper that does not answer is given to end, and to say why.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// How long a keeper is waited for at most: much more than it takes, so that what never comes ends a test and not a day.
pub const WAIT_TIMEOUT: Duration = Duration::from_mins(15);

/// A running keeper. Dropping it kills the process.
#[derive(Debug)]
pub struct Keeper {
    url: String,
    signers: [Address; 2],
    client: reqwest::Client,
    process: Process,
}

/// The configuration of a keeper.
#[derive(Debug, Clone)]
pub struct KeeperSetup {
    /// Name of its folder in the suite's temporary folder. Keepers with the same folder use the same store.
    pub folder: String,
    /// Settings of the `[deployment]` table, in TOML.
    pub deployment: String,
    /// The nodes that it uses: for each the settings of an `[[endpoints]]` table, in TOML.
    pub endpoints: Vec<String>,
    /// Settings of the `[signers]` table, in TOML.
    pub signers: String,
    /// Whether it sends transactions. Otherwise it is a dry run.
    pub live: bool,
    /// Further settings, in TOML.
    pub further: String,
}

impl KeeperSetup {
    /// Returns the configuration of a live keeper over the suite's node, with two of Anvil's accounts as signers.
    #[must_use]
    pub fn live(suite: &Suite) -> Self {
        Self {
            folder: "keeper".to_owned(),
            deployment: format!("record = {:?}", suite.record()),
            endpoints: [suite.devnet.node.ws_url(), suite.devnet.node.http_url()]
                .map(|url| format!("url = \"{url}\""))
                .to_vec(),
            signers: Self::anvil_signers(SIGNERS),
            live: true,
            further: String::new(),
        }
    }

    /// Returns the settings that make two of Anvil's own accounts the signers of liquidations and of harvests.
    #[must_use]
    pub fn anvil_signers([liquidations, harvests]: [usize; 2]) -> String {
        format!("liquidations = {{ anvil = {liquidations} }}\nharvests = {{ anvil = {harvests} }}")
    }

    /// Returns the folder of the keeper's store.
    #[must_use]
    pub fn store(&self, suite: &Suite) -> PathBuf {
        suite.scratch().join(&self.folder).join("data")
    }
}

impl Keeper {
    /// Starts a live keeper and waits until its page is up. `program` is an executable that takes the keeper's
    /// arguments; `settings` are further settings in TOML.
    ///
    /// # Errors
    /// As [`Keeper::start_with`].
    pub async fn start(suite: &Suite, program: Command, settings: &str) -> eyre::Result<Self> {
        let setup = KeeperSetup { further: settings.to_owned(), ..KeeperSetup::live(suite) };
        Self::start_with(suite, program, &setup).await
    }

    /// Starts a keeper and waits until its page is up. `program` is an executable that takes the keeper's arguments.
    ///
    /// # Errors
    /// When the keeper does not start, with its last lines of output.
    pub async fn start_with(suite: &Suite, mut program: Command, setup: &KeeperSetup) -> eyre::Result<Self> {
        let folder = suite.scratch().join(&setup.folder);
        fs::create_dir_all(&folder)?;
        let file = folder.join("keeper.toml");
        let data = setup.store(suite);
        let endpoints: String =
            setup.endpoints.iter().map(|settings| format!("[[endpoints]]\n{settings}\n\n")).collect();
        let settings = format!(
            "[deployment]\n{}\n\n{endpoints}[signers]\n{}\n\n[store]\nfolder = {data:?}\n\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\n{}\n",
            setup.deployment, setup.signers, setup.further,
        );
        fs::write(&file, settings)?;
        program.args(["run", "--config"]).arg(&file);
        if setup.live {
            program.arg("--live");
        }
        // Locks of signing keys are kept per suite: other suites have chains of their own with the same keys.
        program.env("XDG_STATE_HOME", suite.scratch().join("state"));
        let start = move || Process::start("keeper", program, |line| Some(line.strip_prefix(LISTENING)?.to_owned()));
        let (process, url) = tokio::task::spawn_blocking(start).await??;
        let [liquidations, harvests] = SIGNERS.map(|index| suite.devnet.account(index));
        let client = reqwest::Client::builder().timeout(WAIT_TIMEOUT).build()?;
        Ok(Self { url, signers: [liquidations?, harvests?], client, process })
    }

    /// Returns the account that signs liquidations in [`KeeperSetup::live`].
    #[must_use]
    pub const fn signer(&self) -> Address {
        self.signers[0]
    }

    /// Returns the accounts that sign liquidations and harvests in [`KeeperSetup::live`].
    #[must_use]
    pub const fn signers(&self) -> [Address; 2] {
        self.signers
    }

    /// Returns the process id, by which it can be sent signals.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the URL of the keeper's page.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns one of the keeper's JSON documents, such as `status`, `positions` or `markets`.
    ///
    /// # Errors
    /// When the keeper has ended, with its last lines of output, or has no such document.
    pub async fn api(&self, name: &str) -> eyre::Result<Value> {
        let url = format!("{}/api/v1/{name}", self.url);
        let answer = self.client.get(&url).send().await.wrap_err_with(|| self.not_answering())?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Returns the keeper's answer at a path, such as `/metrics`, as text.
    ///
    /// # Errors
    /// When the keeper has ended, with its last lines of output.
    pub async fn text(&self, path: &str) -> eyre::Result<String> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await;
        Ok(answer.wrap_err_with(|| self.not_answering())?.text().await?)
    }

    /// Waits until one of the keeper's JSON documents satisfies a condition, and returns it. Use [`tokio::time::timeout`] for
    /// a limit shorter than [`WAIT_TIMEOUT`].
    ///
    /// # Errors
    /// As [`Keeper::api`], and when the condition is not met in time.
    pub async fn wait_until(&self, name: &str, mut condition: impl FnMut(&Value) -> bool) -> eyre::Result<Value> {
        let is_met = async {
            loop {
                let document = self.api(name).await?;
                if condition(&document) {
                    return Ok(document);
                }
                time::sleep(POLL_INTERVAL).await;
            }
        };
        self.in_time(name, is_met).await
    }

    /// Waits until the keeper reports that it is ready: it has read the chain up to its head.
    ///
    /// # Errors
    /// When the keeper has ended, with its last lines of output, or is not ready in [`WAIT_TIMEOUT`].
    pub async fn wait_until_ready(&self) -> eyre::Result<()> {
        let is_ready = async {
            loop {
                let answer = self.client.get(format!("{}/readyz", self.url)).send().await;
                if answer.wrap_err_with(|| self.not_answering())?.status().is_success() {
                    return Ok(());
                }
                time::sleep(POLL_INTERVAL).await;
            }
        };
        self.in_time("ready", is_ready).await
    }

    /// Waits until the keeper has applied a block.
    ///
    /// # Errors
    /// When the keeper has ended, with its last lines of output, or has not applied it in [`WAIT_TIMEOUT`].
    pub async fn wait_for_block(&self, number: u64) -> eyre::Result<()> {
        let is_applied = async {
            while self.applied_block().await? < Some(number) {
                time::sleep(POLL_INTERVAL).await;
            }
            Ok(())
        };
        self.in_time("block", is_applied).await
    }

    /// Waits for what the keeper should do, and fails instead of hanging.
    async fn in_time<T>(&self, what: &str, wait: impl Future<Output = eyre::Result<T>>) -> eyre::Result<T> {
        let answer = time::timeout(WAIT_TIMEOUT, wait).await;
        answer
            .wrap_err_with(|| format!("{what}: waited for in vain. The keeper's last output was:\n{}", self.output()))?
    }

    /// Waits until the keeper has decided on a block and sent its transactions. Returns whether any of them is pending.
    ///
    /// # Errors
    /// When the keeper has ended, with its last lines of output.
    pub async fn wait_for_response(&self, provider: &DynProvider, block: u64) -> eyre::Result<bool> {
        self.wait_until_sent(block, || self.has_pending(provider)).await
    }

    /// Waits until the keeper has decided on a block and sent its transactions. Returns whether `is_sent` says that there are
    /// any.
    ///
    /// # Errors
    /// When the keeper has ended, with its last lines of output, or `is_sent` fails.
    pub async fn wait_until_sent<F: Future<Output = eyre::Result<bool>>>(
        &self,
        block: u64,
        is_sent: impl Fn() -> F,
    ) -> eyre::Result<bool> {
        self.wait_for_block(block).await?;
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        while Instant::now() < deadline {
            if is_sent().await? {
                return Ok(true);
            }
            if !self.is_sending(block).await? {
                return Ok(false);
            }
            time::sleep(POLL_INTERVAL).await;
        }
        Ok(false)
    }

    /// Returns whether the keeper reports something that it is about to send, or has sent and does not know the result
    /// of.
    async fn is_sending(&self, block: u64) -> eyre::Result<bool> {
        let status = self.api("status").await?;
        let all = |name: &str| status[name].as_array().cloned().unwrap_or_default();
        let acts = |count: &Value| count["acts"] == true || count["reason"] == "in_flight";
        let acts_now = |subject: &Value| {
            let decision = &subject["decision"];
            decision["acts"] == true && decision["block"] == block
        };
        Ok(all("decisions").iter().any(acts) || ["programmes", "vaults"].iter().any(|of| all(of).iter().any(acts_now)))
    }

    /// Returns whether the node has a pending transaction of one of the keeper's signers.
    async fn has_pending(&self, provider: &DynProvider) -> eyre::Result<bool> {
        for signer in self.signers {
            let mined = provider.get_transaction_count(signer).await?;
            if provider.get_transaction_count(signer).pending().await? > mined {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns how many transactions the keeper reports as pending.
    ///
    /// # Errors
    /// When the keeper has ended, with its last lines of output.
    pub async fn pending(&self) -> eyre::Result<u64> {
        let status = self.api("status").await?;
        let signers = status["signers"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(signers.iter().filter_map(|signer| signer["pending"].as_u64()).sum())
    }

    /// Returns the last block that the keeper has applied; none at first.
    async fn applied_block(&self) -> eyre::Result<Option<u64>> {
        // The markets have the same block number as everything else, and are the smallest document.
        Ok(self.api("markets").await?["block"].as_u64())
    }

    /// Asks the keeper to shut down by SIGTERM, and waits until it has.
    ///
    /// # Errors
    /// When it does not end with exit code 0.
    pub async fn shut_down(self) -> eyre::Result<()> {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
        ensure!(asked.success(), "SIGTERM could not be sent to the keeper: {asked}");
        let process = self.process;
        let ended = tokio::task::spawn_blocking(move || process.ended()).await??;
        ensure!(ended.success(), "the keeper ended with {ended}");
        Ok(())
    }

    /// Returns the last lines that the keeper printed.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    fn not_answering(&self) -> String {
        format!("the keeper does not answer. Its last output was:\n{}", self.process.last_output(END_PATIENCE))
    }
}

/// Returns the keeper's executable as a command: the one that [`KEEPER_VARIABLE`] names, or else the one that `cargo
/// build --package plimsoll-keeper` makes in the repository. It is built at most once in each process, and by one
/// process at a time; where it is up to date, that takes a fraction of a second.
///
/// The build is optimised where this crate is. It goes to the target folder that [`cargo`](cargo::cargo) chooses.
///
/// # Errors
/// When the repository is not found, or the keeper does not compile; cargo's own messages are on stderr.
pub fn keeper_program() -> eyre::Result<Command> {
    if let Some(named) = env::var_os(KEEPER_VARIABLE).filter(|program| !program.is_empty()) {
        let program = PathBuf::from(named);
        ensure!(program.is_file(), "there is no file {}, which {KEEPER_VARIABLE} names", program.display());
        return Ok(Command::new(program));
    }
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut built = BUILT.lock().map_err(|_| eyre::eyre!("an earlier attempt to build the keeper panicked"))?;
    let program = match &*built {
        Some(program) => program.clone(),
        None => built.insert(build_keeper(&workspace()?)?).clone(),
    };
    Ok(Command::new(program))
}

/// Builds the keeper and returns its executable.
fn build_keeper(workspace: &Workspace) -> eyre::Result<PathBuf> {
    let _lock = workspace.lock("keeper")?;
    say("building the keeper, where it is not up to date");
    cargo::build(workspace.root(), &["--package", KEEPER_PACKAGE, "--bins"], cargo::IS_OPTIMISED).wrap_err("the keeper")
}
