//! What becomes of the journal when it cannot be written.

use super::*;
use crate::store::{AlertQueue, tests::IDENTITY};

/// How far the file may grow; less than it has means no further.
async fn limit(journal: &Worker<Journal>, pages: u32) {
    let limit = move |connection: &mut Connection| {
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, u32>(0))
    };
    journal.ask(move |journal| journal.run(limit)).await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_a_write_fails_and_what_was_written_before_stays() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&Arc::new(Folder::take(folder.path()).unwrap()), &IDENTITY).unwrap();
    let alerts = AlertQueue::new(Arc::clone(&journal));
    let id = alerts.enqueue("before", "").await.unwrap();
    limit(&journal, 1).await;
    let said = alerts.enqueue("after", &"long ".repeat(10_000)).await.unwrap_err().to_string();
    assert!(said.contains("journal.db") && said.contains("make room"), "{said}");
    limit(&journal, 1_000).await;
    assert!(alerts.enqueue("room again", "").await.unwrap() > id);
    let kinds: Vec<_> = alerts.pending(10).await.unwrap().into_iter().map(|alert| alert.kind).collect();
    assert_eq!(kinds, ["before", "room again"]);
}
