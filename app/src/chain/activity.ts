/** What an account did, and what others did with its loans and orders, from the contracts' events. */
import { decodeEventLog, encodeEventTopics, getAddress, pad, type Abi, type Address, type Hex } from "viem";
import { amountText, bpsText } from "../lib/numbers";
import { KINDS } from "../lib/orders";
import { coreEvents, fundEvents, governanceEvents, guardEvents, leverEvents, rewardsEvents } from "./abi";
import type { Deployment, Token } from "./config";
import { toHex, type Rpc } from "./rpc";

export interface Activity {
  block: bigint;
  index: number;
  transaction: Hex;
  /** Where it happened, with the page's route there. */
  place: string;
  route: string;
  what: string;
  isBad: boolean;
}

interface Log {
  address: Address;
  topics: [Hex, ...Hex[]];
  data: Hex;
  blockNumber: Hex;
  logIndex: Hex;
  transactionHash: Hex;
}

// Arguments of decoded events: each sentence knows those of its own.
type Arguments = Record<string, any>;
type Sentence = (args: Arguments, places: Places) => string;

/** An event of an account: the topic in which the account stands, and what is said of it. */
interface Kind {
  topic: 1 | 2 | 3;
  sentence: Sentence;
  isBad?: boolean;
}

/** What amounts in an event are of. */
interface Places {
  loan: Token | undefined;
  collateral: Token | undefined;
  /** The token of a fund, or of the programme's reward that the event names. */
  token: Token | undefined;
}

const amount = (units: bigint, token: Token | undefined): string =>
  token ? `${amountText(units, token.decimals)} ${token.name}` : `${units} units`;

const CORE: Record<string, Kind> = {
  Supply: { topic: 3, sentence: ({ assets }, { loan }) => `Supplied ${amount(assets, loan)}` },
  Withdraw: { topic: 2, sentence: ({ assets }, { loan }) => `Withdrew ${amount(assets, loan)}` },
  SupplyCollateral: {
    topic: 3,
    sentence: ({ assets }, { collateral }) => `Added ${amount(assets, collateral)} as collateral`,
  },
  WithdrawCollateral: {
    topic: 2,
    sentence: ({ assets }, { collateral }) => `Withdrew ${amount(assets, collateral)} of collateral`,
  },
  Borrow: { topic: 2, sentence: ({ assets }, { loan }) => `Borrowed ${amount(assets, loan)}` },
  Repay: { topic: 3, sentence: ({ assets }, { loan }) => `Repaid ${amount(assets, loan)}` },
  Liquidate: {
    topic: 3,
    isBad: true,
    sentence: ({ repaid, seized }, { loan, collateral }) =>
      `Liquidated: ${amount(repaid, loan)} repaid for ${amount(seized, collateral)}`,
  },
};

const GUARD: Record<string, Kind> = {
  PlaceOrder: { topic: 2, sentence: ({ kind }) => `Placed an order: ${KINDS[kind]}` },
  CancelOrder: { topic: 2, sentence: ({ kind }) => `Cancelled an order: ${KINDS[kind]}` },
  CancelAllOrders: { topic: 2, sentence: () => "Cancelled all orders" },
  ExecuteOrder: {
    topic: 2,
    sentence: ({ kind, execution }, { loan, collateral }) =>
      `Order executed (${KINDS[kind]}): ${amount(execution.own + execution.payment, loan)} repaid for ${amount(execution.sold, collateral)}`,
  },
};

const LEVER: Record<string, Kind> = {
  RaiseLeverage: {
    topic: 2,
    sentence: ({ borrowed, bought }, { loan, collateral }) =>
      `Leverage: bought ${amount(bought, collateral)} with ${amount(borrowed, loan)} borrowed`,
  },
  LowerLeverage: {
    topic: 2,
    sentence: ({ repaid, sold }, { loan, collateral }) =>
      `Sold ${amount(sold, collateral)} to repay ${amount(repaid, loan)}`,
  },
  CloseLeverage: {
    topic: 2,
    sentence: ({ repaid, sold }, { loan, collateral }) =>
      `Closed the loan: sold ${amount(sold, collateral)} to repay ${amount(repaid, loan)}`,
  },
};

const REWARDS: Record<string, Kind> = {
  Stake: { topic: 3, sentence: (args, { token }) => `Staked ${amount(args.amount, token)}` },
  Unstake: { topic: 2, sentence: (args, { token }) => `Unstaked ${amount(args.amount, token)}` },
  Claim: { topic: 3, sentence: (args, { token }) => `Claimed ${amount(args.amount, token)}` },
  Harvest: {
    topic: 3,
    sentence: (args, { token }) =>
      `Claimed for you: ${amount(args.amount, token)}${args.compounded ? ", and staked" : ""}, tip ${amount(args.tip, token)}`,
  },
  SetHarvestConsent: {
    topic: 3,
    sentence: ({ enabled, tipBps }, { token }) =>
      `${enabled ? `Started auto-claim (tip ${bpsText(BigInt(tipBps))})` : "Stopped auto-claim"} of ${token?.name ?? "a reward"}`,
  },
};

const FUND: Record<string, Kind> = {
  Deposit: { topic: 2, sentence: ({ assets }, { token }) => `Deposited ${amount(assets, token)}` },
  Withdraw: { topic: 3, sentence: ({ assets }, { token }) => `Withdrew ${amount(assets, token)}` },
  StartCooldown: { topic: 1, sentence: () => "Started the cooldown" },
  RedeemInKind: { topic: 1, sentence: () => "Redeemed in kind" },
};

/** Shares and votes are of tokens that activity does not read. */
const GOVERNANCE: Record<string, Kind> = {
  Locked: { topic: 1, sentence: () => "Locked shares" },
  Unlocked: { topic: 1, sentence: () => "Unlocked shares" },
  Opposed: { topic: 3, sentence: () => "Opposed an operation" },
  VoteCast: {
    topic: 1,
    sentence: ({ support }) => `Voted ${["against", "for", "in abstention on"][support]} a proposal`,
  },
};

/** A contract whose events concern accounts. */
interface Source {
  name: string;
  /** The page's route, where no market is. */
  route: string;
  abi: Abi;
  kinds: Record<string, Kind>;
}

const KIND_OF_CONTRACT: Record<string, Omit<Source, "name">> = {
  Plimsoll: { abi: coreEvents, kinds: CORE, route: "earn" },
  Guard: { abi: guardEvents, kinds: GUARD, route: "earn" },
  Lever: { abi: leverEvents, kinds: LEVER, route: "earn" },
  Rewards: { abi: rewardsEvents, kinds: REWARDS, route: "earn" },
  Backstop: { abi: fundEvents, kinds: FUND, route: "earn" },
  Vault: { abi: fundEvents, kinds: FUND, route: "earn" },
  Brake: { abi: governanceEvents, kinds: GOVERNANCE, route: "governance" },
  PlimsollGovernor: { abi: governanceEvents, kinds: GOVERNANCE, route: "governance" },
};

function sourcesOf(deployment: Deployment): Map<Address, Source> {
  const sources = new Map<Address, Source>();
  for (const [contract, source] of Object.entries(KIND_OF_CONTRACT)) {
    for (const { name, address } of deployment.contracts(contract)) {
      sources.set(address, { name: name === contract ? name : `${contract} ${name}`, ...source });
    }
  }
  return sources;
}

/** Reads an account's activity, the newest first. `assets` are the tokens of backstops and vaults, by address. */
export async function readActivity(
  rpc: Rpc,
  deployment: Deployment,
  account: Address,
  assets: Map<Address, Token>,
): Promise<Activity[]> {
  const sources = sourcesOf(deployment);
  const byTopic = new Map<number, Set<Hex>>();
  for (const { abi, kinds } of sources.values()) {
    for (const [eventName, { topic }] of Object.entries(kinds)) {
      const [signature] = encodeEventTopics({ abi, eventName });
      byTopic.set(topic, (byTopic.get(topic) ?? new Set()).add(signature as Hex));
    }
  }
  const found = await Promise.all(
    [...byTopic].map(([topic, signatures]) => {
      const between = Array<null>(topic - 1).fill(null);
      const topics = [[...signatures], ...between, pad(account)];
      const range = { fromBlock: toHex(deployment.firstBlock), toBlock: "latest" };
      return rpc.request<Log[]>("eth_getLogs", [{ address: [...sources.keys()], topics, ...range }]);
    }),
  );
  const activities = found.flat().flatMap((log) => describe(deployment, sources, assets, log) ?? []);
  return activities.sort((a, b) => Number(b.block - a.block) || b.index - a.index);
}

function describe(
  deployment: Deployment,
  sources: Map<Address, Source>,
  assets: Map<Address, Token>,
  log: Log,
): Activity | undefined {
  const address = getAddress(log.address);
  const source = sources.get(address);
  if (!source) return undefined;
  const decoded = decodeEventLog({ abi: source.abi, topics: log.topics, data: log.data });
  const args = decoded.args as unknown as Arguments;
  const kind = source.kinds[decoded.eventName ?? ""];
  if (!kind) return undefined;
  const market = deployment.markets.find(({ id }) => id === args.id);
  // A market that was created besides those of the record. Operations of governance have ids, too.
  if (args.id && !market && source.kinds !== GOVERNANCE) return undefined;
  const programme = deployment.programmes.find(({ id }) => id === args.pool);
  const reward = programme?.rewards.find((token) => token.address === args.rewardToken);
  const token = assets.get(address) ?? reward ?? programme?.stake;
  return {
    block: BigInt(log.blockNumber),
    index: Number(log.logIndex),
    transaction: log.transactionHash,
    place: market?.name ?? source.name,
    route: market ? `market/${market.name}` : source.route,
    what: kind.sentence(args, { loan: market?.loan, collateral: market?.collateral, token }),
    isBad: kind.isBad ?? false,
  };
}
