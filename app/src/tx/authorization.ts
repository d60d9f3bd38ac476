/** Authorisations in the core by signature (EIP-712): a contract may act for an account until a time. */
import type { Address, Hex } from "viem";
import { coreAbi } from "../chain/abi";
import { read, type Rpc } from "../chain/rpc";
import type { Signer } from "./plan";

export interface Authorization {
  authorizer: Address;
  authorized: Address;
  expiry: bigint;
  nonce: bigint;
  deadline: bigint;
}

export interface SignedAuthorization {
  authorization: Authorization;
  signature: Hex;
}

/** Signs that `authorized` may act for the account until `until`; the signature itself is good until `deadline`. */
export async function signAuthorization(
  rpc: Rpc,
  { core, chainId }: { core: Address; chainId: number },
  authorizer: Address,
  authorized: Address,
  until: bigint,
  sign: Signer,
  deadline = until,
): Promise<SignedAuthorization> {
  const [nonce] = await rpc.read([read<bigint>(core, coreAbi, "nonce", [authorizer])], "latest");
  const authorization = { authorizer, authorized, expiry: until, nonce, deadline };
  const signature = await sign({
    domain: { name: "Plimsoll", version: "1", chainId, verifyingContract: core },
    primaryType: "Authorization",
    types: {
      Authorization: [
        { name: "authorizer", type: "address" },
        { name: "authorized", type: "address" },
        { name: "expiry", type: "uint256" },
        { name: "nonce", type: "uint256" },
        { name: "deadline", type: "uint256" },
      ],
    },
    message: { ...authorization },
  });
  return { authorization, signature };
}
