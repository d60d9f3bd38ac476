//! A protocol kept equal to the chain by its logs, reorg-safe, and read in each newest block; with a checkpoint behind it, from
//! which the next start goes on.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::{Address, B256, Log, U256};
use eyre::eyre;
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_protocols::{Answer, CallFailure, Deployment, LogFilter, Observed, Protocol, Row};
use tokio::time::{Duration, Instant};
use tracing::{error, info, warn};

use super::{block_request::BlockRequest, failover::FailoverReader};
use crate::{
    chain::{Event, Header, Sources},
    config::ChainFacts,
    prices::{Answers, BlockReader, Call, CallError, CallResult, ChainReader, EndpointReader, UNSIGNED_ACCOUNT},
    record::{self, Stage},
    store::{Checkpoint, CheckpointTip, Image, StoreError},
    stream::{BlockEvents, Cursor, ResyncReason, Step, Stream, StreamSettings, newest_header},
};

/// What a lack of logs means, for people.
pub(crate) const PRUNED: &str =
    "the node may have pruned logs this old: use an archive node, or one that keeps all logs";

/// Number of blocks with totals that differ from the chain's after which a checkpoint is not believed any more.
const MAX_DIFFERING_BLOCKS: u32 = 3;
/// Key of the checkpoint's row that says which logs the others were made of: after those of every protocol.
const FILTER: &[u8] = &[u8::MAX];

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
    /// `None` where none is kept, or after it could not be written.
    checkpoint: Option<Arc<Checkpoint>>,
    /// The applied block whose rows the checkpoint does not have yet.
    unrecorded: Option<CheckpointTip>,
    /// Blocks with totals that differed since the state was made from the checkpoint; `None` where it was made of logs alone.
    differing_blocks: Option<u32>,
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
    /// Checks that the contract is the protocol, and begins to follow it from its checkpoint, if it has one. Reads come from
    /// `account`.
    ///
    /// # Errors
    /// When no node answers, or when the contract is another one.
    pub(crate) async fn start(
        endpoints: Vec<Arc<Endpoint>>,
        deployment: Deployment,
        account: Address,
        checkpoint: Option<Arc<Checkpoint>>,
    ) -> eyre::Result<Self> {
        let mut protocol = identified(&endpoints, &deployment).await?;
        let (checkpoint, restored) = match checkpoint {
            None => (None, None),
            Some(checkpoint) => match restore(&mut *protocol, &checkpoint).await {
                Ok(restored) => (Some(checkpoint), restored),
                // It is of use to the next start alone, and no reason to follow nothing.
                Err(error) => {
                    error!(%error, remedy = "all logs are read, now and at the next start", "checkpoint not used");
                    protocol.reset();
                    (None, None)
                }
            },
        };
        Self::begin(endpoints, protocol, account, checkpoint, restored)
    }

    /// Checks that the contract is the protocol, and begins to follow it from the rows of a checkpoint, which is not written.
    ///
    /// # Errors
    /// When no node answers, when the contract is another one, or when the rows are not those of its state.
    pub(crate) async fn from_rows(
        endpoints: Vec<Arc<Endpoint>>,
        deployment: &Deployment,
        tip: CheckpointTip,
        rows: Vec<Image>,
    ) -> eyre::Result<Self> {
        let mut protocol = identified(&endpoints, deployment).await?;
        restore_rows(&mut *protocol, tip, rows).map_err(|problem| eyre!(problem))?;
        let from = Cursor { number: tip.number, hash: Some(tip.hash) };
        Self::begin(endpoints, protocol, UNSIGNED_ACCOUNT, None, Some(from))
    }

    /// Returns true until the state that was made of a checkpoint is given up.
    pub(crate) const fn is_restored(&self) -> bool {
        self.differing_blocks.is_some()
    }

    fn begin(
        endpoints: Vec<Arc<Endpoint>>,
        protocol: Box<dyn Protocol>,
        account: Address,
        checkpoint: Option<Arc<Checkpoint>>,
        restored: Option<Cursor>,
    ) -> eyre::Result<Self> {
        let deployment = protocol.deployment();
        let chain = ChainFacts::known(deployment.chain_id)
            .ok_or_else(|| eyre!("the facts about chain {} cannot be read", deployment.chain_id))?;
        let settings = StreamSettings::new(deployment.chain_id, chain.block_time);
        let filter = protocol.log_filter();
        let from = restored.unwrap_or_else(|| beginning(deployment));
        let stream = follow(&endpoints, deployment, &filter, from, settings.clone());
        let reader = FailoverReader::new(stream.reader(), account);
        let request = BlockRequest::start(reader.clone(), stream.on_head(), None);
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
            checkpoint,
            unrecorded: None,
            differing_blocks: restored.map(|_| 0),
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

    /// Sets what a bonus must be in the blocks to come, by debt token.
    pub(crate) fn set_least_bonuses(&mut self, least: &Arc<BTreeMap<Address, U256>>) {
        self.protocol.set_least_bonuses(least);
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
            Step::Revert { to } => {
                let mut undone = self.protocol.undo_to(to.number).map_err(|error| error.to_string());
                if undone.is_ok()
                    && let Some(checkpoint) = &self.checkpoint
                {
                    undone = checkpoint.revert_to(to.number).await.map_err(|error| error.to_string());
                }
                match undone {
                    Ok(()) => self.stream.accept(),
                    Err(problem) => {
                        warn!(problem, "state rebuilt");
                        self.rebuild().await;
                    }
                }
            }
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
                self.rebuild().await;
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
            self.rebuild().await;
            return Ok(None);
        }
        let Some(header) = block.tip else {
            self.accept(block);
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
        self.accept(block);
        if let (Some(blocks), Ok(observed)) = (&mut self.differing_blocks, &observed)
            && !observed.differences.is_empty()
        {
            *blocks += 1;
            if *blocks >= MAX_DIFFERING_BLOCKS {
                warn!(blocks, "the state made from a checkpoint keeps differing from the chain: state rebuilt");
                self.rebuild().await;
                return Ok(None);
            }
        }
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

    /// Accepts a block that was applied.
    fn accept(&mut self, block: &BlockEvents) {
        self.stream.accept();
        let BlockEvents { number, hash, timestamp, .. } = *block;
        self.unrecorded = Some(CheckpointTip { number, hash, timestamp });
    }

    /// Hands the rows that the last block changed to the checkpoint, if there is one. To be called after every
    /// [`process`](Self::process) once its result was handed on, and awaited to its end.
    pub(crate) async fn record(&mut self) {
        let (Some(tip), Some(checkpoint)) = (self.unrecorded.take(), &self.checkpoint) else { return };
        let mut rows = self.protocol.changed_rows();
        rows.push(filter_row(&*self.protocol));
        let written = checkpoint.record(tip, rows).await;
        self.note_checkpoint(written);
    }

    /// Gives the checkpoint up if it could not be written. That costs time at the next start, and nothing else.
    fn note_checkpoint(&mut self, written: Result<(), StoreError>) {
        if let Err(error) = written {
            error!(%error, remedy = "the next start reads more of the chain", "checkpoint not written");
            self.checkpoint = None;
        }
    }

    /// Discards the state with its checkpoint, and begins again, with the logs that are wanted then.
    async fn rebuild(&mut self) {
        if let Some(checkpoint) = &self.checkpoint {
            let cleared = checkpoint.clear().await;
            self.note_checkpoint(cleared);
        }
        (self.differing_blocks, self.unrecorded) = (None, None);
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
        self.request = BlockRequest::start(reader.clone(), self.stream.on_head(), None);
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

/// Makes a protocol's state from its checkpoint. Returns the block that it is of; `None` if there is none that can be used, which
/// is cleared.
///
/// # Errors
/// When it can be neither read nor cleared.
async fn restore(protocol: &mut dyn Protocol, checkpoint: &Checkpoint) -> Result<Option<Cursor>, StoreError> {
    let loaded = checkpoint.load(|tip, images| (tip, images.collect::<Vec<Image>>())).await?;
    let Some((tip, rows)) = loaded else { return Ok(None) };
    let problem = match restore_rows(protocol, tip, rows) {
        Ok(rows) => {
            info!(protocol = %protocol.deployment().protocol, block = tip.number, rows, "checkpoint restored");
            return Ok(Some(Cursor { number: tip.number, hash: Some(tip.hash) }));
        }
        Err(problem) => problem,
    };
    warn!(protocol = %protocol.deployment().protocol, problem, "checkpoint discarded");
    protocol.reset();
    checkpoint.clear().await?;
    Ok(None)
}

/// Makes a protocol's state from the rows of a checkpoint. Returns their number, or why they cannot be used.
fn restore_rows(protocol: &mut dyn Protocol, tip: CheckpointTip, mut rows: Vec<Image>) -> Result<usize, String> {
    let filter = rows.pop_if(|(key, _)| key == FILTER);
    let block = plimsoll_protocols::Block { number: tip.number, timestamp: tip.timestamp };
    protocol.restore(block, &rows).map_err(|error| error.to_string())?;
    if filter != Some(filter_row(protocol)) {
        return Err("it was made of other contracts' logs, or from another block on".to_owned());
    }
    Ok(rows.len())
}

/// Returns the checkpoint's row that says which logs the others are made of.
fn filter_row(protocol: &dyn Protocol) -> Row {
    let LogFilter { addresses, topics } = protocol.log_filter();
    let addresses = addresses.into_iter().map(|address| address.into_word());
    let mut value = protocol.deployment().first_block.to_be_bytes().to_vec();
    value.extend(addresses.chain(topics).flat_map(|word| word.0));
    (FILTER.to_vec(), value)
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
        match read_newest_by(UNSIGNED_ACCOUNT, endpoint, calls).await {
            Ok(answers) => return Ok(answers),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// Makes calls from an account in the newest block of a node. Fails when the node does not answer.
pub(super) async fn read_newest_by(
    account: Address,
    endpoint: &Arc<Endpoint>,
    calls: &[Call],
) -> Result<Vec<CallResult>, ChainError> {
    let header = newest_header(endpoint).await?;
    let reader = EndpointReader::new(Arc::clone(endpoint), endpoint.client().await?, account);
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
    Call::trial(call.to, call.data, call.gas)
}

fn to_answer(result: CallResult) -> Answer {
    result.map_err(|error| match error {
        CallError::Reverted(data) => CallFailure::Reverted(data),
        CallError::NotRun => CallFailure::NotRun,
    })
}
