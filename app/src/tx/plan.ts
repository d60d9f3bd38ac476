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
  calls: Call[];
}

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
