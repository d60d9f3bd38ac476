//! Which weights answers are computed with: the kind's, but in demonstrations.

use std::path::Path;

use crate::{engine::Engine, kind::Kind};

/// Nothing without the feature `demonstration`, which no release has.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Weights {
    /// Compute by a script instead of a model, which needs no download. For tests.
    #[cfg(feature = "demonstration")]
    #[arg(long)]
    scripted: bool,
    /// Compute with other weights than the kind's, of another quantisation, as a node would that saves work, and serve
    /// without the probe. For demonstrations.
    #[cfg(feature = "demonstration")]
    #[arg(long)]
    other_weights: bool,
}

impl Weights {
    /// Loads the engine of a kind, of which `queue` answers may be waited for at a time, with the model file at `path`.
    pub(crate) fn load(self, kind: Kind, path: &Path, queue: usize) -> eyre::Result<Engine> {
        #[cfg(feature = "demonstration")]
        if self.scripted {
            use crate::script::{Letters, Script};
            let model = Box::new(Script::salted(u64::from(self.other_weights)));
            return Ok(Engine::new(kind, std::sync::Arc::new(Letters::default()), model, queue));
        }
        self.load_model(kind, path, queue)
    }

    /// Loads the engine, and fails if this machine's bits differ from those that the kind states.
    pub(crate) fn load_checked(self, kind: Kind, path: &Path, queue: usize) -> eyre::Result<Engine> {
        let engine = self.load(kind, path, queue)?;
        #[cfg(feature = "demonstration")]
        if self.other_weights {
            return Ok(engine);
        }
        engine.check_probe()?;
        Ok(engine)
    }

    #[cfg(feature = "engine")]
    fn load_model(self, kind: Kind, path: &Path, queue: usize) -> eyre::Result<Engine> {
        let load = crate::candle::load;
        #[cfg(feature = "demonstration")]
        let load = if self.other_weights { crate::candle::load_requantised } else { load };
        let (vocabulary, model) = load(path, &kind.file.model)?;
        Ok(Engine::new(kind, vocabulary, model, queue))
    }

    #[cfg(not(feature = "engine"))]
    fn load_model(self, _: Kind, _: &Path, _: usize) -> eyre::Result<Engine> {
        eyre::bail!("this program was built without its engine; build it with the feature `engine`, which is a default")
    }
}
