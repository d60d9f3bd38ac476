//! Whether an `AccessManager` has the roles that the manifest describes, and nobody else has any.

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, B256},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{deployment::Deployment, governance::IAccessManager};

use super::{Action, Call, StepStatus, creation_block};
use crate::{
    connection::Chain,
    design::{
        Design,
        governance::{ADMINISTRATION, ADMINISTRATOR, BRAKE, ManagerSetup, administration},
    },
};

/// Gas assumed for each role, member and function where the set-up cannot be simulated.
const GAS_PER_CALL: u64 = 80_000;

/// Returns whether the deployer is still the administrator of a manager, without a delay; so is he before it exists.
pub(super) async fn is_administered(chain: &Chain, deployer: Address, manager: Address) -> Result<bool, ChainError> {
    let asked = IAccessManager::hasRoleCall { roleId: ADMINISTRATOR, account: deployer };
    Ok(chain.read(manager, asked).await?.is_none_or(|role| role.isMember && role.executionDelay == 0))
}

/// Returns a call that a manager's administrator makes through it.
pub(super) fn through(manager: Address, call: &Call) -> Call {
    let execute = IAccessManager::executeCall { target: call.to, data: call.input.clone() };
    Call { gas_guess: call.gas_guess, ..Call::of(manager, &execute) }
}

/// Inspects the roles of a manager.
pub(super) async fn inspect(
    chain: &Chain,
    design: &Design,
    record: &Deployment,
    setup: &ManagerSetup,
) -> Result<StepStatus, ChainError> {
    if is_administered(chain, design.deployer, setup.manager).await? {
        let data = setup.calls(design.deployer);
        let gas_guess = GAS_PER_CALL.saturating_mul(u64::try_from(data.len() + setup.powers.len()).unwrap_or(u64::MAX));
        let call = Call::of(setup.manager, &IAccessManager::multicallCall { data });
        return Ok(StepStatus::ToDo(vec![Action::Send(Call { gas_guess, ..call })]));
    }
    let differs = |found: String, wanted: String| Ok(StepStatus::Differs { found, wanted });
    let own = administration().map(|selector| (setup.manager, selector, ADMINISTRATION));
    let of_contracts = setup.powers.iter().map(|power| (power.target, power.selector, power.role));
    for (target, selector, role) in of_contracts.chain(own) {
        let asked = IAccessManager::getTargetFunctionRoleCall { target, selector };
        let found = chain.read(setup.manager, asked).await?.unwrap_or_default();
        if found != role {
            let name = design.address_text(target);
            return differs(format!("{selector} of {name} in role {found}"), format!("it in role {role}"));
        }
    }
    let guardians = setup.roles.iter().map(|role| (role.id, ManagerSetup::guardian_of(role)));
    for (role, guardian) in guardians.chain([(ADMINISTRATION, BRAKE)]) {
        let asked = IAccessManager::getRoleGuardianCall { roleId: role };
        let found = chain.read(setup.manager, asked).await?.unwrap_or_default();
        if found != guardian {
            return differs(format!("role {found} as guardian of role {role}"), format!("role {guardian}"));
        }
    }
    let mut expected = BTreeSet::new();
    for (role, account, delay) in setup.members() {
        expected.insert((role, account));
        let found = chain.read(setup.manager, IAccessManager::hasRoleCall { roleId: role, account }).await?;
        let name = design.address_text(account);
        match found {
            Some(found) if found.isMember && found.executionDelay == delay => {}
            Some(found) if found.isMember => {
                let found = format!("a delay of {} seconds for {name} in role {role}", found.executionDelay);
                return differs(found, format!("{delay} seconds"));
            }
            _ => return differs(format!("{name} not in role {role}"), "it there".to_owned()),
        }
    }
    further_members(chain, design, record, setup, &expected).await
}

/// Searches the log for members of roles that the manifest does not name and that still are.
async fn further_members(
    chain: &Chain,
    design: &Design,
    record: &Deployment,
    setup: &ManagerSetup,
    expected: &BTreeSet<(u64, Address)>,
) -> Result<StepStatus, ChainError> {
    let topic: B256 = IAccessManager::RoleGranted::SIGNATURE_HASH;
    let filter = Filter::new().address(setup.manager).event_signature(topic);
    let logs = match chain.logs(&filter, creation_block(record, setup.manager)).await {
        Ok(logs) => logs,
        Err(error @ ChainError::Refused { .. }) => {
            return Ok(StepStatus::Refused(format!(
                "whether others have roles is unknown, because the node cannot search its log ({error}): use an endpoint that \
                 does"
            )));
        }
        Err(error) => return Err(error),
    };
    let granted = logs.iter().filter_map(|log| IAccessManager::RoleGranted::decode_log(&log.inner).ok());
    let holders: BTreeSet<(u64, Address)> = granted.map(|event| (event.roleId, event.account)).collect();
    for (role, account) in holders.difference(expected).copied() {
        let found = chain.read(setup.manager, IAccessManager::hasRoleCall { roleId: role, account }).await?;
        if found.is_some_and(|found| found.isMember) {
            let found = format!("{} in role {role}", design.address_text(account));
            return Ok(StepStatus::Differs { found, wanted: "nobody else there".to_owned() });
        }
    }
    Ok(StepStatus::Done)
}
