//! `plimsoll-keeper snapshot`: the book in one file, so that a keeper can begin without reading the chain's history.

use std::path::Path;

use alloy::primitives::B256;
use eyre::{bail, ensure};

use super::positions::ensure_deployment;
use crate::{
    config::{Config, EndpointSettings},
    store::{self, CheckpointTip, Identity, SnapshotImport},
};

/// Writes the checkpoint to a new file. Returns a line for people.
pub(super) fn export(config: &Config, to: &Path) -> eyre::Result<String> {
    ensure_deployment(config)?;
    let CheckpointTip { number, hash, .. } = store::export(&config.store.folder, to)?;
    Ok(format!("The book of block {number} ({hash}) is in {}.\n", to.display()))
}

/// Puts a snapshot in the place of the checkpoint, if it is of this deployment and of a block that the chain has. Returns
/// a line for people.
pub(super) async fn import(config: &Config, from: &Path) -> eyre::Result<String> {
    ensure_deployment(config)?;
    let deployed = &config.deployed;
    let genesis = match deployed.genesis {
        Some(genesis) => genesis,
        None => hash_of(&config.endpoints, 0).await?,
    };
    let identity = Identity::of(deployed, genesis);
    let import = SnapshotImport::open(&config.store.folder, &identity, from)?;
    let CheckpointTip { number, hash, .. } = import.tip();
    let on_chain = hash_of(&config.endpoints, number).await?;
    ensure!(
        on_chain == hash,
        "{} is of block {number} with the hash {hash}, and the chain's has {on_chain}: it was reorged, or the file is \
         forged; use another snapshot",
        from.display()
    );
    import.commit()?;
    Ok(format!("The next start begins after block {number}.\n"))
}

/// Asks one endpoint after another for the hash of a block.
async fn hash_of(endpoints: &[EndpointSettings], number: u64) -> eyre::Result<B256> {
    let mut problems = Vec::new();
    for EndpointSettings { endpoint, .. } in endpoints.iter().filter(|settings| settings.role.reads()) {
        match endpoint.block_hash(number).await {
            Ok(Some(hash)) => return Ok(hash),
            Ok(None) => problems.push(format!("{endpoint} does not have block {number}")),
            Err(error) => problems.push(error.to_string()),
        }
    }
    bail!("no node returned the hash of block {number}: {}", problems.join("; "))
}
