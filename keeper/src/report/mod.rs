//! Results of commands, as text for people and as JSON for programs.

pub mod check;
pub mod fleet;
pub mod positions;
pub mod results;
mod table;
pub mod watch;

use std::{
    env,
    io::{self, IsTerminal},
};

/// Colours a text with an ANSI code if stdout is a terminal and `NO_COLOR` is not set.
fn paint(colour: &str, text: &str) -> String {
    let is_off = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !is_off { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Returns an error with those of its causes that its text does not contain already.
#[must_use]
pub fn with_causes(error: &eyre::Report) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}
