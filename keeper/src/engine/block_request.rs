//! The block's own request: everything that is read in every block, asked for together as soon as its head is known, while
//! its logs are still being fetched. So it costs no round trip of its own.

use std::{collections::HashSet, sync::Arc};

use alloy::primitives::B256;
use plimsoll_chain::error::ChainError;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, Duration, Instant},
};

use super::{failover::FailoverReader, warm_up::WarmUp};
use crate::{
    chain::Header,
    prices::{Answers, Call},
};

/// Longest time for which a request is waited for; the next block brings another chance.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for which the answers of an announced block are waited for before they are asked for once more.
const ANNOUNCED_TIMEOUT: Duration = Duration::from_millis(500);

/// The answers of an announced block.
#[derive(Debug, Clone)]
struct Answered {
    /// Hash of the block.
    block: B256,
    /// When the block's head was received.
    head_at: Instant,
    answers: Result<Arc<Answers>, ChainError>,
}

/// What is asked with the next head.
#[derive(Debug, Clone, Default)]
struct Plan {
    /// Sequences of calls.
    sequences: Arc<[Vec<Call>]>,
    /// Whether the answers may lead to a transaction at once.
    may_send: bool,
}

/// Makes the request of every announced block in a task of its own.
#[derive(Debug)]
pub(super) struct BlockRequest {
    reader: FailoverReader,
    plan: watch::Sender<Plan>,
    newest: watch::Receiver<Option<Answered>>,
    /// Aborts the task when it is dropped.
    _task: JoinSet<()>,
}

impl BlockRequest {
    /// Starts to make the planned calls in every block whose head is received. There are none at first. Where they may lead
    /// to a transaction, `warm_up` wakes the disk at the same time.
    pub(super) fn start(
        reader: FailoverReader,
        heads: watch::Receiver<Option<Header>>,
        warm_up: Option<WarmUp>,
    ) -> Self {
        let plan = watch::Sender::default();
        let (answered, newest) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(answer_heads(reader.clone(), plan.subscribe(), heads, answered, warm_up));
        Self { reader, plan, newest, _task: task }
    }

    /// Sets the calls of the requests to come, and whether the answers may lead to a transaction at once. Each call is made
    /// once, however often it is named.
    pub(super) fn plan(&self, calls: impl IntoIterator<Item = Call>, may_send: bool) {
        self.set_plan(calls.into_iter().map(|call| vec![call]), may_send);
    }

    /// Sets the sequences of calls of the requests to come: in each, a call sees what those before it changed. Each sequence is
    /// run once, however often it is named.
    pub(super) fn plan_sequences(&self, sequences: impl IntoIterator<Item = Vec<Call>>) {
        self.set_plan(sequences, false);
    }

    fn set_plan(&self, sequences: impl IntoIterator<Item = Vec<Call>>, may_send: bool) {
        let mut seen = HashSet::new();
        let sequences = sequences.into_iter().filter(|calls| seen.insert(calls.clone())).collect();
        self.plan.send_replace(Plan { sequences, may_send });
    }

    /// Returns the answers of a block's request, and when its head was received if it was announced. Fails when no endpoint
    /// answers in time.
    pub(super) async fn answers_of(&mut self, header: &Header) -> (Result<Arc<Answers>, ChainError>, Option<Instant>) {
        // The task takes the newest head when it is free, so it may have skipped this one for a later one.
        let is_of_block = |newest: &Option<Answered>| newest.as_ref().is_some_and(|found| found.block == header.hash);
        if let Ok(Ok(found)) = time::timeout(ANNOUNCED_TIMEOUT, self.newest.wait_for(is_of_block)).await
            && let Some(Answered { head_at, answers, .. }) = found.clone()
        {
            return (answers, Some(head_at));
        }
        let calls = Arc::clone(&self.plan.borrow().sequences);
        (request(&self.reader, header, &calls).await, None)
    }
}

async fn answer_heads(
    reader: FailoverReader,
    plan: watch::Receiver<Plan>,
    mut heads: watch::Receiver<Option<Header>>,
    answered: watch::Sender<Option<Answered>>,
    mut warm_up: Option<WarmUp>,
) {
    while heads.changed().await.is_ok() {
        let Some(header) = *heads.borrow_and_update() else { continue };
        let (head_at, Plan { sequences, may_send }) = (Instant::now(), plan.borrow().clone());
        let answer = async {
            let answers = request(&reader, &header, &sequences).await;
            answered.send_replace(Some(Answered { block: header.hash, head_at, answers }));
            Instant::now()
        };
        match warm_up.as_mut().filter(|_| may_send) {
            Some(warm_up) => {
                let (answered_at, written_at) = tokio::join!(answer, warm_up.write());
                warm_up.compare(written_at, answered_at);
            }
            None => {
                answer.await;
            }
        }
    }
}

async fn request(reader: &FailoverReader, header: &Header, calls: &[Vec<Call>]) -> Result<Arc<Answers>, ChainError> {
    match time::timeout(REQUEST_TIMEOUT, Answers::request_sequences(reader, header, calls)).await {
        Ok(answers) => answers.map(Arc::new),
        Err(_) => Err(ChainError::Unreachable {
            endpoint: "the endpoint asked".to_owned(),
            problem: format!("nothing within {REQUEST_TIMEOUT:?}"),
        }),
    }
}
