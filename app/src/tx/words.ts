/** Errors of contracts, nodes and wallets, in words for the person who reads them, with the remedy. */
import { decodeErrorResult, getAddress, type Address, type Hex } from "viem";
import { errorsAbi } from "../chain/abi";
import type { Deployment, Token } from "../chain/config";
import { NodeUnreachable, RpcError } from "../chain/rpc";
import { amountText, bpsText, durationText, timeText, type Rounding } from "../lib/numbers";
import { CODES } from "../wallet/provider";

/** Which tokens amounts in errors are of: the market's, if a call concerns one. */
export interface Context {
  deployment: Deployment;
  loan?: Token | undefined;
  collateral?: Token | undefined;
}

const amount = (token: Token | undefined, units: bigint, rounding: Rounding = "down"): string =>
  token ? `${amountText(units, token.decimals, rounding)} ${token.name}` : `${units} units`;

type Writer = (args: readonly unknown[], context: Context) => string;

const STALE = "so borrowing and withdrawing collateral from a loan are stopped until it is updated. Repaying works.";

const WRITERS: Record<string, Writer> = {
  Unhealthy: ([debt, most], { loan }) =>
    `The debt would be ${amount(loan, debt as bigint, "up")}; this collateral allows at most ${amount(loan, most as bigint)}.`,
  DebtTooSmall: ([debt, least], { loan }) =>
    `A loan of ${amount(loan, debt as bigint, "up")} would remain; this market's minimum debt is ${amount(loan, least as bigint)}.`,
  InsufficientLiquidity: ([, available], { loan }) =>
    `The market has ${amount(loan, available as bigint)} to give at the moment; the rest is lent out.`,
  InsufficientSupplyShares: () => "This is more than you have supplied.",
  InsufficientCollateral: ([, available], { collateral }) =>
    `You have ${amount(collateral, available as bigint)} as collateral.`,
  SurgeLimitExceeded: ([, room], { loan }) =>
    `The market's surge limit leaves room for ${amount(loan, room as bigint)} at the moment. It refills with time.`,
  AmountTooSmall: () => "The amount is too small.",
  AmountTooLarge: () => "The amount is larger than any that exists.",
  Unauthorized: () => "The contract is not authorised to act for your account.",
  TransferFailed: ([address, from, , units], { deployment }) => {
    const token = deployment.tokens.find((found) => found.address === getAddress(address as Address));
    return `A transfer of ${amount(token, units as bigint)} from ${from} failed: check balance and approval.`;
  },
  AnswerTooOld: ([, updatedAt]) =>
    `The oracle's price is from ${timeText(updatedAt as bigint)}, which is too old, ${STALE}`,
  AnswerAtLimit: () => `The price feed reports a limit of its range, ${STALE}`,
  AnswerOutOfBounds: () => `The price feed reports no valid price, ${STALE}`,
  AnswerTimeInvalid: () => `The price feed reports an invalid time, ${STALE}`,
  FeedFailed: () => `The price feed does not respond, ${STALE}`,
  TwapUnavailable: () => `The pool has no average price, ${STALE}`,
  TwapDeviates: () => `Price feed and pool disagree, ${STALE}`,
  OraclePriceZero: () => `The oracle has no price, ${STALE}`,
  SequencerDown: () => `The chain's sequencer is down, ${STALE}`,
  SequencerInGrace: () => `The chain's sequencer has just come back, ${STALE}`,
  LtvTooHigh: ([debt, value, most], { loan }) =>
    `The debt would be ${amount(loan, debt as bigint, "up")} against ${amount(loan, value as bigint)} of collateral, above ${bpsText(most as bigint)}.`,
  TooLittleOut: () =>
    "The pool gives over 1 % less than the oracle's price, so nothing is swapped. Wait until they agree, or swap less.",
  TooMuchIn: () =>
    "The pool takes over 1 % more than the oracle's price, so nothing is swapped. Wait until they agree, or swap less.",
  PoolTooShallow: () => "The pool is too small for this amount.",
  NotProportional: () => "More collateral would be sold than its part of the debt. Close the loan instead.",
  DeadlinePassed: () => "The transaction was prepared too long ago. Prepare it again.",
  SignatureExpired: () => "The signature has expired. It has to be signed again.",
  InvalidNonce: () => "A signature with this number was used already. Sign again.",
  InvalidSignature: () => "The signature is not this account's, or the terms were changed after it signed.",
  InvalidTrigger: ([ltv, , liquidation]) =>
    `A trigger of ${bpsText(ltv as bigint)} is not below the liquidation LTV of ${bpsText(liquidation as bigint)}.`,
  InvalidTarget: () => "The target must be at least one percentage point below the trigger.",
  InvalidExpiry: ([, latest]) => `The order must end between now and ${timeText(latest as bigint)}.`,
  CooldownTooShort: ([, shortest]) => `Two executions must be ${durationText(shortest as bigint)} apart.`,
  StakeTooSmall: () => "This is more than you have staked.",
  TipTooHigh: ([, most]) => `The highest tip is ${bpsText(most as bigint)}.`,
  CannotCompound: () => "This reward is not the staked token, so it cannot be compounded.",
  InsufficientShares: () => "This is more than you have.",
  LimitExceeded: () => "The vault's caps leave no room for this amount.",
  NotEnoughLiquidity: () => "The vault cannot pay this much at once. Redeem in kind, or a part.",
  ERC4626ExceededMaxRedeem: () =>
    "This is more than can be redeemed now: the cooldown is not over, or its window has passed.",
  ERC4626ExceededMaxWithdraw: () => "This is more than can be withdrawn now.",
  ERC4626ExceededMaxDeposit: () => "This is more than can be deposited now.",
  ERC20InsufficientBalance: () => "Your balance does not suffice.",
  ERC20InsufficientAllowance: () => "The approval does not suffice.",
  AccessManagerNotReady: () => "Its time has not come yet.",
  AccessManagerExpired: () => "Nobody executed it within a week of its time: it has to be scheduled again.",
  AccessManagerNotScheduled: () => "It is not scheduled any more: it was executed, cancelled or has expired.",
  AccessManagerUnauthorizedCall: () => "This account may not do that.",
  AccessManagerUnauthorizedCancel: () => "This account may not cancel it.",
  GovernorUnexpectedProposalState: () => "The proposal is in another state now.",
  GovernorAlreadyCastVote: () => "You have voted already.",
  GovernorUnmetDelay: ([, from]) => `It can be executed from ${timeText(from as bigint)} on.`,
  GovernorMismatchedNonce: () => "One of its calls was cancelled, so it has to be proposed again.",
  StillLocked: ([freeAt]) => `The shares are locked until ${timeText(freeAt as bigint)}.`,
  TooFewLocked: () => "This is more than you have locked.",
  NothingScheduled: () => "It is not scheduled any more: it was executed, cancelled or has expired.",
  SupplyTooLow: () => "Too few shares exist to stop anybody. The supply that counts rises with time.",
  InsufficientBalance: () => "Your balance does not suffice.",
  InsufficientAllowance: () => "The approval does not suffice.",
};

/** Writes a contract's revert in words. */
export function revertText(data: Hex | undefined, context: Context): string {
  if (!data || data === "0x") return "The contract refused without a reason.";
  try {
    const { errorName, args = [] } = decodeErrorResult({ abi: errorsAbi, data });
    const name: string = errorName;
    if (name === "Error") return `The contract refused: ${args[0]}`;
    const writer = WRITERS[name];
    return writer ? writer(args, context) : `The contract refused: ${name}(${args.join(", ")})`;
  } catch {
    return `The contract refused with ${data.slice(0, 10)}, an error that this page does not know.`;
  }
}

/** Writes why an oracle has no borrow price, from the first 32 bytes of its revert. */
export function oracleText(errorData: Hex): string {
  // The selector suffices: of the arguments only a part was kept.
  const known = errorsAbi.flatMap((item) => {
    try {
      const padding = "0".repeat(64 * item.inputs.length);
      const { errorName } = decodeErrorResult({ abi: [item], data: `${errorData.slice(0, 10)}${padding}` as Hex });
      return [errorName as string];
    } catch {
      return [];
    }
  });
  if (known[0] === "AnswerTooOld") return `The oracle's price is too old, ${STALE}`;
  const writer = known[0] && WRITERS[known[0]];
  const empty = { deployment: { tokens: [] } as unknown as Deployment };
  return writer ? writer([], empty) : `The oracle has no price to borrow at, ${STALE}`;
}

/** Writes any error of a request to a node or a wallet. */
export function errorText(error: unknown, context: Context): string {
  if (error instanceof NodeUnreachable) return "The node does not respond. Nothing was sent.";
  if (!(error instanceof RpcError)) return error instanceof Error ? error.message : String(error);
  if (error.code === CODES.refused) return "You refused in your wallet. Nothing was sent.";
  if (error.code === CODES.unauthorized) return "The wallet no longer allows this page to see that account.";
  if (error.data) return revertText(error.data, context);
  if (/insufficient funds/i.test(error.message))
    return "Your account has too little of the chain's coin to pay for gas.";
  return `The wallet or node refused: ${error.message}`;
}
