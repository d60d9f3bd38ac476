//! The journal: what holds in a folder and in a database alike, and what a database adds – leases, fences and claims.

use std::{path::Path, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, U256};
use eyre::{ContextCompat, ensure};
use plimsoll_chain::secret::Secret;
use plimsoll_keeper::{
    config,
    intent::{Fees, GuardKind, Inclusion, Intent, Priority, Purpose, Scope},
    safety::{SafetyRecord, SafetyStore},
    sender::journal::{Attempt, AttemptKind, Claim, EntryState, Journal, JournalEntry, JournalError, Lease},
    store::{Identity, Records, ResultRow, ResultStatus, Server, Store},
};
use plimsoll_testkit::postgres::Postgres;

const IDENTITY: Identity =
    Identity { chain_id: 8_453, genesis: B256::repeat_byte(7), core: Address::repeat_byte(1), rewards: None };
const SIGNER: Address = Address::repeat_byte(8);
const OTHER: Address = Address::repeat_byte(9);
const NOWHERE: Inclusion = Inclusion { hash: B256::ZERO, block: 1, block_hash: B256::ZERO };

fn settings(server: &Postgres, folder: &Path, name: &str) -> eyre::Result<config::Store> {
    let url = Arc::new(Secret::new(server.url()?));
    let postgres = config::Postgres { url, lease: Duration::from_secs(600), name: name.to_owned() };
    let folder = folder.join(name);
    Ok(config::Store { folder, retention: Duration::from_secs(100), postgres: Some(postgres) })
}

/// Opens the records as a keeper with a folder of this name does.
async fn records(server: &Postgres, folder: &Path, name: &str) -> eyre::Result<Records> {
    let settings = settings(server, folder, name)?;
    let store = Store::open(&settings.folder, &IDENTITY)?;
    Ok(Records::open(&settings, &store, &IDENTITY).await?)
}

fn entry(id: u64, signer: Address, nonce: u64, state: EntryState) -> JournalEntry {
    JournalEntry {
        id,
        signer,
        nonce,
        replacement_index: 0,
        intent: Intent {
            purpose: Purpose::Liquidate { market: B256::ZERO, borrowers: vec![Address::ZERO] },
            priority: Priority::High,
            to: Address::repeat_byte(4),
            data: vec![1, 2, 3].into(),
            gas_limit: 1,
            expected_gas: 1,
            expected_gain: U256::MAX,
            extra_wei: U256::ZERO,
            margin_bps: 0,
            deadline: 1,
            scope: Scope::new("liquidate", B256::ZERO),
            guard: GuardKind::UpTo(u128::MAX),
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
        created_at: id,
        changed_at: id,
    }
}

fn result(intent: u64, at: u64) -> ResultRow {
    ResultRow {
        intent,
        at,
        block: 7,
        hash: B256::ZERO,
        strategy: "harvest".to_owned(),
        place: "plim".to_owned(),
        accounts: 1,
        status: ResultStatus::Mined,
        gain_wei: U256::MAX,
        gas_wei: U256::ZERO,
        tip_wei: None,
        builder_wei: U256::ZERO,
        data_fee_wei: U256::ZERO,
        profit: None,
    }
}

/// What every journal promises, in a file or in a database.
async fn keeps_what_it_promises(records: &Records) -> eyre::Result<()> {
    let lease = records.acquire(&[SIGNER, OTHER]).await?.wrap_err("nobody else has it")?;
    let first = records.next_id().await?;
    let entry = |id, signer, nonce, state| entry(first + id, signer, nonce, state);
    ensure!(records.recover(SIGNER).await?.next_nonce.is_none());
    records.record(lease, vec![entry(0, SIGNER, 40, EntryState::Sent), entry(1, SIGNER, 41, EntryState::Sent)]).await?;
    records.record(lease, vec![entry(2, OTHER, 900, EntryState::Sent)]).await?;
    records.record(lease, vec![entry(0, SIGNER, 40, EntryState::Mined(NOWHERE))]).await?;
    let recovered = records.recover(SIGNER).await?;
    let mut unsettled = recovered.unsettled;
    unsettled.sort_by_key(|entry| entry.id);
    ensure!(recovered.next_nonce == Some(42));
    ensure!(unsettled == [entry(0, SIGNER, 40, EntryState::Mined(NOWHERE)), entry(1, SIGNER, 41, EntryState::Sent)]);
    ensure!(records.recover(OTHER).await?.next_nonce == Some(901));
    ensure!(records.next_id().await? > first + 2);

    // Settled entries are pruned, except for each signer's last nonce.
    records
        .record(lease, vec![entry(0, SIGNER, 40, EntryState::Final(NOWHERE)), entry(500, SIGNER, 42, EntryState::Lost)])
        .await?;
    ensure!(records.prune(Duration::from_secs(100)).await? == 1);
    ensure!(records.recover(SIGNER).await?.next_nonce == Some(43));

    let safety = records.safety(SIGNER);
    ensure!(safety.read().await?.is_none());
    safety.write(SafetyRecord::default()).await?;
    ensure!(safety.read().await?.is_some());
    for intent in [1, 1, 2] {
        records.record_result(&result(intent, intent)).await?;
    }
    Ok(records.take_back_result(2).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_and_a_database_keep_the_same_promises() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), &IDENTITY)?;
    keeps_what_it_promises(&Records::of_folder(&store)).await?;
    let server = Postgres::start().await?;
    let records = records(&server, folder.path(), "a").await?;
    keeps_what_it_promises(&records).await?;
    let Records::Server(connected) = &records else { unreachable!() };
    ensure!(connected.read_results(0..u64::MAX).await? == [result(1, 1)]);
    ensure!(connected.read_results(2..u64::MAX).await?.is_empty());
    // A member that started later has higher ids, and may be long idle.
    records.record_result(&result(1 << 32, 2)).await?;
    records.record_result(&result(2, 3)).await?;
    ensure!(records.newest_results(2).await? == [result(2, 3), result(1 << 32, 2)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_one_keepers_and_one_that_lost_it_writes_nothing() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Postgres::start().await?;
    let [first, second] = [records(&server, folder.path(), "a").await?, records(&server, folder.path(), "b").await?];
    let lease = first.acquire(&[SIGNER]).await?.wrap_err("it is free")?;
    ensure!(lease.previous.is_none());
    first.record(lease, vec![entry(0, SIGNER, 0, EntryState::Sent)]).await?;
    ensure!(second.acquire(&[OTHER, SIGNER]).await?.is_none(), "one of the two is held");
    ensure!(second.acquire(&[OTHER]).await?.is_some(), "nothing was taken of the two");

    // The same keeper, after it lost its connection, for example.
    let again = first.acquire(&[SIGNER]).await?.wrap_err("it is its own")?;
    ensure!(again.previous == Some(lease.fence) && again.fence > lease.fence);
    let old = first.record(lease, vec![entry(1, SIGNER, 1, EntryState::Sent)]).await;
    ensure!(old == Err(JournalError::Fenced), "{old:?}");

    // It expires by the database's clock.
    let (client, connection) = tokio_postgres::connect(&server.url()?, tokio_postgres::NoTls).await?;
    let _connection = tokio::spawn(connection);
    client.batch_execute("UPDATE plimsoll.leases SET until = clock_timestamp()").await?;
    let expired = first.record(again, vec![entry(1, SIGNER, 1, EntryState::Sent)]).await;
    ensure!(expired == Err(JournalError::Fenced), "{expired:?}");
    let taken = second.acquire(&[SIGNER]).await?.wrap_err("it has expired")?;
    ensure!(taken.previous.is_none() && taken.fence > again.fence);
    let late = first.record(again, vec![entry(2, SIGNER, 1, EntryState::Sent)]).await;
    ensure!(late == Err(JournalError::Fenced), "{late:?}");
    ensure!(first.heartbeat(Some(again), 1).await == Err(JournalError::Fenced));
    first.safety(SIGNER).write(SafetyRecord::default()).await?;
    ensure!(second.safety(SIGNER).read().await?.is_none(), "the record is the holder's to write");
    let recovered = second.recover(SIGNER).await?;
    ensure!(recovered.unsettled == [entry(0, SIGNER, 0, EntryState::Sent)], "{recovered:?}");

    // One that is released can be taken at once.
    second.release(taken).await?;
    ensure!(first.acquire(&[SIGNER]).await?.is_some());
    let status = first.heartbeat(None, 12).await?;
    ensure!(
        status.members.iter().any(|member| member.is_self && member.head == 12 && member.name == "a"),
        "{status:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keepers_never_hold_one_subject() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Postgres::start().await?;
    let [first, second] = [records(&server, folder.path(), "a").await?, records(&server, folder.path(), "b").await?];
    let ours = first.acquire(&[SIGNER]).await?.wrap_err("it is free")?;
    let theirs = second.acquire(&[OTHER]).await?.wrap_err("it is free")?;
    let claims = |wanted: &[(&str, u64)]| -> Vec<_> {
        let claim =
            |(subject, intent): &(&str, u64)| Claim { subject: (*subject).to_owned(), intent: *intent, deadline: 100 };
        wanted.iter().map(claim).collect()
    };
    let none: [u64; 0] = [];
    ensure!(first.claim(ours, SIGNER, claims(&[("x", 1), ("y", 1), ("z", 2)]), (10, 50)).await? == none);
    ensure!(second.claim(theirs, OTHER, claims(&[("y", 7), ("w", 7), ("v", 8)]), (10, 50)).await? == [7]);
    ensure!(first.claim(ours, SIGNER, claims(&[("x", 3)]), (10, 50)).await? == none, "its own signer's");

    // Mined in block 12: one that has not applied it sees the loan as it was.
    first.end_claims(SIGNER, vec![(2, Some(12))]).await?;
    ensure!(second.claim(theirs, OTHER, claims(&[("z", 9)]), (11, 50)).await? == [9]);
    ensure!(second.claim(theirs, OTHER, claims(&[("z", 9)]), (12, 50)).await? == none);
    // Dropped, and past its deadline.
    first.end_claims(SIGNER, vec![(1, Some(0))]).await?;
    ensure!(second.claim(theirs, OTHER, claims(&[("y", 10)]), (10, 50)).await? == none);
    ensure!(second.claim(theirs, OTHER, claims(&[("x", 11)]), (12, 100)).await? == [11]);
    ensure!(second.claim(theirs, OTHER, claims(&[("x", 11)]), (12, 101)).await? == none);
    let stale = Lease { fence: ours.fence + 1_000, previous: None };
    ensure!(first.claim(stale, SIGNER, claims(&[("u", 1)]), (12, 101)).await == Err(JournalError::Fenced));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_journal_is_refused_with_the_remedy() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Postgres::start().await?;
    let mut settings = settings(&server, folder.path(), "a")?;
    let postgres = settings.postgres.clone().wrap_err("it is set")?;
    let refusal = async |postgres: &config::Postgres| -> eyre::Result<String> {
        Ok(Server::open(postgres, &IDENTITY).await.err().wrap_err("it is not refused")?.to_string())
    };
    ensure!(Server::inspect(&postgres, &IDENTITY).await?.is_none(), "there are no tables yet");
    Server::open(&postgres, &IDENTITY).await?;
    ensure!(Server::inspect(&postgres, &IDENTITY).await?.is_some());

    let (client, connection) = tokio_postgres::connect(&server.url()?, tokio_postgres::NoTls).await?;
    let _connection = tokio::spawn(connection);
    client.batch_execute("UPDATE plimsoll.meta SET schema = 9").await?;
    let newer = refusal(&postgres).await?;
    ensure!(newer.contains("version 9") && newer.contains("run the keeper that wrote them"), "{newer}");
    client
        .batch_execute("UPDATE plimsoll.meta SET schema = 2; ALTER DATABASE postgres SET synchronous_commit = off")
        .await?;
    let asynchronous = refusal(&postgres).await?;
    ensure!(asynchronous.contains("synchronous_commit = off"), "{asynchronous}");
    client.batch_execute("ALTER DATABASE postgres RESET synchronous_commit").await?;
    Server::open(&postgres, &IDENTITY).await?;

    // Tables of the first version, which had no index of the newest results.
    let first = "DROP INDEX plimsoll.results_deployment_at_intent_idx; UPDATE plimsoll.meta SET schema = 1";
    client.batch_execute(first).await?;
    ensure!(Server::inspect(&postgres, &IDENTITY).await?.is_none(), "they are older");
    Server::open(&postgres, &IDENTITY).await?;
    ensure!(Server::inspect(&postgres, &IDENTITY).await?.is_some());
    let index = "SELECT to_regclass('plimsoll.results_deployment_at_intent_idx') IS NOT NULL";
    ensure!(client.query_one(index, &[]).await?.get::<_, bool>(0));

    // A folder whose journal has something pending is not left behind.
    let store = Store::open(&settings.folder, &IDENTITY)?;
    store.journal.record(Lease::EXCLUSIVE, vec![entry(0, SIGNER, 0, EntryState::Sent)]).await?;
    let pending = Records::open(&settings, &store, &IDENTITY).await.err().wrap_err("it is opened")?.to_string();
    ensure!(pending.contains("1 transactions") && pending.contains("without `postgres`"), "{pending}");
    settings.postgres = None;
    Records::open(&settings, &store, &IDENTITY).await?;

    let secret = "postgres://keeper:not-to-be-shown@127.0.0.1:1/plimsoll";
    let nobody = config::Postgres { url: Arc::new(Secret::new(secret.to_owned())), ..postgres };
    let unreachable = refusal(&nobody).await?;
    ensure!(unreachable.contains("127.0.0.1:1/plimsoll") && !unreachable.contains("not-to-be-shown"), "{unreachable}");
    Ok(())
}
