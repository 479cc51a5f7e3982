//! The smallest strategic merge patch that turns the status in the API into the one that is wanted. Pure; touches only
//! what the node owns.

use serde_json::{Map, Value, json};

const OWNED: [&str; 11] = [
    "phase",
    "reason",
    "message",
    "observedGeneration",
    "startTime",
    "hostIP",
    "podIP",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "resize",
];
/// Lists that a strategic merge patch merges by a key.
const MERGED: [(&str, &str); 3] = [("hostIPs", "ip"), ("podIPs", "ip"), ("conditions", "type")];

/// What to send so that `known` becomes `wanted`; `None` when there is nothing to do.
pub(super) fn between(known: &Value, wanted: &Value) -> Option<Value> {
    let mut patch = Map::new();
    for field in OWNED {
        let (old, new) = (&known[field], &wanted[field]);
        if old != new {
            patch.insert(field.to_owned(), new.clone());
        }
    }
    for (field, key) in MERGED {
        let items = merged(&known[field], &wanted[field], key, field != "conditions");
        if !items.is_empty() {
            patch.insert(field.to_owned(), Value::Array(items));
        }
    }
    if patch.is_empty() { None } else { Some(Value::Object(patch)) }
}

/// What is new or different, and, where the node owns the whole list, what is gone.
fn merged(known: &Value, wanted: &Value, key: &str, owns_all: bool) -> Vec<Value> {
    let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let (known, wanted) = (items(known), items(wanted));
    let mut patch: Vec<Value> =
        wanted.iter().filter(|item| !known.contains(item)).map(|item| whole(item, &known, key)).collect();
    if owns_all {
        let gone = known.iter().filter(|old| !wanted.iter().any(|new| new[key] == old[key]));
        patch.extend(gone.map(|old| json!({"$patch": "delete", key: old[key]})));
    }
    patch
}

/// An item that also takes back the fields that its former self had.
fn whole(item: &Value, known: &[Value], key: &str) -> Value {
    let mut item = item.clone();
    let former = known.iter().find(|old| old[key] == item[key]).and_then(Value::as_object);
    if let Some(fields) = item.as_object_mut() {
        for field in former.into_iter().flatten().map(|(field, _)| field) {
            fields.entry(field.clone()).or_insert(Value::Null);
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_sent() {
        let known = json!({"phase": "Pending", "podIP": "1", "qosClass": "BestEffort", "message": "m"});
        assert_eq!(between(&known, &json!({"phase": "Pending", "podIP": "1", "message": "m"})), None);
        assert_eq!(
            between(&known, &json!({"phase": "Running", "podIP": "1"})),
            Some(json!({"phase": "Running", "message": null}))
        );
    }

    #[test]
    fn conditions_of_others_are_left_alone() {
        let known = json!({"conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m"},
        ]});
        let wanted = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let expected = json!({"conditions": [{"type": "Ready", "status": "True", "reason": null, "message": null}]});
        assert_eq!(between(&known, &wanted), Some(expected));
    }

    #[test]
    fn addresses_that_are_gone_are_taken_back() {
        let known = json!({"podIPs": [{"ip": "1"}]});
        let wanted = json!({"podIPs": [{"ip": "2"}]});
        let expected = json!({"podIPs": [{"ip": "2"}, {"$patch": "delete", "ip": "1"}]});
        assert_eq!(between(&known, &wanted), Some(expected));
    }
}
