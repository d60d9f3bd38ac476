//! The tree of settings: layers – defaults, the deployment record, the file, the environment – merged into one tree in
//! which every value keeps its origin, and from which serde reads structs.
//!
//! Reading reports all mistakes at once: a value that a struct refuses is noted with its origin and left out, the value
//! of the next lower layer takes its place, and the struct is read again. Numbers stay text until a unit parses them, so
//! none ever passes through a floating-point type.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, btree_map},
    fmt::{self, Display},
    path::Path,
    slice,
    sync::Arc,
};

use plimsoll_chain::endpoint::Endpoint;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, DeserializeSeed, Error, Expected, MapAccess, SeqAccess, Unexpected, Visitor, value},
    forward_to_deserialize_any,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A setting in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Full name, such as `http.listen`.
    pub name: String,
    /// Value as it is written in a file, without anything secret; `none` if there is no value.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Origin of a value, from the lowest precedence to the highest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The keeper's default, which may follow from the chain or from other settings.
    Default,
    /// The deployment record in this file.
    Record(String),
    /// A place in the configuration file.
    File(Place),
    /// An environment variable.
    Environment(String),
}

/// A place in a file; lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    file: Arc<str>,
    line: usize,
    column: usize,
}

impl Place {
    /// The place of the byte `at` of `text`, which is the content of `file`.
    pub(super) fn new(file: &Arc<str>, text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { file: Arc::clone(file), line: before.matches('\n').count() + 1, column }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => place.fmt(f),
            Self::Record(name) | Self::Environment(name) => f.write_str(name),
        }
    }
}

/// A value with its origin, the value that it replaces, and the problems found with it.
#[derive(Debug)]
pub(super) struct Tree {
    value: Value,
    origin: Origin,
    /// Where the key is written; for an item of a list and for a derived value, the same as `origin`.
    key: Origin,
    /// The value of a lower layer that this one replaces.
    under: Option<Box<Self>>,
    is_refused: Cell<bool>,
    problems: RefCell<Vec<(Origin, String)>>,
    /// Fields of the struct that was read from this table.
    fields: Cell<&'static [&'static str]>,
}

/// A value of TOML. Numbers are kept as they are written; those that are not whole are kept apart.
#[derive(Debug)]
enum Value {
    Text(String),
    Float(String),
    Flag(bool),
    List(Vec<Tree>),
    Table(BTreeMap<String, Tree>),
}

impl Tree {
    fn new(origin: &Origin, value: Value) -> Self {
        Self {
            value,
            origin: origin.clone(),
            key: origin.clone(),
            under: None,
            is_refused: Cell::default(),
            problems: RefCell::default(),
            fields: Cell::default(),
        }
    }

    /// Parses TOML; `origin` gives the origin of its n-th byte. Syntax errors become problems of the tree, which has as
    /// much of the text as can be understood all the same.
    pub(super) fn parse(text: &str, origin: &dyn Fn(usize) -> Origin) -> Self {
        let (document, errors) = DeTable::parse_recoverable(text);
        let tree = Self::of(Spanned::new(document.span(), DeValue::Table(document.into_inner())), origin);
        for error in errors {
            tree.problem_at(&origin(error.span().unwrap_or_default().start), error.message());
        }
        tree
    }

    fn of(value: Spanned<DeValue<'_>>, origin: &dyn Fn(usize) -> Origin) -> Self {
        let place = origin(value.span().start);
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Integer(number) => Value::Text(number.to_string()),
            DeValue::Float(number) => Value::Float(number.to_string()),
            DeValue::Boolean(flag) => Value::Flag(flag),
            DeValue::Array(items) => Value::List(items.into_iter().map(|item| Self::of(item, origin)).collect()),
            DeValue::Table(table) => {
                let entry = |(key, value): (Spanned<_>, _)| {
                    let tree = Self { key: origin(key.span().start), ..Self::of(value, origin) };
                    (String::from(key.into_inner()), tree)
                };
                Value::Table(table.into_iter().map(entry).collect())
            }
        };
        Self::new(&place, value)
    }

    /// Merges another layer into this one. Tables are joined; of two other values, the one whose origin has precedence
    /// is in effect – of equals the newcomer – and the other one is kept under it.
    pub(super) fn merge(&mut self, mut other: Self) {
        let takes_precedence = other.origin >= self.origin;
        if let (Value::Table(ours), Value::Table(theirs)) = (&mut self.value, &mut other.value) {
            for (key, tree) in std::mem::take(theirs) {
                match ours.entry(key) {
                    btree_map::Entry::Vacant(entry) => _ = entry.insert(tree),
                    btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(tree),
                }
            }
            self.problems.get_mut().append(other.problems.get_mut());
            // What is wrong with a table as a whole is best seen where the file has it.
            if takes_precedence && !matches!(self.origin, Origin::File(_)) {
                self.origin = other.origin;
            }
            return;
        }
        if takes_precedence {
            std::mem::swap(self, &mut other);
        }
        match &mut self.under {
            Some(under) => under.merge(other),
            None => self.under = Some(Box::new(other)),
        }
    }

    /// Merges values that are not the operator's, written as TOML: each is in effect wherever no higher layer has
    /// another.
    pub(super) fn add(&mut self, origin: &Origin, toml: &str) {
        self.merge(Self::parse(toml, &|_| origin.clone()));
    }

    /// Takes an entry out of a table.
    pub(super) fn take(&mut self, key: &str) -> Option<Self> {
        if let Value::Table(table) = &mut self.value { table.remove(key) } else { None }
    }

    /// Gives an entry of a table another name; returns where the old one is written. Two entries that would have one
    /// name are a problem.
    pub(super) fn rename(&mut self, old: &str, new: &str) -> Option<Origin> {
        let tree = self.take(old)?;
        let place = tree.key.clone();
        let Value::Table(table) = &mut self.value else { return None };
        if table.contains_key(new) {
            self.problem_at(&place, format!("`{old}` and `{new}` are one setting: remove one of them"));
            return None;
        }
        table.insert(new.to_owned(), tree);
        Some(place)
    }

    /// Every part of the tree at `path`, in which `*` stands for each entry of a table and each item of a list.
    pub(super) fn all<'t>(&'t mut self, path: &[&str]) -> Vec<&'t mut Self> {
        let entries = |tree: &'t mut Self, key: &str| -> Vec<&'t mut Self> {
            match (&mut tree.value, key) {
                (Value::Table(table), "*") => table.values_mut().collect(),
                (Value::Table(table), key) => table.get_mut(key).into_iter().collect(),
                (Value::List(items), "*") => items.iter_mut().collect(),
                (Value::List(items), index) => {
                    index.parse().ok().and_then(|i: usize| items.get_mut(i)).into_iter().collect()
                }
                _ => Vec::new(),
            }
        };
        path.iter().fold(vec![self], |trees, key| trees.into_iter().flat_map(|tree| entries(tree, key)).collect())
    }

    /// Whether the operator, and not the record or a default, has set something at `path`, be it of use or not.
    pub(super) fn is_set(&self, path: &[&str]) -> bool {
        let tree = path.iter().try_fold(self, |tree, key| tree.entry(key));
        tree.is_some_and(|tree| matches!(tree.origin, Origin::File(_) | Origin::Environment(_)))
    }

    fn entry(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(table) => table.get(key),
            Value::List(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The value in effect: this one, or the one under it where this one was refused.
    fn in_effect(&self) -> Option<&Self> {
        if self.is_refused.get() { self.under.as_ref()?.in_effect() } else { Some(self) }
    }

    /// Reads the entry `key` as a struct. `None` means that there is no entry or that no layer has one that can be
    /// used; every problem on the way is noted.
    pub(super) fn read<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        loop {
            let tree = self.entry(key)?.in_effect()?;
            match T::deserialize(tree) {
                Ok(value) => return Some(value),
                // Each round refuses a value more, so there is a last one.
                Err(refusal) => _ = tree.refuse(&tree.origin, refusal),
            }
        }
    }

    /// Refuses all entries other than these.
    pub(super) fn allow(&self, keys: &'static [&'static str]) {
        self.fields.set(keys);
        let Value::Table(table) = &self.value else { return };
        for (key, tree) in table.iter().filter(|(key, _)| !keys.contains(&key.as_str())) {
            tree.refuse(&tree.key, Refusal::unknown_field(key, keys));
        }
    }

    /// Leaves this value out from now on.
    fn refuse(&self, place: &Origin, refusal: Refusal) -> Refusal {
        if let Refusal::Because(message) = refusal {
            self.is_refused.set(true);
            self.problem_at(place, message);
        }
        Refusal::Noted
    }

    /// Notes a problem that is at a place of its own.
    pub(super) fn problem_at(&self, place: &Origin, message: impl Into<String>) {
        self.problems.borrow_mut().push((place.clone(), message.into()));
    }

    /// Notes a problem with what is at `path`, or else with the table that it should be in.
    pub(super) fn problem(&self, mut path: &[&str], message: impl Into<String>) {
        let mut tree = self;
        while let Some(next) = path.split_off_first().and_then(|key| tree.entry(key)?.in_effect()) {
            tree = next;
        }
        tree.problem_at(&tree.origin, message);
    }

    /// A line for each problem, in the order of their places; `file` is the place of what is in no file.
    pub(super) fn problems(&self, file: &Path) -> Vec<String> {
        let mut problems = Vec::new();
        self.collect_problems(&mut problems);
        problems.sort();
        problems.dedup();
        let line = |(origin, message): (Origin, String)| match origin {
            Origin::Default => format!("{}: {message}", file.display()),
            origin => format!("{origin}: {message}"),
        };
        problems.into_iter().map(line).collect()
    }

    fn collect_problems(&self, problems: &mut Vec<(Origin, String)>) {
        problems.extend(self.problems.borrow().iter().cloned());
        if self.is_refused.get() {
            // Why a whole was refused says enough about its parts, and parts may be secrets.
            return self.under.iter().for_each(|tree| tree.collect_problems(problems));
        }
        match &self.value {
            Value::Table(table) => table.values().for_each(|tree| tree.collect_problems(problems)),
            Value::List(items) => items.iter().for_each(|tree| tree.collect_problems(problems)),
            _ => {}
        }
    }

    /// Every setting of the tree in effect; `name` is the tree's own.
    pub(super) fn settings(&self, name: &str) -> Vec<Setting> {
        let within = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        let setting = |name: &str, value: String, origin: &Origin| {
            vec![Setting { name: name.to_owned(), value, origin: origin.clone() }]
        };
        match &self.value {
            Value::Table(table) => {
                let keys: Vec<_> = match self.fields.get() {
                    [] => table.keys().map(String::as_str).collect(),
                    fields => fields.to_vec(),
                };
                let entry = |key| match table.get(key).and_then(Self::in_effect) {
                    Some(tree) => tree.settings(&within(key)),
                    None => setting(&within(key), "none".to_owned(), &Origin::Default),
                };
                keys.into_iter().flat_map(entry).collect()
            }
            Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Table(_))) => {
                items.iter().enumerate().flat_map(|(index, item)| item.settings(&within(&index.to_string()))).collect()
            }
            value => setting(name, value.to_string(), &self.origin),
        }
    }

    fn entries(&self) -> Result<Entries<'_>, Refusal> {
        match &self.value {
            Value::Table(table) => Ok(Entries { entries: table.iter(), current: None }),
            _ => Err(Error::custom("this must be a table: write its settings under a heading")),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A URL may hold a key: only scheme and host are shown.
            Self::Text(text) => match text.parse::<Endpoint>() {
                Ok(endpoint) => endpoint.fmt(f),
                Err(_) => f.write_str(text),
            },
            Self::Float(text) => f.write_str(text),
            Self::Flag(flag) => flag.fmt(f),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| item.value.to_string()).collect();
                f.write_str(&items.join(", "))
            }
            Self::Table(_) => f.write_str("a table"),
        }
    }
}

/// Why a value cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Because(String),
    #[error("the reason is noted where the value is")]
    Noted,
}

impl Error for Refusal {
    fn custom<T: Display>(message: T) -> Self {
        Self::Because(message.to_string())
    }

    /// Repeats nothing of the value, which may be a secret.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("this must be {expected}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Because(unknown("there is no setting", field, expected.iter().copied()))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Because(unknown("there is no choice", variant, expected.iter().copied()))
    }
}

/// The message about a name that is none of the known ones, with the most similar of those.
pub(super) fn unknown<'n>(problem: &str, name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    let distance = |known: &&&str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let nearest = known.iter().min_by_key(distance).filter(|nearest| distance(nearest) <= 1 + name.chars().count() / 3);
    let hint = nearest.map(|nearest| format!(": did you mean `{nearest}`?")).unwrap_or_default();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{problem} `{name}`{hint} (known: {known})")
}

impl<'de> Deserializer<'de> for &Tree {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match &self.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Float(text) => {
                Err(Error::custom(format!("{text} is a floating-point number, which is not exact: put it in quotes")))
            }
            Value::Flag(flag) => visitor.visit_bool(*flag),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Table(_) => visitor.visit_map(self.entries()?),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let text = String::deserialize(self)?;
        match text.replace('_', "").parse() {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => Err(Error::custom(format!("\"{text}\" is not a whole number"))),
        }
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.fields.set(fields);
        visitor.visit_map(self.entries()?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match &self.value {
            Value::Table(table) if table.len() == 1 => {
                visitor.visit_enum(value::MapAccessDeserializer::new(self.entries()?))
            }
            _ => visitor.visit_enum(value::StringDeserializer::new(String::deserialize(self)?)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u16 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// Entries of a table on their way into a struct or map.
struct Entries<'t> {
    entries: btree_map::Iter<'t, String, Tree>,
    current: Option<&'t Tree>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        let Some((key, tree)) = self.entries.find_map(|(key, tree)| Some((key.as_str(), tree.in_effect()?))) else {
            return Ok(None);
        };
        self.current = Some(tree);
        seed.deserialize(value::StrDeserializer::new(key)).map(Some).map_err(|refusal| tree.refuse(&tree.key, refusal))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let tree = self.current.take().ok_or_else(|| Refusal::custom("a key is read before its value"))?;
        seed.deserialize(tree).map_err(|refusal| tree.refuse(&tree.origin, refusal))
    }
}

/// Items of a list on their way into a `Vec`.
struct Items<'t>(slice::Iter<'t, Tree>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refusal> {
        let Some(tree) = self.0.find_map(Tree::in_effect) else { return Ok(None) };
        seed.deserialize(tree).map(Some).map_err(|refusal| tree.refuse(&tree.origin, refusal))
    }
}
