/** Numbers as people write and read them, from and to exact integers. */
import { ORACLE_SCALE, WAD, YEAR_SECS, divUp } from "./math/integers";

/** Thrown by {@link parseAmount}; the message is for the person who typed. */
export class AmountError extends Error {}

const HALF_A_HUNDREDTH = 5n * 10n ** 13n;
const GROUPED = /^\d{1,3}(,\d{3})+$/;

/** Reads `1234.5`, `1,234.5` or `.5` as units of a token. */
export function parseAmount(text: string, decimals: number): bigint {
  const trimmed = text.trim().replace(/[\s_\u202f\u00a0]/g, "");
  const [whole = "", fraction = "", ...rest] = trimmed.split(".");
  const digits = GROUPED.test(whole) ? whole.replaceAll(",", "") : whole;
  if (rest.length || !/^\d*$/.test(digits) || !/^\d*$/.test(fraction) || digits + fraction === "") {
    throw new AmountError("Write an amount such as 1250.5");
  }
  const significant = fraction.replace(/0+$/, "");
  if (significant.length > decimals) throw new AmountError(`This token has ${decimals} decimals`);
  return BigInt(digits || "0") * 10n ** BigInt(decimals) + BigInt(significant.padEnd(decimals, "0") || "0");
}

/** Writes all digits, without grouping: what {@link parseAmount} reads back exactly. */
export function exactText(units: bigint, decimals: number): string {
  const text = units.toString().padStart(decimals + 1, "0");
  const fraction = text.slice(text.length - decimals).replace(/0+$/, "");
  const whole = decimals === 0 ? text : text.slice(0, -decimals);
  return fraction && decimals ? `${whole}.${fraction}` : whole;
}

const grouped = (digits: string): string => digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",");

/** Which way a number is rounded: down where a person has it, up where a person owes it. */
export type Rounding = "down" | "up";

/** Writes `units / 10^decimals` with five significant digits, or as many as the whole and two decimals need. */
export function amountText(units: bigint, decimals: number, rounding: Rounding = "down"): string {
  if (units < 0n) return `−${amountText(-units, decimals, rounding)}`;
  if (units === 0n) return "0";
  const whole = units.toString().length - decimals;
  // Whole digits are never cut; besides them at least two decimals, and of a fraction four significant digits.
  const places = Math.min(decimals, whole > 0 ? Math.max(2, 5 - whole) : 4 - whole);
  const cut = 10n ** BigInt(decimals - places);
  const kept = rounding === "up" ? divUp(units, cut) : units / cut;
  const [integer = "0", fraction] = exactText(kept, places).split(".");
  return fraction ? `${grouped(integer)}.${fraction.padEnd(Math.min(2, places), "0")}` : grouped(integer);
}

/** Writes an oracle's price (1e36-scaled, per raw units) as whole loan tokens for a whole collateral token. */
export function priceText(price: bigint, collateral: number, loan: number, rounding: Rounding = "down"): string {
  const [numerator, denominator] = [price * 10n ** BigInt(collateral) * WAD, ORACLE_SCALE * 10n ** BigInt(loan)];
  return amountText(rounding === "up" ? divUp(numerator, denominator) : numerator / denominator, 18, rounding);
}

/** Reads whole loan tokens for a whole collateral token as an oracle's price. */
export function parsePrice(text: string, collateral: number, loan: number): bigint {
  const wad = parseAmount(text, 18);
  return (wad * ORACLE_SCALE * 10n ** BigInt(loan)) / (WAD * 10n ** BigInt(collateral));
}

/** Writes a 1e18-scaled fraction as a percentage with two decimals. */
export function percentText(wad: bigint, rounding: Rounding = "down"): string {
  const step = 10n ** 14n;
  const hundredths = rounding === "up" ? divUp(wad, step) : wad / step;
  return `${grouped((hundredths / 100n).toString())}.${(hundredths % 100n).toString().padStart(2, "0")} %`;
}

export const bpsText = (bps: bigint): string => {
  const text = exactText(bps, 2);
  return `${text} %`;
};

/** Writes a rate per second, 1e18-scaled, as a yearly percentage without compounding, rounded to the nearest. */
export const aprText = (ratePerSecond: bigint): string => percentText(ratePerSecond * YEAR_SECS + HALF_A_HUNDREDTH);

/** Writes a health factor, cut to two decimals: a loan below 1 never reads 1.00. */
export function healthText(health: bigint): string {
  if (health > 1000n * WAD) return "∞";
  const hundredths = health / 10n ** 16n;
  return `${hundredths / 100n}.${(hundredths % 100n).toString().padStart(2, "0")}`;
}

/** Writes a duration in the largest unit that leaves no long remainder: `45 seconds`, `3 hours`, `10 days`. */
export function durationText(secs: bigint | number): string {
  const n = Number(secs);
  const plural = (count: number, unit: string) => `${count} ${unit}${count === 1 ? "" : "s"}`;
  if (n < 90) return plural(n, "second");
  if (n < 5_400) return plural(Math.round(n / 60), "minute");
  if (n < 129_600) return plural(Math.round(n / 3_600), "hour");
  return plural(Math.round(n / 86_400), "day");
}

/** Writes a time in UTC: `2026-12-01 14:05 UTC`. */
export const timeText = (secs: bigint): string =>
  `${new Date(Number(secs) * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;

export const shortHex = (hex: string): string => `${hex.slice(0, 6)}…${hex.slice(-4)}`;
