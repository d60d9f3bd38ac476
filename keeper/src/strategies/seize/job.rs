//! The executor's calls: what a simulated one brings and costs, and the intent that is sent.

use alloy::{
    primitives::{Address, Bytes, U256, ruint::UintTryTo},
    sol_types::SolCall,
};
use plimsoll_contracts::{IExecutor, market::BPS};
use plimsoll_protocols::{Expected, Lot};

use super::{NAME, PositionId, SeizeSettings};
use crate::{
    intent::{GuardKind, Intent, Priority, Profit, Purpose, Scope, Worth},
    prices::{Call, Rate, SimulatedCall},
    strategies::{
        BlockContext, Decisions, Revert, SkipReason,
        bids::{self, Bid, Bids, RevertCost, priority_fee},
        gas::{Costs, OVERHEAD_BYTES_GAS, intrinsic_gas, kept, no_room},
    },
};

/// Gas of a job that reverts because a rival was first, with its base cost and calldata, at most.
const LOST_RACE_GAS: u64 = 80_000;
/// Gas of execution that the `Executor` contract does not measure: what runs before its measurement and after it, a
/// transfer of the profit to an account that has none of the token among it.
const UNMEASURED_GAS: u64 = 50_000;
/// Gas of paying the builder, at most: unwrapping, and an account that is new or wrapping again what was refused.
const BUILDER_PAYMENT_GAS: u64 = 120_000;
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

/// The token that a profit is in, with its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProfitToken {
    pub(super) token: Address,
    pub(super) rate: Rate,
    /// Units of it that one wei is worth, times 2^96, by which the contract converts the cost of gas.
    pub(super) units_per_wei_x96: u128,
}

impl ProfitToken {
    /// Returns the token that wraps the native coin.
    pub(super) const fn wrapped_coin(token: Address) -> Self {
        Self { token, rate: Rate::ONE, units_per_wei_x96: 1 << 96 }
    }
}

/// A liquidation that is simulated.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    pub(super) id: PositionId,
    pub(super) lot: &'a Lot,
    pub(super) target: Target,
    pub(super) expected: Expected,
    /// Route or split by which collateral is sold for debt tokens.
    pub(super) route: Bytes,
    /// The same for buying debt tokens, where shares are of those.
    pub(super) buying: Bytes,
    /// Debt tokens that all of the collateral brings by this route, by the state of the pools.
    pub(super) proceeds: U256,
    pub(super) profit: ProfitToken,
    /// Whether only as much collateral is sold as the repayment takes.
    pub(super) exact_out: bool,
    /// Route by which the remainder is sold for the profit's token; empty if it is in that token already.
    pub(super) conversion: Bytes,
}

impl Candidate<'_> {
    /// Returns the collateral that is seized, in its units.
    pub(super) const fn seized(&self) -> U256 {
        self.expected.liquidation.seized
    }
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

    /// Returns the value of the profit before gas, in wei.
    pub(super) const fn gain(&self) -> U256 {
        self.worth.gain
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
            (first.id.market, first.profit.token) == (other.id.market, other.profit.token)
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
    /// Share of what exceeds these that the block's builder is paid, in basis points.
    builder_share_bps: u16,
}

impl SeizeSettings {
    /// Returns the trial of one position on its own: the same in every block, as long as the candidate is.
    pub(super) fn trial(&self, candidate: &Candidate<'_>, context: BlockContext<'_>) -> Call {
        let item = item(candidate, 0, U256::ZERO);
        self.call(vec![item], candidate.profit.token, &ProfitGuard::default(), u64::MAX, TRIAL_GAS.min(context.room))
    }

    /// Returns the trial of a job whose items are isolated from each other.
    pub(super) fn job_trial(&self, job: &Job<'_>, context: BlockContext<'_>) -> Call {
        let items = job.items.iter().map(|(candidate, quote)| isolated(candidate, quote, U256::ZERO)).collect();
        let token = job.candidates().next().map(|candidate| candidate.profit.token).unwrap_or_default();
        self.call(items, token, &ProfitGuard::default(), self.deadline(context), context.room)
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
        quote(candidate.profit.rate, outcome.profit, simulated.gas_used, &data, context)
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
            let quote = quote(first.profit.rate, outcome.profit, simulated.gas_used, &data, context)?;
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
        let ProfitToken { token, rate, units_per_wei_x96 } = first.profit;
        let net = quote.profit.saturating_sub(rate.units_up(quote.charge_wei));
        // Several are bounded one by one, since rivals may take some of them.
        let min_profit = match candidates {
            [_] => kept(kept(net, self.bid_share_bps), self.max_slippage_bps),
            _ => U256::ZERO,
        };
        let worth = Worth { gas: quote.worth.gas.saturating_add(BUILDER_PAYMENT_GAS), ..quote.worth };
        let pays_builder = self.builders_coin == Some(token)
            && worth.pays_at(context.costs.gas_price)
            && gas_limit.saturating_add(BUILDER_PAYMENT_GAS) <= context.room;
        let builder_share_bps = if pays_builder { self.builder_share(share, net, min_profit) } else { 0 };
        let (worth, gas_limit, bid) = match builder_share_bps {
            0 => (quote.worth, gas_limit, priority_fee(share, quote.worth.gas, quote.net())),
            _ => (worth, gas_limit.saturating_add(BUILDER_PAYMENT_GAS), 0),
        };
        let Worth { gain: expected_gain, gas: expected_gas, extra_wei, margin_bps } = worth;
        let guard = ProfitGuard { min_profit, units_per_wei_x96, extra_wei, builder_share_bps };
        let call = self.call(items, token, &guard, self.deadline(context), gas_limit);
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
            bid,
            profit: Some(Profit { token, rate, repaid: None, builder_share_bps }),
        };
        decisions.act(ids, intent, quote.charge_wei);
    }

    /// Returns the share to pay to the builder, in basis points, where `share` millionths of the net profit are bid. The
    /// contract pays a share of what exceeds `min_profit`, so that share is larger; it never exceeds the highest bid.
    fn builder_share(&self, share: u32, net: U256, min_profit: U256) -> u16 {
        let beyond = net.saturating_sub(min_profit).max(U256::ONE);
        let millionths = U256::from(share).saturating_mul(net).div_ceil(beyond);
        let share_bps = millionths.div_ceil(U256::from(bids::WHOLE / BPS));
        u16::try_from(share_bps).unwrap_or(u16::MAX).min(self.bid_share_bps)
    }

    fn revert_cost(&self, quote: &Quote, costs: Costs) -> RevertCost {
        if !self.reverts_are_mined {
            return RevertCost::default();
        }
        RevertCost::of_race(LOST_RACE_GAS, quote.worth.gas, costs.gas_price, quote.net())
    }

    /// Encodes a job. `gas` is the transaction's limit; the call has what is left of it.
    fn call(&self, items: Vec<IExecutor::Item>, token: Address, guard: &ProfitGuard, deadline: u64, gas: u64) -> Call {
        let mut call = IExecutor::executeCall {
            job: IExecutor::Job {
                items,
                receiver: self.receiver,
                profitToken: token,
                minProfit: guard.min_profit,
                unitsPerWeiX96: guard.units_per_wei_x96,
                gasOverhead: U256::ZERO,
                extraWei: guard.extra_wei,
                builderShareBps: guard.builder_share_bps,
                deadline: U256::from(deadline),
            },
        };
        let before = intrinsic_gas(&call.abi_encode());
        if guard.units_per_wei_x96 != 0 {
            let payment = if guard.builder_share_bps == 0 { 0 } else { BUILDER_PAYMENT_GAS };
            let after = UNMEASURED_GAS.saturating_add(payment);
            let overhead = before.saturating_add(OVERHEAD_BYTES_GAS).saturating_add(after);
            call.job.gasOverhead = U256::from(overhead);
        }
        Call::trial(self.executor, call.abi_encode(), gas.saturating_sub(before))
    }

    const fn deadline(&self, context: BlockContext<'_>) -> u64 {
        context.header.timestamp.saturating_add(self.deadline_secs)
    }
}

/// Returns the executor's item of a position; `gas_cap` 0 for one that is not isolated.
fn item(candidate: &Candidate<'_>, gas_cap: u64, min_left: U256) -> IExecutor::Item {
    let Candidate { lot, target, expected, route, buying, exact_out, conversion, .. } = candidate;
    let route = if target.repays_first || *exact_out { buying } else { route };
    let amount = |units: U256| units.uint_try_to().unwrap_or(u128::MAX);
    IExecutor::Item {
        target: target.index,
        exactOut: *exact_out,
        gasCap: u32::try_from(gas_cap).unwrap_or(u32::MAX),
        debt: lot.debt,
        collateral: lot.collateral,
        maxRepay: amount(expected.offered),
        minLeft: amount(min_left),
        route: route.clone(),
        conversion: conversion.clone(),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy::primitives::B256;
    use plimsoll_protocols::{Liquidation, Loan};

    use super::{super::tests::settings, *};
    use crate::{
        chain::Header,
        prices::Prices,
        strategies::bids::{Ordering, RaceRecord, RaceResult},
    };

    const COIN: Address = Address::repeat_byte(0xc0);
    const DOLLAR: Address = Address::repeat_byte(0xd0);
    const MARKET: B256 = B256::repeat_byte(3);
    const ETHER: u64 = 1_000_000_000_000_000_000;

    #[derive(Debug)]
    struct Whole;

    impl Loan for Whole {
        fn expect(&self, _max_repay: U256) -> Option<Expected> {
            None
        }
    }

    fn lot() -> Lot {
        let whole = Liquidation { repaid: U256::ONE, seized: U256::ONE, bonus: U256::ONE, bad_debt: U256::ZERO };
        let (collateral, account) = (Address::repeat_byte(0xa0), Address::repeat_byte(7));
        Lot { market: MARKET, account, collateral, debt: DOLLAR, whole, obstacle: None, loan: Arc::new(Whole) }
    }

    fn candidate(lot: &Lot, token: Address, repays_first: bool, exact_out: bool) -> Candidate<'_> {
        let expected = Expected { liquidation: lot.whole, offered: U256::ONE, data: Bytes::new() };
        Candidate {
            id: PositionId { deployment: Address::repeat_byte(1), market: MARKET, account: lot.account },
            lot,
            target: Target { index: 0, repays_first },
            expected,
            route: Bytes::from_static(b"selling"),
            buying: Bytes::from_static(b"buying"),
            proceeds: U256::ONE,
            profit: ProfitToken { token, ..ProfitToken::wrapped_coin(COIN) },
            exact_out,
            conversion: Bytes::new(),
        }
    }

    /// What is sent for a single position whose profit of an ether is in a token, where rivals bid so many millionths.
    fn sent(builders_coin: Option<Address>, token: Address, rivals: u32) -> (Intent, IExecutor::Job) {
        let settings = SeizeSettings { exchanged_for: Some(COIN), builders_coin, ..settings() };
        let mut bids = Bids::new(500_000, Ordering::Priority, RaceRecord::default());
        for _ in 0..32 {
            bids.record_result(&Scope::new(NAME, MARKET), RaceResult::Lost { theirs: 2, ours: 1, price: rivals });
        }
        let header = Header { timestamp: 1_000, ..Header::default() };
        let prices = Prices::default();
        let costs = Costs { gas_price: 1_000_000_000, data_byte_price: 0, margin_bps: 0 };
        let context = BlockContext { header: &header, prices: &prices, costs, room: 10_000_000 };
        let lot = lot();
        let candidate = candidate(&lot, token, false, false);
        let quote = quote(candidate.profit.rate, U256::from(ETHER), 300_000, &[0; 1_000], context).unwrap();
        let mut decisions = Decisions::default();
        settings.send_first(&Job { items: vec![(candidate, quote)] }, context, &bids, &mut decisions);
        let intent = decisions.intents.pop().unwrap();
        let job = IExecutor::executeCall::abi_decode(&intent.data).unwrap().job;
        (intent, job)
    }

    #[test]
    fn in_bundles_a_bid_on_a_profit_in_the_wrapped_coin_is_a_share_that_the_executor_pays() {
        let (by_fee, fee_job) = sent(None, COIN, 200_000);
        assert!(by_fee.bid > 0 && fee_job.builderShareBps == 0);
        let (other, other_job) = sent(Some(COIN), DOLLAR, 200_000);
        assert!(other.bid > 0 && other_job.builderShareBps == 0, "the profit is in another token");

        let (by_share, job) = sent(Some(COIN), COIN, 200_000);
        assert_eq!((by_share.bid, job.minProfit), (0, fee_job.minProfit));
        assert_eq!(by_share.profit.unwrap().builder_share_bps, job.builderShareBps);
        // The gas of paying is charged, and there is room for it.
        assert!(job.gasOverhead - fee_job.gasOverhead >= U256::from(BUILDER_PAYMENT_GAS));
        assert_eq!(by_share.expected_gas - by_fee.expected_gas, BUILDER_PAYMENT_GAS);
        assert_eq!(by_share.gas_limit - by_fee.gas_limit, BUILDER_PAYMENT_GAS);
        // Of what exceeds the least profit, so that together it is a little more than the rivals' fifth of all.
        let net = U256::from(ETHER) - U256::from(by_fee.expected_gas) * U256::from(1_000_000_000_u64);
        let paid = (net - job.minProfit) * U256::from(job.builderShareBps) / U256::from(BPS);
        assert!(paid >= net / U256::from(5) && paid < net / U256::from(4), "{paid} of {net}");
        assert!(job.builderShareBps <= 5_000);
        // Without rivals nothing is bid, and nothing is unwrapped.
        let (alone, job) = sent(Some(COIN), COIN, 0);
        assert_eq!((alone.bid, job.builderShareBps), (0, 0));
    }

    #[test]
    fn shares_of_a_split_are_of_what_is_bought_where_debt_tokens_are_bought() {
        let lot = lot();
        let route =
            |repays_first, exact_out| item(&candidate(&lot, DOLLAR, repays_first, exact_out), 0, U256::ZERO).route;
        assert_eq!(route(false, false), Bytes::from_static(b"selling"));
        assert_eq!((route(true, false), route(false, true)), (route(true, true), Bytes::from_static(b"buying")));
    }
}
