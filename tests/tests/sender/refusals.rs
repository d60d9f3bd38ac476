//! What is not sent, and why; what reverts.

use alloy::{
    primitives::U256,
    providers::{Provider, ext::AnvilApi},
};
use plimsoll_keeper::{
    intent::{Intent, Urgency},
    safety::Refusal,
    sender::{
        StartError,
        outcome::{DropReason, Outcome},
    },
};

use super::stage::{REVERTER, Stage, intent, nodes};

#[tokio::test]
async fn a_dry_run_says_what_it_would_send_and_asks_no_node_anything() -> eyre::Result<()> {
    let stage = Stage::set().await?;
    let mut settings = stage.settings();
    settings.safety.is_live = false;
    let nodes = nodes(&[&stage.proxy], &[&stage.proxy], &[])?;
    let mut running = stage.start_with(settings, nodes, "store").await??;
    running.handle.on_block(stage.header().await?);
    let id = running.submit(1);
    assert_eq!(running.next(id).await?, Outcome::Refused(Refusal::DryRun));
    running.shut_down().await;
    assert_eq!(stage.proxy.counts().total(), 0);
    Ok(())
}

#[tokio::test]
async fn while_the_kill_file_exists_nothing_is_sent_and_what_is_pending_is_left_alone() -> eyre::Result<()> {
    let stage = Stage::set().await?;
    let mut running = stage.start().await?;
    let (id, _) = running.sent(1).await?;
    stage.until_pooled(1).await?;
    stage.node.provider().anvil_drop_all_transactions().await?;
    std::fs::write(stage.kill_file(), "")?;
    let refused = running.submit(2);
    assert_eq!(running.next(refused).await?, Outcome::Refused(Refusal::KillFile));
    stage.mine(&running).await?;
    stage.proxy.wait_for(|counts| counts.of("eth_getTransactionReceipt") == 1).await?;
    assert_eq!(stage.proxy.counts().of("eth_sendRawTransaction"), 1);
    std::fs::remove_file(stage.kill_file())?;
    stage.mine(&running).await?;
    stage.until_pooled(1).await?;
    stage.mine(&running).await?;
    assert!(matches!(running.next(id).await?, Outcome::Mined(_)));
    Ok(())
}

#[tokio::test]
async fn reverts_cost_leave_their_subject_alone_and_open_the_breaker_also_after_a_restart() -> eyre::Result<()> {
    let stage = Stage::set().await?;
    let mut running = stage.start().await?;
    let reverting = |label| Intent { to: REVERTER, ..intent(label, Urgency::Urgent) };
    for label in 0..3 {
        let id = running.handle.submit(reverting(label));
        assert!(matches!(running.next(id).await?, Outcome::Sent { .. }));
        stage.until_pooled(1).await?;
        let head = stage.mine(&running).await?;
        assert!(matches!(running.next(id).await?, Outcome::Reverted(_)));
        let again = running.handle.submit(reverting(label));
        let Outcome::Refused(refusal) = running.next(again).await? else { eyre::bail!("it was sent again") };
        match refusal {
            Refusal::BackedOff { wait, .. } if label < 2 => assert_eq!(wait.until_block, head.number + 2),
            Refusal::BreakerOpen { reverts: 3, .. } if label == 2 => {}
            other => eyre::bail!("refused for another reason: {other}"),
        }
    }
    let lost = running.handle.with_gate(|gate, head| gate.lost_on(head.map_or(0, |head| head.timestamp)));
    assert!(lost > U256::ZERO);
    while running.store.notes.read("safety").await?.is_none_or(|note| note.contains("\"open_until\":null")) {
        tokio::task::yield_now().await;
    }
    running.shut_down().await;
    let mut running = stage.start().await?;
    let id = running.submit(9);
    assert!(matches!(running.next(id).await?, Outcome::Refused(Refusal::BreakerOpen { .. })));
    Ok(())
}

#[tokio::test]
async fn what_the_signer_cannot_pay_for_is_dropped_and_its_nonce_used_by_the_next() -> eyre::Result<()> {
    let stage = Stage::set().await?;
    let mut running = stage.start().await?;
    let ether = stage.node.provider().get_balance(stage.key.address()).await?;
    stage.node.provider().anvil_set_balance(stage.key.address(), U256::from(1_000)).await?;
    let (id, _) = running.sent(1).await?;
    assert_eq!(running.next(id).await?, Outcome::Dropped(DropReason::NoFunds));
    stage.node.provider().anvil_set_balance(stage.key.address(), ether).await?;
    let (id, _) = running.sent(2).await?;
    stage.until_pooled(1).await?;
    stage.mine(&running).await?;
    assert!(matches!(running.next(id).await?, Outcome::Mined(_)));
    assert_eq!((stage.times(1).await?, stage.times(2).await?), (U256::ZERO, U256::ONE));
    Ok(())
}

#[tokio::test]
async fn a_second_keeper_with_the_same_key_does_not_start_even_with_a_store_of_its_own() -> eyre::Result<()> {
    let stage = Stage::set().await?;
    let running = stage.start().await?;
    let nodes = || nodes(&[&stage.proxy], &[&stage.proxy], &[]);
    let refused = stage.start_with(stage.settings(), nodes()?, "another store").await?.err();
    assert!(matches!(refused, Some(StartError::Lock(_))));
    running.shut_down().await;
    stage.start_with(stage.settings(), nodes()?, "another store").await??;
    Ok(())
}
