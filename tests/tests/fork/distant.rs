//! Recording from a node that is far away: every answer takes long, so what counts is how many requests wait for others.

use std::{cell::RefCell, time::Duration};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, address, bytes},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
};
use eyre::{ContextCompat, ensure};
use plimsoll_testkit::{
    node::Node,
    proxy::{Counts, Fault, Proxy, Rule},
    recording::{Progress, Recorder, rules_of},
};

use crate::support;

/// A round trip to another continent.
const DISTANCE: Duration = Duration::from_millis(50);
const SLOTS: u64 = 600;
/// A contract that writes to as many slots as its argument says, each with a value that follows from the one before,
/// and then follows a list from slot 1000 over six slots and logs its end.
///
/// PUSH0; JUMPDEST; DUP1, SLOAD, DUP2, ADD, PUSH1 1, ADD, DUP2, SSTORE; PUSH1 1, ADD; DUP1, PUSH0, CALLDATALOAD, GT,
/// PUSH1 1, JUMPI; POP; PUSH2 1000; 6 × SLOAD; PUSH0, MSTORE, PUSH1 32, PUSH0, LOG0, STOP.
const READER: Bytes = bytes!("5f5b805481016001018155600101805f3511600157506103e85454545454545f5260205fa000");
const READER_ADDRESS: Address = address!("00000000000000000000000000000000000c0de5");
const LIST: u64 = 1_000;
const LINKS: u64 = 6;
/// Most requests that may wait for others, for each that does: far fewer than 32 are sent at a time where the machine is
/// busy.
const LEAST_PARALLEL: u64 = 8;

/// Starts a chain and returns the number of a block that reads many slots, all of them with values.
async fn busy() -> eyre::Result<(Node, u64)> {
    let node = Node::start(&support::tools()?, &[]).await?;
    let provider = node.provider();
    provider.anvil_set_code(READER_ADDRESS, READER).await?;
    for slot in LIST..LIST + LINKS {
        provider.anvil_set_storage_at(READER_ADDRESS, U256::from(slot), B256::from(U256::from(slot + 1))).await?;
    }
    let call = TransactionRequest::default().with_from(node.account(1)?).with_to(READER_ADDRESS);
    let call = call.with_input(B256::from(U256::from(SLOTS)).to_vec()).with_gas_limit(16_000_000);
    for _ in 0..2 {
        let receipt = provider.send_transaction(call.clone()).await?.get_receipt().await?;
        ensure!(receipt.status() && receipt.inner.logs().len() == 1, "{receipt:?}");
    }
    let number = provider.get_block_number().await?;
    provider.anvil_mine(None, None).await?;
    Ok((node, number))
}

/// Records the busy block from afar and returns the proxy's counts and the number of executions.
async fn recorded(refused: Option<Rule>) -> eyre::Result<(Counts, usize)> {
    let (node, number) = busy().await?;
    let proxy = Proxy::start(node.address()).await?;
    proxy.inject(Fault::Slow(DISTANCE));
    refused.into_iter().for_each(|rule| {
        proxy.inject(rule);
    });
    let recorder = Recorder::start(proxy.http_url().parse()?, number).await?;
    let told = RefCell::new(Vec::new());
    let block = recorder.block()?;
    let tell = |progress| told.borrow_mut().push(progress);
    let replayed = recorder.replay(&support::tools()?, rules_of(&block), tell).await?;
    replayed.check(&block)?;
    let recording = recorder.recording().await?;
    let (_, slots) = recording.size();
    ensure!(slots >= usize::try_from(SLOTS + LINKS)?, "{slots} slots were recorded");

    let told = told.into_inner();
    let fetched = told.iter().filter(|progress| matches!(progress, Progress::Fetching { done, all } if done == all));
    ensure!(fetched.count() > 0, "{told:?}");
    let passes = told.iter().filter_map(|progress| match progress {
        Progress::Executing { pass } => Some(*pass),
        _ => None,
    });
    let passes = passes.max().wrap_err("the block was not executed")?;
    Ok((proxy.counts(), passes))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distant_node_is_asked_in_parallel_for_what_its_access_lists_name_and_one_execution_suffices()
-> eyre::Result<()> {
    let (counts, passes) = recorded(None).await?;
    assert_eq!(passes, 1);
    assert!(counts.of("eth_getStorageAt") >= SLOTS && counts.waves() < counts.total() / LEAST_PARALLEL, "{counts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_access_lists_each_execution_tells_what_to_fetch_in_parallel_for_the_next() -> eyre::Result<()> {
    let unknown = Fault::Error { code: -32601, message: "the method eth_createAccessList does not exist".to_owned() };
    let (counts, passes) = recorded(Some(Rule::from(unknown).on(&["eth_createAccessList"]))).await?;
    // The first tells the slots, and the second the first link of the list. The others, each known by the one before,
    // are too few for an execution each.
    assert_eq!(passes, 2);
    assert!(counts.of("eth_getStorageAt") >= SLOTS && counts.waves() < counts.total() / LEAST_PARALLEL, "{counts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_limits_the_rate_of_requests_is_asked_again() -> eyre::Result<()> {
    let limited = Rule::from(Fault::RateLimited { retry_after_secs: 1 }).on(&["eth_getStorageAt"]).after(40).times(40);
    let (counts, _) = recorded(Some(limited)).await?;
    assert!(counts.of("eth_getStorageAt") >= SLOTS + 40, "{counts:?}");
    Ok(())
}
