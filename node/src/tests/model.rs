//! The model itself, where it can be fetched.

use std::{
    fs::File,
    io::{self, Write},
};

use plimsoll_testkit::workspace::workspace;

use crate::{engine::Engine, import, kind::Kind, load};

/// Fetches the model once for all tests and loads it. `None` if it cannot be fetched, which is printed.
pub(super) fn engine() -> eyre::Result<Option<Engine>> {
    let kind = Kind::load(None)?;
    let path = workspace()?.target().join("node/model.gguf");
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let lock = File::create(path.with_extension("lock"))?;
    lock.lock()?;
    if !path.exists() {
        if let Err(error) = import::import(&kind.file.model, None, &path) {
            writeln!(io::stderr(), "SKIPPED: the model cannot be fetched: {error:#}")?;
            return Ok(None);
        }
    }
    load(kind, &path, 8).map(Some)
}

/// The model with its weights in another quantisation.
#[cfg(feature = "dishonest")]
pub(super) fn cheat() -> eyre::Result<Engine> {
    let kind = Kind::load(None)?;
    let path = workspace()?.target().join("node/model.gguf");
    let (vocabulary, model) = crate::candle::load_requantised(&path, &kind.file.model)?;
    Ok(Engine::new(kind, vocabulary, model, 8))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_bits_are_those_of_the_kind() -> eyre::Result<()> {
    let Some(engine) = engine()? else { return Ok(()) };
    engine.check_probe()?;
    let prompt = crate::openai::render(&[("user", "What is a lighthouse?")]);
    let input = crate::generation::Input { prompt, max_tokens: 40, temperature_milli: 0, seed: 0 }.encode();
    let first = engine.answer(input.clone(), |_| true).await?;
    writeln!(io::stderr(), "{first:?}")?;
    // What was computed before has no part in an answer.
    engine.probe()?;
    assert_eq!(engine.answer(input, |_| true).await?, first);
    Ok(())
}
