//! A keeper's store is killed while it writes, many times. Everything that it confirmed is there afterwards.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use alloy::primitives::{Address, B256};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_keeper::{
    sender::journal::Journal,
    store::{Identity, Store, read_results},
};

use crate::random::Random;

const KILLS: u64 = 40;
/// The number of rows that `crashable_store` writes.
const ROWS: u64 = 500;
const SIGNER: Address = Address::repeat_byte(1);

/// What the process confirmed.
#[derive(Default)]
struct Said {
    sent: Option<u64>,
    settled: Option<u64>,
    note: Option<u64>,
    alerts: Vec<i64>,
    result: Option<u64>,
}

#[tokio::test]
async fn a_store_killed_at_any_moment_has_everything_confirmed_and_the_book_of_one_block() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut random = Random::from_seed(1);
    let mut said = Said::default();
    let mut tips = Vec::new();
    for kill in 0..KILLS {
        write_until_killed(folder.path(), 1 + random.below(60), &mut said).wrap_err_with(|| format!("kill {kill}"))?;
        tips.push(look(folder.path(), &said).await.wrap_err_with(|| format!("after kill {kill}"))?);
    }
    ensure!(tips.is_sorted(), "the checkpoint went back: {tips:?}");
    tips.dedup();
    ensure!(tips.len() > 10, "the checkpoint hardly moved: {tips:?}");
    Ok(())
}

/// Runs the process until it has confirmed a number of writes, and kills it.
fn write_until_killed(folder: &Path, lines: u64, said: &mut Said) -> eyre::Result<()> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_crashable_store")).arg(folder).stdout(Stdio::piped()).spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().wrap_err("no output")?).lines();
    for line in stdout.by_ref().take(usize::try_from(lines)?) {
        said.hear(&line?)?;
    }
    // SIGKILL: the process cannot do anything any more.
    child.kill()?;
    let status = child.wait()?;
    ensure!(status.code().is_none(), "it ended by itself with {status}");
    // What it confirmed in the meantime counts, too.
    stdout.try_for_each(|line| said.hear(&line?))
}

impl Said {
    fn hear(&mut self, line: &str) -> eyre::Result<()> {
        let (what, number) = line.split_once(' ').wrap_err_with(|| line.to_owned())?;
        match what {
            "sent" => self.sent = Some(number.parse()?),
            "final" => self.settled = Some(number.parse()?),
            "note" => self.note = Some(number.parse()?),
            "result" => self.result = Some(number.parse()?),
            "alert" => self.alerts.push(number.parse()?),
            _ => eyre::bail!("it says {line}"),
        }
        Ok(())
    }
}

/// Checks that the store has everything that was confirmed, and returns the block of the checkpoint.
async fn look(folder: &Path, said: &Said) -> eyre::Result<u64> {
    let identity = Identity { chain_id: 31_337, genesis: B256::ZERO, core: Address::repeat_byte(9), rewards: None };
    let store = Store::open(folder, &identity)?;

    let mut entries = store.journal.newest(u32::MAX).await?;
    entries.reverse();
    ensure!(entries.iter().map(|entry| entry.id).eq(0..u64::try_from(entries.len())?), "an entry is missing");
    let last = entries.last().map(|entry| entry.id);
    ensure!(last >= said.sent, "the last entry is {last:?}, and {:?} was said to be safe", said.sent);
    let settled = entries.iter().filter(|entry| entry.state.is_settled()).map(|entry| entry.id).next_back();
    ensure!(settled >= said.settled, "{settled:?} is settled, and {:?} was said to be", said.settled);
    let mut recovered = store.journal.recover(SIGNER).await?;
    recovered.unsettled.sort_by_key(|entry| entry.id);
    ensure!(recovered.next_nonce == last.map(|id| id + 1), "the next nonce is {:?}", recovered.next_nonce);
    let unsettled = entries.into_iter().filter(|entry| !entry.state.is_settled());
    ensure!(unsettled.eq(recovered.unsettled), "not all that is unsettled is recovered");

    let note = store.notes.read("number").await?.map(|text| text.parse::<u64>()).transpose()?;
    ensure!(note >= said.note, "the note is {note:?}, and {:?} was said to be safe", said.note);
    let alerts: Vec<_> = store.alerts.pending(u32::MAX).await?.into_iter().map(|alert| alert.id).collect();
    ensure!(said.alerts.iter().all(|id| alerts.binary_search(id).is_ok()), "an alert is missing");

    let results: Vec<_> = read_results(folder, 0..u64::MAX)?.into_iter().map(|row| row.intent).collect();
    ensure!(results.last().copied() >= said.result, "{:?} was said to be safe", said.result);

    let checkpoint = store.checkpoint.load(|tip, images| (tip, images.collect::<Vec<_>>())).await?;
    let Some((tip, images)) = checkpoint else { return Ok(0) };
    ensure!(tip.hash == B256::left_padding_from(&tip.number.to_be_bytes()), "the block is torn: {tip:?}");
    let rows: BTreeMap<_, _> = images.into_iter().collect();
    let last_of_each = (1..=tip.number).rev().take(usize::try_from(ROWS)?).map(|block| (block % ROWS, block));
    let expected: BTreeMap<_, _> = last_of_each
        .chain([(ROWS, tip.number)])
        .map(|(key, value)| (key.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()))
        .collect();
    ensure!(rows == expected, "the rows are not those of block {}", tip.number);
    Ok(tip.number)
}
