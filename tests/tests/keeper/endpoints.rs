//! A keeper of which one endpoint is at fault. Blocks are mined by the test alone, so what is late is counted in blocks.

use alloy::primitives::U256;
use eyre::ensure;
use plimsoll_contracts::IPlimsoll;
use plimsoll_testkit::{
    keeper::{Keeper, KeeperSetup},
    proxy::{Fault, Phase, Proxy, Rule},
};
use serde_json::Value;

use super::fixture::{Fixture, program, soon};
use crate::follow::idle::IDLE_BLOCKS;

/// Returns a keeper over two proxies.
async fn keeper_over(fixture: &Fixture, proxies: &[Proxy]) -> eyre::Result<Keeper> {
    let endpoints = proxies.iter().map(|proxy| format!("url = \"{}\"", proxy.ws_url())).collect();
    let setup = KeeperSetup { endpoints, ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    fixture.stop_mining().await?;
    Ok(keeper)
}

async fn two_proxies(fixture: &Fixture) -> eyre::Result<[Proxy; 2]> {
    let node = fixture.suite.devnet.node.address();
    Ok([Proxy::start(node).await?, Proxy::start(node).await?])
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_one_endpoint_loans_are_liquidated_in_the_next_block() -> eyre::Result<()> {
    let error = |code, message: &str| Fault::Error { code, message: message.to_owned() };
    let faults = [
        error(-32000, "header not found"),
        error(-32603, "internal error"),
        Fault::Stall(Phase::AfterForwarding),
        Fault::Reset(Phase::AfterForwarding),
        Fault::CutOff,
        Fault::RateLimited { retry_after_secs: 300 },
    ];
    let fixture = Fixture::new(&vec![2; faults.len()]).await?;
    let proxies = two_proxies(&fixture).await?;
    let keeper = keeper_over(&fixture, &proxies).await?;
    for (group, fault) in (0..).zip(faults) {
        let is_healthy = |status: &Value| status["endpoints"][0]["healthy"] == true;
        soon(keeper.wait_until("status", is_healthy)).await?;
        let rule = proxies[0].inject(Rule::from(fault.clone()).on(&["eth_call"]));
        fixture.drop_price_below(group).await?;
        let price_block = fixture.head().await?;
        soon(keeper.wait_until("status", |status| status["signers"][0]["pending"].as_u64() > Some(0))).await?;
        ensure!(fixture.head().await? == price_block, "{fault:?}: no other block was needed");
        fixture.mine().await?;
        let liquidated = u128::try_from(fixture.liquidated().await?.len())?;
        ensure!(liquidated == 2 * (group + 1), "{fault:?}: {liquidated} loans are liquidated");
        proxies[0].lift(rule);
        soon(async {
            while keeper.pending().await? > 0 {
                fixture.mine_blocks(1, &keeper).await?;
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Whichever has the block first is asked. Further questions are hedges: one for ten questions, and eight at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_block_costs_one_call_to_one_of_two_endpoints() -> eyre::Result<()> {
    let fixture = Fixture::new(&[10]).await?;
    let proxies = two_proxies(&fixture).await?;
    let keeper = keeper_over(&fixture, &proxies).await?;
    fixture.mine_blocks(1, &keeper).await?;
    proxies.iter().for_each(Proxy::reset_counts);
    fixture.mine_blocks(IDLE_BLOCKS, &keeper).await?;
    let calls = proxies.each_ref().map(|proxy| proxy.counts().total());
    let hedges = IDLE_BLOCKS / 10 + 8;
    ensure!(calls.iter().sum::<u64>() <= IDLE_BLOCKS + hedges, "{calls:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_lies_in_a_markets_totals_is_found_out_and_the_book_is_kept() -> eyre::Result<()> {
    let fixture = Fixture::new(&[2]).await?;
    let proxies = two_proxies(&fixture).await?;
    let keeper = keeper_over(&fixture, &proxies).await?;
    let totals = IPlimsoll::new(fixture.core, fixture.provider()).market(fixture.params.id().0).call().await?;
    let word = |assets: U256| format!("{assets:064x}");
    let assets = totals.supplyAssets;
    let lie = Fault::Substituted { from: word(assets), to: word(assets + U256::ONE) };
    proxies[0].inject(Rule::from(lie).on(&["eth_call"]));
    let is_found =
        |status: &Value| status["endpoints"][0]["problem"].as_str().is_some_and(|problem| problem.contains("totals"));
    // The endpoint that has the block first is asked for its totals, so it may take a few blocks.
    soon(async {
        while !is_found(&keeper.api("status").await?) {
            fixture.mine_blocks(1, &keeper).await?;
        }
        Ok(())
    })
    .await?;
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(2, &[&keeper]).await?;
    let output = keeper.output();
    ensure!(!output.contains("book differs") && !output.contains("book reset"), "{output}");
    fixture.ensure_each_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_endpoint_that_lies_in_a_markets_totals_does_not_stop_the_keeper() -> eyre::Result<()> {
    let fixture = Fixture::new(&[2]).await?;
    let proxies = [Proxy::start(fixture.suite.devnet.node.address()).await?];
    let keeper = keeper_over(&fixture, &proxies).await?;
    let totals = IPlimsoll::new(fixture.core, fixture.provider()).market(fixture.params.id().0).call().await?;
    let word = |assets: U256| format!("{assets:064x}");
    let assets = totals.supplyAssets;
    proxies[0].inject(Fault::Substituted { from: word(assets), to: word(assets + U256::ONE) });
    fixture.mine_blocks(5, &keeper).await?;
    let mismatches = &keeper.api("status").await?["audit"]["mismatches"];
    ensure!(mismatches.as_u64() >= Some(3), "{mismatches}");
    ensure!(!keeper.output().contains("book reset"), "{}", keeper.output());
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(2, &[&keeper]).await?;
    fixture.ensure_each_once().await
}
