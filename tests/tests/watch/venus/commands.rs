//! The command, as a process of its own.

use std::process::Command;

use alloy::{
    primitives::{Address, bytes},
    providers::{Provider, ext::AnvilApi},
};
use plimsoll_protocols::compound_v2::IComptroller;
use serde_json::Value;

use super::fixture::{Fixture, whole};

/// What a run wrote, and whether it was successful.
struct Output {
    success: bool,
    out: String,
    err: String,
}

async fn watch(fixture: &Fixture, address: Address, from_block: u64, further: &[&str]) -> eyre::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keeper_bin"));
    command.args(["watch", "--protocol", "compound-v2", "--once", "--address", &address.to_string()]);
    command.args(["--from-block", &from_block.to_string()]).args(further);
    command.env_clear().env("ETH_RPC_URL", fixture.devnet.node.http_url());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    Ok(Output { success: output.status.success(), out, err })
}

async fn report(fixture: &Fixture) -> eyre::Result<Value> {
    let shown = watch(fixture, fixture.venus.comptroller, fixture.first_block, &["--json", "--below", "10"]).await?;
    assert!(shown.success, "{}", shown.err);
    Ok(serde_json::from_str(&shown.out)?)
}

fn position(report: &Value, account: Address) -> &Value {
    let account = account.to_string().to_lowercase();
    let found =
        report["positions"].as_array().and_then(|all| all.iter().find(|shown| shown["account"] == account.as_str()));
    found.unwrap_or_else(|| panic!("{account} is missing in {report}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_an_isolated_pool_are_shown_with_what_a_liquidation_does() -> eyre::Result<()> {
    let Some(fixture) = Fixture::start().await? else { return Ok(()) };
    let [coll, usd, gold] = [0, 1, 2].map(|index| *fixture.market(index));
    let [large, small, healthy] = [0, 1, 2].map(|index| fixture.borrowers[index]);
    // 10 COLL at 2,000 carry 15,000 dollars; a tenth of a COLL is 200 dollars, and 90 after the crash.
    fixture.open(large, (&coll, whole(&coll, 10)), (&usd, whole(&usd, 14_000))).await?;
    fixture.open(small, (&coll, whole(&coll, 1) / alloy::primitives::U256::from(10)), (&usd, whole(&usd, 140))).await?;
    fixture.open(healthy, (&gold, whole(&gold, 100)), (&usd, whole(&usd, 10_000))).await?;
    fixture.set_price(&coll, 90_000).await?;

    let report = report(&fixture).await?;
    assert_eq!(report["warnings"], Value::Array(Vec::new()));
    assert_eq!((&report["markets"], &report["positions_with_debt"]), (&3.into(), &3.into()));
    let [large, small, healthy] = [large, small, healthy].map(|account| position(&report, account));
    // 9,000 dollars at 80 % against 14,000.
    assert!(large["health"].as_str().is_some_and(|health| health.starts_with("0.51")), "{large}");
    assert_eq!((&large["liquidatable"], &large["remark"]), (&true.into(), &Value::Null));
    assert_eq!((&large["debt"]["symbol"], &large["collateral"]["symbol"]), (&"USD".into(), &"COLL".into()));
    // Half of the debt at once, a little more than 7,000; of the incentive of 10 % the protocol keeps half.
    let repaid = large["liquidation"]["repaid"]["units"].as_str().unwrap_or_default().to_owned();
    assert!(repaid.starts_with("7000") && repaid.len() == 10, "{large}");
    assert!(large["liquidation"]["bonus"]["units"].as_str().is_some_and(|bonus| bonus.starts_with("350")), "{large}");
    assert!(large["liquidation_price"].as_str().is_some_and(|price| price.starts_with("1750")), "{large}");
    assert_eq!(large["price"], "900");
    // Too small for that, and not enough for all of its debt.
    assert!(small["remark"].as_str().is_some_and(|remark| remark.contains("healAccount")), "{small}");
    assert_eq!(healthy["liquidatable"], false);
    assert!(healthy["liquidation"]["repaid"]["units"].is_string(), "{healthy}");

    let text = watch(&fixture, fixture.venus.comptroller, fixture.first_block, &["--below", "1"]).await?.out;
    assert!(text.contains("healAccount seizes all of it"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_of_a_pool_is_said_and_never_guessed() -> eyre::Result<()> {
    let Some(fixture) = Fixture::start().await? else { return Ok(()) };
    let [coll, usd, gold] = [0, 1, 2].map(|index| *fixture.market(index));
    let [first, second, _] = [0, 1, 2].map(|index| fixture.borrowers[index]);
    fixture.open(first, (&coll, whole(&coll, 10)), (&usd, whole(&usd, 14_000))).await?;
    fixture.open(second, (&gold, whole(&gold, 100)), (&usd, whole(&usd, 10_000))).await?;

    // A market, no contract, a contract that is nothing at all.
    for other in [usd.address, Address::repeat_byte(0x77), fixture.venus.oracle] {
        let refused = watch(&fixture, other, 1, &[]).await?;
        assert!(!refused.success && refused.err.contains("is not compound-v2"), "{}", refused.err);
        assert!(refused.err.contains("isComptroller()"), "{}", refused.err);
    }
    // Logs that the node does not have: a debt that grew from nothing.
    let late = fixture.provider().get_block_number().await?;
    let borrow = plimsoll_protocols::compound_v2::IVToken::borrowCall { amount: whole(&usd, 1) };
    assert!(fixture.send(first, usd.address, &borrow).await?, "the loan is refused");
    let pruned = watch(&fixture, fixture.venus.comptroller, late + 1, &[]).await?;
    assert!(!pruned.success && pruned.err.contains("by earlier logs"), "{}", pruned.err);
    assert!(pruned.err.contains("may have pruned logs"), "{}", pruned.err);

    // Liquidations that are paused, a price of zero.
    fixture
        .administer(&IComptroller::setActionsPausedCall { vTokens: vec![usd.address], actions: vec![5], paused: true })
        .await?;
    fixture.set_price(&gold, 0).await?;
    let shown = report(&fixture).await?;
    let reason = shown["without_price"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("its oracle's price is 0"), "{shown}");
    assert_eq!(shown["without_price"][0]["positions"], 1);
    assert_eq!(shown["positions"].as_array().map(Vec::len), Some(1), "{shown}");
    let remark = position(&shown, first)["remark"].as_str().unwrap_or_default();
    assert!(remark.contains("liquidations of this debt are paused"), "{shown}");

    // A token without decimals, and an oracle that reverts.
    fixture.provider().anvil_set_code(coll.token, bytes!("60006000fd")).await?;
    fixture.provider().anvil_mine(Some(1), None).await?;
    let shown = report(&fixture).await?;
    let position = position(&shown, first);
    assert!(position["collateral"]["amount"].is_null() && position["price"].is_null(), "{position}");
    fixture.provider().anvil_set_code(fixture.venus.oracle, bytes!("60006000fd")).await?;
    fixture.provider().anvil_mine(Some(1), None).await?;
    let shown = report(&fixture).await?;
    assert_eq!(shown["positions"].as_array().map(Vec::len), Some(0), "{shown}");
    let reason = shown["without_price"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("getUnderlyingPrice()") && reason.contains("it reverts"), "{shown}");
    Ok(())
}
