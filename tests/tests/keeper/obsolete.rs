//! Liquidations that a rival did first: they are given up with the next block.

use alloy::{
    primitives::{Address, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
};
use eyre::ensure;
use plimsoll_contracts::IPlimsoll;
use plimsoll_keeper::sender::journal::EntryState;
use plimsoll_testkit::{
    keeper::{Keeper, KeeperSetup},
    proxy::{Fault, Phase, Proxy, Rule, RuleId},
};
use serde_json::Value;

use super::fixture::{EARLY_FINALITY, Fixture, program, soon};

/// Number of the rival's account.
const RIVAL: usize = 4;
/// Units of the loan token that the rival has.
const DOLLARS: U256 = U256::from_limbs([100_000_000_000, 0, 0, 0]);

/// Starts a keeper that broadcasts through a proxy, from which nothing gets to the node until the rule is lifted.
async fn keeper_behind(fixture: &Fixture, role: &str) -> eyre::Result<(Keeper, KeeperSetup, Proxy, RuleId)> {
    let devnet = &fixture.suite.devnet;
    devnet.mint_and_approve(fixture.params.loanToken, devnet.node.account(RIVAL)?, DOLLARS, fixture.core).await?;
    let proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let lost = proxy.inject(Rule::from(Fault::Reset(Phase::BeforeForwarding)).on(&["eth_sendRawTransaction"]));
    let read = format!("url = \"{}\"\nrole = \"read\"", fixture.suite.devnet.node.ws_url());
    let send = format!("url = \"{}\"\nrole = \"{role}\"", proxy.http_url());
    let setup = KeeperSetup {
        endpoints: vec![read, send],
        further: EARLY_FINALITY.to_owned(),
        ..KeeperSetup::live(&fixture.suite)
    };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    fixture.stop_mining().await?;
    Ok((keeper, setup, proxy, lost))
}

/// Lets the price fall, waits until the keeper has sent a liquidation of the first loan, and has a rival do it.
async fn lose_the_first_loan(fixture: &Fixture, keeper: &Keeper, proxy: &Proxy) -> eyre::Result<()> {
    let rival = fixture.suite.devnet.node.account(RIVAL)?;
    fixture.drop_price_below(0).await?;
    let mut borrower = Address::ZERO;
    let is_sent = |positions: &Value| {
        let sent = positions["positions"].as_array().into_iter().flatten();
        let mut sent = sent.filter(|position| position["decision"]["reason"] == "act");
        borrower = sent.find_map(|position| position["account"].as_str()?.parse().ok()).unwrap_or_default();
        !borrower.is_zero()
    };
    soon(keeper.wait_until("positions", is_sent)).await?;
    proxy.wait_for(|counts| counts.of("eth_sendRawTransaction") > 0).await?;
    let core = IPlimsoll::new(fixture.core, fixture.provider());
    let call = core.liquidate(fixture.params.clone(), vec![borrower], DOLLARS, U256::ZERO, rival, Bytes::new());
    let taken = *call.from(rival).gas(1_000_000).send().await?.tx_hash();
    fixture.mine().await?;
    let receipt = fixture.provider().get_transaction_receipt(taken).await?;
    ensure!(receipt.is_some_and(|receipt| receipt.status()), "the rival failed");
    keeper.wait_for_block(fixture.head().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_relay_that_includes_no_reverts_the_next_loan_has_the_nonce_of_the_lost_one() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1, 1]).await?;
    let (keeper, setup, proxy, lost) = keeper_behind(&fixture, "private").await?;
    lose_the_first_loan(&fixture, &keeper, &proxy).await?;
    soon(keeper.wait_until("status", |status| status["signers"][0]["pending"] == 0)).await?;
    // The relay still has the lost one, and would include the next.
    proxy.reset_counts();
    proxy.lift(lost);
    fixture.mine_blocks(4, &keeper).await?;
    ensure!(proxy.counts().of("eth_sendRawTransaction") == 0, "a lost liquidation was broadcast");

    fixture.drop_price_below(1).await?;
    soon(proxy.wait_for(|counts| counts.of("eth_sendRawTransaction") == 1)).await?;
    soon(keeper.wait_until("status", |status| status["signers"][0]["pending"] == 1)).await?;
    let provider = fixture.provider();
    soon(async {
        while provider.get_transaction_count(keeper.signer()).pending().await? == 0 {}
        Ok(())
    })
    .await?;
    fixture.mine().await?;
    ensure!(fixture.liquidated().await?.len() == 2, "the next loan was not liquidated one block later");
    let signer = keeper.signer();
    let journal = fixture.settle_and_end(keeper, &setup).await?;
    let states: Vec<_> = journal.iter().map(|entry| (entry.nonce, entry.state.name())).collect();
    ensure!(states.len() == 2 && states.iter().all(|(nonce, _)| *nonce == journal[0].nonce), "{states:?}");
    ensure!(matches!(journal[1].state, EntryState::Replaced { by } if by == journal[0].id), "{states:?}");
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_each_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_rivals_block_is_reorged_away_the_loan_is_liquidated_once() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1]).await?;
    let (keeper, setup, proxy, lost) = keeper_behind(&fixture, "send").await?;
    lose_the_first_loan(&fixture, &keeper, &proxy).await?;
    // A public pool may have the transaction, so it is cancelled.
    proxy.wait_for(|counts| counts.of("eth_sendRawTransaction") > 1).await?;
    proxy.lift(lost);
    fixture.provider().anvil_reorg(ReorgOptions { depth: 1, tx_block_pairs: Vec::new() }).await?;
    ensure!(fixture.liquidated().await?.is_empty(), "nothing was reorged");
    fixture.wait_until_liquidated(1, &[&keeper]).await?;
    let signer = keeper.signer();
    let journal = fixture.settle_and_end(keeper, &setup).await?;
    fixture.ensure_each_once().await?;
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}
