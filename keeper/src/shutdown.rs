//! The one request to end that every part of the keeper waits for.

use std::sync::Arc;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;

/// A request to end, made once and seen by every clone.
#[derive(Debug, Clone)]
pub struct Shutdown {
    requested: Arc<watch::Sender<bool>>,
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
        Self { requested: Arc::new(watch::Sender::new(false)) }
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
        self.requested.send_replace(true);
    }

    /// Returns true once a shutdown has been requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Waits until a shutdown is requested; returns at once where it has been already.
    pub async fn requested(&self) {
        // The sender lives as long as `self`.
        let _ = self.requested.subscribe().wait_for(|requested| *requested).await;
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
        assert!(shutdown.is_requested());
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
