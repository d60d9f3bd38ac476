//! Metrics in Prometheus' words, made of the [`View`] when they are asked for, beside two that only whoever sends knows:
//! how fast, and how soon mined. `docs/monitoring/README.md` explains each; a test holds the two together.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text},
    metrics::{TypedMetric, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};
use tokio::sync::watch;

use super::view::{MarketView, View};

/// From a millisecond to a minute.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
const BLOCKS: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 100.0];

/// All metrics of a keeper. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    event_to_send: Histogram,
    blocks_to_mine: Histogram,
}

impl Metrics {
    /// Metrics of what is published here.
    #[must_use]
    pub fn new(views: watch::Receiver<Arc<View>>) -> Self {
        let mut registry = Registry::with_prefix("plimsoll");
        let event_to_send = Histogram::new(SECONDS);
        let blocks_to_mine = Histogram::new(BLOCKS);
        registry.register(
            "event_to_send_seconds",
            "From a new head's arrival to the broadcast of a liquidation that it led to",
            event_to_send.clone(),
        );
        registry.register(
            "blocks_to_mine",
            "From the block that a transaction was decided after to the block that it was mined in",
            blocks_to_mine.clone(),
        );
        registry.register_collector(Box::new(OfView(views)));
        Self { registry: Arc::new(registry), event_to_send, blocks_to_mine }
    }

    /// A liquidation was broadcast this long after the head that it was decided by had arrived.
    pub fn sent_after(&self, since_head: Duration) {
        self.event_to_send.observe(since_head.as_secs_f64());
    }

    /// A transaction was mined so many blocks after the one that it was decided by.
    pub fn mined_after(&self, blocks: u32) {
        self.blocks_to_mine.observe(f64::from(blocks));
    }

    /// As Prometheus reads it.
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

/// Made anew for every look, so that what is gone is gone here, too.
#[derive(Debug)]
struct OfView(watch::Receiver<Arc<View>>);

type Labels = Vec<(&'static str, String)>;

/// A metric with all its labels.
struct Metric {
    name: &'static str,
    about: &'static str,
    counts: bool,
    samples: Vec<(Labels, f64)>,
}

impl Collector for OfView {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = Arc::clone(&self.0.borrow());
        for Metric { name, about, counts, samples } in of(&view) {
            let kind = if counts { ConstCounter::<f64>::TYPE } else { ConstGauge::<f64>::TYPE };
            let mut metric = encoder.encode_descriptor(name, about, None, kind)?;
            match samples.as_slice() {
                [(labels, value)] if labels.is_empty() => put(counts, *value, metric)?,
                samples => {
                    for (labels, value) in samples {
                        put(counts, *value, metric.encode_family(labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn put(counts: bool, value: f64, encoder: MetricEncoder<'_>) -> fmt::Result {
    if counts { ConstCounter::new(value).encode(encoder) } else { ConstGauge::new(value).encode(encoder) }
}

fn of(view: &View) -> Vec<Metric> {
    let readiness = view.readiness();
    let totals = &view.totals;
    let one = |value: f64| vec![(Labels::new(), value)];
    let gauge = |name, about, samples| Metric { name, about, counts: false, samples };
    let counter = |name, about, samples| Metric { name, about, counts: true, samples };
    vec![
        gauge("ready", "1 while a new block was applied recently", one(flag(readiness.ready))),
        gauge("live", "1 while it sends, 0 in a dry run", one(flag(view.keeper.live))),
        gauge(
            "stopped",
            "1 while a limit, the breaker or the kill file keeps it from sending",
            one(flag(view.safety.stopped.is_some())),
        ),
        gauge(
            "block_age_seconds",
            "Time since the last new block was applied, by a clock that nobody can set",
            readiness.block_age_ms.into_iter().map(|ms| (Labels::new(), number(ms) / 1_000.0)).collect(),
        ),
        gauge(
            "head_block",
            "The last block that was applied",
            view.head.iter().map(|head| (Labels::new(), number(head.number))).collect(),
        ),
        gauge(
            "base_fee_wei",
            "What gas costs in that block",
            view.head.iter().map(|head| (Labels::new(), number(head.base_fee))).collect(),
        ),
        gauge("loans", "Loans by market", each_market(view, |market| Some(number(market.loans)))),
        gauge(
            "loans_under_water",
            "Loans that can be liquidated, by market",
            each_market(view, |market| Some(number(market.under_water))),
        ),
        gauge(
            "market_price_known",
            "1 while a market has a price to liquidate by",
            each_market(view, |market| Some(flag(market.price.is_ok()))),
        ),
        gauge(
            "market_borrowed",
            "Debt in loan tokens, by market",
            each_market(view, |market| decimal(&market.borrowed.exact())),
        ),
        gauge(
            "market_supplied",
            "Supply in loan tokens, by market",
            each_market(view, |market| decimal(&market.supplied.exact())),
        ),
        gauge(
            "positions_at_risk",
            "Positions below the watched health, by what was decided about them",
            view.decisions
                .iter()
                .map(|count| {
                    let acts = if count.acts { "yes" } else { "no" };
                    (vec![("acts", acts.to_owned()), ("reason", count.reason.clone())], number(count.positions))
                })
                .collect(),
        ),
        counter("liquidated_loans", "Loans that were liquidated", one(number(totals.liquidated))),
        counter("harvested_accounts", "Accounts whose rewards were harvested", one(number(totals.harvested))),
        counter("transactions", "Transactions that were mined", one(number(totals.transactions))),
        counter("reverted_transactions", "Transactions that were mined and did nothing", one(number(totals.reverted))),
        gauge(
            "profit_coins",
            "What was earned before gas, in the chain's coin",
            decimal(&totals.profit.exact()).map(one).unwrap_or_default(),
        ),
        counter(
            "gas_coins",
            "What gas cost, in the chain's coin",
            decimal(&totals.gas.exact()).map(one).unwrap_or_default(),
        ),
        gauge(
            "lost_today_coins",
            "What gas cost today (UTC) for transactions that reverted or were cancelled",
            decimal(&view.safety.lost_today.exact()).map(one).unwrap_or_default(),
        ),
        gauge("breaker_reverts", "Reverts that the breaker counts now", one(number(view.safety.reverts))),
        gauge(
            "signer_balance_coins",
            "What a signer has, in the chain's coin",
            view.signers
                .iter()
                .filter_map(|signer| {
                    Some((vec![("role", signer.role.clone())], decimal(&signer.balance.as_ref()?.exact())?))
                })
                .collect(),
        ),
        gauge(
            "signer_pending_transactions",
            "Transactions of a signer on their way",
            view.signers.iter().map(|signer| (vec![("role", signer.role.clone())], number(signer.pending))).collect(),
        ),
        gauge(
            "endpoint_healthy",
            "1 while a node is trusted with questions",
            each_node(view, |node| Some(flag(node.healthy))),
        ),
        gauge("endpoint_head_block", "A node's newest block", each_node(view, |node| node.head.map(number))),
        gauge(
            "endpoint_latency_seconds",
            "How long a node takes to answer",
            each_node(view, |node| node.latency_ms.map(|ms| number(ms) / 1_000.0)),
        ),
        counter("rpc_calls", "Questions to a node", each_node(view, |node| Some(number(node.calls)))),
        counter(
            "rpc_errors",
            "Questions that a node did not answer well",
            each_node(view, |node| Some(number(node.errors))),
        ),
        counter("audited_positions", "Positions that were compared with the chain", one(number(view.audit.compared))),
        counter(
            "audit_mismatches",
            "Entries of the book that differed from the chain",
            one(number(view.audit.mismatches)),
        ),
    ]
}

fn each_market(view: &View, value: impl Fn(&MarketView) -> Option<f64>) -> Vec<(Labels, f64)> {
    let label = |market: &MarketView| vec![("market", market.name.clone()), ("id", market.id.to_string())];
    view.markets.iter().filter_map(|market| Some((label(market), value(market)?))).collect()
}

fn each_node(view: &View, value: impl Fn(&super::view::EndpointView) -> Option<f64>) -> Vec<(Labels, f64)> {
    let nodes = view.endpoints.iter();
    nodes.filter_map(|node| Some((vec![("endpoint", node.name.clone())], value(node)?))).collect()
}

const fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// Metrics are floating-point numbers; nothing is reckoned with them here.
#[allow(clippy::cast_precision_loss, reason = "a metric is an approximation by nature")]
const fn number(value: u64) -> f64 {
    value as f64
}

fn decimal(digits: &str) -> Option<f64> {
    digits.parse().ok()
}
