//! Rising fees, and replacements by geth's rules.

use alloy::{primitives::U256, providers::Provider};
use plimsoll_keeper::intent::Outcome;

use super::fixture::Fixture;

#[tokio::test]
async fn a_transaction_below_the_risen_base_fee_is_replaced_by_ten_percent_more_and_mined_once() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    let mut running = fixture.start().await?;
    // The gain allows 1,800 gwei for a unit of gas; the first attempt bids a tenth of it.
    let (id, _) = running.sent(1).await?;
    fixture.wait_until_pooled(1).await?;
    fixture.set_base_fee(400).await?;
    fixture.mine(&running).await?;
    assert_eq!(fixture.executions(1).await?, U256::ZERO, "the first offer reached into the spike");
    running.wait_until(|status| status.pending.iter().any(|pending| pending.attempts == 2)).await?;
    let attempts = running.entry(id).await?.attempts;
    let (first, second) = (attempts[0].fees, attempts[1].fees);
    assert!(
        second.max_fee_per_gas * 100 >= first.max_fee_per_gas * 110
            && second.max_priority_fee_per_gas * 100 >= first.max_priority_fee_per_gas * 110
    );
    fixture.wait_until_known(attempts[1].hash).await?;
    fixture.mine(&running).await?;
    let Outcome::Mined(receipt) = running.next(id).await? else { eyre::bail!("it was not mined") };
    assert_eq!(receipt.inclusion.hash, attempts[1].hash);
    assert_eq!(fixture.executions(1).await?, U256::ONE);
    Ok(())
}

#[tokio::test]
async fn an_underpriced_replacement_is_raised_until_the_pool_accepts_it() -> eyre::Result<()> {
    let fixture = Fixture::new().await?;
    // Another transaction has the nonce, with a higher fee than a first attempt.
    let foreign = fixture.sign_foreign(0, 200, 190).await?;
    let _pending = fixture.node.provider().send_raw_transaction(&foreign).await?;
    let mut running = fixture.start().await?;
    let (id, first) = running.sent(1).await?;
    let status = running.wait_until(|status| status.pending.iter().any(|pending| pending.attempts >= 3)).await?;
    fixture.wait_until_known(status.pending[0].hash).await?;
    fixture.mine(&running).await?;
    let Outcome::Mined(receipt) = running.next(id).await? else { eyre::bail!("it was not mined") };
    assert_ne!(receipt.inclusion.hash, first);
    assert_eq!(fixture.executions(1).await?, U256::ONE);
    Ok(())
}
