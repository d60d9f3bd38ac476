/** A wallet for local chains only: its key lies in this browser's storage, and it signs without asking. */
import { encodeFunctionData, type Hex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { tokenAbi } from "../chain/abi";
import type { Config, Token } from "../chain/config";
import { RpcError, toHex, type Rpc } from "../chain/rpc";
import { CODES, type Provider, type Wallet } from "./provider";

export const BURNER_ID = "burner";
const KEY = "plimsoll.burner";
/** What a new burner wallet gets, in whole coins and, by the first letters of a token's name, in whole tokens. */
const ETHER = 10n ** 19n;
const GIFT = 100n;
const DOLLAR_GIFT = 100_000n;

interface Request {
  from: Hex;
  to: Hex;
  data?: Hex;
  value?: Hex;
  gas?: Hex;
}

/** Opens the burner wallet of this browser, after creating it and giving it tokens if there is none yet. */
export async function openBurner(config: Config, rpc: Rpc): Promise<Wallet> {
  const stored = localStorage.getItem(KEY) as Hex | null;
  const key = stored ?? generatePrivateKey();
  const account = privateKeyToAccount(key);
  if (!stored) localStorage.setItem(KEY, key);
  const balance = BigInt(await rpc.request<Hex>("eth_getBalance", [account.address, "latest"]));
  if (balance === 0n) await fund(config, rpc, account.address);

  const send = async (request: Request): Promise<Hex> => {
    const call = { ...request, from: account.address };
    const [nonce, gas, block, tip] = await rpc.batch([
      { method: "eth_getTransactionCount", params: [account.address, "pending"] },
      { method: "eth_estimateGas", params: [call] },
      { method: "eth_getBlockByNumber", params: ["latest", false] },
      { method: "eth_maxPriorityFeePerGas", params: [] },
    ]);
    for (const answer of [nonce, gas, block, tip]) if (answer instanceof RpcError) throw answer;
    const maxPriorityFeePerGas = BigInt(tip as Hex);
    const baseFee = BigInt((block as { baseFeePerGas: Hex }).baseFeePerGas);
    const raw = await account.signTransaction({
      type: "eip1559",
      chainId: config.deployment.chainId,
      nonce: Number(nonce),
      to: request.to,
      data: request.data,
      value: BigInt(request.value ?? 0),
      gas: (BigInt(gas as Hex) * 5n) / 4n,
      maxPriorityFeePerGas,
      maxFeePerGas: baseFee * 2n + maxPriorityFeePerGas,
    });
    return rpc.request<Hex>("eth_sendRawTransaction", [raw]);
  };

  const provider: Provider = {
    async request({ method, params = [] }) {
      switch (method) {
        case "eth_requestAccounts":
        case "eth_accounts":
          return [account.address];
        case "eth_chainId":
          return toHex(config.deployment.chainId);
        case "eth_sendTransaction":
          return send(params[0] as Request);
        case "eth_signTypedData_v4":
          return account.signTypedData(JSON.parse(params[1] as string));
        default:
          throw new RpcError(`The burner wallet has no ${method}`, CODES.unsupported);
      }
    },
  };
  return { id: BURNER_ID, name: "Burner wallet", icon: undefined, provider };
}

/** Gives an account coins and every token that anybody can mint. */
async function fund(config: Config, rpc: Rpc, account: Hex): Promise<void> {
  await rpc.request("anvil_setBalance", [account, toHex(ETHER)]);
  const { tokens } = config.deployment;
  await rpc.request("anvil_impersonateAccount", [account]);
  for (const token of tokens) {
    const data = encodeFunctionData({ abi: tokenAbi, functionName: "mint", args: [account, gift(token)] });
    await rpc.request("eth_sendTransaction", [{ from: account, to: token.address, data }]);
  }
  await rpc.request("anvil_stopImpersonatingAccount", [account]);
}

const gift = ({ name, decimals }: Token): bigint =>
  (name.toUpperCase().includes("USD") ? DOLLAR_GIFT : GIFT) * 10n ** BigInt(decimals);
