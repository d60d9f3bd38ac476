//! Progress messages on stderr; stdout is for results.

use std::{fmt::Display, io::Write};

/// Writes one line to stderr. An error, such as a closed stderr, is ignored.
///
/// Unlike the output of `eprintln!`, it is visible in a running test: the test harness captures only the print macros.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
