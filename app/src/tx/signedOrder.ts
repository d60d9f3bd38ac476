/** An order for Guard that its account has signed and that anybody can post: as text, to be handed on. */
import { getAddress, isAddress, isHex, type Address, type Hex } from "viem";
import { guardAbi } from "../chain/abi";
import { read, type Rpc } from "../chain/rpc";
import type { Order } from "../chain/snapshot";
import { signAuthorization, type SignedAuthorization } from "./authorization";
import type { Signer, TypedData } from "./plan";

/** How long somebody has to post it. */
const POST_SECS = 7n * 86_400n;
const FORMAT = "plimsoll-guard-order";

export interface Placement {
  account: Address;
  id: Hex;
  kind: number;
  order: Order;
  nonce: bigint;
  deadline: bigint;
}

export interface SignedOrder {
  chainId: number;
  guard: Address;
  placement: Placement;
  signature: Hex;
  /** Guard's authorisation in the core, where the account has none that lasts as long as the order. */
  authorization?: SignedAuthorization;
}

/** The fields of an order with their Solidity types, in the contract's order. */
const ORDER_TYPE = [
  ["triggerLtvBps", "uint16"],
  ["targetLtvBps", "uint16"],
  ["triggerPrice", "uint256"],
  ["premiumStartPpm", "uint16"],
  ["premiumEndPpm", "uint16"],
  ["rampBps", "uint16"],
  ["requireBorrowPrice", "bool"],
  ["uses", "uint8"],
  ["expiry", "uint40"],
  ["cooldownSecs", "uint24"],
  ["flatTip", "uint96"],
  ["maxOwn", "uint96"],
] as const;

const typedData = (chainId: number, guard: Address, placement: Placement): TypedData => ({
  domain: { name: "Plimsoll Guard", version: "1", chainId, verifyingContract: guard },
  primaryType: "Placement",
  types: {
    Placement: [
      { name: "account", type: "address" },
      { name: "id", type: "bytes32" },
      { name: "kind", type: "uint8" },
      { name: "order", type: "Order" },
      { name: "nonce", type: "uint256" },
      { name: "deadline", type: "uint256" },
    ],
    Order: ORDER_TYPE.map(([name, type]) => ({ name, type })),
  },
  message: { ...placement },
});

/** Where an order is signed for. */
export interface Target {
  chainId: number;
  core: Address;
  guard: Address;
  now: bigint;
}

/** Has the account sign an order, and Guard's authorisation as well if that ends before the order. Sends nothing. */
export async function signOrder(
  rpc: Rpc,
  { chainId, core, guard, now }: Target,
  wanted: Pick<Placement, "account" | "id" | "kind" | "order">,
  authorizedUntil: bigint,
  sign: Signer,
): Promise<SignedOrder> {
  const { account, id, kind, order } = wanted;
  // The contract refuses terms beyond its bounds; better before the wallet is asked than when it is posted.
  await rpc.read([{ ...read<unknown>(guard, guardAbi, "place", [id, kind, order]), from: account }], "latest");
  const [nonce] = await rpc.read([read<bigint>(guard, guardAbi, "nonce", [account])], "latest");
  const deadline = now + POST_SECS;
  const placement = { account, id, kind, order, nonce, deadline };
  const signature = await sign(typedData(chainId, guard, placement));
  const signed: SignedOrder = { chainId, guard, placement, signature };
  const until = BigInt(order.expiry);
  if (authorizedUntil < until) {
    signed.authorization = await signAuthorization(rpc, { core, chainId }, account, guard, until, sign, deadline);
  }
  return signed;
}

/** Writes a signed order as text; integers that a double cannot hold are strings. */
export const orderText = (signed: SignedOrder): string =>
  JSON.stringify(
    { format: FORMAT, ...signed },
    (_, value) => (typeof value === "bigint" ? value.toString() : value),
    2,
  );

/** Thrown by {@link readSignedOrder}; the message is for the person who pasted the text. */
export class OrderTextError extends Error {}

type Fields = Record<string, unknown>;

const fieldsOf = (value: unknown, name: string): Fields => {
  if (value && typeof value === "object") return value as Fields;
  throw new OrderTextError(`The text has no ${name}.`);
};
const address = (value: unknown, name: string): Address => {
  if (typeof value === "string" && isAddress(value)) return getAddress(value);
  throw new OrderTextError(`${name} is no address.`);
};
const hex = (value: unknown, name: string): Hex => {
  if (isHex(value)) return value;
  throw new OrderTextError(`${name} is not hexadecimal.`);
};
const integer = (value: unknown, name: string): bigint => {
  if (/^\d{1,78}$/.test(String(value))) return BigInt(String(value));
  throw new OrderTextError(`${name} is no whole number.`);
};

/** Reads what {@link orderText} wrote. Whether it can be posted is the contract's to say. */
export function readSignedOrder(text: string): SignedOrder {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new OrderTextError("This is not the text of a signed order: paste all of it.");
  }
  const fields = fieldsOf(parsed, "order");
  if (fields.format !== FORMAT) throw new OrderTextError(`This is no order for Guard: its format is not ${FORMAT}.`);
  const placed = fieldsOf(fields.placement, "placement");
  const given = fieldsOf(placed.order, "order");
  const order = Object.fromEntries(
    ORDER_TYPE.map(([name, type]) => {
      if (type === "bool") return [name, given[name] === true];
      const value = integer(given[name], name);
      // As the contract's ABI decodes them: numbers up to 48 bits, integers above.
      return [name, ["uint256", "uint96"].includes(type) ? value : Number(value)];
    }),
  ) as unknown as Order;
  const signed: SignedOrder = {
    chainId: Number(integer(fields.chainId, "chainId")),
    guard: address(fields.guard, "guard"),
    placement: {
      account: address(placed.account, "account"),
      id: hex(placed.id, "id"),
      kind: Number(integer(placed.kind, "kind")),
      order,
      nonce: integer(placed.nonce, "nonce"),
      deadline: integer(placed.deadline, "deadline"),
    },
    signature: hex(fields.signature, "signature"),
  };
  if (fields.authorization !== undefined) {
    const granted = fieldsOf(fields.authorization, "authorization");
    const of = fieldsOf(granted.authorization, "authorization");
    signed.authorization = {
      authorization: {
        authorizer: address(of.authorizer, "authorizer"),
        authorized: address(of.authorized, "authorized"),
        expiry: integer(of.expiry, "expiry"),
        nonce: integer(of.nonce, "nonce"),
        deadline: integer(of.deadline, "deadline"),
      },
      signature: hex(granted.signature, "signature"),
    };
  }
  return signed;
}
