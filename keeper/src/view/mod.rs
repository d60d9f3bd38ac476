//! The view model: what a keeper shows of itself, made after every block and published through a
//! [`tokio::sync::watch`] channel.
//!
//! The engine fills one struct for each block, `BlockSnapshot`, and `ViewPublisher` makes a [`View`] of it. The HTTP API,
//! the dashboard, the metrics and the alert rules read the last published view and ask nothing else, so they never delay
//! a decision, however many clients there are.
//!
//! - `model`: the types of the view, which serialise to the API's JSON;
//! - `publisher`: owner of the view, with what has to be kept between blocks;
//! - `positions`, `vaults`, `operations`: the blocks made from the book, and from signers, limits and endpoints;
//! - `governance`: what is scheduled, decoded in words;
//! - `orders`: borrowers' orders whose triggers are met;
//! - `row`: positions below the watched health factor as numbers, which become text only where a client asks for them;
//! - `words`: how decisions are put into words;
//! - `decisions`: the last decision about every position and reward, and earlier ones about positions;
//! - `liquidatable`, `problems`: how long loans have been liquidatable, and what needs the operator's attention;
//! - `account`: what is known of one account;
//! - `query`: search, filter, order and paging of positions and activity;
//! - `ledger`, `execution`: what was sent, its outcome, what it earned and cost;
//! - `rivals`: liquidations by others.
//!
//! Nothing in a view is secret: an endpoint is shown by its name, never by its URL.

mod account;
mod decisions;
mod denomination;
mod execution;
mod governance;
mod jobs;
mod ledger;
mod liquidatable;
mod model;
mod operations;
mod orders;
mod positions;
mod problems;
mod publisher;
mod query;
mod rivals;
mod row;
mod vaults;
mod words;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use self::{
    account::{AccountView, MarketHistory, PastDecision},
    decisions::{DecisionHistory, DecisionSpan, RecordedDecision},
    denomination::Denomination,
    governance::{EndedView, GovernanceView, OppositionView, ScheduledState, ScheduledView},
    jobs::{JobView, JobsView, NodeHarvestView, VouchersView},
    model::{
        ActivityEntry, ActivityKind, ActivityState, AuditView, DayProfit, DecisionCount, DecisionView, EndpointView,
        HeadView, KeeperView, MarketView, OrderView, PositionView, ProgrammeView, ProtocolView, Readiness,
        SHOWN_EVENTS, SafetyView, SignerView, Totals, TriggeredOrders, VaultMarketView, VaultView, View,
        WatchedAccount,
    },
    positions::position_view,
    problems::{Problem, ProblemLevel},
    query::{ActivityQuery, PositionsQuery, QueryError, Selection, SortKey},
    row::{PositionRow, RowMarket},
    words::Words,
};
pub(crate) use self::{
    denomination::count,
    execution::{labelled, moved},
    ledger::{Ledger, place},
    operations::{EndpointName, OperationsSnapshot, SafetySnapshot, SignerSnapshot},
    publisher::{BlockSnapshot, ViewPublisher},
};
