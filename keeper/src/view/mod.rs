//! The view model: what a keeper shows of itself, made after every block and published through a
//! [`tokio::sync::watch`] channel.
//!
//! The engine fills one struct for each block, `BlockSnapshot`, and `ViewPublisher` makes a [`View`] of it. The HTTP API,
//! the dashboard, the metrics and the alert rules read the last published view and ask nothing else, so they never delay
//! a decision, however many clients there are.
//!
//! - `model`: the types of the view, which serialise to the API's JSON;
//! - `publisher`: owner of the view, with what has to be kept between blocks;
//! - `positions`, `operations`: the blocks made from the book, and from signers, limits and endpoints;
//! - `decisions`: the last decision about every position and reward;
//! - `ledger`, `execution`: what was sent, its outcome, what it earned and cost.
//!
//! Nothing in a view is secret: an endpoint is shown by its name, never by its URL.

mod decisions;
mod denomination;
mod execution;
mod ledger;
mod liquidatable;
mod model;
mod operations;
mod positions;
mod publisher;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    denomination::count,
    execution::{labelled, moved},
    ledger::Ledger,
    operations::{EndpointName, OperationsSnapshot, SafetySnapshot, SignerSnapshot},
    publisher::{BlockSnapshot, ViewPublisher},
};
pub use self::{
    model::{
        ActivityEntry, ActivityKind, ActivityState, AuditView, DecisionCount, DecisionView, EndpointView, HeadView,
        KeeperView, MarketView, PositionView, ProgrammeView, Readiness, SHOWN_EVENTS, SHOWN_POSITIONS, SafetyView,
        SignerView, Totals, View, WatchedAccount,
    },
    positions::position_view,
};
