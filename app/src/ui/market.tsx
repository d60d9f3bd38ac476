/** A market: the account's position first, the forms, and what the market is. */
import { useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import { positionRead, type MarketState, type Position } from "../chain/snapshot";
import { oracleText } from "../tx/words";
import { amountText, aprText, bpsText, durationText, percentText, priceText } from "../lib/numbers";
import { AmountForm, type Outcome } from "./form";
import { Fact, marketTitle } from "./markets";
import { distanceText, positionRows } from "./rows";
import { marketVerbs, type Verb } from "./verbs";

const NO_POSITION: Position = {
  supplyShares: 0n,
  supplyAssets: 0n,
  borrowShares: 0n,
  debt: 0n,
  collateral: 0n,
  collateralValue: 0n,
  health: 0n,
  waterline: undefined,
};

export function MarketPage({ app, name }: { app: App; name: string }) {
  const { snapshot, config, account } = useAppState(app);
  if (!snapshot) return <p class="empty">Reading the chain…</p>;
  const market = snapshot.markets.find(({ info }) => info.name === name);
  if (!market) return <p class="empty">This deployment has no market {name}.</p>;
  const position = snapshot.account?.positions.get(market.info.id) ?? NO_POSITION;
  const [core, lens] = [config.deployment.contract("Plimsoll"), config.deployment.contract("Lens")];
  return (
    <>
      <h2>{marketTitle(market)}</h2>
      {market.borrowPrice === undefined && (
        <p class="warning" role="alert">
          {oracleText(market.borrowPriceError)}
        </p>
      )}
      {snapshot.account && core && lens ? (
        <div class="columns">
          <PositionPanel market={market} position={position} />
          <Forms
            app={app}
            verbs={marketVerbs({ core, now: snapshot.timestamp, market, account: snapshot.account, position })}
            outcome={{
              read: positionRead(lens, market.info.id, snapshot.account.address),
              before: position,
              rows: (state) => positionRows(market, state),
              context: { ...app.context, loan: market.info.loan, collateral: market.info.collateral },
            }}
          />
        </div>
      ) : (
        <p class="empty">{account ? "Reading your position…" : "Connect a wallet to lend or borrow here."}</p>
      )}
      <MarketFacts market={market} />
    </>
  );
}

function PositionPanel({ market, position }: { market: MarketState; position: Position }) {
  const [first, ...rest] = positionRows(market, position);
  return (
    <section class="card position" aria-labelledby="position">
      <h3 id="position">Your position</h3>
      <p class="waterline">
        <span class="small">{first!.label}</span>
        <strong class={first!.isBad ? "bad" : ""}>{first!.value}</strong>
        <span class="small">{distanceText(market, position)}</span>
      </p>
      <dl class="facts">
        {rest.map((row) => (
          <Fact key={row.label} {...row} />
        ))}
      </dl>
    </section>
  );
}

/** One form at a time, chosen by tabs. */
function Forms({ app, verbs, outcome }: { app: App; verbs: Verb[]; outcome: Outcome<Position> }) {
  const [chosen, setChosen] = useState(verbs[0]!.id);
  const verb = verbs.find(({ id }) => id === chosen) ?? verbs[0]!;
  return (
    <section class="card" aria-label="What to do">
      <div class="tabs" role="group" aria-label="Action">
        {verbs.map(({ id, label }) => (
          <button key={id} type="button" aria-pressed={id === verb.id} onClick={() => setChosen(id)}>
            {label}
          </button>
        ))}
      </div>
      <AmountForm key={verb.id} app={app} verb={verb} outcome={outcome} />
    </section>
  );
}

function MarketFacts({ market }: { market: MarketState }) {
  const { loan, collateral, risk } = market.info;
  const { supplyAssets, borrowAssets } = market.accrued;
  const inLoan = (units: bigint) => `${amountText(units, loan.decimals)} ${loan.name}`;
  const price = (found: bigint | undefined) =>
    found === undefined ? "none" : `${priceText(found, collateral.decimals, loan.decimals)} ${loan.name}`;
  return (
    <section aria-labelledby="facts">
      <h3 id="facts">The market</h3>
      <dl class="facts card">
        <Fact label="Supplied" value={inLoan(supplyAssets)} />
        <Fact label="Lent out" value={inLoan(borrowAssets)} />
        <Fact label="Utilisation" value={percentText(market.utilisation)} />
        <Fact label="Supply APR" value={aprText(market.supplyRate)} />
        <Fact label="Borrow APR" value={aprText(market.borrowRate)} />
        <Fact label="Price to liquidate at" value={price(market.liquidationPrice)} />
        <Fact label="Price to borrow at" value={price(market.borrowPrice)} />
        <Fact label="Borrow LTV" value={bpsText(risk.borrowLtvBps)} />
        <Fact label="Liquidation LTV" value={bpsText(risk.liquidationLtvBps)} />
        <Fact label="Minimum debt" value={inLoan(risk.minDebt)} />
        <Fact
          label="Surge limit"
          value={
            market.surgeRoom === undefined
              ? "none"
              : `${inLoan(market.surgeRoom)} now, refills in ${durationText(risk.surgePeriodSecs)}`
          }
        />
        <Fact label="Cover of the backstop" value={inLoan(market.cover)} />
      </dl>
    </section>
  );
}
