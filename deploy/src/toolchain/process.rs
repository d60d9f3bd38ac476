//! Other programs that run beside ours and end with it, however it ends.

use std::{
    collections::VecDeque,
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

/// How many of its last lines of output are kept to explain why a program ended.
const KEPT_LINES: usize = 40;

/// A program that says neither that it is ready nor why it is not within this time will not do so later either. Much
/// more than any start takes, so that a busy machine is no reason.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running program. Dropping it ends it; should we be killed before that, the kernel ends it (on Linux).
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Mutex<VecDeque<String>>>,
}

/// Why a program does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started at all.
    #[error("{name} cannot be started: {source}")]
    Start {
        /// Which program.
        name: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It ended, or stayed silent, before it was ready.
    #[error("{name} {what} before it was ready. It said:\n{output}")]
    NotReady {
        /// Which program.
        name: String,
        /// What it did instead.
        what: String,
        /// Its last lines.
        output: String,
    },
}

impl Process {
    /// Starts a program and waits for the line on its stdout from which `ready` reads what we wait for. Fails with its
    /// own words when it ends without it.
    pub fn start<T>(
        name: &str,
        mut command: Command,
        ready: impl Fn(&str) -> Option<T>,
    ) -> Result<(Self, T), ProcessError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command).map_err(|source| ProcessError::Start { name: name.to_owned(), source })?;
        let output = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT_LINES)));
        let (lines, heard) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            keep_reading(stdout, Arc::clone(&output), Some(lines));
        }
        if let Some(stderr) = child.stderr.take() {
            keep_reading(stderr, Arc::clone(&output), None);
        }
        let mut process = Self { name: name.to_owned(), child, output };
        match wait_for(&heard, ready) {
            Ok(found) => Ok((process, found)),
            Err(RecvTimeoutError::Timeout) => Err(process.not_ready("said nothing for two minutes".to_owned())),
            Err(RecvTimeoutError::Disconnected) => {
                let what = process.child.wait().map_or_else(|error| error.to_string(), |status| ended(&status));
                Err(process.not_ready(what))
            }
        }
    }

    /// Its number in the operating system.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its last lines of output.
    #[must_use]
    pub fn output(&self) -> String {
        let lines = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Waits until it has ended, which somebody else must have seen to.
    pub fn ended(mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    fn not_ready(&self, what: String) -> ProcessError {
        ProcessError::NotReady { name: self.name.clone(), what, output: self.output() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
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

fn wait_for<T>(heard: &Receiver<String>, ready: impl Fn(&str) -> Option<T>) -> Result<T, RecvTimeoutError> {
    loop {
        if let Some(found) = ready(&heard.recv_timeout(START_LIMIT)?) {
            return Ok(found);
        }
    }
}

/// Reads to the end on a thread of its own, because a program whose pipe is full stands still. The lines go to
/// `lines`, too, for as long as somebody listens.
fn keep_reading(from: impl Read + Send + 'static, output: Arc<Mutex<VecDeque<String>>>, lines: Option<Sender<String>>) {
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
    });
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts programs from one thread that lives as long as we do: the kernel's "tell me when my parent dies" means the
/// *thread* that started a program, and threads of tests end early.
static STARTER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, received) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, answer) in received {
            end_with_us(&mut command);
            let _ = answer.send(command.spawn());
        }
    });
    orders
});

fn spawn(command: Command) -> io::Result<Child> {
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts programs has ended");
    STARTER.send((command, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "no safe interface to what happens between fork and exec")]
fn end_with_us(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    let our_id = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl and getppid are, and making an
    // io::Error out of errno or a kind allocates nothing.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // We may have died just before: then nobody would send the signal any more.
            if u32::try_from(libc::getppid()) != Ok(our_id) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_us(_command: &mut Command) {}
