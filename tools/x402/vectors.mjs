// Prints what the published client computes and signs for random channels, one JSON object. Arguments: the chain's id,
// the number of channels, a seed. `computeChannelId` and `signVoucher` are the client's own; refunds and batches of
// claims, which its facilitator signs, are hashed by the types that it exports.
import { createHash } from "node:crypto";
import { BATCH_SETTLEMENT_ADDRESS, BATCH_SETTLEMENT_DOMAIN, claimBatchTypes, refundTypes } from "@x402/evm";
import { computeChannelId, signVoucher } from "@x402/evm/batch-settlement/client";
import { hashTypedData } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const [chainId, count, seed] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
let draws = 0;
const bytes = (length) =>
  createHash("sha512").update(`${seed}/${draws++}`).digest().subarray(0, length).toString("hex");
const word = () => `0x${bytes(32)}`;
const address = () => `0x${bytes(20)}`;
// Of every magnitude: half of all amounts would have 128 bits otherwise.
const amount = () => (BigInt(`0x${bytes(16)}`) >> (BigInt(`0x${bytes(1)}`) % 128n)).toString();

const domain = { ...BATCH_SETTLEMENT_DOMAIN, chainId, verifyingContract: BATCH_SETTLEMENT_ADDRESS };
const hash = (types, primaryType, message) => hashTypedData({ domain, types, primaryType, message });

const vectors = [];
for (let i = 0; i < count; i++) {
  const signer = privateKeyToAccount(word());
  const config = {
    payer: address(),
    payerAuthorizer: signer.address,
    receiver: address(),
    receiverAuthorizer: address(),
    token: address(),
    withdrawDelay: 900 + (parseInt(bytes(4), 16) % (2_592_000 - 899)),
    salt: word(),
  };
  const channelId = computeChannelId(config, chainId);
  const voucher = await signVoucher(signer, channelId, amount(), `eip155:${chainId}`);
  const [totalClaimed, refundAmount, nonce] = [amount(), amount(), BigInt(word()).toString()];
  vectors.push({
    config,
    channelId,
    maxClaimableAmount: voucher.maxClaimableAmount,
    signature: voucher.signature,
    totalClaimed,
    refundAmount,
    nonce,
    refundDigest: hash(refundTypes, "Refund", { channelId, nonce, amount: refundAmount }),
    // With the row before it, so that batches have one row and two.
    batchDigest: hash(claimBatchTypes, "ClaimBatch", {
      claims: [...vectors.slice(-1), { channelId, maxClaimableAmount: voucher.maxClaimableAmount, totalClaimed }].map(
        (row) => ({
          channelId: row.channelId,
          maxClaimableAmount: row.maxClaimableAmount,
          totalClaimed: row.totalClaimed,
        }),
      ),
    }),
  });
}
console.log(JSON.stringify({ settlement: BATCH_SETTLEMENT_ADDRESS, vectors }));
