//! What the contract of jobs was created with, read from the chain before anything begins.

use std::{sync::Arc, time::Duration};

use alloy::sol_types::SolCall;
use eyre::{ContextCompat, WrapErr};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_contracts::IJobs::configCall;
use tokio::time;
use tracing::warn;

use super::protocol_follower::read_newest;
use crate::{chain::NodesContracts, config::Config, prices::Call, strategies::jobs::JobTerms};

/// Gas for reading.
const VIEW_GAS: u64 = 100_000;
/// Pause between two attempts to reach a node.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Reads what the jobs were created with, as soon as a node answers; `None` where no job is brought on.
pub(super) async fn read(config: &Config, nodes: &[Arc<Endpoint>]) -> Option<JobTerms> {
    let contracts = config.jobs.contracts.filter(|_| config.jobs.execute)?;
    loop {
        match read_once(contracts, nodes).await {
            Ok(terms) => return Some(terms),
            Err(problem) => warn!(%problem, "waiting for a node"),
        }
        time::sleep(RETRY_INTERVAL).await;
    }
}

async fn read_once(contracts: NodesContracts, nodes: &[Arc<Endpoint>]) -> eyre::Result<JobTerms> {
    let address = contracts.jobs;
    let call = Call::view(address, configCall {}.abi_encode(), VIEW_GAS);
    let answers = read_newest(nodes, &[call]).await?;
    let answer = answers.first().and_then(|answer| answer.as_ref().ok());
    let data = answer.wrap_err_with(|| format!("{address} does not answer as Jobs does"))?;
    let config = configCall::abi_decode_returns(data).wrap_err_with(|| format!("{address} is not Jobs"))?;
    Ok(JobTerms {
        token: config.token,
        reveal_secs: config.revealSecs.saturating_to(),
        challenge_secs: config.challengeSecs.saturating_to(),
    })
}
