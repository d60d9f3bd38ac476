//! Bodies of alerts: JSON templates with placeholders. Every target has one, and the known receivers' are here.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};

use super::{AlertFormat, Message};

/// Longest text that every known receiver takes; `PagerDuty` takes the fewest characters.
const MAX_SUMMARY_CHARS: usize = 1_000;

/// Names in braces that a template may have.
const PLACEHOLDERS: [&str; 15] = [
    "action",
    "at",
    "block",
    "chain_id",
    "chat_id",
    "dedup_key",
    "kind",
    "network",
    "over",
    "routing_key",
    "severity",
    "state",
    "subject",
    "summary",
    "text",
];

/// The body of the alerts for one target. A string that is one placeholder becomes its value, number or text; within
/// longer strings, placeholders are replaced by their text.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Value);

/// Values that a body takes from its target's settings, besides those of the alert.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TargetValues<'a> {
    /// Id of the Telegram chat that the message is posted to; empty for other services.
    pub(crate) chat_id: &'a str,
    /// Integration key of the `PagerDuty` service; empty for other services.
    pub(crate) routing_key: &'a str,
}

impl Template {
    /// Returns the body that a known receiver takes.
    #[must_use]
    pub fn of(format: AlertFormat) -> Self {
        let text = match format {
            AlertFormat::Json => {
                r#"{ "kind": "{kind}", "severity": "{severity}", "subject": "{subject}", "over": "{over}",
                     "text": "{text}", "dedup_key": "{dedup_key}", "network": "{network}", "chain_id": "{chain_id}",
                     "block": "{block}", "at": "{at}" }"#
            }
            AlertFormat::Slack => r#"{ "text": "{summary}" }"#,
            AlertFormat::Discord => r#"{ "content": "{summary}", "allowed_mentions": { "parse": [] } }"#,
            AlertFormat::Telegram => r#"{ "chat_id": "{chat_id}", "text": "{summary}" }"#,
            AlertFormat::PagerDuty => {
                r#"{ "routing_key": "{routing_key}", "event_action": "{action}", "dedup_key": "{dedup_key}",
                     "payload": { "summary": "{summary}", "source": "{network}", "severity": "{severity}",
                                  "component": "plimsoll-keeper", "class": "{kind}" } }"#
            }
        };
        // The texts above are JSON: a test fills each in.
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// Fills the template in.
    pub(crate) fn fill(&self, message: &Message, target: TargetValues<'_>) -> String {
        fill(&self.0, &|name| value_of(name, message, target)).to_string()
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let body = serde_json::from_str(text).map_err(|error| format!("a body must be JSON: {error}"))?;
        match unknown_placeholder(&body) {
            Some(name) => {
                Err(format!("a body has no placeholder {{{name}}}; there are {{{}}}", PLACEHOLDERS.join("}, {")))
            }
            None => Ok(Self(body)),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string())
    }
}

/// Part of a string in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// Splits a string at its placeholders, which are lower-case words in braces.
fn parts(mut text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let word = text[open + 1..].split_once('}').map(|(word, _)| word);
        match word.filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
            Some(word) => {
                parts.extend([Part::Text(&text[..open]), Part::Placeholder(word)]);
                text = &text[open + word.len() + 2..];
                from = 0;
            }
            None => from = open + 1,
        }
    }
    parts.push(Part::Text(text));
    parts.retain(|part| *part != Part::Text(""));
    parts
}

fn unknown_placeholder(body: &Value) -> Option<String> {
    match body {
        Value::String(text) => parts(text).into_iter().find_map(|part| match part {
            Part::Placeholder(name) if !PLACEHOLDERS.contains(&name) => Some(name.to_owned()),
            _ => None,
        }),
        Value::Array(values) => values.iter().find_map(unknown_placeholder),
        Value::Object(fields) => fields.values().find_map(unknown_placeholder),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn fill(body: &Value, value_of: &impl Fn(&str) -> Value) -> Value {
    match body {
        Value::String(text) => match parts(text).as_slice() {
            [Part::Placeholder(name)] => value_of(name),
            parts => Value::String(parts.iter().map(|part| text_of(*part, value_of)).collect()),
        },
        Value::Array(values) => values.iter().map(|value| fill(value, value_of)).collect(),
        Value::Object(fields) => {
            let filled = fields.iter().map(|(name, value)| (name.clone(), fill(value, value_of)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => body.clone(),
    }
}

fn text_of(part: Part<'_>, value_of: &impl Fn(&str) -> Value) -> String {
    match part {
        Part::Text(text) => text.to_owned(),
        Part::Placeholder(name) => match value_of(name) {
            Value::String(text) => text,
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        },
    }
}

/// The value of a placeholder. A template has no other names: it was checked when it was read.
fn value_of(name: &str, message: &Message, target: TargetValues<'_>) -> Value {
    let Message { kind, severity, subject, over, text, network, chain_id, block, at } = message;
    match name {
        "action" => if *over { "resolve" } else { "trigger" }.into(),
        "at" => (*at).into(),
        "block" => (*block).into(),
        "chain_id" => (*chain_id).into(),
        "chat_id" => target.chat_id.into(),
        "dedup_key" => format!("plimsoll-keeper/{chain_id}/{kind}/{subject}").into(),
        "kind" => kind.as_str().into(),
        "network" => network.as_str().into(),
        "over" => (*over).into(),
        "routing_key" => target.routing_key.into(),
        "severity" => severity.name().into(),
        "state" => if *over { "resolved" } else { severity.name() }.into(),
        "subject" => subject.as_str().into(),
        "summary" => summary(message).into(),
        "text" => text.as_str().into(),
        _ => Value::Null,
    }
}

/// One line for people, such as `[critical] mainnet: no new block since block 7`.
fn summary(message: &Message) -> String {
    let Message { severity, over, text, network, .. } = message;
    let (state, text) = match text.strip_prefix("resolved: ") {
        Some(text) if *over => ("resolved", text),
        _ => (severity.name(), text.as_str()),
    };
    format!("[{state}] {network}: {text}").chars().take(MAX_SUMMARY_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::Severity;

    const TARGET: TargetValues<'_> = TargetValues { chat_id: "-100", routing_key: "the key" };

    fn message(over: bool) -> Message {
        Message {
            kind: "stopped".into(),
            severity: Severity::Critical,
            subject: "safety".into(),
            over,
            text: if over { "resolved: \"{kind}\" is quoted" } else { "\"{kind}\" is quoted" }.into(),
            network: "mainnet".into(),
            chain_id: 1,
            block: Some(7),
            at: 1_800_000_000,
        }
    }

    fn filled(format: AlertFormat, over: bool) -> Value {
        serde_json::from_str(&Template::of(format).fill(&message(over), TARGET)).unwrap()
    }

    #[test]
    fn every_receiver_gets_the_body_that_it_takes() {
        let summary = "[critical] mainnet: \"{kind}\" is quoted";
        let key = "plimsoll-keeper/1/stopped/safety";
        assert_eq!(filled(AlertFormat::Slack, false), json!({ "text": summary }));
        assert_eq!(filled(AlertFormat::Discord, false)["content"], summary);
        assert_eq!(filled(AlertFormat::Telegram, false), json!({ "chat_id": "-100", "text": summary }));
        let event = filled(AlertFormat::PagerDuty, false);
        assert_eq!((&event["event_action"], &event["dedup_key"]), (&json!("trigger"), &json!(key)));
        assert_eq!((&event["routing_key"], &event["payload"]["severity"]), (&json!("the key"), &json!("critical")));
        let body = filled(AlertFormat::Json, false);
        assert_eq!((&body["over"], &body["block"], &body["at"]), (&json!(false), &json!(7), &json!(1_800_000_000)));
    }

    #[test]
    fn a_resolved_condition_has_the_key_of_the_alert_that_it_ends() {
        let (began, ended) = (filled(AlertFormat::PagerDuty, false), filled(AlertFormat::PagerDuty, true));
        assert_eq!((&ended["event_action"], &ended["dedup_key"]), (&json!("resolve"), &began["dedup_key"]));
        assert_eq!(filled(AlertFormat::Slack, true)["text"], "[resolved] mainnet: \"{kind}\" is quoted");
    }

    #[test]
    fn every_placeholder_has_a_value_and_no_other_is_accepted() {
        for name in PLACEHOLDERS {
            assert_ne!(value_of(name, &message(false), TARGET), Value::Null, "{name}");
        }
        let own: Template = r#"{ "msg": ["{severity} {at}", 1, "a { b } {} c"] }"#.parse().unwrap();
        let body = own.fill(&message(false), TARGET);
        assert_eq!(body, r#"{"msg":["critical 1800000000",1,"a { b } {} c"]}"#);
        let refused = r#"{ "a": [{ "b": "x {severty}" }] }"#.parse::<Template>().unwrap_err();
        assert!(refused.contains("{severty}") && refused.contains("{severity}"), "{refused}");
        assert!("not JSON".parse::<Template>().is_err());
    }
}
