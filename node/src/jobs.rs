//! Jobs and audits on chain that this node is drawn for: it computes, commits, reveals, and challenges results that
//! differ from its own, within a daily budget.
//!
//! Nothing here has to be remembered but the secret of the salts: an answer is a function of its input, and the chain
//! tells which step is due. So a crash at any point costs at most the work.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, U256, keccak256},
    providers::Provider,
    rpc::types::Filter,
    sol,
    sol_types::{SolCall, SolEvent, SolValue},
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_contracts::{
    IJobs::{self, Job, Seat, SeatState, State},
    INodes,
};

use crate::{
    gate::{Node, now},
    generation::result_hash,
    store::KeptJob,
};

const DAY: u64 = 86_400;
/// Blocks that are searched at a time for a job's input, and how often.
const LOG_RANGE: u64 = 2_000;
const LOG_RANGES: u64 = 100;
/// Jobs before the newest one that are looked at after a start. Older ones have ended, or are too late to answer.
const LOOK_BACK: u64 = 256;

/// The newest jobs, which are looked at each time: after a reorganisation another job may have the same id.
const RECENT: u64 = 16;

sol! {
    interface IApprovable {
        function approve(address spender, uint256 amount) external returns (bool);
    }
}

/// What the worker knows of the contract.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: Address,
    token: Address,
    id: u32,
    reveal_secs: u64,
    draw_delay: u64,
    secret: B256,
    /// Every job below it was looked at.
    from: AtomicU64,
    /// Of these, the jobs of the node's kind that have not ended. A job's kind does not change, so that others are read
    /// once.
    open: Mutex<BTreeSet<u64>>,
    /// Jobs whose challenge was counted towards the day's budget: a challenge that fails is tried again, and costs once.
    counted: Mutex<BTreeSet<u64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// Checks that this node may answer for the registered one.
    pub(crate) async fn start(node: &Node) -> eyre::Result<Self> {
        let (jobs, id) = (node.config.receipts.jobs, node.config.receipts.node);
        let provider = &node.chain.provider;
        let contract = IJobs::new(jobs, provider);
        let config =
            contract.config().call().await.wrap_err_with(|| format!("receipts.jobs: {jobs} is no Jobs contract"))?;
        let registry = INodes::new(contract.nodes().call().await?, provider);
        let (sender, kind) = (node.chain.sender.address(), registry.kindOf(id).call().await?);
        ensure!(
            registry.operatorOf(id).call().await? == sender || registry.isSigner(id, sender).call().await?,
            "keys.sender is {sender}, which is neither operator nor signer of node {id}: it could not commit. Register the \
             node with that account, or leave jobs.answer out"
        );
        ensure!(
            kind == node.engine.kind.id,
            "node {id} is registered for the kind {kind}, not {}",
            node.engine.kind.id
        );
        let count: u64 = contract.count().call().await?.to();
        Ok(Self {
            jobs,
            token: config.token,
            id,
            reveal_secs: config.revealSecs.to(),
            draw_delay: config.drawDelay.to(),
            secret: node.store.secret("jobs")?,
            from: AtomicU64::new(count.saturating_sub(LOOK_BACK) + 1),
            open: Mutex::default(),
            counted: Mutex::default(),
        })
    }

    /// Does what is due in all jobs.
    pub(crate) async fn work(&self, node: &Arc<Node>) -> eyre::Result<()> {
        let contract = IJobs::new(self.jobs, &node.chain.provider);
        let count: u64 = contract.count().call().await?.to();
        let from = self.from.load(Ordering::Relaxed);
        let mut ids = locked(&self.open).clone();
        ids.extend(from.saturating_sub(RECENT).max(1)..=count);
        for id in ids {
            let job = contract.job(U256::from(id)).call().await?;
            let has_ended = matches!(job.state, State::Completed | State::Rejected | State::Expired);
            self.from.fetch_max(id + 1, Ordering::Relaxed);
            if has_ended || job.kind != node.engine.kind.id {
                locked(&self.open).remove(&id);
                locked(&self.counted).remove(&id);
                continue;
            }
            locked(&self.open).insert(id);
            if let Err(error) = self.step(node, id, &job).await {
                tracing::warn!(job = id, "job: {error:#}");
            }
        }
        let first_open = locked(&self.open).first().copied().unwrap_or(count + 1);
        node.store.forget_jobs(first_open)
    }

    async fn step(&self, node: &Arc<Node>, id: u64, job: &Job) -> eyre::Result<()> {
        let contract = IJobs::new(self.jobs, &node.chain.provider);
        let time = self.chain_time(node).await?;
        let deadline: u64 = job.deadline.to();
        match job.state {
            State::Drawn => {
                let seats = contract.seatsOf(U256::from(id)).call().await?;
                let in_round = seats.iter().filter(|seat| seat.round == job.round).count();
                for (index, seat) in seats.iter().enumerate() {
                    if seat.node != self.id || seat.round != job.round {
                        continue;
                    }
                    let all_committed = usize::from(job.committed) == in_round;
                    let may_reveal = (time > deadline || all_committed) && time <= deadline + self.reveal_secs;
                    match seat.state {
                        SeatState::Drawn if time <= deadline => self.commit(node, id, job, index).await?,
                        SeatState::Committed if may_reveal => self.reveal(node, id, job, index, seat).await?,
                        _ => {}
                    }
                }
                Ok(())
            }
            State::Submitted if job.challenger == Address::ZERO && time <= deadline => {
                self.challenge(node, id, job).await
            }
            _ => Ok(()),
        }
    }

    /// Time of the newest block: deadlines are the chain's, not this machine's.
    async fn chain_time(&self, node: &Node) -> eyre::Result<u64> {
        let block = node.chain.provider.get_block_by_number(BlockNumberOrTag::Latest).await?;
        Ok(block.wrap_err("the chain has no block")?.header.timestamp)
    }

    /// The input of a job, which its posting has put on chain.
    async fn input(&self, node: &Node, id: u64, job: &Job) -> eyre::Result<Vec<u8>> {
        let mut last = job.drawBlock.saturating_sub(self.draw_delay);
        let filter = Filter::new()
            .address(self.jobs)
            .event_signature(IJobs::Post::SIGNATURE_HASH)
            .topic1(B256::from(U256::from(id)));
        // A first round began with the posting; a second one later than it.
        let ranges = if job.round == 1 { 1 } else { LOG_RANGES };
        for _ in 0..ranges {
            let first = if job.round == 1 { last } else { last.saturating_sub(LOG_RANGE - 1) };
            let logs = node.chain.provider.get_logs(&filter.clone().from_block(first).to_block(last)).await?;
            if let Some(log) = logs.first() {
                let posted = IJobs::Post::decode_log(&log.inner)?;
                return Ok(posted.input.to_vec());
            }
            if first == 0 {
                break;
            }
            last = first - 1;
        }
        eyre::bail!("the posting of job {id} cannot be found at the chain's node")
    }

    /// The answer of this machine, computed once.
    async fn answer(&self, node: &Node, id: u64, job: &Job) -> eyre::Result<(Vec<u8>, B256)> {
        let kept = node.store.job(id)?;
        let input = match kept {
            Some(KeptJob { answer: Some(answer), .. }) => return Ok(answer),
            Some(KeptJob { input, answer: None }) => input,
            None => {
                let input = self.input(node, id, job).await?;
                node.store.keep_job(id, &KeptJob { input: input.clone(), answer: None })?;
                input
            }
        };
        let outcome = node.engine.answer(input.clone(), |_| true).await?;
        let answer = (outcome.answer.into_bytes(), outcome.trace);
        node.store.keep_job(id, &KeptJob { input, answer: Some(answer.clone()) })?;
        Ok(answer)
    }

    /// Salt of a seat's commitment: of a secret that is kept, so that nothing is lost by a crash.
    fn salt(&self, id: u64, seat: usize) -> B256 {
        keccak256((self.secret, id, U256::from(seat)).abi_encode())
    }

    async fn commit(&self, node: &Arc<Node>, id: u64, job: &Job, seat: usize) -> eyre::Result<()> {
        let (answer, trace) = self.answer(node, id, job).await?;
        let salt = self.salt(id, seat);
        let commitment = keccak256((U256::from(id), self.id, keccak256(&answer), trace, salt).abi_encode());
        let call = IJobs::commitCall { id: U256::from(id), seat: U256::from(seat), commitment };
        let hash = node.chain.sender.send(self.jobs, call.abi_encode()).await?;
        tracing::info!(job = id, seat, %hash, "committed to an answer");
        Ok(())
    }

    async fn reveal(&self, node: &Arc<Node>, id: u64, job: &Job, seat: usize, on_chain: &Seat) -> eyre::Result<()> {
        let (answer, trace) = self.answer(node, id, job).await?;
        let salt = self.salt(id, seat);
        let commitment = keccak256((U256::from(id), self.id, keccak256(&answer), trace, salt).abi_encode());
        ensure!(commitment == on_chain.hash, "seat {seat} was committed to another answer, by another store");
        let call = IJobs::revealCall { id: U256::from(id), seat: U256::from(seat), answer: answer.into(), trace, salt };
        let hash = node.chain.sender.send(self.jobs, call.abi_encode()).await?;
        tracing::info!(job = id, seat, %hash, "revealed an answer");
        Ok(())
    }

    /// Challenges a result that costs this node its bond and that this machine computes otherwise.
    async fn challenge(&self, node: &Arc<Node>, id: u64, job: &Job) -> eyre::Result<()> {
        let most = node.config.jobs.challenges_per_day.0;
        let contract = IJobs::new(self.jobs, &node.chain.provider);
        let seats = contract.seatsOf(U256::from(id)).call().await?;
        let concerns_us = job.accused == self.id || seats.iter().any(|seat| seat.node == self.id);
        if most == 0 || job.result == B256::ZERO || !concerns_us {
            return Ok(());
        }
        let (answer, trace) = self.answer(node, id, job).await?;
        if result_hash(&answer, trace) == job.result {
            return Ok(());
        }
        let deposit: u128 = contract.depositOf(U256::from(id)).call().await?.to();
        let is_counted = locked(&self.counted).contains(&id);
        if !is_counted && !node.store.spend("challenges", now() / DAY, deposit, most)? {
            tracing::warn!(
                job = id,
                deposit,
                "a result that this machine computes otherwise is not challenged: the day's budget"
            );
            return Ok(());
        }
        locked(&self.counted).insert(id);
        let approve = IApprovable::approveCall { spender: self.jobs, amount: U256::from(deposit) };
        node.chain.sender.send(self.token, approve.abi_encode()).await?;
        let call = IJobs::challengeCall { id: U256::from(id) };
        let hash = node.chain.sender.send(self.jobs, call.abi_encode()).await?;
        tracing::info!(job = id, %hash, deposit, "challenged a result");
        Ok(())
    }
}
