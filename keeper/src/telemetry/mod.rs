//! What a keeper reports to monitoring: [`Metrics`] for Prometheus and [`alerts`] for a webhook.

pub mod alerts;
pub mod metrics;

pub use self::{
    alerts::{AlertKind, AlertSender, Notice},
    metrics::Metrics,
};
