//! Watching: a protocol's positions as of each block, from nodes alone. No configuration, no deployment of ours, no keys.
//!
//! ```text
//! identity ──► the contract is the protocol, or an error that says what was read
//! stream ────► logs ──► protocol's state (reorg-safe) ──► calls of the newest block ──► report
//!    ▲                                                        │
//!    └──── other logs, from the next block on ◄───────────────┘  (where the protocol discovers accounts first)
//! ```
//!
//! Nothing is guessed: the totals of the state are compared with those on chain in every block, a market without a price is
//! listed with the reason, and a token without decimals is shown in its smallest units.

mod proceeds;
mod tokens;

use std::sync::Arc;

use alloy::primitives::U256;
use eyre::eyre;
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_protocols::{Deployment, Observed, PositionSummary, Protocol};
use tokio::time::{Duration, timeout};
use tracing::warn;

pub use self::proceeds::Sales;
use self::{proceeds::Estimator, tokens::Tokens};
use crate::{
    chain::Header,
    engine::{PRUNED, ProtocolError, ProtocolFollower},
    prices::UNSIGNED_ACCOUNT,
    report::watch::{WatchReport, WatchedMarket, WatchedNet, WatchedPosition},
};

/// Time without any step from any node, before the first report, after which watching fails.
const TIMEOUT: Duration = Duration::from_secs(60);

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
    follower: ProtocolFollower,
    tokens: Tokens,
    /// Computes what liquidations bring, or why that is not known.
    estimator: Result<Estimator, String>,
    /// Symbol of the chain's coin.
    coin: String,
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
    /// Checks that the contract is the protocol, and begins to follow it. `sales` say where collateral may be sold.
    ///
    /// # Errors
    /// When no node answers, or when the contract is another one.
    pub async fn start(endpoints: Vec<Endpoint>, deployment: Deployment, sales: Sales) -> eyre::Result<Self> {
        let endpoints = endpoints.into_iter().map(Arc::new).collect();
        let follower = ProtocolFollower::start(endpoints, deployment, UNSIGNED_ACCOUNT, None).await?;
        let coin = sales.coin.clone();
        let estimator = Estimator::new(sales);
        Ok(Self { follower, tokens: Tokens::default(), estimator, coin, has_reported: false })
    }

    /// Returns the protocol's state.
    #[must_use]
    pub fn protocol(&self) -> &dyn Protocol {
        self.follower.protocol()
    }

    /// Waits for the next newest block and returns what is to be shown of it. A block that cannot be read is left out, except
    /// the first.
    ///
    /// # Errors
    /// When no node gives anything within a minute before the first report, or when the logs are not those of the protocol.
    pub async fn next(&mut self, selection: Selection) -> eyre::Result<WatchReport> {
        loop {
            let step = if self.has_reported {
                self.follower.next_step().await
            } else {
                let step = timeout(TIMEOUT, self.follower.next_step()).await;
                step.map_err(|_| eyre!("no node provided a block for {} s; {}", TIMEOUT.as_secs(), self.node_errors()))?
            };
            let report = match self.follower.process(step).await {
                Ok(None) => continue,
                Ok(Some((header, observed))) => self.report(&header, observed, selection).await,
                Err(error @ ProtocolError::PartlyRead(_)) => {
                    warn!(%error, "block not shown");
                    continue;
                }
                Err(ProtocolError::NotRead(error)) => Err(error),
                Err(error @ ProtocolError::Unknown(_)) => return Err(error.into()),
            };
            match report {
                Ok(report) => {
                    self.has_reported = true;
                    return Ok(report);
                }
                Err(error) if self.has_reported => warn!(%error, "block not shown"),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn report(
        &mut self,
        header: &Header,
        observed: Observed,
        selection: Selection,
    ) -> Result<WatchReport, ChainError> {
        let positions = self.follower.protocol().positions_below(selection.below, selection.limit);
        let tokens = positions.iter().flat_map(|position| {
            let further = position.further.iter().map(|balance| balance.token);
            further.chain([position.collateral_token, position.debt_token])
        });
        self.tokens.read(self.follower.reader(), header, tokens).await?;
        if let Ok(estimator) = &mut self.estimator {
            estimator.refresh(self.follower.reader(), header, &positions).await?;
        }
        let protocol = self.follower.protocol();
        let (deployment, size) = (protocol.deployment(), protocol.size());
        let mut warnings: Vec<_> = observed.differences.iter().map(ToString::to_string).collect();
        if !warnings.is_empty() {
            warnings.push(format!("logs are missing, and what is shown is not certain; {PRUNED}"));
        }
        if observed.pending > 0 {
            warnings.push(format!("{} balances could not be read, and their accounts are left out", observed.pending));
        }
        if size.markets == 0 {
            let first = deployment.first_block;
            warnings.push(format!("no market is known since block {first}; {PRUNED}, or begin at an earlier block"));
        }
        Ok(WatchReport {
            protocol: deployment.protocol,
            chain_id: deployment.chain_id,
            address: deployment.address,
            block: header.number,
            timestamp: header.timestamp,
            markets: size.markets,
            positions_with_debt: size.positions,
            positions: positions.iter().map(|position| self.describe(header, position)).collect(),
            without_price: observed.unpriced.into_iter().map(WatchedMarket::from).collect(),
            warnings,
        })
    }

    fn describe(&self, header: &Header, position: &PositionSummary) -> WatchedPosition {
        let mut described = self.tokens.describe(position);
        let gas = self.follower.protocol().liquidation_gas();
        let estimate = match &self.estimator {
            Ok(estimator) => estimator.estimate(header, gas, position).map_err(str::to_owned),
            Err(reason) => Err(reason.clone()),
        };
        match estimate {
            Ok(estimate) => {
                let proceeds = self.tokens.amount(position.debt_token, estimate.proceeds);
                described.after_gas =
                    Some(WatchedNet::new(proceeds, estimate.gas_wei, estimate.net_wei, self.coin.clone()));
            }
            Err(reason) => described.after_gas_unknown = Some(reason),
        }
        described
    }

    /// Describes what each node answered last, for when no block arrives.
    fn node_errors(&self) -> String {
        let nodes = self.follower.stream().health().into_iter();
        let nodes =
            nodes.map(|node| format!("{}: {}", node.name, node.last_error.unwrap_or_else(|| "nothing new".to_owned())));
        nodes.collect::<Vec<_>>().join("; ")
    }
}
