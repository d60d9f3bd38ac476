/**
 * Compares the page's arithmetic with that of the contracts: on the vectors that the proofs and the Solidity tests read, and
 * on cases that the contracts' own libraries answered. Arguments: the vectors, and a file of cases and answers.
 */
import { readFileSync } from "node:fs";
import { decodeAbiParameters, parseAbiParameters, type Hex } from "viem";
import { min } from "../src/lib/math/integers";
import * as liquidation from "../src/lib/math/liquidation";
import * as market from "../src/lib/math/market";
import * as shares from "../src/lib/math/shares";

let compared = 0;
const wrong: string[] = [];

function expect(what: string, found: unknown, wanted: unknown): void {
  compared += 1;
  if (found !== wanted && wrong.length < 20) wrong.push(`${what}: ${found}, not ${wanted}`);
}

/* VECTORS */

const vectors: Record<string, string[]> = JSON.parse(readFileSync(process.argv[2]!, "utf8"));

/** Calls `compute` with each row of a function's vectors; the last numbers of a row are its results. */
function rows(name: string, length: number, compute: (...row: bigint[]) => bigint[]): void {
  const numbers = vectors[name]!.map(BigInt);
  if (numbers.length === 0 || numbers.length % length !== 0) wrong.push(`${name} has no whole rows`);
  for (let at = 0; at < numbers.length; at += length) {
    const row = numbers.slice(at, at + length);
    const found = compute(...row);
    expect(`${name}(${row.join(", ")})`, found.join(), row.slice(length - found.length).join());
  }
}

const ZONES: liquidation.Zone[] = ["ramp", "breakeven", "insolvent"];
const limited = (minDebt: bigint, multiple: bigint, share: bigint, borrowAssets: bigint, surgeLevel: bigint) => ({
  risk: {
    ...market.unpackRisk(minDebt),
    surgeShareBps: share,
    surgePeriodSecs: 86_400n,
    surgeFloor: multiple * minDebt,
  },
  m: { borrowAssets, surgeLevel } as market.Market,
});

type Binary = (amount: bigint, totalAssets: bigint, totalShares: bigint) => bigint;
for (const name of [
  "toSharesDown",
  "toSharesUp",
  "toAssetsDown",
  "toAssetsUp",
  "toDebtSharesUp",
  "toDebtSharesDown",
  "toDebtUp",
  "toDebtDown",
  "saturatingTotalAfterRepay",
] as const) {
  rows(name, 4, (a, b, c) => [(shares[name] as Binary)(a!, b!, c!)]);
}
rows("incentiveOf", 3, (ltv) => {
  const { maxFactor, minFactor } = liquidation.incentiveOf(ltv!);
  return [maxFactor, minFactor];
});
rows("valueDown", 3, (collateral, price) => [liquidation.valueDown(collateral!, price!)]);
rows("maxRepayOf", 7, (ltv, debt, value, minDebt) => {
  const found = liquidation.maxRepayOf(liquidation.incentiveOf(ltv!), debt!, value!, minDebt!);
  return [BigInt(ZONES.indexOf(found.zone)), found.maxRepay, found.factor];
});
rows("rampIncentiveFactorDown", 4, (ltv, debt, value) => [
  liquidation.rampIncentiveFactorDown(liquidation.incentiveOf(ltv!), debt!, value!),
]);
rows("seizedDown", 4, (repaid, factor, price) => [liquidation.seizedDown(repaid!, factor!, price!)]);
rows("repayToTargetDown", 5, (ltv, debt, value, factor) => [
  liquidation.repayToTargetDown(ltv!, debt!, value!, factor!),
]);
rows("insolventIncentiveFactorDown", 4, (ltv, debt, value) => [
  liquidation.insolventIncentiveFactorDown(liquidation.incentiveOf(ltv!), debt!, value!),
]);
rows("levelAfterBorrow", 7, (a, b, c, d, e, assets) => {
  const { m, risk } = limited(a!, b!, c!, d!, e!);
  return [market.surgeLevelAfterBorrow(m, risk, assets!)];
});
rows("refund", 7, (a, b, c, d, e, assets) => {
  const { m, risk } = limited(a!, b!, c!, d!, e!);
  return [market.surgeLevelAfterRefund(m, risk, assets!)];
});
rows("room", 6, (a, b, c, d, e) => {
  const { m, risk } = limited(a!, b!, c!, d!, e!);
  return [market.surgeRoom(m, risk)!];
});

/* CASES */

const MARKET =
  "struct Market { uint256 supplyAssets; uint256 supplyShares; uint256 borrowAssets; uint256 borrowShares; uint256 lastUpdate; uint256 feeBps; uint256 rateAtTarget; uint256 interestRemainder; uint256 reserveShares; uint256 surgeLevel; }";
const CASES = parseAbiParameters([
  "Case[] cases",
  MARKET,
  "struct Case { Market market; uint256 curve; uint256 timestamp; uint256 borrowShares; uint256 collateral; uint256 amount; uint256 price; uint256 risk; uint256 limit; }",
]);
const ANSWERS = parseAbiParameters([
  "Answer[] answers",
  MARKET,
  "struct Answer { Market accrued; uint256 interest; uint256 feeShares; uint256[7] conversions; uint256 debt; uint256 totalAfterRepay; uint256 value; bool healthy; uint256 maxRepay; uint256 incentiveFactor; uint256 repaid; uint256 seized; uint256[3] surge; }",
]);

const file: { cases: Hex; answers: Hex } = JSON.parse(readFileSync(process.argv[3]!, "utf8"));
const [cases] = decodeAbiParameters(CASES, file.cases);
const [answers] = decodeAbiParameters(ANSWERS, file.answers);
if (cases.length === 0 || cases.length !== answers.length) wrong.push("there are no cases");

cases.forEach((given, index) => {
  const wanted = answers[index]!;
  const at = `case ${index}`;
  const [risk, curve] = [market.unpackRisk(given.risk), market.unpackCurve(given.curve)];
  const m = market.accrue(given.market, risk, curve, given.timestamp);
  for (const [key, value] of Object.entries(wanted.accrued)) {
    expect(`${at}: accrued ${key}`, m[key as keyof market.Market], value);
  }
  const { supplyAssets, supplyShares, borrowAssets, borrowShares } = m;
  const supply = [shares.toSharesDown, shares.toSharesUp, shares.toAssetsDown, shares.toAssetsUp];
  supply.forEach((convert, which) => {
    expect(`${at}: conversion ${which}`, convert(given.amount, supplyAssets, supplyShares), wanted.conversions[which]);
  });
  const debt = shares.toDebtUp(given.borrowShares, borrowAssets, borrowShares);
  expect(`${at}: debt`, debt, wanted.debt);
  const value = liquidation.valueDown(given.collateral, given.price);
  expect(`${at}: value`, value, wanted.value);
  expect(`${at}: healthy`, liquidation.isHealthy(debt, value, risk.liquidationLtvBps), wanted.healthy);
  if (!wanted.healthy) {
    const found = liquidation.maxRepayOf(liquidation.incentiveOf(risk.liquidationLtvBps), debt, value, risk.minDebt);
    expect(`${at}: max repay`, found.maxRepay, wanted.maxRepay);
    expect(`${at}: incentive factor`, found.factor, wanted.incentiveFactor);
  }
  if (wanted.healthy && debt !== 0n && given.collateral !== 0n) {
    const waterline = liquidation.waterlinePrice(debt, given.collateral, risk.liquidationLtvBps);
    if (waterline !== undefined) {
      const isHealthyAt = (price: bigint) =>
        liquidation.isHealthy(debt, liquidation.valueDown(given.collateral, price), risk.liquidationLtvBps);
      expect(`${at}: liquidatable at the waterline`, isHealthyAt(waterline), false);
      expect(`${at}: healthy a unit above it`, isHealthyAt(waterline + 1n), true);
    }
  }
  if (risk.surgePeriodSecs !== 0n) {
    expect(`${at}: surge room`, market.surgeRoom(m, risk), wanted.surge[0]);
    const most = 1n << 28n;
    const level = market.surgeLevelAfterBorrow(m, risk, given.amount);
    expect(`${at}: surge level`, min(level, most), min(wanted.surge[1], most));
    expect(`${at}: refund`, market.surgeLevelAfterRefund(m, risk, given.amount), wanted.surge[2]);
  }
});

console.log(`${compared} results compared`);
for (const line of wrong) console.log(line);
if (wrong.length) process.exitCode = 1;
