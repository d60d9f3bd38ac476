//! A protocol kept equal to the chain by its logs, reorg-safe, and read in each newest block.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Log};
use eyre::eyre;
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_protocols::{Answer, CallFailure, Deployment, LogFilter, Observed, Protocol};
use tokio::time::{Duration, Instant};
use tracing::{info, warn};

use super::{block_request::BlockRequest, failover::FailoverReader};
use crate::{
    chain::{Event, Header, Sources},
    config::ChainFacts,
    prices::{Answers, BlockReader, Call, CallError, CallResult, ChainReader, EndpointReader, UNSIGNED_ACCOUNT},
    record::{self, Stage},
    stream::{BlockEvents, Cursor, ResyncReason, Step, Stream, StreamSettings, newest_header},
};

/// What a lack of logs means, for people.
pub(crate) const PRUNED: &str =
    "the node may have pruned logs this old: use an archive node, or one that keeps all logs";

/// Time between two lines that say how much is left to read of a block.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// A protocol that is followed.
#[derive(Debug)]
pub(crate) struct ProtocolFollower {
    endpoints: Vec<Arc<Endpoint>>,
    settings: StreamSettings,
    protocol: Box<dyn Protocol>,
    /// The logs that the stream hands out.
    filter: LogFilter,
    stream: Stream,
    /// Account that reads come from.
    account: Address,
    reader: BlockReader<FailoverReader>,
    /// Asks what is expected to be read in a block as soon as its head is known, while its logs are being fetched.
    request: BlockRequest,
    /// Answers to the newest block's request.
    answers: Arc<Answers>,
    /// Calls besides the protocol's own that are made with each block's request.
    ahead: Vec<Call>,
    plan: Plan,
}

/// Whether it is planned what the next block's request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// No block was read yet.
    Unknown,
    /// Something has changed since it was planned.
    Stale,
    Made,
}

/// Why a step of the stream has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtocolError {
    /// The newest block is applied, but no node answered what is read in it.
    #[error(transparent)]
    NotRead(ChainError),
    /// The newest block is applied and was read in part; the other accounts are read in the next one.
    #[error("not all was read: {0}")]
    PartlyRead(ChainError),
    /// The logs are not those of the protocol, and no other node has others.
    #[error("{0}")]
    Unknown(String),
}

impl ProtocolFollower {
    /// Checks that the contract is the protocol, and begins to follow it. Reads come from `account`.
    ///
    /// # Errors
    /// When no node answers, or when the contract is another one.
    pub(crate) async fn start(
        endpoints: Vec<Arc<Endpoint>>,
        deployment: Deployment,
        account: Address,
    ) -> eyre::Result<Self> {
        let protocol = identified(&endpoints, &deployment).await?;
        let chain = ChainFacts::known(deployment.chain_id)
            .ok_or_else(|| eyre!("the facts about chain {} cannot be read", deployment.chain_id))?;
        let settings = StreamSettings::new(deployment.chain_id, chain.block_time);
        let filter = protocol.log_filter();
        let stream = follow(&endpoints, &deployment, &filter, beginning(&deployment), settings.clone());
        let reader = FailoverReader::new(stream.reader(), account);
        let request = BlockRequest::start(reader.clone(), stream.on_head());
        let reader = BlockReader::new(reader);
        let (answers, ahead) = (Arc::default(), Vec::new());
        Ok(Self {
            endpoints,
            settings,
            protocol,
            filter,
            stream,
            account,
            reader,
            request,
            answers,
            ahead,
            plan: Plan::Unknown,
        })
    }

    /// Returns the protocol's state.
    pub(crate) fn protocol(&self) -> &dyn Protocol {
        &*self.protocol
    }

    /// Returns the stream that blocks come from.
    pub(crate) const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Returns the reader over the stream's connections, which knows the answers to the newest block's request.
    pub(crate) const fn reader(&self) -> &BlockReader<FailoverReader> {
        &self.reader
    }

    /// Returns the answers to the request of the block that was read last.
    pub(crate) fn answers(&self) -> Arc<Answers> {
        Arc::clone(&self.answers)
    }

    /// Sets calls to make with the requests of the blocks to come, besides those of the protocol.
    pub(crate) fn set_ahead(&mut self, calls: Vec<Call>) {
        self.ahead = calls;
        if self.plan == Plan::Made {
            self.plan = Plan::Stale;
        }
    }

    fn plan_request(&mut self) {
        let reads = self.protocol.reads_ahead().into_iter().map(to_sequence);
        // The reads come first: a block without them is lost, one without the others takes another request.
        self.request.plan_sequences(reads.chain(self.ahead.iter().map(|call| vec![call.clone()])));
        self.plan = Plan::Made;
    }

    /// Waits for the next step of the stream. May be dropped at any point.
    pub(crate) async fn next_step(&mut self) -> Step {
        // Not before the last block was handed on.
        if self.plan == Plan::Stale {
            self.plan_request();
        }
        self.stream.next().await
    }

    /// Carries out a step. Returns what was read in the block if it is the newest. Must be awaited to its end.
    pub(crate) async fn process(&mut self, step: Step) -> Result<Option<(Header, Observed)>, ProtocolError> {
        match step {
            Step::Apply(block) => return self.apply(&block).await,
            Step::Revert { to } => match self.protocol.undo_to(to.number) {
                Ok(()) => self.stream.accept(),
                Err(error) => {
                    warn!(%error, "state rebuilt");
                    self.rebuild();
                }
            },
            Step::Resync(ResyncReason::ForeignEvent { number, problem }) => {
                return Err(ProtocolError::Unknown(format!(
                    "in block {number}: {problem}: the contract is of a version that is not known"
                )));
            }
            Step::Resync(ResyncReason::InconsistentEvents { number, reason, untried_endpoint: false }) => {
                return Err(ProtocolError::Unknown(format!(
                    "the logs of block {number} do not fit those before it: {reason}; {PRUNED}"
                )));
            }
            Step::Resync(reason) => {
                warn!(%reason, "state rebuilt");
                self.rebuild();
            }
        }
        Ok(None)
    }

    /// Applies a block, and accepts it or has it fetched again. Returns what was read in the newest block; fails if that one
    /// cannot be read.
    async fn apply(&mut self, block: &BlockEvents) -> Result<Option<(Header, Observed)>, ProtocolError> {
        let logs: Vec<Log> = block.events.iter().filter_map(foreign_log).collect();
        let place = plimsoll_protocols::Block { number: block.number, timestamp: block.timestamp };
        if let Err(error) = self.protocol.apply(place, &logs) {
            self.stream.reject(error.to_string());
            return Ok(None);
        }
        if self.protocol.log_filter() != self.filter {
            warn!(block = block.number, "further contracts are named: state rebuilt");
            self.rebuild();
            return Ok(None);
        }
        let Some(header) = block.tip else {
            self.stream.accept();
            return Ok(None);
        };
        let timer = record::stage(Stage::ReadProtocol);
        let observed = self.observe(&header).await;
        drop(timer);
        if block.unconfirmed
            && observed.as_ref().is_ok_and(|observed| !observed.differences.is_empty())
            && self.protocol.undo_to(block.number.saturating_sub(1)).is_ok()
        {
            self.stream.reject("the totals on chain are others");
            return Ok(None);
        }
        self.stream.accept();
        let filter = self.protocol.log_filter();
        if filter != self.filter {
            self.follow(filter, Cursor { number: block.number, hash: Some(block.hash) });
        }
        Ok(Some((header, observed?)))
    }

    /// Reads what logs do not tell, in as many requests as that takes.
    async fn observe(&mut self, header: &Header) -> Result<Observed, ProtocolError> {
        if self.plan != Plan::Unknown
            && let (Ok(answers), _) = self.request.answers_of(header).await
        {
            self.reader.set_answers(Arc::clone(&answers));
            self.answers = answers;
        }
        let mut reads = self.protocol.reads();
        let mut observed = self.observe_part(header, reads.clone()).await.map_err(ProtocolError::NotRead)?;
        let mut next_line = Instant::now() + PROGRESS_INTERVAL;
        while observed.pending > 0 {
            if Instant::now() >= next_line {
                next_line += PROGRESS_INTERVAL;
                let read = self.protocol.size().positions;
                info!(block = header.number, positions = read, left = observed.pending, "reading balances");
            }
            let further = self.protocol.reads();
            if further == reads {
                // What is left cannot be read.
                break;
            }
            reads = further;
            let mut further = self.observe_part(header, reads.clone()).await.map_err(ProtocolError::PartlyRead)?;
            observed.differences.retain(|earlier| !further.differences.contains(earlier));
            further.differences.append(&mut observed.differences);
            observed = further;
        }
        self.plan = Plan::Stale;
        Ok(observed)
    }

    async fn observe_part(
        &mut self,
        header: &Header,
        reads: Vec<Vec<plimsoll_protocols::Call>>,
    ) -> Result<Observed, ChainError> {
        let sequences: Vec<_> = reads.into_iter().map(to_sequence).collect();
        let answers = self.reader.run(header, &sequences).await?;
        let answers: Vec<Vec<Answer>> = answers
            .into_iter()
            .map(|sequence| sequence.into_iter().map(|call| to_answer(call.result)).collect())
            .collect();
        Ok(self.protocol.observe(&answers))
    }

    /// Discards the state and begins again, with the logs that are wanted then.
    fn rebuild(&mut self) {
        self.protocol.reset();
        let (from, filter) = (beginning(self.protocol.deployment()), self.protocol.log_filter());
        if filter == self.filter {
            self.stream.restart(from);
        } else {
            self.follow(filter, from);
        }
    }

    /// Follows other logs, of the blocks after this one.
    fn follow(&mut self, filter: LogFilter, from: Cursor) {
        let deployment = self.protocol.deployment();
        self.stream = follow(&self.endpoints, deployment, &filter, from, self.settings.clone());
        let reader = FailoverReader::new(self.stream.reader(), self.account);
        self.request = BlockRequest::start(reader.clone(), self.stream.on_head());
        self.reader = BlockReader::new(reader);
        self.plan = Plan::Unknown;
        self.filter = filter;
    }
}

/// Checks that the contract is the protocol, and returns its state before any block.
///
/// # Errors
/// When no node answers, or when the contract is another one.
pub(crate) async fn identified(
    endpoints: &[Arc<Endpoint>],
    deployment: &Deployment,
) -> eyre::Result<Box<dyn Protocol>> {
    let mut protocol = deployment.protocol();
    let calls: Vec<_> = protocol.identity_calls().into_iter().map(to_call).collect();
    let answers = read_newest(endpoints, &calls).await?;
    protocol.check_identity(&answers.into_iter().map(to_answer).collect::<Vec<_>>())?;
    Ok(protocol)
}

/// Begins to follow logs of a deployment.
fn follow(
    endpoints: &[Arc<Endpoint>],
    deployment: &Deployment,
    filter: &LogFilter,
    from: Cursor,
    settings: StreamSettings,
) -> Stream {
    let (protocol, contracts) = (deployment.protocol, filter.addresses.len());
    info!(%protocol, address = %deployment.address, contracts, from_block = from.number + 1, "reading logs");
    Stream::start(endpoints.iter().cloned(), Sources::foreign(filter.clone()), from, settings)
}

const fn beginning(deployment: &Deployment) -> Cursor {
    Cursor { number: deployment.first_block.saturating_sub(1), hash: None::<B256> }
}

/// Makes calls in the newest block of the first node that answers.
///
/// # Errors
/// When no node answers: the last one's error.
pub(super) async fn read_newest(endpoints: &[Arc<Endpoint>], calls: &[Call]) -> eyre::Result<Vec<CallResult>> {
    let mut failure = eyre!("no node is named");
    for endpoint in endpoints {
        match read_newest_by(endpoint, calls).await {
            Ok(answers) => return Ok(answers),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

async fn read_newest_by(endpoint: &Arc<Endpoint>, calls: &[Call]) -> Result<Vec<CallResult>, ChainError> {
    let header = newest_header(endpoint).await?;
    let reader = EndpointReader::new(Arc::clone(endpoint), endpoint.client().await?, UNSIGNED_ACCOUNT);
    let answers = reader.run_each(&header, calls.to_vec()).await?;
    Ok(answers.into_iter().map(|call| call.result).collect())
}

fn foreign_log(event: &Event) -> Option<Log> {
    if let Event::Foreign(log) = event { Some(log.clone()) } else { None }
}

fn to_sequence(calls: Vec<plimsoll_protocols::Call>) -> Vec<Call> {
    calls.into_iter().map(to_call).collect()
}

fn to_call(call: plimsoll_protocols::Call) -> Call {
    Call { to: call.to, data: call.data, gas: call.gas }
}

fn to_answer(result: CallResult) -> Answer {
    result.map_err(|error| match error {
        CallError::Reverted(data) => CallFailure::Reverted(data),
        CallError::NotRun => CallFailure::NotRun,
    })
}
