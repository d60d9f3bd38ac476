/** The liquidation rule, as `LiquidationMath` has it, and what a liquidation at a given price costs a borrower. */
import { BPS, MAX_AMOUNT, ORACLE_SCALE, WAD, divUp, min, zeroFloorSub } from "./integers";
import { toDebtSharesDown } from "./shares";
import type { Risk } from "./market";

const MAX_INCENTIVE_FACTOR = 115n * 10n ** 16n;

export type Zone = "ramp" | "breakeven" | "insolvent";

/** Returns the liquidation incentive factors at a liquidation LTV, 1e18-scaled. */
export function incentiveOf(ltvBps: bigint) {
  const maxFactor = min(MAX_INCENTIVE_FACTOR, (WAD * WAD) / (7n * 10n ** 17n + ltvBps * 3n * 10n ** 13n));
  return { ltvBps, maxFactor, minFactor: WAD + (maxFactor - WAD) / 4n };
}
export type Incentive = ReturnType<typeof incentiveOf>;

/** Returns the value of collateral in units of the loan token, rounded down. */
export const valueDown = (collateral: bigint, price: bigint): bigint =>
  min((collateral * price) / ORACLE_SCALE, MAX_AMOUNT);

export const isHealthy = (debt: bigint, value: bigint, ltvBps: bigint): boolean => debt * BPS <= value * ltvBps;

/** Returns the zone of a liquidatable loan, the max repay, and on the ramp the incentive factor. */
export function maxRepayOf(incentive: Incentive, debt: bigint, value: bigint, minDebt: bigint) {
  const valueWad = value * WAD;
  if (valueWad > incentive.maxFactor * debt) {
    const factor = rampIncentiveFactorDown(incentive, debt, value);
    const repay = repayToTargetDown(incentive.ltvBps, debt, value, factor);
    return { zone: "ramp" as Zone, maxRepay: debt - repay < minDebt ? debt : repay, factor };
  }
  if (valueWad >= incentive.minFactor * debt) return { zone: "breakeven" as Zone, maxRepay: debt, factor: 0n };
  const factor = insolventIncentiveFactorDown(incentive, debt, value);
  return { zone: "insolvent" as Zone, maxRepay: divUp(valueWad, factor), factor: 0n };
}

export function rampIncentiveFactorDown({ ltvBps, maxFactor, minFactor }: Incentive, debt: bigint, value: bigint) {
  const slope = ((maxFactor - minFactor) * WAD) / (WAD - (ltvBps * maxFactor) / BPS);
  return minFactor + (slope * (debt * BPS - value * ltvBps)) / (debt * BPS);
}

export function repayToTargetDown(ltvBps: bigint, debt: bigint, value: bigint, factor: bigint) {
  const twiceTarget = 3n * BPS - ltvBps;
  return ((twiceTarget * debt - 2n * ltvBps * value) * WAD) / (twiceTarget * WAD - 2n * ltvBps * factor);
}

export function insolventIncentiveFactorDown({ ltvBps, maxFactor, minFactor }: Incentive, debt: bigint, value: bigint) {
  const shortfall = minFactor - divUp(value * WAD, debt);
  const span = divUp(BPS * WAD, ltvBps) - maxFactor;
  return min(minFactor + ((maxFactor - minFactor) * shortfall) / span, maxFactor);
}

export const seizedDown = (repaid: bigint, factor: bigint, price: bigint): bigint =>
  (repaid * factor * (ORACLE_SCALE / WAD)) / price;

/** A loan in a market that is accrued to now. */
export interface Loan {
  debt: bigint;
  collateral: bigint;
  borrowShares: bigint;
}

/** Returns what one liquidation at `price` takes from a loan, or `undefined` where the loan is healthy. */
export function liquidationAt(
  loan: Loan,
  market: { borrowAssets: bigint; borrowShares: bigint },
  risk: Risk,
  price: bigint,
) {
  const incentive = incentiveOf(risk.liquidationLtvBps);
  const value = valueDown(loan.collateral, price);
  if (loan.debt === 0n || isHealthy(loan.debt, value, incentive.ltvBps)) return undefined;
  const { zone, maxRepay, factor } = maxRepayOf(incentive, loan.debt, value, risk.minDebt);
  if (zone !== "ramp") {
    const cost = zeroFloorSub(value, loan.debt);
    return { zone, repaid: maxRepay, seized: loan.collateral, debtLeft: 0n, collateralLeft: 0n, cost };
  }
  const seized = min(seizedDown(maxRepay, factor, price), loan.collateral);
  const part = maxRepay !== loan.debt && toDebtSharesDown(maxRepay, market.borrowAssets, market.borrowShares) === 0n;
  if (part) return undefined;
  const cost = zeroFloorSub(valueDown(seized, price), maxRepay);
  const debtLeft = loan.debt - maxRepay;
  return { zone, repaid: maxRepay, seized, debtLeft, collateralLeft: loan.collateral - seized, cost };
}

/** Returns the highest price at which a loan is liquidatable: its waterline. `undefined` without debt or collateral. */
export function waterlinePrice(debt: bigint, collateral: bigint, ltvBps: bigint): bigint | undefined {
  if (debt === 0n) return undefined;
  const highest = (debt * BPS - 1n) / ltvBps;
  if (collateral === 0n || highest >= MAX_AMOUNT) return undefined;
  return ((highest + 1n) * ORACLE_SCALE - 1n) / collateral;
}
