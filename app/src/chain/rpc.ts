/** JSON-RPC over HTTP to the configured node, in batches. */
import { decodeFunctionResult, encodeFunctionData, type Abi, type Address, type Hex } from "viem";

/** An error that a node or a wallet returned. `data` is the revert's, if there is any. */
export class RpcError extends Error {
  constructor(
    message: string,
    readonly code: number,
    readonly data?: Hex,
  ) {
    super(message);
  }
}

/** The node could not be reached, or its response is none. */
export class NodeUnreachable extends Error {}

interface Response {
  id: number;
  result?: unknown;
  error?: { code: number; message: string; data?: unknown };
}

const TIMEOUT_MS = 15_000;

/** Finds a revert's data, which nodes and wallets nest differently. */
export function revertData(data: unknown): Hex | undefined {
  if (typeof data === "string") return /^0x[0-9a-fA-F]*$/.test(data) ? (data as Hex) : undefined;
  if (data && typeof data === "object") {
    for (const key of ["data", "originalError", "error", "cause"]) {
      const found = revertData((data as Record<string, unknown>)[key]);
      if (found) return found;
    }
  }
  return undefined;
}

/** A read of a contract, typed by its ABI. */
export interface Read<T> {
  to: Address;
  data: Hex;
  /** Who calls, where that matters. */
  from?: Address;
  decode(result: Hex): T;
}

/** Describes a read of a contract; {@link Rpc.read} executes it. */
export function read<T>(to: Address, abi: Abi, functionName: string, args: readonly unknown[] = []): Read<T> {
  return {
    to,
    data: encodeFunctionData({ abi, functionName, args }),
    decode: (result) => decodeFunctionResult({ abi, functionName, data: result }) as T,
  };
}

/** Reads of different types, and their results. */
type Results<T extends readonly unknown[]> = { [K in keyof T]: T[K] extends Read<infer R> ? R : never };

export class Rpc {
  #lastId = 0;

  constructor(readonly url: string) {}

  async request<T>(method: string, params: unknown[] = []): Promise<T> {
    const [result] = await this.batch([{ method, params }]);
    if (result instanceof RpcError) throw result;
    return result as T;
  }

  /** Sends requests together. An element of the result is an error if its request failed. */
  async batch(requests: { method: string; params: unknown[] }[]): Promise<unknown[]> {
    if (requests.length === 0) return [];
    const first = this.#lastId + 1;
    this.#lastId += requests.length;
    const body = requests.map((request, index) => ({ jsonrpc: "2.0", id: first + index, ...request }));
    let answers: Response[];
    try {
      const response = await fetch(this.url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body.length === 1 ? body[0] : body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      answers = [await response.json()].flat();
    } catch (error) {
      throw new NodeUnreachable(error instanceof Error ? error.message : String(error));
    }
    const byId = new Map(answers.map((answer) => [answer.id, answer]));
    return body.map(({ id }) => {
      const answer = byId.get(id);
      if (!answer) throw new NodeUnreachable("the node left a request without a response");
      const { error } = answer;
      return error ? new RpcError(error.message, error.code, revertData(error.data)) : answer.result;
    });
  }

  /** Executes reads of contracts at one block, in one request. Fails if one of them does. */
  async read<const T extends readonly Read<unknown>[]>(reads: T, block: Hex | "latest"): Promise<Results<T>> {
    const calls = reads.map(({ decode: _, ...call }) => ({ method: "eth_call", params: [call, block] }));
    const answers = await this.batch(calls);
    return answers.map((answer, index) => {
      if (answer instanceof RpcError) throw answer;
      return reads[index]!.decode(answer as Hex);
    }) as Results<T>;
  }
}

export const toHex = (value: bigint | number): Hex => `0x${value.toString(16)}`;
