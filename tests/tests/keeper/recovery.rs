//! Liquidations under adverse conditions: reorgs, a rival, nodes that are down, stalled or lying, no price, or no
//! liquidity.

use alloy::{
    primitives::{Address, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
};
use eyre::ensure;
use plimsoll_contracts::IPlimsoll;
use plimsoll_testkit::{
    keeper::{Keeper, KeeperSetup},
    proxy::{Fault, Phase, Proxy},
};
use serde_json::Value;

use super::fixture::{EARLY_FINALITY, ETHER, Fixture, program, soon};

/// The most gas of a transaction that reverts because everything is liquidated already.
const LOST_RACE_GAS: u64 = 300_000;

/// Returns whether the number of liquidatable positions is as given, and each is skipped for this reason, with figures.
fn all_skipped_for(positions: &Value, count: usize, reason: &str) -> bool {
    let all = positions["positions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let below = all.iter().filter(|position| position["distance_bps"].as_i64().is_some_and(|bps| bps < 0));
    let because = |position: &&Value| {
        let decision = &position["decision"];
        let has_figures = decision["text"].as_str().is_some_and(|text| text.contains(|c: char| c.is_ascii_digit()));
        decision["reason"] == reason && decision["acts"] == false && has_figures
    };
    below.clone().count() == count && below.clone().all(|position| because(&position))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorged_liquidation_is_repeated_exactly_once() -> eyre::Result<()> {
    const DEPTHS: u64 = 3;
    let fixture = Fixture::new(&[2; 3]).await?;
    let setup = KeeperSetup { further: EARLY_FINALITY.to_owned(), ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    fixture.stop_mining().await?;
    for depth in 1..=DEPTHS {
        fixture.drop_price_below(u128::from(depth) - 1).await?;
        let fallen = fixture.head().await?;
        fixture.wait_until_liquidated(2 * depth, &[&keeper]).await?;
        while fixture.head().await? < fallen + depth {
            fixture.mine_blocks(1, &keeper).await?;
        }
        let taken = fixture.head().await? - fallen;
        fixture.provider().anvil_reorg(ReorgOptions { depth: taken, tx_block_pairs: Vec::new() }).await?;
        ensure!(fixture.liquidated().await?.len() < usize::try_from(2 * depth)?, "nothing was reorged");
        fixture.wait_until_liquidated(2 * depth, &[&keeper]).await?;
    }
    let signer = keeper.signer();
    let journal = fixture.settle_and_end(keeper, &setup).await?;
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_each_once().await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_racing_keepers_liquidate_each_loan_once_and_neither_gets_stuck() -> eyre::Result<()> {
    const ACCOUNTS: [[usize; 2]; 2] = [[8, 9], [6, 7]];
    const LOANS: u64 = 10;
    let fixture = Fixture::new(&[LOANS; 3]).await?;
    let setup = KeeperSetup { further: EARLY_FINALITY.to_owned(), ..KeeperSetup::live(&fixture.suite) };
    let rival =
        KeeperSetup { folder: "rival".to_owned(), signers: KeeperSetup::anvil_signers(ACCOUNTS[1]), ..setup.clone() };
    let one = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    let other = Keeper::start_with(&fixture.suite, program(), &rival).await?;
    for keeper in [&one, &other] {
        keeper.wait_until_ready().await?;
    }
    let refusals = [
        (KeeperSetup { signers: KeeperSetup::anvil_signers([4, 5]), ..setup.clone() }, "another keeper"),
        (
            KeeperSetup { folder: "third".to_owned(), ..setup.clone() },
            "already signs on chain 31337 for another keeper",
        ),
    ];
    for (wrong, words) in refusals {
        let refused = async { Keeper::start_with(&fixture.suite, program(), &wrong).await?.wait_until_ready().await };
        let said = refused.await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(said.contains(words), "it was to say {words:?}: {said}");
    }

    fixture.stop_mining().await?;
    for group in 0..3 {
        fixture.drop_price_below(group).await?;
        fixture.wait_until_liquidated(LOANS * (u64::try_from(group)? + 1), &[&one, &other]).await?;
    }
    let (mut done, mut lost) = (0, Vec::new());
    for (keeper, setup, accounts) in [(one, &setup, ACCOUNTS[0]), (other, &rival, ACCOUNTS[1])] {
        soon(async {
            while keeper.pending().await? > 0 {
                fixture.mine_blocks(1, &keeper).await?;
            }
            Ok(())
        })
        .await?;
        let signer: Address = fixture.suite.devnet.node.account(accounts[0])?;
        let journal = fixture.settle_and_end(keeper, setup).await?;
        fixture.ensure_journal_is_complete(&journal, signer).await?;
        for (hash, did, gas) in fixture.mined_transactions(signer).await?.into_values() {
            if did { done += 1 } else { lost.push((hash, gas)) }
        }
    }
    ensure!(done >= 3, "{done}");
    ensure!(lost.iter().all(|(_, gas)| *gas <= LOST_RACE_GAS), "{lost:?}");
    fixture.ensure_each_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_race_a_loan_that_is_liquidatable_again_is_sent_without_back_off() -> eyre::Result<()> {
    const GWEI: u128 = 1_000_000_000;
    let fixture = Fixture::new(&[1]).await?;
    let (devnet, dollars) = (&fixture.suite.devnet, U256::from(1_000_000_000_u64));
    let rival = devnet.node.account(4)?;
    devnet.mint_and_approve(fixture.params.loanToken, rival, dollars, fixture.core).await?;
    let keeper = Keeper::start(&fixture.suite, program(), "").await?;
    keeper.wait_until_ready().await?;
    fixture.stop_mining().await?;
    fixture.drop_price_below(0).await?;
    let mut borrower = Address::ZERO;
    let is_sent = |positions: &Value| {
        let position = &positions["positions"][0];
        borrower = position["account"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
        position["decision"]["reason"] == "act"
    };
    soon(keeper.wait_until("positions", is_sent)).await?;
    soon(keeper.wait_until("status", |status| status["signers"][0]["pending"] == 1)).await?;
    // The rival's transaction is in the same block and before the keeper's.
    let core = IPlimsoll::new(fixture.core, fixture.provider());
    let call = core.liquidate(fixture.params.clone(), vec![borrower], dollars, U256::ZERO, rival, Bytes::new());
    let call = call.from(rival).gas(1_000_000).max_fee_per_gas(2_000 * GWEI).max_priority_fee_per_gas(1_500 * GWEI);
    let taken = *call.send().await?.tx_hash();
    fixture.mine().await?;
    let receipt = fixture.provider().get_transaction_receipt(taken).await?;
    ensure!(receipt.is_some_and(|receipt| receipt.status()), "the rival was too late");
    soon(keeper.wait_until("status", |status| status["totals"]["reverted"] == 1)).await?;
    let is_rivals = |entry: &Value| entry["kind"] == "elsewhere" && entry["accounts"] == 1;
    let shows_rival = |status: &Value| status["timeline"].as_array().is_some_and(|all| all.iter().any(is_rivals));
    soon(keeper.wait_until("status", shows_rival)).await?;

    fixture.set_price(150_000_000_000).await?;
    let head = fixture.head().await?;
    let is_decided = |positions: &Value| positions["positions"][0]["decision"]["block"] == head;
    let decided = soon(keeper.wait_until("positions", is_decided)).await?;
    ensure!(decided["positions"][0]["decision"]["reason"] == "act", "{decided:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_loan_is_liquidated_in_spite_of_dead_stalled_and_lying_nodes() -> eyre::Result<()> {
    let mut fixture = Fixture::new(&[2; 3]).await?;
    let node = fixture.suite.devnet.node.address().to_owned();
    let (mut first, mut second) = (Proxy::start(&node).await?, Proxy::start(&node).await?);
    let url = |proxy: &Proxy| format!("url = \"{}\"", proxy.ws_url());
    let setup = KeeperSetup { endpoints: vec![url(&first), url(&second)], ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;

    // Both go down, the price falls, and they return.
    first.take_down().await;
    second.take_down().await;
    fixture.drop_price_below(0).await?;
    first.bring_up()?;
    second.bring_up()?;
    fixture.wait_until_liquidated(2, &[&keeper]).await?;

    // The first withholds logs: loans that only the second reports. The endpoint that announces a block is asked for
    // its logs, so it takes a few blocks until that is noticed.
    let lie = first.inject(Fault::TruncatedLogs { keep: 0 });
    fixture.set_price(200_000_000_000).await?;
    fixture.open(1, 2).await?;
    let is_caught =
        |status: &Value| status["endpoints"][0]["problem"].as_str().is_some_and(|problem| problem.contains("left out"));
    soon(async {
        while !is_caught(&keeper.api("status").await?) {
            fixture.suite.supply(&fixture.params, U256::ONE).await?;
            keeper.wait_for_block(fixture.head().await?).await?;
        }
        Ok(())
    })
    .await?;
    fixture.drop_price_below(1).await?;
    fixture.wait_until_liquidated(6, &[&keeper]).await?;
    first.lift(lie);

    // The second, which is used since then, stalls every request.
    let stall = second.inject(Fault::Stall(Phase::BeforeForwarding));
    fixture.drop_price_below(2).await?;
    fixture.wait_until_liquidated(8, &[&keeper]).await?;
    ensure!(second.counts().acted(stall) > 0, "nobody asked the node that stalls");
    second.lift(stall);
    fixture.ensure_each_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_price_or_liquidity_the_reason_is_reported_and_loans_are_liquidated_later() -> eyre::Result<()> {
    const LOANS: usize = 3;
    let fixture = Fixture::without_pool(&[3]).await?;
    // Enough for a thousandth of an ether.
    fixture.provide([ETHER / 1_000, 2_000_000]).await?;
    let keeper = Keeper::start(&fixture.suite, program(), "").await?;
    keeper.wait_until_ready().await?;
    let price_problem_of = |markets: &Value| {
        let all = markets["markets"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().find(|market| market["name"] == "weth-usdc").map(|market| market["price_problem"].clone())
    };

    fixture.set_price(0).await?;
    let head = fixture.head().await?;
    soon(keeper.wait_for_block(head)).await?;
    let no_price = |markets: &Value| price_problem_of(markets).is_some_and(|problem| problem.is_string());
    soon(keeper.wait_until("markets", no_price)).await?;

    fixture.drop_price_below(0).await?;
    soon(keeper.wait_until("positions", |positions| all_skipped_for(positions, LOANS, "swap_too_thin"))).await?;
    ensure!(!no_price(&keeper.api("markets").await?), "there is a price again");
    ensure!(fixture.mined_transactions(keeper.signer()).await?.is_empty(), "something was sent");

    fixture.provide([1_000_000 * ETHER, 2_000_000_000_000_000]).await?;
    fixture.wait_until_liquidated(3, &[&keeper]).await?;
    fixture.ensure_each_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_sends_nothing_and_reports_what_it_would_send() -> eyre::Result<()> {
    let fixture = Fixture::new(&[4]).await?;
    let setup = KeeperSetup { live: false, ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    fixture.drop_price_below(0).await?;
    for _ in 0..3 {
        let positions =
            soon(keeper.wait_until("positions", |positions| all_skipped_for(positions, 4, "dry_run"))).await?;
        ensure!(!positions.to_string().contains("cost 0.000000000000000000"), "{positions}");
        fixture.mine_blocks(1, &keeper).await?;
    }
    let events = keeper.api("status").await?["timeline"].clone();
    ensure!(
        events.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["state"] == "dry")),
        "{events}"
    );
    ensure!(fixture.mined_transactions(keeper.signer()).await?.is_empty(), "something was sent");
    ensure!(fixture.provider().get_transaction_count(keeper.signer()).pending().await? == 0, "something waits");
    Ok(())
}
