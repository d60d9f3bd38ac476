/** What governs the deployment, read at one block: what is scheduled, proposals, brakes, votes, and who may do what. */
import {
  decodeEventLog,
  encodeAbiParameters,
  encodeEventTopics,
  getAddress,
  keccak256,
  stringToHex,
  type Abi,
  type Address,
  type Hex,
} from "viem";
import type { Deployment } from "./config";
import { brakeAbi, governorAbi, managerAbi, votesAbi } from "./governanceAbi";
import { read, toHex, type Read, type Rpc } from "./rpc";
import { tokenAbi, vaultAbi } from "./abi";

/** Operations and proposals that are read, the newest ones: whoever may schedule can schedule any number. */
const MOST = 32;
/** Time after its due time in which an operation can be executed, in seconds: a constant of the manager. */
export const EXPIRATION_SECS = 604_800n;

/** A call of a contract. */
export interface ScheduledCall {
  target: Address;
  value: bigint;
  data: Hex;
}

/** What opposes an operation at a brake. */
export interface Opposition {
  brake: Brake;
  weight: bigint;
  needed: bigint;
}

export interface Operation {
  id: Hex;
  caller: Address;
  call: ScheduledCall;
  due: bigint;
  opposition: Opposition[];
  /** Whether the connected account may cancel it. */
  canCancel: boolean;
}

/** States of a proposal, as the governor numbers them. */
export const STATES = ["pending", "active", "cancelled", "defeated", "succeeded", "queued", "expired", "executed"];

export interface Proposal {
  governor: Governor;
  id: bigint;
  proposer: Address;
  calls: ScheduledCall[];
  description: string;
  state: string;
  voteStart: bigint;
  voteEnd: bigint;
  /** When it can be executed; 0 until it is queued. */
  due: bigint;
  votes: { against: bigint; for: bigint; abstain: bigint };
  hasVoted: boolean;
}

export interface Governor {
  name: string;
  address: Address;
  token: Address;
  symbol: string;
  decimals: number;
  guardian: Address;
  quorumPercent: bigint;
  supply: bigint;
  /** Of the connected account. */
  balance: bigint;
  votes: bigint;
  delegate: Address | undefined;
}

export interface Brake {
  name: string;
  address: Address;
  shares: Address;
  decimals: number;
  supply: bigint;
  /** Of the connected account. */
  balance: bigint;
  locked: bigint;
  freeAt: bigint;
  allowance: bigint;
}

/** A function that only members of a role may call. */
export interface Power {
  target: Address;
  selector: Hex;
  role: string;
  members: { account: Address; delay: number }[];
  cancelledBy: Address[];
}

export interface Governance {
  manager: Address | undefined;
  operations: Operation[];
  proposals: Proposal[];
  governors: Governor[];
  brakes: Brake[];
  powers: Power[];
}

interface Log {
  topics: [Hex, ...Hex[]];
  data: Hex;
}

/** Reads events of a contract, the oldest first. */
async function eventsOf<T>(rpc: Rpc, deployment: Deployment, address: Address, abi: Abi, eventName: string) {
  const [topic] = encodeEventTopics({ abi, eventName });
  const range = { fromBlock: toHex(deployment.firstBlock), toBlock: "latest" };
  const logs = await rpc.request<Log[]>("eth_getLogs", [{ address, topics: [topic], ...range }]);
  return logs.map(({ topics, data }) => decodeEventLog({ abi, topics, data }).args as unknown as T);
}

/** Reads many values of one kind in one request. */
const readAll = <T>(rpc: Rpc, at: Hex, reads: Read<T>[]): Promise<T[]> => rpc.read(reads, at) as Promise<T[]>;

export async function readGovernance(
  rpc: Rpc,
  deployment: Deployment,
  block: bigint,
  account: Address | undefined,
): Promise<Governance> {
  const at = toHex(block);
  const manager = deployment.contract("AccessManager");
  const brakes = await Promise.all(
    deployment.contracts("Brake").map((brake) => readBrake(rpc, at, brake.name, brake.address, account)),
  );
  const governors = await Promise.all(
    deployment
      .contracts("PlimsollGovernor")
      .map((governor) => readGovernor(rpc, at, governor.name, governor.address, account)),
  );
  const proposals = await Promise.all(
    governors.map((governor) => readProposals(rpc, deployment, at, governor, account)),
  );
  return {
    manager,
    brakes,
    governors,
    proposals: proposals.flat(),
    operations: manager ? await readOperations(rpc, deployment, at, manager, brakes, account) : [],
    powers: manager ? await readPowers(rpc, deployment, at, manager) : [],
  };
}

async function readBrake(rpc: Rpc, at: Hex, name: string, address: Address, account?: Address): Promise<Brake> {
  const [shares, supply] = await rpc.read(
    [read<Address>(address, brakeAbi, "sharesToken"), read<bigint>(address, brakeAbi, "referenceSupply")],
    at,
  );
  const decimals = await rpc.read([read<number>(shares, vaultAbi, "decimals")], at);
  const brake = {
    name,
    address,
    shares,
    decimals: decimals[0],
    supply,
    balance: 0n,
    locked: 0n,
    freeAt: 0n,
    allowance: 0n,
  };
  if (!account) return brake;
  const [balance, lock, allowance] = await rpc.read(
    [
      read<bigint>(shares, vaultAbi, "balanceOf", [account]),
      read<{ shares: bigint; freeAt: number }>(address, brakeAbi, "locked", [account]),
      read<bigint>(shares, tokenAbi, "allowance", [account, address]),
    ],
    at,
  );
  return { ...brake, balance, locked: lock.shares, freeAt: BigInt(lock.freeAt), allowance };
}

async function readGovernor(rpc: Rpc, at: Hex, name: string, address: Address, account?: Address): Promise<Governor> {
  const [token, guardian, quorumPercent] = await rpc.read(
    [
      read<Address>(address, governorAbi, "token"),
      read<Address>(address, governorAbi, "proposalGuardian"),
      read<bigint>(address, governorAbi, "quorumNumerator"),
    ],
    at,
  );
  const [symbol, decimals, supply] = await rpc.read(
    [
      read<string>(token, votesAbi, "symbol"),
      read<number>(token, votesAbi, "decimals"),
      read<bigint>(token, votesAbi, "totalSupply"),
    ],
    at,
  );
  const governor = { name, address, token, symbol, decimals, guardian, quorumPercent, supply };
  if (!account) return { ...governor, balance: 0n, votes: 0n, delegate: undefined };
  const [balance, votes, delegate] = await rpc.read(
    [
      read<bigint>(token, votesAbi, "balanceOf", [account]),
      read<bigint>(token, votesAbi, "getVotes", [account]),
      read<Address>(token, votesAbi, "delegates", [account]),
    ],
    at,
  );
  return { ...governor, balance, votes, delegate: BigInt(delegate) === 0n ? undefined : delegate };
}

interface Created {
  proposalId: bigint;
  proposer: Address;
  targets: Address[];
  values: bigint[];
  calldatas: Hex[];
  voteStart: bigint;
  description: string;
}

async function readProposals(
  rpc: Rpc,
  deployment: Deployment,
  at: Hex,
  governor: Governor,
  account: Address | undefined,
): Promise<Proposal[]> {
  const { address } = governor;
  const all = await eventsOf<Created>(rpc, deployment, address, governorAbi, "ProposalCreated");
  const created = all.slice(-MOST).reverse();
  const each = <T>(name: string, further: unknown[] = []) =>
    readAll(
      rpc,
      at,
      created.map(({ proposalId }) => read<T>(address, governorAbi, name, [proposalId, ...further])),
    );
  const [states, ends, dues, votes, voted] = await Promise.all([
    each<number>("state"),
    each<bigint>("proposalDeadline"),
    each<bigint>("proposalEta"),
    each<[bigint, bigint, bigint]>("proposalVotes"),
    account ? each<boolean>("hasVoted", [account]) : [],
  ]);
  return created.map((event, index) => {
    const [against, inFavour, abstain] = votes[index]!;
    return {
      governor,
      id: event.proposalId,
      proposer: getAddress(event.proposer),
      calls: event.targets.map((target, at) => ({
        target: getAddress(target),
        value: event.values[at] ?? 0n,
        data: event.calldatas[at] ?? "0x",
      })),
      description: event.description,
      state: STATES[states[index]!] ?? "unknown",
      voteStart: event.voteStart,
      voteEnd: ends[index]!,
      due: dues[index]!,
      votes: { against, for: inFavour, abstain },
      hasVoted: voted[index] ?? false,
    };
  });
}

export const descriptionHash = (description: string): Hex => keccak256(stringToHex(description));

interface Scheduled {
  operationId: Hex;
  caller: Address;
  target: Address;
  data: Hex;
}

/** Id of an operation, as the manager computes it. */
export const operationId = (caller: Address, target: Address, data: Hex): Hex =>
  keccak256(encodeAbiParameters([{ type: "address" }, { type: "address" }, { type: "bytes" }], [caller, target, data]));

async function readOperations(
  rpc: Rpc,
  deployment: Deployment,
  at: Hex,
  manager: Address,
  brakes: Brake[],
  account: Address | undefined,
): Promise<Operation[]> {
  const all = await eventsOf<Scheduled>(rpc, deployment, manager, managerAbi, "OperationScheduled");
  const byId = new Map(all.map((event) => [event.operationId, event]));
  const events = [...byId.values()];
  // What was executed, cancelled or has expired has no time any more.
  const times = await readAll(
    rpc,
    at,
    events.map(({ operationId: id }) => read<number>(manager, managerAbi, "getSchedule", [id])),
  );
  const waiting = events.flatMap((event, index) => (times[index] ? [{ event, due: BigInt(times[index]!) }] : []));
  return Promise.all(
    waiting.slice(-MOST).map(async ({ event, due }) => {
      const [caller, target] = [getAddress(event.caller), getAddress(event.target)];
      const operation = { caller, target, data: event.data };
      const opposed = await readAll(
        rpc,
        at,
        brakes.map((brake) =>
          read<{ weight: bigint; needed: bigint }>(brake.address, brakeAbi, "opposition", [operation]),
        ),
      );
      return {
        id: event.operationId,
        caller,
        call: { target, value: 0n, data: event.data },
        due,
        opposition: brakes.map((brake, index) => ({ brake, ...opposed[index]! })),
        canCancel: account !== undefined && (await canCancel(rpc, at, manager, operation, account)),
      };
    }),
  ).then((operations) => operations.sort((a, b) => Number(a.due - b.due)));
}

/** Whether an account may cancel an operation: who scheduled it, an administrator, or a guardian of its role. */
async function canCancel(
  rpc: Rpc,
  at: Hex,
  manager: Address,
  { caller, target, data }: { caller: Address; target: Address; data: Hex },
  account: Address,
): Promise<boolean> {
  if (caller === account) return true;
  const [role] = await rpc.read(
    [read<bigint>(manager, managerAbi, "getTargetFunctionRole", [target, data.slice(0, 10)])],
    at,
  );
  const [guardian] = await rpc.read([read<bigint>(manager, managerAbi, "getRoleGuardian", [role])], at);
  const members = await readAll(
    rpc,
    at,
    [0n, guardian].map((id) => read<[boolean, number]>(manager, managerAbi, "hasRole", [id, account])),
  );
  return members.some(([isMember]) => isMember);
}

interface Granted {
  roleId: bigint;
  account: Address;
}

/** Reads who may call which function after which delay, and who may cancel it meanwhile. */
async function readPowers(rpc: Rpc, deployment: Deployment, at: Hex, manager: Address): Promise<Power[]> {
  const events = <T>(name: string) => eventsOf<T>(rpc, deployment, manager, managerAbi, name);
  const [functions, granted, labels] = await Promise.all([
    events<{ target: Address; selector: Hex; roleId: bigint }>("TargetFunctionRoleUpdated"),
    events<Granted>("RoleGranted"),
    events<{ roleId: bigint; label: string }>("RoleLabel"),
  ]);
  const names = new Map(labels.map(({ roleId, label }) => [roleId, label]));
  names.set(0n, "administrators");
  const roleOf = new Map(functions.map((event) => [`${event.target}${event.selector}`, event]));
  const roles = [...new Set([0n, ...functions.map(({ roleId }) => roleId)])];
  const guardians = await readAll(
    rpc,
    at,
    roles.map((role) => read<bigint>(manager, managerAbi, "getRoleGuardian", [role])),
  );
  const guardianOf = new Map(roles.map((role, index) => [role, guardians[index]!]));
  const pairs = [...new Map(granted.map((grant) => [`${grant.roleId} ${grant.account}`, grant])).values()];
  const held = await readAll(
    rpc,
    at,
    pairs.map(({ roleId, account }) => read<[boolean, number]>(manager, managerAbi, "hasRole", [roleId, account])),
  );
  const membersOf = (role: bigint) =>
    pairs.flatMap(({ roleId, account }, index) => {
      const [isMember, delay] = held[index]!;
      return roleId === role && isMember ? [{ account: getAddress(account), delay }] : [];
    });
  return [...roleOf.values()].map(({ target, selector, roleId }) => {
    // The manager's own functions are the administrators', whatever their role; that role only says who cancels.
    const isOfManager = getAddress(target) === manager;
    const role = isOfManager ? 0n : roleId;
    return {
      target: getAddress(target),
      selector,
      role: names.get(role) ?? `role ${role}`,
      members: membersOf(role),
      cancelledBy: membersOf(guardianOf.get(roleId) ?? 0n).map(({ account }) => account),
    };
  });
}
