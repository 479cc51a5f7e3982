//! What pods for Windows and for Linux do not have in common.

use super::{Cursor, Errors};

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
const NOT_WINDOWS: &str = "cannot be set for a windows pod";
/// Fields of a pod's security context, or of its spec.
const POD: [(bool, &str); 14] = [
    (true, "appArmorProfile"),
    (true, "seLinuxOptions"),
    (false, "hostUsers"),
    (false, "hostPID"),
    (false, "hostIPC"),
    (true, "seccompProfile"),
    (true, "fsGroup"),
    (true, "fsGroupChangePolicy"),
    (true, "sysctls"),
    (false, "shareProcessNamespace"),
    (true, "runAsUser"),
    (true, "runAsGroup"),
    (true, "supplementalGroups"),
    (true, "supplementalGroupsPolicy"),
];
const CONTAINER: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

pub(super) fn not_windows(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let context = spec.field("securityContext");
    for (in_context, field) in POD {
        let at = if in_context { context.field(field) } else { spec.field(field) };
        let plain = matches!(field, "hostPID" | "hostIPC");
        if (plain && at.bool()) || (!plain && at.is_set()) {
            errors.push(at.forbidden(NOT_WINDOWS));
        }
    }
    for list in LISTS {
        for container in spec.field(list).items() {
            let context = container.field("securityContext");
            let set = CONTAINER.iter().filter(|field| context.field(field).is_set());
            errors.extend(set.map(|field| context.field(field).forbidden(NOT_WINDOWS)));
        }
    }
}

pub(super) fn not_linux(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let why = "windows options cannot be set for a linux pod";
    let context = spec.field("securityContext");
    if context.field("windowsOptions").is_set() {
        errors.push(context.field("windowsOptions").forbidden(why));
    }
    for list in LISTS {
        for container in spec.field(list).items() {
            let context = container.field("securityContext");
            if context.field("windowsOptions").is_set() {
                errors.push(context.field("windowsOptions").forbidden(why));
            }
        }
    }
}

/// Either all containers are processes of the host, or none is.
pub(super) fn host_process(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let of_pod = spec.field("securityContext");
    let inherited = of_pod.field("windowsOptions").get("hostProcess").as_bool();
    let (mut host, mut total) = (0, 0);
    for list in LISTS {
        for container in spec.field(list).items() {
            total += 1;
            let context = container.field("securityContext");
            let own = context.field("windowsOptions");
            let wish = own.get("hostProcess").as_bool();
            if let (Some(wish), Some(inherited)) = (wish, inherited)
                && wish != inherited
            {
                let detail = format!("pod hostProcess value must be identical if both are specified, was {inherited}");
                errors.push(own.field("hostProcess").invalid(&detail));
            }
            host += i32::from(wish.or(inherited).unwrap_or_default());
        }
    }
    if host == 0 {
        return;
    }
    if host != total {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(spec.invalid_value("", detail));
    }
    if !spec.field("hostNetwork").bool() {
        let at = spec.field("hostNetwork");
        errors.push(at.invalid_value(at.bool(), "hostNetwork must be true if pod contains any hostProcess containers"));
    }
}
