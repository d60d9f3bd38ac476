// x402's published client pays x402's published server, whose published facilitator sends the transactions: over HTTP,
// on the chain at the given URL, through the contracts at the addresses that are built into all three. Prints what each
// step left on the client's side, one JSON object. Argument: one JSON object with
//   rpc, token, tokenName, requests, price, charge, payer, signer, receiver, authorizer, relayer (private keys; the
//   receiver is an address).
import { createServer } from "node:http";
import { x402Client, x402HTTPClient } from "@x402/core/client";
import { x402Facilitator } from "@x402/core/facilitator";
import { x402HTTPResourceServer, x402ResourceServer } from "@x402/core/server";
import { toClientEvmSigner, toFacilitatorEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme as Client, InMemoryClientChannelStorage } from "@x402/evm/batch-settlement/client";
import { BatchSettlementEvmScheme as Facilitator } from "@x402/evm/batch-settlement/facilitator";
import { BatchSettlementEvmScheme as Server } from "@x402/evm/batch-settlement/server";
import { createPublicClient, createWalletClient, defineChain, http, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { multicall3Bytecode } from "./node_modules/viem/_esm/constants/contracts.js";

const task = JSON.parse(process.argv[2]);
const reader = createPublicClient({ transport: http(task.rpc) });
const chainId = await reader.getChainId();
const network = `eip155:${chainId}`;
const chain = defineChain({
  id: chainId,
  name: "local",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [task.rpc] } },
});
const account = privateKeyToAccount;
const authorizer = account(task.authorizer);

/* FACILITATOR */

// It reads through Multicall3, which every public chain has.
const { data: multicall3 } = await reader.call({ data: multicall3Bytecode });
await reader.request({ method: "anvil_setCode", params: ["0xcA11bde05977b3631167028862bE2a173976CA11", multicall3] });

const relayer = createWalletClient({ account: account(task.relayer), chain, transport: http(task.rpc) }).extend(
  publicActions,
);
const facilitator = new x402Facilitator();
facilitator.register(
  network,
  new Facilitator(toFacilitatorEvmSigner(Object.assign(relayer, { address: account(task.relayer).address }))),
);
const facilitatorClient = {
  verify: (payload, requirements) => facilitator.verify(payload, requirements),
  settle: (payload, requirements) => facilitator.settle(payload, requirements),
  getSupported: async () => facilitator.getSupported(),
};

/* SERVER */

const scheme = new Server(task.receiver, { receiverAuthorizerSigner: authorizer, withdrawDelay: 3600 });
const resources = new x402ResourceServer(facilitatorClient).register(network, scheme);
const price = { asset: task.token, amount: task.price, extra: { name: task.tokenName, version: "1" } };
const paid = new x402HTTPResourceServer(resources, {
  "/answer": { accepts: { scheme: "batch-settlement", network, payTo: task.receiver, price, maxTimeoutSeconds: 300 } },
});
await paid.initialize();

async function answer(request) {
  const url = `http://${request.headers.host}${request.url}`;
  const context = {
    adapter: {
      getHeader: (name) => request.headers[name.toLowerCase()],
      getMethod: () => request.method,
      getPath: () => request.url,
      getUrl: () => url,
      getAcceptHeader: () => request.headers.accept ?? "",
      getUserAgent: () => request.headers["user-agent"] ?? "",
    },
    path: request.url,
    method: request.method,
    paymentHeader: request.headers["payment-signature"],
  };
  const result = await paid.processHTTPRequest(context);
  if (result.type === "payment-error") return result.response;
  if (result.type !== "payment-verified") return { status: 500, headers: {}, body: result };
  const settled = await paid.processSettlement(
    result.paymentPayload,
    result.paymentRequirements,
    result.declaredExtensions,
    { request: context },
    // Less than the ceiling: what the answer really cost.
    task.charge ? { amount: task.charge } : undefined,
    result.beforeHandlerSettlement,
  );
  if (!settled.success) return settled.response;
  return { status: 200, headers: settled.headers, body: { answer: 42 } };
}

const server = createServer(async (request, response) => {
  let result;
  try {
    result = await answer(request);
  } catch (error) {
    result = { status: 500, headers: {}, body: { error: String(error.stack) } };
  }
  response.writeHead(result.status, { ...result.headers, "content-type": "application/json" });
  response.end(JSON.stringify(result.body ?? {}));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const url = `http://127.0.0.1:${server.address().port}/answer`;

/* CLIENT */

const storage = new InMemoryClientChannelStorage();
const payer = new Client(toClientEvmSigner(account(task.payer), reader), {
  storage,
  voucherSigner: account(task.signer),
  depositPolicy: { depositMultiplier: 5 },
});
// The client pays no token that it does not know unless it is told to.
const controls = { allowedAssets: [{ network, asset: task.token }] };
const client = new x402HTTPClient(new x402Client().setSpendControls(controls).register(network, payer));

async function ask() {
  const unpaid = await fetch(url);
  if (unpaid.status !== 402) throw new Error(`not asked for payment: ${unpaid.status} ${await unpaid.text()}`);
  const required = client.getPaymentRequiredResponse((name) => unpaid.headers.get(name), await unpaid.json());
  const payload = await client.createPaymentPayload(required);
  const response = await fetch(url, { headers: client.encodePaymentSignatureHeader(payload) });
  const result = await client.processPaymentResult(payload, (name) => response.headers.get(name), response.status);
  if (response.status !== 200) {
    const reason = response.headers.get("payment-required");
    throw new Error(`${response.status} ${reason ? atob(reason) : ""} ${await response.text()}`);
  }
  return { payload, settled: result.settleResponse };
}

const deposits = [];
let channelConfig;
for (let i = 0; i < task.requests; i++) {
  const { payload, settled } = await ask();
  channelConfig = payload.payload.channelConfig;
  if (payload.payload.type === "deposit") deposits.push(payload.payload.deposit.amount);
  if (!settled.success) throw new Error(JSON.stringify(settled));
}
const manager = scheme.createChannelManager(facilitatorClient, network, task.token);
const { claims } = await manager.claimAndSettle();
const more = await ask();
const refund = await payer.refund(url);
server.close();
// A pipe takes 64 kB at once, and an exit would not wait for the rest.
process.stdout.write(
  JSON.stringify({ channelConfig, deposits, claims: claims.length, charged: more.settled.extra.channelState, refund }),
  () => process.exit(0),
);
