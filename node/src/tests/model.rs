//! The model itself, where it can be fetched.

use std::{
    fs::File,
    io::{self, Write},
};

use plimsoll_testkit::workspace::workspace;

use crate::{engine::Engine, import, kind::Kind, weights::Weights};

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
    Weights::default().load(kind, &path, 8).map(Some)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_bits_are_those_of_the_kind() -> eyre::Result<()> {
    let Some(engine) = engine()? else { return Ok(()) };
    engine.check_probe()?;
    let prompt = plimsoll_channels::kinds::render(&[("user", "What is a lighthouse?")]);
    let input = crate::generation::Input { prompt, max_tokens: 40, temperature_milli: 0, seed: 0 }.encode();
    let first = engine.answer(input.clone(), |_| true).await?;
    writeln!(io::stderr(), "{first:?}")?;
    // What was computed before has no part in an answer.
    engine.probe()?;
    assert_eq!(engine.answer(input, |_| true).await?, first);
    Ok(())
}

#[test]
fn a_model_file_of_another_length_or_hash_is_refused() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.gguf");
    let kind = || -> eyre::Result<Kind> {
        let mut kind = Kind::load(None)?;
        kind.file.model.bytes = 5;
        Ok(kind)
    };
    for (data, problem) in [
        (&b"mode"[..], "it has 4 bytes, the kind states 5"),
        (b"models", "it has 6 bytes, the kind states 5"),
        (b"model", "sha256 is 9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"),
    ] {
        std::fs::write(&path, data)?;
        let error =
            Weights::default().load(kind()?, &path, 1).err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains(problem), "{error}");
    }
    std::fs::remove_file(&path)?;
    let error = Weights::default().load(kind()?, &path, 1).err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("model import"), "{error}");
    Ok(())
}
