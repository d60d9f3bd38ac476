//! The devnet: nodes that end without leaving anything, and Plimsoll on one of them.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_chain::{endpoint::Endpoint, local::LocalChain};
use plimsoll_contracts::{
    ILens,
    IPlimsoll::{self, Unhealthy},
};
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    devnet::Devnet,
    market::{LocalMarket, units},
    node::Node,
};

use crate::support;

#[tokio::test]
async fn a_loan_above_the_borrow_ltv_is_refused_with_the_contracts_error() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let market = LocalMarket::deploy(&devnet).await?;
    market.supply(&devnet, devnet.node.account(1)?, 10_000).await?;
    // 1 ether at 2,000 dollars and 80 % carries 1,600 dollars (H2).
    let error = market.open_loan(&devnet, devnet.node.account(2)?, 1, 1_601).await.unwrap_err();
    let refusal =
        error.downcast_ref::<alloy::contract::Error>().and_then(|error| error.as_decoded_error::<Unhealthy>());
    assert_eq!(refusal, Some(Unhealthy { debt: units(1_601, 6), maxDebt: units(1_600, 6) }), "{error:#}");
    Ok(())
}

#[tokio::test]
async fn a_call_estimated_before_interest_accrues_has_enough_gas_afterwards() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let market = LocalMarket::deploy(&devnet).await?;
    market.supply(&devnet, devnet.node.account(1)?, 10_000).await?;
    devnet.provider().anvil_set_block_timestamp_interval(0).await?;
    market.open_loan(&devnet, devnet.node.account(2)?, 1, 1_000).await?;

    let borrower = devnet.node.account(2)?;
    devnet.mint_and_approve(market.params.loanToken, borrower, units(100, 6), market.core).await?;
    devnet.provider().anvil_set_auto_mine(false).await?;
    let core = IPlimsoll::new(market.core, devnet.provider());
    let repay = core.repay(market.params.clone(), units(100, 6), U256::ZERO, borrower, Bytes::new());
    let sent = repay.from(borrower).send().await?;
    devnet.provider().anvil_set_block_timestamp_interval(1).await?;
    devnet.provider().evm_mine(None).await?;
    assert!(sent.get_receipt().await?.status());
    Ok(())
}

#[tokio::test]
async fn an_anvil_is_recognised_whatever_its_chain_id() -> eyre::Result<()> {
    let node = Node::start(&support::tools()?, &["--chain-id", "1"]).await?;
    let endpoint: Endpoint = node.http_url().parse()?;
    let client = endpoint.client().await?;
    assert!(LocalChain::detect(&endpoint, &client).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_reported_with_anvils_message() -> eyre::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let error = Node::start(&support::tools()?, &["--port", &port]).await.unwrap_err().to_string();
    assert!(error.starts_with("anvil ended") && error.contains("in use"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_dropped_node_has_ended() -> eyre::Result<()> {
    let node = Node::start(&support::tools()?, &[]).await?;
    let connection = TcpStream::connect(node.address())?;
    drop(node);
    assert_closed(connection)
}

#[cfg(target_os = "linux")]
#[test]
fn neither_a_node_nor_a_scratch_folder_outlives_its_killed_parent() -> eyre::Result<()> {
    support::tools()?;
    for signal in ["-TERM", "-KILL"] {
        let mut parent = Command::new(env!("CARGO_BIN_EXE_anvil_bin")).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(parent.stdout.take().wrap_err("no stdout")?).lines();
        let address = lines.next().wrap_err("the parent ended without a node")??;
        let folder = PathBuf::from(lines.next().wrap_err("the parent ended without a folder")??);
        fs::write(folder.join("file"), "content")?;
        let connection = TcpStream::connect(address)?;
        ensure!(Command::new("kill").args([signal, &parent.id().to_string()]).status()?.success());
        parent.wait()?;
        assert_closed(connection)?;
        assert_removed(&folder)?;
    }
    Ok(())
}

/// Waits until the other side has closed the connection. A node sends nothing by itself, so the read only ends then;
/// the time limit makes the test fail instead of hanging.
fn assert_closed(mut connection: TcpStream) -> eyre::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(60)))?;
    let read = connection.read(&mut [0]);
    let still_open =
        read.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(!still_open, "the node is still there");
    assert!(!matches!(read, Ok(1..)), "the node spoke unasked");
    Ok(())
}

/// Waits until a folder is gone, and fails instead of hanging.
fn assert_removed(folder: &Path) -> eyre::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while folder.exists() {
        ensure!(Instant::now() < deadline, "{} is still there", folder.display());
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn borrowers_get_their_loans_and_become_liquidatable_when_the_price_falls() -> eyre::Result<()> {
    const TRANSACTION_GAS: u64 = 1 << 24;
    const LOANS: usize = 100;
    let suite = Suite::start_with(&["--enable-tx-gas-limit"]).await?;
    let (core, params) = (suite.contract("Plimsoll")?, suite.market("weth-usdc")?);
    let [ether, dollars] = [units(1, 18), units(1_500, 6)].map(|units| u128::try_from(units).unwrap_or_default());
    suite.supply(&params, U256::from(dollars * 2 * u128::try_from(LOANS)?)).await?;
    let [pool_ether, pool_dollars] = [units(1_000, 18), units(2_000_000, 6)];
    suite.add_liquidity("weth-usdc", pool_ether, pool_dollars).await?;
    let borrowers = Borrowers::deploy(&suite.devnet, core, TRANSACTION_GAS).await?;
    borrowers.open(&params, &[NewLoan { collateral: ether, debt: dollars }; LOANS]).await?;

    let provider = suite.devnet.provider();
    let filter = Filter::new().address(core).event_signature(IPlimsoll::Borrow::SIGNATURE_HASH).from_block(0);
    let mut borrowers = Vec::new();
    for log in provider.get_logs(&filter).await? {
        borrowers.push(IPlimsoll::Borrow::decode_log(&log.inner)?.onBehalf);
    }
    assert_eq!(borrowers.len(), LOANS);
    let lens = ILens::new(suite.contract("Lens")?, provider);
    let unhealthy = || async {
        let lines = lens.liquidatable(params.id().0, borrowers.clone()).call().await?.lines;
        eyre::Ok(lines.iter().filter(|line| line.liquidatable).count())
    };
    assert_eq!(unhealthy().await?, 0);
    suite.send_price("eth-usd", 170_000_000_000).await?;
    provider.evm_mine(None).await?;
    assert_eq!(unhealthy().await?, LOANS);
    Ok(())
}
