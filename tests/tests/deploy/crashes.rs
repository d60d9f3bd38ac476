//! The deployer is killed at every transaction – when it is sent, when it is mined, when the node forgot it – and still
//! finishes, with the transactions and payments of an undisturbed run.

use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::eip2718::Decodable2718,
    primitives::{Address, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_contracts::deployment::{Deployment, InFlight};

use super::fixture::{FUNDED, Fixture, SMALL, without_payments};

/// Longest time for a deployment on a chain that mines at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two checks of a condition that a test waits for.
const LOOK: Duration = Duration::from_millis(5);

/// The circumstances of a kill. With these three, every transaction is mined at some time.
#[derive(Clone, Copy)]
enum Blow {
    /// The deployer is killed with its transaction in the pool, where it remains.
    InThePool,
    /// The deployer is killed, and the node forgets the transaction.
    Forgotten,
    /// The transaction is mined, and the deployer is killed before or just after it learns that.
    Mined,
}

#[tokio::test]
async fn a_deployment_killed_at_every_transaction_finishes_with_the_same_transactions_and_pays_once() -> eyre::Result<()>
{
    let undisturbed = Fixture::start(&[]).await?;
    undisturbed.apply(SMALL).await?;

    let fixture = Fixture::start(&["--no-mining"]).await?;
    let manifest = fixture.write(SMALL)?;
    let mut blows = [Blow::InThePool, Blow::Forgotten, Blow::Mined].into_iter().cycle();
    let mut kills = 0;
    loop {
        let mut command = fixture.command("apply", &manifest, &fixture.node.http_url());
        let said = fixture.folder.path().join("said");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&said)?);
        let mut child = command.spawn()?;
        if !sends(&fixture, &mut child).await.wrap_err_with(|| fs::read_to_string(&said).unwrap_or_default())? {
            break;
        }
        let blow = blows.next().unwrap_or(Blow::Mined);
        if matches!(blow, Blow::Mined) {
            fixture.node.provider().evm_mine(None).await?;
        }
        // SIGKILL: the process cannot do anything any more.
        child.kill()?;
        child.wait()?;
        if matches!(blow, Blow::Forgotten) {
            fixture.node.provider().anvil_drop_all_transactions().await?;
        }
        kills += 1;
    }

    let sent = fixture.sent().await?;
    ensure!(kills >= 2 * sent, "only {kills} kills for {sent} transactions");
    assert_eq!(sent, undisturbed.sent().await?);
    let Some(record) = Deployment::read(&fixture.record_path())? else { eyre::bail!("there is no record") };
    assert_eq!(record.in_flight, None);
    assert_eq!(record.fundings.len(), 2);
    assert_eq!(fixture.funded(&record).await?, U256::from(FUNDED));
    assert!(fixture.plan(SMALL).await?.is_done());
    Ok(())
}

/// Waits until a transaction is pending; `false` when the deployer ends successfully without one.
async fn sends(fixture: &Fixture, child: &mut Child) -> eyre::Result<bool> {
    let provider = fixture.node.provider();
    let deployer = fixture.node.account(0)?;
    loop {
        let mined = provider.get_transaction_count(deployer).latest().await?;
        if provider.get_transaction_count(deployer).pending().await? > mined {
            return Ok(true);
        }
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "the deployer ended with {status}");
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Deploys the small manifest without its second payment, on a node that has forgotten that payment's pending
/// transaction after the deployer was killed.
async fn killed_while_it_pays() -> eyre::Result<(Fixture, String, InFlight)> {
    let manifest =
        SMALL.replace("    { id = \"second\", token = \"USDC\", amount = \"1000 USDC\", epochs = 4 },\n", "");
    let fixture = Fixture::start(&["--no-mining"]).await?;
    let mut child = {
        let mut command = fixture.command("apply", &fixture.write(&manifest)?, &fixture.node.http_url());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?
    };
    loop {
        ensure!(sends(&fixture, &mut child).await?, "it ended before it paid");
        let pending = Deployment::read(&fixture.record_path())?.and_then(|record| record.in_flight);
        if let Some(pending) = pending.filter(|pending| pending.funding.is_some()) {
            child.kill()?;
            child.wait()?;
            fixture.node.provider().anvil_drop_all_transactions().await?;
            return Ok((fixture, manifest, pending));
        }
        fixture.node.provider().evm_mine(None).await?;
    }
}

/// Sends another transaction with the nonce of the forgotten one.
async fn displace(fixture: &Fixture, pending: &InFlight, to: Address, input: Bytes) -> eyre::Result<()> {
    let request = TransactionRequest::default().from(fixture.node.account(0)?).to(to).input(input.into());
    let sent = fixture.node.provider().send_transaction(request.nonce(pending.nonce)).await?;
    fixture.node.provider().anvil_set_auto_mine(true).await?;
    fixture.node.provider().evm_mine(None).await?;
    ensure!(sent.get_receipt().await?.status(), "the other transaction failed");
    Ok(())
}

#[tokio::test]
async fn a_payment_that_a_wallet_sped_up_is_found_and_not_repeated() -> eyre::Result<()> {
    let (fixture, manifest, pending) = killed_while_it_pays().await?;
    let signed = TxEnvelope::decode_2718(&mut pending.raw.as_ref())?;
    let to = signed.to().wrap_err("a payment to nobody")?;
    displace(&fixture, &pending, to, signed.input().clone()).await?;
    let record = fixture.apply(&manifest).await?;
    assert_eq!(fixture.funded(&record).await?, U256::from(FUNDED / 2));
    assert!(record.fundings.contains_key("first") && record.in_flight.is_none());
    Ok(())
}

#[tokio::test]
async fn a_payment_whose_nonce_was_used_otherwise_is_not_repeated_without_confirmation() -> eyre::Result<()> {
    let (fixture, manifest, pending) = killed_while_it_pays().await?;
    displace(&fixture, &pending, fixture.node.account(1)?, Bytes::new()).await?;
    for _ in 0..2 {
        let error = fixture.apply(&manifest).await.unwrap_err().to_string();
        ensure!(error.contains("was displaced by another one") && error.contains("remove `in_flight`"), "{error}");
    }
    let mut record = Deployment::read(&fixture.record_path())?.wrap_err("there is no record")?;
    record.in_flight = None;
    record.write(&fixture.record_path())?;
    let record = fixture.apply(&manifest).await?;
    assert_eq!(fixture.funded(&record).await?, U256::from(FUNDED / 2));
    Ok(())
}

/// Deploys the small manifest without payments, and applies it with them on a chain that stands still. `disturb` gets the
/// pending transaction of the first payment.
async fn disturbed<F: Future<Output = eyre::Result<()>>>(
    fixture: &Fixture,
    disturb: impl FnOnce(InFlight) -> F,
) -> eyre::Result<Deployment> {
    fixture.apply(&without_payments()?).await?;
    fixture.node.provider().anvil_set_auto_mine(false).await?;
    let apply = async { tokio::time::timeout(PATIENCE, fixture.apply(SMALL)).await.wrap_err("it waits for ever")? };
    let disturb = async {
        let pending = loop {
            if let Some(pending) = Deployment::read(&fixture.record_path())?.and_then(|record| record.in_flight)
                && fixture.chain.knows(pending.transaction).await?
            {
                break pending;
            }
            tokio::time::sleep(LOOK).await;
        };
        disturb(pending).await?;
        fixture.node.provider().anvil_set_auto_mine(true).await?;
        fixture.node.provider().evm_mine(None).await?;
        eyre::Ok(())
    };
    let (record, disturbed) = tokio::join!(apply, disturb);
    disturbed?;
    record
}

#[tokio::test]
async fn a_transaction_that_is_displaced_while_it_is_waited_for_is_noticed() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let deployer = fixture.node.account(0)?;
    let record = disturbed(&fixture, async |pending: InFlight| {
        let request = TransactionRequest::default().from(deployer).to(deployer).nonce(pending.nonce).gas_limit(21_000);
        let dearer = request.max_fee_per_gas(100_000_000_000).max_priority_fee_per_gas(50_000_000_000);
        let _pending = fixture.node.provider().send_transaction(dearer).await?;
        Ok(())
    })
    .await?;
    assert_eq!(record.in_flight, None);
    assert_eq!(fixture.funded(&record).await?, U256::from(FUNDED));
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_the_node_drops_while_it_is_waited_for_is_broadcast_again() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let record = disturbed(&fixture, async |_| {
        fixture.node.provider().anvil_drop_all_transactions().await?;
        Ok(())
    })
    .await?;
    assert_eq!(record.in_flight, None);
    assert_eq!(fixture.funded(&record).await?, U256::from(FUNDED));
    Ok(())
}
