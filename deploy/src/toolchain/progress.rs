//! Progress messages on stderr; stdout is for results.

use std::{
    fmt::Display,
    io::Write,
    time::{Duration, Instant},
};

/// Least time between two lines that say how far something is.
const INTERVAL: Duration = Duration::from_secs(2);

/// Writes one line to stderr. An error, such as a closed stderr, is ignored.
///
/// Unlike the output of `eprintln!`, it is visible in a running test: the test harness captures only the print macros.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Says how far a piece of work of known size is, and about how long the rest takes at the pace so far.
#[derive(Debug)]
pub struct Progress {
    what: String,
    total: usize,
    started: Instant,
    said: Instant,
}

impl Progress {
    /// Begins `total` pieces. `what` names them, for people: `"accounts opened"`.
    pub fn new(what: impl Into<String>, total: usize) -> Self {
        let started = Instant::now();
        Self { what: what.into(), total, started, said: started }
    }

    /// Says that so many pieces are done, unless a line was written less than two seconds ago.
    pub fn done(&mut self, done: usize) {
        if self.said.elapsed() >= INTERVAL {
            self.said = Instant::now();
            say(self.line(done, self.started.elapsed()));
        }
    }

    fn line(&self, done: usize, elapsed: Duration) -> String {
        let Self { what, total, .. } = self;
        let remaining = total.saturating_sub(done);
        let rest = elapsed.as_millis() * remaining as u128 / done.max(1) as u128;
        let rest = rest.div_ceil(1_000);
        if done == 0 {
            format!("{what}: 0 of {total}")
        } else {
            format!("{what}: {done} of {total}, about {rest} s left")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_is_that_of_the_pace_so_far() {
        let progress = Progress::new("accounts opened", 400);
        let line = |done, millis| progress.line(done, Duration::from_millis(millis));
        assert_eq!(line(0, 5_000), "accounts opened: 0 of 400");
        assert_eq!(line(100, 5_000), "accounts opened: 100 of 400, about 15 s left");
        assert_eq!(line(300, 5_000), "accounts opened: 300 of 400, about 2 s left");
        assert_eq!(line(400, 5_000), "accounts opened: 400 of 400, about 0 s left");
    }
}
