/** The state of the chain that the page shows, read at one block. */
import type { Address, Hex } from "viem";
import type { Market } from "../lib/math/market";
import { backstopAbi, coreAbi, guardAbi, lensAbi, rewardsAbi, tokenAbi, vaultAbi } from "./abi";
import type { Deployment, MarketInfo, Programme, Token } from "./config";
import { read, toHex, type Read, type Rpc } from "./rpc";

/** A price of an oracle; `undefined` where it has none. */
export type Price = bigint | undefined;

export interface MarketState {
  info: MarketInfo;
  stored: Market;
  /** The market with interest up to the block. */
  accrued: Market;
  utilisation: bigint;
  borrowRate: bigint;
  supplyRate: bigint;
  /** `undefined` in a market without a surge limit. */
  surgeRoom: bigint | undefined;
  backstop: Address;
  cover: bigint;
  liquidationPrice: Price;
  borrowPrice: Price;
  /** The first bytes of the revert by which the oracle refused a borrow price. */
  borrowPriceError: Hex;
}

export interface Position {
  supplyShares: bigint;
  supplyAssets: bigint;
  borrowShares: bigint;
  debt: bigint;
  collateral: bigint;
  collateralValue: bigint;
  health: bigint;
  /** The highest price at which the loan is liquidatable; `undefined` without debt. */
  waterline: bigint | undefined;
}

export interface Order {
  triggerLtvBps: number;
  targetLtvBps: number;
  triggerPrice: bigint;
  premiumStartPpm: number;
  premiumEndPpm: number;
  rampBps: number;
  requireBorrowPrice: boolean;
  uses: number;
  expiry: number;
  cooldownSecs: number;
  flatTip: bigint;
  maxOwn: bigint;
}

export interface Consent {
  enabled: boolean;
  compounds: boolean;
  tipBps: number;
  smallest: bigint;
}

export interface Stake {
  programme: Programme;
  staked: bigint;
  claimable: bigint[];
  consents: Consent[];
}

/** A backstop or a vault, and what an account has in it. */
export interface Fund {
  name: string;
  address: Address;
  asset: Token;
  decimals: number;
  totalAssets: bigint;
  shares: bigint;
  assets: bigint;
  maxWithdraw: bigint;
}

export interface Backstop extends Fund {
  cooldown: { shares: bigint; opensAt: bigint; closesAt: bigint };
  cooldownSecs: bigint;
  windowSecs: bigint;
}

/** Everything that concerns one account. */
export interface AccountState {
  address: Address;
  ether: bigint;
  balances: Map<Address, bigint>;
  positions: Map<Hex, Position>;
  orders: Map<Hex, Order[]>;
  /** Until when Guard may act for the account in the core, in seconds. */
  guardExpiry: bigint;
  stakes: Stake[];
  backstops: Backstop[];
  vaults: Fund[];
}

export interface Snapshot {
  block: bigint;
  timestamp: bigint;
  markets: MarketState[];
  totalStaked: Map<Hex, bigint>;
  account: AccountState | undefined;
}

interface PriceReading {
  status: number;
  price: bigint;
  errorData: Hex;
}

interface MarketLine extends Pick<MarketState, "stored" | "accrued" | "utilisation" | "backstop"> {
  borrowRatePerSecond: bigint;
  supplyRatePerSecond: bigint;
  surgePeriodSecs: bigint;
  surgeRoom: bigint;
  availableCover: bigint;
  liquidationPrice: PriceReading;
  borrowPrice: PriceReading;
}

type PositionLine = Omit<Position, "waterline"> & { waterlinePrice: bigint };

const STATUS_OK = 0;
const NEVER = (1n << 256n) - 1n;
const ORDER_KINDS = [0, 1, 2];

const priceOf = ({ status, price }: PriceReading): Price => (status === STATUS_OK ? price : undefined);

/** The position of a lens's line. */
export const positionOf = ({ waterlinePrice, ...line }: PositionLine): Position => ({
  ...line,
  waterline: line.debt === 0n || waterlinePrice === NEVER ? undefined : waterlinePrice,
});

/** A read of one position through the lens. */
export function positionRead(lens: Address, id: Hex, account: Address): Read<Position> {
  const line = read<{ lines: PositionLine[] }>(lens, lensAbi, "positions", [id, [account]]);
  return { ...line, decode: (result) => positionOf(line.decode(result).lines[0]!) };
}

/** Collects reads, so that all of them are one request, and places each result where it belongs. */
class Collector {
  readonly #reads: Read<unknown>[] = [];
  readonly #places: ((result: never) => void)[] = [];

  add<T>(item: Read<T>, place: (result: T) => void): void {
    this.#reads.push(item);
    this.#places.push(place as (result: never) => void);
  }

  async run(rpc: Rpc, block: Hex): Promise<void> {
    const results = await rpc.read(this.#reads, block);
    results.forEach((result, index) => this.#places[index]!(result as never));
  }
}

/** Reads the state at a block, for an account if one is connected. */
export async function readSnapshot(
  rpc: Rpc,
  deployment: Deployment,
  block: { number: bigint; timestamp: bigint },
  address: Address | undefined,
): Promise<Snapshot> {
  const lens = deployment.contract("Lens");
  if (!lens) throw new Error("The deployment record lists no Lens, through which this page reads markets");
  const snapshot: Snapshot = {
    block: block.number,
    timestamp: block.timestamp,
    markets: [],
    totalStaked: new Map(),
    account: undefined,
  };
  const reads = new Collector();
  const ids = deployment.markets.map(({ id }) => id);
  reads.add(read<{ markets: MarketLine[] }>(lens, lensAbi, "snapshot", [ids]), ({ markets }) => {
    snapshot.markets = markets.map((line, index) => marketState(deployment.markets[index]!, line));
  });
  const rewards = deployment.contract("Rewards");
  if (rewards) {
    for (const { id } of deployment.programmes) {
      const pool = read<{ totalStaked: bigint }>(rewards, rewardsAbi, "poolState", [id]);
      reads.add(pool, ({ totalStaked }) => snapshot.totalStaked.set(id, totalStaked));
    }
  }
  const at = toHex(block.number);
  if (address) {
    const account = emptyAccount(address);
    snapshot.account = account;
    addAccount(reads, deployment, lens, account);
    const [ether] = await Promise.all([rpc.request<Hex>("eth_getBalance", [address, at]), reads.run(rpc, at)]);
    account.ether = BigInt(ether);
    await readShares(rpc, account, at);
  } else {
    await reads.run(rpc, at);
  }
  return snapshot;
}

/** Reads what the account's shares of backstops and vaults are worth, now that their number is known. */
async function readShares(rpc: Rpc, account: AccountState, at: Hex): Promise<void> {
  const reads = new Collector();
  for (const fund of [...account.backstops, ...account.vaults].filter(({ shares }) => shares !== 0n)) {
    const worth = read<bigint>(fund.address, vaultAbi, "convertToAssets", [fund.shares]);
    reads.add(worth, (assets) => (fund.assets = assets));
  }
  await reads.run(rpc, at);
}

function marketState(info: MarketInfo, line: MarketLine): MarketState {
  return {
    info,
    stored: line.stored,
    accrued: line.accrued,
    utilisation: line.utilisation,
    borrowRate: line.borrowRatePerSecond,
    supplyRate: line.supplyRatePerSecond,
    surgeRoom: line.surgePeriodSecs === 0n ? undefined : line.surgeRoom,
    backstop: line.backstop,
    cover: line.availableCover,
    liquidationPrice: priceOf(line.liquidationPrice),
    borrowPrice: priceOf(line.borrowPrice),
    borrowPriceError: line.borrowPrice.errorData,
  };
}

const emptyAccount = (address: Address): AccountState => ({
  address,
  ether: 0n,
  balances: new Map(),
  positions: new Map(),
  orders: new Map(),
  guardExpiry: 0n,
  stakes: [],
  backstops: [],
  vaults: [],
});

function addAccount(reads: Collector, deployment: Deployment, lens: Address, account: AccountState): void {
  const { address } = account;
  for (const token of deployment.tokens) {
    const balance = read<bigint>(token.address, tokenAbi, "balanceOf", [address]);
    reads.add(balance, (units) => account.balances.set(token.address, units));
  }
  const [guard, core] = [deployment.contract("Guard"), deployment.contract("Plimsoll")];
  for (const { id } of deployment.markets) {
    reads.add(positionRead(lens, id, address), (position) => account.positions.set(id, position));
    const orders: Order[] = [];
    account.orders.set(id, orders);
    for (const kind of guard ? ORDER_KINDS : []) {
      const order = read<[Order, bigint]>(guard!, guardAbi, "order", [address, id, kind]);
      reads.add(order, ([found]) => (orders[kind] = found));
    }
  }
  if (guard && core) {
    const expiry = read<bigint>(core, coreAbi, "authorizationExpiry", [address, guard]);
    reads.add(expiry, (found) => (account.guardExpiry = found));
  }
  addStakes(reads, deployment, account);
  for (const { name, address: fund } of deployment.contracts("Backstop")) {
    const backstop = { ...emptyFund(deployment, name, fund), ...noCooldown() };
    account.backstops.push(backstop);
    addFund(reads, deployment, backstop, address);
    reads.add(read<Backstop["cooldown"]>(fund, backstopAbi, "cooldown", [address]), (c) => (backstop.cooldown = c));
    reads.add(read<bigint>(fund, backstopAbi, "cooldownSecs"), (secs) => (backstop.cooldownSecs = secs));
    reads.add(read<bigint>(fund, backstopAbi, "windowSecs"), (secs) => (backstop.windowSecs = secs));
  }
  for (const { name, address: fund } of deployment.contracts("Vault")) {
    const vault = emptyFund(deployment, name, fund);
    account.vaults.push(vault);
    addFund(reads, deployment, vault, address);
  }
}

function addStakes(reads: Collector, deployment: Deployment, account: AccountState): void {
  const rewards = deployment.contract("Rewards");
  if (!rewards) return;
  for (const programme of deployment.programmes) {
    const stake: Stake = { programme, staked: 0n, claimable: [], consents: [] };
    account.stakes.push(stake);
    const of = [programme.id, account.address];
    reads.add(read<bigint>(rewards, rewardsAbi, "staked", of), (units) => (stake.staked = units));
    programme.rewards.forEach(({ address }, index) => {
      const key = [programme.id, address, account.address];
      reads.add(read<bigint>(rewards, rewardsAbi, "claimable", key), (units) => (stake.claimable[index] = units));
      reads.add(read<Consent>(rewards, rewardsAbi, "harvestConsent", key), (c) => (stake.consents[index] = c));
    });
  }
}

const emptyFund = (deployment: Deployment, name: string, address: Address): Fund => ({
  name,
  address,
  asset: deployment.tokens[0]!,
  decimals: 18,
  totalAssets: 0n,
  shares: 0n,
  assets: 0n,
  maxWithdraw: 0n,
});

const noCooldown = () => ({
  cooldown: { shares: 0n, opensAt: 0n, closesAt: 0n },
  cooldownSecs: 0n,
  windowSecs: 0n,
});

function addFund(reads: Collector, deployment: Deployment, fund: Fund, account: Address): void {
  const of = <T>(name: string, args: unknown[] = []): Read<T> => read<T>(fund.address, vaultAbi, name, args);
  reads.add(of<Address>("asset"), (asset) => {
    fund.asset = deployment.tokens.find(({ address }) => address === asset) ?? fund.asset;
  });
  reads.add(of<number>("decimals"), (decimals) => (fund.decimals = decimals));
  reads.add(of<bigint>("totalAssets"), (units) => (fund.totalAssets = units));
  reads.add(of<bigint>("balanceOf", [account]), (units) => (fund.shares = units));
  reads.add(of<bigint>("maxWithdraw", [account]), (units) => (fund.maxWithdraw = units));
}
