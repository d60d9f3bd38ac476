//! The journal through restarts, compared with one in memory, and what becomes of it when it cannot be written.

use alloy::primitives::{B256, U256};
use rusqlite::{OpenFlags, OptionalExtension as _};

use super::*;
use crate::{
    intent::{Fees, GuardKind, Inclusion, Intent, Priority, Purpose, Scope},
    sender::{
        journal::{Attempt, AttemptKind, EntryState},
        memory_journal::MemoryJournal,
    },
    store::{Store, tests::IDENTITY},
};

fn open_journal(folder: &tempfile::TempDir) -> SqliteJournal {
    Store::open(folder.path(), &IDENTITY).unwrap().journal
}

fn signer(number: u8) -> Address {
    Address::repeat_byte(number)
}

fn entry(id: u64, signer: Address, nonce: u64, state: EntryState) -> JournalEntry {
    JournalEntry {
        id,
        signer,
        nonce,
        replacement_index: 0,
        intent: Intent {
            purpose: Purpose::ClaimOwn { pool: B256::ZERO, reward_token: Address::ZERO },
            priority: Priority::Low,
            to: Address::repeat_byte(4),
            data: vec![1, 2, 3].into(),
            gas_limit: 100_000,
            expected_gas: 90_000,
            expected_gain: U256::MAX,
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
            raw: vec![2; 300].into(),
            hash: B256::left_padding_from(&id.to_be_bytes()),
            fees: Fees { max_fee_per_gas: u128::MAX, max_priority_fee_per_gas: 1 },
            block: 5,
        }],
        state,
        created_at: 1,
        changed_at: 2,
    }
}

fn inclusion() -> Inclusion {
    Inclusion { hash: B256::repeat_byte(1), block: 7, block_hash: B256::repeat_byte(2) }
}

/// Recovers a signer, with the entries by id.
async fn recovered(journal: &impl Journal, signer: Address) -> Recovered {
    let mut recovered = journal.recover(signer).await.unwrap();
    recovered.unsettled.sort_by_key(|entry| entry.id);
    recovered
}

#[tokio::test]
async fn after_a_restart_it_recovers_what_a_journal_in_memory_would() {
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryJournal::default();
    let (ours, other) = (signer(1), signer(2));
    let writes = [
        vec![entry(0, ours, 40, EntryState::Sent)],
        vec![entry(1, ours, 41, EntryState::Sent), entry(2, other, 900, EntryState::Sent)],
        vec![entry(0, ours, 40, EntryState::Mined(inclusion()))],
        // Out of order, and two with one nonce.
        vec![
            entry(4, ours, 43, EntryState::Sent),
            entry(3, ours, 42, EntryState::Sent),
            entry(5, ours, 42, EntryState::Sent),
        ],
        vec![entry(0, ours, 40, EntryState::Final(inclusion())), entry(3, ours, 42, EntryState::Replaced { by: 5 })],
        vec![entry(2, other, 900, EntryState::Lost)],
        vec![],
    ];
    for write in writes {
        open_journal(&folder).record(Lease::EXCLUSIVE, write.clone()).await.unwrap();
        memory.record(Lease::EXCLUSIVE, write).await.unwrap();
        let journal = open_journal(&folder);
        for signer in [ours, other, signer(3)] {
            assert_eq!(recovered(&journal, signer).await, recovered(&memory, signer).await);
        }
        assert_eq!(journal.next_id().await, memory.next_id().await);
    }
}

#[tokio::test]
async fn entries_that_are_recorded_together_are_written_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_journal(&folder);
    let impossible = entry(1, signer(1), u64::MAX, EntryState::Sent);
    let error =
        journal.record(Lease::EXCLUSIVE, vec![entry(0, signer(1), 7, EntryState::Sent), impossible]).await.unwrap_err();
    assert!(error.to_string().contains("journal.db"), "{error}");
    assert_eq!(journal.recover(signer(1)).await.unwrap(), Recovered::default());
}

#[tokio::test]
async fn a_settled_entry_is_kept_without_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_journal(&folder);
    let settled = entry(0, signer(1), 7, EntryState::Final(inclusion()));
    let sent = entry(1, signer(1), 8, EntryState::Sent);
    journal.record(Lease::EXCLUSIVE, vec![settled.clone(), sent.clone()]).await.unwrap();
    let newest = journal.newest(10).await.unwrap();
    let mut bare = settled;
    bare.attempts.iter_mut().for_each(|attempt| attempt.raw = Bytes::new());
    assert_eq!(newest, [sent, bare]);
    assert_eq!(journal.newest(1).await.unwrap(), newest.get(..1).unwrap());
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_journal(&folder);
    journal.record(Lease::EXCLUSIVE, vec![entry(0, signer(1), 7, EntryState::Sent)]).await.unwrap();
    journal.file.run(|connection| connection.execute("UPDATE entries SET entry = '{}'", []).map(drop)).await.unwrap();
    let error = journal.recover(signer(1)).await.unwrap_err();
    assert!(error.to_string().contains("journal.db") && error.to_string().contains("missing field"), "{error}");
}

#[tokio::test]
async fn pruning_deletes_old_entries_except_those_needed_to_continue() {
    const RETENTION: Duration = Duration::from_secs(100);
    let folder = tempfile::tempdir().unwrap();
    let journal = open_journal(&folder);
    let of =
        |id, number, nonce, state, changed_at| JournalEntry { changed_at, ..entry(id, signer(number), nonce, state) };
    let settled = EntryState::Final(inclusion());
    let entries = vec![
        of(0, 1, 7, settled, 10),
        of(1, 1, 8, EntryState::Sent, 10),
        of(2, 1, 8, EntryState::Replaced { by: 1 }, 10),
        // As old, and the newest of its signer.
        of(3, 1, 9, settled, 10),
        of(4, 2, 500, EntryState::Lost, 10),
        // Just not old enough, and the newest change.
        of(5, 3, 1, settled, 900),
        of(6, 3, 2, settled, 1_000),
        // The highest id.
        of(7, 3, 0, settled, 10),
    ];
    journal.record(Lease::EXCLUSIVE, entries).await.unwrap();
    let before = (recovered(&journal, signer(1)).await, recovered(&journal, signer(2)).await, journal.next_id().await);
    assert_eq!(journal.prune(RETENTION).await.unwrap(), 2);
    let ids = |entries: Vec<JournalEntry>| entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    assert_eq!(ids(journal.newest(10).await.unwrap()), [7, 6, 5, 4, 3, 1]);
    let after = (recovered(&journal, signer(1)).await, recovered(&journal, signer(2)).await, journal.next_id().await);
    assert_eq!(before, after);
    assert_eq!(journal.prune(RETENTION).await.unwrap(), 0);
}

/// Limits the size of the file; less than it has keeps it from growing.
async fn limit(file: &Worker<JournalFile>, pages: u32) {
    let limit = move |connection: &mut Connection| {
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, u32>(0))
    };
    file.run(limit).await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_a_write_fails_and_earlier_ones_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = open(&Arc::new(Folder::lock(folder.path()).unwrap()), &IDENTITY).unwrap();
    let alerts = AlertQueue::new(Arc::clone(&file));
    let id = alerts.enqueue("before", "").await.unwrap();
    limit(&file, 1).await;
    let text = alerts.enqueue("after", &"long ".repeat(10_000)).await.unwrap_err().to_string();
    assert!(text.contains("journal.db") && text.contains("make room"), "{text}");
    limit(&file, 1_000).await;
    assert!(alerts.enqueue("room again", "").await.unwrap() > id);
    let kinds: Vec<_> = alerts.pending(10).await.unwrap().into_iter().map(|alert| alert.target).collect();
    assert_eq!(kinds, ["before", "room again"]);
}

#[tokio::test]
async fn the_log_has_its_size_from_the_start_and_the_file_does_not_grow_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = open(&Arc::new(Folder::lock(folder.path()).unwrap()), &IDENTITY).unwrap();
    let size = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    let log = size("journal.db-wal");
    assert!(log >= 4_096 * 1_000, "{log}");
    assert!(size("journal.db") < 1_000_000);
    let alerts = AlertQueue::new(Arc::clone(&file));
    for _ in 0..50 {
        alerts.enqueue("target", "body").await.unwrap();
    }
    assert_eq!(size("journal.db-wal"), log);
    assert_eq!(alerts.pending(100).await.unwrap().len(), 50);
}

/// SQLite would begin after 1,000 pages, within a commit.
#[test]
fn the_log_is_moved_into_the_file_between_commits() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = JournalFile::open(&Arc::new(Folder::lock(folder.path()).unwrap()), &IDENTITY).unwrap();
    let mut write = |number: u32, more_are_waiting| {
        let write = "INSERT OR REPLACE INTO notes (name, text) VALUES ('number', ?1)";
        file.run(|connection| connection.execute(write, [number.to_string()])).unwrap();
        file.after_job(more_are_waiting);
    };
    let without_log = || -> Option<u32> {
        let uri = format!("file:{}?immutable=1", folder.path().join(KIND.name).display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri, flags).unwrap();
        let select = "SELECT text FROM notes WHERE name = 'number'";
        let number = connection.query_row(select, [], |row| row.get::<_, String>(0)).optional().unwrap();
        number.map(|number| number.parse().unwrap())
    };
    for number in 1..=JOBS_PER_CHECKPOINT {
        write(number, true);
    }
    assert_eq!(without_log(), None, "a job that waits comes first");
    write(0, false);
    assert_eq!(without_log(), Some(0));
    for number in 1..=JOBS_PER_CHECKPOINT {
        assert_eq!(without_log(), Some(0));
        write(number, false);
    }
    assert_eq!(without_log(), Some(JOBS_PER_CHECKPOINT));
}
