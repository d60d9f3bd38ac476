//! The keeper: follows a lending deployment on a chain, liquidates loans, and harvests staking rewards.
//!
//! ```text
//! heads + logs ──► stream ──► book ──► strategies ──► sender ──► chain
//!                 (canonical,   (exact state,  (pure:       (one owner per nonce,
//!                  reorg-safe,   ordered by     act, or a    journal, fees,
//!                  cursor)       health)        reason)      replacement, recovery)
//! ```
//!
//! - [`stream`] brings the canonical chain's blocks from endpoints that fail, lag and lie; [`math`] is the contracts'
//!   arithmetic; [`book`] is every market, position and stake, made from events alone, and [`audit`] compares it with
//!   the chain.
//! - [`prices`] reads prices and values tokens, [`strategies`] decide what is worth doing and why the rest is not.
//! - An [`intent`] goes through [`safety`] to the [`sender`]; [`store`] keeps what must survive a restart.
//! - Any part measures itself by [`record`]; [`telemetry`] serves the measurements.
//! - [`engine`] joins these parts in one task, and hands [`view`] what is to be shown.
//! - [`watch`] follows a protocol without a deployment of ours and without keys, and shows its positions.
//! - [`config`] is what an operator sets, [`control`] how a running keeper is commanded, [`cli`] the program's commands,
//!   [`report`] what they print.

pub mod alert;
pub mod amount;
pub mod api;
pub mod audit;
pub mod book;
pub mod chain;
pub mod cli;
pub mod config;
pub mod control;
mod csv;
pub mod dashboard;
pub mod date;
pub mod engine;
pub mod intent;
mod lock_file;
pub mod math;
pub mod prices;
pub mod record;
pub mod report;
pub mod routing;
pub mod safety;
pub mod sender;
pub mod shutdown;
pub mod store;
pub mod strategies;
pub mod stream;
pub mod survey;
pub mod telemetry;
pub mod view;
pub mod watch;
