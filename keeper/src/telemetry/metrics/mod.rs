//! Metrics for Prometheus: those computed from the [`View`] at each scrape, the [measurements](crate::record) of the
//! keeper's parts, and the standard ones of a process.
//!
//! They are served in the OpenMetrics text format or in Prometheus' own, whichever the client asks for.
//! `docs/reference/metrics.md` lists every metric; a test compares the list with what is exported.

mod format;
mod process;
mod view;

use std::{fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, encoding::text, registry::Registry};
use tokio::sync::watch;

pub use self::format::MetricsFormat;
use self::view::ViewCollector;
use crate::{record, view::View};

/// First part of the name of every metric but those of the process.
const PREFIX: &str = "plimsoll_keeper";

/// All metrics of a keeper.
#[derive(Clone)]
pub struct Metrics {
    registries: Arc<[Registry; 2]>,
}

impl Metrics {
    /// Creates metrics of the views that are published on a channel.
    #[must_use]
    pub fn new(views: watch::Receiver<Arc<View>>) -> Self {
        let mut keeper = Registry::with_prefix(PREFIX);
        record::register(&mut keeper);
        keeper.register_collector(Box::new(ViewCollector(views)));
        let mut process = Registry::default();
        process.register_collector(Box::new(ProcessCollector));
        Self { registries: Arc::new([keeper, process]) }
    }

    /// Returns all metrics in a text format.
    #[must_use]
    pub fn text(&self, format: MetricsFormat) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for registry in self.registries.iter() {
            let _ = text::encode_registry(&mut text, registry);
        }
        let _ = text::encode_eof(&mut text);
        format.of_open_metrics(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Reads the metrics of the process at each scrape.
#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        process::metrics().iter().try_for_each(|metric| metric.encode(&mut encoder))
    }
}
