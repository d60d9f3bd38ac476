//! Rebalancing: a vault's assets moved between its markets, for the depositors.
//!
//! For each vault that names the keeper as an allocator:
//!
//! 1. [`VaultSnapshot`] reads from the book what the vault has in each market, what can be moved within caps, liquidity
//!    and the highest utilisation, and which markets are [flagged](Flag): the vault leaves those before others do.
//! 2. [`level`] spreads the assets so that the supply rate *after the move* is the same everywhere, with a part idle.
//! 3. The move is made if what the depositors gain within the horizon exceeds the cost of gas by the margin, the rates
//!    differ by more than the dead band, and the day's budget is not spent. A spread that would earn the depositors less
//!    than the present one is not made: levelling a market that the vault dominates can. Leaving a flagged market is worth
//!    a thousandth of what leaves it, and so is restoring the idle part once less than half of it is left.
//!
//! The call clamps on chain: each source to what is liquid, each target to idle assets and caps, and a target is skipped
//! whose utilisation has become too high or whose rate would be too low. What is not supplied stays idle until the next
//! run. The gas is the operator's: nobody pays him for it, so every move counts as a loss in the ledger, and the day's
//! loss caps bound it besides the budget.

pub mod level;
mod snapshot;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{
    IVault::{self, reallocateCall},
    market::{BPS, SECONDS_PER_YEAR},
};

pub use self::snapshot::{Flag, VaultMarket, VaultSnapshot};
use super::{
    BlockContext, Decisions, Exclusion, Revert, SkipReason,
    gas::{GasTable, intrinsic_gas},
};
use crate::{
    book::{Book, VaultBook},
    intent::{GuardKind, Intent, Priority, Purpose, Scope, Worth},
    math::wide::{WAD, mul_div_down},
    prices::{Call, ChainReader, Rate, Valuer},
    safety::ResultsLedger,
};

/// Name of the strategy.
pub const NAME: &str = "rebalance";

/// What leaving a flagged market is taken to be worth, or having idle assets again: one part in this many of the amount.
const ENDANGERED_PARTS: u128 = 1_000;
/// One part in this many of the expected rate by which a target's rate may be lower when the call is executed.
const RATE_TOLERANCE: u64 = 10;
/// Gas of a transaction that moves assets from one market to another, before refunds.
const MOVE_GAS: u64 = 260_000;
/// Gas of each further market.
const FURTHER_MARKET_GAS: u64 = 70_000;

/// Parameters of rebalancing.
#[derive(Debug, Clone)]
pub struct RebalanceSettings {
    /// Account that signs and sends the transactions; the vaults must have it as an allocator.
    pub keeper: Address,
    /// Vaults that are rebalanced.
    pub vaults: BTreeSet<Address>,
    /// Expected gas of transactions.
    pub gas: GasTable,
    /// Time in seconds over which a better rate is taken to last.
    pub horizon_secs: u64,
    /// Difference of supply rates below which nothing is moved, in basis points a year.
    pub dead_band_bps: u16,
    /// How assets may be spread.
    pub limits: Limits,
    /// Most that may be spent on a vault within a UTC day, in wei. Leaving a flagged market is not bound by it.
    pub budget_per_day: U256,
    /// Seconds between two runs of the strategy about vaults that leave no market, at least.
    pub interval_secs: u64,
    /// Seconds after the decision up to which a transaction may be mined.
    pub deadline_secs: u64,
}

/// How a vault's assets may be spread, and which markets it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Highest utilisation that a withdrawal may leave, in basis points.
    pub max_utilisation_bps: u16,
    /// Part of a vault that stays idle, in basis points.
    pub min_idle_bps: u16,
    /// Utilisation above which a market is left, in basis points.
    pub flee_utilisation_bps: u16,
    /// Fall of the price within which loans count as near liquidation, in basis points.
    pub flee_distance_bps: u16,
    /// Part of a market's debt near liquidation with which the market is left, in basis points.
    pub flee_debt_bps: u16,
}

/// The rebalance strategy, with what it remembers between runs.
#[derive(Debug)]
pub struct Rebalance {
    settings: RebalanceSettings,
    /// Earliest block time of the next run about all vaults, in seconds.
    next_run_at: u64,
}

/// A move that could be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Assets in each market afterwards.
    pub parts: Vec<u128>,
    /// What the depositors gain within the horizon, or what leaving flagged markets is worth, in units of the asset.
    pub gain: u128,
}

/// A move with its call and its value.
struct RebalanceCall {
    vault: Address,
    call: Call,
    gas: u64,
    gain_wei: U256,
    flees: bool,
}

impl Rebalance {
    /// Returns the strategy with these parameters.
    #[must_use]
    pub const fn new(settings: RebalanceSettings) -> Self {
        Self { settings, next_run_at: 0 }
    }

    /// Decides about every vault, in a block that is not quiet, and while the interval since the last run is not over, about
    /// those only that leave a flagged market: no other move is in a hurry. Where nothing is to be moved no request is made.
    /// `results` say what was spent on each vault today, by this process or an earlier one.
    pub async fn decide<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
        (exclusion, results): (Exclusion<'_, Address>, &ResultsLedger),
        is_quiet: bool,
    ) -> Decisions<Address> {
        let now = context.header.timestamp;
        let is_due = is_quiet && now >= self.next_run_at;
        if is_due {
            self.next_run_at = now.saturating_add(self.settings.interval_secs);
        }
        let mut decisions = Decisions::default();
        let mut moves = Vec::new();
        for vault in book.vaults().filter(|vault| self.settings.vaults.contains(&vault.address())) {
            match self.plan(vault, book, context, is_due) {
                Ok(Some(planned)) => moves.push(planned),
                Ok(None) => {}
                Err(reason) => decisions.skip([vault.address()], &reason),
            }
        }
        moves.retain(|(snapshot, _)| !decisions.skip_excluded(snapshot.address, exclusion));
        if moves.is_empty() {
            return decisions;
        }
        let tokens: Vec<_> = moves.iter().map(|(snapshot, _)| snapshot.asset).collect();
        let values = match valuer.values(reader, context.header, &tokens).await {
            Ok(values) => values,
            Err(error) => {
                decisions.skip(moves.iter().map(|(snapshot, _)| snapshot.address), &SkipReason::unanswered(&error));
                return decisions;
            }
        };
        let mut calls = Vec::new();
        for (snapshot, planned) in moves {
            match values.of(snapshot.asset) {
                Ok(rate) => calls.push(self.call(&snapshot, &planned, rate, context)),
                Err(problem) => {
                    decisions.skip([snapshot.address], &SkipReason::NoValuation { token: snapshot.asset, problem });
                }
            }
        }
        self.simulate_and_select(reader, context, results, calls, &mut decisions).await;
        decisions
    }

    /// Returns the move that a vault needs, or why it needs none; `None` where it leaves no market and is not due.
    fn plan(
        &self,
        vault: &VaultBook,
        book: &Book,
        context: BlockContext<'_>,
        is_due: bool,
    ) -> Result<Option<(VaultSnapshot, Move)>, SkipReason> {
        let settings = &self.settings;
        if !vault.state().allocators.contains(&settings.keeper) {
            return Err(SkipReason::NotAllocator { account: settings.keeper });
        }
        let snapshot = VaultSnapshot::of(vault, book, context.prices, context.header.timestamp, &settings.limits);
        let snapshot = snapshot.ok_or(SkipReason::NothingToMove)?;
        if !is_due && snapshot.endangered() < ENDANGERED_PARTS {
            return Ok(None);
        }
        let planned = plan_move(&snapshot, settings.dead_band_bps, settings.horizon_secs)?;
        Ok(Some((snapshot, planned)))
    }

    /// Returns the call that makes a move.
    fn call(&self, snapshot: &VaultSnapshot, planned: &Move, rate: Rate, context: BlockContext<'_>) -> RebalanceCall {
        let deadline = context.header.timestamp.saturating_add(self.settings.deadline_secs);
        let data = reallocation(snapshot, &planned.parts, deadline, &self.settings.limits);
        let markets = u64::try_from(data.sources.len() + data.targets.len()).unwrap_or(u64::MAX);
        let gas = MOVE_GAS.saturating_add(FURTHER_MARKET_GAS.saturating_mul(markets.saturating_sub(2)));
        RebalanceCall {
            vault: snapshot.address,
            call: Call::trial(snapshot.address, data.abi_encode(), context.room),
            gas,
            gain_wei: rate.value_down(U256::from(planned.gain)),
            flees: snapshot.must_leave(),
        }
    }

    /// Simulates all calls, and sends those that succeed and are worth their gas, which is what the call used.
    async fn simulate_and_select<R: ChainReader>(
        &self,
        reader: &R,
        context: BlockContext<'_>,
        results: &ResultsLedger,
        calls: Vec<RebalanceCall>,
        decisions: &mut Decisions<Address>,
    ) {
        let mut priced = Vec::new();
        for call in calls {
            let worth = context.costs.worth(call.gain_wei, call.gas, call.call.data.len());
            match self.affordable(&call, &worth, context, results) {
                Ok(()) => priced.push(call),
                Err(reason) => decisions.skip([call.vault], &reason),
            }
        }
        if priced.is_empty() {
            return;
        }
        let inner = priced.iter().map(|RebalanceCall { call, .. }| Call {
            gas: call.gas.saturating_sub(intrinsic_gas(&call.data)),
            ..call.clone()
        });
        let simulated = match reader.run_each(context.header, inner.collect::<Vec<_>>()).await {
            Ok(simulated) => simulated,
            Err(error) => {
                decisions.skip(priced.iter().map(|call| call.vault), &SkipReason::unanswered(&error));
                return;
            }
        };
        for (mut call, simulated) in priced.into_iter().zip(simulated) {
            if let Err(error) = simulated.result {
                decisions.skip([call.vault], &SkipReason::Reverts(Revert::decode(&error)));
                continue;
            }
            call.gas = simulated.gas_used.saturating_add(intrinsic_gas(&call.call.data));
            call.call.gas = self.settings.gas.gas_limit(call.gas).min(context.room);
            let worth = context.costs.worth(call.gain_wei, call.gas, call.call.data.len());
            if let Err(reason) = self.affordable(&call, &worth, context, results) {
                decisions.skip([call.vault], &reason);
                continue;
            }
            let cost = worth.cost_at(context.costs.gas_price);
            let deadline = context.header.timestamp.saturating_add(self.settings.deadline_secs);
            let vault = call.vault;
            decisions.act([vault], call.into_intent(deadline, &worth, context), cost);
        }
    }

    /// Fails where a move is not worth its gas, or the day's budget does not suffice for it.
    fn affordable(
        &self,
        call: &RebalanceCall,
        worth: &Worth,
        context: BlockContext<'_>,
        results: &ResultsLedger,
    ) -> Result<(), SkipReason> {
        let gas_wei = worth.cost_at(context.costs.gas_price);
        if !worth.pays_at(context.costs.gas_price) {
            return Err(SkipReason::GainBelowGas { gain_wei: call.gain_wei, gas_wei });
        }
        let spent_wei = results.of_scope(&scope_of(call.vault), context.header.timestamp).cost_wei;
        let budget_wei = self.settings.budget_per_day;
        if !call.flees && spent_wei.saturating_add(gas_wei) > budget_wei {
            return Err(SkipReason::BudgetSpent { spent_wei, budget_wei });
        }
        Ok(())
    }
}

/// What moves of a vault are counted under.
fn scope_of(vault: Address) -> Scope {
    Scope::new(NAME, vault.into_word())
}

impl RebalanceCall {
    /// Turns the call into an intent that is good up to `deadline`.
    fn into_intent(self, deadline: u64, worth: &Worth, context: BlockContext<'_>) -> Intent {
        Intent {
            purpose: Purpose::Rebalance { vault: self.vault },
            priority: Priority::Low,
            to: self.call.to,
            data: self.call.data,
            gas_limit: self.call.gas,
            expected_gas: self.gas,
            expected_gain: self.gain_wei,
            extra_wei: worth.extra_wei,
            margin_bps: worth.margin_bps,
            deadline,
            scope: scope_of(self.vault),
            guard: GuardKind::UpTo(context.costs.guard_price(worth, 0)),
            bid: 0,
            profit: None,
        }
    }
}

/// Returns the move that a vault needs, or why it needs none. A vault without a flagged market and with half of its idle
/// part makes no move that lowers what the depositors earn.
///
/// # Errors
/// When the rates differ by less than the dead band, or the depositors would not gain within the horizon.
pub fn plan_move(snapshot: &VaultSnapshot, dead_band_bps: u16, horizon_secs: u64) -> Result<Move, SkipReason> {
    let allocations = &snapshot.allocations;
    let parts = allocations.levelled();
    let held = allocations.held();
    if parts == held {
        return Err(SkipReason::NothingToMove);
    }
    if snapshot.must_leave() {
        return Ok(Move { parts, gain: snapshot.endangered() / ENDANGERED_PARTS });
    }
    let missing = allocations.min_idle.saturating_sub(allocations.idle);
    let idle = parts.iter().fold(allocations.total(), |rest, part| rest.saturating_sub(*part));
    if allocations.idle < allocations.min_idle / 2 && idle > allocations.idle {
        return Ok(Move { parts, gain: missing / ENDANGERED_PARTS });
    }
    let spread = allocations.spread();
    if spread < band_per_second(dead_band_bps) {
        return Err(SkipReason::RatesAreLevel { spread_bps: bps_a_year(spread) });
    }
    let more = allocations.income(&parts).saturating_sub(allocations.income(&held));
    let gain = mul_div_down(more, U256::from(horizon_secs), U256::from(WAD));
    if gain.is_zero() {
        return Err(SkipReason::LevellingEarnsLess);
    }
    Ok(Move { parts, gain: gain.saturating_to() })
}

/// Returns the call that brings a vault from what it has in each market to these parts.
#[must_use]
pub fn reallocation(snapshot: &VaultSnapshot, parts: &[u128], deadline: u64, limits: &Limits) -> reallocateCall {
    let allocations = &snapshot.allocations;
    let (mut sources, mut targets) = (Vec::new(), Vec::new());
    for ((market, allocated), part) in snapshot.markets.iter().zip(&allocations.markets).zip(parts) {
        let id = market.id.0;
        if *part < allocated.held {
            // What accrues until the call is executed leaves a flagged market, too.
            let assets = if market.flag.is_some() { U256::MAX } else { U256::from(allocated.held - part) };
            sources.push(IVault::Source { id, assets });
        } else if *part > allocated.held {
            let rate = allocated.rate_with(*part);
            targets.push(IVault::Target {
                id,
                assets: U256::from(part - allocated.held),
                maxUtilisationBps: U256::from(limits.flee_utilisation_bps),
                minRatePerSecond: U256::from(rate - rate / RATE_TOLERANCE),
            });
        }
    }
    reallocateCall { sources, targets, minIdle: U256::from(allocations.min_idle), deadline: U256::from(deadline) }
}

/// Converts a rate in basis points a year to one per second, 1e18-scaled.
fn band_per_second(bps: u16) -> u64 {
    let scaled = u128::from(bps) * u128::from(WAD) / u128::from(BPS);
    u64::try_from(scaled / u128::from(SECONDS_PER_YEAR)).unwrap_or(u64::MAX)
}

/// Converts a rate per second to basis points a year, rounded down.
#[must_use]
pub fn bps_a_year(rate: u64) -> u64 {
    let scaled = u128::from(rate) * u128::from(SECONDS_PER_YEAR) * u128::from(BPS);
    u64::try_from(scaled / u128::from(WAD)).unwrap_or(u64::MAX)
}
