//! The keeper over HTTP: the [dashboard](crate::dashboard), its data as JSON, CSV and server-sent events, metrics and
//! health probes – all made from one [`View`](crate::view::View), which the engine publishes after every block.
//!
//! ```text
//! engine ──► watch<Arc<View>> ──┬─► api: pages  /api/v1/…  /metrics  /livez  /readyz
//!                               └─► telemetry::alerts ──► queue in the store ──► webhook
//! ```
//!
//! A request never queries the chain, and nothing that decides or sends waits for a request. `openapi.json` in this folder
//! is the schema of the answers, which the server serves; a test holds the answers to it.

mod csv;
mod error;
mod server;
mod sse;
mod v1;

pub use self::server::Server;
