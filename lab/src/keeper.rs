//! The keeper as a process of its own, watching a stage.

use std::{env, fs, process::Command};

use alloy::primitives::Address;
use eyre::{ContextCompat, WrapErr};
use serde_json::Value;
use tokio::time::{self, Duration};

use crate::{process::Process, stage::Stage};

/// Which of Anvil's accounts signs liquidations, and which harvests: nothing else uses them.
const SIGNERS: [usize; 2] = [8, 9];
/// What the keeper prints when its page is up, before the address.
const LISTENING: &str = "Listening on ";
/// Between two looks at a keeper that is not yet where it is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A running keeper. Dropping it ends it.
#[derive(Debug)]
pub struct Keeper {
    url: String,
    signer: Address,
    client: reqwest::Client,
    process: Process,
}

impl Keeper {
    /// Starts a program that is `keeper`, with further settings in TOML, and waits until its page is up.
    pub async fn start(stage: &Stage, mut program: Command, further: &str) -> eyre::Result<Self> {
        let folder = stage.scratch().join("keeper");
        fs::create_dir_all(&folder)?;
        let file = folder.join("keeper.toml");
        let [record, data] = [stage.record().to_path_buf(), folder.join("data")];
        let [liquidations, harvests] = SIGNERS;
        let settings = format!(
            "[deployment]\nrecord = {record:?}\n\n[[endpoints]]\nurl = \"{}\"\n\n[signers]\nliquidations = {{ anvil = \
             {liquidations} }}\nharvests = {{ anvil = {harvests} }}\n\n[store]\nfolder = {data:?}\n\n[http]\nlisten = \
             \"127.0.0.1:0\"\n\n{further}\n",
            stage.rig.node.ws_url(),
        );
        fs::write(&file, settings)?;
        program.args(["run", "--live", "--config"]).arg(&file);
        let start = move || Process::start("keeper", program, |line| Some(line.strip_prefix(LISTENING)?.to_owned()));
        let (process, url) = tokio::task::spawn_blocking(start).await??;
        Ok(Self { url, signer: stage.rig.node.account(liquidations)?, client: reqwest::Client::new(), process })
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
        self.signer
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
        while self.applied().await? < number {
            time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    async fn applied(&self) -> eyre::Result<u64> {
        let status = self.api("status").await?;
        status["head"]["number"].as_u64().wrap_err_with(|| format!("no head in the keeper's status: {status}"))
    }

    fn last_words(&self) -> String {
        format!("the keeper does not answer. It said:\n{}", self.process.output())
    }
}
