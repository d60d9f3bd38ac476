//! What the view knows of one account.

use alloy::primitives::{Address, B256};
use serde::Serialize;

use super::{
    decisions::DecisionSpan,
    model::{ActivityEntry, DecisionView, MarketView, PositionView, View, WatchedAccount},
    query::QueryError,
};

/// An account with everything that is known of it.
#[derive(Debug, Clone, Serialize)]
pub struct AccountView {
    /// The account.
    pub account: Address,
    /// Its positions below the watched health factor.
    pub positions: Vec<PositionView>,
    /// Decisions about its positions, by market.
    pub history: Vec<MarketHistory>,
    /// Where the configuration watches it.
    pub watched: Vec<WatchedAccount>,
    /// Activity about its loans, the newest first.
    pub activity: Vec<ActivityEntry>,
}

/// Decisions about a position in a market since the start of the process.
#[derive(Debug, Clone, Serialize)]
pub struct MarketHistory {
    /// Market id.
    pub market: B256,
    /// Name of the market.
    pub market_name: String,
    /// Decisions, the newest first.
    pub decisions: Vec<PastDecision>,
}

/// What was decided about a position on some blocks in a row.
#[derive(Debug, Clone, Serialize)]
pub struct PastDecision {
    /// First of these blocks.
    pub since_block: u64,
    /// Last of these blocks.
    pub until_block: u64,
    /// Whether a transaction included it.
    pub acts: bool,
    /// Stable machine-readable reason, as in [`DecisionView::reason`](super::DecisionView::reason).
    pub reason: &'static str,
    /// The reason on the last of these blocks as a sentence with figures.
    pub text: String,
}

impl View {
    /// Returns what is known of an account, which is given as text. Fails if it is no address, or nothing is known of it.
    pub fn account(&self, text: &str) -> Result<AccountView, QueryError> {
        let expected = "it is an address: 0x and 40 hexadecimal digits".to_owned();
        let account: Address = text.parse().map_err(|_| QueryError::InvalidParameter {
            name: "account",
            value: text.to_owned(),
            expected,
        })?;
        let rows = self.at_risk.iter().filter(|row| row.account == account);
        let history = self.history.of(account).into_iter().filter_map(|(id, spans)| {
            let market = self.markets.iter().find(|market| market.id == id.0)?;
            let decisions = spans.iter().map(|span| market.past_decision(span)).collect();
            Some(MarketHistory { market: id.0, market_name: market.name.clone(), decisions })
        });
        let found = AccountView {
            account,
            positions: rows.map(super::PositionRow::view).collect(),
            history: history.collect(),
            watched: self.watched_accounts.iter().filter(|watched| watched.account == account).cloned().collect(),
            activity: self.timeline.iter().filter(|entry| entry.borrowers.contains(&account)).cloned().collect(),
        };
        let AccountView { positions, history, watched, activity, .. } = &found;
        if positions.is_empty() && history.is_empty() && watched.is_empty() && activity.is_empty() {
            return Err(QueryError::UnknownAccount { account, below: self.keeper.watch_below.to_string() });
        }
        Ok(found)
    }
}

impl MarketView {
    fn past_decision(&self, span: &DecisionSpan) -> PastDecision {
        let DecisionView { block: until_block, acts, text, .. } = span.last.view(&self.words);
        let (_, reason) = span.last.reason();
        PastDecision { since_block: span.since_block, until_block, acts, reason, text }
    }
}
