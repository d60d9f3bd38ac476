//! Checks that every market has a price, and every token a valuation.

use std::sync::Arc;

use alloy::primitives::U256;
use plimsoll_chain::error::ChainError;
use tokio::time::timeout;

use super::{Node, TIMEOUT, timed_out};
use crate::{
    amount::Amount,
    config::{Config, Token},
    prices::{self, Valuer, snapshot},
    report::check::CheckReport,
};

const AREA: &str = "prices";

pub(super) async fn check(report: &mut CheckReport, config: &Config, node: Node) {
    let Node { endpoint, client, head, .. } = node;
    let timeout_error = timed_out(&endpoint);
    let reads = prices::EndpointReader::new(Arc::new(endpoint), client);
    let markets: Vec<_> = config.liquidate.markets.keys().copied().collect();
    match timeout(TIMEOUT, snapshot(&reads, config.deployed.lens, &head, &markets)).await {
        Err(_) => no_response(report, "markets", &timeout_error),
        Ok(Err(error)) => no_response(report, "markets", &error),
        Ok(Ok(found)) => {
            for (id, market) in &config.liquidate.markets {
                match found.of(*id) {
                    Ok(_) => report.ok(AREA, &market.name, "has a price"),
                    Err(reason) => report.warn(
                        AREA,
                        &market.name,
                        format!("has no price: {reason}"),
                        "nothing can be liquidated in it until its oracle returns a price",
                    ),
                }
                if market.enabled && market.route.is_none() && !market.from_inventory {
                    report.warn(
                        AREA,
                        &market.name,
                        "there is no route to sell its collateral",
                        format!("set `path` under [liquidate.markets.\"{}\"]", market.name),
                    );
                }
            }
        }
    }
    let mut valuer = Valuer::new(config.tokens.sources());
    let tokens: Vec<_> = config.tokens.iter().map(|token| token.address).collect();
    match timeout(TIMEOUT, valuer.values(&reads, &head, &tokens)).await {
        Err(_) => no_response(report, "tokens", &timeout_error),
        Ok(Err(error)) => no_response(report, "tokens", &error),
        Ok(Ok(values)) => {
            for token in config.tokens.iter() {
                let worth = values.of(token.address).map(|rate| rate.value_down(one_token(token)));
                match worth {
                    Ok(wei) => {
                        let coin = &config.chain.coin;
                        let what = format!("is worth {} {coin}", Amount::of_wei(wei, coin).exact());
                        report.ok(AREA, &token.name, what);
                    }
                    Err(reason) => report.warn(
                        AREA,
                        &token.name,
                        reason.to_string(),
                        "the keeper does nothing that pays in it; see [tokens]",
                    ),
                }
            }
        }
    }
}

fn no_response(report: &mut CheckReport, name: &str, error: &ChainError) {
    report.fail(AREA, name, error.to_string(), "name another node in [[endpoints]]");
}

/// Returns one whole token in its smallest units.
fn one_token(token: &Token) -> U256 {
    U256::from(10).checked_pow(U256::from(token.decimals)).unwrap_or(U256::MAX)
}
