/** Staking programmes, backstops and vaults of the account. */
import type { Address } from "viem";
import type { App } from "../app";
import { useAppState } from "../app";
import { backstopAbi, inKindAbi, rewardsAbi, vaultAbi } from "../chain/abi";
import type { Token } from "../chain/config";
import { read } from "../chain/rpc";
import type { AccountState, Backstop, Fund, Stake } from "../chain/snapshot";
import { MAX_UINT256, min } from "../lib/math/integers";
import { amountText, bpsText, durationText, timeText } from "../lib/numbers";
import { approval, call, type Plan } from "../tx/plan";
import { PlanButton, VerbTabs, type Outcome } from "./form";
import { Fact } from "./markets";
import { verb, type Verb } from "./verbs";

/** The part of a reward that stakers leave to whoever claims for them, in basis points. */
const TIP_BPS = 500;

export function EarnPage({ app }: { app: App }) {
  const { snapshot, config, account } = useAppState(app);
  const state = snapshot?.account;
  if (!state) {
    return <p class="empty">{account ? "Reading the chain…" : "Connect a wallet to stake, or to back a market."}</p>;
  }
  const rewards = config.deployment.contract("Rewards");
  return (
    <>
      {rewards &&
        state.stakes.map((stake) => (
          <StakePanel
            key={stake.programme.id}
            app={app}
            rewards={rewards}
            stake={stake}
            total={snapshot.totalStaked.get(stake.programme.id) ?? 0n}
            account={state}
          />
        ))}
      {state.backstops.map((backstop) => (
        <BackstopPanel key={backstop.address} app={app} backstop={backstop} account={state} now={snapshot.timestamp} />
      ))}
      {state.vaults.map((vault) => (
        <VaultPanel key={vault.address} app={app} vault={vault} account={state} />
      ))}
    </>
  );
}

const text = (token: Token, units: bigint): string => `${amountText(units, token.decimals)} ${token.name}`;

/* STAKING */

interface StakeProps {
  app: App;
  rewards: Address;
  stake: Stake;
  total: bigint;
  account: AccountState;
}

function StakePanel({ app, rewards, stake, total, account }: StakeProps) {
  const { programme, staked, claimable } = stake;
  const { address } = account;
  const balance = account.balances.get(programme.stake.address) ?? 0n;
  const given = { token: programme.stake };
  const verbs = [
    verb(
      { account: address },
      { ...given, id: "stake", label: "Stake", source: "Wallet", max: balance, whyNone: "You have none." },
      ({ units }, title) => [
        approval(programme.stake, rewards, units),
        call(title, rewards, rewardsAbi, "stake", [programme.id, units, address]),
      ],
    ),
    verb(
      { account: address },
      { ...given, id: "unstake", label: "Unstake", source: "Staked", max: staked, whyNone: "You have nothing staked." },
      // All of it, with what was compounded in the meantime.
      ({ units, isMax }, title) => [
        call(title, rewards, rewardsAbi, "unstake", [programme.id, isMax ? MAX_UINT256 : units, address, address]),
      ],
    ),
  ];
  const outcome: Outcome<bigint> = {
    read: read<bigint>(rewards, rewardsAbi, "staked", [programme.id, address]),
    before: staked,
    rows: (units) => [{ label: "Staked", value: text(programme.stake, units) }],
    context: app.context,
  };
  const claims = () =>
    programme.rewards.map((token) =>
      call(`Claim ${token.name}`, rewards, rewardsAbi, "claim", [programme.id, token.address, address, address]),
    );
  const claimAll = (): Plan => {
    const data = claims().map((claim) => claim.data);
    return {
      title: "Claim rewards",
      account: address,
      calls: [call("Claim", rewards, rewardsAbi, "multicall", [data])],
    };
  };
  return (
    <section aria-labelledby={`stake-${programme.name}`}>
      <h2 id={`stake-${programme.name}`}>Stake {programme.stake.name}</h2>
      <p class="lead">
        Stakers share {programme.rewards.map(({ name }) => name).join(" and ")}, by what each has staked. Unstake at any
        time. With auto-claim, anybody may claim for you and keeps {bpsText(BigInt(TIP_BPS))}.
      </p>
      <div class="columns">
        <div class="card">
          <dl class="facts">
            <Fact label="Yours" value={text(programme.stake, staked)} />
            <Fact label="Staked by all" value={text(programme.stake, total)} />
            {programme.rewards.map((token, index) => (
              <Fact key={token.address} label="To claim" value={text(token, claimable[index] ?? 0n)} />
            ))}
          </dl>
          <div class="buttons">
            <PlanButton
              app={app}
              plan={claimAll}
              label="Claim"
              whyNot={claimable.every((units) => units === 0n) ? "Nothing to claim yet." : undefined}
            />
            {programme.rewards.map((token, index) => (
              <ConsentButton key={token.address} {...{ app, rewards, stake, total, account, token, index }} />
            ))}
          </div>
        </div>
        <VerbTabs app={app} verbs={verbs} outcome={outcome} />
      </div>
    </section>
  );
}

/** Lets anybody claim a reward for the account, for a tip; the staked token's own reward is staked again. */
function ConsentButton(props: StakeProps & { token: Token; index: number }) {
  const { app, rewards, stake, account, token, index } = props;
  const isOn = stake.consents[index]?.enabled ?? false;
  const compounds = token.address === stake.programme.stake.address;
  const plan = (): Plan => {
    const title = `${isOn ? "Stop" : "Start"} auto-claim of ${token.name}`;
    const consent = { enabled: !isOn, compounds: compounds && !isOn, tipBps: isOn ? 0 : TIP_BPS, smallest: 0n };
    const args = [stake.programme.id, token.address, consent];
    return { title, account: account.address, calls: [call(title, rewards, rewardsAbi, "setHarvestConsent", args)] };
  };
  const what = compounds ? "claim and stake" : "claim";
  const label = isOn
    ? `Stop auto-claim of ${token.name}`
    : `Auto-${what} ${token.name} (tip ${bpsText(BigInt(TIP_BPS))})`;
  return <PlanButton app={app} plan={plan} label={label} isMinor />;
}

/* BACKSTOP */

interface BackstopProps {
  app: App;
  backstop: Backstop;
  account: AccountState;
  now: bigint;
}

function BackstopPanel({ app, backstop, account, now }: BackstopProps) {
  const { address: fund, asset, cooldown } = backstop;
  const { address } = account;
  const isOpen = cooldown.shares !== 0n && now >= cooldown.opensAt && now <= cooldown.closesAt;
  const shareToken = { name: "shares", address: fund, decimals: backstop.decimals };
  const verbs = [
    depositVerb(account, backstop),
    verb(
      { account: address },
      {
        id: "cooldown",
        label: "Start cooldown",
        token: shareToken,
        source: "Yours",
        max: backstop.shares,
        whyNone: "You have no shares.",
      },
      ({ units }, title) => [call(title, fund, backstopAbi, "startCooldown", [units])],
    ),
    verb(
      { account: address },
      {
        id: "redeem",
        label: "Redeem",
        token: shareToken,
        source: "After the cooldown",
        max: isOpen ? min(cooldown.shares, backstop.shares) : 0n,
        whyNone: redeemHint(backstop, now),
      },
      ({ units }, title) => [call(title, fund, vaultAbi, "redeem", [units, address, address])],
    ),
  ];
  return (
    <section aria-labelledby={`backstop-${backstop.name}`}>
      <h2 id={`backstop-${backstop.name}`}>Back markets with {asset.name}</h2>
      <p class="lead">
        Deposits pay for bad debt and earn the markets' fees. Leaving takes a cooldown of{" "}
        {durationText(backstop.cooldownSecs)}, and then there are {durationText(backstop.windowSecs)} to redeem.
      </p>
      <div class="columns">
        <dl class="facts card">
          <Fact label="Yours" value={text(asset, backstop.assets)} />
          <Fact label="Deposited by all" value={text(asset, backstop.totalAssets)} />
          <Fact label="In cooldown" value={text(shareToken, cooldown.shares)} />
          <Fact label="Redeemable" value={redeemHint(backstop, now)} />
        </dl>
        <VerbTabs app={app} verbs={verbs} outcome={sharesOutcome(app, backstop, account)} />
      </div>
    </section>
  );
}

function redeemHint({ cooldown }: Backstop, now: bigint): string {
  if (cooldown.shares === 0n) return "Start a cooldown first.";
  if (now < cooldown.opensAt) return `From ${timeText(cooldown.opensAt)} on.`;
  if (now > cooldown.closesAt) return "The window has passed: start a cooldown again.";
  return `Until ${timeText(cooldown.closesAt)}.`;
}

function depositVerb({ address, balances }: AccountState, { address: fund, asset }: Fund): Verb {
  const balance = balances.get(asset.address) ?? 0n;
  const given = { id: "deposit", label: "Deposit", token: asset, source: "Wallet", max: balance };
  return verb(
    { account: address },
    { ...given, whyNone: `You have no ${asset.name} in your wallet.` },
    ({ units }, title) => [approval(asset, fund, units), call(title, fund, vaultAbi, "deposit", [units, address])],
  );
}

const sharesOutcome = (app: App, fund: Fund, { address }: AccountState): Outcome<bigint> => ({
  read: read<bigint>(fund.address, vaultAbi, "balanceOf", [address]),
  before: fund.shares,
  rows: (shares) => [{ label: "Your shares", value: amountText(shares, fund.decimals) }],
  context: { ...app.context, loan: fund.asset },
});

/* VAULT */

function VaultPanel({ app, vault, account }: { app: App; vault: Fund; account: AccountState }) {
  const { address: fund, asset } = vault;
  const { address } = account;
  const shareToken = { name: "shares", address: fund, decimals: vault.decimals };
  const verbs = [
    depositVerb(account, vault),
    verb(
      { account: address },
      {
        id: "withdraw",
        label: "Withdraw",
        token: asset,
        source: "Withdrawable",
        max: vault.maxWithdraw,
        whyNone: "Nothing of it can be withdrawn now.",
      },
      // Everything by shares, so that no rest of a share stays.
      ({ units, isMax }, title) =>
        isMax && units >= vault.assets
          ? [call(title, fund, vaultAbi, "redeem", [vault.shares, address, address])]
          : [call(title, fund, vaultAbi, "withdraw", [units, address, address])],
    ),
    verb(
      { account: address },
      {
        id: "in-kind",
        label: "Redeem in kind",
        token: shareToken,
        source: "Yours",
        max: vault.shares,
        whyNone: "You have no shares.",
      },
      ({ units }, title) => [call(title, fund, inKindAbi, "redeemInKind", [units, address, address, false])],
    ),
  ];
  return (
    <section aria-labelledby={`vault-${vault.name}`}>
      <h2 id={`vault-${vault.name}`}>Lend {asset.name} over several markets</h2>
      <p class="lead">
        One deposit, divided over markets. If all of them are lent out, redeem in kind: you get your part of each
        position, which earns interest and can be withdrawn later.
      </p>
      <div class="columns">
        <dl class="facts card">
          <Fact label="Yours" value={text(asset, vault.assets)} />
          <Fact label="Withdrawable" value={text(asset, vault.maxWithdraw)} />
          <Fact label="Deposited by all" value={text(asset, vault.totalAssets)} />
        </dl>
        <VerbTabs app={app} verbs={verbs} outcome={sharesOutcome(app, vault, account)} />
      </div>
    </section>
  );
}
