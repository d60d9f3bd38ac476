//! A keeper's book in a process of its own: started, killed at any of its words, started again, and asked for its rows.

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

use alloy::{eips::BlockId, hex, primitives::B256, providers::Provider};
use eyre::{ContextCompat, WrapErr, bail, ensure, eyre};
use plimsoll_keeper::{
    book::{Block, Book, Row},
    store::Identity,
};
use plimsoll_testkit::proxy::Proxy;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time,
};

use crate::book::simulation::Simulation;

/// Where the deployment's events begin, or earlier.
const FIRST_BLOCK: u64 = 1;

/// Fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

const SIGKILL: i32 = 9;

/// What it follows, and where its files are.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    pub(super) folder: PathBuf,
    pub(super) endpoint: String,
    pub(super) identity: Identity,
}

/// A keeper that was started, perhaps more than once.
pub(super) struct Keeper {
    errand: Errand,
    running: Running,
    /// After which block the last one began.
    pub(super) from: Option<u64>,
    /// What all of them said.
    pub(super) story: Story,
}

/// What happened to a keeper, by its own words.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) killed: u64,
    pub(super) applied: u64,
    /// How many blocks were taken back at once.
    pub(super) undone: Vec<u64>,
    pub(super) rebuilt: u64,
    pub(super) refused: u64,
    /// The last block that was applied or gone back to.
    at: u64,
}

struct Running {
    process: Arc<Mutex<Child>>,
    orders: ChildStdin,
    said: UnboundedReceiver<String>,
    /// It is killed when it has said so many lines more.
    left: Arc<AtomicU64>,
}

impl Errand {
    /// To follow a simulation over a proxy.
    pub(super) async fn to(simulation: &Simulation<'_>, proxy: &Proxy, folder: PathBuf) -> eyre::Result<Self> {
        let sources = simulation.sources();
        let provider = simulation.provider();
        let first = provider.get_block(BlockId::number(0)).await?.wrap_err("a chain has a first block")?;
        let identity = Identity {
            chain_id: provider.get_chain_id().await?,
            genesis: first.header.hash,
            core: sources.core,
            rewards: sources.rewards,
        };
        Ok(Self { folder, endpoint: proxy.ws_url(), identity })
    }

    fn command(&self) -> eyre::Result<Command> {
        let Identity { chain_id, genesis, core, rewards } = self.identity;
        let mut command = Command::new(env!("CARGO_BIN_EXE_book_follower"));
        command.arg(&self.folder).arg(&self.endpoint).arg(chain_id.to_string()).arg(genesis.to_string());
        command.arg(core.to_string()).arg(rewards.wrap_err("no programmes")?.to_string()).arg(FIRST_BLOCK.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Starts one that is to refuse, and tells what it says.
    pub(super) fn refused(&self) -> eyre::Result<String> {
        let output = self.command()?.stdin(Stdio::null()).output()?;
        ensure!(!output.status.success() && output.stdout.is_empty(), "it began to follow");
        Ok(String::from_utf8(output.stderr)?)
    }
}

impl Running {
    fn start(errand: &Errand, lines: u64) -> eyre::Result<Self> {
        let mut child = errand.command()?.spawn()?;
        let stdout = child.stdout.take().wrap_err("no output")?;
        let orders = child.stdin.take().wrap_err("no input")?;
        let (process, left) = (Arc::new(Mutex::new(child)), Arc::new(AtomicU64::new(lines)));
        let (sender, said) = mpsc::unbounded_channel();
        let (doomed, allowed) = (Arc::clone(&process), Arc::clone(&left));
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if allowed.fetch_sub(1, Ordering::SeqCst) == 1 {
                    let _ = locked(&doomed).kill();
                }
                let _ = sender.send(line);
            }
        });
        Ok(Self { process, orders, said, left })
    }

    /// Fails where it ended by itself.
    fn assert_killed(&self) -> eyre::Result<()> {
        let mut process = locked(&self.process);
        let status = process.wait()?;
        if status.signal() == Some(SIGKILL) {
            return Ok(());
        }
        bail!("it ended by itself with {status}: {}", last_words(&mut process));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut process = locked(&self.process);
        let _ = process.kill();
        let _ = process.wait();
    }
}

impl Keeper {
    /// Starts one that nobody kills.
    pub(super) fn start(errand: Errand) -> eyre::Result<Self> {
        let running = Running::start(&errand, u64::MAX)?;
        Ok(Self { errand, running, from: None, story: Story::default() })
    }

    /// Has it killed when it has said so many lines more.
    pub(super) fn doom(&self, lines: u64) {
        self.running.left.store(lines, Ordering::SeqCst);
    }

    /// Kills it, and has another one go on, which is killed when it has said so many lines; waits for that.
    pub(super) async fn die_after(&mut self, lines: u64) -> eyre::Result<()> {
        let _ = locked(&self.running.process).kill();
        self.hear_out().await?;
        self.begin_again(lines)?;
        let heard = time::timeout(PATIENCE, self.hear_out()).await;
        heard.map_err(|_| eyre!("it has not said {lines} lines in time: {self:?}"))?
    }

    /// Hears what it has said so far. When it was killed, another one goes on, for so many lines.
    pub(super) fn tend(&mut self, lines: impl FnOnce() -> u64) -> eyre::Result<()> {
        loop {
            match self.running.said.try_recv() {
                Ok(line) => {
                    self.hear(&line)?;
                }
                Err(mpsc::error::TryRecvError::Empty) => return Ok(()),
                Err(mpsc::error::TryRecvError::Disconnected) => return self.begin_again(lines()),
            }
        }
    }

    /// Waits until it is at the newest block, unharmed, and makes a book of its rows there.
    pub(super) async fn book_at_head(&mut self, simulation: &Simulation<'_>) -> eyre::Result<Book> {
        let head = simulation.provider().get_block(BlockId::latest()).await?.wrap_err("a chain has a head")?.header;
        let rows = time::timeout(PATIENCE, self.rows_at(head.hash)).await;
        let rows = rows.map_err(|_| eyre!("not at block {} in time: {self:?}", head.number))??;
        let tip = Block { number: head.number, timestamp: head.timestamp };
        Ok(Book::restore(tip, rows.iter().map(|(key, value)| Row::decode(key, value)))?)
    }

    /// Ends it in order.
    pub(super) async fn stop(&mut self) -> eyre::Result<()> {
        writeln!(self.running.orders, "stop")?;
        time::timeout(PATIENCE, self.hear_out()).await??;
        let mut process = locked(&self.running.process);
        let status = process.wait()?;
        ensure!(status.success(), "it ended with {status}: {}", last_words(&mut process));
        Ok(())
    }

    /// Starts it again after it was stopped.
    pub(super) fn go_on(&mut self) -> eyre::Result<()> {
        self.from = None;
        self.story = Story::default();
        self.running = Running::start(&self.errand, u64::MAX)?;
        Ok(())
    }

    async fn rows_at(&mut self, hash: B256) -> eyre::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        loop {
            self.doom(u64::MAX);
            // One that was killed just now does not hear it.
            let _ = writeln!(self.running.orders, "rows {hash}");
            let mut rows = Vec::new();
            while let Some(line) = self.running.said.recv().await {
                match self.hear(&line)? {
                    Said::Row(key, value) => rows.push((key, value)),
                    Said::End => return Ok(rows),
                    Said::News => {}
                }
            }
            self.begin_again(u64::MAX)?;
        }
    }

    async fn hear_out(&mut self) -> eyre::Result<()> {
        while let Some(line) = self.running.said.recv().await {
            self.hear(&line)?;
        }
        Ok(())
    }

    fn begin_again(&mut self, lines: u64) -> eyre::Result<()> {
        self.running.assert_killed().wrap_err_with(|| format!("{self:?}"))?;
        self.story.killed += 1;
        self.running = Running::start(&self.errand, lines)?;
        Ok(())
    }

    fn hear(&mut self, line: &str) -> eyre::Result<Said> {
        let story = &mut self.story;
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        match word() {
            "from" => {
                let from = word().parse()?;
                (self.from, story.at) = (Some(from), from);
            }
            "applied" => {
                story.applied += 1;
                story.at = word().parse()?;
            }
            "undone" => {
                let to = word().parse()?;
                story.undone.push(story.at.checked_sub(to).wrap_err_with(|| format!("{line} from {}", story.at))?);
                story.at = to;
            }
            "rebuilt" => story.rebuilt += 1,
            "refused" => story.refused += 1,
            "row" => return Ok(Said::Row(hex::decode(word())?, hex::decode(word())?)),
            "end" => return Ok(Said::End),
            _ => bail!("it says {line}"),
        }
        Ok(Said::News)
    }
}

enum Said {
    News,
    Row(Vec<u8>, Vec<u8>),
    End,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("from", &self.from).field("story", &self.story).finish_non_exhaustive()
    }
}

fn locked(process: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

fn last_words(process: &mut Child) -> String {
    let mut words = String::new();
    if let Some(stderr) = &mut process.stderr {
        let _ = stderr.read_to_string(&mut words);
    }
    words
}
