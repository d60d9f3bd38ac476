//! Prices: whether every market has one to liquidate by, and what tokens are worth.

use std::sync::Arc;

use alloy::primitives::U256;
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::quantity::decimal_text;
use tokio::time::timeout;

use super::{Node, PATIENCE, silent};
use crate::{
    config::{Config, Token},
    prices::{self, Valuer, snapshot},
    report::check::CheckReport,
};

/// Decimals of every chain's coin.
const COIN_DECIMALS: u8 = 18;
const AREA: &str = "prices";

pub(super) async fn look(report: &mut CheckReport, config: &Config, node: Node) {
    let Node { endpoint, client, head, .. } = node;
    let late = silent(&endpoint);
    let reads = prices::Node::new(Arc::new(endpoint), client);
    let markets: Vec<_> = config.liquidate.markets.keys().copied().collect();
    match timeout(PATIENCE, snapshot(&reads, config.deployed.lens, &head, &markets)).await {
        Err(_) => silence(report, "markets", &late),
        Ok(Err(error)) => silence(report, "markets", &error),
        Ok(Ok(found)) => {
            for (id, market) in &config.liquidate.markets {
                match found.of(*id) {
                    Ok(_) => report.right(AREA, &market.name, "has a price"),
                    Err(reason) => report.note(
                        AREA,
                        &market.name,
                        format!("has no price: {reason}"),
                        "nothing can be liquidated in it until its oracle answers",
                    ),
                }
                if market.enabled && market.route.is_none() && !market.from_inventory {
                    report.note(
                        AREA,
                        &market.name,
                        "there is no way to sell its collateral",
                        format!("say its `path` under [liquidate.markets.\"{}\"]", market.name),
                    );
                }
            }
        }
    }
    let mut valuer = Valuer::new(config.tokens.sources());
    let tokens: Vec<_> = config.tokens.iter().map(|token| token.address).collect();
    match timeout(PATIENCE, valuer.values(&reads, &head, &tokens)).await {
        Err(_) => silence(report, "tokens", &late),
        Ok(Err(error)) => silence(report, "tokens", &error),
        Ok(Ok(values)) => {
            for token in config.tokens.iter() {
                let worth = values.of(token.address).map(|rate| rate.value_down(whole(token)));
                match worth {
                    Ok(wei) => {
                        let what = format!("is worth {} {}", decimal_text(wei, COIN_DECIMALS), config.chain.coin);
                        report.right(AREA, &token.name, what);
                    }
                    Err(reason) => report.note(
                        AREA,
                        &token.name,
                        reason.to_string(),
                        "nothing that pays in it is done; see [tokens]",
                    ),
                }
            }
        }
    }
}

fn silence(report: &mut CheckReport, name: &str, error: &ChainError) {
    report.wrong(AREA, name, error.to_string(), "ask another node");
}

/// One of it, in its smallest units.
fn whole(token: &Token) -> U256 {
    U256::from(10).checked_pow(U256::from(token.decimals)).unwrap_or(U256::MAX)
}
