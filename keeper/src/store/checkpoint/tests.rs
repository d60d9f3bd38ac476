//! Which blocks are due to be written, and what becomes of the checkpoint when it cannot be written.

use super::*;
use crate::store::tests::{image, loaded, open, tip};

/// Keeps the file from growing, as on a full disk.
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
async fn on_a_full_disk_the_file_stays_whole_and_every_later_call_fails_with_the_cause() {
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
    for error in [flushed.unwrap_err(), recorded.unwrap_err(), checkpoint.revert_to(1).await.unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains("book.db is no longer written since") && text.contains("make room"), "{text}");
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
async fn a_block_out_of_order_stops_the_checkpoint_and_leaves_the_file_intact() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = open(folder.path()).checkpoint;
    checkpoint.record(tip(5), vec![image(1, "five")]).await.unwrap();
    checkpoint.record(tip(5), vec![image(1, "five again")]).await.unwrap();
    let text = checkpoint.flush().await.unwrap_err().to_string();
    assert!(text.contains("block 5 does not follow block 5"), "{text}");
    drop(checkpoint);
    assert_eq!(loaded(&open(folder.path()).checkpoint).await, None);
}

#[tokio::test]
async fn undoing_below_the_file_is_refused_and_does_not_stop_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = open(folder.path()).checkpoint;
    checkpoint.record(tip(5), vec![image(1, "five")]).await.unwrap();
    checkpoint.record(tip(69), Vec::new()).await.unwrap();
    let text = checkpoint.revert_to(4).await.unwrap_err().to_string();
    assert!(text.contains("is at block 5") && text.contains("clear it"), "{text}");
    assert_eq!(loaded(&checkpoint).await, Some((5, vec![image(1, "five")])));
}

fn row(key: u8, value: u8) -> Image {
    (vec![key], vec![value])
}

fn due(pending: &mut PendingBlocks) -> Option<(u64, Vec<Image>)> {
    pending.take_due().map(|(tip, rows)| (tip.number, rows.into_iter().collect()))
}

#[test]
fn a_block_is_due_as_soon_as_the_head_is_sixty_four_blocks_above_it() {
    let mut pending = PendingBlocks::default();
    pending.record(tip(100), vec![row(1, 1)]).unwrap();
    pending.record(tip(163), vec![row(1, 2)]).unwrap();
    assert_eq!(due(&mut pending), None);
    pending.record(tip(164), Vec::new()).unwrap();
    assert_eq!(due(&mut pending), Some((100, vec![row(1, 1)])));
    assert_eq!(due(&mut pending), None);
}

#[test]
fn the_last_of_the_blocks_that_are_due_together_decides_about_each_row() {
    let mut pending = PendingBlocks::default();
    pending.record(tip(1), vec![row(2, 1), row(1, 1)]).unwrap();
    pending.record(tip(2), vec![row(2, 2)]).unwrap();
    pending.record(tip(3), vec![row(1, 3)]).unwrap();
    pending.record(tip(66), Vec::new()).unwrap();
    assert_eq!(due(&mut pending), Some((2, vec![row(1, 1), row(2, 2)])));
}

#[test]
fn an_undone_block_is_never_due() {
    let mut pending = PendingBlocks::default();
    for number in 1..=3 {
        pending.record(tip(number), vec![row(1, 1)]).unwrap();
    }
    pending.revert_to(1).unwrap();
    pending.record(tip(2), vec![row(1, 9)]).unwrap();
    pending.record(tip(1_000), Vec::new()).unwrap();
    assert_eq!(due(&mut pending), Some((2, vec![row(1, 9)])));
}

#[test]
fn a_block_without_rows_advances_the_tip() {
    let mut pending = PendingBlocks::above(Some(tip(10)));
    pending.record(tip(20), Vec::new()).unwrap();
    pending.record(tip(84), Vec::new()).unwrap();
    assert_eq!(due(&mut pending), Some((20, Vec::new())));
}

#[test]
fn blocks_in_the_file_can_be_neither_undone_nor_recorded_again() {
    let mut pending = PendingBlocks::above(Some(tip(10)));
    let undone = pending.revert_to(9).unwrap_err().to_string();
    assert!(undone.contains("block 10") && undone.contains("block 9"), "{undone}");
    pending.revert_to(10).unwrap();
    let again = pending.record(tip(10), Vec::new()).unwrap_err().to_string();
    assert!(again.contains("block 10 does not follow block 10"), "{again}");
}
