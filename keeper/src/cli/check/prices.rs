//! Checks that every market has a price, and every token a valuation.

use std::sync::Arc;

use alloy::primitives::U256;
use plimsoll_chain::error::ChainError;
use tokio::time::timeout;

use super::{Node, TIMEOUT, quotes, timed_out};
use crate::{
    amount::Amount,
    config::{Config, Token},
    math::{
        liquidation::ORACLE_SCALE,
        wide::{WAD, mul_div_down, mul_div_up},
    },
    prices::{EndpointReader, Prices, UNSIGNED_ACCOUNT, Valuer, Values, read_markets, snapshot},
    report::check::CheckReport,
};

const AREA: &str = "prices";

pub(super) async fn check(report: &mut CheckReport, config: &Config, node: &Node) {
    let timeout_error = timed_out(&node.endpoint);
    let reads = EndpointReader::new(Arc::clone(&node.endpoint), node.client.clone(), UNSIGNED_ACCOUNT);
    let (core, ids) = (config.deployed.core, config.liquidate.markets.keys().copied().collect::<Vec<_>>());
    let found = async {
        let markets = read_markets(&reads, core, &node.head, &ids).await?;
        snapshot(&reads, core, &node.head, &markets).await
    };
    let prices = match timeout(TIMEOUT, found).await {
        Ok(Ok(prices)) => Some(prices),
        Ok(Err(error)) => no_response(report, "markets", &error),
        Err(_) => no_response(report, "markets", &timeout_error),
    };
    let mut valuer = Valuer::new(config.tokens.sources());
    let tokens: Vec<_> = config.tokens.iter().map(|token| token.address).collect();
    let values = match timeout(TIMEOUT, valuer.values(&reads, &node.head, &tokens)).await {
        Ok(Ok(values)) => Some(values),
        Ok(Err(error)) => no_response(report, "tokens", &error),
        Err(_) => no_response(report, "tokens", &timeout_error),
    };
    if let Some(prices) = &prices {
        of_markets(report, config, prices);
    }
    if let Some(values) = &values {
        of_tokens(report, config, values);
    }
    let Some((prices, values)) = prices.zip(values) else { return };
    for (id, market) in config.liquidate.markets.iter().filter(|(_, market)| market.enabled) {
        let (Ok(price), Some(loan_token)) = (prices.of(*id), market.loan_token) else { continue };
        let Ok(rate) = values.of(loan_token) else { continue };
        // As much collateral as one coin is worth.
        let collateral = mul_div_up(rate.units_up(U256::from(WAD)), ORACLE_SCALE, price.max(U256::ONE));
        let expected = mul_div_down(collateral, price, ORACLE_SCALE);
        quotes::check(report, config, node, market, [collateral, expected]).await;
    }
}

fn of_markets(report: &mut CheckReport, config: &Config, prices: &Prices) {
    for (id, market) in &config.liquidate.markets {
        match prices.of(*id) {
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

fn of_tokens(report: &mut CheckReport, config: &Config, values: &Values) {
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

fn no_response<T>(report: &mut CheckReport, name: &str, error: &ChainError) -> Option<T> {
    report.fail(AREA, name, error.to_string(), "name another node in [[endpoints]]");
    None
}

/// Returns one whole token in its smallest units.
fn one_token(token: &Token) -> U256 {
    U256::from(10).checked_pow(U256::from(token.decimals)).unwrap_or(U256::MAX)
}
