//! The calls that execute orders: which could pay, what a simulated one brings and costs, and the intent that is sent.

use alloy::{primitives::U256, sol_types::SolCall};
use plimsoll_contracts::{IGuard, IOrderExecutor, MarketParams};

use super::{GuardSettings, NAME, OrderId, decide::id_of};
use crate::{
    book::{MarketBook, TriggeredOrder},
    intent::{GuardKind, Intent, Priority, Profit, Purpose, Scope, Worth},
    math::guard::OrderKind,
    prices::{Call, NoValuation, Rate, SimulatedCall, Values},
    strategies::{
        BlockContext, Decisions, Revert, SkipReason,
        bids::{Bid, Bids, RevertCost, priority_fee},
        gas::{Costs, OVERHEAD_BYTES_GAS, before_refunds, intrinsic_gas, kept, no_room},
        liquidate::SwapRoute,
    },
};

/// Gas of an execution that reverts because a rival was first, with its base cost and calldata, at most.
pub const LOST_RACE_GAS: u64 = 46_000;
/// Gas of execution that the `OrderExecutor` contract does not measure: what runs before its measurement and after it.
const UNMEASURED_GAS: u64 = 8_000;

/// An order that is simulated, by one route.
pub(super) struct Trial<'a> {
    pub(super) id: OrderId,
    params: &'a MarketParams,
    route: &'a SwapRoute,
    /// Repayment by the executor, in units of the loan token.
    payment: U256,
    /// Gain at the oracle's price, in wei.
    pub(super) expected_wei: U256,
    rate: Rate,
    units_per_wei_x96: u128,
    gas: u64,
    gas_limit: u64,
}

/// What a simulated order would bring and cost.
pub(super) struct Quote {
    /// Units of the loan token.
    profit: U256,
    gas_wei: U256,
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

/// Lower bounds that a call checks on chain; none in a simulation.
#[derive(Default)]
struct ProfitGuard {
    min_profit: U256,
    units_per_wei_x96: u128,
    extra_wei: U256,
}

impl GuardSettings {
    /// Returns the calls that could execute an order, one for each route. Fails with the reason where none could pay.
    pub(super) fn trials<'a>(
        &'a self,
        market: &'a MarketBook,
        order: &TriggeredOrder,
        values: &Values,
        context: BlockContext<'_>,
    ) -> Result<Vec<Trial<'a>>, SkipReason> {
        let (id, params) = (id_of(market, order), market.params());
        let token = params.loanToken;
        let no_valuation = |problem| SkipReason::NoValuation { token, problem };
        let rate = values.of(token).map_err(no_valuation)?;
        let units_per_wei_x96 = rate.units_per_wei_x96().ok_or(no_valuation(NoValuation::OutOfRange))?;
        let price = context.prices.of(id.market).map_err(SkipReason::NoPrice)?;
        let expected_wei = rate.value_down(U256::from(order.execution.reward(price)));
        let (mut trials, mut reason) = (Vec::new(), SkipReason::NoRoute);
        for route in self.markets.get(&id.market.0).into_iter().flatten() {
            let gas = self.gas.order_gas(route.pools);
            let table_limit = self.gas.gas_limit(gas);
            let gas_limit = if self.gas.use_simulated_gas { context.room } else { table_limit };
            let gas_wei = context.costs.transaction_cost(gas, 0);
            if gas_limit > context.room || context.room == 0 {
                reason = SkipReason::Held { rule: no_room(context.room) };
            } else if !context.costs.is_profitable(expected_wei, gas_wei) {
                reason = SkipReason::GainBelowGas { gain_wei: expected_wei, gas_wei };
            } else {
                let payment = U256::from(order.execution.payment);
                let trial = Trial { id, params, route, payment, expected_wei, rate, units_per_wei_x96, gas, gas_limit };
                trials.push(trial);
            }
        }
        if trials.is_empty() { Err(reason) } else { Ok(trials) }
    }

    /// Computes what a simulated order brings and costs; fails with the reason where it reverted or does not pay.
    pub(super) fn quote(
        &self,
        trial: &Trial<'_>,
        simulated: &SimulatedCall,
        context: BlockContext<'_>,
    ) -> Result<Quote, SkipReason> {
        let data = match &simulated.result {
            Ok(data) => data,
            Err(error) => {
                let revert = Revert::decode(error);
                return Err(if revert.is_lack_of_liquidity() {
                    SkipReason::SwapTooThin { repaid: trial.payment, revert }
                } else {
                    SkipReason::Reverts(revert)
                });
            }
        };
        let undecodable = |_| SkipReason::Reverts(Revert::Other("its return data cannot be decoded".into()));
        let profit = IOrderExecutor::executeCall::abi_decode_returns(data).map_err(undecodable)?;
        let gain_wei = trial.rate.value_down(profit);
        let calldata = self.encode(trial, context, &ProfitGuard::default());
        let is_simulated = self.gas.use_simulated_gas;
        let gas =
            if is_simulated { simulated.gas_used.saturating_add(intrinsic_gas(&calldata.data)) } else { trial.gas };
        // Simulated gas is before refunds, the table's after them.
        let charged_gas = if is_simulated { gas } else { before_refunds(gas) };
        let bytes = calldata.data.len();
        let worth = context.costs.worth(gain_wei, charged_gas, bytes);
        let charge_wei = worth.cost_at(context.costs.gas_price);
        if !worth.pays_at(context.costs.gas_price) {
            return Err(SkipReason::GainBelowGas { gain_wei, gas_wei: charge_wei });
        }
        Ok(Quote { profit, gas_wei: context.costs.transaction_cost(gas, bytes), worth, charge_wei })
    }

    /// Adds the intent of an order, unless rivals make that a loss.
    pub(super) fn send(
        &self,
        trial: &Trial<'_>,
        quote: &Quote,
        context: BlockContext<'_>,
        bids: &Bids,
        decisions: &mut Decisions<OrderId>,
    ) {
        let OrderId { market, account, kind } = trial.id;
        let scope = Scope::new(NAME, market.0);
        let Bid::Share(share) = bids.bid(&scope, self.revert_cost(quote, context.costs)) else {
            return decisions.skip([trial.id], &SkipReason::Outbid { net_wei: quote.net() });
        };
        let Worth { gain: expected_gain, gas: expected_gas, extra_wei, margin_bps } = quote.worth;
        let net = quote.profit.saturating_sub(trial.rate.units_up(quote.charge_wei));
        let min_profit = kept(kept(net, self.bid_share_bps), self.max_slippage_bps);
        let guard = ProfitGuard { min_profit, units_per_wei_x96: trial.units_per_wei_x96, extra_wei };
        let call = self.encode(trial, context, &guard);
        let table = &self.gas;
        let intent = Intent {
            purpose: Purpose::ExecuteOrder { market: market.0, account, kind },
            priority: Priority::Low,
            to: call.to,
            data: call.data,
            gas_limit: if table.use_simulated_gas {
                table.gas_limit(expected_gas).min(context.room)
            } else {
                trial.gas_limit
            },
            expected_gas,
            expected_gain,
            extra_wei,
            margin_bps,
            deadline: self.deadline(context),
            scope,
            guard: GuardKind::OnChain,
            bid: priority_fee(share, expected_gas, quote.net()),
            profit: Some(Profit {
                token: trial.params.loanToken,
                rate: trial.rate,
                repaid: None,
                builder_share_bps: 0,
            }),
        };
        decisions.act([trial.id], intent, quote.gas_wei);
    }

    fn revert_cost(&self, quote: &Quote, costs: Costs) -> RevertCost {
        if !self.reverts_are_mined {
            return RevertCost::default();
        }
        RevertCost::of_race(LOST_RACE_GAS, quote.worth.gas, costs.gas_price, quote.net())
    }

    /// Returns a trial's call without bounds, with the gas that its transaction would leave it.
    pub(super) fn simulated(&self, trial: &Trial<'_>, context: BlockContext<'_>) -> Call {
        let call = self.encode(trial, context, &ProfitGuard::default());
        Call { gas: call.gas.saturating_sub(intrinsic_gas(&call.data)), ..call }
    }

    fn encode(&self, trial: &Trial<'_>, context: BlockContext<'_>, guard: &ProfitGuard) -> Call {
        let mut call = IOrderExecutor::executeCall {
            wanted: IOrderExecutor::OrderExecution {
                params: trial.params.clone(),
                account: trial.id.account,
                kind: contract_kind(trial.id.kind),
                swapper: trial.route.swapper,
                route: trial.route.path.clone(),
                minProfit: guard.min_profit,
                unitsPerWeiX96: guard.units_per_wei_x96,
                gasOverhead: U256::ZERO,
                extraWei: guard.extra_wei,
                receiver: self.receiver,
                deadline: U256::from(self.deadline(context)),
            },
        };
        if guard.units_per_wei_x96 != 0 {
            let before = intrinsic_gas(&call.abi_encode()).saturating_add(OVERHEAD_BYTES_GAS);
            call.wanted.gasOverhead = U256::from(before.saturating_add(UNMEASURED_GAS));
        }
        Call::trial(self.executor, call.abi_encode(), trial.gas_limit)
    }

    const fn deadline(&self, context: BlockContext<'_>) -> u64 {
        context.header.timestamp.saturating_add(self.deadline_secs)
    }
}

/// Returns the kind as the contract's calls take it.
const fn contract_kind(kind: OrderKind) -> IGuard::Kind {
    match kind {
        OrderKind::Protect => IGuard::Kind::Protect,
        OrderKind::CloseBelow => IGuard::Kind::CloseBelow,
        OrderKind::CloseAbove => IGuard::Kind::CloseAbove,
    }
}
