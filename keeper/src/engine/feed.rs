//! Prices of the newest block, asked for as soon as its head is known: while its logs are still on their way.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::MarketId;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, Duration, Instant},
};

use super::reads::Endpoints;
use crate::{
    chain::Header,
    prices::{Prices, Reads, snapshot},
};

/// No longer than this is waited for an answer; the next block brings another chance.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was read in a block.
#[derive(Debug, Clone)]
struct Reading {
    block: B256,
    /// When its head was known.
    since: Instant,
    prices: Result<Arc<Prices>, ChainError>,
}

/// Reads prices ahead.
#[derive(Debug)]
pub(super) struct PriceFeed {
    endpoints: Endpoints,
    lens: Address,
    markets: Arc<[MarketId]>,
    newest: watch::Receiver<Option<Reading>>,
    _task: JoinSet<()>,
}

impl PriceFeed {
    /// Reads the prices of these markets in every block that is announced.
    pub(super) fn start(
        endpoints: Endpoints,
        lens: Address,
        markets: Arc<[MarketId]>,
        heads: watch::Receiver<Option<Header>>,
    ) -> Self {
        let (reading, newest) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(read_ahead(endpoints.clone(), lens, Arc::clone(&markets), heads, reading));
        Self { endpoints, lens, markets, newest, _task: task }
    }

    /// The prices of a block, which usually are there already, and since when its head was known, if it was announced.
    /// There are none when nobody answers in time.
    pub(super) async fn of(&mut self, header: &Header) -> (Result<Arc<Prices>, ChainError>, Option<Instant>) {
        // The task reads the block that was newest when it looked; a later one may have come by.
        let is_here = |reading: &Option<Reading>| reading.as_ref().is_some_and(|reading| reading.block == header.hash);
        if let Ok(Ok(reading)) = time::timeout(PATIENCE / 10, self.newest.wait_for(is_here)).await
            && let Some(Reading { since, prices, .. }) = reading.clone()
        {
            return (prices, Some(since));
        }
        let read = snapshot(&self.endpoints, self.lens, header, &self.markets);
        let prices = match time::timeout(PATIENCE, read).await {
            Ok(prices) => prices.map(Arc::new),
            Err(_) => Err(self.endpoints.error(format!("no prices within {PATIENCE:?}"))),
        };
        (prices, None)
    }
}

async fn read_ahead(
    endpoints: Endpoints,
    lens: Address,
    markets: Arc<[MarketId]>,
    mut heads: watch::Receiver<Option<Header>>,
    reading: watch::Sender<Option<Reading>>,
) {
    while heads.changed().await.is_ok() {
        let Some(header) = *heads.borrow_and_update() else { continue };
        let since = Instant::now();
        if let Ok(prices) = time::timeout(PATIENCE, snapshot(&endpoints, lens, &header, &markets)).await {
            reading.send_replace(Some(Reading { block: header.hash, since, prices: prices.map(Arc::new) }));
        }
    }
}
