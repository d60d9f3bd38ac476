//! Faults one by one: with a healthy endpoint, to which the stream must fail over, and without one, where it must wait;
//! and all of them at once in random order.

use std::time::Duration;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, bytes},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
};
use plimsoll_keeper::{
    book::MAX_REORG_DEPTH,
    stream::{Cursor, EndpointState, ResyncReason, Step, StreamSettings},
};
use plimsoll_testkit::proxy::{Fault, HeadFault, Phase, RpcProvider, Rule};

use super::fixture::{
    CORE, Fixture,
    Transport::{self, Http, WebSocket},
};
use crate::random::Random;

/// Returns every fault of an endpoint that still accepts connections.
fn faults() -> Vec<Fault> {
    vec![
        Fault::Reset(Phase::BeforeForwarding),
        Fault::Reset(Phase::AfterForwarding),
        Fault::Stall(Phase::BeforeForwarding),
        Fault::Stall(Phase::AfterForwarding),
        Fault::Page { status: 502 },
        Fault::Page { status: 200 },
        Fault::RateLimited { retry_after_secs: 1 },
        Fault::Error { code: -32603, message: "internal error".to_owned() },
        Fault::TruncatedLogs { keep: 0 },
        Fault::TruncatedLogs { keep: 1 },
        Fault::LogRange { max_blocks: 3, provider: RpcProvider::Alchemy },
        Fault::Stale { head: 4 },
        Fault::Heads(HeadFault::Skipped),
        Fault::Heads(HeadFault::Duplicated),
        Fault::Heads(HeadFault::Reordered),
    ]
}

/// Injects each fault into the first endpoint, while the second is healthy.
async fn assert_failover(transports: [Transport; 2]) -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    for fault in faults() {
        let mut keeper = fixture.keeper(&transports)?;
        keeper.assert_equals(&fixture).await?;
        fixture.proxies[0].inject(fault.clone());
        for _ in 0..4 {
            fixture.mine_activity(6).await?;
            keeper.truth = Some(fixture.truth().await?);
            keeper.assert_equals(&fixture).await?;
        }
        assert!(keeper.rebuilt.is_empty() && keeper.reverted.is_empty(), "{fault:?}: {:?}", keeper.rebuilt);
        fixture.proxies[0].lift_all();
    }
    Ok(())
}

#[tokio::test]
async fn when_the_first_endpoint_fails_the_second_is_used() -> eyre::Result<()> {
    assert_failover([Http, Http]).await
}

#[tokio::test]
async fn when_the_first_websocket_fails_the_second_endpoint_is_used() -> eyre::Result<()> {
    assert_failover([WebSocket, Http]).await?;
    assert_failover([WebSocket, WebSocket]).await
}

#[tokio::test]
async fn a_temporary_fault_of_the_only_endpoint_is_survived() -> eyre::Result<()> {
    for transport in [Http, WebSocket] {
        let mut fixture = Fixture::new(1).await?;
        for fault in faults() {
            let mut keeper = fixture.keeper(&[transport])?;
            keeper.assert_equals(&fixture).await?;
            fixture.proxies[0].inject(Rule::from(fault.clone()).times(4));
            for _ in 0..4 {
                fixture.mine_activity(6).await?;
                keeper.truth = Some(fixture.truth().await?);
                if matches!(fault, Fault::Stall(_)) {
                    // The deadline must expire first.
                    tokio::time::timeout(Duration::from_millis(1_500), keeper.step()).await.ok();
                    fixture.proxies[0].lift_all();
                }
                keeper.assert_equals(&fixture).await?;
            }
            assert!(keeper.rebuilt.is_empty(), "{fault:?}: {:?}", keeper.rebuilt);
            fixture.proxies[0].lift_all();
        }
    }
    Ok(())
}

#[tokio::test]
async fn missing_logs_are_noticed_and_demote_their_endpoint() -> eyre::Result<()> {
    for keep in [0, 1] {
        let mut fixture = Fixture::new(2).await?;
        let patient = StreamSettings { max_silence: Duration::from_secs(600), ..fixture.settings() };
        let mut keeper = fixture.keeper_with(&[WebSocket, Http], Cursor { number: 0, hash: None }, patient)?;
        keeper.wait_for_all_heads().await;
        keeper.assert_equals(&fixture).await?;
        fixture.proxies[0].inject(Fault::TruncatedLogs { keep });
        fixture.log(3).await?;
        keeper.truth = Some(fixture.truth().await?);
        keeper.assert_equals(&fixture).await?;
        let health = keeper.stream.health();
        assert!(
            matches!(&health[0].state, EndpointState::Demoted { remaining_secs, .. } if *remaining_secs > 30),
            "{health:?}"
        );
        assert_eq!((health[0].false_answers, &health[1].state), (1, &EndpointState::Healthy));
        assert_eq!(keeper.rejected, 1);
    }
    Ok(())
}

#[tokio::test]
async fn only_an_endpoint_that_is_slow_is_asked_for_a_shorter_range_the_next_time() -> eyre::Result<()> {
    const RANGE: u64 = 50;
    let fixture = Fixture::new(1).await?;
    fixture.idle(300).await?;
    let ranges = (fixture.head().await?.number - MAX_REORG_DEPTH).div_ceil(RANGE);
    let settings = StreamSettings { max_log_range: RANGE, concurrent_ranges: 1, ..fixture.settings() };
    let failed = [Fault::Error { code: -32603, message: "internal error".to_owned() }, Fault::Page { status: 502 }];
    let slow = Fault::Stall(Phase::BeforeForwarding);
    for (fault, is_slow) in failed.map(|fault| (fault, false)).into_iter().chain([(slow, true)]) {
        let proxy = &fixture.proxies[0];
        proxy.reset_counts();
        let rule = proxy.inject(Rule::from(fault.clone()).on(&["eth_getLogs"]).times(1));
        let mut keeper = fixture.keeper_with(&[Http], Cursor { number: 0, hash: None }, settings.clone())?;
        keeper.reach(fixture.head().await?).await?;
        let counts = proxy.counts();
        assert_eq!(counts.acted(rule), 1, "{fault:?}");
        assert_eq!(counts.of("eth_getLogs") > ranges + 1, is_slow, "{fault:?}: {counts:?}");
    }
    Ok(())
}

/// The totals of markets say nothing of these events, so that the block is accepted without them.
#[tokio::test]
async fn logs_that_were_left_out_of_the_newest_block_are_found_within_32_blocks() -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    let patient = StreamSettings { max_silence: Duration::from_secs(600), ..fixture.settings() };
    let mut keeper = fixture.keeper_with(&[WebSocket, Http], Cursor { number: 0, hash: None }, patient)?;
    keeper.wait_for_all_heads().await;
    keeper.assert_equals(&fixture).await?;
    fixture.proxies[0].inject(Fault::TruncatedLogs { keep: 0 });
    fixture.log(2).await?;
    let incomplete = fixture.head().await?;
    keeper.reach(incomplete).await?;
    assert!(!keeper.events.contains_key(&incomplete.number), "nothing refutes it yet");
    for _ in 0..32 {
        fixture.idle(1).await?;
        keeper.reach(fixture.head().await?).await?;
    }
    while !keeper.events.contains_key(&incomplete.number) {
        keeper.step().await?;
    }
    keeper.assert_equals(&fixture).await?;
    let lied: Vec<_> = keeper.stream.health().iter().map(|health| health.false_answers).collect();
    assert_eq!((lied, keeper.reverted.len(), keeper.rebuilt.len()), (vec![1, 0], 1, 0));
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_invents_logs_is_demoted_by_the_receipts_and_changes_nothing() -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    let patient = StreamSettings { max_silence: Duration::from_secs(600), ..fixture.settings() };
    let mut keeper = fixture.keeper_with(&[WebSocket, Http], Cursor { number: 0, hash: None }, patient)?;
    keeper.wait_for_all_heads().await;
    keeper.assert_equals(&fixture).await?;
    let lie = Fault::Substituted { from: "\"data\":\"0x00".to_owned(), to: "\"data\":\"0x10".to_owned() };
    fixture.proxies[1].inject(Rule::from(lie).on(&["eth_getLogs"]));
    fixture.log(2).await?;
    let truth = fixture.truth().await?;
    for _ in 0..32 {
        fixture.idle(1).await?;
        keeper.reach(fixture.head().await?).await?;
    }
    while keeper.reverted.is_empty() || keeper.at != fixture.head().await? {
        keeper.step().await?;
    }
    let lied: Vec<_> = keeper.stream.health().iter().map(|health| health.false_answers).collect();
    assert_eq!((lied, &keeper.events), (vec![0, 1], &truth));
    Ok(())
}

#[tokio::test]
async fn missing_logs_in_the_past_are_found_when_the_book_is_rebuilt() -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    fixture.mine_activity(200).await?;
    fixture.proxies[0].inject(Fault::TruncatedLogs { keep: 7 });
    fixture.proxies[1].take_down().await;
    let mut keeper = fixture.keeper(&[Http, Http])?;
    keeper.reach(fixture.head().await?).await?;
    assert_ne!(keeper.events, fixture.truth().await?, "no endpoint says that something is missing");
    // The other endpoint has the next block, which is correct and does not fit the book.
    fixture.proxies[1].bring_up()?;
    keeper.wait_for_all_heads().await;
    let behind = fixture.proxies[0].inject(Fault::Stale { head: 150 });
    fixture.log(1).await?;
    while keeper.rebuilt.is_empty() {
        if let Step::Apply(_) = keeper.stream.next().await {
            keeper.stream.reject("more is taken than there is");
        } else {
            fixture.proxies[0].lift(behind);
            keeper.step().await?;
        }
    }
    assert!(
        matches!(&keeper.rebuilt[..], [ResyncReason::InconsistentEvents { number: 202, untried_endpoint: true, .. }]),
        "{:?}",
        keeper.rebuilt
    );
    keeper.assert_equals(&fixture).await?;
    let lied = keeper.stream.health().iter().map(|health| health.false_answers).collect::<Vec<_>>();
    assert_eq!(lied, [1, 0], "who left something out, and not who told the truth");
    Ok(())
}

#[tokio::test]
async fn log_ranges_shrink_until_the_provider_accepts_them() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    fixture.mine_activity(300).await?;
    for provider in RpcProvider::ALL {
        let rule = fixture.proxies[0].inject(Fault::LogRange { max_blocks: 23, provider });
        let mut keeper = fixture.keeper(&[Http])?;
        keeper.assert_equals(&fixture).await?;
        assert_eq!(keeper.stream.health()[0].failed, 0, "{provider:?}: {:?}", keeper.stream.health());
        fixture.proxies[0].lift(rule);
    }
    Ok(())
}

#[tokio::test]
async fn endpoints_that_are_down_at_the_start_are_waited_for() -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    fixture.mine_activity(12).await?;
    for proxy in &mut fixture.proxies {
        proxy.take_down().await;
    }
    let mut keeper = fixture.keeper(&[WebSocket, Http])?;
    let waited = tokio::time::timeout(Duration::from_millis(500), keeper.step()).await;
    assert!(waited.is_err() && keeper.stream.health().iter().all(|health| health.state == EndpointState::Disconnected));
    fixture.proxies[1].bring_up()?;
    keeper.assert_equals(&fixture).await?;
    fixture.proxies[0].bring_up()?;
    fixture.mine_activity(12).await?;
    keeper.assert_equals(&fixture).await
}

#[tokio::test]
async fn endpoints_may_go_down_and_return_one_by_one_and_together() -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    let mut keeper = fixture.keeper(&[WebSocket, Http])?;
    for dead in [&[0][..], &[1], &[0, 1]] {
        for index in dead {
            fixture.proxies[*index].take_down().await;
        }
        fixture.mine_activity(9).await?;
        if dead.len() < 2 {
            keeper.assert_equals(&fixture).await?;
        }
        for index in dead {
            fixture.proxies[*index].bring_up()?;
        }
        fixture.mine_activity(9).await?;
        keeper.assert_equals(&fixture).await?;
        for proxy in &mut fixture.proxies {
            proxy.cut_connections().await?;
        }
        fixture.mine_activity(9).await?;
        keeper.assert_equals(&fixture).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_websocket_is_polled() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    let mut keeper = fixture.keeper(&[WebSocket])?;
    keeper.assert_equals(&fixture).await?;
    fixture.proxies[0].inject(Fault::Heads(HeadFault::Skipped));
    for _ in 0..3 {
        fixture.mine_activity(3).await?;
        keeper.assert_equals(&fixture).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_rate_limited_endpoint_is_not_used_until_retry_after() -> eyre::Result<()> {
    let mut fixture = Fixture::new(2).await?;
    let mut keeper = fixture.keeper(&[Http, Http])?;
    fixture.mine_activity(3).await?;
    keeper.assert_equals(&fixture).await?;
    let busy = fixture.proxies[0].inject(Fault::RateLimited { retry_after_secs: 300 });
    fixture.proxies[0].wait_for(|counts| counts.acted(busy) == 1).await?;
    fixture.proxies[0].reset_counts();
    fixture.mine_activity(30).await?;
    keeper.assert_equals(&fixture).await?;
    assert_eq!(fixture.proxies[0].counts().total(), 0, "{:?}", fixture.proxies[0].counts());
    let state = &keeper.stream.health()[0].state;
    assert!(matches!(state, EndpointState::Demoted { remaining_secs: 200..=300, .. }), "{state:?}");
    Ok(())
}

#[tokio::test]
async fn a_block_that_the_book_rejects_leads_to_a_rebuild_once_it_is_proven() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    let mut keeper = fixture.keeper(&[WebSocket])?;
    fixture.log(2).await?;
    let number = fixture.head().await?.number;
    loop {
        match keeper.stream.next().await {
            Step::Apply(block) if block.number == number => keeper.stream.reject("this cannot be"),
            Step::Resync(reason) => {
                let expected = ResyncReason::InconsistentEvents {
                    number,
                    reason: "this cannot be".to_owned(),
                    untried_endpoint: false,
                };
                assert_eq!(reason, expected);
                assert!(reason.to_string().contains("another deployment"), "{reason}");
                return Ok(());
            }
            _ => keeper.stream.accept(),
        }
    }
}

#[tokio::test]
async fn unknown_events_reveal_a_foreign_contract() -> eyre::Result<()> {
    // `PUSH1 0 PUSH1 0 LOG0 STOP`: emits a log without topics.
    const OTHER_CODE: Bytes = bytes!("60006000a000");
    for blocks_later in [0, 100] {
        let mut fixture = Fixture::new(1).await?;
        fixture.provider.anvil_set_code(CORE, OTHER_CODE).await?;
        fixture.log(1).await?;
        fixture.idle(blocks_later).await?;
        let mut keeper = fixture.keeper(&[Http])?;
        while keeper.rebuilt.is_empty() {
            keeper.step().await?;
        }
        assert!(matches!(keeper.rebuilt[0], ResyncReason::ForeignEvent { number: 2, .. }), "{:?}", keeper.rebuilt);
    }
    Ok(())
}

/// So many other logs are emitted that every bit of the bloom is set, although none of ours is among them.
#[tokio::test]
async fn a_false_positive_bloom_costs_one_request_and_is_left_to_be_confirmed() -> eyre::Result<()> {
    let mut fixture = Fixture::new(1).await?;
    let mut keeper = fixture.keeper(&[WebSocket])?;
    fixture.log(1).await?;
    keeper.assert_equals(&fixture).await?;
    fixture.proxies[0].reset_counts();
    fill_bloom(&fixture).await?;
    fixture.idle(1).await?;
    keeper.assert_equals(&fixture).await?;
    let counts = fixture.proxies[0].counts();
    assert_eq!((counts.of("eth_getLogs"), keeper.stream.health()[0].false_answers), (1, 0), "{counts:?}");
    Ok(())
}

/// What refuted it was not true: the receipts prove that there are no logs.
#[tokio::test]
async fn a_block_that_is_refuted_although_it_is_empty_comes_again_confirmed() -> eyre::Result<()> {
    let fixture = Fixture::new(1).await?;
    let mut keeper = fixture.keeper(&[WebSocket])?;
    keeper.assert_equals(&fixture).await?;
    fill_bloom(&fixture).await?;
    fixture.idle(1).await?;
    let number = fixture.head().await?.number;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match keeper.stream.next().await {
            Step::Apply(block) if block.number == number => {
                seen.push(block.unconfirmed);
                if block.unconfirmed {
                    keeper.stream.reject("the totals differ");
                } else {
                    keeper.stream.accept();
                }
            }
            Step::Resync(reason) => panic!("{reason}"),
            _ => keeper.stream.accept(),
        }
    }
    assert_eq!((seen, keeper.stream.health()[0].false_answers), (vec![true, false], 0));
    Ok(())
}

/// Has the next block emit so many other logs that every bit of its bloom is set.
async fn fill_bloom(fixture: &Fixture) -> eyre::Result<()> {
    // Counts down from 4,000 and emits the hash of every number as a topic.
    const CROWD: Bytes = bytes!("610fa05b80600052602060002060006000a1600190038060035700");
    const SQUARE: Address = Address::repeat_byte(7);
    fixture.provider.anvil_set_code(SQUARE, CROWD).await?;
    let call =
        TransactionRequest::default().with_from(fixture.node.account(2)?).with_to(SQUARE).with_gas_limit(20_000_000);
    let _pending = fixture.provider.send_transaction(call).await?;
    Ok(())
}

#[tokio::test]
async fn after_random_faults_the_events_equal_the_chain() -> eyre::Result<()> {
    for seed in 1..=4 {
        let mut random = Random::from_seed(seed);
        let mut fixture = Fixture::new(3).await?;
        let settings = StreamSettings { request_timeout: Duration::from_millis(400), ..fixture.settings() };
        let mut keeper =
            fixture.keeper_with(&[WebSocket, Http, WebSocket], Cursor { number: 0, hash: None }, settings)?;
        let faults = faults();
        for _ in 0..25 {
            for _ in 0..3 {
                let proxy = usize::try_from(random.below(3))?;
                let fault = faults[usize::try_from(random.below(15))?].clone();
                match random.below(6) {
                    0 => fixture.proxies[proxy].lift_all(),
                    1 => fixture.proxies[proxy].cut_connections().await?,
                    _ => drop(fixture.proxies[proxy].inject(Rule::from(fault).times(1 + random.below(20)))),
                }
            }
            let head = fixture.head().await?.number;
            match random.below(5) {
                0 if head > 12 => fixture.reorg(1 + random.below(10)).await?,
                1 => fixture.idle(1 + random.below(80)).await?,
                _ => fixture.mine_activity(1 + random.below(8)).await?,
            }
            keeper.truth = Some(fixture.truth().await?);
            // Some steps, or none for a while.
            for _ in 0..random.below(12) {
                tokio::time::timeout(Duration::from_millis(20), keeper.step()).await.ok().transpose()?;
            }
            keeper.rebuilt.clear();
        }
        fixture.proxies.iter().for_each(plimsoll_testkit::proxy::Proxy::lift_all);
        fixture.log(1).await?;
        keeper.truth = Some(fixture.truth().await?);
        keeper.assert_equals(&fixture).await?;
    }
    Ok(())
}
