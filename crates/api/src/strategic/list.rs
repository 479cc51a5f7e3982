//! Merges lists: of scalars as sets, of maps by their merge key.

use serde_json::Value;

use super::{DIRECTIVE, Object, PatchError, Schema, merge_map, order, print};
use crate::schema::Patch;

/// Merges a list field by its strategy: without one, the patch replaces it.
pub(super) fn merge_field(
    original: Vec<Value>,
    patch: Vec<Value>,
    schema: Schema<'_>,
    rules: &Patch,
) -> Result<Vec<Value>, PatchError> {
    if rules.merge { merge(original, patch, schema, rules, false) } else { Ok(patch) }
}

pub(super) fn merge(
    original: Vec<Value>,
    patch: Vec<Value>,
    schema: Schema<'_>,
    rules: &Patch,
    deletes: bool,
) -> Result<Vec<Value>, PatchError> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    if !of_maps(&[&original, &patch])? {
        if deletes {
            return Ok(original.into_iter().filter(|item| !patch.contains(item)).collect());
        }
        let merged = union(&original, &patch);
        let (ours, others) = merged.into_iter().partition(|item| patch.contains(item));
        return Ok(order::interleave(ours, others, &patch, &original, None));
    }
    let Some(key) = rules.key.as_deref() else { return Err(PatchError::NoDeclaredKey(schema.name())) };
    let (original, patch) = apply_directives(original, patch, key)?;
    let merged = merge_maps(original.clone(), &patch, key, schema)?;
    let (ours, others) = order::partition(merged, &patch, key)?;
    Ok(order::interleave(ours, others, &patch, &original, Some(key)))
}

/// Whether the items are maps. They must all be of one kind, and none may be a list.
pub(super) fn of_maps(lists: &[&[Value]]) -> Result<bool, PatchError> {
    let mut items = lists.iter().flat_map(|list| list.iter());
    let Some(first) = items.next() else { return Ok(false) };
    let expected = print::go_type(first);
    if first.is_array() {
        return Err(PatchError::ListOfLists);
    }
    for item in items {
        let actual = print::go_type(item);
        if item.is_array() {
            return Err(PatchError::ListOfLists);
        }
        if actual != expected {
            let lists: Vec<String> = lists.iter().map(|list| print::list(list)).collect();
            let text = format!("list element types are not identical: [{}]", lists.join(" "));
            return Err(PatchError::Order(text));
        }
    }
    Ok(first.is_object())
}

fn union(original: &[Value], patch: &[Value]) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
    for item in original.iter().chain(patch) {
        if !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    merged
}

/// Deletes what the patch's items say and tells whether the whole list is to be replaced.
fn apply_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (mut rest, mut replace) = (Vec::with_capacity(patch.len()), false);
    for item in patch {
        let Value::Object(object) = &item else { continue };
        let Some(directive) = object.get(DIRECTIVE) else {
            rest.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let value = key_of(object, key)?;
                while let Some(idx) = find(&original, key, value)? {
                    original.remove(idx);
                }
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(PatchError::MergeDirective),
            _ => return Err(PatchError::UnknownDirective { ty: print::directive(directive), map: print::map(object) }),
        }
    }
    Ok(if replace { (rest, Vec::new()) } else { (original, rest) })
}

fn merge_maps(
    mut original: Vec<Value>,
    patch: &[Value],
    key: &str,
    schema: Schema<'_>,
) -> Result<Vec<Value>, PatchError> {
    for item in patch {
        let Value::Object(object) = item else { continue };
        match find(&original, key, key_of(object, key)?)? {
            Some(idx) => {
                let Value::Object(old) = original[idx].take() else { return Err(PatchError::NotAMap(idx)) };
                original[idx] = Value::Object(merge_map(old, object.clone(), schema)?);
            }
            None => original.push(item.clone()),
        }
    }
    Ok(original)
}

pub(super) fn key_of<'o>(object: &'o Object, key: &str) -> Result<&'o Value, PatchError> {
    object.get(key).ok_or_else(|| PatchError::NoMergeKey { map: print::map(object), key: key.to_owned() })
}

/// The place of the item whose key has a value.
pub(super) fn find(items: &[Value], key: &str, value: &Value) -> Result<Option<usize>, PatchError> {
    for (idx, item) in items.iter().enumerate() {
        let Value::Object(object) = item else { return Err(PatchError::NotAMap(idx)) };
        if object.get(key) == Some(value) {
            return Ok(Some(idx));
        }
    }
    Ok(None)
}
