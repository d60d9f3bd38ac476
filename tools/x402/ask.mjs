// x402's published client asks a node of ours for answers. Prints what each step left on the client's side, one JSON
// object. Argument: one JSON object with
//   url, rpc, token, model, requests, payer, signer (private keys), and optionally max_tokens and stream (all answers).
import { x402Client, x402HTTPClient } from "@x402/core/client";
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme as Client, InMemoryClientChannelStorage } from "@x402/evm/batch-settlement/client";
import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const task = JSON.parse(process.argv[2]);
const reader = createPublicClient({ transport: http(task.rpc) });
const network = `eip155:${await reader.getChainId()}`;
const url = `${task.url}/v1/chat/completions`;

function newClient() {
  const payer = new Client(toClientEvmSigner(privateKeyToAccount(task.payer), reader), {
    storage: new InMemoryClientChannelStorage(),
    voucherSigner: privateKeyToAccount(task.signer),
    depositPolicy: { depositMultiplier: 5 },
  });
  const controls = { allowedAssets: [{ network, asset: task.token }] };
  return { payer, http: new x402HTTPClient(new x402Client().setSpendControls(controls).register(network, payer)) };
}

// Pays for one answer; if the node corrects the client's sums, once more.
async function ask(client, request, headers = {}) {
  const body = JSON.stringify({ model: task.model, max_tokens: task.max_tokens ?? 12, ...request });
  const sent = { "content-type": "application/json", ...headers };
  const corrections = [];
  for (;;) {
    const unpaid = await fetch(url, { method: "POST", body, headers: sent });
    if (unpaid.status !== 402) throw new Error(`not asked for payment: ${unpaid.status} ${await unpaid.text()}`);
    const required = client.http.getPaymentRequiredResponse((name) => unpaid.headers.get(name), await unpaid.json());
    const payload = await client.http.createPaymentPayload(required);
    const paid = { ...sent, ...client.http.encodePaymentSignatureHeader(payload) };
    const response = await fetch(url, { method: "POST", body, headers: paid });
    const text = await response.text();
    // With `Prefer: payment-response=stream` the payment is the last event but one.
    const events = text.split("\n\n").filter((event) => event.startsWith("data: {"));
    const last = events.length > 0 ? JSON.parse(events.at(-1).slice(6)) : {};
    const inEvent = last.x402 ? Buffer.from(JSON.stringify(last.x402)).toString("base64") : null;
    const header = (name) =>
      response.headers.get(name) ?? (name.toUpperCase() === "PAYMENT-RESPONSE" ? inEvent : null);
    const result = await client.http.processPaymentResult(payload, header, response.status);
    if (response.status === 402 && result.recovered && corrections.length === 0) {
      corrections.push(JSON.parse(atob(response.headers.get("payment-required"))).error);
      continue;
    }
    if (response.status !== 200) {
      const reason = response.headers.get("payment-required");
      throw new Error(`${response.status} ${reason ? atob(reason) : ""} ${text}`);
    }
    const again = await fetch(url, { method: "POST", body, headers: paid });
    return {
      type: payload.payload.type,
      channelConfig: payload.payload.channelConfig,
      settled: result.settleResponse,
      receipt: last.receipt ?? JSON.parse(atob(response.headers.get("x-receipt"))),
      text,
      again: await again.text(),
      corrections,
      events: events.length,
    };
  }
}

const messages = [{ role: "user", content: "What is a lighthouse?" }];
const answers = [];
const client = newClient();
const stream = task.stream ?? false;
for (let i = 0; i < task.requests; i++)
  answers.push(await ask(client, { messages, temperature: 0.7, seed: i, stream }));
const streamed = await ask(client, { messages, stream: true, stream_options: { include_usage: true } });
const live = await ask(client, { messages, stream: true }, { prefer: "payment-response=stream" });
// A client that has lost its sums.
const recovered = newClient();
const corrected = await ask(recovered, { messages, max_tokens: 5 });
const refund = await recovered.payer.refund(url);
// A pipe takes 64 kB at once, and an exit would not wait for the rest.
process.stdout.write(JSON.stringify({ answers, streamed, live, corrected, refund }), () => process.exit(0));
