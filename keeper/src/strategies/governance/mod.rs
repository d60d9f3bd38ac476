//! Executing what governance has due.
//!
//! A proposal that is queued can be executed by anybody once its calls have waited; an operation of the manager only by
//! the account that scheduled it. Each is simulated in the block in which it is due and sent if it succeeds, so whatever
//! the manager would refuse costs nothing. Nobody pays the operator for the gas: it counts as a loss in the ledger, and the
//! day's budget bounds it.

#[cfg(test)]
mod tests;

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::governance::{IAccessManager, IGovernor};

use super::{
    BlockContext, Decisions, Exclusion, Revert, SkipReason,
    gas::{GasTable, intrinsic_gas},
};
use crate::{
    book::{GovernanceState, Operation, Proposal},
    intent::{GuardKind, Intent, Priority, Purpose, Scope, Worth},
    prices::{Call, ChainReader},
    safety::ResultsLedger,
};

/// Name of the strategy.
pub const NAME: &str = "governance";

/// Most operations and proposals that are simulated for one block.
pub const MAX_TRIALS: usize = 8;

/// Parameters of executing what is due.
#[derive(Debug, Clone)]
pub struct GovernanceSettings {
    /// Account that signs and sends the transactions.
    pub keeper: Address,
    /// The deployment's manager.
    pub manager: Address,
    /// Gas limits of transactions.
    pub gas: GasTable,
    /// Highest price per gas that is paid, in wei.
    pub max_gas_price: u128,
    /// Most that may be spent within a UTC day, in wei.
    pub budget_per_day: U256,
    /// Seconds after the decision up to which a transaction may be mined.
    pub deadline_secs: u64,
}

/// The strategy that executes operations and proposals.
#[derive(Debug)]
pub struct Governance {
    settings: GovernanceSettings,
}

impl Governance {
    /// Returns the strategy with these parameters.
    #[must_use]
    pub const fn new(settings: GovernanceSettings) -> Self {
        Self { settings }
    }

    /// Decides about everything that is due. Where nothing is, no request is made. `results` say what was spent today, by
    /// this process or an earlier one.
    pub async fn decide<R: ChainReader>(
        &self,
        reader: &R,
        state: &GovernanceState,
        context: BlockContext<'_>,
        (exclusion, results): (Exclusion<'_, B256>, &ResultsLedger),
    ) -> Decisions<B256> {
        let mut decisions = Decisions::default();
        let mut calls = self.due(state, context, &mut decisions);
        calls.retain(|(id, _)| !decisions.skip_excluded(*id, exclusion));
        decisions.skip(calls.split_off(calls.len().min(MAX_TRIALS)).iter().map(|(id, _)| *id), &SkipReason::TriedLater);
        if calls.is_empty() {
            return decisions;
        }
        let inner = calls
            .iter()
            .map(|(_, call)| Call { gas: call.gas.saturating_sub(intrinsic_gas(&call.data)), ..call.clone() });
        let simulated = match reader.run_each(context.header, inner.collect::<Vec<_>>()).await {
            Ok(simulated) => simulated,
            Err(error) => {
                decisions.skip(calls.iter().map(|(id, _)| *id), &SkipReason::unanswered(&error));
                return decisions;
            }
        };
        let mut spent_wei = results.of_scope(&self.scope(), context.header.timestamp).cost_wei;
        for ((id, call), simulated) in calls.into_iter().zip(simulated) {
            if let Err(error) = simulated.result {
                decisions.skip([id], &SkipReason::Reverts(Revert::decode(&error)));
                continue;
            }
            let gas = simulated.gas_used.saturating_add(intrinsic_gas(&call.data));
            let budget_wei = self.settings.budget_per_day;
            // No bid and no replacement exceeds what the gain pays for.
            let most = self.most_for(gas).min(budget_wei.saturating_sub(spent_wei));
            let worth = Worth { margin_bps: 0, ..context.costs.worth(most, gas, call.data.len()) };
            let gas_wei = worth.cost_at(context.costs.gas_price);
            if !worth.pays_at(context.costs.gas_price) {
                decisions.skip([id], &SkipReason::BudgetSpent { spent_wei, budget_wei });
                continue;
            }
            spent_wei = spent_wei.saturating_add(gas_wei);
            decisions.act([id], self.intent(id, call, gas, &worth, context), gas_wei);
        }
        decisions
    }

    /// Returns the calls that execute what is due, proposals first. Operations that belong to a proposal are left to it, and
    /// those that another account must execute are skipped.
    fn due(
        &self,
        state: &GovernanceState,
        context: BlockContext<'_>,
        decisions: &mut Decisions<B256>,
    ) -> Vec<(B256, Call)> {
        let now = context.header.timestamp;
        let proposals = state.proposals.iter().filter(|(_, proposal)| proposal.due.is_some_and(|due| due <= now));
        let mut calls: Vec<_> =
            proposals.map(|(id, proposal)| (*id, execute_proposal(proposal, context.room))).collect();
        for (id, operation) in state.operations.iter().filter(|(_, operation)| operation.due <= now) {
            if operation.caller == self.settings.keeper {
                calls.push((*id, self.execute_operation(operation, context.room)));
            } else if !state.is_of_proposal(operation) {
                decisions.skip([*id], &SkipReason::NotScheduler { account: operation.caller });
            }
        }
        calls
    }

    fn execute_operation(&self, operation: &Operation, gas: u64) -> Call {
        let call = &operation.call;
        let data = IAccessManager::executeCall { target: call.target, data: call.data.clone() };
        Call::trial(self.settings.manager, data.abi_encode(), gas)
    }

    /// Returns the most that a transaction of so much gas may cost, in wei.
    fn most_for(&self, gas: u64) -> U256 {
        U256::from(self.settings.max_gas_price).saturating_mul(U256::from(gas))
    }

    /// Executions of one deployment are counted together, so that one budget and one breaker bound them.
    fn scope(&self) -> Scope {
        Scope::new(NAME, self.settings.manager.into_word())
    }

    fn intent(&self, id: B256, call: Call, gas: u64, worth: &Worth, context: BlockContext<'_>) -> Intent {
        Intent {
            purpose: Purpose::ExecuteOperation { id },
            priority: Priority::Low,
            to: call.to,
            data: call.data,
            gas_limit: self.settings.gas.gas_limit(gas).min(context.room),
            expected_gas: gas,
            expected_gain: worth.gain,
            extra_wei: worth.extra_wei,
            margin_bps: 0,
            deadline: context.header.timestamp.saturating_add(self.settings.deadline_secs),
            scope: self.scope(),
            guard: GuardKind::None,
            bid: 0,
            profit: None,
        }
    }
}

fn execute_proposal(proposal: &Proposal, gas: u64) -> Call {
    let data = IGovernor::executeCall {
        targets: proposal.calls.iter().map(|call| call.target).collect(),
        values: proposal.calls.iter().map(|call| call.value).collect(),
        calldatas: proposal.calls.iter().map(|call| call.data.clone()).collect(),
        descriptionHash: proposal.description_hash,
    };
    Call::trial(proposal.governor, data.abi_encode(), gas)
}
