/** What governs the deployment: operations that wait, proposals, brakes, votes, and who may do what after which delay. */
import { getAddress, isAddress, type Abi, type Address } from "viem";
import { useEffect, useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import { tokenAbi } from "../chain/abi";
import { brakeAbi, governorAbi, managerAbi, votesAbi } from "../chain/governanceAbi";
import {
  descriptionHash,
  EXPIRATION_SECS,
  readGovernance,
  type Brake,
  type Governance,
  type Governor,
  type Operation,
  type Power,
  type Proposal,
} from "../chain/governance";
import { read } from "../chain/rpc";
import { accountText, callText, functionText } from "../lib/calls";
import { amountText, durationText, timeText } from "../lib/numbers";
import { call, type Plan } from "../tx/plan";
import { errorText } from "../tx/words";
import { PlanButton, VerbTabs, type Outcome } from "./form";
import { Fact } from "./markets";
import { verb } from "./verbs";

/** What every part needs. */
interface Given {
  app: App;
  account: Address | undefined;
  now: bigint;
}

export function GovernancePage({ app }: { app: App }) {
  const { account, snapshot, config } = useAppState(app);
  const [governance, setGovernance] = useState<Governance>();
  const [problem, setProblem] = useState("");
  const block = snapshot?.block;
  useEffect(() => {
    if (block === undefined) return;
    let isCurrent = true;
    readGovernance(app.rpc, config.deployment, block, account).then(
      (found) => isCurrent && (setGovernance(found), setProblem("")),
      (error: unknown) => isCurrent && setProblem(errorText(error, app.context)),
    );
    return () => {
      isCurrent = false;
    };
  }, [account, block]);
  if (!governance || !snapshot) {
    return problem ? <p class="problem">{problem}</p> : <p class="empty">Reading the chain…</p>;
  }
  const { manager, operations, proposals, governors, brakes, powers } = governance;
  if (!manager && governors.length === 0) {
    return <p class="empty">This deployment's record lists no manager and no governor.</p>;
  }
  const given = { app, account, now: snapshot.timestamp };
  return (
    <>
      {problem && <p class="problem">{problem}</p>}
      {manager && (
        <section aria-labelledby="operations">
          <h2 id="operations">What waits</h2>
          <p class="lead">
            What lowers risk is done at once. Everything else waits here first, so that you can leave before it happens,
            or lock shares and oppose it.
          </p>
          {operations.length === 0 && <p class="empty">Nothing is scheduled.</p>}
          {operations.map((operation) => (
            <OperationCard key={operation.id} {...given} manager={manager} operation={operation} />
          ))}
        </section>
      )}
      {governors.map((governor) => (
        <GovernorPart
          key={governor.address}
          {...given}
          governor={governor}
          proposals={proposals.filter((proposal) => proposal.governor.address === governor.address)}
        />
      ))}
      {brakes.map((brake) => (
        <BrakePanel key={brake.address} {...given} brake={brake} />
      ))}
      {manager && <Powers app={app} powers={powers} />}
    </>
  );
}

function plan(account: Address, title: string, to: Address, abi: Abi, functionName: string, args: unknown[]): Plan {
  return { title, account, calls: [call(title, to, abi, functionName, args)] };
}

/* OPERATIONS */

function OperationCard(props: Given & { manager: Address; operation: Operation }) {
  const { app, account, now, manager, operation } = props;
  const { deployment } = app.context;
  const { call: made, caller, due, opposition } = operation;
  const isDue = due <= now;
  const text = callText(deployment, made.target, made.data);
  return (
    <article class="card operation">
      <h3>{text}</h3>
      <dl class="facts">
        <Fact label="Scheduled by" value={accountText(deployment, caller)} />
        <Fact label={isDue ? "Due since" : "Due at"} value={timeText(due)} />
        <Fact label="Expires at" value={timeText(due + EXPIRATION_SECS)} />
        {opposition.map(({ brake, weight, needed }) => (
          <Fact
            key={brake.address}
            label={`Opposed at ${brake.name}`}
            value={`${amountText(weight, brake.decimals)} of ${amountText(needed, brake.decimals, "up")} shares`}
          />
        ))}
      </dl>
      {account && (
        <div class="buttons">
          {opposition
            .filter(({ brake }) => brake.locked > 0n)
            .map(({ brake }) => (
              <PlanButton
                key={brake.address}
                app={app}
                label={`Oppose at ${brake.name}`}
                plan={() =>
                  plan(account, `Oppose: ${text}`, brake.address, brakeAbi, "oppose", [
                    [{ caller, target: made.target, data: made.data }],
                  ])
                }
              />
            ))}
          {caller === account && (
            <PlanButton
              app={app}
              label="Execute"
              whyNot={isDue ? undefined : `It can be executed from ${timeText(due)} on.`}
              plan={() => plan(account, `Execute: ${text}`, manager, managerAbi, "execute", [made.target, made.data])}
            />
          )}
          {operation.canCancel && (
            <PlanButton
              app={app}
              label="Cancel"
              isMinor
              plan={() =>
                plan(account, `Cancel: ${text}`, manager, managerAbi, "cancel", [caller, made.target, made.data])
              }
            />
          )}
        </div>
      )}
    </article>
  );
}

/* PROPOSALS AND VOTES */

const SUPPORT: [string, number][] = [
  ["Vote for", 1],
  ["Vote against", 0],
  ["Abstain", 2],
];

function GovernorPart(props: Given & { governor: Governor; proposals: Proposal[] }) {
  const { governor, proposals } = props;
  return (
    <section aria-labelledby={`governor-${governor.name}`}>
      <h2 id={`governor-${governor.name}`}>Proposals of {governor.name}</h2>
      <Votes {...props} />
      {proposals.length === 0 && <p class="empty">Nothing was proposed yet.</p>}
      {proposals.map((proposal) => (
        <ProposalCard key={proposal.id.toString()} {...props} proposal={proposal} />
      ))}
    </section>
  );
}

/** The account's votes, which count only once they are delegated, to itself or another. */
function Votes({ app, account, governor }: Given & { governor: Governor }) {
  const [typed, setTyped] = useState("");
  const { symbol, decimals, token, balance, votes, delegate } = governor;
  if (!account) return <p class="hint">Connect a wallet to vote.</p>;
  const text = (units: bigint) => `${amountText(units, decimals)} ${symbol}`;
  const id = `delegate-${governor.name}`;
  const isWrong = typed !== "" && !isAddress(typed);
  const to = typed === "" ? account : (typed as Address);
  return (
    <div class="card">
      <dl class="facts">
        <Fact label="Yours" value={text(balance)} />
        <Fact label="Your votes" value={text(votes)} />
        <Fact label="Delegated to" value={!delegate ? "nobody" : delegate === account ? "yourself" : delegate} />
      </dl>
      <div class="form">
        <label for={id}>Delegate your votes to an address, or leave it empty for yourself</label>
        <input
          id={id}
          value={typed}
          autocomplete="off"
          aria-describedby={`${id}-problem`}
          aria-invalid={isWrong ? "true" : "false"}
          onInput={(event) => setTyped(event.currentTarget.value.trim())}
        />
        <p class="problem" id={`${id}-problem`} role="status">
          {isWrong ? "This is no address, or a letter of it is wrong." : ""}
        </p>
        <PlanButton
          app={app}
          label="Delegate"
          whyNot={isWrong ? "Correct the address first." : undefined}
          plan={() => plan(account, "Delegate votes", token, votesAbi, "delegate", [getAddress(to)])}
        />
      </div>
    </div>
  );
}

function ProposalCard(props: Given & { governor: Governor; proposal: Proposal }) {
  const { app, account, now, governor, proposal } = props;
  const { deployment } = app.context;
  const { state, calls, description, votes, due } = proposal;
  const [title, ...further] = description.split("\n");
  const text = (units: bigint) => amountText(units, governor.decimals);
  const quorum = (governor.supply * governor.quorumPercent) / 100n;
  const content = [
    calls.map(({ target }) => target),
    calls.map(({ value }) => value),
    calls.map(({ data }) => data),
    descriptionHash(description),
  ];
  const act = (verb: string, functionName: string) => () =>
    plan(account!, `${verb}: ${title}`, governor.address, governorAbi, functionName, content);
  const isDue = due <= now;
  // Without a guardian the proposer may cancel at any time.
  const isFree = state === "pending" || BigInt(governor.guardian) === 0n;
  const canCancel = account === governor.guardian || (account === proposal.proposer && isFree);
  const isOpen = !["cancelled", "defeated", "expired", "executed"].includes(state);
  return (
    <article class="card proposal">
      <header>
        <h3>{title}</h3>
        <span class="price">{state}</span>
      </header>
      {further.length > 0 && <p class="small">{further.join(" ")}</p>}
      <ol class="calls">
        {calls.map(({ target, data, value }) => (
          <li key={target + data}>{callText(deployment, target, data, value)}</li>
        ))}
      </ol>
      <dl class="facts">
        <Fact label="For" value={text(votes.for)} />
        <Fact label="Against" value={text(votes.against)} />
        <Fact label="Abstained" value={text(votes.abstain)} />
        <Fact label="Quorum" value={`${text(votes.for + votes.abstain)} of ${text(quorum)}`} />
        <Fact label="Vote begins" value={timeText(proposal.voteStart)} />
        <Fact label="Vote ends" value={timeText(proposal.voteEnd)} />
        {due !== 0n && <Fact label={isDue ? "Due since" : "Due at"} value={timeText(due)} />}
        {due !== 0n && <Fact label="Expires at" value={timeText(due + EXPIRATION_SECS)} />}
      </dl>
      {account && isOpen && (
        <div class="buttons">
          {state === "active" &&
            SUPPORT.map(([label, support]) => (
              <PlanButton
                key={label}
                app={app}
                label={label}
                isMinor={support !== 1}
                whyNot={proposal.hasVoted ? "You have voted." : undefined}
                plan={() =>
                  plan(account, `${label}: ${title}`, governor.address, governorAbi, "castVote", [proposal.id, support])
                }
              />
            ))}
          {state === "succeeded" && <PlanButton app={app} label="Queue" plan={act("Queue", "queue")} />}
          {state === "queued" && (
            <PlanButton
              app={app}
              label="Execute"
              whyNot={isDue ? undefined : `It can be executed from ${timeText(due)} on.`}
              plan={act("Execute", "execute")}
            />
          )}
          {canCancel && <PlanButton app={app} label="Cancel" isMinor plan={act("Cancel", "cancel")} />}
        </div>
      )}
    </article>
  );
}

/* BRAKES */

function BrakePanel({ app, account, now, brake }: Given & { brake: Brake }) {
  const { address, shares, decimals, locked, balance, freeAt } = brake;
  const token = { name: "shares", address: shares, decimals };
  const isFree = locked > 0n && freeAt <= now;
  const heading = (
    <>
      <h2 id={`brake-${brake.name}`}>Brake of {brake.name}</h2>
      <p class="lead">
        Depositors who lock shares can oppose what waits. 2 % of all shares cancel it the first time, 10 % the second
        time within 180 days, then 25 % and 50 %. Locked shares stay for 14 days from each use, and pay for losses
        meanwhile.
      </p>
    </>
  );
  if (!account) return <section aria-labelledby={`brake-${brake.name}`}>{heading}</section>;
  const outcome: Outcome<{ shares: bigint; freeAt: number }> = {
    read: read<{ shares: bigint; freeAt: number }>(address, brakeAbi, "locked", [account]),
    before: { shares: locked, freeAt: Number(freeAt) },
    rows: (lock) => [
      { label: "Locked shares", value: amountText(lock.shares, decimals) },
      { label: "Locked until", value: lock.freeAt === 0 ? "–" : timeText(BigInt(lock.freeAt)) },
    ],
    context: app.context,
  };
  const whyNone = locked === 0n ? "You have locked nothing." : `They are locked until ${timeText(freeAt)}.`;
  const verbs = [
    verb(
      { account },
      { id: "lock", label: "Lock", token, source: "Yours", max: balance, whyNone: "You have no shares." },
      ({ units }, title) => [
        call("Approve shares", shares, tokenAbi, "approve", [address, units]),
        call(title, address, brakeAbi, "lock", [units]),
      ],
    ),
    verb(
      { account },
      { id: "unlock", label: "Unlock", token, source: "Free", max: isFree ? locked : 0n, whyNone },
      ({ units }, title) => [call(title, address, brakeAbi, "unlock", [units, account])],
    ),
  ];
  return (
    <section aria-labelledby={`brake-${brake.name}`}>
      {heading}
      <div class="columns">
        <dl class="facts card">
          <Fact label="Your shares" value={amountText(balance, decimals)} />
          <Fact label="Locked" value={amountText(locked, decimals)} />
          {locked > 0n && <Fact label="Locked until" value={timeText(freeAt)} />}
          <Fact label="Weighed against" value={`${amountText(brake.supply, decimals)} shares`} />
        </dl>
        <VerbTabs app={app} verbs={verbs} outcome={outcome} />
      </div>
    </section>
  );
}

/* POWERS */

function Powers({ app, powers }: { app: App; powers: Power[] }) {
  const { deployment } = app.context;
  const who = (accounts: Address[]) =>
    accounts.map((account) => accountText(deployment, account)).join(", ") || "nobody";
  return (
    <section aria-labelledby="powers">
      <h2 id="powers">Who may do what</h2>
      <ul class="card powers">
        {powers.map(({ target, selector, role, members, cancelledBy }) => {
          const waits = members.filter(({ delay }) => delay > 0);
          const after = ({ account, delay }: Power["members"][number]) =>
            `${accountText(deployment, account)} ${delay === 0 ? "at once" : `after ${durationText(delay)}`}`;
          return (
            <li key={target + selector}>
              <strong>
                {accountText(deployment, target)} {functionText(selector)}
              </strong>
              : {role}, {members.map(after).join(", ") || "nobody"}
              {waits.length > 0 && `, unless ${who(cancelledBy)} cancels it`}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
