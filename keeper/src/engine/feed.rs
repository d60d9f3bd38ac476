//! Prices of the newest block, asked for as soon as its head is known: while its logs are still on their way.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::MarketId;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, Duration},
};

use super::reads::Endpoints;
use crate::{
    chain::Header,
    prices::{Prices, Reads, snapshot},
};

/// No longer than this is waited for an answer; the next block brings another chance.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was read, and in which block.
type Reading = Option<(B256, Result<Arc<Prices>, ChainError>)>;

/// Reads prices ahead.
#[derive(Debug)]
pub(super) struct PriceFeed {
    endpoints: Endpoints,
    lens: Address,
    markets: Arc<[MarketId]>,
    newest: watch::Receiver<Reading>,
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

    /// The prices of a block. Usually they are there already. Fails when nobody answers in time.
    pub(super) async fn of(&mut self, header: &Header) -> Result<Arc<Prices>, ChainError> {
        let read = async {
            // The task reads the block that was newest when it looked; a later one may have come by.
            let is_here = |reading: &Reading| reading.as_ref().is_some_and(|(block, _)| *block == header.hash);
            if let Ok(Ok(reading)) = time::timeout(PATIENCE / 10, self.newest.wait_for(is_here)).await
                && let Some((_, prices)) = reading.clone()
            {
                return prices;
            }
            snapshot(&self.endpoints, self.lens, header, &self.markets).await.map(Arc::new)
        };
        match time::timeout(PATIENCE, read).await {
            Ok(prices) => prices,
            Err(_) => Err(self.endpoints.error(format!("no prices within {PATIENCE:?}"))),
        }
    }
}

async fn read_ahead(
    endpoints: Endpoints,
    lens: Address,
    markets: Arc<[MarketId]>,
    mut heads: watch::Receiver<Option<Header>>,
    reading: watch::Sender<Reading>,
) {
    while heads.changed().await.is_ok() {
        let Some(header) = *heads.borrow_and_update() else { continue };
        let prices = time::timeout(PATIENCE, snapshot(&endpoints, lens, &header, &markets)).await;
        if let Ok(prices) = prices {
            reading.send_replace(Some((header.hash, prices.map(Arc::new))));
        }
    }
}
