//! The order of merged lists: `$setElementOrder` first, then the patch's order, then the live list's.

use serde_json::Value;

use super::{DIRECTIVE, ORDER_PREFIX, Object, PatchError, Schema, directives, list, print};

/// Merges and orders every list that the patch gives an order for, and takes both out of the patch.
pub(super) fn apply(original: &mut Object, patch: &mut Object, schema: Schema<'_>) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|name| name.starts_with(ORDER_PREFIX)).cloned().collect();
    for directive in directives {
        let order = match patch.remove(&directive) {
            Some(Value::Array(order)) => order,
            other => return Err(wrong_type(other.as_ref())),
        };
        let name = directive[ORDER_PREFIX.len()..].strip_prefix('/').ok_or(PatchError::ElementOrder)?;
        if let Some(merged) = ordered(name, &order, original.get(name), patch.remove(name), schema)? {
            original.insert(name.to_owned(), Value::Array(merged));
        }
    }
    Ok(())
}

fn wrong_type(value: Option<&Value>) -> PatchError {
    PatchError::Type { expected: "[]interface {}", actual: value.map_or("<nil>", print::go_type) }
}

fn items(value: Option<&Value>) -> Result<Option<Vec<Value>>, PatchError> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        other => Err(wrong_type(other)),
    }
}

fn ordered(
    name: &str,
    order: &[Value],
    original: Option<&Value>,
    patch: Option<Value>,
    schema: Schema<'_>,
) -> Result<Option<Vec<Value>>, PatchError> {
    let (original, patch) = (items(original)?, items(patch.as_ref())?);
    let (schema, rules) = schema.member(name)?;
    let key = rules.key.as_deref();
    check(patch.as_deref().unwrap_or_default(), order, key)?;
    let live = original.clone().unwrap_or_default();
    let lists: [&[Value]; 2] = [&live, patch.as_deref().unwrap_or_default()];
    if original.is_none() && patch.is_none() {
        return Ok(None);
    }
    if lists.iter().all(|list| list.is_empty()) {
        return Err(PatchError::Order("no elements in any of the given slices".to_owned()));
    }
    list::of_maps(&lists)?;
    let merged = match (original, patch) {
        (Some(original), None) => original,
        (None, Some(patch)) => patch.into_iter().filter_map(directives::remove).collect(),
        (Some(original), Some(patch)) => list::merge_field(original, patch, schema, &rules)?,
        (None, None) => return Ok(None),
    };
    let (ours, others) = match key {
        Some(key) => partition(merged, order, key)?,
        None => merged.into_iter().partition(|item| order.contains(item)),
    };
    Ok(Some(interleave(ours, others, order, &live, key)))
}

/// The items of the patch must stand in the order's order.
fn check(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in patch {
        if key.is_some() && item.get(DIRECTIVE).is_some() {
            continue;
        }
        let mut found = false;
        for other in rest.by_ref() {
            if same(item, other, key)? {
                found = true;
                break;
            }
        }
        if !found {
            let (patch, order) = (print::list(patch), print::list(order));
            return Err(PatchError::Order(format!(
                "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
            )));
        }
    }
    Ok(())
}

fn same(left: &Value, right: &Value, key: Option<&str>) -> Result<bool, PatchError> {
    let Some(key) = key else { return Ok(left == right) };
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => Ok(list::key_of(left, key)? == list::key_of(right, key)?),
        (Value::Object(_), other) | (other, _) => {
            Err(PatchError::Type { expected: "map[string]interface {}", actual: print::go_type(other) })
        }
    }
}

/// Splits items into those that a list names and the others.
pub(super) fn partition(items: Vec<Value>, by: &[Value], key: &str) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for item in items {
        let Value::Object(object) = &item else {
            return Err(PatchError::Type { expected: "map[string]interface {}", actual: print::go_type(&item) });
        };
        match list::find(by, key, list::key_of(object, key)?)? {
            Some(_) => ours.push(item),
            None => others.push(item),
        }
    }
    Ok((ours, others))
}

/// Sorts the patch's items by its order and the others by the live list's, and merges the two without reordering either.
pub(super) fn interleave(
    mut ours: Vec<Value>,
    mut others: Vec<Value>,
    patch_order: &[Value],
    live_order: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    let index = |order: &[Value], item: &Value| match key {
        Some(key) => order.iter().position(|other| other.get(key) == item.get(key)),
        None => order.iter().position(|other| other == item),
    };
    ours.sort_by_key(|item| index(patch_order, item));
    others.sort_by_key(|item| index(live_order, item));
    let mut merged = Vec::with_capacity(ours.len() + others.len());
    let (mut ours, mut others) = (ours.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(mine), Some(other)) = (ours.peek(), others.peek()) {
        let first = match (index(live_order, other), index(live_order, mine)) {
            (Some(other), Some(mine)) => other < mine,
            (_, _) => false,
        };
        merged.extend(if first { others.next() } else { ours.next() });
    }
    merged.extend(others);
    merged.extend(ours);
    merged
}
