//! The thread that the sender's tasks share, and nothing else.
//!
//! A transaction is signed, written to the disk and broadcast one after the other, and nothing else of a sender could go on
//! before that. On a thread that others need the write would have to be handed to another thread, and its end back; each of
//! the two takes as long as a good part of the write. So a journal in a file is written by the very thread that signs, and
//! the connections that transactions are sent over are served by it, too.

use std::{io, thread, thread::JoinHandle};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// The thread and its runtime. Dropping it ends what still runs there, and waits for that.
#[derive(Debug)]
pub(super) struct SenderThread {
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SenderThread {
    /// Starts it. Fails if the system has no thread to give.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("sender".to_owned()).spawn(move || {
            // Its other end is dropped to stop it.
            runtime.block_on(stopped).ok();
            // What it gave to other threads, such as looking up a name, is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns what spawns tasks there.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for SenderThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
