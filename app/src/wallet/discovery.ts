/** Finds wallets by EIP-6963: the page asks, and each wallet in the browser announces itself. */
import type { Provider, Wallet } from "./provider";

interface Announcement {
  info: { rdns: string; name: string; icon: string };
  provider: Provider;
}

/** Calls `found` with every wallet, once each, also with those that announce themselves later. */
export function discoverWallets(found: (wallet: Wallet) => void): void {
  const known = new Set<string>();
  window.addEventListener("eip6963:announceProvider", (event) => {
    const { info, provider } = (event as CustomEvent<Announcement>).detail;
    if (typeof info?.rdns !== "string" || known.has(info.rdns)) return;
    known.add(info.rdns);
    const icon = String(info.icon).startsWith("data:image/") ? info.icon : undefined;
    found({ id: info.rdns, name: String(info.name), icon, provider });
  });
  window.dispatchEvent(new Event("eip6963:requestProvider"));
}
