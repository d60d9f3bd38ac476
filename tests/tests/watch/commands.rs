//! The command, as a process of its own.

use std::process::Command;

use alloy::{
    primitives::{Address, U256, bytes},
    providers::{Provider, ext::AnvilApi},
};
use eyre::ContextCompat;
use plimsoll_testkit::{exchange::Amount, pairs::Pairs};
use serde_json::Value;

use super::fixture::{Fixture, PARITY};

/// What a run wrote, and whether it was successful.
struct Output {
    success: bool,
    out: String,
    err: String,
}

async fn watch(fixture: &Fixture, arguments: &[&str]) -> eyre::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keeper_bin"));
    command.args(["watch", "--protocol", "morpho-blue", "--once"]).args(arguments);
    command.env_clear().env("ETH_RPC_URL", fixture.devnet.node.http_url());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    Ok(Output { success: output.status.success(), out, err })
}

async fn watch_at(fixture: &Fixture, address: Address, from_block: u64, further: &[&str]) -> eyre::Result<Output> {
    let (address, from_block) = (address.to_string(), from_block.to_string());
    watch(fixture, &[&["--address", &address, "--from-block", &from_block], further].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_shown_with_exact_health_and_what_a_liquidation_brings() -> eyre::Result<()> {
    let fixture = Fixture::start().await?;
    let (market, core) = (fixture.market(0), fixture.morpho.core);
    fixture.open(market, fixture.borrowers[0], [2_000_000, 1_000_000]).await?;
    fixture.open(market, fixture.borrowers[1], [1_500_000, 1_000_000]).await?;
    fixture.set_price(market, PARITY * 7 / 10).await?;
    let shown = watch_at(&fixture, core, 1, &["--json", "--chain", "31337", "--below", "2"]).await?;
    assert!(shown.success, "{}", shown.err);
    let report: Value = serde_json::from_str(&shown.out)?;
    let positions = report["positions"].as_array().cloned().unwrap_or_default();
    assert_eq!(positions.len(), 2, "{report}");
    let [worse, better] = [&positions[0], &positions[1]];
    assert_eq!(worse["account"].as_str(), Some(fixture.borrowers[1].to_string().to_lowercase().as_str()));
    assert_eq!((&worse["liquidatable"], &better["liquidatable"]), (&true.into(), &false.into()));
    // 1,500,000 at 0.7 and 86 % against 1,000,000, of which some seconds' interest is less than a unit.
    assert_eq!(worse["health"], "0.903", "{worse}");
    assert_eq!(
        worse["liquidation"]["repaid"]["units"], worse["debt"]["units"],
        "the collateral suffices for all of it"
    );
    assert!(worse["liquidation"]["bonus"]["units"].as_str().is_some_and(|bonus| bonus.starts_with("43")), "{worse}");
    assert_eq!((&worse["debt"]["symbol"], &worse["collateral"]["symbol"]), (&"USD".into(), &"COLL".into()));
    let text = watch_at(&fixture, core, 1, &["--below", "1"]).await?.out;
    assert!(text.contains("Not counted: priority fees") && !text.contains(&fixture.borrowers[0].to_string()), "{text}");
    Ok(())
}

/// What an exact input buys of a pair of Uniswap V2.
fn bought(input: u128, reserve_in: u128, reserve_out: u128) -> u128 {
    input * 997 * reserve_out / (reserve_in * 1_000 + input * 997)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_liquidation_brings_after_gas_is_what_pools_give_less_the_repayment() -> eyre::Result<()> {
    const RESERVES: [u128; 2] = [10_u128.pow(15), 7 * 10_u128.pow(14)];
    let fixture = Fixture::start().await?;
    let (market, core) = (fixture.market(0), fixture.morpho.core);
    let [coin, dollar] = [market.params.collateralToken, market.params.loanToken];
    let (pairs, without) = (Pairs::deploy(&fixture.devnet).await?, Pairs::deploy(&fixture.devnet).await?);
    let [one, other] =
        [(coin, RESERVES[0]), (dollar, RESERVES[1])].map(|(token, units)| Amount { token, units: U256::from(units) });
    pairs.create(&fixture.devnet, [one, other]).await?;
    fixture.open(market, fixture.borrowers[0], [1_500_000_000, 1_000_000_000]).await?;
    fixture.set_price(market, PARITY * 7 / 10).await?;
    let unknown = watch_at(&fixture, core, 1, &["--json"]).await?;
    let unknown: Value = serde_json::from_str(&unknown.out)?;
    let position = &unknown["positions"][0];
    assert!(position["after_gas"].is_null(), "{position}");
    assert!(position["after_gas_unknown"].as_str().is_some_and(|why| why.contains("--wrapped-coin")), "{position}");

    let coin = coin.to_string();
    let options = |factory: Address| {
        ["--json", "--wrapped-coin", &coin, "--venue", &format!("uniswap-v2:{factory}")].map(str::to_owned)
    };
    let [options, elsewhere] = [pairs, without].map(|pairs| options(pairs.factory));
    let [options, elsewhere] = [&options, &elsewhere].map(|options| options.each_ref().map(String::as_str));
    let nobody = watch_at(&fixture, core, 1, &elsewhere).await?;
    assert!(nobody.out.contains("no pool that is known buys the collateral"), "{}{}", nobody.out, nobody.err);
    // With gas, which costs more than so few units are worth, and without.
    for base_fee in [1_000_000_000_u128, 0] {
        fixture.provider().anvil_set_next_block_base_fee_per_gas(base_fee).await?;
        fixture.provider().evm_mine(None).await?;
        let shown = watch_at(&fixture, core, 1, &options).await?;
        let report: Value = serde_json::from_str(&shown.out)?;
        let position = &report["positions"][0];
        let units = |value: &Value| value["units"].as_str().and_then(|units| units.parse::<u128>().ok());
        let [repaid, seized] = ["repaid", "seized"].map(|part| units(&position["liquidation"][part]));
        let (repaid, seized) = repaid.zip(seized).wrap_err_with(|| report.to_string())?;
        let proceeds = bought(seized, RESERVES[0], RESERVES[1]);
        let left = bought(proceeds.checked_sub(repaid).wrap_err("a sale at a loss")?, RESERVES[1], RESERVES[0]);
        let after_gas = &position["after_gas"];
        assert_eq!(units(&after_gas["proceeds"]), Some(proceeds), "{report}");
        let net = i128::try_from(left)? - i128::try_from(190_000 * base_fee)?;
        assert_eq!(after_gas["net_wei"], net.to_string(), "{report}");
        assert_eq!((net > 0, &after_gas["coin"]), (base_fee == 0, &"ETH".into()));
        let text = watch_at(&fixture, core, 1, &options[1..]).await?.out;
        assert!(text.contains("after gas") && text.contains(if net > 0 { " 0.0" } else { " -0.00" }), "{text}");
    }
    let refused = watch_at(&fixture, core, 1, &["--venue", "uniswap-v2:0x12"]).await?;
    assert!(!refused.success && refused.err.contains("\"0x12\""), "{}", refused.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_is_said_and_never_guessed() -> eyre::Result<()> {
    let fixture = Fixture::start().await?;
    let core = fixture.morpho.core;
    for market in &fixture.markets {
        fixture.open(market, fixture.borrowers[0], [2_000_000, 1_000_000]).await?;
    }
    let [priced, unpriced] = [fixture.market(0), fixture.market(1)];

    // Another protocol, no contract, another chain, a chain without a known deployment.
    for other in [priced.params.loanToken, Address::repeat_byte(0x77)] {
        let refused = watch_at(&fixture, other, 1, &[]).await?;
        assert!(!refused.success && refused.err.contains("is not morpho-blue"), "{}", refused.err);
    }
    let refused = watch_at(&fixture, core, 1, &["--chain", "1"]).await?;
    assert!(!refused.success && refused.err.contains("the node is on chain 31337, not 1"), "{}", refused.err);
    let refused = watch(&fixture, &[]).await?;
    assert!(!refused.success && refused.err.contains("give --address and --from-block"), "{}", refused.err);

    // Logs that the node does not have: from this block on, a loan is in a market that was never created.
    let late = fixture.provider().get_block_number().await?;
    let pruned = watch_at(&fixture, core, late, &[]).await?;
    assert!(!pruned.success && pruned.err.contains("there is no market"), "{}", pruned.err);
    assert!(pruned.err.contains("may have pruned logs"), "{}", pruned.err);

    // An oracle that reverts, and a token without decimals.
    fixture.provider().anvil_set_code(unpriced.params.oracle, bytes!("60006000fd")).await?;
    fixture.provider().anvil_set_code(priced.params.collateralToken, bytes!("60006000fd")).await?;
    fixture.provider().anvil_mine(Some(1), None).await?;
    let shown = watch_at(&fixture, core, 1, &["--json", "--below", "10"]).await?;
    assert!(shown.success, "{}", shown.err);
    let report: Value = serde_json::from_str(&shown.out)?;
    let reason = report["without_price"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("oracle gives no price: it reverts"), "{report}");
    assert_eq!(report["without_price"][0]["positions"], 1);
    let position = &report["positions"][0];
    assert_eq!(position["collateral"]["units"], U256::from(2_000_000).to_string());
    assert!(position["collateral"]["amount"].is_null() && position["price"].is_null(), "{position}");
    assert_eq!(report["positions"].as_array().map(Vec::len), Some(1));
    Ok(())
}
