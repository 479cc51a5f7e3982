//! What the level `restricted` asks for besides: a pod that gives up what it does not need.

use serde_json::Value;

use super::containers::{containers, items, name, plural, quoted, set, setters, text};
use super::{Pod, Violation};

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// Since this version a pod for Windows is not asked for what only Linux has.
const WINDOWS_SINCE: u32 = 25;

fn is_exempt(pod: &Pod<'_>) -> bool {
    pod.is_windows() && pod.minor >= WINDOWS_SINCE
}

pub(super) fn privilege_escalation(pod: &Pod<'_>) -> Option<Violation> {
    if is_exempt(pod) {
        return None;
    }
    let names = pod.bad_containers(|context| context["allowPrivilegeEscalation"] != false);
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    (!names.is_empty()).then(|| Violation::new("allowPrivilegeEscalation != false", detail))
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    if is_exempt(pod) {
        return None;
    }
    let listed = |context: &Value, list: &str| -> Vec<String> {
        items(&context["capabilities"][list]).iter().map(|name| text(name).to_owned()).collect()
    };
    let keeping = pod.bad_containers(|context| !listed(context, "drop").iter().any(|name| name == "ALL"));
    let mut added = Vec::new();
    let adding = pod.bad_containers(|context| {
        let bad: Vec<String> = listed(context, "add").into_iter().filter(|name| name != "NET_BIND_SERVICE").collect();
        let any = !bad.is_empty();
        added.extend(bad);
        any
    });
    let (drop, add) = (containers(&keeping), containers(&adding));
    let details = [
        (!keeping.is_empty()).then(|| format!("{drop} must set securityContext.capabilities.drop=[\"ALL\"]")),
        (!adding.is_empty())
            .then(|| format!("{add} must not include {} in securityContext.capabilities.add", quoted(&set(added)))),
    ];
    let details: Vec<String> = details.into_iter().flatten().collect();
    (!details.is_empty()).then(|| Violation::new("unrestricted capabilities", details.join("; ")))
}

pub(super) fn volumes(pod: &Pod<'_>) -> Option<Violation> {
    let (mut names, mut types) = (Vec::new(), Vec::new());
    for volume in items(&pod.spec["volumes"]) {
        let given =
            volume.as_object().into_iter().flatten().filter(|(field, value)| *field != "name" && !value.is_null());
        let given: Vec<&String> = given.map(|(field, _)| field).collect();
        if given.iter().any(|field| VOLUMES.contains(&field.as_str())) {
            continue;
        }
        names.push(name(volume));
        types.push(given.first().map_or_else(|| "unknown".to_owned(), |field| (*field).clone()));
    }
    let types = set(types);
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", names.len()),
        quoted(&names),
        plural("uses", "use", names.len()),
        plural("restricted volume type", "restricted volume types", types.len()),
        quoted(&types),
    );
    (!names.is_empty()).then(|| Violation::new("restricted volume types", detail))
}

pub(super) fn run_as_non_root(pod: &Pod<'_>) -> Option<Violation> {
    let own = &pod.context()["runAsNonRoot"];
    let reason = "runAsNonRoot != true";
    let explicit = pod.bad_containers(|context| context["runAsNonRoot"] == false);
    if let Some(who) = setters(*own == false, &explicit) {
        return Some(Violation::new(reason, format!("{who} must not set securityContext.runAsNonRoot=false")));
    }
    let implicit = pod.bad_containers(|context| context["runAsNonRoot"].is_null() && *own != true);
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&implicit));
    (!implicit.is_empty()).then(|| Violation::new(reason, detail))
}

pub(super) fn run_as_user(pod: &Pod<'_>) -> Option<Violation> {
    let names = pod.bad_containers(|context| context["runAsUser"] == 0);
    let who = setters(pod.context()["runAsUser"] == 0, &names)?;
    Some(Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0")))
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    if is_exempt(pod) {
        return None;
    }
    if let Some(violation) = super::baseline::seccomp(pod) {
        return Some(violation);
    }
    if !pod.context()["seccompProfile"].is_null() {
        return None;
    }
    let implicit = pod.bad_containers(|context| context["seccompProfile"].is_null());
    let must = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    (!implicit.is_empty()).then(|| Violation::new("seccompProfile", format!("pod or {} {must}", containers(&implicit))))
}
