/** A form for one amount: validates while a person types, simulates, shows before → after, and executes. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useState } from "preact/hooks";
import type { App, State } from "../app";
import { useAppState } from "../app";
import type { Read } from "../chain/rpc";
import { AmountError, amountText, exactText, parseAmount } from "../lib/numbers";
import { cannotSimulate, simulate, WouldRevert } from "../tx/simulate";
import { errorText, revertText, type Context } from "../tx/words";
import type { Plan } from "../tx/plan";
import type { Row } from "./rows";
import { excessText, type Chosen, type Verb } from "./verbs";

/** How a form reads and writes the state that its verb changes. */
export interface Outcome<T> {
  read: Read<T>;
  before: T;
  rows(state: T): Row[];
  context: Context;
}

/** Time without typing before a plan is simulated. */
const DEBOUNCE_MS = 200;

type Preview<T> =
  | { kind: "none" }
  | { kind: "running" }
  | { kind: "ok"; after: T; gas: bigint }
  | { kind: "unavailable" }
  | { kind: "refused"; reason: string };

/** Simulates a plan whenever its calls change or a block was mined. */
function usePreview<T>(app: App, plan: Plan | undefined, outcome: Outcome<T>, block: bigint): Preview<T> {
  const [preview, setPreview] = useState<Preview<T>>({ kind: "none" });
  const key = plan && plan.calls.map(({ to, data }) => to + data).join();
  useEffect(() => {
    if (!plan) return setPreview({ kind: "none" });
    setPreview((before) => (before.kind === "ok" ? before : { kind: "running" }));
    let isCurrent = true;
    const timer = setTimeout(async () => {
      const found = await previewOf(app, plan, outcome);
      if (isCurrent) setPreview(found);
    }, DEBOUNCE_MS);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [key, block]);
  return preview;
}

async function previewOf<T>(app: App, plan: Plan, outcome: Outcome<T>): Promise<Preview<T>> {
  try {
    const { after, gas } = await simulate(app.rpc, plan, outcome.read);
    return { kind: "ok", after, gas };
  } catch (error) {
    if (cannotSimulate(error)) return { kind: "unavailable" };
    if (error instanceof WouldRevert) return { kind: "refused", reason: revertText(error.data, outcome.context) };
    return { kind: "refused", reason: errorText(error, outcome.context) };
  }
}

/** Reads what was typed; an error is for the person who typed. */
function choose(verb: Verb, text: string, isMax: boolean): { chosen?: Chosen; problem?: string } {
  if (isMax) return verb.max === 0n ? { problem: verb.whyNone } : { chosen: { units: verb.max, isMax } };
  if (text.trim() === "") return {};
  try {
    const units = parseAmount(text, verb.token.decimals);
    const problem = excessText(verb, units);
    return problem ? { problem } : { chosen: { units, isMax: false } };
  } catch (error) {
    if (error instanceof AmountError) return { problem: error.message };
    throw error;
  }
}

const isInProgress = ({ progress }: State): boolean =>
  progress !== undefined && ["signing", "mining"].includes(progress.phase);

/** Returns why nothing can be sent at the moment, whatever it is; `undefined` if it can. */
export function obstacleText(app: App): string | undefined {
  if (app.state.node !== "ok") return "Nothing can be sent until the node's figures can be read.";
  if (!app.isOnChain) return "Your wallet is on another chain: switch it first, by the button above.";
  if (isInProgress(app.state)) return "A transaction is in progress.";
  return undefined;
}

export function AmountForm<T>({ app, verb, outcome }: { app: App; verb: Verb; outcome: Outcome<T> }) {
  const state = useAppState(app);
  const [text, setText] = useState("");
  const [isMax, setIsMax] = useState(false);
  const { chosen, problem } = choose(verb, text, isMax);
  const isBusy = isInProgress(state);
  const plan = chosen && verb.plan(chosen);
  // While a transaction is in progress, what it changes is neither an error nor a preview of the next one.
  const preview = usePreview(app, isBusy ? undefined : plan, outcome, state.snapshot?.block ?? 0n);
  const refusal = problem ?? (preview.kind === "refused" ? preview.reason : undefined);
  const message = isBusy ? undefined : refusal;
  const obstacle = obstacleText(app);
  const isReady = plan && (preview.kind === "ok" || preview.kind === "unavailable");
  const isOpen = obstacle === undefined && isReady;
  const shown = isMax ? exactText(verb.max, verb.token.decimals) : text;

  const submit = async (event: Event) => {
    event.preventDefault();
    if (!isOpen || !plan) return;
    await app.execute(plan);
    // What was refused or failed stays, to be tried again.
    if (app.state.progress?.phase !== "done") return;
    setText("");
    setIsMax(false);
  };

  return (
    <form class="form" onSubmit={submit} data-verb={verb.id} noValidate>
      <label for={`amount-${verb.id}`}>
        {verb.label} <span class="unit">{verb.token.name}</span>
      </label>
      <div class="field">
        <input
          id={`amount-${verb.id}`}
          inputMode="decimal"
          autocomplete="off"
          placeholder="0"
          value={shown}
          aria-describedby={`hint-${verb.id} problem-${verb.id}`}
          aria-invalid={message ? "true" : "false"}
          onInput={(event) => {
            setIsMax(false);
            setText(event.currentTarget.value);
          }}
        />
        <button type="button" class="max" onClick={() => setIsMax(true)} aria-label={`max ${verb.token.name}`}>
          max
        </button>
      </div>
      <p class="hint" id={`hint-${verb.id}`}>
        {verb.source}: {amountText(verb.max, verb.token.decimals)} {verb.token.name}
      </p>
      <p class="problem" id={`problem-${verb.id}`} role="status">
        {message}
      </p>
      {preview.kind === "ok" && !problem && (
        <BeforeAfter before={outcome.rows(outcome.before)} after={outcome.rows(preview.after)} />
      )}
      {plan && obstacle && <p class="hint">{obstacle}</p>}
      {preview.kind === "unavailable" && (
        <p class="hint">This node cannot simulate (eth_simulateV1): each step is checked before you sign it.</p>
      )}
      <button type="submit" class="main" disabled={!isOpen}>
        {verb.label}
      </button>
    </form>
  );
}

/** A table of the figures that change, and the first one always. */
export function BeforeAfter({ before, after }: { before: Row[]; after: Row[] }) {
  return (
    <table class="before-after">
      <caption class="visually-hidden">What this changes, as simulated</caption>
      <thead>
        <tr>
          <th scope="col">
            <span class="visually-hidden">Figure</span>
          </th>
          <th scope="col">Now</th>
          <th scope="col">After</th>
        </tr>
      </thead>
      <tbody>
        {after.map(({ label, value, isBad }, index) => (
          <tr key={label} class={before[index]?.value === value ? "same" : ""}>
            <th scope="row">{label}</th>
            <td>{before[index]?.value}</td>
            <td class={isBad ? "bad" : ""}>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** One form at a time, chosen by buttons. */
export function VerbTabs<T>({ app, verbs, outcome, children }: VerbTabsProps<T>) {
  const [chosen, setChosen] = useState(verbs[0]?.id);
  const verb = verbs.find(({ id }) => id === chosen) ?? verbs[0];
  if (!verb) return null;
  return (
    <div class="card actions">
      <div class="tabs">
        {[...new Set(verbs.map(({ group }) => group))].map((group) => (
          <fieldset key={group} aria-label={group ?? "Action"}>
            {group && <legend>{group}</legend>}
            {verbs
              .filter((each) => each.group === group)
              .map(({ id, label }) => (
                <button key={id} type="button" aria-pressed={id === verb.id} onClick={() => setChosen(id)}>
                  {label}
                </button>
              ))}
          </fieldset>
        ))}
      </div>
      {children?.(verb)}
      <AmountForm key={verb.id} app={app} verb={verb} outcome={outcome} />
    </div>
  );
}

interface VerbTabsProps<T> {
  app: App;
  verbs: Verb[];
  outcome: Outcome<T>;
  /** Further choices of the verb that is open. */
  children?: (verb: Verb) => ComponentChildren;
}

/**
 * A button that executes a plan which needs no amount, and beside it why it cannot be pressed. Its calls are checked by an
 * estimate before they are signed.
 */
export function PlanButton({ app, plan, label, whyNot, isMinor }: PlanButtonProps) {
  useAppState(app);
  const id = useId();
  // What keeps the whole page from sending is said once, beside what a person most often wants.
  const obstacle = obstacleText(app);
  const words = whyNot ?? (isMinor ? undefined : obstacle);
  return (
    <>
      <button
        type="button"
        class={isMinor ? "" : "main"}
        disabled={obstacle !== undefined || whyNot !== undefined}
        aria-describedby={words && id}
        onClick={() => void app.execute(plan())}
      >
        {label}
      </button>
      {words && (
        <span class="hint" id={id}>
          {words}
        </span>
      )}
    </>
  );
}

interface PlanButtonProps {
  app: App;
  plan: () => Plan;
  label: string;
  /** Why there is nothing to execute; `undefined` if there is. */
  whyNot?: string | undefined;
  /** Whether it stands beside what a person most often wants. */
  isMinor?: boolean;
}
