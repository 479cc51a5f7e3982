//! What creations and updates of core kinds may set, and what they cannot.

use serde_json::{Value, json};

use super::qos;
use crate::kind::{Part, drop_null, name_of};

mod pods;
mod service;

pub(super) use pods::{pod_create, pod_update};
pub(super) use service::{service_create, service_update};

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const FINALIZER: &str = "kubernetes";

/// Its contents are removed before a namespace goes.
pub(super) fn namespace_create(namespace: &mut Value) {
    let name = name_of(namespace).to_owned();
    if !name.is_empty() {
        namespace["metadata"]["labels"][NAME_LABEL] = json!(name);
    }
    namespace["status"] = json!({"phase": "Active"});
    let finalizers = &mut namespace["spec"]["finalizers"];
    if finalizers.is_null() {
        *finalizers = json!([]);
    }
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|f| f == FINALIZER)
    {
        finalizers.push(json!(FINALIZER));
    }
}

/// A namespace's finalizers change through their own endpoint only.
pub(super) fn namespace_update(new: &mut Value, old: &Value, part: Part) {
    if part == Part::Object {
        new["spec"]["finalizers"] = old["spec"]["finalizers"].clone();
        drop_null(&mut new["spec"], "finalizers");
    }
}
