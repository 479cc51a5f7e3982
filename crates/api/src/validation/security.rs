//! Security contexts. Most of them have no meaning for a wasm pod, but they must be well formed.

use super::{Cursor, Errors, common};

const ID_MAX: i64 = i32::MAX as i64;
const ID_RANGE: &str = "must be between 0 and 2147483647, inclusive";

fn id(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !(0..=ID_MAX).contains(&at.int()) {
        errors.push(at.invalid(ID_RANGE));
    }
}

/// A pod's.
pub(super) fn pod(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let at = spec.field("securityContext");
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(at.field(field), errors);
    }
    for group in at.field("supplementalGroups").items() {
        id(group, errors);
    }
    if spec.field("shareProcessNamespace").bool() && spec.field("hostPID").bool() {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(at.with("shareProcessNamespace", spec.get("shareProcessNamespace")).invalid(detail));
    }
    common::optional_one_of(at.field("fsGroupChangePolicy"), &["Always", "OnRootMismatch"], errors);
    sysctls(at.field("sysctls"), errors);
    seccomp(at.field("seccompProfile"), errors);
    host_users(spec, errors);
}

fn host_users(spec: Cursor<'_, '_>, errors: &mut Errors) {
    if spec.get("hostUsers").as_bool() != Some(false) {
        return;
    }
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec.field(field).bool() {
            errors.push(spec.field(field).forbidden("when `hostUsers` is false"));
        }
    }
}

fn sysctls(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut names = Vec::new();
    for sysctl in at.items() {
        let name = sysctl.field("name");
        if name.str().is_empty() {
            errors.push(name.required(""));
        } else if names.contains(&name.str()) {
            errors.push(name.duplicate());
        }
        names.push(name.str());
    }
}

fn seccomp(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.field("type"), at.field("localhostProfile"));
    match kind.str() {
        "Localhost" if !profile.is_set() => errors.push(profile.required("must be set when seccomp type is Localhost")),
        "Localhost" => common::relative_path(profile, errors),
        "RuntimeDefault" | "Unconfined" if profile.is_set() => {
            errors.push(profile.invalid("can only be set when seccomp type is Localhost"));
        }
        "RuntimeDefault" | "Unconfined" => {}
        "" => errors.push(kind.required("type is required when seccompProfile is set")),
        _ => errors.push(kind.not_supported(&["Localhost", "RuntimeDefault", "Unconfined"])),
    }
}

/// A container's.
pub(super) fn container(at: Cursor<'_, '_>, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup"] {
        id(at.field(field), errors);
    }
    common::optional_one_of(at.field("procMount"), &["Default", "Unmasked"], errors);
    seccomp(at.field("seccompProfile"), errors);
    let escalation = at.field("allowPrivilegeEscalation");
    if escalation.value().as_bool() == Some(false) {
        let capabilities = at.field("capabilities");
        let added = capabilities.field("add");
        if at.field("privileged").bool() {
            errors.push(at.invalid("cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
        }
        if added.items().any(|capability| capability.str() == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(at.invalid(detail));
        }
    }
}
