/** The rates of a market over its utilisation, as a chart. */
import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import type { MarketState } from "../chain/snapshot";
import { BPS, WAD, YEAR_SECS } from "../lib/math/integers";
import { borrowRate, distanceFromTarget } from "../lib/math/market";
import { aprText, bpsText, percentText } from "../lib/numbers";

const STEPS = 100n;
const HEIGHT = 220;
/** Parts of a percent that a curve is drawn with. */
const DRAWN = 1_000_000n;

/** Yearly percentages for drawing only; every figure in words comes from the integers. */
const percent = (ratePerSecond: bigint): number =>
  Number((ratePerSecond * YEAR_SECS * 100n * DRAWN) / WAD) / Number(DRAWN);

/** Returns utilisation, borrow APR and supply APR at each percent of utilisation. */
function curveOf({ accrued, info }: MarketState): [number[], number[], number[]] {
  const points: [number[], number[], number[]] = [[], [], []];
  for (let step = 0n; step <= STEPS; step += 1n) {
    const rate = rateAt(accrued.rateAtTarget, step * (WAD / STEPS), info.curve);
    points[0].push(Number(step));
    points[1].push(percent(rate));
    points[2].push(percent((rate * step * (BPS - accrued.feeBps)) / (STEPS * BPS)));
  }
  return points;
}

const rateAt = (rateAtTarget: bigint, utilisation: bigint, curve: MarketState["info"]["curve"]): bigint =>
  borrowRate(rateAtTarget, distanceFromTarget(WAD, utilisation, curve.targetBps), curve.steepness);

/** Whether the person prefers dark colours: a canvas does not follow the stylesheet by itself. */
function useDark(): boolean {
  const query = window.matchMedia("(prefers-color-scheme: dark)");
  const [isDark, setIsDark] = useState(query.matches);
  useEffect(() => {
    const onChange = () => setIsDark(query.matches);
    query.addEventListener("change", onChange);
    return () => query.removeEventListener("change", onChange);
  }, []);
  return isDark;
}

export function RateChart({ market }: { market: MarketState }) {
  const isDark = useDark();
  const holder = useRef<HTMLDivElement>(null);
  const { curve } = market.info;
  const { rateAtTarget } = market.accrued;
  const now = Number((market.utilisation * 100n * BPS) / WAD) / Number(BPS);
  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const colour = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--edge"), width: 1 }, ticks: { show: false } };
    const options: uPlot.Options = {
      width: element.clientWidth,
      height: HEIGHT,
      scales: { x: { time: false } },
      legend: { show: false },
      cursor: { show: false },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((tick) => `${tick} %`) },
        { ...axis, values: (_, ticks) => ticks.map((tick) => `${tick} %`) },
      ],
      series: [{}, { stroke: colour("--deep"), width: 2.5 }, { stroke: colour("--near"), width: 2.5, dash: [6, 4] }],
      hooks: {
        draw: [
          (plot) => {
            const x = plot.valToPos(now, "x", true);
            plot.ctx.strokeStyle = colour("--dim");
            plot.ctx.setLineDash([2, 3]);
            plot.ctx.beginPath();
            plot.ctx.moveTo(x, plot.bbox.top);
            plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
            plot.ctx.stroke();
          },
        ],
      },
    };
    let plot: uPlot | undefined;
    let isCurrent = true;
    const onResize = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: HEIGHT }));
    // Nothing else waits for it, and where it cannot be loaded the words below say the same.
    import("uplot").then(
      ({ default: Plot }) => {
        if (!isCurrent) return;
        plot = new Plot(options, curveOf(market), element);
        onResize.observe(element);
      },
      () => {},
    );
    return () => {
      isCurrent = false;
      onResize.disconnect();
      plot?.destroy();
    };
  }, [rateAtTarget, now, isDark]);
  const full = aprText(rateAt(rateAtTarget, WAD, curve));
  const words = `Borrow APR ${aprText(rateAtTarget)} at the target utilisation of ${bpsText(curve.targetBps)}, ${full} at full utilisation.`;
  return (
    <figure class="card rates" aria-labelledby="rates">
      <h3 id="rates">Rates over utilisation</h3>
      <p class="legend">
        <span>
          <span class="key" /> Borrow APR
        </span>
        <span>
          <span class="key supply" /> Supply APR
        </span>
        <span>
          <span class="key now" /> Utilisation now, {percentText(market.utilisation)}
        </span>
      </p>
      <div ref={holder} role="img" aria-label={`Rates over utilisation. ${words}`} />
      <figcaption class="hint">{words}</figcaption>
    </figure>
  );
}
