//! Tables as CSV (RFC 4180) for spreadsheets.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::{
    amount::Amount,
    view::{ActivityEntry, DayProfit, PositionRow, PositionView},
};

/// Offers a table as a file.
pub(super) fn response(file: &str, text: String) -> Response {
    let disposition = format!("attachment; filename=\"{file}\"");
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, text).into_response()
}

pub(super) fn positions(rows: Vec<&PositionRow>) -> String {
    let mut table = Table::new(&[
        "market",
        "account",
        "health_factor",
        "debt",
        "debt_token",
        "collateral",
        "collateral_token",
        "liquidation_price",
        "distance_bps",
        "liquidatable_since_block",
        "acts",
        "reason",
        "text",
    ]);
    for row in rows {
        let PositionView { market_name, account, debt, collateral, health, waterline, distance_bps, decision, .. } =
            row.view();
        table.text(&market_name);
        table.number(account);
        table.optional(health.exact());
        table.amount(Some(&debt));
        table.amount(Some(&collateral));
        table.optional(waterline.exact());
        table.number(distance_bps);
        table.optional(row.liquidatable_since);
        let (acts, reason) = row.reason();
        table.number(acts);
        table.number(reason);
        table.text(decision.as_ref().map_or("", |decision| &decision.text));
        table.end_row();
    }
    table.0
}

pub(super) fn activity(coin: &str, entries: Vec<&ActivityEntry>) -> String {
    let (profit, gas) = (format!("profit_{coin}"), format!("gas_{coin}"));
    let mut table = Table::new(&[
        "time_unix",
        "block",
        "kind",
        "state",
        "place",
        "accounts",
        "moved",
        "moved_token",
        &profit,
        &gas,
        "transaction",
        "note",
    ]);
    for entry in entries {
        table.number(entry.at);
        table.optional(entry.block);
        table.number(entry.kind.name());
        table.number(entry.state.name());
        table.text(&entry.place);
        table.number(entry.accounts);
        table.amount(entry.moved.as_ref());
        table.optional(entry.profit.as_ref().map(|profit| profit.exact()));
        table.optional(entry.gas.as_ref().map(Amount::exact));
        table.optional(entry.transaction);
        table.text(entry.note.as_deref().unwrap_or_default());
        table.end_row();
    }
    table.0
}

pub(super) fn profit(days: &[DayProfit]) -> String {
    let mut table = Table::new(&["date", "profit", "gas", "net", "token"]);
    for day in days {
        table.number(&day.date);
        table.number(day.profit.exact());
        table.number(day.gas.exact());
        table.number(day.net.exact());
        table.text(&day.net.token);
        table.end_row();
    }
    table.0
}

/// A table that is being written.
struct Table(String);

impl Table {
    fn new(columns: &[&str]) -> Self {
        let mut table = Self(String::new());
        columns.iter().for_each(|column| table.text(column));
        table.end_row();
        table
    }

    /// Adds a value that holds no foreign text.
    fn number(&mut self, value: impl ToString) {
        self.0.push_str(&value.to_string());
        self.0.push(',');
    }

    fn optional(&mut self, value: Option<impl ToString>) {
        self.number(value.map(|value| value.to_string()).unwrap_or_default());
    }

    /// Adds an amount and its token.
    fn amount(&mut self, amount: Option<&Amount>) {
        self.optional(amount.map(Amount::exact));
        self.text(amount.map_or("", |amount| &amount.token));
    }

    /// Adds a text, which may be a contract's. A spreadsheet must not take it for a formula.
    fn text(&mut self, text: &str) {
        let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let text = text.replace('"', "\"\"");
        self.0.push('"');
        if is_formula {
            self.0.push('\'');
        }
        self.0.push_str(&text);
        self.0.push_str("\",");
    }

    fn end_row(&mut self) {
        self.0.pop();
        self.0.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_neither_a_formula_nor_a_new_cell() {
        let mut table = Table::new(&["a", "b"]);
        table.text("=HYPERLINK(\"x\"),\n1");
        table.number(-1);
        table.end_row();
        assert_eq!(table.0, "\"a\",\"b\"\r\n\"'=HYPERLINK(\"\"x\"\"),\n1\",-1\r\n");
    }
}
