//! What a keeper reports to monitoring: [`Metrics`] for Prometheus, made from the view and from what parts
//! [record](crate::record), and [`alerts`] for people and their tools.

pub mod alerts;
pub mod metrics;

pub use self::{
    alerts::{AlertSender, Notice},
    metrics::{Metrics, MetricsFormat},
};
pub use crate::alert::{AlertKind, Severity};
