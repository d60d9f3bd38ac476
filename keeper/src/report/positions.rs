//! `keeper positions`: loans by how safe they are.

use serde::Serialize;

use super::table::{Side, table};
use crate::outside::view::PositionView;

/// Positions after a block, the most endangered first.
#[derive(Debug, Clone, Serialize)]
pub struct PositionsReport {
    /// The block.
    pub block: u64,
    /// Its second.
    pub timestamp: u64,
    /// Who was asked what is decided about them, if anybody was.
    pub keeper: Option<AskedKeeper>,
    /// The positions.
    pub positions: Vec<PositionView>,
    /// Markets that have no price, and why: their positions are not here.
    pub without_price: Vec<WithoutPrice>,
}

/// A running keeper that was asked.
#[derive(Debug, Clone, Serialize)]
pub struct AskedKeeper {
    /// Where it is.
    pub url: String,
    /// After which block it decided last.
    pub block: u64,
    /// Whether it sends, or only says what it would.
    pub live: bool,
}

/// A market without a price.
#[derive(Debug, Clone, Serialize)]
pub struct WithoutPrice {
    /// Its name.
    pub market: String,
    /// Why.
    pub reason: String,
}

impl PositionsReport {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let row = |position: &PositionView| {
            let whole = position.distance_bps.unsigned_abs();
            let way = if position.distance_bps < 0 { "above the price" } else { "below" };
            let mut cells = vec![
                position.market_name.clone(),
                position.account.to_string(),
                position.health.to_string(),
                position.debt.to_string(),
                position.collateral.to_string(),
                position.waterline.to_string(),
                format!("{}.{:02} % {way}", whole / 100, whole % 100),
            ];
            if self.keeper.is_some() {
                let why = position.decision.as_ref().map_or("", |decision| &decision.text);
                // A contract's own words may be among these.
                cells.push(why.replace(char::is_control, " "));
            }
            cells
        };
        let mut columns = vec![
            ("market", Side::Left),
            ("account", Side::Left),
            ("health", Side::Right),
            ("owes", Side::Right),
            ("collateral", Side::Right),
            ("waterline", Side::Right),
            ("which is", Side::Right),
        ];
        let mut text = format!("After block {}", self.block);
        if let Some(keeper) = &self.keeper {
            columns.push(("what is done, and why", Side::Left));
            let mode = if keeper.live { "" } else { ", which sends nothing," };
            text += &format!("; the keeper at {}{mode} decided after block {}", keeper.url, keeper.block);
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
