//! Everything that the programs write to stderr, with secrets scrubbed: log lines, panics, and the error a program ends
//! with, of our own code and of libraries alike.

use std::{
    env,
    fmt::Display,
    io::{self, IsTerminal, Write},
    panic,
    process::ExitCode,
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::redaction::scrub;

/// The log filter where `RUST_LOG` is not set. alloy announces the orderly end of every WebSocket client at INFO, which
/// reads like a failure.
const DEFAULT_FILTER: &str = "info,alloy_pubsub=warn";
/// Environment variable that turns colours off unless it is empty (<https://no-color.org>).
const NO_COLOR: &str = "NO_COLOR";

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines for reading.
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

/// Starts logging for this process and scrubs the messages of panics. Later calls do nothing. Lines have colours only
/// where stderr is a terminal and `NO_COLOR` is not set.
pub fn start(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Scrubbing(io::stderr))
        .with_ansi(may_colour(&io::stderr()));
    let started = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
    if started.is_ok() {
        panic::set_hook(Box::new(|panic| {
            // A closed stderr leaves nowhere to report to.
            let _ = writeln!(io::stderr(), "{}", scrub(&panic.to_string()));
        }));
    }
}

/// Returns whether output to a stream may be in colour: it is a terminal, and `NO_COLOR` is unset or empty.
#[must_use]
pub fn may_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os(NO_COLOR).is_none_or(|value| value.is_empty())
}

/// Returns a program's exit code: a failure is written to stderr with its causes and becomes 1.
pub fn ending(result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr leaves nowhere to report to.
            let _ = writeln!(io::stderr(), "error: {}", scrub(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// A maker of writers that scrub what they are given before they pass it on.
#[derive(Debug, Clone, Copy)]
pub struct Scrubbing<M>(pub M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Scrubbing<M> {
    type Writer = ScrubbingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        ScrubbingWriter { inner: self.0.make_writer(), line: Vec::new() }
    }
}

/// A writer that holds everything back until it is flushed or dropped, so that no secret passes in two halves. A
/// subscriber makes one per line.
#[derive(Debug)]
pub struct ScrubbingWriter<W: Write> {
    inner: W,
    line: Vec<u8>,
}

impl<W: Write> Write for ScrubbingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.inner.write_all(scrub(&String::from_utf8_lossy(&line)).as_bytes())?;
        self.inner.flush()
    }
}

impl<W: Write> Drop for ScrubbingWriter<W> {
    fn drop(&mut self) {
        // A log that cannot be written must not stop the program.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redaction;

    #[test]
    fn a_secret_written_in_two_halves_is_scrubbed() {
        redaction::hide("halved-secret");
        let mut written = Vec::new();
        let mut writer = ScrubbingWriter { inner: &mut written, line: Vec::new() };
        writer.write_all(b"key=halved-").unwrap();
        writer.write_all(b"secret\n").unwrap();
        drop(writer);
        assert_eq!(String::from_utf8(written).unwrap(), "key=[redacted]\n");
    }
}
