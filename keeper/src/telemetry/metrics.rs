//! Metrics in Prometheus' text format, computed from the [`View`] at each scrape, plus two histograms that the engine
//! feeds: the time from a head to a broadcast, and the blocks from a decision to inclusion.
//!
//! `docs/reference/metrics.md` lists every metric; a test compares the list with what is exported.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text},
    metrics::{TypedMetric, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};
use tokio::sync::watch;

use crate::view::{EndpointView, MarketView, View};

/// First part of every metric's name.
const PREFIX: &str = "plimsoll_keeper";
/// Upper bounds of the latency buckets: from a millisecond to a minute.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Upper bounds of the inclusion delay buckets.
const BLOCKS: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 100.0];

/// All metrics of a keeper. Clones share their histograms.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    head_to_broadcast: Histogram,
    inclusion_delay: Histogram,
}

impl Metrics {
    /// Creates metrics of the views that are published on a channel.
    #[must_use]
    pub fn new(views: watch::Receiver<Arc<View>>) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let head_to_broadcast = Histogram::new(SECONDS);
        let inclusion_delay = Histogram::new(BLOCKS);
        registry.register(
            "head_to_broadcast_seconds",
            "Time from the arrival of a new head to the broadcast of a liquidation decided on it",
            head_to_broadcast.clone(),
        );
        registry.register(
            "inclusion_delay_blocks",
            "Blocks from the one that a transaction was decided on to the one that includes it",
            inclusion_delay.clone(),
        );
        registry.register_collector(Box::new(ViewCollector(views)));
        Self { registry: Arc::new(registry), head_to_broadcast, inclusion_delay }
    }

    /// Records the time from the arrival of a head to the broadcast of a liquidation that was decided on it.
    pub fn observe_broadcast(&self, since_head: Duration) {
        self.head_to_broadcast.observe(since_head.as_secs_f64());
    }

    /// Records the number of blocks from the one that a transaction was decided on to the one that includes it.
    pub fn observe_inclusion(&self, blocks: u32) {
        self.inclusion_delay.observe(f64::from(blocks));
    }

    /// Returns all metrics in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Computes metrics from the newest view at each scrape, so that the series of a removed market or endpoint end.
#[derive(Debug)]
struct ViewCollector(watch::Receiver<Arc<View>>);

type Labels = Vec<(&'static str, String)>;

/// A metric with the samples of all its label sets.
struct Metric {
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    samples: Vec<(Labels, f64)>,
}

impl Collector for ViewCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = Arc::clone(&self.0.borrow());
        for Metric { name, help, is_counter, samples } in metrics_of(&view) {
            let kind = if is_counter { ConstCounter::<f64>::TYPE } else { ConstGauge::<f64>::TYPE };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            match samples.as_slice() {
                [(labels, value)] if labels.is_empty() => encode_sample(is_counter, *value, metric)?,
                samples => {
                    for (labels, value) in samples {
                        encode_sample(is_counter, *value, metric.encode_family(labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn encode_sample(is_counter: bool, value: f64, encoder: MetricEncoder<'_>) -> fmt::Result {
    if is_counter { ConstCounter::new(value).encode(encoder) } else { ConstGauge::new(value).encode(encoder) }
}

fn gauge(name: &'static str, help: &'static str, samples: Vec<(Labels, f64)>) -> Metric {
    Metric { name, help, is_counter: false, samples }
}

/// Returns a counter; the encoder appends `_total` to its name.
fn counter(name: &'static str, help: &'static str, samples: Vec<(Labels, f64)>) -> Metric {
    Metric { name, help, is_counter: true, samples }
}

fn metrics_of(view: &View) -> Vec<Metric> {
    let groups = [state(view), markets(view), results(view), signers(view), endpoints(view), audit(view)];
    groups.into_iter().flatten().collect()
}

fn state(view: &View) -> Vec<Metric> {
    let readiness = view.readiness();
    vec![
        gauge("ready", "1 if a new block was applied recently, else 0", single(flag(readiness.ready))),
        gauge("live", "1 if transactions are sent, 0 in a dry run", single(flag(view.keeper.live))),
        gauge(
            "stopped",
            "1 while a limit, the circuit breaker or the kill file prevents sending",
            single(flag(view.safety.stopped.is_some())),
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
            per_market(view, |market| Some(flag(market.price.is_ok()))),
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

fn results(view: &View) -> Vec<Metric> {
    let (totals, safety) = (&view.totals, &view.safety);
    vec![
        counter("liquidated_loans", "Loans that were liquidated", single(number(totals.liquidated))),
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
            "Fees paid today (UTC) for transactions that reverted or were cancelled",
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

fn optional(value: Option<f64>) -> Vec<(Labels, f64)> {
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
const fn number(value: u64) -> f64 {
    value as f64
}

fn decimal(digits: &str) -> Option<f64> {
    digits.parse().ok()
}
