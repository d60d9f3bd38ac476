//! Questions of other parts of the keeper to the endpoints: which are asked, how often, and what comes of it. Nothing is
//! timed.

use std::{path::Path, sync::Arc, time::Duration};

use alloy::{
    eips::{BlockId, BlockNumHash},
    primitives::{Address, Bytes, U256, address, bytes},
    providers::ext::AnvilApi,
    rpc::{client::RpcClient, types::TransactionRequest},
    transports::TransportError,
};
use futures_util::future::try_join_all;
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_keeper::stream::{AskPolicy, Cursor, EndpointState, Stream, StreamReader, StreamSettings};
use plimsoll_testkit::proxy::{Fault, Phase, Proxy, Rule};
use tokio::task;

use super::fixture::{
    EventRecord, Fixture,
    Transport::{self, Http, WebSocket},
};

/// A contract that returns the number of the block.
const COUNTER: Address = address!("0x1000000000000000000000000000000000000002");
/// `NUMBER PUSH0 MSTORE PUSH1 32 PUSH0 RETURN`.
const COUNTER_CODE: Bytes = bytes!("435f5260205ff3");
/// Long enough that only a new head ends a question.
const LONG_BLOCK_TIME: Duration = Duration::from_secs(600);

/// Proxies in front of a node with the contract, and a stream over them that has reached the head.
struct Questions {
    fixture: Fixture,
    keeper: EventRecord,
    reader: StreamReader,
    head: BlockNumHash,
}

impl Questions {
    async fn new(transports: &[Transport], block_time: Duration) -> eyre::Result<Self> {
        Self::with(transports, |settings| StreamSettings { block_time, ..settings }).await
    }

    async fn with(
        transports: &[Transport],
        settings: impl FnOnce(StreamSettings) -> StreamSettings,
    ) -> eyre::Result<Self> {
        let fixture = Fixture::new(transports.len()).await?;
        fixture.provider.anvil_set_code(COUNTER, COUNTER_CODE).await?;
        fixture.idle(3).await?;
        let settings = settings(StreamSettings { max_silence: LONG_BLOCK_TIME, ..fixture.settings() });
        let mut keeper = fixture.keeper_with(transports, Cursor { number: 0, hash: None }, settings)?;
        keeper.wait_for_all_heads().await;
        let head = fixture.head().await?;
        keeper.reach(head).await?;
        for (transport, proxy) in transports.iter().zip(&fixture.proxies) {
            if *transport == WebSocket {
                proxy.wait_for(|counts| counts.websockets() == 2).await?;
            }
            proxy.reset_counts();
        }
        let reader = keeper.stream.reader();
        Ok(Self { fixture, keeper, reader, head })
    }

    /// Asks for the number of the block in so many calls at once.
    async fn ask(&self, calls: usize) -> Result<Vec<u64>, ChainError> {
        ask(&self.reader, self.head, calls).await
    }

    /// Returns the number of calls that each endpoint got.
    fn calls(&self) -> Vec<u64> {
        self.fixture.proxies.iter().map(|proxy| proxy.counts().of("eth_call")).collect()
    }
}

async fn ask(reader: &StreamReader, head: BlockNumHash, calls: usize) -> Result<Vec<u64>, ChainError> {
    let policy = AskPolicy { block: head.number, is_urgent: true };
    let request = |endpoint: Arc<Endpoint>, client: RpcClient| async move {
        let of = |error: TransportError| ChainError::of_transport(&endpoint, &error);
        let mut batch = client.new_batch();
        let mut answers = Vec::new();
        for _ in 0..calls {
            let call = (TransactionRequest::default().to(COUNTER), BlockId::from(head.hash));
            answers.push(batch.add_call::<_, U256>("eth_call", &call).map_err(of)?);
        }
        batch.send().await.map_err(of)?;
        let numbers = try_join_all(answers).await.map_err(of)?;
        Ok::<Vec<u64>, ChainError>(numbers.into_iter().map(|number| number.to()).collect())
    };
    reader.ask_by(policy, request).await
}

fn header_not_found() -> Fault {
    Fault::Error { code: -32000, message: "header not found".to_owned() }
}

#[tokio::test]
async fn where_the_first_endpoint_has_no_valid_answer_the_next_is_asked_once() -> eyre::Result<()> {
    let faults = [
        header_not_found(),
        Fault::Error { code: -32603, message: "internal error".to_owned() },
        Fault::RateLimited { retry_after_secs: 300 },
        Fault::Reset(Phase::AfterForwarding),
        Fault::CutOff,
        Fault::ShortBatch,
        Fault::Page { status: 502 },
        Fault::Stall(Phase::AfterForwarding),
        Fault::Substituted { from: "0x".to_owned(), to: "no number".to_owned() },
    ];
    for fault in faults {
        let questions = Questions::new(&[Http, Http], Duration::from_secs(1)).await?;
        let (first, rule) = loop {
            questions.ask(2).await?;
            let first = &questions.fixture.proxies[usize::from(questions.calls()[0] == 0)];
            questions.fixture.proxies.iter().for_each(Proxy::reset_counts);
            let rule = first.inject(Rule::from(fault.clone()).on(&["eth_call"]));
            assert_eq!(questions.ask(2).await?, [questions.head.number; 2], "{fault:?}");
            if first.counts().acted(rule) > 0 {
                break (first, rule);
            }
            // Of two that are as good, the one that answers sooner is first, which on a busy machine changes.
            first.lift(rule);
            questions.fixture.proxies.iter().for_each(Proxy::reset_counts);
        };
        assert_eq!(questions.calls(), [2, 2], "{fault:?}");
        assert_eq!(first.counts().acted(rule), 1, "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_does_not_have_the_block_yet_is_asked_again_and_not_demoted() -> eyre::Result<()> {
    for transport in [Http, WebSocket] {
        let questions = Questions::new(&[transport], LONG_BLOCK_TIME).await?;
        questions.fixture.proxies[0].inject(Rule::from(header_not_found()).on(&["eth_call"]).times(4));
        assert_eq!(questions.ask(1).await?, [questions.head.number]);
        assert_eq!(questions.calls(), [5]);
        let health = &questions.keeper.stream.health()[0];
        assert_eq!((&health.state, health.failed), (&EndpointState::Healthy, 0), "{health:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_question_about_a_block_ends_with_the_next_head() -> eyre::Result<()> {
    let mut questions = Questions::new(&[WebSocket], LONG_BLOCK_TIME).await?;
    questions.fixture.proxies[0].inject(Rule::from(header_not_found()).on(&["eth_call"]));
    let (reader, head) = (questions.reader.clone(), questions.head);
    let asked = tokio::spawn(async move { ask(&reader, head, 1).await });
    questions.fixture.proxies[0].wait_for(|counts| counts.of("eth_call") >= 3).await?;
    questions.fixture.idle(1).await?;
    questions.keeper.reach(questions.fixture.head().await?).await?;
    let error = asked.await?.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("header not found"), "{error}");
    // Of a block that is not the newest any more, each endpoint is asked once.
    questions.fixture.proxies[0].reset_counts();
    assert!(questions.ask(1).await.is_err());
    assert_eq!(questions.calls(), [1]);
    Ok(())
}

#[tokio::test]
async fn an_http_endpoint_that_stalls_is_demoted_by_questions_and_not_asked_first_again() -> eyre::Result<()> {
    let questions = Questions::new(&[Http, WebSocket], Duration::from_secs(1)).await?;
    questions.ask(2).await?;
    assert_eq!(questions.calls(), [2, 0], "the first is asked while it is healthy");
    questions.fixture.proxies[0].inject(Fault::Stall(Phase::BeforeForwarding));
    assert_eq!(questions.ask(2).await?, [questions.head.number; 2]);
    while !matches!(questions.keeper.stream.health()[0].state, EndpointState::Demoted { .. }) {
        task::yield_now().await;
    }
    for proxy in &questions.fixture.proxies {
        proxy.reset_counts();
    }
    for _ in 0..10 {
        assert_eq!(questions.ask(2).await?, [questions.head.number; 2]);
    }
    assert_eq!(questions.fixture.proxies[1].counts().of("eth_call"), 20);
    Ok(())
}

/// The time limit of a request is longer than the test may take.
#[tokio::test]
async fn of_several_opinions_one_that_stalls_is_not_waited_for() -> eyre::Result<()> {
    // The time limit of a request is longer than the test may take.
    let patient = |settings| StreamSettings { request_timeout: LONG_BLOCK_TIME, ..settings };
    let questions = Questions::with(&[Http, Http, Http], patient).await?;
    questions.fixture.proxies[1].inject(Fault::Stall(Phase::AfterForwarding));
    let request = |endpoint: Arc<Endpoint>, client: RpcClient| async move {
        let call = (TransactionRequest::default().to(COUNTER), BlockId::latest());
        let number = client.request::<_, U256>("eth_call", call).await;
        number.map_err(|error| ChainError::of_transport(&endpoint, &error))
    };
    let mut answers = questions.reader.ask_each(request).await;
    answers.sort_unstable();
    assert_eq!(answers, [0, 2].map(|index| (index, U256::from(questions.head.number))));
    Ok(())
}

#[tokio::test]
async fn a_second_websocket_that_closes_is_opened_again_while_the_first_goes_on() -> eyre::Result<()> {
    let mut questions = Questions::new(&[WebSocket], LONG_BLOCK_TIME).await?;
    for closed in 1..=3 {
        // A page instead of an answer closes the WebSocket that the question came over.
        questions.fixture.proxies[0].inject(Rule::from(Fault::Page { status: 502 }).on(&["eth_call"]).times(1));
        assert_eq!(questions.ask(1).await?, [questions.head.number]);
        questions.fixture.proxies[0].wait_for(|counts| counts.websockets() == closed).await?;
        questions.fixture.idle(1).await?;
        questions.head = questions.fixture.head().await?;
        questions.keeper.reach(questions.head).await?;
    }
    let counts = questions.fixture.proxies[0].counts();
    assert_eq!(counts.of("eth_subscribe"), 0, "the first WebSocket was closed, too: {counts:?}");
    Ok(())
}

#[tokio::test]
async fn a_node_is_followed_and_asked_over_its_ipc_socket() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("anvil.ipc");
    let text = |path: &Path| path.to_str().map(str::to_owned).unwrap_or_default();
    let mut fixture = Fixture::of(0, &["--ipc", &text(&path)]).await?;
    fixture.provider.anvil_set_code(COUNTER, COUNTER_CODE).await?;
    fixture.mine_activity(150).await?;
    let from = Cursor { number: 0, hash: None };
    let endpoint: Endpoint = text(&path).parse()?;
    let stream = Stream::start([endpoint], Fixture::sources(), from, fixture.settings());
    let mut keeper = EventRecord::new(stream, from);
    keeper.assert_equals(&fixture).await?;
    for depth in [1, 5] {
        fixture.mine_activity(9).await?;
        keeper.assert_equals(&fixture).await?;
        fixture.reorg(depth).await?;
        keeper.assert_equals(&fixture).await?;
    }
    let head = fixture.head().await?;
    assert_eq!(ask(&keeper.stream.reader(), head, 3).await?, [head.number; 3]);
    assert!(keeper.stream.health()[0].name.starts_with("ipc:///"));
    Ok(())
}
