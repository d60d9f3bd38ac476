/** What the page is served with: a node's URL and the record of a deployment. */
import { getAddress, type Address, type Hex } from "viem";
import { unpackCurve, unpackRisk, type RateCurve, type Risk } from "../lib/math/market";

export interface Token {
  name: string;
  address: Address;
  decimals: number;
}

export interface Params {
  loanToken: Address;
  collateralToken: Address;
  oracle: Address;
  risk: bigint;
  curve: bigint;
}

export interface MarketInfo {
  name: string;
  id: Hex;
  params: Params;
  loan: Token;
  collateral: Token;
  risk: Risk;
  curve: RateCurve;
}

export interface Programme {
  name: string;
  id: Hex;
  stake: Token;
  rewards: Token[];
}

export interface Pool {
  token0: Address;
  token1: Address;
  fee: number;
}

/** A deployment as the page uses it. */
export interface Deployment {
  network: string;
  chainId: number;
  genesis: Hex;
  firstBlock: bigint;
  tokens: Token[];
  markets: MarketInfo[];
  programmes: Programme[];
  pools: Pool[];
  feeds: { name: string; address: Address }[];
  /** The address of the only contract of a kind, if there is one. */
  contract(kind: string): Address | undefined;
  /** Names and addresses of all contracts of a kind. */
  contracts(kind: string): { name: string; address: Address }[];
  /** The name of a contract or token in the record, if it has one. */
  nameOf(address: Address): string | undefined;
}

export interface Config {
  rpc: string;
  /** A local chain, where anybody can mint tokens and the page offers a burner wallet. */
  local: boolean;
  deployment: Deployment;
}

interface RecordFile {
  schema: number;
  network: string;
  chain_id: number;
  genesis: Hex;
  contracts: Record<string, { contract: string; address: Address; created: { block: number } | null }>;
  tokens: Record<string, { address: Address; decimals: number }>;
  feeds: Record<string, Address>;
  pools: Record<string, { token0: Address; token1: Address; fee: number }>;
  markets: Record<
    string,
    { id: Hex; loan_token: Address; collateral_token: Address; oracle: Address; risk: Hex; curve: Hex }
  >;
  programmes: Record<string, { id: Hex; stake_token: Address; reward_tokens: Address[] }>;
}

const SCHEMA = 1;

export function readRecord(file: RecordFile): Deployment {
  if (file.schema !== SCHEMA) {
    throw new Error(`The deployment record has schema ${file.schema}; this page reads ${SCHEMA}`);
  }
  const tokens = Object.entries(file.tokens).map(([name, token]) => ({ name, ...checked(token) }));
  const tokenAt = (address: Address): Token => {
    const found = tokens.find((token) => token.address === getAddress(address));
    if (!found) throw new Error(`The deployment record does not list the token ${address}`);
    return found;
  };
  const contracts = Object.entries(file.contracts);
  const ofKind = (kind: string) =>
    contracts
      .filter(([, { contract }]) => contract === kind)
      .map(([name, { address }]) => ({ name: name.replace(/^[^.]*\./, ""), address: getAddress(address) }));
  const blocks = contracts.flatMap(([, { created }]) => (created ? [created.block] : []));
  return {
    network: file.network,
    chainId: file.chain_id,
    genesis: file.genesis,
    firstBlock: BigInt(blocks.length ? Math.min(...blocks) : 0),
    tokens,
    markets: Object.entries(file.markets).map(([name, market]) => {
      const params = {
        loanToken: getAddress(market.loan_token),
        collateralToken: getAddress(market.collateral_token),
        oracle: getAddress(market.oracle),
        risk: BigInt(market.risk),
        curve: BigInt(market.curve),
      };
      const [loan, collateral] = [tokenAt(params.loanToken), tokenAt(params.collateralToken)];
      const [risk, curve] = [unpackRisk(params.risk), unpackCurve(params.curve)];
      return { name, id: market.id, params, loan, collateral, risk, curve };
    }),
    // The emission of nodes is staked by their registry alone, in units that are no token.
    programmes: Object.entries(file.programmes)
      .filter(([, { stake_token }]) => tokens.some((token) => token.address === getAddress(stake_token)))
      .map(([name, { id, stake_token, reward_tokens }]) => ({
        name,
        id,
        stake: tokenAt(stake_token),
        rewards: reward_tokens.map(tokenAt),
      })),
    pools: Object.values(file.pools),
    feeds: Object.entries(file.feeds).map(([name, address]) => ({ name, address })),
    contract: (kind) => {
      const found = ofKind(kind);
      return found.length === 1 ? found[0]!.address : undefined;
    },
    contracts: ofKind,
    nameOf: (address) =>
      contracts.find(([, contract]) => getAddress(contract.address) === address)?.[0] ??
      tokens.find((token) => token.address === address)?.name,
  };
}

const checked = <T extends { address: Address }>(entry: T): T => ({ ...entry, address: getAddress(entry.address) });

/** Loads the configuration that lies beside the page. */
export async function loadConfig(): Promise<Config> {
  const response = await fetch("config.json");
  if (!response.ok) throw new Error(`config.json: the server responded ${response.status}`);
  const { rpc, local, deployment } = await response.json();
  return { rpc, local, deployment: readRecord(deployment) };
}

/** Base URLs of explorers, for links only: the page itself requests nothing from them. */
const EXPLORERS: Record<number, string> = {
  1: "https://etherscan.io",
  10: "https://optimistic.etherscan.io",
  56: "https://bscscan.com",
  100: "https://gnosisscan.io",
  137: "https://polygonscan.com",
  8453: "https://basescan.org",
  42161: "https://arbiscan.io",
  43114: "https://snowtrace.io",
  59144: "https://lineascan.build",
  84532: "https://sepolia.basescan.org",
  534352: "https://scrollscan.com",
  11155111: "https://sepolia.etherscan.io",
};

/** What gas is paid with, where that is not ether. */
const COINS: Record<number, string> = { 56: "BNB", 100: "xDAI", 137: "POL", 43114: "AVAX" };

export const coinOf = (chainId: number): string => COINS[chainId] ?? "ETH";

export const explorerLink = (chainId: number, kind: "tx" | "address", hex: Hex): string | undefined =>
  EXPLORERS[chainId] && `${EXPLORERS[chainId]}/${kind}/${hex}`;
