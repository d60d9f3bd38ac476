/** Orders for Guard, in words. */
import type { MarketInfo } from "../chain/config";
import type { Order } from "../chain/snapshot";
import { bpsText, priceText, timeText } from "./numbers";

export const PROTECT = 0;
export const KINDS = ["Protect", "Close below a price", "Close above a price"];

/** Says when an order is executed, and until when. */
export function describeOrder({ loan, collateral }: MarketInfo, order: Order, kind: number): string {
  const until = `until ${timeText(BigInt(order.expiry))}`;
  if (kind === PROTECT) {
    const target = bpsText(BigInt(order.targetLtvBps));
    return `Above an LTV of ${bpsText(BigInt(order.triggerLtvBps))}, down to ${target}, ${until}`;
  }
  const price = `${priceText(order.triggerPrice, collateral.decimals, loan.decimals)} ${loan.name}`;
  return `${KINDS[kind]} of ${price}, ${until}`;
}

/** The trigger and the target that are recommended in a market, as in `Terms::recommended` of the lab: just beyond the
 * LTV at which loans begin, since an earlier order costs less, and far enough below for a fall within the cooldown. */
export function recommendedLtvs({ borrowLtvBps, liquidationLtvBps }: MarketInfo["risk"]) {
  const trigger = borrowLtvBps + (liquidationLtvBps - borrowLtvBps) / 8n;
  return { trigger, target: (trigger * 85n) / 100n };
}
