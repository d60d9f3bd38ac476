//! The blocks of the view that change without a block: signers, limits on sending, endpoints.

use alloy::primitives::{Address, B256, U256};

use super::{
    denomination::count,
    ledger::Ledger,
    model::{AuditView, EndpointView, SafetyView, SignerView},
};
use crate::{
    amount::Amount,
    config::Config,
    intent::Scope,
    stream::{EndpointHealth, EndpointState},
};

/// State of everything besides the book.
#[derive(Debug)]
pub(crate) struct OperationsSnapshot<'a> {
    /// Timestamp of the newest block, in seconds.
    pub(crate) timestamp: u64,
    /// Transactions and sums.
    pub(crate) ledger: &'a Ledger,
    /// Result of the audit.
    pub(crate) audit: &'a AuditView,
    /// Every account that signs, with its balance and next nonce.
    pub(crate) signers: Vec<SignerSnapshot>,
    /// Limits on sending.
    pub(crate) safety: SafetySnapshot,
    /// Every endpoint that is read from, in the order of the configuration.
    pub(crate) endpoints: Vec<EndpointHealth>,
    /// Names of what the operator has paused.
    pub(crate) paused: Vec<String>,
    /// Markets in which another keeper's claims keep this one from sending, each with the number of blocks for which they
    /// have.
    pub(crate) held_markets: Vec<(B256, u64)>,
}

/// State of a signer.
#[derive(Debug, Clone)]
pub(crate) struct SignerSnapshot {
    /// What it signs: liquidations, harvests or both.
    pub(crate) role: String,
    /// Address of the signer.
    pub(crate) address: Address,
    /// Balance in wei, once it was read.
    pub(crate) balance: Option<U256>,
    /// Nonce of its next new transaction.
    pub(crate) next_nonce: u64,
    /// Number of pending transactions.
    pub(crate) pending: usize,
    /// Whether it gave up because the journal cannot be written.
    pub(crate) has_failed: bool,
}

/// How far the limits on sending are used up.
#[derive(Debug, Clone, Default)]
pub(crate) struct SafetySnapshot {
    /// Whether the kill file exists.
    pub(crate) is_killed: bool,
    /// Scopes whose circuit breakers are open, each with the seconds until it closes.
    pub(crate) open_breakers: Vec<(Scope, u64)>,
    /// Scopes whose loss of the day has reached its cap.
    pub(crate) capped_scopes: Vec<Scope>,
    /// What transactions that cost more than they brought lost today, in wei.
    pub(crate) lost_wei: U256,
    /// Number of reverts within the window of the circuit breaker with most of them.
    pub(crate) reverts: usize,
}

/// Name and role of an endpoint in the configuration.
#[derive(Debug, Clone)]
pub(crate) struct EndpointName {
    /// Name, which stands for the URL.
    pub(crate) name: String,
    /// Role, such as `read`.
    pub(crate) role: String,
}

/// Shows a signer. It has a problem if it failed, or if its balance is below the configured minimum.
pub(super) fn signer_view(config: &Config, signer: &SignerSnapshot) -> SignerView {
    let (coin, minimum) = (&config.chain.coin, config.safety.min_balance);
    let problem = if signer.has_failed {
        Some("the journal cannot be written; repair that and start the keeper again".to_owned())
    } else {
        let low = signer.balance.filter(|balance| *balance < minimum);
        let amount = |wei| Amount::of_wei(wei, coin);
        low.map(|low| {
            format!("it has {}, less than the {} it is to keep; send {coin} to it", amount(low), amount(minimum))
        })
    };
    SignerView {
        role: signer.role.clone(),
        address: signer.address,
        balance: signer.balance.map(|wei| Amount::of_wei(wei, coin)),
        nonce: Some(signer.next_nonce),
        pending: count(signer.pending),
        low: signer.balance.is_some_and(|balance| balance < config.alerts.low_balance),
        problem,
    }
}

/// Shows the limits on sending. Of several reasons to send nothing the most deliberate is shown.
pub(super) fn safety_view(config: &Config, safety: &SafetySnapshot, paused: &[String]) -> SafetyView {
    let (coin, settings) = (&config.chain.coin, &config.safety);
    let stopped = if safety.is_killed {
        Some(format!("the kill file {} exists", settings.kill_file.display()))
    } else if safety.lost_wei >= settings.loss_cap_per_day {
        let (lost, cap) = (Amount::of_wei(safety.lost_wei, coin), Amount::of_wei(settings.loss_cap_per_day, coin));
        Some(format!("{lost} were lost today (UTC), and the cap is {cap}"))
    } else {
        stopped_in_part(config, safety)
    };
    SafetyView {
        stopped,
        paused: paused.to_vec(),
        lost_today: Amount::of_wei(safety.lost_wei, coin),
        loss_cap: Amount::of_wei(settings.loss_cap_per_day, coin),
        reverts: count(safety.reverts),
        breaker_reverts: settings.breaker_reverts,
    }
}

/// Says which strategies in which markets send nothing, while all others go on.
fn stopped_in_part(config: &Config, safety: &SafetySnapshot) -> Option<String> {
    let name = |scope: &Scope| format!("{} in {}", scope.strategy, config.name_of(scope.market));
    let open = safety.open_breakers.iter();
    let open = open.map(|(scope, secs)| format!("{}, whose circuit breaker is open for {secs} s more", name(scope)));
    let capped = safety.capped_scopes.iter();
    let capped = capped.map(|scope| format!("{}, whose loss of today (UTC) has reached its cap", name(scope)));
    let parts: Vec<_> = open.chain(capped).collect();
    (!parts.is_empty()).then(|| format!("for {}; everything else goes on", parts.join("; for ")))
}

/// Shows an endpoint by its name in the configuration.
pub(super) fn endpoint_view(health: &EndpointHealth, named: &EndpointName) -> EndpointView {
    let problem = match &health.state {
        EndpointState::Healthy => None,
        EndpointState::Demoted { reason, .. } | EndpointState::Excluded { reason } => Some(reason.clone()),
        EndpointState::Disconnected => {
            Some(health.last_error.clone().unwrap_or_else(|| "it is not connected".to_owned()))
        }
    };
    EndpointView {
        name: named.name.clone(),
        role: named.role.clone(),
        healthy: health.state == EndpointState::Healthy,
        head: health.head,
        latency_ms: health
            .latency
            .as_ref()
            .map(|latency| u64::try_from(latency.average.as_millis()).unwrap_or(u64::MAX)),
        calls: health.answered + health.failed,
        errors: health.failed + health.false_answers,
        problem,
    }
}
