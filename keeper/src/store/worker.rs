//! A state, a thread that does jobs on it, and a bounded queue of these jobs.
//!
//! Callers wait while the queue is full, and no job in the queue is dropped: dropping the worker waits until all are
//! done. A caller that may block its thread can [do a job there](Worker::here). If a job panicked, every later call fails
//! with the message of the panic.

use std::{
    any::Any,
    fmt, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
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
    state: Arc<Mutex<S>>,
    queue: Option<mpsc::Sender<Job<S>>>,
    thread: Option<JoinHandle<()>>,
    panic_message: Arc<OnceLock<String>>,
}

impl<S: Send + 'static> Worker<S> {
    /// Starts the thread. `path` names it in errors. After each job `after_job` is called with the state, and with
    /// whether another job waits already. Fails if the thread cannot be started.
    pub(super) fn start(
        path: PathBuf,
        state: S,
        mut after_job: impl FnMut(&mut S, bool) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, mut jobs) = mpsc::channel::<Job<S>>(QUEUE_SIZE);
        let panic_message = Arc::new(OnceLock::new());
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let state = Arc::new(Mutex::new(state));
        let (shared, message) = (Arc::clone(&state), Arc::clone(&panic_message));
        let thread = thread::Builder::new().name(name).spawn(move || {
            while let Some(job) = jobs.blocking_recv() {
                let done = guarded(&shared, &message, |state| {
                    job(state);
                    after_job(state, !jobs.is_empty());
                });
                if done.is_none() {
                    return;
                }
            }
        })?;
        Ok(Self { path, state, queue: Some(queue), thread: Some(thread), panic_message })
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

    /// Does a job on the calling thread, which waits for the job that the worker's thread is doing. Where `is_due` says so
    /// then, the worker's thread does what follows a job. Fails if the job does, or if any job panicked.
    pub(super) fn here<T>(
        &self,
        job: impl FnOnce(&mut S) -> Result<T, StoreError>,
        is_due: impl FnOnce(&S) -> bool,
    ) -> Result<T, StoreError> {
        let done = guarded(&self.state, &self.panic_message, |state| (job(state), is_due(state)));
        let Some((result, is_due)) = done else { return Err(self.dead()) };
        if is_due && let Some(queue) = &self.queue {
            // Where the queue is full, it follows the jobs there.
            queue.try_send(Box::new(|_| {})).ok();
        }
        result
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

/// Does a job on the state; `None` if it panics, or one before it did. The first message is kept.
fn guarded<S, T>(state: &Mutex<S>, message: &OnceLock<String>, job: impl FnOnce(&mut S) -> T) -> Option<T> {
    // A panic is caught while the lock is held, so that it is never poisoned.
    let mut state: MutexGuard<'_, S> = state.lock().unwrap_or_else(PoisonError::into_inner);
    if message.get().is_some() {
        return None;
    }
    match panic::catch_unwind(AssertUnwindSafe(|| job(&mut state))) {
        Ok(done) => Some(done),
        Err(payload) => {
            let _ = message.set(message_of(payload.as_ref()));
            None
        }
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

    #[tokio::test]
    async fn a_job_of_the_callers_thread_waits_for_the_one_that_runs_and_is_followed_up_where_that_is_due() {
        let (sender, called) = blocking::channel();
        let worker = worker(move |numbers: &mut Vec<u32>, _| sender.send(numbers.len()).unwrap());
        let (begun, has_begun) = blocking::channel();
        let (release, gate) = blocking::channel::<()>();
        let first = move |numbers: &mut Vec<u32>| {
            begun.send(()).unwrap();
            gate.recv().unwrap();
            numbers.push(1);
        };
        worker.tell(first).await.unwrap();
        has_begun.recv().unwrap();
        let here = thread::current().id();
        let numbers = thread::scope(|scope| {
            scope.spawn(move || release.send(()).unwrap());
            let push = |numbers: &mut Vec<u32>| {
                assert_eq!(thread::current().id(), here);
                numbers.push(2);
                Ok(numbers.clone())
            };
            worker.here(push, |_| false).unwrap()
        });
        assert_eq!(numbers, [1, 2]);
        let push = |numbers: &mut Vec<u32>| {
            numbers.push(3);
            Ok(())
        };
        worker.here(push, |numbers| numbers.len() == 3).unwrap();
        drop(worker);
        assert_eq!(called.try_iter().last(), Some(3));
    }

    #[tokio::test]
    async fn after_a_panic_on_the_callers_thread_every_call_fails_with_its_message() {
        let worker = worker(|_, _| {});
        let here = worker.here(|_| -> Result<(), StoreError> { panic!("out of paper") }, |_| true);
        let again = worker.here(|_| Ok(()), |_| true);
        let asked = worker.ask(|_| Ok(())).await;
        for error in [here.unwrap_err(), again.unwrap_err(), asked.unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("some.db") && text.contains("out of paper"), "{text}");
        }
    }
}
