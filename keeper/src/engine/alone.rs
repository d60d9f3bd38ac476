//! Commands that have something sent while no keeper runs: the sender works alone until what was ordered is mined. It holds
//! the locks that a keeper would hold, and writes the same journal, so that the next start knows of every nonce.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use eyre::{bail, ensure, eyre};
use plimsoll_chain::endpoint::Endpoint;
use tokio::{sync::mpsc::UnboundedReceiver, time};

use super::{
    Mode,
    start::{genesis, signers, start_sender, until_answered},
    sweep::{self, Sweep},
    wiring::{self, Roles},
};
use crate::{
    chain::Header,
    config::Config,
    control::Request,
    intent::{Outcome, Report, SenderEvent},
    prices::{EndpointReader, UNSIGNED_ACCOUNT},
    sender::SenderHandle,
    store::{Identity, Records, Store},
    stream::newest_header,
};

/// Longest time between two looks for a new block.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

/// Has the sender do what a request says, and waits until it is mined. Returns what became of it, in words. Fails if
/// another process has the store or a key, if nothing can be sent, or if what was ordered was not achieved.
///
/// What an earlier keeper left pending is taken up meanwhile, as a keeper would. Killed at any moment, the journal has what
/// was signed, and the next start takes it up.
pub async fn run_alone(mut config: Config, request: &Request) -> eyre::Result<String> {
    // Before the endpoints are taken: their roles say how transactions are sent.
    let settings = wiring::sender(&config, Mode::Live { adopt_nonce: false });
    let roles = Roles::of(std::mem::take(&mut config.endpoints));
    let genesis = genesis(&config, &roles.read).await;
    let deployed = &config.deployed;
    let identity = Identity { chain_id: deployed.chain_id, genesis, core: deployed.core, rewards: deployed.rewards };
    let store = Store::open(&config.store.folder, &identity)?;
    let records = Records::open(&config.store, &store, &identity).await?;
    let signers = signers(&config, &roles.read).await?;
    ensure!(
        signers.high_priority.is_some() || signers.low_priority.is_some(),
        "nothing can be signed: name a key in [signers]"
    );
    let (sender, events, tasks) = Box::pin(start_sender(settings, signers, &roles, &records)).await?;
    let done = execute(&config, request, &sender, events, &roles.read).await;
    tasks.shut_down().await;
    done
}

async fn execute(
    config: &Config,
    request: &Request,
    sender: &SenderHandle,
    mut events: UnboundedReceiver<SenderEvent>,
    nodes: &[Arc<Endpoint>],
) -> eyre::Result<String> {
    let mut head = newest(nodes).await;
    sender.on_block(head, &[]);
    let (said, awaited) = order(config, request, sender, nodes, &head).await?;
    let mut ends = BTreeMap::new();
    let interval = config.chain.block_time.min(LONGEST_INTERVAL);
    while ends.len() < awaited.len() {
        tokio::select! {
            event = events.recv() => match event {
                Some(SenderEvent::Report(report)) if awaited.contains(&report.id) => {
                    if let Some(end) = end_of(request, &report) {
                        ends.insert(report.id, end);
                    }
                }
                Some(SenderEvent::Report(_)) => {}
                // It is in the log.
                Some(SenderEvent::Alert(_) | SenderEvent::LeaseAcquired) => {}
                None => bail!("the sender has ended"),
            },
            () = time::sleep(interval) => {
                let newest = newest(nodes).await;
                if newest.hash != head.hash {
                    head = newest;
                    sender.on_block(head, &[]);
                }
            }
        }
    }
    let failed: Vec<_> = ends.values().filter_map(|end| end.as_ref().err().cloned()).collect();
    ensure!(failed.is_empty(), "{said}: {}", failed.join("; "));
    let achieved: Vec<_> = ends.into_values().flatten().collect();
    Ok(format!("{said}: {}", achieved.join("; ")))
}

/// Reads the newest header, as soon as a node answers.
async fn newest(nodes: &[Arc<Endpoint>]) -> Header {
    until_answered(nodes, async |node: &Arc<Endpoint>| newest_header(node).await).await
}

/// Orders what a request says. Returns it in words, and the ids of the intents whose ends are awaited.
async fn order(
    config: &Config,
    request: &Request,
    sender: &SenderHandle,
    nodes: &[Arc<Endpoint>],
    head: &Header,
) -> eyre::Result<(String, Vec<u64>)> {
    match request {
        Request::Sweep { tokens } => {
            let connect = async |node: &Arc<Endpoint>| {
                Ok(EndpointReader::new(Arc::clone(node), node.client().await?, UNSIGNED_ACCOUNT))
            };
            let reader = until_answered(nodes, connect).await;
            let plan = sweep::plan(config, &reader, head, sender, tokens).await;
            let Sweep { intents, text } = plan.map_err(|problem| eyre!(problem))?;
            Ok((text, intents.into_iter().map(|intent| sender.submit(intent)).collect()))
        }
        Request::Cancel { nonce, account } => {
            let cancellation = sender.cancel(*nonce, *account).await?;
            Ok((cancellation.to_string(), vec![cancellation.intent]))
        }
        other => bail!("{other:?} is for a running keeper"),
    }
}

/// What became of an intent, where a report says that it has ended: achieved, or not.
fn end_of(request: &Request, report: &Report) -> Option<Result<String, String>> {
    let is_cancellation = matches!(request, Request::Cancel { .. });
    Some(match &report.outcome {
        Outcome::Sent { .. } | Outcome::Reorged => return None,
        Outcome::Mined(receipt) if !is_cancellation => Ok(format!("mined in block {}", receipt.inclusion.block)),
        Outcome::Cancelled(receipt) if is_cancellation => Ok(format!("mined in block {}", receipt.inclusion.block)),
        Outcome::Mined(receipt) => {
            Err(format!("{} was mined first, in block {}", receipt.inclusion.hash, receipt.inclusion.block))
        }
        Outcome::Reverted(receipt) => {
            Err(format!("{} reverted in block {}", receipt.inclusion.hash, receipt.inclusion.block))
        }
        Outcome::Cancelled(_) => Err("it was not mined in time, and cancelled".to_owned()),
        Outcome::Replaced { by } => Err(format!("intent {by} took its nonce")),
        Outcome::Dropped(reason) => Err(reason.to_string()),
        Outcome::Refused(reason) => Err(reason.to_string()),
        Outcome::NonceUsedByOther { nonce } | Outcome::Lost { nonce } => {
            Err(format!("another program used nonce {nonce}"))
        }
    })
}
