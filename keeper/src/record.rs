//! Measurements that parts of the keeper take of themselves: how long stages and RPC requests take, and what became of
//! intents.
//!
//! They are kept once for the whole process, as is usual for Prometheus, so that a part needs no handle to record one:
//!
//! ```
//! use plimsoll_keeper::record::{self, Stage};
//!
//! let timer = record::stage(Stage::Decide);
//! // … decide …
//! drop(timer);
//! ```
//!
//! [`Metrics`](crate::telemetry::Metrics) serves them.

use std::{
    sync::{LazyLock, atomic::AtomicU64},
    time::{Duration, Instant},
};

use alloy::primitives::U256;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::amount::Amount;

/// Upper bounds of the latency buckets: from half a millisecond to a minute.
const SECONDS: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Reasons of dropped intents that alert rules ask for. Their series exist from the start: of one that begins with the first
/// drop, Prometheus sees no increase.
const ALERTED_DROPS: [&str; 3] = ["insufficient_funds", "unaffordable", "held_by_peer"];
/// Upper bounds of the inclusion delay buckets.
const BLOCKS: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 100.0];

static MEASUREMENTS: LazyLock<Measurements> = LazyLock::new(Measurements::new);

/// A stage of the way from a head to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the liquidation prices of a block, after the block was applied.
    Prices,
    /// Deciding about all loans and rewards of a block, with the simulations.
    Decide,
    /// Waiting for what another protocol's decisions are based on, after its logs of a block were applied.
    ReadProtocol,
    /// Deciding about another protocol's positions in a block.
    DecideProtocol,
    /// Simulating candidate calls.
    Trial,
    /// Signing the transactions of one turn.
    Sign,
    /// Writing the journal entries that a broadcast waits for.
    Journal,
    /// Broadcasting a transaction, until the first pool has accepted it.
    Broadcast,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Prices => "prices",
            Self::Decide => "decide",
            Self::ReadProtocol => "read_protocol",
            Self::DecideProtocol => "decide_protocol",
            Self::Trial => "trial",
            Self::Sign => "sign",
            Self::Journal => "journal",
            Self::Broadcast => "broadcast",
        }
    }
}

/// Measures a stage until it is dropped.
#[derive(Debug)]
#[must_use = "the stage ends when the timer is dropped"]
pub struct StageTimer {
    stage: Stage,
    start: Instant,
}

impl Drop for StageTimer {
    fn drop(&mut self) {
        let label = StageLabel { stage: self.stage.name() };
        MEASUREMENTS.stages.get_or_create(&label).observe(self.start.elapsed().as_secs_f64());
    }
}

/// Begins a stage, which ends when the timer is dropped.
pub fn stage(stage: Stage) -> StageTimer {
    StageTimer { stage, start: Instant::now() }
}

/// Makes an RPC request, and records how long it took and whether it failed. A batch counts as one request of the method
/// that it has most of. One that is dropped before it is answered is not recorded.
pub async fn rpc<T, E>(method: &'static str, request: impl IntoFuture<Output = Result<T, E>>) -> Result<T, E> {
    let start = Instant::now();
    let answer = request.await;
    let label = MethodLabel { method };
    MEASUREMENTS.rpc.get_or_create(&label).observe(start.elapsed().as_secs_f64());
    // The series exists from the first request on, so that a rate of failures can be computed from the first failure.
    MEASUREMENTS.rpc_failures.get_or_create(&label).inc_by(u64::from(answer.is_err()));
    answer
}

/// Records the time from the arrival of a head to the broadcast of a liquidation that was decided on it.
pub fn head_to_broadcast(since_head: Duration) {
    MEASUREMENTS.head_to_broadcast.observe(since_head.as_secs_f64());
}

/// Records the number of blocks from the one that a transaction was decided on to the one that includes it.
pub fn inclusion_delay(blocks: u32) {
    MEASUREMENTS.inclusion_delay.observe(f64::from(blocks));
}

/// Counts a transaction that was mined and reverted, by the reason.
pub fn reverted(reason: &'static str) {
    MEASUREMENTS.reverts.get_or_create(&ReasonLabel { reason }).inc();
}

/// Counts loans that another liquidator liquidated while a transaction of this keeper for them was pending.
pub fn lost_races(loans: u64) {
    MEASUREMENTS.lost_races.inc_by(loans);
}

/// Counts an intent that was given up before it was mined, by the reason.
pub fn dropped(reason: &'static str) {
    MEASUREMENTS.dropped.get_or_create(&ReasonLabel { reason }).inc();
}

/// Adds the part of a mined transaction's fee that was above the base fee, in wei.
pub fn tip(wei: U256) {
    // Metrics are approximate by nature; nothing is calculated with the result.
    if let Ok(whole) = Amount::of_wei(wei, "").exact().parse::<f64>() {
        MEASUREMENTS.tips.inc_by(whole);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Creates a latency histogram for each label.
#[derive(Debug, Clone)]
struct Latency;

impl MetricConstructor<Histogram> for Latency {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

struct Measurements {
    stages: Family<StageLabel, Histogram, Latency>,
    rpc: Family<MethodLabel, Histogram, Latency>,
    rpc_failures: Family<MethodLabel, Counter>,
    head_to_broadcast: Histogram,
    inclusion_delay: Histogram,
    reverts: Family<ReasonLabel, Counter>,
    lost_races: Counter,
    dropped: Family<ReasonLabel, Counter>,
    tips: Counter<f64, AtomicU64>,
}

impl Measurements {
    fn new() -> Self {
        Self {
            stages: Family::new_with_constructor(Latency),
            rpc: Family::new_with_constructor(Latency),
            rpc_failures: Family::default(),
            head_to_broadcast: Histogram::new(SECONDS),
            inclusion_delay: Histogram::new(BLOCKS),
            reverts: Family::default(),
            lost_races: Counter::default(),
            dropped: Family::default(),
            tips: Counter::default(),
        }
    }
}

/// Adds all measurements to a registry. The encoder appends `_total` to the names of counters.
pub(crate) fn register(registry: &mut Registry) {
    let Measurements {
        stages,
        rpc,
        rpc_failures,
        head_to_broadcast,
        inclusion_delay,
        reverts,
        lost_races,
        dropped,
        tips,
    } = &*MEASUREMENTS;
    for reason in ALERTED_DROPS {
        drop(dropped.get_or_create(&ReasonLabel { reason }));
    }
    registry.register(
        "stage_seconds",
        "Time that a stage of the way from a head to a transaction takes, by stage",
        stages.clone(),
    );
    registry.register("rpc_request_seconds", "Time that an RPC request takes, by method", rpc.clone());
    registry.register(
        "rpc_failures",
        "RPC requests that were not answered or answered with an error, by method",
        rpc_failures.clone(),
    );
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
    registry.register(
        "reverts",
        "Transactions that were mined and reverted, by reason, since the start",
        reverts.clone(),
    );
    registry.register(
        "lost_races",
        "Loans that another liquidator took while a transaction of this keeper for them was pending, since the start",
        lost_races.clone(),
    );
    registry.register(
        "dropped_intents",
        "Intents that were given up before they were mined, by reason, since the start",
        dropped.clone(),
    );
    registry.register(
        "tips_eth",
        "Fees above the base fee that mined transactions paid, since the start",
        tips.clone(),
    );
}
