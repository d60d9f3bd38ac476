//! Intents that are not sent, each with its reason, and intents that revert.

use alloy::{
    primitives::{U256, utils::Unit},
    providers::{Provider, ext::AnvilApi},
};
use plimsoll_keeper::{
    intent::SafetyRefusal,
    intent::{DropReason, Intent, Outcome, Priority},
    sender::StartError,
};

use super::fixture::{Fixture, REVERTER, intent, nodes};

#[tokio::test]
async fn a_dry_run_reports_what_it_would_send_and_calls_no_node() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut settings = fixture.settings();
    settings.safety.is_live = false;
    let nodes = nodes(&[&fixture.proxy], &[&fixture.proxy], &[])?;
    let mut running = fixture.start_with(settings, nodes, "store").await??;
    running.handle.on_block(fixture.header().await?, &[]);
    let id = running.submit(1);
    assert_eq!(running.next(id).await?, Outcome::Refused(SafetyRefusal::DryRun));
    running.shut_down().await;
    assert_eq!(fixture.proxy.counts().total(), 0);
    Ok(())
}

#[tokio::test]
async fn while_the_kill_file_exists_nothing_is_sent_and_pending_transactions_are_left() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let (id, _) = running.sent(1).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.node.provider().anvil_drop_all_transactions().await?;
    std::fs::write(fixture.kill_file(), "")?;
    let refused = running.submit(2);
    assert_eq!(running.next(refused).await?, Outcome::Refused(SafetyRefusal::KillFile));
    fixture.mine(&running).await?;
    fixture.proxy.wait_for(|counts| counts.of("eth_getTransactionReceipt") == 1).await?;
    assert_eq!(fixture.proxy.counts().of("eth_sendRawTransaction"), 1);
    std::fs::remove_file(fixture.kill_file())?;
    fixture.mine(&running).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    assert!(matches!(running.next(id).await?, Outcome::Mined(_)));
    Ok(())
}

#[tokio::test]
async fn reverts_count_as_losses_back_off_and_open_the_breaker_across_restarts() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let reverting = |label| Intent { to: REVERTER, ..intent(label, Priority::High) };
    for label in 0..3 {
        let id = running.handle.submit(reverting(label));
        assert!(matches!(running.next(id).await?, Outcome::Sent { .. }));
        fixture.wait_until_pooled(1).await?;
        let head = fixture.mine(&running).await?;
        assert!(matches!(running.next(id).await?, Outcome::Reverted(_)));
        let again = running.handle.submit(reverting(label));
        let Outcome::Refused(refusal) = running.next(again).await? else { eyre::bail!("it was sent again") };
        match refusal {
            SafetyRefusal::BackedOff { until_block, .. } if label < 2 => assert_eq!(until_block, head.number + 2),
            SafetyRefusal::BreakerOpen { reverts: 3, .. } if label == 2 => {}
            other => eyre::bail!("refused for another reason: {other}"),
        }
    }
    let lost = running.handle.with_gate(|gate, head| gate.lost_on(head.map_or(0, |head| head.timestamp)));
    assert!(lost > U256::ZERO);
    while running.store.notes.read("safety").await?.is_none_or(|note| note.contains("\"open_until\":null")) {
        tokio::task::yield_now().await;
    }
    running.shut_down().await;
    let mut running = fixture.start().await?;
    let id = running.submit(9);
    assert!(matches!(running.next(id).await?, Outcome::Refused(SafetyRefusal::BreakerOpen { .. })));
    Ok(())
}

#[tokio::test]
async fn an_intent_without_sufficient_funds_is_dropped_and_its_nonce_reused() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let ether = fixture.node.provider().get_balance(fixture.key.address()).await?;
    fixture.node.provider().anvil_set_balance(fixture.key.address(), U256::from(1_000)).await?;
    let (id, _) = running.sent(1).await?;
    assert_eq!(running.next(id).await?, Outcome::Dropped(DropReason::InsufficientFunds));
    let funded = ether + U256::ONE;
    fixture.node.provider().anvil_set_balance(fixture.key.address(), funded).await?;
    fixture.mine(&running).await?;
    running.wait_until(|status| status.balance == Some(funded)).await?;
    let (id, _) = running.sent(2).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    assert!(matches!(running.next(id).await?, Outcome::Mined(_)));
    assert_eq!((fixture.executions(1).await?, fixture.executions(2).await?), (U256::ZERO, U256::ONE));
    Ok(())
}

/// Unlike a signer without funds, it is not the signer's fault, and the next transaction is as good as any.
#[tokio::test]
async fn an_intent_whose_fees_exceed_the_nodes_cap_is_dropped_and_its_nonce_reused() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    fixture.node.provider().anvil_set_balance(fixture.key.address(), Unit::ETHER.wei() * U256::from(1_000)).await?;
    let mut running = fixture.start().await?;
    let id = running.handle.submit(Intent { gas_limit: 16_000_000, ..intent(1, Priority::High) });
    assert!(matches!(running.next(id).await?, Outcome::Sent { .. }));
    assert_eq!(running.next(id).await?, Outcome::Dropped(DropReason::RejectedByNodes));
    let (id, _) = running.sent(2).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    assert!(matches!(running.next(id).await?, Outcome::Mined(_)));
    assert_eq!((fixture.executions(1).await?, fixture.executions(2).await?), (U256::ZERO, U256::ONE));
    Ok(())
}

#[tokio::test]
async fn a_second_keeper_with_the_same_key_does_not_start_even_with_another_store() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let running = fixture.start().await?;
    let nodes = || nodes(&[&fixture.proxy], &[&fixture.proxy], &[]);
    let refused = fixture.start_with(fixture.settings(), nodes()?, "another store").await?.err();
    assert!(matches!(refused, Some(StartError::Lock(_))));
    running.shut_down().await;
    fixture.start_with(fixture.settings(), nodes()?, "another store").await??;
    Ok(())
}
