//! Counters for Prometheus. No label names a client.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::primitives::B256;

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) vouchers: Counter,
    pub(crate) deposits: Counter,
    pub(crate) charged: Counter,
    pub(crate) refused: Counter,
    answers: Counter,
    tokens: Counter,
    busy_micros: Counter,
    /// What the chain was last seen to have claimed of each channel.
    claimed: Mutex<HashMap<B256, u128>>,
}

impl Metrics {
    pub(crate) fn answered(&self, tokens: u32, took: Duration) {
        self.answers.add(1);
        self.tokens.add(tokens.into());
        self.busy_micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Mean time of an answer in whole seconds, at least one.
    pub(crate) fn mean_seconds(&self) -> u64 {
        (self.busy_micros.get() / self.answers.get().max(1)).div_ceil(1_000_000).max(1)
    }

    pub(crate) fn claimed_of(&self, id: B256) -> u128 {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied().unwrap_or(0)
    }

    pub(crate) fn note_claimed(&self, id: B256, claimed: u128) {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(id, claimed);
    }

    pub(crate) fn text(&self, waiting: usize) -> String {
        let mut text = String::new();
        for (name, kind, help, value) in [
            (
                "vouchers_checked_total",
                "counter",
                "Vouchers whose signature was checked and right.",
                self.vouchers.get(),
            ),
            ("deposits_total", "counter", "Deposits sent for payers.", self.deposits.get()),
            ("charged_units_total", "counter", "Sum of charges, in the token's smallest unit.", self.charged.get()),
            ("refused_total", "counter", "Requests that got no answer.", self.refused.get()),
            ("answers_total", "counter", "Answers computed.", self.answers.get()),
            ("completion_tokens_total", "counter", "Tokens computed.", self.tokens.get()),
            ("busy_microseconds_total", "counter", "Time of the engine and of waiting for it.", self.busy_micros.get()),
            ("queue_length", "gauge", "Answers computed or waited for.", u64::try_from(waiting).unwrap_or(u64::MAX)),
        ] {
            let name = format!("plimsoll_node_{name}");
            // Writing to a string cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
        text
    }
}
