//! Files and folders that are not opened, and what the errors say.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use rusqlite::Connection;

use super::*;

/// Enough rows to fill some hundred pages.
const ROWS: u32 = 10_000;
const PAGE: u64 = 4_096;

fn journal(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("journal.db")
}

fn book(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("book.db")
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[tokio::test]
async fn a_second_keeper_is_refused_while_the_first_one_runs() {
    let folder = folder_with(1).await;
    let first = open(folder.path());
    let process = format!("process {}", std::process::id());
    let path = folder.path().display().to_string();
    assert_says(&refusal(folder.path(), &IDENTITY), &[&path, &process, "stop that one", "a folder of its own"]);
    // As long as any part of the store exists.
    let alerts = first.alerts.clone();
    drop(first);
    assert_says(&refusal(folder.path(), &IDENTITY), &["is in use by"]);
    drop(alerts);
    open(folder.path());
}

#[tokio::test]
async fn the_files_of_a_local_chain_that_was_started_again_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let local = Identity { chain_id: 31_337, ..IDENTITY };
    drop(Store::open(folder.path(), &local).unwrap());
    let text = refusal(folder.path(), &Identity { genesis: B256::ZERO, ..local });
    assert_says(&text, &["chain 31337 was started again", "delete that folder", &folder.path().display().to_string()]);
}

#[tokio::test]
async fn files_of_another_chain_or_deployment_are_refused_with_both_values() {
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
async fn a_checkpoint_of_another_chain_next_to_a_fitting_journal_is_refused() {
    let (folder, elsewhere) = (folder_with(1).await, tempfile::tempdir().unwrap());
    Store::open(elsewhere.path(), &Identity { chain_id: 1, ..IDENTITY }).unwrap();
    fs::copy(book(&elsewhere), book(&folder)).unwrap();
    assert_says(&refusal(folder.path(), &IDENTITY), &["book.db", "chain id 1,", "chain id 8453", "do not mix"]);
    assert!(!folder.path().join("book.db.old").exists());
}

#[tokio::test]
async fn with_other_staking_programmes_the_book_is_rebuilt_and_the_journal_kept() {
    let folder = folder_with(1).await;
    for rewards in [None, IDENTITY.rewards] {
        let store = Store::open(folder.path(), &Identity { rewards, ..IDENTITY }).unwrap();
        assert_eq!(loaded(&store.checkpoint).await, None);
        assert_eq!(store.alerts.pending(10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_file_of_a_newer_keeper_is_refused_and_a_checkpoint_too_old_to_upgrade_is_rebuilt() {
    let folder = folder_with(1).await;
    for (path, version) in [(journal(&folder), 5), (book(&folder), 2)] {
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let name = path.display().to_string();
        assert_says(
            &refusal(folder.path(), &IDENTITY),
            &[&name, "version 99", &format!("version {version}"), "run the keeper that wrote it"],
        );
        Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
    }
    Connection::open(book(&folder)).unwrap().pragma_update(None, "user_version", 0).unwrap();
    let store = open(folder.path());
    assert_eq!(loaded(&store.checkpoint).await, None);
    assert!(folder.path().join("book.db.old").exists());
}

#[tokio::test]
async fn another_programs_database_is_refused_and_not_changed() {
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

/// Ways to damage a file.
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
async fn a_damaged_journal_is_refused_and_not_changed() {
    for (what, damage) in damages() {
        let folder = folder_with(1).await;
        damage(&journal(&folder));
        let before = fs::read(journal(&folder)).unwrap();
        let text = refusal(folder.path(), &IDENTITY);
        assert_says(&text, &["journal.db is damaged (", "a backup of it", "move it away"]);
        assert_eq!(fs::read(journal(&folder)).unwrap(), before, "{what}");
    }
}

#[tokio::test]
async fn a_damaged_checkpoint_is_set_aside_for_a_new_one() {
    for (what, damage) in damages() {
        let folder = folder_with(ROWS).await;
        damage(&book(&folder));
        let store = open(folder.path());
        assert_eq!(loaded(&store.checkpoint).await, None, "{what}");
        assert!(folder.path().join("book.db.old").exists(), "{what}");
        store.checkpoint.record(tip(1), vec![image(5, "new")]).await.unwrap();
        store.checkpoint.record(tip(65), Vec::new()).await.unwrap();
        assert_eq!(loaded(&store.checkpoint).await, Some((1, vec![image(5, "new")])), "{what}");
        assert_eq!(store.alerts.pending(10).await.unwrap().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn without_its_database_the_log_of_a_checkpoint_is_set_aside() {
    let folder = folder_with(1).await;
    fs::rename(book(&folder), folder.path().join("book.db-wal")).unwrap();
    let store = open(folder.path());
    assert_eq!(loaded(&store.checkpoint).await, None);
}

#[tokio::test]
async fn without_its_database_the_log_of_a_journal_is_refused() {
    let folder = folder_with(1).await;
    fs::rename(journal(&folder), folder.path().join("journal.db-wal")).unwrap();
    assert_says(&refusal(folder.path(), &IDENTITY), &["journal.db-wal", "put the database back"]);
    assert!(!journal(&folder).exists());
}

#[tokio::test]
async fn a_new_file_that_was_not_finished_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("journal.db.new"), "half a").unwrap();
    fs::write(folder.path().join("journal.db.new-wal"), "half b").unwrap();
    let store = open(folder.path());
    assert_eq!(store.alerts.pending(10).await.unwrap(), []);
    assert!(!folder.path().join("journal.db.new").exists());
}

#[test]
fn a_file_that_cannot_be_opened_is_named_with_the_reason() {
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
