/** Integer helpers that the contracts' libraries use under the same names. Every amount is a bigint, never a float. */

export const WAD = 10n ** 18n;
export const BPS = 10_000n;
export const ORACLE_SCALE = 10n ** 36n;
export const MAX_UINT256 = (1n << 256n) - 1n;
export const MAX_AMOUNT = (1n << 128n) - 1n;
export const YEAR_SECS = 365n * 86_400n;

export const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
export const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
export const clamp = (x: bigint, low: bigint, high: bigint): bigint => max(low, min(x, high));
export const zeroFloorSub = (a: bigint, b: bigint): bigint => (a > b ? a - b : 0n);

/** Returns the quotient rounded up, of numbers that are not negative; 0 where the divisor is 0. */
export const divUp = (a: bigint, b: bigint): bigint => (b === 0n ? 0n : (a + b - 1n) / b);
