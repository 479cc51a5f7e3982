//! Claims to persistent volumes.

use serde_json::Value;

use super::resource_names::{self, amount_of};
use super::{Cursor, Errors, FieldError, common, go_text, selectors};
use crate::kind::Part;
use crate::names;
use crate::quantity::Quantity;

const IMMUTABLE: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

pub(crate) fn claim(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    spec(root.field("spec"), &mut errors);
    errors
}

/// What a claim asks for, also in a template.
pub(super) fn spec(at: Cursor<'_, '_>, errors: &mut Errors) {
    let modes = at.field("accessModes");
    if modes.is_empty() {
        errors.push(modes.required("at least 1 access mode is required"));
    }
    if at.field("selector").is_set() {
        selectors::label_selector(at.field("selector"), errors);
    }
    access_modes(modes, errors);
    storage(at.field("resources"), errors);
    common::optional_text(at.field("storageClassName"), names::dns_subdomain, errors);
    common::optional_one_of(at.field("volumeMode"), &["Block", "Filesystem"], errors);
    sources(at, errors);
}

/// The ways in which a volume may be used.
pub(super) fn access_modes(at: Cursor<'_, '_>, errors: &mut Errors) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let (mut one_pod, mut others) = (false, false);
    for mode in at.items() {
        if !MODES.contains(&mode.str()) {
            errors.push(FieldError::not_supported(at.path(), mode.value(), &MODES));
        }
        one_pod |= mode.str() == "ReadWriteOncePod";
        others |= mode.str() != "ReadWriteOncePod";
    }
    if one_pod && others {
        errors.push(at.forbidden("may not use ReadWriteOncePod with other access modes"));
    }
}

fn storage(resources: Cursor<'_, '_>, errors: &mut Errors) {
    let requests = resources.field("requests");
    let wanted = requests.get("storage");
    if wanted.is_null() {
        errors.push(resources.key("storage").required(""));
        return;
    }
    if let Some(amount) = super::resources::parsed(wanted)
        && (amount.is_zero() || amount.is_negative())
    {
        errors.push(resources.key("storage").invalid_value(amount.to_string(), "must be greater than zero"));
    }
}

fn sources(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (source, reference) = (at.field("dataSource"), at.field("dataSourceRef"));
    for given in [source, reference] {
        if given.is_set() {
            origin(given, errors);
        }
    }
    let namespaced = !reference.get("namespace").as_str().unwrap_or_default().is_empty();
    if reference.is_set() && namespaced {
        if source.is_set() {
            errors
                .push(at.invalid_value("dataSource", "may not be specified when dataSourceRef.namespace is specified"));
        }
    } else if source.is_set() && reference.is_set() && source.value() != reference.value() {
        errors.push(at.invalid_value("dataSource", "must match dataSourceRef"));
    }
}

fn origin(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::required(at.field("name"), errors);
    common::required(at.field("kind"), errors);
    let group = at.field("apiGroup");
    if group.str().is_empty() {
        if at.field("kind").str() != "PersistentVolumeClaim" {
            errors.push(at.invalid_value(
                at.field("kind").str(),
                "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            ));
        }
    } else {
        common::text(group, names::dns_subdomain, errors);
    }
}

pub(crate) fn claim_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    if part == Part::Status {
        return status(new);
    }
    // Upstream checks it twice, and counts both.
    let mut errors = claim(new);
    errors.extend(claim(new));
    frozen(new, old, &mut errors);
    let size = |claim: &Value| amount_of(&claim["spec"]["resources"]["requests"], "storage").unwrap_or(Quantity::ZERO);
    let capacity = amount_of(&old["status"]["capacity"], "storage").unwrap_or(Quantity::ZERO);
    if size(new) < size(old) && size(new) <= capacity {
        let detail = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden("spec.resources.requests.storage", detail));
    }
    if new["spec"]["volumeMode"] != old["spec"]["volumeMode"] {
        errors.push(FieldError::immutable("volumeMode", &new["spec"]["volumeMode"]));
    }
    errors
}

/// Claims are not changed to get around quotas. They are bound once, and grow.
fn frozen(new: &Value, old: &Value, errors: &mut Errors) {
    let (mut now, mut before) = (new["spec"].clone(), old["spec"].clone());
    if before["volumeName"].as_str().unwrap_or_default().is_empty() {
        before["volumeName"] = now["volumeName"].clone();
    }
    if new["status"]["phase"] == "Bound" && now["resources"]["requests"].is_object() {
        now["resources"]["requests"]["storage"] = before["resources"]["requests"]["storage"].clone();
    }
    now["volumeAttributesClassName"] = before["volumeAttributesClassName"].clone();
    for spec in [&mut now, &mut before] {
        crate::kind::drop_null(spec, "volumeName");
        crate::kind::drop_null(spec, "volumeAttributesClassName");
    }
    if now != before {
        let changes = go_text::struct_diff("PersistentVolumeClaimSpec", &before, &now);
        errors.push(FieldError::forbidden("spec", &format!("{IMMUTABLE}\n{changes}")));
    }
}

fn status(new: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let status = root.field("status");
    for (_, amount) in status.field("capacity").entries() {
        resource_names::basic(amount, &mut errors);
    }
    errors
}
