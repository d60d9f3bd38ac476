//! Tables for spreadsheets.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::{
    amount::Amount,
    csv::Table,
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
    table.into_text()
}

pub(super) fn activity(coin: &str, entries: Vec<&ActivityEntry>) -> String {
    let (profit, gas, expected) = (format!("profit_{coin}"), format!("gas_{coin}"), format!("expected_profit_{coin}"));
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
        &expected,
    ]);
    for entry in entries {
        table.number(entry.at);
        table.optional(entry.block);
        table.number(entry.kind.name());
        table.number(entry.state.name());
        table.text(&entry.place);
        table.number(entry.accounts);
        table.amount(entry.moved.as_ref());
        // The sum of this column is what was made.
        let profit_if = |is_meant: bool| entry.profit.as_ref().filter(|_| is_meant).map(|profit| profit.exact());
        table.optional(profit_if(entry.is_done()));
        table.optional(entry.gas.as_ref().map(Amount::exact));
        table.optional(entry.transaction);
        table.text(entry.note.as_deref().unwrap_or_default());
        table.optional(profit_if(!entry.is_done()));
        table.end_row();
    }
    table.into_text()
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
    table.into_text()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, U256};

    use super::*;
    use crate::{
        intent::Outcome,
        view::{
            Ledger,
            fixture::{ETHER, Fixture, NOW, receipt},
        },
    };

    #[test]
    fn what_was_made_and_what_is_expected_are_columns_of_their_own() {
        let fixture = Fixture::new(&[1_800]);
        let mut ledger = Ledger::default();
        for (id, outcome) in [(1, Outcome::Mined(receipt(1, 10, true))), (2, Outcome::Reorged)] {
            ledger.record_report(&fixture.config, &fixture.report(id, outcome), NOW);
        }
        ledger.record_execution(&fixture.config, B256::repeat_byte(1), 1, None, U256::from(ETHER / 2));
        let timeline = ledger.timeline();
        let text = activity("ETH", timeline.iter().rev().collect());
        let cells: Vec<Vec<_>> = text.lines().map(|line| line.split(',').collect()).collect();
        let column = |name: &str| {
            let at = cells[0].iter().position(|cell| cell.trim_matches('"') == name).unwrap();
            (cells[1][at], cells[2][at])
        };
        assert_eq!(column("state"), ("mined", "sent"));
        assert_eq!(column("profit_ETH"), ("0.5", ""));
        assert_eq!(column("gas_ETH"), ("0.002", ""));
        let expected = timeline[0].profit.as_ref().unwrap().exact();
        assert_eq!(column("expected_profit_ETH"), ("", expected.as_str()));
        assert_eq!(column("block"), ("10", ""));
    }
}
