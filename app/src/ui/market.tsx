/** A market: the account's position first, the forms, and what the market is. */
import { useEffect, useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import { positionRead, type MarketState, type Position } from "../chain/snapshot";
import { oracleText } from "../tx/words";
import { amountText, aprText, bpsText, durationText, percentText, priceText } from "../lib/numbers";
import { toAssetsDown } from "../lib/math/shares";
import { readOracle, type OracleInfo } from "../chain/oracle";
import { Orders } from "./orders";
import { PostOrder } from "./signed";
import { RateChart } from "./rates";
import { LiquidationPreview } from "./risk";
import { VerbTabs, type Outcome } from "./form";
import { exchangeOf, leverageVerbs } from "./leverage";
import { Fact, hasPosition, marketTitle } from "./markets";
import { distanceText, positionRows } from "./rows";
import { marketVerbs, type Stage } from "./verbs";

/** Sizes of a leveraged position, in hundredths of the deposit. */
const MULTIPLES = [150n, 200n, 300n, 400n];

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
  const guard = config.deployment.contract("Guard");
  const stage = core &&
    snapshot.account && { core, now: snapshot.timestamp, market, account: snapshot.account, position };
  return (
    <>
      <h2>{marketTitle(market)}</h2>
      <MarketHeadline market={market} />
      {market.borrowPrice === undefined && (
        <p class="warning" role="alert">
          {oracleText(market.borrowPriceError)}
        </p>
      )}
      {stage && lens ? (
        <div class="columns market">
          <PositionPanel market={market} position={position} />
          <Actions
            app={app}
            stage={stage}
            outcome={{
              read: positionRead(lens, market.info.id, stage.account.address),
              before: position,
              rows: (state) => positionRows(market, state),
              context: { ...app.context, loan: market.info.loan, collateral: market.info.collateral },
            }}
          />

          <LiquidationPreview market={market} position={position} />
          {guard && position.debt !== 0n && <Orders app={app} guard={guard} stage={stage} />}
          {guard && <PostOrder app={app} guard={guard} core={stage.core} account={stage.account.address} />}
        </div>
      ) : (
        <div class="card unconnected">
          <p>{account ? "Reading your position…" : "Connect a wallet to lend or borrow here."}</p>
          {!account && config.local && (
            <button type="button" class="main" onClick={() => void app.connectBurner()}>
              Try it with play money
            </button>
          )}
        </div>
      )}
      <MarketFacts app={app} market={market} now={snapshot.timestamp} />
      <RateChart market={market} />
    </>
  );
}

/** The verbs of the market, and those of leverage where there is an exchange. */
function Actions({ app, stage, outcome }: { app: App; stage: Stage; outcome: Outcome<Position> }) {
  const { deployment } = useAppState(app).config;
  const [multiple, setMultiple] = useState(200n);
  const { loan, collateral } = stage.market.info;
  const exchange = exchangeOf(deployment, loan, collateral);
  const given = exchange && { stage, rpc: app.rpc, chainId: deployment.chainId, exchange, multiple };
  const verbs = [...marketVerbs(stage), ...(given ? leverageVerbs(given) : [])];
  return (
    <VerbTabs app={app} verbs={verbs} outcome={outcome}>
      {(verb) =>
        verb.id === "leverage" && (
          <p class="buttons">
            <label for="multiple">Size of the position</label>
            <select
              id="multiple"
              value={multiple.toString()}
              onChange={(event) => setMultiple(BigInt(event.currentTarget.value))}
            >
              {MULTIPLES.map((hundredths) => (
                <option key={hundredths} value={hundredths.toString()}>
                  {Number(hundredths) / 100} × the deposit
                </option>
              ))}
            </select>
          </p>
        )
      }
    </VerbTabs>
  );
}

/** What a person compares markets by. */
function MarketHeadline({ market }: { market: MarketState }) {
  const { loan, collateral, risk } = market.info;
  const { supplyAssets, borrowAssets } = market.accrued;
  const price = market.liquidationPrice;
  const priced = price === undefined ? "none" : `${priceText(price, collateral.decimals, loan.decimals)} ${loan.name}`;
  return (
    <dl class="facts headline">
      <Fact label={`Price of 1 ${collateral.name}`} value={priced} isBad={price === undefined} />
      <Fact label="Supply APR" value={aprText(market.supplyRate)} />
      <Fact label="Borrow APR" value={aprText(market.borrowRate)} />
      <Fact label="Liquidity" value={`${amountText(supplyAssets - borrowAssets, loan.decimals)} ${loan.name}`} />
      <Fact label="Borrow LTV" value={bpsText(risk.borrowLtvBps)} />
      <Fact label="Liquidation LTV" value={bpsText(risk.liquidationLtvBps)} />
    </dl>
  );
}

function PositionPanel({ market, position }: { market: MarketState; position: Position }) {
  const [first, ...rest] = positionRows(market, position);
  const { loan, collateral } = market.info;
  if (!hasPosition(position)) {
    return (
      <section class="card position" aria-labelledby="position">
        <h3 id="position">Your position</h3>
        <p class="empty">
          Nothing yet. Supply {loan.name} to earn interest, or add {collateral.name} as collateral and borrow{" "}
          {loan.name} against it.
        </p>
      </section>
    );
  }
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

/** Reads what the oracle is made of, again with every block. */
function useOracle(app: App, market: MarketState, now: bigint): OracleInfo | undefined {
  const [info, setInfo] = useState<OracleInfo>();
  useEffect(() => {
    let isCurrent = true;
    readOracle(app.rpc, market.info.params.oracle).then((found) => isCurrent && setInfo(found));
    return () => {
      isCurrent = false;
    };
  }, [market.info.id, now]);
  return info;
}

function MarketFacts({ app, market, now }: { app: App; market: MarketState; now: bigint }) {
  const oracle = useOracle(app, market, now);
  const reserve = toAssetsDown(market.accrued.reserveShares, market.accrued.supplyAssets, market.accrued.supplyShares);
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
        <Fact label="Borrowed" value={inLoan(borrowAssets)} />
        <Fact label="Utilisation" value={percentText(market.utilisation)} />
        <Fact label="Oracle price for liquidations" value={price(market.liquidationPrice)} />
        <Fact label="Oracle price for borrowing" value={price(market.borrowPrice)} />
        <Fact label="Minimum debt" value={inLoan(risk.minDebt)} />
        <Fact
          label="Surge limit"
          value={
            market.surgeRoom === undefined
              ? "none"
              : `${inLoan(market.surgeRoom)} now, refills in ${durationText(risk.surgePeriodSecs)}`
          }
        />
        <Fact label="Reserve (pays bad debt first)" value={inLoan(reserve)} />
        <Fact label="Backstop (pays bad debt next)" value={inLoan(market.cover)} />
        <Fact label="Interest that goes to the reserve" value={bpsText(market.accrued.feeBps)} />
        {oracle && <Fact label="Oracle" value={oracle.description} />}
        {oracle && <Fact label="Oldest price" value={ageText(oracle, now)} />}
      </dl>
    </section>
  );
}

function ageText({ updatedAt, borrowMaxAge }: OracleInfo, now: bigint): string {
  const age = now > updatedAt ? now - updatedAt : 0n;
  return `${durationText(age)} old; borrowing stops at ${durationText(borrowMaxAge)}`;
}
