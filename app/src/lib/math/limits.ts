/** The most that a verb can move. Each limit is computed as of a later time, so that interest until then does not break it. */
import { BPS, ORACLE_SCALE, divUp, min, zeroFloorSub } from "./integers";
import { valueDown } from "./liquidation";
import { accrue, surgeRoom, type Market, type RateCurve, type Risk } from "./market";
import { MIN_DEBT_SHARES, borrowableByShares, toDebtSharesUp, toDebtUp } from "./shares";

/** How long a person may take to sign: debts are those at the end of it. */
export const SIGNING_SECS = 900n;

export interface PositionShares {
  borrowShares: bigint;
  collateral: bigint;
}

/** Returns a market as it will be when a transaction that is prepared now is mined late. */
export const atSigning = (market: Market, risk: Risk, curve: RateCurve, now: bigint): Market =>
  accrue(market, risk, curve, now + SIGNING_SECS);

/** Returns a loan's debt when a transaction that is prepared now is mined late. */
export const debtAtSigning = (shares: bigint, market: Market, risk: Risk, curve: RateCurve, now: bigint): bigint => {
  const later = atSigning(market, risk, curve, now);
  return toDebtUp(shares, later.borrowAssets, later.borrowShares);
};

/** Returns the most that a position can borrow at the borrow price, as the lens computes it; 0 below the minimum debt. */
export function maxBorrow(position: PositionShares, m: Market, risk: Risk, price: bigint): bigint {
  const maxDebt = (valueDown(position.collateral, price) * risk.borrowLtvBps) / BPS;
  const debt = toDebtUp(position.borrowShares, m.borrowAssets, m.borrowShares);
  const rounding = m.borrowShares === 0n ? 0n : m.borrowAssets / m.borrowShares + 2n;
  let most = zeroFloorSub(maxDebt, debt + rounding);
  most = min(most, m.supplyAssets - m.borrowAssets);
  most = min(most, surgeRoom(m, risk) ?? most);
  most = min(most, borrowableByShares(m.borrowAssets, m.borrowShares));
  const shares = toDebtSharesUp(most, m.borrowAssets, m.borrowShares);
  if (debt + most < risk.minDebt || position.borrowShares + shares < MIN_DEBT_SHARES) return 0n;
  return most;
}

/** Returns the most collateral that a position can withdraw with its debt left as it is. */
export function maxWithdrawCollateral(position: PositionShares, debt: bigint, risk: Risk, price: bigint): bigint {
  if (debt === 0n) return position.collateral;
  if (debt < risk.minDebt) return 0n;
  const leastValue = divUp(debt * BPS, risk.borrowLtvBps);
  return zeroFloorSub(position.collateral, divUp(leastValue * ORACLE_SCALE, price));
}
