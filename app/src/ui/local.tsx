/** What moves a local chain: prices and time. Nobody can do this on a public chain. */
import type { Address } from "viem";
import { useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import { feedAbi } from "../chain/oracle";
import { read } from "../chain/rpc";
import { errorText } from "../tx/words";

/** Answer and time share the first slot of a local chain's feed. */
const ANSWER_SLOT = "0x0";
const TIME_SHIFT = 192n;
const DAY_SECS = 86_400;

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

export function LocalPanel({ app }: { app: App }) {
  const { config } = useAppState(app);
  const { feeds } = config.deployment;
  const [feed, setFeed] = useState(feeds[0]?.name ?? "");
  const [problem, setProblem] = useState("");
  const address = feeds.find(({ name }) => name === feed)?.address;

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
      // Prices are as recent as before.
      for (const { address: each } of feeds) await setAnswer(app, each, 0n);
    });

  return (
    <section class="card local" aria-labelledby="local">
      <h2 id="local">This local chain</h2>
      <div class="buttons">
        <label for="feed">Price feed</label>
        <select id="feed" value={feed} onChange={(event) => setFeed(event.currentTarget.value)}>
          {feeds.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <button type="button" onClick={() => void move(-10n)}>
          Price −10 %
        </button>
        <button type="button" onClick={() => void move(10n)}>
          Price +10 %
        </button>
        <button type="button" onClick={() => void pass()}>
          A day passes
        </button>
      </div>
      <p class="problem" role="status">
        {problem}
      </p>
    </section>
  );
}
