//! What the server fills in where the client left something out, as upstream's defaulting functions do.
//!
//! A default never overwrites: applying it twice changes nothing. What depends on other objects (a Service's addresses,
//! a pod's service account and priority) is admission, and not decided here.

use serde_json::{Map, Value};

pub(crate) mod apps;
pub(crate) mod batch;
mod container;
pub(crate) mod core;
pub(crate) mod limits;
pub(crate) mod network;
pub(crate) mod pod;
pub(crate) mod storage;
mod volumes;
pub(crate) mod workloads;

pub(crate) type Object = Map<String, Value>;

/// Sets `field` when it is absent or null.
fn fill(object: &mut Object, field: &str, value: impl Into<Value>) {
    if is_unset(object, field) {
        object.insert(field.to_owned(), value.into());
    }
}

/// Sets the text `field` when it is absent, null or empty.
fn fill_text(object: &mut Object, field: &str, value: &str) {
    if text(object, field).is_empty() {
        object.insert(field.to_owned(), value.into());
    }
}

/// Sets the number `field` when it is absent, null or zero.
fn fill_number(object: &mut Object, field: &str, value: i64) {
    if object.get(field).and_then(Value::as_i64).unwrap_or_default() == 0 {
        object.insert(field.to_owned(), value.into());
    }
}

fn is_unset(object: &Object, field: &str) -> bool {
    object.get(field).is_none_or(Value::is_null)
}

fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The object in `field`, when there is one.
fn child<'a>(object: &'a mut Object, field: &str) -> Option<&'a mut Object> {
    object.get_mut(field).and_then(Value::as_object_mut)
}

/// The object in `field`, made when there is none.
fn make<'a>(object: &'a mut Object, field: &str) -> Option<&'a mut Object> {
    fill(object, field, Map::new());
    child(object, field)
}

/// The objects of the list in `field`.
fn items<'a>(object: &'a mut Object, field: &str) -> impl Iterator<Item = &'a mut Object> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests;
