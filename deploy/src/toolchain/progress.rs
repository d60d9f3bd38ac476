//! What is being done right now, told live on stderr: stdout belongs to results.

use std::{fmt::Display, io::Write};

/// Writes one line to stderr at once. A closed stderr is not worth failing for, so that is ignored.
///
/// Unlike `eprintln!` this is seen in a running test, too: the test harness captures only the print macros.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
