//! Checks that contracts exist, have the code that was deployed, and refer to the same core.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::{SolCall, SolError},
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{IGuard, ILens, ILiquidator, IPlimsoll, IRewards, ISwapperClient};
use serde_json::json;

use super::{Node, read};
use crate::{config::Config, report::check::CheckReport};

const AREA: &str = "contracts";
const OTHER_DEPLOYMENT: &str = "name the record of this chain's deployment as `record` in [deployment]";

pub(super) async fn check(report: &mut CheckReport, config: &Config, node: &Node) {
    let deployed = &config.deployed;
    let Some(core) = deployed.core() else { return };
    if deployed.contracts.is_empty() {
        let named = [
            ("core", Some(core)),
            ("lens", deployed.lens),
            ("rewards", deployed.rewards),
            ("liquidator", deployed.liquidator),
        ];
        for (name, address) in named.into_iter().filter_map(|(name, address)| Some((name, address?))) {
            code(report, node, name, address, None).await;
        }
    }
    for (name, contract) in &deployed.contracts {
        code(report, node, name, contract.address, Some(contract.code_hash)).await;
    }
    answers_as(report, node, ("core", "Plimsoll"), core, IPlimsoll::marketParamsCall { id: B256::ZERO }).await;
    if let Some(rewards) = deployed.rewards {
        let call = IRewards::poolStateCall { pool: B256::ZERO };
        answers_as(report, node, ("rewards", "Rewards"), rewards, call).await;
    }
    if let Some(guard) = deployed.guard {
        points_to_core(report, config, node, "the guard", guard, IGuard::plimsollCall {}).await;
    }
    if let Some(lens) = deployed.lens {
        points_to_core(report, config, node, "the lens", lens, ILens::plimsollCall {}).await;
    }
    match deployed.liquidator {
        Some(liquidator) => {
            points_to_core(report, config, node, "the liquidator", liquidator, ILiquidator::plimsollCall {}).await;
            swappers(report, config, node, liquidator).await;
        }
        None => report.warn(
            AREA,
            "liquidator",
            "there is none, so loans are liquidated from inventory only",
            "deploy Liquidator, or name it as `liquidator` in [deployment]",
        ),
    }
    if deployed.rewards.is_none() {
        report.warn(AREA, "rewards", "there are none, so nothing is harvested", "name `rewards` in [deployment]");
    }
}

async fn code(report: &mut CheckReport, node: &Node, name: &str, address: Address, wanted: Option<B256>) {
    match node.request::<_, Bytes>("eth_getCode", (address, node.head.hash)).await {
        Err(error) => report.fail(AREA, name, error.to_string(), "name another node in [[endpoints]]"),
        Ok(code) if code.is_empty() => {
            report.fail(AREA, name, format!("there is no contract at {address}"), OTHER_DEPLOYMENT);
        }
        Ok(code) => match wanted {
            None => report.ok(AREA, name, format!("{address}: {} bytes of code", code.len())),
            Some(hash) if keccak256(&code) == hash => report.ok(AREA, name, format!("{address}: the record's code")),
            Some(_) => report.fail(
                AREA,
                name,
                format!("the code at {address} is another than the record says"),
                OTHER_DEPLOYMENT,
            ),
        },
    }
}

/// Checks by a call that only such a contract answers that an address is the one that its setting asks for.
async fn answers_as<C: SolCall>(
    report: &mut CheckReport,
    node: &Node,
    (setting, contract): (&str, &str),
    at: Address,
    call: C,
) {
    match read(node, at, call).await {
        Ok(Some(_)) => report.ok(AREA, setting, format!("answers as {contract} does")),
        Ok(None) => {
            let remedy = format!("name the address of {contract} as `{setting}` in [deployment], or a `record` there");
            report.fail(AREA, setting, format!("what is at {at} does not answer as {contract} does"), remedy);
        }
        Err(error) => report.fail(AREA, setting, error.to_string(), "name another node in [[endpoints]]"),
    }
}

/// Checks that a contract refers to the core of the deployment; `call` is its getter.
async fn points_to_core<C: SolCall<Return = Address>>(
    report: &mut CheckReport,
    config: &Config,
    node: &Node,
    name: &str,
    at: Address,
    call: C,
) {
    let core = config.deployed.core;
    match read(node, at, call).await {
        Ok(Some(found)) if found == core => report.ok(AREA, name, "belongs to the core"),
        Ok(Some(found)) => {
            report.fail(AREA, name, format!("it belongs to the core {found}, not to {core}"), OTHER_DEPLOYMENT);
        }
        Ok(None) => report.fail(AREA, name, format!("{at} does not say which core it belongs to"), OTHER_DEPLOYMENT),
        Err(error) => report.fail(AREA, name, error.to_string(), "name another node in [[endpoints]]"),
    }
}

/// Checks that the liquidator knows the swap adapter of every market's route.
async fn swappers(report: &mut CheckReport, config: &Config, node: &Node, liquidator: Address) {
    for market in config.liquidate.markets.values().filter(|market| market.enabled) {
        let Some(route) = &market.route else { continue };
        let call = ISwapperClient::isSwapperCall { swapper: route.swapper };
        match read(node, liquidator, call).await {
            Ok(Some(true)) => report.ok(AREA, &market.name, format!("sells by {}", market.route_text)),
            Ok(_) => report.fail(
                AREA,
                &market.name,
                format!("the liquidator does not know the adapter {}", route.swapper),
                "name one that it was created with as `swapper` of this market",
            ),
            Err(error) => report.fail(AREA, &market.name, error.to_string(), "name another node in [[endpoints]]"),
        }
    }
}

/// Checks for a keeper that sends bundles that the liquidator can pay a block's builder, where it would have it do so: an
/// older one has no such function, and every transaction with it would revert.
pub(super) async fn builder_payment(report: &mut CheckReport, config: &Config, node: &Node) {
    let (Some(coin), Some(liquidator)) = (config.tokens.wrapped_coin(), config.deployed.liquidator) else { return };
    let pays_in_coin =
        config.liquidate.markets.values().find(|market| market.enabled && market.loan_token == Some(coin));
    let Some(route) = pays_in_coin.and_then(|market| market.route.as_ref()) else { return };
    let liquidation =
        ILiquidator::Liquidation { swapper: route.swapper, deadline: U256::MAX, ..ILiquidator::Liquidation::default() };
    // A share that no liquidator accepts: one that has the function refuses it by name, and before anything else.
    let call = ILiquidator::liquidateForBuilderCall { liquidation, shareBps: U256::MAX };
    let request = json!({ "to": liquidator, "data": Bytes::from(call.abi_encode()) });
    let refused_by_name = match node.request::<_, Bytes>("eth_call", (request, node.head.hash)).await {
        Ok(_) => false,
        Err(ChainError::Refused { revert_data, .. }) => {
            revert_data.is_some_and(|data| ILiquidator::ShareTooHigh::abi_decode(&data).is_ok())
        }
        Err(error) => {
            return report.fail(AREA, "builder", error.to_string(), "name another node in [[endpoints]]");
        }
    };
    if refused_by_name {
        report.ok(AREA, "builder", "the liquidator can pay it");
    } else {
        report.fail(
            AREA,
            "builder",
            format!("the liquidator {liquidator} cannot pay a block's builder, which bids in bundles are"),
            "deploy the Liquidator of this version, or give the endpoints the role \"private\" instead of \"bundle\"",
        );
    }
}
