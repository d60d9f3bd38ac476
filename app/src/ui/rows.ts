/** Before → after: rows of figures that a form shows from the state now and the simulated one. */
import type { MarketState, Position } from "../chain/snapshot";
import { BPS, WAD } from "../lib/math/integers";
import { amountText, healthText, percentText, priceText } from "../lib/numbers";

export interface Row {
  label: string;
  value: string;
  /** Whether the figure is one to be afraid of. */
  isBad?: boolean;
}

/** Returns a position's figures, the liquidation price first. */
export function positionRows(market: MarketState, position: Position): Row[] {
  const { loan, collateral } = market.info;
  const hasLoan = position.debt !== 0n;
  const isLow = hasLoan && position.health < (WAD * 105n) / 100n;
  return [
    { label: "Liquidation price (waterline)", value: waterlineText(market, position), isBad: isLow },
    { label: "Health factor", value: hasLoan ? healthText(position.health) : "no debt", isBad: isLow },
    { label: "LTV", value: hasLoan ? ltvText(position) : "0.00 %", isBad: isLow },
    { label: "Debt", value: `${amountText(position.debt, loan.decimals, "up")} ${loan.name}` },
    { label: "Collateral", value: `${amountText(position.collateral, collateral.decimals)} ${collateral.name}` },
    { label: "Supplied", value: `${amountText(position.supplyAssets, loan.decimals)} ${loan.name}` },
  ];
}

export function waterlineText(market: MarketState, { debt, waterline }: Position): string {
  const { loan, collateral } = market.info;
  if (debt === 0n) return "none";
  if (waterline === undefined) return "at any price";
  return `${priceText(waterline, collateral.decimals, loan.decimals, "up")} ${loan.name}`;
}

/** The ratio of debt to the collateral's value, rounded up. */
export function ltvText({ debt, collateralValue }: Position): string {
  if (collateralValue === 0n) return "no value";
  return percentText((debt * WAD + collateralValue - 1n) / collateralValue, "up");
}

/** How far the price may fall until the loan is liquidatable, as a percentage. */
export function distanceText(market: MarketState, { waterline }: Position): string {
  const price = market.liquidationPrice;
  if (price === undefined || waterline === undefined) return "";
  if (waterline >= price) return "liquidatable now";
  const bps = ((price - waterline) * BPS) / price;
  return `${percentText(bps * (WAD / BPS))} below the price now`;
}
