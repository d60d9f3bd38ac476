//! What the environment says in the place of the file: `PLIMSOLL_KEEPER__HTTP__LISTEN=127.0.0.1:9000` stands for
//! `listen = "127.0.0.1:9000"` under `[http]`.
//!
//! Numbers, true and false, lists and tables are written as in the file; anything else is a text. Names with other
//! characters than letters, digits and underscores cannot be reached this way.

use std::{collections::BTreeMap, ops::Range};

use toml::de::{DeTable, DeValue};

/// How every variable begins.
const PREFIX: &str = "PLIMSOLL_KEEPER__";
/// What stands between the names of tables and settings.
const SEPARATOR: &str = "__";

/// One variable, as TOML that stands behind the file and the variables before it: so a place in the one long text
/// says where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) variable: String,
    start: usize,
    text: String,
}

impl Override {
    /// Those of all variables that are ours, in the order of their names, behind a file of this many bytes.
    pub(super) fn among(variables: &BTreeMap<String, String>, mut start: usize) -> Vec<Self> {
        let mut overrides = Vec::new();
        for (variable, value) in variables.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            let key = variable[PREFIX.len()..].to_ascii_lowercase().replace(SEPARATOR, ".");
            // The place of the first byte must not be the end of what stands before it.
            let text = format!("{}{key} = {}", " ".repeat(start + 1), as_toml(value));
            let end = text.len();
            overrides.push(Self { variable: variable.clone(), start: start + 1, text });
            start = end;
        }
        overrides
    }

    /// Where it stands in the long text.
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.text.len()
    }

    /// What it says, in tables.
    pub(super) fn table(&self) -> Result<DeTable<'_>, &'static str> {
        DeTable::parse(&self.text)
            .map(toml::Spanned::into_inner)
            .map_err(|_| "this must be PLIMSOLL_KEEPER__SECTION__KEY, in letters, digits and underscores")
    }
}

fn as_toml(value: &str) -> String {
    let is_toml = DeValue::parse(value).is_ok_and(|parsed| {
        let parsed = parsed.get_ref();
        parsed.is_str() || parsed.is_bool() || parsed.is_integer() || parsed.is_array() || parsed.is_table()
    });
    if is_toml { value.to_owned() } else { toml::Value::String(value.to_owned()).to_string() }
}
