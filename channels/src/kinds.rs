//! What others than a node need to know of a kind: how inputs are encoded, how results are hashed, the probe, and the format
//! in which a daemon computes results again for programs of its own machine.

use alloy::{
    primitives::{B256, keccak256},
    sol_types::SolValue,
};
use serde::{Deserialize, Serialize};

/// Path, below a daemon's URL, of the kind file.
pub const KIND_PATH: &str = "/v1/kind";
/// Path, below the URL of a daemon that recomputes, to which the bytes of an input are posted.
pub const RECOMPUTE_PATH: &str = "/v1/recompute";
/// Name of the only template.
pub const TEMPLATE: &str = "smollm2";

/// An input of a kind. Its encoding is what a receipt and an audit name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The prompt, already rendered by the kind's template.
    pub prompt: String,
    /// The most tokens of the answer.
    pub max_tokens: u32,
    /// Temperature in thousandths.
    pub temperature_milli: u32,
    /// Seed of the tokens above temperature 0.
    pub seed: u64,
}

impl Input {
    /// Encodes the input.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        (self.prompt.clone(), self.max_tokens, self.temperature_milli, self.seed).abi_encode_params()
    }
}

/// What a daemon has computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recomputed {
    /// Id of the kind.
    pub kind: B256,
    /// Hash of the input.
    pub request_hash: B256,
    /// Hash of the result.
    pub result_hash: B256,
}

/// Renders a conversation of roles and texts by the template.
#[must_use]
pub fn render(messages: &[(&str, &str)]) -> String {
    let mut prompt = String::new();
    if messages.first().is_none_or(|(role, _)| *role != "system") {
        prompt +=
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n";
    }
    for (role, text) in messages {
        prompt += &format!("<|im_start|>{role}\n{text}<|im_end|>\n");
    }
    prompt + "<|im_start|>assistant\n"
}

/// Returns the hash of a result, as the contract computes it.
#[must_use]
pub fn result_hash(answer: &[u8], trace: B256) -> B256 {
    keccak256((keccak256(answer), trace).abi_encode())
}

/// Inputs of the probe: greedy and seeded ones, and bytes that are no input.
#[must_use]
pub fn probe_inputs() -> Vec<Vec<u8>> {
    let input = |prompt: &str, max_tokens, temperature_milli, seed| {
        Input { prompt: render(&[("user", prompt)]), max_tokens, temperature_milli, seed }.encode()
    };
    vec![
        input("What is a lighthouse?", 24, 0, 0),
        input("Write a short rhyme about rain.", 24, 800, 7),
        input("List three primes: 2, 3,", 16, 0, 0),
        input("Grüße aus Köln – was ist ein Schiff? 船", 16, 1_200, u64::MAX),
        input("Name a colour.", 8, 2_000, 1),
        input("x", 1, 1, 2),
        vec![0; 31],
        input("too many", 513, 0, 0),
    ]
}

/// Returns the probe: the hash of its inputs' results, in their order.
#[must_use]
pub fn probe(results: &[B256]) -> B256 {
    keccak256(results.concat())
}
