/** The verbs of a market: what each moves, how much at most, and the calls that do it. */
import type { Address } from "viem";
import { coreAbi } from "../chain/abi";
import type { Token } from "../chain/config";
import type { AccountState, MarketState, Position } from "../chain/snapshot";
import { MAX_UINT256, divUp, min, zeroFloorSub } from "../lib/math/integers";
import { atSigning, debtAtSigning, maxBorrow, maxWithdrawCollateral } from "../lib/math/limits";
import { amountText } from "../lib/numbers";
import { approval, call, type Call, type Plan } from "../tx/plan";

/** An amount that a person chose; `isMax` if it is all there is, which is more exact by shares than by assets. */
export interface Chosen {
  units: bigint;
  isMax: boolean;
}

export interface Verb {
  id: string;
  /** The heading under which its button stands, where there are several. */
  group?: string;
  label: string;
  token: Token;
  /** What `max` is: "Wallet", "Supplied". */
  source: string;
  max: bigint;
  /** Why nothing can be moved, where `max` is 0. */
  whyNone: string;
  plan(chosen: Chosen): Plan;
}

/** Everything that a verb of a market needs to know. */
export interface Stage {
  core: Address;
  now: bigint;
  market: MarketState;
  account: AccountState;
  position: Position;
}

/** An approval above the debt: interest accrues until the repayment is mined. */
export const withMargin = (debt: bigint): bigint => debt + divUp(debt, 1_000n);

export function marketVerbs(stage: Stage): Verb[] {
  return [supply(stage), withdraw(stage), addCollateral(stage), borrow(stage), repay(stage), withdrawCollateral(stage)];
}

/** Whose verb it is, and in which market if it is in one. */
export interface Owner {
  account: Address;
  market?: string;
}

/** Returns a verb that moves an amount. `action` begins its title where the label would be too long. */
export function verb(
  { account, market }: Owner,
  given: Omit<Verb, "plan">,
  calls: (chosen: Chosen, title: string) => Call[],
  action = given.label,
): Verb {
  const { token } = given;
  return {
    ...given,
    plan: (chosen) => {
      const title = `${action} ${amountText(chosen.units, token.decimals)} ${token.name}`;
      return { title, account, market, calls: calls(chosen, title) };
    },
  };
}

const ownerOf = ({ account, market }: Stage): Owner => ({ account: account.address, market: market.info.name });

const balanceOf = ({ account }: Stage, token: Token): bigint => account.balances.get(token.address) ?? 0n;

function supply(stage: Stage): Verb {
  const { core, market, account } = stage;
  const { params, loan } = market.info;
  return verb(
    ownerOf(stage),
    {
      id: "supply",
      group: "Lend",
      label: "Supply",
      token: loan,
      source: "Wallet",
      max: balanceOf(stage, loan),
      whyNone: `You have no ${loan.name} in your wallet.`,
    },
    ({ units }, title) => {
      const args = [params, units, 0n, account.address, "0x"];
      return [approval(loan, core, units), call(title, core, coreAbi, "supply", args)];
    },
  );
}

function withdraw(stage: Stage): Verb {
  const { core, market, account, position } = stage;
  const { params, loan } = market.info;
  const liquidity = market.accrued.supplyAssets - market.accrued.borrowAssets;
  return verb(
    ownerOf(stage),
    {
      id: "withdraw",
      group: "Lend",
      label: "Withdraw",
      token: loan,
      source: position.supplyAssets > liquidity ? "Available in the market" : "Supplied",
      max: min(position.supplyAssets, liquidity),
      whyNone: position.supplyAssets === 0n ? "You have supplied nothing here." : "All of the market is lent out.",
    },
    ({ units, isMax }, title) => {
      // All of it by shares: they are worth more when this is mined.
      const all = isMax && position.supplyAssets <= liquidity;
      const [assets, shares] = all ? [0n, position.supplyShares] : [units, 0n];
      const args = [params, assets, shares, account.address, account.address];
      return [call(title, core, coreAbi, "withdraw", args)];
    },
  );
}

function addCollateral(stage: Stage): Verb {
  const { core, market, account } = stage;
  const { params, collateral } = market.info;
  return verb(
    ownerOf(stage),
    {
      id: "collateral",
      group: "Borrow",
      label: "Add collateral",
      token: collateral,
      source: "Wallet",
      max: balanceOf(stage, collateral),
      whyNone: `You have no ${collateral.name} in your wallet.`,
    },
    ({ units }, title) => {
      const args = [params, units, account.address, "0x"];
      return [approval(collateral, core, units), call(title, core, coreAbi, "supplyCollateral", args)];
    },
    "Add",
  );
}

function borrow(stage: Stage): Verb {
  const { core, now, market, account, position } = stage;
  const { params, loan, risk, curve } = market.info;
  const later = atSigning(market.stored, risk, curve, now);
  // What can be borrowed later, with that debt, and now, with this much left of the surge limit.
  const most = (m: MarketState["accrued"]) => maxBorrow(position, m, risk, market.borrowPrice ?? 0n);
  return verb(
    ownerOf(stage),
    {
      id: "borrow",
      group: "Borrow",
      label: "Borrow",
      token: loan,
      source: "You can borrow",
      max: min(most(market.accrued), most(later)),
      whyNone: whyNoBorrowing(stage),
    },
    ({ units }, title) => {
      const args = [params, units, 0n, account.address, account.address];
      return [call(title, core, coreAbi, "borrow", args)];
    },
  );
}

function whyNoBorrowing({ market, position }: Stage): string {
  const { loan, risk } = market.info;
  if (market.borrowPrice === undefined) return "The oracle has no price to borrow at.";
  if (position.collateral === 0n) return "Add collateral first.";
  if (market.accrued.supplyAssets === market.accrued.borrowAssets) return "All of the market is lent out.";
  if (market.surgeRoom === 0n) return "The market's surge limit is used up. It refills with time.";
  const least = `${amountText(risk.minDebt, loan.decimals)} ${loan.name}`;
  return `Your collateral allows no more, or less than the minimum debt of ${least}.`;
}

function repay(stage: Stage): Verb {
  const { core, now, market, account, position } = stage;
  const { params, loan, risk, curve } = market.info;
  const balance = balanceOf(stage, loan);
  const late = debtAtSigning(position.borrowShares, market.stored, risk, curve, now);
  return verb(
    ownerOf(stage),
    {
      id: "repay",
      group: "Borrow",
      label: "Repay",
      token: loan,
      source: late > balance ? "Wallet" : "Your debt",
      max: min(position.debt, balance),
      whyNone: position.debt === 0n ? "You owe nothing here." : `You have no ${loan.name} in your wallet.`,
    },
    ({ units, isMax }, title) => {
      // The whole debt by shares: it grows until this is mined. The core pulls what is owed then, and no more.
      const all = isMax && units === position.debt;
      const [assets, shares] = all ? [0n, MAX_UINT256] : [units, 0n];
      const allowance = all ? withMargin(late) : units;
      const args = [params, assets, shares, account.address, "0x"];
      return [approval(loan, core, allowance), call(title, core, coreAbi, "repay", args)];
    },
  );
}

function withdrawCollateral(stage: Stage): Verb {
  const { core, now, market, account, position } = stage;
  const { params, collateral, risk, curve } = market.info;
  const debt = debtAtSigning(position.borrowShares, market.stored, risk, curve, now);
  const isStopped = position.debt !== 0n && market.borrowPrice === undefined;
  return verb(
    ownerOf(stage),
    {
      id: "withdraw-collateral",
      group: "Borrow",
      label: "Withdraw collateral",
      token: collateral,
      source: position.debt === 0n ? "Your collateral" : "Not needed for your debt",
      max: isStopped ? 0n : maxWithdrawCollateral(position, debt, risk, market.borrowPrice ?? 1n),
      whyNone: whyNoCollateral(stage),
    },
    ({ units }, title) => {
      const args = [params, units, account.address, account.address];
      return [call(title, core, coreAbi, "withdrawCollateral", args)];
    },
    "Withdraw",
  );
}

function whyNoCollateral({ market, position }: Stage): string {
  if (position.collateral === 0n) return "You have no collateral here.";
  if (market.borrowPrice === undefined) return "The oracle has no price. Repay the whole debt to withdraw collateral.";
  if (position.debt < market.info.risk.minDebt)
    return "A debt below the market's minimum keeps its collateral. Repay it.";
  return "Your debt needs all of the collateral.";
}

/** Returns how an amount exceeds what is there, in words; `undefined` if it does not. */
export function excessText({ max, source, token, whyNone }: Verb, units: bigint): string | undefined {
  if (units === 0n) return "Write an amount above 0";
  if (max === 0n) return whyNone;
  if (zeroFloorSub(units, max) === 0n) return undefined;
  return `${source}: ${amountText(max, token.decimals)} ${token.name}. Choose at most this.`;
}
