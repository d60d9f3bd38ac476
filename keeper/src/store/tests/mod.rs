//! The folder and its files as a whole: what a restart finds, what is refused, and files of older versions.

mod refusals;
mod restarts;
mod snapshots;
mod upgrades;

use std::path::Path;

use alloy::primitives::{Address, B256};

use super::*;

pub(super) const IDENTITY: Identity = Identity {
    chain_id: 8_453,
    genesis: B256::repeat_byte(7),
    core: Address::repeat_byte(1),
    rewards: Some(Address::repeat_byte(2)),
};

pub(super) fn tip(number: u64) -> CheckpointTip {
    CheckpointTip { number, hash: B256::left_padding_from(&number.to_be_bytes()), timestamp: 1_000 + number }
}

pub(super) fn image(key: u32, value: &str) -> Image {
    (key.to_be_bytes().to_vec(), value.as_bytes().to_vec())
}

pub(super) fn open(folder: &Path) -> Store {
    Store::open(folder, &IDENTITY).unwrap()
}

/// The error for which the folder is not opened.
fn refusal(folder: &Path, identity: &Identity) -> String {
    Store::open(folder, identity).unwrap_err().to_string()
}

pub(super) async fn loaded(checkpoint: &Checkpoint) -> Option<(u64, Vec<Image>)> {
    checkpoint.load(|tip, images| (tip.number, images.collect())).await.unwrap()
}

/// A folder with a checkpoint of this many rows at block 1, and an alert.
async fn folder_with(rows: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.checkpoint.record(tip(1), (0..rows).map(|row| image(row, "a row of some length")).collect()).await.unwrap();
    store.checkpoint.record(tip(65), Vec::new()).await.unwrap();
    store.checkpoint.flush().await.unwrap();
    store.alerts.enqueue("breaker", "three reverts").await.unwrap();
    folder
}
