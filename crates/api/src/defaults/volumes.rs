//! Volumes.

use serde_json::{Value, json};

use super::container::{field_ref, resource_field_ref};
use super::{Object, child, fill, fill_text, items};

/// Readable by all, writable by the owner.
const FILE_MODE: i64 = 0o644;
const TOKEN_SECONDS: i64 = 3600;

pub(super) fn defaults(volume: &mut Object) {
    if !volume.iter().any(|(field, source)| field != "name" && !source.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = child(volume, source) {
            fill(source, "defaultMode", FILE_MODE);
        }
    }
    child(volume, "downwardAPI").into_iter().for_each(downward);
    if let Some(projected) = child(volume, "projected") {
        items(projected, "sources").for_each(projection);
    }
    if let Some(host) = child(volume, "hostPath") {
        fill(host, "type", "");
    }
    child(volume, "iscsi").into_iter().for_each(|iscsi| fill_text(iscsi, "iscsiInterface", "default"));
    let claim = child(volume, "ephemeral").and_then(|e| child(e, "volumeClaimTemplate"));
    if let Some(spec) = claim.and_then(|claim| child(claim, "spec")) {
        fill(spec, "volumeMode", "Filesystem");
    }
}

fn downward(source: &mut Object) {
    for item in items(source, "items") {
        child(item, "fieldRef").into_iter().for_each(field_ref);
        child(item, "resourceFieldRef").into_iter().for_each(resource_field_ref);
    }
}

fn projection(source: &mut Object) {
    child(source, "downwardAPI").into_iter().for_each(downward);
    if let Some(token) = child(source, "serviceAccountToken")
        && token.get("expirationSeconds").is_none_or(Value::is_null)
    {
        token.insert("expirationSeconds".to_owned(), TOKEN_SECONDS.into());
    }
}
