//! The function that a kind states: from input bytes to an answer and a trace, the same bits every time.

use alloy::{
    primitives::{B256, Bytes, keccak256},
    sol_types::SolValue,
};
use plimsoll_channels::kinds::{self, probe_inputs};
pub(crate) use plimsoll_channels::kinds::{Input, result_hash};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::kind::{Kind, Trace};

/// The model's vocabulary: text to token ids, and the bytes of each id.
pub(crate) trait Vocabulary: Send + Sync {
    fn encode(&self, text: &str) -> eyre::Result<Vec<u32>>;
    fn bytes(&self, token: u32) -> &[u8];
}

/// The model: logits after tokens that are placed at `position`, which is 0 for a prompt.
pub(crate) trait Model: Send {
    fn logits(&mut self, tokens: &[u32], position: usize) -> eyre::Result<Vec<f32>>;
}

const MAX_TEMPERATURE_MILLI: u32 = 2_000;

/// Decodes an input. The error is the reason that the kind's answer to such bytes gives.
fn decode(bytes: &[u8], kind: &Kind) -> Result<Input, &'static str> {
    let limits = &kind.file.limits;
    if bytes.len() > limits.input_bytes {
        return Err("input too long");
    }
    let decoded = <(Bytes, u32, u32, u64)>::abi_decode_params_validate(bytes).map_err(|_| "encoding")?;
    // One encoding for each input, so that an input has one hash.
    if decoded.abi_encode_params() != bytes {
        return Err("encoding");
    }
    let (prompt, max_tokens, temperature_milli, seed) = decoded;
    let prompt = String::from_utf8(prompt.into()).map_err(|_| "not UTF-8")?;
    if max_tokens == 0 || max_tokens > limits.completion_tokens {
        return Err("max tokens");
    }
    if temperature_milli > MAX_TEMPERATURE_MILLI {
        return Err("temperature");
    }
    Ok(Input { prompt, max_tokens, temperature_milli, seed })
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The model ended it.
    Stop,
    /// A limit was reached.
    Length,
    /// The reader is gone: this is not the kind's result.
    Cancelled,
}

/// An answer with what its result hash is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) answer: String,
    pub(crate) trace: B256,
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
    pub(crate) finish: Finish,
}

impl Outcome {
    /// Returns the hash that a receipt states and that nodes drawn for an audit must come to.
    pub(crate) fn result_hash(&self) -> B256 {
        result_hash(self.answer.as_bytes(), self.trace)
    }
}

/// Computes the answer to an input and hands out its text as it appears, whole characters only, until `on_text` returns
/// false. Every byte string has one answer: what cannot be an input is answered with the reason. Fails only if the model
/// itself does.
pub(crate) fn generate(
    kind: &Kind,
    vocabulary: &dyn Vocabulary,
    model: &mut dyn Model,
    input: &[u8],
    on_text: &mut dyn FnMut(&str) -> bool,
) -> eyre::Result<Outcome> {
    let invalid = |reason: &str, on_text: &mut dyn FnMut(&str) -> bool| {
        let answer = format!("invalid: {reason}");
        let finish = if on_text(&answer) { Finish::Stop } else { Finish::Cancelled };
        Outcome { answer, trace: B256::ZERO, prompt_tokens: 0, completion_tokens: 0, finish }
    };
    let input = match decode(input, kind) {
        Ok(input) => input,
        Err(reason) => return Ok(invalid(reason, on_text)),
    };
    let prompt = vocabulary.encode(&input.prompt)?;
    let limits = &kind.file.limits;
    let prompt_tokens = match u32::try_from(prompt.len()) {
        Ok(0) => return Ok(invalid("no tokens", on_text)),
        Ok(tokens) if tokens <= limits.prompt_tokens => tokens,
        _ => return Ok(invalid("too many tokens", on_text)),
    };

    let mut sampler = Sampler::new(input.temperature_milli, input.seed);
    let mut trace = blake3::Hasher::new();
    let mut text = Text::default();
    let mut completion_tokens = 0;
    let mut logits = model.logits(&prompt, 0)?;
    let mut position = prompt.len();
    let finish = loop {
        let token = sampler.sample(&logits);
        match kind.file.trace {
            Trace::Logits => {
                let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
                trace.update(&bytes);
            }
            Trace::Tokens => {
                trace.update(&token.to_le_bytes());
            }
        }
        if kind.file.stop.contains(&token) {
            break Finish::Stop;
        }
        let bytes = vocabulary.bytes(token);
        if !text.fits(bytes, limits.answer_bytes) {
            break Finish::Length;
        }
        completion_tokens += 1;
        let delta = text.push(bytes);
        if !delta.is_empty() && !on_text(&delta) {
            break Finish::Cancelled;
        }
        if completion_tokens == input.max_tokens {
            break Finish::Length;
        }
        logits = model.logits(&[token], position)?;
        position += 1;
    };
    let trace = B256::from(*trace.finalize().as_bytes());
    Ok(Outcome { answer: text.done, trace, prompt_tokens, completion_tokens, finish })
}

/// Takes the next token from logits: the largest one at temperature 0, else by Gumbel's maximum.
struct Sampler {
    temperature_milli: u32,
    words: ChaCha20Rng,
}

impl Sampler {
    fn new(temperature_milli: u32, seed: u64) -> Self {
        Self { temperature_milli, words: ChaCha20Rng::from_seed(keccak256(seed.to_be_bytes()).0) }
    }

    /// Returns the id with the largest score, the lowest of equal ones. Logarithms are libm's in Rust, because the
    /// system's differ in their last bits.
    fn sample(&mut self, logits: &[f32]) -> u32 {
        let (mut best, mut best_score) = (0, f64::NEG_INFINITY);
        for (id, logit) in (0_u32..).zip(logits) {
            let mut score = f64::from(*logit);
            if self.temperature_milli > 0 {
                let uniform = (f64::from(self.words.next_u32()) + 0.5) / 4_294_967_296.0;
                score = score * 1_000.0 / f64::from(self.temperature_milli) - libm::log(-libm::log(uniform));
            }
            if score > best_score {
                (best, best_score) = (id, score);
            }
        }
        best
    }
}

/// Text out of tokens whose bytes may end inside a character.
#[derive(Default)]
struct Text {
    done: String,
    pending: Vec<u8>,
}

impl Text {
    /// Whether the text stays within the limit with these bytes, each of which may become a replacement character.
    fn fits(&self, bytes: &[u8], limit: usize) -> bool {
        self.done.len() + 3 * (self.pending.len() + bytes.len()) <= limit
    }

    /// Appends bytes and returns the whole characters that they complete. Bytes that no character can begin with become
    /// replacement characters; an incomplete character at the end is never part of the text.
    fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut delta = String::new();
        loop {
            match str::from_utf8(&self.pending) {
                Ok(valid) => {
                    delta.push_str(valid);
                    self.pending.clear();
                }
                Err(error) => {
                    let (valid, rest) = self.pending.split_at(error.valid_up_to());
                    delta.push_str(&String::from_utf8_lossy(valid));
                    if let Some(wrong) = error.error_len() {
                        delta.push(char::REPLACEMENT_CHARACTER);
                        self.pending = rest[wrong..].to_vec();
                        continue;
                    }
                    self.pending = rest.to_vec();
                }
            }
            self.done.push_str(&delta);
            return delta;
        }
    }
}

/// Computes the probe.
pub(crate) fn probe(kind: &Kind, vocabulary: &dyn Vocabulary, model: &mut dyn Model) -> eyre::Result<B256> {
    let mut results = Vec::new();
    for input in probe_inputs() {
        results.push(generate(kind, vocabulary, model, &input, &mut |_| true)?.result_hash());
    }
    Ok(kinds::probe(&results))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Letters, Script};

    fn run(input: &[u8]) -> Outcome {
        let kind = Kind::load(None).unwrap();
        generate(&kind, &Letters::default(), &mut Script::default(), input, &mut |_| true).unwrap()
    }

    fn input(max_tokens: u32, temperature_milli: u32, seed: u64) -> Vec<u8> {
        Input { prompt: "hello".to_owned(), max_tokens, temperature_milli, seed }.encode()
    }

    #[test]
    fn a_result_is_a_function_of_its_input() {
        assert_eq!(run(&input(100, 700, 3)), run(&input(100, 700, 3)));
        assert_ne!(run(&input(100, 700, 3)).answer, run(&input(100, 700, 4)).answer);
        // The seed has no part in greedy answers.
        assert_eq!(run(&input(100, 0, 3)).trace, run(&input(100, 0, 4)).trace);
        assert_ne!(run(&input(5, 0, 0)).result_hash(), run(&input(6, 0, 0)).result_hash());
    }

    #[test]
    fn every_byte_string_has_an_answer() {
        let valid = input(10, 0, 0);
        for (bytes, reason) in [
            (Vec::new(), "encoding"),
            (vec![0; 31], "encoding"),
            (vec![0xff; 8_192], "encoding"),
            (vec![0; 8_193], "input too long"),
            ([&valid[..], &[0; 32]].concat(), "encoding"),
            (input(0, 0, 0), "max tokens"),
            (input(513, 0, 0), "max tokens"),
            (input(1, 2_001, 0), "temperature"),
            ((Bytes::from(vec![0xff]), 1_u32, 0_u32, 0_u64).abi_encode_params(), "not UTF-8"),
            (Input { prompt: String::new(), max_tokens: 1, temperature_milli: 0, seed: 0 }.encode(), "no tokens"),
            (
                Input { prompt: "x".repeat(1_025), max_tokens: 1, temperature_milli: 0, seed: 0 }.encode(),
                "too many tokens",
            ),
        ] {
            let outcome = run(&bytes);
            assert_eq!((outcome.answer, outcome.trace), (format!("invalid: {reason}"), B256::ZERO));
        }
        assert_eq!(run(&valid).finish, Finish::Length);
    }

    #[test]
    fn a_reader_who_leaves_ends_the_answer_with_the_token_that_it_got() {
        let kind = Kind::load(None).unwrap();
        let mut read = String::new();
        let mut on_text = |text: &str| {
            read.push_str(text);
            read.len() < 3
        };
        let outcome =
            generate(&kind, &Letters::default(), &mut Script::default(), &input(100, 0, 0), &mut on_text).unwrap();
        assert_eq!(
            (outcome.finish, outcome.completion_tokens, outcome.answer.as_str()),
            (Finish::Cancelled, 3, &*read)
        );
    }

    #[test]
    fn text_is_handed_out_in_whole_characters() {
        let mut text = Text::default();
        let ship = "船".as_bytes();
        assert_eq!(text.push(&ship[..2]), "");
        assert_eq!(text.push(&[ship[2], b'a']), "船a");
        assert_eq!(text.push(&[0xff, b'b']), "\u{fffd}b");
        assert_eq!(text.push(&ship[..1]), "");
        assert_eq!(text.push(b"c"), "\u{fffd}c");
        assert_eq!(text.push(&ship[..1]), "");
        assert_eq!(text.done, "船a\u{fffd}b\u{fffd}c");
        assert!(text.fits(b"x", text.done.len() + 6) && !text.fits(b"x", text.done.len() + 5));
    }
}
