//! Mistakes in the structure of a manifest: unknown and missing keys, values of another type. The parser stops at the first
//! one: it is corrected or removed, and the rest is read again, so that all are reported at once.

use std::{collections::BTreeSet, ops::Range};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer, Error},
};

use super::{Problem, Tables, spelling::nearest};

/// Reads the tables of a manifest, and its unknown keys as problems. Fails with all problems if there are others, too.
pub(super) fn read(text: &str) -> Result<(Tables, Vec<Problem>), Vec<Problem>> {
    let (mut problems, mut removed) = (Vec::new(), BTreeSet::new());
    let mut root = DeTable::parse(text).map_err(|error| vec![problem(&error)])?;
    loop {
        let error = match Tables::deserialize(Deserializer::from(root.clone())) {
            Ok(tables) if removed.is_empty() => return Ok((tables, problems)),
            // Without what was removed, names that are there would be reported as missing.
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        if let Some(unknown) = UnknownKey::of(&error)
            && unknown.correct(root.get_mut())
        {
            problems.push(unknown.problem());
            continue;
        }
        // What was removed here is missing for no other reason.
        let missing = error.message().strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        if !missing.is_some_and(|key| removed.contains(key)) {
            problems.push(problem(&error));
        }
        let Some(key) = error.span().and_then(|span| remove(root.get_mut(), &span)) else { return Err(problems) };
        removed.insert(key);
    }
}

/// Removes the value at a position, and returns its key.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    if let Some(key) = table.iter().find(|(_, value)| value.span() == *span).map(|(key, _)| key.clone()) {
        table.remove(&key);
        return Some(key.get_ref().to_string());
    }
    table.iter_mut().find_map(|(_, value)| remove_in(value.get_mut(), span))
}

fn remove_in(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<String> {
    match value {
        DeValue::Table(table) => remove(table, span),
        DeValue::Array(items) => items.iter_mut().find_map(|item| remove_in(item.get_mut(), span)),
        _ => None,
    }
}

fn problem(error: &Error) -> Problem {
    Problem { span: error.span().unwrap_or_default(), message: error.message().to_owned() }
}

/// A key that a table does not have, with those that it has.
struct UnknownKey<'e> {
    span: Range<usize>,
    name: &'e str,
    known: Vec<&'e str>,
}

impl<'e> UnknownKey<'e> {
    /// Returns the key that an error is about, from its message: the name and those that are known, each in backquotes.
    fn of(error: &'e Error) -> Option<Self> {
        let quoted = error.message().strip_prefix("unknown field `")?;
        let (name, rest) = quoted.split_once('`')?;
        Some(Self { span: error.span()?, name, known: rest.split('`').skip(1).step_by(2).collect() })
    }

    fn problem(&self) -> Problem {
        let known = match nearest(self.name, self.known.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("the keys here are {}", self.known.join(", ")),
        };
        Problem { span: self.span.clone(), message: format!("unknown key `{}`: {known}", self.name) }
    }

    /// Renames the key to the most similar one that is known and missing, so that its value is checked, too, and that it is
    /// not reported as missing; removes it if there is none. Returns false if the key is not in the table.
    fn correct(&self, table: &mut DeTable<'_>) -> bool {
        let found = table.keys().find(|key| key.span() == self.span).cloned();
        if let Some(key) = found {
            let value = table.remove(&key);
            if let (Some(name), Some(value)) = (nearest(self.name, self.known.iter().copied()), value) {
                let renamed = Spanned::new(key.span(), name.to_owned().into());
                if !table.contains_key(&renamed) {
                    table.insert(renamed, value);
                }
            }
            return true;
        }
        table.iter_mut().any(|(_, value)| self.correct_in(value.get_mut()))
    }

    fn correct_in(&self, value: &mut DeValue<'_>) -> bool {
        match value {
            DeValue::Table(table) => self.correct(table),
            DeValue::Array(items) => items.iter_mut().any(|item| self.correct_in(item.get_mut())),
            _ => false,
        }
    }
}
