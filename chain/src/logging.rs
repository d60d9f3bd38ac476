//! What our programs write to stderr, with every secret scrubbed, whoever wrote the line: logs, panics, last words.

use std::{
    fmt::Display,
    io::{self, Write},
    panic,
    process::ExitCode,
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::redaction::scrub;

/// What is logged when `RUST_LOG` does not say.
const DEFAULT_FILTER: &str = "info";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Starts logging for this process, and scrubs what a panic prints. The first call counts, later ones do nothing.
pub fn start(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Scrubbing(io::stderr));
    let started = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
    if started.is_ok() {
        panic::set_hook(Box::new(|panic| {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "{}", scrub(&panic.to_string()));
        }));
    }
}

/// How a program ends: a failure is told with its causes, and makes the exit code 1.
pub fn ending(result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "error: {}", scrub(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Makes writers that scrub what they are given before they pass it on.
#[derive(Debug, Clone, Copy)]
pub struct Scrubbing<M>(pub M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Scrubbing<M> {
    type Writer = ScrubbingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        ScrubbingWriter { inner: self.0.make_writer(), line: Vec::new() }
    }
}

/// Holds everything back until it is dropped or flushed, so that no secret slips through in two halves. A subscriber
/// makes one per line.
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
        // A log that cannot be written must not stop the work that it tells of.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redaction;

    #[test]
    fn a_secret_written_in_two_halves_is_scrubbed_all_the_same() {
        redaction::hide("halved-secret");
        let mut written = Vec::new();
        let mut writer = ScrubbingWriter { inner: &mut written, line: Vec::new() };
        writer.write_all(b"key=halved-").unwrap();
        writer.write_all(b"secret\n").unwrap();
        drop(writer);
        assert_eq!(String::from_utf8(written).unwrap(), "key=[redacted]\n");
    }
}
