//! `plimsoll-keeper snapshot`: the checkpoints in one file, so that a keeper can begin without reading the chain's history.

use std::{path::Path, sync::Arc};

use alloy::primitives::B256;
use eyre::{bail, ensure, eyre};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_protocols::Deployment;
use tokio::time::timeout;
use tracing::info;

use super::book::{FollowResult, TIMEOUT, follow_to_head, names};
use crate::{
    audit::{Compared, Comparison, compare_book},
    book::{Block, Book, Row},
    chain::Header,
    config::Config,
    engine::{FailoverReader, ProtocolFollower, confirm_deployment, covers},
    prices::UNSIGNED_ACCOUNT,
    store::{self, CheckpointTip, Checkpointed, Exported, Identity, Image, ImportPart, SnapshotImport},
    stream::{Cursor, Stream, StreamSettings},
};

/// Maximum number of mismatches that are listed.
const MAX_LISTED: usize = 5;

/// Writes the checkpoints of what the configuration follows to a new file. Returns lines for people.
pub(super) fn export(config: &Config, to: &Path) -> eyre::Result<String> {
    let Exported { tips, missing } = store::export(&config.store.folder, &wanted(config)?, to)?;
    let mut text = format!("{} has:\n", to.display());
    for (name, CheckpointTip { number, hash, .. }) in tips {
        text.push_str(&format!("- {name}, of block {number} ({hash})\n"));
    }
    for name in missing {
        text.push_str(&format!("It does not have {name}, of which there is no checkpoint yet.\n"));
    }
    Ok(text)
}

/// Puts a snapshot in the place of the checkpoints, if it is of this deployment and the chain confirms it. Returns lines for
/// people.
pub(super) async fn import(mut config: Config, from: &Path) -> eyre::Result<String> {
    wanted(&config)?;
    let endpoints = std::mem::take(&mut config.endpoints).into_iter().filter(|settings| settings.role.reads());
    let nodes: Vec<_> = endpoints.map(|settings| Arc::new(settings.endpoint)).collect();
    let Ok(confirmed) = timeout(TIMEOUT, confirm_deployment(&config, &nodes)).await else {
        bail!("no node answered for {} s: {}", TIMEOUT.as_secs(), names(&nodes));
    };
    confirmed?;
    let deployed = &config.deployed;
    let genesis = match deployed.genesis {
        Some(genesis) => genesis,
        None => hash_of(&nodes, 0).await?,
    };
    let identity = Identity::of(deployed, genesis);
    let import = SnapshotImport::open(&config.store.folder, &identity, &wanted(&config)?, from)?;
    let mut text = String::new();
    for part in import.parts() {
        let CheckpointTip { number, hash, .. } = part.tip;
        let on_chain = hash_of(&nodes, number).await?;
        ensure!(
            on_chain == hash,
            "{} in {} is of block {number} with the hash {hash}, and the chain's has {on_chain}: it was reorged, or the file \
             is forged; use another snapshot",
            part.name,
            from.display()
        );
        let confirmed = match &part.protocol {
            None => confirm_book(&config, nodes.clone(), genesis, part).await,
            Some(deployment) => confirm_protocol(nodes.clone(), deployment, part).await,
        };
        let confirmed = confirmed.map_err(|error| {
            eyre!("{} in {} cannot be used: {error:#}; nothing was changed", part.name, from.display())
        })?;
        text.push_str(&format!("{}: the next start begins after block {number}. {confirmed}\n", part.name));
    }
    for name in import.left_out() {
        text.push_str(&format!("{name} was left out: the configuration does not follow it.\n"));
    }
    import.commit()?;
    Ok(text)
}

/// Returns the checkpoints of what the configuration follows.
fn wanted(config: &Config) -> eyre::Result<Vec<Checkpointed<'_>>> {
    let book = config.deployed.core().map(|_| Checkpointed::Book);
    let protocols = config.protocols.deployments.iter().map(Checkpointed::Protocol);
    let wanted: Vec<_> = book.into_iter().chain(protocols).collect();
    ensure!(!wanted.is_empty(), "the configuration follows nothing: name a `record` in [deployment], or [[protocols]]");
    Ok(wanted)
}

/// Follows a book up to the newest block and compares it with the chain there. Fails where they differ.
async fn confirm_book(
    config: &Config,
    nodes: Vec<Arc<Endpoint>>,
    genesis: B256,
    part: &ImportPart,
) -> eyre::Result<String> {
    let (sources, tip) = (config.sources(), part.tip);
    let restore = |images: &mut dyn Iterator<Item = Image>| {
        let rows = images.map(|(key, value)| Row::decode(&key, &value));
        Book::restore(Block { number: tip.number, timestamp: tip.timestamp }, &sources.followed, rows)
    };
    let mut book = part.restore(restore)??;
    ensure!(
        covers(&book, &sources),
        "it lacks markets, programmes or other contracts that are followed here: export one where they are followed, too"
    );
    info!(from_block = tip.number + 1, "reading events");
    let deployed = &config.deployed;
    let settings =
        StreamSettings { genesis: Some(genesis), ..StreamSettings::new(deployed.chain_id, config.chain.block_time) };
    let cursor = Cursor { number: tip.number, hash: Some(tip.hash) };
    let mut stream = Stream::start(nodes, sources.clone(), cursor, settings);
    let header = match follow_to_head(&mut stream, &mut book).await? {
        FollowResult::Head(header) => header,
        FollowResult::DoesNotFit(reason) => bail!("the chain's events since do not fit it: {reason}"),
    };
    let reader = FailoverReader::new(stream.reader(), UNSIGNED_ACCOUNT);
    let found = compare_book(reader, &sources, &book, &header).await?;
    if !found.differences.is_empty() {
        bail!("it differs from the chain: {}", listed(&found.differences));
    }
    Ok(confirmation(&header, &found))
}

/// Says what was compared.
fn confirmation(header: &Header, found: &Comparison) -> String {
    let some_of = |Compared { compared, all }: Compared, name: &str| format!("{compared} of {all} {name}");
    let mut parts = vec![format!("the totals of {} markets", found.markets), some_of(found.positions, "positions")];
    for (compared, name) in [(found.stakes, "stakes"), (found.orders, "orders")] {
        if compared.all > 0 {
            parts.push(some_of(compared, name));
        }
    }
    if found.operations > 0 {
        parts.push(format!("{} scheduled operations and proposals", found.operations));
    }
    format!("It equals the chain after block {}: {}.", header.number, parts.join(", "))
}

/// Follows another protocol from its checkpoint up to the newest block, and compares it with what its contracts say there.
/// Fails where they differ.
async fn confirm_protocol(
    nodes: Vec<Arc<Endpoint>>,
    deployment: &Deployment,
    part: &ImportPart,
) -> eyre::Result<String> {
    let rows = part.restore(|images| images.collect())?;
    let mut follower = ProtocolFollower::from_rows(nodes, deployment, part.tip, rows).await?;
    let (header, observed) = loop {
        let Ok(step) = timeout(TIMEOUT, follower.next_step()).await else {
            bail!("no node provided a block for {} s", TIMEOUT.as_secs());
        };
        let read = follower.process(step).await?;
        ensure!(follower.is_restored(), "the chain's logs since do not fit it");
        if let Some(read) = read {
            break read;
        }
    };
    if !observed.differences.is_empty() {
        bail!("it differs from the chain after block {}: {}", header.number, listed(&observed.differences));
    }
    Ok(format!(
        "Its contracts confirm the totals after block {}, with {} positions.",
        header.number,
        follower.protocol().size().positions
    ))
}

/// Lists the first of several differences.
fn listed(differences: &[impl ToString]) -> String {
    let further = differences.len().saturating_sub(MAX_LISTED);
    let mut texts: Vec<_> = differences.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    if further > 0 {
        texts.push(format!("{further} more"));
    }
    texts.join("; ")
}

/// Asks one node after another for the hash of a block.
async fn hash_of(nodes: &[Arc<Endpoint>], number: u64) -> eyre::Result<B256> {
    let mut problems = Vec::new();
    for endpoint in nodes {
        match endpoint.block_hash(number).await {
            Ok(Some(hash)) => return Ok(hash),
            Ok(None) => problems.push(format!("{endpoint} does not have block {number}")),
            Err(error) => problems.push(error.to_string()),
        }
    }
    bail!("no node returned the hash of block {number}: {}", problems.join("; "))
}
