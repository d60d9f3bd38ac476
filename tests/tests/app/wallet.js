// A wallet in the page: it announces itself as EIP-6963 says, lets the node sign for its own accounts, and does what a test
// tells it through `testWallet`.
"use strict";

(() => {
  const saved = JSON.parse(sessionStorage.getItem("testWallet") ?? "{}");
  const state = { account: ACCOUNT, chain: CHAIN, refuses: false, atomic: false, starves: false, requests: [], ...saved };
  const listeners = { accountsChanged: new Set(), chainChanged: new Set() };

  const node = async (method, params) => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const headers = { "content-type": "application/json" };
    const { result, error } = await (await fetch(NODE, { method: "POST", headers, body })).json();
    if (error) throw error;
    return result;
  };
  const refuse = () => {
    throw { code: 4001, message: "User rejected the request." };
  };
  // Gas that suffices to be mined, and for nothing else: 40 for each byte are more than any byte costs.
  const starved = ({ data }) => `0x${(21_000 + 20 * (data.length - 2) + 2_000).toString(16)}`;
  const emit = (event, value) => listeners[event].forEach((listener) => listener(value));

  window.testWallet = {
    state,
    set(change) {
      Object.assign(state, change);
      const { requests, ...rest } = state;
      sessionStorage.setItem("testWallet", JSON.stringify(rest));
      if ("account" in change) emit("accountsChanged", [change.account]);
      if ("chain" in change) emit("chainChanged", change.chain);
    },
  };

  const handlers = {
    eth_requestAccounts: () => [state.account],
    eth_accounts: () => [state.account],
    eth_chainId: () => state.chain,
    wallet_switchEthereumChain: ([{ chainId }]) => {
      if (state.refuses) refuse();
      window.testWallet.set({ chain: chainId });
      return null;
    },
    wallet_getCapabilities: () => ({ [CHAIN]: { atomic: { status: state.atomic ? "supported" : "unsupported" } } }),
    // The node executes one call after the other: atomic enough where nobody else sends.
    wallet_sendCalls: async ([{ calls, from }]) => {
      if (state.refuses) refuse();
      state.hashes = [];
      for (const { to, data } of calls) state.hashes.push(await node("eth_sendTransaction", [{ from, to, data }]));
      return { id: "0x01" };
    },
    wallet_getCallsStatus: async () => {
      const receipts = await Promise.all(state.hashes.map((hash) => node("eth_getTransactionReceipt", [hash])));
      if (receipts.some((receipt) => !receipt)) return { status: 100 };
      return { status: receipts.every(({ status }) => status === "0x1") ? 200 : 500, receipts };
    },
    eth_sendTransaction: ([transaction]) => {
      if (state.refuses) refuse();
      return node("eth_sendTransaction", [state.starves ? { ...transaction, gas: starved(transaction) } : transaction]);
    },
    eth_signTypedData_v4: (params) =>
      state.refuses ? refuse() : node("eth_signTypedData_v4", [params[0], JSON.parse(params[1])]),
  };

  const provider = {
    async request({ method, params }) {
      state.requests.push(method);
      const handler = handlers[method];
      if (!handler) throw { code: -32601, message: `no ${method}` };
      return handler(params);
    },
    on: (event, listener) => listeners[event]?.add(listener),
    removeListener: (event, listener) => listeners[event]?.delete(listener),
  };
  const info = { uuid: "test", name: "Test wallet", icon: "data:image/svg+xml,<svg/>", rdns: "org.example.test" };
  const announce = () => {
    const detail = Object.freeze({ info, provider });
    window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  };
  window.addEventListener("eip6963:requestProvider", announce);
  announce();
})();
