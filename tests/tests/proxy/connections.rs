//! Faults of connections, and counts.

use std::{
    io,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use alloy::providers::ext::AnvilApi;
use eyre::{ContextCompat, ensure, eyre};
use futures_util::StreamExt;
use plimsoll_testkit::proxy::{Fault, Phase, Rule};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Caller, Fixture};

#[tokio::test]
async fn without_faults_a_batch_is_answered_in_order_including_errors() -> eyre::Result<()> {
    let fixture = Fixture::new(&["--chain-id", "77"]).await?;
    let batch = json!([
        { "jsonrpc": "2.0", "id": "a", "method": "eth_chainId", "params": [] },
        { "jsonrpc": "2.0", "id": 7, "method": "eth_nonsense", "params": [] },
        { "jsonrpc": "2.0", "id": 8, "method": "eth_blockNumber" },
    ]);
    let post =
        |url: String| async { reqwest::Client::new().post(url).json(&batch).send().await?.json::<Value>().await };
    let answers = post(fixture.proxy.http_url()).await?;
    assert_eq!(answers, post(fixture.node.http_url()).await?);
    assert_eq!(answers[0], json!({ "jsonrpc": "2.0", "id": "a", "result": "0x4d" }));
    assert_eq!(answers[1]["id"], 7);
    assert!(answers[1]["error"]["code"].is_i64(), "{answers}");

    let mut caller = Caller::connect(&fixture.proxy).await?;
    caller.say(9, "eth_chainId", json!([])).await?;
    assert_eq!(caller.hear().await?, json!({ "jsonrpc": "2.0", "id": 9, "result": "0x4d" }));
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_not_json_rpc_gets_an_error_and_affects_nothing_else() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    let answer = reqwest::Client::new().post(fixture.proxy.http_url()).body("{").send().await?.json::<Value>().await?;
    assert_eq!(answer["error"]["code"], -32700);
    assert_eq!(fixture.ask("eth_blockNumber", json!([])).await?, "0x0");
    Ok(())
}

#[tokio::test]
async fn a_lost_request_has_no_effect_and_a_lost_response_has() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    for (moment, height) in [(Phase::BeforeForwarding, 0), (Phase::AfterForwarding, 1)] {
        let rule = fixture.proxy.inject(Rule::from(Fault::Reset(moment)).on(&["evm_mine"]).times(1));
        let error = fixture.ask("evm_mine", json!([])).await.unwrap_err();
        // The node has not answered with an error: the caller does not know the outcome.
        let error = error.downcast::<alloy::transports::TransportError>()?;
        assert!(error.as_error_resp().is_none() && error.as_transport_err().is_some(), "{error}");
        assert_eq!((fixture.height().await?, fixture.proxy.counts().acted(rule)), (height, 1));
    }
    // Both rules have reached their limits.
    fixture.ask("evm_mine", json!([])).await?;
    assert_eq!(fixture.height().await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_stalled_request_reaches_the_node_when_the_rule_is_removed() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    let rule = fixture.proxy.inject(Rule::from(Fault::Stall(Phase::BeforeForwarding)).on(&["evm_mine"]));
    let stalled = tokio::spawn(fixture.caller.request::<_, Value>("evm_mine", json!([])).into_future());
    fixture.proxy.wait_for(|counts| counts.acted(rule) == 1).await?;
    // Other requests are answered meanwhile.
    assert_eq!(fixture.ask("eth_blockNumber", json!([])).await?, "0x0");
    fixture.proxy.lift(rule);
    stalled.await??;
    assert_eq!(fixture.height().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_stalled_response_comes_after_the_node_has_acted() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    let rule = fixture.proxy.inject(Rule::from(Fault::Stall(Phase::AfterForwarding)).on(&["evm_mine"]));
    let mut caller = Caller::connect(&fixture.proxy).await?;
    caller.say(1, "evm_mine", json!([])).await?;
    fixture.proxy.wait_for(|counts| counts.blocks() == 1).await?;
    caller.say(2, "eth_blockNumber", json!([])).await?;
    assert_eq!(caller.hear().await?, json!({ "jsonrpc": "2.0", "id": 2, "result": "0x1" }));
    fixture.proxy.lift(rule);
    assert_eq!(caller.hear().await?["id"], 1);
    Ok(())
}

#[tokio::test]
async fn a_slow_response_does_not_delay_others() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    let mut caller = Caller::connect(&fixture.proxy).await?;
    fixture.proxy.inject(Rule::from(Fault::Slow(Duration::from_secs(3_600))).on(&["eth_chainId"]));
    caller.say(1, "eth_chainId", json!([])).await?;
    caller.say(2, "eth_blockNumber", json!([])).await?;
    assert_eq!(caller.hear().await?["id"], 2);
    fixture.proxy.lift_all();
    fixture.proxy.inject(Fault::Slow(Duration::from_millis(1)));
    caller.say(3, "eth_chainId", json!([])).await?;
    assert_eq!(caller.hear().await?["id"], 3);
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_down_refuses_connections_and_returns_at_the_same_address() -> eyre::Result<()> {
    let mut fixture = Fixture::new(&[]).await?;
    let mut caller = Caller::connect(&fixture.proxy).await?;
    fixture.proxy.take_down().await;
    assert!(caller.hear().await.is_err());
    let error = reqwest::Client::new().post(fixture.proxy.http_url()).send().await.unwrap_err();
    assert!(error.is_connect(), "{error}");
    fixture.proxy.bring_up()?;
    assert_eq!(fixture.ask("eth_blockNumber", json!([])).await?, "0x0");
    Ok(())
}

/// A process that is being started has the files of its parent for a moment, and so a port that was just closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_returns_also_while_processes_are_started() -> eyre::Result<()> {
    const CUTS: usize = 2_000;
    let mut fixture = Fixture::new(&[]).await?;
    let has_ended = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&has_ended);
    let starts = thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            Command::new("true").status()?;
        }
        Ok::<_, io::Error>(())
    });
    let mut outcome = Ok(());
    for _ in 0..CUTS {
        outcome = outcome.and(fixture.proxy.cut_connections().await);
    }
    has_ended.store(true, Ordering::Relaxed);
    starts.join().map_err(|_| eyre!("the thread that starts processes panicked"))??;
    outcome?;
    assert_eq!(fixture.ask("eth_blockNumber", json!([])).await?, "0x0");
    Ok(())
}

#[tokio::test]
async fn cut_connections_can_be_reopened_at_once() -> eyre::Result<()> {
    let mut fixture = Fixture::new(&[]).await?;
    let mut cut = Caller::connect(&fixture.proxy).await?;
    cut.subscribe(json!(["newHeads"])).await?;
    fixture.proxy.cut_connections().await?;
    // There is no closing handshake, as when a peer dies.
    let end = cut.0.next().await.wrap_err("it ended in order")?;
    assert!(matches!(end, Err(Error::Protocol(_) | Error::Io(_))), "{end:?}");
    let mut again = Caller::connect(&fixture.proxy).await?;
    again.subscribe(json!(["newHeads"])).await?;
    fixture.node.provider().anvil_mine(Some(1), None).await?;
    assert_eq!(again.head().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_reset_websocket_ends_without_a_closing_handshake() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    fixture.proxy.inject(Rule::from(Fault::Reset(Phase::AfterForwarding)).on(&["evm_mine"]));
    let mut caller = Caller::connect(&fixture.proxy).await?;
    caller.say(1, "evm_mine", json!([])).await?;
    let end = caller.0.next().await.wrap_err("it ended in order")?;
    assert!(matches!(end, Err(Error::Protocol(_) | Error::Io(_))), "{end:?}");
    assert_eq!(fixture.height().await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_html_page_is_returned_with_the_given_status() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    for status in [200, 502] {
        let rule = fixture.proxy.inject(Fault::Page { status });
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "evm_mine", "params": [] });
        let response = reqwest::Client::new().post(fixture.proxy.http_url()).json(&request).send().await?;
        assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (status, &"text/html".parse()?));
        assert!(response.text().await?.starts_with("<html>"));
        fixture.proxy.lift(rule);
    }
    assert_eq!(fixture.height().await?, 0);
    // A WebSocket cannot return a page, so it is closed properly.
    fixture.proxy.inject(Fault::Page { status: 502 });
    let mut caller = Caller::connect(&fixture.proxy).await?;
    caller.say(1, "eth_chainId", json!([])).await?;
    let end = caller.0.next().await.wrap_err("it ended without a word")??;
    assert!(matches!(end, Message::Close(_)), "{end:?}");
    Ok(())
}

#[tokio::test]
async fn a_rate_limited_response_has_retry_after() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    fixture.proxy.inject(Fault::RateLimited { retry_after_secs: 17 });
    let request = json!({ "jsonrpc": "2.0", "id": 5, "method": "evm_mine", "params": [] });
    let response = reqwest::Client::new().post(fixture.proxy.http_url()).json(&request).send().await?;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"17".parse()?));
    let body = response.json::<Value>().await?;
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!(5), &json!(-32005)));
    let mut caller = Caller::connect(&fixture.proxy).await?;
    caller.say(6, "eth_subscribe", json!(["newHeads"])).await?;
    let body = caller.hear().await?;
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!(6), &json!(-32005)));
    assert_eq!(fixture.height().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_rule_skips_the_first_requests_and_ends_after_its_limit() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    let fault = Fault::Error { code: -32000, message: "missing trie node".to_owned() };
    fixture.proxy.inject(Rule::from(fault).on(&["eth_chainId"]).after(1).times(2));
    let mut heard = Vec::new();
    for _ in 0..4 {
        // Other methods are neither affected nor counted.
        fixture.ask("eth_blockNumber", json!([])).await?;
        heard.push(fixture.ask("eth_chainId", json!([])).await.map_err(|error| error.to_string()));
    }
    let refused = |answer: &Result<Value, String>| answer.as_ref().is_err_and(|e| e.contains("missing trie node"));
    assert_eq!(heard.iter().map(refused).collect::<Vec<_>>(), [false, true, true, false], "{heard:?}");
    Ok(())
}

#[tokio::test]
async fn calls_are_counted_individually_and_per_block() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    let call = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_chainId", "params": [] });
    reqwest::Client::new().post(fixture.proxy.http_url()).json(&json!([call(1), call(2)])).send().await?;
    let mut caller = Caller::connect(&fixture.proxy).await?;
    caller.subscribe(json!(["newHeads"])).await?;
    // Failed requests count, too, because providers charge for them.
    fixture.proxy.inject(Rule::from(Fault::Reset(Phase::BeforeForwarding)).on(&["eth_gasPrice"]));
    assert!(fixture.ask("eth_gasPrice", json!([])).await.is_err());
    ensure!(fixture.proxy.counts().per_block().is_none(), "no block was mined");
    fixture.node.provider().anvil_mine(Some(2), None).await?;
    let counts = fixture.proxy.wait_for(|counts| counts.blocks() == 2).await?;
    let of = |method| counts.of(method);
    assert_eq!((of("eth_chainId"), of("eth_subscribe"), of("eth_gasPrice"), counts.total()), (2, 1, 1, 4));
    assert_eq!(counts.per_block(), Some(2.0));
    fixture.proxy.reset_counts();
    assert_eq!((fixture.proxy.counts().total(), fixture.proxy.counts().blocks()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_proxy_without_a_node_does_not_start() -> eyre::Result<()> {
    let fixture = Fixture::new(&[]).await?;
    let address = fixture.node.address().to_owned();
    drop(fixture.node);
    assert!(plimsoll_testkit::proxy::Proxy::start(&address).await.is_err());
    // A proxy whose node has ended behaves like a node that is down.
    let error = fixture.caller.request::<_, Value>("eth_chainId", json!([])).await.unwrap_err();
    assert!(error.as_transport_err().is_some(), "{error}");
    Ok(())
}
