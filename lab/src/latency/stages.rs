//! The times that a keeper measures itself, by stage, from its metrics.

use std::collections::BTreeMap;

use plimsoll_testkit::keeper::Keeper;

/// Name of the histogram.
const HISTOGRAM: &str = "plimsoll_keeper_stage_seconds";

/// Sums and counts of the stages so far.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Stages(BTreeMap<String, [f64; 2]>);

impl Stages {
    /// Reads them from a keeper.
    ///
    /// # Errors
    /// When the keeper does not answer.
    pub(super) async fn read(keeper: &Keeper) -> eyre::Result<Self> {
        Ok(Self::parse(&keeper.text("/metrics").await?))
    }

    fn parse(metrics: &str) -> Self {
        let mut stages = BTreeMap::<String, [f64; 2]>::new();
        for line in metrics.lines() {
            let Some(rest) = line.strip_prefix(HISTOGRAM) else { continue };
            let place = if rest.starts_with("_sum") { 0 } else { 1 };
            if !rest.starts_with("_sum") && !rest.starts_with("_count") {
                continue;
            }
            let stage = rest.split('"').nth(1);
            let value = rest.rsplit(' ').next().and_then(|value| value.parse().ok());
            if let (Some(stage), Some(value)) = (stage, value) {
                stages.entry(stage.to_owned()).or_default()[place] = value;
            }
        }
        Self(stages)
    }

    /// Returns the mean time of each stage since an earlier reading, in milliseconds, rounded to a hundredth.
    pub(super) fn means_since(&self, before: &Self) -> BTreeMap<String, f64> {
        let mean = |(stage, [sum, count]): (&String, &[f64; 2])| {
            let [sum_before, count_before] = before.0.get(stage).copied().unwrap_or_default();
            let count = count - count_before;
            let millis = (sum - sum_before) / count * 1_000.0;
            (count > 0.0).then(|| (stage.clone(), (millis * 100.0).round() / 100.0))
        };
        self.0.iter().filter_map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_a_stage_is_of_what_was_measured_in_between() {
        let read = |sum: f64, count: u64| {
            Stages::parse(&format!(
                "# TYPE plimsoll_keeper_stage_seconds histogram\n\
                 plimsoll_keeper_stage_seconds_sum{{stage=\"sign\"}} {sum}\n\
                 plimsoll_keeper_stage_seconds_count{{stage=\"sign\"}} {count}\n\
                 plimsoll_keeper_stage_seconds_bucket{{le=\"0.5\",stage=\"sign\"}} {count}\n\
                 plimsoll_keeper_other_sum 7\n"
            ))
        };
        let means = read(0.25, 6).means_since(&read(0.05, 2));
        assert_eq!(means, BTreeMap::from([("sign".to_owned(), 50.0)]));
        assert!(read(0.25, 6).means_since(&read(0.25, 6)).is_empty());
    }
}
