//! A keeper's book that follows a chain in a process of its own, for tests that kill it and compare its rows.
//!
//! It prints the block that it starts after, and a line for every change. On the line `rows` with a block hash, it
//! prints every row of its book as soon as that is at the block. On `stop`, or when stdin ends, it flushes the
//! checkpoint and ends.

use std::{
    env,
    fmt::Display,
    io::{self, Write},
    path::PathBuf,
    thread,
    time::Duration,
};

use alloy::{
    hex,
    primitives::{Address, B256},
};
use eyre::{WrapErr, bail};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_keeper::{
    book::Book,
    chain::Sources,
    engine::{Follower, FollowerEvent, RestoredBook},
    store::{Identity, Store},
    stream::{Stream, StreamSettings},
};
use tokio::sync::mpsc::{self, UnboundedReceiver};

#[tokio::main]
async fn main() -> eyre::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [folder, endpoint, chain_id, genesis, core, rewards, guard, first_block] = &arguments[..] else {
        bail!("wanted are: folder endpoint chain-id genesis core rewards guard first-block");
    };
    let (chain_id, genesis, first_block) = (chain_id.parse()?, genesis.parse()?, first_block.parse()?);
    let (core, rewards): (Address, Option<Address>) = (core.parse()?, Some(rewards.parse()?));
    let sources = Sources { guard: Some(guard.parse()?), ..Sources::all(core, rewards) };

    let store = Store::open(&PathBuf::from(folder), &Identity { chain_id, genesis, core, rewards })?;
    let loaded = RestoredBook::load(&store.checkpoint, &sources).await?;
    let from = loaded.cursor(first_block);
    say(format_args!("from {}", from.number))?;
    let settings = impatient(chain_id, genesis);
    let stream = Stream::start([endpoint.parse::<Endpoint>()?], sources, from, settings);
    follow(Follower::new(stream, loaded, store.checkpoint, first_block), from.hash).await
}

/// Returns settings with short timeouts, for tests.
fn impatient(chain_id: u64, genesis: B256) -> StreamSettings {
    StreamSettings {
        genesis: Some(genesis),
        poll_interval: Duration::from_millis(40),
        max_silence: Duration::from_millis(300),
        rollback_patience: Duration::from_millis(150),
        max_reconnect_delay: Duration::from_millis(200),
        ..StreamSettings::new(chain_id, Duration::from_secs(1))
    }
}

async fn follow(mut follower: Follower, mut at: Option<B256>) -> eyre::Result<()> {
    let (mut orders, mut wanted) = (orders(), None);
    loop {
        tokio::select! {
            step = follower.next_step() => match follower.process(step).await? {
                FollowerEvent::Applied(block) => {
                    at = Some(block.hash);
                    say(format_args!("applied {}", block.number))?;
                }
                FollowerEvent::Reverted { to } => {
                    at = Some(to.hash);
                    say(format_args!("undone {}", to.number))?;
                }
                FollowerEvent::Reset => {
                    at = None;
                    say("rebuilt")?;
                }
                FollowerEvent::Rejected => say("refused")?,
                FollowerEvent::Quarantined { id, .. } => say(format_args!("quarantined {id}"))?,
            },
            order = orders.recv() => match order.as_deref().and_then(|order| order.split_once(' ')) {
                Some(("rows", hash)) => wanted = Some(hash.parse::<B256>()?),
                _ => {
                    follower.flush().await;
                    return Ok(());
                }
            },
        }
        if let Some(problem) = follower.checkpoint_problem() {
            bail!("the checkpoint is not written: {problem}");
        }
        if wanted.is_some() && wanted == at {
            say_rows(follower.book())?;
            wanted = None;
        }
    }
}

/// Reads the lines of stdin. The channel closes when stdin ends.
fn orders() -> UnboundedReceiver<String> {
    let (sender, orders) = mpsc::unbounded_channel();
    thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    orders
}

fn say(line: impl Display) -> eyre::Result<()> {
    writeln!(io::stdout(), "{line}").wrap_err("nobody listens")
}

fn say_rows(book: &Book) -> eyre::Result<()> {
    for row in book.rows() {
        say(format_args!("row {} {}", hex::encode(row.key()), hex::encode(row.value())))?;
    }
    say("end")
}
