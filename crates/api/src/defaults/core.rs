//! Namespaces, nodes and secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{fill, fill_text, make, text};

/// The label that carries a namespace's name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(crate) fn namespace(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    if let Some(metadata) = make(object, "metadata") {
        let name = text(metadata, "name").to_owned();
        let labels = if name.is_empty() { None } else { make(metadata, "labels") };
        labels.into_iter().for_each(|labels| {
            labels.insert(NAME_LABEL.to_owned(), json!(name));
        });
    }
    make(object, "spec");
    make(object, "status").into_iter().for_each(|status| fill_text(status, "phase", "Active"));
}

/// What a node can give is all that it has, unless it says otherwise.
pub(crate) fn node(object: &mut Value) {
    let Some(status) = object.as_object_mut().and_then(|o| super::child(o, "status")) else { return };
    if let Some(capacity) = status.get("capacity").filter(|c| !c.is_null()).cloned() {
        fill(status, "allocatable", capacity);
    }
}

/// `stringData` is written into `data` and never stored.
pub(crate) fn secret(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    let plain = object.remove("stringData");
    if let Some(plain) = plain.as_ref().and_then(Value::as_object).filter(|p| !p.is_empty())
        && let Some(data) = make(object, "data")
    {
        for (key, value) in plain {
            data.insert(key.clone(), STANDARD.encode(value.as_str().unwrap_or_default()).into());
        }
    }
    fill_text(object, "type", "Opaque");
}
