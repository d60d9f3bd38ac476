//! Many calls in one request, on a real node.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, Bytes, bytes},
    providers::ext::AnvilApi,
};
use eyre::ensure;
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_keeper::{
    chain::Header,
    prices::{Call, CallError, ChainReader, EndpointReader, SimulatedCall, UNSIGNED_ACCOUNT},
};
use plimsoll_testkit::{
    devnet::Devnet,
    proxy::{Fault, Proxy},
};

use super::fixture::head_of;

/// A contract that returns the account that calls it.
const CALLER: (Address, Bytes) = (Address::repeat_byte(0xa1), bytes!("3360005260206000f3"));
/// A contract that uses up the gas of its calls.
const BURNER: (Address, Bytes) = (Address::repeat_byte(0xb2), bytes!("fe"));
/// A contract that counts its calls and returns their number.
const COUNTER: (Address, Bytes) = (Address::repeat_byte(0xc3), bytes!("6000546001018060005560005260206000f3"));

async fn node() -> eyre::Result<(Devnet, Proxy, EndpointReader)> {
    let devnet = Devnet::start().await?;
    for (address, code) in [CALLER, BURNER, COUNTER] {
        devnet.provider().anvil_set_code(address, code).await?;
    }
    // Anvil runs calls in the first block at another time than that block's.
    devnet.provider().evm_mine(None).await?;
    let proxy = Proxy::start(devnet.node.address()).await?;
    let endpoint: Arc<Endpoint> = Arc::new(proxy.http_url().parse()?);
    let reader = EndpointReader::new(Arc::clone(&endpoint), endpoint.client().await?, UNSIGNED_ACCOUNT);
    Ok((devnet, proxy, reader))
}

fn call(to: Address, gas: u64) -> Call {
    Call::trial(to, [], gas)
}

#[tokio::test]
async fn calls_come_from_the_account_and_see_only_their_own_sequence() -> eyre::Result<()> {
    let (devnet, proxy, reader) = node().await?;
    let count = call(COUNTER.0, 100_000);
    let sequences = [vec![count.clone(), count.clone()], vec![], vec![count], vec![call(CALLER.0, 100_000)]];
    let results = reader.run(&head_of(devnet.provider()).await?, &sequences).await?;
    let words: Vec<Vec<_>> = results
        .iter()
        .map(|results| results.iter().map(|call| call.result.clone().unwrap_or_default()).collect())
        .collect();
    let number = |number: u64| Bytes::from(alloy::primitives::B256::left_padding_from(&number.to_be_bytes()).0);
    ensure!(words[0] == [number(1), number(2)] && words[1].is_empty() && words[2] == [number(1)], "{words:?}");
    ensure!(words[3] == [Bytes::from(UNSIGNED_ACCOUNT.into_word().0)], "{words:?}");
    ensure!(proxy.counts().of("eth_call") == 1, "{:?}", proxy.counts());
    Ok(())
}

#[tokio::test]
async fn calls_that_do_not_fit_a_request_are_asked_again() -> eyre::Result<()> {
    let (devnet, proxy, reader) = node().await?;
    let head = head_of(devnet.provider()).await?;
    let results = reader.run_each(&head, vec![call(BURNER.0, 20_000_000); 5]).await?;
    ensure!(results.iter().all(|call| call.result == Err(CallError::Reverted(Bytes::new()))), "{results:?}");
    ensure!(proxy.counts().of("eth_call") == 3, "two fit a request: {:?}", proxy.counts());

    let results = reader.run_each(&head, [call(CALLER.0, 100_000), call(CALLER.0, 100_000_000)]).await?;
    ensure!(results[0].result.is_ok() && results[1].result == Err(CallError::NotRun), "{results:?}");
    Ok(())
}

#[tokio::test]
async fn however_many_calls_are_asked_at_once_each_is_run() -> eyre::Result<()> {
    let (devnet, _proxy, reader) = node().await?;
    for caller in [Call::trial(CALLER.0, [1; 36], 100_000), Call::view(CALLER.0, [1; 36], 100_000)] {
        let results = reader.run_each(&head_of(devnet.provider()).await?, vec![caller; 2_000]).await?;
        let run = results.iter().filter(|call| call.result.is_ok()).count();
        ensure!(run == 2_000, "{run} of {} were run", results.len());
    }
    Ok(())
}

#[tokio::test]
async fn views_cannot_harm_each_other() -> eyre::Result<()> {
    let (devnet, proxy, reader) = node().await?;
    let view = |to, gas| Call::view(to, [], gas);
    let caller = view(CALLER.0, 100_000);
    // One tries to write, some burn more gas than a request has, and one asks for more than there is.
    let burner = view(BURNER.0, 20_000_000);
    let mut views =
        vec![caller.clone(), view(COUNTER.0, 100_000), burner.clone(), caller.clone(), burner.clone(), burner];
    views.extend([view(CALLER.0, 100_000_000), caller.clone()]);
    let results = reader.run_each(&head_of(devnet.provider()).await?, views.clone()).await?;
    for (call, SimulatedCall { result, .. }) in views.iter().zip(results) {
        let expected = match call {
            call if *call == caller => Ok(Bytes::from(UNSIGNED_ACCOUNT.into_word().0)),
            Call { gas: 100_000_000, .. } => Err(CallError::NotRun),
            _ => Err(CallError::Reverted(Bytes::new())),
        };
        ensure!(result == expected, "{call:?}: {result:?}");
    }
    ensure!(proxy.counts().of("eth_call") == 3, "{:?}", proxy.counts());
    Ok(())
}

#[tokio::test]
async fn an_answer_for_another_block_than_was_asked_for_is_refused() -> eyre::Result<()> {
    let (devnet, proxy, reader) = node().await?;
    let provider = devnet.provider();
    let mut blocks = vec![head_of(provider).await?];
    for _ in 0..2 {
        provider.anvil_increase_time(12).await?;
        provider.evm_mine(None).await?;
        blocks.push(head_of(provider).await?);
    }
    for block in &blocks {
        ensure!(reader.run_each(block, [call(CALLER.0, 100_000)]).await?[0].result.is_ok(), "{block:?}");
    }
    for (asked, answered) in [(2, 1), (1, 2), (1, 0)] {
        let rule = proxy.inject(Fault::OtherBlock { number: blocks[answered].number });
        let refused = reader.run_each(&blocks[asked], [call(CALLER.0, 100_000)]).await;
        let error = refused.map_or_else(|error| error.to_string(), |_| String::new());
        ensure!(error.contains("another block"), "{error}");
        proxy.lift(rule);
    }
    // A block of another branch, with the same number and timestamp.
    let sibling = Header { parent_hash: B256::repeat_byte(1), ..blocks[2] };
    ensure!(reader.run_each(&sibling, [call(CALLER.0, 100_000)]).await.is_err(), "of another branch");
    Ok(())
}

#[tokio::test]
async fn a_node_without_state_overrides_is_named_with_the_remedy() -> eyre::Result<()> {
    let (devnet, proxy, reader) = node().await?;
    let message = "too many arguments, want at most 2".to_owned();
    proxy.inject(Fault::Error { code: -32_602, message });
    let refused = reader.run_each(&head_of(devnet.provider()).await?, [call(CALLER.0, 100_000)]).await;
    let error = refused.map_or_else(|error| error.to_string(), |_| String::new());
    ensure!(error.contains("state overrides") && error.contains("role \"send\""), "{error}");
    Ok(())
}
