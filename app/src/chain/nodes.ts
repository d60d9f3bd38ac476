/** Nodes that serve models, their bonds, and the jobs and audits that they answer, read at one block. */
import { decodeEventLog, encodeEventTopics, parseAbi, type Address, type Hex } from "viem";
import type { Deployment, Token } from "./config";
import { tokenAbi } from "./abi";
import { read, toHex, type Rpc } from "./rpc";

/** Nodes and jobs that are read, the newest ones: anybody may register and post any number. */
const MOST = 32;

export const nodesAbi = parseAbi([
  "struct Bucket { uint128 assets; uint128 shares; }",
  "struct Node { address operator; uint16 cutBps; uint32 leaf; bool paused; uint40 jailedUntil; bytes32 kind; Bucket active; uint128 unbonding; uint128 factor; uint128 emissionStake; }",
  "struct Position { uint128 shares; uint128 unbonding; uint128 factorThen; uint40 releasesAt; }",
  "event Register(uint32 indexed id, address indexed operator, bytes32 indexed kind, address signer, uint16 cutBps, string url)",
  "event SetUrl(uint32 indexed id, string url)",
  "function count() view returns (uint32)",
  "function node(uint32 id) view returns (Node)",
  "function position(uint32 id, address account) view returns (Position)",
  "function assetsOf(uint32 id, address account) view returns (uint256 active, uint256 unbonding)",
  "function register(bytes32 kind, address signer, uint16 cutBps, string url, uint256 amount) returns (uint32)",
  "function delegate(uint32 id, uint256 amount) returns (uint256)",
  "function unbond(uint32 id, uint256 shares) returns (uint256)",
  "function withdraw(uint32 id, address receiver) returns (uint256)",
]);

const jobsAbi = parseAbi([
  "struct Job { address poster; uint40 deadline; uint8 k; uint8 state; uint8 round; uint8 committed; uint8 revealed; uint128 price; uint40 roundAt; uint64 drawBlock; bytes32 kind; bytes32 result; bytes32 claimed; bytes32 receipt; address challenger; uint32 accused; uint32 leaves; }",
  "struct Seat { bytes32 hash; uint32 node; uint8 round; uint8 state; }",
  "struct Config { address token; address rewards; address sink; uint256 minBond; uint256 cooldown; uint256 drawDelay; uint256 commitSecs; uint256 revealSecs; uint256 challengeSecs; uint256 minFee; }",
  "function nodes() view returns (address)",
  "function config() view returns (Config)",
  "function count() view returns (uint256)",
  "function job(uint256 id) view returns (Job)",
  "function seatsOf(uint256 id) view returns (Seat[])",
]);

export interface Job {
  id: bigint;
  k: number;
  state: number;
  price: bigint;
  kind: Hex;
  result: Hex;
  claimed: Hex;
  accused: number;
  seats: { hash: Hex; node: number; state: number }[];
}

export interface Node {
  id: number;
  operator: Address;
  cutBps: number;
  paused: boolean;
  jailedUntil: number;
  kind: Hex;
  active: { assets: bigint; shares: bigint };
  unbonding: bigint;
  emissionStake: bigint;
  url: string;
  /** Seats of the jobs that are shown and have ended, and those of them in which it revealed. */
  drawn: number;
  answered: number;
  /** Audits of its receipts among them, and those that it lost. */
  audits: number;
  lost: number;
  /** Of the connected account. */
  shares: bigint;
  bonded: bigint;
  leaving: bigint;
  releasesAt: bigint;
}

export interface Network {
  registry: Address;
  token: Token;
  minBond: bigint;
  cooldown: bigint;
  balance: bigint;
  nodes: Node[];
  jobs: Job[];
  /** Nodes and jobs beyond those that are shown. */
  others: [number, number];
}

const REVEALED = 2;
/** States from here on are those of jobs that have ended. */
export const COMPLETED = 4;

const newest = (count: number): number[] => {
  const first = Math.max(1, count - MOST + 1);
  return Array.from({ length: count - first + 1 }, (_, index) => first + index);
};

export async function readNetwork(
  rpc: Rpc,
  deployment: Deployment,
  jobs: Address,
  block: bigint,
  account: Address | undefined,
): Promise<Network> {
  const at = toHex(block);
  const [registry, config, jobCount] = await rpc.read(
    [
      read<Address>(jobs, jobsAbi, "nodes"),
      read<{ token: Address; minBond: bigint; cooldown: bigint }>(jobs, jobsAbi, "config"),
      read<bigint>(jobs, jobsAbi, "count"),
    ],
    at,
  );
  const [nodeCount] = await rpc.read([read<number>(registry, nodesAbi, "count")], at);
  const nodeIds = newest(nodeCount);
  const jobIds = newest(Number(jobCount)).map(BigInt);
  const owner = account ?? registry;
  const token = deployment.tokens.find(({ address }) => address === config.token);
  if (!token) throw new Error(`The record has no token ${config.token}, in which bonds are paid.`);
  const many = <T>(
    functionName: string,
    args: unknown[][],
    of = registry,
    abi: typeof nodesAbi | typeof jobsAbi = nodesAbi,
  ) =>
    rpc.read(
      args.map((list) => read<T>(of, abi, functionName, list)),
      at,
    ) as Promise<T[]>;
  const mine = nodeIds.map((id) => [id, owner]);
  const [found, positions, assets, jobsFound, seats, balance, urls] = await Promise.all([
    many<Omit<Node, "id">>(
      "node",
      nodeIds.map((id) => [id]),
    ),
    many<{ shares: bigint; releasesAt: number }>("position", mine),
    many<[bigint, bigint]>("assetsOf", mine),
    many<Omit<Job, "id">>(
      "job",
      jobIds.map((id) => [id]),
      jobs,
      jobsAbi,
    ),
    many<Job["seats"]>(
      "seatsOf",
      jobIds.map((id) => [id]),
      jobs,
      jobsAbi,
    ),
    rpc.read([read<bigint>(config.token, tokenAbi, "balanceOf", [owner])], at),
    readUrls(rpc, deployment, registry),
  ]);
  const list = jobsFound.map((job, index) => ({ ...job, id: jobIds[index]!, seats: seats[index]! }));
  const ended = list.filter(({ state }) => state >= COMPLETED);
  const nodes = found.map((node, index) => {
    const id = nodeIds[index]!;
    const own = ended.flatMap((job) => job.seats.filter((seat) => seat.node === id));
    const audits = ended.filter((job) => job.accused === id);
    return {
      ...node,
      id,
      url: urls.get(id) ?? "",
      drawn: own.length,
      answered: own.filter(({ state }) => state === REVEALED).length,
      audits: audits.length,
      lost: audits.filter(({ state, result, claimed }) => state === COMPLETED && result !== claimed).length,
      shares: positions[index]!.shares,
      bonded: assets[index]![0],
      leaving: assets[index]![1],
      releasesAt: BigInt(positions[index]!.releasesAt),
    };
  });
  return {
    registry,
    token,
    minBond: config.minBond,
    cooldown: config.cooldown,
    balance: account ? balance[0] : 0n,
    nodes,
    jobs: list.reverse(),
    others: [nodeCount - nodeIds.length, Number(jobCount) - jobIds.length],
  };
}

const TOPICS = (["Register", "SetUrl"] as const).map((eventName) => encodeEventTopics({ abi: nodesAbi, eventName })[0]);

async function readUrls(rpc: Rpc, deployment: Deployment, registry: Address): Promise<Map<number, string>> {
  const range = { fromBlock: toHex(deployment.firstBlock), toBlock: "latest" };
  const logs = await rpc.request<{ topics: [Hex, ...Hex[]]; data: Hex }[]>("eth_getLogs", [
    { address: registry, topics: [TOPICS], ...range },
  ]);
  return new Map(
    logs.map(({ topics, data }) => {
      const { id, url } = decodeEventLog({ abi: nodesAbi, topics, data }).args as { id: number; url: string };
      return [id, url];
    }),
  );
}
