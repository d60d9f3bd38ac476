//! Holds JSON to the part of JSON Schema that the keeper's API uses.

use eyre::{ContextCompat, bail, ensure};
use serde_json::Value;

/// Checks a value against a schema within an OpenAPI document. Fails with the place that differs. Properties that the
/// schema does not name are an error, so that it names all.
pub(super) fn check(document: &Value, schema: &Value, value: &Value, place: &str) -> eyre::Result<()> {
    if let Some(name) = schema["$ref"].as_str() {
        let found = document.pointer(name.trim_start_matches('#')).wrap_err_with(|| format!("no {name}"))?;
        return check(document, found, value, place);
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        let fits = |schema: &Value| check(document, schema, value, place).is_ok();
        ensure!(alternatives.iter().any(fits), "{place}: {value} is none of {schema}");
        return Ok(());
    }
    if let Some(all) = schema["allOf"].as_array() {
        // Together they name all properties.
        let mut properties = serde_json::Map::new();
        for part in all {
            let part = match part["$ref"].as_str() {
                Some(name) => document.pointer(name.trim_start_matches('#')).wrap_err_with(|| format!("no {name}"))?,
                None => part,
            };
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        }
        return check(document, &serde_json::json!({ "type": "object", "properties": properties }), value, place);
    }
    if let Some(known) = schema["enum"].as_array() {
        ensure!(known.contains(value), "{place}: {value} is none of {known:?}");
        return Ok(());
    }
    let fits = match schema["type"].as_str() {
        Some("object") => return check_object(document, schema, value, place),
        Some("array") => {
            let items = value.as_array().wrap_err_with(|| format!("{place}: {value} is no array"))?;
            for (index, item) in items.iter().enumerate() {
                check(document, &schema["items"], item, &format!("{place}[{index}]"))?;
            }
            return Ok(());
        }
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        // Programs in JavaScript read integers up to 2^53 exactly.
        Some("integer") => value.as_i64().is_some_and(|number| number.unsigned_abs() <= 1 << 53),
        Some("null") => value.is_null(),
        other => bail!("{place}: the schema has the type {other:?}"),
    };
    ensure!(fits, "{place}: {value} is not as {schema} says");
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        ensure!(matches(pattern, text), "{place}: \"{text}\" does not match {pattern}");
    }
    Ok(())
}

fn check_object(document: &Value, schema: &Value, value: &Value, place: &str) -> eyre::Result<()> {
    let object = value.as_object().wrap_err_with(|| format!("{place}: {value} is no object"))?;
    let properties = schema["properties"].as_object().wrap_err_with(|| format!("{place}: no properties"))?;
    for (name, property) in properties {
        let found = object.get(name).wrap_err_with(|| format!("{place}: {name} is missing"))?;
        check(document, property, found, &format!("{place}.{name}"))?;
    }
    let unnamed: Vec<_> = object.keys().filter(|name| !properties.contains_key(*name)).collect();
    ensure!(unnamed.is_empty(), "{place}: the schema does not name {unnamed:?}");
    Ok(())
}

/// Matches the patterns that the schema uses: hexadecimal numbers of a length, decimal numbers, dates.
fn matches(pattern: &str, text: &str) -> bool {
    let is_hex = |digits: usize| {
        text.strip_prefix("0x").is_some_and(|hex| hex.len() == digits && hex.chars().all(|c| c.is_ascii_hexdigit()))
    };
    let is_decimal = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        [whole, fraction].iter().all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
    };
    match pattern {
        "^0x[0-9a-fA-F]{40}$" => is_hex(40),
        "^0x[0-9a-f]{64}$" => is_hex(64),
        "^[0-9]+$" => is_decimal(text) && !text.contains('.'),
        "^[0-9]+(\\.[0-9]+)?$" => is_decimal(text),
        "^-?[0-9]+(\\.[0-9]+)?$" => is_decimal(text.trim_start_matches('-')),
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" => text.len() == 10 && text.split('-').count() == 3,
        _ => false,
    }
}

#[test]
fn what_is_not_in_the_schema_is_noticed() {
    let schema = serde_json::json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    let fits = |value: Value| check(&Value::Null, &schema, &value, "").is_ok();
    assert!(fits(serde_json::json!({ "n": 1 })));
    for wrong in [
        serde_json::json!({}),
        serde_json::json!({ "n": "1" }),
        serde_json::json!({ "n": 1, "m": 2 }),
        serde_json::json!({ "n": u64::MAX }),
    ] {
        assert!(!fits(wrong.clone()), "{wrong}");
    }
    assert!(matches("^0x[0-9a-f]{64}$", &format!("0x{}", "0".repeat(64))) && !matches("^[0-9]+(\\.[0-9]+)?$", "1."));
}
