//! Faults of head announcements.

use alloy::providers::ext::AnvilApi;
use plimsoll_testkit::proxy::{Fault, HeadFault, Rule};
use serde_json::json;

use super::{Caller, Fixture, LOGGER, number};

/// Returns the heads that a subscriber receives, in order, when blocks 1 to 4 are mined under a rule.
async fn heard(rule: Rule, announcements: usize) -> eyre::Result<Vec<u64>> {
    let fixture = Fixture::new(&[]).await?;
    let mut caller = Caller::connect(&fixture.proxy).await?;
    caller.subscribe(json!(["newHeads"])).await?;
    fixture.proxy.inject(rule);
    fixture.node.provider().anvil_mine(Some(4), None).await?;
    let mut heard = Vec::new();
    for _ in 0..announcements {
        heard.push(caller.head().await?);
    }
    Ok(heard)
}

#[tokio::test]
async fn a_skipped_head_is_never_announced() -> eyre::Result<()> {
    assert_eq!(heard(Rule::from(Fault::Heads(HeadFault::Skipped)).after(1).times(2), 2).await?, [1, 4]);
    Ok(())
}

#[tokio::test]
async fn a_duplicated_head_is_announced_twice() -> eyre::Result<()> {
    assert_eq!(heard(Rule::from(Fault::Heads(HeadFault::Duplicated)).after(1).times(1), 5).await?, [1, 2, 2, 3, 4]);
    Ok(())
}

#[tokio::test]
async fn a_reordered_head_is_announced_after_the_next() -> eyre::Result<()> {
    assert_eq!(heard(Rule::from(Fault::Heads(HeadFault::Reordered)).after(1).times(1), 4).await?, [1, 3, 2, 4]);
    Ok(())
}

#[tokio::test]
async fn permanently_reordered_heads_are_announced_one_late() -> eyre::Result<()> {
    assert_eq!(heard(Rule::from(Fault::Heads(HeadFault::Reordered)), 3).await?, [1, 2, 3]);
    Ok(())
}

#[tokio::test]
async fn a_stale_node_announces_neither_heads_nor_logs() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    let mut heads = Caller::connect(&fixture.proxy).await?;
    heads.subscribe(json!(["newHeads"])).await?;
    let mut logs = Caller::connect(&fixture.proxy).await?;
    logs.subscribe(json!(["logs", { "address": LOGGER }])).await?;

    let stale = fixture.proxy.inject(Fault::Stale { head: 1 });
    fixture.log(3).await?;
    // Blocks 2 and 3, each as a head for one subscriber and a log for the other.
    fixture.proxy.wait_for(|counts| counts.acted(stale) == 4).await?;
    fixture.proxy.lift(stale);
    fixture.log(1).await?;
    assert_eq!((heads.head().await?, heads.head().await?), (1, 4));
    let mut logged = Vec::new();
    for _ in 0..2 {
        logged.push(number(&logs.hear().await?["params"]["result"]["blockNumber"])?);
    }
    assert_eq!(logged, [1, 4]);
    Ok(())
}
