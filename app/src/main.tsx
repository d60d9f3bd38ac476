/** Starts the page and shows the part that the address names. */
import { render, type ComponentChild } from "preact";
import { useEffect, useState } from "preact/hooks";
import { App, type NodeState, useAppState } from "./app";
import { ActivityPage } from "./ui/activity";
import { Boundary } from "./ui/boundary";
import { EarnPage } from "./ui/earn";
import { Later } from "./ui/later";
import { LocalPanel } from "./ui/local";
import { MarketPage } from "./ui/market";
import { MarketsPage } from "./ui/markets";
import { ProgressPanel } from "./ui/progress";
import { WalletMenu } from "./ui/wallet";

const PAGES = [
  ["", "Markets"],
  ["earn", "Earn"],
  ["governance", "Governance"],
  ["nodes", "Nodes"],
  ["activity", "Activity"],
];

/** What keeps the page from newer figures until the node is asked the next time. */
const PROBLEMS: Partial<Record<NodeState, string>> = {
  gone: "The node does not respond.",
  unreadable: "The node's answers cannot be read.",
};

const loadNodes = () => import("./ui/nodes").then(({ NodesPage }) => NodesPage);
const loadGovernance = () => import("./ui/governance").then(({ GovernancePage }) => GovernancePage);

function useRoute(): string[] {
  const parts = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  const [route, setRoute] = useState(parts);
  useEffect(() => {
    const onChange = () => setRoute(parts());
    window.addEventListener("hashchange", onChange);
    return () => window.removeEventListener("hashchange", onChange);
  }, []);
  return route;
}

function Page({ app }: { app: App }) {
  const { config, node, snapshot } = useAppState(app);
  const [kind, name] = useRoute();
  return (
    <>
      <header id="top">
        <div class="name">
          <h1>
            <a href="#/">Plimsoll</a>
          </h1>
          <p>{config.deployment.network}</p>
        </div>
        <Boundary app={app}>
          <WalletMenu app={app} />
        </Boundary>
      </header>
      <nav aria-label="Pages">
        {PAGES.map(([route, label]) => (
          <a
            key={route}
            href={`#/${route}`}
            aria-current={(kind ?? "") === route ? "page" : kind === "market" && !route ? "true" : undefined}
          >
            {label}
          </a>
        ))}
      </nav>
      <Boundary app={app}>
        <ProgressPanel app={app} />
      </Boundary>
      <NodeWarning app={app} />
      <main id="content" class={PROBLEMS[node] ? "away" : ""}>
        <Boundary key={`${kind}/${name}`} app={app}>
          {kind === "market" && name ? (
            <MarketPage key={name} app={app} name={name} />
          ) : kind === "earn" ? (
            <EarnPage app={app} />
          ) : kind === "governance" ? (
            <Later app={app} load={loadGovernance} />
          ) : kind === "nodes" ? (
            <Later app={app} load={loadNodes} />
          ) : kind === "activity" ? (
            <ActivityPage app={app} />
          ) : (
            <MarketsPage app={app} />
          )}
        </Boundary>
        {config.local && (
          <Boundary app={app}>
            <LocalPanel app={app} market={kind === "market" ? name : undefined} />
          </Boundary>
        )}
      </main>
      <footer>
        <p>{snapshot ? `Block ${snapshot.block}` : "No block yet"}</p>
        <p>Figures are read from the contracts, at this block.</p>
      </footer>
    </>
  );
}

function NodeWarning({ app }: { app: App }) {
  const { node, snapshot } = useAppState(app);
  const problem = PROBLEMS[node];
  if (problem) {
    const which = snapshot ? ` These figures are of block ${snapshot.block}.` : "";
    return (
      <p class="warning" role="alert">
        {problem}
        {which} Trying again.
      </p>
    );
  }
  if (node === "other-chain") {
    return (
      <p class="warning" role="alert">
        The node has another chain than this page was made for: it was started anew, or the address is of another one.
        Nothing can be done here.
      </p>
    );
  }
  return null;
}

const root = document.getElementById("app")!;
function show(content: ComponentChild): void {
  root.replaceChildren();
  render(content, root);
}
App.start().then(
  (app) => show(<Page app={app} />),
  (error: unknown) => show(<p class="warning">{String(error)}</p>),
);
