//! Child processes that end with this process, however it ends.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    io::{self, BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

/// Number of last lines of output that are kept to explain why a program ended.
const KEPT_LINES: usize = 40;

/// Longest silence before a program is ready. Much longer than any start takes, so that a busy machine is no reason to
/// fail.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A running program. Dropping it kills the program. When this process dies first, the kernel kills it (on Linux).
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected when all its output was read, which is when it has ended.
    reading: Mutex<Receiver<Infallible>>,
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The operating system did not start it.
    #[error("{name} cannot be started: {source}")]
    Start {
        /// Name of the program.
        name: String,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The program ended, or printed nothing for too long, before it was ready.
    #[error("{name} {what} before it was ready. Its output:\n{output}")]
    NotReady {
        /// Name of the program.
        name: String,
        /// What the program did instead.
        what: String,
        /// Last lines of its output.
        output: String,
    },
}

impl Process {
    /// Starts a program and waits until `ready` returns a value for a line of its stdout. Fails with the program's own
    /// output when it ends before that.
    pub fn start<T>(
        name: &str,
        mut command: Command,
        ready: impl Fn(&str) -> Option<T>,
    ) -> Result<(Self, T), ProcessError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command).map_err(|source| ProcessError::Start { name: name.to_owned(), source })?;
        let output = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT_LINES)));
        let (lines, received) = mpsc::channel();
        let (is_read, reading) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            keep_reading(stdout, Arc::clone(&output), Some(lines), is_read.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            keep_reading(stderr, Arc::clone(&output), None, is_read);
        }
        let mut process = Self { name: name.to_owned(), child, output, reading: Mutex::new(reading) };
        match wait_for(&received, ready) {
            Ok(found) => Ok((process, found)),
            Err(RecvTimeoutError::Timeout) => Err(process.not_ready("printed nothing for two minutes".to_owned())),
            Err(RecvTimeoutError::Disconnected) => {
                let what = process.child.wait().map_or_else(|error| error.to_string(), |status| ended(&status));
                Err(process.not_ready(what))
            }
        }
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the last lines of its output.
    #[must_use]
    pub fn output(&self) -> String {
        let lines = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Returns the last lines of its output, after it has ended where that is within `patience`: what says why a program ends is
    /// the last that it prints.
    #[must_use]
    pub fn last_output(&self, patience: Duration) -> String {
        // Nothing is ever received, and either error means that the wait is over.
        let _ = self.reading.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience);
        self.output()
    }

    /// Waits until the program has ended by itself or by a signal. Does not end it.
    pub fn ended(mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    fn not_ready(&self, what: String) -> ProcessError {
        ProcessError::NotReady { name: self.name.clone(), what, output: self.output() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.id())
    }
}

fn ended(status: &ExitStatus) -> String {
    format!("ended ({status})")
}

fn wait_for<T>(received: &Receiver<String>, ready: impl Fn(&str) -> Option<T>) -> Result<T, RecvTimeoutError> {
    loop {
        if let Some(found) = ready(&received.recv_timeout(START_TIMEOUT)?) {
            return Ok(found);
        }
    }
}

/// Reads a pipe to its end on a new thread, because a program blocks when its pipe is full. Lines are also sent to `lines`
/// while there is a receiver. `is_read` is dropped at the end.
fn keep_reading(
    from: impl Read + Send + 'static,
    output: Arc<Mutex<VecDeque<String>>>,
    lines: Option<Sender<String>>,
    is_read: Sender<Infallible>,
) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut kept = output.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(line.clone());
            drop(kept);
            if let Some(lines) = &lines {
                let _ = lines.send(line);
            }
        }
        drop(is_read);
    });
}

type StartRequest = (Command, Sender<io::Result<Child>>);

/// Starts programs on a thread that lives as long as this process: the kernel's signal at a parent's death refers to the
/// *thread* that started a program, and threads of tests end early.
static STARTER: LazyLock<Sender<StartRequest>> = LazyLock::new(|| {
    let (requests, received) = mpsc::channel::<StartRequest>();
    thread::spawn(move || {
        for (mut command, answer) in received {
            end_with_parent(&mut command);
            let _ = answer.send(command.spawn());
        }
    });
    requests
});

fn spawn(command: Command) -> io::Result<Child> {
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts programs has ended");
    STARTER.send((command, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "no safe interface to what happens between fork and exec")]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    let parent_id = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl and getppid are, and making an
    // io::Error out of errno or a kind allocates nothing.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died just before; then no signal would come.
            if u32::try_from(libc::getppid()) != Ok(parent_id) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command) {}
