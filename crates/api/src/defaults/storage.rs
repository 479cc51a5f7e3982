//! Claims, volumes and storage classes.

use serde_json::Value;

use super::{Object, child, fill, fill_text, make};

pub(crate) fn claim(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    make(object, "status").into_iter().for_each(|status| fill_text(status, "phase", "Pending"));
    make(object, "spec").into_iter().for_each(claim_spec);
}

/// What a claim asks for, also in a template.
pub(crate) fn claim_spec(spec: &mut Object) {
    fill(spec, "volumeMode", "Filesystem");
}

pub(crate) fn volume(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    make(object, "status").into_iter().for_each(|status| fill_text(status, "phase", "Pending"));
    let Some(spec) = make(object, "spec") else { return };
    fill_text(spec, "persistentVolumeReclaimPolicy", "Retain");
    fill(spec, "volumeMode", "Filesystem");
    child(spec, "hostPath").into_iter().for_each(|host| fill(host, "type", ""));
    child(spec, "iscsi").into_iter().for_each(|iscsi| fill_text(iscsi, "iscsiInterface", "default"));
}

pub(crate) fn class(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    fill(object, "reclaimPolicy", "Delete");
    fill(object, "volumeBindingMode", "Immediate");
}
