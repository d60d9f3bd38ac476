//! Which transaction ends up with a nonce: mined, reorged, replaced, or used by another program.

use alloy::{
    primitives::U256,
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
};
use plimsoll_keeper::{
    intent::{Intent, Outcome, Priority},
    sender::{StartError, core::RecoverError, journal::EntryState},
};

use super::fixture::{Fixture, intent, nodes};

#[tokio::test]
async fn an_intent_is_executed_once_and_an_idle_block_costs_no_call() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let (id, hash) = running.sent(1).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    let Outcome::Mined(receipt) = running.next(id).await? else { eyre::bail!("it was not mined") };
    assert_eq!((receipt.inclusion.hash, fixture.executions(1).await?), (hash, U256::ONE));
    // Its receipt is read once more, when it can no longer be reorged.
    for _ in 0..4 {
        fixture.mine(&running).await?;
    }
    running.wait_until(|status| status.pending.is_empty() && status.next_nonce == 1).await?;
    running.wait_for_state(id, EntryState::Final(receipt.inclusion)).await?;
    let asked = fixture.proxy.counts().total();
    for _ in 0..10 {
        fixture.mine(&running).await?;
    }
    running.shut_down().await;
    assert_eq!(fixture.proxy.counts().total(), asked);
    Ok(())
}

#[tokio::test]
async fn an_intent_mined_in_a_block_that_is_not_applied_yet_is_still_in_flight() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let provider = fixture.node.provider();
    provider.anvil_mine(Some(1), None).await?;
    let applied = fixture.header().await?;
    let (id, _) = running.sent(1).await?;
    fixture.wait_until_pooled(1).await?;
    provider.anvil_mine(Some(1), None).await?;
    running.handle.on_block(applied, &[]);
    let Outcome::Mined(receipt) = running.next(id).await? else { eyre::bail!("it was not mined") };
    assert_eq!((receipt.inclusion.block, running.handle.in_flight().len()), (applied.number + 1, 1));
    running.handle.on_block(fixture.header().await?, &[]);
    assert_eq!(running.handle.in_flight().len(), 0);
    Ok(())
}

#[tokio::test]
async fn many_intents_are_executed_in_order_within_the_pending_limit() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let ids: Vec<_> = (0..20).map(|label| running.submit(label)).collect();
    let status = running.wait_until(|status| status.pending.len() + status.queued == 20).await?;
    assert_eq!((status.pending.len(), status.queued), (16, 4));
    fixture.wait_until_pooled(16).await?;
    fixture.mine(&running).await?;
    running.wait_until(|status| status.pending.len() == 4 && status.queued == 0).await?;
    fixture.wait_until_pooled(4).await?;
    fixture.mine(&running).await?;
    for (label, id) in (0..).zip(ids) {
        while !matches!(running.next(id).await?, Outcome::Mined(_)) {}
        assert_eq!(fixture.executions(label).await?, U256::ONE);
    }
    Ok(())
}

#[tokio::test]
async fn a_high_priority_intent_replaces_a_low_priority_one_by_geths_rules() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let patient = running.handle.submit(intent(1, Priority::Low));
    assert!(matches!(running.next(patient).await?, Outcome::Sent { nonce: 0, .. }));
    fixture.wait_until_pooled(1).await?;
    let urgent = running.handle.submit(intent(2, Priority::High));
    let Outcome::Sent { nonce: 0, hash, .. } = running.next(urgent).await? else { eyre::bail!("not in its place") };
    fixture.wait_until_known(hash).await?;
    fixture.mine(&running).await?;
    assert_eq!(running.next(patient).await?, Outcome::Replaced { by: urgent });
    assert!(matches!(running.next(urgent).await?, Outcome::Mined(_)));
    assert_eq!((fixture.executions(1).await?, fixture.executions(2).await?), (U256::ZERO, U256::ONE));
    for _ in 0..4 {
        fixture.mine(&running).await?;
    }
    running.wait_for_state(patient, EntryState::Replaced { by: urgent }).await?;
    Ok(())
}

#[tokio::test]
async fn an_intent_past_its_deadline_that_holds_up_others_is_cancelled_and_never_executed() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let deadline = fixture.header().await?.timestamp + 1_000;
    let id = running.handle.submit(Intent { deadline, ..intent(1, Priority::High) });
    assert!(matches!(running.next(id).await?, Outcome::Sent { .. }));
    let _behind = running.sent(2).await?;
    fixture.wait_until_pooled(2).await?;
    // Beyond the first fee, so that both stay pending.
    fixture.set_base_fee(1_500).await?;
    fixture.node.provider().anvil_set_next_block_timestamp(deadline).await?;
    fixture.mine(&running).await?;
    running.wait_until(|status| status.pending.iter().any(|pending| pending.id == id && pending.attempts == 2)).await?;
    let cancellation = running.entry(id).await?.attempts[1].hash;
    fixture.wait_until_known(cancellation).await?;
    fixture.set_base_fee(1).await?;
    fixture.mine(&running).await?;
    let Outcome::Cancelled(receipt) = running.next(id).await? else { eyre::bail!("it was not cancelled") };
    assert_eq!((receipt.inclusion.hash, receipt.gas_used), (cancellation, 21_000));
    assert_eq!(fixture.executions(1).await?, U256::ZERO);
    Ok(())
}

#[tokio::test]
async fn a_nonce_used_by_another_program_is_reported_and_the_next_intent_gets_the_next_nonce() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let (id, _) = running.sent(1).await?;
    fixture.wait_until_pooled(1).await?;
    let foreign = fixture.sign_foreign(0, 3_000, 1_000).await?;
    let _sent = fixture.node.provider().send_raw_transaction(&foreign).await?;
    fixture.mine(&running).await?;
    running.wait_until(|status| status.next_nonce == 1 && status.pending.is_empty()).await?;
    fixture.mine(&running).await?;
    assert_eq!(running.next(id).await?, Outcome::NonceUsedByOther { nonce: 0 });
    let (next, _) = running.sent(2).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    assert!(matches!(running.next(next).await?, Outcome::Mined(_)));
    assert_eq!((fixture.executions(1).await?, fixture.executions(2).await?), (U256::ZERO, U256::ONE));
    Ok(())
}

#[tokio::test]
async fn a_reorged_transaction_is_rebroadcast_with_the_same_bytes() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let (id, hash) = running.sent(1).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    assert!(matches!(running.next(id).await?, Outcome::Mined(_)));
    fixture.node.provider().anvil_reorg(ReorgOptions { depth: 1, tx_block_pairs: Vec::new() }).await?;
    assert_eq!(fixture.executions(1).await?, U256::ZERO);
    running.handle.on_block(fixture.header().await?, &[]);
    assert_eq!(running.next(id).await?, Outcome::Reorged);
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    let Outcome::Mined(receipt) = running.next(id).await? else { eyre::bail!("it was not mined again") };
    assert_eq!((receipt.inclusion.hash, fixture.executions(1).await?), (hash, U256::ONE));
    Ok(())
}

#[tokio::test]
async fn a_chain_nonce_ahead_of_the_journal_prevents_the_start_until_adopted() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    let (id, _) = running.sent(1).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.mine(&running).await?;
    running.next(id).await?;
    running.shut_down().await;
    let foreign = fixture.sign_foreign(1, 100, 1).await?;
    let _sent = fixture.node.provider().send_raw_transaction(&foreign).await?;
    fixture.node.provider().anvil_mine(Some(1), None).await?;

    let nodes = || nodes(&[&fixture.proxy], &[&fixture.proxy], &[]);
    let refused = fixture.start_with(fixture.settings(), nodes()?, "store").await?.err();
    let expected = RecoverError::ChainAhead { signer: fixture.key.address(), chain: 2, journal: 1 };
    assert!(matches!(refused, Some(StartError::Recover(error)) if error == expected));
    let mut settings = fixture.settings();
    settings.adopt_nonce = true;
    let adopted = fixture.start_with(settings, nodes()?, "store").await??;
    adopted.wait_until(|status| status.next_nonce == 2).await?;
    Ok(())
}
