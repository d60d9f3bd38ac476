//! Simulates everything that is about to be sent, in order, on the node's state (`eth_simulateV1`). This finds what would
//! revert on the way – an oracle whose price is out of range, a market that the core rejects – and measures gas.

use alloy::{
    hex,
    primitives::{Address, Bytes, map::AddressHashMap},
    providers::Provider,
    rpc::types::{
        BlockOverrides, TransactionRequest,
        simulate::{SimBlock, SimCallResult, SimulatePayload},
        state::AccountOverride,
    },
};
use plimsoll_chain::error::ChainError;

use crate::{
    compile::Artifacts,
    connection::Chain,
    create2,
    design::{Design, Step},
    inspect::{Action, Call},
    reverts,
};

/// Code that creates contracts as the deterministic deployer does, at the same addresses, but passes on the revert data of
/// a constructor, which the original hides: `calldatacopy(0, 32, calldatasize - 32)`, `create2(callvalue, 0, calldatasize - 32,
/// calldataload(0))`, and if that is 0 `returndatacopy(0, 0, returndatasize)`, `revert(0, returndatasize)`, else the
/// address, 20 bytes.
const REPORTING_FACTORY: [u8; 42] =
    hex!("6020360380602060003760003590600034f58015601f576000526014600cf35b3d600060003e3d6000fd");

/// Result of a simulation.
#[derive(Debug, Clone, Default)]
pub struct Rehearsal {
    /// Gas of each action, in order.
    pub gas: Vec<u64>,
    /// Message about the first action that would revert, if one would.
    pub problems: Vec<String>,
    /// Whether the node could simulate; otherwise gas is guessed from the size of the code, and reverts show only later.
    pub was_simulated: bool,
}

/// Simulates actions one after the other, each with the step that it belongs to.
pub async fn rehearse(
    chain: &Chain,
    design: &Design,
    artifacts: &Artifacts,
    actions: &[(&Step, Action)],
) -> Result<Rehearsal, ChainError> {
    let Some(results) = simulate(chain, design, actions.iter().map(|(_, action)| as_request(design, action))).await?
    else {
        let gas = actions.iter().map(|(_, action)| guess(action)).collect();
        return Ok(Rehearsal { gas, problems: Vec::new(), was_simulated: false });
    };
    let mut rehearsal = Rehearsal { was_simulated: true, ..Rehearsal::default() };
    for ((step, action), result) in actions.iter().zip(&results) {
        rehearsal.gas.push(if result.status { result.gas_used } else { guess(action) });
        // Later actions may fail only because of the first one that does, so only that one is reported.
        if !result.status && rehearsal.problems.is_empty() {
            let said = result.error.as_ref().and_then(|error| error.data.as_ref()).unwrap_or(&result.return_data);
            rehearsal.problems.push(format!("{} would be refused: {}", step.name, reverts::explain(artifacts, said)));
        }
    }
    Ok(rehearsal)
}

/// Simulates requests, each in a block of its own so that the block gas limit does not matter; returns `None` if the node
/// does not support that.
async fn simulate(
    chain: &Chain,
    design: &Design,
    requests: impl Iterator<Item = TransactionRequest>,
) -> Result<Option<Vec<SimCallResult>>, ChainError> {
    // Some nodes begin a simulation at the time 0 unless a time is given.
    let now = chain.head().await?.timestamp;
    let block = |(at, request): (u64, TransactionRequest)| {
        let time = BlockOverrides { time: Some(now + at), ..BlockOverrides::default() };
        SimBlock::default().with_block_overrides(time).call(request)
    };
    let mut blocks: Vec<SimBlock> = (1..).zip(requests).map(block).collect();
    let Some(first) = blocks.first_mut() else { return Ok(Some(Vec::new())) };
    let mut overrides = AddressHashMap::default();
    let code = Some(Bytes::from_static(&REPORTING_FACTORY));
    overrides.insert(create2::FACTORY, AccountOverride { code, ..AccountOverride::default() });
    // Whether the deployer can pay is checked once the cost is known.
    let balance = Some(alloy::primitives::U256::MAX >> 1);
    overrides.insert(design.deployer, AccountOverride { balance, ..AccountOverride::default() });
    first.state_overrides = Some(overrides);
    let payload = SimulatePayload { block_state_calls: blocks, ..SimulatePayload::default() };
    match chain.provider().simulate(&payload).await.map_err(|error| chain.error(&error)) {
        Ok(blocks) => Ok(Some(blocks.into_iter().flat_map(|block| block.calls).collect())),
        Err(ChainError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn as_request(design: &Design, action: &Action) -> TransactionRequest {
    let request = TransactionRequest::default().from(design.deployer);
    match action {
        Action::Send(Call { to, input, value, .. }) => request.to(*to).input(input.clone().into()).value(*value),
        // The simulation places the factory, so nothing is left to do.
        Action::SendFactory | Action::PlaceFactory => request.to(Address::ZERO),
    }
}

const fn guess(action: &Action) -> u64 {
    match action {
        Action::Send(call) => call.gas_guess,
        Action::SendFactory | Action::PlaceFactory => 0,
    }
}
