//! Settings in the environment: `PLIMSOLL_KEEPER__HTTP__LISTEN=127.0.0.1:9000` stands for `listen = "127.0.0.1:9000"`
//! under `[http]`.
//!
//! Numbers, true and false, lists and tables are written as in the file; anything else is a text. Names with other
//! characters than lower-case letters, digits and underscores cannot be reached this way.

use toml::de::DeValue;

use super::{
    SECTIONS, Variables,
    tree::{Origin, Tree},
};

/// Beginning of every variable that is meant for the keeper.
const PREFIX: &str = "PLIMSOLL_KEEPER_";
/// Separator between the names of tables and settings.
const SEPARATOR: &str = "__";

/// Merges what the environment sets into `root`, passing each variable's layer through `prepare` first.
pub(super) fn merge(root: &mut Tree, variables: &Variables, mut prepare: impl FnMut(&mut Tree)) {
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
        let origin = |_| Origin::Environment(variable.clone());
        match path(&name) {
            Some(path) => {
                let mut layer = Tree::parse(&format!("{} = {}", path.join("."), as_toml(value)), &origin);
                prepare(&mut layer);
                root.merge(layer);
            }
            None => root.problem_at(&origin(0), remedy(&name)),
        }
    }
}

/// The names that lead to a setting; `None` if this is not `_SECTION__KEY` or `_SECTION`.
fn path(name: &str) -> Option<Vec<&str>> {
    let path: Vec<_> = name.strip_prefix('_')?.split(SEPARATOR).collect();
    let is_complete = path.len() > 1 || SECTIONS.contains(path.first()?);
    (is_complete && !path.iter().any(|part| part.is_empty() || part.starts_with('_'))).then_some(path)
}

/// What to write instead of a variable whose underscores are not where they should be.
fn remedy(name: &str) -> String {
    let name = name.trim_matches('_');
    let key_in = |section: &&&str| name.strip_prefix(**section).is_some_and(|key| key.starts_with('_'));
    let meant = SECTIONS.iter().find(key_in).map_or_else(
        || "SECTION__KEY".to_owned(),
        |section| format!("{section}{SEPARATOR}{}", name[section.len()..].trim_matches('_')).to_ascii_uppercase(),
    );
    format!("settings have two underscores after KEEPER and between section and key: write {PREFIX}_{meant}")
}

fn as_toml(value: &str) -> String {
    let is_toml = DeValue::parse(value).is_ok_and(|parsed| {
        let parsed = parsed.get_ref();
        parsed.is_str() || parsed.is_bool() || parsed.is_integer() || parsed.is_array() || parsed.is_table()
    });
    if is_toml { value.to_owned() } else { toml::Value::from(value).to_string() }
}
