//! Volumes that outlive pods: what a pod asks for, and what a cluster has.

use serde_json::{Value, json};

use crate::kind::{Hooks, Kind, Part};
use crate::kinds::{row, status, strings};
use crate::{columns, defaults, validation};

const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";

pub(super) fn persistent_volume_claim() -> Kind {
    Kind {
        short_names: strings(&["pvc"]),
        subresources: vec![status("PersistentVolumeClaim", "")],
        columns: columns::storage::claim(),
        hooks: Hooks {
            defaults: defaults::storage::claim,
            prepare_create: create_claim,
            prepare_update: update_claim,
            validate: validation::claims::claim,
            validate_update: validation::claims::claim_update,
            ..Hooks::default()
        },
        empty_status: Some(json!({"phase": "Pending"})),
        returns_deleted: true,
        ..row("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
    }
}

pub(super) fn persistent_volume() -> Kind {
    Kind {
        namespaced: false,
        short_names: strings(&["pv"]),
        subresources: vec![status("PersistentVolume", "")],
        columns: columns::storage::volume(),
        hooks: Hooks {
            defaults: defaults::storage::volume,
            prepare_create: create_volume,
            prepare_update: update_volume,
            validate: validation::persistent_volumes::volume,
            validate_update: validation::persistent_volumes::volume_update,
            ..Hooks::default()
        },
        empty_status: Some(json!({"phase": "Pending"})),
        returns_deleted: true,
        ..row("", "v1", "PersistentVolume", "persistentvolumes")
    }
}

/// What is in use is not removed: somebody has to take this finalizer away first.
fn protect(object: &mut Value, finalizer: &str) {
    let finalizers = &mut object["metadata"]["finalizers"];
    if finalizers.is_null() {
        *finalizers = json!([]);
    }
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|present| present == finalizer)
    {
        finalizers.push(json!(finalizer));
    }
}

fn create_claim(claim: &mut Value) {
    protect(claim, CLAIM_PROTECTION);
    data_sources(&mut claim["spec"]);
}

fn update_claim(new: &mut Value, _: &Value, part: Part) {
    if part == Part::Object {
        data_sources(&mut new["spec"]);
    }
}

/// The older of the two fields knows claims and snapshots only; both say the same.
fn data_sources(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else { return };
    if spec.get("dataSource").is_some_and(|source| !is_known_source(source)) {
        spec.remove("dataSource");
    }
    let find = |field: &str| spec.get(field).filter(|source| !source.is_null()).cloned();
    match (find("dataSource"), find("dataSourceRef")) {
        (Some(source), None) => drop(spec.insert("dataSourceRef".to_owned(), source)),
        (None, Some(reference)) if reference["namespace"].as_str().unwrap_or_default().is_empty() => {
            spec.insert("dataSource".to_owned(), reference);
        }
        (None, None) | (Some(_), Some(_)) | (None, Some(_)) => {}
    }
}

fn is_known_source(source: &Value) -> bool {
    let text = |field: &str| source[field].as_str().unwrap_or_default();
    matches!(
        (text("apiGroup"), text("kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    )
}

fn create_volume(volume: &mut Value) {
    protect(volume, VOLUME_PROTECTION);
    let created = volume["metadata"]["creationTimestamp"].clone();
    if created.is_string() {
        volume["status"]["lastPhaseTransitionTime"] = created;
    }
}

/// Whoever reports a phase need not say since when: it is known when it did not change.
fn update_volume(new: &mut Value, old: &Value, part: Part) {
    let is_same = new["status"]["phase"] == old["status"]["phase"];
    let since = &old["status"]["lastPhaseTransitionTime"];
    if part == Part::Status && is_same && since.is_string() {
        new["status"]["lastPhaseTransitionTime"] = since.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fields_of_a_data_source_say_the_same() {
        let claim = json!({"kind": "PersistentVolumeClaim", "name": "a"});
        let mut spec = json!({"dataSource": claim});
        data_sources(&mut spec);
        assert_eq!(spec["dataSourceRef"], claim);
        let mut spec = json!({"dataSource": {"kind": "Odd", "name": "a"}});
        data_sources(&mut spec);
        assert_eq!(spec, json!({}));
        let mut spec = json!({"dataSourceRef": {"kind": "Odd", "name": "a", "namespace": "b"}});
        data_sources(&mut spec);
        assert!(spec.get("dataSource").is_none());
    }
}
