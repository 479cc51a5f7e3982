//! Security contexts. Most of them have no meaning for a wasm pod, but they must be well formed.

use super::{Cursor, Errors, FieldError, common, go_text};

const ID_MAX: i64 = i32::MAX as i64;
const SYSCTL: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
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
    sysctls(spec, at.field("sysctls"), errors);
    common::optional_one_of(at.field("fsGroupChangePolicy"), &["Always", "OnRootMismatch"], errors);
    seccomp(at.field("seccompProfile"), errors);
    windows(at.field("windowsOptions"), errors);
    apparmor(at.field("appArmorProfile"), errors);
    common::optional_one_of(at.field("supplementalGroupsPolicy"), &["Merge", "Strict"], errors);
    common::optional_one_of(at.field("seLinuxChangePolicy"), &["MountOption", "Recursive"], errors);
}

/// A pod with users of its own shares nothing else with its host.
pub(super) fn host_users(spec: Cursor<'_, '_>, errors: &mut Errors) {
    if spec.get("hostUsers").as_bool() != Some(false) {
        return;
    }
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec.field(field).bool() {
            errors.push(spec.field(field).forbidden("when `hostUsers` is false"));
        }
    }
}

fn sysctls(spec: Cursor<'_, '_>, at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut names = Vec::new();
    for sysctl in at.items() {
        let name = sysctl.field("name");
        if name.str().is_empty() {
            errors.push(name.required(""));
        } else if !is_sysctl(name.str()) {
            errors.push(name.invalid(SYSCTL));
        } else if names.contains(&name.str()) {
            errors.push(name.duplicate());
        }
        let plain = name.str().replace('/', ".");
        let of_ipc =
            ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."].iter().any(|start| plain.starts_with(start));
        if spec.field("hostNetwork").bool() && plain.starts_with("net.") {
            errors.push(name.invalid("may not be specified when 'hostNetwork' is true"));
        } else if spec.field("hostIPC").bool() && of_ipc {
            errors.push(name.invalid("may not be specified when 'hostIPC' is true"));
        }
        names.push(name.str());
    }
}

/// Parts of letters, digits, dashes and underscores, with dots or slashes between.
fn is_sysctl(name: &str) -> bool {
    const LENGTH_MAX: usize = 253;
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if edge(*first) && edge(*last))
            && bytes.iter().all(|b| edge(*b) || matches!(b, b'-' | b'_'))
    };
    name.len() <= LENGTH_MAX && name.split(['.', '/']).all(part)
}

fn windows(at: Cursor<'_, '_>, errors: &mut Errors) {
    const SPEC_MAX: usize = 64 * 1024;
    let (name, contents, user) =
        (at.field("gmsaCredentialSpecName"), at.field("gmsaCredentialSpec"), at.field("runAsUserName"));
    if name.is_set() {
        common::text(name, crate::names::dns_subdomain, errors);
    }
    if contents.is_set() && contents.str().is_empty() {
        errors.push(contents.invalid("gmsaCredentialSpec cannot be an empty string"));
    } else if contents.str().len() > SPEC_MAX {
        errors.push(contents.invalid(&format!("gmsaCredentialSpec size must be under {} KiB", SPEC_MAX / 1024)));
    }
    if user.is_set() && user.str().is_empty() {
        errors.push(user.invalid("runAsUserName cannot be an empty string"));
    } else if user.str().chars().any(char::is_control) {
        errors.push(user.invalid("runAsUserName cannot contain control characters"));
    }
}

fn apparmor(at: Cursor<'_, '_>, errors: &mut Errors) {
    const PATH_MAX: usize = 4095;
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.field("type"), at.field("localhostProfile"));
    match kind.str() {
        "Localhost" => {
            if profile.str().trim() != profile.str() {
                errors.push(profile.invalid("must not be padded with whitespace"));
            } else if profile.str().is_empty() {
                errors.push(profile.required("must be set when AppArmor type is Localhost"));
            }
            if profile.str().len() > PATH_MAX {
                errors.push(FieldError::too_long(profile.path(), PATH_MAX));
            }
        }
        "RuntimeDefault" | "Unconfined" if profile.is_set() => {
            errors.push(profile.invalid("can only be set when AppArmor type is Localhost"));
        }
        "RuntimeDefault" | "Unconfined" => {}
        "" => errors.push(kind.required("type is required when appArmorProfile is set")),
        _ => errors.push(kind.not_supported(&["Localhost", "RuntimeDefault", "Unconfined"])),
    }
}

fn seccomp(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.field("type"), at.field("localhostProfile"));
    match kind.str() {
        "Localhost" | "RuntimeDefault" | "Unconfined" => {}
        "" => errors.push(kind.required("type is required when seccompProfile is set")),
        _ => errors.push(kind.not_supported(&["Localhost", "RuntimeDefault", "Unconfined"])),
    }
    match (kind.str(), profile.is_set()) {
        ("Localhost", false) => errors.push(profile.required("must be set when seccomp type is Localhost")),
        ("Localhost", true) => common::relative_path(profile, errors),
        (_, true) => {
            let detail = "can only be set when seccomp type is Localhost";
            let shown = go_text::shown("Profile", at.value());
            errors.push(FieldError::invalid_in_order(profile.path(), &shown, detail));
        }
        (_, false) => {}
    }
}

/// A container's.
pub(super) fn container(at: Cursor<'_, '_>, own_users: bool, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup"] {
        id(at.field(field), errors);
    }
    let mount = at.field("procMount");
    common::optional_one_of(mount, &["Default", "Unmasked"], errors);
    if mount.str() == "Unmasked" && !own_users {
        errors.push(mount.invalid("`hostUsers` must be false to use `Unmasked`"));
    }
    seccomp(at.field("seccompProfile"), errors);
    escalation(at, errors);
    windows(at.field("windowsOptions"), errors);
    apparmor(at.field("appArmorProfile"), errors);
}

fn escalation(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.get("allowPrivilegeEscalation").as_bool() != Some(false) {
        return;
    }
    let mut refuse = |what: &str| {
        let detail = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
        let shown = go_text::shown("SecurityContext", at.value());
        errors.push(FieldError::invalid_in_order(at.path(), &shown, &detail));
    };
    if at.field("privileged").bool() {
        refuse("`privileged` to true");
    }
    let capabilities = at.field("capabilities");
    if capabilities.field("add").items().any(|capability| capability.str() == "CAP_SYS_ADMIN") {
        refuse("`capabilities.Add` CAP_SYS_ADMIN");
    }
}
