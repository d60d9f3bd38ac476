//! Liquidation rules: ours, ours with other constants, and those of other protocols.
//!
//! A rule determines how much of a liquidatable loan can be repaid, and the collateral that is seized for it; a
//! liquidator may take less. All rules keep the market's minimum debt, and all write off debt without collateral at
//! once, also those whose originals leave it open: otherwise their losses could not be compared.

use alloy::primitives::U256;
use plimsoll_contracts::market::BPS;
use plimsoll_keeper::math::{
    liquidation::{
        LiquidationIncentive, MaxRepay, Zone, is_healthy, max_repay_of, part_down, repay_within_down, seized_down,
    },
    wide::{WAD, div_up, product, to_u128},
};

use super::params::worth;

/// The core's price for a feed's price of 1 unit: 36 decimals and the loan token's 6 against the collateral's 18 and
/// the feed's 8.
const CORE_PRICE_PER_FEED_PRICE: u64 = 10_u64.pow(36 + 6 - 18 - 8);

/// A liquidation rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Plimsoll's rule, by the keeper's arithmetic, which is that of the contract.
    Plimsoll,
    /// Plimsoll's rule with other constants.
    Variant(Constants),
    /// At most half of the debt at a time, for a fixed bonus.
    Half {
        /// The bonus: by how much the seized collateral exceeds the debt repaid.
        bonus_bps: u32,
        /// Health below which all of the debt can be repaid.
        whole_below_bps: u32,
    },
    /// All of the debt at once, for Morpho Blue's bonus.
    Morpho,
}

/// The constants of our rule, in basis points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constants {
    /// Limit of the highest bonus.
    pub cap: u32,
    /// Growth of the highest bonus as the LTV falls: 1 plus the bonus is `1 ÷ (slope × L + 1 − slope)`.
    pub slope: u32,
    /// The lowest bonus as a part of the highest.
    pub floor: u32,
    /// The health to which a loan is restored, as 1 plus this part of `1 − L`.
    pub target: u32,
    /// Where the collateral does not cover the lowest bonus, the bonus rises; this is the limit of the rise as a part
    /// of the way to the highest.
    pub rise: u32,
}

/// A loan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loan {
    /// Debt, in units of the loan token.
    pub debt: u128,
    /// Collateral, in units of the collateral token.
    pub collateral: u128,
}

/// The amounts of a liquidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiquidationAmounts {
    /// Debt that the liquidator repays.
    pub repaid: u128,
    /// Collateral that the liquidator seizes.
    pub seized: u128,
    /// Debt that is written off.
    pub bad_debt: u128,
}

/// The properties of a market that a rule depends on.
#[derive(Debug, Clone, Copy)]
pub struct Market {
    /// Liquidation LTV.
    pub ltv_bps: u16,
    /// Minimum debt.
    pub min_debt: u128,
    /// The feed's price of the collateral.
    pub price: u128,
}

impl Constants {
    /// The constants of the contract.
    pub const OURS: Self = Self { cap: 1_500, slope: 3_000, floor: 2_500, target: 5_000, rise: 10_000 };

    /// Returns the highest and the lowest incentive factor at a liquidation LTV.
    fn incentive(self, ltv_bps: u16) -> LiquidationIncentive {
        let wad = u128::from(WAD);
        let parts = |bps: u32| wad * u128::from(bps) / u128::from(BPS);
        let by_slope = wad * wad / (wad - parts(self.slope) * u128::from(BPS - u32::from(ltv_bps)) / u128::from(BPS));
        let highest = by_slope.min(wad + parts(self.cap));
        let lowest = wad + (highest - wad) * u128::from(self.floor) / u128::from(BPS);
        let word = |factor| u64::try_from(factor).unwrap_or(u64::MAX);
        LiquidationIncentive { ltv_bps, max_incentive_factor: word(highest), min_incentive_factor: word(lowest) }
    }

    /// Computes [`max_repay_of`] for any constants.
    fn max_repay(self, ltv_bps: u16, debt: u128, value: u128, min_debt: u128) -> MaxRepay {
        let incentive = self.incentive(ltv_bps);
        let [wad, bps] = [u128::from(WAD), u128::from(BPS)];
        let [highest, lowest, ltv] = [
            u128::from(incentive.max_incentive_factor),
            u128::from(incentive.min_incentive_factor),
            wad / bps * u128::from(ltv_bps),
        ];
        // Value of the collateral for each unit of debt.
        let c = to_u128(product(value, wad) / U256::from(debt.max(1)));
        let span = wad * wad / ltv - highest;
        let risen = |fallen: u128| to_u128(product(highest - lowest, fallen) / U256::from(span));
        let capped = |factor: u128| u64::try_from(factor.min(highest)).unwrap_or(u64::MAX);
        if c > highest {
            let incentive_factor = capped(lowest + risen((wad * wad / ltv).saturating_sub(c)));
            let target = wad + (wad - ltv) * u128::from(self.target) / bps;
            let scaled = |ratio: u128| to_u128(product(ratio, ltv) / U256::from(wad));
            let [missing, lifted] = [target.saturating_sub(scaled(c)), target - scaled(u128::from(incentive_factor))];
            let repay = to_u128(product(debt, missing) / U256::from(lifted));
            let repay = if debt.saturating_sub(repay) < min_debt { debt } else { repay };
            MaxRepay { repay, zone: Zone::Ramp { incentive_factor } }
        } else if c >= lowest {
            MaxRepay { repay: debt, zone: Zone::Breakeven }
        } else {
            let most = (highest - lowest) * u128::from(self.rise) / bps;
            let incentive_factor = capped(lowest + risen(lowest - c).min(most));
            MaxRepay { repay: paid_for_up(value, incentive_factor), zone: Zone::Insolvent }
        }
    }
}

impl Market {
    /// Returns whether a loan is liquidatable.
    #[must_use]
    pub fn is_liquidatable(&self, loan: Loan) -> bool {
        !is_healthy(loan.debt, worth(loan.collateral, self.price), self.ltv_bps)
    }
}

impl Rule {
    /// Returns our rule and those of other protocols.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let half = |bonus_bps, whole_below_bps| Self::Half { bonus_bps, whole_below_bps };
        vec![Self::Plimsoll, half(500, 0), half(1_000, 0), half(500, 9_500), Self::Morpho]
    }

    /// Returns our rule, and variants with each constant lower and higher.
    #[must_use]
    pub fn variants() -> Vec<Self> {
        let ours = Constants::OURS;
        let others = [
            Constants { floor: 0, ..ours },
            Constants { floor: 1_250, ..ours },
            Constants { floor: 5_000, ..ours },
            Constants { floor: 10_000, ..ours },
            Constants { target: 1_250, ..ours },
            Constants { target: 2_500, ..ours },
            Constants { target: 10_000, ..ours },
            Constants { target: 20_000, ..ours },
            Constants { slope: 1_500, ..ours },
            Constants { slope: 5_000, ..ours },
            Constants { rise: 0, ..ours },
            Constants { rise: 5_000, ..ours },
            Constants { cap: 1_000, ..ours },
            Constants { cap: 2_000, ..ours },
        ];
        [Self::Plimsoll].into_iter().chain(others.map(Self::Variant)).collect()
    }

    /// Returns the name of the rule in reports.
    #[must_use]
    pub fn name(&self) -> String {
        match *self {
            Self::Plimsoll => "Plimsoll".to_owned(),
            Self::Variant(constants) => {
                let ours = Constants::OURS;
                let named = [
                    ("lowest bonus", constants.floor, ours.floor),
                    ("target", constants.target, ours.target),
                    ("slope", constants.slope, ours.slope),
                    ("cap", constants.cap, ours.cap),
                    ("rise when insolvent", constants.rise, ours.rise),
                ];
                let others = named.into_iter().filter(|(_, value, ours)| value != ours);
                let others: Vec<_> = others.map(|(name, value, _)| format!("{name} {}", percent(value))).collect();
                format!("Plimsoll with {}", others.join(", "))
            }
            Self::Half { bonus_bps, whole_below_bps: 0 } => format!("half at {}", percent(bonus_bps)),
            Self::Half { bonus_bps, whole_below_bps } => {
                format!("half at {}, all below health {}", percent(bonus_bps), percent(whole_below_bps))
            }
            Self::Morpho => "all at Morpho's bonus".to_owned(),
        }
    }

    /// Returns the largest liquidation of a loan. A bonus beyond the collateral's value takes all of it.
    #[must_use]
    pub fn max_repay(&self, ltv_bps: u16, debt: u128, value: u128, min_debt: u128) -> MaxRepay {
        let at_fixed = |repay: u128, incentive_factor: u64| {
            let repay = if debt.saturating_sub(repay) < min_debt { debt } else { repay };
            MaxRepay { repay: repay.min(paid_for_up(value, incentive_factor)), zone: Zone::Ramp { incentive_factor } }
        };
        match *self {
            Self::Plimsoll => max_repay_of(&Constants::OURS.incentive(ltv_bps), debt, value, min_debt),
            Self::Variant(constants) => constants.max_repay(ltv_bps, debt, value, min_debt),
            Self::Half { bonus_bps, whole_below_bps } => {
                let [carried, least] = [product(value, u128::from(ltv_bps)), product(debt, whole_below_bps.into())];
                let repay = if carried < least { debt } else { debt.div_ceil(2) };
                at_fixed(repay, WAD / u64::from(BPS) * u64::from(BPS + bonus_bps))
            }
            Self::Morpho => at_fixed(debt, Constants::OURS.incentive(ltv_bps).max_incentive_factor),
        }
    }

    /// Liquidates a loan with at most `limit` repaid. Returns none where it is healthy, or the limit is too low for any
    /// part.
    pub fn liquidate(&self, market: Market, loan: &mut Loan, limit: u128) -> Option<LiquidationAmounts> {
        if loan.debt == 0 || !market.is_liquidatable(*loan) {
            return None;
        }
        let value = worth(loan.collateral, market.price);
        let max_repay = self.max_repay(market.ltv_bps, loan.debt, value, market.min_debt);
        let repaid = repay_within_down(max_repay, loan.debt, limit, market.min_debt);
        if repaid == 0 {
            return None;
        }
        let taken = if let Some(incentive_factor) = max_repay.incentive_factor() {
            let price = U256::from(market.price) * U256::from(CORE_PRICE_PER_FEED_PRICE);
            let seized = seized_down(repaid, incentive_factor, price).min(loan.collateral);
            if worth(loan.collateral - seized, market.price) == 0 {
                LiquidationAmounts { repaid, seized: loan.collateral, bad_debt: loan.debt - repaid }
            } else {
                LiquidationAmounts { repaid, seized, bad_debt: 0 }
            }
        } else if repaid == max_repay.repay {
            LiquidationAmounts { repaid, seized: loan.collateral, bad_debt: loan.debt - repaid }
        } else {
            let part = |whole| part_down(whole, repaid, max_repay.repay);
            LiquidationAmounts {
                repaid,
                seized: part(loan.collateral),
                bad_debt: part(loan.debt).saturating_sub(repaid),
            }
        };
        loan.debt -= taken.repaid + taken.bad_debt;
        loan.collateral -= taken.seized;
        Some(taken)
    }
}

/// Returns the repayment for which an incentive factor seizes collateral of a value, rounded up.
fn paid_for_up(value: u128, incentive_factor: u64) -> u128 {
    to_u128(div_up(product(value, WAD.into()), U256::from(incentive_factor)))
}

fn percent(bps: u32) -> String {
    let [whole, rest] = [bps / 100, bps % 100];
    if rest == 0 { format!("{whole} %") } else { format!("{whole}.{rest:02} %").replace("0 %", " %") }
}

#[cfg(test)]
mod tests {
    use plimsoll_contracts::Risk;

    use super::*;
    use crate::replay::params::{DOLLAR, UNITS_PER_UNIT};
    use plimsoll_testkit::random::Random;

    const PRICE: u128 = 2_000 * 100_000_000;
    const MIN_DEBT: u128 = 100 * DOLLAR;

    /// Returns a loan at a random distance below health 1.
    fn liquidatable_loan(random: &mut Random, ltv_bps: u16) -> (Market, Loan) {
        let debt = MIN_DEBT + u128::from(random.next_u64()) % (1 << (8 + random.below(40)));
        let carried = debt * u128::from(BPS) / u128::from(ltv_bps);
        let value = carried * (4_000 + random.part() * 6_000 / Random::PARTS) / 10_000;
        let market = Market { ltv_bps, min_debt: MIN_DEBT, price: PRICE };
        (market, Loan { debt, collateral: value.max(1) * UNITS_PER_UNIT / PRICE })
    }

    fn any_rule() -> impl Iterator<Item = Rule> {
        Rule::all().into_iter().chain(Rule::variants())
    }

    #[test]
    fn the_general_rule_with_our_constants_is_the_contracts_rule() {
        let mut random = Random::from_seed(1);
        for ltv_bps in 2..=9_800 {
            let risk = Risk::new(ltv_bps / 2, ltv_bps, MIN_DEBT).unwrap();
            assert_eq!(Constants::OURS.incentive(ltv_bps), LiquidationIncentive::of(risk));
            let (market, loan) = liquidatable_loan(&mut random, ltv_bps);
            let said = |rule: Rule| {
                let value = worth(loan.collateral, market.price);
                rule.max_repay(ltv_bps, loan.debt, value, market.min_debt)
            };
            let [twin, general] = [Rule::Plimsoll, Rule::Variant(Constants::OURS)].map(said);
            assert!(
                twin.repay.abs_diff(general.repay) <= 2 + loan.debt / 1_000_000_000,
                "{twin:?} {general:?} {loan:?}"
            );
            let factors = [twin, general].map(|max_repay| max_repay.incentive_factor().unwrap_or(WAD));
            assert!(factors[0].abs_diff(factors[1]) < 1_000_000_000, "{twin:?} {general:?} {loan:?}");
            assert_eq!(twin.incentive_factor().is_some(), general.incentive_factor().is_some());
        }
    }

    #[test]
    fn no_rule_takes_more_than_there_is_and_unsecured_debt_is_written_off() {
        let mut random = Random::from_seed(2);
        for rule in any_rule() {
            for _ in 0..1_000 {
                let ltv_bps = 5_000 + u16::try_from(random.below(4_800)).unwrap();
                let (market, before) = liquidatable_loan(&mut random, ltv_bps);
                let mut after = before;
                let limit = before.debt * random.part() / Random::PARTS;
                let Some(taken) = rule.liquidate(market, &mut after, limit) else { continue };
                assert!(taken.repaid <= limit);
                assert_eq!(before.debt, after.debt + taken.repaid + taken.bad_debt);
                assert_eq!(before.collateral, after.collateral + taken.seized);
                assert!(after.debt == 0 || after.debt >= MIN_DEBT, "{rule:?} {before:?} {taken:?}");
                assert!(after.debt == 0 || after.collateral > 0, "{rule:?} {before:?} {taken:?}");
            }
        }
    }

    #[test]
    fn healthy_loans_are_left_and_liquidatable_ones_can_be_liquidated_completely() {
        let mut random = Random::from_seed(3);
        for rule in any_rule() {
            for _ in 0..200 {
                let (market, mut loan) = liquidatable_loan(&mut random, 8_600);
                let healthy = Market { price: market.price * 3, ..market };
                assert_eq!(rule.liquidate(healthy, &mut loan.clone(), u128::MAX), None);
                let mut times = 0;
                while rule.liquidate(market, &mut loan, u128::MAX).is_some() {
                    times += 1;
                    assert!(times < 100, "{rule:?} {loan:?}");
                }
                assert!(times > 0 && (loan.debt == 0 || !market.is_liquidatable(loan)), "{rule:?} {loan:?}");
            }
        }
    }

    #[test]
    fn a_fixed_bonus_costs_lenders_although_collateral_covers_the_debt() {
        let market = Market { ltv_bps: 8_600, min_debt: MIN_DEBT, price: PRICE };
        let loan = Loan { debt: 10_000 * DOLLAR, collateral: 10_300 * DOLLAR * UNITS_PER_UNIT / PRICE };
        let bad_debt = |rule: Rule| rule.liquidate(market, &mut loan.clone(), u128::MAX).unwrap().bad_debt;
        assert_eq!(bad_debt(Rule::Plimsoll), 0);
        assert!(bad_debt(Rule::Morpho) > 130 * DOLLAR, "{}", bad_debt(Rule::Morpho));
    }

    #[test]
    fn rules_have_distinct_names() {
        let mut names: Vec<_> = Rule::all().iter().chain(&Rule::variants()[1..]).map(Rule::name).collect();
        assert_eq!(names[3..5], ["half at 5 %, all below health 95 %", "all at Morpho's bonus"]);
        assert_eq!(names[6], "Plimsoll with lowest bonus 12.5 %");
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
