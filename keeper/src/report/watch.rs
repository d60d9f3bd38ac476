//! What `plimsoll-keeper watch` shows of a block: positions by health, and what a liquidation of each does.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::quantity::decimal_text;
use plimsoll_protocols::{ProtocolKind, UnpricedMarket};
use serde::Serialize;

use super::table::{Align, table};

/// What no figure of a report includes, for people.
const NOT_COUNTED: &str = "bonus: collateral at the protocol's own price, less what is repaid. After gas: what pools give for \
                           the collateral in this block, less what is repaid and gas at the base fee. Not counted: priority \
                           fees and bids, and a rollup's fee for data.";
/// Decimals of a chain's coin.
const COIN_DECIMALS: u8 = 18;
/// Decimals that the table shows.
const SHOWN_DECIMALS: usize = 6;

/// Positions of a protocol as of a block, those with the lowest health factor first.
#[derive(Debug, Clone, Serialize)]
pub struct WatchReport {
    /// The protocol that is watched.
    pub protocol: ProtocolKind,
    /// Chain id.
    pub chain_id: u64,
    /// Address of the protocol's main contract.
    pub address: Address,
    /// Number of the block.
    pub block: u64,
    /// Timestamp of the block, in seconds.
    pub timestamp: u64,
    /// Number of markets that were ever created.
    pub markets: usize,
    /// Number of positions with debt, shown or not.
    pub positions_with_debt: usize,
    /// The positions that were asked for.
    pub positions: Vec<WatchedPosition>,
    /// Markets whose positions cannot be valued in this block; they are missing here.
    pub without_price: Vec<WatchedMarket>,
    /// What the reader must know before relying on this: empty if the totals on chain are those of the logs.
    pub warnings: Vec<String>,
}

/// A market whose positions cannot be valued.
#[derive(Debug, Clone, Serialize)]
pub struct WatchedMarket {
    /// Id of the market.
    pub market: B256,
    /// Why its positions cannot be valued.
    pub reason: String,
    /// Number of its positions with debt.
    pub positions: usize,
}

/// A position.
#[derive(Debug, Clone, Serialize)]
pub struct WatchedPosition {
    /// Id of the market.
    pub market: B256,
    /// The borrower.
    pub account: Address,
    /// Health factor, rounded down.
    pub health: String,
    /// Whether the protocol lets it be liquidated in this block.
    pub liquidatable: bool,
    /// Collateral.
    pub collateral: WatchedAmount,
    /// Debt with interest up to the block.
    pub debt: WatchedAmount,
    /// The protocol's price of the collateral token in debt tokens; `None` if a token states no decimals.
    pub price: Option<String>,
    /// Highest price at which the position is liquidatable; `None` as for `price`, or without collateral.
    pub liquidation_price: Option<String>,
    /// Part of the price by which it must fall until then, in basis points; negative if it is lower.
    pub distance_bps: Option<i64>,
    /// What a whole liquidation does: now, or at the liquidation price if the position is healthy.
    pub liquidation: Option<WatchedLiquidation>,
    /// What the liquidation brings after gas; `None` where that is not known.
    pub after_gas: Option<WatchedNet>,
    /// Why it is not known.
    pub after_gas_unknown: Option<String>,
    /// Further collaterals and debts, besides the pair that brings most.
    pub further: Vec<WatchedBalance>,
    /// What stands in the way of a liquidation, or by what other call the protocol does it; `None` if nothing is to be said.
    pub remark: Option<String>,
}

/// A further collateral or debt of a position.
#[derive(Debug, Clone, Serialize)]
pub struct WatchedBalance {
    /// Whether it is owed.
    pub is_debt: bool,
    /// The amount.
    pub amount: WatchedAmount,
    /// The protocol's price of the token in the position's debt token; `None` if a token states no decimals.
    pub price: Option<String>,
    /// Highest price of a collateral at which the position is liquidatable while every other price stays.
    pub liquidation_price: Option<String>,
    /// Part of the price by which it must fall until then, in basis points; negative if it is lower.
    pub distance_bps: Option<i64>,
}

/// What a whole liquidation does.
#[derive(Debug, Clone, Serialize)]
pub struct WatchedLiquidation {
    /// What the liquidator pays.
    pub repaid: WatchedAmount,
    /// What the liquidator receives.
    pub seized: WatchedAmount,
    /// Value of what is received, by the protocol's own price, less what is paid: before gas, and before a sale.
    pub bonus: WatchedAmount,
    /// Debt that remains without collateral.
    pub bad_debt: WatchedAmount,
}

/// What a liquidation brings after gas, by the state of pools in the block.
#[derive(Debug, Clone, Serialize)]
pub struct WatchedNet {
    /// What the seized collateral is sold for.
    pub proceeds: WatchedAmount,
    /// Cost of gas at the block's base fee, in wei.
    pub gas_wei: String,
    /// Value of the proceeds less what is repaid and gas, in wei; negative if it is a loss.
    pub net_wei: String,
    /// The same in whole coins.
    pub net: String,
    /// Symbol of the coin.
    pub coin: String,
}

impl WatchedNet {
    /// Returns the figures; `net_wei` fails with what is missing.
    pub(crate) fn new(proceeds: WatchedAmount, gas_wei: U256, net_wei: Result<U256, U256>, coin: String) -> Self {
        let (sign, wei) = match net_wei {
            Ok(wei) => ("", wei),
            Err(missing) => ("-", missing),
        };
        Self {
            proceeds,
            gas_wei: gas_wei.to_string(),
            net_wei: format!("{sign}{wei}"),
            net: format!("{sign}{}", decimal_text(wei, COIN_DECIMALS)),
            coin,
        }
    }

    fn text(&self) -> String {
        format!("{} {}", rounded(&self.net), self.coin)
    }
}

/// An amount of a token.
#[derive(Debug, Clone, Serialize)]
pub struct WatchedAmount {
    /// Address of the token.
    pub token: Address,
    /// What the token calls itself, if it says anything. Anybody can choose it.
    pub symbol: Option<String>,
    /// The amount in the token's smallest units.
    pub units: String,
    /// The amount in whole tokens; `None` if the token states no decimals.
    pub amount: Option<String>,
}

impl From<UnpricedMarket> for WatchedMarket {
    fn from(UnpricedMarket { market, reason, positions }: UnpricedMarket) -> Self {
        Self { market, reason, positions }
    }
}

impl WatchedAmount {
    fn text(&self) -> String {
        let name = self.symbol.clone().unwrap_or_else(|| short(&self.token.to_string()));
        match &self.amount {
            Some(amount) => format!("{} {name}", rounded(amount)),
            None => format!("{} units of {name}", self.units),
        }
    }
}

impl WatchReport {
    /// Formats the report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { protocol, chain_id, address, block, markets, positions_with_debt, .. } = self;
        let mut text = format!(
            "{protocol} at {address} on chain {chain_id}, as of block {block}: {markets} markets, {positions_with_debt} \
             positions with debt\n"
        );
        let rows: Vec<_> = self.positions.iter().map(row).collect();
        let columns = [
            ("health factor", Align::Right),
            ("account", Align::Left),
            ("market", Align::Left),
            ("collateral", Align::Right),
            ("debt", Align::Right),
            ("price", Align::Right),
            ("liquidation price", Align::Right),
            ("distance", Align::Right),
            ("repays", Align::Right),
            ("seizes", Align::Right),
            ("bonus", Align::Right),
            ("after gas", Align::Right),
        ];
        text += &if rows.is_empty() { "  no position is as near\n".to_owned() } else { table(&columns, &rows) };
        for position in &self.positions {
            if let Some(remark) = &position.remark {
                text += &format!("  {}: {remark}\n", position.account);
            }
        }
        let unknown: BTreeSet<_> =
            self.positions.iter().filter_map(|position| position.after_gas_unknown.as_deref()).collect();
        for reason in unknown {
            text += &format!("  after gas is not known of some: {reason}\n");
        }
        for WatchedMarket { market, reason, positions } in &self.without_price {
            text += &format!("  {market}, {positions} positions, cannot be valued: {reason}\n");
        }
        for warning in &self.warnings {
            text += &format!("  warning: {warning}\n");
        }
        text += &format!("  {NOT_COUNTED} A healthy position's liquidation is that at its liquidation price.\n");
        text
    }
}

fn row(position: &WatchedPosition) -> Vec<String> {
    let price = |price: &Option<String>| price.as_deref().map_or_else(|| "–".to_owned(), rounded);
    let distance = position.distance_bps.map_or_else(
        || "–".to_owned(),
        |distance| {
            let sign = if distance < 0 { "-" } else { "" };
            format!("{sign}{}.{:02} %", distance.unsigned_abs() / 100, distance.unsigned_abs() % 100)
        },
    );
    let liquidation = |amount: fn(&WatchedLiquidation) -> &WatchedAmount| {
        position.liquidation.as_ref().map_or_else(|| "–".to_owned(), |liquidation| amount(liquidation).text())
    };
    let with_further = |amount: &WatchedAmount, is_debt: bool| {
        let further = position.further.iter().filter(|balance| balance.is_debt == is_debt);
        further.fold(amount.text(), |text, balance| text + " + " + &balance.amount.text())
    };
    vec![
        rounded(&position.health),
        position.account.to_string(),
        short(&position.market.to_string()),
        with_further(&position.collateral, false),
        with_further(&position.debt, true),
        price(&position.price),
        price(&position.liquidation_price),
        distance,
        liquidation(|liquidation| &liquidation.repaid),
        liquidation(|liquidation| &liquidation.seized),
        liquidation(|liquidation| &liquidation.bonus),
        position.after_gas.as_ref().map_or_else(|| "–".to_owned(), WatchedNet::text),
    ]
}

/// Cuts a decimal number to the decimals that the table shows, or to its first digits if those would all be zeros.
fn rounded(number: &str) -> String {
    let Some((whole, fraction)) = number.split_once('.') else { return number.to_owned() };
    let zeros = fraction.chars().take_while(|digit| *digit == '0').count();
    let digits = if whole == "0" && zeros >= SHOWN_DECIMALS { zeros + 2 } else { SHOWN_DECIMALS };
    let kept: String = fraction.chars().take(digits).collect();
    let kept = kept.trim_end_matches('0');
    if kept.is_empty() { whole.to_owned() } else { format!("{whole}.{kept}") }
}

/// Cuts an address or id to its first bytes.
fn short(hex: &str) -> String {
    hex.chars().take(10).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_never_to_nothing() {
        assert_eq!(rounded("1.0437"), "1.0437");
        assert_eq!(rounded("0.999999999999999999"), "0.999999");
        assert_eq!(rounded("0.000000001234"), "0.0000000012");
        assert_eq!(rounded("7"), "7");
        assert_eq!(rounded("7.0000001"), "7");
    }

    #[test]
    fn an_amount_without_decimals_is_shown_in_units() {
        let token = Address::repeat_byte(7);
        let amount = WatchedAmount { token, symbol: None, units: "15".to_owned(), amount: None };
        assert_eq!(amount.text(), "15 units of 0x07070707…");
    }
}
