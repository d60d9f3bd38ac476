//! The one request to end that every part of the keeper waits for.

use std::{panic, sync::Arc};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;

/// A request to end, made once and seen by every clone.
#[derive(Debug, Clone)]
pub struct Shutdown {
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_requested: bool,
    /// The first failure that requested it.
    failure: Option<String>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Creates a shutdown that has not been requested yet.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::default())) }
    }

    /// Creates a shutdown that SIGINT (Ctrl-C) or SIGTERM requests. Fails where the operating system does not let this
    /// process handle those signals.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let requested = shutdown.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            info!(signal = name, "shutdown requested");
            requested.request();
        });
        Ok(shutdown)
    }

    /// Requests the shutdown of everything that holds a clone.
    pub fn request(&self) {
        self.state.send_modify(|state| state.is_requested = true);
    }

    /// Requests the shutdown because of a failure. The first failure is kept.
    pub fn fail(&self, failure: String) {
        self.state.send_modify(|state| {
            state.is_requested = true;
            state.failure.get_or_insert(failure);
        });
    }

    /// Returns the failure that requested the shutdown, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.state.borrow().failure.clone()
    }

    /// Returns true once a shutdown has been requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.state.borrow().is_requested
    }

    /// Waits until a shutdown is requested; returns at once where it has been already.
    pub async fn requested(&self) {
        // The sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(|state| state.is_requested).await;
    }

    /// Makes a panic anywhere in the process, in whichever task or thread, a failure that requests the shutdown: a keeper
    /// that has lost one of its parts ends in good order instead of going on without it. The panic is still printed.
    pub fn fail_on_panic(&self) {
        let (shutdown, print) = (self.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |panic| {
            print(panic);
            let payload = panic.payload();
            let message = payload.downcast_ref::<&str>().copied();
            let message =
                message.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason");
            let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
            shutdown.fail(format!("a part of the keeper panicked{place}: {message}; start it again, and report this"));
        }));
    }
}

/// Waits until `stop` becomes true or its sender is gone: a task whose owner is gone ends, too.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_reaches_tasks_that_wait_and_tasks_that_ask_later() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_requested());
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        shutdown.request();
        waiting.await.unwrap();
        shutdown.requested().await;
        assert!(shutdown.is_requested() && shutdown.failure().is_none());
    }

    /// Set in the process that this test starts for itself, because the hook belongs to the process.
    const CHILD: &str = "PLIMSOLL_TEST_PANIC";

    async fn panic_in_a_task() {
        let shutdown = Shutdown::new();
        shutdown.fail_on_panic();
        let task = tokio::spawn(async { panic!("out of paper") });
        shutdown.requested().await;
        assert!(task.await.is_err());
        println!("{}", shutdown.failure().unwrap());
    }

    #[tokio::test]
    async fn a_panic_in_any_task_requests_the_end_and_is_the_reason() {
        if std::env::var_os(CHILD).is_some() {
            return panic_in_a_task().await;
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let test = "shutdown::tests::a_panic_in_any_task_requests_the_end_and_is_the_reason";
        let output = child.args(["--exact", "--nocapture", test]).env(CHILD, "1").output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let reason = printed.lines().find(|line| line.contains("a part of the keeper panicked")).unwrap();
        assert!(reason.contains("shutdown.rs") && reason.contains("out of paper"), "{printed}");
    }

    #[tokio::test]
    async fn the_first_of_several_failures_is_the_reason() {
        let shutdown = Shutdown::new();
        shutdown.fail("first".into());
        shutdown.fail("second".into());
        shutdown.requested().await;
        assert_eq!(shutdown.failure().as_deref(), Some("first"));
    }

    #[tokio::test]
    async fn a_task_stops_when_it_is_told_to_or_when_its_owner_is_gone() {
        let (owner, mut stop) = watch::channel(false);
        owner.send_replace(true);
        stopped(&mut stop).await;
        let (owner, mut stop) = watch::channel(false);
        drop(owner);
        stopped(&mut stop).await;
    }
}
