//! Tables as CSV (RFC 4180).

use crate::amount::Amount;

/// A table that is being written.
pub(crate) struct Table(String);

impl Table {
    /// Begins a table with its headings.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut table = Self(String::new());
        columns.iter().for_each(|column| table.text(column));
        table.end_row();
        table
    }

    /// Adds a value that holds no foreign text.
    pub(crate) fn number(&mut self, value: impl ToString) {
        self.0.push_str(&value.to_string());
        self.0.push(',');
    }

    /// Adds a value that holds no foreign text, or an empty cell.
    pub(crate) fn optional(&mut self, value: Option<impl ToString>) {
        self.number(value.map(|value| value.to_string()).unwrap_or_default());
    }

    /// Adds an amount and its token.
    pub(crate) fn amount(&mut self, amount: Option<&Amount>) {
        self.optional(amount.map(Amount::exact));
        self.text(amount.map_or("", |amount| &amount.token));
    }

    /// Adds a text, which may be a contract's. A spreadsheet must not take it for a formula.
    pub(crate) fn text(&mut self, text: &str) {
        let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let text = text.replace('"', "\"\"");
        self.0.push('"');
        if is_formula {
            self.0.push('\'');
        }
        self.0.push_str(&text);
        self.0.push_str("\",");
    }

    pub(crate) fn end_row(&mut self) {
        self.0.pop();
        self.0.push_str("\r\n");
    }

    /// Returns the file's content.
    pub(crate) fn into_text(self) -> String {
        self.0
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
