//! OpenAI's chat requests and answers, as far as they can be served without changing what was asked for.

use plimsoll_channels::kinds::render;
use serde_json::{Map, Value, json};

use crate::generation::{Finish, Input};

const DEFAULT_MAX_TOKENS: u64 = 128;
/// Parameters that would change the answer, with the values that ask for nothing.
const UNSUPPORTED: [&str; 14] = [
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
    "logprobs",
    "top_logprobs",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "logit_bias",
    "modalities",
    "prediction",
];

/// An answer with an error in OpenAI's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) param: Option<String>,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, param: None, message: message.into() }
    }

    fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: "invalid_value", param: Some(name.to_owned()), message: message.into() }
    }

    pub(crate) fn body(&self) -> Value {
        let kind = match self.status {
            402 => "payment_required",
            429 => "rate_limit_exceeded",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }
}

/// A chat request that is served as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChatRequest {
    pub(crate) input: Input,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

impl ChatRequest {
    /// Parses a request's body. Whatever would change the answer and cannot be done is refused by name, never ignored.
    pub(crate) fn parse(body: &[u8], model: &str, max_completion_tokens: u32) -> Result<Self, Refusal> {
        let body: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| Refusal::new(400, "invalid_json", format!("the body is not a JSON object: {error}")))?;
        let asked = body.get("model").and_then(Value::as_str).unwrap_or_default();
        if asked != model {
            let message = format!("the model {asked:?} is not served here; {model:?} is");
            return Err(Refusal { param: Some("model".to_owned()), ..Refusal::new(404, "model_not_found", message) });
        }
        for name in UNSUPPORTED {
            let is_neutral = match body.get(name) {
                None | Some(Value::Null | Value::Bool(false)) => true,
                Some(value) => match name {
                    "top_p" => value.as_f64() == Some(1.0),
                    "presence_penalty" | "frequency_penalty" => value.as_f64() == Some(0.0),
                    "response_format" => value["type"] == "text",
                    "tool_choice" | "function_call" => value == "none",
                    _ => value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty),
                },
            };
            if !is_neutral {
                let message = format!("{name} is not supported; leave it out");
                let refusal = Refusal::new(400, "unsupported_parameter", message);
                return Err(Refusal { param: Some(name.to_owned()), ..refusal });
            }
        }
        if number(&body, "n")?.unwrap_or(1) != 1 {
            return Err(Refusal { code: "unsupported_parameter", ..Refusal::parameter("n", "n is 1") });
        }
        let max_tokens = match number(&body, "max_completion_tokens")? {
            Some(tokens) => tokens,
            None => {
                number(&body, "max_tokens")?.unwrap_or_else(|| DEFAULT_MAX_TOKENS.min(max_completion_tokens.into()))
            }
        };
        let max_tokens =
            u32::try_from(max_tokens)
                .ok()
                .filter(|tokens| (1..=max_completion_tokens).contains(tokens))
                .ok_or_else(|| Refusal::parameter("max_completion_tokens", format!("1 to {max_completion_tokens}")))?;
        let temperature_milli = temperature(&body)?;
        let seed = number(&body, "seed")?;
        if temperature_milli > 0 && seed.is_none() {
            return Err(Refusal::parameter(
                "seed",
                "a temperature above 0 needs a seed, so that the answer can be checked",
            ));
        }
        let flag = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(false);
        Ok(Self {
            input: Input { prompt: prompt(&body)?, max_tokens, temperature_milli, seed: seed.unwrap_or(0) },
            stream: flag(body.get("stream")),
            include_usage: flag(body.get("stream_options").and_then(|options| options.get("include_usage"))),
        })
    }
}

fn number(body: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            value.as_u64().map(Some).ok_or_else(|| Refusal::parameter(name, format!("{value} is not a whole number")))
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared with its range before")]
fn temperature(body: &Map<String, Value>) -> Result<u32, Refusal> {
    let refused = || Refusal::parameter("temperature", "0 to 2, in steps of 0.001");
    match body.get("temperature") {
        None | Some(Value::Null) => Ok(0),
        Some(value) => {
            let milli = value.as_f64().ok_or_else(refused)? * 1_000.0;
            let is_step = (milli - milli.round()).abs() < 1e-6;
            if is_step && (0.0..=2_000.0).contains(&milli) { Ok(milli.round() as u32) } else { Err(refused()) }
        }
    }
}

fn prompt(body: &Map<String, Value>) -> Result<String, Refusal> {
    let refused = |message: &str| Refusal::parameter("messages", message);
    let messages = body.get("messages").and_then(Value::as_array).ok_or_else(|| refused("messages is a list"))?;
    let mut read = Vec::new();
    for message in messages {
        let role = match message["role"].as_str() {
            Some("developer") => "system",
            Some(role @ ("system" | "user" | "assistant")) => role,
            _ => return Err(refused("roles are system, user and assistant")),
        };
        let text = match &message["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                let part =
                    |part: &Value| if part["type"] == "text" { part["text"].as_str().map(str::to_owned) } else { None };
                let parts: Option<Vec<_>> = parts.iter().map(part).collect();
                parts.ok_or_else(|| refused("contents are text"))?.concat()
            }
            _ => return Err(refused("contents are text")),
        };
        // A message must not end itself and go on as somebody else.
        if text.contains("<|") {
            return Err(refused("messages cannot contain <|"));
        }
        read.push((role, text));
    }
    if read.is_empty() {
        return Err(refused("at least one message"));
    }
    let read: Vec<_> = read.iter().map(|(role, text)| (*role, text.as_str())).collect();
    Ok(render(&read))
}

/// An answer as it is kept for a client that lost it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) text: String,
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
    pub(crate) finish: String,
}

pub(crate) const fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length | Finish::Cancelled => "length",
    }
}

impl Answer {
    pub(crate) fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        })
    }

    pub(crate) fn body(&self) -> Value {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": self.text},
                "finish_reason": self.finish,
            }],
            "usage": self.usage(),
        })
    }

    /// A chunk of a stream, with these choices.
    pub(crate) fn chunk(id: &str, created: u64, model: &str, choices: Value) -> Value {
        json!({"id": id, "object": "chat.completion.chunk", "created": created, "model": model, "choices": choices})
    }

    /// The events of the whole answer.
    pub(crate) fn events(&self, include_usage: bool) -> String {
        let chunk = |choices| Self::chunk(&self.id, self.created, &self.model, choices);
        let delta = json!([{"index": 0, "delta": {"role": "assistant", "content": self.text}, "finish_reason": null}]);
        let mut events = event(&chunk(delta));
        events += &self.last_events(include_usage);
        events + DONE
    }

    /// The events after the text.
    pub(crate) fn last_events(&self, include_usage: bool) -> String {
        let chunk = |choices| Self::chunk(&self.id, self.created, &self.model, choices);
        let mut events = event(&chunk(json!([{"index": 0, "delta": {}, "finish_reason": self.finish}])));
        if include_usage {
            let mut usage = chunk(json!([]));
            usage["usage"] = self.usage();
            events += &event(&usage);
        }
        events
    }
}

pub(crate) const DONE: &str = "data: [DONE]\n\n";

pub(crate) fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &Value) -> Result<ChatRequest, Refusal> {
        ChatRequest::parse(body.to_string().as_bytes(), "m", 512)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body[name] = value;
        body
    }

    #[test]
    fn parameters_that_would_change_the_answer_are_refused_by_name() {
        for (name, value) in [
            ("tools", json!([{}])),
            ("response_format", json!({"type": "json_object"})),
            ("logprobs", json!(true)),
            ("top_p", json!(0.9)),
            ("presence_penalty", json!(1)),
            ("stop", json!(["x"])),
            ("n", json!(2)),
        ] {
            let refusal = parse(&with(name, value)).unwrap_err();
            assert_eq!((refusal.status, refusal.code), (400, "unsupported_parameter"));
            assert_eq!(refusal.param.as_deref(), Some(name));
        }
        for (name, value) in [
            ("top_p", json!(1)),
            ("user", json!("x")),
            ("store", json!(false)),
            ("tools", json!([])),
            ("stop", json!(null)),
        ] {
            assert!(parse(&with(name, value)).is_ok(), "{name}");
        }
        for (name, value) in [
            ("temperature", json!(0.0005)),
            ("temperature", json!(2.001)),
            ("temperature", json!(-1)),
            ("temperature", json!("hot")),
            ("max_tokens", json!(0)),
            ("max_tokens", json!(513)),
            ("max_tokens", json!(1.5)),
            ("seed", json!(-1)),
            ("messages", json!([])),
            ("temperature", json!(1)),
            ("messages", json!([{"role": "user", "content": "<|im_end|>"}])),
            ("messages", json!([{"role": "tool", "content": "x"}])),
            ("messages", json!([{"role": "user", "content": [{"type": "image_url"}]}])),
        ] {
            assert_eq!(parse(&with(name, value.clone())).unwrap_err().status, 400, "{name} {value}");
        }
        assert_eq!(parse(&with("model", json!("other"))).unwrap_err().status, 404);
    }

    #[test]
    fn temperatures_are_exact() {
        let mut body = with("temperature", json!(0.29));
        body["seed"] = json!(u64::MAX);
        let input = parse(&body).unwrap().input;
        assert_eq!((input.temperature_milli, input.seed, input.max_tokens), (290, u64::MAX, 128));
        assert!(input.prompt.ends_with("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"));
    }
}
