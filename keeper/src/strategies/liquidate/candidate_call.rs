//! Candidate calls: the transactions that are simulated before one is chosen, a batch as a whole and in parts, by every
//! way of funding.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{ILiquidator, IPlimsoll};

use super::{
    LiquidateSettings,
    batches::{LiquidationCosts, LoanBatch},
    funding::Funding,
    market_snapshot::{ExpectedLiquidation, MarketSnapshot},
};
use crate::{
    prices::Call,
    strategies::gas::{OVERHEAD_BYTES_GAS, intrinsic_gas},
};

/// A batch is simulated whole and halved at most this often, as long as a part's incentive at the oracle's price pays for
/// its gas: a loan of millions meets the pools at a slice of one dollar, too.
const MAX_HALVINGS: usize = 24;

/// A transaction that could be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CandidateCall<'a> {
    pub(super) funding: Funding<'a>,
    pub(super) borrowers: Vec<Address>,
    /// Max repay over all loans, in units of the loan token; `U256::MAX` for the whole batch.
    pub(super) max_repay: U256,
    /// Repayment that the book expects, in units of the loan token.
    pub(super) expected_repaid: U256,
    pub(super) expected_gas: u64,
    pub(super) gas_limit: u64,
}

/// Gas of execution that the `Liquidator` contract does not measure: what runs before its measurement and after it (some
/// 3,600, by its tests).
const UNMEASURED_GAS: u64 = 5_000;

/// Lower bounds that a call checks on chain: it reverts where they are not met, whether by slippage or because rivals were
/// faster. 0 for no bound. They count after what the builder is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ProfitGuard {
    /// Minimum profit of a flash swap after the charge for gas, in units of the token that the profit is in.
    pub(super) min_profit: U256,
    /// Charge for gas, which the profit of a flash swap must cover besides.
    pub(super) charge: GasCharge,
    /// Minimum collateral seized for each unit of the loan token repaid from inventory, 1e36-scaled.
    pub(super) min_seized_per_repaid: U256,
    /// Share of a flash swap's profit after gas that the block's builder is paid, in basis points.
    pub(super) builder_share_bps: u16,
}

/// What the `Liquidator` contract charges for gas, at the price that the transaction pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct GasCharge {
    /// Units of the profit's token that are worth one wei, times 2^96; 0 to charge nothing.
    pub(super) units_per_wei_x96: u128,
    /// Fees besides gas, in wei.
    pub(super) extra_wei: U256,
}

/// Returns the calls for a batch by one funding: the whole batch within the funding's max repay first, then by halves of
/// the repayment, as long as a part is profitable at the oracle's price.
pub(super) fn whole_and_parts<'a>(
    costs: LiquidationCosts<'_>,
    snapshot: MarketSnapshot<'_>,
    batch: &LoanBatch,
    funding: Funding<'a>,
) -> Vec<CandidateCall<'a>> {
    let whole = funding.max_repay(snapshot.settings).min(batch.repaid);
    let mut calls: Vec<CandidateCall<'a>> = Vec::new();
    for halvings in 0..=MAX_HALVINGS {
        let limit = whole >> halvings;
        // The interest that accrues until the transaction is mined must not turn the whole batch into a part of it.
        let limit = if limit == batch.repaid { U256::MAX } else { limit };
        let Some((call, incentive)) = call_with_max_repay(costs, snapshot, batch, funding, limit) else { break };
        let gain_wei = funding.incentive_value(incentive, snapshot.price);
        if halvings != 0 && !costs.costs.is_profitable(gain_wei, costs.costs.transaction_cost(call.expected_gas, 0)) {
            break;
        }
        if calls.last().is_none_or(|larger| larger.expected_repaid != call.expected_repaid) {
            calls.push(call);
        }
    }
    calls
}

/// Returns the call for a whole batch; `None` where the core would do nothing.
pub(super) fn whole_batch<'a>(
    costs: LiquidationCosts<'_>,
    snapshot: MarketSnapshot<'_>,
    batch: &LoanBatch,
    funding: Funding<'a>,
) -> Option<CandidateCall<'a>> {
    call_with_max_repay(costs, snapshot, batch, funding, U256::MAX).map(|(call, _)| call)
}

/// Returns the call that repays at most `max_repay`, and its liquidation incentive at the oracle's price, in units of the
/// loan token; `None` where the core would do nothing.
pub(super) fn call_with_max_repay<'a>(
    costs: LiquidationCosts<'_>,
    snapshot: MarketSnapshot<'_>,
    batch: &LoanBatch,
    funding: Funding<'a>,
    max_repay: U256,
) -> Option<(CandidateCall<'a>, U256)> {
    if max_repay.is_zero() {
        return None;
    }
    let expected = snapshot.expect_liquidation(&mut batch.before.clone(), &batch.loans, max_repay);
    let ExpectedLiquidation { borrowers, repaid: expected_repaid, incentive, .. } = expected;
    if borrowers.is_empty() {
        return None;
    }
    let expected_gas = costs.table.liquidation_gas(borrowers.len(), funding.pools());
    let gas_limit = if costs.table.use_simulated_gas { costs.room } else { costs.table.gas_limit(expected_gas) };
    Some((CandidateCall { funding, borrowers, max_repay, expected_repaid, expected_gas, gas_limit }, incentive))
}

impl CandidateCall<'_> {
    /// Encodes the call as the keeper sends it, with a guard.
    pub(super) fn encode(
        &self,
        settings: &LiquidateSettings,
        snapshot: MarketSnapshot<'_>,
        guard: ProfitGuard,
    ) -> Call {
        let (params, borrowers) = (snapshot.market.params().clone(), self.borrowers.clone());
        let (to, data) = match self.funding {
            Funding::FlashSwap { route, .. } => {
                let charge = guard.charge;
                let mut liquidation = ILiquidator::Liquidation {
                    params,
                    borrowers,
                    maxRepay: self.max_repay,
                    swapper: route.swapper,
                    route: route.path.clone(),
                    profitInCollateral: route.profit_in_collateral,
                    minProfit: guard.min_profit,
                    unitsPerWeiX96: charge.units_per_wei_x96,
                    gasOverhead: U256::ZERO,
                    extraWei: charge.extra_wei,
                    receiver: settings.receiver,
                    deadline: U256::from(settings.deadline(snapshot.timestamp)),
                };
                let encode = |liquidation: ILiquidator::Liquidation| match guard.builder_share_bps {
                    0 => ILiquidator::liquidateCall { liquidation }.abi_encode(),
                    share => {
                        ILiquidator::liquidateForBuilderCall { liquidation, shareBps: U256::from(share) }.abi_encode()
                    }
                };
                if charge.units_per_wei_x96 != 0 {
                    let before = intrinsic_gas(&encode(liquidation.clone())).saturating_add(OVERHEAD_BYTES_GAS);
                    liquidation.gasOverhead = U256::from(before.saturating_add(UNMEASURED_GAS));
                }
                (settings.liquidator.unwrap_or_default(), encode(liquidation))
            }
            Funding::Inventory { .. } => {
                let call = IPlimsoll::liquidateCall {
                    params,
                    borrowers,
                    maxRepay: self.max_repay,
                    minSeizedPerRepaid: guard.min_seized_per_repaid,
                    receiver: settings.receiver,
                    data: Bytes::new(),
                };
                (settings.core, call.abi_encode())
            }
        };
        Call::trial(to, data, self.gas_limit)
    }
}
