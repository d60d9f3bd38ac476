//! Replays of recorded blocks: gas and receipts are those of the chain, and nothing is missing.

use std::cell::Cell;

use alloy::{
    consensus::Transaction,
    primitives::{Address, TxKind},
    rpc::types::Block,
};
use eyre::{ContextCompat, bail};
use plimsoll_lab::record;
use plimsoll_testkit::recording::{Declared, Outcome, Playback, Progress, Read, Recorder, replay, rules_of};

use super::{anvils_own_accounts, upstream::Upstream};
use crate::support;

/// Replays a block. `first_payments` are the transactions that send ether to an account that had never existed: it is
/// not in the recording, and is empty.
async fn replays_as_it_was(number: u64, rules: &str, first_payments: &[usize]) -> eyre::Result<()> {
    let Some(upstream) = Upstream::before(number, &[]).await? else { return Ok(()) };
    let block = upstream.block()?;
    assert_eq!(rules_of(&block), rules);
    let replayed = upstream.replay().await?;
    replayed.check(&block)?;
    assert_eq!(replayed.outcome, Outcome::of(&block));

    let mut declared = anvils_own_accounts();
    for position in first_payments {
        let why = format!("transaction {position} pays it before anything else ever did");
        declared.push(Declared { read: Read::Account(paid_by(&block, *position)?), why });
    }
    upstream.finish(&declared).await
}

/// Returns the recipient of a plain payment.
fn paid_by(block: &Block, position: usize) -> eyre::Result<Address> {
    let payment = block.transactions.txns().nth(position);
    let payment = payment.wrap_err_with(|| format!("there is no transaction {position}"))?;
    match payment.kind() {
        TxKind::Call(to) if payment.input().is_empty() => Ok(to),
        _ => bail!("transaction {position} is no plain payment"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_shanghai_replays_with_its_gas_and_receipts() -> eyre::Result<()> {
    replays_as_it_was(19_426_586, "shanghai", &[54, 55, 59, 60, 62, 69, 98, 99, 103, 121, 126]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_paris_replays_with_its_gas_and_receipts() -> eyre::Result<()> {
    replays_as_it_was(17_034_869, "paris", &[30, 51]).await
}

/// The recording itself is the node: it has no access lists, so that every read is found by executing the block.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_mainnet_is_recorded_from_a_node_without_access_lists_in_a_few_executions() -> eyre::Result<()> {
    const BLOCK: u64 = 19_426_586;
    const MOST_EXECUTIONS: usize = 20;
    let Some(file) = support::data_file(&format!("mainnet/{BLOCK}_block.json.gz"))? else { return Ok(()) };
    let node = Playback::start(record::find(file.parent().unwrap_or(&file), Some(BLOCK))?, &[]).await?;
    let recorder = Recorder::start(node.http_url().parse()?, BLOCK).await?;
    let (block, executions) = (recorder.block()?, Cell::new(0));
    let count = |progress| {
        if let Progress::Executing { pass } = progress {
            executions.set(pass);
        }
    };
    recorder.replay(&support::tools()?, rules_of(&block), count).await?.check(&block)?;
    assert!(executions.get() <= MOST_EXECUTIONS, "{} executions", executions.get());

    // Guesses lead to reads that the block itself did not make; all that it made are there.
    let playback = Playback::start(recorder.recording().await?, &[]).await?;
    replay(&support::tools()?, &playback.http_url(), &block).await?.check(&block)?;
    playback.check(&[])?;
    Ok(())
}
