/** What the account did, from the contract's events. */
import { useEffect, useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import { readActivity, type Activity } from "../chain/activity";
import { errorText } from "../tx/words";
import { TransactionLink } from "./progress";

export function ActivityPage({ app }: { app: App }) {
  const { account, snapshot, config } = useAppState(app);
  const [activities, setActivities] = useState<Activity[]>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (!account) return;
    let isCurrent = true;
    readActivity(app.rpc, config.deployment, account).then(
      (found) => isCurrent && (setActivities(found), setProblem("")),
      (error: unknown) => isCurrent && setProblem(errorText(error, app.context)),
    );
    return () => {
      isCurrent = false;
    };
  }, [account, snapshot?.block]);
  if (!account) return <p class="empty">Connect a wallet to see what its account did.</p>;
  return (
    <section aria-labelledby="activity">
      <h2 id="activity">Activity</h2>
      {problem && <p class="problem">{problem}</p>}
      {activities?.length === 0 && <p class="empty">This account has done nothing here yet.</p>}
      <ol class="timeline">
        {activities?.map(({ block, index, transaction, market, what, isBad }) => (
          <li key={`${block}-${index}`} class={isBad ? "bad" : ""}>
            <span>{what}</span>{" "}
            <span class="small">
              in <a href={`#/market/${market}`}>{market}</a>, block {block.toString()},{" "}
              <TransactionLink chainId={config.deployment.chainId} hash={transaction} />
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
