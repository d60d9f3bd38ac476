//! The keeper over HTTP: the [dashboard](crate::dashboard), its data as JSON and as server-sent events, metrics and
//! health probes – all made from one [`View`](crate::view::View), which the engine publishes after every block.
//!
//! ```text
//! engine ──► watch<Arc<View>> ──┬─► api: /  /api/…  /metrics  /livez  /readyz
//!                               └─► telemetry::alerts ──► queue in the store ──► webhook
//! ```
//!
//! A request never queries the chain, and nothing that decides or sends waits for a request.

mod server;
mod sse;

pub use self::server::Server;
