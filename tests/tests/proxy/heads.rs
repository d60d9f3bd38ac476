//! What subscribers are told, and in which order.

use alloy::providers::ext::AnvilApi;
use plimsoll_lab::proxy::{Fault, Heads, Rule};
use serde_json::json;

use super::{Caller, LOGGER, Stage, number};

/// The heads that a subscriber hears of, in order, when blocks 1 to 4 are mined under a rule.
async fn heard(rule: Rule, announcements: usize) -> eyre::Result<Vec<u64>> {
    let stage = Stage::set(&[]).await?;
    let mut caller = Caller::connect(&stage.proxy).await?;
    caller.subscribe(json!(["newHeads"])).await?;
    stage.proxy.inject(rule);
    stage.node.provider().anvil_mine(Some(4), None).await?;
    let mut heard = Vec::new();
    for _ in 0..announcements {
        heard.push(caller.head().await?);
    }
    Ok(heard)
}

#[tokio::test]
async fn a_skipped_head_is_never_announced() -> eyre::Result<()> {
    assert_eq!(heard(Rule::from(Fault::Heads(Heads::Skipped)).after(1).times(2), 2).await?, [1, 4]);
    Ok(())
}

#[tokio::test]
async fn a_duplicated_head_is_announced_twice() -> eyre::Result<()> {
    assert_eq!(heard(Rule::from(Fault::Heads(Heads::Duplicated)).after(1).times(1), 5).await?, [1, 2, 2, 3, 4]);
    Ok(())
}

#[tokio::test]
async fn a_reordered_head_is_announced_after_the_next() -> eyre::Result<()> {
    assert_eq!(heard(Rule::from(Fault::Heads(Heads::Reordered)).after(1).times(1), 4).await?, [1, 3, 2, 4]);
    Ok(())
}

#[tokio::test]
async fn heads_that_are_reordered_for_ever_are_announced_one_late() -> eyre::Result<()> {
    assert_eq!(heard(Rule::from(Fault::Heads(Heads::Reordered)), 3).await?, [1, 2, 3]);
    Ok(())
}

#[tokio::test]
async fn a_stale_node_announces_neither_heads_nor_logs() -> eyre::Result<()> {
    let stage = Stage::set(&[]).await?;
    let mut heads = Caller::connect(&stage.proxy).await?;
    heads.subscribe(json!(["newHeads"])).await?;
    let mut logs = Caller::connect(&stage.proxy).await?;
    logs.subscribe(json!(["logs", { "address": LOGGER }])).await?;

    let stale = stage.proxy.inject(Fault::Stale { head: 1 });
    stage.log(3).await?;
    // Of blocks 2 and 3, each a head for one and a log for the other.
    stage.proxy.wait_for(|counts| counts.acted(stale) == 4).await?;
    stage.proxy.lift(stale);
    stage.log(1).await?;
    assert_eq!((heads.head().await?, heads.head().await?), (1, 4));
    let mut logged = Vec::new();
    for _ in 0..2 {
        logged.push(number(&logs.hear().await?["params"]["result"]["blockNumber"])?);
    }
    assert_eq!(logged, [1, 4]);
    Ok(())
}
