//! The parts of JSON-RPC that a proxy has to understand.

use serde_json::{Value, json};

/// geth's error code for errors without a code of their own.
pub(crate) const SERVER_ERROR: i64 = -32000;

/// JSON-RPC's error code for a message that cannot be parsed.
const PARSE_ERROR: i64 = -32700;

/// The result of a call, or its error object.
pub(crate) type Reply = Result<Value, Value>;

/// A call.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    id: Value,
    pub(crate) method: String,
    pub(crate) params: Vec<Value>,
}

impl Request {
    pub(crate) fn new(method: &str, params: Vec<Value>) -> Self {
        Self { id: json!(0), method: method.to_owned(), params }
    }

    fn read(value: &Value) -> Option<Self> {
        let params = value.get("params").and_then(Value::as_array).cloned().unwrap_or_default();
        let id = value.get("id").cloned().unwrap_or_default();
        Some(Self { id, method: value.get("method")?.as_str()?.to_owned(), params })
    }

    /// Returns a parameter; null where it is missing.
    pub(crate) fn param(&self, position: usize) -> &Value {
        self.params.get(position).unwrap_or(&Value::Null)
    }

    pub(crate) fn set_param(&mut self, position: usize, value: Value) {
        if self.params.len() <= position {
            self.params.resize(position + 1, Value::Null);
        }
        self.params[position] = value;
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.id, "method": self.method, "params": self.params })
    }

    /// Returns the response to this request.
    pub(crate) fn answered(&self, reply: Reply) -> Value {
        match reply {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": self.id, "result": result }),
            Err(error) => json!({ "jsonrpc": "2.0", "id": self.id, "error": error }),
        }
    }
}

/// A message: a call, or a batch of calls.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) requests: Vec<Request>,
    is_batch: bool,
}

impl Message {
    /// Parses a message; none where it is not JSON-RPC.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        match serde_json::from_slice(text).ok()? {
            Value::Array(values) => {
                let requests = values.iter().map(Request::read).collect::<Option<_>>()?;
                Some(Self { requests, is_batch: true })
            }
            value => Some(Self { requests: vec![Request::read(&value)?], is_batch: false }),
        }
    }

    /// Returns the call of a message that is not a batch.
    pub(crate) fn single(&self) -> Option<&Request> {
        self.requests.first().filter(|_| !self.is_batch)
    }

    /// Returns the responses as one document: an array for a batch.
    pub(crate) fn answered(&self, mut answers: Vec<Value>) -> Value {
        if self.is_batch { Value::Array(answers) } else { answers.pop().unwrap_or_default() }
    }
}

pub(crate) fn error(code: i64, message: impl Into<String>) -> Value {
    json!({ "code": code, "message": message.into() })
}

/// Returns the response to a message that cannot be parsed.
pub(crate) fn unreadable() -> Value {
    json!({ "jsonrpc": "2.0", "id": null, "error": error(PARSE_ERROR, "parse error") })
}

/// Formats a number as a JSON-RPC quantity.
pub(crate) fn quantity(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}

/// Parses a JSON-RPC quantity; none where it is something else.
pub(crate) fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}
