/** The first page: positions of the account, and all markets. */
import type { App } from "../app";
import { useAppState } from "../app";
import type { MarketState, Position } from "../chain/snapshot";
import { amountText, aprText, bpsText, percentText, priceText } from "../lib/numbers";
import { distanceText, waterlineText } from "./rows";

export const marketTitle = ({ info }: MarketState): string => `${info.loan.name} against ${info.collateral.name}`;

export const hasPosition = ({ supplyShares, borrowShares, collateral }: Position): boolean =>
  (supplyShares | borrowShares | collateral) !== 0n;

const isFunded = ({ accrued }: MarketState): boolean => accrued.supplyAssets !== 0n;

export function MarketsPage({ app }: { app: App }) {
  const { snapshot, account } = useAppState(app);
  if (!snapshot) return <p class="empty">Reading the chain…</p>;
  const owned = snapshot.markets.filter(({ info }) => {
    const position = snapshot.account?.positions.get(info.id);
    return position && hasPosition(position);
  });
  return (
    <>
      {account && owned.length > 0 && (
        <section aria-labelledby="yours">
          <h2 id="yours">Your positions</h2>
          <div class="cards">
            {owned.map((market) => (
              <PositionCard key={market.info.id} market={market} app={app} />
            ))}
          </div>
        </section>
      )}
      <section aria-labelledby="markets">
        <h2 id="markets">Markets</h2>
        <p class="lead">
          Lend a token for interest, or borrow it against collateral. A loss in one market never reaches another.
        </p>
        <div class="cards">
          {[...snapshot.markets.filter(isFunded), ...snapshot.markets.filter((each) => !isFunded(each))].map(
            (market) => (
              <MarketCard key={market.info.id} market={market} />
            ),
          )}
        </div>
      </section>
    </>
  );
}

function PositionCard({ market, app }: { market: MarketState; app: App }) {
  const position = useAppState(app).snapshot?.account?.positions.get(market.info.id);
  if (!position) return null;
  const { loan, collateral, name } = market.info;
  return (
    <article class="card position">
      <header>
        <h3>
          <a href={`#/market/${name}`}>{marketTitle(market)}</a>
        </h3>
      </header>
      {position.debt !== 0n && (
        <p class="waterline">
          <span class="small">Liquidation price (waterline)</span>
          <strong>{waterlineText(market, position)}</strong>
          <span class="small">{distanceText(market, position)}</span>
        </p>
      )}
      <dl class="facts">
        {position.debt !== 0n && (
          <Fact label="Debt" value={`${amountText(position.debt, loan.decimals, "up")} ${loan.name}`} />
        )}
        {position.collateral !== 0n && (
          <Fact
            label="Collateral"
            value={`${amountText(position.collateral, collateral.decimals)} ${collateral.name}`}
          />
        )}
        {position.supplyShares !== 0n && (
          <Fact label="Supplied" value={`${amountText(position.supplyAssets, loan.decimals)} ${loan.name}`} />
        )}
      </dl>
    </article>
  );
}

function MarketCard({ market }: { market: MarketState }) {
  const { loan, collateral, name, risk } = market.info;
  const { supplyAssets, borrowAssets } = market.accrued;
  const price = market.liquidationPrice;
  return (
    <article class="card">
      <header>
        <h3>
          <a href={`#/market/${name}`}>{marketTitle(market)}</a>
        </h3>
        <span class={price === undefined ? "price bad" : "price"}>
          {price === undefined
            ? "no price"
            : `1 ${collateral.name} = ${priceText(price, collateral.decimals, loan.decimals)} ${loan.name}`}
        </span>
      </header>
      <dl class="facts">
        <Fact label="Supply APR" value={aprText(market.supplyRate)} />
        <Fact label="Borrow APR" value={aprText(market.borrowRate)} />
        <Fact label="Utilisation" value={percentText(market.utilisation)} />
        <Fact label="Liquidity" value={`${amountText(supplyAssets - borrowAssets, loan.decimals)} ${loan.name}`} />
        <Fact label="Borrow LTV" value={bpsText(risk.borrowLtvBps)} />
        <Fact label="Liquidation LTV" value={bpsText(risk.liquidationLtvBps)} />
      </dl>
    </article>
  );
}

export function Fact({ label, value, isBad }: { label: string; value: string; isBad?: boolean }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd class={isBad ? "bad" : ""}>{value}</dd>
    </div>
  );
}
