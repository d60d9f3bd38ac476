/** Simulates a plan on the node before anything is signed, and reads what it would result in. */
import type { Address, Hex } from "viem";
import type { Read, Rpc } from "../chain/rpc";
import { RpcError, revertData } from "../chain/rpc";
import { CODES } from "../wallet/provider";
import type { Plan } from "./plan";

/** A call of a plan would revert. */
export class WouldRevert extends Error {
  constructor(
    readonly step: string,
    readonly data: Hex | undefined,
  ) {
    super(`${step} would revert`);
  }
}

interface CallResult {
  status: Hex;
  returnData: Hex;
  gasUsed: Hex;
  error?: { message?: string; data?: unknown };
}

/** What a plan would do. */
export interface Simulation<T> {
  after: T;
  gas: bigint;
}

/**
 * Executes a plan's calls in a block after the newest one, and then a read. The state is the node's own, so the result is
 * what the contracts compute. Fails with {@link WouldRevert} if a call fails.
 */
export async function simulate<T>(rpc: Rpc, plan: Plan, read: Read<T>): Promise<Simulation<T>> {
  const from: Address = plan.account;
  const calls = [...plan.calls, read].map(({ to, data }) => ({ from, to, data }));
  const blocks = await rpc.request<{ calls: CallResult[] }[]>("eth_simulateV1", [
    { blockStateCalls: [{ calls }], validation: false },
    "latest",
  ]);
  const results = blocks[0]?.calls ?? [];
  let gas = 0n;
  plan.calls.forEach(({ what }, index) => {
    const result = results[index];
    if (!result || BigInt(result.status) !== 1n) {
      throw new WouldRevert(what, revertData(result?.error?.data) ?? result?.returnData);
    }
    gas += BigInt(result.gasUsed);
  });
  const last = results[plan.calls.length];
  if (!last || BigInt(last.status) !== 1n) throw new Error("The node could not read the state after the transaction");
  return { after: read.decode(last.returnData), gas };
}

/** Returns whether an error means that the node has no `eth_simulateV1`. */
export const cannotSimulate = (error: unknown): boolean =>
  error instanceof RpcError && (error.code === CODES.methodMissing || /method|not supported/i.test(error.message));
