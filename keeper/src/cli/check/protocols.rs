//! Checks that other protocols are what the configuration says, and that the executor serves them.

use std::{slice, sync::Arc};

use alloy::primitives::Bytes;
use plimsoll_chain::error::ChainError;
use plimsoll_protocols::IdentityError;

use super::Node;
use crate::{
    config::{Config, Executor},
    engine::{ExecutorListing, identified},
    report::check::CheckReport,
    routing::pool::{Venue, VenueKind},
};

const AREA: &str = "protocols";
const OTHER_NODE: &str = "name another node in [[endpoints]]";

pub(super) async fn check(report: &mut CheckReport, config: &Config, node: &Node) {
    let Some(executor) = &config.protocols.executor else { return };
    for deployment in &config.protocols.deployments {
        let name = format!("{} {}", deployment.protocol, deployment.address);
        match identified(slice::from_ref(&node.endpoint), deployment).await {
            Ok(_) => report.ok(AREA, name, format!("it is one, followed from block {}", deployment.first_block)),
            Err(problem) if problem.is::<IdentityError>() => {
                report.fail(AREA, name, problem.to_string(), "correct its `kind` and `address` in [[protocols]]");
            }
            Err(problem) => report.fail(AREA, name, problem.to_string(), OTHER_NODE),
        }
    }
    if config.tokens.sources().is_empty() {
        report.fail(
            AREA,
            "tokens",
            "no token has a value, so nothing is liquidated on other protocols",
            "give each debt token that shall be repaid a `rate`, `feeds` or `pools` in [tokens]",
        );
    }
    of_executor(report, config, node, executor).await;
}

/// Checks that the executor lists the protocols and venues with contracts.
async fn of_executor(report: &mut CheckReport, config: &Config, node: &Node, executor: &Executor) {
    let listing = match ExecutorListing::read(&[Arc::clone(&node.endpoint)], executor).await {
        Ok(listing) => listing,
        Err(problem) => {
            let remedy = if problem.is::<ChainError>() {
                OTHER_NODE
            } else {
                "deploy Executor, and name it as `address` in [executor]"
            };
            return report.fail(AREA, "executor", problem.to_string(), remedy);
        }
    };
    let unserved: Vec<_> =
        config.protocols.deployments.iter().filter_map(|deployment| listing.serves(deployment).err()).collect();
    for problem in &unserved {
        let remedy = "its list is fixed: deploy another Executor whose targets have it, with the right kind";
        report.fail(AREA, "executor", problem.to_string(), remedy);
    }
    if unserved.is_empty() {
        report.ok(AREA, "executor", format!("{} serves every protocol", listing.address));
    }
    for problem in config.protocols.deployments.iter().filter_map(|deployment| listing.pre_liquidates(deployment).err())
    {
        let remedy = "accounts are liquidated at the market's line alone; for pre-liquidations deploy another Executor whose \
                      targets have the factory";
        report.warn(AREA, "pre-liquidations", problem.to_string(), remedy);
    }
    if listing.venues.is_empty() {
        let remedy = "its list is fixed: deploy another Executor with the factories of exchanges on this chain";
        report.fail(AREA, "venues", "the executor lists none, so no collateral can be sold", remedy);
    }
    for (index, venue) in listing.venues.iter().enumerate() {
        of_venue(report, node, index, venue).await;
    }
    if executor.hubs.is_empty() {
        report.warn(
            AREA,
            "hubs",
            "there are none, so collateral is sold only where a pool has it with the debt token",
            "name tokens that many pools have as `hubs` in [executor]",
        );
    }
}

async fn of_venue(report: &mut CheckReport, node: &Node, index: usize, venue: &Venue) {
    let name = format!("venue {index}");
    let kind = match venue.kind {
        VenueKind::UniswapV2 => "pairs",
        VenueKind::UniswapV3 => "pools with concentrated liquidity",
    };
    match node.request::<_, Bytes>("eth_getCode", (venue.deployer, node.head.hash)).await {
        Err(error) => report.fail(AREA, name, error.to_string(), OTHER_NODE),
        Ok(code) if code.is_empty() => report.warn(
            AREA,
            name,
            format!("there is no contract at {}, so it has no {kind}", venue.deployer),
            "nothing can be sold there; deploy an Executor with this chain's factories",
        ),
        Ok(_) => report.ok(AREA, name, format!("{kind} of {}", venue.deployer)),
    }
}
