//! A market's parameters: packed words with named values, checked against the same bounds as in Solidity before
//! anything is sent.

use crate::MarketParams;
use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};
use std::fmt;

/// Seconds in the 365 days that yearly rates refer to.
pub const SECONDS_PER_YEAR: u64 = 365 * 24 * 60 * 60;
/// The value that stands for 1 in basis points, in a curve's steepness and in its speed.
pub const BPS: u32 = 10_000;
/// The lowest rate at target, 0.1 % a year in 1e18 per second.
pub const MIN_RATE_AT_TARGET: u64 = 1_000_000_000_000_000 / SECONDS_PER_YEAR;
/// The highest rate at target, 200 % a year in 1e18 per second.
pub const MAX_RATE_AT_TARGET: u64 = 2_000_000_000_000_000_000 / SECONDS_PER_YEAR;
/// The highest borrow LTV as a part of the liquidation LTV, in basis points.
pub const BORROW_TO_LIQUIDATION_BPS: u32 = 9_950;
/// The highest liquidation LTV, in basis points.
pub const MAX_LIQUIDATION_LTV_BPS: u16 = 9_800;
/// The highest incentive factor of a liquidation, 1.15, 1e18-scaled.
pub const MAX_INCENTIVE_FACTOR: u64 = 1_150_000_000_000_000_000;
/// 1 as a number that is scaled by 1e18.
const WAD: u64 = 1_000_000_000_000_000_000;
/// The lowest minimum debt that a market may have, in units of the loan token.
pub const MIN_DEBT_LOWER_BOUND: u128 = 10_000;
/// The highest part of a market's aged debt that a surge limit lets be borrowed at once, in basis points.
pub const MAX_SURGE_SHARE_BPS: u16 = 10_000;
/// The shortest period of a surge limit: an hour, in seconds.
pub const MIN_SURGE_PERIOD: u32 = 60 * 60;
/// The longest period of a surge limit: 30 days, in seconds.
pub const MAX_SURGE_PERIOD: u32 = 30 * 24 * 60 * 60;
/// The lowest target utilisation, in basis points.
pub const MIN_TARGET_BPS: u16 = 100;
/// The highest target utilisation, in basis points.
pub const MAX_TARGET_BPS: u16 = 9_900;
/// The highest steepness, 10; [`BPS`] stands for 1.
pub const MAX_STEEPNESS: u32 = 100_000;
/// The highest adjustment speed, 200 a year; [`BPS`] stands for 1.
pub const MAX_SPEED_PER_YEAR: u32 = 2_000_000;

/// The bound that a market's parameters violate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParams {
    /// The borrow LTV is 0, so nothing could be borrowed.
    #[error("the borrow LTV is 0; it must be positive")]
    BorrowLtvZero,
    /// The borrow LTV is so close to the liquidation LTV that a new loan could be liquidated at once.
    #[error(
        "the borrow LTV of {borrow_bps} bps must be at most 99.5 % of the liquidation LTV of {liquidation_bps} bps"
    )]
    BorrowLtvTooHigh {
        /// The borrow LTV in basis points.
        borrow_bps: u16,
        /// The liquidation LTV in basis points.
        liquidation_bps: u16,
    },
    /// The liquidation LTV is so high that the collateral could not pay the liquidation incentive.
    #[error("the liquidation LTV of {0} bps must be at most {MAX_LIQUIDATION_LTV_BPS}")]
    LiquidationLtvTooHigh(u16),
    /// The minimum debt is so low that rounding would matter.
    #[error("the minimum debt of {0} units must be at least {MIN_DEBT_LOWER_BOUND}")]
    MinDebtTooLow(u128),
    /// The surge limit's share is more than all of the debt.
    #[error("the surge limit's share of {0} bps must be at most {MAX_SURGE_SHARE_BPS}")]
    SurgeShare(u16),
    /// The surge limit's period is out of bounds.
    #[error(
        "the surge limit's period of {0} seconds must be from {MIN_SURGE_PERIOD} to {MAX_SURGE_PERIOD}, that is from 1 hour to 30 days"
    )]
    SurgePeriod(u32),
    /// The surge limit's floor is 0, so no first loan would be possible, or its amount does not fit 128 bits.
    #[error(
        "the surge limit's floor of {multiple} times the minimum debt of {min_debt} units must be at least that debt, and below 2^128 units"
    )]
    SurgeFloor {
        /// The floor as a multiple of the minimum debt.
        multiple: u32,
        /// The minimum debt in units of the loan token.
        min_debt: u128,
    },
    /// The starting rate is out of bounds.
    #[error(
        "the starting rate of {0} (1e18 per second) must be from {MIN_RATE_AT_TARGET} to {MAX_RATE_AT_TARGET}, that is from 0.1 % to 200 % a year"
    )]
    StartRate(u64),
    /// The target utilisation is out of bounds.
    #[error("the target utilisation of {0} bps must be from {MIN_TARGET_BPS} to {MAX_TARGET_BPS}")]
    Target(u16),
    /// The steepness is out of bounds.
    #[error("the steepness of {0} must be from {BPS} to {MAX_STEEPNESS}, that is from 1 to 10")]
    Steepness(u32),
    /// The adjustment speed is out of bounds.
    #[error("the adjustment speed of {0} must be at most {MAX_SPEED_PER_YEAR}, that is 200 a year")]
    Speed(u32),
    /// The packed word has bits set that no field uses.
    #[error("the word {0:#x} has bits set that mean nothing")]
    UnusedBits(U256),
}

/// A market's id: the keccak256 of its five parameter words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarketId(pub B256);

impl fmt::Display for MarketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for MarketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How fast a market's debt may grow: `floor_multiple` minimum debts and `share_bps` of the aged debt at once, and as
/// much again over each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SurgeLimit {
    /// The part of the aged debt that may be borrowed at once, in basis points.
    pub share_bps: u16,
    /// The time in which the limit refills wholly, in seconds; 24 bits in the packed word.
    pub period_secs: u32,
    /// The part of the limit that does not depend on debt, as a multiple of the minimum debt.
    pub floor_multiple: u32,
}

/// A market's risk limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Risk {
    borrow_ltv_bps: u16,
    liquidation_ltv_bps: u16,
    min_debt: u128,
    surge_limit: Option<SurgeLimit>,
}

impl Risk {
    /// Checks and packs risk limits. Fails if no market can be created with them.
    pub fn new(borrow_ltv_bps: u16, liquidation_ltv_bps: u16, min_debt: u128) -> Result<Self, InvalidParams> {
        if borrow_ltv_bps == 0 {
            return Err(InvalidParams::BorrowLtvZero);
        }
        if liquidation_ltv_bps > MAX_LIQUIDATION_LTV_BPS {
            return Err(InvalidParams::LiquidationLtvTooHigh(liquidation_ltv_bps));
        }
        if u32::from(borrow_ltv_bps) * BPS > u32::from(liquidation_ltv_bps) * BORROW_TO_LIQUIDATION_BPS {
            return Err(InvalidParams::BorrowLtvTooHigh {
                borrow_bps: borrow_ltv_bps,
                liquidation_bps: liquidation_ltv_bps,
            });
        }
        if min_debt < MIN_DEBT_LOWER_BOUND {
            return Err(InvalidParams::MinDebtTooLow(min_debt));
        }
        Ok(Self { borrow_ltv_bps, liquidation_ltv_bps, min_debt, surge_limit: None })
    }

    /// Adds a surge limit, in place of one that there was. Fails if no market can be created with it.
    pub fn with_surge_limit(self, limit: SurgeLimit) -> Result<Self, InvalidParams> {
        let SurgeLimit { share_bps, period_secs, floor_multiple: multiple } = limit;
        if share_bps > MAX_SURGE_SHARE_BPS {
            return Err(InvalidParams::SurgeShare(share_bps));
        }
        if !(MIN_SURGE_PERIOD..=MAX_SURGE_PERIOD).contains(&period_secs) {
            return Err(InvalidParams::SurgePeriod(period_secs));
        }
        if multiple == 0 || self.min_debt.checked_mul(multiple.into()).is_none() {
            return Err(InvalidParams::SurgeFloor { multiple, min_debt: self.min_debt });
        }
        Ok(Self { surge_limit: Some(limit), ..self })
    }

    /// Unpacks a word. Fails if no market can have been created with it.
    pub fn from_word(word: U256) -> Result<Self, InvalidParams> {
        if !(word >> 232usize).is_zero() {
            return Err(InvalidParams::UnusedBits(word));
        }
        let risk = Self::new(bits(word, 144), bits(word, 128), bits(word, 0))?;
        if (word >> 160usize).is_zero() {
            return Ok(risk);
        }
        let period_secs: u32 = bits((word >> 176usize) & U256::from((1u32 << 24) - 1), 0);
        risk.with_surge_limit(SurgeLimit { share_bps: bits(word, 160), period_secs, floor_multiple: bits(word, 200) })
    }

    /// The packed word, as in Solidity.
    pub fn word(self) -> U256 {
        let surge_limit = self.surge_limit.map_or(U256::ZERO, |limit| {
            (U256::from(limit.floor_multiple) << 200)
                | (U256::from(limit.period_secs) << 176)
                | (U256::from(limit.share_bps) << 160)
        });
        surge_limit
            | (U256::from(self.borrow_ltv_bps) << 144)
            | (U256::from(self.liquidation_ltv_bps) << 128)
            | U256::from(self.min_debt)
    }

    /// The ratio of debt to collateral value up to which an account may borrow, in basis points.
    pub const fn borrow_ltv_bps(self) -> u16 {
        self.borrow_ltv_bps
    }

    /// The ratio of debt to collateral value above which a loan is liquidatable, in basis points.
    pub const fn liquidation_ltv_bps(self) -> u16 {
        self.liquidation_ltv_bps
    }

    /// The minimum debt: a borrowing, a withdrawal of collateral or a liquidation leaves this much or none, in units of
    /// the loan token.
    pub const fn min_debt(self) -> u128 {
        self.min_debt
    }

    /// The highest incentive factor, βmax = min(1.15, 1 ÷ (0.3·L + 0.7)) for the liquidation LTV `L`, 1e18-scaled: the
    /// value seized for each unit repaid of a loan that is all repaid. The twin of `incentiveOf`.
    pub fn max_incentive_factor(self) -> u64 {
        let wad = u128::from(WAD);
        let divisor = 700_000_000_000_000_000 + u128::from(self.liquidation_ltv_bps) * 30_000_000_000_000;
        u64::try_from(wad * wad / divisor).unwrap_or(u64::MAX).min(MAX_INCENTIVE_FACTOR)
    }

    /// The lowest incentive factor, βmin, a quarter of the way from 1 to the highest, 1e18-scaled: that of a loan which is
    /// barely liquidatable. The twin of `incentiveOf`.
    pub fn min_incentive_factor(self) -> u64 {
        WAD + (self.max_incentive_factor() - WAD) / 4
    }

    /// The surge limit; `None` if the market's debt may grow as fast as there is liquidity.
    pub const fn surge_limit(self) -> Option<SurgeLimit> {
        self.surge_limit
    }

    /// The part of the surge limit that does not depend on debt, in units of the loan token; 0 without a limit.
    pub fn surge_floor(self) -> u128 {
        self.surge_limit.map_or(0, |limit| self.min_debt.saturating_mul(limit.floor_multiple.into()))
    }
}

/// A market's interest rate curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateCurve {
    start_rate_per_second: u64,
    target_bps: u16,
    steepness: u32,
    speed_per_year: u32,
}

impl RateCurve {
    /// Checks a curve's parameters. Fails if no market can be created with them.
    ///
    /// `start_rate_per_second` is 1e18-scaled; `steepness` and `speed_per_year` are 10,000 for 1.
    pub fn new(
        start_rate_per_second: u64,
        target_bps: u16,
        steepness: u32,
        speed_per_year: u32,
    ) -> Result<Self, InvalidParams> {
        if !(MIN_RATE_AT_TARGET..=MAX_RATE_AT_TARGET).contains(&start_rate_per_second) {
            return Err(InvalidParams::StartRate(start_rate_per_second));
        }
        if !(MIN_TARGET_BPS..=MAX_TARGET_BPS).contains(&target_bps) {
            return Err(InvalidParams::Target(target_bps));
        }
        if !(BPS..=MAX_STEEPNESS).contains(&steepness) {
            return Err(InvalidParams::Steepness(steepness));
        }
        if speed_per_year > MAX_SPEED_PER_YEAR {
            return Err(InvalidParams::Speed(speed_per_year));
        }
        Ok(Self { start_rate_per_second, target_bps, steepness, speed_per_year })
    }

    /// Unpacks a word. Fails if no market can have been created with it.
    pub fn from_word(word: U256) -> Result<Self, InvalidParams> {
        if !(word >> 112usize).is_zero() {
            return Err(InvalidParams::UnusedBits(word));
        }
        let forty_bits: u64 = bits(word & U256::from((1u64 << 40) - 1), 0);
        let twenty_four_bits: u32 = bits((word >> 56usize) & U256::from((1u32 << 24) - 1), 0);
        Self::new(forty_bits, bits(word, 40), twenty_four_bits, bits(word, 80))
    }

    /// The packed word, as in Solidity.
    pub fn word(self) -> U256 {
        (U256::from(self.speed_per_year) << 80)
            | (U256::from(self.steepness) << 56)
            | (U256::from(self.target_bps) << 40)
            | U256::from(self.start_rate_per_second)
    }

    /// The borrow rate at the target utilisation of a new market, 1e18-scaled per second.
    pub const fn start_rate_per_second(self) -> u64 {
        self.start_rate_per_second
    }

    /// The utilisation that the curve steers towards, in basis points.
    pub const fn target_bps(self) -> u16 {
        self.target_bps
    }

    /// The rate at full utilisation as a multiple of the rate at target; 10,000 is 1.
    pub const fn steepness(self) -> u32 {
        self.steepness
    }

    /// The exponent by which the rate at target moves in a year at full error; 10,000 is 1.
    pub const fn speed_per_year(self) -> u32 {
        self.speed_per_year
    }
}

impl MarketParams {
    /// The parameters of a market between these tokens.
    pub fn new(loan_token: Address, collateral_token: Address, oracle: Address, risk: Risk, curve: RateCurve) -> Self {
        Self {
            loanToken: loan_token,
            collateralToken: collateral_token,
            oracle,
            risk: risk.word(),
            curve: curve.word(),
        }
    }

    /// The market's id, computed as the contract does.
    pub fn id(&self) -> MarketId {
        MarketId(keccak256(self.abi_encode()))
    }
}

/// The lowest bits of `word` from `offset` on, as many as the type holds.
fn bits<T>(word: U256, offset: usize) -> T
where
    U256: alloy::primitives::ruint::UintTryTo<T>,
{
    (word >> offset).wrapping_to()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::address;

    #[test]
    fn packed_words_unpack_to_the_same_values() {
        let risk = Risk::new(8_000, 8_600, u128::MAX).unwrap();
        assert_eq!(Risk::from_word(risk.word()), Ok(risk));
        let limit = SurgeLimit { share_bps: 10_000, period_secs: MAX_SURGE_PERIOD, floor_multiple: u32::MAX };
        let risk = Risk::new(8_000, 8_600, 10_000).unwrap().with_surge_limit(limit).unwrap();
        assert_eq!(Risk::from_word(risk.word()), Ok(risk));
        assert_eq!(risk.surge_floor(), 10_000 * u128::from(u32::MAX));
        let curve = RateCurve::new(MAX_RATE_AT_TARGET, 9_000, 40_000, MAX_SPEED_PER_YEAR).unwrap();
        assert_eq!(RateCurve::from_word(curve.word()), Ok(curve));
    }

    #[test]
    fn unused_bits_are_refused() {
        let risk = Risk::new(8_000, 8_600, 10_000).unwrap().word() | (U256::from(1) << 232);
        assert_eq!(Risk::from_word(risk), Err(InvalidParams::UnusedBits(risk)));
        let curve = RateCurve::new(MIN_RATE_AT_TARGET, 9_000, 40_000, 0).unwrap().word() | (U256::from(1) << 112);
        assert_eq!(RateCurve::from_word(curve), Err(InvalidParams::UnusedBits(curve)));
    }

    #[test]
    fn risk_is_refused_just_outside_its_bounds() {
        assert_eq!(Risk::new(0, 8_600, 10_000), Err(InvalidParams::BorrowLtvZero));
        assert!(Risk::new(7_960, 8_000, 10_000).is_ok());
        assert_eq!(
            Risk::new(7_961, 8_000, 10_000),
            Err(InvalidParams::BorrowLtvTooHigh { borrow_bps: 7_961, liquidation_bps: 8_000 })
        );
        assert!(Risk::new(9_000, 9_800, 10_000).is_ok());
        assert_eq!(Risk::new(9_000, 9_801, 10_000), Err(InvalidParams::LiquidationLtvTooHigh(9_801)));
        assert_eq!(Risk::new(8_000, 8_600, 9_999), Err(InvalidParams::MinDebtTooLow(9_999)));
    }

    #[test]
    fn the_incentive_shrinks_with_the_liquidation_ltv_to_above_1() {
        let factors =
            |ltv| Risk::new(1, ltv, 10_000).map(|risk| (risk.min_incentive_factor(), risk.max_incentive_factor()));
        assert_eq!(factors(2).unwrap(), (1_037_500_000_000_000_000, MAX_INCENTIVE_FACTOR));
        assert_eq!(factors(8_600).unwrap(), (1_010_960_334_029_227_557, 1_043_841_336_116_910_229));
        assert_eq!(factors(9_800).unwrap(), (1_001_509_054_325_955_734, 1_006_036_217_303_822_937));
    }

    #[test]
    fn surge_limits_are_refused_just_outside_their_bounds() {
        let refused = |share_bps, period_secs, floor_multiple, min_debt| {
            let limit = SurgeLimit { share_bps, period_secs, floor_multiple };
            Risk::new(8_000, 8_600, min_debt).unwrap().with_surge_limit(limit).err()
        };
        assert_eq!(refused(0, 3_600, 1, 10_000), None);
        assert_eq!(refused(10_000, 2_592_000, 1, 10_000), None);
        assert_eq!(refused(10_001, 3_600, 1, 10_000), Some(InvalidParams::SurgeShare(10_001)));
        assert_eq!(refused(0, 3_599, 1, 10_000), Some(InvalidParams::SurgePeriod(3_599)));
        assert_eq!(refused(0, 2_592_001, 1, 10_000), Some(InvalidParams::SurgePeriod(2_592_001)));
        let floor = |multiple, min_debt| Some(InvalidParams::SurgeFloor { multiple, min_debt });
        assert_eq!(refused(0, 3_600, 0, 10_000), floor(0, 10_000));
        assert_eq!(refused(0, 3_600, 2, u128::MAX / 2), None);
        assert_eq!(refused(0, 3_600, 2, u128::MAX / 2 + 1), floor(2, u128::MAX / 2 + 1));
        // A word with a part of a limit is no market's.
        let share_only = Risk::new(8_000, 8_600, 10_000).unwrap().word() | (U256::from(1) << 160);
        assert_eq!(Risk::from_word(share_only), Err(InvalidParams::SurgePeriod(0)));
    }

    #[test]
    fn curves_are_refused_just_outside_their_bounds() {
        let curve = |start, target, steepness, speed| RateCurve::new(start, target, steepness, speed).err();
        let start = MIN_RATE_AT_TARGET;
        assert_eq!(curve(start, 100, 10_000, 0), None);
        assert_eq!(curve(start - 1, 100, 10_000, 0), Some(InvalidParams::StartRate(start - 1)));
        assert_eq!(
            curve(MAX_RATE_AT_TARGET + 1, 100, 10_000, 0),
            Some(InvalidParams::StartRate(MAX_RATE_AT_TARGET + 1))
        );
        assert_eq!(curve(start, 99, 10_000, 0), Some(InvalidParams::Target(99)));
        assert_eq!(curve(start, 9_901, 10_000, 0), Some(InvalidParams::Target(9_901)));
        assert_eq!(curve(start, 100, 9_999, 0), Some(InvalidParams::Steepness(9_999)));
        assert_eq!(curve(start, 100, 100_001, 0), Some(InvalidParams::Steepness(100_001)));
        assert_eq!(curve(start, 100, 10_000, 2_000_001), Some(InvalidParams::Speed(2_000_001)));
    }

    #[test]
    fn the_id_is_the_hash_of_five_words() {
        let params = MarketParams::new(
            address!("0x0000000000000000000000000000000000000001"),
            address!("0x0000000000000000000000000000000000000002"),
            address!("0x0000000000000000000000000000000000000003"),
            Risk::new(8_000, 8_600, 10_000).unwrap(),
            RateCurve::new(MIN_RATE_AT_TARGET, 9_000, 40_000, 0).unwrap(),
        );
        let words: Vec<u8> = [U256::from(1), U256::from(2), U256::from(3), params.risk, params.curve]
            .iter()
            .flat_map(U256::to_be_bytes::<32>)
            .collect();
        assert_eq!(params.id(), MarketId(keccak256(words)));
    }
}
