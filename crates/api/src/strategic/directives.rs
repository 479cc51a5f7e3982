//! Directives that need no schema: retained keys, and the removal of directives from values that are only copied.

use serde_json::Value;

use super::{DELETE_PREFIX, DIRECTIVE, ORDER_PREFIX, Object, PatchError, RETAIN_KEYS};

/// Clears the keys of the original that `$retainKeys` does not name.
pub(super) fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = directive else { return Err(PatchError::RetainKeys) };
    let retained = |name: &str| keys.iter().any(|key| key == name);
    for (name, value) in &*patch {
        let exempt = value.is_null() || name.starts_with(DELETE_PREFIX) || name.starts_with(ORDER_PREFIX);
        if !exempt && !retained(name) {
            return Err(PatchError::RetainKeys);
        }
    }
    original.retain(|name, _| retained(name));
    Ok(())
}

/// Drops members that are null, at every depth.
pub(super) fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The value without what directives stand for; nothing where it is a directive itself.
pub(super) fn remove(value: Value) -> Option<Value> {
    match value {
        Value::Object(object) if object.contains_key(DIRECTIVE) => None,
        Value::Object(object) => {
            Some(object.into_iter().filter_map(|(name, value)| Some((name, remove(value)?))).collect::<Object>().into())
        }
        Value::Array(items) => Some(items.into_iter().filter_map(remove).collect()),
        scalar => Some(scalar),
    }
}
