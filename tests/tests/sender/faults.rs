//! Nodes that stall, lose requests and forget transactions, and restarts of the sender.

use alloy::{primitives::U256, providers::ext::AnvilApi};
use plimsoll_keeper::{
    intent::Outcome,
    intent::Priority,
    sender::{SenderSettings, core::PrivateFirst},
};
use plimsoll_testkit::proxy::{Fault, Phase, Proxy, Rule};

use super::fixture::{Fixture, intent, nodes};

const SEND: [&str; 1] = ["eth_sendRawTransaction"];

#[tokio::test]
async fn a_broadcast_whose_response_is_lost_is_executed_once() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    fixture.proxy.inject(Rule::from(Fault::Reset(Phase::AfterForwarding)).on(&SEND).times(1));
    let (id, hash) = running.sent(1).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    let Outcome::Mined(receipt) = running.next(id).await? else { eyre::bail!("it was not mined") };
    assert_eq!((receipt.inclusion.hash, fixture.executions(1).await?), (hash, U256::ONE));
    Ok(())
}

#[tokio::test]
async fn a_lost_broadcast_is_repeated_with_the_next_block() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let lost = fixture.proxy.inject(Rule::from(Fault::Reset(Phase::BeforeForwarding)).on(&SEND).times(1));
    let (id, hash) = running.sent(1).await?;
    fixture.proxy.wait_for(|counts| counts.acted(lost) == 1).await?;
    fixture.wait_until_pooled(0).await?;
    fixture.mine(&running).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    let Outcome::Mined(receipt) = running.next(id).await? else { eyre::bail!("it was not mined") };
    assert_eq!(receipt.inclusion.hash, hash);
    Ok(())
}

#[tokio::test]
async fn a_stalled_node_does_not_delay_broadcasts_to_others() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let stalled = Proxy::start(fixture.node.address()).await?;
    stalled.inject(Fault::Stall(Phase::BeforeForwarding));
    let nodes = nodes(&[&fixture.proxy], &[&stalled, &fixture.proxy], &[])?;
    let mut running = fixture.start_with(fixture.settings(), nodes, "store").await??;
    running.handle.on_block(fixture.header().await?, &[]);
    let (id, _) = running.sent(1).await?;
    stalled.wait_for(|counts| counts.of("eth_sendRawTransaction") == 1).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    assert!(matches!(running.next(id).await?, Outcome::Mined(_)));
    Ok(())
}

#[tokio::test]
async fn a_node_that_lost_its_pool_gets_the_same_bytes_again() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let (first, first_hash) = running.sent(1).await?;
    let (second, second_hash) = running.sent(2).await?;
    fixture.wait_until_pooled(2).await?;
    // First a gap: the second transaction waits for the first, which the node has dropped.
    fixture.node.provider().anvil_drop_transaction(first_hash).await?;
    fixture.mine(&running).await?;
    fixture.wait_until_pooled(2).await?;
    fixture.node.provider().anvil_drop_all_transactions().await?;
    fixture.mine(&running).await?;
    fixture.wait_until_pooled(2).await?;
    fixture.mine(&running).await?;
    for (id, hash) in [(first, first_hash), (second, second_hash)] {
        let entry = running.entry(id).await?;
        assert_eq!(entry.attempts[0].hash, hash);
        assert!(matches!(running.next(id).await?, Outcome::Mined(_)));
    }
    assert_eq!((fixture.executions(1).await?, fixture.executions(2).await?), (U256::ONE, U256::ONE));
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_was_not_broadcast_before_a_restart_is_broadcast_after_it() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let lost = fixture.proxy.inject(Rule::from(Fault::Reset(Phase::BeforeForwarding)).on(&SEND));
    let (id, hash) = running.sent(1).await?;
    fixture.proxy.wait_for(|counts| counts.acted(lost) == 1).await?;
    running.shut_down().await;
    fixture.proxy.lift(lost);
    let mut running = fixture.start().await?;
    let subject = intent(1, Priority::High).purpose.subjects()[0];
    assert_eq!(running.handle.in_flight().get(&subject), Some(&id));
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    let Outcome::Mined(receipt) = running.next(id).await? else { eyre::bail!("it was not mined") };
    assert_eq!((receipt.inclusion.hash, fixture.executions(1).await?), (hash, U256::ONE));
    assert!(running.handle.in_flight().is_empty());
    assert!(running.submit(2) > id, "a name was given twice");
    Ok(())
}

#[tokio::test]
async fn a_transaction_mined_while_the_keeper_was_down_is_not_sent_again() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let (id, hash) = running.sent(1).await?;
    fixture.wait_until_pooled(1).await?;
    running.shut_down().await;
    fixture.node.provider().anvil_mine(Some(2), None).await?;
    fixture.proxy.reset_counts();
    let mut running = fixture.start().await?;
    let Outcome::Mined(receipt) = running.next(id).await? else { eyre::bail!("it was not mined") };
    assert_eq!((receipt.inclusion.hash, fixture.executions(1).await?), (hash, U256::ONE));
    running.shut_down().await;
    assert_eq!(fixture.proxy.counts().of("eth_sendRawTransaction"), 0);
    Ok(())
}

#[tokio::test]
async fn a_transaction_is_sent_to_the_private_node_alone_at_first() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let private = Proxy::start(fixture.node.address()).await?;
    // The node accepts transactions and never mines them.
    private.inject(Rule::from(Fault::Error { code: -32_000, message: "already known".to_owned() }).on(&SEND));
    let mut settings = fixture.settings();
    settings.core.private = Some(PrivateFirst { public_after_blocks: Some(2) });
    let nodes = nodes(&[&fixture.proxy], &[&fixture.proxy], &[&private])?;
    let mut running = fixture.start_with(SenderSettings { ..settings }, nodes, "store").await??;
    running.handle.on_block(fixture.header().await?, &[]);
    let (id, _) = running.sent(1).await?;
    private.wait_for(|counts| counts.of("eth_sendRawTransaction") == 1).await?;
    fixture.mine(&running).await?;
    private.wait_for(|counts| counts.of("eth_sendRawTransaction") == 2).await?;
    assert_eq!(fixture.proxy.counts().of("eth_sendRawTransaction"), 0);
    fixture.mine(&running).await?;
    fixture.proxy.wait_for(|counts| counts.of("eth_sendRawTransaction") == 1).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    assert!(matches!(running.next(id).await?, Outcome::Mined(_)));
    Ok(())
}
