//! Containers of a pod: regular ones, those that run before, and those that are added to a running pod.

use std::collections::BTreeSet;

use super::probes::{self, Probe};
use super::volumes::Volumes;
use super::{Cursor, Errors, FieldError, common, env, go_text, mounts, resources, security};
use crate::names;

const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
/// What a container that is added for debugging has not.
const NOT_EPHEMERAL: [&str; 8] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// What the checks of containers need to know about their pod.
pub(super) struct Pod<'p> {
    pub(super) volumes: &'p Volumes<'p>,
    pub(super) claims: &'p [&'p str],
    /// The pod's time to end.
    pub(super) grace: i64,
    /// The pod's containers are never restarted.
    pub(super) never_restarts: bool,
    /// The pod has users of its own.
    pub(super) own_users: bool,
}

/// All containers of a spec, in upstream's order.
pub(super) fn all(spec: Cursor<'_, '_>, pod: &Pod<'_>, errors: &mut Errors) {
    let (regular, init) = (spec.field("containers"), spec.field("initContainers"));
    if regular.is_empty() {
        errors.push(regular.required(""));
    }
    let mut names = BTreeSet::new();
    for container in regular.items() {
        common_part(container, pod, errors);
        unique(container, &mut names, errors);
        handlers(container, pod.grace, errors);
        restart_policy(container, errors);
    }
    host_ports(regular.items(), errors);
    for container in init.items() {
        common_part(container, pod, errors);
        restart_policy(container, errors);
        unique(container, &mut names, errors);
        // They run one by one, so that each is alone with its ports; upstream's path names the first.
        let list = init.index(0);
        let ports = list.with("ports", container.get("ports"));
        host_ports_of(ports, &mut BTreeSet::new(), errors);
        init_container(container, pod.grace, errors);
    }
    ephemeral(spec, pod, &mut names, errors);
}

fn unique<'v>(container: Cursor<'_, 'v>, names: &mut BTreeSet<&'v str>, errors: &mut Errors) {
    let name = container.field("name");
    if !name.str().is_empty() && !names.insert(name.str()) {
        errors.push(name.duplicate());
    }
}

fn common_part(at: Cursor<'_, '_>, pod: &Pod<'_>, errors: &mut Errors) {
    common::required_text(at.field("name"), names::dns_label, errors);
    image(at.field("image"), errors);
    let message = at.field("terminationMessagePolicy");
    common::one_of(message, &["File", "FallbackToLogsOnError"], errors);
    ports(at.field("ports"), errors);
    env::env(at.field("env"), errors);
    env::env_from(at.field("envFrom"), errors);
    mounts::mounts(at, pod.volumes, errors);
    common::one_of(at.field("imagePullPolicy"), &PULL_POLICIES, errors);
    resources::requirements(at.field("resources"), pod.claims, errors);
    resize_policy(at.field("resizePolicy"), pod.never_restarts, errors);
    security::container(at.field("securityContext"), pod.own_users, errors);
}

fn image(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.str().is_empty() {
        errors.push(at.required(""));
    }
}

fn handlers(at: Cursor<'_, '_>, grace: i64, errors: &mut Errors) {
    probes::lifecycle(at.field("lifecycle"), grace, errors);
    probes::probe(at.field("livenessProbe"), Probe::Liveness, grace, errors);
    probes::probe(at.field("readinessProbe"), Probe::Readiness, grace, errors);
    probes::probe(at.field("startupProbe"), Probe::Startup, grace, errors);
}

fn restart_policy(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (policy, rules) = (at.field("restartPolicy"), at.field("restartPolicyRules"));
    common::optional_one_of(policy, &RESTART_POLICIES, errors);
    if !rules.is_empty() && !policy.is_set() {
        errors.push(policy.required("must specify restartPolicy when restart rules are used"));
    }
}

/// One that runs to its end, or, restarted always, beside the others.
fn init_container(at: Cursor<'_, '_>, grace: i64, errors: &mut Errors) {
    if at.field("restartPolicy").str() == "Always" {
        handlers(at, grace, errors);
        return;
    }
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if at.field(field).is_set() {
            errors.push(at.field(field).forbidden("may not be set for init containers without restartPolicy=Always"));
        }
    }
    let policies = at.field("resizePolicy");
    if !policies.is_empty() {
        let shown = go_text::shown("[]ContainerResizePolicy", policies.value());
        let detail = "must not be set for init containers";
        errors.push(FieldError::invalid_in_order(policies.path(), &shown, detail));
    }
}

fn ports(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for port in at.items() {
        let (name, number, host) = (port.field("name"), port.field("containerPort"), port.field("hostPort"));
        if !name.str().is_empty() {
            common::text(name, names::port_name, errors);
            if names::port_name(name.str()).is_empty() && !names.insert(name.str()) {
                errors.push(name.duplicate());
            }
        }
        if number.int() == 0 {
            errors.push(number.required(""));
        } else {
            common::port_number(number, errors);
        }
        if host.int() != 0 {
            common::port_number(host, errors);
        }
        common::one_of(port.field("protocol"), &["SCTP", "TCP", "UDP"], errors);
    }
}

/// On the host's network a container's port is the host's. A template may leave it out.
pub(super) fn host_network(spec: Cursor<'_, '_>, is_pod: bool, errors: &mut Errors) {
    if !spec.field("hostNetwork").bool() {
        return;
    }
    for container in spec.field("containers").items() {
        for port in container.field("ports").items() {
            let (host, number) = (port.field("hostPort"), port.field("containerPort").int());
            if (is_pod || host.int() != 0) && host.int() != number {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(host.invalid_value(host.int(), detail));
            }
        }
    }
}

/// Two containers cannot have the same port of the host.
fn host_ports<'c, 'v: 'c>(containers: impl Iterator<Item = Cursor<'c, 'v>>, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for container in containers {
        host_ports_of(container.field("ports"), &mut taken, errors);
    }
}

fn host_ports_of(ports: Cursor<'_, '_>, taken: &mut BTreeSet<String>, errors: &mut Errors) {
    for port in ports.items() {
        let host = port.field("hostPort");
        let text = |field: &str| port.get(field).as_str().unwrap_or_default().to_owned();
        let wanted = format!("{}/{}/{}", text("protocol"), text("hostIP"), host.int());
        if host.int() != 0 && !taken.insert(wanted.clone()) {
            errors.push(FieldError::duplicate(host.path(), &wanted.into()));
        }
    }
}

fn resize_policy(at: Cursor<'_, '_>, never_restarts: bool, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for policy in at.items() {
        let (resource, restart) = (policy.field("resourceName"), policy.field("restartPolicy"));
        if !seen.insert(resource.str()) {
            errors.push(FieldError::duplicate(policy.path(), resource.value()));
        }
        // Upstream's paths name the list.
        for (word, supported) in [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])] {
            if word.str().is_empty() {
                errors.push(at.required(""));
            } else if !supported.contains(&word.str()) {
                errors.push(FieldError::not_supported(at.path(), word.value(), &supported));
            }
        }
        if never_restarts && restart.str() != "NotRequired" {
            errors.push(at.invalid_value(restart.str(), "must be 'NotRequired' when `restartPolicy` is 'Never'"));
        }
    }
}

fn ephemeral<'v>(spec: Cursor<'_, 'v>, pod: &Pod<'_>, names: &mut BTreeSet<&'v str>, errors: &mut Errors) {
    let targets = [spec.field("containers"), spec.field("initContainers")];
    for container in spec.field("ephemeralContainers").items() {
        common_part(container, &Pod { claims: &[], ..*pod }, errors);
        let image = container.field("image");
        if image.str().trim() != image.str() {
            errors.push(image.invalid("must not have leading or trailing whitespace"));
        }
        unique(container, names, errors);
        let target = container.field("targetContainerName");
        let known = targets.iter().any(|list| list.items().any(|c| c.field("name").str() == target.str()));
        if !target.str().is_empty() && !known {
            errors.push(target.not_found());
        }
        for field in NOT_EPHEMERAL {
            if !container.field(field).is_empty() {
                errors.push(container.field(field).forbidden("cannot be set for an Ephemeral Container"));
            }
        }
        for mount in container.field("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.field(field).str().is_empty() {
                    errors.push(mount.field(field).forbidden("cannot be set for an Ephemeral Container"));
                }
            }
        }
    }
}
