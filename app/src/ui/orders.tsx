/** Orders that protect a loan: anybody may execute them once their trigger is met (Guard). */
import { useState } from "preact/hooks";
import type { Address } from "viem";
import type { App } from "../app";
import { coreAbi, guardAbi } from "../chain/abi";
import { AmountError, bpsText, parseAmount, parsePrice } from "../lib/numbers";
import { describeOrder, KINDS, PROTECT, recommendedLtvs } from "../lib/orders";
import { call, type Plan } from "../tx/plan";
import { PlanButton } from "./form";
import { SignOrder } from "./signed";
import type { Stage } from "./verbs";

const DAY_SECS = 86_400n;
/** Terms of orders that the page places: 90 days, every ten minutes at most. The premium at the trigger pays for an
 * exchange with a fee of 0.3 %; at the end it is below the lowest liquidation incentive. */
const LIFETIME_SECS = 90n * DAY_SECS;
const TERMS = {
  premiumStartPpm: 3_200,
  premiumEndPpm: 8_000,
  requireBorrowPrice: false,
  cooldownSecs: 600,
  flatTip: 0n,
  maxOwn: 0n,
};
const PROTECT_USES = 20;
/** The ramp of orders with a price. That of a protecting order ends at the liquidation LTV. */
const PRICE_RAMP_BPS = 200;

interface OrdersProps {
  app: App;
  guard: Address;
  stage: Stage;
}

export function Orders(props: OrdersProps) {
  const { app, guard, stage } = props;
  const { account, market, now } = stage;
  const { id } = market.info;
  const placed = (account.orders.get(id) ?? []).flatMap((order, kind) => (order.uses > 0 ? [{ order, kind }] : []));
  const isAuthorised = account.guardExpiry >= now;
  const cancel = (kind: number) => (): Plan => {
    const title = `Cancel: ${KINDS[kind]}`;
    return {
      title,
      account: account.address,
      market: market.info.name,
      calls: [call(title, guard, guardAbi, "cancel", [id, kind])],
    };
  };
  // In every market, and signed orders that nobody has posted yet.
  const cancelAll = (): Plan => {
    const title = "Cancel all orders, signed ones too";
    return { title, account: account.address, calls: [call(title, guard, guardAbi, "cancelAll", [])] };
  };
  return (
    <section class="card" aria-labelledby="orders">
      <h3 id="orders">Protection</h3>
      <p class="hint">
        Once the trigger is met, anybody may repay a part of your debt for collateral at the market's price and a
        premium of 0.32 % to 0.8 %. It costs less than a liquidation.
      </p>
      <ul class="orders">
        {placed.map(({ order, kind }) => (
          <li key={kind}>
            <span>{describeOrder(market.info, order, kind)}</span>
            <PlanButton app={app} plan={cancel(kind)} label={`Cancel ${KINDS[kind]}`} isMinor />
          </li>
        ))}
      </ul>
      {placed.length > 0 && !isAuthorised && (
        <p class="problem">Guard is no longer authorised, so your orders cannot be executed. Place one again.</p>
      )}
      <NewOrder {...props} />
      <div class="buttons">
        <PlanButton app={app} plan={cancelAll} label="Cancel all orders" isMinor />
      </div>
    </section>
  );
}

function NewOrder({ app, guard, stage }: OrdersProps) {
  const recommended = recommendedLtvs(stage.market.info.risk);
  const [kind, setKind] = useState(PROTECT);
  const [trigger, setTrigger] = useState(percent(recommended.trigger));
  const [target, setTarget] = useState(percent(recommended.target));
  const { order, problem } = readOrder(stage, kind, trigger, target);
  // A problem is said already, below the fields.
  const missing = problem ? "" : "Write a trigger first.";
  const whyNot = order ? undefined : missing;
  const plan = (): Plan => {
    const { core, account, market, now } = stage;
    const title = KINDS[kind]!;
    const expiry = now + LIFETIME_SECS;
    const calls = [call(title, guard, guardAbi, "place", [market.info.id, kind, order])];
    if (account.guardExpiry < expiry) {
      calls.unshift(call("Authorise Guard", core, coreAbi, "setAuthorization", [guard, expiry]));
    }
    return { title, account: account.address, market: market.info.name, calls };
  };
  const choose = (next: number) => {
    setKind(next);
    setTrigger(next === PROTECT ? percent(recommended.trigger) : "");
  };
  return (
    <div class="form">
      <label for="order-kind">New order</label>
      <select id="order-kind" value={kind} onChange={(event) => choose(Number(event.currentTarget.value))}>
        {KINDS.map((label, index) => (
          <option key={label} value={index}>
            {label}
          </option>
        ))}
      </select>
      <label for="order-trigger">
        {kind === PROTECT ? "When the LTV is above, in %" : `Price, in ${stage.market.info.loan.name}`}
      </label>
      <input
        id="order-trigger"
        inputMode="decimal"
        autocomplete="off"
        value={trigger}
        aria-describedby="order-problem"
        onInput={(event) => setTrigger(event.currentTarget.value)}
      />
      {kind === PROTECT && (
        <>
          <label for="order-target">Bring it down to, in %</label>
          <input
            id="order-target"
            inputMode="decimal"
            autocomplete="off"
            value={target}
            aria-describedby="order-problem"
            onInput={(event) => setTarget(event.currentTarget.value)}
          />
        </>
      )}
      <p class="problem" id="order-problem" role="status">
        {problem}
      </p>
      <PlanButton app={app} plan={plan} label="Place order" whyNot={whyNot} />
      <SignOrder app={app} guard={guard} stage={stage} kind={kind} order={order} />
    </div>
  );
}

const percent = (bps: bigint): string => bpsText(bps).replace(" %", "");

/** Reads an order's terms; a problem is for the person who typed. */
function readOrder({ market, now }: Stage, kind: number, trigger: string, target: string) {
  const { risk, loan, collateral } = market.info;
  const common = {
    ...TERMS,
    rampBps: PRICE_RAMP_BPS,
    expiry: Number(now + LIFETIME_SECS),
    triggerPrice: 0n,
    triggerLtvBps: 0,
    targetLtvBps: 0,
  };
  if (trigger.trim() === "") return {};
  try {
    if (kind !== PROTECT) {
      const triggerPrice = parsePrice(trigger, collateral.decimals, loan.decimals);
      if (triggerPrice === 0n) return { problem: "Write a price above 0" };
      return { order: { ...common, triggerPrice, uses: 1 } };
    }
    const [above, to] = [parseAmount(trigger, 2), parseAmount(target, 2)];
    if (above >= risk.liquidationLtvBps) {
      return { problem: `The trigger must be below the liquidation LTV of ${bpsText(risk.liquidationLtvBps)}.` };
    }
    if (to + 100n > above) return { problem: "The target must be at least one percentage point below the trigger." };
    const [triggerLtvBps, targetLtvBps] = [Number(above), Number(to)];
    const rampBps = Number(risk.liquidationLtvBps - above);
    return { order: { ...common, triggerLtvBps, targetLtvBps, rampBps, uses: PROTECT_USES } };
  } catch (error) {
    if (error instanceof AmountError) return { problem: error.message };
    throw error;
  }
}
