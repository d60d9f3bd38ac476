//! Calls that the core's owner must sign, as a file for the Transaction Builder of Safe (version 1.0), so that its signers
//! review names and values instead of hexadecimal data.
//!
//! Where the owner is a timelock, a Safe that may propose signs `schedule`, and once the delay is over `execute`.

use std::collections::BTreeMap;

use alloy::{
    dyn_abi::{DynSolValue, JsonAbiExt},
    hex,
    json_abi::{Function, Param, StateMutability},
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolValue,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::governance::IAccessManager;
use serde::Serialize;
use serde_json::Value;

use crate::{
    abi::ITimelock,
    compile::Artifacts,
    connection::Chain,
    design::{
        Design,
        governance::{ManagerSetup, Power},
    },
    inspect::{Call, StepStatus},
    manifest::units::time_text,
    plan::Plan,
    verify::roles::TIMELOCK,
};

/// Version of the file format.
const FORMAT_VERSION: &str = "1.0";

/// A file of the Transaction Builder.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    version: &'static str,
    chain_id: String,
    /// Time of creation in milliseconds since 1970.
    created_at: u64,
    meta: Meta,
    /// Calls in the order in which they are made.
    pub transactions: Vec<Transaction>,
}

/// Description of a file.
#[derive(Debug, Clone, Serialize)]
struct Meta {
    name: String,
    description: String,
}

/// A call that the signers of a Safe make.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Recipient of the call.
    pub to: Address,
    /// Value in wei.
    pub value: String,
    /// Calldata: selector and encoded arguments.
    pub data: Bytes,
    contract_method: Option<Method>,
    contract_inputs_values: Option<BTreeMap<String, String>>,
}

/// The function that a transaction calls, so that the builder can show its arguments by name.
#[derive(Debug, Clone, Serialize)]
struct Method {
    inputs: Vec<Param>,
    name: String,
    payable: bool,
}

/// Returns the calls of a plan that the core's owner must sign now. Those that wait in its timelock are left out. Fails only
/// if a request to the chain fails.
pub async fn owners_calls(chain: &Chain, design: &Design, plan: &Plan) -> Result<Vec<Call>, ChainError> {
    let owner = design.owner;
    let calls = plan.steps.iter().filter_map(|(_, status)| match status {
        StepStatus::ForOthers { who, call } if *who == owner => Some(call.clone()),
        _ => None,
    });
    let deployed = chain.read(owner, ITimelock::getMinDelayCall {}).await?;
    let Some(delay) = deployed.or_else(|| planned_delay(design)) else { return Ok(calls.collect()) };
    let mut through_timelock = Vec::new();
    for call in calls {
        let (salt, id) = next_operation(chain, owner, &call).await?;
        let predecessor = B256::ZERO;
        if chain.read(owner, ITimelock::isOperationReadyCall { id }).await? == Some(true) {
            let Call { to: target, input: payload, value, .. } = call;
            let execute = ITimelock::executeCall { target, value, payload, predecessor, salt };
            through_timelock.push(Call::of(owner, &execute));
        } else if chain.read(owner, ITimelock::isOperationCall { id }).await? != Some(true) {
            let Call { to: target, input: data, value, .. } = call;
            let schedule = ITimelock::scheduleCall { target, value, data, predecessor, salt, delay };
            through_timelock.push(Call::of(owner, &schedule));
        }
    }
    Ok(through_timelock)
}

/// Calls of the core's owner, made through its `AccessManager` by a member of their role.
#[derive(Debug, Clone, Default)]
pub struct ThroughManager {
    /// The member: the first one in the manifest. `None` if there is nothing to call.
    pub account: Option<Address>,
    /// What it signs now: to schedule, or to execute what is due.
    pub calls: Vec<Call>,
    /// Messages about calls that wait, or that another role's member makes.
    pub waiting: Vec<String>,
}

/// Returns what a member of roles signs so that the manager makes these calls. Calls of another role's member are left out
/// with a message, because a file is for one account. Fails only if a request to the chain fails.
pub async fn through_manager(
    chain: &Chain,
    setup: &ManagerSetup,
    calls: &[Call],
) -> Result<ThroughManager, ChainError> {
    let mut through = ThroughManager::default();
    let now = chain.head().await?.timestamp;
    for call in calls {
        let is_of = |power: &&Power| power.target == call.to && call.input.starts_with(power.selector.as_slice());
        let power = setup.powers.iter().find(is_of);
        let role = power.and_then(|power| setup.role(power.role));
        let Some((power, role, member)) =
            power.zip(role).and_then(|(power, role)| Some((power, role, *role.members.first()?)))
        else {
            through.waiting.push(format!("no role may call {} of {}", call.input, call.to));
            continue;
        };
        if *through.account.get_or_insert(member) != member {
            through.waiting.push(format!("{} {}: {member} makes this call", power.target_name, power.signature));
            continue;
        }
        let (target, data) = (call.to, call.input.clone());
        let id = keccak256((member, target, data.clone()).abi_encode_params());
        let at =
            chain.read(setup.manager, IAccessManager::getScheduleCall { id }).await?.unwrap_or_default().to::<u64>();
        if role.delay == 0 || (at != 0 && at <= now) {
            through.calls.push(Call::of(setup.manager, &IAccessManager::executeCall { target, data }));
        } else if at == 0 {
            let schedule = IAccessManager::scheduleCall { target, data, when: Default::default() };
            through.calls.push(Call::of(setup.manager, &schedule));
        } else {
            through.waiting.push(format!(
                "{} {} is scheduled for {}",
                power.target_name,
                power.signature,
                time_text(at)
            ));
        }
    }
    Ok(through)
}

/// Returns salt and id of the operation by which a timelock makes this call next: the salt is the number of times that it
/// has made this same call, because it executes no operation twice. So a plan for the same state of the chain proposes the
/// same operation, and recognises one that was proposed before.
async fn next_operation(chain: &Chain, timelock: Address, call: &Call) -> Result<(B256, B256), ChainError> {
    let mut executed = U256::ZERO;
    loop {
        let salt = executed.into();
        let id = operation_id(call, salt);
        if chain.read(timelock, ITimelock::isOperationDoneCall { id }).await? != Some(true) {
            return Ok((salt, id));
        }
        executed += U256::ONE;
    }
}

/// Returns the delay of a timelock that is still to be deployed; `None` if the owner is none.
fn planned_delay(design: &Design) -> Option<U256> {
    let (_, timelock) =
        design.creations().find(|(_, creation)| creation.address == design.owner && creation.contract == TIMELOCK)?;
    let (_, delay) = timelock.arguments.iter().find(|(name, _)| name == "minDelay")?;
    delay.as_uint().map(|(delay, _)| delay)
}

/// Returns the id of a call in a timelock, without predecessor.
fn operation_id(call: &Call, salt: B256) -> B256 {
    keccak256((call.to, call.value, call.input.clone(), B256::ZERO, salt).abi_encode_params())
}

/// Makes a file of calls for the core's owner. `created_at` is in milliseconds since 1970.
#[must_use]
pub fn batch(design: &Design, artifacts: &Artifacts, calls: &[Call], created_at: u64) -> Batch {
    let description = format!("Calls for the owner of the core, {}", design.address_text(design.owner));
    batch_of(design.chain_id, &design.network, description, artifacts, calls, created_at)
}

/// Makes a file of calls for any account. `created_at` is in milliseconds since 1970.
#[must_use]
pub fn batch_of(
    chain_id: u64,
    network: &str,
    description: String,
    artifacts: &Artifacts,
    calls: &[Call],
    created_at: u64,
) -> Batch {
    Batch {
        version: FORMAT_VERSION,
        chain_id: chain_id.to_string(),
        created_at,
        meta: Meta { name: format!("Plimsoll, {network}"), description },
        transactions: calls.iter().map(|call| transaction(artifacts, call)).collect(),
    }
}

fn transaction(artifacts: &Artifacts, call: &Call) -> Transaction {
    let function = artifacts
        .iter()
        .flat_map(|artifact| artifact.abi.functions())
        .find(|function| call.input.starts_with(function.selector().as_slice()));
    Transaction {
        to: call.to,
        value: call.value.to_string(),
        data: call.input.clone(),
        contract_method: function.map(|function| Method {
            inputs: function.inputs.clone(),
            name: function.name.clone(),
            payable: function.state_mutability == StateMutability::Payable,
        }),
        contract_inputs_values: function.and_then(|function| values_by_name(function, &call.input)),
    }
}

fn values_by_name(function: &Function, input: &Bytes) -> Option<BTreeMap<String, String>> {
    let values = function.abi_decode_input(input.get(4..)?).ok()?;
    let names = function.inputs.iter().map(|param| param.name.clone());
    Some(
        names
            .zip(values.iter().map(|value| match json(value) {
                Value::String(text) => text,
                list => list.to_string(),
            }))
            .collect(),
    )
}

/// Returns a value as the Transaction Builder reads it: a text, or an array of texts for arrays and structs.
fn json(value: &DynSolValue) -> Value {
    // A struct is a sequence of its fields, too.
    if let Some(values) = value.as_array().or_else(|| value.as_fixed_seq()) {
        return values.iter().map(json).collect();
    }
    match value {
        DynSolValue::String(text) => Value::String(text.clone()),
        DynSolValue::Bytes(bytes) => Value::String(format!("0x{}", hex::encode(bytes))),
        other => Value::String(crate::reverts::format_value(other)),
    }
}
