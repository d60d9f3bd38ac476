//! Writes to a keeper's store as fast as possible and prints what is durable, for a test that kills it.
//!
//! Every block writes one of 500 rows in turn, and one row that all blocks write, so that the content of a checkpoint
//! follows from its block number. Every seventh block is first written with other values and reverted.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
};

use alloy::primitives::{Address, B256, U256};
use eyre::ContextCompat;
use plimsoll_keeper::{
    intent::{Fees, GuardKind, Inclusion, Intent, Priority, Purpose, Scope},
    sender::journal::{Attempt, AttemptKind, EntryState, Journal, JournalEntry, Lease},
    store::{
        AlertQueue, Checkpoint, CheckpointTip, Identity, Image, Notes, ResultRow, ResultStatus, Results, SqliteJournal,
        Store,
    },
};

const ROWS: u64 = 500;
const SIGNER: Address = Address::repeat_byte(1);
const NOWHERE: Inclusion = Inclusion { hash: B256::ZERO, block: 1, block_hash: B256::ZERO };

#[tokio::main]
async fn main() -> eyre::Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).wrap_err("which folder?")?);
    let identity = Identity { chain_id: 31_337, genesis: B256::ZERO, core: Address::repeat_byte(9), rewards: None };
    let Store { checkpoint, journal, notes, alerts, results, .. } = Store::open(&folder, &identity)?;
    tokio::try_join!(write_blocks(checkpoint), write_journal(journal, notes, alerts, results))?;
    Ok(())
}

async fn write_blocks(checkpoint: Checkpoint) -> eyre::Result<()> {
    let start = checkpoint.load(|tip, _| tip.number).await?.unwrap_or_default();
    for number in start + 1.. {
        let tip = CheckpointTip { number, hash: B256::left_padding_from(&number.to_be_bytes()), timestamp: number };
        if number % 7 == 0 {
            checkpoint.record(tip, images(number, u64::MAX)).await?;
            checkpoint.revert_to(number - 1).await?;
        }
        checkpoint.record(tip, images(number, number)).await?;
    }
    Ok(())
}

fn images(number: u64, value: u64) -> Vec<Image> {
    let image = |key: u64| (key.to_be_bytes().to_vec(), value.to_be_bytes().to_vec());
    vec![image(number % ROWS), image(ROWS)]
}

async fn write_journal(journal: SqliteJournal, notes: Notes, alerts: AlertQueue, results: Results) -> eyre::Result<()> {
    let mut stdout = io::stdout();
    for id in journal.next_id().await?.. {
        journal.record(Lease::EXCLUSIVE, vec![entry(id, EntryState::Sent)]).await?;
        writeln!(stdout, "sent {id}")?;
        if let Some(earlier) = id.checked_sub(3) {
            journal.record(Lease::EXCLUSIVE, vec![entry(earlier, EntryState::Final(NOWHERE))]).await?;
            writeln!(stdout, "final {earlier}")?;
        }
        notes.write("number", id.to_string()).await?;
        writeln!(stdout, "note {id}")?;
        writeln!(stdout, "alert {}", alerts.enqueue("some", "thing").await?)?;
        results.record(&result(id)).await?;
        writeln!(stdout, "result {id}")?;
    }
    Ok(())
}

fn result(intent: u64) -> ResultRow {
    ResultRow {
        intent,
        at: intent,
        block: 1,
        hash: B256::ZERO,
        strategy: "harvest".to_owned(),
        place: String::new(),
        accounts: 1,
        status: ResultStatus::Mined,
        gain_wei: U256::from(1),
        gas_wei: U256::from(1),
        tip_wei: None,
        builder_wei: U256::ZERO,
        data_fee_wei: U256::ZERO,
        profit: None,
    }
}

fn entry(id: u64, state: EntryState) -> JournalEntry {
    JournalEntry {
        id,
        signer: SIGNER,
        nonce: id,
        replacement_index: 0,
        intent: Intent {
            purpose: Purpose::ClaimOwn { pool: B256::ZERO, reward_token: Address::ZERO },
            priority: Priority::Low,
            to: Address::ZERO,
            data: vec![1; 1_000].into(),
            gas_limit: 100_000,
            expected_gas: 90_000,
            expected_gain: U256::from(1),
            extra_wei: U256::ZERO,
            margin_bps: 0,
            deadline: 5,
            scope: Scope::new("harvest", B256::ZERO),
            guard: GuardKind::None,
            bid: 0,
            profit: None,
        },
        attempts: vec![Attempt {
            kind: AttemptKind::Call,
            raw: vec![2; 1_200].into(),
            hash: B256::left_padding_from(&id.to_be_bytes()),
            fees: Fees { max_fee_per_gas: 2, max_priority_fee_per_gas: 1 },
            block: 5,
        }],
        state,
        created_at: 1,
        changed_at: 2,
    }
}
