//! How measured gas differs from a table that was kept: what a reviewer of a change wants to see.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::GasReport;

/// Every figure that changed, appeared or vanished.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct GasDifference {
    /// Gas or bytes before and now, by the figure's name; `None` where there was, or is, none.
    pub changed: BTreeMap<String, (Option<u64>, Option<u64>)>,
}

impl GasDifference {
    /// Compares a kept table with a new one.
    #[must_use]
    pub fn between(kept: &GasReport, measured: &GasReport) -> Self {
        let (before, now) = (figures(kept), figures(measured));
        let names = before.keys().chain(now.keys());
        let changed = names.map(|name| (name.clone(), (before.get(name).copied(), now.get(name).copied())));
        Self { changed: changed.filter(|(_, (before, now))| before != now).collect() }
    }
}

/// Our own figures by name; Morpho's and others' do not change with our code.
fn figures(report: &GasReport) -> BTreeMap<String, u64> {
    let ops = report.ops.iter().map(|op| (op.op.clone(), op.plimsoll));
    let batches = report.batch.iter().map(|(loans, batch)| (format!("liquidate {loans} loans"), batch.total));
    let rewards = report.rewards.ops.iter().map(|op| (format!("rewards: {}", op.op), op.plimsoll));
    let harvests = report.rewards.harvest.iter();
    let harvests = harvests.map(|(accounts, harvest)| (format!("rewards: harvest {accounts} accounts"), harvest.total));
    let sizes = report.sizes.iter().map(|(name, bytes)| (format!("bytes: {name}"), *bytes as u64));
    ops.chain(batches).chain(rewards).chain(harvests).chain(sizes).collect()
}

impl fmt::Display for GasDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changed.is_empty() {
            return write!(f, "no gas figure changed");
        }
        writeln!(f, "| figure | before | now | difference |\n|---|---:|---:|---:|")?;
        let or_dash = |figure: Option<u64>| figure.map_or_else(|| "–".to_owned(), |figure| figure.to_string());
        for (name, (before, now)) in &self.changed {
            let difference = match (before, now) {
                (Some(before), Some(now)) => format!("{:+}", i128::from(*now) - i128::from(*before)),
                _ => String::new(),
            };
            writeln!(f, "| {name} | {} | {} | {difference} |", or_dash(*before), or_dash(*now))?;
        }
        Ok(())
    }
}
