//! The figures of `lab money`.

use std::fmt;

use serde::Serialize;

use super::{
    arena::{BASE_FEE, MIN_PRIORITY_FEE, RaceOutcome},
    rivals::{Rival, WHOLE},
};

/// Highest share of the profit that the keeper bids, in millionths.
const CAP: u128 = 500_000;
/// Gas of a liquidation after refunds, and of one that reverts because the race was lost, as the first version's are
/// reckoned with.
const GAS: u128 = 232_000;
const LOST_RACE_GAS: u128 = 66_000;
/// Share of the gain that the first version spent on gas at most, and the part of the rest that it bid, in millionths.
const SPENDABLE: u128 = 900_000;
const HALF: u128 = 500_000;

/// All figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Successful transactions that cost more than they brought, in all races.
    pub successful_with_loss: u64,
    /// Transactions that were sent in bundles and reverted in a block.
    pub bundle_reverts: u64,
    /// Median gas of the transactions that reverted in public.
    pub median_revert_gas: u64,
    /// What gas cost without rivals, divided by the base fee and the minimum priority fee.
    pub gas_over_floor: f64,
    /// Figures against each rival.
    pub rivals: Vec<RivalFigures>,
    /// Figures of the races with a sandwich.
    pub sandwiched: SandwichFigures,
    /// Figures of the same races in bundles.
    pub bundles: Vec<BundleFigures>,
}

/// Figures of races in which the keeper's transactions went in bundles.
#[derive(Debug, Clone, Serialize)]
pub struct BundleFigures {
    /// Name of the rival, or of what happened besides.
    pub against: &'static str,
    /// Number of races.
    pub races: u64,
    /// Number of bundles that were sent.
    pub sent: u64,
    /// Number of those that the builder included.
    pub won: u64,
    /// Number of those that the builder left out because they would have reverted.
    pub dropped: u64,
    /// Number of those that reverted in a block.
    pub reverted: u64,
    /// Successful transactions that cost more than they brought.
    pub successful_with_loss: u64,
    /// What was paid for bundles that were not included or reverted, in wei.
    pub paid_for_lost_wei: u128,
    /// What was kept after gas, as a part of what is kept by somebody with the same cap who knows every bid.
    pub kept: f64,
}

/// Figures against one rival.
#[derive(Debug, Clone, Serialize)]
pub struct RivalFigures {
    /// Name of the rival.
    pub rival: &'static str,
    /// Number of races.
    pub races: u64,
    /// Number of races that the keeper entered.
    pub entered: u64,
    /// Number of races that it won.
    pub won: u64,
    /// What it kept after gas, as a part of what is kept by somebody with the same cap who knows every bid.
    pub kept: f64,
    /// Successful transactions that cost more than they brought.
    pub successful_with_loss: u64,
    /// Gas of each reverted transaction.
    #[serde(skip)]
    revert_gas: Vec<u64>,
    /// What gas cost divided by the least possible.
    pub gas_over_floor: f64,
    /// The same races with the first version's bids.
    pub first_stage: FirstStage,
}

/// What the keeper's first version would have done in the same races: half of the profit is bid, always.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct FirstStage {
    /// Number of races that it would have won.
    pub won: u64,
    /// What it would have kept, as a part of the same.
    pub kept: f64,
    /// What gas would have cost divided by the least possible.
    pub gas_over_floor: f64,
}

/// Figures of the races in which the keeper's swap was sandwiched.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SandwichFigures {
    /// Number of races.
    pub races: u64,
    /// Transactions that succeeded.
    pub succeeded: u64,
    /// Those that cost more than they brought.
    pub successful_with_loss: u64,
    /// Least profit after gas of one that succeeded, in wei.
    pub least_net_wei: i128,
    /// What the first version would have lost in one of these races, in wei: its guard covers its gas at the base fee,
    /// while its bid is paid besides.
    pub first_stage_loss_wei: i128,
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

/// Returns a ratio to three decimals, rounded to the nearest.
fn ratio(part: i128, whole: i128) -> f64 {
    let thousandths = (part * 1_000 + whole / 2).checked_div(whole).unwrap_or_default();
    f64::from(i32::try_from(thousandths).unwrap_or(i32::MAX)) / 1_000.0
}

fn count<T>(items: impl IntoIterator<Item = T>) -> u64 {
    items.into_iter().fold(0, |count, _| count + 1)
}

impl RaceOutcome {
    /// Profit after gas at the least price, in wei.
    fn net(&self) -> u128 {
        self.gain.saturating_sub(GAS * (BASE_FEE + MIN_PRIORITY_FEE))
    }

    /// What is kept by somebody with the same cap who knows the rival's bid.
    fn best(&self) -> u128 {
        match self.rival {
            Some(share) if share >= CAP => 0,
            share => self.net() / WHOLE * (WHOLE - share.unwrap_or(0)),
        }
    }

    fn has_loss(&self) -> bool {
        self.won && self.received < self.cost
    }

    /// The priority fee per gas of the keeper's first version.
    fn first_stages_tip(&self) -> u128 {
        (self.gain / WHOLE * SPENDABLE / GAS).saturating_sub(BASE_FEE) * HALF / WHOLE
    }
}

impl RivalFigures {
    pub(super) fn of(rival: Rival, outcomes: &[RaceOutcome]) -> Self {
        let best: i128 = outcomes.iter().map(|outcome| signed(outcome.best())).sum();
        let kept: i128 = outcomes.iter().map(|outcome| signed(outcome.received) - signed(outcome.cost)).sum();
        let cost: i128 = outcomes.iter().map(|outcome| signed(outcome.cost)).sum();
        let gas: i128 = outcomes.iter().map(|outcome| i128::from(outcome.gas)).sum();
        Self {
            rival: rival.name(),
            races: count(outcomes),
            entered: count(outcomes.iter().filter(|outcome| outcome.sent)),
            won: count(outcomes.iter().filter(|outcome| outcome.won)),
            kept: ratio(kept, best),
            successful_with_loss: count(outcomes.iter().filter(|outcome| outcome.has_loss())),
            revert_gas: reverts(outcomes),
            gas_over_floor: ratio(cost, gas * signed(BASE_FEE + MIN_PRIORITY_FEE)),
            first_stage: FirstStage::of(rival, outcomes, best),
        }
    }
}

impl BundleFigures {
    pub(super) fn of(against: &'static str, outcomes: &[RaceOutcome]) -> Self {
        let best: i128 = outcomes.iter().map(|outcome| signed(outcome.best())).sum();
        let kept: i128 = outcomes.iter().map(|outcome| signed(outcome.received) - signed(outcome.cost)).sum();
        let count_of = |is: fn(&&RaceOutcome) -> bool| count(outcomes.iter().filter(is));
        Self {
            against,
            races: count(outcomes),
            sent: count_of(|outcome| outcome.sent),
            won: count_of(|outcome| outcome.won),
            dropped: count_of(|outcome| outcome.dropped),
            reverted: count_of(|outcome| outcome.reverted),
            successful_with_loss: count_of(|outcome| outcome.has_loss()),
            paid_for_lost_wei: outcomes.iter().filter(|outcome| !outcome.won).map(|outcome| outcome.cost).sum(),
            kept: ratio(kept, best),
        }
    }
}

fn reverts(outcomes: &[RaceOutcome]) -> Vec<u64> {
    outcomes.iter().filter(|outcome| outcome.sent && !outcome.won).map(|outcome| outcome.gas).collect()
}

impl FirstStage {
    fn of(rival: Rival, outcomes: &[RaceOutcome], best: i128) -> Self {
        let (mut won, mut kept, mut cost, mut gas) = (0, 0_i128, 0_i128, 0_i128);
        for outcome in outcomes {
            let price = BASE_FEE + outcome.first_stages_tip().max(MIN_PRIORITY_FEE);
            let share = (price - BASE_FEE) * GAS * WHOLE / outcome.net().max(1);
            let wins = rival != Rival::Copier && outcome.rival.is_none_or(|theirs| share > theirs);
            let used = if wins { GAS } else { LOST_RACE_GAS };
            won += u64::from(wins);
            kept += if wins { signed(outcome.gain) } else { 0 } - signed(used * price);
            (cost, gas) = (cost + signed(used * price), gas + signed(used));
        }
        Self { won, kept: ratio(kept, best), gas_over_floor: ratio(cost, gas * signed(BASE_FEE + MIN_PRIORITY_FEE)) }
    }
}

impl Report {
    pub(super) fn of(rivals: Vec<RivalFigures>, sandwiched: &[RaceOutcome], bundles: Vec<BundleFigures>) -> Self {
        let mut gas: Vec<_> = rivals.iter().flat_map(|figures| figures.revert_gas.clone()).collect();
        gas.extend(reverts(sandwiched));
        gas.sort_unstable();
        let succeeded = || sandwiched.iter().filter(|outcome| outcome.won);
        // The first races are hardly sandwiched: their gain is what was expected.
        let expected = sandwiched.iter().map(|outcome| outcome.gain).max().unwrap_or_default();
        let tip = RaceOutcome { gain: expected, ..RaceOutcome::default() }.first_stages_tip();
        let guard = GAS * (BASE_FEE + BASE_FEE / 8 + MIN_PRIORITY_FEE);
        let sandwiched = SandwichFigures {
            races: count(sandwiched),
            succeeded: count(succeeded()),
            successful_with_loss: count(succeeded().filter(|outcome| outcome.has_loss())),
            least_net_wei: succeeded()
                .map(|outcome| signed(outcome.received) - signed(outcome.cost))
                .min()
                .unwrap_or(0),
            first_stage_loss_wei: signed(GAS * (BASE_FEE + tip)) - signed(guard),
        };
        Self {
            successful_with_loss: rivals.iter().map(|figures| figures.successful_with_loss).sum::<u64>()
                + sandwiched.successful_with_loss
                + bundles.iter().map(|figures| figures.successful_with_loss).sum::<u64>(),
            bundle_reverts: bundles.iter().map(|figures| figures.reverted).sum(),
            median_revert_gas: gas.get(gas.len() / 2).copied().unwrap_or_default(),
            gas_over_floor: rivals
                .iter()
                .find(|figures| figures.rival == "none")
                .map_or(0.0, |none| none.gas_over_floor),
            rivals,
            sandwiched,
            bundles,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "successful at a loss     {:>8}", self.successful_with_loss)?;
        writeln!(f, "reverts in bundles       {:>8}", self.bundle_reverts)?;
        writeln!(f, "median gas of a revert   {:>8}", self.median_revert_gas)?;
        writeln!(f, "gas over the least       {:>8.3}", self.gas_over_floor)?;
        writeln!(f, "rival       entered  won  kept   first version: won  kept  gas")?;
        for figures in &self.rivals {
            let first = &figures.first_stage;
            writeln!(
                f,
                "{:<10} {:>4}/{:<3} {:>4} {:>5.2} {:>19} {:>5.2} {:>4.0}×",
                figures.rival,
                figures.entered,
                figures.races,
                figures.won,
                figures.kept,
                first.won,
                first.kept,
                first.gas_over_floor
            )?;
        }
        let SandwichFigures { races, succeeded, successful_with_loss, least_net_wei, first_stage_loss_wei } =
            self.sandwiched;
        writeln!(f, "in bundles  sent  won  left out  reverted  kept")?;
        for figures in &self.bundles {
            let BundleFigures { against, races, sent, won, dropped, reverted, kept, .. } = figures;
            writeln!(f, "{against:<10} {sent:>2}/{races:<3} {won:>3} {dropped:>9} {reverted:>9} {kept:>5.2}")?;
        }
        writeln!(f, "sandwiched: {succeeded} of {races} succeeded, {successful_with_loss} at a loss")?;
        write!(
            f,
            "  least profit after gas {least_net_wei} wei; the first version could lose {first_stage_loss_wei} wei"
        )
    }
}
