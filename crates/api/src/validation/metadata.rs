//! The metadata that every kind has.

use serde_json::Value;

use super::common::labels;
use super::{Cursor, Errors, FieldError, common, declared_json};
use crate::kind::Kind;
use crate::names;

/// Keys and values together.
const ANNOTATIONS_MAX: usize = 256 * 1024;
/// How Go declares a reference.
const OWNER_FIELDS: [&str; 6] = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
/// Finalizers without a domain that have always been there.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// A new object's metadata.
pub fn validate(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let metadata = root.field("metadata");
    name(kind, metadata, &mut errors);
    namespace(kind, metadata, &mut errors);
    not_negative_generation(metadata, &mut errors);
    common(metadata, &mut errors);
    errors
}

fn name(kind: &Kind, metadata: Cursor<'_, '_>, errors: &mut Errors) {
    let (prefix, name) = (metadata.field("generateName"), metadata.field("name"));
    if !prefix.str().is_empty() {
        let problems = (kind.hooks.validate_name)(prefix.str(), true);
        errors.extend(problems.iter().map(|problem| prefix.invalid(problem)));
    }
    if name.str().is_empty() {
        errors.push(name.required("name or generateName is required"));
        return;
    }
    let problems = (kind.hooks.validate_name)(name.str(), false);
    errors.extend(problems.iter().map(|problem| name.invalid(problem)));
}

fn namespace(kind: &Kind, metadata: Cursor<'_, '_>, errors: &mut Errors) {
    let namespace = metadata.field("namespace");
    match (kind.namespaced, namespace.str()) {
        (true, "") => errors.push(namespace.required("")),
        (true, _) => common::text(namespace, names::dns_label, errors),
        (false, "") => {}
        (false, _) => errors.push(namespace.forbidden("not allowed on this type")),
    }
}

fn not_negative_generation(metadata: Cursor<'_, '_>, errors: &mut Errors) {
    common::not_negative(metadata.field("generation"), errors);
}

/// What is checked on every write.
fn common(metadata: Cursor<'_, '_>, errors: &mut Errors) {
    keys(metadata, errors);
    finalizers(metadata.field("finalizers"), errors);
    managed_fields(metadata.field("managedFields"), errors);
}

fn keys(metadata: Cursor<'_, '_>, errors: &mut Errors) {
    labels(metadata.field("labels"), errors);
    annotations(metadata.field("annotations"), errors);
    owners(metadata.field("ownerReferences"), errors);
}

pub(super) fn annotations(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in at.entries() {
        let problems = names::qualified_name(&key.to_lowercase());
        errors.extend(problems.iter().map(|problem| at.invalid_value(key, problem)));
        size += key.len() + value.str().len();
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(at.path(), ANNOTATIONS_MAX));
    }
}

fn owners(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut controller: Option<String> = None;
    for reference in at.items() {
        owner(at, reference, errors);
        if !reference.field("controller").bool() {
            continue;
        }
        let named = format!("{}/{}", reference.field("kind").str(), reference.field("name").str());
        if let Some(first) = &controller {
            let detail = "Only one reference can have Controller set to true";
            let detail = format!("{detail}. Found \"true\" in references for {first} and {named}");
            let printed: Vec<String> = at.items().map(|r| declared_json(r.value(), &OWNER_FIELDS)).collect();
            errors.push(FieldError::invalid_in_order(at.path(), &format!("[{}]", printed.join(",")), &detail));
        }
        controller.get_or_insert(named);
    }
}

/// Errors name the list and not the reference, as upstream's do.
fn owner(list: Cursor<'_, '_>, reference: Cursor<'_, '_>, errors: &mut Errors) {
    let api_version = reference.field("apiVersion").str();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let version = if version.contains('/') { "" } else { version };
    let missing = |field: &str, detail: &str| list.with(field, reference.get(field)).invalid_str(detail);
    if version.is_empty() {
        errors.push(missing("apiVersion", "version must not be empty"));
    }
    for field in ["kind", "name", "uid"] {
        if reference.field(field).str().is_empty() {
            errors.push(missing(field, "must not be empty"));
        }
    }
    let kind = reference.field("kind").str();
    if group.is_empty() && kind == "Event" && version == "v1" {
        let detail = "/v1, Kind=Event is disallowed from being an owner";
        let printed = declared_json(reference.value(), &OWNER_FIELDS);
        errors.push(FieldError::invalid_in_order(list.path(), &printed, detail));
    }
}

fn finalizers(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (mut orphan, mut foreground) = (false, false);
    for finalizer in at.items() {
        let problems = names::qualified_name(finalizer.str());
        errors.extend(problems.iter().map(|problem| at.invalid_value(finalizer.str(), problem)));
        if problems.is_empty() {
            qualified_finalizer(finalizer, errors);
        }
        orphan |= finalizer.str() == "orphan";
        foreground |= finalizer.str() == "foregroundDeletion";
    }
    if orphan && foreground {
        errors.push(at.invalid("finalizer orphan and foregroundDeletion cannot be both set"));
    }
}

/// A finalizer without a domain must be one of the old ones.
pub(super) fn qualified_finalizer(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !at.str().contains('/') && !STANDARD_FINALIZERS.contains(&at.str()) {
        errors.push(at.invalid("name is neither a standard finalizer name nor is it fully qualified"));
    }
}

fn managed_fields(at: Cursor<'_, '_>, errors: &mut Errors) {
    for entry in at.items() {
        let operation = entry.field("operation");
        if !["Apply", "Update"].contains(&operation.str()) {
            errors.push(operation.invalid_str("must be `Apply` or `Update`"));
        }
        let fields_type = entry.field("fieldsType");
        if !["", "FieldsV1"].contains(&fields_type.str()) {
            errors.push(fields_type.invalid("must be `FieldsV1`"));
        }
        let manager = entry.field("manager");
        errors.extend(field_manager(&manager.path(), manager.str()));
    }
}

/// The name of a field manager, of a request or of an entry.
pub fn field_manager(field: &str, manager: &str) -> Vec<FieldError> {
    const MANAGER_MAX: usize = 128;
    let mut errors = Vec::new();
    if manager.len() > MANAGER_MAX {
        errors.push(FieldError::too_long(field, MANAGER_MAX));
    }
    if let Some((at, c)) = manager.char_indices().find(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", c as u32);
        errors.push(FieldError::invalid(field, &manager.into(), &detail));
    }
    errors
}

/// A change of metadata. Upstream checks most of it twice, labels and annotations four times, and counts every time.
pub fn validate_update(_kind: &Kind, new: &Value, old: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let metadata = root.field("metadata");
    for _ in 0..2 {
        change(metadata, &old["metadata"], &mut errors);
        common(metadata, &mut errors);
    }
    if !errors.is_empty() {
        keys(metadata, &mut errors);
        keys(metadata, &mut errors);
    }
    errors
}

fn change(metadata: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    if metadata.get("generation").as_i64().unwrap_or_default() < before["generation"].as_i64().unwrap_or_default() {
        errors.push(metadata.field("generation").invalid("must not be decremented"));
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        common::immutable(metadata.field(field), &before[field], errors);
    }
    new_finalizers(metadata, before, errors);
}

/// Nothing more is waited for once an object is being deleted.
fn new_finalizers(metadata: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    if before["deletionTimestamp"].is_null() {
        return;
    }
    let known = before["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
    let at = metadata.field("finalizers");
    let added: Vec<String> =
        at.items().filter(|f| !known.contains(f.value())).map(|f| super::go_quote(f.str())).collect();
    if !added.is_empty() {
        let rule = "no new finalizers can be added if the object is being deleted, found new finalizers";
        errors.push(at.forbidden(&format!("{rule} []string{{{}}}", added.join(", "))));
    }
}
