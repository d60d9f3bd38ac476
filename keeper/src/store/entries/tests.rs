//! The journal through restarts, against one in memory.

use alloy::primitives::{B256, U256};

use super::*;
use crate::{
    intent::{Intent, Purpose, Urgency},
    sender::{
        MemoryJournal,
        journal::{Attempt, Fees, Kind, Place, State},
    },
    store::{Store, tests::IDENTITY},
};

fn open(folder: &tempfile::TempDir) -> SqliteJournal {
    Store::open(folder.path(), &IDENTITY).unwrap().journal
}

fn signer(number: u8) -> Address {
    Address::repeat_byte(number)
}

fn entry(id: u64, signer: Address, nonce: u64, state: State) -> Entry {
    Entry {
        id,
        signer,
        nonce,
        turn: 0,
        intent: Intent {
            purpose: Purpose::ClaimOwn { pool: B256::ZERO, reward_token: Address::ZERO },
            urgency: Urgency::Patient,
            to: Address::repeat_byte(4),
            data: vec![1, 2, 3].into(),
            gas_limit: 100_000,
            expected_gas: 90_000,
            expected_gain: U256::MAX,
            deadline: 5,
        },
        attempts: vec![Attempt {
            kind: Kind::Call,
            raw: vec![2; 300].into(),
            hash: B256::left_padding_from(&id.to_be_bytes()),
            fees: Fees { max_fee: u128::MAX, tip: 1 },
            block: 5,
        }],
        state,
        created_at: 1,
        changed_at: 2,
    }
}

fn place() -> Place {
    Place { hash: B256::repeat_byte(1), block: 7, block_hash: B256::repeat_byte(2) }
}

/// What a journal knows, which says it in any order.
async fn known(journal: &impl Journal, signer: Address) -> Recovered {
    let mut recovered = journal.recover(signer).await.unwrap();
    recovered.unsettled.sort_by_key(|entry| entry.id);
    recovered
}

#[tokio::test]
async fn after_a_restart_it_knows_what_one_in_memory_would() {
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryJournal::default();
    let (ours, other) = (signer(1), signer(2));
    let writes = [
        vec![entry(0, ours, 40, State::Sent)],
        vec![entry(1, ours, 41, State::Sent), entry(2, other, 900, State::Sent)],
        vec![entry(0, ours, 40, State::Mined(place()))],
        // Out of order, and two with one nonce.
        vec![entry(4, ours, 43, State::Sent), entry(3, ours, 42, State::Sent), entry(5, ours, 42, State::Sent)],
        vec![entry(0, ours, 40, State::Final(place())), entry(3, ours, 42, State::Replaced { by: 5 })],
        vec![entry(2, other, 900, State::Lost)],
        vec![],
    ];
    for write in writes {
        open(&folder).record(write.clone()).await.unwrap();
        memory.record(write).await.unwrap();
        let journal = open(&folder);
        for signer in [ours, other, signer(3)] {
            assert_eq!(known(&journal, signer).await, known(&memory, signer).await);
        }
        assert_eq!(journal.next_id().await, memory.next_id().await);
    }
}

#[tokio::test]
async fn what_is_written_together_is_there_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let impossible = entry(1, signer(1), u64::MAX, State::Sent);
    let error = journal.record(vec![entry(0, signer(1), 7, State::Sent), impossible]).await.unwrap_err();
    assert!(error.problem.contains("journal.db"), "{error}");
    assert_eq!(journal.recover(signer(1)).await.unwrap(), Recovered::default());
}

#[tokio::test]
async fn a_settled_entry_stays_on_record_without_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let settled = entry(0, signer(1), 7, State::Final(place()));
    let sent = entry(1, signer(1), 8, State::Sent);
    journal.record(vec![settled.clone(), sent.clone()]).await.unwrap();
    let newest = journal.newest(10).await.unwrap();
    let mut bare = settled;
    bare.attempts.iter_mut().for_each(|attempt| attempt.raw = Bytes::new());
    assert_eq!(newest, [sent, bare]);
    assert_eq!(journal.newest(1).await.unwrap(), newest.get(..1).unwrap());
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_an_error_and_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    journal.record(vec![entry(0, signer(1), 7, State::Sent)]).await.unwrap();
    journal.run(|connection| connection.execute("UPDATE entries SET entry = '{}'", []).map(drop)).await.unwrap();
    let error = journal.recover(signer(1)).await.unwrap_err();
    assert!(error.problem.contains("journal.db") && error.problem.contains("missing field"), "{error}");
}

#[tokio::test]
async fn what_is_old_is_forgotten_unless_it_says_where_to_go_on() {
    const KEEP: Duration = Duration::from_secs(100);
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let of = |id, number, nonce, state, changed_at| Entry { changed_at, ..entry(id, signer(number), nonce, state) };
    let settled = State::Final(place());
    let entries = vec![
        of(0, 1, 7, settled, 10),
        of(1, 1, 8, State::Sent, 10),
        of(2, 1, 8, State::Replaced { by: 1 }, 10),
        // As old, and the newest of its signer.
        of(3, 1, 9, settled, 10),
        of(4, 2, 500, State::Lost, 10),
        // Just not old enough, and what shows how late it is.
        of(5, 3, 1, settled, 900),
        of(6, 3, 2, settled, 1_000),
        // The highest id.
        of(7, 3, 0, settled, 10),
    ];
    journal.record(entries).await.unwrap();
    let before = (known(&journal, signer(1)).await, known(&journal, signer(2)).await, journal.next_id().await);
    assert_eq!(journal.prune(KEEP).await.unwrap(), 2);
    let left = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    assert_eq!(left(journal.newest(10).await.unwrap()), [7, 6, 5, 4, 3, 1]);
    let after = (known(&journal, signer(1)).await, known(&journal, signer(2)).await, journal.next_id().await);
    assert_eq!(before, after);
    assert_eq!(journal.prune(KEEP).await.unwrap(), 0);
}
