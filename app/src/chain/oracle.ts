/** What a market's oracle is made of, and how old its answers are. */
import { parseAbi, type Address } from "viem";
import { read, type Rpc } from "./rpc";

export const oracleAbi = parseAbi([
  "struct Feed { address aggregator; uint32 borrowMaxAge; uint32 liquidationMaxAge; }",
  "struct Sequencer { address uptimeFeed; uint32 graceSecs; }",
  "struct Twap { address pool; uint32 windowSecs; uint32 blockSecs; uint16 maxDeviationBps; }",
  "struct Setup { address collateralToken; address loanToken; Feed[] baseFeeds; Feed[] quoteFeeds; Sequencer sequencer; Twap twap; }",
  "function setup() view returns (Setup)",
  "function describe() view returns (string)",
]);

export const feedAbi = parseAbi([
  "function latestRoundData() view returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)",
]);

interface Feed {
  aggregator: Address;
  borrowMaxAge: number;
}

export interface OracleInfo {
  /** The feeds in words: "[ETH / USD] over [USDC / USD]". */
  description: string;
  /** Addresses of the feeds, that of the collateral first. */
  feeds: Address[];
  /** The answer that stops borrowing first, by how much time it has left. */
  updatedAt: bigint;
  borrowMaxAge: bigint;
}

/** Reads an oracle over price feeds; `undefined` for one of another kind, such as a fixed price. */
export async function readOracle(rpc: Rpc, oracle: Address): Promise<OracleInfo | undefined> {
  const of = [read<string>(oracle, oracleAbi, "describe"), read<SetupFeeds>(oracle, oracleAbi, "setup")] as const;
  const found = await rpc.read(of, "latest").catch(() => undefined);
  if (!found) return undefined;
  const [description, { baseFeeds, quoteFeeds }] = found;
  const feeds = [...baseFeeds, ...quoteFeeds];
  const rounds = feeds.map(({ aggregator }) => read<bigint[]>(aggregator, feedAbi, "latestRoundData"));
  const answers = await rpc.read(rounds, "latest").catch(() => undefined);
  if (!answers) return undefined;
  const ages = feeds.map(({ borrowMaxAge }, index) => ({
    updatedAt: answers[index]![3]!,
    borrowMaxAge: BigInt(borrowMaxAge),
  }));
  const [first] = ages.sort((a, b) => Number(a.updatedAt + a.borrowMaxAge - b.updatedAt - b.borrowMaxAge));
  return first && { description, feeds: feeds.map(({ aggregator }) => aggregator), ...first };
}

interface SetupFeeds {
  baseFeeds: Feed[];
  quoteFeeds: Feed[];
}
