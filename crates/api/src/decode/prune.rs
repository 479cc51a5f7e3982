//! Drops what a custom resource's schema does not name, and says what it dropped.

use serde_json::Value;

use crate::schema::{Message, TypeRef};

/// Removes unknown fields and returns their paths, sorted: `spec.o.q`.
pub fn prune(object: &mut Value, message: &Message) -> Vec<String> {
    let mut dropped = Vec::new();
    prune_message(object, message, &mut String::new(), &mut dropped);
    dropped
}

fn within(path: &mut String, step: &str, inner: impl FnOnce(&mut String)) {
    let len = path.len();
    if !path.is_empty() && !step.starts_with('[') {
        path.push('.');
    }
    path.push_str(step);
    inner(path);
    path.truncate(len);
}

fn prune_message(value: &mut Value, message: &Message, path: &mut String, dropped: &mut Vec<String>) {
    let Value::Object(object) = value else { return };
    object.retain(|name, value| {
        let ty = match (message.field(name), &message.additional) {
            (Some(field), _) => &field.ty,
            (None, Some(ty)) => ty,
            (None, None) if message.preserve_unknown => return true,
            (None, None) => {
                within(path, name, |path| dropped.push(path.clone()));
                return false;
            }
        };
        within(path, name, |path| prune_value(value, ty, path, dropped));
        true
    });
}

fn prune_value(value: &mut Value, ty: &TypeRef, path: &mut String, dropped: &mut Vec<String>) {
    match ty {
        TypeRef::Message(link) => prune_message(value, link, path, dropped),
        TypeRef::List(list) => {
            for (idx, item) in value.as_array_mut().into_iter().flatten().enumerate() {
                within(path, &format!("[{idx}]"), |path| prune_value(item, &list.element, path, dropped));
            }
        }
        TypeRef::Map(map) => {
            for (key, item) in value.as_object_mut().into_iter().flatten() {
                within(path, key, |path| prune_value(item, &map.value, path, dropped));
            }
        }
        TypeRef::Scalar(_) | TypeRef::Either(..) | TypeRef::Any | TypeRef::Deduced => {}
    }
}
