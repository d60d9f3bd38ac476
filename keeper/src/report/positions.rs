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
    /// The positions.
    pub positions: Vec<PositionView>,
    /// Markets that have no price, and why: their positions are not here.
    pub without_price: Vec<WithoutPrice>,
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
            [
                position.market_name.clone(),
                position.account.to_string(),
                position.health.to_string(),
                position.debt.to_string(),
                position.collateral.to_string(),
                position.waterline.to_string(),
                format!("{}.{:02} % {way}", whole / 100, whole % 100),
            ]
        };
        let columns = [
            ("market", Side::Left),
            ("account", Side::Left),
            ("health", Side::Right),
            ("owes", Side::Right),
            ("collateral", Side::Right),
            ("waterline", Side::Right),
            ("which is", Side::Right),
        ];
        let rows: Vec<_> = self.positions.iter().map(row).collect();
        let mut text = format!("After block {}:\n", self.block);
        text += &if rows.is_empty() { "  no positions\n".to_owned() } else { table(columns, &rows) };
        for missing in &self.without_price {
            text += &format!("  {} has no price: {}\n", missing.market, missing.reason);
        }
        text
    }
}
