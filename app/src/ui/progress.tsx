/** What is happening with the transaction that was sent, step by step. */
import type { App } from "../app";
import { useAppState } from "../app";
import { explorerLink } from "../chain/config";
import { shortHex } from "../lib/numbers";
import type { Progress } from "../tx/runner";

const TITLES: Record<Progress["phase"], string> = {
  signing: "Confirm in your wallet",
  mining: "Waiting to be mined",
  paused: "Not finished",
  done: "Done",
  failed: "Not done",
};

export function ProgressPanel({ app }: { app: App }) {
  const { progress, config, wallet } = useAppState(app);
  // The region is always there: readers announce changes inside it only.
  return (
    <div class="progress-region" aria-live="polite">
      {progress && (
        <section class={`progress ${progress.phase}`} aria-label="Transaction">
          <h2>
            {TITLES[progress.phase]}: {progress.plan.title}
          </h2>
          {progress.plan.calls.length > 1 && <Steps progress={progress} />}
          {progress.message && <p>{progress.message}</p>}
          {progress.phase === "paused" && !wallet && <p>Connect your wallet to go on with the next step.</p>}
          <p class="links">
            {progress.hash && <TransactionLink chainId={config.deployment.chainId} hash={progress.hash} />}
            {!["signing", "mining"].includes(progress.phase) && (
              <button type="button" onClick={() => app.dismiss()}>
                Close
              </button>
            )}
          </p>
        </section>
      )}
    </div>
  );
}

function Steps({ progress }: { progress: Progress }) {
  const { plan, step, phase, batched } = progress;
  const state = (index: number) => {
    if (phase === "done" || (!batched && index < step)) return "done";
    return batched || index === step ? phase : "next";
  };
  return (
    <ol class="steps">
      {plan.calls.map(({ what }, index) => (
        <li key={what} class={state(index)} aria-current={index === step ? "step" : undefined}>
          {what}
        </li>
      ))}
      {batched && <li class="note">All in one transaction.</li>}
    </ol>
  );
}

export function TransactionLink({ chainId, hash }: { chainId: number; hash: `0x${string}` }) {
  const url = explorerLink(chainId, "tx", hash);
  const text = <span class="hex">{shortHex(hash)}</span>;
  return url ? (
    <a href={url} rel="noreferrer" target="_blank">
      Transaction {text}
    </a>
  ) : (
    <span title={hash}>Transaction {text}</span>
  );
}
