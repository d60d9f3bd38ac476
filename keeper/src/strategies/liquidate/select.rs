//! Profitability, slippage and the choice of what to send: from simulated calls to intents with a minimum profit guard.

use alloy::{
    primitives::{U256, map::AddressSet},
    sol_types::SolCall,
};
use plimsoll_contracts::{ILiquidator, IPlimsoll, market::BPS};

use super::{
    Liquidate, LoanId, NAME,
    candidate_call::{CandidateCall, GasCharge, ProfitGuard},
    funding::Funding,
    plan::{MarketPlan, Quote},
};
use crate::{
    intent::{GuardKind, Intent, Priority, Profit, Purpose, Scope, Worth},
    math::{liquidation::ORACLE_SCALE, wide::mul_div_down},
    prices::SimulatedCall,
    strategies::{
        BlockContext, Decisions, Revert, SkipReason,
        bids::{self, Bid, RevertCost, priority_fee},
        gas::{Costs, before_refunds, intrinsic_gas, kept},
    },
};

/// Gas of a liquidation that reverts because a rival was first: the core finds nothing to liquidate before anything is
/// swapped. With its base cost and calldata it is below this, by the tests.
const LOST_RACE_GAS: u64 = 70_000;

/// Gas of paying the builder, at most: what the `Liquidator` contract reserves for it.
const BUILDER_PAYMENT_GAS: u64 = 120_000;

/// What is bid against rivals for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// A priority fee per gas, in wei.
    PriorityFee(u128),
    /// A share of the realised profit, in basis points, which the call pays to the builder. Never 0.
    BuilderShare(u16),
}

impl Liquidate {
    /// Selects the independent call of a market that brings most after gas, if any is profitable. Where that is the whole
    /// first batch, the further batches follow as long as they are profitable one after the other.
    pub(super) fn select(
        &self,
        plan: &MarketPlan<'_>,
        context: BlockContext<'_>,
        independent: &[SimulatedCall],
        sequential: &[SimulatedCall],
        decisions: &mut Decisions<LoanId>,
    ) {
        let simulated = plan.independent.iter().zip(independent);
        let quotes: Vec<_> = simulated.map(|(call, simulated)| self.quote(plan, call, context, simulated)).collect();
        let quoted =
            plan.independent.iter().zip(&quotes).filter_map(|(call, quote)| Some((call, quote.as_ref().ok()?)));
        let best = quoted
            .filter(|(_, quote)| quote.is_profitable(&context.costs))
            // The first of equals: the larger part, and the funding that comes first in the settings.
            .reduce(|best, next| if next.1.net() > best.1.net() { next } else { best });
        let Some((call, quote)) = best else {
            decisions.skip(plan.loans(), &skip_reason(&plan.independent, &quotes));
            return;
        };
        let share = match self.bid(plan, quote, context.costs) {
            Bid::Share(share) => share,
            Bid::Outbid => {
                decisions.skip(plan.loans(), &SkipReason::Outbid { net_wei: quote.net_after_charge() });
                return;
            }
        };
        let mut sent = AddressSet::default();
        let is_whole_batch = plan.sequential.first().is_some_and(|whole| whole == call);
        if is_whole_batch {
            for (call, simulated) in plan.sequential.iter().zip(sequential) {
                let Ok(quote) = self.quote(plan, call, context, simulated) else { break };
                if !quote.is_profitable(&context.costs) {
                    break;
                }
                self.send(plan, call, &quote, (context, share), decisions, &mut sent);
            }
        }
        // Also where the sequential simulation found otherwise: independently it succeeded.
        if sent.is_empty() {
            self.send(plan, call, quote, (context, share), decisions, &mut sent);
        }
        let waiting: Vec<_> = plan.loans().filter(|loan| !sent.contains(&loan.account)).collect();
        decisions.skip(waiting, &SkipReason::OthersFirst { repaid: quote.repaid });
    }

    /// Computes what a simulated call brings and costs; fails with the reason where it reverted.
    pub(super) fn quote(
        &self,
        plan: &MarketPlan<'_>,
        call: &CandidateCall<'_>,
        context: BlockContext<'_>,
        simulated: &SimulatedCall,
    ) -> Result<Quote, Revert> {
        let undecodable = |_| Revert::Other("its return data cannot be decoded".into());
        let data = simulated.result.as_ref().map_err(Revert::decode)?;
        let (repaid, profit, gain_wei) = match call.funding {
            Funding::FlashSwap { profit: token, .. } => {
                let outcome = ILiquidator::liquidateCall::abi_decode_returns(data).map_err(undecodable)?;
                (outcome.repaid, outcome.profit, token.rate().value_down(outcome.profit))
            }
            Funding::Inventory { loan, collateral, .. } => {
                let outcome = IPlimsoll::liquidateCall::abi_decode_returns(data).map_err(undecodable)?;
                let (received, paid) = (collateral.value_down(outcome.seized), loan.value_up(outcome.repaid));
                (outcome.repaid, outcome.seized, received.saturating_sub(paid))
            }
        };
        let data = call.encode(&self.settings, plan.snapshot, ProfitGuard::default()).data;
        let (bytes, gas) = (data.len(), self.gas_of(call, simulated, &data));
        let gas_wei = context.costs.transaction_cost(gas, bytes);
        let charged_gas = match call.funding {
            // Simulated gas is before refunds, the table's after them.
            Funding::FlashSwap { .. } if !self.settings.gas.use_simulated_gas => before_refunds(gas),
            Funding::FlashSwap { .. } | Funding::Inventory { .. } => gas,
        };
        let worth = context.costs.worth(gain_wei, charged_gas, bytes);
        let charge_wei = worth.cost_at(context.costs.gas_price);
        Ok(Quote { repaid, profit, gain_wei, gas, gas_wei, worth, charge_wei })
    }

    /// Returns the share of a market's net profit to bid.
    fn bid(&self, plan: &MarketPlan<'_>, quote: &Quote, costs: Costs) -> Bid {
        let revert_cost = if self.settings.reverts_are_mined {
            RevertCost::of_race(LOST_RACE_GAS, quote.worth.gas, costs.gas_price, quote.net_after_charge())
        } else {
            RevertCost::default()
        };
        self.bids.bid(&Scope::new(NAME, plan.snapshot.id().0), revert_cost)
    }

    /// Returns the gas of a call's transaction: what it used in simulation where that counts, else what the table has.
    fn gas_of(&self, call: &CandidateCall<'_>, simulated: &SimulatedCall, data: &[u8]) -> u64 {
        if self.settings.gas.use_simulated_gas {
            simulated.gas_used.saturating_add(intrinsic_gas(data))
        } else {
            call.expected_gas
        }
    }

    /// Adds the intent of a call, and its borrowers to those for whom something is sent.
    fn send(
        &self,
        plan: &MarketPlan<'_>,
        call: &CandidateCall<'_>,
        quote: &Quote,
        (context, share): (BlockContext<'_>, u32),
        decisions: &mut Decisions<LoanId>,
        sent: &mut AddressSet,
    ) {
        let (snapshot, table, costs) = (plan.snapshot, &self.settings.gas, context.costs);
        let offer = self.offer(plan, call, quote, context, share);
        let (bid, builder_share_bps, payment_gas) = match offer {
            Offer::PriorityFee(fee) => (fee, 0, 0),
            Offer::BuilderShare(share_bps) => (0, share_bps, BUILDER_PAYMENT_GAS),
        };
        let Worth { gain: expected_gain, gas, extra_wei, margin_bps } = quote.worth;
        let expected_gas = gas.saturating_add(payment_gas);
        let (guard, price) = match call.funding {
            Funding::FlashSwap { .. } => (GuardKind::OnChain, costs.gas_price),
            Funding::Inventory { .. } => {
                let price = costs.guard_price(&quote.worth, bid);
                (GuardKind::UpTo(price), price)
            }
        };
        let guards = ProfitGuard { builder_share_bps, ..self.profit_guard(call, quote, price) };
        let encoded = call.encode(&self.settings, snapshot, guards);
        let intent = Intent {
            purpose: Purpose::Liquidate { market: snapshot.id().0, borrowers: call.borrowers.clone() },
            priority: Priority::High,
            to: encoded.to,
            data: encoded.data,
            // What was simulated fits the room, and so does the limit that the sender has to pay for.
            gas_limit: if table.use_simulated_gas {
                table.gas_limit(quote.gas.saturating_add(payment_gas)).min(context.room)
            } else {
                call.gas_limit.saturating_add(payment_gas)
            },
            expected_gas,
            expected_gain,
            extra_wei,
            margin_bps,
            deadline: self.settings.deadline(snapshot.timestamp),
            scope: Scope::new(NAME, snapshot.id().0),
            guard,
            bid,
            profit: Some(Profit { builder_share_bps, ..call.funding.profit(snapshot.market.params()) }),
        };
        decisions.act(call.borrowers.iter().map(|account| snapshot.loan(*account)), intent, quote.gas_wei);
        sent.extend(call.borrowers.iter().copied());
    }

    /// Returns the offer by which a share of the net profit, in millionths, is bid. In bundles it is a share of the profit that
    /// is really made, where that is in coins: a priority fee would be a share of the profit that was expected.
    fn offer(
        &self,
        plan: &MarketPlan<'_>,
        call: &CandidateCall<'_>,
        quote: &Quote,
        context: BlockContext<'_>,
        share: u32,
    ) -> Offer {
        let fee = Offer::PriorityFee(priority_fee(share, quote.worth.gas, quote.net_after_charge()));
        let is_flash_swap = matches!(call.funding, Funding::FlashSwap { .. });
        let token = call.funding.profit(plan.snapshot.market.params()).token;
        if share == 0 || !is_flash_swap || self.settings.builders_coin != Some(token) {
            return fee;
        }
        let with_payment = Worth { gas: quote.worth.gas.saturating_add(BUILDER_PAYMENT_GAS), ..quote.worth };
        let fits = call.gas_limit.saturating_add(BUILDER_PAYMENT_GAS) <= context.room;
        let share_bps = u16::try_from(share.div_ceil(bids::WHOLE / BPS)).unwrap_or(u16::MAX);
        let share_bps = share_bps.min(self.settings.bid_share_bps);
        if share_bps != 0 && fits && with_payment.pays_at(context.costs.gas_price) {
            Offer::BuilderShare(share_bps)
        } else {
            fee
        }
    }

    /// Computes the guard of a call. A flash swap must cover its gas at the price that is really paid, which the contract
    /// charges. A single loan must also keep, of what is left after gas and the highest bid, all but the accepted
    /// slippage. Several loans are bounded by their gas alone, since rivals may take some of them.
    fn profit_guard(&self, call: &CandidateCall<'_>, quote: &Quote, gas_price: u128) -> ProfitGuard {
        match call.funding {
            Funding::FlashSwap { profit: token, units_per_wei_x96, .. } => {
                let rate = token.rate();
                let net = quote.profit.saturating_sub(rate.units_up(quote.charge_wei));
                let after_bid = kept(net, self.settings.bid_share_bps);
                let is_single = call.borrowers.len() == 1;
                let min_profit = if is_single { kept(after_bid, self.settings.max_slippage_bps) } else { U256::ZERO };
                let charge = GasCharge { units_per_wei_x96, extra_wei: quote.worth.extra_wei };
                ProfitGuard { min_profit, charge, ..ProfitGuard::default() }
            }
            Funding::Inventory { loan, collateral, .. } => {
                let gas_wei = quote.worth.cost_at(gas_price);
                let wanted = collateral.units_up(loan.value_up(quote.repaid).saturating_add(gas_wei));
                let min_seized_per_repaid = mul_div_down(wanted, ORACLE_SCALE, quote.repaid.max(U256::ONE));
                ProfitGuard { min_seized_per_repaid, ..ProfitGuard::default() }
            }
        }
    }
}

/// Returns why none of the calls is worth sending, by the one that comes nearest to it.
fn skip_reason(calls: &[CandidateCall<'_>], quotes: &[Result<Quote, Revert>]) -> SkipReason {
    // Net gain, shifted so that losses can be compared, too.
    let nearness = |quote: &&Quote| quote.gain_wei.saturating_add(U256::MAX >> 1).saturating_sub(quote.charge_wei);
    if let Some(quote) = quotes.iter().filter_map(|quote| quote.as_ref().ok()).max_by_key(nearness) {
        return SkipReason::GainBelowGas { gain_wei: quote.gain_wei, gas_wei: quote.charge_wei };
    }
    let reverts = calls.iter().zip(quotes).filter_map(|(call, quote)| Some((call, quote.as_ref().err()?)));
    let smallest = reverts.min_by_key(|(call, revert)| (!revert.is_lack_of_liquidity(), call.expected_repaid));
    let Some((call, revert)) = smallest else { return SkipReason::NoPartPossible };
    match revert {
        Revert::NothingToLiquidate => SkipReason::LostRace,
        revert if revert.is_lack_of_liquidity() => {
            SkipReason::SwapTooThin { repaid: call.expected_repaid, revert: revert.clone() }
        }
        revert => SkipReason::Reverts(revert.clone()),
    }
}
