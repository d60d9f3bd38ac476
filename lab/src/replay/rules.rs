//! Rules of liquidation: ours, ours with other constants, and what others do.
//!
//! A rule says how much of a loan under water may be repaid and what is taken for it; a liquidator may do less. All keep
//! the market's smallest debt, and all write off at once what no collateral is left for, also those whose originals
//! leave it standing: else their losses could not be compared.

use alloy::primitives::U256;
use plimsoll_contracts::market::BPS;
use plimsoll_keeper::math::{
    liquidation::{Ceiling, Terms, ceiling_of, is_healthy, part_down, repay_within_down, seized_down},
    wide::{WAD, div_up, product, to_u128},
};

use super::params::worth;

/// The core's price of a unit of collateral is so many of a feed's: 36 decimals and the loan token's 6 against the
/// collateral's 18 and the feed's 8.
const CORE_PRICE_PER_FEED_PRICE: u64 = 10_u64.pow(36 + 6 - 18 - 8);

/// Who may take how much of a loan under water, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Ours: the keeper's arithmetic, which is the contract's.
    Plimsoll,
    /// Ours with other constants.
    Variant(Constants),
    /// Half of the debt at a time for a fixed bonus.
    Half {
        /// What is taken for each unit repaid is worth so much more.
        bonus_bps: u32,
        /// Below this health it is all of the debt.
        whole_below_bps: u32,
    },
    /// All of the debt at once, for Morpho Blue's bonus.
    Morpho,
}

/// What our rule is made of, in basis points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constants {
    /// The highest bonus is no more than this.
    pub cap: u32,
    /// How soon the highest bonus grows as the LTV falls: it is `1 ÷ (slope × L + 1 − slope)`.
    pub slope: u32,
    /// The lowest bonus is this part of the highest.
    pub floor: u32,
    /// A loan is lifted to a health of 1 and this part of `1 − L`.
    pub target: u32,
    /// Where the collateral no longer pays for the lowest bonus, it rises towards this part of the way to the highest.
    pub rise: u32,
}

/// What somebody owes, and what secures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loan {
    /// Units of the loan token.
    pub debt: u128,
    /// Units of collateral.
    pub collateral: u128,
}

/// What a liquidation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Debt that the liquidator repaid.
    pub repaid: u128,
    /// Collateral for it.
    pub seized: u128,
    /// Debt that was written off.
    pub bad_debt: u128,
}

/// Of a market, and the oracle's price there.
#[derive(Debug, Clone, Copy)]
pub struct Market {
    /// Liquidation LTV.
    pub ltv_bps: u16,
    /// The least that may be owed.
    pub smallest_debt: u128,
    /// As a feed says it.
    pub price: u128,
}

impl Constants {
    /// Those of the contract.
    pub const OURS: Self = Self { cap: 1_500, slope: 3_000, floor: 2_500, target: 5_000, rise: 10_000 };

    /// The bonuses at a liquidation LTV.
    fn terms(self, ltv_bps: u16) -> Terms {
        let wad = u128::from(WAD);
        let parts = |bps: u32| wad * u128::from(bps) / u128::from(BPS);
        let by_slope = wad * wad / (wad - parts(self.slope) * u128::from(BPS - u32::from(ltv_bps)) / u128::from(BPS));
        let highest = by_slope.min(wad + parts(self.cap));
        let lowest = wad + (highest - wad) * u128::from(self.floor) / u128::from(BPS);
        let word = |bonus| u64::try_from(bonus).unwrap_or(u64::MAX);
        Terms { ltv_bps, max_bonus: word(highest), min_bonus: word(lowest) }
    }

    /// What [`ceiling_of`] says, for any constants: `c` is what the collateral is worth for each unit owed.
    fn ceiling(self, ltv_bps: u16, debt: u128, value: u128, smallest_debt: u128) -> Ceiling {
        let terms = self.terms(ltv_bps);
        let [wad, bps] = [u128::from(WAD), u128::from(BPS)];
        let [highest, lowest, ltv] =
            [u128::from(terms.max_bonus), u128::from(terms.min_bonus), wad / bps * u128::from(ltv_bps)];
        let c = to_u128(product(value, wad) / U256::from(debt.max(1)));
        let span = wad * wad / ltv - highest;
        let risen = |fallen: u128| to_u128(product(highest - lowest, fallen) / U256::from(span));
        let bonus = |bonus: u128| u64::try_from(bonus.min(highest)).unwrap_or(u64::MAX);
        if c > highest {
            let bonus = bonus(lowest + risen((wad * wad / ltv).saturating_sub(c)));
            let target = wad + (wad - ltv) * u128::from(self.target) / bps;
            let scaled = |ratio: u128| to_u128(product(ratio, ltv) / U256::from(wad));
            let [missing, lifted] = [target.saturating_sub(scaled(c)), target - scaled(u128::from(bonus))];
            let repay = to_u128(product(debt, missing) / U256::from(lifted));
            let repay = if debt.saturating_sub(repay) < smallest_debt { debt } else { repay };
            Ceiling { repay, bonus: Some(bonus) }
        } else if c >= lowest {
            Ceiling { repay: debt, bonus: None }
        } else {
            let most = (highest - lowest) * u128::from(self.rise) / bps;
            let bonus = bonus(lowest + risen(lowest - c).min(most));
            Ceiling { repay: paid_for_up(value, bonus), bonus: None }
        }
    }
}

impl Market {
    /// Whether a loan is under water.
    #[must_use]
    pub fn is_under_water(&self, loan: Loan) -> bool {
        !is_healthy(loan.debt, worth(loan.collateral, self.price), self.ltv_bps)
    }
}

impl Rule {
    /// Ours, and what others do.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let half = |bonus_bps, whole_below_bps| Self::Half { bonus_bps, whole_below_bps };
        vec![Self::Plimsoll, half(500, 0), half(1_000, 0), half(500, 9_500), Self::Morpho]
    }

    /// Ours, and with each constant lower and higher.
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

    /// What people call it.
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
                    ("rise under water", constants.rise, ours.rise),
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

    /// The most that may be done to a loan under water. A bonus that is more than the collateral's worth takes it all.
    #[must_use]
    pub fn ceiling(&self, ltv_bps: u16, debt: u128, value: u128, smallest_debt: u128) -> Ceiling {
        let at_fixed = |repay: u128, bonus: u64| {
            let repay = if debt.saturating_sub(repay) < smallest_debt { debt } else { repay };
            Ceiling { repay: repay.min(paid_for_up(value, bonus)), bonus: Some(bonus) }
        };
        match *self {
            Self::Plimsoll => ceiling_of(&Constants::OURS.terms(ltv_bps), debt, value, smallest_debt),
            Self::Variant(constants) => constants.ceiling(ltv_bps, debt, value, smallest_debt),
            Self::Half { bonus_bps, whole_below_bps } => {
                let [carried, least] = [product(value, u128::from(ltv_bps)), product(debt, whole_below_bps.into())];
                let repay = if carried < least { debt } else { debt.div_ceil(2) };
                at_fixed(repay, WAD / u64::from(BPS) * u64::from(BPS + bonus_bps))
            }
            Self::Morpho => at_fixed(debt, Constants::OURS.terms(ltv_bps).max_bonus),
        }
    }

    /// Liquidates a loan with no more than `limit` repaid; nothing where it is not under water, or no part will do.
    pub fn liquidate(&self, market: Market, loan: &mut Loan, limit: u128) -> Option<Taken> {
        if loan.debt == 0 || !market.is_under_water(*loan) {
            return None;
        }
        let value = worth(loan.collateral, market.price);
        let ceiling = self.ceiling(market.ltv_bps, loan.debt, value, market.smallest_debt);
        let repaid = repay_within_down(ceiling, loan.debt, limit, market.smallest_debt);
        if repaid == 0 {
            return None;
        }
        let taken = if let Some(bonus) = ceiling.bonus {
            let price = U256::from(market.price) * U256::from(CORE_PRICE_PER_FEED_PRICE);
            let seized = seized_down(repaid, bonus, price).min(loan.collateral);
            if worth(loan.collateral - seized, market.price) == 0 {
                Taken { repaid, seized: loan.collateral, bad_debt: loan.debt - repaid }
            } else {
                Taken { repaid, seized, bad_debt: 0 }
            }
        } else if repaid == ceiling.repay {
            Taken { repaid, seized: loan.collateral, bad_debt: loan.debt - repaid }
        } else {
            let part = |whole| part_down(whole, repaid, ceiling.repay);
            Taken { repaid, seized: part(loan.collateral), bad_debt: part(loan.debt).saturating_sub(repaid) }
        };
        loan.debt -= taken.repaid + taken.bad_debt;
        loan.collateral -= taken.seized;
        Some(taken)
    }
}

/// The repayment for which this bonus takes collateral of this value.
fn paid_for_up(value: u128, bonus: u64) -> u128 {
    to_u128(div_up(product(value, WAD.into()), U256::from(bonus)))
}

fn percent(bps: u32) -> String {
    let [whole, rest] = [bps / 100, bps % 100];
    if rest == 0 { format!("{whole} %") } else { format!("{whole}.{rest:02} %").replace("0 %", " %") }
}

#[cfg(test)]
mod tests {
    use plimsoll_contracts::Risk;

    use super::*;
    use crate::replay::params::{DOLLAR, SMALLEST_DEBT, UNITS_PER_UNIT};
    use plimsoll_testkit::random::Random;

    const PRICE: u128 = 2_000 * 100_000_000;

    /// A loan at a random distance below health 1.
    fn drowned(random: &mut Random, ltv_bps: u16) -> (Market, Loan) {
        let debt = SMALLEST_DEBT + u128::from(random.next_u64()) % (1 << (8 + random.below(40)));
        let carried = debt * u128::from(BPS) / u128::from(ltv_bps);
        let value = carried * (4_000 + random.part() * 6_000 / Random::PARTS) / 10_000;
        let market = Market { ltv_bps, smallest_debt: SMALLEST_DEBT, price: PRICE };
        (market, Loan { debt, collateral: value.max(1) * UNITS_PER_UNIT / PRICE })
    }

    fn any_rule() -> impl Iterator<Item = Rule> {
        Rule::all().into_iter().chain(Rule::variants())
    }

    #[test]
    fn the_general_rule_with_our_constants_is_the_contracts_rule() {
        let mut random = Random::from_seed(1);
        for ltv_bps in 2..=9_800 {
            let risk = Risk::new(ltv_bps / 2, ltv_bps, SMALLEST_DEBT).unwrap();
            assert_eq!(Constants::OURS.terms(ltv_bps), Terms::of(risk));
            let (market, loan) = drowned(&mut random, ltv_bps);
            let said = |rule: Rule| {
                let value = worth(loan.collateral, market.price);
                rule.ceiling(ltv_bps, loan.debt, value, market.smallest_debt)
            };
            let [twin, general] = [Rule::Plimsoll, Rule::Variant(Constants::OURS)].map(said);
            assert!(
                twin.repay.abs_diff(general.repay) <= 2 + loan.debt / 1_000_000_000,
                "{twin:?} {general:?} {loan:?}"
            );
            let bonuses = [twin, general].map(|ceiling| ceiling.bonus.unwrap_or(WAD));
            assert!(bonuses[0].abs_diff(bonuses[1]) < 1_000_000_000, "{twin:?} {general:?} {loan:?}");
            assert_eq!(twin.bonus.is_some(), general.bonus.is_some());
        }
    }

    #[test]
    fn no_rule_takes_more_than_there_is_and_unsecured_debt_is_written_off() {
        let mut random = Random::from_seed(2);
        for rule in any_rule() {
            for _ in 0..1_000 {
                let ltv_bps = 5_000 + u16::try_from(random.below(4_800)).unwrap();
                let (market, before) = drowned(&mut random, ltv_bps);
                let mut after = before;
                let limit = before.debt * random.part() / Random::PARTS;
                let Some(taken) = rule.liquidate(market, &mut after, limit) else { continue };
                assert!(taken.repaid <= limit);
                assert_eq!(before.debt, after.debt + taken.repaid + taken.bad_debt);
                assert_eq!(before.collateral, after.collateral + taken.seized);
                assert!(after.debt == 0 || after.debt >= SMALLEST_DEBT, "{rule:?} {before:?} {taken:?}");
                assert!(after.debt == 0 || after.collateral > 0, "{rule:?} {before:?} {taken:?}");
            }
        }
    }

    #[test]
    fn healthy_loans_are_left_and_liquidatable_ones_can_be_liquidated_completely() {
        let mut random = Random::from_seed(3);
        for rule in any_rule() {
            for _ in 0..200 {
                let (market, mut loan) = drowned(&mut random, 8_600);
                let healthy = Market { price: market.price * 3, ..market };
                assert_eq!(rule.liquidate(healthy, &mut loan.clone(), u128::MAX), None);
                let mut times = 0;
                while rule.liquidate(market, &mut loan, u128::MAX).is_some() {
                    times += 1;
                    assert!(times < 100, "{rule:?} {loan:?}");
                }
                assert!(times > 0 && (loan.debt == 0 || !market.is_under_water(loan)), "{rule:?} {loan:?}");
            }
        }
    }

    #[test]
    fn a_fixed_bonus_costs_lenders_although_collateral_covers_the_debt() {
        let market = Market { ltv_bps: 8_600, smallest_debt: SMALLEST_DEBT, price: PRICE };
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
