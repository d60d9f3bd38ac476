//! Files as older versions of the keeper wrote them, which are upgraded when they are opened.

use alloy::primitives::{Bytes, U256};
use rusqlite::Connection;

use super::*;
use crate::{
    intent::{Fees, GuardKind, Inclusion, Intent, Priority, Purpose, Scope},
    safety::SafetyStore,
    sender::journal::{Attempt, AttemptKind, EntryState, Journal, JournalEntry, Lease},
};

/// The identity as both files of versions 1 and 2 have it.
const IDENTITY_V1: &str = "
    CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    INSERT INTO identity VALUES
        ('chain id', '8453'),
        ('genesis', '0x0707070707070707070707070707070707070707070707070707070707070707'),
        ('core', '0x0101010101010101010101010101010101010101'),
        ('rewards', '0x0202020202020202020202020202020202020202');
";

/// `journal.db` of version 1: a liquidation that is pending in the place of a settled harvest, an open circuit breaker,
/// and an alert.
const JOURNAL_V1: &str = r#"
    CREATE TABLE entries (id INTEGER PRIMARY KEY, signer TEXT NOT NULL, nonce INTEGER NOT NULL, state TEXT NOT NULL,
                          settled INTEGER NOT NULL, entry TEXT NOT NULL) STRICT;
    CREATE INDEX nonces ON entries (signer, nonce);
    CREATE INDEX unsettled ON entries (signer) WHERE NOT settled;
    CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE alerts (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body TEXT NOT NULL) STRICT;
    INSERT INTO entries VALUES
        (7, '0x0909090909090909090909090909090909090909', 41, 'replaced', 1,
         '{"id":7,"signer":"0x0909090909090909090909090909090909090909","nonce":41,"turn":0,"intent":{"purpose":{"harvest":{"pool":"0x0303030303030303030303030303030303030303030303030303030303030303","reward_token":"0x0404040404040404040404040404040404040404","accounts":["0x0505050505050505050505050505050505050505"]}},"urgency":"patient","to":"0x0606060606060606060606060606060606060606","data":"0x010203","gas_limit":100000,"expected_gas":90000,"expected_gain":"0x64","deadline":1700000000},"attempts":[{"kind":"call","raw":"0x","hash":"0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a","fees":{"max_fee":20010000000,"tip":10000000},"block":4}],"state":{"replaced":{"by":8}},"created_at":1690000000,"changed_at":1690000024}'),
        (8, '0x0909090909090909090909090909090909090909', 41, 'mined', 0,
         '{"id":8,"signer":"0x0909090909090909090909090909090909090909","nonce":41,"turn":1,"intent":{"purpose":{"liquidate":{"market":"0x0303030303030303030303030303030303030303030303030303030303030303","borrowers":["0x0505050505050505050505050505050505050505"]}},"urgency":"urgent","to":"0x0606060606060606060606060606060606060606","data":"0x010203","gas_limit":100000,"expected_gas":90000,"expected_gain":"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff","deadline":1700000000},"attempts":[{"kind":"call","raw":"0x02f8","hash":"0x0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b","fees":{"max_fee":340282366920938463463374607431768211455,"tip":1180591620717411303424},"block":5},{"kind":"cancel","raw":"0x02f9","hash":"0x0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","fees":{"max_fee":2,"tip":1},"block":6}],"state":{"mined":{"hash":"0x0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b","block":7,"block_hash":"0x0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d"}},"created_at":1690000012,"changed_at":1690000036}');
    INSERT INTO notes VALUES
        ('safety', '{"day":19560,"lost":"0x258","reverts":[1690000001],"open_until":1690000600,"counted":["0x0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e"]}');
    INSERT INTO alerts VALUES (3, 'breaker', 'three reverts');
"#;

/// `book.db` of version 1, with two rows at block 9.
const BOOK_V1: &str = "
    CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE tip (only INTEGER PRIMARY KEY CHECK (only = 0), number INTEGER NOT NULL, hash BLOB NOT NULL,
                      timestamp INTEGER NOT NULL) STRICT;
    INSERT INTO rows VALUES (x'00000001', x'6f6e65'), (x'00000002', x'74776f');
    INSERT INTO tip VALUES (0, 9, x'0000000000000000000000000000000000000000000000000000000000000009', 1009);
";

fn create(path: &Path, application_id: &[u8; 4], version: i32, tables: &str) {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "application_id", i32::from_be_bytes(*application_id)).unwrap();
    connection.pragma_update(None, "user_version", version).unwrap();
    connection.execute_batch(IDENTITY_V1).unwrap();
    connection.execute_batch(tables).unwrap();
}

fn version_and_entries(path: &Path) -> (i32, Vec<String>) {
    let connection = Connection::open(path).unwrap();
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let mut select = connection.prepare("SELECT entry FROM entries ORDER BY id").unwrap();
    let entries = select.query_map([], |row| row.get(0)).unwrap();
    (version, entries.collect::<rusqlite::Result<_>>().unwrap())
}

/// The entries of [`JOURNAL_V1`].
fn entries() -> [JournalEntry; 2] {
    let attempt = |kind, raw: &'static [u8], hash, (max_fee_per_gas, max_priority_fee_per_gas), block| Attempt {
        kind,
        raw: Bytes::from_static(raw),
        hash: B256::repeat_byte(hash),
        fees: Fees { max_fee_per_gas, max_priority_fee_per_gas },
        block,
    };
    let entry = |id, purpose, priority, expected_gain, attempts, state, at| JournalEntry {
        id,
        signer: Address::repeat_byte(9),
        nonce: 41,
        replacement_index: u32::from(id == 8),
        intent: Intent {
            purpose,
            priority,
            to: Address::repeat_byte(6),
            data: Bytes::from_static(&[1, 2, 3]),
            gas_limit: 100_000,
            expected_gas: 90_000,
            expected_gain,
            extra_wei: U256::ZERO,
            margin_bps: 0,
            deadline: 1_700_000_000,
            scope: Scope::new(if id == 8 { "liquidate" } else { "harvest" }, B256::repeat_byte(3)),
            guard: GuardKind::None,
            bid: 0,
            profit: None,
        },
        attempts,
        state,
        created_at: at,
        changed_at: at + 24,
    };
    let (market, account) = (B256::repeat_byte(3), Address::repeat_byte(5));
    let harvest = Purpose::Harvest { pool: market, reward_token: Address::repeat_byte(4), accounts: vec![account] };
    let liquidation = Purpose::Liquidate { market, borrowers: vec![account] };
    let inclusion = Inclusion { hash: B256::repeat_byte(11), block: 7, block_hash: B256::repeat_byte(13) };
    [
        entry(
            7,
            harvest,
            Priority::Low,
            U256::from(100),
            vec![attempt(AttemptKind::Call, &[], 10, (20_010_000_000, 10_000_000), 4)],
            EntryState::Replaced { by: 8 },
            1_690_000_000,
        ),
        entry(
            8,
            liquidation,
            Priority::High,
            U256::MAX,
            vec![
                attempt(AttemptKind::Call, &[0x02, 0xf8], 11, (u128::MAX, 1 << 70), 5),
                attempt(AttemptKind::Cancel, &[0x02, 0xf9], 12, (2, 1), 6),
            ],
            EntryState::Mined(inclusion),
            1_690_000_012,
        ),
    ]
}

#[tokio::test]
async fn a_journal_of_version_1_is_upgraded_and_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    create(&path, b"PLjr", 1, JOURNAL_V1);
    for _ in 0..2 {
        let store = open(folder.path());
        let [settled, pending] = entries();
        assert_eq!(store.journal.newest(10).await.unwrap(), [pending.clone(), settled]);
        let recovered = store.journal.recover(pending.signer).await.unwrap();
        assert_eq!((recovered.next_nonce, recovered.unsettled), (Some(42), vec![pending]));
        assert_eq!(store.journal.next_id().await.unwrap(), 9);
        let record = SafetyStore::read(&store.notes).await.unwrap().unwrap();
        assert_eq!(record.results.on_day(19_560 * 86_400).lost_wei, U256::from(600));
        let alert = Alert { id: 3, target: "breaker".into(), body: "three reverts".into() };
        assert_eq!(store.alerts.pending(10).await.unwrap(), [alert]);
    }
}

#[tokio::test]
async fn an_upgraded_entry_is_the_one_that_would_be_written_today() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    create(&path, b"PLjr", 1, JOURNAL_V1);
    drop(open(folder.path()));
    let upgraded = version_and_entries(&path);
    open(folder.path()).journal.record(Lease::EXCLUSIVE, entries().into()).await.unwrap();
    assert_eq!(upgraded, version_and_entries(&path));
    assert_eq!(upgraded.0, 5);
}

/// The entries of `journal_v2.sql`.
fn entries_v2() -> Vec<JournalEntry> {
    use AttemptKind::{Call, Cancel};
    use Priority::{High, Low};

    let (market, pool, token) = (B256::repeat_byte(3), B256::repeat_byte(4), Address::repeat_byte(5));
    let accounts = vec![Address::repeat_byte(6), Address::repeat_byte(7)];
    let inclusion =
        |byte| Inclusion { hash: B256::repeat_byte(byte), block: 17, block_hash: B256::repeat_byte(byte + 0x80) };
    let liquidation = (Purpose::Liquidate { market, borrowers: accounts.clone() }, High);
    let harvest = (Purpose::Harvest { pool, reward_token: token, accounts }, Low);
    let own = (Purpose::ClaimOwn { pool, reward_token: token }, Low);
    let entry =
        |id: u8, nonce, index, (purpose, priority): &(Purpose, Priority), kinds: &[AttemptKind], state: EntryState| {
            let attempt = |(kind, at): (&AttemptKind, u8)| Attempt {
                kind: *kind,
                raw: if state.is_settled() { Bytes::new() } else { vec![2, id, at].into() },
                hash: B256::repeat_byte(id + at * 0x10),
                fees: Fees {
                    max_fee_per_gas: u128::MAX - u128::from(at),
                    max_priority_fee_per_gas: (1 << 70) + u128::from(id),
                },
                block: 11,
            };
            JournalEntry {
                id: id.into(),
                signer: Address::repeat_byte(9),
                nonce,
                replacement_index: index,
                intent: Intent {
                    purpose: purpose.clone(),
                    priority: *priority,
                    to: Address::repeat_byte(10),
                    data: vec![1, 2, id].into(),
                    gas_limit: 13_500_000,
                    expected_gas: u64::MAX,
                    expected_gain: U256::MAX - U256::from(id),
                    extra_wei: U256::ZERO,
                    margin_bps: 0,
                    deadline: 1_700_000_000,
                    scope: match priority {
                        High => Scope::new("liquidate", market),
                        Low => Scope::new("harvest", pool),
                    },
                    guard: GuardKind::None,
                    bid: 0,
                    profit: None,
                },
                attempts: kinds.iter().zip(0..).map(attempt).collect(),
                state,
                created_at: 1_690_000_000 + u64::from(id),
                changed_at: 1_690_000_024 + u64::from(id),
            }
        };
    vec![
        entry(1, 40, 0, &harvest, &[Call], EntryState::Replaced { by: 2 }),
        entry(2, 40, 1, &liquidation, &[Call, Call], EntryState::Final(inclusion(0x12))),
        entry(3, 41, 0, &own, &[Call, Cancel], EntryState::Cancelled(inclusion(0x13))),
        entry(4, 42, 0, &liquidation, &[Call], EntryState::Lost),
        entry(5, 43, 0, &harvest, &[Call], EntryState::Mined(inclusion(5))),
        entry(6, 44, 0, &liquidation, &[Call, Cancel], EntryState::Sent),
        entry(7, 45, 0, &own, &[Call], EntryState::Sent),
    ]
}

#[tokio::test]
async fn every_entry_of_version_2_is_upgraded_to_what_would_be_written_today() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    create(&path, b"PLjr", 2, include_str!("journal_v2.sql"));
    let mut read = open(folder.path()).journal.newest(10).await.unwrap();
    read.reverse();
    assert_eq!(read, entries_v2());
    let upgraded = version_and_entries(&path);
    open(folder.path()).journal.record(Lease::EXCLUSIVE, entries_v2()).await.unwrap();
    assert_eq!(upgraded, version_and_entries(&path));
}

#[tokio::test]
async fn an_inspection_tells_of_a_due_upgrade_and_does_not_perform_it() {
    let folder = tempfile::tempdir().unwrap();
    let inspected = || Store::inspect(folder.path(), &IDENTITY, &[]).unwrap();
    assert_eq!(inspected(), []);
    let (journal, book) = (folder.path().join("journal.db"), folder.path().join("book.db"));
    create(&journal, b"PLjr", 1, JOURNAL_V1);
    std::fs::write(&book, "not a database").unwrap();
    let before = version_and_entries(&journal);
    for _ in 0..2 {
        assert_eq!(inspected(), [DueChange::UpgradeJournal, DueChange::RenewCheckpoint]);
    }
    assert_eq!((version_and_entries(&journal), std::fs::read(&book).unwrap()), (before, b"not a database".to_vec()));
    let error = Store::inspect(folder.path(), &Identity { chain_id: 1, ..IDENTITY }, &[]).unwrap_err().to_string();
    assert!(error.contains("chain id 8453"), "{error}");
    drop(open(folder.path()));
    assert_eq!(inspected(), []);

    // The checkpoint of another protocol, beside them.
    let aave = snapshots::protocol(0xa1);
    let inspected = || Store::inspect(folder.path(), &IDENTITY, std::slice::from_ref(&aave));
    assert_eq!(inspected().unwrap(), []);
    drop(open(folder.path()).protocols.open(&aave).unwrap());
    assert_eq!(inspected().unwrap(), []);
    let file = folder.path().join(format!("aave-v3-{}.db", aave.address));
    std::fs::write(&file, "not a database").unwrap();
    assert_eq!(inspected().unwrap(), [DueChange::RenewProtocol("aave-v3".to_owned())]);
    assert_eq!(std::fs::read(&file).unwrap(), b"not a database");
}

#[tokio::test]
async fn a_journal_of_another_deployment_is_refused_before_it_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    create(&path, b"PLjr", 1, JOURNAL_V1);
    let before = version_and_entries(&path);
    let error = refusal(folder.path(), &Identity { chain_id: 1, ..IDENTITY });
    assert!(error.contains("chain id 8453") && error.contains("chain id 1"), "{error}");
    assert_eq!(version_and_entries(&path), before);
}

#[tokio::test]
async fn a_checkpoint_of_version_1_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    create(&folder.path().join("book.db"), b"PLbk", 1, BOOK_V1);
    let store = open(folder.path());
    let (of, rows) = store.checkpoint.load(|tip, images| (tip, images.collect::<Vec<_>>())).await.unwrap().unwrap();
    assert_eq!((of, rows), (tip(9), vec![image(1, "one"), image(2, "two")]));
}
