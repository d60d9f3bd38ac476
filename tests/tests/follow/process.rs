//! A keeper's book in a process of its own: started, killed after any of its lines, restarted, and queried for its
//! rows.

use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use alloy::{
    eips::BlockId,
    hex,
    primitives::{Address, B256},
    providers::Provider,
};
use eyre::{ContextCompat, WrapErr, bail, ensure, eyre};
use plimsoll_keeper::{
    book::{Block, Book, Row},
    chain::Followed,
    store::Identity,
};
use plimsoll_testkit::proxy::Proxy;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time,
};

use crate::book::simulation::Simulation;

/// A block at or before the first event of the deployment.
const FIRST_BLOCK: u64 = 1;

/// How long a condition is waited for before the test fails.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

const SIGKILL: i32 = 9;

/// The arguments of the process.
#[derive(Debug, Clone)]
pub(super) struct FollowerArgs {
    pub(super) folder: PathBuf,
    pub(super) endpoint: String,
    pub(super) identity: Identity,
    pub(super) guard: Address,
}

/// The process, which may have been restarted several times.
pub(super) struct FollowerProcess {
    args: FollowerArgs,
    running: Running,
    /// The block that the last process started after.
    pub(super) from: Option<u64>,
    /// What all processes have reported.
    pub(super) reports: Reports,
}

/// What the processes have reported.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Reports {
    pub(super) killed: u64,
    pub(super) applied: u64,
    /// Number of blocks of each revert.
    pub(super) reverted: Vec<u64>,
    pub(super) rebuilt: u64,
    pub(super) rejected: u64,
    /// The last block that was applied or reverted to.
    at: u64,
}

struct Running {
    process: Arc<Mutex<Child>>,
    stdin: ChildStdin,
    lines: UnboundedReceiver<String>,
    /// Number of further lines after which the process is killed.
    lines_left: Arc<AtomicU64>,
}

impl FollowerArgs {
    /// Returns the arguments for following a simulation over a proxy.
    pub(super) async fn new(simulation: &Simulation<'_>, proxy: &Proxy, folder: PathBuf) -> eyre::Result<Self> {
        let sources = simulation.sources();
        let provider = simulation.provider();
        let first = provider.get_block(BlockId::number(0)).await?.wrap_err("a chain has a first block")?;
        let identity = Identity {
            chain_id: provider.get_chain_id().await?,
            genesis: first.header.hash,
            core: sources.core,
            rewards: sources.rewards,
        };
        Ok(Self { folder, endpoint: proxy.ws_url(), identity, guard: simulation.guard })
    }

    fn command(&self) -> eyre::Result<Command> {
        let Identity { chain_id, genesis, core, rewards } = self.identity;
        let mut command = Command::new(env!("CARGO_BIN_EXE_book_follower"));
        command.arg(&self.folder).arg(&self.endpoint).arg(chain_id.to_string()).arg(genesis.to_string());
        command.arg(core.to_string()).arg(rewards.wrap_err("no programmes")?.to_string());
        command.arg(self.guard.to_string()).arg(FIRST_BLOCK.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Starts a process that must refuse to run, and returns its error.
    pub(super) fn refused(&self) -> eyre::Result<String> {
        let output = self.command()?.stdin(Stdio::null()).output()?;
        ensure!(!output.status.success() && output.stdout.is_empty(), "it began to follow");
        Ok(String::from_utf8(output.stderr)?)
    }
}

impl Running {
    fn start(args: &FollowerArgs, lines: u64) -> eyre::Result<Self> {
        let mut child = args.command()?.spawn()?;
        let stdout = child.stdout.take().wrap_err("no output")?;
        let stdin = child.stdin.take().wrap_err("no input")?;
        let (process, lines_left) = (Arc::new(Mutex::new(child)), Arc::new(AtomicU64::new(lines)));
        let (sender, lines) = mpsc::unbounded_channel();
        let (child, remaining) = (Arc::clone(&process), Arc::clone(&lines_left));
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if remaining.fetch_sub(1, Ordering::SeqCst) == 1 {
                    let _ = locked(&child).kill();
                }
                let _ = sender.send(line);
            }
        });
        Ok(Self { process, stdin, lines, lines_left })
    }

    /// Fails where the process ended by itself.
    fn assert_killed(&self) -> eyre::Result<()> {
        let mut process = locked(&self.process);
        let status = process.wait()?;
        if status.signal() == Some(SIGKILL) {
            return Ok(());
        }
        bail!("it ended by itself with {status}: {}", stderr_of(&mut process));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut process = locked(&self.process);
        let _ = process.kill();
        let _ = process.wait();
    }
}

impl FollowerProcess {
    /// Starts a process that is not killed.
    pub(super) fn start(args: FollowerArgs) -> eyre::Result<Self> {
        let running = Running::start(&args, u64::MAX)?;
        Ok(Self { args, running, from: None, reports: Reports::default() })
    }

    /// Kills the process after a number of further lines.
    pub(super) fn kill_after(&self, lines: u64) {
        self.running.lines_left.store(lines, Ordering::SeqCst);
    }

    /// Kills the process, starts another that is killed after a number of lines, and waits for that.
    pub(super) async fn kill_and_replace(&mut self, lines: u64) -> eyre::Result<()> {
        let _ = locked(&self.running.process).kill();
        self.read_to_end().await?;
        self.start_next(lines)?;
        let read = time::timeout(WAIT_TIMEOUT, self.read_to_end()).await;
        read.map_err(|_| eyre!("it did not print {lines} lines in time: {self:?}"))?
    }

    /// Reads the lines so far. If the process was killed, starts another that is killed after a number of lines.
    pub(super) fn poll(&mut self, lines: impl FnOnce() -> u64) -> eyre::Result<()> {
        loop {
            match self.running.lines.try_recv() {
                Ok(line) => {
                    self.read(&line)?;
                }
                Err(mpsc::error::TryRecvError::Empty) => return Ok(()),
                Err(mpsc::error::TryRecvError::Disconnected) => return self.start_next(lines()),
            }
        }
    }

    /// Waits until a process that is not killed is at the newest block, and builds a book from its rows there.
    pub(super) async fn book_at_head(&mut self, simulation: &Simulation<'_>) -> eyre::Result<Book> {
        let head = simulation.provider().get_block(BlockId::latest()).await?.wrap_err("a chain has a head")?.header;
        let rows = time::timeout(WAIT_TIMEOUT, self.rows_at(head.hash)).await;
        let rows = rows.map_err(|_| eyre!("not at block {} in time: {self:?}", head.number))??;
        let tip = Block { number: head.number, timestamp: head.timestamp };
        Ok(Book::restore(tip, &Followed::All, rows.iter().map(|(key, value)| Row::decode(key, value)))?)
    }

    /// Stops the process properly.
    pub(super) async fn stop(&mut self) -> eyre::Result<()> {
        writeln!(self.running.stdin, "stop")?;
        time::timeout(WAIT_TIMEOUT, self.read_to_end()).await??;
        let mut process = locked(&self.running.process);
        let status = process.wait()?;
        ensure!(status.success(), "it ended with {status}: {}", stderr_of(&mut process));
        Ok(())
    }

    /// Starts a process after the last one was stopped.
    pub(super) fn restart(&mut self) -> eyre::Result<()> {
        self.from = None;
        self.reports = Reports::default();
        self.running = Running::start(&self.args, u64::MAX)?;
        Ok(())
    }

    async fn rows_at(&mut self, hash: B256) -> eyre::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        loop {
            self.kill_after(u64::MAX);
            // A process that was just killed does not read it.
            let _ = writeln!(self.running.stdin, "rows {hash}");
            let mut rows = Vec::new();
            while let Some(line) = self.running.lines.recv().await {
                match self.read(&line)? {
                    Line::Row(key, value) => rows.push((key, value)),
                    Line::End => return Ok(rows),
                    Line::News => {}
                }
            }
            self.start_next(u64::MAX)?;
        }
    }

    async fn read_to_end(&mut self) -> eyre::Result<()> {
        while let Some(line) = self.running.lines.recv().await {
            self.read(&line)?;
        }
        Ok(())
    }

    fn start_next(&mut self, lines: u64) -> eyre::Result<()> {
        self.running.assert_killed().wrap_err_with(|| format!("{self:?}"))?;
        self.reports.killed += 1;
        self.running = Running::start(&self.args, lines)?;
        Ok(())
    }

    fn read(&mut self, line: &str) -> eyre::Result<Line> {
        let reports = &mut self.reports;
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        match word() {
            "from" => {
                let from = word().parse()?;
                (self.from, reports.at) = (Some(from), from);
            }
            "applied" => {
                reports.applied += 1;
                reports.at = word().parse()?;
            }
            "undone" => {
                let to = word().parse()?;
                reports
                    .reverted
                    .push(reports.at.checked_sub(to).wrap_err_with(|| format!("{line} from {}", reports.at))?);
                reports.at = to;
            }
            "rebuilt" => reports.rebuilt += 1,
            "refused" => reports.rejected += 1,
            "row" => return Ok(Line::Row(hex::decode(word())?, hex::decode(word())?)),
            "end" => return Ok(Line::End),
            _ => bail!("it says {line}"),
        }
        Ok(Line::News)
    }
}

enum Line {
    News,
    Row(Vec<u8>, Vec<u8>),
    End,
}

impl fmt::Debug for FollowerProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowerProcess")
            .field("from", &self.from)
            .field("reports", &self.reports)
            .finish_non_exhaustive()
    }
}

fn locked(process: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stderr_of(process: &mut Child) -> String {
    let mut words = String::new();
    if let Some(stderr) = &mut process.stderr {
        let _ = stderr.read_to_string(&mut words);
    }
    words
}
