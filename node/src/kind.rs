//! Kinds: what a node computes, stated by a file whose hash is the kind's id.

use std::{fs, path::Path};

use alloy::primitives::{B256, keccak256};
use eyre::{WrapErr, ensure};
use plimsoll_channels::kinds::TEMPLATE;
use serde::Deserialize;

/// The kind that comes with the program.
pub(crate) const DEFAULT: &str = include_str!("../kinds/smollm2-135m-instruct.json");

/// The engine of this build, which a kind must name.
pub(crate) const ENGINE: EngineName<&str> =
    EngineName { name: "candle quantized_llama", version: "0.11.1", revision: 1 };
pub(crate) const TARGET: &str = "x86_64-linux";
pub(crate) const SAMPLER: &str = "gumbel-chacha20";

/// Statement of a function from input bytes to an answer, with every part that its bits depend on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KindFile {
    pub(crate) name: String,
    pub(crate) model: ModelFile,
    pub(crate) engine: EngineName<String>,
    pub(crate) target: String,
    pub(crate) template: String,
    pub(crate) limits: Limits,
    pub(crate) sampler: String,
    pub(crate) trace: Trace,
    pub(crate) stop: Vec<u32>,
    pub(crate) probe: B256,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelFile {
    pub(crate) format: String,
    pub(crate) file: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Where it comes from: a wheel in the Python package index.
    pub(crate) package: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EngineName<T> {
    pub(crate) name: T,
    pub(crate) version: T,
    pub(crate) revision: u32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) input_bytes: usize,
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
    pub(crate) answer_bytes: usize,
}

/// What the trace of a result covers, besides the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Trace {
    /// Every step's logits, as little-endian f32.
    Logits,
    /// The ids of the sampled tokens only. Short answers can be guessed.
    Tokens,
}

/// A kind file with its id.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) id: B256,
    pub(crate) text: String,
    pub(crate) file: KindFile,
}

impl Kind {
    /// Reads a kind file, or takes the one that comes with the program.
    pub(crate) fn load(path: Option<&Path>) -> eyre::Result<Self> {
        match path {
            None => Self::parse(DEFAULT.to_owned()).wrap_err("the built-in kind"),
            Some(path) => {
                let text = fs::read_to_string(path).wrap_err_with(|| format!("{}", path.display()))?;
                Self::parse(text).wrap_err_with(|| format!("{}", path.display()))
            }
        }
    }

    /// Parses a kind file. Every byte of it counts: its id is the hash of the text as it is.
    pub(crate) fn parse(text: String) -> eyre::Result<Self> {
        let file: KindFile = serde_json::from_str(&text)?;
        ensure!(file.model.format == "gguf", "the model's format is {:?}; only \"gguf\" exists", file.model.format);
        ensure!(
            (file.engine.name.as_str(), file.engine.version.as_str(), file.engine.revision)
                == (ENGINE.name, ENGINE.version, ENGINE.revision),
            "the kind's engine is {:?}; this build has {ENGINE:?}",
            file.engine
        );
        ensure!(file.target == TARGET, "the kind's target is {:?}; only {TARGET:?} exists", file.target);
        ensure!(file.template == TEMPLATE, "the kind's template is {:?}; only {TEMPLATE:?} exists", file.template);
        ensure!(file.sampler == SAMPLER, "the kind's sampler is {:?}; only {SAMPLER:?} exists", file.sampler);
        Ok(Self { id: keccak256(&text), text, file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_another_engine_is_refused_by_name() {
        assert!(Kind::load(None).is_ok());
        for (from, to) in
            [("0.11.1", "0.12.0"), ("\"revision\": 1", "\"revision\": 2"), ("x86_64", "aarch64"), ("gumbel", "softmax")]
        {
            let error = Kind::parse(DEFAULT.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(to.trim_start_matches("\"revision\": ")), "{error}");
        }
        assert!(Kind::parse(DEFAULT.replace("\"stop\"", "\"halt\"")).is_err());
        // A space more is another kind.
        assert_ne!(Kind::parse(format!("{DEFAULT} ")).unwrap().id, Kind::parse(DEFAULT.to_owned()).unwrap().id);
    }
}
