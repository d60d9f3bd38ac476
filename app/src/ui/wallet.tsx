/** Connects a wallet, and says which account and chain it has. */
import { useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import { coinOf } from "../chain/config";
import { amountText, shortHex } from "../lib/numbers";

export function WalletMenu({ app }: { app: App }) {
  const { account, wallet, wallets, config, snapshot, notice } = useAppState(app);
  const [isOpen, setIsOpen] = useState(false);
  if (wallet && account) {
    const ether = snapshot?.account?.ether;
    return (
      <div class="wallet">
        {!app.isOnChain && (
          <button type="button" class="main" onClick={() => void app.switchChain()}>
            Switch to {config.deployment.network}
          </button>
        )}
        <span title={account}>
          {wallet.name} <span class="hex">{shortHex(account)}</span>{" "}
          {ether !== undefined && (
            <span class="small">
              {amountText(ether, 18)} {coinOf(config.deployment.chainId)} for gas
            </span>
          )}
        </span>
        <button type="button" onClick={() => app.disconnect()}>
          Disconnect
        </button>
        {notice && <p class="problem">{notice}</p>}
      </div>
    );
  }
  return (
    <div class="wallet">
      <button type="button" class="main" aria-expanded={isOpen} onClick={() => setIsOpen(!isOpen)}>
        Connect a wallet
      </button>
      {isOpen && (
        <ul class="menu">
          {wallets.map((found) => (
            <li key={found.id}>
              <button type="button" onClick={() => void app.connect(found)}>
                {found.icon && <img src={found.icon} alt="" width="20" height="20" />} {found.name}
              </button>
            </li>
          ))}
          {config.local && (
            <li>
              <button type="button" onClick={() => void app.connectBurner()}>
                Burner wallet <span class="small">with play money, on this local chain only</span>
              </button>
            </li>
          )}
          {wallets.length === 0 && !config.local && (
            <li>No wallet was found in this browser. Install one that announces itself (EIP-6963) and reload.</li>
          )}
        </ul>
      )}
      {notice && (
        <p class="problem" role="alert">
          {notice}
        </p>
      )}
    </div>
  );
}
