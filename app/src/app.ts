/** The page's state: one owner, changed by its methods only, and shown by components that subscribe to it. */
import { getAddress, type Address, type Hex } from "viem";
import { useEffect, useState } from "preact/hooks";
import { coinOf, loadConfig, type Config } from "./chain/config";
import { NodeUnreachable, Rpc, RpcError, toHex } from "./chain/rpc";
import { readSnapshot, type Snapshot } from "./chain/snapshot";
import { loadPending, savePending } from "./tx/pending";
import type { Plan } from "./tx/plan";
import { Runner, type Progress } from "./tx/runner";
import { errorText } from "./tx/words";
import { discoverWallets } from "./wallet/discovery";
import { CODES, ask, type Wallet } from "./wallet/provider";

const LAST_WALLET = "plimsoll.wallet";
const LOCAL_POLL_MS = 700;
const POLL_MS = 4_000;

/** Whether the node's figures can be trusted. */
export type NodeState = "loading" | "ok" | "gone" | "unreadable" | "other-chain";

export interface State {
  config: Config;
  node: NodeState;
  snapshot: Snapshot | undefined;
  wallets: Wallet[];
  wallet: Wallet | undefined;
  account: Address | undefined;
  /** The chain of the wallet. */
  walletChain: number | undefined;
  progress: Progress | undefined;
  /** Why a wallet could not be connected or switched. */
  notice: string | undefined;
}

export class App {
  readonly rpc: Rpc;
  state: State;
  readonly #listeners = new Set<() => void>();
  #runner: Runner | undefined;
  #isGenesisChecked = false;
  #forget: () => void = () => {};

  private constructor(config: Config) {
    this.rpc = new Rpc(config.rpc);
    this.state = {
      config,
      node: "loading",
      snapshot: undefined,
      wallets: [],
      wallet: undefined,
      account: undefined,
      walletChain: undefined,
      progress: undefined,
      notice: undefined,
    };
  }

  /** Loads the configuration, starts reading the chain, and connects the wallet of the last visit. */
  static async start(): Promise<App> {
    const app = new App(await loadConfig());
    discoverWallets((wallet) => {
      app.set({ wallets: [...app.state.wallets, wallet] });
      if (wallet.id === localStorage.getItem(LAST_WALLET)) void app.reconnect(wallet);
    });
    if (app.state.config.local && localStorage.getItem(LAST_WALLET) === "burner") await app.connectBurner();
    void app.poll();
    void app.resume();
    return app;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  private set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    this.#listeners.forEach((listener) => listener());
  }

  get context() {
    return { deployment: this.state.config.deployment };
  }

  /* THE CHAIN */

  private async poll(): Promise<void> {
    const interval = this.state.config.local ? LOCAL_POLL_MS : POLL_MS;
    for (;;) {
      await this.refresh();
      await new Promise((done) => setTimeout(done, interval));
    }
  }

  /** Reads the newest block's state if it is newer than what is shown, or another account's. */
  async refresh(): Promise<void> {
    const { config, account } = this.state;
    try {
      if (!this.#isGenesisChecked) await this.checkGenesis();
      if (this.state.node === "other-chain") return;
      const head = await this.rpc.request<{ number: Hex; timestamp: Hex }>("eth_getBlockByNumber", ["latest", false]);
      const block = { number: BigInt(head.number), timestamp: BigInt(head.timestamp) };
      const shown = this.state.snapshot;
      if (this.state.node === "ok" && shown?.block === block.number && shown.account?.address === account) return;
      const snapshot = await readSnapshot(this.rpc, config.deployment, block, account);
      // The account may have changed while this was read.
      if (this.state.account === account) this.set({ snapshot, node: "ok" });
    } catch (error) {
      const isGone = error instanceof NodeUnreachable || error instanceof RpcError;
      const node = isGone ? "gone" : "unreadable";
      // What responds afterwards may be another chain: a local one that was started again.
      this.#isGenesisChecked = false;
      if (this.state.node === node) return;
      if (!isGone) console.error(error);
      this.set({ node });
    }
  }

  private async checkGenesis(): Promise<void> {
    const { genesis } = this.state.config.deployment;
    const first = await this.rpc.request<{ hash: Hex }>("eth_getBlockByNumber", ["0x0", false]);
    this.#isGenesisChecked = true;
    if (first.hash !== genesis) this.set({ node: "other-chain" });
  }

  /* THE WALLET */

  async connectBurner(): Promise<void> {
    try {
      // Only a local chain needs it, so it is loaded by itself.
      const { openBurner } = await import("./wallet/burner");
      await this.connect(await openBurner(this.state.config, this.rpc));
    } catch (error) {
      this.set({ notice: errorText(error, this.context) });
    }
  }

  /** Asks a wallet for its account. */
  async connect(wallet: Wallet): Promise<void> {
    try {
      const accounts = await ask<Address[]>(wallet.provider, "eth_requestAccounts");
      await this.adopt(wallet, accounts);
    } catch (error) {
      this.set({ notice: errorText(error, this.context) });
    }
  }

  /** Connects a wallet that has allowed it before, without asking. */
  private async reconnect(wallet: Wallet): Promise<void> {
    const accounts = await ask<Address[]>(wallet.provider, "eth_accounts").catch(() => []);
    if (accounts.length) await this.adopt(wallet, accounts);
  }

  private async adopt(wallet: Wallet, accounts: Address[]): Promise<void> {
    this.#forget();
    const chain = await ask<Hex>(wallet.provider, "eth_chainId");
    const onAccounts = (found: Address[]) => {
      if (found.length === 0) this.disconnect();
      else this.set({ account: getAddress(found[0]!) });
      void this.refresh();
    };
    const onChain = (id: Hex) => this.set({ walletChain: Number(id) });
    wallet.provider.on?.("accountsChanged", onAccounts);
    wallet.provider.on?.("chainChanged", onChain);
    this.#forget = () => {
      wallet.provider.removeListener?.("accountsChanged", onAccounts);
      wallet.provider.removeListener?.("chainChanged", onChain);
    };
    localStorage.setItem(LAST_WALLET, wallet.id);
    this.set({ wallet, walletChain: Number(chain), notice: undefined });
    onAccounts(accounts);
    if (this.state.progress?.phase === "paused") void this.resume();
  }

  disconnect(): void {
    this.#forget();
    this.#forget = () => {};
    localStorage.removeItem(LAST_WALLET);
    this.set({ wallet: undefined, account: undefined, walletChain: undefined });
  }

  /** Asks the wallet to change to the deployment's chain, and to add it if it does not know it. */
  async switchChain(): Promise<void> {
    const { wallet, config } = this.state;
    if (!wallet) return;
    const chainId = toHex(config.deployment.chainId);
    try {
      await ask(wallet.provider, "wallet_switchEthereumChain", [{ chainId }]).catch((error: unknown) => {
        if (!(error instanceof RpcError) || error.code !== CODES.unknownChain) throw error;
        const coin = coinOf(config.deployment.chainId);
        const chain = {
          chainId,
          chainName: config.deployment.network,
          rpcUrls: [config.rpc],
          nativeCurrency: { name: coin, symbol: coin, decimals: 18 },
        };
        return ask(wallet.provider, "wallet_addEthereumChain", [chain]);
      });
      this.set({ walletChain: Number(await ask<Hex>(wallet.provider, "eth_chainId")), notice: undefined });
    } catch (error) {
      this.set({ notice: errorText(error, this.context) });
    }
  }

  get isOnChain(): boolean {
    return this.state.walletChain === this.state.config.deployment.chainId;
  }

  /* TRANSACTIONS */

  private runner(): Runner {
    this.#runner?.cancel();
    this.#runner = new Runner(this.rpc, this.state.config.deployment, (progress) => {
      this.set({ progress });
      if (progress.phase === "done" || progress.phase === "failed") void this.refresh();
    });
    return this.#runner;
  }

  /** Executes a plan; its progress is part of the state. */
  async execute(plan: Plan): Promise<void> {
    const { wallet } = this.state;
    if (wallet) await this.runner().run(wallet.provider, plan);
  }

  /** Goes on with the plan that was in progress before a reload. */
  async resume(): Promise<void> {
    const pending = loadPending(this.state.config.deployment.genesis);
    if (pending) await this.runner().resume(() => this.state.wallet?.provider, pending);
  }

  /** Closes the report of a plan that has ended or was paused. */
  dismiss(): void {
    if (this.state.progress?.phase === "paused") savePending(this.state.config.deployment.genesis, undefined);
    this.set({ progress: undefined });
  }
}

/** Shows a component again whenever the state changes. */
export function useAppState(app: App): State {
  const [, redraw] = useState(0);
  useEffect(() => app.subscribe(() => redraw((count) => count + 1)), [app]);
  return app.state;
}
