//! Taking over from kubectl's client-side apply, which keeps its last configuration in an annotation.

use serde_json::Value;

use super::{compare, conflict::Conflicts, metadata, typed};
use crate::schema::Message;

/// The one manager that may take over.
pub(super) const MANAGER: &str = "kubectl";

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All annotations of an object together are no larger.
const ANNOTATIONS_SIZE_MAX: usize = 256 * 1024;

/// The conflicts that the last client-side apply does not excuse: it owned what still has the value that it gave.
pub(super) fn unexpected(conflicts: Conflicts, live: &Value, api_version: &str, message: &Message) -> Conflicts {
    let text = live.get("metadata").and_then(|metadata| metadata.get("annotations")?.get(ANNOTATION)?.as_str());
    let Some(last) = text.and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return conflicts };
    if last.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return conflicts;
    }
    let comparison = compare::objects(&last, live, message);
    let owned = typed::field_set(&last, message)
        .difference(&comparison.modified)
        .difference(&comparison.added)
        .difference(&comparison.removed);
    Conflicts(conflicts.0.into_iter().filter(|conflict| !owned.has(&conflict.path.0)).collect())
}

/// Keeps the annotation of an object that has one up with what was applied.
pub(super) fn renew(object: &mut Value, config: &Value) {
    let annotations = metadata(object).and_then(|metadata| metadata.get_mut("annotations")?.as_object_mut());
    let Some(annotations) = annotations else { return };
    if annotations.get(ANNOTATION).and_then(Value::as_str).is_none_or(str::is_empty) {
        return;
    }
    let mut config = config.clone();
    if let Some(annotations) =
        metadata(&mut config).and_then(|metadata| metadata.get_mut("annotations")?.as_object_mut())
    {
        annotations.remove(ANNOTATION);
    }
    annotations.insert(ANNOTATION.to_owned(), format!("{config}\n").into());
    let size: usize = annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if size > ANNOTATIONS_SIZE_MAX {
        annotations.remove(ANNOTATION);
    }
}
