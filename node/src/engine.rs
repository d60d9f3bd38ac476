//! One engine in a process, one answer at a time, and a queue before it.

use std::sync::Arc;

use eyre::{WrapErr, ensure};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::{
    generation::{self, Model, Outcome, Vocabulary, generate},
    kind::Kind,
};

/// A kind with the model that computes it.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) kind: Arc<Kind>,
    vocabulary: Arc<dyn Vocabulary>,
    model: Arc<Mutex<Box<dyn Model>>>,
    places: Arc<Semaphore>,
    queue: usize,
}

/// A place in the queue, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

impl Engine {
    #[cfg_attr(
        not(any(feature = "engine", feature = "demonstration", test)),
        expect(dead_code, reason = "there is no model")
    )]
    /// Takes a model, of which `queue` answers may be waited for at a time.
    pub(crate) fn new(kind: Kind, vocabulary: Arc<dyn Vocabulary>, model: Box<dyn Model>, queue: usize) -> Self {
        let places = Arc::new(Semaphore::new(queue));
        Self { kind: Arc::new(kind), vocabulary, model: Arc::new(Mutex::new(model)), places, queue }
    }

    /// Computes the probe.
    pub(crate) fn probe(&self) -> eyre::Result<alloy::primitives::B256> {
        let mut model = self.model.try_lock().wrap_err("the engine is busy")?;
        generation::probe(&self.kind, &*self.vocabulary, &mut **model)
    }

    /// Fails if this machine's bits differ from those that the kind states.
    pub(crate) fn check_probe(&self) -> eyre::Result<()> {
        let (computed, stated) = (self.probe()?, self.kind.file.probe);
        ensure!(
            computed == stated,
            "this machine computes {computed} where the kind states {stated}: its answers would be called false. Use a \
             machine of the kind's target ({}), and the released program",
            self.kind.file.target
        );
        Ok(())
    }

    /// Number of tokens of a prompt.
    pub(crate) fn count(&self, prompt: &str) -> eyre::Result<u32> {
        Ok(u32::try_from(self.vocabulary.encode(prompt)?.len())?)
    }

    /// A place in the queue, or `None` when it is full.
    pub(crate) fn place(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(Place)
    }

    /// Answers that are computed or waited for.
    pub(crate) fn waiting(&self) -> usize {
        self.queue - self.places.available_permits()
    }

    /// Computes an answer when those before it are done.
    pub(crate) async fn answer(
        &self,
        input: Vec<u8>,
        mut on_text: impl FnMut(&str) -> bool + Send + 'static,
    ) -> eyre::Result<Outcome> {
        let mut model = Arc::clone(&self.model).lock_owned().await;
        let (kind, vocabulary) = (Arc::clone(&self.kind), Arc::clone(&self.vocabulary));
        let work = move || generate(&kind, &*vocabulary, &mut **model, &input, &mut on_text);
        tokio::task::spawn_blocking(work).await?
    }
}
