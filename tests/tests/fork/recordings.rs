//! Recordings of a local chain: a recording is sufficient for a replay, and missing state is reported.

use std::{sync::Mutex, time::Duration};

use alloy::{
    primitives::{Address, U256, address},
    providers::{Provider, ext::AnvilApi},
    rpc::{client::RpcClient, types::TransactionRequest},
};
use eyre::{ContextCompat, WrapErr};
use plimsoll_lab::record;
use plimsoll_testkit::{
    devnet::{Devnet, ITestToken},
    market::{LocalMarket, units},
    proxy::{Fault, Proxy},
    recording::{Declared, NotAsDeclared, Outcome, Override, Playback, Read, Recorder, Recording, State, replay},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support;

const NEVER_SEEN: Address = address!("00000000000000000000000000000000000c0de5");

/// Starts a chain and returns the number of a block with a few transactions, also of contracts.
async fn lively() -> eyre::Result<(Devnet, u64)> {
    let devnet = Devnet::start().await?;
    let market = LocalMarket::deploy(&devnet).await?;
    market.supply(&devnet, devnet.node.account(1)?, 10_000).await?;
    let provider = devnet.provider();
    provider.anvil_set_auto_mine(false).await?;
    let token = ITestToken::new(market.params.loanToken, provider);
    for (from, to) in [(0, 1), (2, 3), (0, 2)] {
        let _pending =
            token.mint(devnet.node.account(to)?, units(5, 6)).from(devnet.node.account(from)?).send().await?;
    }
    let payment = TransactionRequest::default().from(devnet.node.account(4)?).to(NEVER_SEEN).value(U256::from(7));
    let _pending = provider.send_transaction(payment).await?;
    provider.evm_mine(None).await?;
    provider.anvil_set_auto_mine(true).await?;
    let block = provider.get_block_number().await?;
    // A live chain has later blocks.
    provider.evm_mine(None).await?;
    Ok((devnet, block))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_block_is_replayed_without_the_chain() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let tools = support::tools()?;
    let folder = TempDir::new()?;
    let report = record::record(&tools, devnet.node.http_url().parse()?, number, folder.path()).await?;
    assert_eq!(report.outcome.transactions, 4);
    drop(devnet);

    let playback = Playback::start(Recording::read(folder.path(), number)?, &[]).await?;
    let block = playback.recording().block()?;
    assert_eq!(replay(&tools, &playback.http_url(), &block).await?, Outcome::of(&block));
    playback.check(&[])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distant_node_is_asked_in_parallel_and_the_replay_asks_it_for_nothing_more() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let proxy = Proxy::start(devnet.node.address()).await?;
    // Every answer takes as long as over an ocean; what matters is which requests there are.
    proxy.inject(Fault::Slow(Duration::from_millis(50)));
    let recorder = Recorder::start(proxy.http_url().parse()?, number).await?;
    let steps = Mutex::new(Vec::new());
    recorder.prefetch(|done, all| steps.lock().unwrap().push((done, all))).await?;
    let (steps, fetched) = (steps.into_inner()?, proxy.counts());
    let last = steps.last().wrap_err("nothing was fetched")?;
    assert!(last.0 == last.1 && steps.len() == last.1 && fetched.of("eth_getStorageAt") > 3, "{steps:?}");

    let block = recorder.block()?;
    replay(&support::tools()?, &recorder.http_url(), &block).await?.check(&block)?;
    // The access lists named every slot that a transaction reads. One more is of the system contract that keeps block
    // hashes, which no transaction calls.
    assert!(proxy.counts().of("eth_getStorageAt") <= fetched.of("eth_getStorageAt") + 1, "{:?}", proxy.counts());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_in_a_folder_is_replayed_by_command_and_an_unknown_one_is_refused() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let (tools, folder) = (support::tools()?, TempDir::new()?);
    let unknown = record::replay_recording(&tools, folder.path(), None).await.unwrap_err().to_string();
    assert!(unknown.contains("there is no recording in") && unknown.contains("plimsoll-lab record"), "{unknown}");

    record::record(&tools, devnet.node.http_url().parse()?, number, folder.path()).await?;
    drop(devnet);
    let report = record::replay_recording(&tools, folder.path(), None).await?;
    assert_eq!((report.block, report.outcome.transactions), (number, 4));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_replay_says_how_many_transactions_were_mined() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let recorder = Recorder::start(devnet.node.http_url().parse()?, number).await?;
    let block = recorder.block()?;
    let fewer = Outcome { transactions: 3, ..Outcome::of(&block) };
    let told = fewer.check(&block).unwrap_err().to_string();
    assert!(told.starts_with(&format!("only 3 of the 4 transactions of block {number} were mined")), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_of_two_runs_are_merged() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let folder = TempDir::new()?;
    let accounts = [devnet.node.account(0)?, devnet.node.account(1)?];
    for account in accounts {
        let recorder = Recorder::start(devnet.node.http_url().parse()?, number).await?;
        ask(&recorder.http_url(), "eth_getBalance", json!([account, hex(number - 1)])).await?;
        recorder.recording().await?.add_to(folder.path())?;
    }
    let playback = Playback::start(Recording::read(folder.path(), number)?, &[]).await?;
    for account in accounts {
        for method in ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"] {
            let params = json!([account, hex(number - 1)]);
            let recorded = ask(&playback.http_url(), method, params.clone()).await?;
            assert_eq!(recorded, ask(&devnet.node.http_url(), method, params).await?, "{method}: recorded whole");
        }
    }
    playback.check(&[])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_outside_the_recording_is_zero_and_must_be_declared() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let recording = Recorder::start(devnet.node.http_url().parse()?, number).await?.recording().await?;
    let playback = Playback::start(recording, &[]).await?;
    let url = playback.http_url();
    let slot = ask(&url, "eth_getStorageAt", json!([NEVER_SEEN, "0x5", hex(number - 1)])).await?;
    assert_eq!(slot, json!(alloy::primitives::B256::ZERO));
    ask(&url, "eth_getStorageAt", json!([NEVER_SEEN, "0x5", hex(number - 1)])).await?;
    ask(&url, "eth_getBlockByNumber", json!([hex(number - 2), false])).await?;

    let read = Read::Slot(NEVER_SEEN, U256::from(5));
    let declared = |read: Read| Declared { read, why: "nobody was there".to_owned() };
    let other = Read::Account(NEVER_SEEN);
    let different = NotAsDeclared { undeclared: [(read, 2)].into(), unread: [other].into(), refused: Vec::new() };
    let block = Read::Block(number - 2);
    assert_eq!(playback.check(&[declared(block), declared(other)]), Err(different));
    assert_eq!(playback.check(&[declared(block), declared(read)]), Ok(()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_applies_only_where_nothing_was_recorded() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let recorder = Recorder::start(devnet.node.http_url().parse()?, number).await?;
    let deployer = devnet.deployer();
    let slot = json!([deployer, "0x0", hex(number - 1)]);
    ask(&recorder.http_url(), "eth_getStorageAt", slot.clone()).await?;
    let put = |address, slot: u64| Override {
        address,
        state: State::Slot(U256::from(slot), U256::from(9)),
        why: "a test of overrides",
    };
    let overrides = [put(deployer, 0), put(deployer, 1)];
    let playback = Playback::start(recorder.recording().await?, &overrides).await?;
    let recorded = ask(&playback.http_url(), "eth_getStorageAt", slot).await?;
    let overridden = ask(&playback.http_url(), "eth_getStorageAt", json!([deployer, "0x1", hex(number - 1)])).await?;
    let word = |value: u64| json!(alloy::primitives::B256::from(U256::from(value)));
    assert_eq!((recorded, overridden), (word(0), word(9)));
    playback.check(&[])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_recording_cannot_answer_is_refused_by_name() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let recording = Recorder::start(devnet.node.http_url().parse()?, number).await?.recording().await?;
    let playback = Playback::start(recording, &[]).await?;
    let later = ask(&playback.http_url(), "eth_getBalance", json!([NEVER_SEEN, hex(number)])).await.unwrap_err();
    let wanted = format!("the recording of block {number} of chain 31337 does not hold state at \"{}\"", hex(number));
    assert!(format!("{later:#}").contains(&wanted), "{later:#}");
    let method = ask(&playback.http_url(), "debug_traceCall", json!([])).await.unwrap_err();
    assert!(format!("{method:#}").contains("does not hold an answer to debug_traceCall"), "{method:#}");
    let refused = playback.check(&[]).unwrap_err().refused;
    assert_eq!(refused.len(), 2, "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_the_node_does_not_have_is_not_recorded() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let error = Recorder::start(devnet.node.http_url().parse()?, number + 100).await.unwrap_err();
    assert!(error.to_string().contains(&format!("does not know block {}", number + 100)), "{error:#}");
    Ok(())
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

async fn ask(url: &str, method: &'static str, params: Value) -> eyre::Result<Value> {
    let client = RpcClient::new_http(url.parse()?);
    let answer = client.request::<_, Option<Value>>(method, params).await.wrap_err(method)?;
    Ok(answer.unwrap_or_default())
}
