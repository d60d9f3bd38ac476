//! From the newest applied block to what comes next: waits for a head, finds the way to it, and fetches what is on the
//! way. Gives up never; what fails is tried again, elsewhere first.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::{
    eips::{BlockNumHash, BlockNumberOrTag},
    primitives::B256,
};
use futures_util::{StreamExt, stream};
use tokio::time::{self, Instant};

use super::{
    BlockEvents, Cursor, Rebuild, Step,
    catch_up::{self, AT_ONCE},
    choice::{self, Candidate, Choice},
    fetch::{self, Doubt, Trouble},
    head::Head,
    history::{History, Join},
    node::Node,
    pool::Pool,
};
use crate::book::UNDO_BLOCKS;

/// Blocks that are less deep are fetched one by one, because they may yet be replaced.
const FINAL_DEPTH: u64 = UNDO_BLOCKS;

/// How long to wait after everybody has failed, the first time and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Heads that were looked at and are not followed; old ones are forgotten.
const MOST_IGNORED: usize = 64;

/// What comes next, in order.
pub(super) struct Batch {
    /// The block at which it begins; none where that is not on the chain.
    pub(super) base: Option<History>,
    pub(super) steps: Vec<Ready>,
}

/// A step, and whose word it is.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) step: Step,
    pub(super) from: Option<usize>,
}

/// Where to go on.
#[derive(Debug, Clone)]
pub(super) enum Start {
    /// From a block that may have been replaced meanwhile.
    Unchecked(Cursor),
    /// From what was applied.
    At(History),
}

/// Why there is nothing yet.
enum Hold {
    /// There is no news.
    Quiet,
    /// It has to be looked at again, then.
    Look(Duration),
    /// What is known has changed meanwhile.
    Again,
    /// Everybody who could help has failed.
    Failed,
}

/// Finds out what comes next.
pub(super) struct Follower {
    pub(super) pool: Arc<Pool>,
    pub(super) start: Start,
    pub(super) doubt: Option<(u64, Doubt)>,
    ignored: Vec<B256>,
    below_since: Option<Instant>,
}

impl Follower {
    pub(super) const fn new(pool: Arc<Pool>, start: Start, doubt: Option<(u64, Doubt)>) -> Self {
        Self { pool, start, doubt, ignored: Vec::new(), below_since: None }
    }

    /// Waits until there is something.
    pub(super) async fn run(mut self) -> Batch {
        let mut bell = self.pool.bell.subscribe();
        let mut pause = FIRST_PAUSE;
        loop {
            bell.mark_unchanged();
            let wait = match self.attempt().await {
                Ok(batch) => return batch,
                Err(Hold::Quiet) => None,
                Err(Hold::Again) => Some(FIRST_PAUSE),
                Err(Hold::Look(wait)) => Some(wait),
                Err(Hold::Failed) => {
                    let wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    Some(wait)
                }
            };
            let rested = async {
                match wait {
                    Some(wait) => time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender is ours, so that it cannot be gone.
                _ = bell.changed() => {}
                () = rested => {}
            }
        }
    }

    async fn attempt(&mut self) -> Result<Batch, Hold> {
        let history = match &self.start {
            Start::At(history) => history.clone(),
            Start::Unchecked(cursor) => match self.check(*cursor).await {
                Ok(history) => history,
                Err(Trouble::Failed) => return Err(Hold::Failed),
                Err(Trouble::Rebuild(reason)) => return Ok(rebuild(None, reason)),
            },
        };
        self.start = Start::At(history.clone());
        match choice::choose(&self.pool.views(), &history, self.pool.settings.most_lag) {
            Choice::Wait => Err(Hold::Quiet),
            Choice::Below(leader) => self.below(&history, *leader).await,
            Choice::Follow(candidates) => {
                self.below_since = None;
                self.follow_any(&history, candidates).await
            }
        }
    }

    /// Whether a block is on the chain. One that nobody has yet is not missing: who does not have it is behind.
    async fn check(&self, cursor: Cursor) -> Result<History, Trouble> {
        let mut replaced = None;
        for node in self.pool.order(cursor.number).into_iter().filter_map(|index| self.pool.nodes.get(index)) {
            let Ok(Some(head)) = node.header(BlockNumberOrTag::Number(cursor.number)).await else { continue };
            let there = BlockNumHash { number: cursor.number, hash: head.header.hash };
            match cursor.hash {
                Some(hash) if hash != there.hash => {
                    replaced = Some(Rebuild::NotCanonical { number: cursor.number, hash });
                }
                _ => return Ok(History::starting_at(there)),
            }
        }
        Err(replaced.map_or(Trouble::Failed, Trouble::Rebuild))
    }

    async fn follow_any(&mut self, history: &History, candidates: Vec<Candidate>) -> Result<Batch, Hold> {
        let mut hold = Hold::Quiet;
        for candidate in candidates {
            if self.ignored.contains(&candidate.head.header.hash) && !candidate.may_undo {
                continue;
            }
            match self.follow(history, candidate).await {
                Ok(batch) => return Ok(batch),
                Err(Hold::Again) => return Err(Hold::Again),
                Err(Hold::Quiet) => {
                    self.ignored.truncate(MOST_IGNORED - 1);
                    self.ignored.insert(0, candidate.head.header.hash);
                }
                Err(other) => hold = other,
            }
        }
        Err(hold)
    }

    /// What leads to a head. Quiet where nothing may.
    async fn follow(&self, history: &History, candidate: Candidate) -> Result<Batch, Hold> {
        let Candidate { node: index, head, may_undo } = candidate;
        let tip = history.tip();
        let node = self.pool.nodes.get(index).ok_or(Hold::Failed)?;
        if head.header.number > tip.number.saturating_add(FINAL_DEPTH) {
            return self.catch_up(history, head.header.number - FINAL_DEPTH).await;
        }
        let (joint, heads) = match self.path(node, history, head).await? {
            Path::From(joint, heads) => (joint, heads),
            Path::TooDeep => {
                confirm(node, &head).await?;
                let oldest = history.oldest().number;
                return Ok(rebuild(Some(history.clone()), Rebuild::TooDeep { tip: tip.number, oldest }));
            }
        };
        if joint != tip {
            if !may_undo {
                return Err(Hold::Quiet);
            }
            confirm(node, &head).await?;
        }
        self.pool.newest.send_replace(Some(head.header));
        let undo = (joint != tip).then_some(Ready { step: Step::Undo { to: joint }, from: Some(index) });
        self.fetch(history, index, undo, &heads).await
    }

    /// The headers from a block that was applied to a head, which comes last.
    async fn path(&self, node: &Node, history: &History, head: Head) -> Result<Path, Hold> {
        let mut known = BTreeMap::new();
        let between = history.tip().number.saturating_add(1)..head.header.number;
        let mut asked =
            stream::iter(between).map(|number| node.header(BlockNumberOrTag::Number(number))).buffered(AT_ONCE);
        while let Some(Ok(Some(head))) = asked.next().await {
            known.insert(head.header.hash, head);
        }
        let mut heads = vec![head];
        let mut lowest = head;
        loop {
            match history.join(&lowest.header) {
                Join::Child(joint) => {
                    heads.reverse();
                    return Ok(Path::From(joint, heads));
                }
                Join::TooDeep => return Ok(Path::TooDeep),
                Join::Unknown | Join::Known => {}
            }
            let parent = lowest.header.parent_hash;
            let header = match known.remove(&parent) {
                Some(header) => Some(header),
                None => node.header_by_hash(parent).await.map_err(|_| Hold::Failed)?,
            };
            // Where the parent is gone, the head is by now.
            lowest = header.filter(|header| header.header.number < lowest.header.number).ok_or(Hold::Failed)?;
            heads.push(lowest);
        }
    }

    /// The events on a path, as far as they can be had; the last block is the newest that is known.
    async fn fetch(&self, history: &History, node: usize, undo: Option<Ready>, heads: &[Head]) -> Result<Batch, Hold> {
        let newest = heads.last().map(|head| head.header.hash);
        let mut steps: Vec<Ready> = undo.into_iter().collect();
        let first = steps.len();
        let mut fetched = stream::iter(heads.to_vec()).map(|head| self.block(head, node, newest)).buffered(AT_ONCE);
        while let Some(block) = fetched.next().await {
            match block {
                Ok(ready) => steps.push(ready),
                Err(Trouble::Rebuild(reason)) if steps.len() == first => {
                    return Ok(rebuild(Some(history.clone()), reason));
                }
                Err(_) => break,
            }
        }
        if steps.len() == first {
            return Err(Hold::Failed);
        }
        Ok(Batch { base: Some(history.clone()), steps })
    }

    async fn block(&self, head: Head, node: usize, newest: Option<B256>) -> Result<Ready, Trouble> {
        let doubt = self.doubt.as_ref().filter(|(number, _)| *number == head.header.number);
        let fetched = match doubt {
            Some((_, doubt)) => fetch::events_in_doubt(&self.pool, &head, doubt).await?,
            None => fetch::events_of(&self.pool, &head, node).await?,
        };
        let block = BlockEvents {
            number: head.header.number,
            hash: head.header.hash,
            timestamp: head.header.timestamp,
            tip: (newest == Some(head.header.hash)).then_some(head.header),
            events: fetched.events,
        };
        Ok(Ready { step: Step::Apply(Arc::new(block)), from: fetched.from })
    }

    /// As many blocks up to `last` as can be had at once.
    async fn catch_up(&self, history: &History, last: u64) -> Result<Batch, Hold> {
        let tip = history.tip();
        let doubtful =
            self.doubt.as_ref().map(|(number, _)| *number).filter(|number| (tip.number + 1..=last).contains(number));
        if doubtful == Some(tip.number + 1) {
            return self.doubtful(history, tip.number + 1).await;
        }
        let last = doubtful.map_or(last, |number| number - 1);
        match catch_up::range(&self.pool, tip, last).await {
            Ok((blocks, from)) => {
                let ready = |block| Ready { step: Step::Apply(Arc::new(block)), from: Some(from) };
                Ok(Batch { base: Some(history.clone()), steps: blocks.into_iter().map(ready).collect() })
            }
            Err(Trouble::Failed) => Err(Hold::Failed),
            Err(Trouble::Rebuild(reason)) => Ok(rebuild(Some(history.clone()), reason)),
        }
    }

    /// A block deep down that was refused, by itself.
    async fn doubtful(&self, history: &History, number: u64) -> Result<Batch, Hold> {
        for index in self.pool.order(number) {
            let Some(node) = self.pool.nodes.get(index) else { continue };
            if let Ok(Some(head)) = node.header(BlockNumberOrTag::Number(number)).await
                && history.join(&head.header) == Join::Child(history.tip())
            {
                let mut batch = self.fetch(history, index, None, &[head]).await?;
                for ready in &mut batch.steps {
                    if let Step::Apply(block) = &mut ready.step {
                        Arc::make_mut(block).tip = None;
                    }
                }
                return Ok(batch);
            }
        }
        Err(Hold::Failed)
    }

    /// Nobody has the newest applied block. When that stays so, it was taken back.
    async fn below(&mut self, history: &History, leader: Candidate) -> Result<Batch, Hold> {
        let node = self.pool.nodes.get(leader.node).ok_or(Hold::Failed)?;
        let since = *self.below_since.get_or_insert_with(Instant::now);
        confirm(node, &leader.head).await?;
        if since.elapsed() < self.pool.settings.rollback_patience {
            return Err(Hold::Look(self.pool.settings.poll));
        }
        self.below_since = None;
        let header = leader.head.header;
        let to = BlockNumHash { number: header.number, hash: header.hash };
        self.pool.newest.send_replace(Some(header));
        let undo = Ready { step: Step::Undo { to }, from: Some(leader.node) };
        Ok(Batch { base: Some(history.clone()), steps: vec![undo] })
    }
}

/// How a head is reached.
enum Path {
    /// From this block over these.
    From(BlockNumHash, Vec<Head>),
    /// From a block that is too far back.
    TooDeep,
}

/// Makes sure that a head is still its endpoint's newest: an announcement may have come late.
async fn confirm(node: &Node, head: &Head) -> Result<(), Hold> {
    node.look().await.map_err(|_| Hold::Failed)?;
    if node.state().head == Some(*head) { Ok(()) } else { Err(Hold::Again) }
}

fn rebuild(base: Option<History>, reason: Rebuild) -> Batch {
    Batch { base, steps: vec![Ready { step: Step::Rebuild(reason), from: None }] }
}
