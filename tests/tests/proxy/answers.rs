//! Faults whose answers are wrong without looking wrong.

use std::collections::BTreeSet;

use alloy::providers::Provider;
use plimsoll_testkit::proxy::{Fault, RpcProvider};
use serde_json::{Value, json};

use super::{Caller, Fixture, LOGGER, number};

/// Returns the block numbers of logs.
fn blocks(logs: &Value) -> eyre::Result<Vec<u64>> {
    logs.as_array().into_iter().flatten().map(|log| number(&log["blockNumber"])).collect()
}

#[tokio::test]
async fn truncated_logs_are_the_first_ones_without_an_error() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    fixture.log(3).await?;
    let all = json!([{ "fromBlock": "0x0", "toBlock": "latest", "address": LOGGER }]);
    assert_eq!(blocks(&fixture.ask("eth_getLogs", all.clone()).await?)?, [1, 2, 3]);
    let rule = fixture.proxy.inject(Fault::TruncatedLogs { keep: 2 });
    assert_eq!(blocks(&fixture.ask("eth_getLogs", all.clone()).await?)?, [1, 2]);
    fixture.proxy.lift(rule);
    fixture.proxy.inject(Fault::TruncatedLogs { keep: 0 });
    let head = fixture.ask("eth_getBlockByNumber", json!(["latest", false])).await?;
    assert_eq!(fixture.ask("eth_getLogs", json!([{ "blockHash": head["hash"] }])).await?, json!([]));
    // The block's bloom shows that logs are missing.
    assert!(head["logsBloom"].as_str().is_some_and(|bloom| bloom.trim_start_matches("0x").bytes().any(|b| b != b'0')));
    Ok(())
}

#[tokio::test]
async fn a_range_too_large_is_refused_with_each_providers_error() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    fixture.log(3).await?;
    let range = |from: u64| json!([{ "fromBlock": format!("{from:#x}"), "toBlock": "latest" }]);
    let head = fixture.ask("eth_getBlockByNumber", json!(["latest", false])).await?;
    let mut caller = Caller::connect(&fixture.proxy).await?;
    let mut refusals = BTreeSet::new();
    for provider in RpcProvider::ALL {
        let rule = fixture.proxy.inject(Fault::LogRange { max_blocks: 2, provider });
        assert_eq!(blocks(&fixture.ask("eth_getLogs", range(2)).await?)?, [2, 3]);
        assert_eq!(blocks(&fixture.ask("eth_getLogs", json!([{ "blockHash": head["hash"] }])).await?)?, [3]);
        caller.say(1, "eth_getLogs", range(1)).await?;
        let refusal = &caller.hear().await?["error"];
        refusals.insert((refusal["code"].as_i64(), refusal["message"].as_str().map(str::to_owned)));
        fixture.proxy.lift(rule);
    }
    assert_eq!(refusals.len(), RpcProvider::ALL.len(), "{refusals:?}");
    assert!(refusals.contains(&(Some(-32602), Some("range 3 exceeds limit of 2".to_owned()))), "{refusals:?}");
    Ok(())
}

#[tokio::test]
async fn a_range_too_large_can_come_as_an_http_error() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    fixture.proxy.inject(Fault::LogRange { max_blocks: 10_000, provider: RpcProvider::QuickNode });
    let filter = json!([{ "fromBlock": "0x0", "toBlock": "0x2710" }]);
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": filter });
    let response = reqwest::Client::new().post(fixture.proxy.http_url()).json(&request).send().await?;
    assert_eq!(response.status().as_u16(), 413);
    let refusal = response.json::<Value>().await?;
    assert_eq!(refusal["error"], json!({ "code": -32614, "message": "eth_getLogs is limited to a 10,000 range" }));
    Ok(())
}

#[tokio::test]
async fn a_stale_node_answers_as_of_its_head() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    let transactions = fixture.log(4).await?;
    let sender = fixture.node.account(0)?;
    let balance_then = fixture.node.provider().get_balance(sender).number(2).await?;
    let block = |number: &'static str| json!([number, false]);
    let newest = fixture.ask("eth_getBlockByNumber", block("0x4")).await?;
    fixture.proxy.inject(Fault::Stale { head: 2 });

    assert_eq!(fixture.ask("eth_blockNumber", json!([])).await?, "0x2");
    assert_eq!(fixture.ask("eth_getBlockByNumber", block("latest")).await?["number"], "0x2");
    assert_eq!(fixture.ask("eth_getBlockByNumber", block("0x3")).await?, Value::Null);
    assert_eq!(fixture.ask("eth_getBlockByHash", json!([newest["hash"], false])).await?, Value::Null);

    assert_eq!(fixture.ask("eth_getBalance", json!([sender, "latest"])).await?, json!(balance_then));
    assert_eq!(fixture.ask("eth_getBalance", json!([sender])).await?, json!(balance_then));
    assert_eq!(fixture.ask("eth_getTransactionCount", json!([sender, "pending"])).await?, "0x2");
    assert_eq!(fixture.ask("eth_getTransactionCount", json!([sender, "0x1"])).await?, "0x1");
    let unknown = (-32000, "header not found".to_owned());
    assert_eq!(fixture.refused("eth_call", json!([{ "to": LOGGER }, "0x3"])).await?, unknown);
    assert_eq!(fixture.refused("eth_call", json!([{ "to": LOGGER }, { "blockHash": newest["hash"] }])).await?, unknown);

    // The range is cut without an error, as nodes do.
    let logs = fixture.ask("eth_getLogs", json!([{ "fromBlock": "0x1", "toBlock": "0x4" }])).await?;
    assert_eq!(blocks(&logs)?, [1, 2]);
    assert_eq!(fixture.ask("eth_getLogs", json!([{ "fromBlock": "0x3", "toBlock": "0x4" }])).await?, json!([]));
    let refusal = fixture.refused("eth_getLogs", json!([{ "blockHash": newest["hash"] }])).await?;
    assert_eq!(refusal, (-32000, "unknown block".to_owned()));

    assert_eq!(fixture.ask("eth_getTransactionReceipt", json!([transactions[3]])).await?, Value::Null);
    assert_eq!(fixture.ask("eth_getTransactionReceipt", json!([transactions[1]])).await?["blockNumber"], "0x2");
    let pending = fixture.ask("eth_getTransactionByHash", json!([transactions[3]])).await?;
    assert_eq!((&pending["hash"], &pending["blockHash"]), (&json!(transactions[3]), &Value::Null));

    fixture.proxy.lift_all();
    assert_eq!(fixture.ask("eth_blockNumber", json!([])).await?, "0x4");
    Ok(())
}
