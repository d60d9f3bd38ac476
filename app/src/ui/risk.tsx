/** What a liquidation at a given price would take from the position, exactly. */
import { useState } from "preact/hooks";
import type { MarketState, Position } from "../chain/snapshot";
import { liquidationAt, type Zone } from "../lib/math/liquidation";
import { AmountError, amountText, parsePrice, priceText } from "../lib/numbers";
import { Fact } from "./markets";

const ZONES: Record<Zone, string> = {
  ramp: "A part is sold, at a premium that grows with the distance.",
  breakeven: "The whole collateral is sold for the whole debt.",
  insolvent: "The collateral is worth less than the debt: lenders lose the rest.",
};

export function LiquidationPreview({ market, position }: { market: MarketState; position: Position }) {
  const [text, setText] = useState("");
  if (position.debt === 0n) return null;
  const { loan, collateral } = market.info;
  const start = position.waterline ?? 0n;
  const { price, problem } = readPrice(text, start, collateral.decimals, loan.decimals);
  return (
    <section class="card" aria-labelledby="liquidation">
      <h3 id="liquidation">If it were liquidated</h3>
      <div class="form">
        <label for="at-price">
          At a price of <span class="unit">{loan.name}</span>
        </label>
        <div class="field">
          <input
            id="at-price"
            inputMode="decimal"
            autocomplete="off"
            placeholder={priceText(start, collateral.decimals, loan.decimals)}
            value={text}
            aria-describedby="at-price-problem"
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </div>
        <p class="problem" id="at-price-problem" role="status">
          {problem}
        </p>
      </div>
      {price !== undefined && <Outcome market={market} position={position} price={price} />}
    </section>
  );
}

function readPrice(text: string, start: bigint, collateral: number, loan: number) {
  if (text.trim() === "") return { price: start };
  try {
    return { price: parsePrice(text, collateral, loan) };
  } catch (error) {
    if (error instanceof AmountError) return { problem: error.message };
    throw error;
  }
}

function Outcome({ market, position, price }: { market: MarketState; position: Position; price: bigint }) {
  const { loan, collateral, risk } = market.info;
  const result = price === 0n ? undefined : liquidationAt(position, market.accrued, risk, price);
  if (!result) return <p class="hint">At this price the loan is not liquidatable.</p>;
  const inLoan = (units: bigint, rounding: "up" | "down") =>
    `${amountText(units, loan.decimals, rounding)} ${loan.name}`;
  const inCollateral = (units: bigint) => `${amountText(units, collateral.decimals)} ${collateral.name}`;
  return (
    <>
      <dl class="facts">
        <Fact label="It would cost you" value={inLoan(result.cost, "up")} isBad />
        <Fact label="Debt repaid" value={inLoan(result.repaid, "up")} />
        <Fact label="Collateral sold" value={inCollateral(result.seized)} />
        <Fact label="Debt left" value={inLoan(result.debtLeft, "up")} />
        <Fact label="Collateral left" value={inCollateral(result.collateralLeft)} />
      </dl>
      <p class="hint">{ZONES[result.zone]}</p>
    </>
  );
}
