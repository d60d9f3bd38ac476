//! The keeper as a process of its own, watching a stage.

use std::{env, fs, path::PathBuf, process::Command};

use alloy::{
    primitives::Address,
    providers::{DynProvider, Provider},
};
use eyre::{WrapErr, ensure};
use serde_json::Value;
use tokio::time::{self, Duration, Instant};

use crate::{process::Process, stage::Stage};

/// Which of Anvil's accounts signs liquidations, and which harvests: nothing else uses them.
const SIGNERS: [usize; 2] = [8, 9];
/// What the keeper prints when its page is up, before the address.
const LISTENING: &str = "Listening on ";
/// Between two looks at a keeper that is not yet where it is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How long it has to send what it decided on: much more than it takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running keeper. Dropping it ends it.
#[derive(Debug)]
pub struct Keeper {
    url: String,
    signers: [Address; 2],
    client: reqwest::Client,
    process: Process,
}

/// How a keeper is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its folder in the stage's scratch space: keepers that share it share their store.
    pub folder: String,
    /// The nodes that it asks: the settings of each, in TOML.
    pub endpoints: Vec<String>,
    /// Who signs, in TOML.
    pub signers: String,
    /// Whether it sends.
    pub live: bool,
    /// Further settings in TOML.
    pub further: String,
}

impl Setup {
    /// Live, with the stage's node.
    #[must_use]
    pub fn usual(stage: &Stage) -> Self {
        Self {
            folder: "keeper".to_owned(),
            endpoints: [stage.rig.node.ws_url(), stage.rig.node.http_url()]
                .map(|url| format!("url = \"{url}\""))
                .to_vec(),
            signers: Self::anvils(SIGNERS),
            live: true,
            further: String::new(),
        }
    }

    /// Anvil's own accounts as signers of liquidations and of harvests.
    #[must_use]
    pub fn anvils([liquidations, harvests]: [usize; 2]) -> String {
        format!("liquidations = {{ anvil = {liquidations} }}\nharvests = {{ anvil = {harvests} }}")
    }

    /// Where the keeper's store is.
    #[must_use]
    pub fn store(&self, stage: &Stage) -> PathBuf {
        stage.scratch().join(&self.folder).join("data")
    }
}

impl Keeper {
    /// Starts a program that is `keeper`, with further settings in TOML, and waits until its page is up.
    pub async fn start(stage: &Stage, program: Command, further: &str) -> eyre::Result<Self> {
        Self::start_as(stage, program, &Setup { further: further.to_owned(), ..Setup::usual(stage) }).await
    }

    /// The same, set up as it is told.
    pub async fn start_as(stage: &Stage, mut program: Command, setup: &Setup) -> eyre::Result<Self> {
        let folder = stage.scratch().join(&setup.folder);
        fs::create_dir_all(&folder)?;
        let file = folder.join("keeper.toml");
        let [record, data] = [stage.record().to_path_buf(), setup.store(stage)];
        let endpoints: String = setup.endpoints.iter().map(|url| format!("[[endpoints]]\n{url}\n\n")).collect();
        let settings = format!(
            "[deployment]\nrecord = {record:?}\n\n{endpoints}[signers]\n{}\n\n[store]\nfolder = {data:?}\n\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\n{}\n",
            setup.signers, setup.further,
        );
        fs::write(&file, settings)?;
        program.args(["run", "--config"]).arg(&file);
        if setup.live {
            program.arg("--live");
        }
        // Keys are locked for the stage: other stages have chains of their own for the same keys.
        program.env("XDG_STATE_HOME", stage.scratch().join("state"));
        let start = move || Process::start("keeper", program, |line| Some(line.strip_prefix(LISTENING)?.to_owned()));
        let (process, url) = tokio::task::spawn_blocking(start).await??;
        let [liquidations, harvests] = SIGNERS.map(|index| stage.rig.node.account(index));
        Ok(Self { url, signers: [liquidations?, harvests?], client: reqwest::Client::new(), process })
    }

    /// This very program as `keeper`.
    pub fn this_program() -> eyre::Result<Command> {
        let mut program = Command::new(env::current_exe()?);
        program.arg("keeper");
        Ok(program)
    }

    /// Whose transactions liquidate.
    #[must_use]
    pub const fn signer(&self) -> Address {
        self.signers[0]
    }

    /// Whose transactions liquidate, and whose harvest.
    #[must_use]
    pub const fn signers(&self) -> [Address; 2] {
        self.signers
    }

    /// Where its page is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it shows as JSON, such as `status`.
    pub async fn api(&self, name: &str) -> eyre::Result<Value> {
        let url = format!("{}/api/{name}", self.url);
        let answer = self.client.get(&url).send().await.wrap_err_with(|| self.last_words())?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// What it says at a path, as text.
    pub async fn text(&self, path: &str) -> eyre::Result<String> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await;
        Ok(answer.wrap_err_with(|| self.last_words())?.text().await?)
    }

    /// Waits until what it shows as JSON under a name is as wanted, and returns it.
    pub async fn until(&self, name: &str, mut wanted: impl FnMut(&Value) -> bool) -> eyre::Result<Value> {
        loop {
            let shown = self.api(name).await?;
            if wanted(&shown) {
                return Ok(shown);
            }
            time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until it says of itself that it is ready.
    pub async fn until_ready(&self) -> eyre::Result<()> {
        loop {
            let answer = self.client.get(format!("{}/readyz", self.url)).send().await;
            if answer.wrap_err_with(|| self.last_words())?.status().is_success() {
                return Ok(());
            }
            time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until it has applied a block.
    pub async fn until_applied(&self, number: u64) -> eyre::Result<()> {
        while self.applied().await? < Some(number) {
            time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Waits until it has decided by a block and sent what it decided on; tells whether anything of it waits for the next.
    pub async fn until_answered(&self, provider: &DynProvider, block: u64) -> eyre::Result<bool> {
        self.until_applied(block).await?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.is_sent(provider).await? {
                return Ok(true);
            }
            if !self.is_at_it(block).await? {
                return Ok(false);
            }
            time::sleep(LOOK_AGAIN).await;
        }
        Ok(false)
    }

    /// Whether by its own word something is to be sent, or was and is not known to be done.
    async fn is_at_it(&self, block: u64) -> eyre::Result<bool> {
        let status = self.api("status").await?;
        let all = |name: &str| status[name].as_array().cloned().unwrap_or_default();
        let acts = |count: &Value| count["acts"] == true || count["reason"] == "in_flight";
        let harvests = |programme: &Value| {
            let decision = &programme["decision"];
            decision["acts"] == true && decision["block"] == block
        };
        Ok(all("decisions").iter().any(acts) || all("programmes").iter().any(harvests))
    }

    /// Whether anything of its waits for a block.
    async fn is_sent(&self, provider: &DynProvider) -> eyre::Result<bool> {
        for signer in self.signers {
            let mined = provider.get_transaction_count(signer).await?;
            if provider.get_transaction_count(signer).pending().await? > mined {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many transactions it has on their way.
    pub async fn pending(&self) -> eyre::Result<u64> {
        let status = self.api("status").await?;
        let signers = status["signers"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(signers.iter().filter_map(|signer| signer["pending"].as_u64()).sum())
    }

    /// The last block that it has applied; none at first.
    async fn applied(&self) -> eyre::Result<Option<u64>> {
        // Markets are shown with the block of everything else, and are less to read.
        Ok(self.api("markets").await?["block"].as_u64())
    }

    /// Asks it to end, as an operating system does, and waits until it has. Fails where it ends otherwise than well.
    pub async fn end(self) -> eyre::Result<()> {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
        ensure!(asked.success(), "the keeper could not be asked to end: {asked}");
        let process = self.process;
        let ended = tokio::task::spawn_blocking(move || process.ended()).await??;
        ensure!(ended.success(), "the keeper ended badly: {ended}");
        Ok(())
    }

    /// The last lines that it printed.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    fn last_words(&self) -> String {
        format!("the keeper does not answer. It said:\n{}", self.output())
    }
}
