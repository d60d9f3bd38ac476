/** Leverage by the Lever contract: collateral is bought with borrowed tokens, or sold to repay them, in one transaction. */
import { concat, numberToHex, parseSignature, type Address, type Hex } from "viem";
import { coreAbi, leverAbi, tokenAbi } from "../chain/abi";
import type { Deployment, Token } from "../chain/config";
import { read, type Rpc } from "../chain/rpc";
import { BPS, ORACLE_SCALE, divUp, min } from "../lib/math/integers";
import { debtAtSigning } from "../lib/math/limits";
import { valueDown } from "../lib/math/liquidation";
import { amountText } from "../lib/numbers";
import { signAuthorization } from "../tx/authorization";
import { approval, call, type Call, type Plan, type Signer } from "../tx/plan";
import type { Stage, Verb } from "./verbs";

/** How much worse than the oracle's price a swap may be. */
const SLIPPAGE_BPS = 100n;
/** How long a signature or an authorisation for one transaction stays good. */
const GOOD_SECS = 1_800n;
const FEE_BYTES = 3;

export interface Exchange {
  lever: Address;
  swapper: Address;
  fee: number;
}

/** Returns how a market's tokens are exchanged; `undefined` where the deployment has no pool of them. */
export function exchangeOf(deployment: Deployment, one: Token, other: Token): Exchange | undefined {
  const lever = deployment.contract("Lever");
  const swapper = deployment.contract("UniswapV3Swapper");
  const pair = [one.address, other.address].map((address) => address.toLowerCase());
  const pool = deployment.pools.find(({ token0, token1 }) =>
    [token0, token1].every((address) => pair.includes(address.toLowerCase())),
  );
  return lever && swapper && pool && { lever, swapper, fee: pool.fee };
}

const route = (from: Token, { fee }: Exchange, to: Token): Hex =>
  concat([from.address, numberToHex(fee, { size: FEE_BYTES }), to.address]);

const NO_PERMIT = { deadline: 0n, v: 0, r: `0x${"0".repeat(64)}`, s: `0x${"0".repeat(64)}` } as const;

const noSignature = (account: Address, lever: Address) => ({
  authorization: { authorizer: account, authorized: lever, expiry: 0n, nonce: 0n, deadline: 0n },
  signature: "0x" as Hex,
});

/** The step that lets Lever act for the account, where the wallet does not sign messages. */
function authorise({ core, now }: Stage, lever: Address): Call {
  return call("Authorise Lever", core, coreAbi, "setAuthorization", [lever, now + GOOD_SECS]);
}

/** Signs a permit of a token for Lever. Fails where the token has none. */
async function signPermit(
  rpc: Rpc,
  stage: Stage,
  chainId: number,
  token: Token,
  lever: Address,
  value: bigint,
  sign: Signer,
) {
  const owner = stage.account.address;
  const reads = [
    read<bigint>(token.address, tokenAbi, "nonces", [owner]),
    read<string>(token.address, tokenAbi, "name"),
  ];
  const [nonce, name] = (await rpc.read(reads as never, "latest")) as unknown as [bigint, string];
  const deadline = stage.now + GOOD_SECS;
  const signature = await sign({
    domain: { name, version: "1", chainId, verifyingContract: token.address },
    primaryType: "Permit",
    types: {
      Permit: [
        { name: "owner", type: "address" },
        { name: "spender", type: "address" },
        { name: "value", type: "uint256" },
        { name: "nonce", type: "uint256" },
        { name: "deadline", type: "uint256" },
      ],
    },
    message: { owner, spender: lever, value, nonce, deadline },
  });
  const { r, s, yParity } = parseSignature(signature);
  return { deadline, v: yParity + 27, r, s };
}

/** What the verbs of leverage need besides the market. */
export interface LeverStage {
  stage: Stage;
  rpc: Rpc;
  chainId: number;
  exchange: Exchange;
  /** The position's size as a multiple of the deposit, in hundredths. */
  multiple: bigint;
}

export function leverageVerbs(given: LeverStage): Verb[] {
  return [raise(given), lower(given)];
}

function raise({ stage, rpc, chainId, exchange, multiple }: LeverStage): Verb {
  const { market, account, now } = stage;
  const { params, loan, collateral, risk } = market.info;
  const { lever, swapper } = exchange;
  const price = market.borrowPrice;
  return {
    id: "leverage",
    group: "Leverage",
    label: "Leverage",
    token: collateral,
    source: "Wallet",
    max: price === undefined ? 0n : (account.balances.get(collateral.address) ?? 0n),
    whyNone:
      price === undefined ? "The oracle has no price to borrow at." : `You have no ${collateral.name} in your wallet.`,
    plan: ({ units }) => {
      const borrowAssets = (valueDown(units, price ?? 0n) * (multiple - 100n)) / 100n;
      const bought = (borrowAssets * ORACLE_SCALE) / (price ?? 1n);
      const raised = {
        params,
        deposit: units,
        borrowAssets,
        minBought: (bought * (BPS - SLIPPAGE_BPS)) / BPS,
        maxLtvBps: Number(risk.borrowLtvBps),
        swapper,
        route: route(loan, exchange, collateral),
        deadline: now + GOOD_SECS,
      };
      const title = `Leverage ${amountText(units, collateral.decimals)} ${collateral.name}`;
      const plain = [raised, NO_PERMIT, noSignature(account.address, lever)];
      const calls = [
        approval(collateral, lever, units),
        authorise(stage, lever),
        call(title, lever, leverAbi, "raise", plain),
      ];
      const signed = async (sign: Signer) => {
        const permit = await signPermit(rpc, stage, chainId, collateral, lever, units, sign);
        const until = now + GOOD_SECS;
        const authorization = await signAuthorization(
          rpc,
          { core: stage.core, chainId },
          account.address,
          lever,
          until,
          sign,
        );
        return [call(title, lever, leverAbi, "raise", [raised, permit, authorization])];
      };
      return { title, account: account.address, market: market.info.name, calls, signed };
    },
  };
}

/** The most collateral that a swap may sell for `assets`; 0 without a price. */
const mostSold = (assets: bigint, price: bigint | undefined): bigint =>
  price === undefined ? 0n : divUp(assets * ORACLE_SCALE * (BPS + SLIPPAGE_BPS), price * BPS);

function lower(given: LeverStage): Verb {
  const { stage, exchange } = given;
  const { market, position, account, now } = stage;
  const { params, loan, collateral, risk, curve } = market.info;
  const { lever, swapper } = exchange;
  const late = debtAtSigning(position.borrowShares, market.stored, risk, curve, now);
  return {
    id: "deleverage",
    group: "Leverage",
    label: "Sell to repay",
    token: loan,
    source: "Your debt",
    max: position.debt,
    whyNone: "You owe nothing here.",
    plan: ({ units, isMax }) => {
      const all = isMax || units === position.debt;
      const title = all
        ? "Close the loan"
        : `Sell ${collateral.name} to repay ${amountText(units, loan.decimals)} ${loan.name}`;
      const common = { swapper, route: route(collateral, exchange, loan), deadline: now + GOOD_SECS };
      // A part of the debt lets go of at most the same part of the collateral.
      const part = position.debt === 0n ? 0n : (position.collateral * units) / (late + 1n);
      const action = (authorization: unknown) =>
        all
          ? call(title, lever, leverAbi, "close", [
              { params, maxSold: min(mostSold(late, market.liquidationPrice), position.collateral), ...common },
              authorization,
            ])
          : call(title, lever, leverAbi, "lower", [
              { params, repayAssets: units, maxSold: min(mostSold(units, market.liquidationPrice), part), ...common },
              authorization,
            ]);
      const calls = [authorise(stage, lever), action(noSignature(account.address, lever))];
      const target = { core: stage.core, chainId: given.chainId };
      const signed = async (sign: Signer) => [
        action(await signAuthorization(given.rpc, target, account.address, lever, now + GOOD_SECS, sign)),
      ];
      return { title, account: account.address, market: market.info.name, calls, signed } satisfies Plan;
    },
  };
}
