//! Metrics that are computed from the newest [`View`] at each scrape, so that the series of a removed market or endpoint
//! end.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{TypedMetric, counter::ConstCounter, gauge::ConstGauge},
};
use tokio::sync::watch;

use crate::{
    sender::fleet::LeaseStatus,
    view::{EndpointView, MarketView, ScheduledState, VaultView, View},
};

/// Basis points of the whole.
const BPS: f64 = 10_000.0;

/// Computes metrics from the newest view.
#[derive(Debug)]
pub(super) struct ViewCollector(pub(super) watch::Receiver<Arc<View>>);

pub(super) type Labels = Vec<(&'static str, String)>;

/// A metric with the samples of all its label sets.
#[derive(Debug)]
pub(super) struct Metric {
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    samples: Vec<(Labels, f64)>,
}

impl Collector for ViewCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = Arc::clone(&self.0.borrow());
        metrics_of(&view).iter().try_for_each(|metric| metric.encode(&mut encoder))
    }
}

impl Metric {
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = if self.is_counter { ConstCounter::<f64>::TYPE } else { ConstGauge::<f64>::TYPE };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        match self.samples.as_slice() {
            [(labels, value)] if labels.is_empty() => encode_sample(self.is_counter, *value, metric)?,
            samples => {
                for (labels, value) in samples {
                    encode_sample(self.is_counter, *value, metric.encode_family(labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_sample(is_counter: bool, value: f64, encoder: MetricEncoder<'_>) -> fmt::Result {
    if is_counter { ConstCounter::new(value).encode(encoder) } else { ConstGauge::new(value).encode(encoder) }
}

pub(super) fn gauge(name: &'static str, help: &'static str, samples: Vec<(Labels, f64)>) -> Metric {
    Metric { name, help, is_counter: false, samples }
}

/// Returns a counter; the encoder appends `_total` to its name.
pub(super) fn counter(name: &'static str, help: &'static str, samples: Vec<(Labels, f64)>) -> Metric {
    Metric { name, help, is_counter: true, samples }
}

fn metrics_of(view: &View) -> Vec<Metric> {
    let groups = [
        state(view),
        markets(view),
        vaults(view),
        governance(view),
        jobs(view),
        results(view),
        signers(view),
        fleet(view),
        endpoints(view),
        audit(view),
    ];
    groups.into_iter().flatten().collect()
}

fn state(view: &View) -> Vec<Metric> {
    let readiness = view.readiness();
    let build = vec![
        ("version", view.keeper.version.clone()),
        ("chain_id", view.keeper.chain_id.to_string()),
        ("network", view.keeper.network.clone()),
    ];
    vec![
        gauge("build_info", "Always 1; the labels say which program serves which deployment", vec![(build, 1.0)]),
        gauge("ready", "1 if a new block was applied recently, else 0", single(flag(readiness.ready))),
        gauge("live", "1 if transactions are sent, 0 in a dry run", single(flag(view.keeper.live))),
        gauge(
            "stopped",
            "1 while the kill file or the daily loss cap stops sending, or a circuit breaker or its own cap that of a strategy in a \
             market",
            single(flag(view.safety.stopped.is_some())),
        ),
        gauge(
            "paused",
            "Markets in which an operator has paused the keeper; a pause of everything counts once more",
            single(number(crate::view::count(view.safety.paused.len()))),
        ),
        gauge(
            "block_age_seconds",
            "Time since the newest block was applied, by a monotonic clock",
            optional(readiness.block_age_ms.map(|ms| number(ms) / 1_000.0)),
        ),
        gauge(
            "head_block",
            "Number of the newest block that was applied",
            optional(view.head.as_ref().map(|head| number(head.number))),
        ),
        gauge(
            "base_fee_wei",
            "Base fee per gas of that block",
            optional(view.head.as_ref().map(|head| number(head.base_fee))),
        ),
    ]
}

fn markets(view: &View) -> Vec<Metric> {
    vec![
        gauge("loans", "Open loans, by market", per_market(view, |market| Some(number(market.loans)))),
        gauge(
            "liquidatable_loans",
            "Loans with a health factor below 1, by market",
            per_market(view, |market| Some(number(market.liquidatable))),
        ),
        gauge(
            "market_price_known",
            "1 if the market has a price to liquidate at, else 0",
            per_market(view, |market| Some(flag(market.price.is_some()))),
        ),
        gauge(
            "market_borrowed_tokens",
            "Debt of all borrowers in whole loan tokens, by market",
            per_market(view, |market| decimal(&market.borrowed.exact())),
        ),
        gauge(
            "market_supplied_tokens",
            "Assets of all suppliers in whole loan tokens, by market",
            per_market(view, |market| decimal(&market.supplied.exact())),
        ),
        gauge(
            "market_price",
            "Liquidation price in whole loan tokens for a whole collateral token, by market",
            per_market(view, |market| decimal(&market.price?.exact()?)),
        ),
        gauge(
            "market_utilisation_ratio",
            "Borrowed part of the supplied assets, by market",
            per_market(view, |market| Some(f64::from(market.utilisation_bps) / BPS)),
        ),
        gauge(
            "market_borrow_apr_ratio",
            "Borrow rate for a year without compounding, by market",
            per_market(view, |market| Some(number(market.borrow_rate_bps) / BPS)),
        ),
        gauge(
            "market_supply_apr_ratio",
            "Supply rate for a year without compounding, by market",
            per_market(view, |market| Some(number(market.supply_rate_bps) / BPS)),
        ),
        gauge(
            "market_bad_debt_tokens",
            "Debt of liquidatable loans beyond the value of their collateral, in whole loan tokens, by market",
            per_market(view, |market| decimal(&market.bad_debt.exact())),
        ),
        gauge(
            "market_surge_room_tokens",
            "The most that the surge limit lets be borrowed at once, in whole loan tokens, by market with a limit",
            per_market(view, |market| decimal(&market.surge_room.as_ref()?.exact())),
        ),
        gauge(
            "liquidatable_blocks",
            "Blocks since the loan that has been liquidatable longest became so, by market; 0 without such a loan",
            per_market(view, |market| Some(number(market.liquidatable_blocks))),
        ),
        gauge(
            "orders",
            "Borrowers' orders at the guard, by market",
            per_market(view, |market| Some(number(market.orders))),
        ),
        gauge(
            "triggered_orders",
            "Borrowers' orders whose triggers are met and about which something was decided",
            single(number(view.orders.total)),
        ),
        gauge(
            "positions_at_risk",
            "Positions below the watched health factor, by the latest decision about them",
            view.decisions
                .iter()
                .map(|count| {
                    let acts = if count.acts { "yes" } else { "no" };
                    (vec![("acts", acts.to_owned()), ("reason", count.reason.clone())], number(count.positions))
                })
                .collect(),
        ),
    ]
}

fn vaults(view: &View) -> Vec<Metric> {
    let per_vault = |value: &dyn Fn(&VaultView) -> Option<f64>| {
        let labels = |vault: &VaultView| vec![("vault", vault.name.clone()), ("address", vault.address.to_string())];
        view.vaults.iter().filter_map(|vault| Some((labels(vault), value(vault)?))).collect()
    };
    let flagged = |vault: &VaultView| vault.markets.iter().filter(|market| market.flag.is_some()).count();
    vec![
        gauge(
            "vault_total_tokens",
            "Assets of a vault's depositors in whole tokens, by vault",
            per_vault(&|vault| decimal(&vault.total.exact())),
        ),
        gauge(
            "vault_idle_tokens",
            "Assets that a vault has not supplied, in whole tokens, by vault",
            per_vault(&|vault| decimal(&vault.idle.exact())),
        ),
        gauge(
            "vault_supply_apr_ratio",
            "What a vault's depositors earn in a year without compounding, before its fee, by vault",
            per_vault(&|vault| Some(number(vault.supply_rate_bps) / BPS)),
        ),
        gauge(
            "vault_flagged_markets",
            "Markets that a vault leaves, by vault",
            per_vault(&|vault| Some(number(crate::view::count(flagged(vault))))),
        ),
    ]
}

fn governance(view: &View) -> Vec<Metric> {
    let Some(governance) = &view.governance else { return Vec::new() };
    let scheduled = |state: ScheduledState| {
        let count = governance.scheduled.iter().filter(|scheduled| scheduled.state == state).count();
        (vec![("state", state.name().to_owned())], number(crate::view::count(count)))
    };
    vec![
        gauge(
            "scheduled_operations",
            "Operations in the manager and queued proposals, by state",
            vec![scheduled(ScheduledState::Waiting), scheduled(ScheduledState::Due)],
        ),
        gauge(
            "unlisted_operations",
            "Operations and queued proposals that are not listed since the first block, because there were too many or they \
             were too large",
            single(number(governance.left_out)),
        ),
    ]
}

fn jobs(view: &View) -> Vec<Metric> {
    let Some(jobs) = &view.jobs else { return Vec::new() };
    let state = |name: &str, count: u64| (vec![("state", name.to_owned())], number(count));
    vec![
        gauge(
            "jobs",
            "Jobs of nodes that have not ended, by what they wait for",
            vec![state("open", jobs.open), state("drawn", jobs.drawn), state("submitted", jobs.submitted)],
        ),
        gauge("registered_nodes", "Nodes that were ever registered", single(number(jobs.nodes))),
    ]
}

fn results(view: &View) -> Vec<Metric> {
    let (totals, safety) = (&view.totals, &view.safety);
    vec![
        counter("liquidated_loans", "Loans that were liquidated", single(number(totals.liquidated))),
        counter("executed_orders", "Borrowers' orders that were executed", single(number(totals.executed))),
        counter("harvested_accounts", "Accounts whose rewards were harvested", single(number(totals.harvested))),
        counter("transactions", "Transactions that were mined", single(number(totals.transactions))),
        counter("reverted_transactions", "Transactions that were mined and reverted", single(number(totals.reverted))),
        gauge(
            "profit_eth",
            "Profit before gas, valued in the chain's native currency",
            optional(decimal(&totals.profit.exact())),
        ),
        counter("gas_spent_eth", "Fees paid for gas", optional(decimal(&totals.gas.exact()))),
        gauge(
            "gas_lost_today_eth",
            "Loss of today's (UTC) transactions that cost more than they brought",
            optional(decimal(&safety.lost_today.exact())),
        ),
        gauge(
            "circuit_breaker_reverts",
            "Reverts within the window of the circuit breaker",
            single(number(safety.reverts)),
        ),
    ]
}

fn signers(view: &View) -> Vec<Metric> {
    let labels = |role: &str| vec![("role", role.to_owned())];
    let balances = view
        .signers
        .iter()
        .filter_map(|signer| Some((labels(&signer.role), decimal(&signer.balance.as_ref()?.exact())?)));
    let pending = view.signers.iter().map(|signer| (labels(&signer.role), number(signer.pending)));
    vec![
        gauge("signer_balance_eth", "Balance of a signer's account, by role", balances.collect()),
        gauge("signer_pending_transactions", "Pending transactions of a signer, by role", pending.collect()),
    ]
}

/// Metrics of keepers that share a database; none where this one shares none.
fn fleet(view: &View) -> Vec<Metric> {
    let Some(fleet) = &view.fleet else { return Vec::new() };
    let own = fleet.members.iter().find(|member| member.is_self);
    let holds = |lease: &LeaseStatus| own.is_some_and(|own| own.id == lease.holder) && lease.expires_in_ms > 0;
    let is_own = |signer| view.signers.iter().any(|own| own.address == signer);
    let leases = fleet.leases.iter().filter(|lease| is_own(lease.signer));
    let leases = leases.map(|lease| (vec![("signer", lease.signer.to_string())], flag(holds(lease))));
    let live = fleet.members.iter().filter(|member| member.is_live).count();
    vec![
        gauge(
            "fleet_database_reachable",
            "1 if the database that keepers share answered the last heartbeat",
            single(flag(fleet.is_reachable)),
        ),
        gauge("fleet_members", "Keepers that share the database and live", single(number(crate::view::count(live)))),
        gauge(
            "fleet_members_gone",
            "Keepers that share the database, and neither live nor were shut down",
            single(number(crate::view::count(fleet.gone().len()))),
        ),
        gauge("fleet_lease_held", "1 if this keeper has the lease on the signer, 0 in standby", leases.collect()),
    ]
}

fn endpoints(view: &View) -> Vec<Metric> {
    vec![
        gauge(
            "endpoint_healthy",
            "1 if requests are sent to the endpoint, 0 while it is demoted",
            per_endpoint(view, |endpoint| Some(flag(endpoint.healthy))),
        ),
        gauge(
            "endpoint_head_block",
            "Number of the newest block of the endpoint",
            per_endpoint(view, |endpoint| endpoint.head.map(number)),
        ),
        gauge(
            "endpoint_latency_seconds",
            "Response time of the endpoint",
            per_endpoint(view, |endpoint| endpoint.latency_ms.map(|ms| number(ms) / 1_000.0)),
        ),
        counter(
            "rpc_calls",
            "RPC requests to the endpoint",
            per_endpoint(view, |endpoint| Some(number(endpoint.calls))),
        ),
        counter(
            "rpc_errors",
            "RPC requests to the endpoint that failed",
            per_endpoint(view, |endpoint| Some(number(endpoint.errors))),
        ),
    ]
}

fn audit(view: &View) -> Vec<Metric> {
    vec![
        counter(
            "audited_positions",
            "Positions of the book that were compared with the chain",
            single(number(view.audit.compared)),
        ),
        counter(
            "audit_mismatches",
            "Entries of the book that differed from the chain",
            single(number(view.audit.mismatches)),
        ),
    ]
}

fn single(value: f64) -> Vec<(Labels, f64)> {
    optional(Some(value))
}

pub(super) fn optional(value: Option<f64>) -> Vec<(Labels, f64)> {
    value.into_iter().map(|value| (Labels::new(), value)).collect()
}

fn per_market(view: &View, value: impl Fn(&MarketView) -> Option<f64>) -> Vec<(Labels, f64)> {
    let labels = |market: &MarketView| vec![("market", market.name.clone()), ("id", market.id.to_string())];
    view.markets.iter().filter_map(|market| Some((labels(market), value(market)?))).collect()
}

fn per_endpoint(view: &View, value: impl Fn(&EndpointView) -> Option<f64>) -> Vec<(Labels, f64)> {
    let labels = |endpoint: &EndpointView| vec![("endpoint", endpoint.name.clone())];
    view.endpoints.iter().filter_map(|endpoint| Some((labels(endpoint), value(endpoint)?))).collect()
}

const fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// Converts to the floating-point numbers of Prometheus; nothing is calculated with the result here.
#[allow(clippy::cast_precision_loss, reason = "metrics are approximate by nature")]
pub(super) const fn number(value: u64) -> f64 {
    value as f64
}

fn decimal(digits: &str) -> Option<f64> {
    digits.parse().ok()
}
