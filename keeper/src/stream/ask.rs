//! How a question is put to the endpoints: to the best one first, to the next at once where the answer is not valid, and
//! again to all of them until the next head where a decision waits for it.

use std::{future::Future, sync::Arc, time::Duration};

use alloy::rpc::client::RpcClient;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use tokio::{
    runtime::Handle,
    time::{self, Instant},
};

use super::{endpoint_client::RequestError, failover::EndpointPool, hedging::late_after, rpc_error::RpcErrorKind};

/// Pause after every endpoint has failed, the first time; it doubles each time.
const MIN_RETRY_PAUSE: Duration = Duration::from_millis(25);
/// Maximum pause after every endpoint has failed.
const MAX_RETRY_PAUSE: Duration = Duration::from_millis(400);

/// What a question is about, by which the endpoints are put in order, and what depends on the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskPolicy {
    /// Number of the block that the question is about; endpoints that do not have it are asked last. 0 if any will do.
    pub block: u64,
    /// Whether a decision waits for the answer. Then a slow endpoint is hedged by the next one, and where all fail, they
    /// are asked again until the next head.
    pub is_urgent: bool,
}

/// How one round of questions ended.
enum Round<T> {
    /// An answer, or a revert, which is one, too.
    Answered(Result<T, ChainError>),
    /// No endpoint has a valid answer.
    Failed(ChainError),
}

/// Requests that are under way. Those that nothing waits for any more are still measured.
struct UnderWay<T: Send + 'static>(FuturesUnordered<BoxFuture<'static, Result<T, RequestError>>>);

impl<T: Send + 'static> Drop for UnderWay<T> {
    fn drop(&mut self) {
        let mut rest = std::mem::take(&mut self.0);
        if let Ok(runtime) = Handle::try_current()
            && !rest.is_empty()
        {
            runtime.spawn(async move { while rest.next().await.is_some() {} });
        }
    }
}

/// Asks the endpoints by the policy, each by `request`, and returns the first answer. Fails with the last error where none
/// has any.
pub(super) async fn ask<T, F>(
    pool: &Arc<EndpointPool>,
    policy: AskPolicy,
    request: impl Fn(Arc<Endpoint>, RpcClient) -> F,
) -> Result<T, ChainError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ChainError>> + Send + 'static,
{
    let mut newest = pool.newest.subscribe();
    let is_old = newest.borrow_and_update().is_some_and(|newest| policy.block > 0 && newest.number > policy.block);
    let may_repeat = policy.is_urgent && !is_old && !pool.clients.is_empty();
    let end = Instant::now() + pool.settings.block_time;
    let mut pause = MIN_RETRY_PAUSE;
    pool.hedges.record_question();
    loop {
        let failure = match ask_each(pool, policy, &request).await {
            Round::Answered(answer) => return answer,
            Round::Failed(error) => error,
        };
        if !may_repeat || newest.has_changed().unwrap_or(true) || Instant::now() + pause > end {
            return Err(failure);
        }
        tokio::select! {
            () = time::sleep(pause) => pause = (pause * 2).min(MAX_RETRY_PAUSE),
            // The answer would come too late to be of use.
            _ = newest.changed() => return Err(failure),
        }
    }
}

/// Asks every endpoint once at most, the next one where the last has no valid answer or is slow.
async fn ask_each<T, F>(
    pool: &Arc<EndpointPool>,
    policy: AskPolicy,
    request: impl Fn(Arc<Endpoint>, RpcClient) -> F,
) -> Round<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ChainError>> + Send + 'static,
{
    let (block_time, late_after) = (pool.settings.block_time, late_after(pool.settings.block_time));
    let order: Vec<_> = pool.clients_for(policy.block).collect();
    let mut order = order.into_iter();
    let mut asked = UnderWay(FuturesUnordered::new());
    let mut failure = None;
    let (mut hedge_at, mut late_at) = (None, Instant::now());
    let mut ask_next = true;
    loop {
        if ask_next && let Some((index, client)) = order.next() {
            let now = Instant::now();
            hedge_at = Some(now + client.hedge_delay(block_time));
            late_at = now + late_after;
            asked.0.push(Box::pin(read(Arc::clone(pool), index, late_after, &request)));
        }
        let next_at = Some(hedge_at.unwrap_or(late_at)).filter(|_| policy.is_urgent && order.len() > 0);
        tokio::select! {
            biased;
            answer = asked.0.next() => {
                match answer {
                    Some(Ok(answer)) => return Round::Answered(Ok(answer)),
                    Some(Err(refused)) if refused.kind == RpcErrorKind::Reverted => {
                        return Round::Answered(Err(refused.error));
                    }
                    Some(Err(failed)) => failure = Some(failed.error),
                    None => break,
                }
                ask_next = true;
            }
            // A hedge has a budget. An endpoint that is late is passed over whatever that costs.
            () = at(next_at) => ask_next = hedge_at.take().is_none() || pool.hedges.take(),
        }
    }
    Round::Failed(failure.unwrap_or_else(none_connected))
}

/// Asks every connected endpoint, all at the same time, and returns the answers with the endpoints' indices. Once one has
/// answered, those that are late are not waited for.
pub(super) async fn ask_all<T, F>(
    pool: &Arc<EndpointPool>,
    request: impl Fn(Arc<Endpoint>, RpcClient) -> F,
) -> Vec<(usize, T)>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ChainError>> + Send + 'static,
{
    let late_after = late_after(pool.settings.block_time);
    let late_at = Instant::now() + late_after;
    let asked = pool.clients_for(0).map(|(index, _)| {
        let read = read(Arc::clone(pool), index, late_after, &request);
        Box::pin(async move { Ok((index, read.await?)) }) as BoxFuture<'static, _>
    });
    let mut asked = UnderWay(asked.collect());
    let mut answers = Vec::new();
    loop {
        let deadline = Some(late_at).filter(|_| !answers.is_empty());
        tokio::select! {
            biased;
            answer = asked.0.next() => match answer {
                Some(answer) => answers.extend(answer.ok()),
                None => return answers,
            },
            () = at(deadline) => return answers,
        }
    }
}

/// Makes the request to one endpoint, which is late after this time.
fn read<T, F>(
    pool: Arc<EndpointPool>,
    index: usize,
    late_after: Duration,
    request: impl Fn(Arc<Endpoint>, RpcClient) -> F,
) -> impl Future<Output = Result<T, RequestError>> + Send + 'static
where
    T: Send + 'static,
    F: Future<Output = Result<T, ChainError>> + Send + 'static,
{
    let client = pool.clients.get(index);
    let usable = client.map(|client| client.for_reader().map(|rpc| request(Arc::clone(&client.endpoint), rpc)));
    async move {
        match (pool.clients.get(index), usable) {
            (Some(client), Some(Ok(request))) => client.read(request, late_after).await,
            (_, Some(Err(error))) => Err(error),
            _ => Err(RequestError { kind: RpcErrorKind::Unreachable, error: none_connected() }),
        }
    }
}

/// Waits until this time; for ever without one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn none_connected() -> ChainError {
    ChainError::Unreachable { endpoint: "every endpoint".to_owned(), problem: "none is connected".to_owned() }
}
