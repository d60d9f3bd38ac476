//! Lending protocols as a keeper sees them: state from logs, exact health, and what a liquidation does.
//!
//! Pure: no network, no clock, no tasks. A [`Protocol`] says which contract's logs it wants and which calls it needs in a
//! block; the caller fetches both and hands them in. So the same code runs over a node, a recording or a test.
//!
//! ```text
//! logs of a block ──► apply ──► state ──► positions_below: exact health, liquidation price,
//! calls of a block ─► observe ──┘         what a liquidation repays, seizes and brings
//! reorg ────────────► undo_to            liquidatable: lots, from which a keeper makes transactions
//! ```

pub mod aave_v3;
pub mod compound_v2;
mod deployments;
mod liquidation_logs;
mod lot;
pub mod morpho_blue;
mod protocol;
mod rows;
pub mod tripwire;

pub use deployments::{Deployment, ProtocolKind, known_deployments, known_deployments_on};
pub use lot::{Expected, LeastBonus, Loan, Lot, leading_digits};
pub use protocol::{
    Answer, ApplyError, Block, Call, CallFailure, FurtherBalance, HEALTHY, IdentityError, Liquidation, LogFilter,
    MAX_UNDO, NATIVE_COIN, Observed, PositionSummary, Protocol, Size, TotalsDifference, UndoError, UnpricedMarket,
    wrapped,
};
pub use rows::{RestoreError, Row};
