/** What a person is about to do: one or more calls that end in the state which the simulation shows. */
import { encodeFunctionData, type Abi, type Address, type Hex } from "viem";
import { coreAbi, tokenAbi } from "../chain/abi";
import type { Token } from "../chain/config";

export interface Call {
  to: Address;
  data: Hex;
  /** What a step is called while it runs: "Approve USDC". */
  what: string;
}

export interface Plan {
  /** What the whole is called afterwards: "Supply 1,000 USDC". */
  title: string;
  account: Address;
  /** Name of the market that it concerns, if it is one. */
  market?: string | undefined;
  calls: Call[];
  /** The same by fewer transactions, for a wallet that signs messages. */
  signed?: (sign: Signer) => Promise<Call[]>;
}

/** A message of EIP-712. */
export interface TypedData {
  domain: { name: string; version: string; chainId: number; verifyingContract: Address };
  primaryType: string;
  types: Record<string, { name: string; type: string }[]>;
  message: Record<string, unknown>;
}

/** Has the wallet sign a message of the account. */
export type Signer = (data: TypedData) => Promise<Hex>;

export const call = (what: string, to: Address, abi: Abi, functionName: string, args: readonly unknown[]): Call => ({
  what,
  to,
  data: encodeFunctionData({ abi, functionName, args }),
});

/** An approval of exactly what the next call pulls. */
export const approval = (token: Token, spender: Address, amount: bigint): Call =>
  call(`Approve ${token.name}`, token.address, tokenAbi, "approve", [spender, amount]);

/** Several calls to the core as one transaction. */
export const inOneCall = (what: string, core: Address, calls: Call[]): Call =>
  calls.length === 1 ? calls[0]! : call(what, core, coreAbi, "multicall", [calls.map(({ data }) => data)]);
