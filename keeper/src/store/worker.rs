//! A thread that owns something, and the bounded queue of what it is asked to do with it.
//!
//! Whoever asks waits while the queue is full, and nothing that was taken into the queue is dropped: when the last
//! handle goes, it waits until the queue is done. A thread that panicked is an error for everybody who asks afterwards,
//! with its last words.

use std::{
    any::Any,
    fmt, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
};

use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// How many requests may wait. A block is one of them, so that this is more than a node sends in a moment.
const QUEUE: usize = 256;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The way to the thread. Its end is waited for when this is dropped.
pub(super) struct Worker<S> {
    path: PathBuf,
    queue: Option<mpsc::Sender<Job<S>>>,
    thread: Option<JoinHandle<()>>,
    last_words: Arc<OnceLock<String>>,
}

impl<S: Send + 'static> Worker<S> {
    /// Starts the thread. `path` names it in errors. After each request `settle` is called, and told whether another
    /// one waits already.
    pub(super) fn start(
        path: PathBuf,
        mut state: S,
        mut settle: impl FnMut(&mut S, bool) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, mut jobs) = mpsc::channel::<Job<S>>(QUEUE);
        let last_words = Arc::new(OnceLock::new());
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let said = Arc::clone(&last_words);
        let thread = thread::Builder::new().name(name).spawn(move || {
            while let Some(job) = jobs.blocking_recv() {
                let done = panic::catch_unwind(AssertUnwindSafe(|| {
                    job(&mut state);
                    settle(&mut state, !jobs.is_empty());
                }));
                if let Err(payload) = done {
                    let _ = said.set(words(payload.as_ref()));
                    return;
                }
            }
        })?;
        Ok(Self { path, queue: Some(queue), thread: Some(thread), last_words })
    }

    /// Queues a request, waiting for a place. Fails when the thread is dead.
    pub(super) async fn tell(&self, job: impl FnOnce(&mut S) + Send + 'static) -> Result<(), StoreError> {
        let Some(queue) = &self.queue else { return Err(self.dead()) };
        queue.send(Box::new(job)).await.map_err(|_| self.dead())
    }

    /// Queues a request and waits for its answer. A caller that stops waiting does not stop the request.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.tell(move |state| {
            let _ = answer.send(job(state));
        })
        .await?;
        match answered.await {
            Ok(result) => result,
            Err(_) => {
                // The answer is dropped before the last words are said; the queue closes after them.
                if let Some(queue) = &self.queue {
                    queue.closed().await;
                }
                Err(self.dead())
            }
        }
    }

    /// What the thread's errors name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn dead(&self) -> StoreError {
        StoreError::Dead { path: self.path.clone(), cause: self.last_words.get().cloned() }
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("path", &self.path).finish_non_exhaustive()
    }
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;

    use super::*;

    fn worker(settle: impl FnMut(&mut Vec<u32>, bool) + Send + 'static) -> Worker<Vec<u32>> {
        Worker::start(PathBuf::from("some.db"), Vec::new(), settle).unwrap()
    }

    #[tokio::test]
    async fn a_full_queue_makes_its_callers_wait_and_drops_nothing() {
        let worker = worker(|_, _| {});
        let (release, gate) = blocking::channel::<()>();
        worker.tell(move |_| gate.recv().unwrap()).await.unwrap();
        let all = u32::try_from(QUEUE).unwrap() + 10;
        let tell_all = async {
            for number in 0..all {
                worker.tell(move |numbers| numbers.push(number)).await.unwrap();
            }
        };
        tokio::pin!(tell_all);
        assert!(futures_util::poll!(&mut tell_all).is_pending());
        release.send(()).unwrap();
        tell_all.await;
        assert_eq!(worker.ask(|numbers| Ok(numbers.clone())).await.unwrap(), (0..all).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_was_queued_is_done_before_the_last_handle_is_gone() {
        let (sender, done) = blocking::channel();
        let worker = worker(|_, _| {});
        for number in 0..100 {
            let sender = sender.clone();
            worker.tell(move |_| sender.send(number).unwrap()).await.unwrap();
        }
        drop(worker);
        assert_eq!(done.try_iter().count(), 100);
    }

    #[tokio::test]
    async fn a_thread_that_panicked_is_an_error_with_its_last_words_for_all_who_ask() {
        let worker = worker(|_, _| {});
        let asked = worker.ask(|_| -> Result<(), StoreError> { panic!("out of paper") }).await;
        let told = worker.tell(|_| {}).await;
        for error in [asked.unwrap_err(), told.unwrap_err()] {
            let said = error.to_string();
            assert!(said.contains("some.db") && said.contains("out of paper"), "{said}");
        }
    }

    #[tokio::test]
    async fn settling_is_told_whether_more_is_waiting() {
        let (sender, settled) = blocking::channel();
        let worker = worker(move |_, more| sender.send(more).unwrap());
        let (release, gate) = blocking::channel::<()>();
        worker.tell(move |_| gate.recv().unwrap()).await.unwrap();
        worker.tell(|_| {}).await.unwrap();
        release.send(()).unwrap();
        drop(worker);
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [true, false]);
    }
}
