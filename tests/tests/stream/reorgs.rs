//! Blocks that are replaced, or rolled back without replacement.

use alloy::{eips::BlockNumHash, providers::ext::AnvilApi};
use plimsoll_keeper::stream::{Cursor, ResyncReason};
use plimsoll_testkit::proxy::{Fault, Phase, Rule};

use super::fixture::{
    Fixture,
    Transport::{self, Http, WebSocket},
};

async fn assert_reorgs_are_followed(transport: Transport, depths: &[u64]) -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    fixture.mine_activity(90).await?;
    let mut keeper = fixture.keeper(&[transport])?;
    keeper.assert_equals(&fixture).await?;
    for depth in depths {
        keeper.reverted.clear();
        fixture.reorg(*depth).await?;
        keeper.assert_equals(&fixture).await?;
        assert_eq!(keeper.reverted.iter().max(), Some(depth), "{:?}", keeper.reverted);
        fixture.mine_activity(*depth + 1).await?;
        keeper.assert_equals(&fixture).await?;
    }
    assert!(keeper.rebuilt.is_empty(), "{:?}", keeper.rebuilt);
    Ok(())
}

#[tokio::test]
async fn up_to_sixty_four_replaced_blocks_are_reverted() -> eyre::Result<()> {
    assert_reorgs_are_followed(WebSocket, &[1, 2, 3, 5, 17, 63, 64]).await
}

#[tokio::test]
async fn replaced_blocks_are_noticed_by_polling_too() -> eyre::Result<()> {
    assert_reorgs_are_followed(Http, &[1, 2, 30, 64]).await
}

#[tokio::test]
async fn more_than_sixty_four_replaced_blocks_lead_to_a_rebuild() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    fixture.mine_activity(90).await?;
    let mut keeper = fixture.keeper(&[WebSocket])?;
    keeper.assert_equals(&fixture).await?;
    fixture.reorg(65).await?;
    keeper.assert_equals(&fixture).await?;
    assert_eq!(keeper.rebuilt, [ResyncReason::ReorgTooDeep { tip: 91, oldest: 27 }]);
    Ok(())
}

#[tokio::test]
async fn blocks_that_are_rolled_back_without_an_announcement_are_noticed() -> eyre::Result<()> {
    for transport in [Http, WebSocket] {
        let mut fixture = Fixture::new(1).await?;
        fixture.mine_activity(12).await?;
        let mut keeper = fixture.keeper(&[transport])?;
        keeper.assert_equals(&fixture).await?;
        fixture.provider.anvil_rollback(Some(4)).await?;
        keeper.assert_equals(&fixture).await?;
        assert_eq!(keeper.reverted, [4]);
        fixture.mine_activity(6).await?;
        keeper.assert_equals(&fixture).await?;

        let before = fixture.provider.anvil_snapshot().await?;
        fixture.mine_activity(5).await?;
        keeper.assert_equals(&fixture).await?;
        fixture.provider.anvil_revert(before).await?;
        keeper.assert_equals(&fixture).await?;
        assert!(keeper.rebuilt.is_empty(), "{:?}", keeper.rebuilt);
    }
    Ok(())
}

/// Returns the rebuilds of a keeper that starts at a block.
async fn started_at(fixture: &Fixture, block: BlockNumHash) -> eyre::Result<Vec<ResyncReason>> {
    let from = Cursor { number: block.number, hash: Some(block.hash) };
    let mut keeper = fixture.keeper_with(&[Http, WebSocket], from, fixture.settings())?;
    keeper.reach(fixture.head().await?).await?;
    Ok(keeper.rebuilt)
}

#[tokio::test]
async fn a_block_that_was_replaced_while_the_keeper_was_down_is_noticed() -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    fixture.mine_activity(20).await?;
    let (stays, goes) = (fixture.block(16).await?, fixture.block(17).await?);
    fixture.reorg(5).await?;
    fixture.mine_activity(3).await?;
    assert_eq!(started_at(&fixture, stays).await?, []);
    assert_eq!(started_at(&fixture, goes).await?, [ResyncReason::NotCanonical { number: 17, hash: goes.hash }]);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_without_the_block_is_behind_and_not_reorged() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    fixture.mine_activity(20).await?;
    let at = fixture.head().await?;
    let stale = fixture.proxies[0].inject(Fault::Stale { head: 10 });
    let from = Cursor { number: at.number, hash: Some(at.hash) };
    let mut keeper = fixture.keeper_with(&[Http], from, fixture.settings())?;
    fixture.proxies[0].wait_for(|counts| counts.of("eth_getBlockByNumber") > 8).await?;
    fixture.proxies[0].lift(stale);
    fixture.idle(2).await?;
    keeper.reach(fixture.head().await?).await?;
    assert!(keeper.rebuilt.is_empty() && keeper.reverted.is_empty(), "{:?} {:?}", keeper.rebuilt, keeper.reverted);
    Ok(())
}

/// A range of blocks takes several requests, between which the chain may change.
#[tokio::test]
async fn blocks_that_are_replaced_during_the_backfill_leave_no_events() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    fixture.mine_activity(150).await?;
    // After the genesis block, the newest block and the starting block, the ends of the range are requested.
    for asked_before in 3..6 {
        let proxy = &fixture.proxies[0];
        let stall = Rule::from(Fault::Stall(Phase::BeforeForwarding)).on(&["eth_getBlockByNumber"]);
        let stalled = proxy.inject(stall.after(asked_before).times(1));
        let mut keeper = fixture.keeper(&[WebSocket])?;
        let reached = tokio::join!(keeper.step(), async {
            fixture.proxies[0].wait_for(|counts| counts.acted(stalled) > 0).await?;
            fixture.reorg(100).await?;
            fixture.proxies[0].lift(stalled);
            eyre::Ok(())
        });
        reached.0?;
        reached.1?;
        keeper.assert_equals(&fixture).await?;
    }
    Ok(())
}
