//! Snapshots: exported while a keeper writes, imported into an empty folder, refused where they are of something else.

use std::fs;

use plimsoll_protocols::{Deployment, ProtocolKind};

use super::*;
use crate::store::{Checkpointed, SnapshotImport, StoreError};

/// Exports the book.
fn export(folder: &Path, to: &Path) -> Result<CheckpointTip, StoreError> {
    crate::store::export(folder, &[Checkpointed::Book], to).map(|exported| exported.tips[0].1)
}

/// Begins to import the book.
fn import(folder: &Path, identity: &Identity, from: &Path) -> Result<SnapshotImport, StoreError> {
    SnapshotImport::open(folder, identity, &[Checkpointed::Book], from)
}

pub(super) fn protocol(byte: u8) -> Deployment {
    Deployment {
        protocol: ProtocolKind::AaveV3,
        chain_id: IDENTITY.chain_id,
        name: None,
        address: Address::repeat_byte(byte),
        first_block: 1,
        pre_liquidation_factory: None,
        source: None,
    }
}

#[tokio::test]
async fn a_snapshot_of_a_store_in_use_starts_another_one() {
    let folder = folder_with(3).await;
    let store = open(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("snapshot.db");
    assert_eq!(export(folder.path(), &file).unwrap(), tip(1));
    store.checkpoint.record(tip(2), vec![image(0, "later")]).await.unwrap();

    let other = elsewhere.path().join("store");
    let imported = import(&other, &IDENTITY, &file).unwrap();
    assert_eq!(imported.parts()[0].tip, tip(1));
    imported.commit().unwrap();
    let rows = (0..3).map(|row| image(row, "a row of some length")).collect();
    assert_eq!(loaded(&open(&other).checkpoint).await, Some((1, rows)));
}

#[tokio::test]
async fn an_imported_snapshot_replaces_the_checkpoint_and_keeps_the_old_one() {
    let (folder, other) = (folder_with(2).await, folder_with(5).await);
    let file = folder.path().join("snapshot.db");
    export(folder.path(), &file).unwrap();
    import(other.path(), &IDENTITY, &file).unwrap().commit().unwrap();
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
    let nowhere = folder.path().join("nowhere/snapshot");
    let text = export(folder.path(), &nowhere).unwrap_err().to_string();
    assert!(text.starts_with(&format!("{} cannot be written", nowhere.display())), "{text}");

    let elsewhere = Identity { core: Address::repeat_byte(8), ..IDENTITY };
    let text = import(other.path(), &elsewhere, &file).unwrap_err().to_string();
    assert!(text.contains("core"), "{text}");
    let whole = fs::read(&file).unwrap();
    let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap();
    let altered = |at: usize| {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        altered
    };
    let cases = [
        (whole[..whole.len() - 1].to_vec(), "it is cut off"),
        (whole[..first_line + 9].to_vec(), "it is cut off in its list"),
        (whole[..9].to_vec(), "it does not begin as one"),
        (Vec::new(), "it does not begin as one"),
        ([&whole[..], b"\0"].concat(), "something was appended"),
        (altered(3), "it does not begin as one"),
        (altered(first_line - 1), "its list of files was altered"),
        (altered(first_line + 9), "its list of files was altered"),
        (altered(whole.len() / 2), "book.db in it was altered"),
        (altered(whole.len() - 1), "book.db in it was altered"),
        (fs::read(folder.path().join("book.db")).unwrap(), "it carries no digest"),
    ];
    let before = fs::read(other.path().join("book.db")).unwrap();
    for (contents, problem) in cases {
        fs::write(&file, contents).unwrap();
        let text = import(other.path(), &IDENTITY, &file).unwrap_err().to_string();
        assert!(text.starts_with(&format!("{} is no snapshot that can be used", file.display())), "{text}");
        assert!(text.contains(problem), "{problem}: {text}");
        assert!(!other.path().join("book.db.import").exists());
        assert_eq!(fs::read(other.path().join("book.db")).unwrap(), before);
    }
    assert_eq!(loaded(&open(other.path()).checkpoint).await.unwrap().1.len(), 5);

    let empty = tempfile::tempdir().unwrap();
    drop(open(empty.path()));
    let text = export(empty.path(), &empty.path().join("none.db")).unwrap_err().to_string();
    assert!(text.contains("no checkpoint"), "{text}");
}

#[tokio::test]
async fn a_snapshot_has_the_checkpoints_of_other_protocols_and_import_takes_those_that_are_followed() {
    let (folder, elsewhere) = (folder_with(2).await, tempfile::tempdir().unwrap());
    let (aave, other, unread) = (protocol(0xa1), protocol(0xa2), protocol(0xa3));
    let store = open(folder.path());
    for (deployment, value) in [(&aave, "of Aave"), (&other, "of another")] {
        let checkpoint = store.protocols.open(deployment).unwrap();
        checkpoint.record(tip(1), vec![image(7, value)]).await.unwrap();
        checkpoint.record(tip(65), Vec::new()).await.unwrap();
        checkpoint.flush().await.unwrap();
    }
    let file = elsewhere.path().join("snapshot");
    let wanted = [&aave, &other, &unread].map(Checkpointed::Protocol);
    let exported = crate::store::export(folder.path(), &[&[Checkpointed::Book], &wanted[..]].concat(), &file).unwrap();
    assert_eq!(exported.tips.iter().map(|(_, tip)| *tip).collect::<Vec<_>>(), [tip(1); 3]);
    assert_eq!(exported.missing.len(), 1);
    let left: Vec<_> = fs::read_dir(elsewhere.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let target = elsewhere.path().join("store");
    let wanted = [Checkpointed::Book, Checkpointed::Protocol(&aave), Checkpointed::Protocol(&unread)];
    let imported = SnapshotImport::open(&target, &IDENTITY, &wanted, &file).unwrap();
    assert_eq!(imported.parts().len(), 2);
    assert_eq!(imported.left_out(), [format!("aave-v3-{}.db", other.address)]);
    let rows: Vec<Image> = imported.parts()[1].restore(|images| images.collect()).unwrap();
    assert_eq!(rows, [image(7, "of Aave")]);
    imported.commit().unwrap();
    let store = open(&target);
    assert_eq!(loaded(&store.checkpoint).await.unwrap().1.len(), 2);
    assert_eq!(loaded(&store.protocols.open(&aave).unwrap()).await, Some((1, vec![image(7, "of Aave")])));
    drop(store);

    let nothing = SnapshotImport::open(&target, &IDENTITY, &[Checkpointed::Protocol(&unread)], &file);
    let text = nothing.unwrap_err().to_string();
    assert!(text.contains("nothing that this configuration follows"), "{text}");
    let alone = elsewhere.path().join("alone");
    let error = crate::store::export(folder.path(), &[Checkpointed::Protocol(&unread)], &alone).unwrap_err();
    assert!(matches!(error, StoreError::NoCheckpoint { .. }) && !alone.exists(), "{error}");
}
