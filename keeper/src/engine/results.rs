//! What a mined transaction earned and cost, as the report lists it.

use alloy::primitives::U256;
use plimsoll_contracts::MarketId;

use super::wiring;
use crate::{
    chain::Header,
    config::Config,
    intent::{Outcome, Purpose, Report},
    report::results::ResultRow,
    safety::Execution,
    view::{Ledger, count, labelled},
};

/// Returns the row of a transaction that a report says was mined, and `None` for any other report. `newest` is the newest
/// block.
pub(super) fn row(config: &Config, ledger: &Ledger, report: &Report, newest: &Header) -> Option<ResultRow> {
    let (receipt, status) = match &report.outcome {
        Outcome::Mined(receipt) => (receipt, "mined"),
        Outcome::Reverted(receipt) => (receipt, "reverted"),
        Outcome::Cancelled(receipt) => (receipt, "cancelled"),
        _ => return None,
    };
    let (kind, place, accounts) = match &report.intent.purpose {
        Purpose::Liquidate { market, borrowers } => {
            ("liquidation", config.deployed.market_name(MarketId(*market)), borrowers.len())
        }
        Purpose::Harvest { pool, accounts, .. } => ("harvest", config.deployed.programme_name(*pool), accounts.len()),
        Purpose::ClaimOwn { pool, .. } => ("claim", config.deployed.programme_name(*pool), 1),
        Purpose::Sweep { token, .. } => ("sweep", config.tokens.name(*token), 1),
    };
    let is_mined = matches!(report.outcome, Outcome::Mined(_));
    let execution = is_mined.then(|| Execution::of(&report.logs, &wiring::contracts(config)));
    let profit = execution.and_then(|execution| labelled(config, execution.profit));
    let gas = |price: u128| U256::from(receipt.gas_used).saturating_mul(U256::from(price));
    let paid = receipt.effective_gas_price;
    // A transaction is usually reported in the block that holds it.
    let base_fee = (newest.number == receipt.inclusion.block).then(|| u128::from(newest.base_fee).min(paid));
    Some(ResultRow {
        at: newest.timestamp,
        block: receipt.inclusion.block,
        hash: receipt.inclusion.hash,
        kind: kind.to_owned(),
        place,
        accounts: count(accounts),
        status: status.to_owned(),
        gain_wei: if is_mined { ledger.gain_of(receipt.inclusion.hash) } else { U256::ZERO },
        gas_wei: gas(base_fee.unwrap_or(paid)),
        tip_wei: base_fee.map(|base_fee| gas(paid - base_fee)),
        data_fee_wei: U256::from(receipt.data_fee),
        profit: profit.as_ref().map(|amount| amount.exact()),
        token: profit.map(|amount| amount.token),
    })
}
