//! The source of a fork test's state: a recording, or with ETH_RPC_URL a live node that has old state. With
//! PLIMSOLL_RECORD the live node's answers are recorded in that folder; as the folder `mainnet` of PLIMSOLL_DATA it
//! serves the next run.

use std::{env, path::PathBuf};

use alloy::rpc::types::Block;
use eyre::{WrapErr, ensure};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_testkit::recording::{Declared, Override, Playback, Recorder, Recording, Replayed, replay, rules_of};

use crate::support;

const MAINNET: u64 = 1;

/// A chain as of before a block.
pub(super) enum Upstream {
    Recorded(Playback),
    Live(Recorder),
}

impl Upstream {
    /// Returns `None` where there is neither a node nor a recording, after printing that.
    pub(super) async fn before(block: u64, overrides: &[Override]) -> eyre::Result<Option<Self>> {
        if let Some(url) = env::var("ETH_RPC_URL").ok().filter(|url| !url.is_empty()) {
            let endpoint: Endpoint = url.parse().wrap_err("what ETH_RPC_URL holds")?;
            let recorder = Recorder::start(endpoint, block).await?;
            let chain = recorder.chain_id();
            ensure!(chain == MAINNET, "ETH_RPC_URL is a node of chain {chain}; these tests are about chain {MAINNET}");
            // The tests go on from the state that the block reads, and would otherwise wait for each slot.
            recorder.prefetch(|_| {}).await?;
            return Ok(Some(Self::Live(recorder)));
        }
        let Some(file) = support::data_file(&format!("mainnet/{block}_block.json.gz"))? else { return Ok(None) };
        let folder = file.parent().map(PathBuf::from).unwrap_or_default();
        let recording = Recording::read(&folder, block)?;
        Ok(Some(Self::Recorded(Playback::start(recording, overrides).await?)))
    }

    pub(super) fn http_url(&self) -> String {
        match self {
            Self::Recorded(playback) => playback.http_url(),
            Self::Live(recorder) => recorder.http_url(),
        }
    }

    pub(super) fn block(&self) -> eyre::Result<Block> {
        match self {
            Self::Recorded(playback) => playback.recording().block(),
            Self::Live(recorder) => recorder.block(),
        }
    }

    /// Executes the block again.
    pub(super) async fn replay(&self) -> eyre::Result<Replayed> {
        let (tools, block) = (support::tools()?, self.block()?);
        match self {
            Self::Recorded(playback) => replay(&tools, &playback.http_url(), &block).await,
            Self::Live(recorder) => recorder.replay(&tools, rules_of(&block), |_| {}).await,
        }
    }

    /// Checks that the reads outside the recording are the declared ones. A live node has no such reads.
    pub(super) async fn finish(self, declared: &[Declared]) -> eyre::Result<()> {
        match self {
            Self::Recorded(playback) => playback.check(declared)?,
            Self::Live(recorder) => {
                if let Some(folder) = env::var_os("PLIMSOLL_RECORD") {
                    let recording = recorder.recording().await?;
                    // Two tests may use the same block.
                    let _lock = support::tools()?.workspace().lock("recording")?;
                    recording.add_to(&PathBuf::from(folder))?;
                }
            }
        }
        Ok(())
    }
}
