//! What a restart finds.

use std::fs;

use super::*;

#[tokio::test]
async fn after_a_restart_the_checkpoint_is_the_book_of_sixty_four_blocks_ago() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 1..=100 {
        let images = vec![image(1, &number.to_string()), image(100 + u32::try_from(number).unwrap(), "once")];
        store.checkpoint.record(tip(number), images).await.unwrap();
    }
    store.checkpoint.flush().await.unwrap();
    drop(store);

    let store = open(folder.path());
    let (of, rows) = store.checkpoint.load(|tip, images| (tip, images.collect::<Vec<_>>())).await.unwrap().unwrap();
    assert_eq!(of, tip(36));
    let once = (101..=136).map(|key| image(key, "once"));
    assert_eq!(rows, std::iter::once(image(1, "36")).chain(once).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_new_folder_has_no_checkpoint_and_no_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("not/yet/there"));
    assert_eq!(loaded(&store.checkpoint).await, None);
    assert_eq!(store.alerts.pending(10).await.unwrap(), []);
}

#[tokio::test]
async fn a_checkpoint_continues_after_a_restart() {
    let folder = folder_with(3).await;
    let store = open(folder.path());
    store.checkpoint.record(tip(2), vec![image(0, "new"), image(9, "newer")]).await.unwrap();
    store.checkpoint.record(tip(66), vec![image(1, "too young")]).await.unwrap();
    store.checkpoint.flush().await.unwrap();
    let (number, rows) = loaded(&store.checkpoint).await.unwrap();
    assert_eq!(number, 2);
    let same = "a row of some length";
    assert_eq!(rows, [image(0, "new"), image(1, same), image(2, same), image(9, "newer")]);
}

#[tokio::test]
async fn a_cleared_checkpoint_is_empty_and_can_be_filled_from_the_first_block_again() {
    let folder = folder_with(3).await;
    let store = open(folder.path());
    store.checkpoint.record(tip(50), vec![image(0, "of the past")]).await.unwrap();
    store.checkpoint.clear().await.unwrap();
    assert_eq!(loaded(&store.checkpoint).await, None);
    store.checkpoint.record(tip(1), vec![image(5, "new")]).await.unwrap();
    store.checkpoint.record(tip(65), Vec::new()).await.unwrap();
    assert_eq!(loaded(&store.checkpoint).await, Some((1, vec![image(5, "new")])));
}

#[tokio::test]
async fn alerts_are_kept_in_order_until_delivered_and_never_share_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = store.alerts.enqueue("balance", "0.1 left").await.unwrap();
    let second = store.alerts.enqueue("stalled", "no block for a minute").await.unwrap();
    drop(store);

    let alerts = open(folder.path()).alerts;
    let waiting = alerts.pending(10).await.unwrap();
    assert_eq!(
        waiting.iter().map(|alert| (alert.id, alert.target.as_str(), alert.body.as_str())).collect::<Vec<_>>(),
        [(first, "balance", "0.1 left"), (second, "stalled", "no block for a minute")]
    );
    assert_eq!(alerts.pending(1).await.unwrap(), waiting.get(..1).unwrap());
    for id in [first, second, second] {
        alerts.delivered(id).await.unwrap();
    }
    assert_eq!(alerts.pending(10).await.unwrap(), []);
    assert!(alerts.enqueue("balance", "0.1 left").await.unwrap() > second);
}

#[tokio::test]
async fn a_note_has_the_text_that_was_written_last() {
    let folder = tempfile::tempdir().unwrap();
    let notes = open(folder.path()).notes;
    assert_eq!(notes.read("day").await.unwrap(), None);
    for text in ["1", "2"] {
        notes.write("day", text.to_owned()).await.unwrap();
    }
    notes.write("breaker", "open".to_owned()).await.unwrap();
    drop(notes);
    let notes = open(folder.path()).notes;
    assert_eq!(notes.read("day").await.unwrap().as_deref(), Some("2"));
    assert_eq!(notes.read("breaker").await.unwrap().as_deref(), Some("open"));
}

#[tokio::test]
async fn after_a_loss_of_power_the_checkpoint_is_an_older_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 1..=94 {
        store.checkpoint.record(tip(number), vec![image(1, &number.to_string()), image(2, "x")]).await.unwrap();
        store.checkpoint.flush().await.unwrap();
    }
    // The store is not closed, so everything is still in the log, of which the disk may have any part.
    let log = fs::read(folder.path().join("book.db-wal")).unwrap();
    let mut found = Vec::new();
    for length in (0..=log.len()).step_by(9_973) {
        let elsewhere = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join("book.db"), elsewhere.path().join("book.db")).unwrap();
        fs::write(elsewhere.path().join("book.db-wal"), log.get(..length).unwrap()).unwrap();
        let loaded = loaded(&open(elsewhere.path()).checkpoint).await;
        if let Some((number, rows)) = &loaded {
            assert_eq!(rows, &[image(1, &number.to_string()), image(2, "x")]);
        }
        found.push(loaded.map(|(number, _)| number));
    }
    assert!(found.is_sorted(), "{found:?}");
    assert_eq!(found.first(), Some(&None));
    assert!(found.last().is_some_and(|last| *last >= Some(29)), "{found:?}");
}
