//! JSON-RPC as far as whoever stands between a caller and a node has to understand it.

use serde_json::{Value, json};

/// geth's code for whatever has no code of its own.
pub(crate) const SERVER_ERROR: i64 = -32000;

/// What JSON-RPC says of a message that cannot be read.
const PARSE_ERROR: i64 = -32700;

/// What a node says: a result, or an error object.
pub(crate) type Reply = Result<Value, Value>;

/// One call.
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

    /// One of the parameters, null where it was left out.
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

    /// The answer to this request.
    pub(crate) fn answered(&self, reply: Reply) -> Value {
        match reply {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": self.id, "result": result }),
            Err(error) => json!({ "jsonrpc": "2.0", "id": self.id, "error": error }),
        }
    }
}

/// What arrives at once: a call, or a batch of them.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) requests: Vec<Request>,
    is_batch: bool,
}

impl Message {
    /// None where it is not JSON-RPC.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        match serde_json::from_slice(text).ok()? {
            Value::Array(values) => {
                let requests = values.iter().map(Request::read).collect::<Option<_>>()?;
                Some(Self { requests, is_batch: true })
            }
            value => Some(Self { requests: vec![Request::read(&value)?], is_batch: false }),
        }
    }

    /// The only call, where it is no batch.
    pub(crate) fn single(&self) -> Option<&Request> {
        self.requests.first().filter(|_| !self.is_batch)
    }

    /// The answers in the form of the question.
    pub(crate) fn answered(&self, mut answers: Vec<Value>) -> Value {
        if self.is_batch { Value::Array(answers) } else { answers.pop().unwrap_or_default() }
    }
}

pub(crate) fn error(code: i64, message: impl Into<String>) -> Value {
    json!({ "code": code, "message": message.into() })
}

/// What a node says to a message that it cannot read.
pub(crate) fn unreadable() -> Value {
    json!({ "jsonrpc": "2.0", "id": null, "error": error(PARSE_ERROR, "parse error") })
}

/// A number as nodes write it.
pub(crate) fn quantity(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}

/// A number that a node or a caller wrote, if it is one.
pub(crate) fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}
