//! Readable texts for revert data, with the names and values of the errors that our contracts declare.

use alloy::{
    dyn_abi::{DynSolValue, JsonAbiExt},
    hex,
    primitives::Bytes,
    sol_types::{Panic, Revert, SolError},
};

use crate::compile::Artifacts;

/// Returns a readable text for revert data.
#[must_use]
pub fn explain(artifacts: &Artifacts, data: &Bytes) -> String {
    if data.is_empty() {
        return "without a reason".to_owned();
    }
    if let Ok(revert) = Revert::abi_decode(data) {
        return revert.reason;
    }
    if let Ok(panic) = Panic::abi_decode(data) {
        return panic.to_string();
    }
    let errors = artifacts.iter().flat_map(|artifact| artifact.abi.errors());
    for error in errors {
        if data.starts_with(error.selector().as_slice())
            && let Ok(values) = error.abi_decode_input(&data[4..])
        {
            let named = error.inputs.iter().zip(&values);
            let fields: Vec<String> =
                named.map(|(param, value)| format!("{} = {}", param.name, format_value(value))).collect();
            return format!("{}({})", error.name, fields.join(", "));
        }
    }
    format!("an unknown error, 0x{}", hex::encode(data))
}

/// Formats a Solidity value for people.
#[must_use]
pub fn format_value(value: &DynSolValue) -> String {
    let list = |values: &[DynSolValue]| values.iter().map(format_value).collect::<Vec<_>>().join(", ");
    if let Some(fields) = value.as_fixed_seq().filter(|_| !matches!(value, DynSolValue::FixedArray(_))) {
        return format!("({})", list(fields));
    }
    match value {
        DynSolValue::Bool(flag) => flag.to_string(),
        DynSolValue::Int(number, _) => number.to_string(),
        DynSolValue::Uint(number, _) => number.to_string(),
        DynSolValue::Address(address) => address.to_string(),
        DynSolValue::String(text) => format!("\"{text}\""),
        DynSolValue::Bytes(bytes) => format!("0x{}", hex::encode(bytes)),
        DynSolValue::FixedBytes(word, size) => format!("0x{}", hex::encode(&word[..*size])),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) => format!("[{}]", list(values)),
        other => format!("{other:?}"),
    }
}
