//! Annotations that mean something to pods.

use serde_json::Value;

use super::{Cursor, Errors, common};

pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Of a pod, or of a template. `at` is the map, wherever it is said to be.
pub(super) fn check(at: Cursor<'_, '_>, spec: Cursor<'_, '_>, errors: &mut Errors) {
    if at.key(MIRROR).is_set() && spec.field("nodeName").str().is_empty() {
        errors.push(at.key(MIRROR).invalid("must set spec.nodeName if mirror pod annotation is set"));
    }
    let cost = at.key(DELETION_COST);
    if cost.is_set() && !is_cost(cost.str()) {
        errors.push(cost.invalid("must be a 32bit integer"));
    }
    if at.key(SECCOMP_POD).is_set() {
        seccomp(at.field(SECCOMP_POD), errors);
    }
    for (key, _) in at.entries().filter(|(key, _)| key.starts_with(SECCOMP_CONTAINER)) {
        seccomp(at.field(key), errors);
    }
    for (key, value) in at.entries() {
        if let Some(container) = key.strip_prefix(APPARMOR) {
            apparmor(value, container, spec, errors);
        }
    }
}

/// A number without a plus sign and without zeros in front.
fn is_cost(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits == "0" && digits == text || digits.starts_with(|c| ('1'..='9').contains(&c));
    plain && text.parse::<i32>().is_ok()
}

fn seccomp(at: Cursor<'_, '_>, errors: &mut Errors) {
    match (at.str(), at.str().strip_prefix("localhost/")) {
        ("runtime/default" | "docker/default" | "unconfined", _) => {}
        (_, Some(path)) => {
            let path = Value::from(path);
            let mut found = Vec::new();
            common::relative_path(Cursor::root(&path), &mut found);
            errors.extend(found.into_iter().map(|error| super::FieldError { field: at.path(), ..error }));
        }
        _ => errors.push(at.invalid("must be a valid seccomp profile")),
    }
}

fn apparmor(at: Cursor<'_, '_>, container: &str, spec: Cursor<'_, '_>, errors: &mut Errors) {
    let known = LISTS.iter().any(|list| spec.field(list).items().any(|c| c.field("name").str() == container));
    if !known {
        errors.push(at.invalid_value(container, "container not found"));
    }
    let profile = at.str();
    if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
        errors.push(at.invalid(&format!("invalid AppArmor profile name: {}", super::go_quote(profile))));
    }
}

/// That an annotation and the field that took its place say the same.
pub(super) fn match_fields(metadata: Cursor<'_, '_>, spec: Cursor<'_, '_>, errors: &mut Errors) {
    let annotations = metadata.field("annotations");
    let context = spec.field("securityContext");
    same(annotations.get(SECCOMP_POD), context.field("seccompProfile"), "seccomp", errors);
    for list in LISTS {
        for container in spec.field(list).items() {
            let key = format!("{SECCOMP_CONTAINER}{}", container.field("name").str());
            let context = container.field("securityContext");
            same(annotations.get(&key), context.field("seccompProfile"), "seccomp", errors);
        }
    }
    if spec.field("os").field("name").str() == "windows" {
        return;
    }
    for list in LISTS {
        for container in spec.field(list).items() {
            let key = format!("{APPARMOR}{}", container.field("name").str());
            let own = container.field("securityContext");
            let inherited = context.get("appArmorProfile");
            let profile = own.field("appArmorProfile");
            let profile = if profile.is_set() { profile } else { own.with("appArmorProfile", inherited) };
            same(annotations.get(&key), profile, "apparmor", errors);
        }
    }
}

fn same(annotation: &Value, profile: Cursor<'_, '_>, what: &str, errors: &mut Errors) {
    let (Some(annotation), true) = (annotation.as_str(), profile.is_set()) else { return };
    let wrong_type = profile.field("type").forbidden(&format!("{what} type in annotation and field must match"));
    match (profile.field("type").str(), annotation.strip_prefix("localhost/")) {
        ("Unconfined", _) if annotation != "unconfined" => errors.push(wrong_type),
        ("RuntimeDefault", _) if annotation == "docker/default" && what == "seccomp" => {}
        ("RuntimeDefault", _) if annotation != "runtime/default" => errors.push(wrong_type),
        ("Localhost", None) => errors.push(wrong_type),
        ("Localhost", Some(path)) if path != profile.field("localhostProfile").str() => {
            let detail = format!("{what} profile in annotation and field must match");
            errors.push(profile.field("localhostProfile").forbidden(&detail));
        }
        _ => {}
    }
}

/// What may not change about them.
pub(super) fn changes(metadata: Cursor<'_, '_>, old: &Value, spec: Cursor<'_, '_>, errors: &mut Errors) {
    let at = metadata.field("annotations");
    for (key, before) in old["metadata"]["annotations"].as_object().into_iter().flatten() {
        if at.get(key) == before {
            continue;
        }
        let fixed = if key.starts_with(APPARMOR) { "AppArmor annotations" } else { "mirror pod annotation" };
        if key.starts_with(APPARMOR) || key == MIRROR {
            errors.push(at.key(key).forbidden(&format!("may not remove or update {fixed}")));
        }
    }
    for (key, value) in at.entries() {
        if old["metadata"]["annotations"].get(key).is_some() {
            continue;
        }
        let fixed = if key.starts_with(APPARMOR) { "AppArmor annotations" } else { "mirror pod annotation" };
        if key.starts_with(APPARMOR) || key == MIRROR {
            errors.push(value.forbidden(&format!("may not add {fixed}")));
        }
    }
    check(at, spec, errors);
}
