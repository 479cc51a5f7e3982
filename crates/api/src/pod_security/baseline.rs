//! What the level `baseline` forbids: ways that are known to lead out of a container.

use serde_json::Value;

use super::containers::{containers, items, name, plural, quoted, set, setters, text};
use super::{Pod, Violation};
use crate::validation::go_quote;

const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// What is safe to set, since which version.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

pub(super) fn apparmor(pod: &Pod<'_>) -> Option<Violation> {
    let bad = |profile: &Value| text(&profile["type"]) == "Unconfined";
    let own = bad(&pod.context()["appArmorProfile"]);
    let names = pod.bad_containers(|context| bad(&context["appArmorProfile"]));
    let what = "must not set AppArmor profile type to \"Unconfined\"";
    let mut details: Vec<String> = setters(own, &names).map(|who| format!("{who} {what}")).into_iter().collect();
    let annotations = pod.metadata["annotations"].as_object().into_iter().flatten();
    let bad = annotations.filter(|(key, value)| {
        let profile = text(value);
        key.starts_with(APPARMOR) && !matches!(profile, "" | "runtime/default") && !profile.starts_with("localhost/")
    });
    let annotated: Vec<String> =
        set(bad.map(|(key, value)| format!("annotation {}={}", go_quote(key), go_quote(text(value)))).collect());
    details.extend(annotated);
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", details.len());
    (!details.is_empty()).then(|| Violation::new(reason, details.join(", ")))
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let mut forbidden = Vec::new();
    let names = pod.bad_containers(|context| {
        let added = items(&context["capabilities"]["add"]).iter().map(text);
        let bad: Vec<String> = added.filter(|name| !CAPABILITIES.contains(name)).map(str::to_owned).collect();
        let any = !bad.is_empty();
        forbidden.extend(bad);
        any
    });
    let forbidden = quoted(&set(forbidden));
    let detail = format!("{} must not include {forbidden} in securityContext.capabilities.add", containers(&names));
    (!names.is_empty()).then(|| Violation::new("non-default capabilities", detail))
}

pub(super) fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let used = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| pod.spec[*field] == true);
    let used: Vec<String> = used.map(|field| format!("{field}=true")).collect();
    (!used.is_empty()).then(|| Violation::new("host namespaces", used.join(", ")))
}

pub(super) fn host_paths(pod: &Pod<'_>) -> Option<Violation> {
    let volumes = items(&pod.spec["volumes"]).iter().filter(|volume| !volume["hostPath"].is_null());
    let names: Vec<String> = volumes.map(name).collect();
    let detail = format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names));
    (!names.is_empty()).then(|| Violation::new("hostPath volumes", detail))
}

pub(super) fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for container in pod.containers() {
        let used = items(&container["ports"]).iter().filter_map(|port| port["hostPort"].as_i64()).filter(|p| *p != 0);
        let used: Vec<String> = used.map(|port| port.to_string()).collect();
        if !used.is_empty() {
            names.push(name(container));
            ports.extend(used);
        }
    }
    let ports = set(ports);
    let uses = plural("uses", "use", names.len());
    let what = plural("hostPort", "hostPorts", ports.len());
    let detail = format!("{} {uses} {what} {}", containers(&names), ports.join(", "));
    (!names.is_empty()).then(|| Violation::new(what, detail))
}

pub(super) fn host_probes(pod: &Pod<'_>) -> Option<Violation> {
    let (mut names, mut hosts) = (Vec::new(), Vec::new());
    for container in pod.containers() {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].iter().map(|probe| &container[*probe]);
        let hooks = ["postStart", "preStop"].iter().map(|hook| &container["lifecycle"][*hook]);
        let handlers = probes.chain(hooks).flat_map(|of| [&of["httpGet"]["host"], &of["tcpSocket"]["host"]]);
        let used: Vec<String> = handlers.map(text).filter(|host| !host.is_empty()).map(str::to_owned).collect();
        if !used.is_empty() {
            names.push(name(container));
            hosts.extend(used);
        }
    }
    let (names, hosts) = (set(names), set(hosts));
    let uses = plural("uses", "use", names.len());
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    let detail = format!("{} {uses} {what} {}", containers(&names), quoted(&hosts));
    (!names.is_empty()).then(|| Violation::new("probe or lifecycle host", detail))
}

pub(super) fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let names = pod.bad_containers(|context| context["privileged"] == true);
    let detail = format!("{} must not set securityContext.privileged=true", containers(&names));
    (!names.is_empty()).then(|| Violation::new("privileged", detail))
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let mut mounts = Vec::new();
    let names = pod.bad_containers(|context| {
        let bad = !context["procMount"].is_null() && context["procMount"] != "Default";
        mounts.extend(bad.then(|| text(&context["procMount"]).to_owned()));
        bad
    });
    let mounts = quoted(&set(mounts));
    let detail = format!("{} must not set securityContext.procMount to {mounts}", containers(&names));
    (!names.is_empty()).then(|| Violation::new("procMount", detail))
}

pub(super) fn selinux(pod: &Pod<'_>) -> Option<Violation> {
    let (mut types, mut user, mut role) = (Vec::new(), false, false);
    let mut bad = |options: &Value| {
        let kind = text(&options["type"]);
        let known = matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (kind == "container_engine_t" && pod.minor >= 31);
        types.extend((!known).then(|| kind.to_owned()));
        let (has_user, has_role) = (!text(&options["user"]).is_empty(), !text(&options["role"]).is_empty());
        (user, role) = (user || has_user, role || has_role);
        !known || has_user || has_role
    };
    let own = bad(&pod.context()["seLinuxOptions"]);
    let names = pod.bad_containers(|context| bad(&context["seLinuxOptions"]));
    let who = setters(own, &names)?;
    let types = set(types);
    let named = || format!("{} {}", plural("type", "types", types.len()), quoted(&types));
    let what = [
        (!types.is_empty()).then(named),
        user.then(|| "user may not be set".to_owned()),
        role.then(|| "role may not be set".to_owned()),
    ];
    let what: Vec<String> = what.into_iter().flatten().collect();
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "));
    Some(Violation::new("seLinuxOptions", detail))
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    let mut types = Vec::new();
    let mut bad = |profile: &Value| {
        let kind = text(&profile["type"]);
        let bad = !profile.is_null() && !matches!(kind, "RuntimeDefault" | "Localhost");
        types.extend(bad.then(|| kind.to_owned()));
        bad
    };
    let own = bad(&pod.context()["seccompProfile"]);
    let names = pod.bad_containers(|context| bad(&context["seccompProfile"]));
    let who = setters(own, &names)?;
    let types = quoted(&set(types));
    Some(Violation::new("seccompProfile", format!("{who} must not set securityContext.seccompProfile.type to {types}")))
}

pub(super) fn sysctls(pod: &Pod<'_>) -> Option<Violation> {
    let allowed = |name: &str| SYSCTLS.iter().any(|(safe, since)| *safe == name && *since <= pod.minor);
    let names = items(&pod.context()["sysctls"]).iter().map(|sysctl| text(&sysctl["name"]));
    let forbidden: Vec<&str> = names.filter(|name| !allowed(name)).collect();
    (!forbidden.is_empty()).then(|| Violation::new("forbidden sysctls", forbidden.join(", ")))
}

pub(super) fn host_process(pod: &Pod<'_>) -> Option<Violation> {
    let bad = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let names = pod.bad_containers(bad);
    let who = setters(bad(pod.context()), &names)?;
    Some(Violation::new("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true")))
}
