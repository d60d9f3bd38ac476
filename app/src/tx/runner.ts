/** Sends a plan's calls one after the other, or as one atomic batch where the wallet can, and follows them until mined. */
import { getAddress, type Address, type Hex } from "viem";
import type { Deployment } from "../chain/config";
import { RpcError, NodeUnreachable, toHex, type Rpc } from "../chain/rpc";
import { CODES, ask, type Provider } from "../wallet/provider";
import type { Plan, Signer, TypedData } from "./plan";
import { savePending, type Pending } from "./pending";
import { errorText, revertText, type Context } from "./words";

/** What a person sees of a plan in progress. */
export type Phase = "signing" | "mining" | "paused" | "done" | "failed";

export interface Progress {
  plan: Plan;
  step: number;
  phase: Phase;
  hash?: Hex;
  /** Whether all calls are one transaction. */
  batched: boolean;
  /** Why it failed, or why it takes long. */
  message?: string;
}

interface Receipt {
  status: Hex;
  blockNumber: Hex;
  transactionHash: Hex;
}

interface BatchStatus {
  status: number;
  receipts?: Receipt[];
}

/** The wallet has another account or another chain than the plan was prepared for. */
class Changed extends Error {}

const POLL_MS = 400;
/** After this time a person is told that a transaction takes long. */
const SLOW_MS = 30_000;

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Fails if the wallet has another account or another chain than the plan was prepared for. */
async function requireUnchanged(provider: Provider, account: Address, chainId: number): Promise<void> {
  const [accounts, chain] = await Promise.all([
    ask<Address[]>(provider, "eth_accounts"),
    ask<Hex>(provider, "eth_chainId"),
  ]);
  const [first] = accounts;
  if (!first || getAddress(first) !== account) {
    throw new Changed("The wallet has another account now. Nothing more was sent: prepare it again with this one.");
  }
  if (Number(chain) !== chainId) {
    throw new Changed(`The wallet is on chain ${Number(chain)}, not ${chainId}. Nothing was sent: switch it back.`);
  }
}

/** Returns a signer for messages that are sent by nobody yet. Each is refused if the wallet has changed. */
export const signerOf =
  (provider: Provider, account: Address, chainId: number): Signer =>
  async (data) => {
    await requireUnchanged(provider, account, chainId);
    return signTyped(provider, account, data);
  };

/** The wallet wants the domain's type with the others, and integers as text. */
function signTyped(provider: Provider, account: Address, data: TypedData): Promise<Hex> {
  const types = { EIP712Domain: DOMAIN_TYPE, ...data.types };
  const text = JSON.stringify({ ...data, types }, (_, value) => (typeof value === "bigint" ? value.toString() : value));
  return ask<Hex>(provider, "eth_signTypedData_v4", [account, text]);
}

const DOMAIN_TYPE = [
  { name: "name", type: "string" },
  { name: "version", type: "string" },
  { name: "chainId", type: "uint256" },
  { name: "verifyingContract", type: "address" },
];

export class Runner {
  #cancelled = false;

  constructor(
    private readonly rpc: Rpc,
    private readonly deployment: Deployment,
    private readonly report: (progress: Progress) => void,
  ) {}

  /** Stops following; what was sent stays sent, and stays stored. */
  cancel(): void {
    this.#cancelled = true;
  }

  /** Executes a plan from its first call on. */
  async run(provider: Provider, plan: Plan): Promise<void> {
    await this.guarded({ plan, step: 0 }, async (pending) => {
      if (plan.calls.length > 1 && (await this.batches(provider, plan.account))) {
        if (await this.runBatch(provider, pending)) return;
      } else if (plan.signed) {
        pending.plan = await this.sign(provider, plan, plan.signed);
      }
      await this.runSteps(provider, pending);
    });
  }

  /** Has the wallet sign what makes a plan shorter. A wallet that cannot sign messages executes the steps instead. */
  private async sign(provider: Provider, plan: Plan, signed: NonNullable<Plan["signed"]>): Promise<Plan> {
    this.report({
      ...this.progress({ plan, step: 0 }, "signing"),
      message: "Sign the messages that your wallet shows.",
    });
    await requireUnchanged(provider, plan.account, this.deployment.chainId);
    try {
      const calls = await signed((data) => signTyped(provider, plan.account, data));
      return { title: plan.title, account: plan.account, market: plan.market, calls };
    } catch (error) {
      const cannot: number[] = [CODES.unsupported, CODES.methodMissing];
      if (error instanceof RpcError && cannot.includes(error.code)) return plan;
      throw error;
    }
  }

  /** Goes on with what was pending before a reload. Without a wallet it only follows what was sent. */
  async resume(wallet: () => Provider | undefined, pending: Pending): Promise<void> {
    await this.guarded(pending, async () => {
      if (pending.batch) {
        const provider = wallet();
        if (!provider) return this.pausedAt(pending);
        await this.followBatch(provider, pending, pending.batch);
        return;
      }
      if (pending.hash) {
        await this.follow(pending, pending.hash);
        this.advance(pending);
      }
      if (pending.step >= pending.plan.calls.length) return this.done(pending);
      // The wallet may have been connected in the meantime.
      const provider = wallet();
      if (!provider) return this.pausedAt(pending);
      await this.runSteps(provider, pending);
    });
  }

  private async guarded(pending: Pending, work: (pending: Pending) => Promise<void>): Promise<void> {
    try {
      await work(pending);
    } catch (error) {
      if (this.#cancelled) return;
      // What was sent may still be mined, so it stays stored; what was not sent is forgotten.
      savePending(this.deployment.genesis, undefined);
      this.report({ ...this.progress(pending, "failed"), message: errorText(error, this.contextOf(pending.plan)) });
    }
  }

  private async runSteps(provider: Provider, pending: Pending): Promise<void> {
    const { plan } = pending;
    while (pending.step < plan.calls.length) {
      const { to, data } = plan.calls[pending.step]!;
      this.report(this.progress(pending, "signing"));
      await requireUnchanged(provider, plan.account, this.deployment.chainId);
      // The estimate executes the call: what would revert is never shown to the wallet.
      const gas = await this.rpc.request<Hex>("eth_estimateGas", [{ from: plan.account, to, data }]);
      const request = { from: plan.account, to, data, gas: toHex((BigInt(gas) * 5n) / 4n) };
      pending.hash = await ask<Hex>(provider, "eth_sendTransaction", [request]);
      savePending(this.deployment.genesis, pending);
      await this.follow(pending, pending.hash);
      this.advance(pending);
    }
    this.done(pending);
  }

  private advance(pending: Pending): void {
    pending.step += 1;
    delete pending.nonce;
    const left = pending.step < pending.plan.calls.length;
    if (left) delete pending.hash;
    savePending(this.deployment.genesis, left ? pending : undefined);
  }

  private done(pending: Pending): void {
    savePending(this.deployment.genesis, undefined);
    this.report(this.progress({ ...pending, step: pending.plan.calls.length - 1 }, "done"));
  }

  private pausedAt(pending: Pending): void {
    this.report(this.progress(pending, "paused"));
  }

  /** Waits until a transaction is mined. Fails with the reason if it reverted, or if another one took its place. */
  private async follow(pending: Pending, hash: Hex): Promise<void> {
    const since = Date.now();
    for (;;) {
      if (this.#cancelled) throw new Changed();
      try {
        const receipt = await this.rpc.request<Receipt | null>("eth_getTransactionReceipt", [hash]);
        if (receipt) return await this.requireSuccess(pending, receipt);
        await this.requireNotReplaced(pending, hash);
        const slow = Date.now() - since > SLOW_MS;
        const message = slow ? "Not mined yet: its fee may be too low. Your wallet can raise it." : undefined;
        this.report({ ...this.progress(pending, "mining"), message });
      } catch (error) {
        if (!(error instanceof NodeUnreachable)) throw error;
        const message = "The node does not respond. The transaction was sent; waiting for news of it.";
        this.report({ ...this.progress(pending, "mining"), message });
      }
      await pause(POLL_MS);
    }
  }

  private async requireSuccess(pending: Pending, receipt: Receipt): Promise<void> {
    if (BigInt(receipt.status) === 1n) return;
    throw new Error(`The transaction was mined and reverted. ${await this.revertReason(pending, receipt)}`);
  }

  /** Calls again in the state before the block, which is what the transaction met unless others changed it in between. */
  private async revertReason(pending: Pending, { blockNumber }: Receipt): Promise<string> {
    const { to, data } = pending.plan.calls[pending.step]!;
    const before = toHex(BigInt(blockNumber) - 1n);
    for (const block of [blockNumber, before]) {
      try {
        await this.rpc.request("eth_call", [{ from: pending.plan.account, to, data }, block]);
      } catch (error) {
        if (error instanceof RpcError) return revertText(error.data, this.contextOf(pending.plan));
      }
    }
    return "Another transaction of the same block changed what it relied on. Try again.";
  }

  /** Amounts in errors are of the market's tokens. */
  private contextOf({ market }: Plan): Context {
    const found = this.deployment.markets.find(({ name }) => name === market);
    return { deployment: this.deployment, loan: found?.loan, collateral: found?.collateral };
  }

  private async requireNotReplaced(pending: Pending, hash: Hex): Promise<void> {
    const { account } = pending.plan;
    if (pending.nonce === undefined) {
      const found = await this.rpc.request<{ nonce: Hex } | null>("eth_getTransactionByHash", [hash]);
      if (!found) return;
      pending.nonce = Number(found.nonce);
      savePending(this.deployment.genesis, pending);
      return;
    }
    const [next, receipt] = await this.rpc.batch([
      { method: "eth_getTransactionCount", params: [account, "latest"] },
      { method: "eth_getTransactionReceipt", params: [hash] },
    ]);
    if (typeof next === "string" && receipt === null && Number(next) > pending.nonce) {
      throw new Error(
        "Another transaction of your account was mined in its place: it was cancelled or its fee raised.",
      );
    }
  }

  /* EIP-5792 */

  /** Returns whether the wallet executes several calls atomically on this chain. */
  private async batches(provider: Provider, account: Address): Promise<boolean> {
    const chain = toHex(this.deployment.chainId);
    try {
      type Capabilities = Record<string, { atomic?: { status?: string } }>;
      const found = await ask<Capabilities>(provider, "wallet_getCapabilities", [account, [chain]]);
      return ["supported", "ready"].includes(found[chain]?.atomic?.status ?? "");
    } catch {
      return false;
    }
  }

  /** Sends all calls as one batch. Returns false if the wallet turns out not to do it atomically. */
  private async runBatch(provider: Provider, pending: Pending): Promise<boolean> {
    const { plan } = pending;
    this.report({ ...this.progress(pending, "signing"), batched: true });
    await requireUnchanged(provider, plan.account, this.deployment.chainId);
    const calls = plan.calls.map(({ to, data }) => ({ to, data, value: "0x0" }));
    const batch = {
      version: "2.0.0",
      from: plan.account,
      chainId: toHex(this.deployment.chainId),
      atomicRequired: true,
      calls,
    };
    try {
      const { id } = await ask<{ id: string }>(provider, "wallet_sendCalls", [batch]);
      pending.batch = id;
    } catch (error) {
      const codes: number[] = [CODES.upgradeRefused, CODES.notAtomic, CODES.unsupported, CODES.methodMissing];
      if (error instanceof RpcError && codes.includes(error.code)) return false;
      throw error;
    }
    savePending(this.deployment.genesis, pending);
    await this.followBatch(provider, pending, pending.batch);
    return true;
  }

  private async followBatch(provider: Provider, pending: Pending, id: string): Promise<void> {
    for (;;) {
      if (this.#cancelled) throw new Changed();
      const { status, receipts } = await ask<BatchStatus>(provider, "wallet_getCallsStatus", [id]);
      const hash = receipts?.at(-1)?.transactionHash;
      if (hash) pending.hash = hash;
      if (status === 200) return this.done(pending);
      if (status >= 400)
        throw new Error("The batch was mined and reverted, or the wallet dropped it. Nothing was changed.");
      this.report({ ...this.progress(pending, "mining"), batched: true });
      await pause(POLL_MS);
    }
  }

  private progress({ plan, step, hash, batch }: Pending, phase: Phase): Progress {
    return { plan, step, phase, batched: batch !== undefined, ...(hash ? { hash } : {}) };
  }
}
