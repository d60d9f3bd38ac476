//! The executor's calls: what a simulated one brings and costs, and the intent that is sent.

use alloy::{
    primitives::{Address, Bytes, U256, ruint::UintTryTo},
    sol_types::SolCall,
};
use plimsoll_contracts::IExecutor;
use plimsoll_protocols::{Expected, Lot};

use super::{NAME, PositionId, SeizeSettings};
use crate::{
    intent::{GuardKind, Intent, Priority, Profit, Purpose, Scope, Worth},
    prices::{Call, Rate, SimulatedCall},
    strategies::{
        BlockContext, Decisions, Revert, SkipReason,
        bids::{Bid, Bids, RevertCost, priority_fee},
        gas::{Costs, OVERHEAD_BYTES_GAS, intrinsic_gas, kept, no_room},
    },
};

/// Gas of a job that reverts because a rival was first, with its base cost and calldata, at most.
const LOST_RACE_GAS: u64 = 80_000;
/// Gas of execution that the `Executor` contract does not measure: what runs before its measurement and after it, a
/// transfer of the profit to an account that has none of the token among it.
const UNMEASURED_GAS: u64 = 50_000;
/// Gas that a simulated liquidation of one position may use.
const TRIAL_GAS: u64 = 3_000_000;
/// Gas that an isolated item may use beyond what it used in simulation, and the parts of that in percent.
const ITEM_HEADROOM: u64 = 100_000;
const ITEM_PERCENT: u64 = 130;

/// A protocol as the executor lists it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Index in the executor's list.
    pub(super) index: u8,
    /// Whether the protocol takes the repayment before it gives the collateral.
    pub(super) repays_first: bool,
}

/// A liquidation that is simulated.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    pub(super) id: PositionId,
    pub(super) lot: &'a Lot,
    pub(super) target: Target,
    pub(super) rate: Rate,
    pub(super) units_per_wei_x96: u128,
    pub(super) expected: Expected,
    pub(super) route: Bytes,
}

/// What a simulated job would bring and cost.
#[derive(Debug, Clone)]
pub(super) struct Quote {
    /// Units of the token that the profit is in.
    profit: U256,
    /// Gas of the transaction, as simulated.
    gas: u64,
    /// What it is worth by the gas that the contract charges for.
    worth: Worth,
    /// Cost that is charged at the expected price, in wei.
    charge_wei: U256,
}

impl Quote {
    pub(super) const fn net(&self) -> U256 {
        self.worth.gain.saturating_sub(self.charge_wei)
    }
}

/// Positions that one transaction liquidates: of one market, with the profit in one token. Never empty.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) items: Vec<(Candidate<'a>, Quote)>,
}

impl<'a> Job<'a> {
    pub(super) fn is_single(&self) -> bool {
        self.items.len() == 1
    }

    /// Whether another position fits.
    pub(super) fn takes(&self, other: &Candidate<'_>, max_items: usize) -> bool {
        let is_same = |(first, _): &(Candidate<'_>, Quote)| {
            (first.id.market, first.lot.debt) == (other.id.market, other.lot.debt)
        };
        self.items.len() < max_items && self.items.first().is_some_and(is_same)
    }

    fn candidates(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.items.iter().map(|(candidate, _)| candidate)
    }
}

/// Lower bounds that a call checks on chain; none in a simulation.
#[derive(Debug, Default)]
struct ProfitGuard {
    min_profit: U256,
    units_per_wei_x96: u128,
    extra_wei: U256,
}

impl SeizeSettings {
    /// Returns the trial of one position on its own.
    pub(super) fn trial(&self, candidate: &Candidate<'_>, context: BlockContext<'_>) -> Call {
        let item = item(candidate, 0, U256::ZERO);
        self.call(vec![item], candidate.lot.debt, &ProfitGuard::default(), context, TRIAL_GAS.min(context.room))
    }

    /// Returns the trial of a job whose items are isolated from each other.
    pub(super) fn job_trial(&self, job: &Job<'_>, context: BlockContext<'_>) -> Call {
        let items = job.items.iter().map(|(candidate, quote)| isolated(candidate, quote, U256::ZERO)).collect();
        let token = job.candidates().next().map(|candidate| candidate.lot.debt).unwrap_or_default();
        self.call(items, token, &ProfitGuard::default(), context, context.room)
    }

    /// Computes what a simulated job of one position brings and costs; fails with the reason where it reverted or does not
    /// pay.
    pub(super) fn quote_single(
        &self,
        candidate: &Candidate<'_>,
        simulated: &SimulatedCall,
        context: BlockContext<'_>,
    ) -> Result<Quote, SkipReason> {
        let repaid = candidate.expected.liquidation.repaid;
        let outcome = outcome(simulated).map_err(|revert| match revert {
            Revert::NothingToLiquidate => SkipReason::LostRace,
            revert if revert.is_lack_of_liquidity() => SkipReason::SwapTooThin { repaid, revert },
            revert => SkipReason::Reverts(revert),
        })?;
        let data = self.trial(candidate, context).data;
        quote(candidate.rate, outcome.profit, simulated.gas_used, &data, context)
    }

    /// Sends the first position of a job on its own, by its own simulation.
    pub(super) fn send_first(
        &self,
        job: &Job<'_>,
        context: BlockContext<'_>,
        bids: &Bids,
        decisions: &mut Decisions<PositionId>,
    ) {
        let Some((candidate, quote)) = job.items.first() else { return };
        self.send(&[candidate], vec![item(candidate, 0, U256::ZERO)], quote, context, bids, decisions);
    }

    /// Sends the positions of a job that its simulation liquidated.
    pub(super) fn send_job(
        &self,
        job: &Job<'_>,
        simulated: &SimulatedCall,
        context: BlockContext<'_>,
        bids: &Bids,
        decisions: &mut Decisions<PositionId>,
    ) {
        let Some((first, _)) = job.items.first() else { return };
        let data = self.job_trial(job, context).data;
        let tried = outcome(simulated).map_err(SkipReason::Reverts);
        let tried = tried.and_then(|outcome| {
            let quote = quote(first.rate, outcome.profit, simulated.gas_used, &data, context)?;
            Ok((outcome, quote))
        });
        let (outcome, quote) = match tried {
            Ok(tried) => tried,
            Err(reason) => return decisions.skip(job.candidates().map(|candidate| candidate.id), &reason),
        };
        let (mut sent, mut items) = (Vec::new(), Vec::new());
        for (index, ((candidate, single), result)) in job.items.iter().zip(outcome.results).enumerate() {
            if outcome.done.bit(index) {
                let min_left = kept(result.left, self.max_slippage_bps);
                items.push(isolated(candidate, single, min_left));
                sent.push(candidate);
            } else {
                // Others took what the pools had to give.
                decisions.skip([candidate.id], &SkipReason::TriedLater);
            }
        }
        self.send(&sent, items, &quote, context, bids, decisions);
    }

    /// Adds the intent of a job, unless rivals make that a loss.
    fn send(
        &self,
        candidates: &[&Candidate<'_>],
        items: Vec<IExecutor::Item>,
        quote: &Quote,
        context: BlockContext<'_>,
        bids: &Bids,
        decisions: &mut Decisions<PositionId>,
    ) {
        let Some(first) = candidates.first() else { return };
        let PositionId { deployment, market, .. } = first.id;
        let ids: Vec<_> = candidates.iter().map(|candidate| candidate.id).collect();
        let scope = Scope::new(NAME, market);
        let Bid::Share(share) = bids.bid(&scope, self.revert_cost(quote, context.costs)) else {
            return decisions.skip(ids, &SkipReason::Outbid { net_wei: quote.net() });
        };
        // An isolated item is only begun with as much gas as it may use.
        let reserve = items.iter().map(|item| u64::from(item.gasCap)).max().unwrap_or(0);
        let gas_limit = self.gas.gas_limit(quote.gas).saturating_add(reserve);
        if gas_limit > context.room {
            return decisions.skip(ids, &SkipReason::Held { rule: no_room(context.room) });
        }
        let Worth { gain: expected_gain, gas: expected_gas, extra_wei, margin_bps } = quote.worth;
        let net = quote.profit.saturating_sub(first.rate.units_up(quote.charge_wei));
        // Several are bounded one by one, since rivals may take some of them.
        let min_profit = match candidates {
            [_] => kept(kept(net, self.bid_share_bps), self.max_slippage_bps),
            _ => U256::ZERO,
        };
        let guard = ProfitGuard { min_profit, units_per_wei_x96: first.units_per_wei_x96, extra_wei };
        let call = self.call(items, first.lot.debt, &guard, context, gas_limit);
        let intent = Intent {
            purpose: Purpose::Seize { deployment, market, accounts: ids.iter().map(|id| id.account).collect() },
            priority: Priority::High,
            to: call.to,
            data: call.data,
            gas_limit,
            expected_gas,
            expected_gain,
            extra_wei,
            margin_bps,
            deadline: self.deadline(context),
            scope,
            guard: GuardKind::OnChain,
            bid: priority_fee(share, expected_gas, quote.net()),
            profit: Some(Profit { token: first.lot.debt, rate: first.rate, repaid: None, builder_share_bps: 0 }),
        };
        decisions.act(ids, intent, quote.charge_wei);
    }

    fn revert_cost(&self, quote: &Quote, costs: Costs) -> RevertCost {
        if !self.reverts_are_mined {
            return RevertCost::default();
        }
        RevertCost::of_race(LOST_RACE_GAS, quote.worth.gas, costs.gas_price, quote.net())
    }

    /// Encodes a job. `gas` is the transaction's limit; the call has what is left of it.
    fn call(
        &self,
        items: Vec<IExecutor::Item>,
        token: Address,
        guard: &ProfitGuard,
        context: BlockContext<'_>,
        gas: u64,
    ) -> Call {
        let mut call = IExecutor::executeCall {
            job: IExecutor::Job {
                items,
                receiver: self.receiver,
                profitToken: token,
                minProfit: guard.min_profit,
                unitsPerWeiX96: guard.units_per_wei_x96,
                gasOverhead: U256::ZERO,
                extraWei: guard.extra_wei,
                builderShareBps: 0,
                deadline: U256::from(self.deadline(context)),
            },
        };
        let before = intrinsic_gas(&call.abi_encode());
        if guard.units_per_wei_x96 != 0 {
            let overhead = before.saturating_add(OVERHEAD_BYTES_GAS).saturating_add(UNMEASURED_GAS);
            call.job.gasOverhead = U256::from(overhead);
        }
        Call { to: self.executor, data: call.abi_encode().into(), gas: gas.saturating_sub(before) }
    }

    const fn deadline(&self, context: BlockContext<'_>) -> u64 {
        context.header.timestamp.saturating_add(self.deadline_secs)
    }
}

/// Returns the executor's item of a position; `gas_cap` 0 for one that is not isolated.
fn item(candidate: &Candidate<'_>, gas_cap: u64, min_left: U256) -> IExecutor::Item {
    let Candidate { lot, target, expected, route, .. } = candidate;
    // Where debt tokens are bought first, collateral is left, which is sold the same way: profit is in the debt token.
    let conversion = if target.repays_first { route.clone() } else { Bytes::new() };
    let amount = |units: U256| units.uint_try_to().unwrap_or(u128::MAX);
    IExecutor::Item {
        target: target.index,
        exactOut: false,
        gasCap: u32::try_from(gas_cap).unwrap_or(u32::MAX),
        debt: lot.debt,
        collateral: lot.collateral,
        maxRepay: amount(expected.offered),
        minLeft: amount(min_left),
        route: route.clone(),
        conversion,
        data: expected.data.clone(),
    }
}

/// Returns the item of a position in a job of several.
fn isolated(candidate: &Candidate<'_>, single: &Quote, min_left: U256) -> IExecutor::Item {
    let cap = (single.gas.saturating_mul(ITEM_PERCENT) / 100).saturating_add(ITEM_HEADROOM);
    item(candidate, cap, min_left)
}

/// Reads what a simulated job did.
fn outcome(simulated: &SimulatedCall) -> Result<IExecutor::Outcome, Revert> {
    let data = simulated.result.as_ref().map_err(Revert::decode)?;
    let undecodable = |_| Revert::Other("its return data cannot be decoded".into());
    IExecutor::executeCall::abi_decode_returns(data).map_err(undecodable)
}

/// Computes what a profit is worth after gas; fails where it does not pay.
fn quote(rate: Rate, profit: U256, gas_used: u64, data: &[u8], context: BlockContext<'_>) -> Result<Quote, SkipReason> {
    let gain_wei = rate.value_down(profit);
    let gas = gas_used.saturating_add(intrinsic_gas(data));
    let charged = gas.saturating_add(UNMEASURED_GAS).saturating_add(OVERHEAD_BYTES_GAS);
    let worth = context.costs.worth(gain_wei, charged, data.len());
    let charge_wei = worth.cost_at(context.costs.gas_price);
    if !worth.pays_at(context.costs.gas_price) {
        return Err(SkipReason::GainBelowGas { gain_wei, gas_wei: charge_wei });
    }
    Ok(Quote { profit, gas, worth, charge_wei })
}
