//! What becomes of the checkpoint when it cannot be written.

use super::*;
use crate::store::tests::{image, loaded, open, tip};

/// The file may not grow any more, as on a full disk.
async fn fill_the_disk(checkpoint: &Checkpoint) {
    let full = |writer: &mut Writer| {
        let pages: u32 = writer.database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        writer.database.connection.query_row("PRAGMA max_page_count = 1", [], |row| row.get(0)).map(|most: u32| {
            assert_eq!(most, pages);
        })
    };
    checkpoint.worker.ask(move |writer| full(writer).map_err(|error| writer.database.error(error))).await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_the_file_stays_whole_and_everybody_who_writes_is_told_why_until_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let checkpoint = &store.checkpoint;
    checkpoint.record(tip(1), vec![image(1, "before")]).await.unwrap();
    checkpoint.record(tip(65), Vec::new()).await.unwrap();
    checkpoint.flush().await.unwrap();
    fill_the_disk(checkpoint).await;

    let images = (0..10_000).map(|key| image(key, "after")).collect();
    checkpoint.record(tip(66), images).await.unwrap();
    checkpoint.record(tip(130), Vec::new()).await.unwrap();
    let flushed = checkpoint.flush().await;
    let recorded = checkpoint.record(tip(131), Vec::new()).await;
    for error in [flushed.unwrap_err(), recorded.unwrap_err(), checkpoint.undo_to(1).await.unwrap_err()] {
        let said = error.to_string();
        assert!(said.contains("book.db is no longer written since") && said.contains("make room"), "{said}");
    }
    // The journal has a file of its own.
    store.alerts.enqueue("disk", "the checkpoint is stuck").await.unwrap();
    drop(store);

    let store = open(folder.path());
    assert_eq!(loaded(&store.checkpoint).await, Some((1, vec![image(1, "before")])));
    store.checkpoint.record(tip(2), vec![image(2, "after")]).await.unwrap();
    store.checkpoint.record(tip(66), Vec::new()).await.unwrap();
    assert_eq!(loaded(&store.checkpoint).await, Some((2, vec![image(1, "before"), image(2, "after")])));
}

#[tokio::test]
async fn a_block_that_does_not_follow_stops_the_checkpoint_and_does_not_spoil_it() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = open(folder.path()).checkpoint;
    checkpoint.record(tip(5), vec![image(1, "five")]).await.unwrap();
    checkpoint.record(tip(5), vec![image(1, "five again")]).await.unwrap();
    let said = checkpoint.flush().await.unwrap_err().to_string();
    assert!(said.contains("block 5 does not follow block 5"), "{said}");
    drop(checkpoint);
    assert_eq!(loaded(&open(folder.path()).checkpoint).await, None);
}

#[tokio::test]
async fn going_back_below_the_file_is_refused_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = open(folder.path()).checkpoint;
    checkpoint.record(tip(5), vec![image(1, "five")]).await.unwrap();
    checkpoint.record(tip(69), Vec::new()).await.unwrap();
    let said = checkpoint.undo_to(4).await.unwrap_err().to_string();
    assert!(said.contains("is at block 5") && said.contains("clear it"), "{said}");
    assert_eq!(loaded(&checkpoint).await, Some((5, vec![image(1, "five")])));
}
