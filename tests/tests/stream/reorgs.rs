//! Blocks that are replaced, or taken back with nothing in their place.

use alloy::{eips::BlockNumHash, providers::ext::AnvilApi};
use plimsoll_keeper::stream::{Cursor, Rebuild};
use plimsoll_lab::proxy::{Fault, Moment, Rule};

use super::world::{
    By::{self, Http, WebSocket},
    World,
};

async fn reorganised(way: By, depths: &[u64]) -> eyre::Result<()> {
    let mut world = World::new(1).await?;
    world.go_on(90).await?;
    let mut keeper = world.keeper(&[way])?;
    keeper.equals(&world).await?;
    for depth in depths {
        keeper.undone.clear();
        world.reorganise(*depth).await?;
        keeper.equals(&world).await?;
        assert_eq!(keeper.undone.iter().max(), Some(depth), "{:?}", keeper.undone);
        world.go_on(*depth + 1).await?;
        keeper.equals(&world).await?;
    }
    assert!(keeper.rebuilt.is_empty(), "{:?}", keeper.rebuilt);
    Ok(())
}

#[tokio::test]
async fn replaced_blocks_are_taken_back_however_many_up_to_sixty_four() -> eyre::Result<()> {
    reorganised(WebSocket, &[1, 2, 3, 5, 17, 63, 64]).await
}

#[tokio::test]
async fn replaced_blocks_are_noticed_without_announcements_too() -> eyre::Result<()> {
    reorganised(Http, &[1, 2, 30, 64]).await
}

#[tokio::test]
async fn more_than_sixty_four_replaced_blocks_mean_to_begin_anew() -> eyre::Result<()> {
    let mut world = World::new(1).await?;
    world.go_on(90).await?;
    let mut keeper = world.keeper(&[WebSocket])?;
    keeper.equals(&world).await?;
    world.reorganise(65).await?;
    keeper.equals(&world).await?;
    assert_eq!(keeper.rebuilt, [Rebuild::TooDeep { tip: 91, oldest: 27 }]);
    Ok(())
}

#[tokio::test]
async fn blocks_that_are_taken_back_without_a_word_are_noticed() -> eyre::Result<()> {
    for way in [Http, WebSocket] {
        let mut world = World::new(1).await?;
        world.go_on(12).await?;
        let mut keeper = world.keeper(&[way])?;
        keeper.equals(&world).await?;
        world.provider.anvil_rollback(Some(4)).await?;
        keeper.equals(&world).await?;
        assert_eq!(keeper.undone, [4]);
        world.go_on(6).await?;
        keeper.equals(&world).await?;

        let before = world.provider.anvil_snapshot().await?;
        world.go_on(5).await?;
        keeper.equals(&world).await?;
        world.provider.anvil_revert(before).await?;
        keeper.equals(&world).await?;
        assert!(keeper.rebuilt.is_empty(), "{:?}", keeper.rebuilt);
    }
    Ok(())
}

/// What a keeper that starts at a block says first.
async fn started_at(world: &World, block: BlockNumHash) -> eyre::Result<Vec<Rebuild>> {
    let from = Cursor { number: block.number, hash: Some(block.hash) };
    let mut keeper = world.keeper_with(&[Http, WebSocket], from, world.settings())?;
    keeper.reach(world.head().await?).await?;
    Ok(keeper.rebuilt)
}

#[tokio::test]
async fn a_block_that_was_replaced_while_the_keeper_was_down_is_noticed() -> eyre::Result<()> {
    let mut world = World::new(2).await?;
    world.go_on(20).await?;
    let (stays, goes) = (world.block(16).await?, world.block(17).await?);
    world.reorganise(5).await?;
    world.go_on(3).await?;
    assert_eq!(started_at(&world, stays).await?, []);
    assert_eq!(started_at(&world, goes).await?, [Rebuild::NotCanonical { number: 17, hash: goes.hash }]);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_does_not_have_the_block_yet_is_behind_and_nothing_was_replaced() -> eyre::Result<()> {
    let mut world = World::new(1).await?;
    world.go_on(20).await?;
    let at = world.head().await?;
    let stale = world.proxies[0].inject(Fault::Stale { head: 10 });
    let from = Cursor { number: at.number, hash: Some(at.hash) };
    let mut keeper = world.keeper_with(&[Http], from, world.settings())?;
    world.proxies[0].wait_for(|counts| counts.of("eth_getBlockByNumber") > 8).await?;
    world.proxies[0].lift(stale);
    world.idle(2).await?;
    keeper.reach(world.head().await?).await?;
    assert!(keeper.rebuilt.is_empty() && keeper.undone.is_empty(), "{:?} {:?}", keeper.rebuilt, keeper.undone);
    Ok(())
}

/// A range of blocks takes several questions, and in between the chain may become another.
#[tokio::test]
async fn blocks_that_are_replaced_while_they_are_asked_for_leave_nothing_behind() -> eyre::Result<()> {
    let mut world = World::new(1).await?;
    world.go_on(150).await?;
    // After the first block, the newest one and the one to begin with, the ends of the range are asked for.
    for asked_before in 3..6 {
        let proxy = &world.proxies[0];
        let stall = Rule::from(Fault::Stall(Moment::BeforeForwarding)).on(&["eth_getBlockByNumber"]);
        let stalled = proxy.inject(stall.after(asked_before).times(1));
        let mut keeper = world.keeper(&[WebSocket])?;
        let reached = tokio::join!(keeper.step(), async {
            world.proxies[0].wait_for(|counts| counts.acted(stalled) > 0).await?;
            world.reorganise(100).await?;
            world.proxies[0].lift(stalled);
            eyre::Ok(())
        });
        reached.0?;
        reached.1?;
        keeper.equals(&world).await?;
    }
    Ok(())
}
