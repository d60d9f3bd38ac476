//! Watching: a protocol's positions as of each block, from nodes alone. No configuration, no deployment of ours, no keys.
//!
//! ```text
//! identity ──► the contract is the protocol, or an error that says what was read
//! stream ────► logs ──► protocol's state (reorg-safe) ──► calls of the newest block ──► report
//! ```
//!
//! Nothing is guessed: the totals of the state are compared with those on chain in every block, a market without a price is
//! listed with the reason, and a token without decimals is shown in its smallest units.

mod tokens;

use std::sync::Arc;

use alloy::primitives::{B256, Log, U256};
use eyre::{bail, eyre};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_protocols::{Answer, CallFailure, Deployment, Observed, Protocol};
use tokio::time::{Duration, timeout};
use tracing::{info, warn};

use self::tokens::Tokens;
use crate::{
    chain::{Event, Header, Sources},
    config::ChainFacts,
    engine::FailoverReader,
    prices::{Call, CallError, CallResult, ChainReader, EndpointReader, UNSIGNED_ACCOUNT},
    report::watch::{WatchReport, WatchedMarket},
    stream::{BlockEvents, Cursor, ResyncReason, Step, Stream, StreamSettings, newest_header},
};

/// Time without any step from any node, before the first report, after which watching fails.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What a lack of logs means, for people.
const PRUNED: &str = "the node may have pruned logs this old: use an archive node, or one that keeps all logs";

/// Which positions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Health factor × 10¹⁸ below which a position is shown.
    pub below: U256,
    /// Most positions to show.
    pub limit: usize,
}

/// A protocol that is followed.
#[derive(Debug)]
pub struct Watcher {
    protocol: Box<dyn Protocol>,
    stream: Stream,
    reader: FailoverReader,
    tokens: Tokens,
    /// Whether a report was made.
    has_reported: bool,
}

/// Asks for the id of the chain that the nodes are on; the first one that answers is believed.
///
/// # Errors
/// When no node answers: the last one's error.
pub async fn chain_id(endpoints: &[Endpoint]) -> eyre::Result<u64> {
    let mut failure = eyre!("no node is named");
    for endpoint in endpoints {
        match ask_chain_id(endpoint).await {
            Ok(id) => return Ok(id),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

async fn ask_chain_id(endpoint: &Endpoint) -> Result<u64, ChainError> {
    let client = endpoint.client().await?;
    let id: alloy::primitives::U64 =
        client.request_noparams("eth_chainId").await.map_err(|error| ChainError::of_transport(endpoint, &error))?;
    Ok(id.to())
}

impl Watcher {
    /// Checks that the contract is the protocol, and begins to follow it.
    ///
    /// # Errors
    /// When no node answers, or when the contract is another one.
    pub async fn start(endpoints: Vec<Endpoint>, deployment: Deployment) -> eyre::Result<Self> {
        let endpoints: Vec<_> = endpoints.into_iter().map(Arc::new).collect();
        let protocol = deployment.protocol();
        let answers = identity(&endpoints, &*protocol).await?;
        protocol.check_identity(&answers)?;
        let chain = ChainFacts::known(deployment.chain_id)
            .ok_or_else(|| eyre!("the facts about chain {} cannot be read", deployment.chain_id))?;
        let settings = StreamSettings::new(deployment.chain_id, chain.block_time);
        info!(protocol = %deployment.protocol, address = %deployment.address, from_block = deployment.first_block, "reading logs");
        let stream = Stream::start(endpoints, Sources::foreign(deployment.address), beginning(&deployment), settings);
        let reader = FailoverReader::new(stream.reader(), UNSIGNED_ACCOUNT);
        Ok(Self { protocol, stream, reader, tokens: Tokens::default(), has_reported: false })
    }

    /// Returns the protocol's state.
    #[must_use]
    pub fn protocol(&self) -> &dyn Protocol {
        &*self.protocol
    }

    /// Waits for the next newest block and returns what is to be shown of it. A block that cannot be read is left out, except
    /// the first.
    ///
    /// # Errors
    /// When no node gives anything within a minute before the first report, or when the logs are not those of the protocol.
    pub async fn next(&mut self, selection: Selection) -> eyre::Result<WatchReport> {
        loop {
            let step = if self.has_reported {
                self.stream.next().await
            } else {
                let step = timeout(TIMEOUT, self.stream.next()).await;
                step.map_err(|_| eyre!("no node provided a block for {} s; {}", TIMEOUT.as_secs(), self.node_errors()))?
            };
            match step {
                Step::Apply(block) => match self.apply(&block, selection).await {
                    Ok(None) => {}
                    Ok(Some(report)) => {
                        self.has_reported = true;
                        return Ok(report);
                    }
                    Err(error) if self.has_reported => warn!(block = block.number, %error, "block not shown"),
                    Err(error) => return Err(error.into()),
                },
                Step::Revert { to } => match self.protocol.undo_to(to.number) {
                    Ok(()) => self.stream.accept(),
                    Err(error) => {
                        warn!(%error, "state rebuilt");
                        self.rebuild();
                    }
                },
                Step::Resync(ResyncReason::ForeignEvent { number, problem }) => {
                    bail!("in block {number}: {problem}: the contract is of a version that is not known")
                }
                Step::Resync(ResyncReason::InconsistentEvents { number, reason, untried_endpoint: false }) => {
                    bail!("the logs of block {number} do not fit those before it: {reason}; {PRUNED}")
                }
                Step::Resync(reason) => {
                    warn!(%reason, "state rebuilt");
                    self.rebuild();
                }
            }
        }
    }

    /// Applies a block, and accepts it or has it fetched again. Returns the report of the newest block; fails if that one
    /// cannot be read.
    async fn apply(&mut self, block: &BlockEvents, selection: Selection) -> Result<Option<WatchReport>, ChainError> {
        let logs: Vec<Log> = block.events.iter().filter_map(foreign_log).collect();
        let place = plimsoll_protocols::Block { number: block.number, timestamp: block.timestamp };
        if let Err(error) = self.protocol.apply(place, &logs) {
            self.stream.reject(error.to_string());
            return Ok(None);
        }
        let Some(header) = block.tip else {
            self.stream.accept();
            return Ok(None);
        };
        let observed = match self.observe(&header).await {
            Ok(observed) => observed,
            Err(error) => {
                self.stream.accept();
                return Err(error);
            }
        };
        if block.unconfirmed && !observed.differences.is_empty() && self.protocol.undo_to(block.number - 1).is_ok() {
            self.stream.reject("the totals on chain are others");
            return Ok(None);
        }
        self.stream.accept();
        self.report(&header, observed, selection).await.map(Some)
    }

    async fn observe(&mut self, header: &Header) -> Result<Observed, ChainError> {
        let sequences: Vec<Vec<Call>> =
            self.protocol.reads().into_iter().map(|calls| calls.into_iter().map(to_call).collect()).collect();
        let answers = self.reader.run(header, &sequences).await?;
        let answers: Vec<Vec<Answer>> = answers
            .into_iter()
            .map(|sequence| sequence.into_iter().map(|call| to_answer(call.result)).collect())
            .collect();
        Ok(self.protocol.observe(&answers))
    }

    async fn report(
        &mut self,
        header: &Header,
        observed: Observed,
        selection: Selection,
    ) -> Result<WatchReport, ChainError> {
        let positions = self.protocol.positions_below(selection.below, selection.limit);
        let tokens = positions.iter().flat_map(|position| [position.collateral_token, position.debt_token]);
        self.tokens.read(&self.reader, header, tokens).await?;
        let deployment = self.protocol.deployment();
        let size = self.protocol.size();
        let mut warnings: Vec<_> = observed.differences.iter().map(ToString::to_string).collect();
        if !warnings.is_empty() {
            warnings.push(format!("logs are missing, and what is shown is not certain; {PRUNED}"));
        }
        if size.markets == 0 {
            let first = deployment.first_block;
            warnings.push(format!("no market was created since block {first}; {PRUNED}, or begin at an earlier block"));
        }
        Ok(WatchReport {
            protocol: deployment.protocol,
            chain_id: deployment.chain_id,
            address: deployment.address,
            block: header.number,
            timestamp: header.timestamp,
            markets: size.markets,
            positions_with_debt: size.positions,
            positions: positions.iter().map(|position| self.tokens.describe(position)).collect(),
            without_price: observed.unpriced.into_iter().map(WatchedMarket::from).collect(),
            warnings,
        })
    }

    /// Discards the state and begins again.
    fn rebuild(&mut self) {
        let deployment = self.protocol.deployment().clone();
        self.protocol = deployment.protocol();
        self.stream.restart(beginning(&deployment));
    }

    /// Describes what each node answered last, for when no block arrives.
    fn node_errors(&self) -> String {
        let nodes = self.stream.health().into_iter();
        let nodes =
            nodes.map(|node| format!("{}: {}", node.name, node.last_error.unwrap_or_else(|| "nothing new".to_owned())));
        nodes.collect::<Vec<_>>().join("; ")
    }
}

const fn beginning(deployment: &Deployment) -> Cursor {
    Cursor { number: deployment.first_block.saturating_sub(1), hash: None::<B256> }
}

/// Reads what tells the protocol from another one, in the newest block of the first node that answers.
async fn identity(endpoints: &[Arc<Endpoint>], protocol: &dyn Protocol) -> eyre::Result<Vec<Answer>> {
    let mut failure = eyre!("no node is named");
    for endpoint in endpoints {
        match identity_by(endpoint, protocol).await {
            Ok(answers) => return Ok(answers),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

async fn identity_by(endpoint: &Arc<Endpoint>, protocol: &dyn Protocol) -> Result<Vec<Answer>, ChainError> {
    let header = newest_header(endpoint).await?;
    let reader = EndpointReader::new(Arc::clone(endpoint), endpoint.client().await?, UNSIGNED_ACCOUNT);
    let calls: Vec<_> = protocol.identity_calls().into_iter().map(to_call).collect();
    let answers = reader.run_each(&header, calls).await?;
    Ok(answers.into_iter().map(|call| to_answer(call.result)).collect())
}

fn foreign_log(event: &Event) -> Option<Log> {
    if let Event::Foreign(log) = event { Some(log.clone()) } else { None }
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
