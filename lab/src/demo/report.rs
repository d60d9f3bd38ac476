//! The report of the day, from the chain's events and receipts.

use std::{collections::BTreeMap, fmt};

use alloy::{
    primitives::{Address, I256, U256},
    rpc::types::TransactionReceipt,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{
    ILiquidator::LiquidateWithoutCapital,
    IPlimsoll::{Liquidate, RealiseLoss},
    IRewards::Harvest,
};
use plimsoll_keeper::amount::{Amount, Balance, readable};
use serde::Serialize;

use super::{
    BASE_FEE, Options,
    day::Day,
    exit::ExitFigures,
    guarded::{GuardFigures, Twins},
};
use plimsoll_testkit::{
    deployment::Suite,
    keeper::Keeper,
    scenario::{MarketEvent, market_events},
};

const BPS: u64 = 10_000;
/// Minimum priority fee of the keeper's configuration, in wei per gas.
const MIN_PRIORITY_FEE: u128 = 100_000_000;
/// Decimals of an oracle's price.
const PRICE_DECIMALS: u8 = 36;

/// Summary of the day. Amounts are exact.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Seed of borrowers and prices.
    pub seed: u64,
    /// Number of loans at the beginning.
    pub loans: u64,
    /// Price of an ether at the beginning.
    pub price_before: Amount,
    /// Price of an ether at the end.
    pub price_after: Amount,
    /// Total debt at the beginning.
    pub debt_before: Amount,
    /// Total debt at the end.
    pub debt_after: Amount,
    /// Number of loans that were liquidatable at any time.
    #[serde(rename = "underWater")]
    pub liquidatable: u64,
    /// Number of loans that are liquidatable at the end.
    #[serde(rename = "leftUnderWater")]
    pub left_liquidatable: u64,
    /// Number of loans that were liquidated, in whole or in part.
    pub liquidated: u64,
    /// Number of liquidations.
    pub liquidations: u64,
    /// Debt that liquidators repaid.
    pub repaid: Amount,
    /// Collateral that they seized for it.
    pub seized: Amount,
    /// Value of that collateral, at the oracle's price of each block.
    pub seized_value: Amount,
    /// Borrowers' loss: the value of the seized collateral less the debt that was repaid or written off for it. It is 0
    /// where the collateral was worth less than the debt, which is a loss of others.
    pub penalty: Amount,
    /// The penalty in basis points of the debt repaid.
    pub penalty_bps: u64,
    /// Debt that was written off.
    pub bad_debt: BadDebt,
    /// What orders at the guard saved.
    pub guard: GuardFigures,
    /// The exit of a vault's depositor after the day, when everything is borrowed.
    pub exit: ExitFigures,
    /// Transactions and earnings of the keeper.
    pub keeper: KeeperFigures,
    /// Number of harvested rewards.
    pub harvests: u64,
    /// Amount of harvested rewards by token, tips included.
    pub harvested: Vec<Amount>,
    /// The most blocks between the block in which a loan became liquidatable and the one in which it no longer was.
    pub most_blocks_behind: u64,
}

/// Debt that was written off, by who bore the loss.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BadDebt {
    /// Total.
    pub total: Amount,
    /// Borne by the market's reserve.
    pub from_reserve: Amount,
    /// Borne by the backstop.
    pub from_backstop: Amount,
    /// Borne by lenders.
    pub from_lenders: Amount,
}

/// Transactions and earnings of the keeper.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeeperFigures {
    /// Number of mined transactions.
    pub transactions: u64,
    /// Number of reverted transactions.
    pub reverted: u64,
    /// Gas used.
    pub gas: u64,
    /// Cost of that gas, priority fees included.
    pub gas_cost: Amount,
    /// That cost divided by the least possible one: the base fee and the minimum priority fee.
    pub gas_over_floor: f64,
    /// Profit of liquidations, before gas.
    pub profit: Amount,
    /// Tips of harvests, by token.
    pub tips: Vec<Amount>,
    /// Profit and tips in dollars, less gas at the price of its block. Tips in other tokens are not included.
    pub net: Balance,
}

/// The chain's events of the day.
#[derive(Debug)]
pub(super) struct ChainEvents {
    /// Liquidations, each with its block.
    pub(super) liquidations: Vec<(u64, Liquidate)>,
    losses: Vec<RealiseLoss>,
    profits: Vec<LiquidateWithoutCapital>,
    harvests: Vec<Harvest>,
    /// Receipts of the keeper's transactions.
    receipts: Vec<TransactionReceipt>,
    /// Names and decimals of tokens.
    tokens: BTreeMap<Address, (String, u8)>,
    dollar: Address,
}

impl ChainEvents {
    /// Decodes the events of the day's receipts.
    pub(super) fn of(day: &Day, suite: &Suite, keeper: &Keeper) -> eyre::Result<Self> {
        let (mut liquidations, mut losses) = (Vec::new(), Vec::new());
        let (mut profits, mut harvests, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
        for receipt in &day.receipts {
            let block = receipt.block_number.wrap_err("a receipt of no block")?;
            let is_keepers = keeper.signers().contains(&receipt.from);
            for event in market_events(receipt, day.market)? {
                match event {
                    MarketEvent::PriceUpdate(_) => {}
                    MarketEvent::Liquidation(event) => liquidations.push((block, event)),
                    MarketEvent::Loss(event) => losses.push(event),
                    MarketEvent::Profit(event) if is_keepers => profits.push(event),
                    MarketEvent::Profit(_) => {}
                    MarketEvent::Harvest(event) => harvests.push(event),
                }
            }
            if is_keepers {
                receipts.push(receipt.clone());
            }
        }
        let tokens = suite.deployment.tokens.iter();
        let tokens = tokens.map(|(name, token)| (token.address, (name.clone(), token.decimals))).collect();
        Ok(Self { liquidations, losses, profits, harvests, receipts, tokens, dollar: suite.token("USDC")? })
    }

    fn amount(&self, token: Address, units: U256) -> Amount {
        let (name, decimals) = self.tokens.get(&token).cloned().unwrap_or_else(|| (token.to_string(), 0));
        Amount::new(units, decimals, name)
    }

    pub(super) fn dollars(&self, units: U256) -> Amount {
        self.amount(self.dollar, units)
    }

    /// Sums a part of the harvest events by reward token.
    fn rewards(&self, part: impl Fn(&Harvest) -> U256) -> BTreeMap<Address, U256> {
        let mut sums = BTreeMap::<_, U256>::new();
        for harvest in &self.harvests {
            *sums.entry(harvest.rewardToken).or_default() += part(harvest);
        }
        sums
    }

    fn keeper(&self, day: &Day) -> eyre::Result<KeeperFigures> {
        let (mut gas, mut wei, mut gas_in_dollars) = (0, U256::ZERO, U256::ZERO);
        for receipt in &self.receipts {
            let cost = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
            let block = receipt.block_number.wrap_err("a receipt of no block")?;
            gas += receipt.gas_used;
            wei += cost;
            gas_in_dollars += day.worth(cost, block);
        }
        let other = self.profits.iter().find(|event| event.profitToken != self.dollar);
        ensure!(other.is_none(), "a profit came in another token than the loan's: {other:?}");
        let profit = self.profits.iter().map(|event| event.profit).sum();
        let tips = self.rewards(|harvest| harvest.tip);
        let earned: U256 = profit + tips.get(&self.dollar).copied().unwrap_or_default();
        let net = I256::try_from(earned)?.checked_sub(I256::try_from(gas_in_dollars)?).wrap_err("no such sum")?;
        let dollars = self.dollars(profit);
        Ok(KeeperFigures {
            transactions: u64::try_from(self.receipts.len())?,
            reverted: u64::try_from(self.receipts.iter().filter(|receipt| !receipt.status()).count())?,
            gas,
            gas_cost: Amount::new(wei, 18, "ETH"),
            gas_over_floor: thousandths(wei, U256::from(gas) * U256::from(BASE_FEE + MIN_PRIORITY_FEE))?,
            net: Balance { units: net, decimals: dollars.decimals, token: dollars.token.clone() },
            profit: dollars,
            tips: tips.into_iter().map(|(token, units)| self.amount(token, units)).collect(),
        })
    }
}

/// Returns a ratio to three decimals, rounded up.
fn thousandths(cost: U256, floor: U256) -> eyre::Result<f64> {
    let ratio = (cost * U256::from(1_000)).div_ceil(floor.max(U256::ONE));
    Ok(f64::from(u32::try_from(ratio)?) / 1_000.0)
}

impl Day {
    /// Returns the value of collateral in a block, in units of the loan token, rounded down.
    pub(super) fn worth(&self, collateral: U256, block: u64) -> U256 {
        let price = self.prices.range(..=block).next_back().or_else(|| self.prices.first_key_value());
        let scale = U256::from(10).pow(U256::from(PRICE_DECIMALS));
        price.map_or(U256::ZERO, |(_, price)| collateral * price / scale)
    }
}

impl Report {
    pub(super) fn of(
        options: &Options,
        day: &Day,
        events: &ChainEvents,
        twins: &Twins,
        exit: ExitFigures,
    ) -> eyre::Result<Self> {
        let (mut borrowers, [mut repaid, mut seized, mut value, mut penalty, mut bad]) =
            (BTreeMap::<Address, u64>::new(), [U256::ZERO; 5]);
        for (block, event) in &events.liquidations {
            let worth = day.worth(event.seized, *block);
            *borrowers.entry(event.borrower).or_default() += 1;
            repaid += event.repaid;
            seized += event.seized;
            value += worth;
            penalty += worth.saturating_sub(event.repaid + event.badDebt);
            bad += event.badDebt;
        }
        let [mut from_reserve, mut from_backstop, mut loss] = [U256::ZERO; 3];
        for event in &events.losses {
            loss += event.loss;
            from_reserve += event.fromReserve;
            from_backstop += event.fromCover;
        }
        ensure!(loss == bad, "liquidations left bad debt of {bad} units, and losses of {loss} were realised");
        let closing = day.snapshots.last().unwrap_or(&day.opening);
        let price = |price| Amount::new(price, 8, "USD");
        Ok(Self {
            seed: options.seed,
            loans: day.loans,
            price_before: price(day.opening.price),
            price_after: price(closing.price),
            debt_before: events.dollars(day.opening.debt),
            debt_after: events.dollars(closing.debt),
            liquidatable: u64::try_from(day.ever_liquidatable.len())?,
            left_liquidatable: day.left_liquidatable,
            liquidated: u64::try_from(borrowers.len())?,
            liquidations: u64::try_from(events.liquidations.len())?,
            penalty_bps: (penalty * U256::from(BPS)).checked_div(repaid).unwrap_or_default().try_into()?,
            repaid: events.dollars(repaid),
            seized: Amount::new(seized, 18, "WETH"),
            seized_value: events.dollars(value),
            penalty: events.dollars(penalty),
            bad_debt: BadDebt {
                total: events.dollars(loss),
                from_reserve: events.dollars(from_reserve),
                from_backstop: events.dollars(from_backstop),
                from_lenders: events.dollars(loss - from_reserve - from_backstop),
            },
            guard: GuardFigures::of(twins, day, events)?,
            exit,
            keeper: events.keeper(day)?,
            harvests: u64::try_from(events.harvests.len())?,
            harvested: events
                .rewards(|harvest| harvest.amount)
                .into_iter()
                .map(|(token, units)| events.amount(token, units))
                .collect(),
            most_blocks_behind: day.most_blocks_behind,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bad_debt: bad, guard, exit, keeper, .. } = self;
        let list = |amounts: &[Amount]| match amounts {
            [] => "nothing".to_owned(),
            amounts => amounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
        };
        writeln!(f, "an ether              {} → {}", self.price_before, self.price_after)?;
        writeln!(f, "loans                 {}, owing {} → {}", self.loans, self.debt_before, self.debt_after)?;
        writeln!(f, "liquidatable          {}; {} at the end", self.liquidatable, self.left_liquidatable)?;
        writeln!(f, "liquidated            {} loans in {} liquidations", self.liquidated, self.liquidations)?;
        writeln!(f, "debt repaid           {}", self.repaid)?;
        writeln!(f, "collateral seized     {}, worth {}", self.seized, self.seized_value)?;
        let (whole, hundredths) = (self.penalty_bps / 100, self.penalty_bps % 100);
        writeln!(f, "borrowers' penalty    {}, {whole}.{hundredths:02} % of the debt repaid", self.penalty)?;
        writeln!(f, "bad debt              {}", bad.total)?;
        writeln!(f, "  paid by reserve     {}", bad.from_reserve)?;
        writeln!(f, "  paid by backstop    {}", bad.from_backstop)?;
        writeln!(f, "  paid by lenders     {}", bad.from_lenders)?;
        writeln!(
            f,
            "borrowers with orders {}, {} executions repaid {}",
            guard.guarded, guard.executions, guard.repaid
        )?;
        let lost = |liquidated, loss, bad_debt| format!("{loss} and {bad_debt} of bad debt; {liquidated} liquidated");
        writeln!(f, "  lost                {}", lost(guard.liquidated, &guard.loss, &guard.bad_debt))?;
        let twins = lost(guard.twins_liquidated, &guard.twins_loss, &guard.twins_bad_debt);
        writeln!(f, "  same loans without  {twins}")?;
        writeln!(f, "  saved               {}", guard.saved)?;
        writeln!(f, "vault's depositor     had {}, of which {} could be withdrawn", exit.had, exit.withdrawable)?;
        writeln!(f, "  left in kind with   {}, for {} gas", exit.has, readable(&exit.gas.to_string()))?;
        writeln!(f, "rewards harvested     {}, {} payments", list(&self.harvested), self.harvests)?;
        writeln!(f, "keeper's transactions {}, {} reverted", keeper.transactions, keeper.reverted)?;
        writeln!(
            f,
            "keeper's gas          {}, for {}, {:.3} of the least possible",
            readable(&keeper.gas.to_string()),
            keeper.gas_cost,
            keeper.gas_over_floor
        )?;
        writeln!(f, "keeper's profit       {} from liquidations, tips of {}", keeper.profit, list(&keeper.tips))?;
        writeln!(f, "  after gas           {}, tips in other tokens apart", keeper.net)?;
        write!(f, "most blocks behind    {}", self.most_blocks_behind)
    }
}
