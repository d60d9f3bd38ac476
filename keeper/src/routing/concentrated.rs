//! Swaps in a pool with concentrated liquidity (Uniswap V3 and forks), to the unit: the pool's own arithmetic over the ticks
//! that were read of it.

use alloy::primitives::{U256, uint};

use crate::math::wide::{div_up, mul_div_down, mul_div_up};

/// A fee in millionths that takes everything.
const MILLION: u32 = 1_000_000;
/// Ticks of one word of a pool's bitmap.
const WORD: i32 = 256;
/// The lowest and the highest tick.
pub(super) const LAST_TICK: i32 = 887_272;
/// Roots of the lowest and the highest price, times 2^96.
const MIN_ROOT: U256 = uint!(4_295_128_739_U256);
const MAX_ROOT: U256 = uint!(1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342_U256);
const Q96: U256 = uint!(0x1000000000000000000000000_U256);
/// Roots of 1.0001 to the power of -1, -2, -4 and so on, times 2^128.
const ROOTS: [U256; 20] = [
    uint!(0xfffcb933bd6fad37aa2d162d1a594001_U256),
    uint!(0xfff97272373d413259a46990580e213a_U256),
    uint!(0xfff2e50f5f656932ef12357cf3c7fdcc_U256),
    uint!(0xffe5caca7e10e4e61c3624eaa0941cd0_U256),
    uint!(0xffcb9843d60f6159c9db58835c926644_U256),
    uint!(0xff973b41fa98c081472e6896dfb254c0_U256),
    uint!(0xff2ea16466c96a3843ec78b326b52861_U256),
    uint!(0xfe5dee046a99a2a811c461f1969c3053_U256),
    uint!(0xfcbe86c7900a88aedcffc83b479aa3a4_U256),
    uint!(0xf987a7253ac413176f2b074cf7815e54_U256),
    uint!(0xf3392b0822b70005940c7a398e4b70f3_U256),
    uint!(0xe7159475a2c29b7443b29c7fa6e889d9_U256),
    uint!(0xd097f3bdfd2022b8845ad8f792aa5825_U256),
    uint!(0xa9f746462d870fdf8a65dc1f90e061e5_U256),
    uint!(0x70d869a156d2a1b890bb3df62baf32f7_U256),
    uint!(0x31be135f97d08fd981231505542fcfa6_U256),
    uint!(0x9aa508b5b7a84e1c677de54f3e99bc9_U256),
    uint!(0x5d6af8dedb81196699c329225ee604_U256),
    uint!(0x2216e584f5fa1ea926041bedfe98_U256),
    uint!(0x48a170391f7dc42444e8fa2_U256),
];

/// The ticks of a pool around its price, as read in one block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ticks {
    /// Distance of ticks that positions may begin and end at.
    pub spacing: i32,
    /// The pool's present tick.
    pub current: i32,
    /// Ticks at which the liquidity changes when the price rises over them, and by how much, in ascending order.
    pub net: Vec<(i32, i128)>,
    /// The lowest and the highest tick up to which `net` has them all.
    pub known: (i32, i32),
}

/// Result of a swap of an exact input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// The whole input is taken, for these units.
    Exact(U256),
    /// The known ticks end before the input does: at least these units come out.
    AtLeast(U256),
    /// All of the pool's liquidity is used up before the input is: the executor refuses that.
    TooShallow,
}

/// Returns what selling an exact input brings. `zero_for_one` says whether the lower token is sold, which lowers the price.
pub fn swap(
    (mut root, mut liquidity, fee): (U256, u128, u32),
    ticks: &Ticks,
    zero_for_one: bool,
    amount_in: U256,
) -> Option<Swap> {
    let fee_left = MILLION.checked_sub(fee)?;
    let (mut tick, mut remaining, mut out) = (ticks.current, amount_in, U256::ZERO);
    while !remaining.is_zero() {
        if root <= MIN_ROOT.saturating_add(U256::ONE) && zero_for_one
            || root >= MAX_ROOT.saturating_sub(U256::ONE) && !zero_for_one
        {
            return Some(Swap::TooShallow);
        }
        let (next, net) = ticks.next(tick, zero_for_one)?;
        let next = next.clamp(-LAST_TICK, LAST_TICK);
        if next < ticks.known.0 || next > ticks.known.1 {
            return Some(Swap::AtLeast(out));
        }
        let next_root = root_at(next)?;
        let target = next_root.clamp(MIN_ROOT.saturating_add(U256::ONE), MAX_ROOT.saturating_sub(U256::ONE));
        let step = step(root, target, liquidity, remaining, (fee, fee_left))?;
        root = step.root;
        remaining = remaining.checked_sub(step.amount_in)?.checked_sub(step.fee)?;
        out = out.checked_add(step.amount_out)?;
        if root == next_root {
            if let Some(net) = net {
                liquidity = liquidity.checked_add_signed(if zero_for_one { net.checked_neg()? } else { net })?;
            }
            tick = if zero_for_one { next.checked_sub(1)? } else { next };
        }
    }
    Some(Swap::Exact(out))
}

impl Ticks {
    /// Returns the next tick on the way, as a pool looks for it: within one word of its bitmap, else that word's end. With the
    /// change of liquidity where there is one.
    fn next(&self, tick: i32, downwards: bool) -> Option<(i32, Option<i128>)> {
        let compressed = tick.checked_div_euclid(self.spacing)?;
        let at = |compressed: i32| compressed.checked_mul(self.spacing);
        let (found, end) = if downwards {
            let above = self.net.partition_point(|(net_tick, _)| *net_tick <= tick);
            let end = at(compressed.div_euclid(WORD).checked_mul(WORD)?)?;
            (self.net[..above].last().filter(|(net_tick, _)| *net_tick >= end), end)
        } else {
            let above = self.net.partition_point(|(net_tick, _)| *net_tick <= tick);
            let next = compressed.checked_add(1)?;
            let end = at(next.div_euclid(WORD).checked_mul(WORD)?.checked_add(WORD - 1)?)?;
            (self.net[above..].first().filter(|(net_tick, _)| *net_tick <= end), end)
        };
        Some(found.map_or((end, None), |(net_tick, net)| (*net_tick, Some(*net))))
    }
}

/// One step of a swap, within a range of the same liquidity.
struct Step {
    root: U256,
    amount_in: U256,
    amount_out: U256,
    fee: U256,
}

/// As `SwapMath.computeSwapStep` for an exact input.
fn step(root: U256, target: U256, liquidity: u128, remaining: U256, (fee, fee_left): (u32, u32)) -> Option<Step> {
    let zero_for_one = root >= target;
    let (fee, fee_left, liquidity) = (U256::from(fee), U256::from(fee_left), U256::from(liquidity));
    let after_fee = mul_div_down(remaining, fee_left, U256::from(MILLION));
    let in_to = |to: U256| {
        if zero_for_one { amount0(to, root, liquidity, true) } else { amount1(root, to, liquidity, true) }
    };
    let whole = in_to(target)?;
    let next = if after_fee >= whole { target } else { root_after(root, liquidity, after_fee, zero_for_one)? };
    let reached = next == target;
    let amount_in = if reached { whole } else { in_to(next)? };
    let amount_out =
        if zero_for_one { amount1(next, root, liquidity, false)? } else { amount0(root, next, liquidity, false)? };
    let fee = if reached { mul_div_up(amount_in, fee, fee_left) } else { remaining.checked_sub(amount_in)? };
    Some(Step { root: next, amount_in, amount_out, fee })
}

/// Units of the lower token between two roots.
fn amount0(low: U256, high: U256, liquidity: U256, up: bool) -> Option<U256> {
    let (numerator, difference): (U256, _) = (liquidity << 96, high.checked_sub(low)?);
    Some(if up {
        div_up(mul_div_up(numerator, difference, high), low)
    } else {
        mul_div_down(numerator, difference, high).checked_div(low)?
    })
}

/// Units of the higher token between two roots.
fn amount1(low: U256, high: U256, liquidity: U256, up: bool) -> Option<U256> {
    let difference = high.checked_sub(low)?;
    Some(if up { mul_div_up(liquidity, difference, Q96) } else { mul_div_down(liquidity, difference, Q96) })
}

/// The root after an input within a range, rounded to the pool's side.
fn root_after(root: U256, liquidity: U256, amount: U256, zero_for_one: bool) -> Option<U256> {
    if !zero_for_one {
        return root.checked_add(mul_div_down(amount, Q96, liquidity));
    }
    if amount.is_zero() {
        return Some(root);
    }
    let numerator: U256 = liquidity << 96;
    let denominator = amount.checked_mul(root).and_then(|product| numerator.checked_add(product));
    Some(match denominator {
        Some(denominator) => mul_div_up(numerator, root, denominator),
        None => div_up(numerator, numerator.checked_div(root)?.checked_add(amount)?),
    })
}

/// Returns the root of the price at a tick, times 2^96, as `TickMath.getSqrtRatioAtTick` rounds it.
pub(super) fn root_at(tick: i32) -> Option<U256> {
    let distance = tick.unsigned_abs();
    if distance > LAST_TICK.unsigned_abs() {
        return None;
    }
    let mut ratio: U256 = U256::ONE << 128;
    for (bit, root) in ROOTS.iter().enumerate() {
        if distance >> bit & 1 == 1 {
            ratio = ratio.checked_mul(*root)? >> 128;
        }
    }
    if tick > 0 {
        ratio = U256::MAX.checked_div(ratio)?;
    }
    Some(div_up(ratio, U256::ONE << 32))
}
