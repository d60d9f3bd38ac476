//! The keeper's stream over faulty nodes (K1): whatever happens, the delivered and reverted events equal the chain in
//! the end.

mod faults;
mod fixture;
mod questions;
mod reorgs;

use std::time::Duration;

use alloy::{
    primitives::{Bytes, bytes},
    providers::ext::AnvilApi,
    rpc::types::TransactionRequest,
};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_chain::error::ChainError;
use plimsoll_keeper::stream::{Cursor, EndpointState, Step, StreamSettings};
use plimsoll_testkit::proxy::{Fault, Phase};

use self::fixture::{
    CORE, Fixture,
    Transport::{Http, WebSocket},
};

#[tokio::test]
async fn every_event_is_delivered_once_and_in_order() -> eyre::Result<()> {
    for transport in [Http, WebSocket] {
        let mut fixture = Fixture::new(1).await?;
        // Some by range, some block by block, some as they are announced.
        fixture.mine_activity(150).await?;
        let mut keeper = fixture.keeper(&[transport])?;
        keeper.assert_equals(&fixture).await?;
        for _ in 0..10 {
            fixture.mine_activity(3).await?;
            keeper.assert_equals(&fixture).await?;
        }
        assert!(keeper.reverted.is_empty() && keeper.rebuilt.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn an_idle_block_costs_no_call_and_one_with_events_a_single_one() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    let patient = StreamSettings { max_silence: Duration::from_secs(600), ..fixture.settings() };
    let mut keeper = fixture.keeper_with(&[WebSocket], Cursor { number: 0, hash: None }, patient)?;
    fixture.log(1).await?;
    keeper.assert_equals(&fixture).await?;
    // The block with an event is checked once more.
    for _ in 0..32 {
        fixture.idle(1).await?;
        keeper.reach(fixture.head().await?).await?;
    }
    fixture.proxies[0].wait_for(|counts| counts.of("eth_getLogs") > 1).await?;
    fixture.proxies[0].reset_counts();
    for _ in 0..50 {
        fixture.idle(1).await?;
        keeper.reach(fixture.head().await?).await?;
    }
    assert_eq!(fixture.proxies[0].counts().total(), 0, "{:?}", fixture.proxies[0].counts());
    for _ in 0..10 {
        fixture.log(2).await?;
        keeper.reach(fixture.head().await?).await?;
    }
    let counts = fixture.proxies[0].counts();
    assert_eq!((counts.total(), counts.of("eth_getLogs")), (10, 10), "{counts:?}");
    keeper.assert_equals(&fixture).await
}

#[tokio::test]
async fn only_the_newest_block_is_delivered_with_its_header() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    fixture.mine_activity(9).await?;
    let mut keeper = fixture.keeper(&[WebSocket])?;
    let on_head = keeper.stream.on_head();
    let head = fixture.head().await?;
    let mut tips = Vec::new();
    while keeper.at != head {
        if let Step::Apply(block) = keeper.step().await? {
            tips.extend(block.tip);
        }
    }
    let [tip] = tips[..] else { panic!("{tips:?}") };
    assert_eq!((tip.number, tip.hash, *on_head.borrow()), (head.number, head.hash, Some(tip)));
    assert!(tip.gas_limit > 0 && tip.base_fee > 0);
    Ok(())
}

#[tokio::test]
async fn a_step_is_repeated_until_it_is_accepted() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    fixture.mine_activity(3).await?;
    let mut keeper = fixture.keeper(&[Http])?;
    let first = keeper.stream.next().await;
    assert_eq!(keeper.stream.next().await, first);
    keeper.stream.accept();
    let second = keeper.stream.next().await;
    assert_ne!(first, second);
    Ok(())
}

/// As in a loop with other events: the future is dropped and created again and again.
#[tokio::test]
async fn nothing_is_lost_when_waiting_is_cancelled() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    let mut keeper = fixture.keeper(&[WebSocket])?;
    fixture.mine_activity(30).await?;
    let head = fixture.head().await?;
    while keeper.at != head {
        tokio::select! {
            biased;
            step = keeper.step() => { step?; }
            () = tokio::task::yield_now() => {}
        }
    }
    keeper.assert_equals(&fixture).await
}

#[tokio::test]
async fn an_endpoint_of_another_chain_is_reported_and_excluded() -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    fixture.mine_activity(9).await?;
    let wrong = StreamSettings { chain_id: 1, ..fixture.settings() };
    let mut stranger = fixture.keeper_with(&[Http, WebSocket], Cursor { number: 0, hash: None }, wrong)?;
    fixture.proxies[0].wait_for(|counts| counts.of("eth_chainId") > 0).await?;
    fixture.proxies[1].wait_for(|counts| counts.of("eth_chainId") > 0).await?;
    let waited = tokio::time::timeout(Duration::from_millis(300), stranger.stream.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    for endpoint in stranger.stream.health() {
        let EndpointState::Excluded { reason } = &endpoint.state else { panic!("{endpoint:?}") };
        assert!(reason.contains("31337") || reason.contains("0x7a69"), "{reason}");
    }

    // The same chain id with another genesis block: its gas limit differs, because two nodes of the same second are
    // alike.
    let other = Fixture::of(1, &["--gas-limit", "40000000"]).await?;
    let endpoints = [&fixture.proxies[0], &other.proxies[0]].map(|proxy| proxy.http_url().parse::<Endpoint>());
    let genesis = Some(fixture.block(0).await?.hash);
    let settings = StreamSettings { genesis, ..fixture.settings() };
    let from = Cursor { number: 0, hash: genesis };
    let endpoints = endpoints.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut stream = plimsoll_keeper::stream::Stream::start(endpoints, Fixture::sources(), from, settings);
    other.proxies[0].wait_for(|counts| counts.of("eth_getBlockByNumber") > 0).await?;
    while !matches!(stream.health()[1].state, EndpointState::Excluded { .. }) {
        tokio::task::yield_now().await;
    }
    assert!(matches!(stream.next().await, Step::Apply(_)));
    assert_eq!((stream.health()[0].state.clone(), *stream.genesis().borrow()), (EndpointState::Healthy, genesis));
    Ok(())
}

#[tokio::test]
async fn reads_through_the_stream_fail_over_to_another_endpoint() -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    fixture.log(1).await?;
    let mut keeper = fixture.keeper(&[WebSocket, Http])?;
    keeper.wait_for_all_heads().await;
    keeper.assert_equals(&fixture).await?;
    let reader = keeper.stream.reader();
    let head = fixture.head().await?;
    fixture.proxies[0].inject(Fault::Stall(Phase::BeforeForwarding));
    let code: Bytes = reader.ask(head.number, "eth_getCode", (CORE, head.hash)).await?;
    assert!(!code.is_empty());

    // A revert is the contract's answer, so no other endpoint is asked.
    fixture.provider.anvil_set_code(CORE, bytes!("60006000fd")).await?;
    fixture.proxies[0].lift_all();
    let asked = fixture.proxies.iter().map(|proxy| proxy.counts().of("eth_call")).sum::<u64>();
    let call = TransactionRequest::default().to(CORE);
    let refused = reader.ask::<_, Bytes>(head.number, "eth_call", (call, "latest")).await;
    assert!(matches!(refused, Err(ChainError::Refused { .. })), "{refused:?}");
    let asked_now = fixture.proxies.iter().map(|proxy| proxy.counts().of("eth_call")).sum::<u64>();
    assert_eq!(asked_now, asked + 1);
    Ok(())
}
