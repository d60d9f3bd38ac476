//! Interest: the growth of a market's debt, and the adaptive borrow rate. The twin of `InterestMath`.

use alloy::primitives::{I256, U256};
use plimsoll_contracts::{
    RateCurve,
    market::{BPS, MAX_RATE_AT_TARGET, MIN_RATE_AT_TARGET, SECONDS_PER_YEAR},
};

use super::{
    shares::{VIRTUAL_ASSETS, VIRTUAL_SHARES},
    types::{Accrued, Market},
    wide::{WAD, mul_div_down, product, to_u128},
};

const WAD_I128: i128 = 1_000_000_000_000_000_000;
/// Bound of half the exponent of the drift, 1e18-scaled.
const MAX_HALF_DRIFT: i128 = 8 * WAD_I128;
/// The most shares that a market's reserve holds; the fee on interest beyond that goes to suppliers.
pub const MAX_RESERVE_SHARES: u128 = (1 << 114) - 1;
/// Bound of the growth factor of one accrual, 1e18-scaled.
const MAX_GROWTH: u128 = (1 << 96) - 1;

/// Accrues a market's interest up to `timestamp`, which must be later than its last update, and moves its rate at
/// target.
pub fn accrue(market: &mut Market, curve: RateCurve, timestamp: u64) -> Accrued {
    let elapsed = timestamp.saturating_sub(market.last_update);
    market.last_update = timestamp;

    let distance = distance_from_target(market.supply_assets, market.borrow_assets, curve.target_bps());
    let drift = drift(market.rate_at_target, distance, curve.speed_per_year(), elapsed);
    market.rate_at_target = drift.end;

    let growth = compounded(borrow_rate(drift.average, distance, curve.steepness()), elapsed);
    let (interest, remainder) = interest_on(market.borrow_assets, growth, market.interest_remainder);
    market.interest_remainder = remainder;
    let interest = interest.min(u128::MAX - market.supply_assets);
    market.borrow_assets = market.borrow_assets.saturating_add(interest);
    market.supply_assets += interest;
    let mut fee_shares = 0;
    if market.fee_bps != 0 {
        fee_shares = fee_shares_down(interest, market.fee_bps, market.supply_assets, market.supply_shares)
            .min(MAX_RESERVE_SHARES.saturating_sub(market.reserve_shares));
        market.supply_shares = market.supply_shares.saturating_add(fee_shares);
        market.reserve_shares = market.reserve_shares.saturating_add(fee_shares);
    }
    Accrued { interest, fee_shares }
}

/// Returns the distance of the utilisation from the target, 1e18-scaled: -1e18 if nothing is borrowed, 0 at the target,
/// 1e18 if everything is borrowed.
pub fn distance_from_target(supply_assets: u128, borrow_assets: u128, target_bps: u16) -> i128 {
    let wad = u128::from(WAD);
    let target = u128::from(target_bps) * (wad / u128::from(BPS));
    let utilisation = if supply_assets == 0 {
        0
    } else {
        // Borrow assets do not exceed supply assets.
        to_u128(product(borrow_assets, wad) / U256::from(supply_assets)).min(wad)
    };
    // Both quotients are at most 1e18.
    if utilisation >= target {
        to_i128((utilisation - target) * wad / (wad - target))
    } else {
        -to_i128((target - utilisation) * wad / target)
    }
}

/// The movement of a rate at target over a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// Average rate over the period, by the trapezoidal rule with a middle point.
    pub average: u64,
    /// Rate at the end of the period.
    pub end: u64,
}

/// Returns the rate at target after `elapsed` seconds at a constant distance from the target, and its average over
/// them.
pub fn drift(rate_at_target: u64, distance: i128, speed_per_year: u32, elapsed: u64) -> Drift {
    if speed_per_year == 0 || distance == 0 {
        return Drift { average: rate_at_target, end: rate_at_target };
    }
    // 2^21 × 2^60 × 2^40 fit.
    let half = i128::from(speed_per_year) * distance * i128::from(elapsed.min((1 << 40) - 1))
        / (2 * i128::from(BPS) * i128::from(SECONDS_PER_YEAR));
    let factor = exp_wad(half.clamp(-MAX_HALF_DRIFT, MAX_HALF_DRIFT));
    // 2^36 × 2^72 fit.
    let wad = u128::from(WAD);
    let middle = u128::from(rate_at_target) * factor / wad;
    // To the nearest, as in the contract.
    let wad_squared = product(wad, wad);
    let end = product(u128::from(rate_at_target) * factor, factor) + wad_squared / U256::from(2);
    let end = to_u128(end / wad_squared);
    let (middle, end) = (within_bounds(middle), within_bounds(end));
    Drift { average: (rate_at_target + 2 * middle + end) / 4, end }
}

/// Returns the borrow rate at this distance from the target, per second, 1e18-scaled.
pub fn borrow_rate(rate_at_target: u64, distance: i128, steepness: u32) -> u64 {
    let (wad, bps) = (u128::from(WAD), u128::from(BPS));
    let (steepness, rate) = (u128::from(steepness), u128::from(rate_at_target));
    let beyond = (steepness - bps) * distance.unsigned_abs();
    // 2^36 × 2^77 fit.
    let scaled = if distance >= 0 {
        rate * (bps * wad + beyond) / (bps * wad)
    } else {
        rate * (steepness * wad - beyond) / (steepness * wad)
    };
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Returns `exp(rate × elapsed) - 1` by the first three terms of its series, 1e18-scaled, at most 2^96 - 1.
pub fn compounded(rate_per_second: u64, elapsed: u64) -> u128 {
    let first = product(u128::from(rate_per_second), u128::from(elapsed));
    let second = first * first / U256::from(2 * WAD);
    let third = second * first / U256::from(3 * WAD);
    to_u128(first + second + third).min(MAX_GROWTH)
}

/// Returns the whole units of interest on a debt, and the remainder in 2^-32 units.
pub fn interest_on(borrow_assets: u128, growth: u128, remainder: u32) -> (u128, u32) {
    let grown: U256 = product(borrow_assets, growth) << 32;
    let scaled = grown / U256::from(WAD) + U256::from(remainder);
    let fraction: u32 = scaled.wrapping_to();
    (to_u128(scaled >> 32), fraction)
}

/// Returns the supply shares that are worth the fee on `interest`, where `supply_assets` already includes the interest.
pub fn fee_shares_down(interest: u128, fee_bps: u16, supply_assets: u128, supply_shares: u128) -> u128 {
    let fee_times_bps = product(interest, u128::from(fee_bps));
    let rest = (U256::from(supply_assets) + U256::from(VIRTUAL_ASSETS)) * U256::from(BPS) - fee_times_bps;
    let shares = mul_div_down(fee_times_bps, U256::from(supply_shares) + U256::from(VIRTUAL_SHARES), rest);
    to_u128(shares).min((u128::MAX - VIRTUAL_SHARES).saturating_sub(supply_shares))
}

/// Returns `exp(x)`, both 1e18-scaled, by the same rational approximation as on chain, for `x` within ±8e18.
pub fn exp_wad(x: i128) -> u128 {
    // 2^96-based from here on: 1e18 is 5^18 × 2^18.
    let x: I256 = wide(x) << 78;
    let x = x / wide(5i128.pow(18));
    let ln2 = wide(54_916_777_467_707_473_351_141_471_128);
    // x = k·ln 2 + a rest within ± half of ln 2; shifts of negative numbers round down, as on chain.
    let (scaled, half): (I256, I256) = (x << 96, wide(1) << 95);
    let k = (scaled / ln2 + half).asr(96);
    let x = x - k * ln2;

    let step = |sum: I256, factor: I256, constant: i128| (sum * factor).asr(96) + wide(constant);
    let y = x + wide(1_346_386_616_545_796_478_920_950_773_328);
    let y = step(y, x, 57_155_421_227_552_351_082_224_309_758_442);
    let p = y + x - wide(94_201_549_194_550_492_254_356_042_504_812);
    let p = step(p, y, 28_719_021_644_029_726_153_956_944_680_412_240);
    let constant: I256 = wide(4_385_272_521_454_847_904_659_076_985_693_276) << 96;
    let p = p * x + constant;

    let q = x - wide(2_855_989_394_907_223_263_936_484_059_900);
    let q = step(q, x, 50_020_603_652_535_783_019_961_831_881_945);
    let q = step(q, x, -533_845_033_583_426_703_283_633_433_725_380);
    let q = step(q, x, 3_604_857_256_930_695_427_073_651_918_091_429);
    let q = step(q, x, -14_423_608_567_350_463_180_887_372_962_807_573);
    let q = step(q, x, 26_449_188_498_355_588_339_934_803_723_976_023);

    let ratio = (p / q).into_raw();
    // The scale of the approximation, 2^k and the way back to 1e18, in one multiplication and one shift.
    let scale = U256::from_limbs(SCALE_LIMBS);
    let shift = (wide(195) - k).into_raw().saturating_to::<usize>();
    to_u128(ratio.wrapping_mul(scale) >> shift)
}

/// 3822833074963236453042738258902158003155416615667, the scale of the approximation, as limbs.
const SCALE_LIMBS: [u64; 4] = [0xee70_ef65_f997_8af3, 0x63c3_2e5c_2f6d_c192, 0x2_9d9d_c385, 0];

fn wide(value: i128) -> I256 {
    I256::try_from(value).unwrap_or(I256::ZERO)
}

fn to_i128(value: u128) -> i128 {
    i128::try_from(value).unwrap_or(i128::MAX)
}

fn within_bounds(rate: u128) -> u64 {
    u64::try_from(rate).unwrap_or(u64::MAX).clamp(MIN_RATE_AT_TARGET, MAX_RATE_AT_TARGET)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published values of the exponential approximation that the contract uses.
    #[test]
    fn the_exponential_equals_the_published_values() {
        let wad = WAD_I128;
        for (x, exp) in [
            (0, 1_000_000_000_000_000_000),
            (-3 * wad, 49_787_068_367_863_942),
            (-2 * wad, 135_335_283_236_612_691),
            (-wad, 367_879_441_171_442_321),
            (-wad / 2, 606_530_659_712_633_423),
            (-3 * wad / 10, 740_818_220_681_717_866),
            (3 * wad / 10, 1_349_858_807_576_003_103),
            (wad / 2, 1_648_721_270_700_128_146),
            (wad, 2_718_281_828_459_045_235),
            (2 * wad, 7_389_056_098_930_650_227),
            (3 * wad, 20_085_536_923_187_667_741),
        ] {
            assert_eq!(exp_wad(x), exp, "exp({x})");
        }
    }

    /// Values computed from the formula, with each term rounded down.
    #[test]
    fn interest_compounds_by_three_terms() {
        for (rate, elapsed, growth) in [
            (1_268_391_679, 31_536_000, 40_810_666_655_159_581),
            (1_000_000_000, 86_400, 86_403_732_587_495),
            (50_000_000_000, 31_536_000, 3_473_348_297_472_000_000),
            (253_678_335_868, 3_600, 913_659_141_550_723),
        ] {
            assert_eq!(compounded(rate, elapsed), growth);
        }
    }
}
