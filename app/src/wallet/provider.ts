/** What the page needs of a wallet: EIP-1193. */
import type { Hex } from "viem";
import { RpcError, revertData } from "../chain/rpc";

export interface Provider {
  request(request: { method: string; params?: unknown[] }): Promise<unknown>;
  on?(event: string, listener: (value: never) => void): void;
  removeListener?(event: string, listener: (value: never) => void): void;
}

/** A wallet that announced itself, or the burner wallet. */
export interface Wallet {
  /** Stable over reloads: the reverse domain name of EIP-6963. */
  id: string;
  name: string;
  /** A `data:` URL; no other is shown. */
  icon: string | undefined;
  provider: Provider;
}

/** Error codes of EIP-1193, EIP-1474 and EIP-5792. */
export const CODES = {
  refused: 4001,
  unauthorized: 4100,
  unsupported: 4200,
  unknownChain: 4902,
  methodMissing: -32601,
  upgradeRefused: 5750,
  notAtomic: 5760,
} as const;

/** Sends a request to a wallet. Whatever the wallet throws becomes an {@link RpcError}. */
export async function ask<T>(provider: Provider, method: string, params: unknown[] = []): Promise<T> {
  try {
    return (await provider.request({ method, params })) as T;
  } catch (thrown) {
    const error = (thrown ?? {}) as { code?: unknown; message?: unknown; data?: unknown };
    const code = typeof error.code === "number" ? error.code : 0;
    throw new RpcError(String(error.message ?? thrown), code, revertData(error.data) as Hex | undefined);
  }
}
