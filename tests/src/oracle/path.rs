//! JMESPath over an answer.

use anyhow::{Result, anyhow};
use serde_json::Value;

/// What `path` finds in `body`.
pub(super) fn search(path: &str, body: &Value) -> Result<Value> {
    Ok(serde_json::to_value(&*found(path, body)?)?)
}

/// True when what `path` finds in `body` is neither false nor null nor empty.
pub(super) fn holds(path: &str, body: &Value) -> Result<bool> {
    // Zero is true in JMESPath, and was false to the recorder, which was a Python program.
    Ok(match search(path, body)? {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    })
}

fn found(path: &str, body: &Value) -> Result<jmespath::Rcvar> {
    let expression = jmespath::compile(path).map_err(|error| anyhow!("parse {path}: {error}"))?;
    expression.search(body).map_err(|error| anyhow!("evaluate {path}: {error}"))
}
