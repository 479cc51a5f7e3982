//! JSON patch as Kubernetes means it: RFC 6902, with negative indexes, and lenient where Go's library is.

use coracle_api::status::Status;
use serde_json::{Value, json};

/// More operations than this are too much for one patch.
const OPERATIONS_MAX: usize = 10_000;
/// What the `copy` operations of one patch may copy together, in bytes of JSON.
const COPIED_BYTES_MAX: usize = 3 << 20;
/// Items of lists that the operations of one patch may push aside, and things that they may move, together.
const MOVED_MAX: usize = 50_000_000;
/// How deep things may come to lie. No body is deeper, and what is much deeper cannot even be thrown away.
const DEPTH_MAX: usize = 120;

/// One operation, read leniently: what it lacks is found out when it is applied.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Value,
}

/// Reads a patch from its JSON.
pub(crate) fn parse(patch: &Value) -> Result<Vec<Operation>, Status> {
    let wrong = |found: &Value, expected: &str| {
        let found = super::go_word(found);
        let why = format!("error decoding patch: json: cannot unmarshal {found} into Go value of type {expected}");
        Status::bad_request(why)
    };
    let operations = match patch {
        Value::Null => return Ok(Vec::new()),
        Value::Array(operations) => operations,
        other => return Err(wrong(other, "[]handlers.jsonPatchOp")),
    };
    if operations.len() > OPERATIONS_MAX {
        let n = operations.len();
        let why = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {n}");
        return Err(Status::too_large(why));
    }
    let text = |operation: &Value, name: &str| operation.get(name).and_then(Value::as_str).map(str::to_owned);
    operations
        .iter()
        .map(|operation| match operation {
            Value::Object(_) => Ok(Operation {
                op: text(operation, "op").unwrap_or_default(),
                path: text(operation, "path"),
                from: text(operation, "from"),
                value: operation.get("value").cloned().unwrap_or(Value::Null),
            }),
            other => Err(wrong(other, "handlers.jsonPatchOp")),
        })
        .collect()
}

/// Applies every operation, or fails as a whole.
pub(crate) fn apply(document: &mut Value, operations: &[Operation]) -> Result<(), Status> {
    let refused = || Status::unprocessable("the server rejected our request due to an error in our request");
    let mut work = Work::default();
    operations.iter().try_for_each(|operation| step(document, operation, &mut work)).ok_or_else(refused)
}

/// What the operations of one patch have cost so far.
#[derive(Debug, Default)]
struct Work {
    n_copied: usize,
    n_moved: usize,
}

impl Work {
    /// Counts bytes to copy, unless they become too many.
    fn copy(&mut self, n_bytes: usize) -> Option<()> {
        self.n_copied += n_bytes;
        (self.n_copied <= COPIED_BYTES_MAX).then_some(())
    }

    /// Counts things to move, unless they become too many.
    fn push(&mut self, n: usize) -> Option<()> {
        self.n_moved += n;
        (self.n_moved <= MOVED_MAX).then_some(())
    }
}

/// Every place that the operations name, as a tree: what they went through is an object, what they put there is true.
pub(crate) fn touched(operations: &[Operation]) -> Value {
    let mut tree = json!({});
    let pointers = operations.iter().flat_map(|operation| operation.path.iter().chain(&operation.from));
    for pointer in pointers {
        let mut node = &mut tree;
        for part in pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")) {
            if !node.is_object() {
                *node = json!({});
            }
            node = &mut node[part];
        }
        if node.is_null() {
            *node = Value::Bool(true);
        }
    }
    tree
}

fn step(document: &mut Value, operation: &Operation, work: &mut Work) -> Option<()> {
    let path = operation.path.as_deref()?;
    match operation.op.as_str() {
        "add" => {
            check_depth(path, &operation.value)?;
            add(document, path, operation.value.clone(), work)
        }
        "remove" => remove(document, path, work).map(drop),
        "replace" => {
            check_depth(path, &operation.value)?;
            replace(document, path, operation.value.clone())
        }
        "move" => {
            let value = remove(document, operation.from.as_deref()?, work)?;
            work.push(check_depth(path, &value)?)?;
            add(document, path, value, work)
        }
        "copy" => {
            let value = get(document, operation.from.as_deref()?)?;
            work.copy(serde_json::to_vec(value).map_or(0, |json| json.len()))?;
            check_depth(path, value)?;
            let copied = value.clone();
            add(document, path, copied, work)
        }
        // What it is compared with came with the patch, and bounds the work.
        "test" => (get(document, path)? == &operation.value).then_some(()),
        _ => None,
    }
}

/// How many things `value` is made of; nothing, when it would lie too deep below `path`.
fn check_depth(path: &str, value: &Value) -> Option<usize> {
    fn count(value: &Value, depth_max: usize) -> Option<usize> {
        let below = |n: usize, value: &Value| Some(n + count(value, depth_max.checked_sub(1)?)?);
        match value {
            Value::Object(fields) => fields.values().try_fold(1, below),
            Value::Array(items) => items.iter().try_fold(1, below),
            _ => Some(1),
        }
    }
    count(value, DEPTH_MAX.checked_sub(path.split('/').count())?)
}

/// The place that a pointer names: what holds it, and its name there.
fn locate<'v>(document: &'v mut Value, pointer: &str) -> Option<(&'v mut Value, String)> {
    let mut parts = pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"));
    let mut name = parts.next()?;
    let mut container = document;
    for next in parts {
        container = match container {
            Value::Object(fields) => fields.get_mut(&name)?,
            Value::Array(items) => {
                let idx = index(&name, items.len(), items.len())?;
                items.get_mut(idx)?
            }
            _ => return None,
        };
        name = next;
    }
    matches!(container, Value::Object(_) | Value::Array(_)).then_some((container, name))
}

/// An index below `end`; a negative one counts from `length`.
fn index(text: &str, length: usize, end: usize) -> Option<usize> {
    let number: i64 = text.parse().ok()?;
    let from_end = if number < 0 { i64::try_from(length).ok()? } else { 0 };
    usize::try_from(number + from_end).ok().filter(|idx| *idx < end)
}

/// What a pointer names. A field that is not there is null.
fn get<'v>(document: &'v mut Value, pointer: &str) -> Option<&'v Value> {
    if pointer.is_empty() {
        return Some(document);
    }
    let (container, name) = locate(document, pointer)?;
    match container {
        Value::Object(fields) => Some(fields.get(&name).unwrap_or(&Value::Null)),
        Value::Array(items) => items.get(index(&name, items.len(), items.len())?),
        _ => None,
    }
}

fn add(document: &mut Value, pointer: &str, value: Value, work: &mut Work) -> Option<()> {
    let (container, name) = locate(document, pointer)?;
    match container {
        Value::Object(fields) => {
            fields.insert(name, value);
        }
        Value::Array(items) if name == "-" => items.push(value),
        Value::Array(items) => {
            let length = items.len() + 1;
            let idx = index(&name, length, length)?;
            work.push(length - idx)?;
            items.insert(idx, value);
        }
        _ => return None,
    }
    Some(())
}

fn replace(document: &mut Value, pointer: &str, value: Value) -> Option<()> {
    let (container, name) = locate(document, pointer)?;
    match container {
        Value::Object(fields) => {
            fields.insert(name, value);
        }
        Value::Array(items) => {
            let idx = index(&name, items.len(), items.len())?;
            items[idx] = value;
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, pointer: &str, work: &mut Work) -> Option<Value> {
    let (container, name) = locate(document, pointer)?;
    match container {
        Value::Object(fields) => fields.remove(&name),
        Value::Array(items) => {
            let idx = index(&name, items.len(), items.len())?;
            work.push(items.len() - idx)?;
            Some(items.remove(idx))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(document: Value, patch: Value) -> Result<Value, Status> {
        let mut document = document;
        apply(&mut document, &parse(&patch)?)?;
        Ok(document)
    }

    #[test]
    fn operations_do_what_the_standard_says() {
        let document = json!({"data": {"a": "1"}, "list": [1, 2], "x/y~": 0});
        let patch = json!([
            {"op": "test", "path": "/data/a", "value": "1"},
            {"op": "add", "path": "/data/b", "value": "2"},
            {"op": "add", "path": "/list/1", "value": 9},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "replace", "path": "/list/-1", "value": 4},
            {"op": "remove", "path": "/list/0"},
            {"op": "move", "from": "/data/a", "path": "/data/c"},
            {"op": "copy", "from": "/data/none", "path": "/data/d"},
            {"op": "replace", "path": "/x~1y~0", "value": 5},
            {"op": "replace", "path": "/fresh", "value": true},
        ]);
        assert_eq!(
            patched(document, patch).unwrap(),
            json!({"data": {"b": "2", "c": "1", "d": null}, "list": [9, 2, 4], "x/y~": 5, "fresh": true})
        );
    }

    #[test]
    fn an_operation_that_cannot_be_done_fails_the_patch() {
        for operation in [
            json!({"op": "add", "path": "/metadata/labels/x", "value": 1}),
            json!({"op": "remove", "path": "/data/none"}),
            json!({"op": "remove", "path": "/list/9"}),
            json!({"op": "add", "path": "/list/9", "value": 1}),
            json!({"op": "replace", "path": "/list/x", "value": 1}),
            json!({"op": "test", "path": "/data/a", "value": "2"}),
            json!({"op": "increase", "path": "/data/a"}),
            json!({"op": "add", "value": "2"}),
            json!({"op": "move", "path": "/data/y"}),
            json!({"op": "add", "path": "data/x/y", "value": 1}),
        ] {
            let status = patched(json!({"data": {"a": "1"}, "list": [1]}), json!([operation])).unwrap_err();
            assert_eq!(status.code, 422, "{operation}");
        }
    }

    #[test]
    fn what_is_no_list_of_operations_is_named_in_gos_words() {
        let message = |patch: Value| parse(&patch).unwrap_err().message;
        let go = "error decoding patch: json: cannot unmarshal";
        assert_eq!(message(json!({})), format!("{go} object into Go value of type []handlers.jsonPatchOp"));
        assert_eq!(message(json!([1])), format!("{go} number into Go value of type handlers.jsonPatchOp"));
        assert!(parse(&Value::Null).unwrap().is_empty());
    }

    #[test]
    fn what_is_moved_into_itself_again_and_again_does_not_become_deep_without_end() {
        let nest = |path: &str, from: &str, into: &str| {
            [
                json!({"op": "add", "path": path, "value": {}}),
                json!({"op": "move", "from": from, "path": into}),
                json!({"op": "move", "from": path, "path": from}),
            ]
        };
        let patch = |n: usize| Value::Array((0..n).flat_map(|_| nest("/x", "/a", "/x/y")).collect());
        assert!(patched(json!({"a": {}}), patch(50)).is_ok());
        assert_eq!(patched(json!({"a": {}}), patch(3000)).unwrap_err().code, 422);
    }

    #[test]
    fn copies_of_copies_come_to_an_end() {
        let copy = json!({"op": "copy", "from": "/a", "path": "/a/-"});
        let patch = Value::Array(vec![copy; 100]);
        assert_eq!(patched(json!({"a": ["some text"]}), patch).unwrap_err().code, 422);
    }

    #[test]
    fn what_is_tested_is_not_copied() {
        let mut document = json!({"a": {"b": "text"}});
        let place = document["a"]["b"].as_str().unwrap().as_ptr();
        assert_eq!(get(&mut document, "/a/b").unwrap().as_str().unwrap().as_ptr(), place);
        assert_eq!(get(&mut document, "/a/none"), Some(&Value::Null));
    }

    #[test]
    fn lists_are_not_pushed_about_without_end() {
        let mut document = json!({"list": vec![0; 1000]});
        for (operation, n_pushed) in [
            (json!({"op": "add", "path": "/list/0", "value": 0}), 1001),
            (json!({"op": "remove", "path": "/list/0"}), 1001),
            (json!({"op": "move", "from": "/list", "path": "/list"}), 1001),
        ] {
            let operation = parse(&json!([operation])).unwrap().remove(0);
            let mut work = Work { n_moved: MOVED_MAX - n_pushed, ..Work::default() };
            assert!(step(&mut document, &operation, &mut work).is_some(), "{operation:?}");
            assert_eq!(work.n_moved, MOVED_MAX);
            assert!(step(&mut document.clone(), &operation, &mut work).is_none(), "{operation:?}");
        }
    }

    #[test]
    fn what_is_put_below_what_was_put_does_not_become_deep_without_end() {
        for op in ["add", "replace"] {
            let patch = |n: usize| {
                let place = |n: usize| json!({"op": op, "path": "/a".repeat(n), "value": {"a": {}}});
                Value::Array((1..=n).map(place).collect())
            };
            assert!(patched(json!({}), patch(100)).is_ok());
            assert_eq!(patched(json!({}), patch(200)).unwrap_err().code, 422, "{op}");
        }
    }
}
