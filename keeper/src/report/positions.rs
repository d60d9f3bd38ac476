//! The result of `plimsoll-keeper positions`: loans in the order of their health factors.

use serde::Serialize;

use super::table::{Align, table};
use crate::view::PositionView;

/// Positions as of a block, those with the lowest health factor first.
#[derive(Debug, Clone, Serialize)]
pub struct PositionsReport {
    /// Number of the block.
    pub block: u64,
    /// Timestamp of the block, in seconds.
    pub timestamp: u64,
    /// The running keeper that the decisions are from; `None` if none responded.
    pub keeper: Option<AskedKeeper>,
    /// The positions.
    pub positions: Vec<PositionView>,
    /// Markets without a price; their positions are missing here.
    pub without_price: Vec<WithoutPrice>,
}

/// A running keeper that was asked for its decisions.
#[derive(Debug, Clone, Serialize)]
pub struct AskedKeeper {
    /// Base URL of its HTTP server.
    pub url: String,
    /// Number of the newest block that it has decided on.
    pub block: u64,
    /// True if it sends transactions, false in a dry run.
    pub live: bool,
}

/// A market without a price.
#[derive(Debug, Clone, Serialize)]
pub struct WithoutPrice {
    /// Name of the market.
    pub market: String,
    /// Why it has no price.
    pub reason: String,
}

impl PositionsReport {
    /// Formats the positions as a table for people.
    #[must_use]
    pub fn text(&self) -> String {
        let row = |position: &PositionView| {
            let distance = position.distance_bps.unsigned_abs();
            let side = if position.distance_bps < 0 { "above" } else { "below" };
            let mut cells = vec![
                position.market_name.clone(),
                position.account.to_string(),
                position.health.to_string(),
                position.debt.to_string(),
                position.collateral.to_string(),
                position.waterline.to_string(),
                format!("{}.{:02} % {side} the price", distance / 100, distance % 100),
            ];
            if self.keeper.is_some() {
                let why = position.decision.as_ref().map_or("", |decision| &decision.text);
                // The text may quote a contract's revert reason.
                cells.push(why.replace(char::is_control, " "));
            }
            cells
        };
        let mut columns = vec![
            ("market", Align::Left),
            ("account", Align::Left),
            ("health factor", Align::Right),
            ("debt", Align::Right),
            ("collateral", Align::Right),
            ("liquidation price", Align::Right),
            ("distance", Align::Right),
        ];
        let mut text = format!("As of block {}", self.block);
        if let Some(keeper) = &self.keeper {
            columns.push(("decision, or why not", Align::Left));
            let mode = if keeper.live { "" } else { ", a dry run" };
            text += &format!("; decisions of the keeper at {}{mode}, as of block {}", keeper.url, keeper.block);
        }
        let rows: Vec<_> = self.positions.iter().map(row).collect();
        text += ":\n";
        text += &if rows.is_empty() { "  no positions\n".to_owned() } else { table(&columns, &rows) };
        for missing in &self.without_price {
            text += &format!("  {} has no price: {}\n", missing.market, missing.reason);
        }
        text
    }
}
