//! What commands find, as text for people and as JSON for programs.

pub mod check;
pub mod positions;
mod table;

use std::{
    env,
    io::{self, IsTerminal},
};

/// Colours a text where a person looks at it.
fn paint(colour: &str, text: &str) -> String {
    let wants_none = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !wants_none { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}
