//! What is not opened, and what is said about it.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use rusqlite::Connection;

use super::*;

/// So many rows fill some hundred pages.
const ROWS: u32 = 10_000;
const PAGE: u64 = 4_096;

fn journal(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("journal.db")
}

fn book(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("book.db")
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[tokio::test]
async fn a_second_keeper_is_refused_while_the_first_one_lives() {
    let folder = folder_with(1).await;
    let first = open(folder.path());
    let process = format!("process {}", std::process::id());
    let path = folder.path().display().to_string();
    assert_says(&refusal(folder.path(), &IDENTITY), &[&path, &process, "stop that one", "a folder of its own"]);
    // As long as any part of it is there.
    let alerts = first.alerts.clone();
    drop(first);
    assert_says(&refusal(folder.path(), &IDENTITY), &["is in use by"]);
    drop(alerts);
    open(folder.path());
}

#[tokio::test]
async fn the_files_of_another_chain_or_deployment_are_refused_with_both_values() {
    let folder = folder_with(1).await;
    let others = [
        (Identity { chain_id: 1, ..IDENTITY }, "chain id 8453", "chain id 1"),
        (Identity { genesis: B256::ZERO, ..IDENTITY }, "genesis 0x0707", "genesis 0x0000"),
        (Identity { core: Address::ZERO, ..IDENTITY }, "core 0x0101", "core 0x0000"),
    ];
    for (identity, has, wants) in others {
        assert_says(&refusal(folder.path(), &identity), &["journal.db", has, wants, "a new one"]);
    }
    assert!(loaded(&open(folder.path()).checkpoint).await.is_some());
}

#[tokio::test]
async fn a_checkpoint_of_another_chain_beside_a_fitting_journal_is_refused() {
    let (folder, elsewhere) = (folder_with(1).await, tempfile::tempdir().unwrap());
    Store::open(elsewhere.path(), &Identity { chain_id: 1, ..IDENTITY }).unwrap();
    fs::copy(book(&elsewhere), book(&folder)).unwrap();
    assert_says(&refusal(folder.path(), &IDENTITY), &["book.db", "chain id 1,", "chain id 8453", "do not mix"]);
    assert!(!folder.path().join("book.db.old").exists());
}

#[tokio::test]
async fn other_staking_programmes_make_another_book_and_not_another_journal() {
    let folder = folder_with(1).await;
    for rewards in [None, IDENTITY.rewards] {
        let store = Store::open(folder.path(), &Identity { rewards, ..IDENTITY }).unwrap();
        assert_eq!(loaded(&store.checkpoint).await, None);
        assert_eq!(store.alerts.pending(10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_file_of_a_newer_keeper_is_refused_and_an_older_checkpoint_is_made_again() {
    let folder = folder_with(1).await;
    for path in [journal(&folder), book(&folder)] {
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let name = path.display().to_string();
        assert_says(
            &refusal(folder.path(), &IDENTITY),
            &[&name, "version 99", "version 1", "run the keeper that wrote it"],
        );
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 1).unwrap();
    }
    Connection::open(book(&folder)).unwrap().pragma_update(None, "user_version", 0).unwrap();
    let store = open(folder.path());
    assert_eq!(loaded(&store.checkpoint).await, None);
    assert!(folder.path().join("book.db.old").exists());
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    for name in ["journal.db", "book.db"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE bills (sum INTEGER)").unwrap();
        let before = fs::read(&path).unwrap();
        assert_says(&refusal(folder.path(), &IDENTITY), &[name, "another program's database", "move it"]);
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

type Damage = (&'static str, fn(&Path));

/// Ways in which a file is spoilt.
fn damages() -> Vec<Damage> {
    fn overwrite(path: &Path, page: u64, with: &[u8]) {
        let mut file = fs::File::options().read(true).write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(page * PAGE)).unwrap();
        let mut before = Vec::new();
        Read::by_ref(&mut file).take(1).read_to_end(&mut before).unwrap();
        assert!(!before.is_empty(), "there is no page {page}");
        file.seek(SeekFrom::Start(page * PAGE)).unwrap();
        file.write_all(with).unwrap();
    }
    vec![
        ("a text", |path| fs::write(path, "it was a dark and stormy night\n".repeat(1_000)).unwrap()),
        ("nothing", |path| fs::write(path, "").unwrap()),
        ("cut off within a page", |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() - PAGE - 100).unwrap();
        }),
        ("cut off after a page", |path| {
            fs::File::options().write(true).open(path).unwrap().set_len(PAGE).unwrap();
        }),
        ("a first page overwritten", |path| overwrite(path, 0, &[0xa5; 4_096])),
        ("a later page overwritten", |path| overwrite(path, 2, &[0xa5; 4_096])),
        ("a page of zeros", |path| overwrite(path, 2, &[0; 4_096])),
    ]
}

#[tokio::test]
async fn a_damaged_journal_is_refused_and_left_as_it_is() {
    for (what, damage) in damages() {
        let folder = folder_with(1).await;
        damage(&journal(&folder));
        let before = fs::read(journal(&folder)).unwrap();
        let said = refusal(folder.path(), &IDENTITY);
        assert_says(&said, &["journal.db is damaged (", "a backup of it", "move it away"]);
        assert_eq!(fs::read(journal(&folder)).unwrap(), before, "{what}");
    }
}

#[tokio::test]
async fn a_damaged_checkpoint_is_put_aside_and_begun_anew() {
    for (what, damage) in damages() {
        let folder = folder_with(ROWS).await;
        damage(&book(&folder));
        let store = open(folder.path());
        assert_eq!(loaded(&store.checkpoint).await, None, "{what}");
        assert!(folder.path().join("book.db.old").exists(), "{what}");
        store.checkpoint.record(tip(1), vec![image(5, "anew")]).await.unwrap();
        store.checkpoint.record(tip(65), Vec::new()).await.unwrap();
        assert_eq!(loaded(&store.checkpoint).await, Some((1, vec![image(5, "anew")])), "{what}");
        assert_eq!(store.alerts.pending(10).await.unwrap().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_checkpoint_that_is_gone_is_begun_anew_without_what_was_left_of_it() {
    let folder = folder_with(1).await;
    fs::rename(book(&folder), folder.path().join("book.db-wal")).unwrap();
    let store = open(folder.path());
    assert_eq!(loaded(&store.checkpoint).await, None);
}

#[tokio::test]
async fn what_is_left_beside_a_journal_that_is_gone_is_not_taken_for_a_new_ones() {
    let folder = folder_with(1).await;
    fs::rename(journal(&folder), folder.path().join("journal.db-wal")).unwrap();
    assert_says(&refusal(folder.path(), &IDENTITY), &["journal.db-wal", "put the database back"]);
    assert!(!journal(&folder).exists());
}

#[tokio::test]
async fn a_new_file_that_was_not_finished_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("journal.db.new"), "half a").unwrap();
    fs::write(folder.path().join("journal.db.new-wal"), "half b").unwrap();
    let store = open(folder.path());
    assert_eq!(store.alerts.pending(10).await.unwrap(), []);
    assert!(!folder.path().join("journal.db.new").exists());
}

#[test]
fn what_cannot_be_opened_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_says(&refusal(&file, &IDENTITY), &[&file.display().to_string(), "File exists"]);
    fs::create_dir(journal(&folder)).unwrap();
    assert_says(&refusal(folder.path(), &IDENTITY), &["journal.db", "let the keeper read and write"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to_is_named_with_the_reason() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(folder.path().join("probe"), "").is_ok() {
        writeln!(std::io::stderr(), "SKIPPED: this user may write everywhere").unwrap();
    } else {
        assert_says(&refusal(folder.path(), &IDENTITY), &["lock", "ermission denied"]);
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
}
