/** What moves a local chain: prices and time. Nobody can do this on a public chain. */
import { getAddress, type Address } from "viem";
import { useEffect, useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import { feedAbi, readOracle } from "../chain/oracle";
import { read } from "../chain/rpc";
import { errorText } from "../tx/words";

/** Answer and time share the first slot of a local chain's feed. */
const ANSWER_SLOT = "0x0";
const TIME_SHIFT = 192n;
const DAY_SECS = 86_400;

interface NamedFeed {
  name: string;
  address: Address;
}

/**
 * Sets a feed's answer in its storage. A transaction of the feed's owner would use a nonce that the program which started
 * this chain counts by itself.
 */
async function setAnswer(app: App, feed: Address, percent: bigint): Promise<void> {
  const { rpc } = app;
  const [[, answer]] = await rpc.read([read<bigint[]>(feed, feedAbi, "latestRoundData")], "latest");
  const { timestamp } = await rpc.request<{ timestamp: `0x${string}` }>("eth_getBlockByNumber", ["latest", false]);
  const word = (BigInt(timestamp) << TIME_SHIFT) | ((answer! * (100n + percent)) / 100n);
  const padded = `0x${word.toString(16).padStart(64, "0")}`;
  await rpc.request("anvil_setStorageAt", [feed, ANSWER_SLOT, padded]);
}

/** Returns the feeds of the market that is open, none while they are read; all of them where none is open. */
function useFeeds(app: App, market: string | undefined): NamedFeed[] {
  const { feeds, markets } = useAppState(app).config.deployment;
  const [own, setOwn] = useState<Address[]>();
  useEffect(() => {
    setOwn(undefined);
    const info = markets.find(({ name }) => name === market);
    if (info) void readOracle(app.rpc, info.params.oracle).then((oracle) => setOwn(oracle?.feeds ?? []));
  }, [market]);
  if (market && !own) return [];
  const found = (own ?? []).flatMap(
    (address) => feeds.find((feed) => getAddress(feed.address) === getAddress(address)) ?? [],
  );
  return found.length ? found : feeds;
}

export function LocalPanel({ app, market }: { app: App; market: string | undefined }) {
  const { config } = useAppState(app);
  const feeds = useFeeds(app, market);
  const [feed, setFeed] = useState("");
  const [problem, setProblem] = useState("");
  const { name: shown, address } = feeds.find(({ name }) => name === feed) ?? feeds[0] ?? {};

  const act = async (work: () => Promise<void>) => {
    try {
      await work();
      await app.rpc.request("evm_mine", []);
      await app.refresh();
      setProblem("");
    } catch (error) {
      setProblem(errorText(error, app.context));
    }
  };
  const move = (percent: bigint) => act(() => (address ? setAnswer(app, address, percent) : Promise.resolve()));
  const pass = () =>
    act(async () => {
      await app.rpc.request("evm_increaseTime", [DAY_SECS]);
      await app.rpc.request("evm_mine", []);
      await reportAgain();
    });
  // Prices are as recent as before.
  const reportAgain = async () => {
    for (const { address: each } of config.deployment.feeds) await setAnswer(app, each, 0n);
  };

  return (
    <section class="card local" aria-labelledby="local">
      <h2 id="local">This local chain</h2>
      <p class="hint">Move prices and time, and see what becomes of your loan. It exists on local chains only.</p>
      <div class="buttons">
        <label for="feed">Price feed</label>
        <select id="feed" value={shown} onChange={(event) => setFeed(event.currentTarget.value)}>
          {feeds.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <button type="button" disabled={!address} onClick={() => void move(-10n)}>
          Price −10 %
        </button>
        <button type="button" disabled={!address} onClick={() => void move(10n)}>
          Price +10 %
        </button>
        <button type="button" onClick={() => void pass()}>
          A day passes
        </button>
        <button type="button" onClick={() => void act(reportAgain)}>
          Refresh prices
        </button>
      </div>
      <p class="problem" role="status">
        {problem}
      </p>
    </section>
  );
}
