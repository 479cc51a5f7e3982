//! Persistent volumes.

use serde_json::Value;

use super::{Cursor, Errors, FieldError, affinity, claims, common, go_text, resource_names, volume_sources};
use crate::kind::Part;
use crate::names;

/// The sources in the order in which they are looked at.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

pub(crate) fn volume(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    let modes = spec.field("accessModes");
    if modes.is_empty() {
        errors.push(modes.required(""));
    }
    claims::access_modes(modes, &mut errors);
    capacity(spec.field("capacity"), &mut errors);
    let policy = spec.field("persistentVolumeReclaimPolicy");
    if !policy.str().is_empty() {
        common::optional_one_of(policy, &["Delete", "Recycle", "Retain"], &mut errors);
    }
    if spec.field("nodeAffinity").is_set() {
        node_affinity(spec.field("nodeAffinity"), &mut errors);
    }
    source(spec, &mut errors);
    common::optional_text(spec.field("storageClassName"), names::dns_subdomain, &mut errors);
    common::optional_one_of(spec.field("volumeMode"), &["Block", "Filesystem"], &mut errors);
    errors
}

fn capacity(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.is_empty() {
        errors.push(at.required(""));
    }
    if at.get("storage").is_null() || at.len() > 1 {
        errors.push(FieldError::not_supported(at.path(), at.value(), &["storage"]));
    }
    for (_, amount) in at.entries() {
        resource_names::basic(amount, errors);
        resource_names::positive(amount, errors);
    }
}

fn node_affinity(at: Cursor<'_, '_>, errors: &mut Errors) {
    let required = at.field("required");
    if required.is_set() {
        affinity::node_selector(required, errors);
    } else {
        errors.push(required.required("must specify required node constraints"));
    }
}

fn source(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let given: Vec<&str> = SOURCES.into_iter().filter(|name| spec.field(name).is_set()).collect();
    let Some((first, others)) = given.split_first() else {
        errors.push(spec.required("must specify a volume type"));
        return;
    };
    let at = spec.field(first);
    match *first {
        "local" => local(spec, at, errors),
        "csi" => csi(at, errors),
        name => volume_sources::check(name, at, errors),
    }
    for other in others {
        errors.push(spec.field(other).forbidden("may not specify more than 1 volume type"));
    }
    let policy = spec.field("persistentVolumeReclaimPolicy");
    let path = spec.get("hostPath")["path"].as_str().unwrap_or_default();
    if policy.str() == "Recycle"
        && !path.is_empty()
        && path.trim_end_matches(['/', '.']).is_empty()
        && path.starts_with('/')
    {
        errors.push(policy.forbidden("may not be 'recycle' for a hostPath mount of '/'"));
    }
}

fn local(spec: Cursor<'_, '_>, at: Cursor<'_, '_>, errors: &mut Errors) {
    let path = at.field("path");
    if path.str().is_empty() {
        errors.push(path.required(""));
    } else {
        common::no_backsteps(path, errors);
    }
    if spec.get("nodeAffinity")["required"].is_null() {
        errors.push(spec.field("nodeAffinity").required("Local volume requires node affinity"));
    }
}

fn csi(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (driver, handle) = (at.field("driver"), at.field("volumeHandle"));
    common::required_text(driver, names::dns_subdomain, errors);
    common::required(handle, errors);
}

pub(crate) fn volume_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    if part == Part::Status {
        return Vec::new();
    }
    // Upstream checks it twice, and counts both.
    let mut errors = volume(new);
    errors.extend(volume(new));
    if SOURCES.iter().any(|source| new["spec"][source] != old["spec"][source]) {
        let changes = go_text::struct_diff("PersistentVolumeSource", &old["spec"], &new["spec"]);
        let detail = format!("spec.persistentvolumesource is immutable after creation\n{changes}");
        errors.push(FieldError::forbidden("spec.persistentvolumesource", &detail));
    }
    if new["spec"]["volumeMode"] != old["spec"]["volumeMode"] {
        errors.push(FieldError::immutable("volumeMode", &new["spec"]["volumeMode"]));
    }
    let before = &old["spec"]["nodeAffinity"];
    if !before.is_null() && &new["spec"]["nodeAffinity"] != before {
        errors.push(FieldError::immutable("nodeAffinity", &new["spec"]["nodeAffinity"]));
    }
    errors
}
