/** What an account did in the core's markets, and what liquidators did with its loans, from the contract's events. */
import { decodeEventLog, encodeEventTopics, pad, type Address, type Hex } from "viem";
import { amountText } from "../lib/numbers";
import { coreEvents } from "./abi";
import type { Deployment, MarketInfo } from "./config";
import { toHex, type Rpc } from "./rpc";

export interface Activity {
  block: bigint;
  index: number;
  transaction: Hex;
  market: string;
  what: string;
  isBad: boolean;
}

interface Log {
  topics: [Hex, ...Hex[]];
  data: Hex;
  blockNumber: Hex;
  logIndex: Hex;
  transactionHash: Hex;
}

/** Which topic of each event is the account: the one whose position it changes. */
const ACCOUNT_TOPIC = {
  Supply: 3,
  Withdraw: 2,
  SupplyCollateral: 3,
  WithdrawCollateral: 2,
  Borrow: 2,
  Repay: 3,
  Liquidate: 3,
} as const;

/** Reads an account's activity, the newest first. */
export async function readActivity(rpc: Rpc, deployment: Deployment, account: Address): Promise<Activity[]> {
  const core = deployment.contract("Plimsoll");
  if (!core) return [];
  const byTopic = new Map<number, Hex[]>();
  for (const [eventName, topic] of Object.entries(ACCOUNT_TOPIC)) {
    const [signature] = encodeEventTopics({ abi: coreEvents, eventName: eventName as keyof typeof ACCOUNT_TOPIC });
    byTopic.set(topic, [...(byTopic.get(topic) ?? []), signature as Hex]);
  }
  const found = await Promise.all(
    [...byTopic].map(([topic, signatures]) => {
      const between = Array<null>(topic - 1).fill(null);
      const topics = [signatures, ...between, pad(account)];
      const fromBlock = toHex(deployment.firstBlock);
      return rpc.request<Log[]>("eth_getLogs", [{ address: core, topics, fromBlock, toBlock: "latest" }]);
    }),
  );
  const activities = found.flat().flatMap((log) => describe(deployment, log) ?? []);
  return activities.sort((a, b) => Number(b.block - a.block) || b.index - a.index);
}

function describe(deployment: Deployment, log: Log): Activity | undefined {
  const { eventName, args } = decodeEventLog({ abi: coreEvents, topics: log.topics, data: log.data });
  const market = deployment.markets.find(({ id }) => id === args.id);
  if (!market) return undefined;
  return {
    block: BigInt(log.blockNumber),
    index: Number(log.logIndex),
    transaction: log.transactionHash,
    market: market.name,
    what: sentence(market, eventName, args as unknown as Amounts),
    isBad: eventName === "Liquidate",
  };
}

interface Amounts {
  assets: bigint;
  repaid: bigint;
  seized: bigint;
}

function sentence({ loan, collateral }: MarketInfo, event: string, { assets, repaid, seized }: Amounts): string {
  const inLoan = (units: bigint) => `${amountText(units, loan.decimals)} ${loan.name}`;
  const inCollateral = (units: bigint) => `${amountText(units, collateral.decimals)} ${collateral.name}`;
  switch (event) {
    case "Supply":
      return `Supplied ${inLoan(assets)}`;
    case "Withdraw":
      return `Withdrew ${inLoan(assets)}`;
    case "SupplyCollateral":
      return `Added ${inCollateral(assets)} as collateral`;
    case "WithdrawCollateral":
      return `Withdrew ${inCollateral(assets)} of collateral`;
    case "Borrow":
      return `Borrowed ${inLoan(assets)}`;
    case "Repay":
      return `Repaid ${inLoan(assets)}`;
    default:
      return `Liquidated: ${inLoan(repaid)} repaid for ${inCollateral(seized)}`;
  }
}
