//! Snapshots: exported while a keeper writes, imported into an empty folder, refused where they are of something else.

use std::fs;

use super::*;
use crate::store::{SnapshotImport, export};

#[tokio::test]
async fn a_snapshot_of_a_store_in_use_starts_another_one() {
    let folder = folder_with(3).await;
    let store = open(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("snapshot.db");
    assert_eq!(export(folder.path(), &file).unwrap(), tip(1));
    store.checkpoint.record(tip(2), vec![image(0, "later")]).await.unwrap();

    let other = elsewhere.path().join("store");
    let import = SnapshotImport::open(&other, &IDENTITY, &file).unwrap();
    assert_eq!(import.tip(), tip(1));
    import.commit().unwrap();
    let rows = (0..3).map(|row| image(row, "a row of some length")).collect();
    assert_eq!(loaded(&open(&other).checkpoint).await, Some((1, rows)));
}

#[tokio::test]
async fn an_imported_snapshot_replaces_the_checkpoint_and_keeps_the_old_one() {
    let (folder, other) = (folder_with(2).await, folder_with(5).await);
    let file = folder.path().join("snapshot.db");
    export(folder.path(), &file).unwrap();
    SnapshotImport::open(other.path(), &IDENTITY, &file).unwrap().commit().unwrap();
    assert_eq!(loaded(&open(other.path()).checkpoint).await.unwrap().1.len(), 2);
    assert!(other.path().join("book.db.old").exists() && !other.path().join("book.db.import").exists());
}

#[tokio::test]
async fn a_snapshot_of_another_deployment_or_a_damaged_one_is_refused_and_the_checkpoint_stays() {
    let (folder, other) = (folder_with(2).await, folder_with(5).await);
    let file = folder.path().join("snapshot.db");
    export(folder.path(), &file).unwrap();
    let text = export(folder.path(), &file).unwrap_err().to_string();
    assert!(text.contains("is there already"), "{text}");

    let elsewhere = Identity { core: Address::repeat_byte(8), ..IDENTITY };
    let text = SnapshotImport::open(other.path(), &elsewhere, &file).unwrap_err().to_string();
    assert!(text.contains("core"), "{text}");
    let mut damaged = fs::read(&file).unwrap();
    damaged.iter_mut().skip(4_200).step_by(3).for_each(|byte| *byte ^= 0x55);
    fs::write(&file, damaged).unwrap();
    let text = SnapshotImport::open(other.path(), &IDENTITY, &file).unwrap_err().to_string();
    assert!(text.starts_with(&format!("{} is no snapshot that can be used", file.display())), "{text}");
    assert_eq!(loaded(&open(other.path()).checkpoint).await.unwrap().1.len(), 5);

    let empty = tempfile::tempdir().unwrap();
    drop(open(empty.path()));
    let text = export(empty.path(), &empty.path().join("none.db")).unwrap_err().to_string();
    assert!(text.contains("no checkpoint"), "{text}");
}
