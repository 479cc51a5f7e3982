//! Values as Go's `%v` prints them, for the errors that show one.

use serde_json::Value;

use super::Object;

pub(super) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => list(items),
        Value::Object(object) => map(object),
    }
}

pub(super) fn list(items: &[Value]) -> String {
    format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(" "))
}

pub(super) fn map(object: &Object) -> String {
    let members: Vec<String> = object.iter().map(|(name, member)| format!("{name}:{}", value(member))).collect();
    format!("map[{}]", members.join(" "))
}

/// A directive as `%s` prints it.
pub(super) fn directive(directive: &Value) -> String {
    match directive {
        Value::String(text) => text.clone(),
        other => format!("%!s({}={})", go_type(other), value(other)),
    }
}
