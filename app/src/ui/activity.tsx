/** What the account did, from the contract's events. */
import { useEffect, useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import type { Address } from "viem";
import type { Token } from "../chain/config";
import type { AccountState } from "../chain/snapshot";
import { readActivity, type Activity } from "../chain/activity";
import { errorText } from "../tx/words";
import { TransactionLink } from "./progress";

/** The tokens of backstops and vaults, by the contract's address. */
const assetsOf = (account: AccountState | undefined): Map<Address, Token> =>
  new Map([...(account?.backstops ?? []), ...(account?.vaults ?? [])].map(({ address, asset }) => [address, asset]));

export function ActivityPage({ app }: { app: App }) {
  const { account, snapshot, config } = useAppState(app);
  const [activities, setActivities] = useState<Activity[]>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    // The account's tokens are known with its first snapshot.
    if (!account || snapshot?.account?.address !== account) return;
    let isCurrent = true;
    readActivity(app.rpc, config.deployment, account, assetsOf(snapshot?.account)).then(
      (found) => isCurrent && (setActivities(found), setProblem("")),
      (error: unknown) => isCurrent && setProblem(errorText(error, app.context)),
    );
    return () => {
      isCurrent = false;
    };
  }, [account, snapshot?.block, snapshot?.account?.address]);
  if (!account) return <p class="empty">Connect a wallet to see what its account did.</p>;
  return (
    <section aria-labelledby="activity">
      <h2 id="activity">Activity</h2>
      {problem && <p class="problem">{problem}</p>}
      {!activities && !problem && <p class="empty">Reading the chain…</p>}
      {activities?.length === 0 && <p class="empty">This account has done nothing here yet.</p>}
      <ol class="timeline">
        {activities?.map(({ block, index, transaction, place, route, what, isBad }) => (
          <li key={`${block}-${index}`} class={isBad ? "bad" : ""}>
            <span>{what}</span>{" "}
            <span class="small">
              {place && (
                <>
                  in <a href={`#/${route}`}>{place}</a>,{" "}
                </>
              )}
              block {block.toString()}, <TransactionLink chainId={config.deployment.chainId} hash={transaction} />
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
