//! Liquidation prices of the newest block, read as soon as its head is known, while its logs are still being fetched.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::MarketId;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, Duration, Instant},
};

use super::failover::FailoverReader;
use crate::{
    chain::Header,
    prices::{ChainReader, Prices, snapshot},
};

/// Longest time for which prices are waited for; the next block brings another chance.
const PRICE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for which prices that are being prefetched are waited for before they are read once more.
const PREFETCHED_TIMEOUT: Duration = Duration::from_millis(500);

/// The prices of a block.
#[derive(Debug, Clone)]
struct Prefetched {
    /// Hash of the block.
    block: B256,
    /// When the block's head was received.
    head_at: Instant,
    prices: Result<Arc<Prices>, ChainError>,
}

/// Reads the prices of every announced block in a task of its own.
#[derive(Debug)]
pub(super) struct PricePrefetcher {
    reader: FailoverReader,
    lens: Address,
    markets: Arc<[MarketId]>,
    newest: watch::Receiver<Option<Prefetched>>,
    /// Aborts the task when it is dropped.
    _task: JoinSet<()>,
}

impl PricePrefetcher {
    /// Starts to read the prices of these markets in every block whose head is received.
    pub(super) fn start(
        reader: FailoverReader,
        lens: Address,
        markets: Arc<[MarketId]>,
        heads: watch::Receiver<Option<Header>>,
    ) -> Self {
        let (prefetched, newest) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(prefetch(reader.clone(), lens, Arc::clone(&markets), heads, prefetched));
        Self { reader, lens, markets, newest, _task: task }
    }

    /// The prices of a block, usually prefetched, and when its head was received if it was announced. Fails when no
    /// endpoint answers within [`PRICE_TIMEOUT`].
    pub(super) async fn prices_of(&mut self, header: &Header) -> (Result<Arc<Prices>, ChainError>, Option<Instant>) {
        // The task reads the newest head when it is free, so it may have skipped this one for a later one.
        let is_of_block = |newest: &Option<Prefetched>| newest.as_ref().is_some_and(|found| found.block == header.hash);
        if let Ok(Ok(found)) = time::timeout(PREFETCHED_TIMEOUT, self.newest.wait_for(is_of_block)).await
            && let Some(Prefetched { head_at, prices, .. }) = found.clone()
        {
            return (prices, Some(head_at));
        }
        let read = snapshot(&self.reader, self.lens, header, &self.markets);
        let prices = match time::timeout(PRICE_TIMEOUT, read).await {
            Ok(prices) => prices.map(Arc::new),
            Err(_) => Err(self.reader.invalid_response(format!("no prices within {PRICE_TIMEOUT:?}"))),
        };
        (prices, None)
    }
}

async fn prefetch(
    reader: FailoverReader,
    lens: Address,
    markets: Arc<[MarketId]>,
    mut heads: watch::Receiver<Option<Header>>,
    prefetched: watch::Sender<Option<Prefetched>>,
) {
    while heads.changed().await.is_ok() {
        let Some(header) = *heads.borrow_and_update() else { continue };
        let head_at = Instant::now();
        if let Ok(prices) = time::timeout(PRICE_TIMEOUT, snapshot(&reader, lens, &header, &markets)).await {
            prefetched.send_replace(Some(Prefetched { block: header.hash, head_at, prices: prices.map(Arc::new) }));
        }
    }
}
