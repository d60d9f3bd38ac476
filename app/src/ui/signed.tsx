/** Orders by signature: an account signs without gas, hands the text on, and anybody posts it. */
import type { Address } from "viem";
import { useRef, useState } from "preact/hooks";
import type { App } from "../app";
import { useAppState } from "../app";
import { coreAbi, guardAbi } from "../chain/abi";
import type { Deployment } from "../chain/config";
import { read } from "../chain/rpc";
import type { Order } from "../chain/snapshot";
import { describeOrder, KINDS } from "../lib/orders";
import { shortHex, timeText } from "../lib/numbers";
import { call, type Call, type Plan } from "../tx/plan";
import { signerOf } from "../tx/runner";
import { OrderTextError, orderText, readSignedOrder, signOrder, type SignedOrder } from "../tx/signedOrder";
import { errorText } from "../tx/words";
import { obstacleText, PlanButton } from "./form";
import type { Stage } from "./verbs";

interface SignProps {
  app: App;
  guard: Address;
  stage: Stage;
  kind: number;
  /** `undefined` while the form is not complete. */
  order: Order | undefined;
}

/** Signs the order that a form describes, and shows the text to hand on. */
export function SignOrder({ app, guard, stage, kind, order }: SignProps) {
  const { wallet, config } = useAppState(app);
  const [isSigning, setIsSigning] = useState(false);
  const [signed, setSigned] = useState<SignedOrder>();
  const [problem, setProblem] = useState("");
  const { core, account, market, now } = stage;

  const sign = async () => {
    if (!wallet || !order) return;
    setIsSigning(true);
    setProblem("");
    try {
      const { chainId } = config.deployment;
      const target = { chainId, core, guard, now };
      const wanted = { account: account.address, id: market.info.id, kind, order };
      const signer = signerOf(wallet.provider, account.address, chainId);
      setSigned(await signOrder(app.rpc, target, wanted, account.guardExpiry, signer));
    } catch (error) {
      setProblem(errorText(error, { ...app.context, ...market.info }));
    }
    setIsSigning(false);
  };

  return (
    <>
      <button
        type="button"
        disabled={!order || isSigning || obstacleText(app) !== undefined}
        onClick={() => void sign()}
        aria-describedby="sign-hint"
      >
        {isSigning ? "Sign the messages that your wallet shows…" : "Sign for others to post"}
      </button>
      <p class="hint" id="sign-hint">
        Signing costs no gas. Whoever you give the text to can place the order for you.
      </p>
      {problem && (
        <p class="problem" role="status">
          {problem}
        </p>
      )}
      {signed && <Handover signed={signed} />}
    </>
  );
}

/** The text of a signed order, to be copied or saved. */
function Handover({ signed }: { signed: SignedOrder }) {
  const [isCopied, setIsCopied] = useState(false);
  const text = orderText(signed);
  const copy = async () => {
    await navigator.clipboard.writeText(text).then(
      () => setIsCopied(true),
      () => setIsCopied(false),
    );
  };
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = `guard-order-${signed.placement.nonce}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return (
    <div class="handover">
      <label for="signed-order">Signed order</label>
      <textarea id="signed-order" readOnly value={text} />
      <p class="hint">
        Anybody can post it until {timeText(signed.placement.deadline)}, once. To take it back, use “Cancel all orders”,
        which makes the signature void. Another signed order that is posted first makes it void, too.
      </p>
      <div class="buttons">
        <button type="button" onClick={() => void copy()}>
          {isCopied ? "Copied" : "Copy"}
        </button>
        <button type="button" onClick={save}>
          Download
        </button>
      </div>
    </div>
  );
}

/** What a pasted text turned out to be. */
interface Checked {
  words: string;
  plan: Plan;
}

/** Posts an order that somebody signed. */
export function PostOrder({
  app,
  guard,
  core,
  account,
}: {
  app: App;
  guard: Address;
  core: Address;
  account: Address;
}) {
  const { config } = useAppState(app);
  const [text, setText] = useState("");
  const [checked, setChecked] = useState<Checked>();
  const [problem, setProblem] = useState("");
  // Answers may come in another order than texts: only what is said of the present one counts.
  const present = useRef("");
  const check = async (pasted: string) => {
    present.current = pasted;
    setText(pasted);
    setChecked(undefined);
    setProblem("");
    if (pasted.trim() === "") return;
    try {
      const order = readSignedOrder(pasted);
      const found = await checkOrder(app, config.deployment, { guard, core, account }, order);
      if (present.current === pasted) setChecked(found);
    } catch (error) {
      const words = error instanceof OrderTextError ? error.message : errorText(error, app.context);
      if (present.current === pasted) setProblem(words);
    }
  };
  return (
    <details class="card post">
      <summary>Post an order that somebody signed</summary>
      <div class="form">
        <label for="post-order">Text of the signed order</label>
        <textarea
          id="post-order"
          value={text}
          spellcheck={false}
          aria-describedby="post-problem"
          onInput={(event) => void check(event.currentTarget.value)}
        />
        <p class="problem" id="post-problem" role="status">
          {problem}
        </p>
        {checked && <p>{checked.words}</p>}
        <PlanButton
          app={app}
          plan={() => checked!.plan}
          label="Post signed order"
          whyNot={checked ? undefined : "Paste the text of a signed order first."}
        />
      </div>
    </details>
  );
}

interface Poster {
  guard: Address;
  core: Address;
  account: Address;
}

/** Checks a signed order against the chain, and returns what posting it does. */
async function checkOrder(app: App, deployment: Deployment, poster: Poster, signed: SignedOrder): Promise<Checked> {
  const { guard, core, account } = poster;
  const { placement, authorization } = signed;
  if (signed.chainId !== deployment.chainId) {
    throw new OrderTextError(`It was signed for chain ${signed.chainId}; this page is of ${deployment.chainId}.`);
  }
  if (signed.guard !== guard) throw new OrderTextError(`It was signed for another Guard, ${signed.guard}.`);
  const market = deployment.markets.find(({ id }) => id === placement.id);
  if (!market) throw new OrderTextError("It is for a market that this page does not know.");
  const signer = placement.account;
  const [nonce, coreNonce, authorizedUntil] = await app.rpc.read(
    [
      read<bigint>(guard, guardAbi, "nonce", [signer]),
      read<bigint>(core, coreAbi, "nonce", [signer]),
      read<bigint>(core, coreAbi, "authorizationExpiry", [signer, guard]),
    ],
    "latest",
  );
  // The contract does nothing with a nonce that was used, and does not fail either.
  if (nonce > placement.nonce) throw new OrderTextError("It was posted already, or taken back by its account.");
  const expiry = BigInt(placement.order.expiry);
  const calls: Call[] = [];
  if (authorization && authorizedUntil < expiry && authorization.authorization.nonce === coreNonce) {
    const args = [authorization.authorization, authorization.signature];
    calls.push(call("Authorise Guard", core, coreAbi, "setAuthorizationWithSig", args));
  }
  const title = `Post the order of ${shortHex(signer)}`;
  const place = read<unknown>(guard, guardAbi, "placeWithSig", [placement, signed.signature]);
  await app.rpc.read([{ ...place, from: account }], "latest");
  calls.push({ what: title, to: place.to, data: place.data });
  const isAuthorised = authorizedUntil >= expiry || calls.length > 1;
  const warning = isAuthorised ? "" : " Guard is not authorised by that account, so it could not be executed.";
  const words = `${KINDS[placement.kind] ?? "Order"} in ${market.name}, of ${signer}. ${describeOrder(market, placement.order, placement.kind)}.${warning}`;
  return { words, plan: { title, account, market: market.name, calls } };
}
