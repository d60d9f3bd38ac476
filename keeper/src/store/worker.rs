//! A thread that owns a state, and a bounded queue of jobs on that state.
//!
//! Callers wait while the queue is full, and no job in the queue is dropped: dropping the worker waits until all are
//! done. If the thread panicked, every later call fails with the message of the panic.

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

/// Maximum number of jobs that wait. A block is one job, so this is more than a burst of blocks.
const QUEUE_SIZE: usize = 256;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Handle of the thread. Dropping it waits until the thread has done every job.
pub(super) struct Worker<S> {
    path: PathBuf,
    queue: Option<mpsc::Sender<Job<S>>>,
    thread: Option<JoinHandle<()>>,
    panic_message: Arc<OnceLock<String>>,
}

impl<S: Send + 'static> Worker<S> {
    /// Starts the thread. `path` names it in errors. After each job `after_job` is called with the state, and with
    /// whether another job waits already. Fails if the thread cannot be started.
    pub(super) fn start(
        path: PathBuf,
        mut state: S,
        mut after_job: impl FnMut(&mut S, bool) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, mut jobs) = mpsc::channel::<Job<S>>(QUEUE_SIZE);
        let panic_message = Arc::new(OnceLock::new());
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let message = Arc::clone(&panic_message);
        let thread = thread::Builder::new().name(name).spawn(move || {
            while let Some(job) = jobs.blocking_recv() {
                let done = panic::catch_unwind(AssertUnwindSafe(|| {
                    job(&mut state);
                    after_job(&mut state, !jobs.is_empty());
                }));
                if let Err(payload) = done {
                    let _ = message.set(message_of(payload.as_ref()));
                    return;
                }
            }
        })?;
        Ok(Self { path, queue: Some(queue), thread: Some(thread), panic_message })
    }

    /// Queues a job, waiting for room in the queue. Fails if the thread panicked.
    pub(super) async fn tell(&self, job: impl FnOnce(&mut S) + Send + 'static) -> Result<(), StoreError> {
        let Some(queue) = &self.queue else { return Err(self.dead()) };
        queue.send(Box::new(job)).await.map_err(|_| self.dead())
    }

    /// Queues a job and waits for its result. A caller that stops waiting does not stop the job. Fails if the job does,
    /// or if the thread panicked.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (result, receiver) = oneshot::channel();
        self.tell(move |state| {
            let _ = result.send(job(state));
        })
        .await?;
        match receiver.await {
            Ok(result) => result,
            Err(_) => {
                // The result is dropped before the panic message is stored; the queue closes after that.
                if let Some(queue) = &self.queue {
                    queue.closed().await;
                }
                Err(self.dead())
            }
        }
    }

    /// Returns the path that the thread's errors name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn dead(&self) -> StoreError {
        StoreError::Dead { path: self.path.clone(), cause: self.panic_message.get().cloned() }
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

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;

    use super::*;

    fn worker(after_job: impl FnMut(&mut Vec<u32>, bool) + Send + 'static) -> Worker<Vec<u32>> {
        Worker::start(PathBuf::from("some.db"), Vec::new(), after_job).unwrap()
    }

    #[tokio::test]
    async fn a_full_queue_makes_callers_wait_and_drops_no_job() {
        let worker = worker(|_, _| {});
        let (release, gate) = blocking::channel::<()>();
        worker.tell(move |_| gate.recv().unwrap()).await.unwrap();
        let all = u32::try_from(QUEUE_SIZE).unwrap() + 10;
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
    async fn dropping_the_worker_waits_for_every_queued_job() {
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
    async fn after_a_panic_every_call_fails_with_its_message() {
        let worker = worker(|_, _| {});
        let asked = worker.ask(|_| -> Result<(), StoreError> { panic!("out of paper") }).await;
        let queued = worker.tell(|_| {}).await;
        for error in [asked.unwrap_err(), queued.unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("some.db") && text.contains("out of paper"), "{text}");
        }
    }

    #[tokio::test]
    async fn the_callback_after_a_job_learns_whether_another_waits() {
        let (sender, called) = blocking::channel();
        let worker = worker(move |_, more| sender.send(more).unwrap());
        let (release, gate) = blocking::channel::<()>();
        worker.tell(move |_| gate.recv().unwrap()).await.unwrap();
        worker.tell(|_| {}).await.unwrap();
        release.send(()).unwrap();
        drop(worker);
        assert_eq!(called.try_iter().collect::<Vec<_>>(), [true, false]);
    }
}
