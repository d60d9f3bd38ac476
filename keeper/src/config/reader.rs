//! Reading settings out of TOML one by one, so that everything that is wrong with a file is told at once.
//!
//! A [`Section`] is asked for each key that it may have. It remembers what was asked, so that whatever else stands in
//! the file is refused, and what came of it, so that `keeper config` can say which value holds and where it comes from.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::{self, Display},
    ops::Range,
    path::Path,
    str::FromStr,
};

use plimsoll_chain::signer::{PasswordSource, SignerSource};
use serde::{Deserialize, Serialize};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::environment::Override;

/// A setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its full name, such as `http.listen`.
    pub name: String,
    /// What it is, as it would be written; nothing secret.
    pub value: String,
    /// Where that comes from.
    pub origin: Origin,
    /// Its name in the schema, in which names that the operator chooses are `*`.
    #[serde(skip)]
    pub schema: String,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// A place in the file.
    File(String),
    /// An environment variable.
    Environment(String),
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Environment(variable) => f.write_str(variable),
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    at: usize,
    message: String,
}

/// A file that is being read, with what the environment says in its place.
#[derive(Debug)]
pub(super) struct Reading<'t> {
    path: &'t Path,
    text: &'t str,
    overrides: &'t [Override],
    problems: RefCell<Vec<Problem>>,
    settings: RefCell<Vec<Setting>>,
}

impl<'t> Reading<'t> {
    /// `path` is for messages.
    pub(super) fn new(path: &'t Path, text: &'t str, overrides: &'t [Override]) -> Self {
        Self { path, text, overrides, problems: RefCell::default(), settings: RefCell::default() }
    }

    /// The file with the overrides in it, as far as both are TOML.
    pub(super) fn document(&self) -> DeTable<'t> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            self.problem(&error.span().unwrap_or_default(), error.message());
        }
        let mut document = document.into_inner();
        for over in self.overrides {
            match over.table() {
                Ok(table) => merge(&mut document, table),
                Err(message) => self.problem(&over.span(), message),
            }
        }
        document
    }

    pub(super) fn problem(&self, span: &Range<usize>, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { at: span.start, message: message.into() });
    }

    /// All settings as they hold, or a line for each problem, in the order of the file.
    pub(super) fn finish(self) -> Result<Vec<Setting>, Vec<String>> {
        let mut problems = self.problems.take();
        if problems.is_empty() {
            return Ok(self.settings.into_inner());
        }
        problems.sort();
        problems.dedup();
        Err(problems.into_iter().map(|problem| format!("{}: {}", self.place(problem.at), problem.message)).collect())
    }

    /// `file:line:column` of a byte, or the variable that it belongs to.
    fn place(&self, at: usize) -> String {
        if let Some(over) = self.override_at(at) {
            return over.variable.clone();
        }
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.path.display())
    }

    fn origin(&self, at: usize) -> Origin {
        match self.override_at(at) {
            Some(over) => Origin::Environment(over.variable.clone()),
            None => Origin::File(self.place(at)),
        }
    }

    fn override_at(&self, at: usize) -> Option<&Override> {
        self.overrides.iter().find(|over| over.span().contains(&at))
    }

    /// Names of all settings that were asked for.
    #[cfg(test)]
    pub(super) fn schema(&self) -> BTreeSet<String> {
        self.settings.borrow().iter().map(|setting| setting.schema.clone()).collect()
    }

    fn push(&self, setting: Setting) {
        self.settings.borrow_mut().push(setting);
    }
}

/// Puts what `over` says in the place of what `base` says; tables are joined.
fn merge<'t>(base: &mut DeTable<'t>, over: DeTable<'t>) {
    for (key, value) in over {
        match (base.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut), value.get_ref()) {
            (Some(DeValue::Table(below)), DeValue::Table(above)) => merge(below, above.clone()),
            _ => {
                base.remove(key.get_ref().as_ref());
                base.insert(key, value);
            }
        }
    }
}

/// A table of a file that is being read.
#[derive(Debug)]
pub(super) struct Section<'r, 't> {
    reading: &'r Reading<'t>,
    table: Option<&'r DeTable<'t>>,
    span: Range<usize>,
    name: String,
    schema: String,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'r, 't> Section<'r, 't> {
    /// The whole document.
    pub(super) fn root(reading: &'r Reading<'t>, document: &'r DeTable<'t>) -> Self {
        Self {
            reading,
            table: Some(document),
            span: 0..0,
            name: String::new(),
            schema: String::new(),
            asked: RefCell::default(),
        }
    }

    /// A setting that has a default.
    pub(super) fn value<T: FromStr<Err = String> + Display>(&self, key: &'static str, default: T) -> T {
        self.optional(key, &default.to_string()).unwrap_or(default)
    }

    /// A setting that may be missing; `absent` says what it then means.
    pub(super) fn optional<T: FromStr<Err = String> + Display>(&self, key: &'static str, absent: &str) -> Option<T> {
        let Some(said) = self.get(key) else {
            self.record(key, absent.to_owned(), Origin::Default);
            return None;
        };
        let value: T = self.understood(said)?;
        self.record(key, value.to_string(), self.reading.origin(said.span().start));
        Some(value)
    }

    /// A list of values; `None` where it is missing.
    pub(super) fn list<T: FromStr<Err = String> + Display>(
        &self,
        key: &'static str,
        absent: &str,
    ) -> Option<Vec<(T, Range<usize>)>> {
        let Some(said) = self.get(key) else {
            self.record(key, absent.to_owned(), Origin::Default);
            return None;
        };
        let DeValue::Array(items) = said.get_ref() else {
            self.reading.problem(&said.span(), format!("`{key}` must be a list, such as [\"one\", \"two\"]"));
            return None;
        };
        let values: Vec<_> = items.iter().filter_map(|item| Some((self.understood::<T>(item)?, item.span()))).collect();
        let shown: Vec<_> = values.iter().map(|(value, _)| value.to_string()).collect();
        self.record(key, shown.join(", "), self.reading.origin(said.span().start));
        Some(values)
    }

    /// Yes or no.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(said) = self.get(key) else {
            self.record(key, default.to_string(), Origin::Default);
            return default;
        };
        let Some(flag) = said.get_ref().as_bool() else {
            self.reading.problem(&said.span(), format!("`{key}` must be true or false"));
            return default;
        };
        self.record(key, flag.to_string(), self.reading.origin(said.span().start));
        flag
    }

    /// Where a key is found.
    pub(super) fn signer(&self, key: &'static str, absent: &str, folder: &Path) -> Option<SignerSource> {
        const FORMS: &str = "say where the key is: { keystore = { path = \"…\", password = { file = \"…\" } } }, \
                             { environment = \"VARIABLE\" }, or { anvil = 0 } on a local Anvil";
        let Some(said) = self.get(key) else {
            self.record(key, absent.to_owned(), Origin::Default);
            return None;
        };
        // What stands here may be a key: nothing of it is repeated.
        let source = SignerSource::deserialize(ValueDeserializer::from(said.clone())).ok();
        let names_a_variable = |source: &SignerSource| match source {
            SignerSource::Environment(name) => name.parse::<super::values::Variable>().is_ok(),
            SignerSource::Keystore { .. } | SignerSource::Anvil(_) => true,
        };
        let Some(source) = source.filter(names_a_variable) else {
            self.reading.problem(&said.span(), FORMS);
            return None;
        };
        let shown = match &source {
            SignerSource::Keystore { path, .. } => format!("keystore {}", path.display()),
            SignerSource::Environment(variable) => format!("environment {variable}"),
            SignerSource::Anvil(number) => format!("anvil {number}"),
        };
        self.record(key, shown, self.reading.origin(said.span().start));
        Some(match source {
            SignerSource::Keystore { path, password } => SignerSource::Keystore {
                path: folder.join(path),
                password: match password {
                    PasswordSource::File(path) => PasswordSource::File(folder.join(path)),
                    password @ PasswordSource::Environment(_) => password,
                },
            },
            other => other,
        })
    }

    /// A table in this one, empty where it is missing.
    pub(super) fn section<R>(&self, key: &'static str, read: impl FnOnce(&Self) -> R) -> R {
        let said = self.get(key);
        let section = self.inner(key, key, said);
        let result = read(&section);
        section.refuse_the_rest();
        result
    }

    /// Tables in a table whose names are the operator's, in the order of names.
    pub(super) fn named<R>(&self, key: &'static str, read: impl Fn(&str, &Self) -> R) -> Vec<R> {
        let Some(said) = self.get(key) else { return Vec::new() };
        let holder = self.inner(key, key, Some(said));
        let Some(table) = holder.table else { return Vec::new() };
        let entry = |(name, value): (&Spanned<_>, &'r Spanned<DeValue<'t>>)| {
            let name: &str = AsRef::<str>::as_ref(name.get_ref());
            let section = holder.inner(name, "*", Some(value));
            let result = read(name, &section);
            section.refuse_the_rest();
            result
        };
        table.iter().map(entry).collect()
    }

    /// A list of tables; `None` where it is missing.
    pub(super) fn tables<R>(&self, key: &'static str, read: impl Fn(&Self) -> R) -> Option<Vec<R>> {
        let said = self.get(key)?;
        let DeValue::Array(items) = said.get_ref() else {
            self.reading.problem(&said.span(), format!("`{key}` must be a list of tables: begin each with [[{key}]]"));
            return Some(Vec::new());
        };
        let entry = |(index, value): (usize, &'r Spanned<DeValue<'t>>)| {
            let section = self.inner(&format!("{key}.{index}"), key, Some(value));
            let result = read(&section);
            section.refuse_the_rest();
            result
        };
        Some(items.iter().enumerate().map(entry).collect())
    }

    /// Settings that it may have, although nobody asks for them.
    pub(super) fn knows(&self, keys: &[&'static str]) {
        self.asked.borrow_mut().extend(keys);
    }

    /// Something about the section as a whole is wrong.
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.reading.problem(&self.span, message);
    }

    /// Something about one of its settings is wrong.
    pub(super) fn problem_with(&self, key: &str, message: impl Into<String>) {
        let span = self.table.and_then(|table| table.get(key)).map_or_else(|| self.span.clone(), Spanned::span);
        self.reading.problem(&span, message);
    }

    /// Something at a place that was read is wrong.
    pub(super) fn problem_at(&self, span: &Range<usize>, message: impl Into<String>) {
        self.reading.problem(span, message);
    }

    /// Whether a setting stands in the file or in the environment.
    pub(super) fn says(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    fn get(&self, key: &'static str) -> Option<&'r Spanned<DeValue<'t>>> {
        self.asked.borrow_mut().insert(key);
        self.table.and_then(|table| table.get(key))
    }

    fn inner(&self, name: &str, schema: &str, said: Option<&'r Spanned<DeValue<'t>>>) -> Self {
        let table = said.and_then(|said| said.get_ref().as_table());
        if let Some(said) = said.filter(|_| table.is_none()) {
            self.reading.problem(&said.span(), format!("`{name}` must be a table: write its settings under a heading"));
        }
        Self {
            reading: self.reading,
            table,
            span: said.map_or_else(|| self.span.clone(), Spanned::span),
            name: joined(&self.name, name),
            schema: joined(&self.schema, schema),
            asked: RefCell::default(),
        }
    }

    /// A text or a whole number, as whoever asks understands it.
    fn understood<T: FromStr<Err = String>>(&self, said: &Spanned<DeValue<'_>>) -> Option<T> {
        let text = match said.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => {
                let message =
                    format!("{} is a floating-point number, which is not exact: put it in quotes", number.as_str());
                self.reading.problem(&said.span(), message);
                return None;
            }
            _ => {
                self.reading.problem(&said.span(), "this must be a text or a whole number");
                return None;
            }
        };
        text.parse().map_err(|problem: String| self.reading.problem(&said.span(), problem)).ok()
    }

    fn record(&self, key: &str, value: String, origin: Origin) {
        let name = joined(&self.name, key);
        self.reading.push(Setting { name, value, origin, schema: joined(&self.schema, key) });
    }

    fn refuse_the_rest(&self) {
        let asked = self.asked.borrow();
        for key in self.table.into_iter().flat_map(DeTable::keys) {
            let name: &str = key.get_ref().as_ref();
            if !asked.contains(name) {
                let known = asked.iter().copied().collect::<Vec<_>>().join(", ");
                let place =
                    if self.name.is_empty() { "a configuration".to_owned() } else { format!("[{}]", self.name) };
                self.reading.problem(&key.span(), format!("{place} has no setting `{name}`; it has {known}"));
            }
        }
    }

    /// Ends the reading of a whole document.
    pub(super) fn finish(self) {
        self.refuse_the_rest();
    }
}

fn joined(before: &str, name: &str) -> String {
    if before.is_empty() { name.to_owned() } else { format!("{before}.{name}") }
}
