/** A market's words, its interest and its surge limit, as `Risk`, `RateCurve`, `InterestMath` and `SurgeMath` have them. */
import { BPS, MAX_AMOUNT, WAD, YEAR_SECS, clamp, min, zeroFloorSub } from "./integers";
import { expWad } from "./exponential";

/** The totals of a market, named as in the contract. */
export interface Market {
  supplyAssets: bigint;
  supplyShares: bigint;
  borrowAssets: bigint;
  borrowShares: bigint;
  lastUpdate: bigint;
  feeBps: bigint;
  rateAtTarget: bigint;
  interestRemainder: bigint;
  reserveShares: bigint;
  surgeLevel: bigint;
}

const bits = (word: bigint, shift: bigint, width: bigint): bigint => (word >> shift) & ((1n << width) - 1n);

/** Unpacks a market's risk limits. */
export function unpackRisk(risk: bigint) {
  const minDebt = bits(risk, 0n, 128n);
  return {
    minDebt,
    liquidationLtvBps: bits(risk, 128n, 16n),
    borrowLtvBps: bits(risk, 144n, 16n),
    surgeShareBps: bits(risk, 160n, 16n),
    surgePeriodSecs: bits(risk, 176n, 24n),
    surgeFloor: bits(risk, 200n, 32n) * minDebt,
  };
}
export type Risk = ReturnType<typeof unpackRisk>;

/** Unpacks a market's rate curve. */
export function unpackCurve(curve: bigint) {
  return {
    startRatePerSecond: bits(curve, 0n, 40n),
    targetBps: bits(curve, 40n, 16n),
    steepness: bits(curve, 56n, 24n),
    speedPerYear: bits(curve, 80n, 32n),
  };
}
export type RateCurve = ReturnType<typeof unpackCurve>;

/* INTEREST */

const MIN_RATE_AT_TARGET = 10n ** 15n / YEAR_SECS;
const MAX_RATE_AT_TARGET = (2n * WAD) / YEAR_SECS;
const MAX_HALF_DRIFT = 8n * WAD;
const MAX_GROWTH = (1n << 96n) - 1n;
const MAX_RESERVE_SHARES = (1n << 114n) - 1n;
const VIRTUAL_SHARES = 1_000_000n;

/** Returns the distance of utilisation from the target, 1e18-scaled, from -1 to 1. */
export function distanceFromTarget(supplyAssets: bigint, borrowAssets: bigint, targetBps: bigint): bigint {
  const target = targetBps * (WAD / BPS);
  const utilisation = supplyAssets === 0n ? 0n : (borrowAssets * WAD) / supplyAssets;
  if (utilisation >= target) return ((utilisation - target) * WAD) / (WAD - target);
  return -(((target - utilisation) * WAD) / target);
}

/** Returns the borrow rate per second at a distance from the target, 1e18-scaled. */
export function borrowRate(rateAtTarget: bigint, distance: bigint, steepness: bigint): bigint {
  if (distance >= 0n) return (rateAtTarget * (BPS * WAD + (steepness - BPS) * distance)) / (BPS * WAD);
  return (rateAtTarget * (steepness * WAD - (steepness - BPS) * -distance)) / (steepness * WAD);
}

/** Returns the rate at target after `elapsed` seconds, and its average over them. */
export function drift(rateAtTarget: bigint, distance: bigint, speedPerYear: bigint, elapsed: bigint) {
  if (speedPerYear === 0n || distance === 0n) return { average: rateAtTarget, end: rateAtTarget };
  const within = (rate: bigint) => clamp(rate, MIN_RATE_AT_TARGET, MAX_RATE_AT_TARGET);
  const half = clamp((speedPerYear * distance * elapsed) / (2n * BPS * YEAR_SECS), -MAX_HALF_DRIFT, MAX_HALF_DRIFT);
  const factor = expWad(half);
  const middle = within((rateAtTarget * factor) / WAD);
  const end = within((rateAtTarget * factor * factor + (WAD * WAD) / 2n) / (WAD * WAD));
  return { average: (rateAtTarget + 2n * middle + end) / 4n, end };
}

/** Returns `exp(rate × elapsed) - 1` by three terms, 1e18-scaled. */
export function compounded(ratePerSecond: bigint, elapsed: bigint): bigint {
  const first = ratePerSecond * elapsed;
  const second = (first * first) / (2n * WAD);
  const third = (second * first) / (3n * WAD);
  return min(first + second + third, MAX_GROWTH);
}

function feeSharesDown(interest: bigint, feeBps: bigint, supplyAssets: bigint, supplyShares: bigint): bigint {
  const fee = interest * feeBps;
  const shares = (fee * (supplyShares + VIRTUAL_SHARES)) / ((supplyAssets + 1n) * BPS - fee);
  return min(shares, MAX_AMOUNT - VIRTUAL_SHARES - supplyShares);
}

/** Returns the market with its interest up to `timestamp` and its surge limit refilled. */
export function accrue(market: Market, risk: Risk, curve: RateCurve, timestamp: bigint): Market {
  const elapsed = timestamp - market.lastUpdate;
  const m = { ...market, lastUpdate: timestamp, surgeLevel: refilled(market.surgeLevel, risk, elapsed) };
  const distance = distanceFromTarget(m.supplyAssets, m.borrowAssets, curve.targetBps);
  const { average, end } = drift(m.rateAtTarget, distance, curve.speedPerYear, elapsed);
  m.rateAtTarget = end;
  const growth = compounded(borrowRate(average, distance, curve.steepness), elapsed);
  const scaled = ((m.borrowAssets * growth) << 32n) / WAD + m.interestRemainder;
  m.interestRemainder = scaled & 0xffff_ffffn;
  const interest = min(scaled >> 32n, MAX_AMOUNT - m.supplyAssets);
  m.borrowAssets += interest;
  m.supplyAssets += interest;
  if (m.feeBps !== 0n) {
    const earned = feeSharesDown(interest, m.feeBps, m.supplyAssets, m.supplyShares);
    const shares = min(earned, MAX_RESERVE_SHARES - m.reserveShares);
    m.supplyShares += shares;
    m.reserveShares += shares;
  }
  return m;
}

/* SURGE LIMIT */

const FULL = (1n << 28n) - 1n;

function refilled(level: bigint, risk: Risk, elapsed: bigint): bigint {
  if (level === 0n || risk.surgePeriodSecs === 0n) return level;
  return zeroFloorSub(level, (elapsed * FULL) / risk.surgePeriodSecs);
}

const limitFraction = (m: Market, risk: Risk) => ({
  n: risk.surgeFloor * BPS + risk.surgeShareBps * m.borrowAssets,
  d: BPS * FULL + risk.surgeShareBps * m.surgeLevel,
});

/** Returns the most that can be borrowed at once under the surge limit, or `undefined` in a market without one. */
export function surgeRoom(m: Market, risk: Risk): bigint | undefined {
  if (risk.surgePeriodSecs === 0n) return undefined;
  const { n, d } = limitFraction(m, risk);
  return ((FULL - m.surgeLevel) * n) / d;
}

/** Returns the level after `assets` are borrowed; above 2^28 - 1 if they exceed the room. */
export function surgeLevelAfterBorrow(m: Market, risk: Risk, assets: bigint): bigint {
  const { n, d } = limitFraction(m, risk);
  return m.surgeLevel + (assets * d + n - 1n) / n;
}

/** Returns the level after `assets` are paid in. */
export function surgeLevelAfterRefund(m: Market, risk: Risk, assets: bigint): bigint {
  const { n, d } = limitFraction(m, risk);
  return zeroFloorSub(m.surgeLevel, (assets * d) / n);
}
