/** Nodes that serve models: who they are, what is bonded for them, what they answered, and joining or leaving a bond. */
import { isAddress, isHex, type Address, type Hex } from "viem";
import { useEffect, useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import { COMPLETED, nodesAbi, readNetwork, type Job, type Network, type Node } from "../chain/nodes";
import { read } from "../chain/rpc";
import { accountText } from "../lib/calls";
import { amountText, bpsText, durationText, shortHex, timeText } from "../lib/numbers";
import { approval, call } from "../tx/plan";
import { errorText } from "../tx/words";
import { PlanButton, VerbTabs, type Outcome } from "./form";
import { Fact } from "./markets";
import { verb } from "./verbs";

const STATES = ["none", "waits for its draw", "nodes answer", "can be challenged", "completed", "no result", "expired"];

interface Given {
  app: App;
  account: Address | undefined;
  now: bigint;
  network: Network;
}

export function NodesPage({ app }: { app: App }) {
  const { account, snapshot, config } = useAppState(app);
  const [network, setNetwork] = useState<Network>();
  const [problem, setProblem] = useState("");
  const jobs = config.deployment.contract("Jobs");
  const block = snapshot?.block;
  useEffect(() => {
    if (block === undefined || !jobs) return;
    let isCurrent = true;
    readNetwork(app.rpc, config.deployment, jobs, block, account).then(
      (found) => isCurrent && (setNetwork(found), setProblem("")),
      (error: unknown) => isCurrent && setProblem(errorText(error, app.context)),
    );
    return () => {
      isCurrent = false;
    };
  }, [account, block]);
  if (!jobs) return <p class="empty">This deployment's record lists no nodes.</p>;
  if (!network || !snapshot) {
    return problem ? <p class="problem">{problem}</p> : <p class="empty">Reading the chain…</p>;
  }
  const given = { app, account, now: snapshot.timestamp, network };
  const [otherNodes, otherJobs] = network.others;
  return (
    <>
      {problem && <p class="problem">{problem}</p>}
      <section aria-labelledby="nodes">
        <h2 id="nodes">Nodes</h2>
        <p class="lead">
          Each serves one kind of answers and asks for its price at its URL. A result is a majority of drawn nodes and
          no proof. Operators read prompts, and jobs are public.
        </p>
        {network.nodes.length === 0 && <p class="empty">No node is registered.</p>}
        {network.nodes.map((node) => (
          <NodeCard key={node.id} {...given} node={node} />
        ))}
        {otherNodes > 0 && <p class="hint">{otherNodes} older ones are not shown.</p>}
        {account && <Registration {...given} account={account} />}
      </section>
      <section aria-labelledby="jobs">
        <h2 id="jobs">Jobs and audits</h2>
        {network.jobs.length === 0 && <p class="empty">Nothing was posted yet.</p>}
        <ul class="card powers">
          {network.jobs.map((job) => (
            <li key={job.id.toString()}>{jobText(job, network)}</li>
          ))}
        </ul>
        {otherJobs > 0 && <p class="hint">{otherJobs} older ones are not shown.</p>}
      </section>
    </>
  );
}

function jobText({ id, k, state, price, kind, result, accused, claimed }: Job, { token }: Network): string {
  const what = accused ? `audit of a receipt of node ${accused}` : "job";
  const verdict = state !== COMPLETED || !accused ? "" : result === claimed ? ", receipt confirmed" : ", receipt false";
  const paid = `${amountText(price, token.decimals)} ${token.name}`;
  return `${id}: ${what}, kind ${shortHex(kind)}, ${k} seats, ${paid}: ${STATES[state]}${verdict}`;
}

const stateOf = ({ paused, jailedUntil, emissionStake }: Node): string =>
  paused ? "paused" : jailedUntil ? "jailed" : emissionStake ? "ready" : "bond too small";

function NodeCard({ app, account, now, network, node }: Given & { node: Node }) {
  const { registry, token, balance, cooldown } = network;
  const { id, active, shares, bonded, leaving, releasesAt } = node;
  const text = (units: bigint) => `${amountText(units, token.decimals)} ${token.name}`;
  const facts = (
    <dl class="facts">
      <Fact label="Kind" value={shortHex(node.kind)} />
      <Fact label="URL" value={node.url} />
      <Fact label="Operator" value={accountText(app.context.deployment, node.operator)} />
      <Fact label="Operator's cut" value={bpsText(BigInt(node.cutBps))} />
      <Fact label="Bond" value={text(active.assets)} />
      <Fact label="Unbonding" value={text(node.unbonding)} />
      <Fact label="Answered" value={`${node.answered} of ${node.drawn} seats`} />
      <Fact label="Audits lost" value={`${node.lost} of ${node.audits}`} isBad={node.lost > 0} />
      {node.jailedUntil > 0 && <Fact label="Jailed until" value={timeText(BigInt(node.jailedUntil))} />}
    </dl>
  );
  const heading = (
    <header>
      <h3>Node {id}</h3>
      <span class="price">{stateOf(node)}</span>
    </header>
  );
  if (!account) {
    return (
      <article class="card">
        {heading}
        {facts}
      </article>
    );
  }
  const outcome: Outcome<readonly [bigint, bigint]> = {
    read: read<readonly [bigint, bigint]>(registry, nodesAbi, "assetsOf", [id, account]),
    before: [bonded, leaving],
    rows: ([left, right]) => [
      { label: "Your bond", value: text(left) },
      { label: "Unbonding", value: text(right) },
    ],
    context: app.context,
  };
  const verbs = [
    verb(
      { account },
      {
        id: `bond-${id}`,
        label: "Bond",
        token,
        source: "Wallet",
        max: balance,
        whyNone: `You have no ${token.name} in your wallet.`,
      },
      ({ units }, title) => [
        approval(token, registry, units),
        call(title, registry, nodesAbi, "delegate", [id, units]),
      ],
    ),
    verb(
      { account },
      {
        id: `unbond-${id}`,
        label: "Unbond",
        token,
        source: "Your bond",
        max: bonded,
        whyNone: "You have bonded nothing.",
      },
      ({ units, isMax }, title) => [
        call(title, registry, nodesAbi, "unbond", [id, isMax ? shares : (shares * units) / bonded]),
      ],
    ),
  ];
  return (
    <article class="card">
      {heading}
      <div class="columns">
        {facts}
        <VerbTabs app={app} verbs={verbs} outcome={outcome} />
      </div>
      <p class="small">
        What unbonds earns nothing, can be slashed, and is yours after {durationText(cooldown)}. A slash takes up to a
        fifth.
      </p>
      {leaving > 0n && (
        <PlanButton
          app={app}
          label={`Withdraw ${text(leaving)}`}
          whyNot={releasesAt <= now ? undefined : `It unbonds until ${timeText(releasesAt)}.`}
          plan={() => ({
            title: `Withdraw ${text(leaving)}`,
            account,
            calls: [call("Withdraw", registry, nodesAbi, "withdraw", [id, account])],
          })}
        />
      )}
    </article>
  );
}

function Registration({ app, account, network }: Given & { account: Address }) {
  const [kind, setKind] = useState("");
  const [signer, setSigner] = useState("");
  const [url, setUrl] = useState("");
  const { registry, token, balance, minBond } = network;
  const wrong = !(isHex(kind) && kind.length === 66)
    ? "Write the kind's hash, 0x and 64 digits."
    : !isAddress(signer)
      ? "Write the address of the key that signs receipts."
      : url === ""
        ? "Write the URL of the node."
        : undefined;
  const fields: [string, string, (text: string) => void][] = [
    ["Kind", kind, setKind],
    ["Signer", signer, setSigner],
    ["URL", url, setUrl],
  ];
  const registration = verb(
    { account },
    {
      id: "register",
      label: "Register",
      token,
      source: "Wallet",
      max: wrong ? 0n : balance,
      whyNone: wrong ?? `You have no ${token.name} in your wallet.`,
    },
    ({ units }, title) => [
      approval(token, registry, units),
      call(title, registry, nodesAbi, "register", [kind as Hex, signer as Address, 0, url, units]),
    ],
    "Register a node with",
  );
  const outcome: Outcome<number> = {
    read: read<number>(registry, nodesAbi, "count"),
    before: network.nodes.length + network.others[0],
    rows: (count) => [{ label: "Nodes", value: count.toString() }],
    context: app.context,
  };
  return (
    <article class="card">
      <h3>Register a node</h3>
      <p class="small">
        At least {amountText(minBond, token.decimals, "up")} {token.name}, without a cut of others' emission.
      </p>
      <div class="form">
        {fields.map(([label, value, set]) => (
          <label key={label}>
            {label}
            <input value={value} autocomplete="off" onInput={(event) => set(event.currentTarget.value.trim())} />
          </label>
        ))}
      </div>
      <VerbTabs app={app} verbs={[registration]} outcome={outcome} />
    </article>
  );
}
