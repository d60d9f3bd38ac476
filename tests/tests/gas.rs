//! Gas is part of behaviour: every change shows in review, and the promised limits are kept.

use std::fs;

use plimsoll_lab::gas::{self, GasReport};
use plimsoll_testkit::workspace::workspace;

/// The snapshot, and the variable that makes the test write a new one.
const SNAPSHOT: &str = "lab/gas.json";
const RENEW: &str = "cargo lab gas --json > lab/gas.json";

/// The most gas of each call, relative to the same call on Morpho Blue.
const PROMISED_RATIOS: [(&str, f64); 8] = [
    ("supply", 0.75),
    ("borrow", 0.75),
    ("repay", 0.75),
    ("withdraw", 0.74),
    ("withdrawCollateral", 0.76),
    ("accrue", 0.68),
    ("supplyCollateral", 0.98),
    ("liquidate", 0.80),
];
/// The most gas of each further loan in a batch of 40.
const PROMISED_MARGINAL: f64 = 13_000.0;

/// The most gas of staking, claiming and each further account in a harvest of 50.
const PROMISED_REWARDS: [(&str, u64); 2] = [("stake", 85_000), ("claim", 63_000)];
const PROMISED_HARVEST_MARGINAL: f64 = 22_000.0;

#[tokio::test(flavor = "multi_thread")]
async fn gas_equals_the_snapshot_and_is_within_the_promised_limits() -> eyre::Result<()> {
    let kept: GasReport = serde_json::from_str(&fs::read_to_string(workspace()?.root().join(SNAPSHOT))?)?;
    let measured = gas::run().await?;
    assert_eq!(measured, kept, "\ngas changed; if it is meant to, run `{RENEW}`");

    for (name, promised) in PROMISED_RATIOS {
        let op = measured.ops.iter().find(|op| op.op == name).expect("every verb is measured");
        assert!(op.ratio <= promised, "{name} costs {} of Morpho's, {promised} is promised", op.ratio);
    }
    let batch = measured.batch.get(&40).expect("a batch of 40 is measured");
    assert!(batch.marginal <= PROMISED_MARGINAL, "each further loan costs {}", batch.marginal);
    for (name, promised) in PROMISED_REWARDS {
        let op = measured.rewards.ops.iter().find(|op| op.op == name).expect("staking and claiming are measured");
        assert!(op.plimsoll <= promised, "{name} costs {}, {promised} is promised", op.plimsoll);
    }
    let harvest = measured.rewards.harvest.get(&50).expect("a harvest of 50 is measured");
    assert!(harvest.marginal <= PROMISED_HARVEST_MARGINAL, "each further account costs {}", harvest.marginal);
    Ok(())
}
