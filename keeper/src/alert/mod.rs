//! What an alert is: its kind, its severity, and the body that a receiver takes. Configuration names these, and
//! [`telemetry::alerts`](crate::telemetry::alerts) raises and delivers them.

mod template;

use serde::{Deserialize, Serialize};

pub(crate) use self::template::TargetValues;
pub use self::template::Template;

/// The kind of condition that an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// The health factor of a watched account fell below its threshold.
    HealthBelowLine,
    /// A liquidation left bad debt: debt without collateral.
    BadDebt,
    /// No new block was applied for the configured time.
    StalledHead,
    /// A signer's balance fell below the threshold.
    LowBalance,
    /// The circuit breaker, the loss cap or the kill file prevents sending.
    Stopped,
    /// An operator has paused the keeper, or one of its markets.
    Paused,
    /// Loans of a market have been liquidatable for longer than the configured time.
    LoansStayLiquidatable,
    /// A signer cannot send, for instance because its nonce differs from the journal's.
    SignerProblem,
    /// The book differs from the chain.
    AuditMismatch,
    /// Somebody copies pending liquidations and offers a little more.
    Copied,
    /// Most races are lost to transactions that offered less.
    OrderFlow,
    /// An operation or a proposal of governance waits for its time.
    OperationScheduled,
    /// An operation or a proposal of governance can be executed.
    OperationDue,
    /// The keeper could not start, or ended although nobody had asked it to.
    KeeperFailed,
    /// The database that keepers share does not answer.
    DatabaseUnreachable,
    /// A keeper that shares the database neither lives nor was shut down.
    MemberGone,
    /// No keeper has the lease on a signer.
    NobodySigns,
    /// The lease on the signers was lost.
    LeaseLost,
    /// The lease on the signers was taken over from another keeper.
    LeaseTaken,
    /// Another keeper's transactions hold up a market's loans for longer than the configured time.
    HeldByPeer,
}

/// How urgent an alert is, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing needs to be done.
    Info,
    /// Something will need attention.
    Warning,
    /// The keeper does not do its work, or money is at risk.
    Critical,
}

impl AlertKind {
    /// Returns the name of the kind as in the JSON body.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::HealthBelowLine => "health_below_line",
            Self::BadDebt => "bad_debt",
            Self::StalledHead => "stalled_head",
            Self::LowBalance => "low_balance",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::LoansStayLiquidatable => "loans_stay_liquidatable",
            Self::SignerProblem => "signer_problem",
            Self::AuditMismatch => "audit_mismatch",
            Self::Copied => "copied",
            Self::OrderFlow => "order_flow",
            Self::OperationScheduled => "operation_scheduled",
            Self::OperationDue => "operation_due",
            Self::KeeperFailed => "keeper_failed",
            Self::DatabaseUnreachable => "database_unreachable",
            Self::MemberGone => "member_gone",
            Self::NobodySigns => "nobody_signs",
            Self::LeaseLost => "lease_lost",
            Self::LeaseTaken => "lease_taken",
            Self::HeldByPeer => "held_by_peer",
        }
    }

    /// Returns the severity of a kind unless the configuration has another.
    pub(crate) const fn default_severity(self) -> Severity {
        match self {
            Self::Paused | Self::OrderFlow | Self::LeaseTaken => Severity::Info,
            Self::HealthBelowLine
            | Self::BadDebt
            | Self::LowBalance
            | Self::LoansStayLiquidatable
            | Self::Copied
            | Self::OperationScheduled
            | Self::OperationDue
            | Self::MemberGone
            | Self::LeaseLost
            | Self::HeldByPeer => Severity::Warning,
            Self::StalledHead
            | Self::Stopped
            | Self::SignerProblem
            | Self::AuditMismatch
            | Self::KeeperFailed
            | Self::DatabaseUnreachable
            | Self::NobodySigns => Severity::Critical,
        }
    }
}

impl Severity {
    /// Returns the name of the severity as in the JSON body.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Form of an alert's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertFormat {
    /// Every field by its name, for programs.
    Json,
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of a Discord channel.
    Discord,
    /// The method `sendMessage` of a Telegram bot.
    Telegram,
    /// An event of `PagerDuty`'s Events API v2.
    PagerDuty,
}

/// A notice as it is queued and delivered: what a template can say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) kind: String,
    pub(crate) severity: Severity,
    pub(crate) subject: String,
    pub(crate) over: bool,
    pub(crate) text: String,
    pub(crate) network: String,
    pub(crate) chain_id: u64,
    pub(crate) block: Option<u64>,
    pub(crate) at: u64,
}
