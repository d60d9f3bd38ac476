//! Computing results of jobs again at a node daemon of the operator's own, in a task of its own: a slow, dead or lying daemon
//! costs the chance of a challenge and nothing else.
//!
//! The daemon's word is not enough. Before a result is held to be false, the daemon must compute the probe of the kind, whose
//! hash is the kind's id on the chain, and the same input again: a machine whose bits differ fails that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256, keccak256},
    rpc::types::Log,
    sol_types::SolEvent,
};
use plimsoll_channels::kinds::{KIND_PATH, RECOMPUTE_PATH, Recomputed, TEMPLATE, probe, probe_inputs};
use plimsoll_contracts::IJobs::Post;
use reqwest::{Client, RequestBuilder, redirect::Policy};
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::watch, task::JoinSet, time};
use tracing::{debug, info};

use crate::{
    book::{JobStage, JobState, JobsBook},
    config::Config,
    strategies::jobs::RefutedResults,
    stream::StreamReader,
};

/// Time limit of one computation: more than the longest answer takes on a slow machine.
const TIMEOUT: Duration = Duration::from_mins(3);
/// Most bytes of an answer of the daemon.
const MAX_BYTES: usize = 64 * 1024;
/// Most jobs that wait for their turn, those first for which most was paid.
const MAX_WAITING: usize = 64;
/// Attempts for one job.
const MAX_ATTEMPTS: u32 = 3;
/// Pause after a failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_secs(2);
const MAX_PAUSE: Duration = Duration::from_mins(10);

/// A job whose result can be challenged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    id: u64,
    kind: B256,
    result: B256,
    posted_in: u64,
}

/// What a computation has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The result is the kind's.
    Right,
    /// It is not.
    Wrong,
    /// The daemon computes another kind.
    OtherKind,
}

/// Computes results again; does nothing where no daemon is configured.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    waiting: Option<watch::Sender<Vec<Waiting>>>,
    refuted: Arc<Mutex<RefutedResults>>,
    challenge_secs: u64,
    /// Aborts the task when it is dropped.
    _task: JoinSet<()>,
}

impl Verifier {
    /// Begins to compute at the daemon of the configuration, if it names one.
    pub(super) fn start(config: &Config, challenge_secs: u64, reader: StreamReader) -> Self {
        let settings = &config.jobs;
        let named = settings.verify_with.clone().zip(settings.contracts.filter(|_| settings.execute));
        let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build();
        let (Some((url, contracts)), Ok(client)) = (named, client) else { return Self::default() };
        let (sender, waiting) = watch::channel(Vec::new());
        let refuted = Arc::new(Mutex::default());
        let work = Work { daemon: Daemon { client, url }, reader, jobs: contracts.jobs, refuted: Arc::clone(&refuted) };
        let mut task = JoinSet::new();
        task.spawn(work.run(waiting));
        Self { waiting: Some(sender), refuted, challenge_secs, _task: task }
    }

    /// Tells which jobs can be challenged after a block of this time in the next one, and returns those whose results are
    /// known to be false.
    pub(super) fn refuted(&self, book: &JobsBook, now: u64) -> RefutedResults {
        let Some(sender) = &self.waiting else { return RefutedResults::new() };
        let wanted = |(id, job): (u64, &JobState)| match job.stage {
            JobStage::Submitted { closed_at }
                if !job.is_challenged
                    && !job.result.is_zero()
                    && now < closed_at.saturating_add(self.challenge_secs) =>
            {
                Some(Waiting { id, kind: job.kind, result: job.result, posted_in: job.posted_in })
            }
            _ => None,
        };
        let waiting: Vec<_> = book.jobs_by_stake().filter_map(wanted).take(MAX_WAITING).collect();
        let mut refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
        refuted.retain(|(id, result)| waiting.iter().any(|job| job.id == *id && job.result == *result));
        sender.send_if_modified(|known| {
            let is_new = *known != waiting;
            *known = waiting;
            is_new
        });
        refuted.clone()
    }
}

/// Computes the waiting results again, one after another.
struct Work {
    daemon: Daemon,
    reader: StreamReader,
    jobs: Address,
    refuted: Arc<Mutex<RefutedResults>>,
}

impl Work {
    async fn run(self, mut waiting: watch::Receiver<Vec<Waiting>>) {
        let (mut decided, mut attempts) = (BTreeSet::new(), BTreeMap::<Waiting, u32>::new());
        let mut pause = PAUSE;
        loop {
            let now = waiting.borrow_and_update().clone();
            decided.retain(|job| now.contains(job));
            attempts.retain(|job, _| now.contains(job));
            let count = |job: &Waiting| attempts.get(job).copied().unwrap_or_default();
            let open = now.iter().filter(|job| !decided.contains(*job) && count(job) < MAX_ATTEMPTS);
            let Some(job) = open.min_by_key(|job| count(job)).copied() else {
                if waiting.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match self.judge(&job).await {
                Ok(verdict) => {
                    debug!(job = job.id, ?verdict, "result of a job computed again");
                    decided.insert(job);
                    pause = PAUSE;
                    if verdict == Verdict::Wrong {
                        info!(job = job.id, result = %job.result, "the result of a job is not the kind's");
                        let mut refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
                        refuted.insert((job.id, job.result));
                    }
                }
                Err(problem) => {
                    info!(job = job.id, problem, "result of a job not computed again");
                    *attempts.entry(job).or_default() += 1;
                    time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(MAX_PAUSE);
                }
            }
        }
    }

    async fn judge(&self, job: &Waiting) -> Result<Verdict, String> {
        let input = self.input(job).await?;
        self.daemon.judge(job.kind, job.result, &input).await
    }

    /// Returns the input of a job, which its posting has put on chain.
    async fn input(&self, job: &Waiting) -> Result<Bytes, String> {
        let block = U64::from(job.posted_in);
        let topics = [Post::SIGNATURE_HASH, U256::from(job.id).into()];
        let filter = json!({ "address": self.jobs, "fromBlock": block, "toBlock": block, "topics": topics });
        let logs: Result<Vec<Log>, _> = self.reader.ask(job.posted_in, "eth_getLogs", (filter,)).await;
        let logs = logs.map_err(|error| error.to_string())?;
        let posted = logs.iter().find_map(|log| Post::decode_log(&log.inner).ok());
        posted.map(|posted| posted.data.input).ok_or_else(|| "the node has not its posting".to_owned())
    }
}

/// Client of the operator's node daemon.
struct Daemon {
    client: Client,
    url: String,
}

/// What is read of a kind file.
#[derive(Deserialize)]
struct KindFile {
    template: String,
    probe: B256,
}

impl Daemon {
    /// Compares a result with the daemon's.
    async fn judge(&self, kind: B256, result: B256, input: &Bytes) -> Result<Verdict, String> {
        let Some(own) = self.recompute(kind, input).await? else { return Ok(Verdict::OtherKind) };
        if own == result {
            return Ok(Verdict::Right);
        }
        // A claim that costs money if it is wrong: first of all the daemon shows that it computes this kind.
        self.check_probe(kind).await?;
        if self.recompute(kind, input).await? != Some(own) {
            return Err("the daemon computes one input differently each time".to_owned());
        }
        Ok(Verdict::Wrong)
    }

    async fn check_probe(&self, kind: B256) -> Result<(), String> {
        let text = self.read(self.client.get(format!("{}{KIND_PATH}", self.url))).await?;
        if keccak256(&text) != kind {
            return Err("the daemon shows another kind file than it computes".to_owned());
        }
        let file: KindFile = serde_json::from_slice(&text).map_err(|error| format!("its kind file: {error}"))?;
        if file.template != TEMPLATE {
            return Err(format!("the template {:?} is not known here", file.template));
        }
        let mut results = Vec::new();
        for input in probe_inputs() {
            results.extend(self.recompute(kind, &input.into()).await?);
        }
        match probe(&results) == file.probe {
            true => Ok(()),
            false => Err("the daemon's bits are not the kind's: its probe differs".to_owned()),
        }
    }

    /// Returns the hash of the result of an input; `None` where the daemon computes another kind.
    async fn recompute(&self, kind: B256, input: &Bytes) -> Result<Option<B256>, String> {
        let request = self.client.post(format!("{}{RECOMPUTE_PATH}", self.url)).body(input.to_vec());
        let text = self.read(request).await?;
        let answer: Recomputed = serde_json::from_slice(&text).map_err(|error| format!("its answer: {error}"))?;
        if answer.kind != kind {
            return Ok(None);
        }
        if answer.request_hash != keccak256(input) {
            return Err("the daemon answers for another input".to_owned());
        }
        Ok(Some(answer.result_hash))
    }

    async fn read(&self, request: RequestBuilder) -> Result<Vec<u8>, String> {
        let told = |error: reqwest::Error| error.without_url().to_string();
        let mut answer = request.send().await.map_err(told)?;
        if !answer.status().is_success() {
            return Err(format!("the daemon answers {}", answer.status()));
        }
        let mut document = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(told)? {
            if document.len() + part.len() > MAX_BYTES {
                return Err(format!("the daemon answers more than {MAX_BYTES} bytes"));
            }
            document.extend_from_slice(&part);
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::{
        Json, Router,
        body::{Body, Bytes as RequestBody},
        extract::State,
        response::{IntoResponse, Redirect, Response},
        routing::{get, post},
    };
    use futures_util::StreamExt as _;
    use tokio::{net::TcpListener, task::JoinHandle};

    use super::*;

    /// How a daemon answers.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Manner {
        Honest,
        /// By other weights than the kind's.
        Otherwise,
        /// Right for the probe, and differently each time for all else.
        Fickle,
        /// For the input that it likes.
        Elsewhere,
        /// By another kind file than it says.
        Disguised,
        Endless,
        Moved,
        Silent,
    }

    /// The function that the kind stands for.
    fn right(input: &[u8]) -> B256 {
        keccak256([b"right", input].concat())
    }

    fn kind_file() -> String {
        let results: Vec<_> = probe_inputs().iter().map(|input| right(input)).collect();
        format!("{{\"template\": \"smollm2\", \"probe\": \"{}\"}}", probe(&results))
    }

    fn kind() -> B256 {
        keccak256(kind_file())
    }

    #[derive(Debug, Clone)]
    struct Served(Manner, Arc<AtomicU64>);

    async fn recompute(State(Served(manner, count)): State<Served>, input: RequestBody) -> Response {
        let count = count.fetch_add(1, Ordering::Relaxed);
        let result = match manner {
            Manner::Otherwise => keccak256(&input),
            Manner::Fickle if !probe_inputs().contains(&input.to_vec()) => B256::from(U256::from(count)),
            Manner::Endless => {
                return Body::from_stream(futures_util::stream::repeat("  ").map(Ok::<_, std::io::Error>))
                    .into_response();
            }
            Manner::Moved => return Redirect::temporary("/elsewhere").into_response(),
            Manner::Silent => std::future::pending().await,
            _ => right(&input),
        };
        let about = if manner == Manner::Elsewhere { B256::ZERO } else { keccak256(&input) };
        Json(Recomputed { kind: kind(), request_hash: about, result_hash: result }).into_response()
    }

    async fn daemon(manner: Manner) -> (Daemon, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shown = move || async move { if manner == Manner::Disguised { "{}".to_owned() } else { kind_file() } };
        let router = Router::new()
            .route(RECOMPUTE_PATH, post(recompute))
            .route(KIND_PATH, get(shown))
            .with_state(Served(manner, Arc::default()));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        // An honest daemon of this test answers at once; a silent one is not waited for.
        let limit = if manner == Manner::Silent { Duration::from_millis(50) } else { TIMEOUT };
        let client = Client::builder().timeout(limit).redirect(Policy::none()).build().unwrap();
        (Daemon { client, url }, server)
    }

    #[tokio::test]
    async fn a_result_is_false_only_by_a_daemon_that_computes_the_kinds_probe_and_the_same_twice() {
        let input = Bytes::from_static(b"a question");
        let (truth, lie) = (right(&input), B256::repeat_byte(1));
        let (daemon_of_kind, server) = daemon(Manner::Honest).await;
        assert_eq!(daemon_of_kind.judge(kind(), truth, &input).await, Ok(Verdict::Right));
        assert_eq!(daemon_of_kind.judge(kind(), lie, &input).await, Ok(Verdict::Wrong));
        assert_eq!(daemon_of_kind.judge(B256::ZERO, lie, &input).await, Ok(Verdict::OtherKind));
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
        for (manner, problem) in [
            (Manner::Otherwise, "its probe differs"),
            (Manner::Fickle, "differently each time"),
            (Manner::Elsewhere, "another input"),
            (Manner::Endless, "more than"),
            (Manner::Moved, "307"),
            (Manner::Silent, "error sending request"),
        ] {
            let (daemon, server) = daemon(manner).await;
            // The honest result, which none of them may have challenged.
            let judged = daemon.judge(kind(), truth, &input).await;
            assert!(judged.as_ref().is_err_and(|said| said.contains(problem)), "{manner:?}: {judged:?}");
            server.abort();
        }
        let (disguised, server) = daemon(Manner::Disguised).await;
        let judged = disguised.judge(kind(), lie, &input).await;
        assert!(judged.as_ref().is_err_and(|said| said.contains("another kind file")), "{judged:?}");
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
        // Nobody listens there any more.
        assert!(disguised.judge(kind(), lie, &input).await.is_err());
    }
}
