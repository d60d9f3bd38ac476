//! Proposals: read from files, simulated on a fork, sent, voted on, queued and executed, with a governor or by the members of
//! the manager's roles alone.
//!
//! Nothing about a proposal is kept on disk: its state is on the chain, so that a command that was interrupted is run again.

mod fork;
mod harm;
mod life;
mod page;
mod proposal;
mod send;
mod simulate;
mod state;

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{
    IBackstop,
    deployment::Deployment,
    governance::{CallReader, IAccessManager, IGovernor},
};

use self::state::Known;
pub use self::{
    harm::{Difference, Harm, Property, Severity},
    life::{GovernorProposal, Listed, Next, Stage, Subject, Support},
    page::page,
    proposal::{Action, Names, Proposal},
    send::{Mined, Prepared, Sender},
    simulate::{SimulatedAction, Simulation, Transfer},
};
use crate::{compile::Artifacts, connection::Chain, inspect::creation_block};

/// A governor, and the token whose holders vote in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Governor {
    /// Address.
    pub address: Address,
    /// Token of the votes.
    pub token: Address,
}

/// Governance of a deployment on a chain.
#[derive(Debug)]
pub struct Governance<'a> {
    /// Chain that it is on.
    pub chain: &'a Chain,
    /// Record of the deployment.
    pub record: &'a Deployment,
    /// Contracts with their functions and errors.
    pub artifacts: &'a Artifacts,
    /// Address of the `AccessManager`.
    pub manager: Address,
    /// The governor, if there is one.
    pub governor: Option<Governor>,
    /// Reads calls for people.
    pub reader: CallReader,
    /// Labels of roles.
    roles: BTreeMap<u64, String>,
    known: Known,
    /// Events of the manager, in order.
    logs: Vec<Log>,
}

/// An operation that was scheduled in the manager, and its latest schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Id: the hash of caller, target and data.
    pub id: B256,
    /// Number of times that it was scheduled.
    pub nonce: u32,
    /// Account that scheduled it, which alone may execute it.
    pub caller: Address,
    /// Contract that it calls.
    pub target: Address,
    /// Calldata.
    pub data: alloy::primitives::Bytes,
    /// Time from which it may be executed, in seconds since 1970.
    pub at: u64,
    /// Whether its latest schedule was cancelled or executed, by an event.
    pub end: Option<OperationEnd>,
    /// Transaction that ended it.
    pub ended_by: Option<B256>,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationEnd {
    /// It was executed.
    Executed,
    /// It was cancelled.
    Cancelled,
}

impl<'a> Governance<'a> {
    /// Finds manager and governor of a deployment. Fails if the record is of another chain or has no manager, or if the node
    /// does not search its log.
    pub async fn open(chain: &'a Chain, record: &'a Deployment, artifacts: &'a Artifacts) -> eyre::Result<Self> {
        ensure!(
            record.chain_id == chain.id() && record.genesis == chain.genesis(),
            "the record is of {} (chain {}), and {} is chain {}: use its endpoint",
            record.network,
            record.chain_id,
            chain.endpoint(),
            chain.id()
        );
        let manager = record.only("AccessManager").map(|contract| contract.address).wrap_err(
            "the record has no AccessManager, so there is nothing to propose: the contracts' owner calls them",
        )?;
        ensure!(!chain.code(manager).await?.is_empty(), "there is no contract at the manager's address {manager}");
        let governor = match record.only("PlimsollGovernor") {
            None => None,
            Some(contract) => {
                let address = contract.address;
                let token = chain.read(address, IGovernor::tokenCall {}).await?;
                let token = token.wrap_err_with(|| format!("{address} does not answer as a governor"))?;
                Some(Governor { address, token })
            }
        };
        let functions: Vec<_> = artifacts.iter().flat_map(|artifact| artifact.abi.functions()).collect();
        let mut governance = Self {
            chain,
            record,
            artifacts,
            manager,
            governor,
            reader: CallReader::new(record).with_functions(functions),
            roles: BTreeMap::new(),
            known: Known::default(),
            logs: Vec::new(),
        };
        let vaults = record.contracts.values().filter(|contract| contract.contract == "Vault").map(|it| it.address);
        let addresses: Vec<Address> = vaults.chain([manager]).collect();
        let logs = chain.logs(&Filter::new().address(addresses), creation_block(record, manager)).await?;
        for log in &logs {
            governance.known.add(log);
            if let Ok(event) = IAccessManager::RoleLabel::decode_log(&log.inner) {
                governance.roles.insert(event.roleId, event.label.clone());
                governance.reader.name_role(event.roleId, event.label.clone());
            }
        }
        governance.logs = logs;
        Ok(governance)
    }

    /// Returns what the names in a proposal's file mean.
    #[must_use]
    pub const fn names(&self) -> Names<'_> {
        Names { record: self.record, artifacts: self.artifacts, roles: &self.roles, reader: &self.reader }
    }

    /// Returns whether an account is a brake of depositors.
    #[must_use]
    pub fn is_brake(&self, account: Address) -> bool {
        self.brakes().any(|brake| brake == account)
    }

    fn brakes(&self) -> impl Iterator<Item = Address> {
        let brakes = self.record.contracts.values().filter(|contract| contract.contract == "Brake");
        brakes.map(|contract| contract.address)
    }

    fn has_brakes(&self) -> bool {
        self.brakes().next().is_some()
    }

    /// Returns the longest time in seconds that a depositor of a backstop needs to leave.
    async fn longest_exit(&self) -> eyre::Result<u64> {
        let mut longest = 0;
        for contract in self.record.contracts.values().filter(|contract| contract.contract == "Backstop") {
            let cooldown = self.chain.read(contract.address, IBackstop::cooldownSecsCall {}).await?;
            let window = self.chain.read(contract.address, IBackstop::windowSecsCall {}).await?;
            let exit = cooldown.unwrap_or_default().saturating_add(window.unwrap_or_default());
            longest = longest.max(exit.saturating_to());
        }
        Ok(longest)
    }

    /// Returns the operations of the manager, each with its latest schedule, in the order of these.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        let mut operations: Vec<Operation> = Vec::new();
        for log in self.logs.iter().filter(|log| log.address() == self.manager) {
            if let Ok(event) = IAccessManager::OperationScheduled::decode_log(&log.inner) {
                operations.retain(|known| known.id != event.operationId);
                operations.push(Operation {
                    id: event.operationId,
                    nonce: event.nonce,
                    caller: event.caller,
                    target: event.target,
                    data: event.data.data.clone(),
                    at: event.schedule.to(),
                    end: None,
                    ended_by: None,
                });
                continue;
            }
            let ended = IAccessManager::OperationExecuted::decode_log(&log.inner)
                .map(|event| (event.operationId, OperationEnd::Executed))
                .or_else(|_| {
                    IAccessManager::OperationCanceled::decode_log(&log.inner)
                        .map(|event| (event.operationId, OperationEnd::Cancelled))
                });
            if let Ok((id, end)) = ended
                && let Some(known) = operations.iter_mut().find(|known| known.id == id)
            {
                (known.end, known.ended_by) = (Some(end), log.transaction_hash);
            }
        }
        operations
    }

    /// Returns an operation as a proposal, whose title is its call in words.
    #[must_use]
    pub fn proposal_of(&self, operation: &Operation) -> Proposal {
        let title = self.reader.read(operation.target, &operation.data).to_string();
        let action = Action { target: operation.target, value: U256::ZERO, data: operation.data.clone() };
        Proposal { title, description: String::new(), actions: vec![action] }
    }
}
