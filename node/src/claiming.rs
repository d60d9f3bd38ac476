//! When charges are claimed: published for keepers, or by the node itself.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::B256;
use plimsoll_channels::claims::{self, MAX_BATCHES, MAX_ROWS, Published};

use crate::gate::{Node, now};

/// Claims that are due.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    published: Mutex<Vec<claims::Batch>>,
    /// Since when a channel's claim is published.
    since: Mutex<HashMap<B256, u64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// Publishes or claims what is due: much, or of a payer who is leaving. The latter the node always claims itself, and
    /// what keepers have not collected in time.
    pub(crate) async fn claim_due(&self) -> eyre::Result<()> {
        self.chain.state(B256::ZERO).await?;
        let (mut own, mut published) = (Vec::new(), Vec::new());
        let rules = &self.config.claims;
        for channel in self.store.channels()? {
            if channel.charged == 0 || self.metrics.claimed_of(channel.id) >= channel.charged {
                locked(&self.claims.since).remove(&channel.id);
                continue;
            }
            let state = self.chain.state(channel.id).await?;
            self.metrics.note_claimed(channel.id, state.claimed);
            let unclaimed = channel.charged.min(state.balance).saturating_sub(state.claimed);
            let is_leaving = unclaimed > 0 && state.withdraw_requested_at > 0;
            if unclaimed < rules.min.0 && !is_leaving {
                locked(&self.claims.since).remove(&channel.id);
                continue;
            }
            let since = *locked(&self.claims.since).entry(channel.id).or_insert_with(now);
            let is_late = now() >= since.saturating_add(rules.patience_seconds);
            if !rules.publish || is_leaving || is_late {
                own.push(channel);
            } else if published.len() < MAX_ROWS * MAX_BATCHES {
                published.push(channel);
            }
        }
        let batches = self.chain.sign_claims(&published)?;
        *locked(&self.claims.published) = batches;
        if !own.is_empty() {
            let hashes = self.chain.claim(&own).await?;
            tracing::info!(channels = own.len(), ?hashes, "claimed");
        }
        Ok(())
    }

    /// What keepers may send.
    pub(crate) fn published(&self) -> Published {
        Published {
            version: claims::VERSION,
            chain_id: self.config.chain.chain_id,
            channels: self.chain.address,
            batches: locked(&self.claims.published).clone(),
        }
    }
}
