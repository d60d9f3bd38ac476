//! The measured gas, as a table and as JSON.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use eyre::WrapErr;
use serde::{Deserialize, Serialize};

/// An operation on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Name of the operation.
    pub op: String,
    /// Gas of Plimsoll.
    pub plimsoll: u64,
    /// Gas of Morpho Blue.
    pub morpho: u64,
    /// Plimsoll's gas divided by Morpho's.
    pub ratio: f64,
}

/// A liquidation of several loans in one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Gas for the whole call.
    pub total: u64,
    /// Gas for each loan after the first.
    pub marginal: f64,
    /// Gas for the same loans at Morpho Blue, in one transaction each.
    pub morpho: u64,
}

/// An operation of a staker or funder, here and elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RewardOp {
    /// Name of the operation.
    pub op: String,
    /// Gas of Plimsoll.
    pub plimsoll: u64,
    /// Gas of a contract of the `StakingRewards` pattern, which most projects use.
    pub staking_rewards: Option<u64>,
    /// Gas of Morpho's distributor, with a proof for a thousand accounts.
    pub merkle_distributor: Option<u64>,
}

/// A harvest for several accounts that hold the reward token already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Harvest {
    /// Gas for the whole call.
    pub total: u64,
    /// Gas for each account after the first.
    pub marginal: f64,
}

/// Figures of staking rewards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RewardsReport {
    /// Operations. The plain names are recurrent calls.
    pub ops: Vec<RewardOp>,
    /// Harvests, by the number of accounts.
    pub harvest: BTreeMap<u32, Harvest>,
}

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GasReport {
    /// Operations side by side. The plain names are recurrent calls: everything they touch has been written before.
    pub ops: Vec<Op>,
    /// Liquidations of several loans, by their number.
    pub batch: BTreeMap<u32, Batch>,
    /// Staking rewards.
    pub rewards: RewardsReport,
    /// Bytes of code on chain, by contract.
    pub sizes: BTreeMap<String, usize>,
}

impl GasReport {
    /// Reads a table that was kept as JSON. Fails with the file's name where it is none.
    pub fn read(file: &Path) -> eyre::Result<Self> {
        let text = fs::read_to_string(file).wrap_err_with(|| format!("{} cannot be read", file.display()))?;
        serde_json::from_str(&text).wrap_err_with(|| format!("{} is not a table of gas", file.display()))
    }
}

/// Returns a ratio, rounded to four decimals.
#[allow(clippy::cast_precision_loss, reason = "gas is far below 2^52, and this is for reading")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0
}

impl fmt::Display for GasReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24}{:>10}{:>10}{:>8}", "gas", "plimsoll", "morpho", "ratio")?;
        for Op { op, plimsoll, morpho, ratio } in &self.ops {
            writeln!(f, "{op:<24}{plimsoll:>10}{morpho:>10}{ratio:>8.3}")?;
        }
        writeln!(f, "\n{:<24}{:>10}{:>10}{:>10}", "loans in one call", "plimsoll", "morpho", "marginal")?;
        for (loans, Batch { total, marginal, morpho }) in &self.batch {
            writeln!(f, "{loans:<24}{total:>10}{morpho:>10}{marginal:>10.0}")?;
        }
        writeln!(f, "\n{:<24}{:>10}{:>10}{:>10}", "rewards", "plimsoll", "staking", "merkle")?;
        let or_dash = |gas: Option<u64>| gas.map_or_else(|| "–".to_owned(), |gas| gas.to_string());
        for RewardOp { op, plimsoll, staking_rewards, merkle_distributor } in &self.rewards.ops {
            let (staking, merkle) = (or_dash(*staking_rewards), or_dash(*merkle_distributor));
            writeln!(f, "{op:<24}{plimsoll:>10}{staking:>10}{merkle:>10}")?;
        }
        writeln!(f, "\n{:<24}{:>10}{:>10}", "accounts in one harvest", "plimsoll", "marginal")?;
        for (accounts, Harvest { total, marginal }) in &self.rewards.harvest {
            writeln!(f, "{accounts:<24}{total:>10}{marginal:>10.0}")?;
        }
        writeln!(f, "\n{:<24}{:>10}", "code", "bytes")?;
        for (contract, bytes) in &self.sizes {
            writeln!(f, "{contract:<24}{bytes:>10}")?;
        }
        Ok(())
    }
}
