/** Supply shares and debt shares, as `SharesMath` and `DebtMath` convert them. */
import { MAX_AMOUNT, divUp, max, min } from "./integers";

const VIRTUAL_SHARES = 1_000_000n;
const VIRTUAL_ASSETS = 1n;
const MAX_SHARES_PER_ASSET = 1_000_000n;
/** The fewest debt shares that a loan has. */
export const MIN_DEBT_SHARES = 1_000_000n;

export const toSharesDown = (assets: bigint, totalAssets: bigint, totalShares: bigint): bigint =>
  (assets * (totalShares + VIRTUAL_SHARES)) / (totalAssets + VIRTUAL_ASSETS);

export const toSharesUp = (assets: bigint, totalAssets: bigint, totalShares: bigint): bigint =>
  divUp(assets * (totalShares + VIRTUAL_SHARES), totalAssets + VIRTUAL_ASSETS);

export const toAssetsDown = (shares: bigint, totalAssets: bigint, totalShares: bigint): bigint =>
  (shares * (totalAssets + VIRTUAL_ASSETS)) / (totalShares + VIRTUAL_SHARES);

export const toAssetsUp = (shares: bigint, totalAssets: bigint, totalShares: bigint): bigint =>
  divUp(shares * (totalAssets + VIRTUAL_ASSETS), totalShares + VIRTUAL_SHARES);

export const toDebtSharesUp = (assets: bigint, totalAssets: bigint, totalShares: bigint): bigint =>
  totalShares === 0n ? assets * MAX_SHARES_PER_ASSET : divUp(assets * totalShares, totalAssets);

/** None where the market has no debt: a node that is mining may answer one read before a transaction and the next after it. */
export const toDebtSharesDown = (assets: bigint, totalAssets: bigint, totalShares: bigint): bigint =>
  totalAssets === 0n ? 0n : (assets * totalShares) / totalAssets;

export const toDebtUp = (shares: bigint, totalAssets: bigint, totalShares: bigint): bigint =>
  totalShares === 0n ? 0n : divUp(shares * totalAssets, totalShares);

export const toDebtDown = (shares: bigint, totalAssets: bigint, totalShares: bigint): bigint =>
  totalShares === 0n ? shares / MAX_SHARES_PER_ASSET : (shares * totalAssets) / totalShares;

/** Returns a market's borrow assets after `removed` of them are repaid or written off and `sharesLeft` remain. */
export const saturatingTotalAfterRepay = (totalAssets: bigint, removed: bigint, sharesLeft: bigint): bigint =>
  max(totalAssets - removed, divUp(sharesLeft, MAX_SHARES_PER_ASSET));

/** Returns the most assets whose debt shares fit a market's total. */
export const borrowableByShares = (totalAssets: bigint, totalShares: bigint): bigint =>
  min(toDebtDown(MAX_AMOUNT - totalShares, totalAssets, totalShares), MAX_AMOUNT);
