//! What the world sees of a keeper: a page, its data, metrics, health checks, alerts – all made of one [`View`] that is
//! published after every block.
//!
//! ```text
//! engine ──► watch<Arc<View>> ──┬─► server: /  /api/…  /metrics  /livez  /readyz
//!                               └─► alerts ──► store's queue ──► webhook
//! ```
//!
//! Nothing here asks the chain, and nothing that decides or sends waits for anything here.

pub mod alerts;
mod live;
pub mod metrics;
pub mod page;
mod server;
mod shutdown;
pub mod survey;
pub mod view;

pub use self::{
    alerts::{AlertKind, AlertSender, Notice},
    metrics::Metrics,
    server::Server,
    shutdown::Shutdown,
    survey::{DebtPicture, Survey},
    view::View,
};
pub use crate::amount::{Amount, Balance, Health, Price};
