//! Reading what services publish of their vouchers, each in a task of its own: a slow, huge, redirecting or lying one costs one
//! request of bounded size and time now and then, holds up no other, and raises no alert.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::Address;
use plimsoll_channels::{
    Channels,
    claims::{MAX_BYTES, PATH, Published},
};
use reqwest::{Client, StatusCode, redirect::Policy};
use tokio::{sync::Semaphore, task, task::JoinSet, time};
use tracing::{debug, info};

use crate::{
    config::{Config, Publisher},
    strategies::vouchers::PublishedBatch,
};

/// Time limit of one request, with its body.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Upper limit of the pause after failures.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The batches of each publisher, as they were read last.
type Batches = Arc<Mutex<Vec<Vec<Arc<PublishedBatch>>>>>;

/// What services have published.
#[derive(Debug, Default)]
pub(super) struct Publishers {
    batches: Batches,
    /// Aborts the tasks when it is dropped.
    _tasks: JoinSet<()>,
}

impl Publishers {
    /// Begins to read what the services of the configuration publish.
    pub(super) fn start(config: &Config) -> Self {
        let settings = &config.vouchers;
        let batches: Batches = Arc::new(Mutex::new(vec![Vec::new(); settings.publishers.len()]));
        let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build();
        let mut tasks = JoinSet::new();
        let Ok(client) = client else { return Self { batches, _tasks: tasks } };
        // Checking signatures takes up one core at most.
        let checks = Arc::new(Semaphore::new(1));
        for (index, publisher) in settings.publishers.iter().cloned().enumerate() {
            let source = Source {
                index,
                publisher,
                every: settings.every,
                client: client.clone(),
                chain_id: config.deployed.chain_id,
                channels: settings.channels,
                checks: Arc::clone(&checks),
                batches: Arc::clone(&batches),
            };
            tasks.spawn(source.follow());
        }
        Self { batches, _tasks: tasks }
    }

    /// Returns all batches that were read last.
    pub(super) fn batches(&self) -> Vec<Arc<PublishedBatch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect()
    }
}

/// One service.
struct Source {
    index: usize,
    publisher: Publisher,
    every: Duration,
    client: Client,
    chain_id: u64,
    channels: Address,
    checks: Arc<Semaphore>,
    batches: Batches,
}

impl Source {
    /// Reads again and again, after failures less often.
    async fn follow(self) {
        let mut pause = self.every;
        let mut has_failed = false;
        loop {
            match self.read().await {
                Ok(batches) => {
                    debug!(jar = %self.publisher.jar, batches = batches.len(), "published claims read");
                    (pause, has_failed) = (self.every, false);
                    if let Some(own) = self.batches.lock().unwrap_or_else(PoisonError::into_inner).get_mut(self.index) {
                        *own = batches;
                    }
                }
                Err(problem) => {
                    // Told once, and again when it has worked in between.
                    if !std::mem::replace(&mut has_failed, true) {
                        info!(jar = %self.publisher.jar, problem, "published claims not read");
                    }
                    pause = pause.saturating_mul(2).min(MAX_PAUSE);
                }
            }
            time::sleep(pause).await;
        }
    }

    async fn read(&self) -> Result<Vec<Arc<PublishedBatch>>, String> {
        let url = format!("{}{PATH}", self.publisher.url.trim_end_matches('/'));
        let told = |error: reqwest::Error| error.without_url().to_string();
        let mut answer = self.client.get(url).send().await.map_err(told)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answers {}", answer.status()));
        }
        let mut document = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(told)? {
            if document.len() + part.len() > MAX_BYTES {
                return Err(format!("it answers more than {MAX_BYTES} bytes"));
            }
            document.extend_from_slice(&part);
        }
        let _permit = self.checks.acquire().await.map_err(|error| error.to_string())?;
        let (chain_id, channels, jar) = (self.chain_id, self.channels, self.publisher.jar);
        let checked = task::spawn_blocking(move || check(&document, chain_id, channels, jar)).await;
        checked.map_err(|error| error.to_string())?
    }
}

/// Returns the batches of a document for a jar whose signatures are right.
fn check(document: &[u8], chain_id: u64, channels: Address, jar: Address) -> Result<Vec<Arc<PublishedBatch>>, String> {
    let published = Published::parse(document, chain_id, channels).map_err(|error| error.to_string())?;
    let domain = Channels::new(chain_id, channels);
    let mut batches = Vec::new();
    for batch in published.batches.iter().filter(|batch| batch.receiver == jar) {
        let verified = batch.verify(&domain).map_err(|error| error.to_string())?;
        batches.push(Arc::new(PublishedBatch::from(&verified)));
    }
    Ok(batches)
}
