//! Order flow by bundles: what is not mined costs nothing, and its nonce is free at once.

use alloy::{
    consensus::TxEnvelope,
    eips::eip2718::Decodable2718,
    primitives::{Address, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
    sol_types::{SolCall, SolEvent},
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{ILiquidator, IPlimsoll};
use plimsoll_testkit::{
    borrowers::NewLoan,
    deployment::Suite,
    keeper::{Keeper, KeeperSetup},
    relay::{Bundle, Relay, RelayBehaviour},
};
use serde_json::Value;

use super::fixture::*;

const GWEI: u128 = 1_000_000_000;

/// Returns the configuration of a keeper that reads from the node, and sends bundles to these relays.
fn setup(fixture: &Fixture, relays: &[&Relay]) -> KeeperSetup {
    let node = format!("url = \"{}\"\nrole = \"read\"", fixture.suite.devnet.node.ws_url());
    let relays = relays.iter().map(|relay| format!("url = \"{}\"\nrole = \"bundle\"", relay.url()));
    KeeperSetup {
        endpoints: [node].into_iter().chain(relays).collect(),
        further: EARLY_FINALITY.to_owned(),
        ..KeeperSetup::live(&fixture.suite)
    }
}

/// Starts a keeper that sends bundles to these relays; from then on, blocks are made on request only.
async fn start_with(fixture: &Fixture, relays: &[&Relay]) -> eyre::Result<Keeper> {
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup(fixture, relays)).await?;
    keeper.wait_until_ready().await?;
    fixture.stop_mining().await?;
    Ok(keeper)
}

async fn start(fixture: &Fixture) -> eyre::Result<(Relay, Keeper)> {
    let relay = Relay::start(fixture.provider().clone()).await?;
    let keeper = start_with(fixture, &[&relay]).await?;
    Ok((relay, keeper))
}

/// Returns the account whose loan is liquidatable and acted upon.
async fn acted_upon(keeper: &Keeper) -> eyre::Result<Address> {
    let mut borrower = None;
    let acts = |positions: &Value| {
        let mut all = positions["positions"].as_array().into_iter().flatten();
        let acted = all.find(|position| position["decision"]["reason"] == "act");
        borrower = acted.and_then(|position| position["account"].as_str()?.parse().ok());
        borrower.is_some()
    };
    soon(keeper.wait_until("positions", acts)).await?;
    borrower.wrap_err("nothing is acted upon")
}

/// Returns the input of a bundle's transaction.
fn input(bundle: &Bundle) -> eyre::Result<Bytes> {
    let transaction = TxEnvelope::decode_2718(&mut bundle.raw.as_ref())?;
    Ok(alloy::consensus::Transaction::input(&transaction).clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rival_that_takes_the_loan_costs_nothing_and_the_next_loan_is_liquidated_one_block_later() -> eyre::Result<()>
{
    let fixture = Fixture::new(&[1, 1]).await?;
    let (devnet, dollars) = (&fixture.suite.devnet, U256::from(1_600_000_000_u64));
    let rival = devnet.node.account(4)?;
    devnet.mint_and_approve(fixture.params.loanToken, rival, dollars, fixture.core).await?;
    let (relay, keeper) = start(&fixture).await?;
    let signer = keeper.signer();
    let nonce = fixture.provider().get_transaction_count(signer).await?;

    fixture.drop_price_below(0).await?;
    let borrower = acted_upon(&keeper).await?;
    let block = fixture.head().await?;
    let first = relay.wait_for_bundle(block + 1).await?;
    ensure!(first.identity != signer, "relays know the keeper by a key of its own");
    // The rival's transaction is in the same block and before the bundle.
    let core = IPlimsoll::new(fixture.core, fixture.provider());
    let call = core.liquidate(fixture.params.clone(), vec![borrower], dollars, U256::ZERO, rival, Bytes::new());
    let call = call.from(rival).gas(1_000_000).max_fee_per_gas(2_000 * GWEI).max_priority_fee_per_gas(1_500 * GWEI);
    let taken = *call.send().await?.tx_hash();
    let built = relay.build_block().await?;
    ensure!((built.included.len(), built.dropped.len()) == (0, 1), "{built:?}");
    let receipt = fixture.provider().get_transaction_receipt(taken).await?;
    ensure!(receipt.is_some_and(|receipt| receipt.status()), "the rival was too late");

    // The next loan becomes liquidatable in the block that follows, and is liquidated in the one after.
    soon(keeper.wait_for_block(built.number)).await?;
    fixture.drop_price_below(1).await?;
    let block = fixture.head().await?;
    relay.wait_for_bundle(block + 1).await?;
    let built = relay.build_block().await?;
    ensure!((built.number, built.included.len()) == (block + 1, 1), "{built:?}");
    let transaction = fixture.provider().get_transaction_by_hash(built.included[0]).await?.wrap_err("it is gone")?;
    ensure!(alloy::consensus::Transaction::nonce(&transaction) == nonce, "the nonce of the lost race was not reused");
    soon(keeper.wait_until("status", |status| status["totals"]["liquidated"] == 1)).await?;
    let status = keeper.api("status").await?;
    ensure!(status["totals"]["reverted"] == 0, "{status:#}");
    ensure!(fixture.liquidated().await?.len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_in_a_bundle_for_every_next_block_until_one_includes_them() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1]).await?;
    let (relay, keeper) = start(&fixture).await?;
    fixture.drop_price_below(0).await?;
    let block = fixture.head().await?;
    let first = relay.wait_for_bundle(block + 1).await?;
    // Other builders made the next two blocks.
    let mut again = first.clone();
    for _ in 0..2 {
        let mined = fixture.mine().await?;
        again = relay.wait_for_bundle(mined + 1).await?;
    }
    ensure!(
        (&again.raw, &again.replacement_uuid) == (&first.raw, &first.replacement_uuid),
        "{again:?} after {first:?}"
    );
    let built = relay.build_block().await?;
    ensure!(built.included.len() == 1, "{built:?}");
    soon(keeper.wait_until("status", |status| status["totals"]["liquidated"] == 1)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_hang_or_refuse_delay_no_bundle_to_another() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1, 1]).await?;
    let relay = async |behaviour| Relay::start_with(fixture.provider().clone(), behaviour).await;
    let (hanging, refusing) = (relay(RelayBehaviour::Hangs).await?, relay(RelayBehaviour::Refuses).await?);
    let builder = relay(RelayBehaviour::Full).await?;
    let keeper = start_with(&fixture, &[&hanging, &refusing, &builder]).await?;
    for group in 0..2_u8 {
        fixture.drop_price_below(group.into()).await?;
        let block = fixture.head().await?;
        builder.wait_for_bundle(block + 1).await?;
        let built = builder.build_block().await?;
        ensure!(built.included.len() == 1 && built.reverted.is_empty(), "{built:?}");
        soon(keeper.wait_until("status", |status| status["totals"]["liquidated"] == group + 1)).await?;
    }
    hanging.wait_for_request().await?;
    refusing.wait_for_request().await?;
    fixture.ensure_none_reverted(keeper.signer()).await?;
    fixture.ensure_each_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_relay_refuses_nothing_is_mined_and_nothing_is_paid() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1]).await?;
    let relay = Relay::start_with(fixture.provider().clone(), RelayBehaviour::Refuses).await?;
    let keeper = start_with(&fixture, &[&relay]).await?;
    let balance = fixture.provider().get_balance(keeper.signer()).await?;
    fixture.drop_price_below(0).await?;
    relay.wait_for_request().await?;
    fixture.mine_blocks(5, &keeper).await?;
    ensure!(fixture.mined_transactions(keeper.signer()).await?.is_empty(), "something was mined");
    ensure!(fixture.provider().get_balance(keeper.signer()).await? == balance, "something was paid");
    ensure!(keeper.pending().await? == 1, "it was given up, though relays may take it yet");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_whose_block_is_reorged_away_is_sent_again_with_the_same_bytes_and_liquidates_once() -> eyre::Result<()>
{
    let fixture = Fixture::new(&[1]).await?;
    let (relay, keeper) = start(&fixture).await?;
    fixture.drop_price_below(0).await?;
    let first = relay.wait_for_bundle(fixture.head().await? + 1).await?;
    let built = relay.build_block().await?;
    ensure!(built.included.len() == 1, "{built:?}");
    soon(keeper.wait_until("status", |status| status["totals"]["liquidated"] == 1)).await?;

    fixture.provider().anvil_reorg(ReorgOptions { depth: 1, tx_block_pairs: Vec::new() }).await?;
    ensure!(fixture.liquidated().await?.is_empty(), "nothing was reorged");
    // A decision on the new head may come before the node says that the transaction is gone, and has the next nonce: it is
    // in no block, because its nonce is too high, and given up with the loan.
    let is_again = |bundle: &Bundle| bundle.block == built.number + 1 && bundle.raw == first.raw;
    relay.wait_until(|bundles| bundles.iter().any(is_again)).await?;
    let built = relay.build_block().await?;
    ensure!(built.included.len() == 1, "{built:?}");
    soon(keeper.wait_until("status", |status| status["totals"]["liquidated"] == 1)).await?;
    fixture.mine_blocks(2, &keeper).await?;
    soon(keeper.wait_until("status", |status| status["signers"][0]["pending"] == 0)).await?;
    ensure!(fixture.mined_transactions(keeper.signer()).await?.len() == 1, "more than the liquidation was mined");
    fixture.ensure_none_reverted(keeper.signer()).await?;
    fixture.ensure_each_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_whose_reason_is_reorged_away_is_withdrawn_from_every_relay_by_what_it_supports() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1]).await?;
    let relay = async |behaviour| Relay::start_with(fixture.provider().clone(), behaviour).await;
    let relays = [relay(RelayBehaviour::Full).await?, relay(RelayBehaviour::WithoutCancellation).await?];
    let keeper = start_with(&fixture, &relays.each_ref()).await?;
    fixture.drop_price_below(0).await?;
    let block = fixture.head().await? + 1;
    let bundle = relays[0].wait_for_bundle(block).await?;
    relays[1].wait_for_bundle(block).await?;
    // The block with the new price is replaced by an empty one of the same height.
    fixture.provider().anvil_reorg(ReorgOptions { depth: 1, tx_block_pairs: Vec::new() }).await?;
    for relay in &relays {
        relay.wait_for_withdrawal(&bundle.replacement_uuid).await?;
        ensure!(relay.bundles_for(block).is_empty(), "{:?}", relay.bundles_for(block));
    }
    soon(keeper.wait_until("status", |status| status["signers"][0]["pending"] == 0)).await?;
    let built = relays[0].build_block().await?;
    ensure!(built.included.is_empty() && built.dropped.is_empty(), "{built:?}");
    ensure!(fixture.mined_transactions(keeper.signer()).await?.is_empty(), "a cancellation was bought");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_killed_with_a_bundle_out_sends_the_same_bytes_again_and_liquidates_once() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1]).await?;
    let (relay, keeper) = start(&fixture).await?;
    let (setup, signer) = (setup(&fixture, &[&relay]), keeper.signer());
    fixture.drop_price_below(0).await?;
    let first = relay.wait_for_bundle(fixture.head().await? + 1).await?;
    drop(keeper);
    // Another builder makes the block for which that bundle was.
    let block = fixture.mine().await?;
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    let again = relay.wait_for_bundle(block + 1).await?;
    ensure!(again.raw == first.raw, "{again:?} after {first:?}");
    // Killed again while it does not know that the bundle was included.
    let built = relay.build_block().await?;
    ensure!(built.included.len() == 1, "{built:?}");
    drop(keeper);
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    let journal = fixture.settle_and_end(keeper, &setup).await?;
    fixture.ensure_each_once().await?;
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_race_the_builder_is_paid_a_share_of_what_is_earned_in_the_wrapped_coin() -> eyre::Result<()> {
    let builder = Address::repeat_byte(0xb1);
    let mut fixture = Fixture::in_market(Suite::start().await?, "wsteth-weth")?;
    let (coin, deep) = (fixture.params.loanToken, U256::from(1_000_000 * ETHER));
    fixture.suite.devnet.wrap_coin(coin).await?;
    fixture.provider().anvil_set_coinbase(builder).await?;
    fixture.suite.supply(&fixture.params, U256::from(1_000 * ETHER)).await?;
    fixture.suite.add_liquidity("wsteth-weth", deep, deep).await?;
    for debt in [109, 107] {
        fixture.open_loans(NewLoan { collateral: 100 * ETHER, debt: debt * ETHER }, 1).await?;
    }
    let devnet = &fixture.suite.devnet;
    let rival = devnet.node.account(4)?;
    devnet.mint_and_approve(coin, rival, U256::from(200 * ETHER), fixture.core).await?;
    let (relay, keeper) = start(&fixture).await?;
    let price = async |answer: u128| {
        fixture.suite.send_price("wsteth-eth", answer).await?;
        fixture.mine().await
    };

    // The first loan goes to a rival, by a priority fee.
    let block = price(1_150_000_000_000_000_000).await?;
    let borrower = acted_upon(&keeper).await?;
    let bundle = relay.wait_for_bundle(block + 1).await?;
    ensure!(input(&bundle)?.starts_with(&ILiquidator::liquidateCall::SELECTOR), "nobody has to be outbid yet");
    let core = IPlimsoll::new(fixture.core, fixture.provider());
    let params = fixture.params.clone();
    let call = core.liquidate(params, vec![borrower], U256::from(200 * ETHER), U256::ZERO, rival, Bytes::new());
    let call = call.from(rival).gas(1_000_000).max_fee_per_gas(1_000 * GWEI).max_priority_fee_per_gas(500 * GWEI);
    let _hash = *call.send().await?.tx_hash();
    let built = relay.build_block().await?;
    ensure!((built.included.len(), built.dropped.len()) == (0, 1), "{built:?}");
    soon(keeper.wait_for_block(built.number)).await?;

    // The second one pays the builder.
    let block = price(1_130_000_000_000_000_000).await?;
    let bundle = relay.wait_for_bundle(block + 1).await?;
    ensure!(
        input(&bundle)?.starts_with(&ILiquidator::liquidateForBuilderCall::SELECTOR),
        "the builder is offered nothing"
    );
    let before = fixture.provider().get_balance(builder).await?;
    let built = relay.build_block().await?;
    ensure!((built.included.len(), built.reverted.len()) == (1, 0), "{built:?}");
    let receipt = fixture.provider().get_transaction_receipt(built.included[0]).await?.wrap_err("it is gone")?;
    let paid = receipt.inner.logs().iter().find_map(|log| ILiquidator::BuilderPaid::decode_log(&log.inner).ok());
    let paid = paid.wrap_err("nobody was paid")?.amount;
    ensure!(fixture.provider().get_balance(builder).await? - before >= paid && !paid.is_zero(), "{paid}");
    soon(keeper.wait_until("status", |status| status["totals"]["liquidated"] == 1)).await?;
    Ok(())
}
