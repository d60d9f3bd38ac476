//! Work that no decision waits for: the rivals that won races, what they taught, and why transactions of ours reverted.

use alloy::primitives::B256;
use eyre::WrapErr;
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::{failover::FailoverReader, races::LostRace};
use crate::{
    chain::Header,
    intent::{Intent, Scope, Subject},
    prices::{Call, ChainReader},
    safety::Contracts,
    store::Notes,
    strategies::{
        Revert,
        bids::{RaceRecord, RaceResult},
        gas::intrinsic_gas,
    },
    stream::StreamReader,
};

/// Name under which the store keeps what races taught.
const RACES: &str = "races";

/// The engine's background tasks. Dropping it aborts them.
#[derive(Debug)]
pub(super) struct Background {
    tasks: JoinSet<Option<BackgroundResult>>,
    reader: StreamReader,
    notes: Notes,
}

/// Result of a background task.
#[derive(Debug)]
pub(super) enum BackgroundResult {
    /// A rival won a race that an intent of ours had entered.
    RaceLost {
        /// Strategy and market of the intent.
        scope: Scope,
        /// What the rival offered.
        result: RaceResult,
    },
    /// A transaction of ours reverted because the market had moved: these may be tried again at once.
    MarketMoved(Vec<Subject>),
}

impl Background {
    pub(super) fn new(reader: StreamReader, notes: Notes) -> Self {
        Self { tasks: JoinSet::new(), reader, notes }
    }

    /// Finds out who won a race, and what for.
    pub(super) fn find_winner(&mut self, race: LostRace, contracts: Contracts) {
        let reader = self.reader.clone();
        self.tasks.spawn(async move {
            match race.find_winner(&reader, &contracts).await {
                Ok(result) => result.map(|result| BackgroundResult::RaceLost { scope: race.scope, result }),
                Err(error) => {
                    warn!(block = race.blocks.1, %error, "winner of a race not found");
                    None
                }
            }
        });
    }

    /// Writes what races taught to the store.
    pub(super) fn save_races(&mut self, record: &RaceRecord) {
        let Ok(text) = serde_json::to_string(record) else { return };
        let notes = self.notes.clone();
        self.tasks.spawn(async move {
            if let Err(error) = notes.write(RACES, text).await {
                error!(%error, "races not written");
            }
            None
        });
    }

    /// Finds out whether a transaction of ours reverted only because the market had moved: whether the same call succeeds in
    /// the block before, or fails for lack of liquidity there, too. `reader` makes calls from the account that sent it.
    pub(super) fn explain_revert(&mut self, intent: Intent, parent: B256, reader: FailoverReader) {
        self.tasks.spawn(async move {
            let gas = intent.gas_limit.saturating_sub(intrinsic_gas(&intent.data));
            let call = Call::trial(intent.to, intent.data, gas);
            let parent = Header { hash: parent, ..Header::default() };
            let result = reader.run_each(&parent, [call]).await.ok()?.pop()?.result;
            let has_moved = result.map_or_else(|error| Revert::decode(&error).is_lack_of_liquidity(), |_| true);
            has_moved.then(|| BackgroundResult::MarketMoved(intent.purpose.subjects()))
        });
    }

    /// Waits for the next task to end, and returns its result if it has one; `None` at once while there are no tasks.
    /// May be dropped at any point.
    pub(super) async fn next(&mut self) -> Option<Option<BackgroundResult>> {
        Some(self.tasks.join_next().await?.ok().flatten())
    }

    /// Waits for all tasks to end.
    pub(super) async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Reads what races taught from the store; nothing where none was written. Fails where it cannot be read.
pub(super) async fn load_races(notes: &Notes) -> eyre::Result<RaceRecord> {
    match notes.read(RACES).await? {
        Some(text) => serde_json::from_str(&text).wrap_err("the races in the store's journal"),
        None => Ok(RaceRecord::default()),
    }
}
