/** The plan in progress, stored in the browser so that a reload loses nothing. One at a time, of one chain. */
import type { Hex } from "viem";
import type { Plan } from "./plan";

export interface Pending {
  plan: Plan;
  /** Index of the call that is next, or of the one whose transaction is `hash`. */
  step: number;
  hash?: Hex;
  /** Nonce of that transaction, by which a replacement is noticed. */
  nonce?: number;
  /** Identifier of an atomic batch (EIP-5792), instead of a hash. */
  batch?: string;
}

/** A chain is told by its genesis: a local chain that was started again has nothing of what was pending. */
const key = (genesis: Hex): string => `plimsoll.pending.${genesis}`;

export function loadPending(genesis: Hex): Pending | undefined {
  try {
    const text = localStorage.getItem(key(genesis));
    return text ? (JSON.parse(text) as Pending) : undefined;
  } catch {
    return undefined;
  }
}

export function savePending(genesis: Hex, pending: Pending | undefined): void {
  if (pending) localStorage.setItem(key(genesis), JSON.stringify(pending));
  else localStorage.removeItem(key(genesis));
}
